"""Files of any size through the command line: read by their chunks, labelled and written by windows."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_pcnet import RunRecord, pcnet_superpixels, planes, read_labels, run, run_record
from napari_pcnet.cli import main
from napari_pcnet.disk import chunks, tiff, zarr_store
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_notes, write_labels, write_windows
from napari_pcnet.disk.output import ArrayKind
from napari_pcnet.disk.stored import Stored

SHAPE = (300, 260)
Y, X = np.indices(SHAPE)
WAVES = np.sin(X / 19) + np.cos(Y / 13)
NOISE = np.random.default_rng(0).random(SHAPE)
IMAGE = np.asarray(np.stack([WAVES, (X // 40 + Y // 30) % 2 * 2.0, NOISE], -1) * 60 + 70).astype(np.uint8)


@pytest.fixture(autouse=True)
def _in_a_folder_where_no_picture_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planes, "SMALL_BYTES", 0)
    monkeypatch.setattr("napari_pcnet.disk.tiff.WHOLE_BYTES", 0)


def tiled(path: str, pixels: np.ndarray = IMAGE, **options: Any) -> None:
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", **options)


def as_zarr(
    path: str, pixels: np.ndarray = IMAGE, chunks: tuple[int, ...] = (64, 96, 3), **options: Any
) -> Any:
    array = zarr.create_array(path, shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, **options)
    array[...] = pixels
    return array


def ome_zarr(path: str) -> None:
    group = zarr.create_group(path)
    axes = [{"name": name, "type": kind} for name, kind in (("c", "channel"), ("y", "space"), ("x", "space"))]
    scale = [{"type": "scale", "scale": [1, 1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    array = group.create_array("0", shape=(3, *SHAPE), chunks=(1, 64, 64), shards=(1, 128, 128), dtype="u1")
    array[...] = np.moveaxis(IMAGE, 2, 0)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("in.tif", lambda name: tiled(name, photometric="rgb")),
        ("strips.tif", lambda name: tifffile.imwrite(name, IMAGE, rowsperstrip=50, compression="zlib")),
        ("in.zarr", as_zarr),
        ("ome.zarr", ome_zarr),
    ],
)
def test_labels_are_those_of_the_array(name: str, write: Any) -> None:
    write(name)
    assert main(["segment", name, "out.zarr", "-n", "40", "--window", "128"]) == 0
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "out.zarr"])


@pytest.mark.parametrize(
    ("words", "record"),
    [
        (["--crop", "20", "30", "290", "250"], RunRecord(40, crop=(20, 30, 290, 250))),
        (["--channels", "2", "0"], RunRecord(40, channels=(2, 0))),
        (["--height", "300", "--max-segments", "90"], RunRecord(40, height=300.0, max_segments=90)),
        (["--method", "lattice", "--start-label", "0"], RunRecord(40, method="lattice", start_label=0)),
        (["--smoothing", "2"], RunRecord(40, smoothing=2.0)),
        (["--intensity-range", "1%", "99%"], RunRecord(40, intensity_range=("1%", "99%"))),
        (["--nodata", "70"], RunRecord(40)),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_so_it_is_for_every_part_and_option(words: list[str], record: RunRecord) -> None:
    as_zarr("in.zarr")
    assert main(["segment", "in.zarr", "out.zarr", "-n", "40", "--window", "128", *words]) == 0
    mask = (IMAGE != 70).any(axis=2) if "--nodata" in words else None
    np.testing.assert_array_equal(read_labels("out.zarr"), run_record(IMAGE, record, mask=mask))


@pytest.mark.parametrize("method", ["hierarchy", "lattice"])
def test_planes_of_a_stack_are_numbered_on(method: str) -> None:
    stack = np.stack([IMAGE[..., 0], IMAGE[..., 1]])[:, None]
    as_zarr("in.zarr", stack, (1, 1, 128, 128))
    words = ["-n", "9", "--window", "128", "--channel-axis", "none", "--method", method, "--start-label", "0"]
    assert main(["segment", "in.zarr", "out.zarr", *words]) == 0
    record = RunRecord(9, channel_axis=None, method=method, start_label=0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_labels("out.zarr"), run_record(stack, record))


def test_four_bands_are_no_colours_with_transparency() -> None:
    four = np.dstack([IMAGE, IMAGE[..., 0] // 2])
    tiled("in.tif", four, photometric="minisblack", planarconfig="contig")
    assert main(["segment", "in.tif", "out.zarr", "-n", "20", "--window", "128"]) == 0
    expected = run_record(four, RunRecord(20, channels=(0, 1, 2, 3)))
    np.testing.assert_array_equal(read_labels("out.zarr"), expected)


def test_each_chunk_is_decoded_once_for_all_that_fits_into_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_zarr("in.zarr")
    read = Counter[tuple[int, int]]()
    read_part = chunks.read_part

    def counting(store: Any, slices: tuple[slice, ...], zarr_format: Any) -> np.ndarray:
        for row in range(slices[0].start // 64, -(-slices[0].stop // 64)):
            for column in range(slices[1].start // 96, -(-slices[1].stop // 96)):
                read[row, column] += 1
        return read_part(store, slices, zarr_format)

    monkeypatch.setattr(zarr_store, "read_part", counting)
    assert main(["segment", "in.zarr", "out.zarr", "-n", "40", "--window", "128"]) == 0
    assert (len(read), set(read.values())) == (5 * 3, {1})


def test_missing_chunks_are_told_once_and_read_as_the_fill_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_pcnet.geometry.blocks.READ_BYTES", 1)
    as_zarr("in.zarr")
    for name in ("2/1", "4/2"):
        Path(f"in.zarr/c/{name}/0").unlink()
    sentence = "^2 of 15 chunks are missing in in.zarr, and are read as its fill value, 0$"
    with pytest.warns(UserWarning, match=sentence) as told:
        assert main(["segment", "in.zarr", "out.zarr", "-n", "40"]) == 0
    assert len(told) == 1
    without = IMAGE.copy()
    without[128:192, 96:192] = without[256:, 192:] = 0
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(without, 40))


@pytest.mark.parametrize("kind", ["chunk", "tile"])
def test_damage_in_the_middle_is_one_sentence_and_no_output(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "chunk":
        name = "in.zarr"
        as_zarr(name)
        Path("in.zarr/c/4/1/0").write_bytes(b"no chunk at all")
    else:
        name = "in.tif"
        tiled(name, photometric="rgb")
        content = Path(name).read_bytes()
        with tifffile.TiffFile(name) as file:
            offset = file.pages[0].dataoffsets[17]
        Path(name).write_bytes(content[:offset] + b"\xff" * 20 + content[offset + 20 :])
    assert main(["segment", name, "out.zarr", "-n", "40"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"napari-pcnet: {name} cannot be read as a ")
    assert told.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == [name]


@pytest.mark.parametrize("words", [[], ["--crop", "10", "20", "290", "255"]])
@pytest.mark.parametrize("outside", ["value", "alpha"])
def test_what_is_outside_is_found_without_all_pixels_at_once(
    outside: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_pcnet.geometry.picture.READ_ROWS", 64)
    monkeypatch.setattr("napari_pcnet.geometry.picture.READ_COLUMNS", 128)
    monkeypatch.setattr("napari_pcnet.geometry.blocks.READ_BYTES", 1)
    inside = (X - 100) ** 2 + (Y - 150) ** 2 < 90**2
    if outside == "alpha":
        alpha = np.where(inside, 255, 0).astype(np.uint8)
        pixels = IMAGE
        tiled("in.tif", np.dstack([IMAGE, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    else:
        pixels = np.where(inside[..., None], np.maximum(IMAGE, 1), 0)
        tiled("in.tif", pixels, photometric="rgb")
        words = [*words, "--nodata", "0"]
    read, decoded = list[int](), Stored._decoded

    def decoding(self: Stored, series: Any, key: Any) -> np.ndarray:
        part = decoded(self, series, key)
        read.append(part.size)
        return part

    monkeypatch.setattr(Stored, "_decoded", decoding)
    assert main(["segment", "in.tif", "out.zarr", "-n", "20", *words]) == 0
    assert max(read) <= 128 * 192 * 4
    part = np.s_[10:290, 20:255] if "--crop" in words else np.s_[:, :]
    expected = pcnet_superpixels(pixels[part], 20, mask=inside[part])
    np.testing.assert_array_equal(read_labels("out.zarr"), expected)


def test_a_count_that_the_tree_cannot_give_is_refused_by_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    as_zarr("in.zarr")
    told = []
    for out in ("out.zarr", "out.tif"):
        assert main(["segment", "in.zarr", out, "-n", "70000", "--max-segments", "2"]) == 2
        told.append(capsys.readouterr().err)
    assert told[0] == told[1]
    assert told[0].startswith("napari-pcnet: --n-segments must be at most ")
    assert [path.name for path in Path().iterdir()] == ["in.zarr"]


@pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
def test_what_fails_while_labels_are_made_is_not_said_of_the_output(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("the weights are gone")

    monkeypatch.setattr("napari_pcnet.pipeline.load_prepared", refuse)
    made = run.image_by_windows(Image(IMAGE, -1), RunRecord(5))
    kind = ArrayKind(made.shape, made.dtype)
    with pytest.raises(OSError, match=r"^the weights are gone$"):
        write_windows(Path(name), made.parts, kind)
    assert list(Path().iterdir()) == []


def test_the_overlay_shows_what_was_written() -> None:
    tiled("in.tif", photometric="rgb")
    assert main(["segment", "in.tif", "out.zarr", "-n", "9", "--overlay", "lines.png"]) == 0
    assert main(["segment", "in.tif", "out.tif", "-n", "9", "--overlay", "same.png"]) == 0
    assert Path("lines.png").read_bytes() == Path("same.png").read_bytes()


# -- a tif of labels, tile by tile -----------------------------------------------------------------


def held_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("all labels are held")

    for name in ("napari_pcnet.run.run_image", "napari_pcnet.disk.tiff.write_labels"):
        monkeypatch.setattr(name, refuse)


@pytest.mark.parametrize("write", [lambda: tiled("in.tif", photometric="rgb"), lambda: as_zarr("in.zarr")])
def test_a_tif_has_the_labels_of_the_array(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    (name,) = (path.name for path in Path().iterdir())
    with monkeypatch.context() as patch:
        held_nowhere(patch)
        patch.setattr(tiff, "TILE_PX", 64)
        assert main(["segment", name, "out.tif", "-n", "40", "--window", "128"]) == 0
    np.testing.assert_array_equal(read_labels("out.tif"), pcnet_superpixels(IMAGE, 40))
    with tifffile.TiffFile("out.tif") as file:
        page = file.pages[0]
        assert (page.tilelength, page.tilewidth, page.compression.name) == (64, 64, "ADOBE_DEFLATE")
        assert (page.dtype, file.is_bigtiff) == (np.uint16, False)
    notes = read_notes("out.tif")
    assert notes is not None
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "out.tif"])


def test_so_has_a_big_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "CLASSIC_BYTES", IMAGE[..., 0].size * 2 - 1)
    tiled("in.tif", photometric="rgb")
    assert main(["segment", "in.tif", "out.tif", "-n", "40", "--window", "128"]) == 0
    np.testing.assert_array_equal(read_labels("out.tif"), pcnet_superpixels(IMAGE, 40))
    with tifffile.TiffFile("out.tif") as file:
        assert file.is_bigtiff


class Counted:
    """An array that counts the values of each part that is read of it."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype, self.read = values, values.shape, values.dtype, list[int]()

    def __getitem__(self, key: Any) -> np.ndarray:
        part = np.asarray(self.values[key])
        self.read.append(part.size)
        return part


