"""The tree of merges: neighbouring regions joined cheapest first, cut at any count or height.

Two regions of ``a`` and ``b`` pixels cost ::

    a b / (a + b) * (|colour difference|^2 + m^2 (P^2 / (16 (a + b)) + EVENNESS))

with the colour of a region its mean (CIELAB for RGB), ``m`` the compactness, and ``P`` the perimeter
of the two together. The first term is Ward's, the growth of the summed squared colour error.
The last is free of scale: ``P^2 / 16 area`` is 1 for a square of any size and grows as a region gets
longer or more ragged. So one tree serves every count, where with a fixed scale fine cuts would
ignore shape and coarse ones become a grid. `EVENNESS` weighs size alone, so that uniform pictures
merge their smallest regions first.

A network with a boundary decoder adds ``BOUNDARY_WEIGHT s``, where ``s`` is the mean boundary probability
along the common border. A network with a `MergeClassifier` adds ``CLASSIFIER_WEIGHT p`` instead and halves
the weight of colour (`COLOUR_SHARE`); ``p`` is the share of the smaller region that the merge is likely to
lose to another object. Merging by the expected loss alone, cheapest first, would be greedy for accuracy; the
rest of Ward's term keeps results sensible on pictures unlike the training data.

Merging goes in rounds. Each round merges every edge that is the cheapest of both its ends. Costs
in one step of an eighth of an octave count as equal, and among equals a hash of the two regions'
numbers decides: in exact order a smooth gradient or a uniform picture would merge one pair a round.
Heights are the exact costs, made monotone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from napari_pcnet.merging.connectivity import number_by_first
from napari_pcnet.options import Options

STEPS_PER_OCTAVE = 8
"""Fineness in which costs are compared."""

BOUNDARY_WEIGHT = 1500.0
"""Weight of a boundary that is certain along the whole border, as a squared difference of colour."""

CLASSIFIER_WEIGHT = 10000.0
"""Weight of the share that a merge classifier expects to be lost, as a squared difference of colour. Chosen
on BSDS500 val, where accuracy hardly depends on it within a factor of 2."""

COLOUR_SHARE = 0.5
"""Factor on the weight of colour where a merge classifier is used."""

CLASSIFIER_ROWS = 1 << 16
"""Edges that are classified at once, which bounds memory."""

EDGE_FEATURES = 7
"""Numbers that describe two touching regions to a merge classifier: `Round.edge_features`."""

EVENNESS = 3.0
"""Weight of size alone relative to shape (1 for a square): Ward's cost of a feature in which all regions
differ by the same amount. Chosen so that on uniform pictures the largest superpixel stays within 4 times
the smallest (``napari-pcnet benchmark contract``)."""

SQUARE = 16
"""Squared perimeter over area of a square."""


@dataclass(frozen=True)
class Features:
    """Features of the regions that are merged.

    Attributes
    ----------
    area : (n,) float64 array
        Pixels.
    colour : (n, C) float64 array
        Mean colour, in units where a difference of 1 is just visible (CIELAB).
    lab : (n, 3) float64 array
        CIELAB of the three channels that the network gets: `colour` itself for grey and RGB.
    perimeter : (n,) float64 array
        Length of the outline, including the image's frame, in sides of a square pixel.
    cell_area : float
        Pixels of a cell of the lattice, the unit of area of a merge classifier.
    """

    area: NDArray[np.float64]
    colour: NDArray[np.float64]
    lab: NDArray[np.float64]
    perimeter: NDArray[np.float64]
    cell_area: float = 1.0


@dataclass(frozen=True)
class MergeClassifier:
    """A small network that predicts what merging two regions loses: `model.MergeClassifierNetwork` in numpy.

    Attributes
    ----------
    layers : tuple of (weight (n_out, n_in), bias (n_out,)) float32 arrays
        The first takes `Round.edge_features`, the last has one output.
    slope : float
        Of the LeakyReLU between two layers, below zero.
    """

    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    slope: float

    def __call__(self, edge_features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Expected share of the smaller region's pixels that is lost: ``(e, EDGE_FEATURES)`` to ``(e,)``."""
        shares = np.empty(len(edge_features))
        for start in range(0, len(edge_features), CLASSIFIER_ROWS):
            values = edge_features[start : start + CLASSIFIER_ROWS]
            for number, (weight, bias) in enumerate(self.layers):
                if number:
                    values = np.maximum(values, self.slope * values)
                values = values @ weight.T + bias
            shares[start : start + CLASSIFIER_ROWS] = expit(values[:, 0].astype(np.float64))
        return shares


