"""The region table of a picture, put together from those of its windows, band by band.

A band are the windows of the same rows. A region belongs to the window that holds its first pixel, so its row
in the table is known as soon as the band is: what bands hold follows each other, and within a band the names
are in order. Only regions on a window's rim are known to others, and are looked up by name. Sums and pairs
of a band are added to the table when it ends, but for pairs of regions that go on below it. So what is
needed besides the table is set by the band.

Where crumbs join their hosts before (`joining`), a region begins with the first of its pieces, which may be a
crumb that one window alone knows. So windows know a region by the name of the piece that is no crumb, and its
row is that of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import joining
from napari_pcnet.merging.crumbs import Joined
from napari_pcnet.merging.joining import Rule
from napari_pcnet.merging.regions import LARGEST_NARROW, RegionTable, sums_by_code

GROWTH = 64
"""A table that is full gets room for one row in so many more. Numpy fills it, so it takes memory at once."""

UNKNOWN = -1
"""Row of a piece that has none yet: it begins below the band, or is of no concern."""


class _Part(NamedTuple):
    """What a window gathered."""

    table: RegionTable  # of regions
    own: NDArray[np.bool_]  # (n,) those that begin in the core
    first: NDArray[np.int64]  # (n,) names of the first pieces
    alone: NDArray[np.bool_]  # (n,) as in `JoinedTable`
    sums: NDArray[np.int64]  # (n, k) likewise
    begin: NDArray[np.int64]  # names of all pieces that begin in the core
    rows: NDArray[np.int32]  # of the pieces of the window
    beyond: NDArray[np.int32]  # rows of what is in the row below the core


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
    rule : Rule, optional
        Crumbs by this rule join their hosts, as far as a window knows them. Regions then have no name and no
        cell.
    """

    def __init__(self, width: int, channels: int, lines: int, rule: Rule | None = None) -> None:
        self._width, self._rule = width, rule
        self._pieces, self._alone = 0, list[NDArray[np.int64]]()
        self._first, self._own = _Rows((), np.int32), _Rows((), np.int32)  # as in `Joined`
        self._lab = _Rows((3,), np.int32)
        columns = 0 if rule is None else joining.columns(channels)
        ways = 2 if rule is None else rule.ways
        lines = lines * ways // 2
        self._number, self._complete = 0, 0  # rows, and those of them that nothing is added to any more
        self._names, self._cells = _Rows((), np.int64), _Rows((), np.int32)
        self._area = _Rows((), np.int64 if rule is None else np.uint32)
        self._colour = _Rows((channels if rule is None else max(0, columns - 4),), np.int64)
        self._rim = _Rows((ways,), np.int32)
        self._edges, self._lines = _Rows((2,), np.int32), _Rows((lines,), np.uint32)
        nothing = np.empty(0, np.int64)
        self._sums: dict[str, NDArray[Any]] = {
            "area": nothing,
            "colour": np.empty((0, channels), np.int64),
            "rim": np.empty((0, ways), np.int32),
            "sums": np.empty((0, columns), np.int64),
        }  # of rows that are not complete
        none = _Edges(nothing, nothing, np.empty((0, lines), np.int64))
        self._open, self._waiting = none, none  # pairs that may go on, and pairs with a region still unknown
        self._known_names, self._known_rows = nothing, nothing  # of regions that go on below
        self._late: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []  # names of these, and their rims
        self._band: list[_Part] = []

    def add(
        self, table: RegionTable, core: Window, beyond: NDArray[np.int32], rim: NDArray[np.int32]
    ) -> None:
        """Add a window of the band.

        Parameters
        ----------
        table : RegionTable
            As `regions.gather` gives it for all pieces of the window.
        core : Window
            Pixels that the window answers for.
        beyond : (w,) int32 array
            Pieces of the window's pixels in the row below the core; empty at the end of the image.
        rim : (m,) int32 array
            Pieces of the pixels along the ends of the core.
        """
        rule = self._rule
        joined = joining.unjoined(table) if rule is None else joining.join_crumbs(table, rim, rule)
        own, begin = self._begins_in(joined.table, core), table.names[self._begins_in(table, core)]
        below = joined.rows[beyond[beyond >= 0]]
        of_regions = joined.first, joined.alone, joined.sums
        self._band.append(_Part(joined.table, own, *of_regions, begin, joined.rows, below))

    def end_band(self) -> list[NDArray[np.int32]]:
        """Add what the band holds to the table.

        Returns
        -------
        list of (n,) int32 array
            For each window of the band, the row of each of its pieces; `UNKNOWN` for those that have no
            pixel in it.
        """
        band, self._band = self._band, []
        names = np.concatenate([part.table.names[part.own] for part in band])
        order = np.argsort(names, kind="stable")  # sorted in each window
        names, first = names[order], self._first_pieces(band, names[order])
        rank = np.argsort(first, kind="stable")
        rows = np.empty(len(names), np.int64)
        rows[rank] = np.arange(self._number, self._number + len(names))
        self._number += len(names)
        known_names = np.concatenate([self._known_names, names])
        known_rows = np.concatenate([self._known_rows, rows])
        found = [_find(part.table.names, known_names, known_rows) for part in band]
        self._add_rows(band, order[rank], found)
        self._add_pieces(band, first[rank], names[rank], found)
        self._add_late(band, found, known_names, known_rows)
        edges = [self._waiting_now(known_names, known_rows), self._open]
        edges += [self._edges_of(part, regions) for part, regions in zip(band, found, strict=True)]
        first_open = self._go_on(band, found, known_names, known_rows)
        self._add_edges(_Edges.joined(edges), first_open)
        self._complete_rows(first_open)
        return [regions[part.rows].astype(np.int32) for part, regions in zip(band, found, strict=True)]

    def table(self) -> RegionTable:
        """The table of all bands; nothing is left here."""
        assert not len(self._open.low) and not len(self._waiting.low) and not self._late, "all have ended"
        columns = self._names, self._cells, self._area, self._colour, self._rim, self._edges, self._lines
        return RegionTable(*(each.take() for each in columns))

    def joined(self) -> Joined | None:
        """What crumbs have joined the regions of the table, if there is a rule; nothing is left here."""
        if self._rule is None:
            return None
        alone = np.concatenate([*self._alone, np.empty(0, np.int64)])
        return Joined(self._pieces, self._first.take(), self._own.take(), alone, self._lab.take())

    def _begins_in(self, table: RegionTable, core: Window) -> NDArray[np.bool_]:
        """Whether the first pixel of each piece lies in the core."""
        row, column = np.divmod(table.names, self._width)
        here = (row >= core.top) & (row < core.bottom) & (column >= core.left) & (column < core.right)
        own: NDArray[np.bool_] = here & (table.area > 0)
        return own

    def _first_pieces(self, band: list[_Part], names: NDArray[np.int64]) -> NDArray[np.int64]:
        """Names of the first pieces of the regions of these names, by all windows that hold some of them."""
        first = names.copy()
        for part in band:
            at = _find(part.table.names, names, np.arange(len(names)))
            here = at != UNKNOWN
            first[at[here]] = np.minimum(first[at[here]], part.first[here])
        return first

    def _add_pieces(
        self,
        band: list[_Part],
        first: NDArray[np.int64],
        own: NDArray[np.int64],
        found: list[NDArray[np.int64]],
    ) -> None:
        """Count the pieces of a band; append the numbers of those that its regions go by, or their names."""
        if self._rule is None:
            self._names.append(first)
            return
        begin = np.sort(np.concatenate([part.begin for part in band]))
        self._first.append(self._pieces + np.searchsorted(begin, first))
        self._own.append(self._pieces + np.searchsorted(begin, own))
        self._pieces += len(begin)
        self._alone += [rows[part.alone] for part, rows in zip(band, found, strict=True)]

    def _add_rows(
        self,
        band: list[_Part],
        order: NDArray[np.intp],
        found: list[NDArray[np.int64]],
    ) -> None:
        """Append the rows of regions that begin in the band; add to others what belongs to them."""
        if self._rule is None:
            self._cells.append(np.concatenate([part.table.cells[part.own] for part in band])[order])
        for name, sums in self._sums.items():
            values = [part.sums if name == "sums" else getattr(part.table, name) for part in band]
            own = np.concatenate([each[part.own] for each, part in zip(values, band, strict=True)])
            grown = np.concatenate([sums, own[order]])
            for each, part, row in zip(values, band, found, strict=True):
                other = ~part.own & (row != UNKNOWN)
                grown[row[other] - self._complete] += each[other]
            self._sums[name] = grown

    def _complete_rows(self, first_open: int) -> None:
        """Append the sums of the rows before one, to which no window adds any more."""
        ended = first_open - self._complete
        area, colour, rim, sums = (each[:ended] for each in self._sums.values())
        if self._rule is not None:
            area, colour, lab = joining.region_sums(area, colour, sums)
            self._lab.append(lab)
        for rows, each in ((self._area, area), (self._colour, colour), (self._rim, rim)):
            rows.append(each)
        self._sums = {name: each[ended:].copy() for name, each in self._sums.items()}
        self._complete = first_open

    def _add_late(
        self,
        band: list[_Part],
        found: list[NDArray[np.int64]],
        names: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Add the sides that the band before counted for regions of this one; keep those for the next."""
        for wanted, rim in self._late:
            self._sums["rim"][_find(wanted, names, rows) - self._complete] += rim
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
        below = [row[part.beyond] for part, row in zip(band, found, strict=True)]
        open_rows = np.unique(np.concatenate([*below, self._waiting.low]))
        open_rows = open_rows[open_rows != UNKNOWN]
        stays = np.isin(rows, open_rows)
        self._known_names, self._known_rows = names[stays], rows[stays]
        return int(open_rows[0]) if len(open_rows) else self._number

    def _add_edges(self, edges: _Edges, first_open: int) -> None:
        """Sum up pairs, and append those that are complete to the table."""
        number = self._number
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
