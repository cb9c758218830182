"""The figures of a benchmark, as PNG files that say in their metadata how they were made.

Curves of quality (the paper's Figs. 6, 7 and 11), crops under each method (Fig. 8), and time and
memory over the image side (Fig. 1). Everything is drawn on `Figure` objects, so that no display is
needed and nothing of a caller's own plots is touched.

Every peer and every way of ours that has a name in `methods` keeps its colour and marker in all
figures, as `FAMILIES` has them; dashes tell variants of one family, counted by name among those drawn.
A method of no family, or of one with too many variants, has no look of its own: it takes the first free
one, in the order of names and ours first, so it may change from a figure to one of other methods. The
order in which methods are handed in decides the legend alone. Ours are drawn last and in thick lines.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import chain, cycle
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.overlay import BOUNDARY_COLOUR, boundaries
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.curves import Point

Picture: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer[Any]]

DPI = 200
COLUMN_IN, PAGE_IN = 3.5, 7.16
"""Width of one column and of two in print, in inches."""

AXES_IN = 2.6
"""Height of one panel of curves, in inches."""

TEXT_PT, HEADING_PT, PANEL_PT = 8, 9, 10
LINE_IN = 1.35 * TEXT_PT / 72
"""Height of a line of text, in inches."""

LEGEND_HANDLE_IN = 0.46
"""Width of a legend entry beside its words, with the gap to the next, in inches."""

LEGEND_STYLE: dict[str, Any] = {  # keywords of matplotlib
    "fontsize": TEXT_PT,
    "frameon": False,
    "handlelength": 2.2,
    "handletextpad": 0.5,
    "columnspacing": 1.0,
    "labelspacing": 0.35,
}

TILE_PX = 320
"""About how wide a crop is shown: it is enlarged by the largest whole factor that keeps it below."""

GREY, PALE_GREY = "#666666", "#dddddd"


# ---------------------------------------------------------------------------------- looks


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()  # on and off, in line widths; empty: solid
    is_filled: bool = True


# Colours of M. Okabe and K. Ito, "Color universal design" (2008), which differ for every kind of
# colour vision; grey takes the place of their yellow, which is too light for a line on white. The last
# five are of P. Tol's "muted" scheme (SRON/EPS/TN/09-002, 2021). So many colours are not all far apart
# for every eye, so each has a marker of its own.
PALETTE = (
    Look("#D55E00", "o"),
    Look("#0072B2", "s"),
    Look("#009E73", "D"),
    Look("#E69F00", "^"),
    Look("#56B4E9", "v"),
    Look("#CC79A7", "P"),
    Look("#000000", "X"),
    Look("#808080", "p"),
    Look("#332288", "<"),
    Look("#999933", "*"),
    Look("#882255", ">"),
    Look("#44AA99", "h"),
    Look("#CC6677", "d"),
)

FAMILIES = {
    r"pcnet.*hierarchy": PALETTE[0],
    r"pcnet.*lattice": PALETTE[1],
    r"\bscn": PALETTE[2],
    r"opencv-slic\b": PALETTE[6],  # SLICs lie close together: each implementation has its own look
    r"fast-slic\b": PALETTE[10],
    r"\bslic\b": PALETTE[3],
    r"\bsnic\b": PALETTE[4],
    r"\blsc\b": PALETTE[5],
    r"\bslico\b": PALETTE[7],
    r"\bseeds\b": PALETTE[8],
    r"felzenszwalb": PALETTE[9],
    r"watershed": PALETTE[11],
    r"\bward\b": PALETTE[12],
}
"""Looks by a regular expression for the name in small letters; the first that is found counts."""

MOST_VARIANTS = 4
"""Of one family in a figure, up to which its colour and marker are shared."""

DASHES = ((), (4, 1.5), (1, 1.2), (5, 1.2, 1, 1.2), (8, 2), (2.5, 2.5))
"""Of the first variant of a family, the second, and so on."""


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Give every method its look, whatever the order of the names.

    Parameters
    ----------
    names : iterable of str
        Of the methods in one figure.

    Returns
    -------
    dict of str to Look
        By name. No two are alike, up to 24 methods.
    """
    ordered = sorted(set(names), key=lambda name: (not is_ours(name), name))
    families = {name: look for name in ordered if (look := _family_look(name)) is not None}
    sizes = Counter(families.values())
    looks = {name: look for name, look in families.items() if sizes[look] <= MOST_VARIANTS}
    free = [look for look in PALETTE if look not in looks.values()]
    others = [name for name in ordered if name not in looks]
    looks |= dict(zip(others, chain(free, cycle(PALETTE)), strict=False))
    variants = {name: [each for each in ordered if looks[each] == look] for name, look in looks.items()}
    return {name: _variant(looks[name], variants[name].index(name)) for name in ordered}


