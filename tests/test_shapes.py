"""Shapes in words, and the type of labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pcnet.shapes import label_type


@pytest.mark.parametrize(
    ("highest", "wanted"), [(1, np.int32), (2**31 - 1, np.int32), (2**31, np.int64), (2**40, np.int64)]
)
def test_labels_have_the_bits_that_the_highest_needs(highest: int, wanted: type) -> None:
    assert label_type(highest) is wanted
    assert np.array(highest).astype(label_type(highest)) == highest
