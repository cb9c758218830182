"""Arrays as people have them: NaN, masks of dask, channels first, pyramids, and what slic takes."""

import inspect
import re
import types
import warnings
from typing import Any

import dask.array
import numpy as np
import pytest
from skimage.segmentation import slic

from napari_pcnet import (
    RunRecord,
    build_hierarchy,
    pcnet_hierarchy,
    pcnet_superpixels,
    pipeline,
    run,
    run_record,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
MASK = np.zeros((40, 50), bool)
MASK[5:30, 10:45] = True


class TestNaN:
    @pytest.fixture
    def holed(self) -> np.ndarray:
        image = IMAGE.astype(np.float32)
        image[3:9, 4:8, 1] = np.nan  # in one channel
        return image

    def test_it_lies_outside_with_one_warning(self, holed: np.ndarray) -> None:
        with pytest.warns(UserWarning, match=r"^image holds NaN: such pixels count as outside") as caught:
            labels = pcnet_superpixels(holed, 7)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        inside = ~np.isnan(holed).any(axis=2)
        np.testing.assert_array_equal(labels, pcnet_superpixels(holed, 7, mask=inside))

    def test_a_stack_has_one_warning(self, holed: np.ndarray) -> None:
        stack = np.stack([IMAGE, holed, holed + 1])
        for method in ("hierarchy", "lattice"):
            with pytest.warns(UserWarning, match="image holds NaN") as caught:
                labels = run_record(stack, RunRecord(5, method=method))
            assert len(caught) == 1
            np.testing.assert_array_equal(labels == 0, np.isnan(stack).any(axis=3))

    def test_what_a_mask_leaves_out_needs_no_warning(self, holed: np.ndarray) -> None:
        holed[30:] = np.inf
        holed[0, 0] = np.nan
        assert pcnet_superpixels(holed, 5, mask=MASK & ~np.isnan(holed).any(axis=2)).max() == 5

    def test_inside_a_mask_it_is_outside_too(self, holed: np.ndarray) -> None:
        with pytest.warns(UserWarning, match="image holds NaN"):
            labels = pcnet_superpixels(holed, 5, mask=np.ones((40, 50)))
        np.testing.assert_array_equal(labels == 0, np.isnan(holed).any(axis=2))

    def test_infinity_is_refused(self, holed: np.ndarray) -> None:
        holed[20, 20] = -np.inf
        with pytest.raises(
            ValueError, match=r"^image must be finite, got infinity; leave such pixels out with mask=$"
        ):
            pcnet_superpixels(holed, 5)


class TestMasks:
    def test_dask_keeps_the_mask_of_its_chunks(self) -> None:
        hidden = np.zeros(IMAGE.shape, bool)
        hidden[..., 2] = ~MASK
        lazy = dask.array.from_array(np.ma.masked_array(IMAGE, hidden), chunks=(20, 30, 3), asarray=False)
        expected = pcnet_superpixels(IMAGE, 6, mask=MASK)
        out = np.empty(MASK.shape, np.int32)
        np.testing.assert_array_equal(pcnet_superpixels(lazy, 6, out=out), expected)
        np.testing.assert_array_equal(run_record(lazy, RunRecord(6)), expected)
        pcnet_superpixels(lazy, 6, intensity_range="0%-100%", out=out)
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize(
        "mask",
        [
            MASK.astype(np.float64),
            MASK.tolist(),
            dask.array.from_array(MASK, chunks=20),
            np.ma.masked_array(np.ones(MASK.shape), ~MASK),
        ],
        ids=["floats", "lists", "dask", "masked"],
    )
    def test_a_mask_may_be(self, mask: Any) -> None:
        expected = pcnet_superpixels(IMAGE, 6, mask=MASK)
        np.testing.assert_array_equal(pcnet_superpixels(IMAGE, 6, mask=mask), expected)
        np.testing.assert_array_equal(run_record(IMAGE, RunRecord(6), mask=mask), expected)

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (MASK * 0.5, "mask of floats must hold 0 and 1 alone, got 0.5; pass mask > 0.5, or the like"),
            (np.where(MASK, np.nan, 0), "mask of floats must hold 0 and 1 alone, got nan; pass"),
            ("disc.png", "mask must hold booleans or integers, got <U8"),
            (object(), "mask must hold booleans or integers, got object"),
            ([[True], [True, False]], "mask cannot be made an array: "),
            (MASK[:3], r"mask must have the image's shape \(40, 50\), got \(3, 50\)"),
        ],
    )
    def test_what_is_no_mask_is_refused(self, mask: Any, message: str) -> None:
        with pytest.raises((ValueError, TypeError), match=f"^{message}"):
            pcnet_superpixels(IMAGE, 5, mask=mask)

    @pytest.mark.parametrize("mask", [np.ones((60, 70), bool), np.ones(50, bool), "disc.png"])
    def test_a_record_takes_masks_of_the_plane_or_the_crop_alone(self, mask: Any) -> None:
        with pytest.raises(
            ValueError, match=r"^mask must have the image's shape \(40, 50\), or its crop's, got "
        ):
            run_record(IMAGE, RunRecord(5), mask=mask)


