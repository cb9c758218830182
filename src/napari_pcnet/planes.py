"""Which planes, part and channels of an image a record selects, and reading them.

An image as people have it may have more axes than a plane (time, depth). Leading axes of length 1
are passed over: files drop them, viewers keep them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments
from napari_pcnet.disk.deferred import Deferred, Slices
from napari_pcnet.geometry.blocks import Chunks, chunks_of, chunks_within, in_memory
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import windows_of
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import plane_axes, size_text

SMALL_BYTES = 1 << 24
"""Planes of no more bytes are read at once."""


@dataclass(frozen=True)
class Planes:
    """The planes that a record selects of an image; each is read when it is asked for, once.

    Attributes
    ----------
    pixels : array
        Any number of leading axes, then rows and columns; the channels may be any axis. Whatever
        has shape, dtype and slicing.
    channel_axis : int or None
        Axis of the channels in `pixels`, from 0.
    leading : tuple of int
        Axes of `pixels` that tell planes apart: all others longer than 1, rows and columns aside.
    indices : tuple of tuple of int
        Index of each selected plane along `leading`.
    crop : Window
        The part of each plane.
    channels : tuple of int or None
        Which of the channels; None for all.
    mask : array or None
        ``(H, W)`` or ``leading + (H, W)``, of the whole plane or of the crop.
    one : bool
        Whether the record names one plane; its result has no leading axes then.
    """

    pixels: Any  # numpy, dask, zarr: no common type
    channel_axis: int | None
    leading: tuple[int, ...]
    indices: tuple[tuple[int, ...], ...]
    crop: Window
    channels: tuple[int, ...] | None
    mask: Any
    one: bool

    @classmethod
    def select(cls, pixels: Any, record: RunRecord, mask: Any = None) -> Planes:
        """Find what a record selects.

        Raises
        ------
        ValueError
            If the image has no pixels, or no such axis, plane, part or channel.
        """
        shape = _shape_of(pixels)
        kept, channel_axis = _axes(shape, record.channel_axis)
        rows, columns = plane_axes(len(shape), channel_axis)
        others = [axis for axis in kept if axis not in (rows, columns, channel_axis)]
        leading = tuple(axis for axis in others if shape[axis] > 1)
        lengths = tuple(shape[axis] for axis in leading)
        crop = _crop(record.crop, (shape[rows], shape[columns]))
        if record.channels is not None and channel_axis is None:
            raise ValueError("channels can be chosen of an image that has some: name its channel_axis")
        channels = None if channel_axis is None else _channels(record.channels, shape[channel_axis])
        indices = _indices(record.plane, lengths)
        return cls(pixels, channel_axis, leading, indices, crop, channels, mask, record.plane is not None)

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Leading axes of the result."""
        return () if self.one else tuple(int(self.pixels.shape[axis]) for axis in self.leading)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a whole plane."""
        rows, columns = plane_axes(len(self.pixels.shape), self.channel_axis)
        return int(self.pixels.shape[rows]), int(self.pixels.shape[columns])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, channels aside."""
        return (*self.stack_shape, *self.crop.shape)

    def read(self, index: Sequence[int], step: int = 1) -> tuple[NDArray[Any], int | None]:
        """Read a plane (or every n-th pixel of it) into memory, and say which axis holds the channels."""
        key: list[Any] = [0] * len(self.pixels.shape)
        for axis, at in zip(self.leading, index, strict=True):
            key[axis] = at
        for axis, span in zip(plane_axes(len(key), self.channel_axis), self.crop.slices, strict=True):
            key[axis] = slice(span.start, span.stop, step)
        if self.channel_axis is None:
            return in_memory(self.pixels[tuple(key)]), None
        key[self.channel_axis] = slice(None)
        axis = sum(isinstance(each, slice) for each in key[: self.channel_axis])
        if self.channels is None:
            return in_memory(self.pixels[tuple(key)]), axis
        # First, so that 4 chosen channels are no RGBA; one by one if they are stored so.
        chunks = chunks_of(self.pixels)
        if chunks is not None and chunks[self.channel_axis] == self.pixels.shape[self.channel_axis]:
            every = np.moveaxis(in_memory(self.pixels[tuple(key)]), axis, 0)
            return every[list(self.channels)], 0
        planes = []
        for channel in self.channels:
            key[self.channel_axis] = channel
            planes.append(in_memory(self.pixels[tuple(key)]))
        return np.ma.stack(planes) if np.ma.isMaskedArray(planes[0]) else np.stack(planes), 0

    def open(self, index: Sequence[int]) -> tuple[Any, int | None]:
        """The same plane, but left where it is and read where it is sliced, unless it is small."""
        shape, axis = list(self.crop.shape), None
        if self.channel_axis is not None:
            channels = int(self.pixels.shape[self.channel_axis])
            rows_and_columns = plane_axes(len(self.pixels.shape), self.channel_axis)
            axis = 0 if self.channels else sum(at < self.channel_axis for at in rows_and_columns)
            shape.insert(axis, channels if self.channels is None else len(self.channels))
        is_small = not _is_many(shape, self.pixels)
        is_masked = isinstance(getattr(self.pixels, "_meta", None), np.ma.MaskedArray)  # by dask
        if is_small or is_masked or isinstance(self.pixels, np.ndarray):
            return self.read(index)
        return Deferred(self._reader(index, axis), tuple(shape), self.pixels.dtype, self._chunks(axis)), axis

    def _reader(self, index: Sequence[int], axis: int | None) -> Callable[[Slices], NDArray[Any]]:
        """What reads a part of the plane at an index, which has its channels along `axis`."""

        def read(slices: Slices) -> NDArray[Any]:
            rows, columns = (slices[at] for at in plane_axes(len(slices), axis))
            top, left = self.crop[:2]
            crop = Window(top + rows.start, left + columns.start, top + rows.stop, left + columns.stop)
            part, _ = replace(self, crop=crop).read(index)
            steps = [slice(None, None, each.step) for each in slices]
            if axis is not None:
                steps[axis] = slices[axis]
            return part[tuple(steps)]

        return read

    def _chunks(self, axis: int | None) -> Chunks | None:
        """Chunks of what `open` gives."""
        of_all = chunks_of(self.pixels)
        if of_all is None:
            return None
        own, places = plane_axes(len(of_all), self.channel_axis), self.crop.slices
        sides = [int(self.pixels.shape[at]) for at in own]
        spans = zip(sides, own, places, strict=True)
        chunks: list[int | tuple[int, ...]] = [
            chunks_within(side, of_all[at], span) for side, at, span in spans
        ]
        if axis is not None:
            chunks.insert(axis, 1)
        return tuple(chunks)

    def read_mask(self, index: Sequence[int]) -> NDArray[Any] | None:
        """Read the mask of a plane."""
        if self.mask is None:
            return None
        flat: Any = self.mask if hasattr(self.mask, "shape") else np.asarray(self.mask)
        if tuple(flat.shape[-2:]) not in (self.plane_shape, self.crop.shape):
            raise ValueError(
                f"mask must have the image's shape {self.plane_shape}, or its crop's, got {tuple(flat.shape)}"
            )
        plane = self._mask_index(flat.shape[:-2], index)
        crop = self.crop if tuple(flat.shape[-2:]) != self.crop.shape else Window(0, 0, *self.crop.shape)
        if not isinstance(flat, Deferred):
            return in_memory(flat[(*plane, *crop.slices)])
        mask = np.empty(crop.shape, flat.dtype)  # pixels of a file say it: not all of these at once
        for window in windows_of(crop.shape):
            rows, columns = window.slices
            rows = slice(crop.top + rows.start, crop.top + rows.stop)
            columns = slice(crop.left + columns.start, crop.left + columns.stop)
            mask[window.slices] = flat[(*plane, rows, columns)]
        return mask

    def _mask_index(self, lengths: tuple[int, ...], index: Sequence[int]) -> tuple[int, ...]:
        """Where a mask of a stack has the plane; one of a single plane has it first."""
        own = tuple(int(self.pixels.shape[axis]) for axis in self.leading)
        if tuple(side for side in lengths if side > 1) not in ((), own):
            raise ValueError(
                f"mask must have the planes of the image, {size_text(own or (1,))}, or none, "
                f"got {size_text(lengths)}"
            )
        places = iter(index)
        return tuple(next(places) if side > 1 else 0 for side in lengths)