def test_of_a_tif_no_more_than_a_part_of_a_row_of_tiles_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "TILE_PX", 64)
    monkeypatch.setattr(tiff, "READ_PX", 128)
    counted, write = list[Counted](), tiff.write_tiled_labels

    def counting(path: Path, labels: Any, *arguments: Any) -> None:
        counted.append(Counted(labels))
        write(path, counted[0], *arguments)

    monkeypatch.setattr(tiff, "write_tiled_labels", counting)
    labels = np.arange(IMAGE[..., 0].size, dtype=np.int32).reshape(SHAPE)
    windows = ((np.s_[top : top + 50, :], labels[top : top + 50]) for top in range(0, 300, 50))
    write_windows(Path("out.tif"), windows, ArrayKind(SHAPE, labels.dtype))
    np.testing.assert_array_equal(read_labels("out.tif"), labels)
    assert max(counted[0].read) == 64 * 128
    assert sum(counted[0].read) == labels.size


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(35).reshape(5, 7) + 65_500,
        np.arange(35).reshape(5, 7) - 1,
        np.arange(105).reshape(3, 5, 7),
        np.arange(35).reshape(5, 7) + 2**31,
    ],
    ids=["16 bits", "below 0", "stack", "64 bits"],
)
def test_it_says_what_a_tif_that_is_written_at_once_says(labels: np.ndarray) -> None:
    notes, outside = {"made": "by hand"}, int(labels.min())
    write_labels("whole.tif", labels, notes=notes, outside=outside)
    whole = [(np.s_[..., :], np.zeros_like(labels)), (np.s_[..., :], labels)]  # the later one counts
    kind = ArrayKind(labels.shape, np.dtype(np.int64))
    write_windows(Path("parts.tif"), whole, kind, notes=notes, outside=outside)
    said = []
    for name in ("whole.tif", "parts.tif"):
        with tifffile.TiffFile(name) as file:
            tags = file.pages[0].tags
            said.append([tags.valueof(tag) for tag in ("ImageDescription", "GDAL_NODATA", "SampleFormat")])
            said[-1] += [file.pages[0].bitspersample, file.series[0].shape]
        np.testing.assert_array_equal(read_labels(name), labels)
    assert said[0] == said[1]


