"""The region table and the adjacency graph, gathered window by window.

A region is a connected piece of the base. Its row holds sums over its pixels: how many, of what
colour, and the sides that form its outline. All sums are whole numbers (colour comes in fixed
point), so neither their order nor the tiling can change them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import network_channels
from napari_pcnet.groups import reduced
from napari_pcnet.merging import exact, passes

STRIP_ROWS = 64
"""Rows summed at once, which bounds the memory of the conversion to float64."""


EDGES_AT_ONCE = 1 << 15
"""Pairs whose sides are added to perimeters at once."""

ROWS_AT_ONCE = 1 << 14
"""Regions whose colours are worked out at once."""

LARGEST_NARROW = int(np.iinfo(np.uint32).max)


@dataclass(frozen=True)
class RegionTable:
    """Region table and adjacency graph.

    Attributes
    ----------
    names : (n,) int64 array
        First pixel of each region in raster order, increasing; (0,) where crumbs have joined regions.
    cells : (n,) int32 array
        Raw id: the cell of the lattice that the region came from; likewise.
    area : (n,) int64 array
        Pixels; uint32 where crumbs have joined.
    colour : (n, C) int64 array
        Sums of the channels, in the whole steps that they were read in.
    rim : (n, 2) int32 array
        Pixel sides on the image's frame or the mask's border: horizontal sides, vertical sides. Where crumbs
        have joined it may be ``(n, 1)``, with both directions summed up, and so is each half of `lines`.
    edges : (e, 2) int32 array
        Pairs of regions that touch, the smaller first, sorted.
    lines : (e, 4) array, or (e, 2) without a boundary map
        `border` and `strength`; uint32 where that is wide enough, else int64.
    """

    names: NDArray[np.int64]
    cells: NDArray[np.int32]
    area: NDArray[Any]
    colour: NDArray[np.int64]
    rim: NDArray[np.int32]
    edges: NDArray[np.int32]
    lines: NDArray[np.uint32] | NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area)

    @property
    def border(self) -> NDArray[np.integer]:
        """Pixel sides that regions share, ``(e, 2)``: horizontal sides, vertical sides."""
        return self.lines[:, : self.rim.shape[1]]

    @property
    def strength(self) -> NDArray[np.integer]:
        """Sums of the boundary map over the two pixels of these sides, in whole steps, likewise.

        ``(e, 0)`` without a boundary map.
        """
        return self.lines[:, self.rim.shape[1] :]

    def perimeter(self, *, uses_up: bool = False) -> NDArray[np.integer]:
        """Pixel sides on the outline of each region, ``(n, 2)``; uint32 where that is wide enough.

        They may take the memory of `rim`, if that is used up.
        """
        ends = int(self.rim.sum(dtype=np.int64)) + 2 * int(self.border.sum(dtype=np.int64))
        kind = np.uint32 if ends <= LARGEST_NARROW else np.int64
        perimeter: NDArray[Any] = (
            self.rim.view(kind) if uses_up and kind == np.uint32 else self.rim.astype(kind)
        )
        for start in range(0, len(self.edges), EDGES_AT_ONCE):
            some = slice(start, start + EDGES_AT_ONCE)
            low, high = int(self.edges[some, 0].min()), int(self.edges[some].max()) + 1
            for end, direction in product(self.edges[some].T, range(self.rim.shape[1])):
                # of whole numbers below 2**53: exact in float64
                sides = np.bincount(end - low, self.border[some, direction], high - low)
                perimeter[low:high, direction] += sides.astype(perimeter.dtype)
        return perimeter


def lab_sums(
    area: NDArray[np.int64], colour: NDArray[np.int64], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Sums over regions of CIELAB: that of the mean of the channels that the network gets, by the area.

    Parameters
    ----------
    area, colour : (n,), (n, C) int64 array
        As in `RegionTable`.
    out : (n, 3) int64 array, optional
        Takes the sums; it may be `colour`.

    Returns
    -------
    (n, 3) int64 array
        In `exact.LAB_STEPS`.
    """
    runs = network_channels(colour.shape[1])
    sums = np.empty((len(area), len(runs)), np.int64) if out is None else out
    for start in range(0, len(area), ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        rgb = [np.rint(colour[some, run].sum(axis=1) / (area[some] * len(run))) for run in runs]
        lab = exact.lab_of_rgb(np.stack(rgb, axis=1).astype(np.int64))
        sums[some] = exact.lab_sums(area[some], lab)
    return sums


def compares_channels(channels: int) -> bool:
    """Whether pictures of so many channels are compared by these, and not by CIELAB alone."""
    return channels not in (0, 1, 3)


def narrowed(lines: NDArray[np.int64]) -> NDArray[np.uint32] | NDArray[np.int64]:
    """In 32 bits where these are wide enough."""
    return lines.astype(np.uint32) if lines.max(initial=0) <= LARGEST_NARROW else lines


def gather(
    ids: NDArray[np.int32],
    core: tuple[slice, slice],
    origin: Window,
    read: Callable[[Window], NDArray[np.floating]],
    names: NDArray[np.int64],
    cells: NDArray[np.int32],
    boundary: NDArray[np.floating] | None = None,
) -> RegionTable:
    """Gather what one window contributes.

    Parameters
    ----------
    ids : (h, w) int32 array
        Pieces of the window, negative outside the mask.
    core : tuple of slice
        The part of `ids` that this window answers for; it touches an end of `ids` only where that
        is the image's frame. Sides between a pixel of the core and the next one to the right or
        below are its own, even where that one lies outside the core.
    origin : Window
        Where `core` lies in the image.
    read : callable
        ``read(window)`` gives the image in a window, ``(h, w, C)`` in whole steps.
    names, cells : (n,) array
        Of all pieces in `ids`.
    boundary : (h, w) array, optional
        How likely a boundary runs along each pixel of the window, in whole steps.

    Returns
    -------
    RegionTable
        One row for each of the `n` pieces; those without a pixel in the core have area 0.
    """
    number = len(names)
    with ThreadPoolExecutor(1) as beside:  # sorting sides and summing pixels take as long, and no GIL
        outlines = beside.submit(_outlines, ids, core, number, boundary)
        area, colour = np.zeros(number, np.int64), np.zeros((number, 0), np.int64)
        for top in range(origin.top, origin.bottom, STRIP_ROWS):
            strip = Window(top, origin.left, min(top + STRIP_ROWS, origin.bottom), origin.right)
            pixels = read(strip)
            if top == origin.top:
                colour = np.zeros((number, pixels.shape[-1]), np.int64)
            _add_pixels(ids, core[0].start + top - origin.top, core[1].start, pixels, area, colour)
        rim, edges, lines = outlines.result()
    narrow = rim.astype(np.int32), edges.astype(np.int32), narrowed(lines)
    return RegionTable(names, cells, area, colour, *narrow)


def sums_by_code(
    codes: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.intp]]:
    """Codes that occur, in order, the sum of the rows of each, and where each stands first."""
    order = np.argsort(codes, kind="stable")  # quick where codes are sorted in parts
    codes, rows = codes[order], rows[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    return codes[first], reduced(np.add, rows, first), order[first]


def _add_pixels(
    ids: NDArray[np.int32],
    top: int,
    left: int,
    pixels: NDArray[np.floating],
    area: NDArray[np.int64],
    colour: NDArray[np.int64],
) -> None:
    """Add the pixels of a strip, which begins at `top` and `left` in `ids`, to their pieces.

    `pixels` are ``(rows, columns, C)`` in whole steps; `area` is ``(n,)``, `colour` ``(n, C)``.
    """
    fast = passes.compiled()
    if fast is not None:
        fast.add_pixels(ids, top, left, np.ascontiguousarray(pixels, np.float64), area, colour)
        return
    number, (height, width, channels) = len(area), pixels.shape
    flat = ids[top : top + height, left : left + width].ravel().astype(np.intp)
    flat[flat < 0] = number  # one more takes what is outside the mask
    area += np.bincount(flat, minlength=number + 1)[:-1]
    for channel in range(channels):  # of whole numbers below 2**53: exact in float64
        sums = np.bincount(flat, weights=pixels[..., channel].ravel(), minlength=number + 1)
        colour[:, channel] += sums[:-1].astype(np.int64)


def _compiled_outlines(
    fast: ModuleType,
    ids: NDArray[np.int32],
    core: tuple[slice, slice],
    number: int,
    boundary: NDArray[np.floating] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`_outlines` by a compiled pass for each direction."""
    (top, bottom), (left, right) = ((span.start, span.stop) for span in core)
    height, width = ids.shape
    rim = np.zeros((number, 2), np.int64)
    for axis, position in ((0, 0), (0, height), (1, 0), (1, width)):  # sides on the frame
        if position in (core[axis].start, core[axis].stop):
            line = np.take(ids[core], [-1 if position else 0], axis)
            rim[:, axis] += np.bincount(line[line >= 0], minlength=number)
    most = 3 * number  # pieces are connected: their graph is planar
    keys, sums = np.empty(most, np.int64), np.zeros((most, 4), np.int64)
    places = np.full(fast.slots(most), -1, np.int32)
    strength = np.ascontiguousarray(np.empty((0, 0)) if boundary is None else boundary, np.float32)
    tables, used = (strength, rim, places, keys, sums), 0
    used = fast.add_sides(ids, 1, top, left, min(bottom, height - 1), right, *tables, used)
    used = fast.add_sides(ids, 0, top, left, bottom, min(right, width - 1), *tables, used)
    order = np.argsort(keys[:used])
    keys, sums = keys[order], sums[order]
    edges = np.column_stack([keys >> 32, keys & 0xFFFFFFFF])
    return rim, edges, sums[:, : 2 if boundary is None else 4]


def _outlines(
    ids: NDArray[np.int32],
    core: tuple[slice, slice],
    number: int,
    boundary: NDArray[np.floating] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sides on the rim of each piece, pairs that touch, and the sides that these share, with strength."""
    fast = passes.compiled()
    if fast is not None:
        return _compiled_outlines(fast, ids, core, number, boundary)
    rows, columns = (_with_frame(span) for span in core)
    slots, codes, strengths_of_sides = number + 1, [], []
    for top in range(rows.start, rows.stop, STRIP_ROWS):
        framed = _framed(ids, top, min(top + STRIP_ROWS, rows.stop) + 1, number)
        here = framed[:-1, columns]
        below = framed[1:, columns]
        right = framed[:-1, columns.start + 1 : columns.stop + 1]
        for direction, other in enumerate((below, right)):  # sides below pixels are horizontal
            differ = here != other
            codes.append(2 * _codes(here[differ], other[differ], slots) + direction)
            if boundary is not None:
                strengths_of_sides.append(_of_both(boundary, top, columns, direction, differ))
    found, count, strength = _summed(np.concatenate(codes), strengths_of_sides)
    pairs, which = np.unique(found // 2, return_inverse=True)
    sides = np.zeros((len(pairs), 2), np.int64)
    sides[which, found % 2] = count
    strengths = np.zeros((len(pairs), 2 if strengths_of_sides else 0), np.int64)
    if strengths_of_sides:
        strengths[which, found % 2] = strength
    edges = np.column_stack(np.divmod(pairs, slots))
    outside = edges[:, 1] == number
    rim = np.zeros((slots, 2), np.int64)
    rim[edges[outside, 0]] = sides[outside]
    return rim[:-1], edges[~outside], np.concatenate([sides, strengths], axis=1)[~outside]


def _summed(
    codes: NDArray[np.int64], strengths_of_sides: list[NDArray[np.floating]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Codes that occur, how often, and the sums of the strengths there."""
    if not strengths_of_sides:
        found, count = np.unique(codes, return_counts=True)
        return found, count, np.zeros_like(count)
    found, which, count = np.unique(codes, return_inverse=True, return_counts=True)
    # of whole numbers below 2**53: exact in float64
    sums = np.bincount(which, weights=np.concatenate(strengths_of_sides), minlength=len(found))
    return found, count, sums.astype(np.int64)


def _of_both(
    boundary: NDArray[np.floating], top: int, columns: slice, direction: int, differ: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Sum of the boundary map over the two pixels of each side; beyond the image it is 0."""
    height, width = boundary.shape
    # rows and columns count from the frame, one before the picture
    row, column = (index - 1 for index in np.nonzero(differ))
    row, column = row + top, column + columns.start
    beside = (row + 1, column) if direction == 0 else (row, column + 1)
    both = np.zeros(len(row))
    for y, x in ((row, column), beside):
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        both[inside] += boundary[y[inside], x[inside]]
    return both


def _framed(ids: NDArray[np.int32], start: int, stop: int, outside: int) -> NDArray[np.int32]:
    """Rows of the pieces with a frame of one pixel around; what is outside is one more piece."""
    height, width = ids.shape
    framed = np.full((stop - start, width + 2), outside, np.int32)
    rows = ids[max(start - 1, 0) : min(stop - 1, height)]  # the frame moves a row on by one
    first = max(1 - start, 0)
    framed[first : first + len(rows), 1:-1] = np.where(rows < 0, outside, rows)
    return framed


def _with_frame(span: slice) -> slice:
    """Move a span by the frame's pixel; one that begins at the frame takes that pixel in."""
    return slice(span.start + (span.start > 0), span.stop + 1)


def _codes(u: NDArray[np.integer], v: NDArray[np.integer], number: int) -> NDArray[np.int64]:
    """One number for each pair, whichever comes first."""
    low, high = np.minimum(u, v).astype(np.int64), np.maximum(u, v).astype(np.int64)
    codes: NDArray[np.int64] = low * number + high
    return codes


def look_up(
    table: NDArray[np.integer], ids: NDArray[np.int32], out: NDArray[np.integer] | None = None
) -> NDArray[np.integer]:
    """Replace every id ``(H, W)`` by its entry in a table, and -1 by the last entry."""
    if out is None:
        out = np.empty(ids.shape, table.dtype)
    fast = passes.compiled()
    flat = out.dtype == table.dtype == np.int32 and ids.flags.c_contiguous and out.flags.c_contiguous
    if fast is not None and flat:
        fast.look_up(table, ids.reshape(-1), out.reshape(-1))
        return out
    for start in range(0, len(ids), STRIP_ROWS):
        rows = slice(start, start + STRIP_ROWS)
        np.take(table, ids[rows], out=out[rows], mode="wrap")
    return out
