"""Which format a path holds, without the library that reads it; endings and limits of what is written."""

import json
import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

from napari_pcnet.disk.files import check_file
from napari_pcnet.disk.remote import Folder, RemoteFolder

Format: TypeAlias = Literal["jpg", "png", "tif", "zarr"]

LABEL_SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
TIF_SUFFIXES = (".tif", ".tiff")
LABELS_MARK = ".superpixels"
"""Stands before the ending of labels that are named after their picture; napari knows them by it."""

OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg", *TIF_SUFFIXES)
LARGEST_PNG_LABEL = 65_535
"""A png has 16 bits at most."""

NOTES_KEY = "napari-pcnet"
"""Where a label file has its notes: in the JSON of a tif's description, in the attributes of a zarr array."""

_STARTS: dict[bytes, Format] = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"II+\0": "tif",
    b"MM\0+": "tif",
}
"""The first bytes of a file, by which its format is known, whatever its name."""

_FOREIGN = {
    rb"GIF8": "a gif",
    rb"BM": "a bmp",
    rb"RIFF....WEBP": "a webp",
    rb"\0\0\0\x0cjP": "a JPEG 2000",
    rb"P[1-7]\s": "a pbm, pgm or ppm",
    rb"%PDF": "a PDF",
    rb"%!PS": "PostScript",
    rb"\x89HDF": "an HDF5",
    rb"\x93NUMPY": "an array of numpy",
    rb"PK\x03\x04": "a zip",
    rb"ZISRAW": "a czi",
}
"""How files begin that are often taken for pictures that we read."""

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
"""What makes a folder an array or a group: of format 3, an array of format 2, a group of format 2."""


def format_of(path: Folder, role: str = "image") -> Format:
    """Return the format of a file or folder that is there, by its content; refusals name its role.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    IsADirectoryError
        If it is a folder and no zarr.
    ValueError
        If it is a file of another format, or no file: a pipe may never begin.
    """
    if isinstance(path, RemoteFolder):
        if not is_zarr(path):
            raise FileNotFoundError(
                f"{role} {path} does not exist: its host gives none of {', '.join(_ZARR_FILES)} there"
            )
        return "zarr"
    if path.is_dir() and is_zarr(path):
        return "zarr"
    check_file(path, role)
    with path.open("rb") as file:
        head = file.read(12)
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    raise ValueError(f"{path} cannot be read as a tif, png or jpg picture: {_foreign_text(head)}")


def _foreign_text(head: bytes) -> str:
    """Say what a file is that begins so, and is no picture of ours.

    >>> _foreign_text(b"GIF89a"), _foreign_text(b"x,y,value")
    ('it is a gif; save it as tif or png', 'it is text')
    >>> _foreign_text(bytes(2))
    'it begins with the bytes 00 00, as none of these does'
    """
    if not head:
        return "it is empty"
    for start, kind in _FOREIGN.items():
        if re.match(start, head, re.DOTALL):
            return f"it is {kind}; save it as tif or png"
    if head.isascii() and all(chr(byte).isprintable() or chr(byte).isspace() for byte in head):
        return "it is text"
    return f"it begins with the bytes {head[:8].hex(' ')}, as none of these does"


def is_zarr(folder: Folder) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in _ZARR_FILES)


def is_zarr_array(folder: Path) -> bool:
    """Whether a folder is one zarr array, however damaged; a group may hold the picture itself."""
    return (folder / ".zarray").is_file() or _metadata(folder).get("node_type") == "array"


def is_label_pyramid(folder: Path) -> bool:
    """Whether a folder is an OME-Zarr of labels in several sizes."""
    attributes = _metadata(folder).get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return isinstance(ome, dict) and "image-label" in ome


def _metadata(folder: Path) -> dict[str, Any]:
    """What a node of format 3 says of itself; nothing if it is damaged or no such node."""
    file = folder / "zarr.json"
    try:
        metadata = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
