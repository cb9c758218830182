"""The tree of merges: neighbouring regions joined cheapest first, cut at any count or height.

Two regions of ``a`` and ``b`` pixels cost ::

    a b / (a + b) * (|colour difference|^2 + m^2 (1 / r^2 + EVENNESS + ROUNDNESS_WEIGHT * loss of r))

with the colour of a region its mean (CIELAB for RGB), ``m`` the compactness, and ``r`` the roundness of the
two together, ``4 sqrt(area) / perimeter``: 1 for a square of any size, and less as a region gets longer or
more ragged. The first term is Ward's, the growth of the summed squared colour error. The others are free of
scale. So one tree serves every count, where with a fixed scale fine cuts would ignore shape and coarse ones
become a grid. `EVENNESS` weighs size alone, so that uniform pictures merge their smallest regions first. What
a merge loses of roundness, the mean of the two (by area) less that of their union, charges it with what it
spoils and not with what was ragged before. It is bounded, so that a boundary overrules it where thin things
lie side by side; and what becomes rounder gains nothing, or every spot would go to what surrounds it.

A network with a boundary decoder adds ``BOUNDARY_WEIGHT s``, where ``s`` is the mean boundary probability
along the common border. A network with a `MergeClassifier` adds ``CLASSIFIER_WEIGHT p`` instead and halves
the weight of colour (`COLOUR_SHARE`); ``p`` is the share of the smaller region that the merge is likely to
lose to another object. Merging by the expected loss alone, cheapest first, would be greedy for accuracy; the
rest of Ward's term keeps results sensible on pictures unlike the training data.

Crumbs join a neighbour first, at height 0 (`crumbs`). Then merging goes in rounds. Each round merges every
edge that is the cheapest of both its ends. Costs in one step of an eighth of an octave count as equal, and
among equals a hash of the two regions' numbers decides: in exact order a smooth gradient or a uniform picture
would merge one pair a round. Heights are the exact costs, made monotone.

The same base gives the same tree on every processor, for any number of threads, compiled or not: what is
summed up over regions and borders are whole numbers, and what is computed of them goes through `exact`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.memory import give_back
from napari_pcnet.geometry.picture import COLOUR_STEPS
from napari_pcnet.merging import crumbs, exact, passes
from napari_pcnet.merging.connectivity import number_by_first
from napari_pcnet.merging.exact import LAB_STEPS
from napari_pcnet.merging.regions import sums_by_code
from napari_pcnet.options import Options

STEPS_PER_OCTAVE = 8
"""Fineness in which costs are compared."""

OCTAVE = np.array([0.5 * 2 ** (step / STEPS_PER_OCTAVE) for step in range(1, STEPS_PER_OCTAVE)])
"""Where steps begin in the octave from 0.5 to 1."""

SMALLEST_COST = float(np.finfo(np.float64).tiny)
"""Costs below it are in its step: only normal numbers have one."""

BOUNDARY_WEIGHT = 1500.0
"""Weight of a boundary that is certain along the whole border, as a squared difference of colour."""

CLASSIFIER_WEIGHT = 10000.0
"""Weight of the share that a merge classifier expects to be lost, as a squared difference of colour. Chosen
on BSDS500 val, where accuracy hardly depends on it within a factor of 2."""

COLOUR_SHARE = 0.5
"""Factor on the weight of colour where a merge classifier is used."""

CLASSIFIER_ROWS = 1 << 11
"""Edges that are classified at once: their numbers stay in the cache of a core."""

COMPARED_AT_ONCE = 1 << 16
"""Pairs that compiled passes compare in one call, and rows that are put in order at once."""

PART = 1 << 18
"""Pairs that a thread takes at once. Fewer are not worth another thread, nor is their memory given back."""

SHRUNK = 0.9
"""Share of the pairs of which, when they are left, the memory of the others is given back."""

NARROW = (1 << 30) - 1
"""Largest entry of `build`'s lines for which 32 bits are enough: up to four become one in a round."""

LEFT_FOR_CRUMBS = (1 << 32) - 1 - NARROW
"""What crumbs may add to such an entry before the first round."""

EDGE_FEATURES = 7
"""Numbers that describe two touching regions to a merge classifier: `Round.edge_features`."""

EVENNESS = 2.0
"""Weight of size alone relative to shape (1 for a square): Ward's cost of a feature in which all regions
differ by the same amount. On uniform pictures shapes and sizes compete: ``napari-pcnet benchmark contract``
shows how far the largest superpixel is from the smallest."""

