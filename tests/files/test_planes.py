"""Axes of length 1 before rows and columns, as microscopes write them: one rule finds planes and channels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from napari_pcnet import pcnet_superpixels
from napari_pcnet.cli import main
from napari_pcnet.disk.deferred import Deferred, Slices
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_labels, write_labels
from napari_pcnet.planes import Planes, record_axis
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_image


def _ome_zarr(path: Path, pixels: NDArray[Any]) -> Path:
    """An OME-Zarr 0.4 of axes t, c, z, y, x."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype)[...] = pixels
    axes = [{"name": name, "type": kind} for name, kind in (("t", "time"), ("c", "channel"))]
    axes += [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    return path


def _picture(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_ome_zarr_of_one_time_and_depth_is_its_plane(tmp_path: Path, channels: int) -> None:
    pixels = _picture(1, channels, 1, 40, 48)
    path = _ome_zarr(tmp_path / "in.zarr", pixels)
    assert main(["segment", str(path), str(tmp_path / "out.tif"), "-n", "9", "--device", "cpu"]) == 0
    plane, axis = (pixels[0, 0, 0], None) if channels == 1 else (pixels[0, :, 0], 0)
    labels = read_labels(tmp_path / "out.tif").reshape(40, 48)
    assert_array_equal(labels, pcnet_superpixels(plane, 9, channel_axis=axis, device="cpu"))


@pytest.mark.parametrize(
    ("shape", "channel_axis", "expected"),
    [
        ((40, 48), None, None),
        ((40, 48, 3), 2, -1),
        ((40, 48, 3), -1, -1),
        ((40, 48, 1), 2, -1),
        ((1, 40, 48), 0, -3),
        ((2, 3, 40, 48), 1, -3),
        ((1, 3, 1, 40, 48), 1, 0),
        ((2, 3, 1, 40, 48), 1, 1),
        ((1, 3, 5, 40, 48), 1, -4),
        ((1, 1, 1, 40, 48), 1, None),
        ((1, 5, 40, 48), 0, None),
    ],
)
def test_a_record_selects_the_axis_that_a_file_names(
    shape: tuple[int, ...], channel_axis: int | None, expected: int | None
) -> None:
    assert record_axis(shape, channel_axis) == expected
    planes = Planes.select(np.empty(shape, np.uint8), RunRecord(channel_axis=expected))
    found = planes.channel_axis
    assert found == (None if expected is None or channel_axis is None else channel_axis % len(shape))
    assert planes.plane_shape == (40, 48)


@pytest.mark.parametrize(
    ("shape", "channel_axis"),
    [((0, 40, 48, 3), -1), ((2, 0, 40, 48), None), ((40, 0), None), ((40, 48, 0), -1)],
)
def test_an_image_without_pixels_is_refused(shape: tuple[int, ...], channel_axis: int | None) -> None:
    message = f"image must have at least one pixel, got shape {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Planes.select(np.empty(shape, np.uint8), RunRecord(channel_axis=channel_axis))


def test_an_image_of_unknown_shape_is_refused() -> None:
    class Lazy:
        shape, dtype = (float("nan"), 48), np.dtype(np.uint8)

    with pytest.raises(
        ValueError, match=r"^image must have a known shape, got \(nan, 48\): compute its chunks"
    ):
        Planes.select(Lazy(), RunRecord(channel_axis=None))


def test_a_cut_at_a_height_says_what_the_count_was_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _ome_zarr(tmp_path / "in.zarr", _picture(1, 3, 1, 40, 48))
    words = ["segment", str(path), str(tmp_path / "out.tif"), "-n", "9", "--height", "1e9", "--device", "cpu"]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith(" s; cut at height 1e+09, not at a count, of a tree made for 9\n")


@pytest.mark.parametrize("of_file", [False, True])
def test_of_the_mask_of_a_stack_only_the_crop_is_read(tmp_path: Path, of_file: bool) -> None:
    read = []

    def inside(slices: Slices) -> NDArray[np.bool_]:
        read.append([each.stop - each.start for each in slices])
        return np.ones(read[-1], bool)

    pixels = _picture(2, 40, 48)
    image = Image(pixels, None, Deferred(inside, pixels.shape, bool))
    record = RunRecord(3, channel_axis=None, crop=(4, 8, 16, 24), device="cpu")
    if of_file:
        write_labels(tmp_path / "mask.tif", np.ones((40, 48), int))
        record = replace(record, mask=str(tmp_path / "mask.tif"))
    assert run_image(image, record).shape == (2, 12, 16)
    assert {tuple(shape[-2:]) for shape in read} == {(12, 16)}
