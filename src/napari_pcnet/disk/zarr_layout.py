"""The layout of a zarr: which arrays are its pictures, their sizes and axes, as its metadata say.

A zarr is an array, a group of arrays, or an OME-Zarr of version 0.1 to 0.5: one picture in several sizes, a
plate of wells with some pictures each, or the pictures of a file that bioformats2raw converted.
"""

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from napari_pcnet.disk.formats import is_zarr
from napari_pcnet.disk.remote import Folder
from napari_pcnet.disk.zarr_node import Node, as_object, list_under, read_node

OLD_AXES = ["t", "c", "z", "y", "x"]
"""The axes of OME-Zarr 0.1 and 0.2, which record none."""


class Picture(NamedTuple):
    """One picture in its sizes.

    Attributes
    ----------
    levels : list of folders
        Folders of the arrays, the full size first.
    axes : list of str or None
        Names in lower case; None if an OME-Zarr records none, empty if it is no OME-Zarr.
    scale : dict or None
        What an OME-Zarr says of its levels, as it stands there.
    """

    levels: list[Folder]
    axes: list[str] | None
    scale: dict[str, Any] | None = None


def picture_in(folder: Folder) -> Picture:
    """Find the sizes and axes of the picture in a folder that `pictures_in` gave."""
    node = read_node(folder)
    if node.is_array:
        return Picture([folder], [])
    ome = _ome(node)
    if "multiscales" not in ome:
        return Picture(_children(folder, are_arrays=True), [])
    scales = list_under(ome, "multiscales")
    scale = as_object(scales[0] if scales else None, "first of its multiscales")
    levels = _named(folder, scale, "datasets")
    if not levels:
        raise ValueError("its multiscales name no array")
    axes = None if "axes" not in scale else [_axis_name(each) for each in list_under(scale, "axes")]
    return Picture(levels, axes, scale)


def pictures_in(path: Folder) -> list[Folder]:
    """Find the array or group of each picture in a zarr.

    Raises
    ------
    ValueError
        If there is none.
    """
    node = read_node(path)
    ome = _ome(node)
    if node.is_array or "multiscales" in ome:
        return [path]
    if "plate" in ome:
        found = _fields(path, ome)
    else:
        groups = _in_order_of_file(path) or _children(path, are_arrays=False)
        found = [each for each in groups if _holds_picture(each)]
    if not found and _children(path, are_arrays=True):
        return [path]
    if not found:
        raise ValueError("it is a group without arrays")
    return found


def _fields(plate: Folder, ome: dict[str, Any]) -> list[Folder]:
    """Return the fields of a plate, well after well."""
    wells = _named(plate, as_object(ome["plate"], "plate"), "wells")
    content = [(well, as_object(_ome(read_node(well)).get("well"), "well")) for well in wells]
    return [field for well, words in content for field in _named(well, words, "images")]


def _in_order_of_file(path: Folder) -> list[Folder]:
    """Return the pictures in the order that bioformats2raw records, if it does."""
    if not is_zarr(path / "OME"):
        return []
    return [_inside(path, name) for name in list_under(_ome(read_node(path / "OME")), "series")]


def _holds_picture(group: Folder) -> bool:
    return "multiscales" in _ome(read_node(group)) or bool(_children(group, are_arrays=True))


def _children(group: Folder, *, are_arrays: bool) -> list[Folder]:
    """Return the arrays by name, or the groups by number and name, in a group."""
    inside = [
        child for child in group.iterdir() if is_zarr(child) and read_node(child).is_array == are_arrays
    ]
    return sorted(inside, key=(lambda child: child.name) if are_arrays else _number_and_name)


def _number_and_name(folder: Folder) -> tuple[int, str]:
    """Sort key: 10 after 9."""
    return int(folder.name) if folder.name.isdecimal() else 0, folder.name


def _ome(node: Node) -> dict[str, Any]:
    """Return what OME-Zarr 0.5, or else 0.4 and before, says of a node."""
    return as_object(node.attributes.get("ome", node.attributes), "'ome'")


def _named(group: Folder, words: dict[str, Any], key: str) -> list[Folder]:
    """Return the nodes whose paths are in a list of objects."""
    return [_inside(group, as_object(each, f"entry of {key}").get("path")) for each in list_under(words, key)]


def _inside(group: Folder, name: object) -> Folder:
    """Return a node that a group names; it is never outside the group."""
    if not isinstance(name, str) or not name or name.startswith("/") or _leads_out(name):
        raise ValueError(f"it names {name!r}, which is no path of a node inside it")
    return group / name


def _leads_out(name: str) -> bool:
    return "://" in name or ".." in PurePosixPath(name).parts


def _axis_name(axis: object) -> str:
    """Return the name of an axis, or of its type if that is channels; before 0.4 it was the name itself."""
    if isinstance(axis, str):
        return axis.lower()
    words = as_object(axis, "entry of axes")
    return "channel" if words.get("type") == "channel" else str(words.get("name")).lower()
