"""What is drawn with pixels becomes strokes on regions: a line of the mouse, a layer of scribbles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_pcnet.annotation.strokes import NOTHING, Annotation
from napari_pcnet.groups import reduced
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.shapes import Labels, size_text


def regions_along(plane: NDArray[np.int32], start: ArrayLike, stop: ArrayLike) -> list[int]:
    """The regions that a straight line crosses, in its order, each once.

    Parameters
    ----------
    plane : (H, W) int32 array
        Region of each pixel, `OUTSIDE` where there is none.
    start, stop : (2,) array of float
        Ends of the line in pixels, whose centres are whole numbers. Parts outside the plane cross nothing.
    """
    ends = np.array([start, stop], float)
    steps = int(np.ceil(np.abs(ends[1] - ends[0]).max())) * 2  # no pixel of a side is left out
    first, last = _steps_within(ends, steps, plane.shape)
    along = np.arange(first, last + 1)[:, None] / max(steps, 1)
    line = np.rint(ends[0] + along * (ends[1] - ends[0])).astype(np.int64)
    inside = ((line >= 0) & (line < plane.shape)).all(axis=1)
    crossed = plane[tuple(line[inside].T)]
    return list(dict.fromkeys(crossed[crossed != OUTSIDE].tolist()))


def _steps_within(ends: NDArray[np.float64], steps: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """The first and the last step of a line that may lie in a plane: far outside there may be millions."""
    first, last = 0, steps
    for (start, stop), side in zip(ends.T, shape, strict=True):
        if start != stop:
            low, high = sorted((end - start) / (stop - start) * steps for end in (-1, side))
            first, last = max(first, math.floor(low)), min(last, math.ceil(high))
        elif not -1 <= start <= side:
            return 0, -1
    return first, last


def paint_majority(
    annotation: Annotation, base: NDArray[np.int32], scribbles: Labels, counts: Sequence[int] | None = None
) -> bool:
    """Give each region that is scribbled on the number of most of its scribbled pixels, in one stroke.

    Parameters
    ----------
    annotation : Annotation
    base : (..., H, W) int32 array
        Region of each pixel, `OUTSIDE` where there is none.
    scribbles : (..., H, W) array of whole numbers
        A class for each pixel, 0 where nothing is drawn. Of numbers equally frequent the smallest wins.
    counts : sequence of int, optional
        Take the parts of this cut in place of the regions of the base.

    Returns
    -------
    bool
        Whether that changed anything.

    Raises
    ------
    ValueError
        If the scribbles have another shape, or numbers that are no class.
    """
    if scribbles.shape != base.shape:
        raise ValueError(
            f"scribbles must be as large as the regions, {size_text(base.shape)}, "
            f"got {size_text(scribbles.shape)}"
        )
    drawn = (scribbles != NOTHING) & (base != OUTSIDE)
    given = scribbles[drawn]
    if not len(given):
        return False
    annotation.checked(int(given.min()))
    annotation.checked(int(given.max()))
    numbers = given.astype(np.int64)
    nested = annotation.nested
    starts = np.arange(nested.regions) if counts is None else nested.starts(counts)
    parts = np.searchsorted(starts, nested.rank[base[drawn]], side="right") - 1
    won, winners = majority(parts, numbers, np.ones_like(parts))
    of_part = np.full(len(starts), NOTHING)
    of_part[won] = winners
    of_rank = np.repeat(of_part, np.diff(starts, append=nested.regions))
    return annotation.set_from(0, np.where(of_rank == NOTHING, annotation.numbers, of_rank))


def majority(
    parts: NDArray[np.int64], numbers: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The most frequent number of each part; of those equally frequent the smallest.

    Parameters
    ----------
    parts, numbers, pixels : (k,) int64 array
        How many pixels of a part have a number; a pair may occur more than once.

    Returns
    -------
    (p,) int64 array
        Parts that occur, increasing.
    (p,) int64 array
        The number of each.
    """
    by_pair = np.lexsort([numbers, parts])
    parts, numbers, pixels = parts[by_pair], numbers[by_pair], pixels[by_pair]
    pairs = np.flatnonzero(_is_new(parts) | _is_new(numbers))
    total = reduced(np.add, pixels, pairs)
    parts, numbers = parts[pairs], numbers[pairs]
    by_pixels = np.lexsort([numbers, -total, parts])
    parts, numbers = parts[by_pixels], numbers[by_pixels]
    leads = np.flatnonzero(_is_new(parts))
    return parts[leads], numbers[leads]


def _is_new(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each value is the first, or another than the one before."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]