def record_axis(shape: tuple[int, ...], channel_axis: int | None) -> int | None:
    """Name an axis of channels as a record does, which passes over leading axes of length 1.

    Parameters
    ----------
    shape : tuple of int
        Of the whole array, as a file or a layer has it.
    channel_axis : int or None
        Which of these axes holds the channels.

    Returns
    -------
    int or None
        The record's `channel_axis`; None also for one channel along an axis that is passed over. Counted
        from the start where the default, the last axis, would be asked about.

    >>> record_axis((1, 3, 1, 64, 64), 1), record_axis((1, 1, 1, 64, 64), 1)
    (0, None)
    >>> record_axis((64, 64, 9), 2), record_axis((64, 64, 99), 2)
    (-1, 2)
    """
    if channel_axis is None:
        return None
    ndim = len(shape)
    wanted = channel_axis % ndim
    axis: int
    from_end, from_start = range(-1, -ndim - 1, -1), range(ndim)
    is_doubted = wanted == ndim - 1 and arguments.may_be_columns(shape)
    for axis in (*from_start, *from_end) if is_doubted else (*from_end, *from_start):
        try:
            _, found = _axes(shape, axis)
        except ValueError:  # without axes of length 1 there are fewer
            continue
        if found == wanted:
            return axis
    if shape[wanted] == 1:
        return None
    raise ValueError(f"axis {channel_axis} of {shape} cannot hold channels")


