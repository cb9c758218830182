"""The peers: that each is asked for what it understands."""

import pickle
import re
import sys
import types

import numpy as np
import pytest
from cc3d import connected_components

from napari_pcnet.evaluation.peers import FELZENSZWALB_TRIES, PEERS
from napari_pcnet.geometry.grid import Grid

BY_NAME = {peer.name: peer for peer in PEERS}
OPTIONAL = {peer.name for peer in PEERS if peer.name.startswith("fast-slic")}
"""Not in the benchmark extra: its package has no wheels, and a plain `pip install` cannot build it."""


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


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_can_be_sent_to_another_process(peer):
    assert pickle.loads(pickle.dumps(peer)).settings == peer.settings


NESTED = ("higra-watershed", "higra-ward")


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("count", [1, 2, 7, 48, 500, 9600])
def test_a_nested_peer_has_exactly_as_many_regions_as_asked_for(name, count, image):
    assert np.unique(BY_NAME[name](image, count)).size == count


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_peer_has_no_more_regions_than_pixels(name):
    assert np.unique(BY_NAME[name](np.zeros((3, 4, 3), np.uint8), 20)).size == 12


@pytest.mark.parametrize("name", NESTED)
def test_regions_of_a_nested_peer_lie_within_those_of_a_smaller_count(name, image):
    fine, coarse = BY_NAME[name](image, 60), BY_NAME[name](image, 20)
    assert np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1).shape[1] == 60


@pytest.mark.parametrize("name", NESTED)
def test_cuts_of_one_hierarchy_are_the_labels_of_each_count(name, image):
    cut = BY_NAME[name].cuts(image)
    for count in (48, 7, 300):
        assert np.array_equal(cut(count), BY_NAME[name](image, count))


@pytest.mark.parametrize("name", NESTED)
def test_regions_of_a_nested_peer_are_connected(name, image):
    labels = BY_NAME[name](image, 48)
    assert connected_components(labels + 1, connectivity=4).max() == 48


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_peer_parts_what_differs_in_colour(name):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, 13:] = (200, 30, 90)
    picture[8:, 13:] = (20, 160, 40)
    expected = np.repeat([[0] * 13 + [1] * 17, [0] * 13 + [2] * 17], (8, 12), axis=0)
    assert _equal_partitions(BY_NAME[name](picture, 3), expected)


def _equal_partitions(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).shape[1]
    return pairs == np.unique(one).size == np.unique(other).size


@pytest.mark.parametrize(("shape", "count"), [((17, 200), 4), ((1, 1), 1), ((10, 40), 4), ((10, 10), 100)])
def test_seeds_refuses_an_image_that_would_take_the_process_with_it(shape, count):
    with pytest.raises(ValueError, match=f"^{shape[0]} x {shape[1]} pixels do not hold superpixels of"):
        BY_NAME["opencv-seeds"](np.zeros((*shape, 3), np.uint8), count)


def test_the_scale_of_felzenszwalb_is_steered_to_the_count(image):
    counts = [np.unique(BY_NAME["skimage-felzenszwalb"](image, n)).size for n in (20, 40, 80)]
    assert np.all(np.abs(np.subtract(counts, (20, 40, 80))) <= (2, 4, 8))


def test_the_scales_tried_bracket_the_count_and_the_nearest_is_returned(image, monkeypatch):
    counts = []

    def felzenszwalb(pixels, scale, sigma, min_size):
        counts.append(max(1, round(500 / scale)))  # falls as the scale grows
        return np.arange(pixels[..., 0].size).reshape(pixels.shape[:2]) % counts[-1]

    monkeypatch.setattr("skimage.segmentation.felzenszwalb", felzenszwalb)
    labels = BY_NAME["skimage-felzenszwalb"](image, 50)
    assert len(counts) <= FELZENSZWALB_TRIES
    assert min(counts) < 50 < max(counts)
    nearest = min(counts, key=lambda count: abs(count - 50))
    assert np.unique(labels).size == nearest
    assert abs(nearest - 50) <= 2


@pytest.mark.parametrize("shape", [(80, 120), (120, 80), (7, 120)])
def test_snic_has_a_superpixel_for_each_cell_of_a_near_square_lattice(shape, image):
    pixels = np.resize(image, (*shape, 3))
    assert np.unique(BY_NAME["snic"](pixels, 48)).size == Grid.of_count(shape, 48).cells


@pytest.fixture
def fast_slic(monkeypatch):
    """A package that deals out as many labels as asked for, pixel by pixel, in the real one's type."""

    class Slic:
        asked = {}  # noqa: RUF012  # of the last one made
        seen = np.empty(0)

        def __init__(self, **asked):
            Slic.asked = asked

        def iterate(self, pixels):
            Slic.seen = pixels
            labels = np.arange(pixels[..., 0].size).reshape(pixels.shape[:2]) % self.asked["num_components"]
            return labels.astype(np.uint16).view(np.int16)

    package = types.ModuleType("fast_slic")
    package.Slic = Slic
    monkeypatch.setitem(sys.modules, "fast_slic", package)
    return Slic


def test_fast_slic_is_given_contiguous_rgb_and_a_number(image, fast_slic):
    assert BY_NAME["fast-slic"](image[:, ::2], 48).shape == (80, 60)
    assert fast_slic.asked == {"num_components": 48, "compactness": 10}
    assert fast_slic.seen.flags.c_contiguous and fast_slic.seen.dtype == np.uint8
    assert np.array_equal(fast_slic.seen, image[:, ::2])
    BY_NAME["fast-slic-2.5"](image, 48)
    assert fast_slic.asked == {"num_components": 48, "compactness": 2.5}


def test_labels_of_fast_slic_stay_positive_where_int16_ends(image, fast_slic):
    labels = BY_NAME["fast-slic"](np.resize(image, (200, 200, 3)), 40_000)
    assert np.array_equal(np.unique(labels), np.arange(40_000))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_described_with_the_version_of_its_package(peer):
    if peer.name in OPTIONAL and peer.missing():
        pytest.skip(peer.missing())
    package = peer.imports[0].partition(".")[0]
    assert re.match(rf"{package} \d+\.\d+\.\d+\S*, ", peer.described())
