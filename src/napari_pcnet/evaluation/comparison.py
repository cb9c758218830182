"""Methods compared, as text: scores at equal K and CD, and differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from napari_pcnet.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Difference,
    Statistic,
    draw_images,
    paired_difference,
)
from napari_pcnet.evaluation.curves import Along, Point, at_equal, bracket, figure_of, mean_points
from napari_pcnet.evaluation.results import SEAM_RATE, Row
from napari_pcnet.metrics import MEANINGS
from napari_pcnet.table import table_lines

HEADLINES = {
    **{name: meaning for name, meaning in MEANINGS.items() if name not in ("K", "tolerance_px")},
    SEAM_RATE: "borders on lines between windows, as a multiple of the lattice's other lines (1: no seam)",
}

COMPARED = ("ASA", "BR")
"""Scores whose differences have an interval, and which are compared at equal contour density, too."""

SEED = 0
"""Of the draws of images, so that a table that is made again is the same."""


@dataclass(frozen=True)
class Comparison:
    """All methods on one set.

    Attributes
    ----------
    rows : mapping of str to sequence of Row
        By method, in the order of tables. All methods have rows of the same images.
    counts : sequence of int
        Each K at which they are compared.
    densities : sequence of float
        Each CD at which they are compared.
    annotations : {'mean', 'worst', 'best'}
        What is taken of several annotations.
    reference : str
        The method that the others are compared with.
    """

    rows: Mapping[str, Sequence[Row]]
    counts: Sequence[int]
    densities: Sequence[float]
    annotations: str
    reference: str

    @cached_property
    def points(self) -> Mapping[str, list[Point]]:
        """The curve of each method."""
        return {name: mean_points(rows, self.annotations) for name, rows in self.rows.items()}

    def blocks(self, headlines: Sequence[str]) -> Iterator[str]:
        """Yield the tables: each score, what is compared at equal CD, and the differences."""
        for score in headlines:
            title = f"{score}: {HEADLINES[score]}"
            yield self._scores(title, score, "K", self.counts)
        if self.densities:
            for score in (*COMPARED, "K"):
                title = f"{score} at equal contour density"
                yield self._scores(title, score, "CD", self.densities)
        yield from self._differences()
        yield "\n".join(self._not_reached())

    # --------------------------------------------------------------------------- scores

    def _scores(self, title: str, score: str, along: Along, values: Sequence[float]) -> str:
        rows = [
            [name, *(_number(self._at(points, value, along, score), score) for value in values)]
            for name, points in self.points.items()
        ]
        lines = table_lines([along, *map(_value, values)], rows)
        if along == "CD" and score in COMPARED:
            lines.append(self._leaders(score, values))
        return "\n".join([title, *lines])

    def _at(self, points: Sequence[Point], value: float, along: Along, score: str) -> float:
        scores = at_equal(points, value, along)
        return math.nan if scores is None else scores.get(score, math.nan)

    def _leaders(self, score: str, values: Sequence[float]) -> str:
        """Name the method with the highest score at each value."""
        names = []
        for value in values:
            at = {name: self._at(points, value, "CD", score) for name, points in self.points.items()}
            known = {name: figure for name, figure in at.items() if not math.isnan(figure)}
            names.append(f"{max(known, key=lambda name: known[name])} at {_value(value)}" if known else "")
        return f"  highest: {', '.join(filter(None, names)) or '-'}"

    def _not_reached(self) -> Iterator[str]:
        wanted: dict[Along, Sequence[float]] = {"K": self.counts, "CD": self.densities}
        for name, points in self.points.items():
            for along, values in wanted.items():
                missed = [_value(value) for value in values if bracket(points, value, along) is None]
                if missed:
                    measured = sorted({_reached(point.scores[along], along) for point in points}, key=float)
                    yield f"{name}: {along} = {', '.join(missed)} not reached, measured {', '.join(measured)}"

    # ---------------------------------------------------------------------- differences

    def _differences(self) -> Iterator[str]:
        others = [name for name in self.rows if name != self.reference]
        if not others or len(self._images) < 2:
            return
        draws = draw_images(len(self._images), default_rng(SEED))
        yield (
            f"Differences to {self.reference}, each with the {LEVEL:.0%} interval of a paired bootstrap "
            f"over {len(self._images)} images ({RESAMPLES:,} draws); an interval without 0 is marked *"
        )
        yield from (self._differences_in(score, "K", self.counts, others, draws) for score in COMPARED)
        if self.densities:
            at_density = self._differences_in("BR", "CD", self.densities, others, draws)
            yield at_density

    def _differences_in(
        self,
        score: str,
        along: Along,
        values: Sequence[float],
        others: Sequence[str],
        draws: NDArray[np.float64],
    ) -> str:
        reference = [self._statistic(self.reference, score, along, value) for value in values]
        rows = []
        for name in others:
            own = [self._statistic(name, score, along, value) for value in values]
            pairs = zip(own, reference, strict=True)
            rows.append([name, *(_difference(one, other, draws) for one, other in pairs)])
        title = f"{score} less that of {self.reference}, at equal {along}"
        return "\n".join([title, *table_lines([along, *map(_value, values)], rows)])

    @cached_property
    def _images(self) -> list[str]:
        """Names of the images, in the order in which they are drawn."""
        return sorted({row.key.image for row in self.rows[self.reference]})

    def _statistic(self, name: str, score: str, along: Along, value: float) -> Statistic | None:
        """Return a score at equal K or CD as a statistic of the images drawn; None if not reached.

        The line is that between the two requests on both sides of the value on all images; in a
        draw both move, and with them the score between them.
        """
        both = bracket(self.points[name], value, along)
        if both is None:
            return None
        low, high = (self._rows_of(name, point.request) for point in both)
        weights = np.array([row.annotations if self.annotations == "mean" else 1 for row in low], np.float64)
        (x_low, y_low), (x_high, y_high) = (
            (self._figures(rows, along), self._figures(rows, score)) for rows in (low, high)
        )

        def interpolated(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
            shares = drawn * weights
            shares /= shares.sum(axis=1, keepdims=True)
            at_low, at_high, from_low, from_high = (shares @ each for each in (x_low, x_high, y_low, y_high))
            width = at_high - at_low
            step = np.divide(value - at_low, width, out=np.zeros_like(width), where=width != 0)
            line: NDArray[np.float64] = from_low + step * (from_high - from_low)
            return line

        return interpolated

    def _rows_of(self, name: str, request: int) -> list[Row]:
        by_image = {row.key.image: row for row in self.rows[name] if row.request == request}
        return [by_image[image] for image in self._images]

    def _figures(self, rows: Sequence[Row], score: str) -> NDArray[np.float64]:
        return np.array([figure_of(row, score, self.annotations) for row in rows])


# ------------------------------------------------------------------------------------- cells


def _number(value: float, score: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if score == "K" else f"{value:.4f}"


def _value(value: float) -> str:
    return f"{value:g}"


def _reached(value: float, along: Along) -> str:
    return f"{value:.0f}" if along == "K" else f"{value:.3f}"


def _difference(one: Statistic | None, other: Statistic | None, draws: NDArray[np.float64]) -> str:
    if one is None or other is None:
        return "-"
    return as_text(paired_difference(one, other, draws))


def as_text(difference: Difference) -> str:
    """Return a difference with its interval, as tables print it."""
    mark = "*" if difference.excludes_zero else " "
    return f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]{mark}"
