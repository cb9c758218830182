"""Tifs as other programs write them have the pixels and the mask that these programs show."""

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import rasterio
import tifffile
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from napari_pcnet.cli import main
from napari_pcnet.disk import tiff
from napari_pcnet.disk.deferred import Deferred
from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.disk.pictures import count_series, read_image, read_mask
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_file

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
ALPHA = np.where(GREY > 60, 255, 0).astype(np.uint8)
BRIGHT = (GREY > 100).astype(np.uint8)
RED, BLUE = (200, 0, 0), (0, 0, 90)


def _refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def _by_gdal(path: Path, bands: NDArray[Any], **options: Any) -> Path:
    """Write ``(bands, H, W)`` as GDAL does."""
    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 500_000, 0, -2, 5_000_000)}
    with rasterio.open(path, "w", driver="GTiff", **profile | place | options) as file:
        file.write(bands)
    return path


_OFFSETS = (273, 519, 520, 521)
"""Tags that point into the file: the strip, and the tables of an old JPEG."""


def _by_hand(path: Path, tags: dict[int, tuple[str, tuple[int, ...]]], pixels: bytes) -> Path:
    """Write a tif of one strip, in a form that no library here writes.

    Offsets in tags count from the first byte of the pixels.
    """
    tags = dict(sorted(({273: ("I", (0,)), 279: ("I", (len(pixels),))} | tags).items()))
    at = 8 + 2 + 12 * len(tags) + 4
    longer = b""
    entries = b""
    start = at + sum(struct.calcsize(f"<{len(v)}{k}") for k, v in tags.values() if len(v) * 2 > 4)
    for tag, (kind, values) in tags.items():
        values = tuple(start + value for value in values) if tag in _OFFSETS else values
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            longer, packed = longer + packed, struct.pack("<I", at + len(longer))
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + packed.ljust(4, b"\0")
    path.write_bytes(
        struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + longer + pixels
    )
    return path


def _infrared(water_rows: int = 8) -> NDArray[np.uint8]:
    """Four bands of 64 x 64, the last one measured, with water, where it is zero."""
    bands = np.random.default_rng(0).integers(1, 255, (4, 64, 64), np.uint8)
    bands[3, :water_rows] = 0
    return bands


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("nodata", [-9999.0, np.nan])
def test_no_data_is_outside(tmp_path: Path, nodata: float, compress: str) -> None:
    heights = GREY.astype(np.float32)
    heights[0, :2] = nodata
    image = read_image(_by_gdal(tmp_path / "a.tif", heights[None], nodata=nodata, compress=compress))
    assert_array_equal(image.pixels, heights)
    assert_array_equal(image.mask, heights.view(np.uint32) != heights.view(np.uint32)[0, 0])


def test_a_pixel_with_data_in_one_channel_is_inside(tmp_path: Path) -> None:
    bands = np.moveaxis(RGB, -1, 0).copy()
    bands[:2, 1], bands[:, 0] = 7, 7
    image = read_image(_by_gdal(tmp_path / "a.tif", bands, nodata=7, photometric="rgb"))
    assert_array_equal(image.mask, [[False] * 4, [True] * 4, [True] * 4])


def test_no_data_in_few_digits_is_the_lowest_number(tmp_path: Path) -> None:
    heights = GREY.astype(np.float32)
    heights[0, 0] = np.finfo(np.float32).min
    tifffile.imwrite(tmp_path / "a.tif", heights, extratags=[(42113, "s", 0, "-3.40282e+38", True)])
    assert_array_equal(read_image(tmp_path / "a.tif").mask, GREY > 0)


@pytest.mark.parametrize("text", ["-9999", "nan", "none", ""])
def test_no_data_that_no_pixel_can_have_hides_nothing(tmp_path: Path, text: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[(42113, "s", 0, text, True)])
    assert read_image(tmp_path / "a.tif").mask is None


