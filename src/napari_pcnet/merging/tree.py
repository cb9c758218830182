"""The tree of merges: neighbouring regions joined cheapest first (`cost`), cut at any count or height.

Crumbs join a neighbour first, at height 0 (`crumbs`). Then merging goes in rounds, each of every edge that is
the cheapest of both its ends: in numpy (`rounds`) or compiled (`compiled_rounds`). Heights are the exact
costs, made monotone.

The same base gives the same tree on every processor, for any number of threads, compiled or not: what is
summed up over regions and borders are whole numbers, and what is computed of them goes through `exact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import compiled_rounds, passes, rounds
from napari_pcnet.merging.cost import MergeClassifier
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.merging.rounds import Observer
from napari_pcnet.options import Options

ROWS_AT_ONCE = 1 << 16
"""Merges that are put in order at once."""


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
        nodes = self.leaves + done
        kind: type[np.signedinteger[Any]] = np.int32 if nodes <= np.iinfo(np.int32).max else np.int64
        number = np.arange(nodes, dtype=kind)
        parent, above = number.copy(), np.empty_like(number)
        parent[self.children[:done]] = number[self.leaves :, None]
        while True:  # `take` does not hold Python's lock
            np.take(parent, parent, out=above, mode="wrap")
            if np.array_equal(above, parent):
                break
            parent, above = above, parent
        roots, of_leaf = np.flatnonzero(parent == number), parent[: self.leaves]
        first = above  # its memory serves; of a root that is named again the last entry stays
        first[of_leaf[::-1]] = number[self.leaves - 1 :: -1]
        number[roots[np.argsort(first[roots])]] = np.arange(count)
        return np.take(number, of_leaf).astype(np.int64)

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
        children, height = compiled_rounds.merge_rounds(
            fast, graph, options, classifier, threads=threads, is_used_up=is_used_up
        )
    else:
        children, height = rounds.merge_rounds(graph, options, classifier, observer)
    return _sorted_tree(leaves, children, height)


def _sorted_tree(leaves: int, children: NDArray[np.integer], height: NDArray[np.float64]) -> Tree:
    """Put merges in the order of their heights; a parent stays behind its children."""
    order = np.argsort(height, kind="stable")  # made later, at least as high: stable is enough
    node = np.empty(len(order), children.dtype)
    node[order] = np.arange(leaves, leaves + len(order), dtype=node.dtype)
    placed = np.empty((len(order), 2), np.int64)
    for start in range(0, len(order), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        child = children[order[rows]]
        placed[rows] = np.where(child < leaves, child, node[np.maximum(child - leaves, 0)])
    return Tree(leaves, placed, height[order])
