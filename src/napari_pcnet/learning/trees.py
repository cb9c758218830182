"""Decision trees as arrays: they vote for regions, and are looked over before they do.

A node sends a region to its first child where the feature is at most the threshold, else to the second. Nodes
of all trees stand in one table, each before its children, so that every way down ends; a leaf is its own
child.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 512
"""Regions that go down all trees together: their way fits into the cache."""

MOST_NODES = 1 << 30
"""Of twice as many, 32 bits could not number the children."""


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Trees:
    """Trees that vote.

    Attributes
    ----------
    root : (t,) int32 array
        The first node of each tree.
    feature : (nodes,) int32 array
        Which column a node looks at; 0 in a leaf.
    threshold : (nodes,) float32 array
        Infinite in a leaf.
    children : (nodes, 2) int32 array
    share : (nodes, K) float32 array
        What the training rows of a node are, by class; each row sums to 1.
    """

    root: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    children: NDArray[np.int32]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, fitted: Any) -> Trees:
        """Take the trees of a fitted `sklearn.ensemble.RandomForestClassifier`."""
        parts = [each.tree_ for each in fitted.estimators_]
        root = np.cumsum([0, *(part.node_count for part in parts[:-1])])
        left, right = (
            np.concatenate([getattr(part, f"children_{side}") for part in parts])
            for side in ("left", "right")
        )
        start = np.repeat(root, [part.node_count for part in parts])
        is_leaf = left < 0
        own = np.arange(len(start))
        children = np.column_stack([np.where(is_leaf, own, start + each) for each in (left, right)])
        feature = np.where(is_leaf, 0, np.concatenate([part.feature for part in parts]))
        threshold = _at_most(np.where(is_leaf, np.inf, np.concatenate([part.threshold for part in parts])))
        value = np.concatenate([part.value[:, 0] for part in parts])
        share = (value / value.sum(axis=1, keepdims=True)).astype(np.float32)
        return cls(
            root.astype(np.int32), feature.astype(np.int32), threshold, children.astype(np.int32), share
        )

    def votes(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the trees say of rows ``(n, d)`` of features: the mean share of each class, ``(n, K)``."""
        parts = [self._votes(rows[at : at + ROWS_AT_ONCE]) for at in range(0, len(rows), ROWS_AT_ONCE)]
        return np.concatenate([np.empty((0, self.share.shape[1])), *parts])

    def is_sound(self, features: int, classes: int) -> bool:
        """Whether these are trees on this many features and classes, in which every way ends in a leaf."""
        nodes = self.feature.size
        shapes = {
            "feature": (nodes,),
            "threshold": (nodes,),
            "children": (nodes, 2),
            "share": (nodes, classes),
        }
        if any(getattr(self, name).shape != each for name, each in shapes.items()):
            return False
        if not 0 < nodes <= MOST_NODES or self.root.ndim != 1 or not len(self.root):
            return False
        own = np.arange(nodes)
        ends = np.append(self.root[1:], nodes)
        if self.root[0] != 0 or (ends <= self.root).any():
            return False
        end = np.repeat(ends, ends - self.root)
        is_leaf = (self.children == own[:, None]).all(axis=1)
        goes_down = ((self.children > own[:, None]) & (self.children < end[:, None])).all(axis=1)
        sums = self.share.sum(axis=1)
        return bool(
            (is_leaf | goes_down).all()
            and ((self.feature >= 0) & (self.feature < features)).all()
            and not np.isnan(self.threshold).any()
            and ((self.share >= 0) & (self.share <= 1)).all()
            and (np.abs(sums - 1) < 1e-3).all()
        )

    def _votes(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        number, trees = len(rows), len(self.root)
        flat, below = rows.ravel(), self.children.ravel()
        leaf = np.tile(self.root, number)
        going = np.arange(len(leaf), dtype=np.int32)
        row = going // np.int32(trees) * np.int32(rows.shape[1])
        node = leaf
        while len(going):
            goes_right = flat.take(row + self.feature.take(node)) > self.threshold.take(node)
            node = below.take(2 * node + goes_right)
            leaf[going] = node
            still = np.flatnonzero(below.take(2 * node) != node)
            going, row, node = going.take(still), row.take(still), node.take(still)
        shares = self.share[leaf].reshape(number, trees, -1)
        return np.asarray(shares.mean(axis=1, dtype=np.float64), np.float64)


def _at_most(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each: features are float32, and go the same way."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
