"""What may just be passed: the largest count and ratio, the smallest weight; the range of a tall image."""

import numpy as np
import pytest

from napari_pcnet import arguments, pcnet_superpixels
from napari_pcnet.options import Options

TALL = 1200
"""Rows of an image that is read in more than two parts."""


@pytest.mark.parametrize("row", [0, 600, TALL - 1])
def test_the_range_is_that_of_all_rows(row: int) -> None:
    image = np.full((TALL, 3), 5.0)
    image[row] = 1.0, 5.0, 9.0
    picture = arguments.picture(image, None, None, None)
    assert (picture.low.tolist(), picture.high.tolist()) == ([1], [9])


@pytest.mark.parametrize("row", [0, 600, TALL - 1])
def test_the_range_of_a_mask_is_that_of_its_rows(row: int) -> None:
    image = np.zeros((TALL, 3, 5))
    image[row, 1] = 1, 2, 3, 4, 5
    image[row, 2] = 2, 4, 6, 8, 10
    mask = np.zeros((TALL, 3), bool)
    mask[row, 1:] = True
    picture = arguments.picture(image, mask, -1, None)
    assert picture.low.tolist() == [1, 2, 3, 4, 5]
    assert picture.high.tolist() == [2, 4, 6, 8, 10]


def test_grey_and_colours_have_one_range_and_other_channels_one_each() -> None:
    ramp = np.arange(12.0).reshape(2, 2, 3)
    picture = arguments.picture(ramp, None, -1, None)
    assert (picture.low.tolist(), picture.high.tolist()) == ([0, 0, 0], [11, 11, 11])
    picture = arguments.picture(ramp[..., :2], None, -1, None)
    assert (picture.low.tolist(), picture.high.tolist()) == ([0, 1], [9, 10])


def test_pixels_may_be_a_thousand_times_as_high_as_wide_and_no_more() -> None:
    high, wide = (Options.checked({"spacing": each}) for each in ((1000.0, 1.0), (1.0, 1000.0)))
    assert high.pixel_sides == pytest.approx((1000**0.5, 1000**-0.5))
    assert wide.pixel_sides == pytest.approx((1000**-0.5, 1000**0.5))
    with pytest.raises(ValueError, match="must not differ more than 1000 times"):
        Options.checked({"spacing": (1001.0, 1.0)})


def test_shape_may_weigh_nothing_and_lines_be_left_as_they_are() -> None:
    for limits in ({"compactness": 0, "smoothing": 0}, {"compactness": 1e9, "smoothing": 100}):
        options = Options.checked(limits)
        assert {"compactness": options.compactness, "smoothing": options.smoothing} == limits


def test_a_superpixel_may_be_a_pixel() -> None:
    # the lattice has a cell for each pixel, and each pixel may choose its own
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    assert pcnet_superpixels(image, 20, method="lattice").shape == (4, 5)
    with pytest.raises(ValueError, match="n_segments must be at most 20, the pixels of the image, got 21"):
        pcnet_superpixels(image, 21, method="lattice")


def test_a_picture_of_more_pixels_than_can_be_told_apart_is_not_begun() -> None:
    class Endless:
        shape, dtype = (10**8, 10**8), np.dtype(np.uint8)

        def __getitem__(self, _key: object) -> np.ndarray:
            raise AssertionError("it is not read")

    with pytest.raises(
        ValueError, match="image is 100000000 x 100000000 pixels, more than can be told apart"
    ):
        pcnet_superpixels(Endless(), 5)