@dataclass(frozen=True)
class Round:
    """The ``e`` pairs of regions that touch at the start of a round of merging.

    Attributes
    ----------
    edges : (e, 2) int64 array
    smaller, larger : (e,) float64 array
        Areas in pixels.
    colour : (e,) float64 array
        Squared difference of mean colours.
    lab : (e, 3) float64 array
        Difference of mean L, a and b of the channels that the network gets.
    border : (e,) float64 array
        Length of the common border.
    boundary : (e,) float64 array
        Mean boundary probability along it.
    shape : (e,) float64 array
        ``P^2 / 16 area`` of the two together.
    cell_area : float
    """

    edges: NDArray[np.int64]
    smaller: NDArray[np.float64]
    larger: NDArray[np.float64]
    colour: NDArray[np.float64]
    lab: NDArray[np.float64]
    border: NDArray[np.float64]
    boundary: NDArray[np.float64]
    shape: NDArray[np.float64]
    cell_area: float

    @cached_property
    def edge_features(self) -> NDArray[np.float32]:
        """Input of a merge classifier, ``(e, EDGE_FEATURES)``: sizes in cells, logarithms of long tails.

        Colours are those of the three channels that the network gets, however many the picture has.
        """
        columns = (
            np.log(self.smaller / self.cell_area + 0.1),
            np.log(self.larger / self.cell_area + 0.1),
            np.log1p(np.sqrt(np.einsum("ij,ij->i", self.lab, self.lab))),
            np.log1p(np.abs(self.lab[:, 0])),
            self.boundary,
            np.log(self.border / np.sqrt(self.smaller) + 0.05),
            self.shape,
        )
        return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")

    def cost(self, options: Options, classifier: MergeClassifier | None) -> NDArray[np.float64]:
        """Cost of merging each pair."""
        weight = self.smaller * self.larger / (self.smaller + self.larger)
        if classifier is None:
            apart = self.colour + BOUNDARY_WEIGHT * self.boundary
        else:
            apart = COLOUR_SHARE * self.colour + CLASSIFIER_WEIGHT * classifier(self.edge_features)
        result: NDArray[np.float64] = weight * (apart + options.compactness**2 * (self.shape + EVENNESS))
        return result


class Observer(Protocol):
    """Follows the rounds of merging, for example to collect training samples."""

    def before(self, here: Round) -> None:
        """Receive the pairs of a round before any of them is merged."""

    def after(self, target: NDArray[np.int64]) -> None:
        """Receive the new index of each region of the round."""


