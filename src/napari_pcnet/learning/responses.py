"""What filters answer at each pixel of a window: gradient and texture, at scales of some pixels.

Everything is in the image frame. A filter reads no further than `HALO_PX`, adds up in one order at every
pixel and mirrors the picture at its rim alone, so no window can change an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pcnet.geometry.grid import Window
from napari_pcnet.measuring.windows import read_plane

SCALES_PX = (1, 2, 4)
"""Standard deviations of the Gaussians."""

TRUNCATE = 3
"""Standard deviations at which a Gaussian ends."""

HALO_PX = TRUNCATE * SCALES_PX[-1]
"""How far a filter reads; the gradient, a pixel beyond the smallest Gaussian, is within it."""

GRADIENT = f"gradient_{SCALES_PX[0]}px"
TEXTURES = tuple(f"texture_{scale}px" for scale in SCALES_PX)
RESPONSES = (GRADIENT, *TEXTURES)
"""Of each channel: the length of the gradient, and what each Gaussian takes away from the one before it."""


def read_responses(pixels: Any, channel_axis: int | None, window: Window) -> NDArray[np.float64]:
    """Read a window of a picture and filter it.

    Returns
    -------
    (h w, C + C R) float64 array
        The channels, then `RESPONSES` of the first channel, of the second, and so on. Where a pixel is no
        finite number, its neighbours' answers are made of what else there is.
    """
    rows, columns = (side for axis, side in enumerate(pixels.shape) if axis != channel_axis)
    wide = Window(
        max(window.top - HALO_PX, 0),
        max(window.left - HALO_PX, 0),
        min(window.bottom + HALO_PX, rows),
        min(window.right + HALO_PX, columns),
    )
    read = np.moveaxis(read_plane(pixels, channel_axis, wide), -1, 0).astype(np.float64)
    core = np.s_[
        window.top - wide.top : window.bottom - wide.top, window.left - wide.left : window.right - wide.left
    ]
    answers = [each[core].ravel() for each in read]
    for channel in read:
        answers += [each[core].ravel() for each in responses(channel)]
    return np.column_stack(answers)


def responses(channel: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Filter a channel ``(h, w)``; the answers in the order of `RESPONSES`."""
    known = np.isfinite(channel)
    sharp = np.where(known, channel, 0.0)
    smooth = [_gaussian(sharp, known, scale) for scale in SCALES_PX]
    sharper = [np.where(known, channel, smooth[0]), *smooth[:-1]]
    steps = [ndimage.correlate1d(smooth[0], [-0.5, 0, 0.5], axis) for axis in (0, 1)]
    bands = [np.abs(one - other) for one, other in zip(sharper, smooth, strict=True)]
    return [np.hypot(*steps), *bands]


def _gaussian(values: NDArray[np.float64], known: NDArray[np.bool_], scale: int) -> NDArray[np.float64]:
    """Weighted mean of the known pixels around each; 0 where there are none."""
    total: NDArray[np.float64] = ndimage.gaussian_filter(values, scale, truncate=TRUNCATE)
    if known.all():
        return total
    weight = ndimage.gaussian_filter(known.astype(np.float64), scale, truncate=TRUNCATE)
    mean: NDArray[np.float64] = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return mean