def test_a_value_without_data_may_be_named(tmp_path: Path) -> None:
    picture = _by_gdal(tmp_path / "a.tif", GREY[None], nodata=0)
    assert_array_equal(read_image(picture, nodata=40).mask, ~np.isin(GREY, [0, 40]))
    scan = RGB.copy()
    scan[:, 0] = 0
    PIL.Image.fromarray(scan).save(tmp_path / "a.png")
    assert_array_equal(read_image(tmp_path / "a.png", nodata=0).mask, [[False, True, True, True]] * 3)
    assert read_image(tmp_path / "a.png", nodata=1).mask is None
    with pytest.raises(
        ValueError, match=_refusal("nodata must be a finite number, got nan; NaN is outside without it")
    ):
        read_image(picture, nodata=np.nan)


def test_a_run_leaves_no_data_out(tmp_path: Path) -> None:
    heights = np.add.outer(np.arange(32.0), np.arange(40.0)).astype(np.float32)
    heights[:, :10] = -9999
    picture = _by_gdal(tmp_path / "a.tif", heights[None], nodata=-9999)
    unnamed = _by_gdal(tmp_path / "b.tif", heights[None])
    record = RunRecord(4, channel_axis=None)
    labels = run_file(picture, record)
    assert_array_equal(labels > 0, heights > -9999)
    named = RunRecord(4, channel_axis=None, nodata=-9999.0)
    assert_array_equal(run_file(unnamed, named), labels)


@pytest.mark.parametrize("whole_bytes", [0, tiff.WHOLE_BYTES], ids=["sliced", "whole"])
@pytest.mark.parametrize("level", [0, 1])
def test_a_mask_page_is_outside_at_each_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int, whole_bytes: int
) -> None:
    monkeypatch.setattr(tiff, "WHOLE_BYTES", whole_bytes)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 64, 96), np.uint8)
    inside = np.zeros((64, 96), np.uint8)
    inside[:32] = 255
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        _by_gdal(path, pixels, photometric="rgb", compress="deflate")
        with rasterio.open(path, "r+") as file:
            file.write_mask(inside)
            file.build_overviews([2])
    image = read_image(path, level=level)
    assert image.pixels.shape == (64 >> level, 96 >> level, 3)
    expected = inside[:: 1 << level, :: 1 << level] > 0
    assert_array_equal(image.mask, expected)
    assert_array_equal(image.mask[10:20, 30:], expected[10:20, 30:])


def test_a_mask_page_without_levels_is_shrunk(tmp_path: Path) -> None:
    pixels = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    inside = np.zeros((64, 96), bool)
    inside[:32] = True
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, subifds=1, photometric="minisblack", metadata=None)
        file.write(pixels[::2, ::2], subfiletype=1, photometric="minisblack", metadata=None)
        file.write(inside, subfiletype=4, photometric="mask", metadata=None)
    assert count_series(tmp_path / "a.tif") == 1
    assert_array_equal(read_image(tmp_path / "a.tif", level=1).mask, inside[::2, ::2])


@pytest.mark.parametrize(
    ("pixels", "shown"),
    [
        (GREY, 255 - GREY),
        (GREY.astype(np.uint16), 65535 - GREY.astype(np.uint16)),
        (GREY.astype(np.int16), -1 - GREY.astype(np.int16)),
        (GREY > 100, GREY <= 100),
        (GREY.astype(np.float32), GREY.astype(np.float32)),
    ],
    ids=lambda array: array.dtype.name,
)
def test_zero_may_be_white(tmp_path: Path, pixels: NDArray[Any], shown: NDArray[Any]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="miniswhite")
    image = read_image(path)
    assert_array_equal(image.pixels, shown)
    assert image.pixels.dtype == shown.dtype
    if pixels.dtype.kind != "f":
        assert_array_equal(read_mask(path), shown != 0)
        assert_array_equal(read_labels(path), pixels)


def test_white_of_four_bits_is_fifteen(tmp_path: Path) -> None:
    tags = {256: ("I", (2,)), 257: ("I", (1,)), 258: ("H", (4,)), 259: ("H", (1,)), 262: ("H", (0,))}
    _by_hand(tmp_path / "a.tif", tags | {277: ("H", (1,)), 278: ("I", (1,))}, bytes([0x0F]))
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, [[15, 0]])


