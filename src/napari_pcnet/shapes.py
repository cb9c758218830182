"""Shapes of arrays, in words; which axes are rows, columns and channels; the type of labels."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.integer[Any]]
"""Whole numbers, one a pixel: the superpixel or the object that the pixel belongs to."""

NARROW_TOP = int(np.iinfo(np.int32).max)
"""The highest label of 32 bits."""

CHANNEL_NAMES = ("c", "ch", "channel", "channels", "band", "bands", "wavelength")
"""Names, in lower case, of an axis of channels."""


def label_type(highest: int) -> type[np.signedinteger[Any]]:
    """Return the type of labels up to this one: int32, or int64 where that is too narrow."""
    return np.int32 if highest <= NARROW_TOP else np.int64


def size_text(shape: Sequence[int]) -> str:
    """Return a shape in words, for messages.

    >>> size_text((2, 3))
    '2 x 3'
    """
    return " x ".join(map(str, shape))


def plane_axes(ndim: int, channel_axis: int | None) -> tuple[int, int]:
    """Return the axes of rows and columns: the last two that hold no channels.

    Parameters
    ----------
    ndim : int
        Number of axes, at least 2 without that of the channels.
    channel_axis : int or None
        May count from the end.

    >>> plane_axes(3, -1), plane_axes(4, 1), plane_axes(2, None)
    ((0, 1), (2, 3), (0, 1))
    """
    channels = None if channel_axis is None else channel_axis % ndim
    rows, columns = [axis for axis in range(ndim) if axis != channels][-2:]
    return rows, columns
