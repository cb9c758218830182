"""Connected pieces of raw ids, and the cell that each belongs to.

The network lets a pixel choose among 9 cells, so the pixels of one cell need not be connected. A
*piece* is a 4-connected set of pixels with one raw id. A raw id lives inside 3 x 3 cells, so its
pieces can be found in any window that reaches `reach_px` beyond what it answers for. A piece's name
is its first pixel in raster order of the whole picture, ``y * width + x``: the same in every
tiling.
"""

from __future__ import annotations

from typing import NamedTuple

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.merging import passes

BLOCK_PX = 1 << 20
"""Pixels searched at once."""

OUTSIDE = -1
"""Stands where there is no piece: outside the mask."""


class Pieces(NamedTuple):
    """Pieces of a window."""

    ids: NDArray[np.int32]  # (h, w), from 0 in raster order of the first pixel, OUTSIDE elsewhere
    names: NDArray[np.int64]  # (n,) first pixel in the whole picture, increasing
    cells: NDArray[np.int32]  # (n,) raw id


def reach_px(grid: Grid) -> int:
    """Work pixels from a pixel within which each piece that holds it ends."""
    return 3 * grid.cell


def find_pieces(raw: NDArray[np.int32], window: Window, width: int) -> Pieces:
    """Find the 4-connected pieces of a window.

    Parameters
    ----------
    raw : (h, w) int32 array
        Raw ids, `OUTSIDE` where there is nothing to label. Used up: its memory serves the search.
    window : Window
        Where `raw` lies in the image.
    width : int
        Columns of the whole image.

    Returns
    -------
    Pieces
        Names are right for pieces that lie whole in the window.
    """
    passes.count(pixels=raw.size)
    fast = passes.compiled()
    if fast is not None:
        ids, number = np.empty(raw.shape, np.int32), fast.count_starts(raw, OUTSIDE)
        first = np.empty(number, np.int64)
        number = fast.number_pieces(raw, OUTSIDE, ids, np.empty(number, np.int32), first)
        first = first[:number].copy()
        cells = raw.ravel()[first]
    else:
        raw -= OUTSIDE  # for cc3d, 0 is what is not to be labelled
        ids = number_pieces(raw.view(np.uint32))
        first = _first_pixels(ids)
        cells = raw.ravel()[first] + OUTSIDE
    rows, columns = np.divmod(first, raw.shape[1])
    names = (rows + window.top) * width + columns + window.left
    return Pieces(ids, names, cells)


def name_pixels(raw: NDArray[np.int32], window: Window, width: int) -> None:
    """Replace raw ids by each pixel's own, in place: its position in an image of so many columns."""
    rows = np.arange(window.top, window.bottom, dtype=np.int32)[:, None]
    columns = np.arange(window.left, window.right, dtype=np.int32)
    np.copyto(raw, rows * np.int32(width) + columns, where=raw != OUTSIDE)


def number_pieces(raw: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Number the pieces of what is not 0, from 0 in raster order of the first pixel; `OUTSIDE` elsewhere.

    Found in blocks of rows and joined: cc3d keeps Python's lock, and a viewer is not to wait for it.
    """
    ids = np.empty(raw.shape, np.int32)
    rows = max(1, BLOCK_PX // max(1, raw.shape[1]))
    joins, number = [np.empty((2, 0), np.int32)], 0
    for top in range(0, len(raw), rows):
        block = slice(top, top + rows)
        found = cc3d.connected_components(raw[block], connectivity=4, out_dtype=np.uint32).view(np.int32)
        np.add(found, number - 1, out=ids[block])
        np.copyto(ids[block], OUTSIDE, where=found == 0)
        if top:
            touch = (raw[top - 1] == raw[top]) & (raw[top] != 0)
            joins.append(ids[top - 1 : top + 1, touch])
        number += int(found.max(initial=0))
    if len(joins) > 1:
        table = np.append(_joined(np.concatenate(joins, axis=1), number), np.int32(OUTSIDE))
        for top in range(0, len(raw), rows):
            np.take(table, ids[top : top + rows], out=ids[top : top + rows], mode="wrap")
    return ids


def _joined(pairs: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    """New numbers of this many pieces, of which pairs are one; in the order of the first of each."""
    links = sparse.coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), shape=(number, number))
    _, parts = csgraph.connected_components(links, directed=False)
    return number_by_first(parts).astype(np.int32)


def number_by_first(names: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number names from 0 in the order in which each first occurs."""
    _, first, which = np.unique(names, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers: NDArray[np.int64] = rank[which]
    return numbers


def _first_pixels(ids: NDArray[np.int32]) -> NDArray[np.int64]:
    """Position of the first pixel of each piece; ids rise in raster order of these."""
    flat = ids.ravel()
    if flat.size == 0:
        return np.empty(0, np.int64)
    highest = np.maximum.accumulate(flat)
    rises = np.flatnonzero(highest[1:] > highest[:-1]) + 1
    return rises if highest[0] == OUTSIDE else np.concatenate([[0], rises])


def owners(
    cells: NDArray[np.integer],
    area: NDArray[np.int64],
    edges: NDArray[np.integer],
    border: NDArray[np.integer],
) -> NDArray[np.int64]:
    """Give the small pieces of each cell to a neighbour, by a rule without scan order.

    The largest piece of a cell stays (of equal ones the first in raster order). Every other piece
    is small; it goes to the neighbour with which it shares the longest border, of equal ones to
    the one whose first pixel comes first. Small pieces that touch only small pieces wait for the next
    round.

    Parameters
    ----------
    cells : (n,) array
        Raw id of each piece; pieces are numbered in raster order of their first pixel.
    area : (n,) array
        Pixels.
    edges : (e, 2) array
        Pieces that touch.
    border : (e,) array
        Length of each border, in pixel edges.

    Returns
    -------
    (n,) int64 array
        For each piece the piece that it belongs to. A small piece with no neighbour keeps itself.
    """
    number = len(cells)
    order = np.lexsort((np.arange(number), -area, cells))
    first = np.ones(number, bool)
    first[1:] = cells[order][1:] != cells[order][:-1]
    owner = np.full(number, -1, np.int64)
    owner[order[first]] = order[first]
    both = np.concatenate([edges, edges[:, ::-1]]).astype(np.int64)  # products of two are taken
    length = np.concatenate([border, border])
    while True:
        open_edge = (owner[both[:, 0]] < 0) & (owner[both[:, 1]] >= 0)
        if not open_edge.any():
            break
        small, target = both[open_edge, 0], owner[both[open_edge, 1]]
        pairs, which = np.unique(small * number + target, return_inverse=True)
        total = np.bincount(which, weights=length[open_edge])
        small, target = np.divmod(pairs, number)
        best = np.lexsort((-target, total, small))  # the last of each small piece wins
        owner[small[best]] = target[best]
    return np.where(owner < 0, np.arange(number), owner)
