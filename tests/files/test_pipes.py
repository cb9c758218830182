"""A pipe in the place of a file is refused in a sentence, and not waited for."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_pcnet import PCNetHierarchy, RegionForest, read_image, read_labels, read_table
from napari_pcnet.disk.annotations import Annotation
from napari_pcnet.disk.configuration import read_toml
from napari_pcnet.disk.formats import is_zarr_array
from napari_pcnet.disk.pictures import files_of
from napari_pcnet.disk.window_files import WindowFiles
from napari_pcnet.disk.zarr_store import open_array, open_levels
from napari_pcnet.network.checkpoint import load_model
from napari_pcnet.training.config import TrainingConfig
from napari_pcnet.weights import locate
from ome_files import write_first_of, write_of_micro_manager

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")


@pytest.mark.parametrize(
    ("read", "name", "role"),
    [
        (read_image, "a.png", "image"),
        (read_labels, "a.tif", "labels file"),
        (read_table, "a.csv", "table"),
        (PCNetHierarchy.load, "a.npz", "hierarchy"),
        (RegionForest.load, "a.safetensors", "forest"),
        (locate, "a.safetensors", "weights file"),
        (load_model, "a.tar", "weights file"),
        (lambda path: read_toml(TrainingConfig, path), "a.toml", "configuration"),
    ],
)
def test_it_is_no_file_of_any_kind(
    read: Callable[[Path], object], name: str, role: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(
        ValueError, match=f"^{role} {re.escape(str(path))} is a pipe or a device; name a file$"
    ):
        read(path)


def test_nor_an_annotation(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"a table of whole numbers with commas: it is a pipe or a device$"):
        Annotation(path, 0, "csv").read()


def _array(path: Path, zarr_format: Any) -> Path:
    array = zarr.create_array(path, shape=(4, 4), chunks=(2, 2), dtype="u1", zarr_format=zarr_format)
    array[...] = np.arange(16, dtype=np.uint8).reshape(4, 4)
    return path


@pytest.mark.parametrize(("zarr_format", "chunk"), [(2, "0.1"), (3, "c/0/1")])
def test_nor_a_chunk_of_a_zarr(zarr_format: Any, chunk: str, tmp_path: Path) -> None:
    path = _array(tmp_path / "a.zarr", zarr_format)
    (path / chunk).unlink()
    os.mkfifo(path / chunk)
    assert read_image(path).pixels[2:].tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    for pixels in (read_image(path).pixels, open_array(path), open_levels(path)[0]):
        with pytest.raises(ValueError, match=f"its {re.escape(chunk)} is a pipe or a device$"):
            pixels[:2]


def test_nor_what_a_zarr_says_of_itself(tmp_path: Path) -> None:
    path = _array(tmp_path / "a.zarr", 2)
    (path / ".zattrs").unlink(missing_ok=True)
    os.mkfifo(path / ".zattrs")
    with pytest.raises(ValueError, match=r"its \.zattrs is a pipe or a device$"):
        read_image(path)
    other = tmp_path / "b.zarr"
    other.mkdir()
    os.mkfifo(other / "zarr.json")
    assert not is_zarr_array(other)
    with pytest.raises(IsADirectoryError, match=r"is a folder; name a file$"):
        read_image(other)


@pytest.mark.parametrize(
    ("written", "name"),
    [("b &amp; c.ome.tif", "b & c.ome.tif"), ("it's.ome.tif", "it's.ome.tif"), ("&pipe;", "b.ome.tif")],
)
def test_nor_a_file_that_an_ome_tif_names(written: str, name: str, tmp_path: Path) -> None:
    path = write_first_of(["a.ome.tif", written], tmp_path, np.ones((3, 4), np.uint8))
    os.mkfifo(tmp_path / name)
    link = tmp_path / "elsewhere" / "a.ome.tif"
    link.parent.mkdir()
    link.symlink_to(path)  # names are beside what it leads to
    for use in (read_image, files_of):
        for each in (path, link):
            with pytest.raises(ValueError, match=f"it names {re.escape(name)}, which is a pipe or a device$"):
                use(each)


@pytest.mark.parametrize("pipe", ["NDTiff.index", "b.tif"])
def test_nor_a_file_that_belongs_to_one_of_micro_manager(pipe: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_of_micro_manager(path, np.ones((3, 4), np.uint8))
    if pipe == "b.tif":
        axes = b'{"z": 0}'
        entry = struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(pipe)) + pipe.encode()
        (tmp_path / "NDTiff.index").write_bytes(entry + struct.pack("<IiiiiIii", 0, 4, 3, 0, 0, 0, 0, 0))
    os.mkfifo(tmp_path / pipe)
    with pytest.raises(ValueError, match=f"it names {re.escape(pipe)}, which is a pipe or a device$"):
        read_image(path)


@pytest.mark.parametrize("name", ["begun.json", "0-0.npz", "lock"])
def test_nor_what_is_known_of_windows(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "out.zarr.windows"
    folder.mkdir()
    os.mkfifo(folder / name)
    for _ in range(2):  # the first leaves no lock
        with pytest.raises(ValueError, match=f"holds {re.escape(name)}, which is no window; move it away"):
            WindowFiles(folder, {"version": 1})
