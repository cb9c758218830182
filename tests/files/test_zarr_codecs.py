"""Only codecs that hold data are decoded; the others are refused before anything of a zarr is opened."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs import BZ2, LZ4, LZMA, Blosc, Delta, GZip, Shuffle, Zlib, Zstd, pickles
from numpy.testing import assert_array_equal

from napari_pcnet.disk.labels import read_labels, read_notes
from napari_pcnet.disk.pictures import count_levels, read_image, read_mask

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def _array(path: Path, **options: Any) -> Path:
    array = zarr.create_array(path, shape=GREY.shape, chunks=GREY.shape, dtype=GREY.dtype, **options)
    array[...] = GREY
    return path


def _refusal(path: Path, name: object) -> str:
    return "^" + re.escape(
        f"{path} cannot be read as a zarr: its codec {name!r} may give more than numbers; only codecs that "
        f"hold data, such as blosc, gzip and zstd, are decoded"
    )


def _changed(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_a_pickle_in_format_2_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)  # as it was before 0.16.6
    path, made = _array(tmp_path / "a.zarr", zarr_format=2, compressors=None), tmp_path / "made"
    codec = {"id": "pickle", "protocol": 4}
    _changed(path / ".zarray", **{place: codec if place == "compressor" else [codec]})
    chunk = pickles.Pickle().encode(Trap(made))
    (path / "0.0").write_bytes(chunk)
    pickles.Pickle().decode(chunk)
    assert made.exists()
    made.unlink()
    for use in (read_image, read_mask, read_labels, count_levels):
        with pytest.raises(ValueError, match=_refusal(path, "pickle")):
            use(path)
    assert read_notes(path) is None
    assert not made.exists()


def test_a_pickle_in_an_array_of_a_group_is_refused_whatever_the_group_says_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=2)
    _array(path / "0", zarr_format=2, compressors=None)
    zarr.consolidate_metadata(path)
    _changed(path / "0" / ".zarray", filters=[{"id": "pickle"}])
    with pytest.raises(ValueError, match=_refusal(path, "pickle")):
        read_image(path)
    _changed(path / "0" / ".zarray", filters=None)
    words = json.loads((path / ".zmetadata").read_text())
    words["metadata"]["0/.zarray"]["filters"] = [{"id": "pickle"}]
    (path / ".zmetadata").write_text(json.dumps(words))
    assert_array_equal(read_image(path).pixels[...], GREY)


@pytest.mark.parametrize(
    ("codecs", "name"),
    [
        ([{"name": "numcodecs.pickle", "configuration": {}}], "numcodecs.pickle"),
        ([{"name": "bytes"}, {"name": "numcodecs.zlib", "configuration": {"id": "pickle"}}], "pickle"),
        ([{"name": "vlen-utf8"}], "vlen-utf8"),
        (["bytes", "pickle"], "pickle"),
        ([{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "json2"}]}}], "json2"),
        ([{"name": "sharding_indexed", "configuration": {"index_codecs": [{"name": "json2"}]}}], "json2"),
        ([{"name": ["bytes"]}], ["bytes"]),
        ([{}], None),
    ],
)
def test_a_codec_of_format_3_that_may_give_more_than_numbers_is_refused(
    tmp_path: Path, codecs: Any, name: object
) -> None:
    path = _array(tmp_path / "a.zarr")
    _changed(path / "zarr.json", codecs=codecs)
    with pytest.raises(ValueError, match=_refusal(path, name)):
        read_image(path)


@pytest.mark.parametrize("codec", [{"id": "pickle", "name": "zlib"}, {"name": "zlib"}, {"id": ["zlib"]}])
def test_a_codec_of_format_2_is_known_by_its_id_alone(tmp_path: Path, codec: Any) -> None:
    path = _array(tmp_path / "a.zarr", zarr_format=2, compressors=None)
    _changed(path / ".zarray", compressor=codec)
    with pytest.raises(ValueError, match=_refusal(path, codec.get("id"))):
        read_image(path)


@pytest.mark.parametrize("codecs", [{"name": "bytes"}, "bytes", 1, [1]])
def test_codecs_of_another_form_are_refused_in_a_sentence(tmp_path: Path, codecs: Any) -> None:
    path = _array(tmp_path / "a.zarr")
    _changed(path / "zarr.json", codecs=codecs)
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(path))} cannot be read as a zarr: its codec[^\n]+$"
    ):
        read_image(path)


@pytest.mark.parametrize("codec", [BZ2(), LZ4(), LZMA(), Blosc(), GZip(), Zlib(), Zstd(), None], ids=str)
def test_compressors_of_format_2_are_decoded(tmp_path: Path, codec: Any) -> None:
    path = _array(tmp_path / "a.zarr", zarr_format=2, compressors=codec, filters=[Delta("u1"), Shuffle(1)])
    assert_array_equal(read_image(path).pixels[...], GREY)


@pytest.mark.parametrize(
    "codec",
    [zarr.codecs.BloscCodec(), zarr.codecs.GzipCodec(), zarr.codecs.ZstdCodec(), None],
    ids=lambda codec: type(codec).__name__,
)
@pytest.mark.parametrize("shards", [None, (3, 4)])
def test_compressors_of_format_3_are_decoded(tmp_path: Path, codec: Any, shards: Any) -> None:
    path = tmp_path / "a.zarr"
    array = zarr.create_array(path, shape=(3, 4), chunks=(1, 4), shards=shards, dtype="u1", compressors=codec)
    array[...] = GREY
    assert_array_equal(read_image(path).pixels[...], GREY)
