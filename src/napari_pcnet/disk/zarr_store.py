"""Zarr: arrays, groups of arrays and OME-Zarr pyramids; labels with notes beside them."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.files import write_folder_atomically
from napari_pcnet.disk.formats import NOTES_KEY, is_zarr
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.output import naming_failure
from napari_pcnet.shapes import CHANNEL_NAMES

CHUNK_SIDE_PX = 1024
"""Longest side of a chunk of labels: 4 MB of 32 bits before compression."""

_COLOUR_LENGTHS = (3, 4)
"""An unnamed last axis of this length is taken for RGB or RGBA, as napari does."""


def count_levels(path: Path) -> int:
    """Count the sizes of the picture: 1 unless it is a pyramid."""
    return len(_levels(path).arrays)


def read(path: Path, level: int) -> Image:
    """Open one level; its pixels are read where they are sliced."""
    levels = _levels(path)
    array = levels.arrays[level]
    if array.ndim < 2:
        raise ValueError(f"its shape is {tuple(array.shape)}, a picture has two axes or more")
    if levels.axes and len(levels.axes) != array.ndim:
        raise ValueError(f"it names {len(levels.axes)} axes, its array has {array.ndim}")
    return Image(array, _channel_axis(array, levels.axes))


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of an array or group."""
    import zarr

    return dict(zarr.open(path, mode="r").attrs)


def write_labels(
    path: Path, labels: NDArray[np.integer[Any]], notes: dict[str, Any] | None, overwrite: bool
) -> None:
    """Write labels in the type they have as one array of format 3, with their notes as an attribute."""
    import zarr

    leading = labels.ndim - 2

    def write(folder: Path) -> None:
        array = zarr.create_array(
            folder,
            shape=labels.shape,
            chunks=(1,) * leading + tuple(min(max(side, 1), CHUNK_SIDE_PX) for side in labels.shape[-2:]),
            dtype=labels.dtype,
            zarr_format=3,
            attributes={} if notes is None else {NOTES_KEY: notes},
            dimension_names=(None,) * leading + ("y", "x"),  # or a width of 3 would be taken for colours
        )
        array[...] = labels
        for file in filter(Path.is_file, folder.rglob("*")):
            _sync(file)

    with naming_failure(path):
        write_folder_atomically(path, write, replace=overwrite)


class _Levels(NamedTuple):
    arrays: list[Any]  # Any: zarr's arrays, whose type has changed its parameters between versions
    axes: list[str]
    """Names of an OME-Zarr in lower case; empty if there are none."""


def _levels(path: Path) -> _Levels:
    """Open the arrays that a zarr shows as one picture, without reading from them."""
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return _Levels([node], [])
    if not _multiscales(node):  # the first of its groups, as napari does and bioformats2raw lays them out
        groups = [(folder, child) for folder, child in _children(path) if isinstance(child, zarr.Group)]
        path, node = groups[0] if groups else (path, node)
    scales = _multiscales(node)
    if scales:
        arrays = [node[each["path"]] for each in scales[0]["datasets"]]
        return _Levels(arrays, [_axis_name(each) for each in scales[0].get("axes", ())])
    arrays = [child for _, child in _children(path) if isinstance(child, zarr.Array)]
    if not arrays:
        raise ValueError("it is a group without arrays")
    return _Levels(arrays, [])


def _children(group: Path) -> list[tuple[Path, Any]]:
    """Open what is in a group, by name; zarr itself would warn of every other file there."""
    import zarr

    inside = sorted(group.iterdir(), key=lambda child: child.name)
    return [(child, zarr.open(child, mode="r")) for child in inside if is_zarr(child)]


def _multiscales(group: Any) -> list[dict[str, Any]]:
    """Return what OME-Zarr 0.5, or else 0.4 and before, records of a group; empty for another group."""
    attributes = group.attrs
    scales: list[dict[str, Any]] = attributes.get("ome", attributes).get("multiscales", [])
    return scales


def _axis_name(axis: Any) -> str:
    """Return the name of an OME-Zarr axis; before 0.4 it was the name itself."""
    if isinstance(axis, str):
        return axis.lower()
    return "channel" if axis.get("type") == "channel" else str(axis["name"]).lower()


def _channel_axis(array: Any, axes: list[str]) -> int | None:
    """Return the axis that is named as channels, or the last one if it is unnamed and as long as a colour."""
    names = axes or [str(name).lower() for name in getattr(array.metadata, "dimension_names", None) or ()]
    named = next((at for at, name in enumerate(names) if name in CHANNEL_NAMES), None)
    if named is not None or axes or names[-1:] == ["x"]:
        return named
    return -1 if array.ndim >= 3 and array.shape[-1] in _COLOUR_LENGTHS else None


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # a full disk may only show here
