"""The pictures of a zarr are found in the layouts that other programs write."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet.disk.pictures import count_levels, read_image

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def _group(path: Path, zarr_format: Any = 2, **attributes: Any) -> Path:
    zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    return path


def _array(path: Path, pixels: np.ndarray[Any, Any], zarr_format: Any = 2) -> None:
    zarr.create_array(path, data=pixels, zarr_format=zarr_format)


def _picture(path: Path, value: int, zarr_format: Any = 2) -> None:
    """Write an OME-Zarr whose pixels have one value, above 0, which would not be stored."""
    scales = [{"datasets": [{"path": "0"}], "axes": [{"name": "y"}, {"name": "x"}]}]
    words = {"multiscales": scales}
    _group(path, zarr_format, **({"ome": words} if zarr_format == 3 else words))
    _array(path / "0", np.full((3, 4), value, np.uint8), zarr_format)


@pytest.mark.parametrize("version", ["0.1", "0.2", None])
def test_an_ome_zarr_without_axes_is_time_channels_depth_rows_columns(tmp_path: Path, version: Any) -> None:
    scale = {"datasets": [{"path": "0"}]} | ({} if version is None else {"version": version})
    path = _group(tmp_path / "a.zarr", multiscales=[scale])
    pixels = np.arange(2 * 3 * 12, dtype=np.uint8).reshape(2, 3, 1, 3, 4) + 1
    _array(path / "0", pixels)
    image = read_image(path)
    assert image.channel_axis == 1
    assert_array_equal(image.pixels[...], pixels)


def test_an_array_of_five_axes_that_is_no_ome_zarr_has_no_channels(tmp_path: Path) -> None:
    _array(tmp_path / "a.zarr", np.ones((2, 3, 1, 3, 5), np.uint8))
    assert read_image(tmp_path / "a.zarr").channel_axis is None


def _several(path: Path, names: list[str]) -> Path:
    _group(path, **{"bioformats2raw.layout": 3})
    for at, name in enumerate(names, start=1):
        _picture(path / name, at)
    return path


def _notice(path: Path, count: int, shown: str) -> str:
    return "^" + re.escape(
        f"{path} holds {count} pictures ({shown}); 0 is taken, series= names another, or "
        "mask_series= if this is the mask"
    )


def test_of_several_pictures_a_number_chooses_and_their_names_are_numbers(tmp_path: Path) -> None:
    names = [str(at) for at in range(11)]
    path = _several(tmp_path / "a.zarr", names)
    _group(path / "OME")
    with pytest.warns(UserWarning, match=_notice(path, 11, "0: 0, 1: 1, 2: 2, 3: 3, ...")):
        assert read_image(path).pixels[0, 0] == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [read_image(path, series=at).pixels[0, 0] for at in range(1, 11)] == list(range(2, 12))


def test_pictures_are_in_the_order_that_the_file_records(tmp_path: Path) -> None:
    path = _several(tmp_path / "a.zarr", ["0", "1", "2"])
    _group(path / "OME", series=["2", "0"])
    with pytest.warns(UserWarning, match=_notice(path, 2, "0: 2, 1: 0")):
        assert read_image(path).pixels[0, 0] == 3
    assert read_image(path, series=1).pixels[0, 0] == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_fields_of_a_plate_are_its_pictures(tmp_path: Path, zarr_format: Any) -> None:
    def words(**named: Any) -> dict[str, Any]:
        return {"ome": named} if zarr_format == 3 else named

    plate = words(plate={"wells": [{"path": "B/2"}, {"path": "A/1"}]})
    path = _group(tmp_path / "a.zarr", zarr_format, **plate)
    for at, well in enumerate(["B/2", "A/1"]):
        _group(path / well[0], zarr_format)
        _group(path / well, zarr_format, **words(well={"images": [{"path": "0"}, {"path": "1"}]}))
        for field in range(2):
            _picture(path / well / str(field), 1 + 2 * at + field, zarr_format)
    with pytest.warns(UserWarning, match=_notice(path, 4, "0: B/2/0, 1: B/2/1, 2: A/1/0, 3: A/1/1")):
        assert read_image(path).pixels[0, 0] == 1
    assert [read_image(path, series=at).pixels[0, 0] for at in (1, 2, 3)] == [2, 3, 4]


def test_a_picture_that_a_zarr_has_not_is_refused(tmp_path: Path) -> None:
    several = _several(tmp_path / "a.zarr", ["0", "1"])
    _picture(tmp_path / "one.zarr", 1)
    for path, series, message in [
        (several, 2, f"series must be 0 to 1, as {several} holds 2 pictures, got 2"),
        (several, -1, f"series must be 0 to 1, as {several} holds 2 pictures, got -1"),
        (tmp_path / "one.zarr", 1, f"series must be 0, as {tmp_path / 'one.zarr'} holds 1 picture, got 1"),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            read_image(path, series=series)


def test_levels_are_those_of_the_chosen_picture(tmp_path: Path) -> None:
    path = _several(tmp_path / "a.zarr", ["0", "1"])
    scales = [{"datasets": [{"path": "0"}, {"path": "1"}], "axes": ["y", "x"]}]
    zarr.open_group(path / "1", mode="r+").attrs["multiscales"] = scales
    _array(path / "1" / "1", GREY + 1)
    assert (count_levels(path), count_levels(path, series=1)) == (1, 2)
    assert_array_equal(read_image(path, series=1, level=1).pixels[...], GREY + 1)


@pytest.mark.parametrize("name", ["../outside.zarr", "/outside.zarr", "0/../../outside.zarr", "", 5, None])
def test_a_node_outside_of_a_zarr_is_not_read(tmp_path: Path, name: Any) -> None:
    _array(tmp_path / "outside.zarr", GREY + 1)
    path = _group(tmp_path / "a.zarr", multiscales=[{"datasets": [{"path": name}]}])
    _array(path / "0", GREY + 1)
    message = f"{path} cannot be read as a zarr: it names {name!r}, which is no path of a node inside it"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_image(path)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(path, shape=(3, 4), dtype=np.complex64, chunks=(3, 4))
    message = (
        f"{path} cannot be read as a zarr: its values are of type complex64, those of a picture are numbers"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_image(path)
