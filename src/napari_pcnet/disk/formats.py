"""Which format a path holds, without the library that reads it; endings and limits of what is written."""

import json
from pathlib import Path
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["picture", "tif", "zarr"]
"""A picture is what Pillow reads: png or jpg."""

LABEL_SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
TIF_SUFFIXES = (".tif", ".tiff")
OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg", *TIF_SUFFIXES)
LARGEST_PNG_LABEL = 65_535
"""A png has 16 bits at most."""

NOTES_KEY = "napari-pcnet"
"""Where a label file has its notes: in the JSON of a tif's description, in the attributes of a zarr array."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
"""What makes a folder an array or a group: of format 3, an array of format 2, a group of format 2."""


def format_of(path: Path) -> Format:
    """Return the format of a file or folder that is there, by its content.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    IsADirectoryError
        If it is a folder and no zarr.
    """
    if not path.exists():
        raise FileNotFoundError(f"image {path} does not exist")
    if path.is_dir():
        if not is_zarr(path):
            raise IsADirectoryError(f"image {path} is a folder; name a file")
        return "zarr"
    with path.open("rb") as file:
        return "tif" if file.read(4) in _TIFF_STARTS else "picture"


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in _ZARR_FILES)


def is_zarr_array(folder: Path) -> bool:
    """Whether a folder is one zarr array, however damaged; a group may hold the picture itself."""
    if (folder / ".zarray").is_file():
        return True
    try:
        metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(metadata, dict) and metadata.get("node_type") == "array"
