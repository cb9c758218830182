"""Regions as polygons in files: `geojson` for QuPath, `geopackage` for maps.

Both need the extra ``export``. Here is what they have in common: what is refused, and what a table says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.colours import default_colour
from napari_pcnet.disk import geojson, geopackage
from napari_pcnet.disk.geojson import Colour, ObjectType
from napari_pcnet.disk.output import check_output, write_whole
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.polygons import DescribedRegions, polygons_of, simplified
from napari_pcnet.disk.tables import check_columns
from napari_pcnet.options import as_index, as_list, pixels, shown
from napari_pcnet.options import background as background_label
from napari_pcnet.shapes import size_text

POLYGON_SUFFIXES = (".geojson", ".json", ".gpkg")


def write_polygons(
    path: str | os.PathLike[str],
    labels: NDArray[np.integer[Any]],
    table: Mapping[str, NDArray[Any]] | None = None,
    *,
    class_colours: Mapping[str, Colour] | None = None,
    object_type: ObjectType = "annotation",
    simplify: float = 0.0,
    origin: tuple[int, int] = (0, 0),
    placement: Placement | None = None,
    background: int | None = 0,
    overwrite: bool = False,
) -> int:
    """Write regions as polygons, whole or not at all.

    The area of a polygon is that of its pixels, unless it is simplified, and neighbours share the vertices of
    their common border. A region of several pieces is one object.

    Parameters
    ----------
    path : path
        Ends in .geojson or .json, whose coordinates are pixels of the whole picture, columns and rows, as
        QuPath has them; or in .gpkg, whose coordinates are those of `placement`, or else columns and rows
        that run down from 0. GDAL, which writes these, sets the locale of numbers of the process to "C".
    labels : (H, W) array_like of int, or of booleans
    table : mapping of str to (n,) array, optional
        As `region_table` gives it: ``label`` and any columns, of which ``class`` names the class of a
        region, empty for none. Other columns of numbers are measurements.
    class_colours : mapping of str to (int, int, int), optional
        Red, green and blue of classes, 0 to 255; they may be those of a whole study, as a class that no
        region has is passed over. A GeoPackage has no colours.
    object_type : {"annotation", "detection"}
        What a region is in QuPath: detections are many, and fixed.
    simplify : float
        Pixels: vertices go, by the method of Visvalingam and Whyatt, whose triangle with their neighbours has
        less than this squared as its area. Borders stay common ones. About 1.5 takes the steps of the pixels
        away; 0 keeps them.
    origin : (int, int)
        Row and column of the first pixel in the whole picture, where the labels are of a part. Of a
        GeoPackage `placement` says it.
    placement : Placement, optional
        Where the labels lie, as `read_image` gives it.
    background : int or None
        Label of what is no region.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    int
        How many regions were written.

    Raises
    ------
    TypeError
        If `table` or `class_colours` is no mapping.
    ValueError
        If the ending is another, or the table or the labels do not fit.
    OSError
        If the file exists, its folder does not, or the disk is full.
    ModuleNotFoundError
        Without the extra ``export``.
    """
    path = Path(path)
    check_output(path, POLYGON_SUFFIXES, overwrite)
    is_map = path.suffix.lower() == ".gpkg"
    plane, ground, start = _plane(labels), background_label(background), _origin(origin)
    if object_type not in get_args(ObjectType):
        raise ValueError(f"object_type must be 'annotation' or 'detection', got {shown(object_type)}")
    tolerance = pixels(simplify, "simplify")
    columns = {} if table is None else _checked(table)
    colours = _colours(columns, {} if class_colours is None else class_colours)
    if is_map:
        geopackage.check(plane, columns)
    names, pieces = polygons_of(plane, ground)
    if tolerance:
        pieces = simplified(pieces, tolerance, plane.shape)
    regions = DescribedRegions(names, pieces, columns, _rows_of(names, columns))
    if is_map:
        content = geopackage.content(regions, placement)
    else:
        content = geojson.content(regions, colours, object_type, start)
    write_whole(path, lambda file: file.write(content), overwrite)
    return len(names)


def _plane(labels: Any) -> NDArray[np.integer[Any]]:
    """Check labels; a mask is one region."""
    if np.ma.isMaskedArray(labels):
        raise ValueError("labels are a masked array: pass labels.filled(0), or another background")
    plane = np.asarray(labels)
    plane = plane.astype(np.uint8) if plane.dtype == bool else plane
    if plane.ndim != 2 or plane.dtype.kind not in "ui" or not plane.size:
        size = size_text(plane.shape) or "one value"
        raise ValueError(f"labels must be one plane of integers, got {size} of {plane.dtype}")
    return plane


def _origin(origin: Any) -> tuple[int, int]:
    pair = [as_index(each) for each in as_list(origin) or ()]
    if len(pair) != 2 or pair[0] is None or pair[1] is None:
        raise ValueError(f"origin must be two whole numbers, row and column, got {shown(origin)}")
    return pair[0], pair[1]


def _checked(table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Check a table, and take what says something of a region."""
    check_columns(table)
    columns = {str(name): np.asarray(column) for name, column in table.items()}
    if "label" not in columns or columns["label"].dtype.kind not in "ui":
        found = columns["label"].dtype if "label" in columns else ", ".join(columns) or "no column"
        raise ValueError(f"table must have a column of whole numbers, label, got {found}")
    if len({column.shape for column in columns.values()}) > 1 or columns["label"].ndim != 1:
        raise ValueError("table must have columns of one length")
    if len(np.unique(columns["label"])) != len(columns["label"]):
        raise ValueError("table must have one row for each label, and has several for one")
    if "class" in columns:
        columns["class"] = np.array([_class_name(each) for each in columns["class"].tolist()], str)
    return {name: each for name, each in columns.items() if name == "class" or each.dtype.kind in "buif"}


def _class_name(given: object) -> str:
    """Nothing for what is missing; beside which whole numbers are floats, and are made whole again."""
    if isinstance(given, float):
        return "" if math.isnan(given) else f"{given:.0f}" if given.is_integer() else str(given)
    return str(given) if isinstance(given, str | int) else ""


def _rows_of(names: list[int], columns: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """The row of each label, -1 where the table has none."""
    rows = {label: row for row, label in enumerate(columns["label"].tolist())} if columns else {}
    return np.array([rows.get(label, -1) for label in names], np.int64)


def _colours(columns: dict[str, NDArray[Any]], chosen: Mapping[str, Colour]) -> dict[str, Colour]:
    """The colour of each class: the one that was chosen, or by the order of names one that classes have."""
    if not isinstance(chosen, Mapping):
        raise TypeError(f"class_colours must map names of classes to colours, got {shown(chosen)}")
    kept = {name: _colour(name, colour) for name, colour in chosen.items()}
    classes = sorted({str(name) for name in columns.get("class", ()) if name})
    free = {name: default_colour(at) for at, name in enumerate(classes, 1)}
    return {name: kept.get(name) or _colour(name, tuple(bytes.fromhex(free[name][1:]))) for name in classes}


def _colour(name: str, given: object) -> Colour:
    channels = [as_index(channel) for channel in as_list(given) or ()]
    if len(channels) != 3 or any(channel not in range(256) for channel in channels):
        raise ValueError(f"colour of {name} must be three whole numbers, 0 to 255, got {shown(given)}")
    red, green, blue = (int(channel or 0) for channel in channels)
    return red, green, blue
