"""The region table of a picture, put together from those of its windows, band by band.

A band are the windows of the same rows. A region belongs to the window that holds its first pixel, so its row
in the table is known as soon as the band is: what bands hold follows each other, and within a band the names
are in order. Only regions on a window's rim are known to others, and are looked up by name. Sums and pairs
of a band are added to the table when it ends, but for pairs of regions that go on below it. So what is
needed besides the table is set by the band.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging.regions import LARGEST_NARROW, RegionTable, sums_by_code

GROWTH = 16
"""A table that is full gets room for one row in so many more."""

UNKNOWN = -1
"""Row of a piece that has none yet: it begins below the band, or is of no concern."""


class _Part(NamedTuple):
    """What a window gathered."""

    table: RegionTable
    core: Window
    beyond: NDArray[np.int32]  # pieces in the row below the core


class _Rows:
    """Rows of an array that grows; its memory is moved, not copied, where the system can."""

    def __init__(self, columns: tuple[int, ...], kind: type[np.generic]) -> None:
        self.number = 0
        self._room = np.empty((0, *columns), kind)

    def append(self, rows: NDArray[Any]) -> None:
        end = self.number + len(rows)
        if end > len(self._room):
            room = max(end, len(self._room) + len(self._room) // GROWTH)
            self._room.resize((room, *self._room.shape[1:]), refcheck=False)  # nobody else knows it
        self._room[self.number : end] = rows
        self.number = end

    def add(self, at: NDArray[np.integer], rows: NDArray[Any]) -> None:
        """Add to rows, each of which is named once."""
        self._room[at] += rows

    def widen(self, kind: type[np.generic]) -> None:
        self._room = self._room.astype(kind)

    @property
    def dtype(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = self._room.dtype
        return kind

    def take(self) -> NDArray[Any]:
        """The array; none is left here."""
        room, self._room = self._room, self._room[:0].copy()
        room.resize((self.number, *room.shape[1:]), refcheck=False)
        return room


@dataclass
class _Edges:
    """Pairs of regions, by their rows."""

    low: NDArray[np.int64]  # (e,)
    high: NDArray[np.int64]  # (e,); among those that wait, the name
    lines: NDArray[np.int64]  # (e, 4) or (e, 2)

    def where(self, which: NDArray[np.bool_]) -> _Edges:
        return _Edges(self.low[which], self.high[which], self.lines[which])

    @classmethod
    def joined(cls, parts: list[_Edges]) -> _Edges:
        return cls(
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.lines for part in parts]),
        )


class Assembly:
    """Takes the tables of windows in raster order.

    Parameters
    ----------
    width : int
        Columns of the image: a region's name is its first pixel, ``row * width + column``.
    channels : int
        Columns of `RegionTable.colour`.
    lines : int
        Columns of `RegionTable.lines`.
    """

    def __init__(self, width: int, channels: int, lines: int) -> None:
        self._width = width
        self._names, self._cells = _Rows((), np.int64), _Rows((), np.int32)
        self._area, self._colour = _Rows((), np.int64), _Rows((channels,), np.int64)
        self._rim = _Rows((2,), np.int32)
        self._edges, self._lines = _Rows((2,), np.int32), _Rows((lines,), np.uint32)
        nothing = np.empty(0, np.int64)
        none = _Edges(nothing, nothing, np.empty((0, lines), np.int64))
        self._open, self._waiting = none, none  # pairs that may go on, and pairs with a region still unknown
        self._known_names, self._known_rows = nothing, nothing  # of regions that go on below
        self._late: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []  # names of these, and their rims
        self._band: list[_Part] = []

    def add(self, table: RegionTable, core: Window, beyond: NDArray[np.int32]) -> None:
        """Add a window of the band.

        Parameters
        ----------
        table : RegionTable
            As `regions.gather` gives it for all pieces of the window.
        core : Window
            Pixels that the window answers for.
        beyond : (w,) int32 array
            Pieces of the window's pixels in the row below the core; empty at the end of the image.
        """
        assert not self._band or core.top == self._band[0].core.top
        self._band.append(_Part(table, core, beyond))

    def end_band(self) -> list[NDArray[np.int32]]:
        """Add what the band holds to the table.

        Returns
        -------
        list of (n,) int32 array
            For each window of the band, the row of each of its pieces; `UNKNOWN` for those that have no
            pixel in it.
        """
        band, self._band = self._band, []
        own = [self._begins_in(part) for part in band]
        names = np.concatenate([part.table.names[mine] for part, mine in zip(band, own, strict=True)])
        order = np.argsort(names, kind="stable")  # sorted in each window
        names, start = names[order], self._names.number
        known_names = np.concatenate([self._known_names, names])
        known_rows = np.concatenate([self._known_rows, np.arange(start, start + len(names))])
        found = [_find(part.table.names, known_names, known_rows) for part in band]
        self._add_rows(band, own, order, found)
        self._add_late(band, found, known_names, known_rows)
        edges = [self._waiting_now(known_names, known_rows), self._open]
        edges += [self._edges_of(part, rows) for part, rows in zip(band, found, strict=True)]
        self._add_edges(_Edges.joined(edges), self._go_on(band, found, known_names, known_rows))
        return [rows.astype(np.int32) for rows in found]

    def table(self) -> RegionTable:
        """The table of all bands; nothing is left here."""
        assert not len(self._open.low) and not len(self._waiting.low) and not self._late, "all have ended"
        rows = (self._names, self._cells, self._area, self._colour, self._rim, self._edges, self._lines)
        return RegionTable(*(each.take() for each in rows))

    def _begins_in(self, part: _Part) -> NDArray[np.bool_]:
        """Whether the first pixel of each piece lies in the core."""
        row, column = np.divmod(part.table.names, self._width)
        core = part.core
        here = (row >= core.top) & (row < core.bottom) & (column >= core.left) & (column < core.right)
        own: NDArray[np.bool_] = here & (part.table.area > 0)
        return own

    def _add_rows(
        self,
        band: list[_Part],
        own: list[NDArray[np.bool_]],
        order: NDArray[np.intp],
        found: list[NDArray[np.int64]],
    ) -> None:
        """Append the rows of regions that begin in the band; add to others what belongs to them."""
        columns = (self._names, self._cells, self._area, self._colour, self._rim)
        for name, rows in zip(("names", "cells", "area", "colour", "rim"), columns, strict=True):
            parts = [getattr(part.table, name)[mine] for part, mine in zip(band, own, strict=True)]
            rows.append(np.concatenate(parts)[order])
        for part, mine, row in zip(band, own, found, strict=True):
            other = ~mine & (row != UNKNOWN)
            for name, rows in zip(("area", "colour", "rim"), columns[2:], strict=True):
                rows.add(row[other], getattr(part.table, name)[other])

    def _add_late(
        self,
        band: list[_Part],
        found: list[NDArray[np.int64]],
        names: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Add the sides that the band before counted for regions of this one; keep those for the next."""
        for wanted, rim in self._late:
            self._rim.add(_find(wanted, names, rows), rim)
        self._late = []
        for part, row in zip(band, found, strict=True):
            late = (row == UNKNOWN) & part.table.rim.any(axis=1)
            if late.any():
                self._late.append((part.table.names[late], part.table.rim[late]))

    def _edges_of(self, part: _Part, row: NDArray[np.int64]) -> _Edges:
        """The pairs of a window; those with a region of a later band wait."""
        ends = row[part.table.edges]
        unknown = (ends == UNKNOWN).any(axis=1)
        lines = part.table.lines.astype(np.int64)
        if unknown.any():  # one of both has a pixel in the core, and so a row
            later = part.table.names[part.table.edges[unknown].max(axis=1)]
            waits = _Edges(ends[unknown].max(axis=1), later, lines[unknown])
            self._waiting = _Edges.joined([self._waiting, waits])
        return _Edges(ends.min(axis=1), ends.max(axis=1), lines).where(~unknown)

    def _waiting_now(self, names: NDArray[np.int64], rows: NDArray[np.int64]) -> _Edges:
        """The pairs that waited for regions of this band."""
        waiting = self._waiting
        waiting = _Edges(waiting.low, _find(waiting.high, names, rows), waiting.lines)
        assert (waiting.high != UNKNOWN).all(), "what lies below a band begins in the next one"
        self._waiting = waiting.where(np.zeros(len(waiting.low), bool))
        return waiting

    def _go_on(
        self,
        band: list[_Part],
        found: list[NDArray[np.int64]],
        names: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> int:
        """Keep the names of the regions that go on below the band; return the first row that may change."""
        below = [row[part.beyond[part.beyond >= 0]] for part, row in zip(band, found, strict=True)]
        open_rows = np.unique(np.concatenate([*below, self._waiting.low]))
        open_rows = open_rows[open_rows != UNKNOWN]
        stays = np.isin(rows, open_rows)
        self._known_names, self._known_rows = names[stays], rows[stays]
        return int(open_rows[0]) if len(open_rows) else self._names.number

    def _add_edges(self, edges: _Edges, first_open: int) -> None:
        """Sum up pairs, and append those that are complete to the table."""
        number = self._names.number
        codes, lines, _ = sums_by_code(edges.low * number + edges.high, edges.lines)
        low, high = np.divmod(codes, max(1, number))
        ended = int(np.searchsorted(low, first_open))
        self._open = _Edges(low[ended:].copy(), high[ended:].copy(), lines[ended:].copy())
        self._edges.append(np.column_stack([low[:ended], high[:ended]]))
        if lines[:ended].max(initial=0) > LARGEST_NARROW and self._lines.dtype == np.uint32:
            self._lines.widen(np.int64)
        self._lines.append(lines[:ended])


def _find(wanted: NDArray[np.int64], names: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the regions of these names, `UNKNOWN` where there is none; `names` rise."""
    if not len(names):
        return np.full(len(wanted), UNKNOWN, np.int64)
    at = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    found: NDArray[np.int64] = np.where(names[at] == wanted, rows[at], UNKNOWN)
    return found
