"""Time and memory over the side of the image: the paper's Fig. 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from napari_pcnet.disk.provenance import GIBIBYTE, Provenance
from napari_pcnet.evaluation.plots.figure import (
    AXES_IN,
    DPI,
    GREY,
    PAGE_IN,
    add_legend_below,
    save_figure,
    style_axes,
)
from napari_pcnet.evaluation.plots.looks import Look, is_ours, line_options, looks_of


@dataclass(frozen=True)
class ScalePoint:
    """What one square image costs; None where the method ran out of memory.

    A method that ran, without memory at any side, had its memory not measured.

    Attributes
    ----------
    side : int
        Of the image, in pixels.
    seconds : float or None
    peak_bytes : int or None
    """

    side: int
    seconds: float | None
    peak_bytes: int | None


class _Value(NamedTuple):
    """One thing measured at an image side; None where memory ran out."""

    side: int
    value: float | None


KIBI = 1024

OUT_OF_MEMORY = "out of memory (extrapolated)"
CROSS: dict[str, Any] = {"marker": "x", "markersize": 6.5, "markeredgewidth": 1.8, "linestyle": "none"}

TWO_DECADES = 100
"""An axis that spans more has ticks at powers of ten alone."""


def draw_scale(path: Path, series: Mapping[str, Sequence[ScalePoint]], provenance: Provenance) -> Path:
    """Draw time and peak memory over the side of the image, all on logarithmic axes.

    Where a method ran out of memory its line ends with a cross at the side that failed, as high as
    the last value measured would be had it grown with the number of pixels. The legend names the
    cross; a method that has no value at all is there with a cross, too.

    Parameters
    ----------
    path : Path
        Ends in .png. Its folder must exist.
    series : mapping of str to sequence of ScalePoint
        By method, in the order of the legend.
    provenance : Provenance
        Goes into the metadata of the file.

    Returns
    -------
    Path
        `path`.
    """
    looks = looks_of(series)
    figure = Figure(figsize=(PAGE_IN, AXES_IN), dpi=DPI, layout="constrained")
    time, memory = figure.subplots(1, 2)
    _draw_costs(time, {name: _seconds(points) for name, points in series.items()}, looks)
    _draw_costs(memory, {name: _gibibytes(points) for name, points in series.items()}, looks)
    sides = sorted({point.side for points in series.values() for point in points})
    for axes, label in ((time, "time (s, ← better)"), (memory, "peak memory (GiB, ← better)")):
        style_axes(axes, "image side (pixels, 1K = 1024)", label)
        _set_side_ticks(axes, sides)
        _set_value_ticks(axes)
    add_legend_below(figure, [time, memory], [*series, OUT_OF_MEMORY])
    save_figure(
        figure, path, "Time and memory over the image side", "seconds and GiB over pixels", provenance
    )
    return path


def _seconds(points: Sequence[ScalePoint]) -> list[_Value]:
    return [_Value(point.side, point.seconds) for point in points]


def _gibibytes(points: Sequence[ScalePoint]) -> list[_Value]:
    if all(point.peak_bytes is None for point in points) and any(point.seconds for point in points):
        return []  # it ran, so its memory was not measured
    held = [(point.side, point.peak_bytes) for point in points]
    return [_Value(side, None if peak is None else peak / GIBIBYTE) for side, peak in held]


def _draw_costs(axes: Axes, costs: Mapping[str, Sequence[_Value]], looks: Mapping[str, Look]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for name in sorted(costs, key=is_ours):
        measured, failed_side = _until_failure(costs[name])
        options = line_options(name, looks[name])
        if measured:
            axes.plot(*zip(*measured, strict=True), **options)
        if failed_side is not None:
            options |= CROSS
            axes.plot([], [], **options | {"color": GREY, "label": OUT_OF_MEMORY})
            if measured:
                _end_with_cross(axes, measured[-1], failed_side, options | {"label": "_"})
            else:
                axes.plot([], [], **options)


def _until_failure(costs: Sequence[_Value]) -> tuple[list[tuple[int, float]], int | None]:
    """Return what was measured below the first side at which memory ran out, and that side."""
    measured: list[tuple[int, float]] = []
    for side, value in sorted(costs, key=lambda cost: cost.side):
        if value is None:
            return measured, side
        measured.append((side, value))
    return measured, None


def _end_with_cross(
    axes: Axes, last: tuple[int, float], failed_side: int, options: Mapping[str, Any]
) -> None:
    side, value = last
    height = value * (failed_side / side) ** 2
    dotted = {"linestyle": ":", "linewidth": 1.0, "marker": ""}
    axes.plot([side, failed_side], [value, height], **{**options, **dotted})
    axes.plot([failed_side], [height], **options)


def _set_side_ticks(axes: Axes, sides: Sequence[int]) -> None:
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sides, [f"{side // KIBI}K" if side % KIBI == 0 else str(side) for side in sides])


def _set_value_ticks(axes: Axes) -> None:
    low, high = axes.get_ylim()
    within = (1.0,) if high > TWO_DECADES * low else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=within))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
