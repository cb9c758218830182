"""Pictures as people have them become arrays; labels and overlays are written whole or not at all."""

import contextlib
import errno
import json
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet.disk import pictures
from napari_pcnet.disk.files import write_folder_atomically
from napari_pcnet.disk.formats import LABEL_SUFFIXES
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.overlay import BOUNDARY_COLOUR, boundaries, write_overlay
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
ALPHA = np.where(GREY > 60, 255, 0).astype(np.uint8)
LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]], np.int32)
STACK = np.stack([LABELS, LABELS + 3])
NOTES = {"method": "pcnet", "counts": [3, 6], "scale": 0.5, "model": {"name": "grün"}, "mask": None}


def _refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def _saved(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def _zarr(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    array = zarr.create_array(
        path, shape=pixels.shape, chunks=pixels.shape, dtype=pixels.dtype, compressors=None, **options
    )
    array[...] = pixels
    return path


def _group(path: Path, zarr_format: Any = 3, **attributes: Any) -> Path:
    zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    return path


def _scales(*paths: str, axes: Any = None) -> list[dict[str, Any]]:
    """What OME-Zarr says of an image, of which it needs more to be valid than we look at."""
    named = {} if axes is None else {"axes": axes}
    return [{"datasets": [{"path": each} for each in paths], **named}]


def _everything_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _no_space(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_is_two_dimensional(tmp_path: Path, name: str) -> None:
    image = read_image(_saved(tmp_path / name, GREY))
    assert_array_equal(image.pixels, GREY)
    assert image.pixels.dtype == np.uint8
    assert (image.channel_axis, image.mask) == (None, None)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_colours_are_in_the_last_axis(tmp_path: Path, name: str) -> None:
    image = read_image(_saved(tmp_path / name, RGB))
    assert_array_equal(image.pixels, RGB)
    assert image.channel_axis in (-1, 2)
    assert image.mask is None


def test_a_jpeg_is_read_in_its_own_size_and_colours(tmp_path: Path) -> None:
    red = np.full((16, 24, 3), (200, 10, 10), np.uint8)
    pixels = read_image(_saved(tmp_path / "a.jpg", red, quality=100)).pixels
    assert pixels.shape == red.shape
    assert np.abs(pixels.astype(int) - red).max() <= 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_full_transparency_is_outside(tmp_path: Path, name: str) -> None:
    image = read_image(_saved(tmp_path / name, np.dstack([RGB, ALPHA])))
    assert_array_equal(image.pixels, RGB)
    assert_array_equal(image.mask, ALPHA > 0)


def test_half_transparency_is_inside(tmp_path: Path) -> None:
    image = read_image(_saved(tmp_path / "a.png", np.dstack([RGB, np.full_like(GREY, 1)])))
    assert image.mask is None


def test_grey_with_alpha_is_grey_and_a_mask(tmp_path: Path) -> None:
    PIL.Image.merge("LA", [PIL.Image.fromarray(GREY), PIL.Image.fromarray(ALPHA)]).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert_array_equal(image.pixels, GREY)
    assert_array_equal(image.mask, ALPHA > 0)
    assert image.channel_axis is None


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_palette_becomes_its_colours(tmp_path: Path, name: str) -> None:
    indexed = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    indexed.save(tmp_path / name)
    image = read_image(tmp_path / name)
    red, blue = (255, 0, 0), (0, 0, 255)
    assert_array_equal(image.pixels, np.array([[red, blue], [blue, red]]))
    assert image.pixels.dtype == np.uint8


def test_a_transparent_entry_of_a_palette_is_outside(tmp_path: Path) -> None:
    indexed = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    indexed.save(tmp_path / "a.png", transparency=1)
    image = read_image(tmp_path / "a.png")
    assert image.pixels.shape == (2, 2, 3)
    assert_array_equal(image.mask, [[True, False], [False, True]])


def test_a_colour_declared_transparent_is_outside(tmp_path: Path) -> None:
    _saved(tmp_path / "a.png", GREY, transparency=40)
    image = read_image(tmp_path / "a.png")
    assert_array_equal(image.pixels, GREY)
    assert_array_equal(image.mask, GREY != 40)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_grey_are_kept(tmp_path: Path, name: str) -> None:
    deep = GREY.astype(np.uint16) * 257 + 3
    image = read_image(_saved(tmp_path / name, deep))
    assert_array_equal(image.pixels, deep)
    assert image.pixels.dtype.itemsize == 2


def test_sixteen_bits_a_colour_are_kept(tmp_path: Path) -> None:
    import imagecodecs

    deep = RGB.astype(np.uint16) * 257 + 3
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    assert_array_equal(read_image(tmp_path / "a.png").pixels, deep)
    with_alpha = np.dstack([deep, ALPHA.astype(np.uint16)])
    (tmp_path / "b.png").write_bytes(imagecodecs.png_encode(with_alpha))
    image = read_image(tmp_path / "b.png")
    assert_array_equal(image.pixels, deep)
    assert_array_equal(image.mask, ALPHA > 0)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_black_and_white_is_bool(tmp_path: Path, name: str) -> None:
    image = read_image(_saved(tmp_path / name, GREY > 100))
    assert_array_equal(image.pixels, GREY > 100)
    assert image.pixels.dtype == bool


@pytest.mark.parametrize("dtype", [">u2", "<i2", ">f4", "<f8", "<i4"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_every_kind_of_number_is_kept_in_a_tif(tmp_path: Path, dtype: str, compression: str | None) -> None:
    values = (GREY.astype(float) - 50).astype(dtype) if dtype != ">u2" else GREY.astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, compression=compression, byteorder=">" if dtype[0] == ">" else "<")
    pixels = read_image(path).pixels
    assert_array_equal(pixels, values)
    assert pixels.dtype.kind == values.dtype.kind


def test_a_plain_tif_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    assert isinstance(read_image(tmp_path / "a.tif").pixels, np.memmap)


def test_channels_first_in_an_ome_tif_are_found(tmp_path: Path) -> None:
    channels = np.stack([GREY, GREY + 1, GREY + 2, GREY + 3, GREY + 4])
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, channels, metadata={"axes": "CYX"}, photometric="minisblack")
    image = read_image(path)
    assert_array_equal(image.pixels, channels)
    assert image.channel_axis == 0


def test_axes_of_length_one_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, GREY[None, None, None], metadata={"axes": "TCZYX"}, photometric="minisblack")
    image = read_image(path)
    assert_array_equal(image.pixels, GREY)
    assert image.channel_axis is None


def test_one_row_of_pixels_stays_two_dimensional(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY[:1])
    assert read_image(tmp_path / "a.tif").pixels.shape == (1, 4)


def test_a_stack_is_given_as_a_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY] * 5), photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    assert (image.pixels.shape, image.channel_axis) == ((5, 3, 4), None)


