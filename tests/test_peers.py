"""The peers: that each is asked for what it understands."""

import sys
import types

import numpy as np
import pytest

from napari_pcnet.evaluation.peers import PEERS

BY_NAME = {peer.name: peer for peer in PEERS}
OPTIONAL = {"fast-slic"}
"""Not in the benchmark extra: its package has no wheels and builds with an old Cython only."""


@pytest.fixture(scope="module")
def image():
    """Two smooth slopes and eight by ten squares of other colours."""
    rng = np.random.default_rng(4)
    slope = np.linspace(0, 90, 80)[:, None, None] + np.linspace(0, 60, 120)[None, :, None]
    squares = np.kron(rng.integers(0, 100, (8, 10, 3)), np.ones((10, 12, 1)))
    return (slope + squares).astype(np.uint8)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_returns_about_as_many_labels_as_asked(peer, image):
    if peer.name in OPTIONAL and peer.missing():
        pytest.skip(peer.missing())
    labels = peer(image, 48)
    assert labels.shape == (80, 120)
    assert labels.dtype.kind in "iu"
    assert 24 <= np.unique(labels).size <= 96
    assert np.array_equal(peer(image, 48), labels)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_whose_package_is_missing_is_named_with_what_to_install(peer, monkeypatch):
    monkeypatch.setitem(sys.modules, peer.imports[0], None)
    sentence = f"{peer.name} skipped: {peer.imports[0]} is not installed (pip install {peer.install})"
    assert peer.missing() == sentence


def test_the_scale_of_felzenszwalb_is_steered_to_the_count(image):
    counts = [np.unique(BY_NAME["skimage-felzenszwalb"](image, n)).size for n in (20, 40, 80)]
    assert np.all(np.abs(np.subtract(counts, (20, 40, 80))) <= (2, 4, 8))


def test_fast_slic_is_given_rgb_and_a_number(image, monkeypatch):
    class Slic:
        def __init__(self, num_components, compactness):
            self.asked = (num_components, compactness)

        def iterate(self, pixels):
            assert self.asked == (48, 10)
            assert pixels.flags.c_contiguous and pixels.dtype == np.uint8
            return np.zeros(pixels.shape[:2], np.int16)

    package = types.ModuleType("fast_slic")
    package.Slic = Slic
    monkeypatch.setitem(sys.modules, "fast_slic", package)
    assert BY_NAME["fast-slic"](image[:, ::2], 48).shape == (80, 60)