ROUNDNESS_WEIGHT = 56.0
"""Weight of the roundness that a merge loses, relative to shape. Chosen on the validation sets: superpixels
are rounder, with the accuracy and, at equal length of contours, the recall of a cost without it
(docs/models.md)."""

SQUARE = 16
"""Squared perimeter over area of a square."""

INPUT_STEPS = 1 << 10
WEIGHT_STEPS = 1 << 12
"""Steps in a unit of what goes into a layer of the merge classifier, and of its weights. Sums of their
products are whole numbers below 2**53, exact in float64 in any order."""

EXACT = 1 << 53
"""Whole numbers below this are exact in float64."""

LARGEST_INPUT = 1 << 20
"""Features are clipped here, in `INPUT_STEPS`, so that sums stay exact."""


@dataclass(frozen=True)
class Features:
    """Features of the regions that are merged: sums over their pixels, all of whole numbers.

    Attributes
    ----------
    area : (n,) array of whole numbers
        Pixels.
    colour : (n, C) int64 array
        What is compared: sums of CIELAB for grey and RGB, of the channels for others.
    lab : (n, 3) int64 array
        Sums of CIELAB, in `LAB_STEPS`, of the three channels that the network gets: `colour` itself for grey
        and RGB.
    perimeter : (n, 2) array of whole numbers
        Sides of pixels on the outline, including the image's frame: horizontal, vertical; or of both,
        ``(n, 1)``.
    cell_area : float
        Pixels of a cell of the lattice, the unit of area of a merge classifier.
    colour_unit : float
        Of a step of `colour`, where a difference of 1 is just visible.
    sides : tuple of float
        Length of a horizontal and of a vertical side, in sides of a square pixel of the same area.
    """

    area: NDArray[np.integer]
    colour: NDArray[np.int64]
    lab: NDArray[np.int64]
    perimeter: NDArray[np.integer]
    cell_area: float = 1.0
    colour_unit: float = 1 / LAB_STEPS
    sides: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of_lab(
        cls,
        area: NDArray[np.int64],
        lab: NDArray[np.float64],
        perimeter: NDArray[np.integer],
        cell_area: float = 1.0,
        sides: tuple[float, float] = (1.0, 1.0),
    ) -> Features:
        """Features of grey and RGB, from means of CIELAB, ``(n, 3)``."""
        sums = exact.lab_sums(area, lab)
        return cls(area, sums, sums, perimeter, cell_area, sides=sides)

    @property
    def colours(self) -> NDArray[np.int64]:
        """`lab`, and `colour` behind it where that is another one, ``(n, 3 + ...)``."""
        return np.concatenate([self.lab, self.colour], axis=1) if self.first_compared else self.lab

    @property
    def first_compared(self) -> int:
        """The first column of `colours` that is compared."""
        return 0 if self.colour is self.lab else self.lab.shape[1]

    def length(self, sides: NDArray[np.integer] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Length of horizontal and vertical sides, ``(n, 2)`` to ``(n,)``."""
        across, down = self.sides
        result: NDArray[np.float64] = sides[:, 0] * across + sides[:, 1] * down
        return result


@dataclass(frozen=True)
class MergeClassifier:
    """A small network that predicts what merging two regions loses: `model.MergeClassifierNetwork` in numpy.

    It computes in whole numbers, so that every processor gives the same.

    Attributes
    ----------
    layers : tuple of (weight (n_out, n_in), bias (n_out,)) float arrays
        The first takes `Round.edge_features`, the last has one output.
    slope : float
        Of the LeakyReLU between two layers, below zero.
    """

    layers: tuple[tuple[NDArray[np.floating], NDArray[np.floating]], ...]
    slope: float

    def __post_init__(self) -> None:
        largest: np.floating | float = LARGEST_INPUT
        for weight, bias in self.layers:
            sums = np.abs(weight.astype(np.float64)).sum(1) * largest + np.abs(bias) * INPUT_STEPS
            largest = sums.max() + 1  # of a sum in the input steps of the next layer, rounded
            if not largest * WEIGHT_STEPS < EXACT:  # NaN, too
                raise ValueError("the sums of a merge classifier must be below 2**53 in its steps")

    @cached_property
    def steps(self) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
        """Weights ``(n_in, n_out)`` and biases, in whole steps."""
        return tuple(
            (
                np.rint(weight.T.astype(np.float64) * WEIGHT_STEPS),
                np.rint(bias.astype(np.float64) * (WEIGHT_STEPS * INPUT_STEPS)),
            )
            for weight, bias in self.layers
        )

    def __call__(self, edge_features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected share of the smaller region's pixels that is lost: ``(e, EDGE_FEATURES)`` to ``(e,)``."""
        shares = np.empty(len(edge_features))
        for start in range(0, len(edge_features), CLASSIFIER_ROWS):
            values = edge_features[start : start + CLASSIFIER_ROWS] * INPUT_STEPS
            np.clip(values, -LARGEST_INPUT, LARGEST_INPUT, out=values)
            for number, (weight, bias) in enumerate(self.steps):
                if number:
                    values *= 1 / WEIGHT_STEPS
                    np.maximum(values, self.slope * values, out=values)
                values += 0.5
                values = np.floor(values, out=values) @ weight
                values += bias
            shares[start : start + CLASSIFIER_ROWS] = exact.logistic(
                values[:, 0] / (WEIGHT_STEPS * INPUT_STEPS)
            )
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
    roundness_lost : (e,) float64 array
        Mean of the roundness of the two, by area, less that of the two together; 0 if that is higher.
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
    roundness_lost: NDArray[np.float64]
    cell_area: float

    @cached_property
    def edge_features(self) -> NDArray[np.float64]:
        """Input of a merge classifier, ``(e, EDGE_FEATURES)``: sizes in cells, logarithms of long tails.

        Colours are those of the three channels that the network gets, however many the picture has.
        """
        lightness, a, b = self.lab.T
        columns = (
            exact.log(self.smaller / self.cell_area + 0.1),
            exact.log(self.larger / self.cell_area + 0.1),
            exact.log(1 + np.sqrt(lightness * lightness + a * a + b * b)),
            exact.log(1 + np.abs(lightness)),
            self.boundary,
            exact.log(self.border / np.sqrt(self.smaller) + 0.05),
            self.shape,
        )
        return np.stack(columns, axis=1)

    def cost(self, options: Options, classifier: MergeClassifier | None) -> NDArray[np.float64]:
        """Cost of merging each pair."""
        weight = self.smaller * self.larger / (self.smaller + self.larger)
        if classifier is None:
            apart = self.colour + BOUNDARY_WEIGHT * self.boundary
        else:
            apart = COLOUR_SHARE * self.colour + CLASSIFIER_WEIGHT * classifier(self.edge_features)
        square = options.compactness * options.compactness
        shape = self.shape + EVENNESS + ROUNDNESS_WEIGHT * self.roundness_lost
        result: NDArray[np.float64] = weight * (apart + square * shape)
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
        height = np.append(0.0, self.height)
        rising = bool((height[1:] >= height[:-1]).all() and np.isfinite(height).all())
        return once and rising and bool(made_before.all()) and bool((self.children >= 0).all())

    def count_at(self, height: float) -> int:
        """Number of parts when every merge of at most this height is done."""
        return self.leaves - int(np.searchsorted(self.height, height, side="right"))


@dataclass
class Graph:
    """Regions and which of them touch: what a tree is built of.

    Attributes
    ----------
    features : Features
    edges : (e, 2) array of whole numbers
        Regions that touch, the smaller first, each pair once.
    lines : (e, 4) array of whole numbers
        Of each border its horizontal and its vertical sides, and the boundary probability summed up over the
        two pixels of each, in `COLOUR_STEPS`, likewise; 0 without a boundary map. Of regions that crumbs have
        joined, where sides are as long in both directions, they may be summed up: ``(e, 2)``, with
        perimeters ``(n, 1)``.
    joined : crumbs.Joined, optional
        If crumbs have joined these regions. The tree then merges them as the tree of all pieces does once its
        crumbs have joined.
    """

    features: Features
    edges: NDArray[np.integer]
    lines: NDArray[np.integer]
    joined: crumbs.Joined | None = None

    def clear(self) -> None:
        """Let go of everything."""
        self.joined = None
        nothing = np.empty((0, 4), np.int64)
        self.features = Features(nothing[:, 0], nothing[:, :3], nothing[:, :3], nothing[:, :2])
        self.edges, self.lines = nothing[:, :2], nothing


def build(
    features: Features,
    edges: NDArray[np.integer],
    lines: NDArray[np.integer],
    options: Options,
    classifier: MergeClassifier | None = None,
    observer: Observer | None = None,
) -> Tree:
    """Merge neighbouring regions, cheapest first, until none are left to merge.

    Parameters
    ----------
    features, edges, lines
        As in `Graph`.
    options : Options
        `compactness` is the weight ``m`` of shape against colour.
    classifier : MergeClassifier, optional
        Predicts what each merge loses; the boundary is then one of its inputs.
    observer : Observer, optional
        Follows the rounds.

    Returns
    -------
    Tree
    """
    return _built(Graph(features, edges, lines), options, classifier, observer, is_used_up=False)


def build_using_up(
    graph: Graph, options: Options, classifier: MergeClassifier | None = None, *, threads: int = 1
) -> Tree:
    """Merge as `build` does, in the memory of the graph, which is empty afterwards.

    The memory serves if edges are int32, lines uint32, areas and perimeters uint32 (int64 where they are
    more together); what is of another type is copied, and areas of int64 stay as they are. Compiled passes
    compare pairs in so many threads.
    """
    return _built(graph, options, classifier, None, is_used_up=True, threads=threads)


def _built(
    graph: Graph,
    options: Options,
    classifier: MergeClassifier | None,
    observer: Observer | None,
    *,
    is_used_up: bool,
    threads: int = 1,
) -> Tree:
    leaves = len(graph.features.area)
    passes.count(regions=leaves)
    fast = passes.compiled()
    if fast is not None and observer is None:
        with _in_threads(threads) as each:
            children, height = _compiled_rounds(fast, graph, options, classifier, each, is_used_up)
    else:
        children, height = _merge_rounds(graph, options, classifier, observer)
    return _sorted_tree(leaves, children, height)


def _merge_rounds(
    graph: Graph, options: Options, classifier: MergeClassifier | None, observer: Observer | None
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Children and cost of each merge, in the order in which they are made."""
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
        key[stale] = _keys(cost[stale], state.first[here.edges])
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


def _compiled_rounds(
    fast: ModuleType,
    graph: Graph,
    options: Options,
    classifier: MergeClassifier | None,
    each: _Each,
    is_used_up: bool,
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """`_merge_rounds` by compiled passes, in some 110 bytes a region.

    A region goes by its smallest leaf. Only pairs of regions that changed are compared anew, and only they
    can become one. Of a pair its step is kept; its cost is worked out again when it is merged.
    """
    lines, left = graph.lines, len(graph.edges)
    largest, upper = int(lines.max(initial=0)), np.empty((0, lines.shape[1]), np.uint32)
    if largest > NARROW:
        upper = (lines >> 32).astype(np.uint32) if lines.itemsize > 4 else np.zeros(lines.shape, np.uint32)
    pairs = fast.Pairs(
        _owned(graph.edges, np.int32, is_used_up),
        _owned(lines, np.uint32, is_used_up),
        upper,
        np.full(left, fast.STALE, np.int16),
    )
    regions = _regions(fast, graph, is_used_up)
    rules = _rules(fast, graph.features, options, classifier)
    area, joined = graph.features.area, graph.joined
    if is_used_up:
        graph.clear()
    del graph, lines, upper
    comparing = _Comparing(fast, regions, _flat(classifier, fast.ROWS_AT_ONCE), rules)
    pairs, left, children = _join_crumbs(fast, pairs, regions, rules, area, joined)
    del area, joined
    heights, made = np.zeros(len(children)), len(children)
    while left:
        each(partial(comparing.stale, pairs), left)
        most = (len(regions.node) - made) // 2
        found, keys = np.empty(most, np.int32), np.empty(most, np.int64)
        number = fast.cheapest_of_both(
            left, pairs.ends, pairs.step, regions.best, regions.number, found, keys
        )
        chosen = found[:number][np.argsort(keys[:number])]
        del found, keys
        children.resize((made + number, 2), refcheck=False)  # moved, not copied, where the system can
        heights.resize(made + number, refcheck=False)
        each(partial(comparing.chosen, pairs, chosen, heights[made:]), number)
        fast.merge(chosen, pairs, regions, children, heights, made)
        made += number
        del chosen
        pairs, left = _relabel_compiled(fast, pairs, left, regions)
    return children, heights


_Each = Callable[[Callable[[int, int], None], int], None]
"""``each(work, number)`` calls ``work(start, stop)`` for parts of so many."""


@contextmanager
def _in_threads(number: int) -> Iterator[_Each]:
    """Work on parts in so many threads, if there are several parts."""
    with ThreadPoolExecutor(number) as pool:  # starts none before there is work

        def each(work: Callable[[int, int], None], number: int) -> None:
            if number <= PART:
                work(0, number)
                return
            parts = [(start, min(start + PART, number)) for start in range(0, number, PART)]
            for _ in pool.map(work, *zip(*parts, strict=True)):
                pass

        yield each


@dataclass
class _Comparing:
    """Compares parts of the pairs of a round, each in a thread of its own."""

    fast: ModuleType
    regions: Any
    network: tuple[NDArray[np.int64], NDArray[np.float64]]  # as in `_flat`
    rules: Any

    def stale(self, pairs: Any, start: int, stop: int) -> None:
        """Work out the steps of the pairs between two rows whose costs are not known."""
        these, cost = np.empty(COMPARED_AT_ONCE, np.int32), np.empty(COMPARED_AT_ONCE)
        while start < stop:
            number, start = self.fast.find_stale(start, stop, pairs.step, these)
            self._compare(pairs, these, number, cost)

    def chosen(
        self, pairs: Any, these: NDArray[np.int32], cost: NDArray[np.float64], start: int, stop: int
    ) -> None:
        """Work out the costs of these pairs between two rows."""
        self._compare(pairs, these[start:stop], stop - start, cost[start:stop])

    def _compare(self, pairs: Any, these: NDArray[np.int32], number: int, cost: NDArray[np.float64]) -> None:
        room = np.zeros((3, max(self.network[0]) + self.fast.ROWS_AT_ONCE, self.fast.LANES))
        self.fast.compare(these, number, pairs, self.regions, *self.network, room, self.rules, cost)


def _join_crumbs(
    fast: ModuleType,
    pairs: Any,
    regions: Any,
    rules: Any,
    area: NDArray[np.integer],
    joined: crumbs.Joined | None,
) -> tuple[Any, int, NDArray[np.integer]]:
    """Merge crumbs into their hosts: pairs, how many are left, and the merges."""
    left, measures = len(pairs.ends), ((rules.across, rules.down), rules.cell_area)
    host = crumbs.find_hosts(area, pairs.ends, pairs.lines, *measures, joined)
    joining = crumbs.by_size(area, host)
    children = np.empty((len(joining), 2), regions.node.dtype)
    if len(joining):
        added = crumbs.largest_sum(host, joining, rules.cell_area, 2 * COLOUR_STEPS)
        if not len(pairs.upper) and added > LEFT_FOR_CRUMBS:
            pairs = pairs._replace(upper=np.zeros((left, pairs.lines.shape[1]), np.uint32))
        fast.join(joining, host, regions, children)
        pairs, left = _relabel_compiled(fast, pairs, left, regions)
    return pairs, left, children


def _relabel_compiled(fast: ModuleType, pairs: Any, left: int, regions: Any) -> tuple[Any, int]:
    """Pairs, and how many there are, after a round."""
    changed = fast.count_changed(left, pairs.ends, regions.best)
    left, largest = fast.relabel(left, pairs, regions, np.full(changed + 1, -1, np.int32))
    if len(pairs.ends) > PART and left < SHRUNK * len(pairs.ends):
        for array in pairs:
            if array.flags.owndata and len(array):
                array.resize((left, *array.shape[1:]), refcheck=False)  # nobody else knows it any more
        give_back()
    if largest > NARROW and not len(pairs.upper):
        pairs = pairs._replace(upper=np.zeros((left, pairs.lines.shape[1]), np.uint32))
    return pairs, left


def _owned(array: NDArray[Any], kind: type[np.generic], is_used_up: bool) -> NDArray[Any]:
    """An array of a type that may be written to: itself if it may be used up and is one."""
    if is_used_up and array.dtype == kind and array.flags.carray:
        return array
    return array.astype(kind, order="C")


def _regions(fast: ModuleType, graph: Graph, is_used_up: bool) -> Any:
    """The regions at the start, as compiled passes take them."""
    features, joined = graph.features, graph.joined
    leaves = len(features.area)
    totals = int(features.area.sum()), int(features.perimeter.sum(dtype=np.int64))
    kind = np.uint32 if max(totals) <= np.iinfo(np.uint32).max else np.int64
    node = np.int32 if 2 * leaves <= np.iinfo(np.int32).max else np.int64
    return fast.Regions(
        _owned(features.colours, np.int64, is_used_up),
        _owned(features.area, kind, is_used_up and kind == np.uint32),  # int64 is for others to read, too
        _owned(features.perimeter, kind, is_used_up),
        np.arange(leaves, dtype=node),
        np.empty(leaves, np.int32),
        np.empty(0, np.int32) if joined is None else joined.first,
    )


def _round_area(area: NDArray[np.float64], perimeter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area times roundness."""
    result: NDArray[np.float64] = area * (np.sqrt(SQUARE * area) / perimeter)
    return result


def _flat(
    classifier: MergeClassifier | None, rows_at_once: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of inputs and outputs of a classifier's layers, and all their weights and biases.

    Behind the weights of a layer are zeros, so that its rows can be taken so many at once.
    """
    layers = () if classifier is None else classifier.steps
    sizes = [EDGE_FEATURES, *(len(bias) for _, bias in layers)]
    flat = [
        np.concatenate([weight, np.zeros((-len(weight) % rows_at_once, len(bias))), bias[None]]).ravel()
        for weight, bias in layers
    ]
    return np.array(sizes), np.concatenate(flat) if flat else np.empty(0)


def _rules(fast: ModuleType, features: Features, options: Options, classifier: MergeClassifier | None) -> Any:
    """The numbers that `Round.cost` computes with, as compiled passes take them."""
    return fast.Rules(
        first_compared=features.first_compared,
        cell_area=float(features.cell_area),
        colour_unit=features.colour_unit,
        across=float(features.sides[0]),
        down=float(features.sides[1]),
        shape_weight=float(options.compactness * options.compactness),
        slope=0.0 if classifier is None else classifier.slope,
        boundary_weight=BOUNDARY_WEIGHT,
        classifier_weight=CLASSIFIER_WEIGHT,
        colour_share=COLOUR_SHARE,
        evenness=EVENNESS,
        roundness_weight=ROUNDNESS_WEIGHT,
        square=float(SQUARE),
        colour_steps=float(COLOUR_STEPS),
        lab_unit=1 / LAB_STEPS,
        input_steps=float(INPUT_STEPS),
        weight_unit=1 / WEIGHT_STEPS,
        largest_input=float(LARGEST_INPUT),
        smallest_cost=SMALLEST_COST,
        octave=tuple(OCTAVE.tolist()),
        log2_series=exact.LOG2_SERIES,
        root_half=exact.ROOT_HALF,
        ln_2=exact.LN_2,
        exp2_series=exact.EXP2_SERIES,
        log2_e=exact.LOG2_E,
        steepest=exact.STEEPEST,
    )


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


def _keys(cost: NDArray[np.float64], leaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in the order of merging: the step of the cost above 48 bits of the hash.

    `leaves` are the smallest of both ends.
    """
    keys: NDArray[np.int64] = (_step(cost) << 48) | (_hash(leaves) >> np.uint64(16)).astype(np.int64)
    return keys


def _step(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps of an eighth of an octave that costs lie in."""
    mantissa, exponent = np.frexp(np.maximum(cost, SMALLEST_COST))
    steps: NDArray[np.int64] = STEPS_PER_OCTAVE * exponent + np.searchsorted(OCTAVE, mantissa, side="right")
    return steps


def _hash(edges: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each edge that scatters neighbours (the finaliser of SplitMix64)."""
    u, v = edges.T.astype(np.uint64)
    x = u * np.uint64(0x9E3779B97F4A7C15) + v
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


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


def _sorted_tree(leaves: int, children: NDArray[np.integer], height: NDArray[np.float64]) -> Tree:
    """Put merges in the order of their heights; a parent stays behind its children."""
    order = np.argsort(height, kind="stable")  # made later, at least as high: stable is enough
    node = np.empty(len(order), children.dtype)
    node[order] = np.arange(leaves, leaves + len(order), dtype=node.dtype)
    placed = np.empty((len(order), 2), np.int64)
    for start in range(0, len(order), COMPARED_AT_ONCE):
        rows = slice(start, start + COMPARED_AT_ONCE)
        child = children[order[rows]]
        placed[rows] = np.where(child < leaves, child, node[np.maximum(child - leaves, 0)])
    return Tree(leaves, placed, height[order])
