"""Rounds of merging in numpy; `compiled_rounds` gives the same merges.

Crumbs join a neighbour first, at height 0 (`crumbs`). Then each round merges every edge that is the cheapest
of both its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.picture import COLOUR_STEPS
from napari_pcnet.merging import crumbs
from napari_pcnet.merging.cost import SQUARE, MergeClassifier, Round, keys_of
from napari_pcnet.merging.exact import LAB_STEPS
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.merging.regions import sums_by_code
from napari_pcnet.options import Options


class Observer(Protocol):
    """Follows the rounds of merging, for example to collect training samples."""

    def before(self, here: Round) -> None:
        """Receive the pairs of a round before any of them is merged."""

    def after(self, target: NDArray[np.int64]) -> None:
        """Receive the new index of each region of the round."""


def merge_rounds(
    graph: Graph, options: Options, classifier: MergeClassifier | None, observer: Observer | None
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Children and cost of each merge, in the order in which they are made.

    Parameters
    ----------
    graph : Graph
    options, classifier, observer
        As in `tree.build`.

    Returns
    -------
    (merges, 2) array of int
    (merges,) float64 array
    """
    state, joined = _State.start(graph.features), graph.joined
    edges, lines = graph.edges.astype(np.int64), _by_direction(graph.lines, 4)
    leaves, measures = len(state.area), (graph.features.sides, graph.features.cell_area)
    if joined is not None:
        state.first = joined.first.astype(np.int64)
    host = crumbs.find_hosts(state.area, edges, lines, *measures, joined)
    joining = crumbs.by_size(state.area, host)
    merges, costs = [state.pairs_of_crumbs(joining, host)], [np.zeros(len(joining))]
    made = leaves + len(joining)
    if len(joining):
        target = state.join(joining, host, edges, lines)
        if observer is not None:
            observer.after(target)
        edges, lines, _ = _relabel(edges, lines, target)
    cost, key = np.empty(len(edges)), np.empty(len(edges), np.int64)
    stale = np.arange(len(edges))  # edges whose cost is not known, or no longer
    while len(edges):
        if observer is None:
            here = state.compare(edges[stale], lines[stale])
        else:  # sees every pair
            stale, here = np.arange(len(edges)), state.compare(edges, lines)
            observer.before(here)
        cost[stale] = here.cost(options, classifier)
        key[stale] = keys_of(cost[stale], state.first[here.edges])
        chosen = _cheapest_of_both(edges, key, len(state.area))
        pairs = edges[chosen]
        merges.append(state.node[pairs])
        costs.append(np.maximum(cost[chosen], state.height[pairs].max(axis=1)))
        changed = np.zeros(len(state.area), bool)
        changed[pairs] = True
        touched = changed[edges[:, 0]] | changed[edges[:, 1]]
        target = state.merge(pairs, lines[chosen], costs[-1], made)
        made += len(pairs)
        if observer is not None:
            observer.after(target)
        edges, lines, kept = _relabel(edges, lines, target)
        cost, key, stale = cost[kept], key[kept], np.flatnonzero(touched[kept])
    return np.concatenate(merges), np.concatenate(costs)


