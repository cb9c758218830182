"""A node of a zarr, array or group, as its metadata say: read as JSON, before the library that decodes it.

zarr finds a codec by the name that a file gives, and numcodecs has one, `pickle`, that runs what a file
holds. So only arrays whose codecs hold nothing but data pass.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from napari_pcnet.disk.formats import is_zarr
from napari_pcnet.disk.remote import Folder
from napari_pcnet.options import shown

_COMPRESSORS = {"blosc", "bz2", "gzip", "lz4", "lzma", "pcodec", "zfpy", "zlib", "zstd"}
_CHECKSUMS = {"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"}
_FORMS = {"base64", "bytes", "packbits", "sharding_indexed", "shuffle", "transpose"}
_ROUNDED = {"astype", "bitround", "delta", "fixedscaleoffset", "quantize"}
_DATA_CODECS = _COMPRESSORS | _CHECKSUMS | _FORMS | _ROUNDED
"""Codecs of formats 2 and 3 that give numbers and can give nothing else."""


class Node(NamedTuple):
    """An array or a group."""

    zarr_format: Literal[2, 3]
    is_array: bool
    attributes: dict[str, Any]


def read_node(folder: Folder) -> Node:
    """Read what a folder says of itself.

    Raises
    ------
    ValueError
        If it is neither array nor group, or an array with a codec that may give something else than data.
    """
    if (folder / "zarr.json").is_file():
        words = _object_in(folder / "zarr.json")
        kind = words.get("node_type")
        if kind not in ("array", "group"):
            raise ValueError(f"its node_type must be 'array' or 'group', got {shown(kind)}")
        _check_codecs(_names_of_format_3(list_under(words, "codecs")))
        return Node(3, kind == "array", as_object(words.get("attributes") or {}, "attributes"))
    if not is_zarr(folder):
        raise ValueError(f"it has no array or group {folder.name!r}")
    is_array = (folder / ".zarray").is_file()
    if is_array:
        words = _object_in(folder / ".zarray")
        compressor = [] if words.get("compressor") is None else [words["compressor"]]
        _check_codecs(
            as_object(each, "codec").get("id") for each in [*list_under(words, "filters"), *compressor]
        )
    attributes = folder / ".zattrs"
    return Node(2, is_array, _object_in(attributes) if attributes.is_file() else {})


def as_object(words: object, name: str) -> dict[str, Any]:
    """Return a value of a file that must be an object, which its name tells the user."""
    if not isinstance(words, dict):
        raise ValueError(f"its {name} must be a JSON object, got {shown(words)}")
    return words


def list_under(words: dict[str, Any], key: str) -> list[Any]:
    """Return the list under a key; an absent one is empty."""
    values = words.get(key)
    if values is None:
        return []
    if not isinstance(values, list):
        raise ValueError(f"its {key} must be a list, got {shown(values)}")
    return values


def _check_codecs(names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str) or name.removeprefix("numcodecs.") not in _DATA_CODECS:
            raise ValueError(
                f"its codec {shown(name)} may give more than numbers; only codecs that hold data, "
                f"such as blosc, gzip and zstd, are decoded"
            )


def _names_of_format_3(codecs: list[Any]) -> Iterator[object]:
    """Names of codecs, with those inside a shard."""
    for codec in codecs:
        words = {"name": codec} if isinstance(codec, str) else as_object(codec, "codec")
        yield words.get("name")
        inner = as_object(words.get("configuration") or {}, "configuration of a codec")
        if "id" in inner:  # numcodecs' own name, which some versions of zarr prefer
            yield inner["id"]
        for key in ("codecs", "index_codecs"):
            yield from _names_of_format_3(list_under(inner, key))


def _object_in(file: Folder) -> dict[str, Any]:
    return as_object(json.loads(file.read_bytes()), file.name)
