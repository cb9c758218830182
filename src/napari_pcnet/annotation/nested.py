"""Regions nested in one another: a line on which every node of the merge trees is an interval.

A *region* has its number in `PCNetHierarchy.base`; its *rank* is its place in depth-first order, plane after
plane. A *node* is a region or a merge: regions come first, under their own numbers, then the merges of the
first plane, in their order, and so on. The regions of a node follow one another in rank, so a node is a slice
of whatever is stored by rank.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.groups import reduced
from napari_pcnet.merging.tree import Tree

NO_NODE = -1
"""Stands for the parent of a root."""


@dataclass(frozen=True, eq=False)
class NestedRegions:
    """The nodes of one tree or many as intervals of ranks.

    Attributes
    ----------
    trees : tuple of Tree
        The merges in each plane.
    rank : (n,) int64 array
        Of each region.
    order : (n,) int64 array
        The region of each rank.
    first, end : (nodes,) int64 array
        The ranks of each node: from `first` on, before `end`.
    parent : (nodes,) int64 array
        `NO_NODE` for roots.
    children : (merges, 2) int64 array
        The two nodes of each merge.
    """

    trees: tuple[Tree, ...]
    rank: NDArray[np.int64]
    order: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    parent: NDArray[np.int64]
    children: NDArray[np.int64]

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> NestedRegions:
        """Number the regions of trees in depth-first order."""
        children = _children_of_all(trees)
        regions = sum(tree.leaves for tree in trees)
        nodes = regions + len(children)
        parent = np.full(nodes, NO_NODE)
        parent[children] = np.arange(regions, nodes)[:, None]
        plane = np.repeat(np.arange(len(trees)), [tree.leaves for tree in trees])
        merge_plane = np.repeat(np.arange(len(trees)), [len(tree.children) for tree in trees])
        roots = np.flatnonzero(parent == NO_NODE)
        roots = roots[np.argsort(np.append(plane, merge_plane)[roots], kind="stable")]
        levels = _levels(roots, children, regions)
        size = np.ones(nodes, np.int64)
        for level in reversed(levels):
            merges = level[level >= regions]
            size[merges] = size[children[merges - regions]].sum(axis=1)
        first = np.zeros(nodes, np.int64)
        first[roots] = np.cumsum(size[roots]) - size[roots]
        for level in levels:
            merges = level[level >= regions]
            one, other = children[merges - regions].T
            first[one] = first[merges]
            first[other] = first[merges] + size[one]
        rank = first[:regions]
        order = np.empty(regions, np.int64)
        order[rank] = np.arange(regions)
        return cls(tuple(trees), rank, order, first, first + size, parent, children)

    @property
    def regions(self) -> int:
        """How many there are, in all planes."""
        return len(self.rank)

    def span(self, node: int) -> tuple[int, int]:
        """The ranks of a node: the first, and the one behind the last."""
        return int(self.first[node]), int(self.end[node])

    def node_at(self, region: int, counts: Sequence[int]) -> int:
        """The node of a cut that holds a region.

        Parameters
        ----------
        region : int
        counts : sequence of int
            How many parts each plane has in the cut, as `PCNetHierarchy.counts` gives them.
        """
        plane = bisect_right(self._region_ends, region)
        behind = self._merges_done(plane, counts[plane])
        node = region
        while (above := int(self.parent[node])) != NO_NODE and above < behind:
            node = above
        return node

    def parent_of(self, node: int) -> int:
        """The node that a node is merged into; a root itself."""
        above = int(self.parent[node])
        return node if above == NO_NODE else above

    def child_of(self, node: int, region: int) -> int:
        """The child of a node that holds a region of it; the node itself if it is a region."""
        if node < self.regions:
            return node
        one, other = (int(each) for each in self.children[node - self.regions])
        return one if self.first[one] <= self.rank[region] < self.end[one] else other

    def sibling_of(self, node: int) -> int:
        """The other child of a node's parent; a root itself."""
        above = int(self.parent[node])
        if above == NO_NODE:
            return node
        one, other = (int(each) for each in self.children[above - self.regions])
        return other if node == one else one

    def starts(self, counts: Sequence[int]) -> NDArray[np.int64]:
        """The first rank of each part of a cut, in order, ``(parts,)``; `counts` as in `node_at`."""
        made = np.zeros(len(self.parent) + 1, bool)  # one more, which stays False, is the parent of roots
        made[: self.regions] = True
        for plane, count in enumerate(counts):
            made[self._merge_begins[plane] : self._merges_done(plane, count)] = True
        parts = made[:-1] & ~made[self.parent]
        return np.sort(self.first[parts])

    def parts_with(self, regions: NDArray[np.bool_], counts: Sequence[int]) -> int:
        """How many parts of a cut hold one of the marked regions ``(n,)``; `counts` as in `node_at`."""
        marked = reduced(np.logical_or, regions[self.order], self.starts(counts))
        return int(np.count_nonzero(marked))

    @cached_property
    def _region_ends(self) -> list[int]:
        """Of each plane the region behind its last."""
        return [*accumulate(tree.leaves for tree in self.trees)]

    @cached_property
    def _merge_begins(self) -> list[int]:
        """The first merge of each plane, as a node."""
        return [*accumulate((len(tree.children) for tree in self.trees), initial=self.regions)][:-1]

    def _merges_done(self, plane: int, count: int) -> int:
        """The first merge of a plane that a cut undoes, as a node."""
        return self._merge_begins[plane] + self.trees[plane].leaves - count


def _children_of_all(trees: Sequence[Tree]) -> NDArray[np.int64]:
    """The children of the merges of all trees, as nodes of all."""
    regions = sum(tree.leaves for tree in trees)
    first_region, first_merge = 0, regions
    tables = [np.empty((0, 2), np.int64)]
    for tree in trees:
        is_merge = tree.children >= tree.leaves
        tables.append(tree.children + np.where(is_merge, first_merge - tree.leaves, first_region))
        first_region += tree.leaves
        first_merge += len(tree.children)
    return np.concatenate(tables)


def _levels(roots: NDArray[np.int64], children: NDArray[np.int64], regions: int) -> list[NDArray[np.int64]]:
    """Nodes by how many merges lie above them: roots first."""
    levels, level = [], roots
    while len(level):
        levels.append(level)
        level = children[level[level >= regions] - regions].ravel()
    return levels