def _as_stored(upright: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """What a camera stores, for the eight values of the tag in the words of the EXIF standard."""
    top_and_left = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }
    return np.ascontiguousarray(top_and_left[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_turned_picture_is_put_upright(tmp_path: Path, name: str, orientation: int) -> None:
    stored = _as_stored(np.dstack([RGB, ALPHA]), orientation)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    if name.endswith(".png"):
        _saved(tmp_path / name, stored, exif=exif)
    else:
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(tmp_path / name, stored, photometric="rgb", extratags=[tag])
    image = read_image(tmp_path / name)
    assert_array_equal(image.pixels, RGB)
    assert_array_equal(image.mask, ALPHA > 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_agrees_on_what_is_upright(tmp_path: Path, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    path = _saved(tmp_path / "a.png", GREY, exif=exif)
    from PIL import ImageOps

    with PIL.Image.open(path) as file:
        assert_array_equal(read_image(path).pixels, np.asarray(ImageOps.exif_transpose(file)))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    PIL.Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    assert_array_equal(read_image(tmp_path / "a.jpg").pixels, np.full((8, 8, 3), 255))


COLOURS = np.array([[(200, 30, 60), (20, 180, 90)], [(250, 250, 250), (9, 40, 220)]], np.uint8)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("model", ["CMYK", "YCbCr"])
def test_a_tif_in_another_colour_model_becomes_rgb(tmp_path: Path, model: str, compression: str) -> None:
    PIL.Image.fromarray(COLOURS).convert(model).save(tmp_path / "a.tif", compression=compression)
    image = read_image(tmp_path / "a.tif")
    assert (image.pixels.dtype, image.channel_axis, image.mask) == (np.uint8, -1, None)
    assert np.abs(image.pixels.astype(int) - COLOURS).max() <= 2


@pytest.mark.parametrize("model", ["CMYK", "YCbCr"])
def test_a_jpeg_in_a_tif_becomes_rgb(tmp_path: Path, model: str) -> None:
    red = PIL.Image.new("RGB", (16, 16), (200, 10, 10)).convert(model)
    red.save(tmp_path / "a.tif", compression="jpeg", quality=100)
    pixels = read_image(tmp_path / "a.tif").pixels
    assert np.abs(pixels.astype(int) - (200, 10, 10)).max() <= 3


def test_cmyk_of_16_bits_with_alpha_becomes_rgb_and_a_mask(tmp_path: Path) -> None:
    cmyk = np.zeros((2, 2, 5), ">u2")
    cmyk[0, 0] = (0, 65535, 65535, 0, 9)
    cmyk[1, 1] = (0, 0, 0, 65535, 9)
    kind = {"photometric": "separated", "extrasamples": ["unassalpha"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", cmyk, byteorder=">", **kind)
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype == np.uint16
    assert image.pixels.tolist() == [[[65535, 0, 0], [65535] * 3], [[65535] * 3, [0, 0, 0]]]
    assert_array_equal(image.mask, [[True, False], [False, True]])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("model", ["cielab", "icclab"])
def test_lab_in_a_tif_becomes_rgb(tmp_path: Path, model: str, bits: int) -> None:
    from skimage import color

    lab = color.rgb2lab(COLOURS)
    lightness = lab[..., :1] * (255 if model == "icclab" or bits == 8 else 65535 / 256) / 100
    opponents = lab[..., 1:] + (128 if model == "icclab" else 0)
    stored = np.concatenate([lightness, opponents], -1) * 2 ** (bits - 8)
    tifffile.imwrite(
        tmp_path / "a.tif", stored.round().astype(int).astype(f"u{bits // 8}"), photometric=model
    )
    image = read_image(tmp_path / "a.tif")
    assert image.pixels.dtype.itemsize * 8 == bits
    assert np.abs(image.pixels / 2.0 ** (bits - 8) - COLOURS).max() <= 6


def test_inks_other_than_cmyk_stay_channels(tmp_path: Path) -> None:
    inks = np.dstack([RGB, GREY])
    tag = (332, "H", 1, 2, True)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", extratags=[tag])
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, inks)


def test_a_fourth_channel_that_is_no_alpha_stays_a_channel(tmp_path: Path) -> None:
    with_infrared = np.dstack([RGB, ALPHA])
    tifffile.imwrite(tmp_path / "a.tif", with_infrared, photometric="rgb", extrasamples=["unspecified"])
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, with_infrared)
    assert image.mask is None


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_alpha_beside_another_extra_channel_is_split_off(tmp_path: Path, kind: str) -> None:
    five = np.dstack([RGB, ALPHA, GREY])
    extra = {"extrasamples": [kind, "unspecified"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", five, photometric="rgb", **extra)
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, np.dstack([RGB, GREY]))
    assert_array_equal(image.mask, ALPHA > 0)


def test_a_picture_above_pillows_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 2)
    assert read_image(_saved(tmp_path / "a.png", GREY)).pixels.shape == (3, 4)
    assert PIL.Image.MAX_IMAGE_PIXELS == 2


def test_a_mask_is_where_a_picture_is_not_zero(tmp_path: Path) -> None:
    assert_array_equal(read_mask(_saved(tmp_path / "grey.png", GREY)), GREY > 0)
    red = np.zeros((3, 4, 3), np.uint8)
    red[1, 2] = (9, 0, 0)
    assert_array_equal(read_mask(_saved(tmp_path / "red.png", red)), red[..., 0] > 0)
    transparent = np.dstack([np.full_like(RGB, 255), ALPHA])
    assert_array_equal(read_mask(_saved(tmp_path / "clear.png", transparent)), ALPHA > 0)


def test_a_mask_and_transparency_are_both_outside(tmp_path: Path) -> None:
    picture = _saved(tmp_path / "a.png", np.dstack([RGB, ALPHA]))
    left = np.zeros((3, 4), np.uint8)
    left[:, :2] = 1
    image = read_image(picture, mask_path=_saved(tmp_path / "m.png", left))
    assert_array_equal(image.mask, (ALPHA > 0) & (left > 0))


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    picture = _saved(tmp_path / "a.png", RGB)
    mask = _saved(tmp_path / "m.png", GREY[:2])
    message = f"mask {mask} is 2 x 4 pixels, but image {picture} is 3 x 4; they must be the same"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_image(picture, mask_path=mask)


def test_labels_of_a_palette_are_its_indices(tmp_path: Path) -> None:
    indexed = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    for name in ("a.png", "a.tif"):
        indexed.save(tmp_path / name)
        assert_array_equal(read_labels(tmp_path / name), [[0, 1], [1, 0]])


def test_labels_must_be_one_channel_of_whole_numbers(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.png", RGB)
    message = f"labels in {path} must be one channel of whole numbers, got 3 x 4 x 3 of uint8"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_labels(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.png"
    with pytest.raises(FileNotFoundError, match=_refusal(f"image {path} does not exist")):
        read_image(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=_refusal(f"image {tmp_path} is a folder; name a file")):
        read_image(tmp_path)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("notes")
    message = f"{path} cannot be read as a tif, png or jpg picture: cannot identify image file {str(path)!r}"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_image(path)


def test_a_folder_without_a_zarr_is_refused_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    for use in (read_image, read_labels, read_mask, count_levels):
        with pytest.raises(IsADirectoryError, match=_refusal(f"image {path} is a folder; name a file")):
            use(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "z.tif"])
def test_no_damaged_file_raises_anything_but_a_refusal(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "z.tif":
        tifffile.imwrite(path, RGB, compression="zlib", photometric="rgb")
    else:
        _saved(path, RGB)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with contextlib.suppress(ValueError):  # some lengths are still a picture
            read_image(path)


# -- pyramids and zarr -----------------------------------------------------------------------------


def _pyramid(path: Path, **options: Any) -> list[np.ndarray[Any, Any]]:
    """Write a tif of three sizes, the smaller ones where viewers look for them."""
    whole = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    sizes = [whole, whole[::2, ::2], whole[::4, ::4]]
    with tifffile.TiffWriter(path) as file:
        file.write(sizes[0], subifds=2, photometric="minisblack", **options)
        for each in sizes[1:]:
            file.write(each, subfiletype=1, photometric="minisblack")
    return sizes


def test_each_level_of_a_tif_is_read(tmp_path: Path) -> None:
    sizes = _pyramid(tmp_path / "a.tif")
    assert count_levels(tmp_path / "a.tif") == 3
    for level, pixels in enumerate(sizes):
        assert_array_equal(read_image(tmp_path / "a.tif", level=level).pixels, pixels)
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, sizes[0])


def test_every_level_is_turned_as_the_full_size_says(tmp_path: Path) -> None:
    sizes = _pyramid(tmp_path / "a.tif", extratags=[(274, "H", 1, 3, True)])
    for level, pixels in enumerate(sizes):
        assert_array_equal(read_image(tmp_path / "a.tif", level=level).pixels, pixels[::-1, ::-1])


def test_a_mask_has_the_size_of_the_level(tmp_path: Path) -> None:
    sizes = _pyramid(tmp_path / "a.tif")
    inside = sizes[2] > 1000
    image = read_image(tmp_path / "a.tif", _saved(tmp_path / "m.png", inside), level=2)
    assert_array_equal(image.mask, inside)


@pytest.mark.parametrize("level", [-1, 3])
def test_a_level_that_a_pyramid_has_not_is_refused(tmp_path: Path, level: int) -> None:
    path = tmp_path / "a.tif"
    _pyramid(path)
    with pytest.raises(
        ValueError, match=_refusal(f"level must be 0 to 2, as {path} has 3 levels, got {level}")
    ):
        read_image(path, level=level)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.zarr"])
def test_a_file_of_one_size_has_level_0_only(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (_zarr if name == "a.zarr" else _saved)(path, GREY)
    assert count_levels(path) == 1
    assert read_image(path, level=0).pixels.shape == (3, 4)
    with pytest.raises(ValueError, match=_refusal(f"level must be 0, as {path} has 1 level, got 1")):
        read_image(path, level=1)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_is_opened_and_not_read(tmp_path: Path, zarr_format: int) -> None:
    path = _zarr(tmp_path / "a.zarr", GREY.astype(np.uint16), zarr_format=zarr_format)
    image = read_image(path)
    assert isinstance(image.pixels, zarr.Array)
    assert (image.pixels.shape, image.pixels.dtype) == ((3, 4), np.uint16)
    assert_array_equal(image.pixels[1:, :2], GREY[1:, :2])
    assert (image.channel_axis, image.mask) == (None, None)
    (chunk,) = [file for file in path.rglob("*") if file.name in ("0", "0.0") and file.is_file()]
    chunk.write_bytes(b"short")
    assert read_image(path).pixels.shape == (3, 4)


def test_an_array_inside_a_group_is_read_by_its_own_folder(tmp_path: Path) -> None:
    _zarr(_group(tmp_path / "a.zarr") / "0", GREY)
    small = _zarr(tmp_path / "a.zarr" / "1", GREY[::2, ::2])
    assert_array_equal(read_image(small).pixels[...], GREY[::2, ::2])
    assert count_levels(small) == 1


@pytest.mark.parametrize(
    ("shape", "channel_axis"),
    [
        ((4, 3), None),
        ((5, 4, 3), -1),
        ((5, 6, 4), -1),
        ((2, 5, 6, 3), -1),
        ((5, 6, 5), None),
        ((3, 5, 6), None),
    ],
)
def test_an_unnamed_last_axis_as_long_as_a_colour_is_one(
    tmp_path: Path, shape: tuple[int, ...], channel_axis: int | None
) -> None:
    _zarr(_group(tmp_path / "g.zarr") / "0", np.zeros(shape, np.uint8))
    _zarr(tmp_path / "a.zarr", np.zeros(shape, np.uint8))
    assert read_image(tmp_path / "a.zarr").channel_axis == channel_axis
    assert read_image(tmp_path / "g.zarr").channel_axis == channel_axis


@pytest.mark.parametrize(
    ("names", "channel_axis"),
    [
        (("C", "y", "x"), 0),
        (("y", "Channel", "x"), 1),
        (("y", "x", "c"), 2),
        (("z", "y", "X"), None),
        ((None, None, None), -1),
        (("dim_0", "dim_1", "dim_2"), -1),
    ],
)
def test_names_of_dimensions_say_which_axis_is_channels(
    tmp_path: Path, names: Any, channel_axis: int | None
) -> None:
    path = _zarr(tmp_path / "a.zarr", np.zeros((5, 6, 3), np.uint8), dimension_names=names)
    assert read_image(path).channel_axis == channel_axis


TCZYX = [{"name": "t", "type": "time"}, {"name": "C", "type": "channel"}] + [
    {"name": each, "type": "space"} for each in "zyx"
]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(
    ("axes", "shape", "channel_axis"),
    [
        (TCZYX, (1, 2, 1, 5, 6), 1),
        (TCZYX, (1, 1, 1, 5, 6), 1),  # a channel axis of length one is one
        ([{"name": "stain", "type": "channel"}, {"name": "y"}, {"name": "x"}], (2, 5, 6), 0),
        ([{"name": "C"}, {"name": "y"}, {"name": "x"}], (2, 5, 6), 0),
        (["c", "y", "x"], (2, 5, 6), 0),
        (TCZYX[-3:], (2, 5, 3), None),  # x is no colour
        ([{"name": "z"}, {"name": "lat"}, {"name": "lon"}], (2, 5, 3), None),
        (TCZYX[-2:], (5, 6), None),
        (None, (5, 6, 3), -1),
    ],
)
def test_an_ome_zarr_says_its_levels_and_axes(
    tmp_path: Path, version: int, axes: Any, shape: tuple[int, ...], channel_axis: int | None
) -> None:
    scales = _scales("full", "a/half", axes=axes)
    said = {"ome": {"version": "0.5", "multiscales": scales}} if version == 5 else {"multiscales": scales}
    path = _group(tmp_path / "a.zarr", zarr_format=3 if version == 5 else 2, **said)
    whole = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    half = whole[..., ::2, :]
    _zarr(path / "a" / "half", half, zarr_format=3 if version == 5 else 2)
    _zarr(path / "full", whole, zarr_format=3 if version == 5 else 2)
    _group(path / "labels", zarr_format=3 if version == 5 else 2)
    assert count_levels(path) == 2
    for level, pixels in enumerate([whole, half]):
        image = read_image(path, level=level)
        assert isinstance(image.pixels, zarr.Array)
        assert_array_equal(image.pixels[...], pixels)
        assert image.channel_axis == channel_axis
    with pytest.raises(ValueError, match=_refusal(f"level must be 0 to 1, as {path} has 2 levels, got 2")):
        read_image(path, level=2)


def test_arrays_of_a_plain_group_are_levels_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = _group(tmp_path / "a.zarr")
    for name, width in {"2": 2, "10": 3, "0": 4}.items():
        _zarr(path / name, GREY[:, :width])
    (path / "notes").mkdir()
    (path / "notes.txt").write_text("of another program")
    assert [read_image(path, level=level).pixels.shape[1] for level in range(count_levels(path))] == [4, 3, 2]


def test_of_a_group_of_groups_the_first_is_read(tmp_path: Path) -> None:
    path = _group(tmp_path / "a.zarr")
    _zarr(_group(path / "b") / "0", GREY)
    _zarr(_group(path / "a") / "0", GREY[:, :2])
    _zarr(path / "0", GREY[:, :3])
    assert (read_image(path).pixels.shape, count_levels(path)) == ((3, 2), 1)


def test_the_first_picture_of_a_converted_file_is_read_with_its_axes(tmp_path: Path) -> None:
    path = _group(tmp_path / "a.zarr", ome={"version": "0.5", "bioformats2raw.layout": 3})
    _group(path / "OME", ome={"version": "0.5", "series": ["0"]})
    first = _group(path / "0", ome={"multiscales": _scales("0", axes=TCZYX)})
    _zarr(first / "0", np.zeros((1, 2, 1, 5, 6), np.uint8))
    assert (read_image(path).pixels.shape, read_image(path).channel_axis) == ((1, 2, 1, 5, 6), 1)


def test_a_zarr_that_shows_no_picture_is_refused(tmp_path: Path) -> None:
    line = _zarr(tmp_path / "line.zarr", GREY[0])
    empty = _group(tmp_path / "empty.zarr")
    axes = _group(tmp_path / "axes.zarr", ome={"multiscales": _scales("0", axes=TCZYX)})
    _zarr(axes / "0", GREY)
    for path, reason in {
        line: "its shape is (4,), a picture has two axes or more",
        empty: "it is a group without arrays",
        axes: "it names 5 axes, its array has 2",
    }.items():
        with pytest.raises(ValueError, match=_refusal(f"{path} cannot be read as a zarr: {reason}")):
            read_image(path)


def test_a_damaged_zarr_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = _zarr(tmp_path / "a.zarr", GREY)
    (path / "zarr.json").write_text("")
    message = f"{path} cannot be read as a zarr: Expecting value: line 1 column 1 (char 0)"
    for use in (read_image, read_labels, read_mask, count_levels):
        with pytest.raises(ValueError, match=_refusal(message)):
            use(path)


def test_a_damaged_chunk_of_labels_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = _zarr(tmp_path / "a.zarr", LABELS)
    (path / "c" / "0" / "0").write_bytes(b"short")
    for use in (read_labels, read_mask):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read as a zarr: [^\n]+$"):
            use(path)


@pytest.mark.parametrize(
    "ome", [{"multiscales": 1}, {"multiscales": [{}]}, [], {"multiscales": _scales("none")}]
)
def test_no_damaged_ome_zarr_raises_anything_but_a_refusal(tmp_path: Path, ome: Any) -> None:
    path = _group(tmp_path / "a.zarr", ome=ome)
    _zarr(path / "0", GREY)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read as a zarr: [^\n]+$"):
        read_image(path)


def test_no_cut_off_zarr_raises_anything_but_a_refusal(tmp_path: Path) -> None:
    path = _zarr(tmp_path / "a.zarr", GREY)
    whole = (path / "zarr.json").read_bytes()
    refused = 0
    for length in range(0, len(whole), 40):
        (path / "zarr.json").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read as a zarr: "):
            read_image(path)
        refused += 1
    assert refused > 10


def test_a_mask_may_be_a_zarr_and_so_may_the_image(tmp_path: Path) -> None:
    mask = _zarr(tmp_path / "m.zarr", (GREY > 60).astype(np.uint8))
    assert_array_equal(read_mask(mask), GREY > 60)
    picture = _zarr(tmp_path / "a.zarr", np.stack([GREY] * 2), dimension_names=("c", "y", "x"))
    image = read_image(picture, mask_path=mask)
    assert isinstance(image.pixels, zarr.Array)
    assert_array_equal(image.mask, GREY > 60)
    assert type(image.mask) is np.ndarray
    colours = _zarr(tmp_path / "rgb.zarr", np.dstack([GREY * 0, GREY, GREY * 0]))
    assert_array_equal(read_mask(colours), GREY > 0)


def test_a_mask_of_another_size_than_a_zarr_is_refused(tmp_path: Path) -> None:
    picture, mask = _zarr(tmp_path / "a.zarr", RGB), _zarr(tmp_path / "m.zarr", GREY[:2])
    message = f"mask {mask} is 2 x 4 pixels, but image {picture} is 3 x 4; they must be the same"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_image(picture, mask_path=mask)


def test_labels_may_be_a_stack_in_any_zarr_or_tif(tmp_path: Path) -> None:
    wide = np.dstack([STACK, STACK])  # a width of 4 would be taken for colours in a zarr without names
    tifffile.imwrite(tmp_path / "a.tif", wide, photometric="minisblack")
    for path in (tmp_path / "a.tif", _zarr(tmp_path / "a.zarr", wide)):
        labels = read_labels(path)
        assert_array_equal(labels, wide)
        assert (type(labels), labels.dtype) == (np.ndarray, np.int32)


@pytest.mark.parametrize(
    ("pixels", "names", "what"),
    [
        (STACK.astype(np.float32), None, "2 x 3 x 4 of float32"),
        (RGB, None, "3 x 4 x 3 of uint8"),
        (STACK, ("c", "y", "x"), "2 x 3 x 4 of int32"),
    ],
)
def test_a_zarr_of_labels_must_be_one_channel_of_whole_numbers(
    tmp_path: Path, pixels: np.ndarray[Any, Any], names: Any, what: str
) -> None:
    path = _zarr(tmp_path / "a.zarr", pixels, dimension_names=names)
    message = f"labels in {path} must be one channel of whole numbers, got {what}"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_labels(path)


def test_an_overlay_can_be_drawn_on_a_zarr(tmp_path: Path) -> None:
    for name, pixels in {"grey": GREY, "rgb": RGB}.items():
        image = read_image(_zarr(tmp_path / f"{name}.zarr", pixels))
        write_overlay(tmp_path / f"{name}.png", image, np.ones_like(LABELS))
    assert_array_equal(read_image(tmp_path / "grey.png").pixels, np.dstack([GREY] * 3))
    assert_array_equal(read_image(tmp_path / "rgb.png").pixels, RGB)


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.tif", "out.tiff", "out.png", "out.PNG"])
def test_labels_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / name, LABELS)
    labels = read_labels(tmp_path / name)
    assert_array_equal(labels, LABELS)
    assert labels.dtype == np.uint16
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("highest", "dtype"), [(65_535, np.uint16), (65_536, np.int32), (2**31 - 1, np.int32), (2**31, np.int64)]
)
def test_a_tif_has_the_bits_that_labels_need(tmp_path: Path, highest: int, dtype: type) -> None:
    labels = np.array([[0, highest]])
    write_labels(tmp_path / "out.tif", labels)
    assert_array_equal(read_labels(tmp_path / "out.tif"), labels)
    assert read_labels(tmp_path / "out.tif").dtype == dtype


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
@pytest.mark.parametrize("lowest", [-1, -(2**31), -(2**31) - 1])
def test_labels_below_zero_are_kept(tmp_path: Path, name: str, lowest: int) -> None:
    write_labels(tmp_path / name, np.array([[lowest, 0]]))
    assert_array_equal(read_labels(tmp_path / name), [[lowest, 0]])


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
@pytest.mark.parametrize("notes", [None, NOTES])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 5, 40, 50),
        (1, 40, 50),
        (2, 1, 3, 4),
        (5, 40, 3),
        (5, 40, 4),
        (3, 40, 50),
        (5, 40, 1),
        (1, 1, 1),
        (4, 1),
    ],
)
def test_stacks_of_labels_come_back_in_their_shape(
    tmp_path: Path, name: str, notes: dict[str, Any] | None, shape: tuple[int, ...]
) -> None:
    labels = np.arange(np.prod(shape)).reshape(shape)
    write_labels(tmp_path / name, labels, notes=notes)
    assert_array_equal(read_labels(tmp_path / name), labels)
    assert read_labels(tmp_path / name).shape == shape
    assert os.listdir(tmp_path) == [name]


def test_a_tif_of_another_program_loses_axes_of_length_one_as_its_picture_does(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS[None], photometric="minisblack")
    assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)
    assert read_labels(tmp_path / "a.tif").shape == read_image(tmp_path / "a.tif").pixels.shape == (3, 4)