def test_alpha_beside_a_white_zero_is_not_turned_around(tmp_path: Path) -> None:
    extra = {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([GREY, ALPHA]), photometric="miniswhite", **extra)
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, 255 - GREY)
    assert_array_equal(image.mask, ALPHA > 0)


@pytest.mark.parametrize("of_16_bits", [True, False])
def test_a_table_of_colours_may_have_8_bits(tmp_path: Path, of_16_bits: bool) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[0, 1], table[2, 0] = RED[0], BLUE[2]
    tifffile.imwrite(
        tmp_path / "a.tif", BRIGHT, photometric="palette", colormap=table * (256 if of_16_bits else 1)
    )
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, np.where(BRIGHT[..., None], RED, BLUE))


def test_a_table_of_two_colours_takes_one_bit(tmp_path: Path) -> None:
    table = tuple(256 * value for entry in zip(BLUE, RED, strict=True) for value in entry)
    tags = {256: ("I", (4,)), 257: ("I", (3,)), 258: ("H", (1,)), 259: ("H", (1,)), 262: ("H", (3,))}
    tags |= {277: ("H", (1,)), 278: ("I", (3,)), 320: ("H", table)}
    _by_hand(tmp_path / "a.tif", tags, np.packbits(BRIGHT, axis=-1).tobytes())
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, np.where(BRIGHT[..., None], RED, BLUE))
    assert_array_equal(read_labels(tmp_path / "a.tif"), BRIGHT)


def test_transparency_beside_a_table_of_colours_is_outside(tmp_path: Path) -> None:
    table = [0] * 768
    table[1], table[512] = 256 * RED[0], 256 * BLUE[2]
    tags = {256: ("I", (4,)), 257: ("I", (3,)), 258: ("H", (8, 8)), 259: ("H", (1,)), 262: ("H", (3,))}
    tags |= {277: ("H", (2,)), 278: ("I", (3,)), 320: ("H", tuple(table)), 338: ("H", (2,))}
    _by_hand(tmp_path / "a.tif", tags, np.dstack([BRIGHT, ALPHA]).tobytes())
    image = read_image(tmp_path / "a.tif")
    assert_array_equal(image.pixels, np.where(BRIGHT[..., None], RED, BLUE))
    assert_array_equal(image.mask, ALPHA > 0)


def _with_three_pictures(path: Path) -> Path:
    with tifffile.TiffWriter(path) as file:
        file.write(GREY, photometric="minisblack", metadata=None)
        file.write(GREY[:2], photometric="minisblack", metadata=None)
        file.write(RGB, photometric="rgb", metadata=None)
    return path


def test_of_several_pictures_one_is_chosen(tmp_path: Path) -> None:
    path = _with_three_pictures(tmp_path / "a.tif")
    message = (
        f"{path} holds 3 pictures (0: 3 x 4 of uint8, 1: 2 x 4 of uint8, 2: 3 x 4 x 3 of uint8); 0 is taken, "
        "series= names another, or mask_series= if this is the mask"
    )
    with pytest.warns(UserWarning, match=_refusal(message)):
        assert_array_equal(read_image(path).pixels, GREY)
    assert_array_equal(read_image(path, series=1).pixels, GREY[:2])
    assert_array_equal(read_image(path, series=2).pixels, RGB)
    refused = f"series must be 0 to 2, as {path} holds 3 pictures, got 3"
    with pytest.raises(ValueError, match=_refusal(refused)):
        read_image(path, series=3)
    mask = read_image(path, path, series=2, mask_series=2).mask
    assert_array_equal(mask, RGB.any(axis=2))
    with pytest.raises(ValueError, match=_refusal(f"mask_{refused}")):
        read_image(path, path, series=2, mask_series=3)
    tifffile.imwrite(tmp_path / "b.tif", GREY)
    with pytest.raises(
        ValueError, match=_refusal(f"series must be 0, as {tmp_path / 'b.tif'} holds 1 picture, got 1")
    ):
        read_image(tmp_path / "b.tif", series=1)


def test_a_record_names_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    small = np.kron(np.eye(4, dtype=np.uint8) * 200, np.ones((8, 8), np.uint8))
    with tifffile.TiffWriter(path) as file:
        file.write(GREY, photometric="minisblack", metadata=None)
        file.write(small, photometric="minisblack", metadata=None)
    assert run_file(path, RunRecord(4, channel_axis=None, series=1)).shape == small.shape


