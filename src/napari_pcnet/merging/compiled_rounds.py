"""Rounds of merging by compiled passes, in some 110 bytes a region: the merges of `rounds`.

A region goes by its smallest leaf. Only pairs of regions that changed are compared anew, and only they can
become one. Of a pair its step is kept; its cost is worked out again when it is merged.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, TypeVar

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

MOST_RANGES = 8
"""Ranges of regions that threads take: for each of them all pairs are looked at."""

SHRUNK = 0.9
"""Share of the pairs of which, when they are left, the memory of the others is given back."""

NARROW = (1 << 30) - 1
"""Largest entry of `build`'s lines for which 32 bits are enough: up to four become one in a round."""

LEFT_FOR_CRUMBS = (1 << 32) - 1 - NARROW
"""What crumbs may add to such an entry before the first round."""

Answer = TypeVar("Answer")


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
    with ThreadPoolExecutor(threads) as pool:  # starts none before there is work
        return _rounds(fast, graph, options, classifier, _Threads(threads, pool), is_used_up)


def _rounds(
    fast: ModuleType,
    graph: Graph,
    options: Options,
    classifier: MergeClassifier | None,
    threads: _Threads,
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
    pairs, left, children = _join_crumbs(fast, pairs, regions, rules, area, joined, threads)
    del area, joined
    heights, made = np.zeros(len(children)), len(children)
    while left:
        threads.over_parts(partial(comparing.stale, pairs), left)
        chosen = _cheapest_of_both(fast, pairs, left, regions, (len(regions.node) - made) // 2, threads)
        number = len(chosen)
        children.resize((made + number, 2), refcheck=False)  # moved, not copied, where the system can
        heights.resize(made + number, refcheck=False)
        threads.over_parts(partial(comparing.chosen, pairs, chosen, heights[made:]), number)
        threads.over_parts(partial(fast.merge, chosen, pairs, regions, children, heights, made), number)
        made += number
        del chosen
        pairs, left = _after_merges(fast, pairs, left, regions, threads)
    return children, heights


class _Threads:
    """Threads that share what is done with the pairs of a round, if these are many.

    Parameters
    ----------
    number : int
    pool : ThreadPoolExecutor
        Of so many.
    """

    def __init__(self, number: int, pool: ThreadPoolExecutor) -> None:
        self._number, self._pool = number, pool

    def over_parts(self, work: Callable[[int, int], Answer], number: int) -> list[Answer]:
        """What ``work(start, stop)`` answers for each part of so many, in their order."""
        size = number if self._number == 1 else PART
        starts = range(0, number, max(1, size))
        return self._done(work, [(start, min(start + size, number)) for start in starts])

    def over_regions(
        self, work: Callable[[int, int], Answer], pairs: Any, left: int, regions: Any
    ) -> list[Answer]:
        """What ``work(low, high)`` answers for ranges of all regions with about as many pairs each."""
        shares = min(self._number, MOST_RANGES) if left > PART else 1
        inner = np.sort(pairs.ends[left * np.arange(1, shares) // shares, 0])
        ends = [0, *np.maximum(inner, 0).tolist(), len(regions.node)]  # of a pair inside a region they are -1
        return self._done(work, list(pairwise(ends)))

    def _done(self, work: Callable[[int, int], Answer], parts: list[tuple[int, int]]) -> list[Answer]:
        if len(parts) == 1:
            return [work(*parts[0])]
        return list(self._pool.map(lambda part: work(*part), parts))


def _cheapest_of_both(
    fast: ModuleType, pairs: Any, left: int, regions: Any, most: int, threads: _Threads
) -> NDArray[np.int32]:
    """The pairs that are the cheapest of both their ends, at most so many, cheapest first."""
    of_pairs = pairs.ends, pairs.step, regions.number, regions.best
    threads.over_regions(partial(fast.find_best, left, *of_pairs), pairs, left, regions)

    def found(start: int, stop: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        room = min(most, stop - start)
        chosen, keys = np.empty(room, np.int32), np.empty(room, np.int64)
        number = fast.find_cheapest_of_both(*of_pairs, start, stop, chosen, keys)
        return chosen[:number].copy(), keys[:number].copy()  # few of the part

    chosen, keys = map(np.concatenate, zip(*threads.over_parts(found, left), strict=True))
    return chosen[np.argsort(keys)]


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
    threads: _Threads,
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
        fast.rename(pairs, regions, 0, left)  # of several that join one host, all in one thread
        pairs, left = _summed_up(fast, pairs, left, regions, threads)
    return pairs, left, children


def _after_merges(
    fast: ModuleType, pairs: Any, left: int, regions: Any, threads: _Threads
) -> tuple[Any, int]:
    """Pairs, and how many there are, after a round."""
    threads.over_parts(partial(fast.rename, pairs, regions), left)
    return _summed_up(fast, pairs, left, regions, threads)


def _summed_up(fast: ModuleType, pairs: Any, left: int, regions: Any, threads: _Threads) -> tuple[Any, int]:
    """Pairs, and how many there are, when those that are one now are summed up."""

    def sum_up(low: int, high: int) -> int:
        places = np.full(fast.count_changed(left, pairs, low, high) + 1, -1, np.int32)
        largest: int = fast.sum_up(left, pairs, low, high, places)
        return largest

    largest = max(threads.over_regions(sum_up, pairs, left, regions))
    left = _moved_up(pairs, threads.over_parts(partial(fast.keep, pairs), left))
    if len(pairs.ends) > PART and left < SHRUNK * len(pairs.ends):
        for array in pairs:
            if array.flags.owndata and len(array):
                array.resize((left, *array.shape[1:]), refcheck=False)  # nobody else knows it any more
        give_back()
    if largest > NARROW and not len(pairs.upper):
        pairs = pairs._replace(upper=np.zeros((left, pairs.lines.shape[1]), np.uint32))
    return pairs, left


def _moved_up(pairs: Any, kept: list[int]) -> int:
    """Close the gaps behind what `keep` kept of each part of `over_parts`; return how many are kept."""
    left = kept[0]
    for part, number in enumerate(kept[1:], 1):
        for array in filter(len, pairs):
            array[left : left + number] = array[part * PART : part * PART + number]
        left += number
    return left


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
