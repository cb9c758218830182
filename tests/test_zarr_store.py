"""Zarr arrays, groups and OME-Zarr pyramids are opened as pictures, and damaged ones refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet.disk.deferred import Deferred
from napari_pcnet.disk.labels import read_labels
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
TCZYX = [{"name": "t", "type": "time"}, {"name": "C", "type": "channel"}] + [
    {"name": each, "type": "space"} for each in "zyx"
]


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
    assert isinstance(image.pixels, Deferred)
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
    attributes = (
        {"ome": {"version": "0.5", "multiscales": scales}} if version == 5 else {"multiscales": scales}
    )
    path = _group(tmp_path / "a.zarr", zarr_format=3 if version == 5 else 2, **attributes)
    whole = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    half = whole[..., ::2, :]
    _zarr(path / "a" / "half", half, zarr_format=3 if version == 5 else 2)
    _zarr(path / "full", whole, zarr_format=3 if version == 5 else 2)
    _group(path / "labels", zarr_format=3 if version == 5 else 2)
    assert count_levels(path) == 2
    for level, pixels in enumerate([whole, half]):
        image = read_image(path, level=level)
        assert isinstance(image.pixels, Deferred)
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
    with pytest.warns(UserWarning, match=r"holds 2 pictures \(0: a, 1: b\)"):
        image = read_image(path)
    assert (image.pixels.shape, count_levels(path)) == ((3, 2), 1)


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
        line: "its shape is 4, a picture has two axes or more",
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
    assert isinstance(image.pixels, Deferred)
    assert_array_equal(image.mask, GREY > 60)
    assert type(image.mask) is np.ndarray
    colours = _zarr(tmp_path / "rgb.zarr", np.dstack([GREY * 0, GREY, GREY * 0]))
    assert_array_equal(read_mask(colours), GREY > 0)


def test_a_mask_of_another_size_than_a_zarr_is_refused(tmp_path: Path) -> None:
    picture, mask = _zarr(tmp_path / "a.zarr", RGB), _zarr(tmp_path / "m.zarr", GREY[:2])
    message = f"mask {mask} is 2 x 4 pixels, but image {picture} is 3 x 4; they must be the same"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_image(picture, mask_path=mask)