def test_a_full_disk_is_said_of_the_tif_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def windows() -> Any:
        yield np.s_[:, :], np.ones((5, 7), np.int32)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(OSError, match=r"^out\.tif could not be written: No space left on device; nothing of"):
        write_windows(Path("out.tif"), windows(), ArrayKind((5, 7), np.dtype(np.int32)))
    assert list(Path().iterdir()) == []


def test_of_a_picture_that_is_changed_meanwhile_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_zarr("in.zarr")
    write = zarr_store.write_labels

    def change_and_write(*arguments: Any) -> None:
        zarr.open_array("in.zarr")[:64, :96] = 9
        write(*arguments)

    monkeypatch.setattr(zarr_store, "write_labels", change_and_write)
    assert main(["segment", "in.zarr", "out.zarr", "-n", "40"]) == 0
    told = "in.zarr was changed while it was read: labels may be partly of what it was before"
    assert capsys.readouterr().err == f"napari-pcnet: {told}\n"


def test_the_command_says_how_fast_it_was_and_where_the_time_went(capsys: pytest.CaptureFixture[str]) -> None:
    as_zarr("in.zarr")
    assert main(["segment", "in.zarr", "out.zarr", "-n", "40", "--window", "128"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("out.zarr: 40 superpixels in 300 x 260 pixels, ")
    words = ["reading", "network", "tables", "tree", "writing"]
    shares = ", ".join(f"{word} (\\d+) %" for word in words)
    found = re.fullmatch(rf"out\.zarr: [\d.e-]+ megapixels a second: {shares}", second)
    assert found
    assert 96 <= sum(map(int, found.groups())) <= 104
