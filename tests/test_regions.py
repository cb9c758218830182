"""The region table, gathered whole and window by window."""

import numpy as np
import pytest

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import regions
from napari_pcnet.merging.assembly import Assembly
from napari_pcnet.merging.connectivity import find_pieces
from napari_pcnet.merging.regions import RegionTable, gather, look_up


def whole_table(
    raw: np.ndarray, pixels: np.ndarray, boundary: np.ndarray | None = None
) -> tuple[np.ndarray, RegionTable]:
    height, width = raw.shape
    window = Window(0, 0, height, width)
    pieces = find_pieces(raw.copy(), window, width)
    table = gather(
        pieces.ids,
        window.slices,
        window,
        lambda w: pixels[w.slices],
        pieces.names,
        pieces.cells,
        boundary,
    )
    return pieces.ids, table


def test_a_drawn_picture_has_the_sums_one_can_count() -> None:
    raw = np.array([[0, 0, 1], [0, 1, 1]], np.int32)
    pixels = np.array([[0, 65535, 32768], [65535, 0, 0.0]])[..., None]
    _, table = whole_table(raw, pixels)
    assert table.area.tolist() == [3, 3]
    assert table.rim.tolist() == [[3, 2], [3, 2]]
    assert table.colour.tolist() == [[2 * 65535], [32768]]
    assert table.edges.tolist() == [[0, 1]]
    assert table.border.tolist() == [[1, 2]]


def test_the_strength_of_a_border_is_what_both_its_pixels_say() -> None:
    raw = np.array([[0, 0, 1], [0, 1, 1]], np.int32)
    boundary = np.array([[1, 20, 300], [4000, 50000, 7]], np.float32)
    _, table = whole_table(raw, np.ones((2, 3, 1)), boundary)
    assert table.border.tolist() == [[1, 2]]
    assert table.strength.tolist() == [[20 + 50000, 20 + 300 + 4000 + 50000]]
    _, silent = whole_table(raw, np.ones((2, 3, 1)))
    assert silent.strength.shape == (1, 0)


def test_pixels_outside_the_mask_belong_to_no_region_and_part_them() -> None:
    raw = np.array([[0, -1, 1]], np.int32)
    _, table = whole_table(raw, np.ones((1, 3, 1)))
    assert table.area.tolist() == [1, 1]
    assert len(table.edges) == 0
    assert table.rim.tolist() == [[2, 2], [2, 2]]


def assembled(
    raw: np.ndarray, pixels: np.ndarray, boundary: np.ndarray | None, window: tuple[int, int]
) -> tuple[np.ndarray, RegionTable]:
    """The table of windows that know the whole picture, in which a piece may be as large as that."""
    height, width = raw.shape
    whole, (rows, columns) = Window(0, 0, height, width), window
    assembly = Assembly(width, pixels.shape[2], 2 if boundary is None else 4)
    ids = np.full(raw.shape, -1, np.int32)
    for top in range(0, height, rows):
        cores = [
            Window(top, left, min(top + rows, height), min(left + columns, width))
            for left in range(0, width, columns)
        ]
        pieces = find_pieces(raw.copy(), whole, width)
        for core in cores:
            read = lambda w: pixels[w.slices]  # noqa: E731
            part = gather(pieces.ids, core.slices, core, read, pieces.names, pieces.cells, boundary)
            nothing = np.empty(0, np.int32)
            assembly.add(part, core, pieces.ids[core.bottom : core.bottom + 1].ravel(), nothing)
        for core, found in zip(cores, assembly.end_band(), strict=True):
            mine = pieces.ids[core.slices]
            ids[core.slices] = np.where(mine < 0, -1, found[mine])
    return ids, assembly.table()


@pytest.mark.parametrize("window", [(13, 17), (1, 5), (7, 1000), (1000, 7)])
@pytest.mark.parametrize("has_boundary", [True, False])
def test_windows_are_assembled_to_the_whole_table(window: tuple[int, int], has_boundary: bool) -> None:
    random = np.random.default_rng(3)
    raw = np.repeat(np.repeat(random.integers(0, 4, (10, 12)), 3, 0), 3, 1).astype(np.int32)
    raw[random.random(raw.shape) < 0.1] = -1
    pixels = random.integers(0, 65536, (*raw.shape, 2)).astype(np.float64)
    boundary = random.integers(0, 65536, raw.shape).astype(np.float32) if has_boundary else None
    expected, whole = whole_table(raw, pixels, boundary)
    ids, table = assembled(raw, pixels, boundary, window)
    np.testing.assert_array_equal(ids, expected)
    for name in ("names", "cells", "area", "colour", "rim", "edges", "border", "strength"):
        np.testing.assert_array_equal(getattr(table, name), getattr(whole, name), err_msg=name)
        assert getattr(table, name).dtype == getattr(whole, name).dtype


def test_perimeters_are_rims_and_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.array([[0, 0, 1], [0, 2, 1]], np.int32)
    _, table = whole_table(raw, np.ones((2, 3, 1)))
    assert table.perimeter().tolist() == [[4, 4], [2, 4], [2, 2]]
    monkeypatch.setattr(regions, "EDGES_AT_ONCE", 2)
    assert table.perimeter().tolist() == [[4, 4], [2, 4], [2, 2]]


def test_sums_that_32_bits_do_not_hold_are_kept_in_64() -> None:
    raw = np.repeat(np.array([[0, 1], [2, 3]], np.int32), 20_000, 1)
    strong = np.full(raw.shape, 65535, np.float32)
    flat = np.zeros((*raw.shape, 1))
    _, whole = whole_table(raw, flat, strong * 2)
    _, table = assembled(raw, flat, strong * 2, (1, 30_000))
    assert table.strength.max() == 20_000 * 2 * 2 * 65535 > 2**32
    assert table.lines.dtype == whole.lines.dtype == np.int64
    np.testing.assert_array_equal(table.lines, whole.lines)


def test_look_up_replaces_ids_and_what_lies_outside_by_the_last_entry() -> None:
    ids = np.array([[0, 2], [-1, 1]], np.int32)
    assert look_up(np.array([5, 6, 7, -1]), ids).tolist() == [[5, 7], [-1, 6]]
    assert look_up(np.array([5, 6, 7, 0], np.int32), ids, out=ids) is ids
    assert ids.tolist() == [[5, 7], [0, 6]]
