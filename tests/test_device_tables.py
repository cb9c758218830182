"""Pieces and tables as a GPU builds them, on the CPU: those of numpy, bit for bit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import connectivity, regions
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.merging.regions import RegionTable
from napari_pcnet.network import pieces, tables

WIDTH = 500
"""Columns of the image in which drawn windows lie."""


def assert_same(found: Any, expected: Any, name: str = "") -> None:
    array = found.numpy() if isinstance(found, Tensor) else found
    assert array.dtype == expected.dtype, name
    np.testing.assert_array_equal(array, expected, err_msg=name)


def assert_same_pieces(raw: NDArray[np.int32]) -> tuple[connectivity.Pieces, pieces.Pieces]:
    window = Window(3, 5, 3 + raw.shape[0], 5 + raw.shape[1])
    expected = connectivity.find_pieces(raw.copy(), window, WIDTH)
    found = pieces.find_pieces(torch.from_numpy(raw.copy()), window, WIDTH)
    for name, each, wanted in zip(expected._fields, found, expected, strict=True):
        assert_same(each, wanted, name)
    return expected, found


def assert_same_tables(
    raw: NDArray[np.int32],
    core: Window,
    pixels: NDArray[np.float64],
    boundary: NDArray[np.float32] | None = None,
    certainty: NDArray[np.float32] | None = None,
) -> None:
    of_numpy, of_torch = assert_same_pieces(raw)
    origin = Window(core.top + 3, core.left + 5, core.bottom + 3, core.right + 5)

    def read(window: Window) -> NDArray[np.float64]:
        return pixels[window.top - 3 : window.bottom - 3, window.left - 5 : window.right - 5]

    def read_all(window: Window) -> NDArray[np.floating]:
        rows, columns = window.inside(Window(3, 5, 0, 0))
        return read(window) if certainty is None else np.dstack([read(window), certainty[rows, columns]])

    expected = regions.gather(
        of_numpy.ids, core.slices, origin, read_all, of_numpy.names, of_numpy.cells, boundary
    )
    maps = (None if each is None else torch.from_numpy(each) for each in (boundary, certainty))
    assert_same_rows(tables.gather(of_torch, core.slices, origin, read, *maps), expected)


def assert_same_rows(found: RegionTable, expected: RegionTable) -> None:
    for name, wanted in vars(expected).items():
        assert_same(getattr(found, name), wanted, name)
        assert getattr(found, name).flags.c_contiguous  # as compiled passes take them


def drawn(random: np.random.Generator) -> NDArray[np.int32]:
    """Blocks and noise of a few values, some of it outside."""
    raw = random.integers(-1, random.integers(0, 6), random.integers(1, 40, 2)).astype(np.int32)
    factor = int(random.integers(1, 4))
    return np.repeat(np.repeat(raw, factor, 0), factor, 1)


def snake(side: int, across: bool = False) -> NDArray[np.int32]:
    """One piece that winds through all rows or columns, and one beside it."""
    raw = np.zeros((side, side), np.int32)
    raw[1::2] = 7
    raw[1::4, -1] = raw[3::4, 0] = 0
    return raw.T.copy() if across else raw


def spiral(side: int) -> NDArray[np.int32]:
    """Two pieces around each other."""
    raw = np.zeros((side, side), np.int32)
    y, x, step, (dy, dx) = 0, -1, side, (0, 1)
    for turn in range(side):
        for _ in range(step if turn < 1 else step - 2 * ((turn + 1) // 2) + 1):
            y, x = y + dy, x + dx
            raw[min(max(y, 0), side - 1), min(max(x, 0), side - 1)] = 4
        dy, dx = dx, -dy
    return raw


# ------------------------------------------------------------------------------------- pieces


@pytest.mark.parametrize("block_px", [1, 40, 1 << 20])
@pytest.mark.parametrize("seed", range(30))
def test_pieces_are_those_of_numpy(seed: int, block_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BLOCK_PX", block_px)
    assert_same_pieces(drawn(np.random.default_rng(seed)))


WINDING = {
    "snake": snake(61),
    "snake across": snake(61, across=True),
    "snake backwards": np.ascontiguousarray(snake(61)[::-1, ::-1]),
    "spiral": spiral(40),
    "spiral backwards": np.ascontiguousarray(spiral(40)[::-1, ::-1]),
    "comb": np.where((np.arange(80) % 2 == 1) & (np.arange(30)[:, None] < 29), 1, 0).astype(np.int32),
    "chessboard": (np.indices((20, 30)).sum(axis=0) % 2).astype(np.int32),
    "staircase": (np.subtract(*np.indices((30, 30))) // 2 % 2).astype(np.int32),
}


@pytest.mark.parametrize("block_px", [1, 150, 1 << 20])
@pytest.mark.parametrize("name", WINDING)
def test_pieces_that_wind_are_whole(name: str, block_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "BLOCK_PX", block_px)
    raw = WINDING[name]
    found, _ = assert_same_pieces(raw)
    if name.startswith("snake"):
        assert len(found.names) == 1 + 30  # all that is between its windings is apart
    assert_same_tables(raw, Window(0, 0, *raw.shape), np.ones((*raw.shape, 1)))


def test_nothing_outside_the_mask_is_a_piece() -> None:
    _, found = assert_same_pieces(np.full((5, 7), OUTSIDE, np.int32))
    assert len(found.names) == 0
    raw = np.full((5, 7), OUTSIDE, np.int32)
    raw[2, 3] = raw[4, 6] = 0
    _, found = assert_same_pieces(raw)
    assert found.names.tolist() == [5 * WIDTH + 8, 7 * WIDTH + 11]


def _rounds(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Tensor]) -> tuple[Tensor, int]:
    rounds, joined = 0, pieces._joined

    def counting(*arguments: Tensor) -> Tensor:
        nonlocal rounds
        rounds += 1
        return joined(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "_joined", counting)
        return call(), rounds


@pytest.mark.parametrize("order", ["along", "against", "by chance", "high and low", "a star"])
def test_rounds_are_as_many_as_bits_however_long_a_chain(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number = 1 << 12
    chain = {
        "along": np.arange(number),
        "against": np.arange(number)[::-1],
        "by chance": np.random.default_rng(0).permutation(number),
        "high and low": np.arange(number).reshape(2, -1).T.ravel(),
        "a star": np.stack([np.full(number // 2, number - 1), np.arange(number // 2)], 1).ravel(),
    }[order]
    ends = torch.from_numpy(np.stack([chain[:-1], chain[1:]]))
    smallest, rounds = _rounds(monkeypatch, lambda: pieces.smallest_joined(number, *ends))
    assert (smallest[np.unique(chain)] == 0).all()
    assert 1 <= rounds <= 12


def test_no_tree_with_a_neighbour_stays_alone() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        number, count = int(random.integers(2, 40)), int(random.integers(1, 60))
        one, other = random.integers(0, number, (2, count))
        one, other = one[one != other], other[one != other]
        low, high = (torch.from_numpy(each) for each in (np.minimum(one, other), np.maximum(one, other)))
        above = pieces._joined(torch.arange(number), low, high).numpy()
        assert (above <= np.arange(number)).all()
        assert (above[above] == above).all()
        sizes = np.bincount(above, minlength=number)[above]
        assert (sizes[np.concatenate([one, other])] >= 2).all()


# ------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("block_px", [1, 40, 1 << 20])
@pytest.mark.parametrize("seed", range(30))
def test_tables_are_those_of_numpy(seed: int, block_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_PX", block_px)
    random = np.random.default_rng(seed)
    raw = drawn(random)
    top, left = (int(random.integers(0, side)) for side in raw.shape)
    bottom, right = (
        int(random.integers(first + 1, side + 1)) for first, side in zip((top, left), raw.shape, strict=True)
    )
    pixels = random.integers(0, 65536, (*raw.shape, (1, 3, 5)[seed % 3])).astype(np.float64)
    boundary, certainty = random.integers(0, 65536, (2, *raw.shape)).astype(np.float32)
    assert_same_tables(
        raw,
        Window(top, left, bottom, right),
        pixels,
        boundary if seed % 2 else None,
        certainty if seed % 4 > 1 else None,
    )


@pytest.mark.parametrize("has_boundary", [True, False])
@pytest.mark.parametrize(
    "core",
    [
        Window(20, 30, 130, 110),
        Window(0, 30, 130, 110),
        Window(20, 30, 150, 110),
        Window(20, 0, 130, 110),
        Window(20, 30, 130, 140),
        Window(0, 0, 130, 110),
        Window(0, 30, 130, 140),
        Window(20, 0, 150, 110),
        Window(20, 30, 150, 140),
        Window(0, 0, 150, 140),
        Window(70, 60, 71, 61),
    ],
)
def test_a_window_answers_for_its_core_whatever_is_around(core: Window, has_boundary: bool) -> None:
    random = np.random.default_rng(5)
    raw = np.repeat(np.repeat(random.integers(0, 4, (30, 28)), 5, 0), 5, 1).astype(np.int32)
    noise = random.random(raw.shape) < 0.2
    raw[noise] = random.integers(-1, 4, np.count_nonzero(noise))
    raw[:30, :25] = OUTSIDE
    pixels = random.integers(0, 65536, (*raw.shape, 3)).astype(np.float64)
    boundary = random.integers(0, 65536, raw.shape).astype(np.float32) if has_boundary else None
    assert_same_tables(raw, core, pixels, boundary)


def test_single_pixels_and_empty_windows_have_tables() -> None:
    shape = (70, 9)
    pixels, boundary = np.ones((*shape, 3)), np.full(shape, 9, np.float32)
    whole = Window(0, 0, *shape)
    assert_same_tables(np.full(shape, OUTSIDE, np.int32), whole, pixels, boundary)
    assert_same_tables(np.arange(630, dtype=np.int32).reshape(shape), whole, pixels, boundary)
    for value in (0, OUTSIDE):
        one = np.full((1, 1), value, np.int32)
        assert_same_tables(one, Window(0, 0, 1, 1), pixels[:1, :1], boundary[:1, :1])


def test_pixels_are_named_as_numpy_names_them() -> None:
    raw = drawn(np.random.default_rng(3))
    window = Window(3, 5, 3 + raw.shape[0], 5 + raw.shape[1])
    found = pieces.name_pixels(torch.from_numpy(raw.copy()), window, WIDTH)
    connectivity.name_pixels(raw, window, WIDTH)
    assert_same(found, raw)


def test_a_callers_settings_reach_neither_pieces_nor_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = drawn(np.random.default_rng(4))
    pixels, boundary = np.full((*raw.shape, 3), 7.0), np.full(raw.shape, 9, np.float32)
    monkeypatch.setattr(pieces, "BLOCK_PX", 40)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            assert_same_tables(raw, Window(0, 0, *raw.shape), pixels, boundary)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_default_dtype(torch.float32)
