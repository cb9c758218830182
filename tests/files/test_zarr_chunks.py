"""Chunks of a zarr that are damaged are a sentence, those that are missing the fill value and a warning."""

import asyncio
import gc
import json
import re
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet.cli import main
from napari_pcnet.disk.deferred import Deferred
from napari_pcnet.disk.labels import read_labels, write_labels
from napari_pcnet.disk.pictures import read_image, read_mask
from napari_pcnet.disk.stored import Stored, opened

PIXELS = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) + 1


def _chunked(path: Path, zarr_format: Any = 3, **options: Any) -> Path:
    """Write 3 x 2 chunks of 2 x 4."""
    array = zarr.create_array(path, shape=(6, 8), dtype="u1", zarr_format=zarr_format, **options)
    array[...] = PIXELS
    return path


def _file_of_chunk(path: Path, row: int, column: int) -> Path:
    return path / "c" / str(row) / str(column) if (path / "zarr.json").exists() else path / f"{row}.{column}"


def _stored(path: Path) -> Deferred:
    """A tif whose tiles are decoded where they are sliced, small as it is."""
    with opened(path) as file:
        stored = Stored.of(path, file, file.series[0], 0)
    return Deferred(stored.__getitem__, stored.shape, stored.dtype)


def _missing(path: Path, count: int, of: int, fill: int = 0) -> str:
    return "^" + re.escape(
        f"{count} of {of} chunks are missing in {path}, and are read as its fill value, {fill}"
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_damaged_chunk_is_refused_in_a_sentence_where_it_is_read(tmp_path: Path, zarr_format: Any) -> None:
    path = _chunked(tmp_path / "a.zarr", zarr_format, chunks=(2, 4))
    _file_of_chunk(path, 1, 1).write_bytes(b"damage")
    pixels = read_image(path).pixels
    assert_array_equal(pixels[:, :4], PIXELS[:, :4])
    message = f"^{re.escape(str(path))} cannot be read as a zarr: [^\n]+$"
    for use in (
        lambda: pixels[2:4],
        lambda: np.asarray(pixels),
        lambda: read_mask(path),
        lambda: read_labels(path),
    ):
        with pytest.raises(ValueError, match=message) as refusal:
            use()
        assert str(refusal.value).count(str(path)) == 1


@pytest.mark.parametrize(
    ("codec", "chunk"),
    [
        (numcodecs.LZMA(), b"damage"),  # an error of no built-in kind
        (numcodecs.Blosc(), bytes([2, 1, 1, 1, 0, 0, 0, 0x80]) + bytes(8)),  # of -2 ** 31 bytes
        (numcodecs.BZ2(), b"damage"),
        (numcodecs.Zlib(), b"damage"),
        (None, b"damage"),
    ],
    ids=str,
)
def test_damage_is_a_sentence_whatever_the_codec(tmp_path: Path, codec: Any, chunk: bytes) -> None:
    path = _chunked(tmp_path / "a.zarr", 2, chunks=(2, 4), compressors=codec)
    _file_of_chunk(path, 0, 0).write_bytes(chunk)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be read as a zarr: [^\n]+$"):
        read_image(path).pixels[0]


def test_a_reason_that_repeats_all_it_was_given_is_shortened(tmp_path: Path) -> None:
    path = _chunked(tmp_path / "a.zarr", chunks=(2, 4))
    words = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps(words | {"shape": ["x" * 1000]}))
    with pytest.raises(ValueError, match=r"cannot be read as a zarr: .{240} \.\.\.$"):
        read_image(path)


def test_an_array_without_pixels_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(0, 4), chunks=(1, 4), dtype="u1")
    message = f"{tmp_path / 'a.zarr'} cannot be read as a zarr: its shape is 0 x 4, a picture has pixels"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_image(tmp_path / "a.zarr")


