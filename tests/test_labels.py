"""Labels and their notes come back as they were; files are written whole or not at all."""

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

from napari_pcnet.disk.files import write_folder_atomically
from napari_pcnet.disk.formats import LABEL_SUFFIXES
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.overlay import write_overlay
from napari_pcnet.disk.pictures import read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
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


def _everything_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _no_space(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_labels_of_a_palette_are_its_indices(tmp_path: Path) -> None:
    indexed = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    indexed.putpalette([255, 0, 0, 0, 0, 255])
    for name in ("a.png", "a.tif"):
        indexed.save(tmp_path / name)
        assert_array_equal(read_labels(tmp_path / name), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("pixels", "what"), [(RGB, "3 x 4 x 3 of uint8"), (GREY.astype(np.float32), "3 x 4 of float32")]
)
def test_labels_must_be_one_channel_of_whole_numbers(
    tmp_path: Path, pixels: np.ndarray[Any, Any], what: str
) -> None:
    path = _saved(tmp_path / "a.tif", pixels)
    message = f"labels in {path} must be one channel of whole numbers, got {what}"
    with pytest.raises(ValueError, match=_refusal(message)):
        read_labels(path)


def test_a_damaged_chunk_of_labels_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = _zarr(tmp_path / "a.zarr", LABELS)
    (path / "c" / "0" / "0").write_bytes(b"short")
    for use in (read_labels, read_mask):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read as a zarr: [^\n]+$"):
            use(path)


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


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.ome.zarr"])
def test_labels_that_64_bits_with_a_sign_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    labels = np.array([[1, 2**63 + 1]], np.uint64)
    message = "labels in a file must be at most 9223372036854775807, got 9223372036854775809"
    with pytest.raises(ValueError, match=_refusal(message)):
        write_labels(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())
    labels[0, 1] -= np.uint64(2)
    write_labels(tmp_path / name, labels)
    assert read_labels(tmp_path / name).tolist() == [[1, 2**63 - 1]]


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.zarr", "out.ome.zarr"])
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (np.array([[1.0, 2.5]]), "1 x 2 of float64"),
        ([[1.0, np.nan]], "1 x 2 of float64"),
        ([1, 2], "2 of int64"),
        (3, "one value of int64"),
        (np.zeros((0, 4), int), "0 x 4 of int64"),
        ([["a"]], "1 x 1 of <U1"),
    ],
)
def test_what_is_no_plane_of_whole_numbers_is_refused(
    tmp_path: Path, name: str, labels: Any, got: str
) -> None:
    message = f"labels must be whole numbers of one plane or more, got {got}"
    with pytest.raises(ValueError, match=_refusal(message)):
        write_labels(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.zarr", "out.ome.zarr"])
def test_masked_labels_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=_refusal("labels are a masked array: pass labels.filled(0)")):
        write_labels(tmp_path / name, np.ma.masked_equal([[0, 1]], 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.tif", "out.png", "out.zarr", "out.ome.zarr"])
def test_lists_and_masks_are_written_as_arrays_are(tmp_path: Path, name: str) -> None:
    for labels in ([[0, 1], [2, 2]], np.array([[True, False]])):
        write_labels(tmp_path / name, labels, overwrite=True)  # type: ignore[arg-type]  # an array_like
        assert_array_equal(read_labels(tmp_path / name), np.asarray(labels))


def test_an_existing_file_is_kept_unless_overwrite_is_given(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(b"mine")
    message = f"output {path} exists; pass overwrite=True to replace it"
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
    with pytest.raises(
        ValueError, match=_refusal(f"output {path} must end in .png, .jpg, .jpeg, .tif or .tiff")
    ):
        write_overlay(path, Image(RGB, -1), LABELS)


def test_a_folder_as_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=_refusal(f"output {path} is a folder; name a file")):
        write_labels(path, LABELS, overwrite=True)


def test_an_existing_zarr_is_kept_unless_overwrite_is_given(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    write_labels(path, np.ones((2000, 4), int))
    before = _everything_in(path)
    message = f"output {path} exists; pass overwrite=True to replace it"
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


def test_of_a_zarr_that_is_a_link_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    write_labels(tmp_path / "first.zarr", LABELS)
    (tmp_path / "first.zarr").rename(target)
    (tmp_path / "out.zarr").symlink_to(target)
    write_labels(tmp_path / "out.zarr", STACK, overwrite=True)
    assert_array_equal(read_labels(tmp_path / "out.zarr"), STACK)
    assert_array_equal(read_labels(target), STACK)
    assert (tmp_path / "out.zarr").readlink() == target
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
        filled.append(sum(file.is_file() for file in tmp_path.glob(".napari-pcnet-*/new/**/*")))
        _no_space()

    def no_new_name(made: Path, target: Path) -> Path:
        if made.name == "new":
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
