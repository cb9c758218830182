"""Regions of interest: the part of each plane to segment, as Shapes, Labels or an earlier run outline it.

Crops are in level pixels of the image; layers meet in napari's world, whatever scales and turns them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_pcnet.geometry.grid import Window
from napari_pcnet.plugin.pixels import readable
from napari_pcnet.plugin.source import Source, overlap
from napari_pcnet.record import RunRecord

if TYPE_CHECKING:
    from napari.layers import Labels, Shapes

ELLIPSE_POINTS = 128
"""Corners of the polygon that stands for an ellipse."""

SAMPLES = 512
"""Samples along each axis for the share of a plane that a Labels layer covers."""

Mask = NDArray[np.bool_]

RegionPlace = tuple[Window | None, Hashable]
"""The crop of a region, and what tells its mask from others of this crop."""


@dataclass(frozen=True)
class RegionOfInterest:
    """The part of each plane that is segmented.

    Attributes
    ----------
    crop : Window or None
        In level pixels; None for the whole plane.
    share : float
        About how much of it is inside the mask.
    mask : callable or None
        Returns the mask, ``(h, w)`` of the crop. It is slow: not for the thread that draws.
    inside : hashable
        What tells the mask from others of the same crop.
    """

    crop: Window | None = None
    share: float = 1.0
    mask: Callable[[], Mask] | None = None
    inside: Hashable = None

    @property
    def place(self) -> RegionPlace:
        """What tells this region of an image from its other regions."""
        return self.crop, self.inside

    def shape(self, source: Source) -> tuple[int, int]:
        """Rows and columns that are segmented."""
        return self.window(source).shape

    def window(self, source: Source) -> Window:
        """The crop, or the whole plane."""
        return source.plane_window if self.crop is None else self.crop

    def area_px(self, source: Source) -> float:
        """About how many pixels are segmented."""
        height, width = self.shape(source)
        return max(1.0, height * width * self.share)


@dataclass(frozen=True)
class RecordedRegion:
    """The region of an earlier run, taken from its layer and record.

    Attributes
    ----------
    name : str
        Of the layer.
    level : int
        Of the pyramid in whose pixels it is.
    crop : Window or None
    mask : callable or None
        Returns where its labels were not 0, ``(..., h, w)`` of the crop. They are read when this object is
        made, because a run in the region may fill the same layer.
    inside : hashable
        As `RegionOfInterest.inside`.
    """

    name: str
    level: int
    crop: Window | None
    mask: Callable[[], Mask] | None
    inside: Hashable = None

    @classmethod
    def of(cls, labels: Labels, record: RunRecord) -> RecordedRegion:
        """Take the region from a layer and its record."""
        crop = None if record.crop is None else Window(*record.crop)
        if record.mask is None:
            return cls(labels.name, record.level, crop, None)
        data = labels.data[0] if labels.multiscale else labels.data
        inside: Mask = np.asarray(readable(data, labels.name)) != 0
        if crop is not None and inside.shape[-2:] != crop.shape:  # as large as the image
            inside = inside[(..., *crop.slices)]
        return cls(labels.name, record.level, crop, lambda: inside, inside=labels)


def inside_shapes(source: Source, shapes: Shapes, point: Sequence[float]) -> RegionOfInterest:
    """The region inside the shapes that lie in the plane at a point of the world (paths have no inside).

    Raises
    ------
    ValueError
        If no shape encloses a pixel of the image.
    """
    outlines = [
        source.to_level_pixels(np.array([shapes.data_to_world(corner) for corner in corners]))
        for corners in _outlines(shapes, point)
    ]
    everything = np.concatenate(outlines) if outlines else np.empty((0, 2))
    crop = None
    if len(everything):
        low, high = np.floor(everything.min(0)).astype(int), np.ceil(everything.max(0)).astype(int) + 1
        crop = overlap(Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])), source.plane_window)
    if crop is None:
        raise ValueError(f"no shape of the layer '{shapes.name}' encloses pixels of '{source.name}'")
    window = crop

    def mask() -> Mask:
        inside = np.zeros(window.shape, bool)
        for outline in outlines:
            inside |= polygon2mask(window.shape, outline - (window.top, window.left))
        if not inside.any():
            raise ValueError(f"no shape of the layer '{shapes.name}' encloses a pixel of '{source.name}'")
        return inside

    area = sum(_area_of(outline) for outline in outlines)
    share = min(1.0, area / (window.shape[0] * window.shape[1]))
    return RegionOfInterest(window, share, mask, tuple(each.tobytes() for each in outlines))


def inside_labels(source: Source, labels: Labels, point: Sequence[float]) -> RegionOfInterest:
    """The region where a Labels layer, at the plane of a point of the world, is not 0."""

    def read(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Mask:
        return _sampled(source, labels, point, rows, columns)

    height, width = source.plane_shape
    coarse = read(
        np.linspace(0, height - 1, min(height, SAMPLES)), np.linspace(0, width - 1, min(width, SAMPLES))
    )
    share = float(coarse.mean())

    def mask() -> Mask:
        inside = np.concatenate(
            [
                read(np.arange(top, min(top + SAMPLES, height), dtype=float), np.arange(width, dtype=float))
                for top in range(0, height, SAMPLES)
            ]
        )
        if not inside.any():
            raise ValueError(f"the layer '{labels.name}' is 0 everywhere on '{source.name}'")
        return inside

    return RegionOfInterest(None, max(share, 1 / (height * width)), mask, (labels, coarse.tobytes()))


def _sampled(
    source: Source,
    labels: Labels,
    point: Sequence[float],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> Mask:
    """Whether labels lie at rows and columns of a source; the map is affine, so three points define it."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    places = np.array([_data_at(source, labels, point, corner) for corner in corners])
    array = labels.data[0] if labels.multiscale else labels.data
    ahead = tuple(
        int(np.clip(round(at), 0, side - 1)) for at, side in zip(places[0], array.shape[:-2], strict=False)
    )
    origin, below, beside = places[:, -2:]
    down, right = below - origin, beside - origin
    where = origin + rows[:, None, None] * down + columns[None, :, None] * right  # (h, w, 2)
    at = np.rint(where).astype(np.int64)
    sides = np.array(array.shape[-2:])
    there = ((at >= 0) & (at < sides)).all(axis=-1)
    low, high = (
        (at[there].min(0), at[there].max(0) + 1) if there.any() else (np.zeros(2, int), np.zeros(2, int))
    )
    here = (*ahead, slice(low[0], high[0]), slice(low[1], high[1]))
    part = np.asarray(readable(array, labels.name)[here])
    inside = np.zeros(there.shape, bool)
    inside[there] = part[tuple((at[there] - low).T)] != 0
    return inside