def _with_old_jpeg(path: Path) -> Path:
    """Write red as TIFF 6.0 had it: the scan in the strip, its tables where tags point to."""
    content = io.BytesIO()
    PIL.Image.new("RGB", (32, 32), (200, 30, 60)).save(content, "JPEG", quality=95, subsampling=2)
    jpeg, at, tables = content.getvalue(), 2, dict[int, list[bytes]]()
    while jpeg[at + 1] != 0xDA:  # start of the scan
        (length,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
        segment = jpeg[at + 4 : at + 2 + length]
        tag = {0xDB: 519, 0xC4: 520 + (segment[0] >> 4)}.get(jpeg[at + 1])  # of DC, and of AC coefficients
        if tag is not None:
            tables.setdefault(tag, []).append(segment[1:])  # one in a segment, as libjpeg writes them
        at += 2 + length
    (length,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
    blob, tags = jpeg[at + 2 + length : -2], _tags_of_ycbcr(6) | {512: ("H", (1,))}
    tags[279] = ("I", (len(blob),))
    for tag, (of_luma, of_chroma) in tables.items():
        first, second = len(blob), len(blob) + len(of_luma)
        tags[tag] = ("I", (first, second, second))
        blob += of_luma + of_chroma
    return _by_hand(path, tags, blob)


@pytest.mark.parametrize("compression", ["old jpeg", "deflate"])
def test_thinned_chroma_becomes_rgb(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    if compression == "old jpeg":
        _with_old_jpeg(path)
    else:
        _by_hand(path, _tags_of_ycbcr(8), zlib.compress(_RED_UNIT * 256))
    pixels = read_image(path).pixels
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 60)).max() <= 2


def test_thinned_chroma_that_nothing_decodes_is_refused(tmp_path: Path) -> None:
    _by_hand(tmp_path / "a.tif", _tags_of_ycbcr(1), _RED_UNIT * 256)
    with pytest.raises(ValueError, match="cannot be read as a tif, png or jpg picture: tifffile says chroma"):
        read_image(tmp_path / "a.tif")


_RED_UNIT = bytes([84, 84, 84, 84, 115, 211])
"""Of red 200, green 30, blue 60 in YCbCr: four luma, and the chroma that they share."""


def _tags_of_ycbcr(compression: int) -> dict[int, tuple[str, tuple[int, ...]]]:
    tags: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (32,)),
        257: ("I", (32,)),
        258: ("H", (8, 8, 8)),
    }
    tags |= {259: ("H", (compression,)), 262: ("H", (6,)), 277: ("H", (3,)), 278: ("I", (32,))}
    return tags | {530: ("H", (2, 2))}


def test_near_infrared_that_gdal_declares_transparency_is_a_channel(tmp_path: Path) -> None:
    bands = _infrared()
    path = _by_gdal(tmp_path / "a.tif", bands)
    assert tifffile.imread(path).shape == (64, 64, 4)
    with pytest.warns(UserWarning, match="declares its last band as transparency, but"):
        image = read_image(path)
    assert_array_equal(image.pixels, np.moveaxis(bands, 0, -1))
    assert image.mask is None


@pytest.mark.parametrize(("name", "is_alpha"), [("nir", False), ("Alpha", True)])
def test_a_bands_name_decides(tmp_path: Path, name: str, is_alpha: bool) -> None:
    bands = _infrared()
    path = _by_gdal(tmp_path / "a.tif", bands)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", "green", "blue", name)
    image = read_image(path)
    assert image.pixels.shape == (64, 64, 3 if is_alpha else 4)
    assert (image.mask is not None) == is_alpha


def test_a_band_that_gdal_is_told_of_is_a_channel(tmp_path: Path) -> None:
    path = _by_gdal(tmp_path / "a.tif", _infrared())
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    assert read_image(path).pixels.shape == (64, 64, 4)