def is_ours(name: str) -> bool:
    """Whether a method is one of ours, which are drawn thick and last."""
    return "pcnet" in name.lower()


def _family_look(name: str) -> Look | None:
    found = (look for pattern, look in FAMILIES.items() if re.search(pattern, name.lower()))
    return next(found, None)


def _variant(look: Look, number: int) -> Look:
    return look._replace(dashes=DASHES[number % len(DASHES)], is_filled=number % 2 == 0)


def _line_options(name: str, look: Look) -> dict[str, Any]:  # they go to matplotlib as keywords
    ours = is_ours(name)
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": (0, look.dashes) if look.dashes else "-",
        "linewidth": 2.0 if ours else 1.1,
        "markersize": 5.0 if ours else 4.2,
        "markeredgewidth": 1.0,
        "markerfacecolor": look.colour if look.is_filled else "white",
        "zorder": 3.0 if ours else 2.5,
        "label": name,
    }


# --------------------------------------------------------------------------------- curves


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
        _save(figure, path, title, f"{panel.y} over {panel.x}", provenance)
        written.append(path)
    path = folder / f"{stem}.png"
    names = ", ".join(f"{panel.y} over {panel.x}" for panel in CURVE_PANELS)
    _save(_overview_figure(drawn, looks, title), path, title, names, provenance)
    return [*written, path]


def _one_panel_figure(
    panel: CurvePanel, curves: Mapping[str, Sequence[Point]], looks: Mapping[str, Look], title: str
) -> Figure:
    figure = Figure(figsize=(COLUMN_IN, AXES_IN), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    _draw_curve_panel(axes, panel, curves, looks)
    _add_legend_below(figure, [axes], curves)
    _add_title(figure, title)
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
    handles = _legend_handles(panels, drawn[CURVE_PANELS[0]])
    columns = len(empty)
    names = [_wrapped(name, PAGE_IN / OVERVIEW_COLUMNS - LEGEND_HANDLE_IN) for name in handles]
    # It begins where the labels of an axis would: the empty panels need no room for them.
    place = {"loc": "center left", "bbox_to_anchor": (-0.3, 0.5), "borderaxespad": 0, "ncols": columns}
    empty[0].legend(handles.values(), names, **place, **LEGEND_STYLE).set_in_layout(False)
    lines = -(-_lines(names) // columns) + max(map(_line_count, names), default=0)
    figure.set_figheight(OVERVIEW_ROWS * max(AXES_IN, (lines + 1) * LINE_IN))
    _add_title(figure, title)
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
            axes.plot(*zip(*drawn, strict=True), **_line_options(name, looks[name]))
    if not axes.lines:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", color=GREY, fontsize=TEXT_PT)
    _dress(axes, AXIS_LABELS[panel.x], AXIS_LABELS[panel.y])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=ROUND_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=ROUND_STEPS))


def _by_count(points: Sequence[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.superpixels)


def _figure_of(point: Point, score: str) -> float:
    return point.superpixels if score == "K" else point.scores.get(score, math.nan)


# ---------------------------------------------------------------------------------- scale


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


class _Cost(NamedTuple):
    """One thing measured at an image side; None where memory ran out."""

    side: int
    value: float | None


KIBI, GIBIBYTE = 1024, 2**30

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
        _dress(axes, "image side (pixels, 1K = 1024)", label)
        _set_side_ticks(axes, sides)
        _set_value_ticks(axes)
    _add_legend_below(figure, [time, memory], [*series, OUT_OF_MEMORY])
    _save(figure, path, "Time and memory over the image side", "seconds and GiB over pixels", provenance)
    return path


def _seconds(points: Sequence[ScalePoint]) -> list[_Cost]:
    return [_Cost(point.side, point.seconds) for point in points]


def _gibibytes(points: Sequence[ScalePoint]) -> list[_Cost]:
    if all(point.peak_bytes is None for point in points) and any(point.seconds for point in points):
        return []  # it ran, so its memory was not measured
    held = [(point.side, point.peak_bytes) for point in points]
    return [_Cost(side, None if peak is None else peak / GIBIBYTE) for side, peak in held]


def _draw_costs(axes: Axes, costs: Mapping[str, Sequence[_Cost]], looks: Mapping[str, Look]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for name in sorted(costs, key=is_ours):
        measured, failed_side = _until_failure(costs[name])
        options = _line_options(name, looks[name])
        if measured:
            axes.plot(*zip(*measured, strict=True), **options)
        if failed_side is not None:
            options |= CROSS
            axes.plot([], [], **options | {"color": GREY, "label": OUT_OF_MEMORY})
            if measured:
                _end_with_cross(axes, measured[-1], failed_side, options | {"label": "_"})
            else:
                axes.plot([], [], **options)


def _until_failure(costs: Sequence[_Cost]) -> tuple[list[tuple[int, float]], int | None]:
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


# ---------------------------------------------------------------------------------- panel


@dataclass(frozen=True)
class PanelRow:
    """One crop of a picture under every method.

    Attributes
    ----------
    name : str
        Of the picture.
    image : (H, W, 3) array of uint8
    truth : (H, W) array of int, or None
        The annotation of the crop.
    labels : mapping of str to (H, W) array of int
        Superpixels of the crop, by method.
    counts : mapping of str to int
        Superpixels of the whole picture, by method.

    Raises
    ------
    ValueError
        If the image is not 8-bit RGB, or labels or annotation have another shape.
    """

    name: str
    image: Picture
    truth: Labels | None
    labels: Mapping[str, Labels]
    counts: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype} for {self.name}"
            )
        for method, labels in {"truth": self.truth, **self.labels}.items():
            if labels is not None and labels.shape != self.image.shape[:2]:
                raise ValueError(
                    f"labels must have the crop's shape {self.image.shape[:2]}, "
                    f"got {labels.shape} of {method} for {self.name}"
                )


