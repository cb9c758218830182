"""Regions as a GeoPackage, for maps; needs the extra ``export``.

Frames: a polygon's vertex ``(column, row)`` counts corners of pixels; a map position is ``(x, y)`` of the
system that the labels lie in.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import tiff
from napari_pcnet.disk.placement import Affine, GeoReference, Placement
from napari_pcnet.disk.polygons import DescribedRegions, Ring, as_shapes

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


def check(plane: NDArray[np.integer[Any]], columns: dict[str, NDArray[Any]]) -> None:
    """Refuse labels and columns that a GeoPackage cannot hold; to it, names in other cases are the same.

    Parameters
    ----------
    plane : (H, W) array of int
    columns : dict of str to (n,) array

    Raises
    ------
    ValueError
        If a label has more than 64 bits with a sign, or a column a name that is taken.
    """
    if int(plane.max()) > _LARGEST_LABEL:
        raise ValueError(f"labels of a GeoPackage must be at most {_LARGEST_LABEL}, got {plane.max()}")
    count = Counter(name.lower() for name in (*_OWN_COLUMNS, *columns))
    taken = [name for name in columns if count[name.lower()] > 1]
    if taken:
        raise ValueError(f"table has a column {taken[-1]!r}, but a GeoPackage has that name; choose another")


def content(regions: DescribedRegions, placement: Placement | None) -> bytes:
    """Make the file in memory; `placement` says where the labels lie."""
    import geopandas

    names, pieces, columns, rows = regions
    a, b, c, d, e, f = _to_map(placement.geo) if placement and placement.geo else _DOWNWARDS

    def mapped(ring: Ring) -> Ring:
        x, y = ring.T
        return np.column_stack([a * x + b * y + c, d * x + e * y + f])

    mapped_pieces = [[list(map(mapped, polygon)) for polygon in polygons] for polygons in pieces]
    table: dict[str, Any] = {"label": names}
    for name, column in columns.items():
        if name == "class":
            table[name] = [str(column[row]) or None if row >= 0 else None for row in rows]
        elif name != "label":
            known = np.append(column.astype(np.float64), np.nan)
            table[name] = known[rows]  # -1 is the last
    frame = geopandas.GeoDataFrame(table, geometry=as_shapes(mapped_pieces), crs=_reference_system(placement))
    file = io.BytesIO()
    frame.to_file(file, layer="regions", driver="GPKG", engine="pyogrio")
    return file.getvalue()


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
