"""An image layer as the source of a run: which axis is what, its levels, and where its labels lie.

Pixels are whatever array the layer holds (numpy, dask, zarr), of one level; nothing is read here.
Positions go through the layer's own transforms: *world* is napari's, *level pixels* are rows and
columns of the chosen level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes, record_axis
from napari_pcnet.plugin.pixels import StackedPixels, readable
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import CHANNEL_NAMES, plane_axes

if TYPE_CHECKING:
    from napari.layers import Image


AS_CHANNELS = " as channels"
"""Ends the name of several layers that are the channels of one image."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers that are the channels of one image, as a viewer opens what a microscope writes.

    Attributes
    ----------
    layers : tuple of Image
        Two or more, of one shape, in one place.
    """

    layers: tuple[Image, ...]

    @property
    def name(self) -> str:
        """The names of all."""
        return " + ".join(each.name for each in self.layers) + AS_CHANNELS

    @classmethod
    def of(cls, layers: Sequence[Image]) -> LayerGroup | None:
        """Group layers; None if they are not channels of one image."""
        fits = len(layers) > 1 and all(_could_be_channels(layers[0], each) for each in layers)
        return cls(tuple(layers)) if fits else None


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
    others : tuple of Image
        Layers that are further channels, as in a `LayerGroup`. The axis of channels is then the last.
    """

    layer: Image
    level: int = 0
    channel_axis: int | None = None
    others: tuple[Image, ...] = ()

    @property
    def layers(self) -> tuple[Image, ...]:
        """The layer and, where others are further channels, these."""
        return (self.layer, *self.others)

    @property
    def name(self) -> str:
        """The name of the image."""
        return LayerGroup(self.layers).name if self.others else str(self.layer.name)

    @property
    def pixels(self) -> Any:  # whatever the layer holds
        """The array of the level; nothing here reads all of it."""
        arrays = [self._array_of(each) for each in self.layers]
        return StackedPixels(arrays) if self.others else arrays[0]

    @property
    def readable(self) -> Any:
        """The same, to be read: what fails in it is a ValueError of one sentence."""
        arrays = [readable(self._array_of(each), each.name) for each in self.layers]
        return StackedPixels(arrays) if self.others else arrays[0]

    @property
    def is_lazy(self) -> bool:
        """Whether pixels are read where they are sliced, as those of dask and zarr are."""
        return not all(isinstance(self._array_of(each), np.ndarray) for each in self.layers)

    def _array_of(self, layer: Image) -> Any:
        return layer.data[self.level] if layer.multiscale else layer.data

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the level's array."""
        return tuple(map(int, self.pixels.shape))

    @property
    def plane_axes(self) -> tuple[int, int]:
        """Axes of rows and columns, the same in the layer and in its data."""
        return plane_axes(len(self.shape), self.channel_axis)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """How many rows and columns."""
        rows, columns = self.plane_axes
        return self.shape[rows], self.shape[columns]

    @property
    def plane_window(self) -> Window:
        """A whole plane, in level pixels."""
        return Window(0, 0, *self.plane_shape)

    @property
    def n_channels(self) -> int:
        """How many channels; 1 if no axis holds them."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    @property
    def layer_axes(self) -> tuple[int, ...]:
        """Axes of the layer that its labels have, too: all but the channels'."""
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
        """The channel axis as a record names it, which holds for a file that drops axes of length 1, too."""
        return record_axis(self.shape, self.channel_axis)

    @property
    def all_channels(self) -> tuple[int, ...] | None:
        """The record's `channels` when all are taken: None, but (0, 1, 2, 3) for four that are not RGBA."""
        named = self.n_channels == 4 and not self.layer.rgb
        return tuple(range(4)) if named else None

    @property
    def has_planes(self) -> bool:
        """Whether there is more than one plane."""
        return len(self.planes().indices) > 1

    def planes(self, record: RunRecord | None = None, mask: Any = None) -> Planes:
        """The planes of the data that a record selects; by default all of them."""
        record = record or RunRecord(channel_axis=self.record_axis)
        return Planes.select(self.readable, record, mask)

    def plane_at(self, point: Sequence[float]) -> tuple[int, ...]:
        """Index of the plane that a viewer shows at a point of the world."""
        where = self._to_level(np.asarray([point]))[0]
        at = dict(zip(self.layer_axes, where, strict=True))
        leading = self.planes().leading
        assert not set(leading) & set(self.plane_axes), "rows and columns do not number planes"
        return tuple(int(np.clip(round(at[axis]), 0, self.shape[axis] - 1)) for axis in leading)

    def world_of_plane(self, index: Sequence[int]) -> dict[int, float]:
        """Where a plane lies in the world, for each axis of the layer that numbers planes."""
        data = np.zeros(self.layer.ndim)
        leading = self.planes().leading
        for axis, at in zip(leading, index, strict=True):
            factor = self.factors[self.layer_axes.index(axis)]
            data[axis] = at * factor + (factor - 1) / 2
        world = self.layer.data_to_world(data)
        return {axis: float(world[axis]) for axis in leading}

    def labels_transform(self, planes: Planes) -> dict[str, Any]:
        """Options that put a Labels layer of the planes exactly on the image.

        A pixel of a coarser level covers several of full resolution; its centre is the centre of theirs.
        """
        axes, factors = list(self.layer_axes), self.factors
        first = dict(zip(planes.leading, planes.indices[0], strict=True))
        rows, columns = self.plane_axes
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
        """Shape of that layer's data: the crop of one plane, or of the whole stack."""
        rows, columns = self.plane_axes
        ends = {rows: planes.crop.shape[0], columns: planes.crop.shape[1]}
        return tuple(ends.get(axis, 1 if planes.one else self.shape[axis]) for axis in self.layer_axes)

    @cached_property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel of the level in the world, whatever rotates and shears it."""
        origin = self.layer.data_to_world(np.zeros(self.layer.ndim))
        sizes = []
        for axis, factor in zip(self.plane_axes, self.factors[-2:], strict=True):
            step = np.zeros(self.layer.ndim)
            step[axis] = factor
            sizes.append(float(np.linalg.norm(np.subtract(self.layer.data_to_world(step), origin))))
        return sizes[0], sizes[1]

    @property
    def spacing(self) -> tuple[float, float] | None:
        """The record's `spacing`: the pixel size, or None where pixels are square."""
        height, width = self.pixel_size
        return None if math.isclose(height, width, rel_tol=1e-6) else (height, width)

    def covered(self, world: NDArray[np.float64]) -> Window | None:
        """The pixels of a plane under a quadrangle of the world, ``(4, d)``; None if it misses them."""
        corners = self.to_level_pixels(world)
        top, left = np.floor(corners.min(axis=0) + 0.5)
        bottom, right = np.ceil(corners.max(axis=0) + 0.5)
        return overlap(Window(int(top), int(left), int(bottom), int(right)), self.plane_window)

    def to_level_pixels(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows and columns of the level at points of the world, ``(n, d)``: pixel centres are whole."""
        return self._to_level(world)[:, -2:]

    def _to_level(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        data = np.array([self.layer.world_to_data(self.full_point(each)) for each in world])
        return (data[:, list(self.layer_axes)] + 0.5) / self.factors - 0.5

    def full_point(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """A point of the world, a coordinate for each axis of the layer; missing ones are the origin's."""
        lacking = self.layer.ndim - len(point)
        if lacking <= 0:
            return point[-self.layer.ndim :]
        return np.concatenate([self.layer.data_to_world(np.zeros(self.layer.ndim))[:lacking], point])


def guess_channel_axis(layer: Image) -> int | None:
    """The axis of a layer's data that holds channels: that of RGB, or one with a label that says so."""
    if layer.rgb:
        return int(layer.ndim)
    named = [axis for axis, label in enumerate(layer.axis_labels) if label.lower() in CHANNEL_NAMES]
    return named[0] if named and layer.ndim > 2 else None


def shear_matrix(shear: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    """A layer's shear as a matrix; napari often gives only the values above the diagonal."""
    if np.ndim(shear) == 2:
        return np.asarray(shear)
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def _could_be_channels(one: Image, other: Image) -> bool:
    """Whether two layers hold pixels of the same places."""
    if one.rgb or other.rgb or level_shapes(one) != level_shapes(other):
        return False
    places = [
        (each.scale, each.translate, each.rotate, shear_matrix(each.shear, each.ndim), each.affine)
        for each in (one, other)
    ]
    return one.units == other.units and all(map(np.allclose, *places))


def level_shapes(layer: Image) -> list[tuple[int, ...]]:
    """Shapes of the levels, the finest first."""
    levels = layer.data if layer.multiscale else [layer.data]
    return [tuple(map(int, level.shape)) for level in levels]


def overlap(one: Window, other: Window) -> Window | None:
    """The pixels that two windows share; None if there are none."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom, right = min(one.bottom, other.bottom), min(one.right, other.right)
    return Window(top, left, bottom, right) if top < bottom and left < right else None
