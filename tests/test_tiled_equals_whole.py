"""Windows do not show: the labels of any tiling are those of one window."""

import numpy as np
import pytest
import torch

from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.network import predictor
from napari_pcnet.network.inference import Base, segment_base
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.prepared import PreparedNetwork, prepare


def larger_than_reach(network: PreparedNetwork) -> tuple[int, int]:
    """A shape of which windows do not see all: SCN, whose layers are as wide as the picture, reaches less."""
    return (501, 443) if network.network.config.reduction > 1 else (260, 230)


def drawn(shape: tuple[int, int]) -> Picture:
    """Blobs, edges and noise, with a mask that has a hole."""
    random = np.random.default_rng(0)
    y, x = np.indices(shape)
    pixels = np.stack(
        [np.sin(x / 23) + np.cos(y / 17), (x // 50 + y // 40) % 2 * 1.0, random.random(shape)], axis=-1
    )
    mask = (y - shape[0] // 2) ** 2 + (x - shape[1] // 2) ** 2 > 900
    return Picture(pixels, 2, mask, np.full(3, -2.0), np.full(3, 2.0))


@pytest.fixture(params=["nearest", "unshuffle", "scn", "boundary"], scope="module")
def network(request: pytest.FixtureRequest) -> PreparedNetwork:
    torch.manual_seed(1)
    options = {
        "scn": {"reduction": 1},
        "boundary": {"stem": "unshuffle", "guide": 3, "boundary": 4},
    }.get(request.param, {"stem": request.param})
    model = PCNet(PCNetConfig(widths=(8, 4, 4, 4, 4), **options)).double()  # thin, but of full reach
    model.train()(torch.rand(2, 3, 64, 64, dtype=torch.float64))  # lively normalisation
    return prepare(model.eval(), torch.device("cpu"), "float64")


@pytest.fixture(scope="module")
def whole(network: PreparedNetwork) -> Base:
    """The base of one window."""
    picture = drawn(larger_than_reach(network))
    return segment_base(picture, Grid.enlarged(picture.shape, 1), network, window_px=4096, confidence=True)


@pytest.mark.parametrize("window", [128, 320])
def test_the_base_of_windows_is_the_base_of_one_window(
    network: PreparedNetwork, whole: Base, window: int
) -> None:
    picture = drawn(larger_than_reach(network))
    grid = Grid.enlarged(picture.shape, 1)
    shown = np.full(picture.shape, -2, np.int32)
    tiled = segment_base(
        picture,
        grid,
        network,
        window_done=lambda core, ids: shown.__setitem__(core.slices, ids),
        window_px=window,
        confidence=True,
    )
    np.testing.assert_array_equal(tiled.ids, whole.ids)
    np.testing.assert_array_equal(tiled.confidence, whole.confidence)
    np.testing.assert_array_equal(shown == -1, whole.ids == -1)  # every window was reported
    for name in ("names", "cells", "area", "colour", "rim", "edges", "border", "strength"):
        np.testing.assert_array_equal(
            getattr(tiled.regions, name), getattr(whole.regions, name), err_msg=name
        )
    assert (whole.ids[~picture.mask] == -1).all()
    assert len(whole.regions) > 300


@pytest.mark.parametrize("work", [(640, 640), (208, 160)])
def test_so_it_is_where_the_picture_is_resampled(network: PreparedNetwork, work: tuple[int, int]) -> None:
    picture = drawn((320, 320))
    grid = Grid(picture.shape, work)
    whole = segment_base(picture, grid, network, window_px=4096)
    tiled = segment_base(picture, grid, network, window_px=256 if work[0] > 320 else 64)
    np.testing.assert_array_equal(tiled.ids, whole.ids)


def test_strips_of_the_tail_do_not_show(network: PreparedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn((500, 300))
    grid = Grid.enlarged(picture.shape, 1)
    monkeypatch.setattr(predictor, "STRIP_PX", 1 << 24)
    one = segment_base(picture, grid, network)
    monkeypatch.setattr(predictor, "STRIP_PX", 1)
    many = segment_base(picture, grid, network)
    np.testing.assert_array_equal(many.ids, one.ids)
    np.testing.assert_array_equal(many.regions.strength, one.regions.strength)
    assert one.regions.strength.shape[1] == (2 if network.network.config.boundary else 0)
