"""A picture as the network and the tree see it: any window of it, in 0..1.

A `Picture` wraps whatever has shape, dtype and slicing, and reads it window by window. Intensities
are stretched from the picture's own range to 0..1, so that dtype, gain and offset do not matter:
``(value - low) / (high - low)`` in float64, which for whole numbers is the same quotient, and so the
same number, after any whole gain and offset.

Resampling to the work frame is a function of global coordinates, computed in whole numbers:
area means where the frame is smaller than the picture, bicubic where it is larger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_pcnet.geometry.blocks import Blocks, in_memory
from napari_pcnet.geometry.grid import Grid, Window, windows_over

COLOUR_STEPS = 65535
"""Fixed-point scale of colour: an 8-bit or 16-bit picture over its whole range loses nothing."""

UP_FROM = 0.5 - 31 / 131071
"""Fraction from which intensities are rounded up to whole steps.

At a half, intensities of a picture whose range is even would lie on the edge, where a float copy of it errs
to either side. From here, with a prime denominator, no quotient of 16-bit numbers lies nearer than 5e-11, and
none of 8-bit numbers nearer than 2e-4."""

READ_PX = 1 << 22
"""Most pixels read at once where a picture is shrunk."""

READ_ROWS, READ_COLUMNS = 512, 8192
"""Rows and columns of a picture read at once where it is streamed."""

BICUBIC_A = -0.5
"""Keys' parameter of the bicubic kernel; third-order accurate (Keys 1981)."""

FILL = 0.5
"""What the network sees where the picture is NaN (allowed outside the mask only)."""

NETWORK_CHANNELS = 3

NetworkType = type[np.floating[Any]] | type[np.uint8]
"""In which a network reads."""

BYTE_TOP = 255
"""Largest intensity for a network in whole numbers."""

WEIGHT_BITS = 14
"""Of a weight of resampling in whole numbers."""

KEPT_BITS = 8
"""Of a fraction between resampling along one axis and along the other."""