def draw_panel(path: Path, rows: Sequence[PanelRow], provenance: Provenance) -> Path:
    """Draw crops with the borders of superpixels, a row a picture and a column a method.

    Crops are enlarged by whole factors without smoothing, and borders are one pixel of the file
    wide. The first column has the borders of the annotation. Below each crop stands how many
    superpixels its whole picture has.

    Parameters
    ----------
    path : Path
        Ends in .png. Its folder must exist.
    rows : sequence of PanelRow
        At least one. Methods are columns in the order in which they first occur.
    provenance : Provenance
        Goes into the metadata of the file.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not rows:
        raise ValueError("a panel needs at least one row, got none")
    methods = list(dict.fromkeys(method for row in rows for method in row.labels))
    layout = _PanelLayout.of(rows, methods)
    height_in, width_in = ((side + PIXEL_SLACK) / DPI for side in layout.shape)
    figure = Figure(figsize=(width_in, height_in), dpi=DPI)
    figure.figimage(_pasted(rows, methods, layout))
    _write_words(figure, rows, methods, layout)
    names = ", ".join(row.name for row in rows)
    _save(figure, path, f"Superpixels on {names}", "borders over crops", provenance)
    return path


MARGIN_PX, GAP_PX = 8, 10
LINE_PX = round(LINE_IN / TEXT_PT * PANEL_PT * DPI)
PIXEL_SLACK = 0.01
"""Keeps a width of pixels / DPI inches from being cut to one pixel less, as pixels are floored."""


@dataclass(frozen=True)
class _PanelLayout:
    """What stands where in a panel, in pixels of the file. All cells are as large as the largest."""

    cell: tuple[int, int]
    titles: tuple[str, ...]  # of the columns, in lines that fit
    names: tuple[str, ...]  # of the rows

    @classmethod
    def of(cls, rows: Sequence[PanelRow], methods: Sequence[str]) -> _PanelLayout:
        tiles = [_tile(row, None).shape for row in rows]
        height, width = (max(shape[axis] for shape in tiles) for axis in (0, 1))
        first = "picture" if all(row.truth is None for row in rows) else "annotation"
        titles = tuple(_in_panel(each, width) for each in (first, *methods))
        return cls((height, width), titles, tuple(_in_panel(row.name, height) for row in rows))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the whole panel."""
        bottom, right = self.corner(len(self.names), len(self.titles))
        return bottom, right - GAP_PX + MARGIN_PX

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """First pixel row and column of a cell."""
        height, width = self.cell
        top = MARGIN_PX + max(_lines([title]) for title in self.titles) * LINE_PX + GAP_PX
        left = MARGIN_PX + max(_lines([name]) for name in self.names) * LINE_PX + GAP_PX
        return top + row * (height + LINE_PX + 2 * GAP_PX), left + column * (width + GAP_PX)


def _in_panel(words: str, width_px: int) -> str:
    return _wrapped(words, width_px / DPI * TEXT_PT / PANEL_PT)