def test_the_command_line_refuses_a_damaged_chunk_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _chunked(tmp_path / "a.zarr", chunks=(2, 4))
    _file_of_chunk(path, 0, 0).write_bytes(b"damage")
    assert main(["segment", str(path), str(tmp_path / "out.tif"), "-n", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"napari-pcnet: {path} cannot be read as a zarr: ")


def test_nothing_goes_on_behind_a_damaged_chunk(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(64, 64), chunks=(4, 4), dtype="u1")
    array[...] = 1
    _file_of_chunk(tmp_path / "a.zarr", 0, 0).write_bytes(b"damage")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((640, 640), "u1"), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as file:
        start = file.pages.first.dataoffsets[0]
    path.write_bytes(path.read_bytes()[:start] + b"damage" + path.read_bytes()[start + 6 :])
    for pixels in (read_image(tmp_path / "a.zarr").pixels, _stored(path)):
        with pytest.raises(ValueError, match="cannot be read as a"):
            pixels[0:60, 0:60]
        # Python prints two lines about each task that is left when the process ends.
        # By type: torch has an object that warns when it is asked for its class.
        tasks = [each for each in gc.get_objects() if issubclass(type(each), asyncio.Task)]
        assert [each for each in tasks if not each.done()] == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_missing_chunks_are_the_fill_value_and_counted(tmp_path: Path, zarr_format: Any) -> None:
    path = _chunked(tmp_path / "a.zarr", zarr_format, chunks=(2, 4), fill_value=9)
    for row in (0, 2):
        _file_of_chunk(path, row, 1).unlink()
    expected = PIXELS.copy()
    expected[[0, 1, 4, 5], 4:] = 9
    with pytest.warns(UserWarning, match=_missing(path, 2, 6, 9)):
        assert_array_equal(read_image(path).pixels[...], expected)
    pixels = read_image(path).pixels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_array_equal(pixels[..., :4], expected[:, :4])
        assert_array_equal(pixels[2, 6], expected[2, 6])
    with pytest.warns(UserWarning, match=_missing(path, 2, 6, 9)):
        assert_array_equal(pixels[1], expected[1])
    with warnings.catch_warnings():  # it has been told
        warnings.simplefilter("error")
        assert_array_equal(pixels[-2:, 5], expected[-2:, 5])


def test_a_shard_is_one_file_and_counted_as_one(tmp_path: Path) -> None:
    path = _chunked(tmp_path / "a.zarr", chunks=(1, 4), shards=(2, 4))
    _file_of_chunk(path, 0, 0).unlink()
    with pytest.warns(UserWarning, match=_missing(path, 1, 6)):
        assert (read_image(path).pixels[...] == 0).sum() == 8


def test_labels_without_a_superpixel_in_a_chunk_are_whole(tmp_path: Path) -> None:
    labels = np.zeros((1030, 1030), np.int32)
    labels[0, 0] = 1
    write_labels(tmp_path / "a.zarr", labels)
    assert_array_equal(read_labels(tmp_path / "a.zarr"), labels)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        (2, 3),
        (-1, -8),
        slice(1, 3),
        (slice(1, None, 2), slice(None, -1)),
        (..., 2),
        (0, ...),
        ...,
        (slice(4, 2),),
    ],
)
def test_stored_pixels_are_indexed_as_an_array_is(tmp_path: Path, key: Any) -> None:
    pixels = read_image(_chunked(tmp_path / "a.zarr", chunks=(2, 4))).pixels
    assert_array_equal(pixels[key], PIXELS[key])


@pytest.mark.parametrize("key", [6, (0, 8), (0, -9)])
def test_a_place_outside_of_stored_pixels_is_an_index_error(tmp_path: Path, key: Any) -> None:
    pixels = read_image(_chunked(tmp_path / "a.zarr", chunks=(2, 4))).pixels
    with pytest.raises(IndexError):
        pixels[key]


def test_dask_takes_stored_pixels(tmp_path: Path) -> None:
    pixels = read_image(_chunked(tmp_path / "a.zarr", chunks=(2, 4))).pixels
    lazy = da.from_array(pixels)
    assert lazy.dtype == np.uint8
    assert_array_equal(lazy[1:].compute(), PIXELS[1:])