class TestAxes:
    def test_two_axes_are_grey(self) -> None:
        grey = np.ascontiguousarray(IMAGE[..., 0])
        expected = pcnet_superpixels(grey, 5, channel_axis=None)
        np.testing.assert_array_equal(pcnet_superpixels(grey, 5), expected)
        np.testing.assert_array_equal(pcnet_hierarchy(grey, 5).labels(5), expected)
        for four_wide in (grey, grey[:, :4]):  # which is no RGBA
            np.testing.assert_array_equal(
                run_record(four_wide, RunRecord(5)), pcnet_superpixels(four_wide, 5, channel_axis=None)
            )

    @pytest.mark.parametrize(
        ("shape", "axis", "last"),
        [
            ((3, 40, 50), 0, 2),
            ((1, 40, 50), 0, 2),
            ((5, 40, 50), 0, 2),
            ((40, 50, 60), 0, 2),
            ((99, 20, 20), 0, 2),  # as many columns as rows
            ((99, 40, 33), 0, 2),  # fewer, and too many for channels
            ((2, 3, 40, 50), -3, 3),
            ((2, 7, 40, 50), -3, 3),
        ],
    )
    def test_a_last_axis_that_may_be_columns_is_asked_about(
        self, shape: tuple[int, ...], axis: int, last: int
    ) -> None:
        image = np.random.default_rng(0).random(shape)
        message = (
            f"image of shape {shape} is taken for {shape[-3]} x {shape[-2]} pixels of {shape[-1]} channels: "
            f"pass channel_axis={last} if it is that, channel_axis={axis} if the channels come first, "
        )
        planes = "channel_axis=None if these are planes of a stack"
        with pytest.warns(UserWarning, match=f"^{re.escape(message + planes)}$"):
            run_record(image, RunRecord(2))
        run_record(image, RunRecord(2, channel_axis=axis))
        run_record(image, RunRecord(2, channel_axis=last))
        run_record(image[:2], RunRecord(2, channel_axis=None))
        if len(shape) == 3:
            planes = "image[0] and so on if these are planes of a stack"
            with pytest.warns(UserWarning, match=f"^{re.escape(message + planes)}$"):
                pcnet_superpixels(image, 2)
            pcnet_superpixels(image, 2, channel_axis=last)
            assert pcnet_superpixels(image, 2, channel_axis=axis).shape == shape[1:]

    @pytest.mark.parametrize(
        "shape", [(3, 40, 3), (40, 50, 3), (40, 50, 5), (40, 50, 32), (2, 40, 50, 5), (99, 40, 3), (1, 4, 4)]
    )
    def test_a_short_last_axis_is_taken_for_channels(self, shape: tuple[int, ...]) -> None:
        image = np.random.default_rng(0).random(shape)
        assert run_record(image, RunRecord(1)).shape == shape[:-1]
        if len(shape) == 3:
            assert pcnet_superpixels(image, 1).shape == shape[:2]


