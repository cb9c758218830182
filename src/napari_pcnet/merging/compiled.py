"""Passes over pixels, compiled by numba: the same answers as those in numpy beside which they stand.

Imported only through `passes.compiled`, since numba is an extra. All sums are of whole numbers. The lock of
Python is not held, and what was compiled is kept on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = np.int64(-1)
"""Key of a place of a hash table that is free."""

LONGEST_FILL = 2
"""A hash table has at least so many places for each key."""

SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: neighbouring keys times this, in their upper bits, lie far apart."""


@njit(cache=True, nogil=True)
def number_pieces(raw: NDArray[np.int32], outside: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number 4-connected pieces of equal values in raster order of their first pixel.

    Two passes with a union-find (Rosenfeld and Pfaltz, 1966), in which the smaller of two numbers stays on top.

    Parameters
    ----------
    raw : (h, w) int32 array
        `outside` where there is nothing to label.
    outside : int
        Stands in the result there, too.

    Returns
    -------
    ids : (h, w) int32 array
    first : (n,) int64 array
        Position of the first pixel of each piece, ``row * w + column``.
    """
    height, width = raw.shape
    ids = np.empty((height, width), np.int32)
    above = np.empty(1024, np.int32)  # of each provisional number one that it hangs on, itself at the top
    starts = np.empty(1024, np.int64)
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
                    _join(above, ids[y, x - 1], ids[y - 1, x])
            elif up:
                ids[y, x] = ids[y - 1, x]
            else:
                if number == len(above):
                    above = _twice(above)
                    starts = _twice(starts)
                above[number] = number
                starts[number] = y * width + x
                ids[y, x] = number
                number += 1
    final = np.empty(number, np.int32)
    first = np.empty(number, np.int64)
    count = 0
    for k in range(number):  # a number hangs on a smaller one, which has its final number by then
        if above[k] == k:
            final[k] = count
            first[count] = starts[k]
            count += 1
        else:
            final[k] = final[above[k]]
    for y in range(height):
        for x in range(width):
            if ids[y, x] != outside:
                ids[y, x] = final[ids[y, x]]
    return ids, first[:count].copy()


@njit(cache=True, nogil=True)
def _join(above: NDArray[np.int32], one: int, other: int) -> None:
    one, other = _top(above, one), _top(above, other)
    if one < other:
        above[other] = one
    else:
        above[one] = other


@njit(cache=True, nogil=True)
def _top(above: NDArray[np.int32], k: int) -> int:
    while above[k] != k:
        above[k] = above[above[k]]
        k = above[k]
    return k


@njit(cache=True, nogil=True)
def _twice(array: NDArray[np.integer]) -> NDArray[np.integer]:
    longer = np.empty(2 * len(array), array.dtype)
    longer[: len(array)] = array
    return longer


@njit(cache=True, nogil=True)
def add_pixels(
    ids: NDArray[np.int32], pixels: NDArray[np.floating], area: NDArray[np.int64], colour: NDArray[np.int64]
) -> None:
    """Add the pixels of a strip to the areas ``(n,)`` and the colours ``(n, C)`` of their pieces.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    pixels : (h, w, C) array
        In whole steps.
    """
    height, width = ids.shape
    channels = pixels.shape[2]
    for y in range(height):
        for x in range(width):
            k = ids[y, x]
            if k >= 0:
                area[k] += 1
                for c in range(channels):
                    colour[k, c] += np.int64(pixels[y, x, c])


@njit(cache=True, nogil=True)
def outlines(
    ids: NDArray[np.int32],
    top: int,
    left: int,
    bottom: int,
    right: int,
    number: int,
    boundary: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sides on the rim of each piece, and a row for each pair of pieces that touch.

    Parameters
    ----------
    ids : (h, w) int32 array
        Negative outside the mask.
    top, left, bottom, right : int
        The core. Of a side, its upper or left pixel lies in it; those of the frame are the core's where it
        touches an end of `ids`.
    number : int
        Of pieces.
    boundary : (h, w) array in whole steps, or (0, 0)

    Returns
    -------
    rim : (n, 2) int64 array
        Horizontal sides, vertical sides.
    pairs : (e, 2) int64 array
        The smaller first; in no order.
    sums : (e, 4) int64 array
        Horizontal and vertical sides, and the boundary map over the pixels on both sides of them.
    """
    height, width = ids.shape
    rim = np.zeros((number, 2), np.int64)
    keys = np.full(1024, EMPTY, np.int64)
    sums = np.zeros((1024, 4), np.int64)
    used = 0
    last_key, last_place = EMPTY, 0
    has_boundary = boundary.shape[0] > 0
    for y in range(top - 1 if top == 0 else top, bottom):
        for x in range(left - 1 if left == 0 else left, right):
            here = np.int64(-1)
            if y >= 0 and x >= 0:
                here = np.int64(ids[y, x])
            for direction in range(2):  # sides below pixels are horizontal
                other_y, other_x = (y + 1, x) if direction == 0 else (y, x + 1)
                if (direction == 0 and x < 0) or (direction == 1 and y < 0):
                    continue
                other = np.int64(-1)
                if other_y < height and other_x < width:
                    other = np.int64(ids[other_y, other_x])
                here_or_none = here if here >= 0 else np.int64(-1)
                other_or_none = other if other >= 0 else np.int64(-1)
                if here_or_none == other_or_none:
                    continue
                if here_or_none < 0:
                    rim[other, direction] += 1
                    continue
                if other_or_none < 0:
                    rim[here, direction] += 1
                    continue
                key = min(here, other) * number + max(here, other)
                if key == last_key:
                    place = last_place
                else:
                    if used * LONGEST_FILL >= len(keys):
                        keys, sums = _rehashed(keys, sums)
                    place = _place_of(keys, key)
                    if keys[place] == EMPTY:
                        keys[place] = key
                        used += 1
                    last_key, last_place = key, place
                sums[place, direction] += 1
                if has_boundary:
                    sums[place, 2 + direction] += np.int64(boundary[y, x]) + np.int64(
                        boundary[other_y, other_x]
                    )
    pairs = np.empty((used, 2), np.int64)
    found = np.empty((used, 4), np.int64)
    at = 0
    for place in range(len(keys)):
        if keys[place] != EMPTY:
            pairs[at, 0], pairs[at, 1] = keys[place] // number, keys[place] % number
            found[at] = sums[place]
            at += 1
    return rim, pairs, found


@njit(cache=True, nogil=True)
def _place_of(keys: NDArray[np.int64], key: int) -> int:
    """Where a key stands in a hash table of a power of two places, or would."""
    mask = len(keys) - 1
    place = np.int64((np.uint64(key) * SCATTER) >> np.uint64(32)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True)
def _rehashed(
    keys: NDArray[np.int64], sums: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same hash table with four times the places."""
    more_keys = np.full(4 * len(keys), EMPTY, np.int64)
    more_sums = np.zeros((4 * len(keys), sums.shape[1]), np.int64)
    for k in range(len(keys)):
        if keys[k] != EMPTY:
            place = _place_of(more_keys, keys[k])
            more_keys[place] = keys[k]
            more_sums[place] = sums[k]
    return more_keys, more_sums


@njit(cache=True, nogil=True)
def look_up(table: NDArray[np.integer], ids: NDArray[np.int32], out: NDArray[np.integer]) -> None:
    """Replace every id by its entry in a table, and a negative one by the last entry."""
    height, width = ids.shape
    last = len(table) - 1
    for y in range(height):
        for x in range(width):
            k = ids[y, x]
            out[y, x] = table[k if k >= 0 else last]
