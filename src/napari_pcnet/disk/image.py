"""An image as it is read, and what happens to one from a file of any format.

Pixels are turned upright as EXIF says, transparency becomes a mask, intensities are stretched to 8 bits.
Everything is in the image frame, ``(H, W)`` or ``(H, W, C)`` unless the file says otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.deferred import Deferred, Slices
from napari_pcnet.disk.placement import Placement
from napari_pcnet.shapes import plane_axes

ORIENTATION_TAG = 274
"""The number of the tag in EXIF and in TIFF; its values are 1 to 8."""

SHOWN_PICTURES = 4
"""How many of the pictures in a file a warning lists."""

FLOAT_TEXT_PRECISION = 2e-6
"""Relative: -3.40282e+38, six digits, is meant to be the lowest number of float32."""


@dataclass(frozen=True)
class Image:
    """A picture as read.

    Attributes
    ----------
    pixels : (H, W[, C]) array
        The file's values, never its transparency; a stack of planes has more axes. May be read-only.
        Of a zarr or a large tif a `Deferred`: nothing of it has been read.
    channel_axis : int or None
        Which axis of `pixels` holds the channels; None for grey.
    mask : (H, W) array of bool, or None
        False where the picture is fully transparent or has no data; None if that is nowhere. With the
        leading axes of a stack if planes differ. Of pixels that have not been read, a `Deferred`.
    placement : Placement or None
        Where the picture lies and how large its pixels are, if the file says so.
    """

    pixels: Any  # numpy or deferred: no common type
    channel_axis: int | None
    mask: Any = None  # numpy or deferred
    placement: Placement | None = None

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = plane_axes(len(self.pixels.shape), self.channel_axis)
        return int(self.pixels.shape[rows]), int(self.pixels.shape[columns])


def upright(image: Image, orientation: int) -> Image:
    """Turn an image so that its first row is the top, by the value of the orientation tag.

    >>> upright(Image(np.array([[1, 2, 3]]), None), 6).pixels
    array([[1],
           [2],
           [3]])
    """
    if orientation not in range(2, 9):
        return image
    rows, columns = plane_axes(image.pixels.ndim, image.channel_axis)

    def turn(array: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
        # 5 to 8 store columns as rows; rows or columns may then run backwards, as those of 2 to 4 may.
        if orientation >= 5:
            array = np.swapaxes(array, rows, columns)
        if orientation in (3, 4, 7, 8):
            array = np.flip(array, rows)
        if orientation in (2, 3, 6, 7):
            array = np.flip(array, columns)
        return array

    mask, placement = image.mask, image.placement
    if mask is not None:
        mask = turn(mask, mask.ndim - 2, mask.ndim - 1)
    if placement is not None:
        placement = placement.upright(orientation, image.plane_shape)
    return replace(image, pixels=turn(image.pixels, rows, columns), mask=mask, placement=placement)


def split_alpha(pixels: NDArray[Any], axis: int, alphas: list[int]) -> Image:
    """Take the alpha channels out of pixels; the first one makes the mask.

    Only what is fully transparent, of alpha 0, is outside the mask.
    """
    mask = np.take(pixels, alphas[0], axis=axis) > 0
    colours = np.delete(pixels, alphas, axis=axis)
    one = colours.shape[axis] == 1
    return Image(
        colours.squeeze(axis) if one else colours,
        None if one else axis,
        None if mask.all() else mask,
    )


def has_data(pixels: NDArray[Any], channel_axis: int | None, nodata: float) -> NDArray[np.bool_]:
    """Say of each pixel whether it is anything but the value that stands for no data.

    A pixel is without data if all its channels have the value, as GDAL has it, or if one of them is NaN
    where that is the value. Floats are compared to the precision of float32: the value is kept as a text,
    often a short one.

    >>> has_data(np.array([[7, -9999]]), None, -9999.0)
    array([[ True, False]])
    """
    is_nan = bool(np.isnan(nodata))
    empty = np.isnan(pixels) if is_nan else _equals(pixels, nodata)
    if channel_axis is not None:
        empty = (np.logical_or if is_nan else np.logical_and).reduce(empty, axis=channel_axis)
    return np.asarray(~empty, np.bool_)


def without(image: Image, nodata: float) -> Image:
    """Put the pixels of a value outside, as transparent ones are; what is on the disk stays there."""
    pixels, axis = image.pixels, image.channel_axis

    def inside(slices: Slices) -> NDArray[np.bool_]:
        key = list(slices)
        if axis is not None:
            key.insert(axis % len(pixels.shape), slice(None))
        seen = has_data(np.asarray(pixels[tuple(key)]), axis, nodata)
        if image.mask is None:
            return seen
        mask: NDArray[np.bool_] = image.mask[slices[-np.ndim(image.mask) :]]
        return seen & mask

    shape = tuple(int(side) for side in pixels.shape)
    if axis is not None:
        shape = tuple(np.delete(shape, axis).tolist())
    return replace(image, mask=mask_of(inside, shape, at_once=type(pixels) is np.ndarray))


def mask_of(
    inside: Callable[[Slices], NDArray[np.bool_]], shape: tuple[int, ...], at_once: bool
) -> NDArray[np.bool_] | Deferred | None:
    """Make the mask of an image from what reads a part of it; None if it is True everywhere."""
    mask = Deferred(inside, shape, np.bool_)
    if not at_once:
        return mask
    read: NDArray[np.bool_] = mask[...]
    return None if read.all() else read


def several_text(path: object, pictures: Sequence[str]) -> str:
    """Return the warning that a file holds several pictures, a name or size each, and none was chosen."""
    listed = [f"{at}: {each}" for at, each in enumerate(pictures[:SHOWN_PICTURES])]
    shown = ", ".join(listed) + (", ..." if len(pictures) > SHOWN_PICTURES else "")
    return (
        f"{path} holds {len(pictures)} pictures ({shown}); 0 is taken, "
        "series= names another, or mask_series= if this is the mask"
    )


def stretched(pixels: NDArray[Any], inside: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Stretch intensities of any type to whole numbers 0..255; what is not finite becomes 0.

    The least and the largest are those `inside`, which is broadcast; what is beyond them has their values.
    """
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    counted = values[finite if inside is None else finite & inside]
    low, high = (counted.min(), counted.max()) if counted.size else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.where(finite, (values.clip(low, high) - low) * scale, 0.0).round()


def _equals(pixels: NDArray[Any], value: float) -> NDArray[np.bool_]:
    if pixels.dtype.kind == "f":
        close = np.isclose(pixels, np.float64(value), rtol=FLOAT_TEXT_PRECISION, atol=0)
        return np.asarray(close, np.bool_)
    return np.asarray(pixels == value, np.bool_)
