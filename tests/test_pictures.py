"""Pictures as people have them become arrays, whatever the format of the file."""

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from numpy.testing import assert_array_equal

from napari_pcnet.disk import pictures
from napari_pcnet.disk.labels import read_labels
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask
from ome_files import write_first_of

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
ALPHA = np.where(GREY > 60, 255, 0).astype(np.uint8)
COLOURS = np.array([[(200, 30, 60), (20, 180, 90)], [(250, 250, 250), (9, 40, 220)]], np.uint8)
TCZYX = [{"name": "t", "type": "time"}, {"name": "C", "type": "channel"}] + [
    {"name": each, "type": "space"} for each in "zyx"
]


def _refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def _saved(path: Path, pixels: np.ndarray[Any, Any], **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


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


def _pyramid(path: Path, **options: Any) -> list[np.ndarray[Any, Any]]:
    """Write a tif of three sizes, the smaller ones where viewers look for them."""
    whole = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    sizes = [whole, whole[::2, ::2], whole[::4, ::4]]
    with tifffile.TiffWriter(path) as file:
        file.write(sizes[0], subifds=2, photometric="minisblack", **options)
        for each in sizes[1:]:
            file.write(each, subfiletype=1, photometric="minisblack")
    return sizes


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


def test_a_grey_of_16_bits_declared_transparent_is_outside(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 257 + 3
    image = read_image(_saved(tmp_path / "a.png", deep, transparency=int(deep[1, 2])))
    assert_array_equal(image.pixels, deep)
    assert_array_equal(image.mask, deep != deep[1, 2])
    assert read_image(_saved(tmp_path / "b.png", deep, transparency=1)).mask is None


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


def test_pages_of_an_ome_tif_that_are_in_no_file_are_told(tmp_path: Path) -> None:
    path = write_first_of(["a.ome.tif", "b.ome.tif"], tmp_path, GREY)
    with pytest.warns(UserWarning, match=r"^1 of 2 pages are missing in .*a\.ome\.tif and the files that it"):
        pixels = read_image(path).pixels
    np.testing.assert_array_equal(pixels, [GREY, np.zeros_like(GREY)])


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


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("model", ["CMYK", "YCbCr"])
def test_a_tif_in_another_colour_model_becomes_rgb(tmp_path: Path, model: str, compression: str) -> None:
    PIL.Image.fromarray(COLOURS).convert(model).save(tmp_path / "a.tif", compression=compression)
    image = read_image(tmp_path / "a.tif")
    assert (image.pixels.dtype, image.channel_axis, image.mask) == (np.uint8, -1, None)
    assert np.abs(image.pixels.astype(int) - COLOURS).max() <= 2


def test_grey_in_ycbcr_stays_the_same_grey(tmp_path: Path) -> None:
    neutral = PIL.Image.new("L", (4, 3), 128)
    PIL.Image.merge("YCbCr", [PIL.Image.fromarray(GREY), neutral, neutral]).save(tmp_path / "a.tif")
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, np.dstack([GREY] * 3))


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


def test_lab_without_any_blue_becomes_rgb_and_no_filter_of_warnings_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = np.array([[(50, 0, 127), (0, 0, 127), (100, 0, 127), (50, 0, 0)]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", lab, photometric="cielab")
    with monkeypatch.context() as patch:
        patch.delattr(warnings, "catch_warnings")  # another thread may rely on its own
        image = read_image(tmp_path / "a.tif")
    expected = [[(0.5783, 0.4554, 0), (0.0973, 0, 0), (1, 0.9808, 0), (0.4663, 0.4663, 0.4663)]]
    np.testing.assert_allclose(image.pixels, expected, atol=1e-3)


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


def test_of_several_alpha_channels_the_first_is_the_mask(tmp_path: Path) -> None:
    extra = {"extrasamples": ["unassalpha", "assocalpha"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB, ALPHA, ALPHA[::-1]]), photometric="rgb", **extra)
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, RGB)
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


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path, there = tmp_path / "none.png", _saved(tmp_path / "a.png", RGB)
    with pytest.raises(FileNotFoundError, match=_refusal(f"image {path} does not exist")):
        read_image(path)
    for series in (0, 1):
        with pytest.raises(FileNotFoundError, match=_refusal(f"mask {path} does not exist")):
            read_image(there, path, mask_series=series)
    with pytest.raises(FileNotFoundError, match=_refusal(f"labels file {path} does not exist")):
        read_labels(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=_refusal(f"image {tmp_path} is a folder; name a file")):
        read_image(tmp_path)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("notes")
    message = f"{path} cannot be read as a tif, png or jpg picture: it is text"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_image(path)


def test_a_folder_without_a_zarr_is_refused_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    roles = {read_image: "image", read_labels: "labels file", read_mask: "mask", count_levels: "image"}
    for use, role in roles.items():
        with pytest.raises(IsADirectoryError, match=_refusal(f"{role} {path} is a folder; name a file")):
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


def test_the_sample_is_a_photograph_in_colour() -> None:
    sample = read_image(pictures.SAMPLE)
    assert (sample.pixels.shape, sample.channel_axis, sample.mask) == ((300, 451, 3), -1, None)
