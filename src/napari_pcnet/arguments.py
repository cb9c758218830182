"""Checks of arguments.

Each check takes a value from the caller and returns it in the form that the rest of the package expects.
Messages name the argument, say what came, and what would do.
"""

from __future__ import annotations

import difflib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.memory import free_bytes
from napari_pcnet.geometry.blocks import KEPT_BYTES, Blocks, in_memory
from napari_pcnet.geometry.grid import CELL, MOST_CELLS
from napari_pcnet.geometry.percentiles import percentiles
from napari_pcnet.geometry.picture import Picture, plane_shape, read_raw, windows_of
from napari_pcnet.merging import connectivity
from napari_pcnet.options import IntensityRange, as_index, as_list, is_one_line, share_of, shown
from napari_pcnet.shapes import size_text
from napari_pcnet.stages import stage

KEPT_PART = 8
"""Of the memory that is free, this part may be taken by chunks of an image that are kept."""

LARGEST_EXACT = 2**53
"""Beyond it float64 does not tell neighbouring whole numbers apart."""

FEW_CHANNELS = 4
"""A last axis no longer than this is taken for channels without a word: grey, two, RGB, RGBA."""

MANY_CHANNELS = 32
"""A longer last axis may well be columns, however many rows there are: sensors and dyes are fewer."""

ONE_RANGE = (1, 3)
"""Numbers of channels that have one range together: grey and RGB."""

NAN_IS_OUTSIDE = (
    "image holds NaN: such pixels count as outside the mask; pass mask= to say yourself what is outside"
)
"""What a user is told once a run, however many planes hold some."""

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


@stage("reading")
def picture(
    image: Any,
    mask: Any,
    channel_axis: int | None,
    intensity_range: IntensityRange | None = None,
    min_size: int = 0,
) -> Picture:
    """Check an image and its mask, and find its range.

    NaN, what a masked array masks, and pixels of alpha 0 lie outside the mask.
    """
    pixels, axis, channels = plane_of(image, channel_axis)
    region = None if mask is None else _mask(mask, plane_shape(pixels.shape, axis))
    pixels = in_blocks(pixels, axis)
    seen = look(pixels, axis, channels, region)
    region = seen.region
    if region is not None and not region.any():
        empty = "mask" if mask is not None else "image"
        raise ValueError(
            f"the {empty} must hold at least one pixel to segment, it is empty, transparent or NaN"
        )
    if region is not None and min_size > 1:
        region = _without_specks(region, min_size)
        seen = look(pixels, axis, channels, region)._replace(has_nan=seen.has_nan)
    low, high = checked_extremes(pixels.dtype, seen.low, seen.high)
    checked = Picture(pixels, axis, region, low, high, seen.has_nan)
    return checked if intensity_range is None else _stretched(checked, intensity_range)


