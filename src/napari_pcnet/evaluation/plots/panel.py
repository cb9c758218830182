"""Crops of pictures under each method: the paper's Fig. 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_pcnet.disk.overlay import BOUNDARY_COLOUR, boundary_lines
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.plots.figure import (
    DPI,
    GREY,
    LINE_IN,
    PANEL_PT,
    TEXT_PT,
    lines_in,
    save_figure,
    wrapped,
)
from napari_pcnet.evaluation.segmenter import Pixels
from napari_pcnet.shapes import Labels

TILE_PX = 320
"""About how wide a crop is shown: it is enlarged by the largest whole factor that keeps it below."""


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
    image: Pixels
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
    save_figure(figure, path, f"Superpixels on {names}", "borders over crops", provenance)
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
        top = MARGIN_PX + max(lines_in([title]) for title in self.titles) * LINE_PX + GAP_PX
        left = MARGIN_PX + max(lines_in([name]) for name in self.names) * LINE_PX + GAP_PX
        return top + row * (height + LINE_PX + 2 * GAP_PX), left + column * (width + GAP_PX)


def _in_panel(words: str, width_px: int) -> str:
    return wrapped(words, width_px / DPI * TEXT_PT / PANEL_PT)


def _pasted(rows: Sequence[PanelRow], methods: Sequence[str], layout: _PanelLayout) -> Pixels:
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


def _tile(row: PanelRow, labels: Labels | None) -> Pixels:
    """Enlarge a crop and draw the borders of its labels on it."""
    factor = max(1, TILE_PX // max(row.image.shape[:2]))
    tile = row.image.repeat(factor, axis=0).repeat(factor, axis=1)
    if labels is not None:
        tile[boundary_lines(labels.repeat(factor, axis=0).repeat(factor, axis=1))] = BOUNDARY_COLOUR
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