@dataclass(frozen=True)
class Tree:
    """A binary tree of merges, in the order of merging: a cut undoes the last ones first.

    Attributes
    ----------
    leaves : int
        Number of regions, numbered in raster order of their first pixel.
    children : (m, 2) int64 array
        The two nodes of each merge; merge `k` makes node ``leaves + k``.
    height : (m,) float64 array
        Cost of each merge, not falling.
    """

    leaves: int
    children: NDArray[np.int64]
    height: NDArray[np.float64]

    @property
    def roots(self) -> int:
        """The smallest possible count: the connected components of the picture or its mask."""
        return self.leaves - len(self.children)

    def cut(self, count: int) -> NDArray[np.int64]:
        """Undo the last merges until `count` parts are left.

        Parameters
        ----------
        count : int
            From `roots` to `leaves`.

        Returns
        -------
        (leaves,) int64 array
            The part of each leaf, from 0 in raster order of first pixels.
        """
        assert self.roots <= count <= self.leaves
        done = self.leaves - count
        parent = np.arange(self.leaves + done)
        parent[self.children[:done]] = self.leaves + np.arange(done)[:, None]
        while True:
            above = parent[parent]
            if np.array_equal(above, parent):
                break
            parent = above
        return number_by_first(parent[: self.leaves])

    def is_sound(self) -> bool:
        """Whether every node has one parent, made after it, and heights are costs that do not fall."""
        merges = len(self.children)
        if self.children.shape != (merges, 2) or self.height.shape != (merges,):
            return False
        made_before = self.children < self.leaves + np.arange(merges)[:, None]
        once = len(np.unique(self.children)) == 2 * merges
        rising = bool((np.diff(self.height, prepend=0.0) >= 0).all() and np.isfinite(self.height).all())
        return once and rising and bool(made_before.all()) and bool((self.children >= 0).all())

    def count_at(self, height: float) -> int:
        """Number of parts when every merge of at most this height is done."""
        return self.leaves - int(np.searchsorted(self.height, height, side="right"))


def build(
    features: Features,
    edges: NDArray[np.int64],
    border: NDArray[np.float64],
    options: Options,
    strength: NDArray[np.float64] | None = None,
    classifier: MergeClassifier | None = None,
    observer: Observer | None = None,
) -> Tree:
    """Merge neighbouring regions, cheapest first, until none are left to merge.

    Parameters
    ----------
    features : Features
    edges : (e, 2) int64 array
        Regions that touch, the smaller first, each pair once.
    border : (e,) float64 array
        Length of the border that they share, as `Features.perimeter`.
    options : Options
        `compactness` is the weight ``m`` of shape against colour.
    strength : (e,) float64 array, optional
        Integral of the boundary probability along each border, from 0 to its length.
    classifier : MergeClassifier, optional
        Predicts what each merge loses; `strength` is then one of its inputs.
    observer : Observer, optional
        Follows the rounds.

    Returns
    -------
    Tree
    """
    leaves = len(features.area)
    state = _State.start(features)
    merges: list[NDArray[np.int64]] = []
    costs: list[NDArray[np.float64]] = []
    made = leaves
    # Two sums along the border between two regions: its length and its boundary probability.
    lines = np.column_stack([border, np.zeros_like(border) if strength is None else strength])
    while len(edges):
        border, strength = lines.T
        here = state.compare(edges, border, strength)
        if observer is not None:
            observer.before(here)
        cost = here.cost(options, classifier)
        chosen = _cheapest_of_both(edges, cost, len(state.area))
        pairs = edges[chosen]
        merges.append(state.node[pairs])
        costs.append(np.maximum(cost[chosen], state.height[pairs].max(axis=1)))
        target = state.merge(pairs, border[chosen], costs[-1], made)
        made += len(pairs)
        if observer is not None:
            observer.after(target)
        edges, lines = _relabel(edges, lines, target)
    if not merges:
        return Tree(leaves, np.empty((0, 2), np.int64), np.empty(0))
    return _sorted_tree(leaves, np.concatenate(merges), np.concatenate(costs))