@pytest.mark.parametrize(
    ("highest", "dtype"), [(1, np.int32), (65_535, np.int32), (2**31 - 1, np.int32), (2**31, np.int64)]
)
def test_a_zarr_has_32_bits_or_64(tmp_path: Path, highest: int, dtype: type) -> None:
    labels = np.array([[0, highest]])
    write_labels(tmp_path / "out.zarr", labels)
    assert_array_equal(read_labels(tmp_path / "out.zarr"), labels)
    assert read_labels(tmp_path / "out.zarr").dtype == dtype


def test_a_zarr_is_one_compressed_array_in_chunks_of_one_plane(tmp_path: Path) -> None:
    labels = np.ones((2, 3, 1030, 50), np.int64)
    write_labels(tmp_path / "out.zarr", labels)
    array = zarr.open_array(tmp_path / "out.zarr", mode="r")
    assert (array.metadata.zarr_format, array.dtype, array.chunks) == (3, np.int32, (1, 1, 1024, 50))
    assert len(array.compressors) == 1
    assert dict(array.attrs) == {}
    assert read_image(tmp_path / "out.zarr").channel_axis is None


@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_what_is_written_has_the_rights_of_any_new_file(tmp_path: Path, name: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_labels(tmp_path / name, LABELS)
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        after = os.umask(before)
    finally:
        os.umask(before)
    other = tmp_path / ("file" if name == "out.tif" else "folder")
    assert (tmp_path / name).stat().st_mode == other.stat().st_mode
    assert after == umask


def test_a_png_refuses_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    message = f"labels are 2 x 3 x 4, a png has one plane; write {tmp_path / 'out.tif'} instead"
    with pytest.raises(ValueError, match=_refusal(message)):
        write_labels(path, STACK)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.tif", "out.tiff", "out.zarr"])
@pytest.mark.parametrize("labels", [LABELS, STACK, STACK[:1], LABELS + 2**20])
def test_notes_come_back_as_they_were(tmp_path: Path, name: str, labels: np.ndarray[Any, Any]) -> None:
    write_labels(tmp_path / name, labels, notes=NOTES)
    assert read_notes(tmp_path / name) == NOTES
    assert_array_equal(read_labels(tmp_path / name), labels)


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_notes_may_be_empty_and_differ_then_from_none(tmp_path: Path, name: str) -> None:
    write_labels(tmp_path / name, LABELS, notes={})
    assert read_notes(tmp_path / name) == {}
    write_labels(tmp_path / name, LABELS, overwrite=True)
    assert read_notes(tmp_path / name) is None


def test_notes_are_where_other_programs_find_them(tmp_path: Path) -> None:
    write_labels(tmp_path / "out.tif", LABELS, notes=NOTES)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert json.loads(file.pages[0].description) == {"shape": [3, 4], "napari-pcnet": NOTES}
    write_labels(tmp_path / "out.zarr", LABELS, notes=NOTES)
    assert dict(zarr.open_array(tmp_path / "out.zarr", mode="r").attrs) == {"napari-pcnet": NOTES}


def test_a_png_refuses_notes(tmp_path: Path) -> None:
    tif, folder = tmp_path / "out.tif", tmp_path / "out.zarr"
    with pytest.raises(
        ValueError, match=_refusal(f"a png cannot carry notes; write {tif} or {folder} instead")
    ):
        write_labels(tmp_path / "out.png", LABELS, notes=NOTES)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_notes_that_json_cannot_say_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TypeError, match=_refusal("Object of type int64 is not JSON serializable")):
        write_labels(tmp_path / name, LABELS, notes={"count": np.int64(3)})
    assert os.listdir(tmp_path) == []


