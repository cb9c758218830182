"""What is drawn on a picture with the numbers of classes becomes the class of each region."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, options
from napari_pcnet.annotation.drawn import majority
from napari_pcnet.geometry.blocks import in_memory
from napari_pcnet.learning.forest import LARGEST_CLASS, NO_CLASS
from napari_pcnet.measuring.windows import NONE, numbered_windows
from napari_pcnet.shapes import size_text

WINDOW_PX = 1024


def drawn_classes(labels: Any, drawing: Any, *, background: int | None = 0) -> NDArray[np.uint8]:
    """Find the class of each region that is drawn on: that of most of its drawn pixels.

    Parameters
    ----------
    labels : (H, W) array_like of integers
        The region of each pixel.
    drawing : (H, W) array_like of integers
        A class for each pixel, from 1 to 255, 0 where nothing is drawn. Of classes equally frequent the
        smallest wins.
    background : int or None, optional
        Label of what is no region; None if there is none.

    Returns
    -------
    (n,) uint8 array
        One number for each label, in their order: the rows of `region_features`. 0 where nothing is drawn.

    Raises
    ------
    ValueError
        If the two are not of one size, or a number is no class.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import drawn_classes
    >>> drawn_classes(np.array([[4, 4, 4, 8, 9]]), np.array([[2, 1, 1, 0, 3]]))
    array([1, 0, 3], dtype=uint8)
    """
    regions = arguments.regions_of_plane(labels)
    drawn = drawing if isinstance(getattr(drawing, "dtype", None), np.dtype) else np.asarray(drawing)
    if drawn.dtype.kind not in "bui":
        raise ValueError(f"drawing must hold whole numbers, got {drawn.dtype}")
    if np.ma.isMaskedArray(drawn):
        raise ValueError("drawing is a masked array: pass drawing.filled(0)")
    if tuple(drawn.shape) != tuple(regions.shape):
        raise ValueError(
            f"drawing is {size_text(drawn.shape)} pixels, but labels are {size_text(regions.shape)}; "
            "they must be the same"
        )
    names, found = [], []
    for window in numbered_windows(regions, WINDOW_PX, options.background(background)):
        codes, here = window.core_codes, in_memory(drawn[window.core.slices])
        inside = (codes != NONE) & (here != NO_CLASS)
        names.append(window.names[np.unique(codes[codes != NONE])])
        found.append(_counted(window.names[codes[inside]], _checked(here[inside])))
    label = np.unique(np.concatenate(names))
    parts, numbers, pixels = np.concatenate(found).T
    won, winners = majority(parts, numbers, pixels)
    classes = np.zeros(len(label), np.uint8)
    classes[np.searchsorted(label, won)] = winners
    return classes


def _counted(parts: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Region, class and pixels of each pair that occurs, ``(k, 3)``."""
    pairs, pixels = np.unique(np.column_stack([parts, numbers]), axis=0, return_counts=True)
    return np.column_stack([pairs, pixels])


def _checked(numbers: NDArray[Any]) -> NDArray[np.int64]:
    wrong = numbers[(numbers < NO_CLASS) | (numbers > LARGEST_CLASS)]
    if len(wrong):
        raise ValueError(f"a class must be a number from 1 to {LARGEST_CLASS}, or 0 for none, got {wrong[0]}")
    return numbers.astype(np.int64)