def test_transparency_with_soft_edges_is_outside(tmp_path: Path) -> None:
    bands = _infrared()
    bands[3, 8:] = 255
    bands[3, 8:12] = np.arange(256, dtype=np.uint8).reshape(4, 64)
    image = read_image(_by_gdal(tmp_path / "a.tif", bands))
    assert image.pixels.shape == (64, 64, 3)
    assert_array_equal(image.mask, bands[3] > 0)


def test_a_veil_is_transparency(tmp_path: Path) -> None:
    bands = _infrared()
    bands[3] = 128
    assert read_image(_by_gdal(tmp_path / "a.tif", bands)).pixels.shape == (64, 64, 3)


def _noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


_TABLE = np.random.default_rng(1).integers(0, 65535, (3, 256), np.uint16)
_KINDS: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
    "grey": (_noise(70, 90), {}),
    "rgb": (_noise(70, 90, 3), {"photometric": "rgb"}),
    "planes apart": (_noise(3, 70, 90), {"photometric": "rgb", "planarconfig": "separate"}),
    "rgba": (_noise(70, 90, 4), {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "palette": (_noise(70, 90), {"photometric": "palette", "colormap": _TABLE}),
    "white": (_noise(70, 90), {"photometric": "miniswhite"}),
    "cmyk": (_noise(70, 90, 4), {"photometric": "separated"}),
    "no data": (_noise(70, 90), {"extratags": [(42113, "s", 0, "7", True)]}),
    "stack": (_noise(2, 3, 70, 90), {"photometric": "minisblack", "metadata": {"axes": "TZYX"}}),
    "channels": (_noise(5, 70, 90), {"photometric": "minisblack", "metadata": {"axes": "CYX"}}),
}


@pytest.mark.parametrize("storage", [{"tile": (32, 32)}, {"rowsperstrip": 7}], ids=["tiles", "strips"])
@pytest.mark.parametrize("kind", _KINDS)
def test_a_part_of_a_large_tif_is_that_part_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, storage: dict[str, Any]
) -> None:
    pixels, options = _KINDS[kind]
    path = tmp_path / ("a.ome.tif" if "metadata" in options else "a.tif")
    tifffile.imwrite(path, pixels, compression="zlib", **storage, **options)
    whole = read_image(path)
    monkeypatch.setattr(tiff, "WHOLE_BYTES", 0)
    image = read_image(path)
    assert isinstance(image.pixels, Deferred) and image.channel_axis == whole.channel_axis
    assert (image.pixels.shape, image.pixels.dtype) == (whole.pixels.shape, whole.pixels.dtype)
    assert_array_equal(np.asarray(image.pixels), whole.pixels)
    ndim = whole.pixels.ndim
    for key in [(slice(30, 50), slice(60, 90)), (..., slice(3, 40, 2)), -1, (0, ..., slice(None, None, -1))]:
        assert_array_equal(image.pixels[key], whole.pixels[key])
    assert image.pixels[(slice(5, 5),) * ndim].shape == (0,) * ndim
    assert (image.mask is None) == (whole.mask is None)
    if whole.mask is not None:
        assert_array_equal(image.mask[30:50, 60:90], whole.mask[30:50, 60:90])


def test_only_tiles_that_a_slice_touches_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.dstack([_noise(128, 128, 3), np.full((128, 128), 255, np.uint8)])
    path = tmp_path / "a.tif"
    tile = {"tile": (32, 32), "compression": "zlib", "metadata": None}
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["assocalpha"], **tile)
    with tifffile.TiffFile(path) as file:
        spans = list(zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for offset, length in spans[1:]:  # all tiles but the first
        content[offset : offset + length] = bytes(length)
    path.write_bytes(content)
    monkeypatch.setattr(tiff, "WHOLE_BYTES", 0)
    image = read_image(path)
    assert_array_equal(image.pixels[:32, :32], pixels[:32, :32, :3])
    assert image.mask[:32, :32].all()
    for read in (lambda: image.pixels[:33, :32], lambda: np.asarray(image.mask)):
        with pytest.raises(ValueError, match="cannot be read as a tif, png or jpg picture: "):
            read()


def test_a_run_on_a_crop_of_a_large_tif_is_the_run_on_the_crop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.kron(_noise(8, 8, 3), np.ones((12, 12, 1), np.uint8))
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression="zlib", tile=(32, 32), photometric="rgb")
    record = RunRecord(6, crop=(8, 16, 56, 80))
    labels = run_file(tmp_path / "a.tif", record)
    monkeypatch.setattr(tiff, "WHOLE_BYTES", 0)
    assert_array_equal(run_file(tmp_path / "a.tif", record), labels)


