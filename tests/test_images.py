"""Pictures as people have them become arrays; labels and overlays are written whole or not at all."""

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_pcnet import images
from napari_pcnet.images import Image, read_image, read_labels, read_mask, write_labels, write_overlay

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
ALPHA = np.where(GREY > 60, 255, 0).astype(np.uint8)
LABELS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 3, 3]], np.int32)


def _refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def _saved(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


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


def test_outside_labels_of_minus_one_are_kept_in_a_tif(tmp_path: Path) -> None:
    write_labels(tmp_path / "out.tif", np.array([[-1, 0]]))
    assert_array_equal(read_labels(tmp_path / "out.tif"), [[-1, 0]])


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
    with pytest.raises(ValueError, match=_refusal(f"output {path} must end in .tif, .tiff or .png")):
        write_labels(path, LABELS)
    with pytest.raises(ValueError, match=_refusal(f"output {path} must end in .png, .jpg or .jpeg")):
        write_overlay(path, Image(RGB, -1), LABELS)


def test_a_folder_as_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=_refusal(f"output {path} is a folder; name a file")):
        write_labels(path, LABELS, overwrite=True)


@pytest.mark.parametrize("name", ["out.tif", "out.png"])
def test_a_full_disk_leaves_nothing_and_keeps_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / name
    path.write_bytes(b"mine")
    monkeypatch.setattr(os, "fsync", no_space)
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
    assert_array_equal(images.boundaries(LABELS), lines)
    assert_array_equal(shown[~lines], RGB[~lines])
    assert_array_equal(shown[lines], np.tile(images.BOUNDARY_COLOUR, (5, 1)))


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
    sample = read_image(images.SAMPLE)
    assert (sample.pixels.shape, sample.channel_axis, sample.mask) == ((300, 451, 3), -1, None)
