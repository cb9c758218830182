"""Overlays: a picture with the borders between labels drawn on it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pillow_files, tiff
from napari_pcnet.disk.formats import OVERLAY_SUFFIXES, TIF_SUFFIXES
from napari_pcnet.disk.image import Image, stretched
from napari_pcnet.disk.output import check_output

BOUNDARY_COLOUR = (255, 230, 0)
"""Red, green, blue of the lines: yellow is rare in photographs and in stains."""


def write_overlay(
    path: str | os.PathLike[str],
    image: Image,
    labels: NDArray[np.integer[Any]],
    overwrite: bool = False,
) -> None:
    """Write the picture in 8 bits with the borders between labels drawn on it.

    Parameters
    ----------
    path : path
        Ends in .png, .jpg, .jpeg, .tif or .tiff.
    image : Image
        Its pixels are ``(H, W)`` or have one channel axis. A tif has all of its placement, a png or jpg the
        size of a pixel.
    labels : (H, W) array of int
    overwrite : bool
        Whether an existing file is replaced.
    """
    path = Path(path)
    check_output(path, OVERLAY_SUFFIXES, overwrite)
    shown = _in_8_bits(image)
    shown[boundary_lines(labels)] = BOUNDARY_COLOUR
    if path.suffix.lower() in TIF_SUFFIXES:
        tiff.write_picture(path, shown, image.placement)
    else:
        pillow_files.write(path, shown, image.placement)


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
        channels = stretched(channels)
    return np.array(np.broadcast_to(channels.astype(np.uint8), (*channels.shape[:2], 3)))
