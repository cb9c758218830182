"""Which format a path holds, without the library that reads it; endings and limits of what is written."""

import json
from pathlib import Path
from typing import Any, Literal, TypeAlias

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

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
"""What makes a folder an array or a group: of format 3, an array of format 2, a group of format 2."""


def format_of(path: Path, role: str = "image") -> Format:
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
    if not path.exists():
        raise FileNotFoundError(f"{role} {path} does not exist")
    if path.is_dir():
        if not is_zarr(path):
            raise IsADirectoryError(f"{role} {path} is a folder; name a file")
        return "zarr"
    if not path.is_file():
        raise ValueError(f"{role} {path} is a pipe or a device; name a file")
    with path.open("rb") as file:
        head = file.read(8)
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    found = f"it begins with {head!r}, as none of these does" if head else "it is empty"
    raise ValueError(f"{path} cannot be read as a tif, png or jpg picture: {found}")


def is_zarr(folder: Path) -> bool:
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
    try:
        metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