def in_blocks(pixels: Any, axis: int | None) -> Any:
    """Read a plane that is no array in memory by its chunks, and keep the latest as far as there is room."""
    if isinstance(pixels, np.ndarray):
        return pixels
    return Blocks(pixels, axis, min(KEPT_BYTES, free_bytes() // KEPT_PART))


def plane_of(image: Any, channel_axis: int | None) -> tuple[Any, int | None, int]:
    """Take an image as an array of one plane; its axis of channels, and how many there are without alpha."""
    pixels = array(image)
    axis = _channel_axis(pixels, channel_axis)
    shape = plane_shape(pixels.shape, axis)
    if math.prod(shape) > MOST_CELLS * CELL * CELL:
        raise ValueError(
            f"image is {size_text(shape)} pixels, more than can be told apart at once: segment parts of it"
        )
    channels = 1 if axis is None else int(pixels.shape[axis])
    return pixels, axis, 3 if channels == 4 and axis == 2 else channels


def region_of(mask: Any, shape: tuple[int, int], min_size: int) -> NDArray[np.bool_] | None:
    """Take a mask, without parts of fewer pixels; None if there is none."""
    if mask is None:
        return None
    region = _mask(mask, shape)
    if not region.any():
        raise ValueError("the mask must hold at least one pixel to segment, it is empty, transparent or NaN")
    return _without_specks(region, min_size) if min_size > 1 else region


def array(image: Any) -> Any:
    """Take an image as an array: with shape, dtype and slicing, of numbers."""
    if isinstance(image, str | os.PathLike):
        raise TypeError(f"image must be an array, got the path {shown(image)}; read_image reads it")
    if not hasattr(image, "shape") and hasattr(image, "pixels"):
        raise TypeError(f"image must be an array, got a {type(image).__name__}; pass its pixels and its mask")
    if _is_pyramid(image):
        sizes = ", ".join(size_text(level.shape) for level in image)
        raise ValueError(f"image is a pyramid (levels {sizes}): pass one level, image[0] is the finest")
    image = _as_array(image, "image")
    if image.dtype.kind not in "buif":
        raise TypeError(f"image must hold booleans, integers or floats, got {image.dtype}")
    if 0 in image.shape:
        raise ValueError(f"image must have at least one pixel, got shape {tuple(image.shape)}")
    return image


def regions(labels: Any) -> Any:
    """Take labels as an array of whole numbers, of rows and columns and any leading axes."""
    if isinstance(labels, str | os.PathLike):
        raise TypeError(f"labels must be an array, got the path {shown(labels)}; read_labels reads it")
    given = _as_array(labels, "labels")
    if given.dtype.kind not in "bui" or len(given.shape) < 2 or 0 in given.shape:
        raise ValueError(
            "labels must be an array of integers, of rows and columns, "
            f"got {given.dtype} of shape {tuple(given.shape)}"
        )
    return given


def _as_array(values: Any, name: str) -> Any:
    """Take what has shape, dtype and slicing as it is; make an array of lists, PIL pictures and tensors."""
    is_array = all(hasattr(values, each) for each in ("shape", "dtype", "__getitem__"))
    if not is_array or not isinstance(values.dtype, np.dtype):
        try:
            values = np.asarray(values)
        except (ValueError, TypeError, RuntimeError) as error:
            raise TypeError(f"{name} cannot be made an array: {error}") from None
    if any(as_index(side) is None for side in values.shape):
        raise ValueError(
            f"an axis of {name} is of unknown length (shape {tuple(values.shape)}): "
            f"let dask find them by {name}.compute_chunk_sizes()"
        )
    return values


def regions_of_plane(labels: Any) -> Any:
    """Take labels as `regions` does; those of a stack are refused."""
    given = regions(labels)
    if len(given.shape) != 2:
        raise ValueError(
            f"labels must be one plane, got shape {tuple(given.shape)}: pass the planes of a stack one by one"
        )
    return given


def pixels_of_regions(image: Any, channel_axis: int | None, shape: tuple[int, ...]) -> tuple[Any, int | None]:
    """Take a picture that regions are measured in, and say which axis holds its channels."""
    pixels = array(image)
    axis = _channel_axis(pixels, channel_axis)
    if plane_shape(pixels.shape, axis) != tuple(shape):
        raise ValueError(
            f"image is {size_text(plane_shape(pixels.shape, axis))} pixels, but labels are "
            f"{size_text(shape)}; they must be the same"
        )
    return pixels, axis


def channel_names(names: Any, count: int | None) -> list[str] | None:
    """Name each of so many channels, by number if they have no names; None for a picture without channels."""
    if names is None:
        return None if count is None else [str(channel) for channel in range(count)]
    given = as_list(names)
    if given is None or not all(isinstance(name, str) and is_one_line(name) for name in given):
        raise ValueError(f"channel_names must be texts, one for each channel, got {shown(names)}")
    if count is None:
        raise ValueError("channel_names can be given for an image that has channels: name its channel_axis")
    if len(given) != count or len(set(given)) != count:
        raise ValueError(f"channel_names must be {count} different texts, one a channel, got {shown(names)}")
    return given


def room(picture: Picture) -> tuple[int, str]:
    """The most superpixels that a picture can give, and what limits them."""
    return picture.pixels_inside, "image" if picture.mask is None else "mask"


def room_for(number: int, most: tuple[int, str], name: str) -> None:
    """Refuse more superpixels than there are pixels, by the `room` of a picture."""
    pixels, where = most
    if number > pixels:
        raise ValueError(f"{name} must be at most {pixels}, the pixels of the {where}, got {number}")


def part_sizes(picture: Picture) -> NDArray[np.int64]:
    """Pixels of each connected part of a picture's mask, the largest first; the whole picture without one."""
    if picture.mask is None:
        return np.array([picture.pixels_inside])
    return sizes_of_parts(picture.mask)


def sizes_of_parts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels of each connected part of a mask, the largest first."""
    return np.sort(_parts(mask)[1])[::-1]


def parts_within(number: int, sizes: Sequence[NDArray[np.int64]], name: str) -> None:
    """Refuse fewer superpixels than the mask of some plane has connected parts: none is made of two."""
    most = max(map(len, sizes))
    if number >= most:
        return
    smallest = 1 + max(int(each[number]) for each in sizes if number < len(each))
    fits = all(each[0] >= smallest for each in sizes)
    hint = f"; min_size={smallest} leaves out the small ones" if fits else ""
    raise ValueError(
        f"{name} must be at least {most}, the number of connected parts of the mask, got {number}{hint}"
    )


def differs_by_plane(picture: Picture) -> bool:
    """Whether other planes of a stack may be refused, or hold NaN, though this one is not."""
    pixels, axis = picture.pixels, picture.channel_axis
    has_alpha = axis is not None and pixels.shape[axis] > picture.channels
    is_masked = picture.mask is not None or isinstance(pixels, np.ma.MaskedArray)
    return is_masked or has_alpha or pixels.dtype.kind == "f" or pixels.dtype.itemsize > 4


def callback(value: Any, name: str) -> None:
    """Refuse a callback that can't be called, before the work whose end it would be told."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function or None, got {shown(value)}")


def may_be_columns(shape: Sequence[int]) -> bool:
    """Whether the last axis of an image of three axes or more may be columns, and not channels.

    >>> [may_be_columns(shape) for shape in ((40, 50, 3), (40, 50, 9), (9, 40, 50), (90, 60, 40))]
    [False, False, True, True]
    """
    if len(shape) < 3:
        return False
    first, rows, last = shape[-3:]
    return last > FEW_CHANNELS and (last >= min(first, rows) or last > MANY_CHANNELS)


def warn_of_channels_last(shape: Sequence[int], channel_axis: int | None, planes: str) -> None:
    """Warn where the last axis counts as the channels, by default, and may be columns.

    `planes` is what to pass of a stack of planes.
    """
    if channel_axis != -1 or not may_be_columns(shape):
        return
    first, rows, last = shape[-3:]
    others = (0, 2) if len(shape) == 3 else (-3, len(shape) - 1)
    warnings.warn(
        f"image of shape {tuple(shape)} is taken for {first} x {rows} pixels of {last} channels: pass "
        f"channel_axis={others[1]} if it is that, channel_axis={others[0]} if the channels come first, "
        f"{planes} if these are planes of a stack",
        stacklevel=4,
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


def _is_pyramid(image: Any) -> bool:
    """Whether an image is a list of levels; napari's has a shape and a dtype, too, but is no array."""
    if not isinstance(image, Sequence) or len(image) == 0:
        return False
    shapes = {tuple(getattr(level, "shape", ())) for level in image}
    are_images = all(len(shape) >= 2 for shape in shapes)
    return are_images and (len(shapes) > 1 or hasattr(image, "shape"))


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
        if channel_axis == -1:  # the default, of which nothing more is known
            return None
        raise ValueError(
            f"image has no channels (shape {tuple(pixels.shape)}): pass channel_axis=None for grey"
        )
    elif ndim == 3:
        axis = as_index(channel_axis)
        if axis is not None and -3 <= axis < 3:
            return axis % 3
        raise ValueError(
            f"channel_axis must be a whole number from -3 to 2, or None, got {shown(channel_axis)}"
        )
    raise ValueError(f"image must be (H, W), or (H, W, C) with channel_axis, got shape {tuple(pixels.shape)}")


def _mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Check a mask; what a masked array masks is outside."""
    try:
        region = in_memory(mask)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"mask cannot be made an array: {error}") from None
    if region.dtype.kind not in "buif":
        raise TypeError(f"mask must hold booleans or integers, got {region.dtype}")
    if region.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}, got {region.shape}")
    values = np.asarray(region)
    inside: NDArray[np.bool_] = values != 0
    if values.dtype.kind == "f" and not np.array_equal(inside, values):
        other = values[inside & (values != 1)][0]
        raise ValueError(f"mask of floats must hold 0 and 1 alone, got {other}; pass mask > 0.5, or the like")
    return inside & ~np.ma.getmaskarray(region) if isinstance(region, np.ma.MaskedArray) else inside


def _parts(region: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The connected parts of a mask, from 0, -1 outside; and how many pixels each has."""
    parts = connectivity.number_pieces(region.astype(np.uint32))
    return parts, np.bincount(parts[region])


def _without_specks(region: NDArray[np.bool_], min_size: int) -> NDArray[np.bool_]:
    """Leave out parts of a mask of fewer pixels."""
    parts, sizes = _parts(region)
    if sizes.max() < min_size:
        raise ValueError(
            f"min_size must be at most {sizes.max()}, the largest part of the mask, got {min_size}"
        )
    kept: NDArray[np.bool_] = np.append(sizes >= min_size, False)[parts]  # -1, the last, is outside
    return kept


class Seen(NamedTuple):
    """What a pass over an image has seen."""

    region: NDArray[np.bool_] | None  # (H, W), None if nothing is outside
    low: NDArray[np.float64]  # (C,)
    high: NDArray[np.float64]
    has_nan: bool


def look(pixels: Any, axis: int | None, channels: int, region: NDArray[np.bool_] | None) -> Seen:
    """Find what is inside, and the extremes of each channel there, in one pass over the image."""
    shape = plane_shape(pixels.shape, axis)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    has_nan = False
    shows_all = region is None and _shows_all(pixels, axis, channels)
    for window in windows_of(shape):
        read = read_raw(pixels, axis, window)
        here = _visible(read, channels)
        if region is not None:
            here &= region[window.slices]
        values = np.asarray(read)[..., :channels]
        if values.dtype.kind == "f":
            is_nan = np.isnan(values).any(axis=2) & here
            has_nan |= bool(is_nan.any())
            here &= ~is_nan
        if not here.all() and region is None:
            region = np.ones(shape, bool)
        if region is not None:
            region[window.slices] = here
        inside = values.reshape(-1, channels) if here.all() else values[here]
        if len(inside) == 0:
            continue
        if inside.dtype.kind == "f" and not np.isfinite(inside).all():
            raise ValueError("image must be finite, got infinity; leave such pixels out with mask=")
        for channel, of_channel in enumerate(inside.T):
            low[channel] = min(low[channel], float(of_channel.min()))
            high[channel] = max(high[channel], float(of_channel.max()))
        shows_all &= not isinstance(read, np.ma.MaskedArray)
        if shows_all and has_whole_range(pixels.dtype, low, high):
            break  # the rest cannot change it, and takes long to read
    return Seen(region, low, high, has_nan)


def _shows_all(pixels: Any, axis: int | None, channels: int) -> bool:
    """Whether no pixel can be transparent or NaN, nor masked if the first ones are not."""
    has_alpha = axis is not None and int(pixels.shape[axis]) > channels
    masks_parts = isinstance(pixels, Blocks) and pixels.masks_parts
    return pixels.dtype.kind in "bui" and not has_alpha and not masks_parts


def has_whole_range(dtype: np.dtype[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> bool:
    """Whether black and white are the ends of what a type of whole numbers can hold, in every channel."""
    if dtype.kind == "f":
        return False
    ends = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if len(low) in ONE_RANGE:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    return bool((low == ends[0]).all() and (high == ends[1]).all())


def _visible(read: NDArray[Any], channels: int) -> NDArray[np.bool_]:
    """Pixels that are not masked in any channel, nor of alpha 0, the channel after the last."""
    visible = np.ones(read.shape[:2], bool)
    if isinstance(read, np.ma.MaskedArray):
        visible &= ~np.ma.getmaskarray(read).any(axis=2)
    if read.shape[2] > channels:
        visible &= np.asarray(read)[..., channels] > 0
    return visible


def checked_extremes(
    dtype: np.dtype[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Extremes of each channel, of grey and colour together; refuse those that float64 can't tell apart."""
    largest = max(-low.min(), high.max())
    if dtype.kind in "iu" and largest > LARGEST_EXACT:
        raise ValueError("image holds whole numbers beyond 2**53; take an offset off or pass floats")
    if largest > np.finfo(np.float64).max / 4:
        raise ValueError("image holds values too large to be told apart; divide it by its largest")
    if len(low) not in ONE_RANGE:
        return low, high
    return np.full(len(low), low.min()), np.full(len(high), high.max())


def _stretched(picture: Picture, intensity_range: IntensityRange) -> Picture:
    """Give a picture another range than its extremes: two values, or its percentiles."""
    limits = np.array([limit for limit in intensity_range if not isinstance(limit, str)], float)
    if len(limits):
        low, high = (np.full(picture.channels, limit) for limit in limits)
        return replace(picture, low=low, high=high)
    shares = [share for limit in intensity_range if (share := share_of(str(limit))) is not None]
    count = 1 if picture.channels in ONE_RANGE else picture.channels
    found = percentiles(lambda: values_inside(picture, count), picture.pixels.dtype, count, shares)
    low, high = (np.broadcast_to(limit, picture.channels) for limit in found)
    is_flat = low == high  # what varies is rarer than the percentiles count
    return replace(
        picture, low=np.where(is_flat, picture.low, low), high=np.where(is_flat, picture.high, high)
    )


def values_inside(picture: Picture, channels: int) -> Iterator[NDArray[Any]]:
    """The values inside the mask, part by part, ``(n, channels)``; with one channel those of all."""
    for window in windows_of(picture.shape):
        values = np.asarray(read_raw(picture.pixels, picture.channel_axis, window))[..., : picture.channels]
        mask = picture.read_mask(window)
        yield (values if mask is None else values[mask]).reshape(-1, channels)
