"""Outlines get smoother; regions stay as many, and as connected, as they were."""

import re
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, measure, segmentation

from napari_pcnet import pcnet_superpixels, smooth_outlines
from napari_pcnet.merging.outlines import MAY_LEAVE, RING, _strongest
from napari_pcnet.metrics import compactness
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def ragged(seed: int, shape: tuple[int, int] = (60, 83)) -> np.ndarray:
    """Connected regions with torn outlines."""
    random = np.random.default_rng(seed)
    seeds = np.zeros(shape, np.int32)
    seeds.ravel()[random.choice(seeds.size, 40, replace=False)] = np.arange(1, 41)
    # the flooding goes where noise lets it; its connectivity is that of four neighbours
    regions: np.ndarray = segmentation.watershed(random.random(shape), seeds, connectivity=1)
    return regions


def pieces(labels: np.ndarray) -> dict[int, int]:
    """4-connected pieces of each label."""
    return {int(k): int(measure.label(labels == k, connectivity=1).max()) for k in np.unique(labels)}


def test_bumps_and_dents_go() -> None:
    straight = np.ones((20, 30), int)
    straight[:, 15:] = 2
    bumpy = straight.copy()
    bumpy[4, 13:15] = 2
    bumpy[10:12, 15] = 1
    np.testing.assert_array_equal(smooth_outlines(bumpy, 2.0), straight)
    np.testing.assert_array_equal(smooth_outlines(straight, 2.0), straight)


