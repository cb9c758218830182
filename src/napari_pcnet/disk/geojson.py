"""Regions as GeoJSON, with the members that QuPath reads and writes.

RFC 7946 says what the members mean, QuPath 0.4 and later what is in ``properties``.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from napari_pcnet.disk.polygons import DescribedRegions

ObjectType: TypeAlias = Literal["annotation", "detection"]
"""What a region becomes in QuPath."""

IDS = uuid.UUID("2f0c5a76-6a0e-4d0e-9d0e-5b6f6f1d8a43")
"""Names the ids of regions, which follow from the outlines: the same regions give the same file."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def content(
    regions: DescribedRegions,
    colours: Mapping[str, Colour],
    object_type: ObjectType,
    origin: tuple[int, int],
) -> bytes:
    """Make the file in memory.

    Parameters
    ----------
    regions : DescribedRegions
    colours : mapping of str to (int, int, int)
        Red, green and blue of each class, 0 to 255.
    object_type : {"annotation", "detection"}
    origin : (int, int)
        Row and column of the first pixel in the whole picture.
    """
    features = _features(regions, colours, object_type, origin)
    lines = ",\n".join(json.dumps(feature, allow_nan=False, ensure_ascii=False) for feature in features)
    return f'{{"type": "FeatureCollection", "features": [\n{lines}\n]}}\n'.encode()


def _features(
    regions: DescribedRegions,
    colours: Mapping[str, Colour],
    object_type: ObjectType,
    origin: tuple[int, int],
) -> Iterator[dict[str, Any]]:
    """A feature for each region, with the members that QuPath writes."""
    names, pieces, columns, rows = regions
    measured = [name for name in columns if name not in ("label", "class")]
    for label, polygons, row in zip(names, pieces, rows.tolist(), strict=True):
        properties: dict[str, Any] = {"objectType": object_type, "name": str(label)}
        if row >= 0 and "class" in columns and columns["class"][row]:
            name = str(columns["class"][row])
            properties["classification"] = {"name": name, "color": list(colours[name])}
        if row >= 0 and measured:
            values = {name: float(columns[name][row]) for name in measured}
            properties["measurements"] = {name: each for name, each in values.items() if math.isfinite(each)}
        placed = [
            [_turned(ring + origin[::-1], at == 0).tolist() for at, ring in enumerate(polygon)]
            for polygon in polygons
        ]
        one = len(placed) == 1
        geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": placed[0] if one else placed}
        own = str(uuid.uuid5(IDS, json.dumps(geometry)))
        yield {"type": "Feature", "id": own, "geometry": geometry, "properties": properties}


def _turned(ring: NDArray[Any], is_outline: bool) -> NDArray[Any]:
    """Turn a ring as RFC 7946 has it: outlines counterclockwise, with y upwards, holes clockwise."""
    (x, y), (next_x, next_y) = ring[:-1].T, ring[1:].T
    is_counterclockwise = (x * next_y - next_x * y).sum() > 0
    return ring if is_counterclockwise == is_outline else ring[::-1]
