"""Ranges that are spent on a few values, such as hot pixels and no data that is not declared."""

import re
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import data

from napari_pcnet import RunRecord, arguments, pcnet_hierarchy, pcnet_superpixels, read_image, run_record
from napari_pcnet.cli import main
from napari_pcnet.cli.flags import in_flags
from napari_pcnet.metrics import achievable_segmentation_accuracy
from napari_pcnet.outliers import BINS, spent_range

NAMES = [each.name for each in fields(RunRecord)]

RAMP = np.arange(900, dtype=np.uint16).repeat(4).reshape(60, 60)


def found_in(image: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, ...] | None:
    """The range, the extremes of the others, and how many spend it."""
    axis = -1 if image.ndim == 3 else None
    spent = spent_range(arguments.picture(image, mask, axis))
    return None if spent is None else (*spent[1:6],)


def hot(image: np.ndarray = RAMP) -> np.ndarray:
    changed = image.copy()
    changed[30, 20] = 65535
    return changed


class TestFewValues:
    def test_one_hot_pixel_spends_the_range(self) -> None:
        assert found_in(hot()) == (0, 65535, 0, 899, 1)
        assert found_in(RAMP) is None

    def test_the_calls_say_so_once_and_name_what_would_do(self) -> None:
        message = (
            "image spends most of its range of intensities, 0 to 65535, on 1 of 3600 values: all others are "
            "0 to 899; pass intensity_range=(0, 899), or leave those out by mask=, of a file by nodata=65535"
        )
        stack = np.stack([RAMP, hot(), hot()])
        for call in (
            lambda: pcnet_superpixels(hot(), 5),
            lambda: pcnet_superpixels(hot(), 5, method="lattice"),
            lambda: pcnet_hierarchy(hot(), 5),
            lambda: run_record(stack, RunRecord(5, channel_axis=None)),
        ):
            with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
                call()
            assert len(caught) == 1

    def test_what_is_said_to_do_does(self) -> None:
        mask = hot() < 65535
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ranged = pcnet_superpixels(hot(), 5, intensity_range=(0, 899))
            run_record(hot(), RunRecord(5, intensity_range=("0.1%", "99.9%")))
            pcnet_superpixels(hot(), 5, mask=mask)
        with pytest.warns(UserWarning, match="range of intensities"):
            spent = pcnet_superpixels(hot(), 5)
        plain = pcnet_superpixels(RAMP, 5)
        ranged_score, spent_score = (
            achievable_segmentation_accuracy(each, plain) for each in (ranged, spent)
        )
        assert ranged_score > spent_score + 0.15

    def test_cold_and_hot_pixels_are_counted_together(self) -> None:
        both = RAMP.astype(np.int32) + 30_000
        both[30, 20], both[20, 30] = 0, 60_000
        assert found_in(both) == (0, 60_000, 30_000, 30_899, 2)

    @pytest.mark.parametrize(("pixels", "is_few"), [(1000, False), (1001, True)])
    def test_few_are_as_many_as_percentiles_leave_out(self, pixels: int, is_few: bool) -> None:
        image = np.arange(pixels, dtype=np.float32)[None] / 10
        image[0, 7] = -1e5
        assert (found_in(image) is not None) == is_few
        left = arguments.picture(image, None, None, ("0.1%", "99.9%"))
        assert (float(left.low[0]) > -1e5) == is_few

    def test_the_bulk_may_fill_an_eighth_of_the_range(self) -> None:
        image = np.linspace(0, BINS // 8, 3600).reshape(60, 60)
        image[0, 0] = BINS
        assert found_in(image[:-1]) is not None
        assert found_in(2 * image.clip(0, BINS / 2)) is None

    def test_a_channel_of_many_has_its_own_range(self) -> None:
        many = np.stack([RAMP, hot(), RAMP], axis=-1)[..., :2]
        message = (
            "channel 1 of the image spends most of its range of intensities, 0 to 65535, on 1 of 3600 "
            'values: all others are 0 to 899; pass intensity_range=("0.1%", "99.9%"), or leave those out by '
        )
        with pytest.warns(UserWarning, match=f"^{re.escape(message)}"):
            pcnet_superpixels(many, 5)

    def test_colours_share_one(self) -> None:
        colours = np.stack([RAMP, hot(), RAMP], axis=-1)
        assert found_in(colours) == (0, 65535, 0, 899, 1)

    def test_what_is_outside_does_not_count(self) -> None:
        mask = np.ones(RAMP.shape, bool)
        mask[30, 20] = False
        assert found_in(hot(), mask) is None
        assert found_in(hot(), ~mask | (RAMP < 800)) == (0, 65535, 0, 799, 1)
        assert found_in(hot(), ~mask | (RAMP < 100)) is None  # one of so few is no outlier


class TestNoData:
    @pytest.mark.parametrize("value", [-9999, -32768, 65535, np.finfo(np.float32).min])
    def test_one_value_may_be_that_of_many_pixels(self, value: float) -> None:
        height = RAMP.astype(np.float32) / 9 + 200
        height[10:40, 5:] = value
        found = found_in(height)
        assert found is not None
        low, high, *bulk, others = found
        assert float(value) in (low, high)
        np.testing.assert_array_equal(bulk, [height[height != value].min(), height[height != value].max()])
        assert others == 30 * 55

    def test_it_is_named_for_the_terminal(self, tmp_path: Path) -> None:
        height = RAMP.astype(np.float32) + 0.5
        height[10:40, 5:] = -9999
        tifffile.imwrite(tmp_path / "a.tif", height)
        with pytest.warns(UserWarning, match="intensities") as caught:
            assert main(["segment", str(tmp_path / "a.tif"), str(tmp_path / "o.tif"), "-n", "5"]) == 0
        (sentence,) = (in_flags(str(each.message), NAMES) for each in caught)
        assert sentence == (
            "image spends most of its range of intensities, -9999 to 899.5, on 1650 of 3600 "
            "values: all others are 0.5 to 899.5; pass --intensity-range 0.5 899.5, or leave those out by "
            "--mask, of a file by --nodata=-9999"
        )

    def test_with_8_bits_no_value_is_so_far_away(self) -> None:
        drawing = np.full((60, 60), 255, np.uint8)
        drawing[:, :30] = np.arange(30)
        assert found_in(drawing) is None
        assert found_in(drawing.astype(np.uint16)) is not None


class TestOrdinary:
    def test_pictures_of_the_package_and_of_scikit_image_are(self) -> None:
        samples = Path(arguments.__file__).parent / "samples"
        files = [each for each in sorted(samples.iterdir()) if each.suffix in (".jpg", ".png", ".tif")]
        assert files
        pictures = [np.asarray(read_image(each).pixels) for each in files]
        pictures += [getattr(data, name)() for name in ("camera", "coins", "moon", "page", "astronaut")]
        for picture in pictures:
            assert found_in(picture) is None
            assert found_in(picture.astype(np.float32) ** 2) is None

    @pytest.mark.parametrize("dtype", ["?", "u1", "<u2", ">u2", "i4", "f4", "f8"])
    def test_two_values_and_a_flat_ground_with_dots_are(self, dtype: str) -> None:
        dots = np.zeros((60, 60), dtype)
        dots[30, 20] = 1
        assert found_in(dots) is None
        dots[:30] = 1
        assert found_in(dots) is None

    def test_it_is_known_after_the_first_rows(self) -> None:
        class Counted:
            """An array that knows how much of it was read."""

            def __init__(self, pixels: np.ndarray) -> None:
                self.pixels, self.shape, self.dtype, self.read = pixels, pixels.shape, pixels.dtype, 0

            def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
                part = self.pixels[key]
                self.read += part.size
                return part

        counted = Counted(np.tile(RAMP, (40, 1)))
        picture = replace(arguments.picture(counted, None, None), pixels=counted)  # nothing is kept
        counted.read = 0
        assert spent_range(picture) is None
        assert counted.read == 512 * 60
