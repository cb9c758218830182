"""`out=`: labels are written window by window, and are those of the call without it."""

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dask.array
import h5py
import numpy as np
import pytest
import torch
import zarr

from blobs import blobs, disc
from napari_pcnet import pcnet_superpixels, read_labels
from napari_pcnet.disk import files, output, spool
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.spool import Spool, folder_beside
from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import streamed
from napari_pcnet.merging.regions import RegionTable
from napari_pcnet.merging.streamed import MOST_AT_ONCE, LabelledWindow, StreamedIds
from napari_pcnet.network import inference

SHAPE = (300, 260)
IMAGE, DISC = blobs(SHAPE), disc(SHAPE)


def memory_map(folder: Path) -> np.ndarray:
    return np.memmap(folder / "labels.bin", np.int64, "w+", shape=SHAPE)


def zarr_array(folder: Path) -> Any:
    return zarr.create_array(folder / "labels.zarr", shape=SHAPE, chunks=(100, 64), dtype="uint32")


@pytest.mark.parametrize("make", [lambda folder: np.empty(SHAPE, np.int32), memory_map, zarr_array])
@pytest.mark.parametrize(
    "options",
    [
        {"window": 128},
        {},
        {"window": 128, "mask": DISC},
        {"method": "lattice", "window": 128},
        {"smoothing": 2.0},
        {"n_segments": 30_000},
    ],
    ids=["windows", "one window", "mask", "lattice", "smoothed", "pixels are regions"],
)
def test_labels_are_those_without_out(tmp_path: Path, make: Any, options: dict[str, Any]) -> None:
    options = {"n_segments": 40} | options
    out = make(tmp_path)
    out[...] = 7
    assert pcnet_superpixels(IMAGE, out=out, **options) is out
    np.testing.assert_array_equal(out[...], pcnet_superpixels(IMAGE, **options))


def test_no_array_of_the_whole_picture_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(shape: tuple[int, int]) -> None:
        raise AssertionError(f"an array of {shape} for what was to be streamed")

    monkeypatch.setattr(inference, "_room_for_labels", refuse)
    out, shapes = np.empty(SHAPE, np.int32), list[tuple[int, ...]]()
    look_up = streamed.look_up
    monkeypatch.setattr(
        streamed, "look_up", lambda table, ids: (shapes.append(ids.shape), look_up(table, ids))[1]
    )
    pcnet_superpixels(IMAGE, 40, window=256, out=out)
    np.testing.assert_array_equal(out, pcnet_superpixels(IMAGE, 40))
    assert max(map(math.prod, shapes)) <= 128 * 128  # windows are of the doubled picture


def test_a_path_becomes_a_zarr_that_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "labels.zarr"
    labels = pcnet_superpixels(IMAGE, 40, window=128, start_label=0, mask=DISC, out=path)
    expected = pcnet_superpixels(IMAGE, 40, start_label=0, mask=DISC)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels[...], expected)
    np.testing.assert_array_equal(read_labels(path), expected)
    assert [each.name for each in tmp_path.iterdir()] == ["labels.zarr"]


def test_what_does_not_fit_into_memory_waits_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 1000)
    monkeypatch.setattr(spool, "PIECE_VALUES", 999)
    labels = pcnet_superpixels(IMAGE, 40, window=128, out=tmp_path / "labels.zarr")
    np.testing.assert_array_equal(labels[...], pcnet_superpixels(IMAGE, 40))
    assert [each.name for each in tmp_path.iterdir()] == ["labels.zarr"]


def test_a_finer_lattice_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[object] = []
    clear = StreamedIds.clear
    monkeypatch.setattr(StreamedIds, "clear", lambda self: (cleared.append(self), clear(self)))
    image, out = np.zeros((70, 70), np.uint8), np.empty((70, 70), np.int32)
    pcnet_superpixels(image, 4900, window=128, out=out)
    np.testing.assert_array_equal(out, pcnet_superpixels(image, 4900))
    assert len(cleared) > 1


def test_memory_is_given_back_after_large_bands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[None]()
    monkeypatch.setattr(inference, "give_back", lambda: given.append(None))
    out = np.empty(SHAPE, np.int32)
    pcnet_superpixels(IMAGE, 40, window=128, out=out)
    assert not given
    monkeypatch.setattr(inference, "MANY_PIECES", 1)
    pcnet_superpixels(IMAGE, 40, window=128, out=out)
    assert len(given) > 1


def frozen() -> np.ndarray:
    array = np.empty(SHAPE, np.int32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        (np.empty((9, 9), np.int32), {}, "out must have the image's shape (300, 260), got (9, 9)"),
        (np.empty(SHAPE), {}, "out must hold whole numbers from 1 to 300, got float64"),
        (np.empty(SHAPE, np.uint8), {}, "out must hold whole numbers from 1 to 300, got uint8"),
        (np.empty(SHAPE, bool), {}, "out must hold whole numbers from 1 to 300, got bool"),
        (
            np.empty(SHAPE, np.uint16),
            {"start_label": 0, "mask": DISC},
            "out must hold whole numbers from -1 to 299, got uint16",
        ),
        (
            np.empty(SHAPE, np.int8),
            {"method": "lattice"},
            "out must hold whole numbers from 1 to 304, got int8",
        ),
        (frozen(), {}, "out is read-only; open it for writing"),
    ],
)
def test_an_array_that_cannot_take_labels_is_refused_before_the_network_runs(
    out: Any, options: dict[str, Any], message: str
) -> None:
    told: list[object] = []
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pcnet_superpixels(IMAGE, 300, out=out, progress=lambda *done: told.append(done), **options)
    assert told == []


