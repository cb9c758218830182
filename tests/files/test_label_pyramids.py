"""Labels as OME-Zarr: a pyramid of modes, with the size of a pixel, that is read back and replaced."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_pcnet import count_levels, read_image, read_labels, read_notes, write_labels
from napari_pcnet.cli import main
from napari_pcnet.disk import zarr_store
from napari_pcnet.disk.label_levels import halved
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.output import ArrayKind
from napari_pcnet.disk.placement import Placement, unit_name

LABELS = np.arange(30 * 41, dtype=np.int32).reshape(30, 41) // 7
MICRONS = Placement((0.5, 0.25), "µm")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_store, "CHUNK_SIDE_PX", 8)


def modes(labels: np.ndarray) -> np.ndarray:
    """The same pixel by pixel."""
    rows, columns = labels.shape
    made = np.zeros((-(-rows // 2), -(-columns // 2)), labels.dtype)
    for row, column in np.ndindex(made.shape):
        four = [
            labels[min(2 * row + down, rows - 1), min(2 * column + right, columns - 1)]
            for down in (0, 1)
            for right in (0, 1)
        ]
        made[row, column] = max(four, key=lambda each: (four.count(each), -four.index(each)))
    return made


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 9), (8, 12), (1, 6)])
def test_half_the_size_has_the_most_frequent_labels(shape: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(1, 4, shape)
    np.testing.assert_array_equal(halved(labels), modes(labels))


def test_the_levels_are_modes_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, LABELS, notes={"n": 3}, placement=MICRONS)
    assert count_levels(path) == 4
    level = LABELS
    for at in range(4):
        np.testing.assert_array_equal(read_image(path, level=at).pixels[...], level)
        level = modes(level)
    np.testing.assert_array_equal(read_labels(path), LABELS)
    assert read_notes(path) == {"n": 3}


def test_a_pixel_keeps_its_size_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, LABELS, placement=MICRONS)
    assert read_image(path).placement == MICRONS
    assert read_image(path, level=2).placement == Placement((2.0, 1.0), "µm")
    (scales,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]  # type: ignore[call-overload, index]
    assert [axis.get("unit") for axis in scales["axes"]] == ["micrometer", "micrometer"]
    first, second, *_ = [each["coordinateTransformations"] for each in scales["datasets"]]
    assert first == [{"type": "scale", "scale": [0.5, 0.25]}]
    # a centre of the coarse level lies between the centres of two pixels
    assert second[1] == {"type": "translation", "translation": [0.25, 0.125]}


def test_a_part_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_windows(
        path, [(..., LABELS)], ArrayKind(LABELS.shape, LABELS.dtype), placement=MICRONS, origin=(10.0, 20.0)
    )
    (scales,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]  # type: ignore[call-overload, index]
    first, second, *_ = [each["coordinateTransformations"] for each in scales["datasets"]]
    assert first[1] == {"type": "translation", "translation": [10.0, 20.0]}
    assert second[1] == {"type": "translation", "translation": [10.25, 20.125]}


@pytest.mark.parametrize("unit", ["µm", "nm", "pm", "mm", "cm", "m", "km", "inch", "ft"])
def test_a_unit_may_be_given_by_the_name_that_the_file_has_for_it(tmp_path: Path, unit: str) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, LABELS, placement=Placement((0.5, 0.5), unit))
    (scales,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]  # type: ignore[call-overload, index]
    assert unit_name(scales["axes"][0]["unit"]) == unit


def test_a_write_may_be_left_at_each_step_and_nothing_stays(tmp_path: Path) -> None:
    path, steps = tmp_path / "a.ome.zarr", itertools.count()
    parts = [(np.s_[:16], LABELS[:16]), (np.s_[16:], LABELS[16:])]
    kind = ArrayKind(LABELS.shape, LABELS.dtype)
    write_windows(path, parts, kind, check=lambda: next(steps))
    made = sum(each.is_file() for each in path.rglob("*"))
    number = next(steps)
    coarse = 2 * 3 + 2 + 1  # chunks of the levels but the first, of 15 x 21, 8 x 11 and 4 x 6 pixels
    assert number == len(parts) + coarse + made + 1
    for last in (0, len(parts), len(parts) + coarse, number - 1):  # labels, levels, files, the end
        left = itertools.count()

        def check(last: int = last, left: Iterator[int] = left) -> None:
            if next(left) == last:
                raise InterruptedError

        with pytest.raises(OSError, match="could not be written"):
            write_windows(tmp_path / "b.ome.zarr", parts, kind, check=check)
        assert list(tmp_path.iterdir()) == [path]


def test_a_stack_has_planes_along_time_and_depth_and_no_more(tmp_path: Path) -> None:
    stack = np.stack([LABELS, LABELS + 1])
    write_labels(tmp_path / "a.ome.zarr", stack[None])
    np.testing.assert_array_equal(read_labels(tmp_path / "a.ome.zarr"), stack[None])
    coarse = read_image(tmp_path / "a.ome.zarr", level=1).pixels
    np.testing.assert_array_equal(coarse[0, 1], modes(LABELS + 1))
    message = r"an OME-Zarr has planes along time and depth alone; write .*b\.zarr instead$"
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / "b.ome.zarr", stack[None, None])


def test_one_is_replaced_if_nothing_else_lies_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, LABELS)
    with pytest.raises(FileExistsError):
        write_labels(path, LABELS + 1)
    write_labels(path, LABELS + 1, overwrite=True)
    np.testing.assert_array_equal(read_labels(path), LABELS + 1)
    (path / "1" / "notes.txt").write_text("mine")
    with pytest.raises(IsADirectoryError, match=r"its folder holds 1/notes.txt, too; name another$"):
        write_labels(path, LABELS, overwrite=True)
    os.remove(path / "1" / "notes.txt")
    group = json.loads((path / "zarr.json").read_text())
    del group["attributes"]["ome"]["image-label"]
    (path / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(IsADirectoryError, match=r"is a folder, but no zarr array; name another$"):
        write_labels(path, LABELS, overwrite=True)


@pytest.mark.parametrize(
    "change",
    [
        {"axes": 3},
        {"axes": [{"name": "y"}, {"name": "x", "unit": "micrometer"}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": ["a", 1]}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1]}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0, 1]}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": {"type": "scale"}}]},
        {"datasets": [{"path": "0"}]},
        {"coordinateTransformations": 5},
    ],
)
def test_sizes_that_are_none_are_passed_over(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "a.ome.zarr"
    write_labels(path, LABELS[:8, :8], placement=MICRONS)
    group = json.loads((path / "zarr.json").read_text())
    group["attributes"]["ome"]["multiscales"][0].update(change)
    (path / "zarr.json").write_text(json.dumps(group))
    if change == {"axes": 3}:
        with pytest.raises(ValueError, match="its axes must be a list, got 3"):
            read_image(path)
        return
    assert read_image(path).placement is None


def test_segment_writes_one_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_labels("in.ome.zarr", np.random.default_rng(0).integers(0, 99, (200, 90)), placement=MICRONS)
    assert main(["segment", "in.ome.zarr", "out.ome.zarr", "-n", "9", "--window", "64"]) == 0
    assert main(["segment", "in.ome.zarr", "out.tif", "-n", "9"]) == 0
    np.testing.assert_array_equal(read_labels("out.ome.zarr"), read_labels("out.tif"))
    assert read_image("out.ome.zarr").placement == MICRONS
    in_centimetres = read_image("out.tif").placement
    assert in_centimetres is not None and in_centimetres.pixel_size == pytest.approx((5e-5, 2.5e-5))