@dataclass
class _State:
    """Regions that are left, in the order of their smallest leaves."""

    features: Features
    area: NDArray[np.int64]
    colours: NDArray[np.int64]
    mean: NDArray[np.float64]  # of colours
    perimeter: NDArray[np.int64]
    round_area: NDArray[np.float64]
    first: NDArray[np.int64]  # number of the first piece, by default of the smallest leaf
    node: NDArray[np.int64]
    height: NDArray[np.float64]

    @classmethod
    def start(cls, features: Features) -> _State:
        number, perimeter = np.arange(len(features.area)), _by_direction(features.perimeter, 2)
        return cls(
            features,
            features.area.astype(np.int64),
            features.colours.copy(),
            features.colours / features.area[:, None],
            perimeter,
            _round_area(features.area.astype(np.float64), features.length(perimeter)),
            first=number,
            node=number.copy(),
            height=np.zeros(len(number)),
        )

    def compare(self, edges: NDArray[np.int64], lines: NDArray[np.int64]) -> Round:
        """Compare regions that touch."""
        u, v = np.ascontiguousarray(edges.T)
        a, b = self.area[u].astype(np.float64), self.area[v].astype(np.float64)
        border = self.features.length(lines[:, :2])
        strength = self.features.length(lines[:, 2:])
        outline = self.features.length(self.perimeter[u] + self.perimeter[v] - 2 * lines[:, :2])
        difference = self.mean[u] - self.mean[v]
        colour = np.zeros(len(edges))
        for column in difference.T[self.features.first_compared :]:
            colour += column * column
        unit = self.features.colour_unit
        kept = np.sqrt(SQUARE * (a + b)) / outline
        return Round(
            edges,
            np.minimum(a, b),
            np.maximum(a, b),
            colour * (unit * unit),
            difference[:, :3] * (1 / LAB_STEPS),
            border,
            strength / (2 * COLOUR_STEPS) / border,
            outline * outline / (SQUARE * (a + b)),
            np.maximum((self.round_area[u] + self.round_area[v]) / (a + b) - kept, 0),
            self.features.cell_area,
        )

    def pairs_of_crumbs(self, joining: NDArray[np.int32], host: NDArray[np.int32]) -> NDArray[np.int64]:
        """The two nodes of each merge of a crumb with its host, one after the other, before any of them."""
        into, leaves = host[joining], len(self.area)
        pairs = np.stack([into, joining], axis=1).astype(np.int64)
        order = np.argsort(into, kind="stable")
        again = np.flatnonzero(into[order][1:] == into[order][:-1]) + 1
        pairs[order[again], 0] = leaves + order[again - 1]  # the host is what the merge before made
        return pairs

    def join(
        self,
        joining: NDArray[np.int32],
        host: NDArray[np.int32],
        edges: NDArray[np.int64],
        lines: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Merge crumbs with their hosts before anything else, and return the new index of every region."""
        into = host[joining]
        whole = np.arange(len(self.area))
        whole[joining] = into
        for sums in (self.area, self.colours, self.perimeter):
            np.add.at(sums, into, sums[joining])
        inside = np.flatnonzero(whole[edges[:, 0]] == whole[edges[:, 1]])
        np.subtract.at(self.perimeter, whole[edges[inside, 0]], 2 * lines[inside, :2])
        np.minimum.at(self.first, into, self.first[joining])
        self.node[into] = len(self.area) + np.arange(len(joining))  # of several the last
        self.mean = self.colours / self.area[:, None]
        self.round_area = _round_area(self.area.astype(np.float64), self.features.length(self.perimeter))
        left = np.flatnonzero(whole == np.arange(len(whole)))
        left = left[np.argsort(self.first[left])]
        self._keep(left)
        index = np.empty(len(whole), np.int64)
        index[left] = np.arange(len(left))
        return index[whole]

    def _keep(self, left: NDArray[np.int64]) -> None:
        """Keep these regions."""
        for name in ("area", "colours", "mean", "perimeter", "round_area", "first", "node", "height"):
            setattr(self, name, getattr(self, name).take(left, axis=0))

    def merge(
        self,
        pairs: NDArray[np.int64],
        lines: NDArray[np.int64],
        height: NDArray[np.float64],
        first_node: int,
    ) -> NDArray[np.int64]:
        """Merge disjoint pairs, drop the second of each, and return the new index of every region."""
        keep, gone = pairs.T
        for sums in (self.area, self.colours, self.perimeter):
            sums[keep] += sums[gone]
        self.mean[keep] = self.colours[keep] / self.area[keep, None]
        self.perimeter[keep] -= 2 * lines[:, :2]
        outline = self.features.length(self.perimeter[keep])
        self.round_area[keep] = _round_area(self.area[keep].astype(np.float64), outline)
        self.node[keep] = first_node + np.arange(len(pairs))
        self.height[keep] = height
        stays = np.ones(len(self.area), bool)
        stays[gone] = False
        target = np.cumsum(stays) - 1
        target[gone] = target[keep]
        self._keep(np.flatnonzero(stays))
        return target


def _round_area(area: NDArray[np.float64], perimeter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area times roundness."""
    result: NDArray[np.float64] = area * (np.sqrt(SQUARE * area) / perimeter)
    return result


def _cheapest_of_both(edges: NDArray[np.int64], key: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Edges that are the cheapest of both their ends, cheapest first."""
    lowest = np.full(number, np.iinfo(np.int64).max)
    for end in edges.T:
        np.minimum.at(lowest, end, key)
    mutual = np.flatnonzero((key == lowest[edges[:, 0]]) & (key == lowest[edges[:, 1]]))
    chosen: NDArray[np.int64] = mutual[np.argsort(key[mutual])]
    return chosen


def _by_direction(sides: NDArray[np.integer], columns: int) -> NDArray[np.int64]:
    """Sides in so many columns, one for each direction; what is summed up over both stands in the first."""
    if sides.shape[1] == columns:
        return sides.astype(np.int64)
    both = np.zeros((len(sides), columns), np.int64)
    both[:, ::2] = sides
    return both


def _relabel(
    edges: NDArray[np.int64], lines: NDArray[np.int64], target: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rename the ends of edges; drop those inside a region, sum up those between the same two.

    The last array says where each edge, or the first of those that it was made of, stood before.
    """
    u, v = target[edges.T]
    apart = np.flatnonzero(u != v)
    u, v = u[apart], v[apart]
    number = int(target.max()) + 1
    codes, sums, kept = sums_by_code(np.minimum(u, v) * number + np.maximum(u, v), lines[apart])
    pairs: NDArray[np.int64] = np.column_stack(np.divmod(codes, number))
    return pairs, sums, apart[kept]
