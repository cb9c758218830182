"""Connected pieces and whose they are."""

import numpy as np
import pytest
from skimage import measure

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import connectivity
from napari_pcnet.merging.connectivity import OUTSIDE, find_pieces, owners


def drawn(text: str) -> np.ndarray:
    return np.array([[OUTSIDE if c == "." else int(c) for c in row] for row in text.split()], np.int32)


def test_pieces_are_numbered_by_their_first_pixel() -> None:
    raw = drawn("7700 7007 7777 .222")
    pieces = find_pieces(raw, Window(0, 0, 4, 4), 4)
    assert pieces.ids.tolist() == [[0, 0, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0], [-1, 2, 2, 2]]
    assert pieces.names.tolist() == [0, 2, 13]
    assert pieces.cells.tolist() == [7, 0, 2]


@pytest.mark.parametrize("block_px", [1, 40, 111])
def test_blocks_of_the_search_do_not_show(monkeypatch: pytest.MonkeyPatch, block_px: int) -> None:
    raw = np.random.default_rng(0).integers(-1, 3, (37, 40)).astype(np.int32)
    raw[5:9] = 1  # one piece through many rows, and a fork below it
    raw[9:, 10] = raw[9:, 20] = 1
    raw[20:24] = OUTSIDE
    window = Window(3, 0, 40, 40)
    expected = find_pieces(raw.copy(), window, 40)
    monkeypatch.setattr(connectivity, "BLOCK_PX", block_px)
    for found, wanted in zip(find_pieces(raw.copy(), window, 40), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (400, 1), (301, 277)])
def test_pieces_are_those_of_scikit_image_in_its_order(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    raw = random.integers(-1, 5, shape).astype(np.int32)
    expected = measure.label(raw, background=-1, connectivity=1) - 1
    pieces = find_pieces(raw.copy(), Window(0, 0, *shape), shape[1])
    np.testing.assert_array_equal(pieces.ids, expected)
    flat = expected.ravel()
    first = [int(np.flatnonzero(flat == k)[0]) for k in range(flat.max() + 1)][:50]
    assert pieces.names[:50].tolist() == first


def test_corners_do_not_connect() -> None:
    pieces = find_pieces(drawn("10 01"), Window(0, 0, 2, 2), 2)
    assert len(pieces.names) == 4


def test_a_name_does_not_depend_on_the_window() -> None:
    raw = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.int32)
    whole = find_pieces(raw.copy(), Window(0, 0, 20, 30), 30)
    window = Window(4, 5, 20, 30)
    part = find_pieces(raw[4:, 5:].copy(), window, 30)
    inner = {int(n) for n in part.names} & {int(n) for n in whole.names}
    touched = set(np.unique(whole.ids[:5]).tolist()) | set(np.unique(whole.ids[:, :6]).tolist())
    untouched = {int(n) for k, n in enumerate(whole.names) if k not in touched}
    assert untouched <= inner


def test_a_window_outside_the_mask_has_no_pieces() -> None:
    pieces = find_pieces(np.full((3, 3), OUTSIDE, np.int32), Window(0, 0, 3, 3), 3)
    assert len(pieces.names) == 0
    assert (pieces.ids == -1).all()


def test_the_largest_piece_stays_and_a_crumb_goes_where_its_border_is_longest() -> None:
    # pieces: 0 (cell 5, large), 1 (cell 6), 2 (cell 5, crumb) touching 0 by 1 and 1 by 3
    owner = owners(
        np.array([5, 6, 5]), np.array([10, 9, 2]), np.array([[0, 1], [0, 2], [1, 2]]), np.array([4, 1, 3])
    )
    assert owner.tolist() == [0, 1, 1]


def test_equal_borders_go_to_the_first_and_crumbs_among_crumbs_wait_a_round() -> None:
    cells = np.array([1, 2, 1, 2])  # 2 and 3 are crumbs; 3 touches only 2
    owner = owners(cells, np.array([9, 9, 1, 1]), np.array([[0, 2], [1, 2], [2, 3]]), np.array([2, 2, 1]))
    assert owner.tolist() == [0, 1, 0, 0]


def test_a_crumb_with_no_neighbour_keeps_itself() -> None:
    owner = owners(np.array([1, 1]), np.array([4, 2]), np.empty((0, 2), np.int64), np.empty(0, np.int64))
    assert owner.tolist() == [0, 1]


def test_small_pieces_go_to_the_same_owners_whatever_the_type_of_their_pairs() -> None:
    number = 60_000  # its square is beyond 32 bits
    cells, area = np.arange(number) // 2, np.tile([9, 1], number // 2)
    edges = np.stack([np.arange(number - 1), np.arange(1, number)], axis=1)
    border = np.random.default_rng(0).integers(1, 9, len(edges))
    expected = owners(cells, area, edges, border)
    assert (expected[1::2] != np.arange(1, number, 2)).all()
    found = owners(cells, area, edges.astype(np.int32), border.astype(np.uint32))
    np.testing.assert_array_equal(found, expected)
