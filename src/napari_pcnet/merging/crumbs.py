"""Crumbs: pieces of a few pixels, which the network leaves along borders where two cells suit a pixel alike.

They are most of the pieces of a large picture, and too small to have a colour or a shape by which a merge
could be decided. So merging begins with them: each goes to the region with the longest border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import passes

CRUMBS_IN_A_CELL = 64
"""Pieces of at most a cell's area over this are crumbs: of a cell of 16 pixels those of up to 4, of 4 none.

With 16 in place of 64, recall on BSDS500 val falls by .003 at K = 200."""

NO_HOST = -1
"""Stands for the host of a region that joins none at the start."""


def find_hosts(
    area: NDArray[np.int64],
    edges: NDArray[np.integer],
    sides: NDArray[np.integer],
    lengths: tuple[float, float],
    cell_area: float,
) -> NDArray[np.int32]:
    """Find the region that each crumb joins: of those that are no crumbs, the one with the longest border.

    Parameters
    ----------
    area : (n,) int64 array
        Pixels of regions, which are numbered in raster order of their first pixel.
    edges : (e, 2) array
        Regions that touch.
    sides : (e, 2 or more) array
        Horizontal and vertical sides of each border.
    lengths : tuple of float
        Of a horizontal and of a vertical side.
    cell_area : float
        Pixels of a cell of the lattice.

    Returns
    -------
    (n,) int32 array
        Of equal hosts the first; `NO_HOST` for what is no crumb, or touches crumbs alone.
    """
    largest = cell_area / CRUMBS_IN_A_CELL
    host = np.full(len(area), NO_HOST, np.int32)
    if largest < 1:
        return host
    fast = passes.compiled()
    if fast is not None:
        ends = edges.astype(np.int32, copy=False)
        of_crumbs = sides.astype(np.uint32, copy=False)  # of others the upper half may be lost
        fast.find_hosts(area, ends, of_crumbs, *lengths, largest, np.zeros(len(area)), host)
        return host
    is_crumb = area <= largest
    leaving = [
        np.flatnonzero(is_crumb[ends[:, 0]] & ~is_crumb[ends[:, 1]]) for ends in (edges, edges[:, ::-1])
    ]
    crumb = np.concatenate([edges[leaving[0], 0], edges[leaving[1], 1]])
    found = np.concatenate([edges[leaving[0], 1], edges[leaving[1], 0]])
    border = np.concatenate([sides[each, 0] * lengths[0] + sides[each, 1] * lengths[1] for each in leaving])
    # the last of a crumb stays: the longest border wins, of equal ones the first host
    last = np.lexsort((-found.astype(np.int64), border))
    host[crumb[last]] = found[last]
    return host


def by_size(area: NDArray[np.int64], host: NDArray[np.int32]) -> NDArray[np.int32]:
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
    sides = 2 * int(cell_area / CRUMBS_IN_A_CELL) + 2  # of a crumb's outline
    return 2 * int(np.bincount(host[joining]).max()) * sides * side  # the border has two hosts