def _pasted(rows: Sequence[PanelRow], methods: Sequence[str], layout: _PanelLayout) -> Picture:
    canvas = np.full((*layout.shape, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        tiles = {0: _tile(row, row.truth)}
        tiles |= {
            column: _tile(row, row.labels[method])
            for column, method in enumerate(methods, start=1)
            if method in row.labels
        }
        for column, tile in tiles.items():
            top, left = layout.corner(number, column)
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def _tile(row: PanelRow, labels: Labels | None) -> Picture:
    """Enlarge a crop and draw the borders of its labels on it."""
    factor = max(1, TILE_PX // max(row.image.shape[:2]))
    tile = row.image.repeat(factor, axis=0).repeat(factor, axis=1)
    if labels is not None:
        tile[boundaries(labels.repeat(factor, axis=0).repeat(factor, axis=1))] = BOUNDARY_COLOUR
    return tile


def _write_words(
    figure: Figure, rows: Sequence[PanelRow], methods: Sequence[str], layout: _PanelLayout
) -> None:
    height, width = layout.cell

    def write(y_px: float, x_px: float, words: str, **options: Any) -> None:  # to matplotlib, as keywords
        options = {"va": "center", "fontsize": PANEL_PT, **options}
        figure.text(x_px / layout.shape[1], 1 - y_px / layout.shape[0], words, ha="center", **options)

    for column, title in enumerate(layout.titles):
        top, left = layout.corner(0, column)
        write(top - GAP_PX / 2, left + width / 2, title, va="bottom")
    for number, row in enumerate(rows):
        top, left = layout.corner(number, 0)
        write(top + height / 2, left / 2, layout.names[number], rotation=90)
        for column, method in enumerate(methods, start=1):
            if method in row.counts:
                left = layout.corner(number, column)[1]
                count = f"K = {row.counts[method]:,}"
                write(top + height + (LINE_PX + GAP_PX) / 2, left + width / 2, count, color=GREY)


# ------------------------------------------------------------------------- dress and words


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=TEXT_PT)
    axes.set_ylabel(y_label, fontsize=TEXT_PT)
    axes.tick_params(labelsize=TEXT_PT, length=2.5, width=0.6)
    axes.grid(color=PALE_GREY, linewidth=0.5)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))


def _add_title(figure: Figure, title: str) -> None:
    if title:
        words = _wrapped(title, 0.95 * figure.get_figwidth() * TEXT_PT / HEADING_PT)
        figure.suptitle(words, fontsize=HEADING_PT)
        figure.set_figheight(figure.get_figheight() + _lines([words]) * LINE_IN)


def _add_legend_below(figure: Figure, panels: Sequence[Axes], order: Iterable[str]) -> None:
    """Add one legend for all panels below them, for which the figure grows."""
    handles = _legend_handles(panels, order)
    if not handles:
        return
    width_in = figure.get_figwidth()
    names = [_wrapped(name, width_in / 2 - LEGEND_HANDLE_IN) for name in handles]
    widest_in = max(map(_width_in, names)) + LEGEND_HANDLE_IN
    rows = math.ceil(len(names) / max(1, int(width_in / widest_in)))
    columns = math.ceil(len(names) / rows)
    figure.legend(handles.values(), names, loc="outside lower center", ncols=columns, **LEGEND_STYLE)
    tallest = max(_lines(names[first : first + rows]) for first in range(0, len(names), rows))
    figure.set_figheight(figure.get_figheight() + (tallest + 1) * LINE_IN)


def _legend_handles(panels: Sequence[Axes], order: Iterable[str]) -> dict[str, Line2D]:
    """Return a line of each method drawn in any panel, by name."""
    drawn = {str(line.get_label()): line for axes in reversed(panels) for line in axes.lines}
    return {name: drawn[name] for name in order if name in drawn}


def _lines(texts: Iterable[str]) -> int:
    return sum(map(_line_count, texts))


def _line_count(text: str) -> int:
    return text.count("\n") + 1


def _wrapped(words: str, width_in: float) -> str:
    """Break words into lines of at most this width, after a space, hyphen or slash where one is."""
    lines = [""]
    for part in re.findall(r".+?(?:[-/_ ]+|$)", words):
        for piece in _pieces(part, width_in):
            if lines[-1] and _width_in(lines[-1] + piece.rstrip()) > width_in:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _pieces(part: str, width_in: float) -> list[str]:
    """Halve what is too wide until it fits."""
    if _width_in(part.rstrip()) <= width_in or len(part) == 1:
        return [part]
    middle = len(part) // 2
    return _pieces(part[:middle], width_in) + _pieces(part[middle:], width_in)


@lru_cache
def _width_in(words: str) -> float:
    """Width of words as drawn, in inches; of several lines the widest."""
    paths = [TextPath((0, 0), line, size=TEXT_PT) for line in words.splitlines() if line.strip()]
    return max((float(path.get_extents().x1) / 72 for path in paths), default=0.0)


# --------------------------------------------------------------------------------- to disk


def _save(figure: Figure, path: Path, title: str, drawn: str, provenance: Provenance) -> None:
    """Write a figure whole or not at all, with how it was made in its metadata."""
    metadata = {
        "Title": title,
        "Description": f"{title}: {drawn}",
        "Source": provenance.as_text(),
        "Software": ", ".join(f"{name} {number}" for name, number in provenance.versions.items()),
    }
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata=metadata)
    write_atomically(path, lambda file: file.write(content.getvalue()))
