"""What is summed over the pixels of each region, window by window, and merged.

Areas, moments and outlines are whole numbers, and so are the sums of a picture of whole numbers of up to 32
bits: neither the order nor the windows can change them. The mean and the spread of other pictures are floats,
merged as Chan, Golub and LeVeque do (1983, The American Statistician 37).

Moments may pass over the ends of int64 on the way, which does no harm: what is taken of them is about the
middle of a region, and fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.groups import reduced
from napari_pcnet.measuring.windows import MARGIN, NONE, NumberedWindow

EXACT_PX = 1 << 20
"""Pixels summed at once in float64: of numbers below 2**33 their sum is exact."""

WIDEST_EXACT = 4
"""Bytes of the longest whole numbers of which sums and sums of squares are exact."""

LIMB_BITS = 16
"""A number of 32 bits is squared in two halves, so that no sum of squares passes 2**53 in a block."""

MOMENTS, OUTLINE, CROSSINGS, INTENSITY = "moments", "outline", "crossings", "intensity"
"""Groups of sums that only some properties need."""

STRAIGHT, DIAGONAL, MIXED = 0, 1, 2
"""Steps of an outline, columns of `Sums.outline`."""

_STEPS = np.full((5, 5), -1)
_STEPS[[2, 3, 2, 3, 2, 3], [0, 0, 1, 1, 2, 2]] = STRAIGHT
_STEPS[[0, 1], [2, 3]] = DIAGONAL
_STEPS[[1, 1], [1, 2]] = MIXED
"""The step at a pixel of an outline, by how many neighbours beside it and across its corners are of it,
too: K. Benkrid and D. Crookes, Design and FPGA implementation of a perimeter estimator, 2000."""

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Along rows, along columns and along both diagonals, as (rows, columns)."""