class MultiScaleData(tuple[Any, ...]):
    """Like napari's: a sequence of levels with the shape and dtype of the finest."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self[0].dtype


@pytest.mark.parametrize("kind", [list, tuple, MultiScaleData])
@pytest.mark.parametrize("call", [pcnet_superpixels, lambda image, n: run_record(image, RunRecord(n))])
def test_of_a_pyramid_one_level_is_to_be_passed(kind: Any, call: Any) -> None:
    message = (
        r"^image is a pyramid \(levels 40 x 50 x 3, 20 x 25 x 3\): pass one level, image\[0\] is the finest$"
    )
    with pytest.raises(ValueError, match=message):
        call(kind([IMAGE, IMAGE[::2, ::2]]), 5)


def test_a_list_of_planes_of_one_shape_is_an_array() -> None:
    planes = list(np.moveaxis(IMAGE, 2, 0))
    np.testing.assert_array_equal(pcnet_superpixels(planes, 5, channel_axis=0), pcnet_superpixels(IMAGE, 5))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ma.masked_array(np.array([["a", "b"]])), "image must hold booleans, integers or floats, got <U1"),
        ("a.png", "image must be an array, got the path 'a.png'; read_image reads it"),
        ([[1, 2], [3]], "image cannot be made an array: "),
        (None, "image must hold booleans, integers or floats, got object"),
        (IMAGE.astype(complex), "image must hold booleans, integers or floats, got complex128"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(image: Any, message: str) -> None:
    for call in (pcnet_superpixels, lambda each, n: run_record(each, RunRecord(n))):
        with pytest.raises(TypeError, match=f"^{message}"):
            call(image, 2)


def test_sides_that_dask_does_not_know_are_refused() -> None:
    lazy = dask.array.from_array(IMAGE, chunks=20)
    some = lazy[lazy[:, 0, 0] > 9]
    with pytest.raises(
        ValueError, match=r"unknown length \(shape \(nan, 50, 3\)\).*image.compute_chunk_sizes\(\)$"
    ):
        pcnet_superpixels(some, 5)
    assert pcnet_superpixels(some.compute_chunk_sizes(), 5).max() == 5


@pytest.mark.parametrize("call", [pcnet_superpixels, pcnet_hierarchy])
def test_what_cannot_be_called_is_refused_before_any_work(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "segment_base", None)
    with pytest.raises(TypeError, match=r"^progress must be a function or None, got 3$"):
        call(IMAGE, 5, progress=3)


class TestAsSlic:
    def test_arguments_by_position_are_those_of_slic(self) -> None:
        wanted = list(inspect.signature(slic).parameters)[:3]
        assert list(inspect.signature(pcnet_superpixels).parameters)[:3] == wanted
        np.testing.assert_array_equal(
            pcnet_superpixels(IMAGE, 9, 20.0), pcnet_superpixels(IMAGE, 9, compactness=20.0)
        )
        assert pcnet_hierarchy(IMAGE, 9, 20.0).n_base > 9

    def test_a_count_may_be_a_float_that_is_whole(self) -> None:
        assert pcnet_superpixels(IMAGE, 9.0).max() == 9  # type: ignore[arg-type]
        assert pcnet_superpixels(IMAGE, np.float32(9)).max() == 9  # type: ignore[arg-type]

    @pytest.mark.parametrize("count", [True, 9.5, float("nan"), float("inf")])
    def test_what_is_no_count_is_refused(self, count: Any) -> None:
        with pytest.raises(
            ValueError, match=f"^n_segments must be a whole number of at least 1, got {count}$"
        ):
            pcnet_superpixels(IMAGE, count)


def test_labels_of_a_lattice_that_do_not_fit_into_32_bits_take_64(monkeypatch: pytest.MonkeyPatch) -> None:
    most = np.iinfo(np.int32).max

    def large(*_: object) -> np.ndarray:
        return np.array([[1, most - 1]], np.int32)

    monkeypatch.setattr(pipeline, "segment_lattice", large)
    labels = run.run_record(np.zeros((3, 1, 2), np.uint8), RunRecord(2, method="lattice", channel_axis=None))
    assert labels.dtype == np.int64
    assert labels[:, 0, 1].tolist() == [most - 1, 2 * (most - 1), 3 * (most - 1)]


def test_a_stack_that_cannot_give_a_count_names_the_limit_of_all_planes() -> None:
    mask = np.zeros((2, 40, 50), bool)
    mask[0, ::8, 0] = mask[1, ::4, 0] = True
    tree = build_hierarchy(np.stack([IMAGE, IMAGE]), RunRecord(1, height=0.0), mask=mask)
    with pytest.raises(
        ValueError, match=r"^n must be at least 10, the number of connected parts of the mask, got 3$"
    ):
        tree.labels(3)


def test_calls_that_are_right_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pcnet_superpixels(IMAGE, 5)


def test_of_a_picture_that_was_read_the_pixels_are_to_be_passed() -> None:
    picture = types.SimpleNamespace(pixels=np.zeros((4, 4)), mask=None)
    message = r"^image must be an array, got a SimpleNamespace; pass its pixels and its mask$"
    with pytest.raises(TypeError, match=message):
        pcnet_superpixels(picture, 2)
