"""Overlays show a picture of any kind with lines between its labels."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet.disk.image import Image
from napari_pcnet.disk.overlay import BOUNDARY_COLOUR, boundary_lines, write_overlay, write_overlay_stack
from napari_pcnet.disk.pictures import read_image
from napari_pcnet.disk.placement import Placement

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]], np.int32)


def _zarr(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    array = zarr.create_array(
        path, shape=pixels.shape, chunks=pixels.shape, dtype=pixels.dtype, compressors=None, **options
    )
    array[...] = pixels
    return path


def test_an_overlay_can_be_drawn_on_a_zarr(tmp_path: Path) -> None:
    for name, pixels in {"grey": GREY, "rgb": RGB}.items():
        image = read_image(_zarr(tmp_path / f"{name}.zarr", pixels))
        write_overlay(tmp_path / f"{name}.png", image, np.ones_like(LABELS))
    assert_array_equal(read_image(tmp_path / "grey.png").pixels, np.dstack([GREY] * 3))
    assert_array_equal(read_image(tmp_path / "rgb.png").pixels, RGB)


@pytest.mark.parametrize("form", [partial(dask.array.from_array, chunks=2), np.ndarray.tolist])
def test_labels_may_be_lazy_or_a_list(tmp_path: Path, form: Any) -> None:
    for name, labels in {"array": LABELS, "other": form(LABELS)}.items():
        write_overlay(tmp_path / f"{name}.png", RGB, labels)
    assert (tmp_path / "other.png").read_bytes() == (tmp_path / "array.png").read_bytes()


def test_an_overlay_is_the_picture_with_lines_between_labels(tmp_path: Path) -> None:
    write_overlay(tmp_path / "o.png", Image(RGB, -1), LABELS)
    shown = read_image(tmp_path / "o.png").pixels
    lines = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    assert_array_equal(boundary_lines(LABELS), lines)
    assert_array_equal(shown[~lines], RGB[~lines])
    assert_array_equal(shown[lines], np.tile(BOUNDARY_COLOUR, (5, 1)))


@pytest.mark.parametrize(
    ("pixels", "channel_axis"),
    [
        (GREY, None),
        (GREY > 100, None),
        (GREY.astype(">u2"), None),
        (np.where(GREY == 0, np.nan, GREY).astype(np.float32), None),
        (np.stack([GREY] * 5), 0),
        (np.dstack([GREY, GREY]), -1),
        (np.zeros((3, 4)), None),
    ],
)
def test_an_overlay_shows_any_kind_of_picture(
    tmp_path: Path, pixels: np.ndarray[Any, Any], channel_axis: int | None
) -> None:
    write_overlay(tmp_path / "o.jpg", Image(pixels, channel_axis), LABELS)
    assert read_image(tmp_path / "o.jpg").pixels.shape == (3, 4, 3)


def test_other_values_than_8_bits_are_stretched_to_be_seen(tmp_path: Path) -> None:
    write_overlay(tmp_path / "o.png", Image(GREY.astype(float) * 1000, None), np.ones_like(LABELS))
    shown = read_image(tmp_path / "o.png").pixels
    assert (shown.min(), shown.max()) == (0, 255)


def test_what_is_not_finite_is_shown_black(tmp_path: Path) -> None:
    pixels = np.array([[np.nan, 2.0, 4.0, np.inf], [-np.inf, 3.0, 3.0, 2.0]])
    write_overlay(tmp_path / "o.png", Image(pixels, None), np.ones(pixels.shape, int))
    shown = read_image(tmp_path / "o.png").pixels
    assert_array_equal(shown[..., 0], [[0, 0, 255, 0], [0, 128, 128, 0]])


def test_what_is_outside_does_not_decide_how_the_picture_is_shown(tmp_path: Path) -> None:
    pixels = np.array([[-9999.0, 1.0, 2.0], [9999.0, 3.0, 3.0]])
    inside = np.array([[False, True, True], [False, True, True]])
    write_overlay(tmp_path / "o.png", Image(pixels, None, inside), np.ones(pixels.shape, int))
    shown = read_image(tmp_path / "o.png").pixels
    assert_array_equal(shown[..., 0], [[0, 0, 128], [255, 255, 255]])


@pytest.mark.parametrize("pixels", [GREY, RGB, np.dstack([RGB, GREY]), RGB.tolist()])
def test_the_picture_may_be_an_array(tmp_path: Path, pixels: Any) -> None:
    write_overlay(tmp_path / "o.png", pixels, np.ones_like(LABELS))
    shown = read_image(tmp_path / "o.png").pixels
    assert_array_equal(shown, np.dstack([GREY] * 3) if pixels is GREY else RGB)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (RGB[:, :3], LABELS, "an overlay needs picture and labels of one size, got 3 x 3 and 3 x 4"),
        (RGB, LABELS[None], "an overlay needs picture and labels of one size, got 3 x 4 and 1 x 3 x 4"),
        (RGB[None], LABELS, "an overlay shows one plane, (H, W) or (H, W, C), got shape (1, 3, 4, 3)"),
    ],
)
def test_pictures_and_labels_that_do_not_fit_are_refused(
    tmp_path: Path, pixels: Any, labels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_overlay(tmp_path / "o.png", pixels, labels)


def test_the_overlays_of_a_stack_keep_its_axes_and_its_place(tmp_path: Path) -> None:
    planes = [Image(GREY + k, None) for k in range(6)]
    labels = np.stack([LABELS] * 6).reshape(2, 3, *LABELS.shape)
    write_overlay_stack(tmp_path / "o.tif", planes, labels, placement=Placement((2.0, 3.0), "mm"))
    shown = read_image(tmp_path / "o.tif")
    assert (shown.pixels.shape, shown.channel_axis) == ((2, 3, 3, 4, 3), 4)
    assert_array_equal(shown.pixels[1, 2, 0, 0], [5] * 3)
    assert_array_equal(shown.pixels[1, 2, 0, 1], BOUNDARY_COLOUR)
    assert shown.placement is not None
    assert shown.placement.pixel_metres == pytest.approx((2e-3, 3e-3))