@dataclass
class _State:
    """Regions that are left, in the order of their smallest leaves."""

    area: NDArray[np.float64]
    colour: NDArray[np.float64]  # (n, C) means
    lab: NDArray[np.float64]  # (n, 3) means
    perimeter: NDArray[np.float64]
    node: NDArray[np.int64]
    height: NDArray[np.float64]
    cell_area: float

    @classmethod
    def start(cls, features: Features) -> _State:
        number = len(features.area)
        return cls(
            features.area.copy(),
            features.colour.copy(),
            features.lab.copy(),
            features.perimeter.copy(),
            np.arange(number),
            np.zeros(number),
            features.cell_area,
        )

    def compare(
        self, edges: NDArray[np.int64], border: NDArray[np.float64], strength: NDArray[np.float64]
    ) -> Round:
        """Compare the regions that touch."""
        u, v = edges.T
        a, b = self.area[u], self.area[v]
        outline = self.perimeter[u] + self.perimeter[v] - 2 * border
        return Round(
            edges,
            np.minimum(a, b),
            np.maximum(a, b),
            _squared_distance(self.colour, u, v),
            self.lab[u] - self.lab[v],
            border,
            strength / border,
            outline * outline / (SQUARE * (a + b)),
            self.cell_area,
        )

    def merge(
        self,
        pairs: NDArray[np.int64],
        border: NDArray[np.float64],
        height: NDArray[np.float64],
        first_node: int,
    ) -> NDArray[np.int64]:
        """Merge disjoint pairs, drop the second of each, and return the new index of every region."""
        keep, gone = pairs.T
        together = self.area[keep] + self.area[gone]
        share = (self.area[gone] / together)[:, None]
        for mean in (self.colour, self.lab):
            mean[keep] += share * (mean[gone] - mean[keep])
        self.perimeter[keep] += self.perimeter[gone] - 2 * border
        self.area[keep] = together
        self.node[keep] = first_node + np.arange(len(pairs))
        self.height[keep] = height
        stays = np.ones(len(self.area), bool)
        stays[gone] = False
        target = np.cumsum(stays) - 1
        target[gone] = target[keep]
        for name in ("area", "colour", "lab", "perimeter", "node", "height"):
            setattr(self, name, getattr(self, name)[stays])
        return target


def _squared_distance(
    values: NDArray[np.float64], u: NDArray[np.int64], v: NDArray[np.int64]
) -> NDArray[np.float64]:
    total = np.zeros(len(u))
    for column in values.T:
        difference = column[u] - column[v]
        total += difference * difference
    return total


def _cheapest_of_both(edges: NDArray[np.int64], cost: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """Edges that are the cheapest of both their ends, cheapest first."""
    tiny = np.finfo(np.float64).tiny
    step = np.floor(STEPS_PER_OCTAVE * np.log2(np.maximum(cost, tiny))).astype(np.int32)
    order = np.lexsort((_hash(edges), step))
    backwards = order[::-1]
    best = np.full(number, -1, np.int64)  # of fancy assignment to one place the last one stays
    best[edges[backwards].ravel()] = np.repeat(backwards, 2)
    mutual = (best[edges[order, 0]] == order) & (best[edges[order, 1]] == order)
    chosen: NDArray[np.int64] = order[mutual]
    return chosen


def _hash(edges: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each edge that scatters neighbours (the finaliser of SplitMix64)."""
    u, v = edges.T.astype(np.uint64)
    x = u * np.uint64(0x9E3779B97F4A7C15) + v
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _relabel(
    edges: NDArray[np.int64], lines: NDArray[np.float64], target: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rename the ends of edges; drop those inside a region, sum up those between the same two."""
    moved = target[edges]
    low, high = moved.min(axis=1), moved.max(axis=1)
    apart = low != high
    number = int(target.max()) + 1
    codes, lines = low[apart] * number + high[apart], lines[apart]
    order = np.argsort(codes, kind="stable")
    codes, lines = codes[order], lines[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    pairs: NDArray[np.int64] = np.column_stack(np.divmod(codes[first], number))
    return pairs, np.add.reduceat(lines, first) if len(first) else lines[:0]


def _sorted_tree(leaves: int, children: NDArray[np.int64], height: NDArray[np.float64]) -> Tree:
    """Put merges in the order of their heights; a parent stays behind its children."""
    order = np.argsort(height, kind="stable")  # made later, at least as high: stable is enough
    place = np.arange(leaves + len(order))
    place[leaves + order] = leaves + np.arange(len(order))
    return Tree(leaves, place[children[order]], height[order])
