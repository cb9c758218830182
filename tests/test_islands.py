"""Masks of parts: their number, small ones left out, and what lies between them not looked at."""

import re
from typing import Any

import numpy as np
import pytest

from napari_pcnet import RunRecord, pcnet_hierarchy, pcnet_superpixels, pipeline, run_record
from napari_pcnet.geometry import picture as picture_module
from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.geometry.picture import Picture

IMAGE = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)


def squares(*corners: tuple[int, int, int], shape: tuple[int, int] = (300, 300)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for row, column, side in corners:
        mask[row : row + side, column : column + side] = True
    return mask


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was run")

    monkeypatch.setattr(pipeline, "segment_base", refuse)


@pytest.mark.parametrize(
    "mask",
    [
        squares((30, 41, 20)),
        squares((0, 0, 9), (80, 95, 20)),
        squares((15, 32, 4), (47, 31, 1), (99, 0, 1), (31, 63, 2), (64, 96, 3)),
        squares((64, 64, 30)),
        ~squares((20, 30, 40)),
    ],
    ids=["one", "corners", "at the rims of windows", "in a window's corner", "a hole"],
)
def test_passing_over_what_is_outside_changes_nothing(
    mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, inside = IMAGE[:100, :120], mask[:100, :120]
    options: dict[str, Any] = {"mask": inside, "precision": "float64", "spacing": (1.0, 1.0)}
    grids = Grid.ever_finer((100, 120))[:2]  # windows begin at pixels 32, 64 and 96
    monkeypatch.setattr(Grid, "ever_finer", lambda *_: grids)
    trees = [pcnet_hierarchy(image, 5, window=window, **options) for window in (64, None)]
    monkeypatch.setattr(Picture, "surroundings", Window(0, 0, 100, 120))
    whole = pcnet_hierarchy(image, 5, window=9999, **options)
    for tree in trees:
        np.testing.assert_array_equal(tree.base, whole.base)
        np.testing.assert_allclose(tree.heights, whole.heights, rtol=1e-12)


def test_only_the_surroundings_of_a_small_mask_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read_px = 0
    original = picture_module.Picture.read_work

    def watched(self: Picture, grid: Any, window: Window, dtype: Any) -> np.ndarray:
        nonlocal read_px
        read_px += np.prod(window.shape)
        return original(self, grid, window, dtype)

    monkeypatch.setattr(picture_module.Picture, "read_work", watched)
    labels = pcnet_superpixels(IMAGE, 50, mask=squares((130, 141, 20)))
    assert labels.max() == 50
    work_px = (300 * 16) ** 2  # 8 regions for each superpixel are as many as pixels inside: cells of a pixel
    assert 0 < read_px < work_px / 4


@pytest.mark.usefixtures("no_network")
def test_fewer_than_the_parts_are_refused_before_the_network_runs() -> None:
    mask = squares((0, 0, 5), (20, 20, 1), (40, 40, 3))
    message = (
        "n_segments must be at least 3, the number of connected parts of the mask, got {}; "
        "min_size={} leaves out the small ones"
    )
    for count, size in ((2, 2), (1, 10)):
        with pytest.raises(ValueError, match=f"^{re.escape(message.format(count, size))}$"):
            pcnet_superpixels(IMAGE, count, mask=mask)
    equal = squares((0, 0, 2), (20, 20, 2))  # no size keeps one of these
    with pytest.raises(ValueError, match=r"connected parts of the mask, got 1$"):
        pcnet_superpixels(IMAGE, 1, mask=equal)


@pytest.mark.usefixtures("no_network")
def test_a_stack_is_refused_for_its_last_plane_before_the_first_is_segmented() -> None:
    stack = np.stack([IMAGE, IMAGE, IMAGE]).astype(np.float32)
    masks = np.stack(
        [squares((0, 0, 5)), squares((0, 0, 5), (9, 9, 2)), squares((0, 0, 3), (9, 9, 1), (20, 9, 1))]
    )
    with pytest.raises(
        ValueError, match="at least 3, the number of connected parts of the mask, got 1; min_size=5 "
    ):
        run_record(stack, RunRecord(1), mask=masks)
    with pytest.raises(ValueError, match="at most 11, the pixels of the mask, got 12"):
        run_record(stack, RunRecord(12), mask=masks)
    stack[2, 5, 5] = np.inf
    for method in ("hierarchy", "lattice"):
        with pytest.raises(ValueError, match="image must be finite, got infinity"):
            run_record(stack, RunRecord(5, method=method))


@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
def test_parts_below_a_size_are_outside(method: Any) -> None:
    small, large = squares((5, 5, 3), (40, 5, 4)), squares((10, 20, 30))
    image = IMAGE[:60, :60].astype(np.uint16)
    image[5:8, 5:8] = 60_000  # nor do they count for the range
    mask = (small | large)[:60, :60]
    options: dict[str, Any] = {"method": method, "precision": "float64"}
    labels = pcnet_superpixels(image, 6, mask=mask, min_size=17, **options)
    np.testing.assert_array_equal(labels, pcnet_superpixels(image, 6, mask=large[:60, :60], **options))
    np.testing.assert_array_equal(run_record(image, RunRecord(6, min_size=17, **options), mask=mask), labels)
    with pytest.warns(UserWarning, match="spends most of its range"):  # which it does not without the small
        kept = pcnet_superpixels(image, 6, mask=mask, min_size=9, **options)
    np.testing.assert_array_equal(kept > 0, mask)


def test_specks_of_alpha_are_parts_too() -> None:
    alpha = (255 * squares((0, 0, 20), (30, 30, 2)))[:40, :40, None].astype(np.uint8)
    rgba = np.concatenate([IMAGE[:40, :40], alpha], axis=2)
    labels = pcnet_superpixels(rgba, 1, min_size=5)
    np.testing.assert_array_equal(labels, squares((0, 0, 20))[:40, :40])


def test_a_size_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^min_size must be at most 25, the largest part of the mask, got 26$"
    ):
        pcnet_superpixels(IMAGE, 2, mask=squares((0, 0, 5), (9, 9, 2)), min_size=26)
    with pytest.raises(ValueError, match=r"^min_size must be a whole number of at least 0, got -1$"):
        pcnet_superpixels(IMAGE, 2, min_size=-1)


def test_without_a_mask_nothing_is_small() -> None:
    assert (pcnet_superpixels(IMAGE[:20, :20], 3, min_size=10**6) > 0).all()
