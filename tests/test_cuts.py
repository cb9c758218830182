"""Votes of regions, pooled over the parts of a cut."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from napari_pcnet import RegionForest
from napari_pcnet.annotation.nested import NestedRegions
from napari_pcnet.learning.cuts import CutPrediction
from napari_pcnet.merging.tree import Tree

TREE = Tree(4, np.array([[0, 3], [1, 4], [2, 5]]), np.arange(1.0, 4.0))
"""At three parts {0, 3}, {1}, {2}; at two {0, 1, 3}, {2}."""

VOTES = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5], [0.2, 0.8]])
AREA = np.array([10, 30, 5, 30])


def _pooled(counts: tuple[int, ...], votes: np.ndarray = VOTES) -> CutPrediction:
    table = {"x": np.arange(4.0)}
    forest = RegionForest.fit(table, [2, 2, 5, 5], trees=1)
    planes = len(counts)
    nested = NestedRegions.of([TREE] * planes)
    return CutPrediction.of(forest, np.tile(votes, (planes, 1)), np.tile(AREA, planes), nested, counts)


def test_a_part_has_the_mean_vote_of_its_regions_by_area() -> None:
    found = _pooled((3,))
    assert_array_equal(found.by_region(found.parts.number), [5, 5, 2, 5])
    assert_allclose(found.by_region(found.parts.share[:, 0]), [0.4, 0.25, 0.5, 0.4])
    assert_allclose(found.by_region(found.parts.uncertainty), [0.8, 0.5, 1.0, 0.8])


def test_regions_of_which_nothing_is_known_do_not_count() -> None:
    votes = VOTES.copy()
    votes[[2, 3]] = 0
    found = _pooled((3,), votes)
    assert_array_equal(found.by_region(found.parts.number), [2, 5, 0, 2])
    assert_allclose(found.by_region(found.parts.uncertainty), [0.0, 0.5, 1.0, 0.0])


def test_parts_are_in_the_order_of_uncertainty_and_the_unknown_last() -> None:
    votes = VOTES.copy()
    votes[1] = 0
    found = _pooled((3, 4), votes)
    order = [sorted(found.regions_of(int(part)).tolist()) for part in found.least_certain()]
    assert order[:2] in ([[2], [6]], [[6], [2]])
    assert order[2] == [0, 3]
    assert order[3:5] == [[7], [4]]
    assert order[5:] in ([[1], [5]], [[5], [1]])
