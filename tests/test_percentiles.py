"""Percentiles as the range of an image: exact, streamed, the same for every type, gain and offset."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from skimage import data

from napari_pcnet import RunRecord, arguments, pcnet_superpixels, run_record
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.percentiles import percentiles
from napari_pcnet.metrics import achievable_segmentation_accuracy

SHARES = [Fraction(0), Fraction(1, 100), Fraction(1, 2), Fraction(999, 1000), Fraction(1)]

TYPES = ["?", "u1", "i1", "<u2", ">i2", "<f2", ">i4", "u8", "i8", ">f4", "f8", np.longdouble]


def drawn(dtype: object, channels: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(3, 40, (1000, channels))
    values[::7] *= 1e2
    whole = np.dtype(dtype)
    if whole.kind == "b":
        return values > 40
    if whole.kind in "iu":
        limits = np.iinfo(whole)
        return np.clip(values, float(max(limits.min, -(2**40))), float(min(limits.max, 2**40))).astype(whole)
    return values.astype(whole)


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("dtype", TYPES)
def test_percentiles_are_those_of_the_sorted_values(dtype: object, channels: int) -> None:
    values = drawn(dtype, channels)

    def parts() -> Iterator[np.ndarray]:
        yield values[:0]
        yield values[:311]
        yield values[311:]

    found = percentiles(parts, values.dtype, channels, SHARES)
    ordered = np.sort(values, axis=0).astype(np.float64)
    np.testing.assert_array_equal(found, ordered[[0, 9, 499, 998, 999]])


def test_grey_and_colours_have_one_range_and_other_channels_one_each() -> None:
    ramp = np.arange(3000.0).reshape(10, 100, 3)
    picture = arguments.picture(ramp, None, -1, ("10%", "50%"))
    assert (picture.low.tolist(), picture.high.tolist()) == ([299] * 3, [1499] * 3)
    picture = arguments.picture(ramp[..., :2], None, -1, ("10%", "50%"))
    assert (picture.low.tolist(), picture.high.tolist()) == ([297, 298], [1497, 1498])


def test_percentiles_are_taken_inside_the_mask_and_over_all_rows() -> None:
    image = np.zeros((1200, 4), np.uint16)
    image[:, 1] = np.arange(1200)
    mask = np.zeros(image.shape, bool)
    mask[:, 1] = True
    picture = arguments.picture(image, mask, None, ("25%", "75%"))
    assert (picture.low.tolist(), picture.high.tolist()) == ([299], [899])


def test_where_both_percentiles_are_one_value_the_extremes_stand() -> None:
    image = np.full((100, 100, 2), 7.0)
    image[:40, :, 1] = 9
    image[0, 0] = 1, 30
    picture = arguments.picture(image, None, -1, ("1%", "99%"))
    assert (picture.low.tolist(), picture.high.tolist()) == ([1, 7], [7, 9])


@pytest.mark.parametrize("dtype", [np.int16, ">u4", np.float32, np.float64])
def test_type_gain_and_offset_do_not_matter(dtype: object) -> None:
    image = data.astronaut()[60:124, 100:180]
    expected = pcnet_superpixels(image, 30, intensity_range="2%-98%")
    moved = (image.astype(np.int64) * 7 + 3).astype(dtype)
    np.testing.assert_array_equal(pcnet_superpixels(moved, 30, intensity_range="2%-98%"), expected)


def test_percentiles_tame_a_hot_pixel() -> None:
    image = data.astronaut()[60:188, 100:260].astype(np.uint16) * 16
    hot = image.copy()
    hot[0, 0] = 65535
    plain = pcnet_superpixels(image, 50)
    tamed = pcnet_superpixels(hot, 50, intensity_range="0.1%-99.9%")
    # one pixel differs, and what follows from it; without the range the picture would be black
    assert achievable_segmentation_accuracy(tamed, plain) > 0.78
    with pytest.warns(UserWarning, match="spends most of its range"):
        spent = pcnet_superpixels(hot, 50)
    assert achievable_segmentation_accuracy(spent, plain) < 0.7
    np.testing.assert_array_equal(run_record(hot, RunRecord(50, intensity_range=("0.1%", "99.9%"))), tamed)
    as_array = RunRecord(50, intensity_range=np.array(["0.1%", "99.9%"]))  # type: ignore[arg-type]
    assert repr(as_array.intensity_range) == "('0.1%', '99.9%')"  # plain texts, not numpy's


@pytest.mark.parametrize(
    "limits", ["1%", "99%-1%", "1%-101%", "-1%-5%", "1e1%-50%", ("1%", 5.0), ["1%"], "5%-5%"]
)
def test_what_are_no_rising_percentages_is_refused(limits: object) -> None:
    with pytest.raises(
        ValueError, match=r"^intensity_range must be two rising percentages, such as 1% and 99.9%, got "
    ):
        pcnet_superpixels(np.zeros((8, 8)), 2, intensity_range=limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("span", [5e-324, 1e-310, 1e300])
def test_a_range_may_be_as_narrow_or_wide_as_numbers_are(span: float) -> None:
    image = np.linspace(0, span, 64).reshape(8, 8)
    assert arguments.picture(image, None, None, None).read(Window(0, 0, 8, 8)).max() == 1
    picture = arguments.picture(
        1e300 * np.eye(8), None, None, (0.0, span)
    )  # overflows where it is not clipped
    assert picture.read(Window(0, 0, 8, 8))[..., 0].tolist() == np.eye(8).tolist()