@pytest.mark.parametrize("out", [3, [[0]], dask.array.zeros(SHAPE, dtype=np.int32)])
def test_what_cannot_be_written_by_slices_is_refused(out: Any) -> None:
    with pytest.raises(TypeError, match=r"^out must be an array that can be written by slices, .*, got \w+$"):
        pcnet_superpixels(IMAGE, 5, out=out)


def test_a_tensor_is_refused_in_a_sentence() -> None:
    message = r"^out must be an array of a type that numpy knows, got Tensor of torch.int32; of a tensor pass"
    with pytest.raises(TypeError, match=message):
        pcnet_superpixels(IMAGE, 5, out=torch.zeros(SHAPE, dtype=torch.int32))


def test_what_was_opened_for_reading_is_refused(tmp_path: Path) -> None:
    zarr_array(tmp_path)
    with pytest.raises(ValueError, match=r"^out is read-only; open it for writing$"):
        pcnet_superpixels(IMAGE, 5, out=zarr.open_array(tmp_path / "labels.zarr", mode="r"))
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["labels"] = np.zeros(SHAPE, np.int32)
        pcnet_superpixels(IMAGE, 5, out=file["labels"])
        np.testing.assert_array_equal(file["labels"], pcnet_superpixels(IMAGE, 5))
    with (
        h5py.File(tmp_path / "labels.h5", "r") as file,
        pytest.raises(ValueError, match=r"^out is read-only; open it for writing$"),
    ):
        pcnet_superpixels(IMAGE, 5, out=file["labels"])


def test_a_path_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.zarr").mkdir()
    with pytest.raises(FileExistsError, match=r"^out .*there.zarr exists; name another, or pass the array "):
        pcnet_superpixels(IMAGE, 5, out=tmp_path / "there.zarr")
    with pytest.raises(ValueError, match=r"^output .*labels.npy must end in \.zarr$"):
        pcnet_superpixels(IMAGE, 5, out=str(tmp_path / "labels.npy"))
    with pytest.raises(OSError, match=r"cannot be a file: embedded null byte; name another$"):
        pcnet_superpixels(IMAGE, 5, out=tmp_path / "a\0.zarr")
    with pytest.raises(FileNotFoundError, match=r"^output folder .*gone does not exist; make it first$"):
        pcnet_superpixels(IMAGE, 5, out=tmp_path / "gone" / "labels.zarr")

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output, "try_folder", refuse)
    with pytest.raises(OSError, match=r"^output folder .* cannot be written \(Permission denied\)"):
        pcnet_superpixels(IMAGE, 5, out=tmp_path / "labels.zarr")


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 1)
    spooled = Spool(tmp_path)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spooled._file, "write", full)
    message = f"the regions of windows could not be kept in {tmp_path} until all are known: No space left on"
    with pytest.raises(OSError, match=f"^{re.escape(message)}"):
        spooled.append(np.arange(9, dtype=np.int32))
    spooled.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["labels.zarr", "labels.ome.zarr", "labels.tif"])
@pytest.mark.parametrize("row", [1, 3])
def test_what_is_removed_while_it_is_written_is_no_output(tmp_path: Path, name: str, row: int) -> None:
    def windows() -> Iterator[Any]:
        for at in range(4):
            yield (slice(400 * at, 400 * at + 400), slice(None)), np.ones((400, 9), np.int32)
            if at == row:
                shutil.rmtree(next(tmp_path.glob(".napari-pcnet-*.part")))

    kind = output.ArrayKind((1600, 9), np.dtype(np.int32))
    with pytest.raises(OSError, match="another program has removed what was written so far"):
        write_windows(tmp_path / name, windows(), kind)
    assert list(tmp_path.iterdir()) == []


def test_the_file_lies_beside_the_output_if_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder_beside(memory_map(tmp_path)) == tmp_path
    assert folder_beside(zarr_array(tmp_path)) == tmp_path
    assert folder_beside(np.empty(3)) is None
    monkeypatch.setattr(spool, "try_folder", files.sha256_of)  # opens it as a file
    assert folder_beside(memory_map(tmp_path)) is None


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_windows_come_back_in_their_order(threads: int) -> None:
    number = 3 * MOST_AT_ONCE
    with StreamedIds() as streamed:
        for k in range(number):
            ids = np.array([[1, 0, -1][k % 3 :]], np.int32)
            table, none = cast(RegionTable, None), np.empty(0, np.int32)
            streamed.add(LabelledWindow.of(Window(0, k, 1, k + ids.size), ids, table, none))
        streamed.end_band([np.array([2 * k + 1, 2 * k], np.int32) for k in range(number)])
        table_of_labels = np.append(10 * np.arange(2 * number), 999)
        found = [(core.left, labels.tolist()) for core, labels in streamed.labels(table_of_labels, threads)]
    expected = [[20 * k, 20 * k + 10, 999][k % 3 :] for k in range(number)]
    assert found == [(k, [labels]) for k, labels in enumerate(expected)]
