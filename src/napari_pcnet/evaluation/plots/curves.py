"""Curves of quality: the paper's Figs. 6, 7 and 11, and recall over the length of contours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.curves import Point
from napari_pcnet.evaluation.plots.figure import (
    AXES_IN,
    COLUMN_IN,
    DPI,
    GREY,
    LEGEND_HANDLE_IN,
    LEGEND_STYLE,
    LINE_IN,
    PAGE_IN,
    TEXT_PT,
    add_legend_below,
    add_title,
    legend_handles,
    line_count,
    lines_in,
    save_figure,
    style_axes,
    wrapped,
)
from napari_pcnet.evaluation.plots.looks import Look, is_ours, line_options, looks_of


class CurvePanel(NamedTuple):
    """Which score is drawn against which; `K` is the measured number of superpixels."""

    suffix: str
    x: str
    y: str


CURVE_PANELS = (
    CurvePanel("br-bp", "BR", "BP"),
    CurvePanel("asa-k", "K", "ASA"),
    CurvePanel("ue-k", "K", "UE"),
    CurvePanel("ev-k", "K", "EV"),
    CurvePanel("co-br", "CO", "BR"),
    CurvePanel("br-cd", "CD", "BR"),
    CurvePanel("asa-cd", "CD", "ASA"),
)

AXIS_LABELS = {
    "K": "superpixels, as measured",
    "ASA": "ASA (better →)",
    "BR": "boundary recall (better →)",
    "BP": "boundary precision (better →)",
    "UE": "undersegmentation error (← better)",
    "EV": "explained variation (better →)",
    "CO": "compactness (better →)",
    "CD": "contour density",
}

OVERVIEW_COLUMNS, OVERVIEW_ROWS = 3, 3
"""Of the figure with all panels; the legend has the cells that are left."""

ROUND_STEPS = (1, 2, 5, 10)
"""Between ticks, times a power of ten; one of 2.5 would need a digit more than there is room for."""


def draw_curves(
    folder: Path,
    stem: str,
    curves: Mapping[str, Sequence[Point]],
    title: str,
    provenance: Provenance,
    over_density: Mapping[str, Sequence[Point]] | None = None,
) -> list[Path]:
    """Draw the curves of quality: a file for each of `CURVE_PANELS`, and one with all of them.

    Parameters
    ----------
    folder : Path
        Where the files go. It must exist.
    stem : str
        How their names begin: `STEM-br-bp.png` and so on, and `STEM.png` with all panels.
    curves : mapping of str to sequence of Point
        By method, in the order of the legend. A score that is missing or NaN is left out; a method
        without any point is not drawn, and one with a single point is a marker.
    title : str
        Stands above each figure.
    provenance : Provenance
        Goes into the metadata of each file.
    over_density : mapping of str to sequence of Point, optional
        The curves in the panels over contour density; `curves` if not given.

    Returns
    -------
    list of Path
        The files written, the one with all panels last.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    """
    looks = looks_of(curves)
    drawn = {panel: curves if panel.x != "CD" else over_density or curves for panel in CURVE_PANELS}
    written = []
    for panel in CURVE_PANELS:
        figure = _one_panel_figure(panel, drawn[panel], looks, title)
        path = folder / f"{stem}-{panel.suffix}.png"
        save_figure(figure, path, title, f"{panel.y} over {panel.x}", provenance)
        written.append(path)
    path = folder / f"{stem}.png"
    names = ", ".join(f"{panel.y} over {panel.x}" for panel in CURVE_PANELS)
    save_figure(_overview_figure(drawn, looks, title), path, title, names, provenance)
    return [*written, path]


def _one_panel_figure(
    panel: CurvePanel, curves: Mapping[str, Sequence[Point]], looks: Mapping[str, Look], title: str
) -> Figure:
    figure = Figure(figsize=(COLUMN_IN, AXES_IN), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _draw_curve_panel(axes, panel, curves, looks)
    add_legend_below(figure, [axes], curves)
    add_title(figure, title)
    return figure


def _overview_figure(
    drawn: Mapping[CurvePanel, Mapping[str, Sequence[Point]]], looks: Mapping[str, Look], title: str
) -> Figure:
    figure = Figure(figsize=(PAGE_IN, OVERVIEW_ROWS * AXES_IN), dpi=DPI, layout="constrained")
    cells = list(figure.subplots(OVERVIEW_ROWS, OVERVIEW_COLUMNS).flat)
    panels, empty = cells[: len(drawn)], cells[len(drawn) :]
    for axes, (panel, curves) in zip(panels, drawn.items(), strict=True):
        _draw_curve_panel(axes, panel, curves, looks)
    for axes in empty:
        axes.set_axis_off()
    handles = legend_handles(panels, drawn[CURVE_PANELS[0]])
    columns = len(empty)
    names = [wrapped(name, PAGE_IN / OVERVIEW_COLUMNS - LEGEND_HANDLE_IN) for name in handles]
    # It begins where the labels of an axis would: the empty panels need no room for them.
    place = {"loc": "center left", "bbox_to_anchor": (-0.3, 0.5), "borderaxespad": 0, "ncols": columns}
    empty[0].legend(handles.values(), names, **place, **LEGEND_STYLE).set_in_layout(False)
    lines = -(-lines_in(names) // columns) + max(map(line_count, names), default=0)
    figure.set_figheight(OVERVIEW_ROWS * max(AXES_IN, (lines + 1) * LINE_IN))
    add_title(figure, title)
    return figure


def _draw_curve_panel(
    axes: Axes,
    panel: CurvePanel,
    curves: Mapping[str, Sequence[Point]],
    looks: Mapping[str, Look],
) -> None:
    for name in sorted(curves, key=is_ours):  # ours over the others
        at = [(_figure_of(point, panel.x), _figure_of(point, panel.y)) for point in _by_count(curves[name])]
        drawn = [pair for pair in at if all(map(math.isfinite, pair))]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), **line_options(name, looks[name]))
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=GREY, fontsize=TEXT_PT)
    style_axes(axes, AXIS_LABELS[panel.x], AXIS_LABELS[panel.y])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=ROUND_STEPS))


def _by_count(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.superpixels)


def _figure_of(point: Point, score: str) -> float:
    return point.superpixels if score == "K" else point.scores.get(score, math.nan)
