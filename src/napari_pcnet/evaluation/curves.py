"""Quality over the number of superpixels, so that methods are compared at equal measured K.

A method returns more or fewer superpixels than it is asked for. A curve is therefore drawn over K,
the number measured, and requests are steered until it reaches on both sides of every K wanted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_pcnet.evaluation.results import Row

OVERSHOOT = 1.1
"""How far beyond a K not reached the next request aims, as a factor."""

WIDEST_BRACKET = 1.2
"""Two measured K with a K wanted between them are near enough if their ratio is at most this."""

LONGEST_LINE = 2.5
"""Nothing is said between two measured K whose ratio is larger, unless one of them is near."""

NEAR = 0.05
"""A measured K this near to the one wanted, as a share of it, needs no other one nearby."""


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
    """
    by_request: dict[int, list[Row]] = {}
    for row in rows:
        by_request.setdefault(row.request, []).append(row)
    return [_mean_point(request, same, annotations) for request, same in sorted(by_request.items())]


def _mean_point(request: int, rows: Sequence[Row], annotations: str) -> Point:
    weights = [row.annotations if annotations == "mean" else 1 for row in rows]
    means = {
        name: _mean_of_known([_figure(row, name, annotations) for row in rows], weights)
        for name in rows[0].scores
    }
    return Point(request, means["K"], means)


def _mean_of_known(values: Sequence[float], weights: Sequence[int]) -> float:
    """Average what is no NaN: the seam rate is one where an image has nothing to cut or to compare with."""
    figures, shares = np.array(values), np.array(weights)
    known = ~np.isnan(figures)
    return float(np.average(figures[known], weights=shares[known])) if known.any() else math.nan


def _figure(row: Row, name: str, annotations: str) -> float:
    return row.scores.get(f"{name}_{annotations}", row.scores[name])


def nearest_request(points: Sequence[Point], count: int) -> int:
    """Return the request whose measured K lies nearest to one wanted."""
    return min(points, key=lambda point: abs(point.superpixels - count)).request


def at_equal_count(points: Sequence[Point], count: float) -> Mapping[str, float] | None:
    """Interpolate every score linearly at a measured K.

    None where the curve does not reach it, or has too wide a gap around it.
    """
    by_count = sorted(points, key=lambda point: point.superpixels)
    counts = [point.superpixels for point in by_count]
    if not counts[0] <= count <= counts[-1]:
        return None
    low = max(each for each in counts if each <= count)
    high = min(each for each in counts if each >= count)
    if high > LONGEST_LINE * low and min(count - low, high - count) > NEAR * count:
        return None
    return {
        name: float(np.interp(count, counts, [point.scores[name] for point in by_count]))
        for name in by_count[0].scores
    }


def between(points: Sequence[Point], lowest: float, highest: float) -> list[Point]:
    """Return the points whose measured K lies between two numbers, with half as much room on both sides."""
    return [point for point in points if lowest / 1.5 <= point.superpixels <= highest * 1.5]


def next_requests(points: Sequence[Point], wanted: Collection[int], most: int) -> list[int]:
    """Return the requests still to make, of at most `most`, for a curve that brackets every K wanted."""
    by_count = sorted(points, key=lambda point: point.superpixels)
    proposed = {_request_for(by_count, count) for count in wanted}
    bounded = {min(request, most) for request in proposed if request}
    return sorted(bounded - {point.request for point in points})


def _request_for(by_count: Sequence[Point], count: int) -> int | None:
    """Return the request expected to give this K; None if the curve around it is good enough."""
    below = [point for point in by_count if point.superpixels <= count]
    above = [point for point in by_count if point.superpixels >= count]
    requests = [point.request for point in by_count]
    if not above:
        aimed = round(max(requests) * count / by_count[-1].superpixels * OVERSHOOT)
        return max(aimed, max(requests) + 1)
    if not below:
        return max(math.floor(min(requests) * count / by_count[0].superpixels / OVERSHOOT), 1)
    low, high = below[-1], above[0]
    nearest = min(count - low.superpixels, high.superpixels - count)
    if nearest <= NEAR * count or high.superpixels <= WIDEST_BRACKET * low.superpixels:
        return None
    share = (count - low.superpixels) / (high.superpixels - low.superpixels)
    return round(low.request + share * (high.request - low.request))
