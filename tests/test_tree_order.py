"""In which order regions merge: cheaper first, as far as costs differ by an eighth of an octave."""

import numpy as np
import pytest

from napari_pcnet.merging.graph import Features
from napari_pcnet.merging.tree import build
from napari_pcnet.options import Options

PLAIN = Options(compactness=0.0)
"""Colour alone decides."""

CHAINS = 20
"""Rows of three regions each that touch no other row: the hash of their numbers differs."""


def _chains(*colours: float) -> tuple[Features, np.ndarray, np.ndarray]:
    """Rows of regions of 16 x 16 pixels, all rows alike."""
    length = len(colours)
    number = CHAINS * length
    lab = np.zeros((number, 3))
    lab[:, 0] = np.tile(colours, CHAINS)
    index = np.arange(number).reshape(CHAINS, length)
    edges = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    features = Features.of_lab(np.full(number, 256), lab, np.full((number, 2), 32))
    return features, edges, np.tile([0, 16, 0, 0], (len(edges), 1))


@pytest.mark.parametrize(
    ("colours", "parts"), [((0.0, 9.0, 19.5), [0, 0, 1]), ((0.0, 10.5, 19.5), [0, 1, 1])]
)
def test_of_two_neighbours_the_nearer_colour_is_merged(colours: tuple[float, ...], parts: list[int]) -> None:
    # 9^2 and 10.5^2 differ by less than an octave
    tree = build(*_chains(*colours), PLAIN)
    expected = (2 * np.arange(CHAINS)[:, None] + parts).ravel()
    assert tree.cut(2 * CHAINS).tolist() == expected.tolist()


def test_the_colour_of_a_merged_region_is_its_mean_over_pixels() -> None:
    # 3 pixels of 0 and 1 of 40 are 10
    lab = np.zeros((3, 3))
    lab[:, 0] = 0.0, 40.0, 300.0
    features = Features.of_lab(np.array([3, 1, 4]), lab, np.array([[2, 6], [2, 2], [2, 6]]))
    tree = build(features, np.array([[0, 1], [1, 2]]), np.tile([1, 0, 0, 0], (2, 1)), PLAIN)
    assert tree.height == pytest.approx([3 / 4 * 40**2, 4 * 4 / 8 * 290**2])
