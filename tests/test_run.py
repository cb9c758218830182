"""A run on images of any number of axes is the function on their planes."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels
from napari_pcnet.disk.image import Image
from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.record import RunRecord
from napari_pcnet.run import build_hierarchy, run_file, run_image, run_record

N = 6


def _stack(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise on a few large patches: something to find edges in."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, [max(1, side // 16) if side > 8 else side for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, -(-side // coarse.shape[axis]), axis=axis)
    fine: NDArray[np.uint8] = coarse[tuple(map(slice, shape))] + random.integers(0, 50, shape)
    return fine.astype(np.uint8)


def _offset(labels: NDArray[np.integer[Any]], before: int) -> NDArray[np.integer[Any]]:
    return np.where(labels > 0, labels + before, 0)


def test_a_plane_is_what_the_function_makes_of_it() -> None:
    image = _stack(50, 60, 3)
    assert_array_equal(run_record(image, RunRecord(N)), pcnet_superpixels(image, N))


def test_planes_are_segmented_one_by_one_and_numbered_on() -> None:
    stack = _stack(2, 3, 40, 48, 3)
    labels = run_record(stack, RunRecord(N))
    assert labels.shape == (2, 3, 40, 48) and labels.dtype == np.int32
    for k, index in enumerate(np.ndindex(2, 3)):
        assert_array_equal(labels[index], _offset(pcnet_superpixels(stack[index], N), k * N))


@pytest.mark.parametrize(
    ("shape", "channel_axis", "view"),
    [
        ((2, 3, 40, 48), -3, lambda a, t: (a[t], 0)),
        ((3, 2, 40, 48), 0, lambda a, t: (a[:, t], 0)),
        ((3, 2, 40, 48), -4, lambda a, t: (a[:, t], 0)),
        ((2, 40, 48), None, lambda a, t: (a[t], None)),
    ],
)
def test_channels_may_be_any_axis(
    shape: tuple[int, ...],
    channel_axis: int | None,
    view: Callable[..., tuple[NDArray[np.uint8], int | None]],
) -> None:
    stack = _stack(*shape)
    labels = run_record(stack, RunRecord(N, channel_axis=channel_axis))
    for t in range(2):
        plane, axis = view(stack, t)
        assert_array_equal(labels[t], _offset(pcnet_superpixels(plane, N, channel_axis=axis), t * N))


@pytest.mark.parametrize("shape", [(1, 2, 1, 40, 48, 3), (2, 1, 40, 48, 3)])
def test_leading_axes_of_length_one_do_not_count(shape: tuple[int, ...]) -> None:
    stack = _stack(*shape)
    squeezed = stack.reshape(2, 40, 48, 3)
    assert_array_equal(run_record(stack, RunRecord(N)), run_record(squeezed, RunRecord(N)))
    assert_array_equal(
        run_record(stack, RunRecord(N, plane=(1,))), run_record(squeezed, RunRecord(N, plane=(1,)))
    )


def test_one_plane_is_chosen_by_its_index() -> None:
    stack = _stack(2, 3, 40, 48, 3)
    assert_array_equal(run_record(stack, RunRecord(N, plane=(1, 2))), pcnet_superpixels(stack[1, 2], N))


def test_crop_and_channels_select_what_is_segmented() -> None:
    image = _stack(64, 70, 3)
    record = RunRecord(N, crop=(8, 4, 56, 60), channels=(2, 0))
    expected = pcnet_superpixels(image[8:56, 4:60, [2, 0]], N)
    assert_array_equal(run_record(image, record), expected)


def test_four_chosen_channels_are_no_transparency() -> None:
    image = _stack(40, 48, 4)
    image[..., 3] = 0
    labels = run_record(image, RunRecord(N, channels=(0, 1, 2, 3)))
    assert_array_equal(labels, pcnet_superpixels(np.moveaxis(image, -1, 0), N, channel_axis=0))


def test_the_tree_may_be_finer_than_the_cut() -> None:
    image = _stack(64, 70, 3)
    tree = pcnet_hierarchy(image, 20)
    assert_array_equal(run_record(image, RunRecord(5, max_segments=20)), tree.labels(5))
    height = float(tree.heights[-4])
    assert_array_equal(run_record(image, RunRecord(20, height=height)), tree.labels(height=height))


def test_a_mask_is_of_a_plane_of_each_plane_or_of_the_crop() -> None:
    stack = _stack(2, 40, 48, 3)
    mask = np.zeros((2, 40, 48), bool)
    mask[0, :30], mask[1, :, 10:] = True, True
    labels = run_record(stack, RunRecord(N), mask=mask)
    for k in range(2):
        assert_array_equal(labels[k], _offset(pcnet_superpixels(stack[k], N, mask=mask[k]), k * N))
    same = run_record(stack, RunRecord(N, plane=(1,)), mask=mask[0])
    assert_array_equal(same, pcnet_superpixels(stack[1], N, mask=mask[0]))
    crop = RunRecord(N, plane=(1,), crop=(4, 4, 36, 44))
    expected = pcnet_superpixels(stack[1, 4:36, 4:44], N, mask=mask[0, 4:36, 4:44])
    assert_array_equal(run_record(stack, crop, mask=mask[0]), expected)
    assert_array_equal(run_record(stack, crop, mask=mask[0, 4:36, 4:44]), expected)


def test_the_lattice_is_run_on_planes_too() -> None:
    stack = _stack(2, 40, 48)
    record = RunRecord(N, method="lattice", channel_axis=None)
    first, second = (pcnet_superpixels(each, N, method="lattice", channel_axis=None) for each in stack)
    labels = run_record(stack, record)
    assert_array_equal(labels[0], first)
    assert_array_equal(labels[1], second + first.max())


def test_only_the_chosen_plane_is_read() -> None:
    class Store:
        shape, dtype, ndim = (3, 40, 48), np.dtype(np.uint8), 3

        def __init__(self) -> None:
            self.asked: list[object] = []

        def __getitem__(self, key: object) -> NDArray[np.uint8]:
            self.asked.append(key)
            return _stack(40, 48)[4:40]

    store = Store()
    run_record(store, RunRecord(N, channel_axis=None, plane=(2,), crop=(4, 0, 40, 48)))
    assert store.asked == [(2, slice(4, 40, 1), slice(0, 48, 1))]


def test_progress_counts_all_planes_up_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    run_record(_stack(2, 40, 48, 3), RunRecord(N), progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


def test_a_stack_has_every_count_and_its_features() -> None:
    pixels = _stack(2, 40, 48, 3)
    windows: list[tuple[int, Window]] = []
    stack = build_hierarchy(
        pixels, RunRecord(N), confidence=True, window_done=lambda k, window, ids: windows.append((k, window))
    )
    assert windows == [(0, Window(0, 0, 40, 48)), (1, Window(0, 0, 40, 48))]
    labels = stack.labels(4)
    assert_array_equal(np.unique(labels), np.arange(1, 9))
    assert_array_equal(labels, stack.look_up(stack.table(4)))
    features = stack.features(4)
    assert_array_equal(features["label"], np.arange(1, 9))
    assert_array_equal(features["area"], np.bincount(labels.ravel())[1:])
    means = [pixels[labels == label].mean(axis=0) for label in range(1, 9)]
    for channel in range(3):
        np.testing.assert_allclose(
            features[f"intensity_mean-{channel}"], np.array(means)[:, channel], atol=0.01
        )
    assert ((features["confidence"] > 0) & (features["confidence"] <= 1)).all()


def test_counts_stay_within_what_the_planes_can_give() -> None:
    stack = build_hierarchy(_stack(2, 40, 48, 3), RunRecord(N))
    assert stack.counts(10**6, nearest=True) == tuple(tree.leaves for tree in stack.trees)
    assert stack.counts(1) == stack.counts(height=np.inf) == (1, 1)
    fewest = min(tree.leaves for tree in stack.trees)
    with pytest.raises(ValueError, match=f"n must be at most {fewest}, the regions of this base"):
        stack.counts(10**6)


def test_counts_stay_above_the_parts_of_a_mask_that_do_not_touch() -> None:
    mask = np.ones((2, 40, 48), bool)
    mask[1, 20], mask[1, :, 24] = False, False  # four parts
    stack = build_hierarchy(_stack(2, 40, 48, 3), RunRecord(N), mask=mask)
    assert stack.n_min == 4
    assert stack.counts(2, nearest=True) == (2, 4)
    with pytest.raises(
        ValueError, match="n must be at least 4, the number of connected parts of the mask, got 2"
    ):
        stack.labels(2)
    labels = stack.labels(2, nearest=True)
    assert np.unique(labels[0]).tolist() == [1, 2]
    assert np.unique(labels[1]).tolist() == [0, 3, 4, 5, 6]


def test_a_file_is_run_as_its_array(tmp_path: Path) -> None:
    stack = _stack(2, 40, 48, 3)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="rgb")
    record = RunRecord(N, plane=(1,), crop=(0, 0, 32, 48))
    assert_array_equal(run_file(tmp_path / "stack.tif", record), run_record(stack, record))


@pytest.mark.parametrize("whole", [True, False])
def test_a_mask_file_is_of_the_plane_or_of_the_crop(tmp_path: Path, whole: bool) -> None:
    image = Image(_stack(40, 48, 3), -1, np.arange(48)[None].repeat(40, 0) < 40)
    mask = np.zeros((40, 48), np.uint8)
    mask[4:30] = 255
    crop = (2, 2, 38, 46)
    part = (slice(2, 38), slice(2, 46))
    tifffile.imwrite(tmp_path / "mask.tif", mask if whole else mask[part])
    labels = run_image(image, RunRecord(N, crop=crop, mask=str(tmp_path / "mask.tif")))
    both = (mask > 0) & image.mask
    assert_array_equal(labels, pcnet_superpixels(image.pixels[part], N, mask=both[part]))


def test_a_mask_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, np.ones((10, 10), np.uint8))
    message = (
        f"mask {path} is 10 x 10 pixels, but the image is 40 x 48 and its crop 40 x 20; it must be the same"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run_image(
            Image(_stack(40, 48), None),
            RunRecord(N, channel_axis=None, crop=(0, 0, 40, 20), mask=str(path)),
        )


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((48,), {"channel_axis": None}, "image must have (..., H, W), got shape (48,)"),
        (
            (40, 48),
            {"channel_axis": 0},
            "channel_axis must be None for an image of shape (40, 48), which has no axis of channels, got 0",
        ),
        (
            (2, 40, 48, 3),
            {"channel_axis": 4},
            "channel_axis must be a whole number from -4 to 3 for an image of shape (2, 40, 48, 3), "
            "or None, got 4",
        ),
        (
            (40, 48, 3),
            {"plane": (3,)},
            "plane can be named of a stack, and this image is one plane; got (3,)",
        ),
        ((2, 40, 48, 3), {"plane": (2,)}, "plane must name one of 2 planes, counted from 0, got (2,)"),
        ((2, 40, 48, 3), {"plane": (0, 0)}, "plane must name one of 2 planes, counted from 0, got (0, 0)"),
        (
            (40, 48, 3),
            {"crop": (0, 0, 41, 10)},
            "crop must be top, left, bottom, right inside the 40 x 48 pixels of a plane, got (0, 0, 41, 10)",
        ),
        ((40, 48, 3), {"channels": (3,)}, "channels must be one or more of 0 to 2, got (3,)"),
        ((40, 48, 3), {"channels": ()}, "channels must be one or more whole numbers from 0 on, got ()"),
        ((0, 40, 48, 3), {}, "image must have at least one pixel, got shape (0, 40, 48, 3)"),
        ((2, 40, 0), {"channel_axis": None}, "image must have at least one pixel, got shape (2, 40, 0)"),
        (
            (40, 48),
            {"channel_axis": None, "channels": (0,)},
            "channels can be chosen of an image that has some: name its channel_axis",
        ),
    ],
)
def test_what_is_not_there_is_refused(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Planes.select(np.zeros(shape, np.uint8), RunRecord(N, **options))


def test_a_mask_of_other_planes_is_refused() -> None:
    message = "mask must have the planes of the image, 2, or none, got 3"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        run_record(_stack(2, 40, 48, 3), RunRecord(N), mask=np.ones((3, 40, 48), bool))


def test_a_count_that_a_plane_cannot_give_is_refused() -> None:
    mask = np.zeros((40, 48), bool)
    mask[:5, :5] = mask[20:30, 20:30] = mask[35:, 35:] = True
    with pytest.raises(
        ValueError,
        match=r"^n_segments must be at least 3, the number of connected parts of the mask, got 2; ",
    ):
        run_record(_stack(40, 48, 3), RunRecord(2), mask=mask)


@pytest.mark.parametrize("cut", [{"height": 5.0}, {"max_segments": 30}])
def test_the_lattice_has_no_tree_to_cut(cut: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cut a tree, which method='lattice' does not build"):
        run_record(_stack(40, 48, 3), RunRecord(N, method="lattice", **cut))
    with pytest.raises(ValueError, match="method='lattice' builds no hierarchy"):
        build_hierarchy(_stack(40, 48, 3), RunRecord(N, method="lattice"))


@pytest.mark.parametrize("start_label", [0, 1])
def test_features_of_smoothed_planes_are_of_their_labels(start_label: int) -> None:
    stack, mask = _stack(2, 40, 48, 3), np.ones((2, 40, 48), bool)
    mask[0, :6], mask[1, :, 40:] = False, False
    plain = RunRecord(12, start_label=start_label)
    cut = build_hierarchy(stack, replace(plain, smoothing=1.5), mask=mask).cut(12)
    assert_array_equal(cut.labels, run_record(stack, replace(plain, smoothing=1.5), mask=mask))
    assert np.unique(cut.labels[mask]).tolist() == cut.features["label"].tolist()
    assert_array_equal(cut.features["area"], np.bincount(cut.labels[mask] - start_label))
    # Each smoothed label keeps most of its pixels, so its mean is that of the superpixel it was.
    unsmoothed = build_hierarchy(stack, plain, mask=mask).cut(12)
    for label, mean in zip(cut.features["label"], cut.features["intensity_mean-0"], strict=True):
        most = np.bincount(unsmoothed.labels[cut.labels == label]).argmax()
        assert mean == unsmoothed.features["intensity_mean-0"][most - start_label]


@pytest.mark.parametrize(
    ("out", "got"),
    [
        (np.zeros((2, 40, 48), np.int32, order="F"), "int32 of shape (2, 40, 48), not C-contiguous"),
        (np.zeros((40, 2, 48), np.int32), "int32 of shape (40, 2, 48)"),
        (np.zeros((2, 40, 48), np.uint8), "uint8 of shape (2, 40, 48)"),
    ],
)
def test_an_array_that_cannot_take_the_labels_is_refused(out: NDArray[Any], got: str) -> None:
    hierarchy = build_hierarchy(_stack(2, 40, 48, 3), RunRecord(N))
    message = f"out must be a C-contiguous int32 array of shape (2, 40, 48), got {got}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        hierarchy.cut(N, out=out)
    right = np.zeros((2, 40, 48), np.int32)
    assert hierarchy.cut(N, out=right).labels is right
    assert_array_equal(right, hierarchy.labels(N))
