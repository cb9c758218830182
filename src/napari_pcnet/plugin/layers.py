"""Image layers as people have them: which axis is what, which level, which part, and where it lies.

Pixels are whatever array the layer holds (numpy, dask, zarr), of one level; nothing is read here but
samples of a Labels layer that serves as region. Positions go through the layers' own transforms: *world*
is napari's, *level pixels* are rows and columns of the chosen level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import plane_axes

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes

CHANNEL_NAMES = ("c", "ch", "channel", "channels", "band", "bands", "wavelength")
"""Axis labels, in lower case, that name an axis of channels."""

ELLIPSE_POINTS = 128
"""Corners of the polygon that stands for an ellipse."""

SAMPLES = 512
"""Samples along each axis for the share of a plane that a Labels layer covers."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """An image layer, and how its data are read.

    Attributes
    ----------
    layer : Image
    level : int
        Of a multiscale layer; 0 is full resolution.
    channel_axis : int or None
        Axis of the data, from 0.
    """

    layer: Image
    level: int = 0
    channel_axis: int | None = None

    @property
    def pixels(self) -> Any:  # whatever the layer holds
        """The array of the level; never read as a whole here."""
        return self.layer.data[self.level] if self.layer.multiscale else self.layer.data

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return tuple(map(int, self.pixels.shape))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = plane_axes(len(self.shape), self.channel_axis)
        return self.shape[rows], self.shape[columns]

    @property
    def n_channels(self) -> int:
        """How many channels; 1 without an axis of them."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    @property
    def layer_axes(self) -> tuple[int, ...]:
        """Axes of the layer that its labels keep: all that hold no channels."""
        return tuple(axis for axis in range(self.layer.ndim) if axis != self.channel_axis)

    @cached_property
    def factors(self) -> NDArray[np.float64]:
        """Pixels of full resolution in one of the level, along `layer_axes`."""
        if not self.layer.multiscale:
            return np.ones(len(self.layer_axes))
        factors: NDArray[np.float64] = np.asarray(self.layer.downsample_factors[self.level])
        return factors[list(self.layer_axes)]

    @property
    def record_axis(self) -> int | None:
        """The channel axis as a record names it: also for a file that drops axes of length 1."""
        if self.channel_axis is None:
            return None
        ndim = len(self.shape)
        axis: int
        for axis in (*range(-1, -ndim - 1, -1), *range(ndim)):
            try:
                found = Planes.select(self.pixels, RunRecord(channel_axis=axis)).channel_axis
            except ValueError:  # counted without axes of length 1 there are fewer
                continue
            if found == self.channel_axis:
                return axis
        raise ValueError(f"axis {self.channel_axis} of {self.shape} cannot hold channels")

    @property
    def all_channels(self) -> tuple[int, ...] | None:
        """What a record says of the channels when all are taken: four of no RGBA layer are named."""
        named = self.n_channels == 4 and not self.layer.rgb
        return tuple(range(4)) if named else None

    @property
    def has_planes(self) -> bool:
        """Whether there is more than one plane."""
        return len(self.planes().indices) > 1

    def planes(self, record: RunRecord | None = None, mask: Any = None) -> Planes:
        """What a record selects of the data; by default all of them."""
        record = record or RunRecord(channel_axis=self.record_axis)
        return Planes.select(self.pixels, record, mask)

    def plane_at(self, point: Sequence[float]) -> tuple[int, ...]:
        """Index of the plane that a viewer shows at a point of the world."""
        rows_and_columns = plane_axes(len(self.shape), self.channel_axis)
        where = self._to_level(np.asarray([point]))[0]
        at = dict(zip(self.layer_axes, where, strict=True))
        leading = self.planes().leading
        assert not set(leading) & set(rows_and_columns), "a plane is told by the other axes"
        return tuple(int(np.clip(round(at[axis]), 0, self.shape[axis] - 1)) for axis in leading)

    def world_of_plane(self, index: Sequence[int]) -> dict[int, float]:
        """Where a plane lies in the world, for each of the layer's axes that tell planes apart."""
        data = np.zeros(self.layer.ndim)
        leading = self.planes().leading
        for axis, at in zip(leading, index, strict=True):
            factor = self.factors[self.layer_axes.index(axis)]
            data[axis] = at * factor + (factor - 1) / 2
        world = self.layer.data_to_world(data)
        return {axis: float(world[axis]) for axis in leading}

    def placement(self, planes: Planes) -> dict[str, Any]:
        """Options of a Labels layer that lies on the planes as the image does.

        A pixel of a level covers several of full resolution, and its centre is theirs.
        """
        axes, factors = list(self.layer_axes), self.factors
        first = dict(zip(planes.leading, planes.indices[0], strict=True))
        rows, columns = plane_axes(len(self.shape), self.channel_axis)
        first |= {rows: planes.crop.top, columns: planes.crop.left}
        start = np.array([first.get(axis, 0) for axis in axes])
        origin = start * factors + (factors - 1) / 2
        keep = np.ix_(axes, axes)
        rotate, shear = (
            np.asarray(self.layer.rotate)[keep],
            shear_matrix(self.layer.shear, self.layer.ndim)[keep],
        )
        scale = np.asarray(self.layer.scale)[axes]
        affine = self.layer.affine.affine_matrix
        ends = np.ix_([*axes, len(affine) - 1], [*axes, len(affine) - 1])
        return {
            "scale": scale * factors,
            "translate": np.asarray(self.layer.translate)[axes] + rotate @ shear @ (scale * origin),
            "rotate": rotate,
            "shear": shear,
            "affine": affine[ends],
            "units": tuple(self.layer.units[axis] for axis in axes),
            "axis_labels": tuple(self.layer.axis_labels[axis] for axis in axes),
        }

    def labels_shape(self, planes: Planes) -> tuple[int, ...]:
        """Shape of such a layer's data: one plane, or the whole stack, of the crop."""
        rows, columns = plane_axes(len(self.shape), self.channel_axis)
        ends = {rows: planes.crop.shape[0], columns: planes.crop.shape[1]}
        return tuple(ends.get(axis, 1 if planes.one else self.shape[axis]) for axis in self.layer_axes)

    @cached_property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel of the level in the world, whatever turns and shears it."""
        origin = self.layer.data_to_world(np.zeros(self.layer.ndim))
        sizes = []
        for axis, factor in zip(self.layer_axes[-2:], self.factors[-2:], strict=True):
            step = np.zeros(self.layer.ndim)
            step[axis] = factor
            sizes.append(float(np.linalg.norm(np.subtract(self.layer.data_to_world(step), origin))))
        return sizes[0], sizes[1]

    @property
    def spacing(self) -> tuple[float, float] | None:
        """What a record says of the pixel size: None where pixels are square."""
        height, width = self.pixel_size
        return None if math.isclose(height, width, rel_tol=1e-6) else (height, width)

    def covered(self, world: NDArray[np.float64]) -> Window | None:
        """The pixels of a plane under a quadrangle of the world, ``(4, d)``; None if it misses them."""
        corners = self.to_level_pixels(world)
        top, left = np.floor(corners.min(axis=0) + 0.5)
        bottom, right = np.ceil(corners.max(axis=0) + 0.5)
        return _inside(Window(top, left, bottom, right), self.plane_shape)

    def to_level_pixels(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows and columns of the level at points of the world, ``(n, d)``: pixel centres are whole."""
        return self._to_level(world)[:, -2:]

    def _to_level(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        data = np.array([self.layer.world_to_data(self._full(each)) for each in world])
        return (data[:, list(self.layer_axes)] + 0.5) / self.factors - 0.5

    def _full(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point with as many coordinates as the layer has axes; those that lack are the origin's."""
        lacking = self.layer.ndim - len(point)
        if lacking <= 0:
            return point[-self.layer.ndim :]
        return np.concatenate([self.layer.data_to_world(np.zeros(self.layer.ndim))[:lacking], point])


@dataclass(frozen=True)
class Region:
    """The part of each plane that is segmented.

    Attributes
    ----------
    crop : Window or None
        In level pixels; None for the whole plane.
    share : float
        About how much of it is inside the mask.
    mask : callable or None
        Gives the mask, ``(h, w)`` of the crop; slow, so not for the thread that draws.
    """

    crop: Window | None = None
    share: float = 1.0
    mask: Callable[[], Mask] | None = None


@dataclass(frozen=True)
class Recorded:
    """The region of an earlier run, as its layer and record tell it.

    Attributes
    ----------
    name : str
        Of the layer.
    level : int
        Of the pyramid in whose pixels it is.
    crop : Window or None
    mask : callable or None
        Gives where its labels were not 0: ``(..., h, w)`` of the crop. A run in it draws on the layer.
    """

    name: str
    level: int
    crop: Window | None
    mask: Callable[[], Mask] | None

    @classmethod
    def of(cls, labels: Labels, record: RunRecord) -> Recorded:
        """Take the region from a layer and its record."""
        crop = None if record.crop is None else Window(*record.crop)
        if record.mask is None:
            return cls(labels.name, record.level, crop, None)
        inside: Mask = np.asarray(labels.data[0] if labels.multiscale else labels.data) != 0
        return cls(labels.name, record.level, crop, lambda: inside)


def guess_channel_axis(layer: Image) -> int | None:
    """The axis of a layer's data that holds channels: RGB's, or the one so labelled."""
    if layer.rgb:
        return int(layer.ndim)
    named = [axis for axis, label in enumerate(layer.axis_labels) if label.lower() in CHANNEL_NAMES]
    return named[0] if named and layer.ndim > 2 else None


def shear_matrix(shear: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """A layer's shear as a matrix; napari gives the values above the diagonal where it can."""
    if np.ndim(shear) == 2:
        return np.asarray(shear)
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def level_shapes(layer: Image) -> list[tuple[int, ...]]:
    """Shapes of the levels, the finest first."""
    levels = layer.data if layer.multiscale else [layer.data]
    return [tuple(map(int, level.shape)) for level in levels]


def inside_shapes(source: Source, shapes: Shapes, point: Sequence[float]) -> Region:
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
        crop = _inside(Window(low[0], low[1], high[0], high[1]), source.plane_shape)
    if crop is None:
        raise ValueError(f"no shape of the layer '{shapes.name}' encloses pixels of '{source.layer.name}'")
    window = crop

    def mask() -> Mask:
        inside = np.zeros(window.shape, bool)
        for outline in outlines:
            inside |= polygon2mask(window.shape, outline - (window.top, window.left))
        if not inside.any():
            raise ValueError(
                f"no shape of the layer '{shapes.name}' encloses a pixel of '{source.layer.name}'"
            )
        return inside

    area = sum(_area_of(outline) for outline in outlines)
    return Region(window, min(1.0, area / (window.shape[0] * window.shape[1])), mask)


def inside_labels(source: Source, labels: Labels, point: Sequence[float]) -> Region:
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
            raise ValueError(f"the layer '{labels.name}' is 0 everywhere on '{source.layer.name}'")
        return inside

    return Region(None, max(share, 1 / (height * width)), mask)


def _sampled(
    source: Source,
    labels: Labels,
    point: Sequence[float],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> Mask:
    """Whether labels lie at rows and columns of a source; the way there is affine: three points tell it."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    seen = np.array([_data_at(source, labels, point, corner) for corner in corners])
    array = labels.data[0] if labels.multiscale else labels.data
    ahead = tuple(
        int(np.clip(round(at), 0, side - 1)) for at, side in zip(seen[0], array.shape[:-2], strict=False)
    )
    origin, down, right = seen[0, -2:], seen[1, -2:] - seen[0, -2:], seen[2, -2:] - seen[0, -2:]
    where = origin + rows[:, None, None] * down + columns[None, :, None] * right  # (h, w, 2)
    at = np.rint(where).astype(np.int64)
    sides = np.array(array.shape[-2:])
    there = ((at >= 0) & (at < sides)).all(axis=-1)
    low, high = (
        (at[there].min(0), at[there].max(0) + 1) if there.any() else (np.zeros(2, int), np.zeros(2, int))
    )
    part = np.asarray(array[(*ahead, slice(low[0], high[0]), slice(low[1], high[1]))])
    inside = np.zeros(there.shape, bool)
    inside[there] = part[tuple((at[there] - low).T)] != 0
    return inside


def _data_at(
    source: Source, labels: Labels, point: Sequence[float], corner: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where a row and column of a source lie in the data of a Labels layer."""
    data = np.asarray(source.layer.world_to_data(source._full(np.asarray(point, float))), float)
    axes = list(source.layer_axes[-2:])
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


def _inside(window: Window, shape: tuple[int, int]) -> Window | None:
    clipped = Window(
        max(0, int(window.top)),
        max(0, int(window.left)),
        min(shape[0], int(window.bottom)),
        min(shape[1], int(window.right)),
    )
    return clipped if clipped.top < clipped.bottom and clipped.left < clipped.right else None
