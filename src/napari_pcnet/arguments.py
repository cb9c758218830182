"""Checks of arguments.

Each check takes a value from the caller and returns it in the form that the rest of the package expects.
Messages name the argument, say what came, and what would do.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import READ_ROWS, Picture, plane_shape, read_raw
from napari_pcnet.options import as_index

LARGEST_WHOLE = 2**53
"""Beyond it float64 does not tell neighbouring whole numbers apart."""

_SLIC_ONLY = {
    "max_num_iter": "the network needs no iterations",
    "n_iter": "the network needs no iterations",
    "sigma": "smooth the image beforehand if it must be; smoothing is for outlines",
    "convert2lab": "merging compares RGB in CIELAB and other channels as they are",
    "enforce_connectivity": "labels are always connected",
    "min_size_factor": "method='hierarchy' merges small pieces by cost; see compactness",
    "max_size_factor": "see n_segments and compactness",
    "slic_zero": "see compactness",
    "multichannel": "use channel_axis",
}

_ALIASES = {"weights": "model", "window_px": "window", "max_segments": "n_segments"}


def picture(
    image: Any,
    mask: Any,
    channel_axis: int | None,
    intensity_range: tuple[float, float] | None,
) -> Picture:
    """Check an image and its mask, and find its range in one pass."""
    pixels, hidden = _pixels(image)
    axis = _channel_axis(pixels, channel_axis)
    shape = plane_shape(pixels.shape, axis)
    if 0 in pixels.shape:
        raise ValueError(f"image must have at least one pixel, got shape {tuple(pixels.shape)}")
    region = None if mask is None else _mask(mask, shape)
    if hidden is not None:
        seen: NDArray[np.bool_] = ~np.any(np.atleast_3d(hidden), axis=2 if axis is None else axis)
        region = seen if region is None else region & seen
    channels = 1 if axis is None else int(pixels.shape[axis])
    if channels == 4 and axis == 2:
        channels, region = 3, _visible(pixels, shape, region)
    if region is not None and not region.any():
        empty = "mask" if mask is not None else "image"
        raise ValueError(f"{empty} must hold at least one pixel to segment, it is empty or transparent")
    low, high = _extremes(pixels, axis, channels, region, shape)
    if intensity_range is not None:
        low, high = (np.full(channels, limit) for limit in intensity_range)
    elif channels in (1, 3):
        low, high = np.full(channels, low.min()), np.full(channels, high.max())
    return Picture(pixels, axis, region, low, high)


def room_for(number: int, picture: Picture, name: str) -> None:
    """Refuse more superpixels than there are pixels."""
    if number > picture.pixels_inside:
        where = "image" if picture.mask is None else "mask"
        raise ValueError(
            f"{name} must be at most {picture.pixels_inside}, the pixels of the {where}, got {number}"
        )


def refuse_others(function: str, others: dict[str, object], known: Sequence[str]) -> None:
    """Refuse unknown arguments; those of slic by name, with our name for each."""
    for name in others:
        if name in _SLIC_ONLY:
            raise TypeError(f"{function} has no argument {name!r} of slic: {_SLIC_ONLY[name]}")
        near = [_ALIASES.get(name, name), *difflib.get_close_matches(name, known, 1)]
        offered = next((each for each in near if each in known), None)
        hint = f"; did you mean {offered!r}?" if offered else ""
        raise TypeError(f"{function} has no argument {name!r}{hint}")


def _pixels(image: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """Take the image as an array, and the mask that a masked array carries."""
    if isinstance(image, np.ma.MaskedArray):
        hidden: NDArray[np.bool_] = np.ma.getmaskarray(image)
        return image.data, hidden
    if not all(hasattr(image, name) for name in ("shape", "dtype", "__getitem__")) or not isinstance(
        image.dtype, np.dtype
    ):  # lists, PIL pictures, tensors
        try:
            image = np.asarray(image)
        except (ValueError, TypeError, RuntimeError) as error:
            raise TypeError(f"image cannot be made an array: {error}") from None
    if image.dtype.kind not in "buif":
        raise TypeError(f"image must hold booleans, integers or floats, got {image.dtype}")
    return image, None


def _channel_axis(pixels: Any, channel_axis: int | None) -> int | None:
    ndim = len(pixels.shape)
    if channel_axis is None:
        if ndim == 2:
            return None
        if ndim == 3:
            raise ValueError(
                f"image is a volume of shape {tuple(pixels.shape)} (channel_axis=None): PCNet "
                "segments planes, so pass them one by one, or name the axis of its channels"
            )
    elif ndim == 2:
        raise ValueError(
            f"image has no channels (shape {tuple(pixels.shape)}): pass channel_axis=None for grey"
        )
    elif ndim == 3:
        axis = as_index(channel_axis)
        if axis is not None and -3 <= axis < 3:
            return axis % 3
        raise ValueError(f"channel_axis must be a whole number from -3 to 2, or None, got {channel_axis!r}")
    raise ValueError(f"image must be (H, W), or (H, W, C) with channel_axis, got shape {tuple(pixels.shape)}")


def _mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    region = np.asarray(mask)
    if region.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}, got {region.shape}")
    if region.dtype.kind not in "bui":
        raise TypeError(f"mask must hold booleans or integers, got {region.dtype}")
    inside: NDArray[np.bool_] = region != 0
    return inside


def _visible(
    pixels: Any, shape: tuple[int, int], region: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Take pixels of alpha 0 out of the region; None if nothing is transparent."""
    visible = np.empty(shape, bool)
    for window in _row_windows(shape):
        visible[window.slices] = read_raw(pixels, 2, window)[..., 3] > 0
    if visible.all():
        return region
    return visible if region is None else visible & region


def _extremes(
    pixels: Any,
    axis: int | None,
    channels: int,
    region: NDArray[np.bool_] | None,
    shape: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each channel inside the mask, in one pass over the image."""
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for window in _row_windows(shape):
        values = read_raw(pixels, axis, window)[..., :channels]
        inside = values.reshape(-1, channels) if region is None else values[region[window.slices]]
        if len(inside) == 0:
            continue
        if inside.dtype.kind == "f" and not np.isfinite(inside).all():
            raise ValueError("image must be finite, got NaN or infinity; leave such pixels out with mask=")
        for channel in range(channels):
            values_of = inside[:, channel]
            low[channel] = min(low[channel], float(values_of.min()))
            high[channel] = max(high[channel], float(values_of.max()))
    if pixels.dtype.kind in "iu" and max(-low.min(), high.max()) > LARGEST_WHOLE:
        raise ValueError("image holds whole numbers beyond 2**53; take an offset off or pass floats")
    if max(-low.min(), high.max()) > np.finfo(np.float64).max / 4:
        raise ValueError("image holds values too large to be told apart; divide it by its largest")
    return low, high


def _row_windows(shape: tuple[int, int]) -> list[Window]:
    height, width = shape
    starts = range(0, height, READ_ROWS)
    return [Window(top, 0, min(top + READ_ROWS, height), width) for top in starts]