def part_of(mask: Any, shape: tuple[int, int], crop: Window) -> Any:
    """The crop of a mask of whole planes; one that has the shape already stays."""
    return mask if tuple(mask.shape[-2:]) == shape else mask[(..., *crop.slices)]


def naming_channels(pixels: Any, record: RunRecord) -> RunRecord:
    """Name four channels that would be taken for RGBA, which `pictures.read_image` never gives."""
    axis = record.channel_axis
    last = axis is not None and axis in (-1, len(pixels.shape) - 1) and len(pixels.shape) > 2
    if not last or pixels.shape[-1] != 4 or record.channels is not None:
        return record
    return replace(record, channels=(0, 1, 2, 3))


def is_large(pixels: Any) -> bool:
    """Whether an image is left where it is and read where it is sliced."""
    is_held = isinstance(pixels, np.ndarray) and not isinstance(pixels, np.memmap)
    return not is_held and _is_many(pixels.shape, pixels)


def _is_many(shape: Sequence[int], pixels: Any) -> bool:
    """Whether so many values of an image are more than is read at once."""
    return math.prod(shape) * int(pixels.dtype.itemsize) > SMALL_BYTES


def _shape_of(pixels: Any) -> tuple[int, ...]:
    shape = tuple(pixels.shape)
    if any(math.isnan(side) for side in shape):  # of dask
        raise ValueError(f"image must have a known shape, got {shape}: compute its chunks' sizes first")
    if 0 in shape:
        raise ValueError(f"image must have at least one pixel, got shape {shape}")
    return tuple(map(int, shape))


def _axes(shape: tuple[int, ...], channel_axis: int | None) -> tuple[list[int], int | None]:
    """Axes that count, and which of them holds the channels.

    Axes of length 1 before the last three do not count, nor the third from the end if it is none of
    an image with channels; `channel_axis` counts the others, so that it holds for a file that drops them.
    """
    ndim = len(shape)
    if ndim == 2 and channel_axis == -1:  # the default, of which nothing more is known
        channel_axis = None
    if ndim < 2:
        raise ValueError(f"image must have (..., H, W), got shape {shape}")
    if ndim < 3 and channel_axis is not None:
        raise ValueError(
            f"channel_axis must be None for an image of shape {shape}, which has no axis of channels, "
            f"got {channel_axis!r}"
        )
    ends = 2 if channel_axis is None or (channel_axis < -3 and ndim > 3) else 3
    kept = [axis for axis, side in enumerate(shape) if side != 1 or axis >= ndim - ends]
    if channel_axis is None:
        return kept, None
    if not -len(kept) <= channel_axis < len(kept):
        raise ValueError(
            f"channel_axis must be a whole number from {-len(kept)} to {len(kept) - 1} for an image of "
            f"shape {shape}, or None, got {channel_axis!r}"
        )
    return kept, kept[channel_axis]


def _indices(plane: tuple[int, ...] | None, lengths: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    if plane is None:
        return tuple(np.ndindex(*lengths))
    fits = len(plane) == len(lengths) and all(at < length for at, length in zip(plane, lengths, strict=True))
    if not fits and not lengths:
        raise ValueError(f"plane can be named of a stack, and this image is one plane; got {plane}")
    if not fits:
        raise ValueError(f"plane must name one of {size_text(lengths)} planes, counted from 0, got {plane}")
    return (plane,)


def _crop(crop: tuple[int, int, int, int] | None, shape: tuple[int, int]) -> Window:
    if crop is None:
        return Window(0, 0, *shape)
    window = Window(*crop)
    if window.bottom > shape[0] or window.right > shape[1]:
        raise ValueError(
            f"crop must be top, left, bottom, right inside the {shape[0]} x {shape[1]} pixels of a plane, "
            f"got {crop}"
        )
    return window


def _channels(chosen: tuple[int, ...] | None, number: int) -> tuple[int, ...] | None:
    if chosen is None:
        return None
    if max(chosen) >= number:
        raise ValueError(f"channels must be one or more of 0 to {number - 1}, got {chosen}")
    return chosen