def test_a_mask_file_and_what_is_read_lazily_are_both_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = _noise(24, 32)
    scan[:, :8] = 0
    left = np.zeros((24, 32), np.uint8)
    left[:, :20] = 1
    tifffile.imwrite(tmp_path / "a.tif", scan, compression="zlib")
    tifffile.imwrite(tmp_path / "mask.tif", left)
    monkeypatch.setattr(tiff, "WHOLE_BYTES", 0)
    record = RunRecord(3, channel_axis=None, nodata=0.0, mask=str(tmp_path / "mask.tif"))
    assert_array_equal(run_file(tmp_path / "a.tif", record) > 0, (scan > 0) & (left > 0))
    image = read_image(tmp_path / "a.tif", tmp_path / "mask.tif", nodata=0)
    assert_array_equal(image.mask, (scan > 0) & (left > 0))


def test_small_copies_are_no_other_pictures(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GREY[:1, :2], subfiletype=1, photometric="minisblack", metadata=None)
        file.write(GREY, photometric="minisblack", metadata=None)
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, GREY)


def test_the_record_of_four_measured_channels_names_them(tmp_path: Path) -> None:
    path = _by_gdal(tmp_path / "a.tif", _infrared(), photometric="minisblack")
    assert main(["segment", str(path), str(tmp_path / "labels.tif"), "-n", "4"]) == 0
    notes = read_notes(tmp_path / "labels.tif")
    assert notes is not None and notes["record"]["channels"] == [0, 1, 2, 3]
    labels = read_labels(tmp_path / "labels.tif")
    assert_array_equal(run_file(path, RunRecord.from_dict(notes["record"])), labels)
    assert labels.min() == 1


def test_a_series_without_names_for_rows_and_columns_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, metadata={"axes": "QR"})
    assert_array_equal(read_image(tmp_path / "a.tif").pixels, GREY)


@pytest.mark.parametrize("start_label", [0, 1])
@pytest.mark.parametrize("of", ["the file", "a mask", "a value"])
def test_labels_declare_what_is_outside_as_no_data(tmp_path: Path, of: str, start_label: int) -> None:
    heights = np.kron(np.arange(12).reshape(3, 4), np.ones((8, 8))).astype(np.float32)
    heights[:8, :16] = -9999
    picture = _by_gdal(tmp_path / "a.tif", heights[None], **{"nodata": -9999} if of == "the file" else {})
    tifffile.imwrite(tmp_path / "mask.tif", (heights >= 0).astype(np.uint8))
    words = {"a mask": ["--mask", str(tmp_path / "mask.tif")], "a value": ["--nodata=-9999"]}.get(of, [])
    labels = tmp_path / "labels.tif"
    words += ["-n", "4", "--start-label", str(start_label)]
    assert main(["segment", str(picture), str(labels), *words]) == 0
    assert _declared_no_data(labels) == str(start_label - 1)
    with rasterio.open(labels) as file:
        assert file.nodata == start_label - 1
        assert_array_equal(file.read_masks(1) > 0, heights >= 0)
    assert_array_equal(read_labels(labels) == start_label - 1, heights < 0)


def test_labels_without_anything_outside_declare_nothing(tmp_path: Path) -> None:
    for outside in (None, 0):
        write_labels(tmp_path / "a.tif", np.array([[1, 2]]), overwrite=True, outside=outside)
        assert _declared_no_data(tmp_path / "a.tif") is None
    write_labels(tmp_path / "a.tif", np.array([[0, 2]]), overwrite=True)
    assert _declared_no_data(tmp_path / "a.tif") is None


def _declared_no_data(path: Path) -> str | None:
    """The text of the tag by which GDAL knows it."""
    with tifffile.TiffFile(path) as file:
        text: str | None = file.pages.first.tags.valueof(42113)
    return text
