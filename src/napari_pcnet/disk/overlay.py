"""Overlays: a picture with the borders between labels drawn on it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_pcnet.disk import pillow_files, tiff
from napari_pcnet.disk.formats import OVERLAY_SUFFIXES, TIF_SUFFIXES
from napari_pcnet.disk.image import Image, stretched
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.placement import Placement
from napari_pcnet.shapes import size_text

BOUNDARY_COLOUR = (255, 230, 0)
"""Red, green, blue of the lines: yellow is rare in photographs and in stains."""


def write_overlay(
    path: str | os.PathLike[str],
    image: Any,
    labels: ArrayLike,
    overwrite: bool = False,
) -> None:
    """Write the picture in 8 bits with the borders between labels drawn on it.

    Parameters
    ----------
    path : path
        Ends in .png, .jpg, .jpeg, .tif or .tiff.
    image : Image, or (H, W[, C]) array_like
        The picture, whose pixels have at most one channel axis; that of an array is the last, and the
        fourth channel of an array is its transparency, which is not shown. A tif has all of its placement,
        a png or jpg the size of a pixel.
    labels : (H, W) array_like of int
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    ValueError
        If picture and labels are not one plane of one size.
    OSError
        If the file exists, its folder does not, or the disk is full.
    """
    path = Path(path)
    check_output(path, OVERLAY_SUFFIXES, overwrite)
    picture = image if isinstance(image, Image) else _of_array(np.asarray(image))
    shown = _with_lines(picture, np.asarray(labels))
    if path.suffix.lower() in TIF_SUFFIXES:
        tiff.write_picture(path, shown, overwrite, picture.placement)
    else:
        pillow_files.write(path, shown, overwrite, picture.placement)


def write_overlay_stack(
    path: Path,
    planes: Iterable[Image],
    labels: NDArray[np.integer[Any]],
    overwrite: bool = False,
    placement: Placement | None = None,
) -> None:
    """Write the overlays of the planes of a stack as one tif.

    Parameters
    ----------
    path : path
        Ends in .tif or .tiff.
    planes : iterable of Image
        The pictures, in the order of the labels; one at a time is held.
    labels : (..., H, W) array of int
    overwrite : bool
    placement : Placement, optional
        Where they lie.

    Raises
    ------
    ValueError, OSError
        As `write_overlay`.
    """
    check_output(path, TIF_SUFFIXES, overwrite)
    flat = labels.reshape(-1, *labels.shape[-2:])
    shown = np.empty((*flat.shape, 3), np.uint8)
    for at, (picture, of_plane) in enumerate(zip(planes, flat, strict=True)):
        shown[at] = _with_lines(picture, of_plane)
    tiff.write_picture(path, shown.reshape(*labels.shape, 3), overwrite, placement)


def _with_lines(picture: Image, labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return a picture as ``(H, W, 3)`` of 8 bits with the borders between labels."""
    shown = _in_8_bits(picture)
    if shown.shape[:2] != labels.shape:
        raise ValueError(
            f"an overlay needs picture and labels of one size, got {size_text(shown.shape[:2])} and "
            f"{size_text(labels.shape)}"
        )
    shown[boundary_lines(labels)] = BOUNDARY_COLOUR
    return shown


def boundary_lines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another label: lines one pixel wide.

    Scores use `napari_pcnet.boundaries`, where both sides of a boundary count: lines of two pixels.

    >>> boundary_lines(np.array([[1, 1, 2], [1, 1, 2]])).astype(int)
    array([[0, 1, 0],
           [0, 1, 0]])
    """
    lines = np.zeros(labels.shape, bool)
    lines[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    lines[:-1] |= labels[:-1] != labels[1:]
    return lines


def _of_array(pixels: NDArray[Any]) -> Image:
    """Take an array as a picture; one of a stack is refused."""
    if pixels.ndim not in (2, 3):
        raise ValueError(f"an overlay shows one plane, (H, W) or (H, W, C), got shape {pixels.shape}")
    if pixels.ndim == 2:
        return Image(pixels, None)
    return Image(pixels[..., :3] if pixels.shape[-1] == 4 else pixels, -1)


def _in_8_bits(image: Image) -> NDArray[np.uint8]:
    """Return the picture as ``(H, W, 3)`` of 8 bits: 8-bit values as they are, others stretched."""
    channels = np.asarray(image.pixels)
    if image.channel_axis is None:
        channels = channels[..., np.newaxis]
    else:
        channels = np.moveaxis(channels, image.channel_axis, -1)
    if channels.shape[-1] != 3:
        channels = channels.mean(axis=-1, keepdims=True, dtype=np.float64)
    if image.pixels.dtype != np.uint8:
        # What stands for no data, such as -9999, would leave one grey for all the rest.
        channels = stretched(
            channels, None if image.mask is None else np.asarray(image.mask)[..., np.newaxis]
        )
    return np.array(np.broadcast_to(channels.astype(np.uint8), (*channels.shape[:2], 3)))
