"""Regions as polygons in files: GeoJSON as QuPath reads and writes it, GeoPackage for maps.

What the members of GeoJSON mean is said by RFC 7946, and by QuPath 0.4 and later for what is in
``properties``. Both need the extra ``export``.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.colours import default_colour
from napari_pcnet.disk import tiff
from napari_pcnet.disk.output import check_output, write_whole
from napari_pcnet.disk.placement import Affine, GeoReference, Placement
from napari_pcnet.disk.polygons import Polygon, Ring, as_shapes, polygons_of, simplified
from napari_pcnet.options import as_index, as_list, pixels, shown
from napari_pcnet.options import background as background_label
from napari_pcnet.shapes import size_text

POLYGON_SUFFIXES = (".geojson", ".json", ".gpkg")

ObjectType: TypeAlias = Literal["annotation", "detection"]
"""What a region becomes in QuPath."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_DOWNWARDS: Affine = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Where maps show a picture that lies nowhere: its rows run down from y = 0."""

_NOWHERE = (
    'ENGCRS["Pixels",EDATUM["First pixel of the picture"],CS[Cartesian,2],'
    'AXIS["x",east],AXIS["y",north],LENGTHUNIT["pixel",1]]'
)
"""The system of such a picture."""

_UNNAMED = (
    'ENGCRS["Unnamed map",EDATUM["Unknown"],CS[Cartesian,2],'
    'AXIS["x",east],AXIS["y",north],LENGTHUNIT["unknown",1]]'
)
"""The system of map positions where the labels have these and do not name theirs."""

_LARGEST_LABEL = int(np.iinfo(np.int64).max)
"""Of a GeoPackage."""

_OWN_COLUMNS = ("fid", "geom", "geometry")
"""What a GeoPackage, or what writes it, calls columns of its own."""


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
        Red, green and blue of classes, 0 to 255.
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
    columns = {} if table is None else _checked(table)
    colours = _colours(columns, class_colours or {})
    if is_map:
        _check_geopackage(plane, columns)
    names, pieces = polygons_of(plane, ground)
    if pixels(simplify, "simplify"):
        pieces = simplified(pieces, simplify)
    if is_map:
        transform = _to_map(placement.geo) if placement is not None and placement.geo else _DOWNWARDS
        content = _geopackage(names, pieces, columns, transform, _reference_system(placement))
    else:
        features = _features(names, pieces, columns, colours, object_type, start)
        lines = ",\n".join(json.dumps(feature, allow_nan=False, ensure_ascii=False) for feature in features)
        content = f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'.encode()
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


def _check_geopackage(plane: NDArray[np.integer[Any]], columns: dict[str, NDArray[Any]]) -> None:
    """Refuse labels and columns that a GeoPackage cannot hold; to it, names in other cases are the same."""
    if int(plane.max()) > _LARGEST_LABEL:
        raise ValueError(f"labels of a GeoPackage must be at most {_LARGEST_LABEL}, got {plane.max()}")
    count = Counter(name.lower() for name in (*_OWN_COLUMNS, *columns))
    taken = [name for name in columns if count[name.lower()] > 1]
    if taken:
        raise ValueError(f"table has a column {taken[-1]!r}, but a GeoPackage has that name; choose another")


def _colours(columns: dict[str, NDArray[Any]], chosen: Mapping[str, Colour]) -> dict[str, Colour]:
    """The colour of each class: the one that was chosen, or by the order of names one that classes have."""
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


def _features(
    names: list[int],
    pieces: list[list[Polygon]],
    columns: dict[str, NDArray[Any]],
    colours: dict[str, Colour],
    object_type: ObjectType,
    origin: tuple[int, int],
) -> Iterator[dict[str, Any]]:
    """A feature for each region, with the members that QuPath writes."""
    rows = _rows_by_label(columns)
    measured = [name for name in columns if name not in ("label", "class")]
    for label, polygons in zip(names, pieces, strict=True):
        properties: dict[str, Any] = {"objectType": object_type, "name": str(label)}
        row = rows.get(label)
        if row is not None and "class" in columns and columns["class"][row]:
            name = str(columns["class"][row])
            properties["classification"] = {"name": name, "color": list(colours[name])}
        if row is not None and measured:
            values = {name: float(columns[name][row]) for name in measured}
            properties["measurements"] = {name: each for name, each in values.items() if math.isfinite(each)}
        placed = [
            [_turned(ring + origin[::-1], at == 0).tolist() for at, ring in enumerate(polygon)]
            for polygon in polygons
        ]
        one = len(placed) == 1
        geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": placed[0] if one else placed}
        yield {"type": "Feature", "geometry": geometry, "properties": properties}


def _turned(ring: NDArray[Any], is_outline: bool) -> NDArray[Any]:
    """Turn a ring as RFC 7946 has it: outlines counterclockwise, with y upwards, holes clockwise."""
    (x, y), (next_x, next_y) = ring[:-1].T, ring[1:].T
    is_counterclockwise = (x * next_y - next_x * y).sum() > 0
    return ring if is_counterclockwise == is_outline else ring[::-1]


def _rows_by_label(columns: dict[str, NDArray[Any]]) -> dict[int, int]:
    return {label: row for row, label in enumerate(columns.get("label", np.empty(0)).tolist())}


def _to_map(geo: GeoReference) -> Affine:
    """From corners of pixels to map positions: the reference's own raster may count their middles."""
    a, b, c, d, e, f = geo.transform
    corner = geo.corner
    return a, b, c + (a + b) * corner, d, e, f + (d + e) * corner


def _reference_system(placement: Placement | None) -> str:
    """Name the system of map positions, in WKT, as GDAL reads it from a tif that lies there."""
    if placement is None or placement.geo is None:
        return _NOWHERE
    from rasterio import MemoryFile

    with MemoryFile(tiff.pixel_at(placement)) as file, file.open() as place:
        return str(place.crs.to_wkt()) if place.crs else _UNNAMED


def _geopackage(
    names: list[int],
    pieces: list[list[Polygon]],
    columns: dict[str, NDArray[Any]],
    transform: Affine,
    system: str,
) -> bytes:
    """Make the file in memory."""
    import geopandas

    a, b, c, d, e, f = transform

    def mapped(ring: Ring) -> Ring:
        x, y = ring.T
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    mapped_pieces = [[list(map(mapped, polygon)) for polygon in polygons] for polygons in pieces]
    rows = _rows_by_label(columns)
    places = np.array([rows.get(label, -1) for label in names], np.int64)
    table: dict[str, Any] = {"label": names}
    for name, column in columns.items():
        if name == "class":
            table[name] = [str(column[row]) or None if row >= 0 else None for row in places]
        elif name != "label":
            known = np.append(column.astype(np.float64), np.nan)
            table[name] = known[places]  # -1 is the last
    frame = geopandas.GeoDataFrame(table, geometry=as_shapes(mapped_pieces), crs=system)
    content = io.BytesIO()
    frame.to_file(content, layer="regions", driver="GPKG", engine="pyogrio")
    return content.getvalue()
