"""Crumbs: pieces of a few pixels, which the network leaves along borders where two cells suit a pixel alike.

They are most of the pieces of a large picture, and too small to have a colour or a shape by which a merge
could be decided. So merging begins with them: each goes to the region with the longest border. Where far
fewer superpixels are asked for, most have joined before the tables of windows become one (`joining`), and
`Joined` is what merging must know of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import passes

CRUMBS_IN_A_CELL = 64
"""Pieces of at most a cell's area over this are crumbs: of a cell of 16 pixels those of up to 4, of 4 none.

With 16 in place of 64, recall on BSDS500 val falls by .003 at K = 200."""

EDGES_AT_ONCE = 1 << 20
"""Pairs that are searched at once for those of a crumb and a region that is none."""

NO_HOST = -1
"""Stands for the host of a region that joins none at the start."""


class Joined(NamedTuple):
    """The pieces of regions that crumbs have joined already, numbered in raster order of their first pixel.

    Attributes
    ----------
    pieces : int
        How many there are.
    first : (n,) int32 array
        Number of the first piece of each region, rising.
    own : (n,) int32 array
        Number of the piece of each region that is no crumb, or of the crumb that it is.
    alone : (k,) int64 array
        Regions that are crumbs and stay so.
    lab : (n, 3) int32 array
        Sums of CIELAB: `regions.lab_sums` of each piece by itself.
    """

    pieces: int
    first: NDArray[np.int32]
    own: NDArray[np.int32]
    alone: NDArray[np.int64]
    lab: NDArray[np.int32]


def find_hosts(
    area: NDArray[np.integer],
    edges: NDArray[np.integer],
    lines: NDArray[np.integer],
    lengths: tuple[float, float],
    cell_area: float,
    joined: Joined | None = None,
) -> NDArray[np.int32]:
    """Find the region that each crumb joins: of those that are no crumbs, the one with the longest border.

    Parameters
    ----------
    area : (n,) array of whole numbers
        Pixels of regions, which are numbered in raster order of their first pixel.
    edges : (e, 2) array
        Regions that touch.
    lines : (e, 2 or more) array
        Horizontal and vertical sides of each border; of regions that crumbs have joined as in `graph.Graph`.
    lengths : tuple of float
        Of a horizontal and of a vertical side.
    cell_area : float
        Pixels of a cell of the lattice.
    joined : Joined, optional
        If most crumbs have joined these regions before.

    Returns
    -------
    (n,) int32 array
        Of equal hosts the first; `NO_HOST` for what is no crumb, or touches crumbs alone.
    """
    host, largest = np.full(len(area), NO_HOST, np.int32), largest_px(cell_area)
    if largest < 1:
        return host
    fast = passes.compiled()
    if fast is not None and joined is None:
        ends = edges.astype(np.int32, copy=False)
        of_crumbs = lines.astype(np.uint32, copy=False)  # of others the upper half may be lost
        pixels = area.astype(np.int64, copy=False)
        fast.find_hosts(pixels, ends, of_crumbs, *lengths, largest, np.zeros(len(area)), host)
        return host
    is_crumb = area <= largest
    some = _of_crumbs(is_crumb, edges)
    border = lines[some, 0] * lengths[0]
    if joined is None or lines.shape[1] == 4:
        border += lines[some, 1] * lengths[1]
    one, other = edges[some].T
    crumb, found = np.where(is_crumb[one], (one, other), (other, one))
    turn = found if joined is None else joined.own[found]
    # the last of a crumb stays: the longest border wins, of equal ones the first host
    last = np.lexsort((-turn.astype(np.int64), border))
    host[crumb[last]] = found[last]
    if joined is not None:
        host[joined.alone] = NO_HOST
    return host


def largest_px(cell_area: float) -> float:
    """Pixels of the largest crumb; where it is less than 1, there are none."""
    return cell_area / CRUMBS_IN_A_CELL


def _of_crumbs(is_crumb: NDArray[np.bool_], edges: NDArray[np.integer]) -> NDArray[np.intp]:
    """Pairs of a crumb and a region that is none."""
    found = [
        start + np.flatnonzero(np.logical_xor(*is_crumb[edges[start : start + EDGES_AT_ONCE]].T))
        for start in range(0, len(edges), EDGES_AT_ONCE)
    ]
    return np.concatenate([*found, np.empty(0, np.intp)])


def settled(
    area: NDArray[np.int64], edges: NDArray[np.integer], may_go_on: NDArray[np.bool_], cell_area: float
) -> NDArray[np.bool_]:
    """Find the crumbs of a window whose hosts are known from it alone, whatever lies around it.

    They do not go on beyond the window, nor does a crumb that they touch, nor one that touches this, and so
    on. So what becomes of the others does not depend on them.

    Parameters
    ----------
    area : (n,) int64 array
        Pixels of each piece in the window.
    edges : (e, 2) array
        Pieces that touch.
    may_go_on : (n,) bool array
        Pieces that may have pixels beyond, or touch such pixels.
    cell_area : float
        As in `find_hosts`.

    Returns
    -------
    (n,) bool array
    """
    is_small = area <= largest_px(cell_area)
    is_open = is_small & may_go_on
    among = edges[is_small[edges].all(axis=1)]
    while True:
        reached = is_open[among]
        grows = reached[:, 0] != reached[:, 1]
        if not grows.any():
            return is_small & ~is_open
        is_open[among[grows]] = True
        among = among[~reached.all(axis=1)]


def by_size(area: NDArray[np.integer], host: NDArray[np.int32]) -> NDArray[np.int32]:
    """Crumbs that have a host, ``(m,)``, as they join it: small ones first, equal ones by number.

    Areas in pixels and hosts, ``(n,)``, are as in `find_hosts`.
    """
    crumbs = np.flatnonzero(host != NO_HOST).astype(np.int32)
    joining: NDArray[np.int32] = crumbs[np.argsort(area[crumbs], kind="stable")]
    return joining


def largest_sum(host: NDArray[np.int32], joining: NDArray[np.int32], cell_area: float, side: int) -> int:
    """What crumbs can add at most to a sum over the border of two hosts, if a side adds `side` at most.

    The crumbs `joining`, ``(m,)``, and the hosts of all regions, ``(n,)``, are as in `by_size`.
    """
    if len(joining) == 0:
        return 0
    sides = 2 * int(largest_px(cell_area)) + 2  # of a crumb's outline
    return 2 * int(np.bincount(host[joining]).max()) * sides * side  # the border has two hosts
