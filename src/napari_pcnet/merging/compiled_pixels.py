"""Passes over pixels, compiled: the answers of the numpy that they replace (`passes.compiled`).

All sums are of whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging.compiling import compiled

SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: neighbouring keys times this, in their upper bits, lie far apart."""


@compiled
def choose(
    codes: NDArray[np.uint8],
    row_inside: NDArray[np.bool_],
    column_inside: NDArray[np.bool_],
    side: int,
    out: NDArray[np.uint8],
) -> None:
    """Fill `out` with the choices of `network.choices`, laid out as pixels, ``(h * side, w * side)``."""
    height, width, neighbours, pixels = codes.shape
    ranked = np.empty(pixels, np.int32)
    for y in range(height):
        for x in range(width):
            for p in range(pixels):
                ranked[p] = 0
            for k in range(neighbours):
                if row_inside[y, k // 3] and column_inside[x, k % 3]:
                    last = neighbours - 1 - k
                    for p in range(pixels):
                        rank = np.int32((codes[y, x, k, p] + 1) * neighbours + last)
                        ranked[p] = max(ranked[p], rank)
            for p in range(pixels):
                out[y * side + p // side, x * side + p % side] = neighbours - 1 - ranked[p] % neighbours


@compiled
def count_starts(raw: NDArray[np.int32], outside: int) -> int:
    """Count pixels that `number_pieces` may begin a piece with: unlike those on the left and above."""
    height, width = raw.shape
    number = 0
    for y in range(height):
        for x in range(width):
            value = raw[y, x]
            left = x > 0 and raw[y, x - 1] == value
            up = y > 0 and raw[y - 1, x] == value
            number += value != outside and not left and not up
    return number


@compiled
def number_pieces(
    raw: NDArray[np.int32],
    outside: int,
    ids: NDArray[np.int32],
    above: NDArray[np.int32],
    first: NDArray[np.int64],
) -> int:
    """Number 4-connected pieces of equal values in raster order of their first pixel.

    Two passes with a union-find (Rosenfeld and Pfaltz, 1966) in which the smaller of two numbers is on top.

    Parameters
    ----------
    raw : (h, w) int32 array
        `outside` where there is nothing to label.
    outside : int
        Stands in the result there, too.
    ids : (h, w) int32 array
        Receives the number of each pixel's piece.
    above : (count_starts,) int32 array
        Room: of each provisional number one that it hangs on, itself at the top; then the final number.
    first : (count_starts,) int64 array
        Receives the position of the first pixel of each piece, ``row * w + column``.

    Returns
    -------
    int
        How many pieces there are.
    """
    height, width = raw.shape
    number = 0
    for y in range(height):
        for x in range(width):
            value = raw[y, x]
            if value == outside:
                ids[y, x] = outside
                continue
            left = x > 0 and raw[y, x - 1] == value
            up = y > 0 and raw[y - 1, x] == value
            if left:
                ids[y, x] = ids[y, x - 1]
                if up and raw[y - 1, x - 1] != value:  # else they are joined already
                    one, other = ids[y, x - 1], ids[y - 1, x]
                    while above[one] != one:
                        above[one] = above[above[one]]
                        one = above[one]
                    while above[other] != other:
                        above[other] = above[above[other]]
                        other = above[other]
                    above[max(one, other)] = min(one, other)
            elif up:
                ids[y, x] = ids[y - 1, x]
            else:
                above[number] = number
                first[number] = y * width + x
                ids[y, x] = number
                number += 1
    count = 0
    for k in range(number):  # a number hangs on a smaller one, which has its final number by then
        if above[k] == k:
            above[k] = count
            first[count] = first[k]
            count += 1
        else:
            above[k] = above[above[k]]
    for y in range(height):
        for x in range(width):
            if ids[y, x] != outside:
                ids[y, x] = above[ids[y, x]]
    return count


def slots(pairs: int) -> int:
    """Slots of a hash table for so many pairs: a power of two, more than twice as many."""
    return 1 << (2 * pairs).bit_length()


@compiled
def add_pixels(
    ids: NDArray[np.int32],
    top: int,
    left: int,
    pixels: NDArray[np.float64],
    area: NDArray[np.int64],
    colour: NDArray[np.int64],
) -> None:
    """Add pixels to the areas ``(n,)`` and the colours ``(n, C)`` of their pieces.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    top, left : int
        Where the pixels begin in `ids`.
    pixels : (rows, columns, C) float64 array
        In whole steps.
    """
    rows, columns, channels = pixels.shape
    for y in range(rows):
        for x in range(columns):
            k = ids[top + y, left + x]
            if k >= 0:
                area[k] += 1
                for c in range(channels):
                    colour[k, c] += np.int64(pixels[y, x, c])


@compiled
def add_sides(
    ids: NDArray[np.int32],
    down: int,
    top: int,
    left: int,
    bottom: int,
    right: int,
    boundary: NDArray[np.float32],
    rim: NDArray[np.int64],
    places: NDArray[np.int32],
    keys: NDArray[np.int64],
    sums: NDArray[np.int64],
    used: int,
) -> int:
    """Add the sides between two pixels of `ids` to the rims of pieces, and to the pairs of pieces that touch.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    down : int
        1 for the sides below pixels, which are horizontal, 0 for those on their right.
    top, left, bottom, right : int
        The pixels above these sides, or left of them.
    boundary : (h, w) float32 array in whole steps, or (0, 0)
    rim : (n, 2) int64 array
        Horizontal sides, vertical sides.
    places : (2**k,) int32 array
        A hash table: rows of `keys`, -1 where it is free. At most half of it is used.
    keys : (e,) int64 array
        ``u << 32 | v`` of two pieces that touch, the smaller first.
    sums : (e, 4) int64 array
        Horizontal and vertical sides, and the boundary map over the pixels on both sides of them.
    used : int
        Rows of `keys` that hold a pair.

    Returns
    -------
    int
        Rows that do now.
    """
    mask, across = len(places) - 1, 1 - down
    has_boundary = boundary.shape[0] > 0
    last_key, row = np.int64(-1), np.int32(0)
    for y in range(top, bottom):
        for x in range(left, right):
            here, other = ids[y, x], ids[y + down, x + across]
            if here == other:
                continue
            low, high = np.int64(min(here, other)), np.int64(max(here, other))
            if low < 0:
                if high >= 0:
                    rim[high, across] += 1
                continue
            key = low << 32 | high
            if key != last_key:
                place = np.int64((np.uint64(key) * SCATTER) >> np.uint64(32)) & mask
                while places[place] >= 0 and keys[places[place]] != key:
                    place = (place + 1) & mask
                if places[place] < 0:
                    places[place] = used
                    keys[used] = key
                    used += 1
                last_key, row = key, places[place]
            sums[row, across] += 1
            if has_boundary:
                sums[row, 2 + across] += np.int64(boundary[y, x]) + np.int64(boundary[y + down, x + across])
    return used


@compiled
def look_up(table: NDArray[np.int32], ids: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Replace every id ``(n,)`` by its entry in a table, and a negative one by the last entry."""
    last = len(table) - 1
    for p in range(len(ids)):
        k = ids[p]
        out[p] = table[k if k >= 0 else last]


@compiled
def move(
    flat: NDArray[np.int32],
    goals: NDArray[np.int32],
    waiting: NDArray[np.int64],
    ends: NDArray[np.int64],
    ring: NDArray[np.int64],
    may_leave: NDArray[np.bool_],
) -> None:
    """Let pixels move to their goals, as `outlines._moved` does.

    Parameters
    ----------
    flat, goals : (pixels,) int32 array
        Regions with a frame around them, row by row.
    waiting : (m,) int64 array
        Positions of the pixels that are not where they are to go, by turns; used up.
    ends : (turns + 1,) int64 array
        Where each turn begins among them, and the last one ends.
    ring : (8,) int64 array
        Steps in `flat` to a pixel's neighbours, as in `outlines.RING`.
    may_leave : (256,) bool array
        `outlines.MAY_LEAVE`.
    """
    turns = len(ends) - 1
    number = np.empty(turns, np.int64)
    for turn in range(turns):
        number[turn] = ends[turn + 1] - ends[turn]
    moving = True
    while moving:
        moving = False
        for turn in range(turns):
            start, kept = ends[turn], 0
            for k in range(number[turn]):
                here = waiting[start + k]
                code, touches = 0, False
                for j in range(8):
                    other = flat[here + ring[j]]
                    if other == flat[here]:
                        code |= 1 << j
                    touches |= j % 2 == 1 and other == goals[here]
                if may_leave[code] and touches:
                    flat[here] = goals[here]
                    moving = True
                else:
                    waiting[start + kept] = here
                    kept += 1
            number[turn] = kept
