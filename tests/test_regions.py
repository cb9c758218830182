"""The region table, gathered whole and window by window."""

import numpy as np

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging.connectivity import find_pieces
from napari_pcnet.merging.regions import RegionTable, gather, look_up, merge


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


def test_windows_merge_to_the_whole_table() -> None:
    random = np.random.default_rng(3)
    raw = np.repeat(np.repeat(random.integers(0, 4, (10, 12)), 3, 0), 3, 1).astype(np.int32)
    raw[random.random(raw.shape) < 0.1] = -1
    pixels = random.integers(0, 65536, (*raw.shape, 2)).astype(np.float64)
    boundary = random.integers(0, 65536, raw.shape).astype(np.float32)
    ids, whole = whole_table(raw, pixels, boundary)
    height, width = raw.shape
    parts, cores = [], []
    for top in range(0, height, 13):
        for left in range(0, width, 17):
            core = Window(top, left, min(top + 13, height), min(left + 17, width))
            window = Window(0, 0, height, width)  # a piece here may be as large as the picture
            pieces = find_pieces(raw.copy(), window, width)
            parts.append(
                gather(
                    pieces.ids,
                    core.inside(window),
                    core,
                    lambda w: pixels[w.slices],
                    pieces.names,
                    pieces.cells,
                    boundary,
                )
            )
            cores.append((core, pieces.ids[core.inside(window)]))
    table, lookups = merge(parts)
    for name in ("names", "cells", "area", "colour", "rim", "edges", "border", "strength"):
        np.testing.assert_array_equal(getattr(table, name), getattr(whole, name), err_msg=name)
    for (core, mine), lookup in zip(cores, lookups, strict=True):
        expected = ids[core.slices]
        np.testing.assert_array_equal(np.where(mine < 0, -1, lookup[mine]), expected)


def test_look_up_replaces_ids_and_what_lies_outside_by_the_last_entry() -> None:
    ids = np.array([[0, 2], [-1, 1]], np.int32)
    assert look_up(np.array([5, 6, 7, -1]), ids).tolist() == [[5, 7], [-1, 6]]
    assert look_up(np.array([5, 6, 7, 0], np.int32), ids, out=ids) is ids
    assert ids.tolist() == [[5, 7], [0, 6]]
