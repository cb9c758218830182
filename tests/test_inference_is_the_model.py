"""Inference in windows and strips says of every pixel what the network says of the whole picture at once."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Grid, Window, raw_ids
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture
from napari_pcnet.geometry.tiling import plan
from napari_pcnet.merging import connectivity
from napari_pcnet.network import predictor as predictor_module
from napari_pcnet.network.association import confidence, mask_outside, neighbour_argmax
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.predictor import predictor
from napari_pcnet.network.prepared import prepare

SHAPE = (300, 200)

Whole = tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(scope="module", params=["paper", "guide and boundary", "scn", "blocks"])
def model(request: pytest.FixtureRequest) -> PCNet:
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "paper": {},
        "guide and boundary": {"stem": "unshuffle", "guide": 3, "boundary": 4},
        "scn": {"reduction": 1},
        "blocks": {"stem": "unshuffle", "block": (6, 5), "finer": (8, 4), "boundary": 4},
    }[request.param]
    network = PCNet(PCNetConfig(widths=(8, 4, 4, 4, 4), **options)).double()
    network.train()(torch.rand(2, 3, 64, 64, dtype=torch.float64))  # lively normalisation
    return network.eval()


@pytest.fixture(scope="module")
def picture() -> Picture:
    pixels = np.random.default_rng(0).random((*SHAPE, 3))
    return Picture(pixels, 2, None, np.zeros(3), np.ones(3))


def _by_the_model(model: PCNet, picture: Picture, grid: Grid) -> Whole:
    """Raw ids, confidence and boundary of every pixel, by one look at the padded frame."""
    frame = picture.read_work(grid, Window(0, 0, *grid.padded_shape), np.float64)
    with torch.no_grad():
        output = model(torch.from_numpy(frame).permute(2, 0, 1)[None])
    every = dict(zip(model.config.cells, (output.logits, *output.finer), strict=True))
    logits = mask_outside(every[grid.cell], grid.lattice, cell=grid.cell)
    here = slice(SHAPE[0]), slice(SHAPE[1])
    neighbour = neighbour_argmax(logits)[0].numpy()[here]
    edge = torch.zeros(1, 1, *SHAPE) if output.boundary is None else output.boundary.sigmoid()
    return (
        raw_ids(neighbour, np.arange(SHAPE[0]), np.arange(SHAPE[1]), grid),
        confidence(logits)[0].numpy()[here],
        edge[0, 0].numpy()[here],
    )


@pytest.mark.parametrize("finest", [False, True])
@pytest.mark.parametrize(("window", "strip_px"), [(64, predictor_module.STRIP_PX), (9999, 1)])
def test_every_window_and_strip_has_the_ids_confidence_and_boundary_of_the_network(
    model: PCNet,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    strip_px: int,
    finest: bool,
) -> None:
    monkeypatch.setattr(predictor_module, "STRIP_PX", strip_px)
    grid = Grid.enlarged(SHAPE, 1, cell=model.config.cells[-1 if finest else 0])
    ids, sure, edge = _by_the_model(model, picture, grid)
    prepared = prepare(model, torch.device("cpu"), "float64")
    at_work = predictor(prepared, confidence=True)
    for tile in plan(grid, (window, window), connectivity.reach_px(grid), prepared.halo):
        found = at_work.raw_labels(picture, grid, tile, lambda: None)
        here = tile.labelled.slices
        np.testing.assert_array_equal(found.raw, ids[here])
        np.testing.assert_allclose(found.confidence, sure[here] * COLOUR_STEPS, atol=0.51)
        assert (found.boundary is None) == (model.boundary is None)
        if found.boundary is not None:
            np.testing.assert_allclose(found.boundary, edge[here] * COLOUR_STEPS, atol=0.51)
