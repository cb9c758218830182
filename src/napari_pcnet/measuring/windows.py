"""Labels and picture, read window by window: regions numbered within a window, pixels of the regions alone.

Everything is in the image frame. A window's *core* is what it answers for; around it lie `MARGIN` pixels that
tell where outlines run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.blocks import in_memory
from napari_pcnet.geometry.grid import Window, windows_over
from napari_pcnet.geometry.picture import read_raw

MARGIN = 2
"""Pixels around a core: whether a neighbour lies on an outline is told by the neighbour's neighbours."""

NONE = -1
"""Stands where no region is: outside the picture, and on the background."""

LARGEST_LABEL = int(np.iinfo(np.int64).max)
"""Tables hold labels in 64 bits with a sign."""

TABLE_PER_PIXEL = 4
"""Labels in a range of so many numbers a pixel are numbered by a table of the range, others by sorting."""


class NumberedWindow(NamedTuple):
    """The regions of one window.

    Attributes
    ----------
    core : Window
    names : (n,) int64 array
        Labels of the regions in the window and its margin, increasing.
    codes : (h + 2 MARGIN, w + 2 MARGIN) int32 array
        Number of the region of each pixel, its place in `names`; `NONE` where there is none.
    """

    core: Window
    names: NDArray[np.int64]
    codes: NDArray[np.int32]

    @property
    def core_codes(self) -> NDArray[np.int32]:
        """The codes of the core, ``(h, w)``."""
        return self.codes[MARGIN:-MARGIN, MARGIN:-MARGIN]


def numbered_windows(labels: Any, side: int, background: int | None) -> Iterator[NumberedWindow]:
    """Read labels ``(H, W)`` window by window.

    Raises
    ------
    ValueError
        If labels are masked, or beyond 64 bits with a sign.
    """
    shape = int(labels.shape[0]), int(labels.shape[1])
    for core in windows_over(shape, side, side):
        wide = Window(
            max(core.top - MARGIN, 0),
            max(core.left - MARGIN, 0),
            min(core.bottom + MARGIN, shape[0]),
            min(core.right + MARGIN, shape[1]),
        )
        height, width = core.shape
        codes = np.full((height + 2 * MARGIN, width + 2 * MARGIN), NONE, np.int32)
        top, left = MARGIN - (core.top - wide.top), MARGIN - (core.left - wide.left)
        here = in_memory(labels[wide.slices])
        if np.ma.isMaskedArray(here):
            raise ValueError("labels are a masked array: pass labels.filled(0), or another background")
        names, inside = numbered(here, background)
        codes[top : top + wide.shape[0], left : left + wide.shape[1]] = inside
        yield NumberedWindow(core, names, codes)


def numbered(labels: NDArray[Any], background: int | None) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Number the labels that occur.

    Returns
    -------
    (n,) int64 array
        The labels, increasing, without the background.
    array of the shape of `labels`, int32
        Their places in it, `NONE` on the background.

    >>> numbered(np.array([[7, 0, 90]]), 0)
    (array([ 7, 90]), array([[ 0, -1,  1]], dtype=int32))
    """
    low, high = int(labels.min()), int(labels.max())
    if high > LARGEST_LABEL:
        raise ValueError(f"labels must be at most {LARGEST_LABEL}, got {high}")
    if high - low < TABLE_PER_PIXEL * labels.size:
        place = labels.astype(np.int64) - low
        occurs = np.zeros(high - low + 1, bool)
        occurs[place] = True
        names = np.flatnonzero(occurs) + low
    else:
        names, place = np.unique(labels.astype(np.int64), return_inverse=True)
        occurs, place = np.ones(len(names), bool), place.reshape(labels.shape)
    if background is not None and len(is_ground := np.flatnonzero(names == background)):
        occurs[np.flatnonzero(occurs)[is_ground]] = False
        names = np.delete(names, is_ground)
    table = np.where(occurs, np.cumsum(occurs) - 1, NONE).astype(np.int32)
    return names, table[place]


def read_pixels(image: Any, channel_axis: int | None, window: Window) -> NDArray[Any]:
    """Read a window of a picture, ``(h w, C)``, in its own type."""
    pixels = read_plane(image, channel_axis, window)
    return pixels.reshape(-1, pixels.shape[-1])


def read_plane(image: Any, channel_axis: int | None, window: Window) -> NDArray[Any]:
    """Read a window of a picture, ``(h, w, C)``, in its own type; a masked array is refused."""
    pixels = read_raw(image, channel_axis, window)
    if np.ma.isMaskedArray(pixels):
        raise ValueError("image is a masked array: pass its data, and labels that are 0 where it is masked")
    return pixels
