"""What is behind the network on a GPU, on the CPU: the arrays, tables and labels of the ordinary way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.geometry.tiling import plan
from napari_pcnet.merging import connectivity, regions
from napari_pcnet.merging.regions import RegionTable
from napari_pcnet.network import inference, quantise
from napari_pcnet.network.machine import builds_tables
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.predictor import Inside, _choices, _choices_of_tensors, predictor
from napari_pcnet.network.prepared import PreparedNetwork, prepare

CPU = torch.device("cpu")


def test_of_equal_logits_the_first_inside_the_lattice_is_chosen() -> None:
    random = np.random.default_rng(0)
    for top in (1, 3, 256):
        codes = random.integers(0, top, (7, 5, 9, 16)).astype(np.uint8)
        inside = Inside(random.random((7, 3)) < 0.7, random.random((5, 3)) < 0.7)
        for lattice in inside:
            lattice[:, 1] = True  # a block's own cell
        found = _choices_of_tensors(torch.from_numpy(codes), inside).numpy()
        np.testing.assert_array_equal(found, _choices(codes, inside))


@pytest.fixture(scope="module", params=["whole", "blocks in floats", "tail"])
def network(request: pytest.FixtureRequest) -> PreparedNetwork:
    """A network with random weights and lively normalisation."""
    torch.manual_seed(0)
    widths = (8, 8, 8, 16, 16)
    blocks = {"boundary": 8, "merge_classifier": 4, "block": (16, 8), "finer": (8, 4)}
    options: dict[str, Any] = {} if request.param == "tail" else blocks
    model = PCNet(PCNetConfig("unshuffle", widths=widths, **options))
    pictures = torch.from_numpy(data.astronaut()[:256, :256]).permute(2, 0, 1)[None].float() / 255
    for _ in range(10):
        model.train()(pictures)
    model.eval()
    if request.param == "whole":
        model.whole_numbers = quantise.quantise(model, pictures)
    return prepare(model, CPU)


def picture_of(mask: NDArray[np.bool_] | None) -> Picture:
    return Picture(data.astronaut()[:200, 100:290], 2, mask, np.zeros(3), np.full(3, 255.0))


@pytest.mark.parametrize("work_shape", [(200, 190), (400, 380), (150, 160)])
def test_tensors_of_the_network_are_its_arrays(network: PreparedNetwork, work_shape: tuple[int, int]) -> None:
    y, x = np.indices((200, 190))
    picture = picture_of((y - 90) ** 2 + (x - 100) ** 2 > 900)
    grid = Grid(picture.shape, work_shape, network.network.config.cells[-1])
    at_work = predictor(network, confidence=True)
    for tile in plan(grid, (128, 192), connectivity.reach_px(grid), network.halo):
        expected = at_work.raw_labels(picture, grid, tile, lambda: None)
        found = at_work.raw_tensors(picture, grid, tile, lambda: None)
        for name, each, wanted in zip(expected._fields, found, expected, strict=True):
            assert (each is None) == (wanted is None)
            if wanted is not None:
                assert each.numpy().dtype == wanted.dtype
                np.testing.assert_array_equal(each.numpy(), wanted, err_msg=name)


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Call a function whose windows are labelled as on a GPU."""

    def called(call: Callable[[], Any]) -> Any:
        windows, gather = 0, inference.gather

        def counting(*arguments: Any) -> RegionTable:
            nonlocal windows
            windows += 1
            return gather(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(inference, "builds_tables", lambda device: True)
            patch.setattr(inference, "gather", counting)
            patch.setattr(regions, "gather", None)
            patch.setattr(connectivity, "find_pieces", None)
            result = call()
        assert windows > 0
        return result

    return called


@pytest.mark.parametrize(
    ("name", "expected"), [("cpu", False), ("cuda", True), ("cuda:1", True), ("mps", False)]
)
def test_tables_are_built_where_memory_is_not_that_of_the_cpu(name: str, expected: bool) -> None:
    assert builds_tables(torch.device(name)) == expected


@pytest.mark.parametrize(
    ("model", "window"), [("pcnet-v2", 128), ("pcnet-v2", 256), ("pcnet-v2", None), ("pcnet-v1", 256)]
)
def test_a_whole_run_gives_the_same_hierarchy(
    model: str, window: int | None, on_a_device: Callable[[Callable[[], Any]], Any]
) -> None:
    image = data.astronaut()[:180, 60:270]
    mask = np.ones(image.shape[:2], bool)
    mask[100:130, 90:150] = False

    def run() -> Any:
        return pcnet_hierarchy(
            image, 200, mask=mask, model=model, window=window, confidence=True, device="cpu"
        )

    ordinary, here = run(), on_a_device(run)
    for count in (3, 40, 200, 900):
        np.testing.assert_array_equal(here.labels(count), ordinary.labels(count))
        for name, values in ordinary.features(count).items():
            np.testing.assert_array_equal(here.features(count)[name], values, err_msg=name)


@pytest.mark.parametrize("channels", [1, 5])
def test_pictures_of_any_channels_give_the_same_labels(
    channels: int, on_a_device: Callable[[Callable[[], Any]], Any]
) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (90, 110, channels)).astype(np.uint16)
    run = lambda: pcnet_superpixels(image, 60, channel_axis=-1, window=64, device="cpu")  # noqa: E731
    np.testing.assert_array_equal(on_a_device(run), run())


def test_where_each_pixel_is_a_region_labels_are_the_same(
    on_a_device: Callable[[Callable[[], Any]], Any],
) -> None:
    image = data.astronaut()[:20, :24]
    run = lambda: pcnet_superpixels(image, 479, device="cpu")  # noqa: E731
    labels = on_a_device(run)
    assert labels.max() == 479
    np.testing.assert_array_equal(labels, run())
