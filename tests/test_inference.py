"""From a picture to its base: devices, precision, memory."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from napari_pcnet.geometry.grid import CELL, Grid, Window, raw_ids
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.geometry.tiling import Halo, plan
from napari_pcnet.network import inference
from napari_pcnet.network.association import mask_outside, neighbour_argmax
from napari_pcnet.network.inference import SmallerWindowsWarning, segment_base
from napari_pcnet.network.machine import choose_device
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.predictor import FloatPredictor, _mask_rim
from napari_pcnet.network.prepared import PreparedNetwork, _fused, prepare

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> PCNet:
    torch.manual_seed(0)
    network = PCNet(PCNetConfig(widths=(8, 4, 4, 4, 4)))
    network.train()(torch.rand(2, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def single(model: PCNet) -> PreparedNetwork:
    return prepare(model, CPU)


@pytest.fixture(scope="module")
def double(model: PCNet) -> PreparedNetwork:
    return prepare(model, CPU, "float64")


def noise(height: int, width: int) -> Picture:
    pixels = np.random.default_rng(0).random((height, width, 3))
    return Picture(pixels, 2, None, np.zeros(3), np.ones(3))


def test_raw_ids_are_the_argmax_of_the_masked_association(model: PCNet, double: PreparedNetwork) -> None:
    picture = noise(150, 200)
    grid = Grid.enlarged(picture.shape, 1)
    (tile,) = plan(grid, (9999, 9999), 48, Halo(320, 256))
    raw = FloatPredictor(double).raw_labels(picture, grid, tile, lambda: None).raw
    frame = picture.read_work(grid, Window(0, 0, *grid.padded_shape), np.float64)
    with torch.no_grad():
        logits = model.double()(torch.from_numpy(frame).permute(2, 0, 1)[None]).logits
    model.float()
    chosen = neighbour_argmax(mask_outside(logits, grid.lattice))[0, :150, :200].numpy()
    np.testing.assert_array_equal(raw, raw_ids(chosen, np.arange(150), np.arange(200), grid))
    row, column = np.divmod(raw, grid.lattice[1])
    assert np.abs(row - np.arange(150)[:, None] // CELL).max() == 1
    assert np.abs(column - np.arange(200)[None, :] // CELL).max() == 1


@pytest.mark.parametrize("lattice", [(1, 1), (2, 3), (4, 5), (9, 9)])
@pytest.mark.parametrize("origin", [(0, 0), (0, 2), (1, 0), (3, 4)])
@pytest.mark.parametrize("cell", [CELL, 4])
def test_the_rim_is_masked_in_place_as_by_looking_at_every_pixel(
    lattice: tuple[int, int], origin: tuple[int, int], cell: int
) -> None:
    logits = torch.rand(1, 9, 3 * cell, 4 * cell, generator=torch.Generator().manual_seed(0))
    expected = mask_outside(logits, lattice, origin, cell)
    _mask_rim(logits, lattice, origin, cell)
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("stem", ["nearest", "area", "unshuffle"])
def test_folding_layers_together_changes_nothing(stem: Any) -> None:
    torch.manual_seed(0)
    network = PCNet(PCNetConfig(stem, widths=(8, 4, 4, 4, 4)))
    network.train()(torch.rand(2, 3, 64, 64))
    network.eval().double()
    image = torch.rand(1, 3, 64, 128, dtype=torch.float64)
    torch.testing.assert_close(_fused(network)(image).logits, network(image).logits)


def test_the_cpu_is_chosen_with_a_reason() -> None:
    choice = choose_device("cpu")
    assert (choice.device.type, choice.reason) == ("cpu", "asked for")


def test_without_an_accelerator_auto_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    choice = choose_device("auto")
    assert (choice.device.type, choice.reason) == ("cpu", "neither CUDA nor Apple's Metal is there")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"device must be one of those that torch finds here \(auto, cpu.*\), got 'warp'$"
    ):
        choose_device("warp")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("no room"), RuntimeError("could not create a primitive"), MemoryError()]
)
def test_windows_are_halved_when_the_device_is_out_of_memory(
    double: PreparedNetwork, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(inference, "MANY_RUN_BYTES", 0)  # of small pictures, nothing else counts
    picture = noise(1000, 60)
    grid = Grid.enlarged(picture.shape, 1)
    expected = segment_base(picture, grid, double)
    calls = []
    trunk = FloatPredictor.trunk

    def once(self: FloatPredictor, picture: Picture, grid: Grid, read: Window) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return trunk(self, picture, grid, read)

    monkeypatch.setattr(FloatPredictor, "trunk", once)
    with pytest.warns(
        SmallerWindowsWarning, match="memory is short: the picture is segmented in windows of 512 x 64 pixels"
    ):
        base = segment_base(picture, grid, double)
    np.testing.assert_array_equal(base.ids, expected.ids)


@pytest.mark.filterwarnings("ignore::napari_pcnet.network.inference.SmallerWindowsWarning")
def test_a_device_with_no_room_at_all_is_named(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(FloatPredictor, "trunk", full)
    monkeypatch.setattr(inference, "free_bytes", lambda: 50_000_000)
    picture = noise(1500, 1500)
    sentence = "windows of 1536 x 1536 pixels take about 283 MB, and 50 MB were free"
    with pytest.raises(MemoryError, match=f"^{sentence}$"):
        segment_base(picture, Grid.enlarged(picture.shape, 1), single)


@pytest.mark.parametrize(
    ("free", "expected"), [(10**9, (3000, 3000)), (5 * 10**8, (1536, 1536)), (0, (384, 384))]
)
def test_windows_are_as_small_as_free_memory_asks(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch, free: int, expected: tuple[int, int]
) -> None:
    chosen: list[tuple[int, int]] = []

    def segment(*arguments: Any) -> None:
        chosen.append(arguments[0].tiles[0].core.shape)

    monkeypatch.setattr(inference, "_segment", segment)
    monkeypatch.setattr(inference, "free_bytes", lambda: free)
    picture = Picture(np.zeros((3000, 3000), np.uint8), None, None, np.zeros(1), np.ones(1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        segment_base(picture, Grid.enlarged(picture.shape, 1), single, window_px=3000)
    assert chosen == [expected]
    assert len(told) == (expected != picture.shape)


@pytest.mark.parametrize(
    ("sharing", "expected"),
    [(1, (3008, 3008)), (2, (1536, 1536)), (0, (3008, 3008))],
    ids=["one", "two", "none"],
)
def test_processes_of_this_machine_share_its_memory(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch, sharing: int, expected: tuple[int, int]
) -> None:
    chosen: list[Any] = []
    monkeypatch.setattr(inference, "_segment", lambda work, *_: chosen.append(work))
    monkeypatch.setattr(inference, "free_bytes", lambda: 10**9)
    picture = Picture(np.zeros((3008, 3008), np.uint8), None, None, np.zeros(1), np.ones(1))
    elsewhere = inference.Elsewhere(lambda *_: lambda: None, 2, sharing)  # type: ignore[arg-type, return-value]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segment_base(picture, Grid.enlarged(picture.shape, 1), single, window_px=3008, elsewhere=elsewhere)
    assert chosen[0].tiles[0].core.shape == expected
    assert chosen[0].elsewhere is elsewhere


@pytest.mark.parametrize(("free", "alike"), [(10**10, False), (3 * 10**8, True)])
def test_where_memory_is_scarce_windows_are_of_one_shape(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch, free: int, alike: bool
) -> None:
    found: set[tuple[int, int]] = set()
    monkeypatch.setattr(
        inference, "_segment", lambda *of: found.update(each.read.shape for each in of[0].tiles)
    )
    monkeypatch.setattr(inference, "free_bytes", lambda: free)
    picture = Picture(np.zeros((1100, 1100), np.uint8), None, None, np.zeros(1), np.ones(1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        segment_base(picture, Grid.enlarged(picture.shape, 1), single, window_px=512)
    assert (len(found) == 1) is alike
    assert told == []


def test_labels_that_find_no_room_are_one_sentence_without_another_try(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    monkeypatch.setattr(FloatPredictor, "trunk", lambda *arguments: tried.append(arguments))
    filled = np.full

    def full(shape: Any, *arguments: Any, **options: Any) -> np.ndarray[Any, Any]:
        if shape == (300, 300):
            raise MemoryError
        return filled(shape, *arguments, **options)

    monkeypatch.setattr(np, "full", full)
    picture = noise(300, 300)
    message = "the labels of 300 x 300 pixels take 0.00036 GB; segment a part of the picture"
    with pytest.raises(MemoryError, match=f"^{message}$"):
        segment_base(picture, Grid.enlarged(picture.shape, 1), single, window_px=64)
    assert tried == []


def test_another_error_of_torch_is_not_taken_for_want_of_memory(
    single: PreparedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(FloatPredictor, "trunk", broken)
    picture = noise(64, 64)
    with pytest.raises(RuntimeError, match="shapes differ"):
        segment_base(picture, Grid.enlarged(picture.shape, 1), single)


def test_progress_counts_up_to_its_total(single: PreparedNetwork) -> None:
    picture = noise(400, 300)
    calls: list[tuple[int, int]] = []
    segment_base(
        picture,
        Grid.enlarged(picture.shape, 1),
        single,
        lambda done, total: calls.append((done, total)),
        window_px=128,
    )
    assert [done for done, _ in calls] == list(range(1, calls[0][1] + 1))
    assert len({total for _, total in calls}) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_lower_precision_moves_few_pixels(model: PCNet, precision: str) -> None:
    picture = noise(256, 256)
    grid = Grid.enlarged(picture.shape, 1)
    (tile,) = plan(grid, (9999, 9999), 48, Halo(320, 256))

    def raw(name: str) -> np.ndarray:
        prepared = prepare(model, CPU, name)  # type: ignore[arg-type]
        return FloatPredictor(prepared).raw_labels(picture, grid, tile, lambda: None).raw

    moved = (raw(precision) != raw("float64")).mean()
    assert moved <= (1e-4 if precision == "float32" else 0.2)  # of an untrained network


def test_auto_precision_is_float32(model: PCNet) -> None:
    assert prepare(model, CPU, "auto").dtype == prepare(model, CPU, "float32").dtype == torch.float32


def test_the_model_is_left_as_it_was(model: PCNet) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    picture = noise(64, 64)
    segment_base(picture, Grid.enlarged(picture.shape, 1), prepare(model, CPU))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
