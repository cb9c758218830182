"""Rounds of merging by compiled passes, in some 110 bytes a region: the merges of `rounds`.

A region goes by its smallest leaf. Only pairs of regions that changed are compared anew, and only they can
become one. Of a pair its step is kept; its cost is worked out again when it is merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.memory import give_back
from napari_pcnet.geometry.picture import COLOUR_STEPS
from napari_pcnet.merging import crumbs, exact
from napari_pcnet.merging.cost import (
    BOUNDARY_WEIGHT,
    CLASSIFIER_WEIGHT,
    COLOUR_SHARE,
    EDGE_FEATURES,
    EVENNESS,
    INPUT_STEPS,
    LARGEST_INPUT,
    OCTAVE,
    ROUNDNESS_WEIGHT,
    SMALLEST_COST,
    SQUARE,
    WEIGHT_STEPS,
    MergeClassifier,
)
from napari_pcnet.merging.exact import LAB_STEPS
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.options import Options

COMPARED_AT_ONCE = 1 << 16
"""Pairs that are compared in one call."""

PART = 1 << 18
"""Pairs that a thread takes at once. Fewer are not worth another thread, nor is their memory given back."""

SHRUNK = 0.9
"""Share of the pairs of which, when they are left, the memory of the others is given back."""

NARROW = (1 << 30) - 1
"""Largest entry of `build`'s lines for which 32 bits are enough: up to four become one in a round."""

LEFT_FOR_CRUMBS = (1 << 32) - 1 - NARROW
"""What crumbs may add to such an entry before the first round."""


def merge_rounds(
    fast: ModuleType,
    graph: Graph,
    options: Options,
    classifier: MergeClassifier | None,
    *,
    threads: int,
    is_used_up: bool,
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Children and cost of each merge, in the order in which they are made.

    Parameters
    ----------
    fast : module
        The compiled passes.
    graph : Graph
        Cleared if it may be used up.
    options, classifier, threads
        As in `tree.build_using_up`.
    is_used_up : bool
        Whether merging may take the memory of the graph.

    Returns
    -------
    (merges, 2) array of int
    (merges,) float64 array
    """
    with _in_threads(threads) as each:
        return _rounds(fast, graph, options, classifier, each, is_used_up)


def _rounds(
    fast: ModuleType,
    graph: Graph,
    options: Options,
    classifier: MergeClassifier | None,
    each: _Each,
    is_used_up: bool,
) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
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
