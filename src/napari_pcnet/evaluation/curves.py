"""Quality over the number of superpixels or over the length of their contours.

A method returns more or fewer superpixels than it is asked for. A curve is therefore drawn over K,
the number measured, and requests are steered until it reaches on both sides of every K wanted. The
same holds for CD, the contour density: a jagged labelling finds more boundaries at equal K because
its contours are longer, and at equal CD it has no such gain.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from napari_pcnet.evaluation.results import Row

Along: TypeAlias = Literal["K", "CD"]
"""What methods are compared at equal values of: the number of superpixels or the contour density."""

POWERS: dict[Along, int] = {"K": 1, "CD": 2}
"""The power of each that grows about as K does: twice the contour takes four times the superpixels."""

# The four figures below are of K, or of CD to its power.
OVERSHOOT = 1.1
"""How far beyond a value not reached the next request aims, as a factor."""

WIDEST_BRACKET = 1.2
"""Two values measured on both sides of one wanted are near enough if their ratio is at most this."""

LONGEST_LINE = 2.5
"""A curve has no value between two measured ones whose ratio is larger, unless one of them is near."""

NEAR = 0.05
"""A value measured this near to the one wanted, as a share of it, needs no other one nearby."""


@dataclass(frozen=True)
class Point:
    """One request, averaged over images: `superpixels` is the mean measured K."""

    request: int
    superpixels: float
    scores: Mapping[str, float]


def mean_points(rows: Iterable[Row], annotations: str = "mean") -> list[Point]:
    """Average rows by request.

    Parameters
    ----------
    rows : iterable of Row
    annotations : {'mean', 'worst', 'best'}
        Over all annotations, so that an image counts as often as it has some; or over images, of
        the worst or best annotation of each.

    Returns
    -------
    list of Point
        By request, ascending. A score that a row lacks has no mean.
    """
    by_request: dict[int, list[Row]] = {}
    for row in rows:
        by_request.setdefault(row.request, []).append(row)
    return [_mean_point(request, same, annotations) for request, same in sorted(by_request.items())]


def _mean_point(request: int, rows: Sequence[Row], annotations: str) -> Point:
    weights = [row.annotations if annotations == "mean" else 1 for row in rows]
    names = [name for name in rows[0].scores if all(name in row.scores for row in rows)]
    means = {
        name: _mean_of_known([figure_of(row, name, annotations) for row in rows], weights) for name in names
    }
    return Point(request, means["K"], means)


def _mean_of_known(values: Sequence[float], weights: Sequence[int]) -> float:
    """Average the values that are not NaN, as the seam rate is for an image without cuts or lines."""
    figures, shares = np.array(values), np.array(weights)
    known = ~np.isnan(figures)
    return float(np.average(figures[known], weights=shares[known])) if known.any() else math.nan


def figure_of(row: Row, name: str, annotations: str) -> float:
    """Return a score of a labelling: the mean, worst or best over its annotations."""
    return row.scores.get(f"{name}_{annotations}", row.scores[name])


def nearest_request(points: Sequence[Point], count: int) -> int:
    """Return the request whose measured K lies nearest to one wanted."""
    return min(points, key=lambda point: abs(point.superpixels - count)).request


def bracket(points: Sequence[Point], value: float, along: Along = "K") -> tuple[Point, Point] | None:
    """Return the two neighbouring points between which a value of K or CD lies.

    None where the curve does not reach it, or has too wide a gap around it. A curve of one point
    that is there has it twice.
    """
    ordered = sorted(points, key=lambda point: point.scores[along])
    at = [point.scores[along] for point in ordered]
    if not at[0] <= value <= at[-1]:
        return None
    above = min(max(int(np.searchsorted(at, value, side="right")), 1), len(at) - 1)
    low, high = ordered[max(above - 1, 0)], ordered[above]
    power = POWERS[along]
    lower, wanted, upper = (each**power for each in (low.scores[along], value, high.scores[along]))
    if upper > LONGEST_LINE * lower and min(wanted - lower, upper - wanted) > NEAR * wanted:
        return None
    return low, high


def at_equal(points: Sequence[Point], value: float, along: Along = "K") -> Mapping[str, float] | None:
    """Interpolate every score linearly at a measured K or CD.

    None where the curve does not reach it, or has too wide a gap around it.
    """
    between_two = bracket(points, value, along)
    if between_two is None:
        return None
    low, high = between_two
    at = (low.scores[along], high.scores[along])
    return {
        name: float(np.interp(value, at, (low.scores[name], high.scores[name])))
        for name in low.scores
        if name in high.scores
    }


def between(points: Sequence[Point], values: Sequence[float], along: Along = "K") -> list[Point]:
    """Return the points whose K or CD lies between the lowest and highest value, with half as much room."""
    room, power = 1.5, POWERS[along]
    lowest, highest = min(values) ** power / room, max(values) ** power * room
    return [point for point in points if lowest <= point.scores[along] ** power <= highest]


def next_requests(
    points: Sequence[Point], wanted: Collection[float], most: int, along: Along = "K"
) -> list[int]:
    """Return the requests still to make, of at most `most`, for a curve that brackets every value wanted."""
    power = POWERS[along]
    measured = sorted((point.scores[along] ** power, point.request) for point in points)
    proposed = {_request_for(measured, value**power) for value in wanted}
    bounded = {min(request, most) for request in proposed if request}
    return sorted(bounded - {point.request for point in points})


def _request_for(measured: Sequence[tuple[float, int]], wanted: float) -> int | None:
    """Return the request expected to give this value; None if the curve around it is good enough.

    `measured` are pairs of a value and its request, ascending.
    """
    below = [each for each in measured if each[0] <= wanted]
    above = [each for each in measured if each[0] >= wanted]
    requests = [request for _, request in measured]
    if not above:
        largest = measured[-1][0]
        growth = wanted / largest if largest else 2.0  # one superpixel has no contour
        return max(round(max(requests) * growth * OVERSHOOT), max(requests) + 1)
    if not below:
        return max(math.floor(min(requests) * wanted / measured[0][0] / OVERSHOOT), 1)
    (low, low_request), (high, high_request) = below[-1], above[0]
    if min(wanted - low, high - wanted) <= NEAR * wanted or high <= WIDEST_BRACKET * low:
        return None
    share = (wanted - low) / (high - low)
    return round(low_request + share * (high_request - low_request))
