"""Crumbs join their hosts in the table of a window, before the tables of windows become one.

They are two thirds of the pieces of a large picture, a third with cells of 8 pixels: fewer regions are
left to assemble and to merge. They join the hosts that they would join in the table of the whole picture;
those whose host a window can't know wait (`crumbs.settled`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import crumbs
from napari_pcnet.merging.regions import RegionTable, compares_channels, lab_sums, narrowed, sums_by_code


class Rule(NamedTuple):
    """What is a crumb, and how long its borders are: as in `crumbs.find_hosts`."""

    lengths: tuple[float, float]
    cell_area: float

    @property
    def ways(self) -> int:
        """Directions in which sides are counted apart: as long as each other, they are summed up."""
        return 1 if self.lengths == (1.0, 1.0) else 2


class JoinedTable(NamedTuple):
    """The table of a window whose crumbs have joined their hosts."""

    table: RegionTable  # of the n pieces that are left, each with the name, area and colour that it had
    rows: NDArray[np.int32]  # of all pieces of the window
    first: NDArray[np.int64]  # (n,) name of the first piece in each
    alone: NDArray[np.bool_]  # (n,) crumbs that stay so
    sums: NDArray[np.int64]  # (n, k) over crumbs that joined: CIELAB, pixels, channels that are compared


def join_crumbs(table: RegionTable, rim: NDArray[np.int32], rule: Rule) -> JoinedTable:
    """Join the crumbs of a window with their hosts, as far as it knows these.

    Parameters
    ----------
    table : RegionTable
        As `regions.gather` gives it for all pieces of the window.
    rim : (m,) int32 array
        Pieces of the pixels along the ends of its core, negative outside the mask.
    rule : Rule
    """
    may_go_on = table.area == 0
    may_go_on[rim[rim >= 0]] = True
    is_settled = crumbs.settled(table.area, table.edges, may_go_on, rule.cell_area)
    host = crumbs.find_hosts(table.area, table.edges, table.lines, *rule)
    host[~is_settled] = crumbs.NO_HOST
    joins = host != crumbs.NO_HOST
    rows = (np.cumsum(~joins) - 1).astype(np.int32)
    rows[joins] = rows[host[joins]]
    first = table.names[~joins]
    np.minimum.at(first, rows[joins], table.names[joins])
    alone, sums = (is_settled & ~joins)[~joins], _sums(table, rows, joins)
    return JoinedTable(_outlined(table, rows, ~joins, rule.ways), rows, first, alone, sums)


def unjoined(table: RegionTable) -> JoinedTable:
    """The table of a window as it is."""
    number = len(table)
    rows, alone = np.arange(number, dtype=np.int32), np.zeros(number, bool)
    return JoinedTable(table, rows, table.names, alone, np.empty((number, 0), np.int64))


def columns(channels: int) -> int:
    """Columns of the sums over crumbs for pictures of so many channels."""
    return 4 + compares_channels(channels) * channels


def _sums(table: RegionTable, rows: NDArray[np.int32], joins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sums over the crumbs that join each row."""
    area, colour = table.area[joins], table.colour[joins]
    of_crumbs = [lab_sums(area, colour), area[:, None]]
    of_crumbs += [colour] if compares_channels(colour.shape[1]) else []
    sums = np.zeros((len(rows) - len(area), columns(colour.shape[1])), np.int64)
    np.add.at(sums, rows[joins], np.concatenate(of_crumbs, axis=1))
    return sums


def _outlined(
    table: RegionTable, rows: NDArray[np.int32], stays: NDArray[np.bool_], ways: int
) -> RegionTable:
    """The rows of a table that stay, with outlines around what has joined them."""
    number, rims = int(np.count_nonzero(stays)), _by_ways(table.rim, ways)
    rim = rims[stays]
    np.add.at(rim, rows[~stays], rims[~stays])
    low, high = np.sort(rows[table.edges].astype(np.int64), axis=1).T
    apart = np.flatnonzero(low != high)
    every = _by_ways(table.lines.astype(np.int64), ways)
    codes, lines, _ = sums_by_code(low[apart] * number + high[apart], every[apart])
    edges = np.column_stack(np.divmod(codes, max(1, number))).astype(np.int32)
    own = {name: getattr(table, name)[stays] for name in ("names", "cells", "area", "colour")}
    return RegionTable(**own, rim=rim, edges=edges, lines=narrowed(lines))


def _by_ways(sides: NDArray[Any], ways: int) -> NDArray[Any]:
    """Sides, or what is summed over them, in both directions or together: two columns become one."""
    return sides if ways == 2 else sides[:, ::2] + sides[:, 1::2]


def region_sums(
    area: NDArray[np.int64], colour: NDArray[np.int64], sums: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, channels and CIELAB of regions and what has joined them.

    Parameters
    ----------
    area, colour : (n,), (n, C) int64 array
        Without what has joined.
    sums : (n, k) int64 array
        Over that, as in `JoinedTable`.

    Returns
    -------
    area : (n,) int64 array
    colour : (n, C) or (n, 0) int64 array
        Of pictures whose channels are compared.
    lab : (n, 3) int64 array
        As `regions.lab_sums` gives it of each piece by itself, summed up.
    """
    lab = lab_sums(area, colour) + sums[:, :3]
    return area + sums[:, 3], colour[:, : sums.shape[1] - 4] + sums[:, 4:], lab
