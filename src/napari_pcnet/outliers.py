"""Whether a picture spends its range of intensities on a few of its values.

A hot pixel, or a value that stands for no data and is not declared so, takes nearly all of the range, and the
rest of the picture becomes one grey. Values are counted by where in the range they lie; an ordinary picture
is known for one after its first rows.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.arguments import ONE_RANGE, values_inside
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.stages import stage

BINS = 64
"""Parts of the range in which values are counted."""

BULK_BINS = BINS // 8
"""Neighbouring parts in which all but a few values lie where the range is spent on these.

Far from what is ordinary: of the photographs, aerial pictures and micrographs that networks are trained on,
99.9 % of the values fill 40 % of the range or more.
"""

FEW = 1 / 1000
"""Share of the values that is few; `intensity_range` of ``("0.1%", "99.9%")`` leaves out as many."""


class SpentRange(NamedTuple):
    """A range that is spent on a few values, or on one value.

    Attributes
    ----------
    channel : int or None
        Whose range it is; None if channels share one.
    low, high : float
        The range.
    bulk_low, bulk_high : float
        The extremes of all but `others` values.
    others, values : int
        How many lie elsewhere, and how many there are.
    """

    channel: int | None
    low: float
    high: float
    bulk_low: float
    bulk_high: float
    others: int
    values: int

    @property
    def sentence(self) -> str:
        """What is the matter, and what would do."""
        whose = "image" if self.channel is None else f"channel {self.channel} of the image"
        limits = f"({_text(self.bulk_low)}, {_text(self.bulk_high)})"
        remedy = f"pass intensity_range={limits}, or leave"
        if self.channel is not None:  # each has a range of its own
            few = self.others <= self.values * FEW
            remedy = 'pass intensity_range=("0.1%", "99.9%"), or leave' if few else "leave"
        farthest = self.low if self.bulk_low - self.low > self.high - self.bulk_high else self.high
        return (
            f"{whose} spends most of its range of intensities, {_text(self.low)} to {_text(self.high)}, on "
            f"{self.others} of {self.values} values: all others are {_text(self.bulk_low)} to "
            f"{_text(self.bulk_high)}; {remedy} those out by mask=, of a file by nodata={_text(farthest)}"
        )


@stage("reading")
def spent_range(picture: Picture) -> SpentRange | None:
    """Find a channel whose extremes are the range of a few values, or of one value; None if there is none.

    Parameters
    ----------
    picture : Picture
        Whose `low` and `high` are its extremes.
    """
    shared = picture.channels in ONE_RANGE
    counts = [
        _Counts(low, high, picture.pixels.dtype.itemsize > 1)
        for low, high in zip(picture.low, picture.high, strict=True)
    ][: 1 if shared else None]
    number = picture.pixels_inside * (picture.channels if shared else 1)
    few = math.ceil(number * FEW) - 1  # as percentiles count
    if few < 1 or picture.pixels.dtype.kind == "b":
        return None
    left = [channel for channel, count in enumerate(counts) if count.high > count.low]
    for values in values_inside(picture, len(counts)):
        for channel in left:
            counts[channel].add(values[:, channel])
        left = [channel for channel in left if counts[channel].bulk(few) is not None]
        if not left:
            return None
    for channel in left:
        count = counts[channel]
        begin = count.bulk(few)
        assert begin is not None, "it is left"
        low, high = math.inf, -math.inf
        for values in values_inside(picture, len(counts)):
            inside = values[count.within(values[:, channel], begin), channel]
            if len(inside):
                low, high = min(low, float(inside.min())), max(high, float(inside.max()))
        if low < high:  # else there is nothing that the range would show
            others = number - int(count.of_bins[begin : begin + BULK_BINS].sum())
            return SpentRange(None if shared else channel, count.low, count.high, low, high, others, number)
    return None


class _Counts:
    """Values of a channel so far, by the part of the range in which they lie.

    Attributes
    ----------
    low, high : float
        The range.
    of_bins : (BINS,) int64 array
        Values in each part.
    """

    def __init__(self, low: float, high: float, may_mean_no_data: bool) -> None:
        self.low, self.high = float(low), float(high)
        self.of_bins = np.zeros(BINS, np.int64)
        self._of_ends = np.zeros(2, np.int64)  # of the lowest and of the highest value
        self._may_mean_no_data = may_mean_no_data  # with 8 bits no value is far from the others

    def add(self, values: NDArray[Any]) -> None:
        """Count values inside the range."""
        numbers = None
        if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
            numbers = np.bincount(values)
            values = np.flatnonzero(numbers)
            numbers = numbers[values]
        of_bins = np.bincount(self._bins(values), numbers, minlength=BINS)
        self.of_bins += of_bins.astype(np.int64)
        if self._may_mean_no_data:
            for end, value in enumerate((self.low, self.high)):
                is_end = values == value
                self._of_ends[end] += np.count_nonzero(is_end) if numbers is None else numbers[is_end].sum()

    def bulk(self, few: int) -> int | None:
        """Where the parts begin that hold all values but a few, or but one value besides; None if none do."""
        below = np.concatenate([[0], np.cumsum(self.of_bins)])
        outside = below[-1] - (below[BULK_BINS:] - below[:-BULK_BINS])
        without_low, without_high = outside - self._of_ends[0], outside - self._of_ends[1]
        without_low[0], without_high[-1] = outside[0], outside[-1]  # it is inside
        least = np.minimum(outside, np.minimum(without_low, without_high))
        begin = int(np.argmin(least))
        return begin if least[begin] <= few else None

    def within(self, values: NDArray[Any], begin: int) -> NDArray[np.bool_]:
        """Which values lie in the parts that begin there."""
        bins = self._bins(values)
        inside: NDArray[np.bool_] = (begin <= bins) & (bins < begin + BULK_BINS)
        return inside

    def _bins(self, values: NDArray[Any]) -> NDArray[np.intp]:
        shares = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return np.minimum((shares * BINS).astype(np.intp), BINS - 1)


def _text(number: float) -> str:
    """Return a number as Python and the command line read it.

    >>> _text(65535.0), _text(-9999.25), _text(-3.4028234663852886e+38)
    ('65535', '-9999.25', '-3.40282e+38')
    """
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"