def test_a_file_without_notes_has_none(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.tif"):
        assert read_notes(_saved(tmp_path / name, GREY)) is None
    assert read_notes(_zarr(tmp_path / "a.zarr", GREY)) is None
    assert read_notes(_zarr(tmp_path / "b.zarr", GREY, attributes={"napari-pcnet": "text"})) is None
    assert read_notes(_group(tmp_path / "g.zarr")) is None
    assert read_notes(tmp_path) is None
    (tmp_path / "notes.txt").write_text("notes")
    assert read_notes(tmp_path / "notes.txt") is None


@pytest.mark.parametrize(
    "description",
    [
        "text",
        "",
        "[1]",
        '"napari-pcnet"',
        '{"napari-pcnet": ',
        '{"napari-pcnet": [1]}',
        '{"other": {}}',
        "[" * 10**5,
    ],
)
def test_other_words_in_a_tif_are_no_notes(tmp_path: Path, description: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS, description=description, metadata=None)
    assert read_notes(tmp_path / "a.tif") is None
    assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


def test_damaged_files_have_no_notes(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", LABELS, notes=NOTES)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:6])
    assert read_notes(tmp_path / "a.tif") is None
    write_labels(tmp_path / "a.zarr", LABELS, notes=NOTES)
    (tmp_path / "a.zarr" / "zarr.json").write_text("[]")
    assert read_notes(tmp_path / "a.zarr") is None


def test_notes_of_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.tif"
    with pytest.raises(FileNotFoundError, match=_refusal(f"image {path} does not exist")):
        read_notes(path)


@pytest.mark.parametrize("pair", [(0, 65_536), (-1, 5)])
def test_a_png_refuses_labels_that_do_not_fit(tmp_path: Path, pair: tuple[int, int]) -> None:
    path = tmp_path / "out.png"
    message = (
        f"labels {pair[0]} to {pair[1]} do not fit into the 16 bits of a png; "
        f"write {tmp_path / 'out.tif'} instead"
    )
    with pytest.raises(ValueError, match=_refusal(message)):
        write_labels(path, np.array([pair]))
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(b"mine")
    message = f"output {path} exists; add --overwrite (overwrite=True) to replace it"
    with pytest.raises(FileExistsError, match=_refusal(message)):
        write_labels(path, LABELS)
    assert path.read_bytes() == b"mine"
    write_labels(path, LABELS, overwrite=True)
    assert_array_equal(read_labels(path), LABELS)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out.tif"
    message = f"output folder {path.parent} does not exist; make it first"
    with pytest.raises(FileNotFoundError, match=_refusal(message)):
        write_labels(path, LABELS)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.bmp"
    with pytest.raises(ValueError, match=_refusal(f"output {path} must end in .tif, .tiff, .png or .zarr")):
        write_labels(path, LABELS)
    with pytest.raises(ValueError, match=_refusal(f"output {path} must end in .png, .jpg or .jpeg")):
        write_overlay(path, Image(RGB, -1), LABELS)


def test_a_folder_as_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=_refusal(f"output {path} is a folder; name a file")):
        write_labels(path, LABELS, overwrite=True)


def test_an_existing_zarr_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    write_labels(path, np.ones((2000, 4), int))
    before = _everything_in(path)
    message = f"output {path} exists; add --overwrite (overwrite=True) to replace it"
    with pytest.raises(FileExistsError, match=_refusal(message)):
        write_labels(path, LABELS)
    assert _everything_in(path) == before
    write_labels(path, LABELS, overwrite=True)
    assert_array_equal(read_labels(path), LABELS)
    assert sorted(_everything_in(path)) == ["c/0/0", "zarr.json"]  # nothing of the larger one
    assert os.listdir(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("kind", ["empty", "full", "group", "old group", "damaged"])
def test_a_folder_that_is_no_zarr_array_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out.zarr"
    if kind.endswith("group"):
        _zarr(_group(path, zarr_format=2 if kind == "old group" else 3) / "0", GREY)
    else:
        path.mkdir()
    if kind in ("full", "damaged"):
        (path / ("zarr.json" if kind == "damaged" else "thesis.txt")).write_text("words")
    before = _everything_in(path)
    message = f"output {path} is a folder, but no zarr array; name another"
    with pytest.raises(IsADirectoryError, match=_refusal(message)):
        write_labels(path, LABELS, overwrite=True)
    with pytest.raises(FileExistsError):
        check_output(path, LABEL_SUFFIXES)
    assert _everything_in(path) == before


def test_a_file_with_the_ending_of_a_zarr_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    path.write_bytes(b"mine")
    write_labels(path, LABELS, overwrite=True)
    assert_array_equal(read_labels(path), LABELS)
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_a_zarr_array_of_the_old_format_is_replaced(tmp_path: Path) -> None:
    path = _zarr(tmp_path / "out.zarr", GREY, zarr_format=2)
    write_labels(path, LABELS, overwrite=True)
    assert_array_equal(read_labels(path), LABELS)
    assert not (path / ".zarray").exists()


def test_a_zarr_that_is_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    write_labels(tmp_path / "first.zarr", LABELS)
    (tmp_path / "first.zarr").rename(target)
    (tmp_path / "out.zarr").symlink_to(target)
    write_labels(tmp_path / "out.zarr", STACK, overwrite=True)
    assert_array_equal(read_labels(tmp_path / "out.zarr"), STACK)
    assert_array_equal(read_labels(target), LABELS)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "out.zarr"]


@pytest.mark.parametrize("where", ["pixels", "fsync", "rename"])
def test_a_zarr_that_cannot_be_finished_leaves_the_old_one_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "out.zarr"
    write_labels(path, LABELS, notes=NOTES)
    before = _everything_in(path)
    filled: list[int] = []

    def half(array: Any, _where: object, labels: Any) -> None:
        array.set_basic_selection((slice(0, 1), slice(None), slice(None)), labels[:1])
        filled.append(sum(file.is_file() for file in tmp_path.glob(".out.zarr.*/**/*")))
        _no_space()

    def no_new_name(made: Path, target: Path) -> Path:
        if made.suffix == ".part":
            filled.append(path.exists())
            _no_space()
        return rename(made, target)

    rename = Path.rename
    with monkeypatch.context() as patch:
        if where == "pixels":
            patch.setattr(zarr.Array, "__setitem__", half)
        elif where == "fsync":
            patch.setattr(os, "fsync", _no_space)
        else:
            patch.setattr(Path, "rename", no_new_name)
        message = f"{path} could not be written: No space left on device; nothing of it was left"
        with pytest.raises(OSError, match=_refusal(message)):
            write_labels(path, STACK, overwrite=True)
    assert filled == {"pixels": [2], "fsync": [], "rename": [False]}[where]  # it did get that far
    assert os.listdir(tmp_path) == ["out.zarr"]
    assert _everything_in(path) == before
    assert read_notes(path) == NOTES


def test_an_interrupted_zarr_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zarr.Array, "__setitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_labels(tmp_path / "out.zarr", LABELS)
    assert os.listdir(tmp_path) == []


def test_every_file_of_a_zarr_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    write_labels(tmp_path / "out.zarr", STACK)
    files = [file for file in (tmp_path / "out.zarr").rglob("*") if file.is_file()]
    assert len(files) == 3
    assert synced == {file.stat().st_ino for file in files}


def test_a_folder_in_no_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out.zarr"
    message = f"there is no folder {path.parent} to write out.zarr to"
    with pytest.raises(FileNotFoundError, match=_refusal(message)):
        write_folder_atomically(path, lambda _folder: None)


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.zarr"])
def test_a_full_disk_leaves_nothing_and_keeps_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"mine")
    monkeypatch.setattr(os, "fsync", _no_space)
    message = f"{path} could not be written: No space left on device; nothing of it was left"
    with pytest.raises(OSError, match=_refusal(message)):
        write_labels(path, LABELS, overwrite=True)
    assert os.listdir(tmp_path) == [name]
    assert path.read_bytes() == b"mine"


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_file: BinaryIO, *_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_labels(tmp_path / "out.tif", LABELS)
    assert os.listdir(tmp_path) == []


def test_an_overlay_is_the_picture_with_lines_between_labels(tmp_path: Path) -> None:
    write_overlay(tmp_path / "o.png", Image(RGB, -1), LABELS)
    shown = read_image(tmp_path / "o.png").pixels
    lines = np.array([[0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    assert_array_equal(boundaries(LABELS), lines)
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


def test_the_sample_is_a_photograph_in_colour() -> None:
    sample = read_image(pictures.SAMPLE)
    assert (sample.pixels.shape, sample.channel_axis, sample.mask) == ((300, 451, 3), -1, None)
