"""An image as it is read, and what happens to one from a file of any format.

Pixels are turned upright as EXIF says, transparency becomes a mask, intensities are stretched to 8 bits.
Everything is in the image frame, ``(H, W)`` or ``(H, W, C)`` unless the file says otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.shapes import plane_axes

ORIENTATION_TAG = 274
"""The number of the tag in EXIF and in TIFF; its values are 1 to 8."""


@dataclass(frozen=True)
class Image:
    """A picture as read.

    Attributes
    ----------
    pixels : (H, W[, C]) array
        The file's values, never its transparency; a stack of planes has more axes. May be read-only;
        of a zarr, of which nothing has been read, it has shape, dtype and slicing.
    channel_axis : int or None
        Which axis of `pixels` holds the channels; None for grey.
    mask : (H, W) array of bool, or None
        True where the picture is not fully transparent; None if that is everywhere.
    """

    pixels: Any  # numpy or what is read where it is sliced: no common type
    channel_axis: int | None
    mask: NDArray[np.bool_] | None = None


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

    mask = None if image.mask is None else turn(image.mask, 0, 1)
    return Image(turn(image.pixels, rows, columns), image.channel_axis, mask)


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


def stretched(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Stretch intensities of any type to whole numbers 0..255; what is not finite becomes 0."""
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.where(finite, (values - low) * scale, 0.0).round()
