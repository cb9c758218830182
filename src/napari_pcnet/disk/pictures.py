"""Pictures from files of any format we know: tif, ome-tif, png, jpg, zarr, OME-Zarr.

An image is given as people mean it: turned as EXIF says; palettes, CMYK, YCbCr and Lab as RGB;
transparency, and what has no data, apart as a mask. Values, type and byte order stay the file's own. A zarr
or a large tif is opened, and read only where it is sliced.
"""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pillow_files, tiff, zarr_store
from napari_pcnet.disk.damage import naming_damage
from napari_pcnet.disk.formats import Format, format_of
from napari_pcnet.disk.image import Image, without
from napari_pcnet.disk.remote import Folder, RemoteFolder, location
from napari_pcnet.shapes import size_text

SAMPLE = Path(__file__).parents[1] / "samples" / "chelsea.jpg"

_IN_WORDS: dict[Format, str] = {
    "jpg": "a tif, png or jpg picture",
    "png": "a tif, png or jpg picture",
    "tif": "a tif, png or jpg picture",
    "zarr": "a zarr",
}


def read_image(
    path: str | os.PathLike[str],
    mask_path: str | os.PathLike[str] | None = None,
    *,
    level: int = 0,
    series: int = 0,
    nodata: float | None = None,
    mask_series: int = 0,
    alpha_apart: bool = True,
) -> Image:
    """Read a picture, and the region to look at from a second file if there is one.

    Parameters
    ----------
    path : path or str
        A tif, ome-tif, png or jpg file, or the folder of a zarr array, an OME-Zarr image or a group of
        zarr arrays; or, as text, the address of such a folder, ``https://`` or ``s3://``, of which parts are
        fetched where they are sliced. That takes the extra ``remote``, and s3fs for ``s3://``.
    mask_path : path, optional
        A picture of the same height and width, zero outside the region.
    level : int
        Which size of a pyramid, from 0, the full one, to ``count_levels(path, series) - 1``. The arrays
        of a zarr group that is no OME-Zarr are taken in the order of their names, as napari does.
    series : int
        Which of several pictures, from 0: those of a tif that differ in size or kind; those of a zarr that
        bioformats2raw numbered, the fields of a plate well after well, or groups by number and name.
    nodata : float, optional
        A value of pixels that are outside, besides those that the file itself declares so: a pixel is if all
        its channels have it.
    mask_series : int
        Which of several pictures in the second file.
    alpha_apart : bool
        Whether what a tif calls transparency becomes the mask, unless it looks like a measured channel.
        Some programs call the fourth of four such channels so.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    IsADirectoryError
        If a path is a folder and no zarr.
    ValueError
        If a file is not a picture, is damaged, is behind an address that can't be read, needs more memory
        than is free, has no such level or series, or the two differ in size; or if `nodata` is no number.

    Warns
    -----
    UserWarning
        If a file holds several pictures and none was chosen, or if the fourth band of a tif is declared
        transparency and looks measured.
    """
    place = location(path)
    if series != 0:
        _check_series(place, series, _count_series(place, "image"), "series")
    if level != 0:
        _check_level(place, level, series)
    if nodata is not None and not math.isfinite(nodata):
        raise ValueError(f"nodata must be a finite number, got {nodata!r}; NaN is outside without it")
    image = _read(place, level=level, series=series, alpha_apart=alpha_apart)
    if nodata is not None:
        image = without(image, nodata)
    if mask_path is None:
        return image
    mask = read_mask(mask_path, mask_series)
    channels = [] if image.channel_axis is None else [image.channel_axis]
    shape = tuple(np.delete(image.pixels.shape, channels).tolist())
    if mask.shape != shape:
        raise ValueError(
            f"mask {mask_path} is {size_text(mask.shape)} pixels, but image {path} is {size_text(shape)}; "
            f"they must be the same"
        )
    return replace(image, mask=mask if image.mask is None else mask & np.asarray(image.mask))


