"""The regions of a picture's pixels, window by window, until they are known to be labels.

A window numbers its pieces by itself. Their rows in the region table are known when a band of windows is, and
their labels when the tree is cut; both wait compressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.spool import Packed, Spool, pack, unpack
from napari_pcnet.disk.window_files import WindowFiles
from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.merging.regions import RegionTable, look_up
from napari_pcnet.shapes import Labels

MOST_AT_ONCE = 4
"""Windows whose labels are looked up at once: more than are written meanwhile."""


class LabelledWindow(NamedTuple):
    """What one window says of a picture."""

    core: Window
    pieces: NDArray[np.int32] | Packed  # (h, w) of the core's pixels, as the window numbers them
    table: RegionTable  # of all pieces of the window
    beyond: NDArray[np.int32]  # (w,) pieces of the row below the core; (0,) at the end of the picture
    rim: NDArray[np.int32]  # (m,) pieces of the pixels along the ends of the core

    @classmethod
    def of(cls, core: Window, ids: NDArray[np.int32], table: RegionTable, beyond: NDArray[np.int32]) -> Self:
        """A window of these pieces, ``(h, w)``."""
        return cls(core, ids, table, beyond, np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]]))

    @property
    def ids(self) -> NDArray[np.int32]:
        """The pieces as an array, ``(h, w)``."""
        if isinstance(self.pieces, Packed):
            return unpack(self.pieces).astype(np.int32, copy=False)
        return self.pieces

    def packed(self) -> Self:
        """The same with its pieces compressed."""
        return self if isinstance(self.pieces, Packed) else self._replace(pieces=pack(self.pieces))


class KeptWindows:
    """Windows of a plane that are kept on the disk, for work that may be stopped.

    Parameters
    ----------
    files : WindowFiles
    plane : int
        Which plane of a stack.
    """

    def __init__(self, files: WindowFiles, plane: int) -> None:
        self._files, self._plane = files, plane

    def read(self, grid: Grid, single_pixels: bool, core: Window) -> LabelledWindow | None:
        """A window of this core that is done; None if there is none."""
        found = self._files.read(self._name(grid, single_pixels, core))
        if found is None or set(found) != {"ids", "ends", "beyond", *_COLUMNS}:
            return None
        starts = [0, *found["ends"].tolist()]
        pieces = tuple(found["ids"][start:stop].tobytes() for start, stop in pairwise(starts))
        ids = unpack(Packed(core.shape, np.dtype(np.int32), pieces)).astype(np.int32, copy=False)
        table = RegionTable(*(found[name] for name in _COLUMNS))
        return LabelledWindow.of(core, ids, table, found["beyond"])

    def write(self, grid: Grid, single_pixels: bool, done: LabelledWindow) -> None:
        """Keep a window."""
        packed = done.packed().pieces
        assert isinstance(packed, Packed)
        arrays = {name: getattr(done.table, name) for name in _COLUMNS}
        arrays["ids"] = np.frombuffer(b"".join(packed.pieces), np.uint8)
        arrays["ends"] = np.cumsum([len(piece) for piece in packed.pieces], dtype=np.int64)
        name = self._name(grid, single_pixels, done.core)
        self._files.write(name, arrays | {"beyond": done.beyond})

    def _name(self, grid: Grid, single_pixels: bool, core: Window) -> str:
        lattice = "pixels" if single_pixels else f"{grid.work_shape[0]}x{grid.work_shape[1]}by{grid.cell}"
        return "-".join(map(str, (self._plane, lattice, *core)))


_COLUMNS = tuple(each.name for each in fields(RegionTable))


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

    def add(self, window: LabelledWindow) -> None:
        """Take the pieces of a window."""
        self._held.append((window.core, window.ids.copy()))

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
    kept : KeptWindows, optional
        Windows that are done before, and those that will be.
    """

    def __init__(self, folder: Path | None = None, kept: KeptWindows | None = None) -> None:
        self.kept = kept
        self._pieces, self._rows = Spool(folder), Spool(folder)
        self._cores = list[Window]()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pieces.close()
        self._rows.close()

    def clear(self) -> None:
        """Begin again."""
        self._pieces.clear()
        self._rows.clear()
        self._cores = []

    def add(self, window: LabelledWindow) -> None:
        """Take the pieces of a window."""
        self._cores.append(window.core)
        self._pieces.append(window.pieces)

    def end_band(self, lookups: list[NDArray[np.int32]]) -> None:
        """Take the rows in the table of the pieces of each window since the last band."""
        for rows in lookups:
            self._rows.append(rows)

    def labels(
        self, table: NDArray[np.integer[Any]], threads: int = 1
    ) -> Generator[tuple[Window, Labels], None, None]:
        """Labels of each window, by the label of each region and, last, of what is outside.

        Several threads, of which no more than `MOST_AT_ONCE` are of use, look up the next windows while one
        is in use.
        """
        windows = zip(self._cores, self._pieces, self._rows, strict=True)
        if threads == 1:
            for core, pieces, rows in windows:
                yield core, _looked_up(table, pieces, rows)
            return
        at_once, waiting = min(threads, MOST_AT_ONCE), deque[tuple[Window, Future[Labels]]]()
        with ThreadPoolExecutor(at_once, "looking up") as pool:
            for core, *packed in windows:
                waiting.append((core, pool.submit(_looked_up, table, *packed)))
                if len(waiting) > at_once:
                    core, labels = waiting.popleft()
                    yield core, labels.result()
            for core, labels in waiting:
                yield core, labels.result()


def _looked_up(table: NDArray[np.integer[Any]], pieces: Packed, rows: Packed) -> Labels:
    """Labels of a window, by its pieces and their rows in the table."""
    labels = labels_of_pieces(table, unpack(rows).astype(np.int32, copy=False))
    return look_up(labels, unpack(pieces).astype(np.int32, copy=False))


def labels_of_pieces(table: NDArray[np.integer[Any]], rows: NDArray[np.int32]) -> Labels:
    """Label of each piece of a window, and last of what is outside; `rows` are its rows in the table."""
    labels: Labels = np.append(table[rows], table[-1:])
    return labels