@dataclass(frozen=True)
class Sums:
    """Sums over the pixels of regions; a group that is not asked for has no columns.

    Attributes
    ----------
    label : (n,) int64 array
        Increasing.
    area : (n,) int64 array
        Pixels.
    first, last : (n, 2) int64 array
        Lowest and highest row and column.
    position : (n, 2) int64 array
        Sums of rows and of columns.
    moments : (n, 3) int64 array
        Sums of squared rows, of rows times columns, of squared columns, modulo 2**64.
    outline : (n, 3) int64 array
        Pixels of the outline with a straight, a diagonal and a mixed step.
    crossings : (n, 4) int64 array
        How often the outline is crossed along each of `DIRECTIONS`.
    total : (n, C) int64 array
        Sums of intensities.
    squares : (n, C, 3) int64 array
        Sums of their squares: of upper halves, of both halves' products, of lower halves.
    mean, spread : (n, C) float64 array
        Of a picture of floats, in place of `total` and `squares`: mean, and sum of squared differences
        from it.
    lowest, highest : (n, C) float64 array
        Extreme intensities.
    """

    label: NDArray[np.int64]
    area: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    position: NDArray[np.int64]
    moments: NDArray[np.int64]
    outline: NDArray[np.int64]
    crossings: NDArray[np.int64]
    total: NDArray[np.int64]
    squares: NDArray[np.int64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


_LEAST = ("first", "lowest")
_MOST = ("last", "highest")


def gather(window: NumberedWindow, groups: frozenset[str], pixels: NDArray[Any] | None = None) -> Sums:
    """Sum up one window.

    Parameters
    ----------
    window : NumberedWindow
    groups : frozenset of str
        What is summed besides area and extent.
    pixels : (h w, C) array, optional
        The picture in the core, for `INTENSITY`.

    Returns
    -------
    Sums
        Of the regions with a pixel in the core; rows and columns are those of the picture.
    """
    width = window.core.shape[1]
    flat = window.core_codes.ravel()
    places = np.flatnonzero(flat != NONE)
    codes, number = flat[places], len(window.names)
    rows, columns = np.divmod(places, width)
    area = np.bincount(codes, minlength=number).astype(np.int64)
    origin = np.array([window.core.top, window.core.left])
    inner = np.column_stack([_sums(codes, each, number) for each in (rows, columns)])
    empty = np.zeros((number, 0), np.int64)
    sums = {
        "position": inner + area[:, None] * origin,
        "first": _extreme(np.minimum, codes, rows, columns, number) + origin,
        "last": _extreme(np.maximum, codes, rows, columns, number) + origin,
        "moments": _moments(codes, rows, columns, area, inner, origin) if MOMENTS in groups else empty,
        "outline": _outline(window.codes, number) if OUTLINE in groups else empty,
        "crossings": _crossings(window.codes, number) if CROSSINGS in groups else empty,
    }
    values = np.zeros((len(places), 0), np.uint8) if pixels is None else pixels[places]
    sums |= _intensities(codes, values, area)
    seen = area > 0
    return Sums(window.names[seen], area[seen], **{name: each[seen] for name, each in sums.items()})


def merge(parts: Sequence[Sums]) -> Sums:
    """Merge what windows, one at least, summed up, in the order of labels."""
    names = [each.name for each in fields(Sums)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(joined["label"], kind="stable")
    joined = {name: values[order] for name, values in joined.items()}
    label = joined.pop("label")
    starts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(label) else np.zeros(0, np.intp)
    if not len(starts):
        return Sums(label, **joined)
    merged = {}
    for name, values in joined.items():
        ufunc = np.minimum if name in _LEAST else np.maximum if name in _MOST else np.add
        with np.errstate(invalid="ignore"):
            merged[name] = reduced(ufunc, values, starts)
    return Sums(label[starts], **merged | _merged_spread(joined, merged["area"], starts))


def _merged_spread(
    parts: dict[str, NDArray[Any]], area: NDArray[np.int64], starts: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    """Mean and spread of regions from those of their parts."""
    weight = parts["area"][:, None]
    with np.errstate(invalid="ignore", over="ignore"):  # of infinity and NaN, which stay what they are
        mean = reduced(np.add, parts["mean"] * weight, starts) / area[:, None]
        apart = parts["mean"] - np.repeat(mean, np.diff(np.r_[starts, len(weight)]), axis=0)
        return {"mean": mean, "spread": reduced(np.add, parts["spread"] + weight * apart**2, starts)}


def _sums(codes: NDArray[np.int32], values: NDArray[Any], number: int) -> NDArray[np.int64]:
    """Exact sums of whole numbers, one of each pixel, over regions."""
    total = np.zeros(number, np.int64)
    for start in range(0, len(codes), EXACT_PX):
        part = slice(start, start + EXACT_PX)
        total += np.bincount(codes[part], values[part], number).astype(np.int64)
    return total


def _extreme(
    ufunc: np.ufunc, codes: NDArray[np.int32], rows: NDArray[np.intp], columns: NDArray[np.intp], number: int
) -> NDArray[np.int64]:
    found = np.full((number, 2), np.iinfo(np.int64).max if ufunc is np.minimum else -1)
    ufunc.at(found[:, 0], codes, rows)
    ufunc.at(found[:, 1], codes, columns)
    found[found == np.iinfo(np.int64).max] = -1  # regions of the margin, which are left out
    return found


def _moments(
    codes: NDArray[np.int32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    area: NDArray[np.int64],
    inner: NDArray[np.int64],
    origin: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Second moments in the picture, from those in the window."""
    top, left = origin[:1], origin[1:]  # arrays, which may pass over the end of their type without a word
    row, column = inner.T
    number = len(area)
    return np.column_stack(
        [
            _sums(codes, rows * rows, number) + 2 * top * row + top * top * area,
            _sums(codes, rows * columns, number) + top * column + left * row + top * left * area,
            _sums(codes, columns * columns, number) + 2 * left * column + left * left * area,
        ]
    )


def _outline(codes: NDArray[np.int32], number: int) -> NDArray[np.int64]:
    """Count the steps of outlines in the core of a window with its margin."""
    inner = codes[1:-1, 1:-1]
    is_outline = inner != NONE
    is_outline &= (
        (inner != codes[:-2, 1:-1])
        | (inner != codes[2:, 1:-1])
        | (inner != codes[1:-1, :-2])
        | (inner != codes[1:-1, 2:])
    )
    marked = np.where(is_outline, inner, NONE)
    here = np.zeros_like(is_outline)
    here[1:-1, 1:-1] = is_outline[1:-1, 1:-1]
    places = np.flatnonzero(here)
    flat, width = marked.ravel(), marked.shape[1]
    own = flat[places]

    def like(*steps: int) -> NDArray[np.int64]:
        """How many of the neighbours are of the same outline."""
        return np.asarray(np.sum([flat[places + step] == own for step in steps], axis=0), np.int64)

    beside, across = like(-width, -1, 1, width), like(-width - 1, 1 - width, width - 1, width + 1)
    step = _STEPS[beside, across]
    kinds = [np.bincount(own[step == kind], minlength=number) for kind in (STRAIGHT, DIAGONAL, MIXED)]
    return np.column_stack(kinds).astype(np.int64)


def _crossings(codes: NDArray[np.int32], number: int) -> NDArray[np.int64]:
    """Count the neighbours, along each direction and back, that are of another region."""
    height, width = codes.shape
    core = codes[MARGIN:-MARGIN, MARGIN:-MARGIN]
    counts = np.zeros((number, len(DIRECTIONS)), np.int64)
    for at, (down, right) in enumerate(DIRECTIONS):
        for sign in (1, -1):
            top, left = MARGIN + sign * down, MARGIN + sign * right
            other = codes[top : top + height - 2 * MARGIN, left : left + width - 2 * MARGIN]
            counts[:, at] += np.bincount(core[(core != other) & (core != NONE)], minlength=number)
    return counts


def _intensities(
    codes: NDArray[np.int32], values: NDArray[Any], area: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Sum the channels of the pixels ``(p, C)``."""
    number, channels = len(area), values.shape[1]
    is_exact = values.dtype.kind in "bui" and values.dtype.itemsize <= WIDEST_EXACT
    counted = channels if is_exact else 0
    sums: dict[str, NDArray[Any]] = {
        "total": np.zeros((number, counted), np.int64),
        "squares": np.zeros((number, counted, 3), np.int64),
        "mean": np.zeros((number, channels - counted)),
        "spread": np.zeros((number, channels - counted)),
        "lowest": np.full((number, channels), np.inf),
        "highest": np.full((number, channels), -np.inf),
    }
    for channel in range(channels):
        own = values[:, channel]
        with np.errstate(invalid="ignore"):  # of NaN, which stays
            np.minimum.at(sums["lowest"][:, channel], codes, own.astype(np.float64))
            np.maximum.at(sums["highest"][:, channel], codes, own.astype(np.float64))
        if is_exact:
            sums["total"][:, channel] = _sums(codes, own, number)
            sums["squares"][:, channel] = _squares(codes, own, number)
        else:
            sums["mean"][:, channel], sums["spread"][:, channel] = _spread(codes, own, area)
    return sums


def _squares(codes: NDArray[np.int32], values: NDArray[Any], number: int) -> NDArray[np.int64]:
    """Sums of squares, ``(n, 3)``: of upper halves, of the product of both, of lower halves."""
    whole = values.astype(np.int64)
    if values.dtype.itemsize < WIDEST_EXACT:
        squares = _sums(codes, whole * whole, number)
        return np.column_stack([np.zeros_like(squares), np.zeros_like(squares), squares])
    upper, lower = whole >> LIMB_BITS, whole & ((1 << LIMB_BITS) - 1)
    factors = ((upper, upper), (upper, lower), (lower, lower))
    return np.column_stack([_sums(codes, one * other, number) for one, other in factors])


def _spread(
    codes: NDArray[np.int32], values: NDArray[Any], area: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each region, and its sum of squared differences from it."""
    number, own = len(area), values.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # of infinity and NaN, which stay what they are
        mean = np.bincount(codes, own, number) / np.maximum(area, 1)
        spread = np.bincount(codes, (own - mean[codes]) ** 2, number)
    return mean, np.asarray(spread, np.float64)
