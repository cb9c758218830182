"""Regions as polygons: their outlines run along the sides of pixels, and neighbours share every vertex.

Frame: ``(x, y)`` is ``(column, row)``, counted in corners of pixels: the first pixel is the square from
(0, 0) to (1, 1). A polygon keeps a vertex where its outline turns, and where three regions meet beside a
straight run of it, so that a common border is the same line in both polygons, however they are mapped.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.integer[Any] | np.floating[Any]]
"""Vertices ``(k, 2)`` of a closed line, the first one again at the end."""

Polygon: TypeAlias = list[Ring]
"""The outline, and then the outlines of holes."""

PIECES_AT_ONCE = 1 << 12
"""Pieces whose outlines are gone through in one pass."""

_MEETING = 3
"""So many of the four sides that end in a corner of pixels part regions where more than two meet."""


class DescribedRegions(NamedTuple):
    """Regions as polygons, and what a table says of them."""

    names: list[int]  # labels, increasing
    pieces: list[list[Polygon]]  # of each, as `polygons_of` gives them
    columns: dict[str, NDArray[Any]]  # of the table, ``(rows,)`` each
    rows: NDArray[np.int64]  # (n,) the row of each region, -1 where the table has none


def polygons_of(
    labels: NDArray[np.integer[Any]], background: int | None = 0
) -> tuple[list[int], list[list[Polygon]]]:
    """Trace the regions; needs rasterio, of the extra ``export``.

    Parameters
    ----------
    labels : (H, W) array of int
    background : int or None
        Label of what is no region.

    Returns
    -------
    list of int
        Labels, increasing.
    list of list of Polygon
        The 4-connected pieces of each. Their areas, holes taken away, add up to the pixels of the label.
    """
    from rasterio.features import shapes

    names, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape).astype(np.int32)
    is_region = np.ones(len(names), bool) if background is None else names != background
    inside = is_region[codes]
    meets = _where_regions_meet(np.where(inside, codes, -1))
    pieces: list[list[Polygon]] = [[] for _ in names]
    found = shapes(codes, mask=inside, connectivity=4)
    while some := list(islice(found, PIECES_AT_ONCE)):
        outlines = [geometry["coordinates"] for geometry, _ in some]
        rings = iter(_with_meetings([*chain(*outlines)], meets))
        for (_, code), outline in zip(some, outlines, strict=True):
            pieces[int(code)].append([*islice(rings, len(outline))])
    kept = [at for at in range(len(names)) if pieces[at]]
    return [int(names[at]) for at in kept], [pieces[at] for at in kept]


def as_shapes(pieces: list[list[Polygon]]) -> list[Any]:
    """Return a MultiPolygon of shapely, of the extra ``export``, for each region."""
    import shapely

    return [shapely.MultiPolygon([(outline, holes) for outline, *holes in each]) for each in pieces]


def simplified(pieces: list[list[Polygon]], tolerance: float, shape: tuple[int, int]) -> list[list[Polygon]]:
    """Leave out vertices that say little, of both regions along a border alike; never the picture's corners.

    Parameters
    ----------
    pieces : list of list of Polygon
        As `polygons_of` gives them: where they touch they have the same vertices.
    tolerance : float
        Square root of the area of the largest triangle that is left out.
    shape : (int, int)
        Rows and columns of the picture.
    """
    import shapely

    coverage = shapely.coverage_simplify([*as_shapes(pieces), *_frame(pieces, shape)], tolerance)
    return [
        [
            [np.array(ring.coords) for ring in (part.exterior, *part.interiors)]
            for part in shapely.get_parts(each)
        ]
        for each in coverage[: len(pieces)]
    ]


def _frame(pieces: list[list[Polygon]], shape: tuple[int, int]) -> list[Any]:
    """What lies around the picture, a polygon along each side: at corners three meet, so they are kept."""
    import shapely

    height, width = shape
    rings = [ring for each in pieces for polygon in each for ring in polygon]
    vertices = np.concatenate([np.empty((0, 2), np.int64), *rings])
    around = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    outwards = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    sides = []
    for at, (start, end) in enumerate(zip(around, np.roll(around, -1, axis=0), strict=True)):
        along = int(end[1] != start[1])  # which of x and y changes
        on_side = vertices[vertices[:, 1 - along] == start[1 - along]]
        line = np.unique(np.vstack([on_side, start, end]), axis=0)
        line = line if start[along] < end[along] else line[::-1]
        beyond = [(around[k] + outwards[k]).tolist() for k in ((at + 1) % 4, at)]
        sides.append(shapely.Polygon([*line.tolist(), *beyond]))
    return sides


def _where_regions_meet(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Say of each corner of pixels, ``(H + 1, W + 1)``, whether more than two regions meet there."""
    wide = np.pad(codes, 1, constant_values=-1)
    across, along = wide[:, 1:] != wide[:, :-1], wide[1:] != wide[:-1]
    sides = across[1:].astype(np.int8) + across[:-1] + along[:, 1:] + along[:, :-1]
    meets: NDArray[np.bool_] = sides >= _MEETING
    return meets


def _with_meetings(rings: list[list[tuple[float, float]]], meets: NDArray[np.bool_]) -> list[Ring]:
    """Add the vertices where other regions meet along rings whose vertices are their turns."""
    ends = np.cumsum([len(ring) for ring in rings]) - 1
    turns = np.array([*chain(*rings)]).astype(np.int64)
    steps = np.diff(turns, axis=0, append=turns[-1:])
    steps[ends] = 0
    lengths = np.abs(steps).sum(axis=1)
    lengths[ends] = 1  # the first vertex again, and nothing on the way to the next ring
    line = np.repeat(np.arange(len(turns)), lengths)
    along = np.arange(len(line)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    corners = turns[line] + np.sign(steps)[line] * along[:, None]
    kept = (along == 0) | meets[corners[:, 1], corners[:, 0]]
    behind = np.cumsum(kept)[np.cumsum(lengths)[ends] - 1]
    return np.split(corners[kept], behind[:-1])
