"""Counts of a stack whose planes differ in what they can give."""

import numpy as np
import pytest

from napari_pcnet import RunRecord, build_hierarchy


def test_the_nearest_count_is_no_less_than_the_parts_of_each_plane_and_no_more_than_its_regions() -> None:
    stack = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    mask = np.ones((2, 32, 48), bool)
    mask[1, :, 10:14] = mask[1, :, 30:34] = False  # three parts
    made = build_hierarchy(stack, RunRecord(5), mask=mask)
    assert made.counts(1, nearest=True) == (1, 3)
    assert made.counts(2, nearest=True) == (2, 3)
    most = tuple(tree.leaves for tree in made.trees)
    assert made.counts(10**6, nearest=True) == most
    labels = made.labels(2, nearest=True)
    assert np.unique(labels[0]).tolist() == [1, 2]
    assert np.unique(labels[1]).tolist() == [0, 3, 4, 5]
    with pytest.raises(
        ValueError, match="n must be at least 3, the number of connected parts of the mask, got 2"
    ):
        made.counts(2)