def _data_at(
    source: Source, labels: Labels, point: Sequence[float], corner: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where a row and column of a source lie in the data of a Labels layer."""
    data = np.asarray(source.layer.world_to_data(source.full_point(np.asarray(point, float))), float)
    axes = list(source.plane_axes)
    data[axes] = (corner + 0.5) * source.factors[-2:] - 0.5
    world = np.asarray(source.layer.data_to_world(data))
    lacking = labels.ndim - len(world)
    full = (
        np.concatenate([np.asarray(point, float)[:lacking], world]) if lacking > 0 else world[-labels.ndim :]
    )
    return np.asarray(labels.world_to_data(full))


def _outlines(shapes: Shapes, point: Sequence[float]) -> list[NDArray[np.float64]]:
    """Corners, in the shapes' data, of each shape that has an inside and lies in the plane."""
    ahead = shapes.ndim - 2
    here = np.asarray(shapes.world_to_data(np.asarray(point, float)[-shapes.ndim :]))[:ahead]
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        in_plane = bool((np.abs(corners[:, :ahead] - here) <= 0.5).all())
        if kind in ("rectangle", "polygon", "ellipse") and in_plane:
            found.append(_ellipse(corners) if kind == "ellipse" else np.asarray(corners))
    return found


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on the ellipse that touches the sides of a parallelogram in their middles."""
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)[:, None]
    points: NDArray[np.float64] = centre + np.cos(angle) * first + np.sin(angle) * second
    return points


def _area_of(outline: NDArray[np.float64]) -> float:
    """Area of a polygon, by the shoelace formula."""
    rows, columns = outline.T
    return abs(float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1))) / 2
