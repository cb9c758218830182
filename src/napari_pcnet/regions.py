"""The region table and the adjacency graph, gathered window by window.

A region is a connected piece of the base. Its row holds sums over its pixels: how many, where, and
of what colour. All sums are whole numbers (colour comes in fixed point), so
neither their order nor the tiling can change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.grid import Window

STRIP_ROWS = 256
"""Rows summed at once, which bounds the memory of the conversion to float64."""


@dataclass(frozen=True)
class Regions:
    """Region table and adjacency graph.

    Attributes
    ----------
    names : (n,) int64 array
        First pixel of each region in raster order, increasing.
    cells : (n,) int32 array
        Raw id: the cell of the lattice that the region came from.
    area : (n,) int64 array
        Pixels.
    position : (n, 2) int64 array
        Sums of row and column, in image pixels.
    colour : (n, C) int64 array
        Sums of the channels, in the whole steps that they were read in.
    edges : (e, 2) int64 array
        Pairs of regions that touch, the smaller first, sorted.
    border : (e,) int64 array
        Length of each border, in pixel edges.
    """

    names: NDArray[np.int64]
    cells: NDArray[np.int32]
    area: NDArray[np.int64]
    position: NDArray[np.int64]
    colour: NDArray[np.int64]
    edges: NDArray[np.int64]
    border: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)


def gather(
    ids: NDArray[np.int32],
    core: tuple[slice, slice],
    origin: Window,
    read: Callable[[Window], NDArray[np.floating]],
    names: NDArray[np.int64],
    cells: NDArray[np.int32],
) -> Regions:
    """Gather what one window contributes.

    Parameters
    ----------
    ids : (h, w) int32 array
        Pieces of the window, negative outside the mask.
    core : tuple of slice
        The part of `ids` that this window answers for. Borders between a pixel of the core and the
        next one to the right or below are its own, even where that one lies outside the core.
    origin : Window
        Where `core` lies in the image.
    read : callable
        ``read(window)`` gives the image in a window, ``(h, w, C)`` in whole steps.
    names, cells : (n,) array
        Of all pieces in `ids`.

    Returns
    -------
    Regions
        One row for each of the `n` pieces; those without a pixel in the core have area 0.
    """
    number, inner = len(names), ids[core]
    sums: NDArray[np.int64] | None = None
    for top in range(origin.top, origin.bottom, STRIP_ROWS):
        strip = Window(top, origin.left, min(top + STRIP_ROWS, origin.bottom), origin.right)
        pixels = read(strip)
        if sums is None:  # the last column takes what is outside the mask
            sums = np.zeros((3 + pixels.shape[-1], number + 1), np.int64)
        _add_strip(sums, inner[strip.inside(origin)], pixels, strip)
    assert sums is not None, "a window has rows"
    edges, border = _borders(ids, core, number)
    return Regions(names, cells, sums[0, :-1], sums[1:3, :-1].T, sums[3:, :-1].T, edges, border)


def merge(parts: Sequence[Regions]) -> tuple[Regions, list[NDArray[np.int64]]]:
    """Merge what windows gathered into one table.

    Returns
    -------
    Regions
        Rows in raster order of the first pixel.
    list of (n,) int64 array
        For each window, the row of each of its pieces; -1 for those that have no pixel in a core.
    """
    used = [part.area > 0 for part in parts]
    names, first = np.unique(
        np.concatenate([part.names[u] for part, u in zip(parts, used, strict=True)]),
        return_index=True,
    )
    cells = np.concatenate([part.cells[u] for part, u in zip(parts, used, strict=True)])[first]
    rows = [np.searchsorted(names, part.names) for part in parts]
    known = [
        (row < len(names)) & (names[np.minimum(row, len(names) - 1)] == part.names)
        for row, part in zip(rows, parts, strict=True)
    ]
    lookups = [np.where(k, row, -1) for row, k in zip(rows, known, strict=True)]
    table = np.zeros((len(names), 3 + parts[0].colour.shape[1]), np.int64)
    for part, lookup, u in zip(parts, lookups, used, strict=True):
        mine = np.column_stack([part.area, part.position, part.colour])
        table[lookup[u]] += mine[u]  # a name stands once in each window
    pairs = np.concatenate([lookup[part.edges] for part, lookup in zip(parts, lookups, strict=True)])
    edges, border = _unique_pairs(
        pairs[:, 0], pairs[:, 1], len(names), np.concatenate([part.border for part in parts])
    )
    return (
        Regions(names, cells, table[:, 0], table[:, 1:3], table[:, 3:], edges, border),
        lookups,
    )


def _add_strip(
    sums: NDArray[np.int64],
    ids: NDArray[np.int32],
    pixels: NDArray[np.floating],
    window: Window,
) -> None:
    slots = sums.shape[1]
    flat = ids.ravel().astype(np.intp)
    flat[flat < 0] = slots - 1
    rows, columns = ids.shape
    sums[0] += np.bincount(flat, minlength=slots)
    row_of = np.repeat(np.arange(window.top, window.bottom, dtype=np.float64), columns)
    column_of = np.tile(np.arange(window.left, window.right, dtype=np.float64), rows)
    colours = [pixels[..., channel].ravel() for channel in range(pixels.shape[-1])]
    for slot, weight in enumerate([row_of, column_of, *colours], start=1):  # whole numbers below 2**53: exact
        sums[slot] += np.bincount(flat, weights=weight, minlength=slots).astype(np.int64)


def _borders(
    ids: NDArray[np.int32], core: tuple[slice, slice], number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = core
    below = slice(rows.start, min(rows.stop, ids.shape[0] - 1))
    right = slice(columns.start, min(columns.stop, ids.shape[1] - 1))
    pairs = [
        (ids[below, columns], ids[below.start + 1 : below.stop + 1, columns]),
        (ids[rows, right], ids[rows, right.start + 1 : right.stop + 1]),
    ]
    codes = []
    for a, b in pairs:
        differ = a != b
        u, v = a[differ].astype(np.int64), b[differ].astype(np.int64)
        inside = (u >= 0) & (v >= 0)
        u, v = u[inside], v[inside]
        codes.append(np.minimum(u, v) * number + np.maximum(u, v))
    found, count = np.unique(np.concatenate(codes), return_counts=True)
    return np.column_stack(np.divmod(found, max(number, 1))), count.astype(np.int64)


def _unique_pairs(
    u: NDArray[np.int64], v: NDArray[np.int64], number: int, length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    codes = np.minimum(u, v) * number + np.maximum(u, v)
    found, which = np.unique(codes, return_inverse=True)
    total = np.bincount(which, weights=length, minlength=len(found)).astype(np.int64)
    return np.column_stack(np.divmod(found, max(number, 1))), total
