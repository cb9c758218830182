"""The regions of a picture's pixels, window by window, until they are known to be labels.

A window numbers its pieces by itself. Their rows in the region table are known when a band of windows is, and
their labels when the tree is cut: only the tables that say so are held until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.spool import Spool
from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.merging.regions import look_up
from napari_pcnet.shapes import Labels


class WholeIds:
    """Regions of all pixels in one array.

    Parameters
    ----------
    ids : (H, W) int32 array
        Takes the rows in the region table; `OUTSIDE` where nothing will be written.
    """

    def __init__(self, ids: NDArray[np.int32]) -> None:
        self.ids = ids
        self._held: list[tuple[Window, NDArray[np.int32]]] = []

    def add(self, core: Window, pieces: NDArray[np.int32]) -> None:
        """Take the pieces of a window's core."""
        self._held.append((core, pieces.copy()))

    def end_band(self, lookups: list[NDArray[np.int32]]) -> None:
        """Take the rows in the table of the pieces of each window since the last band."""
        for (core, pieces), rows in zip(self._held, lookups, strict=True):
            look_up(np.append(rows, np.int32(OUTSIDE)), pieces, out=pieces)
            self.ids[core.slices] = pieces
        self._held = []


class StreamedIds:
    """Regions of all pixels, compressed window by window; beyond some megabytes in a file.

    Parameters
    ----------
    folder : Path or None
        Where the file is made; None for the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._pieces = Spool(folder)
        self._cores = list[Window]()
        self._rows = list[NDArray[np.int32]]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pieces.close()

    def clear(self) -> None:
        """Begin again."""
        self._pieces.clear()
        self._cores, self._rows = [], []

    def add(self, core: Window, pieces: NDArray[np.int32]) -> None:
        """Take the pieces of a window's core."""
        self._cores.append(core)
        self._pieces.append(pieces)

    def end_band(self, lookups: list[NDArray[np.int32]]) -> None:
        """Take the rows in the table of the pieces of each window since the last band."""
        self._rows += lookups

    def labels(self, table: NDArray[np.integer[Any]]) -> Iterator[tuple[Window, Labels]]:
        """Labels of each window, by the label of each region and, last, of what is outside."""
        for core, pieces, rows in zip(self._cores, self._pieces, self._rows, strict=True):
            yield core, look_up(labels_of_pieces(table, rows), pieces.astype(np.int32, copy=False))


def labels_of_pieces(table: NDArray[np.integer[Any]], rows: NDArray[np.int32]) -> Labels:
    """Label of each piece of a window, and last of what is outside; `rows` are its rows in the table."""
    labels: Labels = np.append(table[rows], table[-1:])
    return labels
