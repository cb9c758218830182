"""What all figures share: sizes, axes, legends, words that fit, and the file.

Everything is drawn on `Figure` objects, so that no display is needed and nothing of a caller's own
plots is touched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.provenance import Provenance

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

GREY, PALE_GREY = "#666666", "#dddddd"


def style_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Label the axes, and draw a pale grid and no frame above or to the right."""
    axes.set_xlabel(x_label, fontsize=TEXT_PT)
    axes.set_ylabel(y_label, fontsize=TEXT_PT)
    axes.tick_params(labelsize=TEXT_PT, length=2.5, width=0.6)
    axes.grid(color=PALE_GREY, linewidth=0.5)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))


def add_title(figure: Figure, title: str) -> None:
    """Add a title above all panels, for which the figure grows; an empty one adds nothing."""
    if title:
        words = wrapped(title, 0.95 * figure.get_figwidth() * TEXT_PT / HEADING_PT)
        figure.suptitle(words, fontsize=HEADING_PT)
        figure.set_figheight(figure.get_figheight() + lines_in([words]) * LINE_IN)


def add_legend_below(figure: Figure, panels: Sequence[Axes], order: Iterable[str]) -> None:
    """Add one legend for all panels below them, for which the figure grows."""
    handles = legend_handles(panels, order)
    if not handles:
        return
    width_in = figure.get_figwidth()
    names = [wrapped(name, width_in / 2 - LEGEND_HANDLE_IN) for name in handles]
    widest_in = max(map(_width_in, names)) + LEGEND_HANDLE_IN
    rows = math.ceil(len(names) / max(1, int(width_in / widest_in)))
    columns = math.ceil(len(names) / rows)
    figure.legend(handles.values(), names, loc="outside lower center", ncols=columns, **LEGEND_STYLE)
    tallest = max(lines_in(names[first : first + rows]) for first in range(0, len(names), rows))
    figure.set_figheight(figure.get_figheight() + (tallest + 1) * LINE_IN)


def legend_handles(panels: Sequence[Axes], order: Iterable[str]) -> dict[str, Line2D]:
    """Return a line of each method drawn in any panel, by name."""
    drawn = {str(line.get_label()): line for axes in reversed(panels) for line in axes.lines}
    return {name: drawn[name] for name in order if name in drawn}


def lines_in(texts: Iterable[str]) -> int:
    """Count the lines of several texts below each other."""
    return sum(map(line_count, texts))


def line_count(text: str) -> int:
    """Count the lines of a text."""
    return text.count("\n") + 1


def wrapped(words: str, width_in: float) -> str:
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


def save_figure(figure: Figure, path: Path, title: str, drawn: str, provenance: Provenance) -> None:
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