@dataclass(frozen=True)
class Picture:
    """An image with its axes, range and mask.

    Attributes
    ----------
    pixels : array
        ``(H, W)``, or three-dimensional with `channel_axis`; anything with shape, dtype and slicing.
    channel_axis : int or None
        Axis of the channels, 0 to 2.
    mask : (H, W) bool array or None
        Pixels to be segmented; None for all.
    low, high : (C,) float64 array
        Range of each channel that is stretched to 0..1.
    has_nan : bool
        Whether NaN takes pixels out of the mask.
    """

    pixels: Any  # numpy, dask, zarr: no common type
    channel_axis: int | None
    mask: NDArray[np.bool_] | None
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    has_nan: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return plane_shape(self.pixels.shape, self.channel_axis)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.low)

    @cached_property
    def pixels_inside(self) -> int:
        """Number of pixels to be segmented."""
        height, width = self.shape
        return height * width if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def surroundings(self) -> Window:
        """The smallest window that holds the pixels to be segmented and all that touch them."""
        return surroundings(self.shape, self.mask)

    @property
    def share_inside(self) -> float:
        """The same as a share of all."""
        height, width = self.shape
        return self.pixels_inside / (height * width)

    def forget(self) -> None:
        """Let go of the blocks that are kept for what is read next."""
        if isinstance(self.pixels, Blocks):
            self.pixels.forget()

    def read(self, window: Window, dtype: NetworkType = np.float32) -> NDArray[Any]:
        """Read a window, ``(h, w, C)`` in 0..1, or in whole numbers up to `BYTE_TOP`; NaN becomes `FILL`."""
        if dtype is np.uint8:
            return self._stretch(
                self._read_raw(window), lambda values: _in_steps(values, BYTE_TOP).astype(dtype)
            )
        return self._stretch(self._read_raw(window), lambda values: values.astype(dtype))

    def read_steps(self, window: Window) -> NDArray[np.float64]:
        """Read a window in whole steps, ``(h, w, C)`` from 0 to `COLOUR_STEPS`."""
        return self._stretch(self._read_raw(window), lambda values: _in_steps(values, COLOUR_STEPS))

    def read_mask(self, window: Window) -> NDArray[np.bool_] | None:
        """Read a window of the mask, ``(h, w)``."""
        return None if self.mask is None else np.asarray(self.mask[window.slices], bool)

    def read_work(self, grid: Grid, window: Window, dtype: NetworkType = np.float32) -> NDArray[Any]:
        """Read a window of the work frame as the network's three channels.

        Parameters
        ----------
        grid : Grid
        window : Window
            In work pixels, of the padded frame; beyond the picture its last pixels are repeated.
        dtype : type
            Of floats, or uint8.

        Returns
        -------
        (h, w, 3) array
            In 0..1, or from 0 to `BYTE_TOP` in whole numbers that are the same on every processor.
        """
        in_whole = dtype is np.uint8
        rows, top, bottom = _resampling(grid, 0, window.top, window.bottom, in_whole)
        columns, left, right = _resampling(grid, 1, window.left, window.right, in_whole)
        height = window.bottom - window.top
        if height > 1 and (bottom - top) * (right - left) > READ_PX:  # shrunk a lot: by halves
            middle = window.top + height // 2
            halves = (window._replace(bottom=middle), window._replace(top=middle))
            return np.concatenate([self.read_work(grid, half, dtype) for half in halves])
        values = to_three(self.read(Window(top, left, bottom, right), dtype))
        if rows is None and columns is None:
            return np.ascontiguousarray(values)
        if in_whole:
            return _resampled_bytes(rows, columns, values)
        values = _apply_rows(rows, values)
        values = _apply_rows(columns, values.transpose(1, 0, 2)).transpose(1, 0, 2)
        return np.ascontiguousarray(np.clip(values, 0, 1, dtype=dtype))  # bicubic overshoots

    def _read_raw(self, window: Window) -> NDArray[Any]:
        raw = read_raw(self.pixels, self.channel_axis, window)
        return np.asarray(raw[..., : self.channels])  # no alpha

    def _stretch(
        self, raw: NDArray[Any], finish: Callable[[NDArray[np.float64]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Stretch to 0..1 in float64, then finish; of short types by a table of all their values."""
        if raw.dtype.kind not in "bu" or raw.dtype.itemsize > 2:
            values = self._shares(np.asarray(raw, np.float64))
            return finish(np.where(np.isnan(values), FILL, values))
        index = raw.view(np.uint8) if raw.dtype.kind == "b" else raw
        every = np.arange(np.iinfo(index.dtype).max + 1, dtype=np.float64)[:, None]
        tables = finish(self._shares(every))  # (values, C)
        if (tables == tables[:, :1]).all():
            if tables.dtype == index.dtype and (tables[:, 0] == every[:, 0]).all():
                return index  # nothing is stretched
            return np.take(np.ascontiguousarray(tables[:, 0]), index)
        return np.take_along_axis(tables, index.reshape(-1, self.channels), axis=0).reshape(raw.shape)

    def _shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie between `low` and `high`, 0..1; clipped first, since a quotient may overflow."""
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        shares: NDArray[np.float64] = (np.clip(values, self.low, self.high) - self.low) / span
        return shares


def plane_shape(shape: tuple[int, ...], channel_axis: int | None) -> tuple[int, int]:
    """Rows and columns of an image of a shape."""
    rows, columns = (side for axis, side in enumerate(shape) if axis != channel_axis)
    return int(rows), int(columns)


def windows_of(shape: tuple[int, int]) -> list[Window]:
    """Windows that cover a picture, in raster order, for what is streamed."""
    return windows_over(shape, READ_ROWS, READ_COLUMNS)


def surroundings(shape: tuple[int, int], mask: NDArray[np.bool_] | None) -> Window:
    """The smallest window that holds a mask, ``(H, W)``, and all pixels that touch it; without one, all."""
    height, width = shape
    if mask is None:
        return Window(0, 0, height, width)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = (max(0, int(each[0]) - 1) for each in (rows, columns))
    return Window(top, left, min(height, int(rows[-1]) + 2), min(width, int(columns[-1]) + 2))


def read_raw(pixels: Any, channel_axis: int | None, window: Window) -> NDArray[Any]:
    """Read a window as ``(h, w, C)`` in the picture's own type and byte order; the mask of an array stays."""
    index: list[slice] = list(window.slices)
    if channel_axis is None:
        return in_memory(pixels[tuple(index)])[..., None]
    index.insert(channel_axis, slice(None))
    return np.moveaxis(in_memory(pixels[tuple(index)]), channel_axis, -1)


def image_window(grid: Grid, window: Window) -> Window:
    """Image pixels that `Picture.read_work` reads for a window of the work frame."""
    _, top, bottom = _resampling(grid, 0, window.top, window.bottom, False)
    _, left, right = _resampling(grid, 1, window.left, window.right, False)
    return Window(top, left, bottom, right)


def to_three(values: NDArray[Any]) -> NDArray[Any]:
    """Make three channels of any number of them, for the network.

    One is repeated, three stay. Two become the first, their mean, and the second. More are
    cut into three runs of neighbouring channels (the first ones longer by one where they must be),
    and each run becomes its mean.
    """
    channels = values.shape[-1]
    if channels == NETWORK_CHANNELS:
        return values
    if channels == 1:
        return np.repeat(values, NETWORK_CHANNELS, axis=-1)
    means = np.stack([values[..., run].mean(-1) for run in network_channels(channels)], axis=-1)
    return np.rint(means).astype(np.uint8) if values.dtype == np.uint8 else means


def network_channels(channels: int) -> list[NDArray[np.intp]]:
    """Of which of this many channels each of the three that the network gets is the mean."""
    if channels == 1:
        return [np.array([0])] * NETWORK_CHANNELS
    if channels == 2:
        return [np.array([0]), np.array([0, 1]), np.array([1])]
    return np.array_split(np.arange(channels), NETWORK_CHANNELS)


def _in_steps(shares: NDArray[np.float64], top: int) -> NDArray[np.float64]:
    """Shares from 0 to 1 in whole steps from 0 to `top`."""
    steps: NDArray[np.float64] = np.floor(shares * top + (1 - UP_FROM))
    return steps


def _apply_rows(matrix: sparse.csr_array | None, values: NDArray[Any]) -> NDArray[Any]:
    if matrix is None:
        return values
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    out: NDArray[Any] = matrix.astype(values.dtype) @ flat
    return out.reshape(-1, *values.shape[1:])


def _resampled_bytes(
    rows: sparse.csr_array | None, columns: sparse.csr_array | None, values: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Resample along both axes in whole numbers, rounding halves up."""
    fine, drop = values.astype(np.int32, order="C"), WEIGHT_BITS - KEPT_BITS
    if rows is None:
        fine <<= KEPT_BITS
    else:
        fine = _rounded_off(_apply_rows(rows, fine), drop)
    if columns is not None:
        fine = _rounded_off(_apply_rows(columns, _turned(fine)), WEIGHT_BITS)
    whole = np.clip(_rounded_off(fine, KEPT_BITS), 0, BYTE_TOP).astype(np.uint8)
    return whole if columns is None else _turned(whole)


def _rounded_off(values: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """Drop the last bits in place, rounding halves up."""
    values += 1 << bits - 1
    values >>= bits
    return values


def _turned(values: NDArray[Any]) -> NDArray[Any]:
    """Swap rows and columns of ``(h, w, 3)``; each pixel is copied as one item, which is faster."""
    pixels = values.view(np.dtype((np.void, 3 * values.itemsize)))[..., 0]
    turned: NDArray[Any] = np.ascontiguousarray(pixels.T)[..., None].view(values.dtype)
    return turned


def _in_whole_steps(weight: NDArray[np.float64]) -> NDArray[np.int32]:
    """Weights in steps of ``1 / 2**WEIGHT_BITS``; what rounding leaves over goes to the largest of a row."""
    whole = np.rint(weight * (1 << WEIGHT_BITS)).astype(np.int32)
    whole[np.arange(len(whole)), whole.argmax(axis=1)] += (1 << WEIGHT_BITS) - whole.sum(
        axis=1, dtype=np.int32
    )
    return whole


def _resampling(
    grid: Grid, axis: int, start: int, stop: int, in_whole_steps: bool
) -> tuple[sparse.csr_array | None, int, int]:
    """Weights that make work pixels ``start .. stop`` of image pixels, and which ones they need.

    None stands for the identity: the frame has the picture's own pixels, and no padding is asked
    for.
    """
    image, work = grid.image_shape[axis], grid.work_shape[axis]
    if image == work and stop <= work:
        return None, start, stop
    wanted = np.minimum(np.arange(start, stop, dtype=np.int64), work - 1)
    if image == work:
        index, weight = wanted[:, None], np.ones((len(wanted), 1))
    elif work > image:
        index, weight = _bicubic(wanted, image, work)
    else:
        index, weight = _area(wanted, image, work)
    first, last = int(index.min()), int(index.max()) + 1
    row = np.repeat(np.arange(len(wanted)), index.shape[1])
    matrix = sparse.csr_array(
        ((_in_whole_steps(weight) if in_whole_steps else weight).ravel(), (row, (index - first).ravel())),
        shape=(len(wanted), last - first),
    )
    return matrix, first, last


def _bicubic(
    wanted: NDArray[np.int64], image: int, work: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Four image pixels and weights for each work pixel; beyond the rim its pixel is repeated."""
    numerator = (2 * wanted + 1) * image - work  # of the centre's position, over 2 * work
    base = numerator // (2 * work)
    fraction = (numerator - base * (2 * work)) / (2 * work)
    distance = np.abs(fraction[:, None] - np.arange(-1, 3))
    a = BICUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    weight = np.where(distance <= 1, near, far)
    index = np.clip(base[:, None] + np.arange(-1, 3), 0, image - 1)
    return index, weight


def _area(wanted: NDArray[np.int64], image: int, work: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Overlap of each work pixel with image pixels, as weights that sum to 1."""
    taps = image // work + 2
    index = (wanted * image // work)[:, None] + np.arange(taps)
    begin = np.maximum(index * work, (wanted * image)[:, None])
    end = np.minimum((index + 1) * work, ((wanted + 1) * image)[:, None])
    weight = np.maximum(end - begin, 0) / image
    return np.minimum(index, image - 1), weight