def count_series(path: str | os.PathLike[str]) -> int:
    """Count the pictures in a file: 1 unless it is a tif or zarr of several.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        As `count_levels`.
    """
    return _count_series(location(path), "image")


def count_levels(path: str | os.PathLike[str], series: int = 0) -> int:
    """Count the sizes in which a file holds a picture: 1 unless it is a pyramid.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    IsADirectoryError
        If it is a folder and no zarr.
    ValueError
        If it is a tif or zarr and damaged.
    """
    return _count_levels(location(path), series)


def files_of(path: Path, role: str = "image") -> list[Path]:
    """Return the file or folder that a picture is in, and the other files that it is read from.

    What can't be read is refused by its `role`.
    """
    kind = format_of(path, role)
    with naming_damage(path, _IN_WORDS[kind]):
        return tiff.files_of(path) if kind == "tif" else [path]


def read_mask(path: str | os.PathLike[str], series: int = 0) -> NDArray[np.bool_]:
    """Read a region from a picture: True where any channel is not zero and nothing is transparent."""
    if series != 0:
        _check_series(Path(path), series, _count_series(Path(path), "mask"), "mask_series")
    image = read_into_memory(Path(path), series=series, role="mask")
    inside: NDArray[np.bool_] = image.pixels.astype(bool)
    if image.channel_axis is not None:
        inside = np.logical_or.reduce(inside, axis=image.channel_axis)
    return inside if image.mask is None else inside & image.mask


def read_into_memory(
    path: Path, colours_of_palette: bool = True, series: int = 0, role: str = "image"
) -> Image:
    """Read a picture, a zarr included, into arrays; of a palette the colours or the indices.

    What can't be read is refused by its `role`.
    """
    image = open_picture(path, colours_of_palette, series, role)
    mask = None if image.mask is None else np.asarray(image.mask)
    return replace(image, pixels=np.asarray(image.pixels), mask=mask)


def open_picture(path: Path, colours_of_palette: bool = True, series: int = 0, role: str = "image") -> Image:
    """Open a picture as `read_into_memory` reads it: of a zarr or a large tif the pixels stay on the disk."""
    return _read(path, colours_of_palette, series=series, role=role)


def _read(
    path: Folder,
    colours_of_palette: bool = True,
    level: int = 0,
    series: int = 0,
    alpha_apart: bool = True,
    role: str = "image",
) -> Image:
    kind = format_of(path, role)
    with naming_damage(path, _IN_WORDS[kind]):
        if isinstance(path, RemoteFolder) or kind == "zarr":
            return zarr_store.read(path, level, series)
        if kind == "tif":
            return tiff.read(
                path,
                level=level,
                series=series,
                colours_of_palette=colours_of_palette,
                alpha_apart=alpha_apart,
            )
        return pillow_files.read(path, kind, colours_of_palette)


def _count_levels(path: Folder, series: int) -> int:
    kind = format_of(path)
    with naming_damage(path, _IN_WORDS[kind]):
        if isinstance(path, RemoteFolder) or kind == "zarr":
            return zarr_store.count_levels(path, series)
        return tiff.count_levels(path, series) if kind == "tif" else 1


def _count_series(path: Folder, role: str) -> int:
    kind = format_of(path, role)
    with naming_damage(path, _IN_WORDS[kind]):
        if isinstance(path, RemoteFolder) or kind == "zarr":
            return zarr_store.count_series(path)
        return tiff.count_series(path) if kind == "tif" else 1


def _check_series(path: Folder, series: int, number: int, name: str) -> None:
    if series in range(number):
        return
    if number == 1:
        raise ValueError(f"{name} must be 0, as {path} holds 1 picture, got {series}")
    raise ValueError(f"{name} must be 0 to {number - 1}, as {path} holds {number} pictures, got {series}")


def _check_level(path: Folder, level: int, series: int) -> None:
    levels = _count_levels(path, series)
    if level in range(levels):
        return
    if levels == 1:
        raise ValueError(f"level must be 0, as {path} has 1 level, got {level}")
    raise ValueError(f"level must be 0 to {levels - 1}, as {path} has {levels} levels, got {level}")