@pytest.mark.parametrize("width", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_region_is_lost_or_falls_apart(seed: int, width: float) -> None:
    before = ragged(seed)
    after = smooth_outlines(before, width)
    assert (after != before).any()
    assert pieces(after) == pieces(before)
    assert set(pieces(before).values()) == {1}


@pytest.mark.parametrize("width", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_region_keeps_half_of_its_pixels(seed: int, width: float) -> None:
    before = ragged(seed)
    after = smooth_outlines(before, width)
    kept = np.bincount(before[after == before], minlength=before.max() + 1)[1:]
    assert (2 * kept >= np.bincount(before.ravel())[1:]).all()


def test_a_narrow_region_stays_as_it_is() -> None:
    labels = np.ones((40, 60), int)
    labels[:, 30:] = 2
    labels[10:14, 5:25] = 3  # four rows: a width of 4 would leave nothing of it
    labels[20:38, 29] = 4  # on the border of two wide ones
    labels[38, 30] = 1  # a bump of a wide one
    after = smooth_outlines(labels, 4.0)
    for narrow in (3, 4):
        np.testing.assert_array_equal(after == narrow, labels == narrow)
    assert after[38, 30] == 2
    assert (smooth_outlines(labels, 1.0) == 3).sum() == 4 * 20 - 4  # not narrow for 1: its corners go


def test_lines_waists_and_single_pixels_hold() -> None:
    labels = np.ones((40, 60), int)
    labels[5, 5:50] = 2  # a line
    labels[20, 20] = 3  # a pixel
    labels[25:35, 5:15] = labels[25:35, 35:45] = labels[30, 15:35] = 4  # two blobs and a thread
    after = smooth_outlines(labels, 4.0)
    assert pieces(after) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_region_in_pieces_gets_no_more_of_them() -> None:
    labels = np.ones((30, 60), int)
    labels[10:20, 5:15] = labels[10:20, 40:50] = 2
    assert pieces(smooth_outlines(labels, 2.0)) == {1: 1, 2: 2}
    random = np.random.default_rng(0)
    for _ in range(50):
        noise = random.integers(0, 5, random.integers(1, 12, 2))
        before, after = pieces(noise), pieces(smooth_outlines(noise, 2.0, background=None))
        assert before.keys() == after.keys()
        assert all(after[k] <= before[k] for k in before)


def test_what_may_leave_is_what_its_region_can_do_without() -> None:
    for code in range(1 << len(RING)):
        around = np.zeros((3, 3), bool)
        for k, (row, column) in enumerate(RING):
            around[row + 1, column + 1] = code >> k & 1
        named, _ = ndimage.label(around)
        beside = {int(named[row + 1, column + 1]) for row, column in RING[1::2]} - {0}
        enclosed = all(around[row + 1, column + 1] for row, column in RING[1::2])
        assert MAY_LEAVE[code] == (len(beside) == 1 and not enclosed), around


def test_wider_is_more_compact() -> None:
    labels = ragged(0)
    found = [compactness(smooth_outlines(labels, width)) for width in (0.0, 1.0, 2.0, 3.0)]
    assert found == sorted(found)
    assert found[-1] > 1.5 * found[0]


def test_width_zero_is_a_copy() -> None:
    labels = ragged(0)
    after = smooth_outlines(labels, 0)
    np.testing.assert_array_equal(after, labels)
    assert not np.shares_memory(after, labels)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_any_integers_in_any_order_are_names(kind: Any) -> None:
    names = np.array([0, 200, 7, 3])
    labels = np.kron(np.array([[0, 1], [2, 3]]), np.ones((12, 12), int))
    labels[3, 12] = 0
    expected = names[smooth_outlines(labels, 1.0, background=None)]
    after = smooth_outlines(names[labels].astype(kind), 1.0, background=None)
    assert after.dtype == kind
    np.testing.assert_array_equal(after, expected)
    assert expected[3, 12] == 200


def test_the_background_stays() -> None:
    labels = ragged(1)
    labels[20:40, 30:50] = 0
    after = smooth_outlines(labels, 2.0)
    np.testing.assert_array_equal(after == 0, labels == 0)
    assert ((smooth_outlines(labels, 2.0, background=None) == 0) != (labels == 0)).any()
    assert (after != labels).any()


def test_width_counts_square_pixels_of_the_same_area() -> None:
    regions = ragged(2).astype(np.int32)
    tall = _strongest(regions, (1.0, 4.0))
    np.testing.assert_array_equal(_strongest(regions.T.copy(), (4.0, 1.0)).T, tall)
    labels = np.ones((40, 40), int)
    labels[:, 20:] = 2
    labels[10:13, 20] = 1  # a bump, three rows long and a column high
    long_columns = smooth_outlines(labels, 2.0, spacing=(16, 1))  # half a pixel along the rows
    np.testing.assert_array_equal(long_columns, labels)
    assert (smooth_outlines(labels, 2.0) != labels).any()


def test_nothing_is_smooth() -> None:
    assert smooth_outlines(np.zeros((0, 5), int), 2.0).shape == (0, 5)
    assert not smooth_outlines(np.zeros((4, 5), int), 2.0).any()


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (
            np.zeros((3, 4)),
            {"width": 1},
            "labels must be an array of integers of 2 axes, got float64 of shape (3, 4)",
        ),
        (np.zeros((2, 3, 4), int), {"width": 1}, "got int64 of shape (2, 3, 4)"),
        (np.zeros((3, 4), int), {"width": -1}, "width must be a number of pixels from 0 to 100, got -1"),
        (np.zeros((3, 4), int), {"width": "x"}, "width must be a number of pixels from 0 to 100, got 'x'"),
        (np.zeros((3, 4), int), {"width": np.nan}, "width must be a number of pixels from 0 to 100, got nan"),
        (np.zeros((3, 4), int), {"width": 1, "spacing": 0}, "spacing must be two positive numbers"),
    ],
)
def test_wrong_arguments_are_refused(labels: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        smooth_outlines(labels, **options)


@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
@pytest.mark.parametrize("start_label", [0, 1])
def test_the_call_smooths_its_labels(method: Any, start_label: int) -> None:
    image = data.astronaut()[60:188, 100:260]
    mask = np.ones(image.shape[:2], bool)
    mask[:30, :50] = False
    options: dict[str, Any] = {"method": method, "mask": mask, "start_label": start_label}
    plain = pcnet_superpixels(image, 40, **options)
    smooth = pcnet_superpixels(image, 40, smoothing=1.5, **options)
    assert compactness(smooth + 1) > compactness(plain + 1)
    np.testing.assert_array_equal(smooth < start_label, ~mask)
    found, first = np.unique(smooth[mask], return_index=True)
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(found, np.unique(plain[mask]))
    assert set(pieces(smooth + 1 - start_label).values()) == {1}
    expected = smooth_outlines(plain, 1.5, background=start_label - 1)
    pairs = np.unique(np.stack([smooth.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(found) + 1  # the same regions, numbered anew


def test_planes_of_a_stack_are_smoothed_one_by_one() -> None:
    stack = np.stack([data.astronaut()[60:140, 100:200], data.astronaut()[200:280, 100:200]])
    labels = run_record(stack, RunRecord(20, smoothing=2.0, start_label=0))
    for k, plane in enumerate(stack):
        expected = pcnet_superpixels(plane, 20, smoothing=2.0, start_label=0)
        np.testing.assert_array_equal(labels[k], expected + 20 * k)
