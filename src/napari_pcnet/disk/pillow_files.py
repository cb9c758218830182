"""Png and jpg: what Pillow reads, and png of 16 bits a colour, which it doesn't."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import ORIENTATION_TAG, Image, split_alpha, upright
from napari_pcnet.disk.memory import check_fits
from napari_pcnet.disk.output import write_whole
from napari_pcnet.disk.placement import INCH_M, Placement

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_LARGEST_RESOLUTION = {"JPEG": 2**16 - 1, "PNG": 2**31 - 1}
"""By format: pixels in an inch, in 16 bits; pixels in a metre, in 31."""

_DEEP_MODES = ("RGB;16B", "RGBA;16B", "LA;16B")
"""Pillow's names for 16 bits a colour in a png."""

_PEAK_BYTES_PER_PX = {"1": 3, "L": 3, "I;16": 6, "I": 12, "RGB": 10}
"""Memory for a pixel in the modes that are decoded and copied once, as measured."""

_LARGEST_PEAK_BYTES_PER_PX = 20
"""The same where the mode changes (transparency, palettes, CMYK) and with 16 bits a colour: 9 to 19."""

_REMEDY = "save it as a zarr, which is read in parts"
"""What would do for a picture that does not fit into memory."""


def read(path: Path, kind: Literal["png", "jpg"], colours_of_palette: bool) -> Image:
    """Read a picture; of a palette the colours or the indices."""
    with _opened(path, kind) as file:
        has_deep_colours = file.format == "PNG" and any(tile.args in _DEEP_MODES for tile in file.tile)
        _check_fits(file, has_deep_colours)
        placement = _placement_of(file)
        orientation = int(file.getexif().get(ORIENTATION_TAG, 1))  # decodes a png
        if file.mode == "P" and not colours_of_palette:
            image = Image(np.asarray(file), None)
        elif has_deep_colours:
            image = _read_deep_png(path)
        else:
            image = _decoded_by_pillow(file)
    return upright(replace(image, placement=placement), orientation)


def read_tif_page(path: Path, page: int) -> NDArray[np.uint8]:
    """Read a page of a tif in a form that libtiff alone decodes, as ``(H, W, 3)``."""
    from PIL.TiffImagePlugin import TiffImageFile  # this format and no other, and no limit of its size

    with TiffImageFile(path) as file:
        file.seek(page)
        check_fits(file.width * file.height * _LARGEST_PEAK_BYTES_PER_PX, _REMEDY)
        return np.asarray(file.convert("RGB"))


def write(path: Path, pixels: NDArray[Any], overwrite: bool, placement: Placement | None = None) -> None:
    """Write a png or jpg, by the ending of its name, with the size of a pixel."""
    import PIL.Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    if placement is not None and placement.geo is not None:
        warnings.warn(
            f"{path} has no place on the map, which a {kind.lower()} cannot hold; "
            f"write {path.with_suffix('.tif')} to keep it",
            UserWarning,
            stacklevel=3,
        )
    options = _resolution(placement, kind)
    write_whole(path, lambda file: PIL.Image.fromarray(pixels).save(file, format=kind, **options), overwrite)


def _resolution(placement: Placement | None, kind: str) -> dict[str, Any]:
    """Return Pillow's argument for pixels in an inch, along columns and rows, if the format can hold them."""
    metres = None if placement is None else placement.pixel_metres
    if metres is None:
        return {}
    height, width = (INCH_M / side if side else 0.0 for side in metres)
    per_inch = 1 if kind == "JPEG" else 1 / INCH_M  # a png counts pixels in a metre
    fits = all(1 <= each * per_inch <= _LARGEST_RESOLUTION[kind] for each in (height, width))
    return {"dpi": (width, height)} if fits else {}


def _placement_of(file: ImageFile) -> Placement | None:
    """Return the size of a pixel, if the file says so."""
    try:
        width, height = (float(each) for each in file.info["dpi"])
    except (KeyError, TypeError, ValueError):
        return None
    return Placement((1 / height, 1 / width), "inch") if min(width, height) > 0 else None


def _opened(path: Path, kind: Literal["png", "jpg"]) -> ImageFile:
    """Open a file as this one format.

    `PIL.Image.open` would try every format it knows, of which one starts Ghostscript, and refuses pictures
    above a size that only the whole process can change.
    """
    from PIL import JpegImagePlugin, PngImagePlugin

    return PngImagePlugin.PngImageFile(path) if kind == "png" else JpegImagePlugin.JpegImageFile(path)


def _check_fits(file: ImageFile, has_deep_colours: bool) -> None:
    is_copied = not file.has_transparency_data and not has_deep_colours
    peak = _PEAK_BYTES_PER_PX.get(file.mode) if is_copied else None
    check_fits(file.width * file.height * (peak or _LARGEST_PEAK_BYTES_PER_PX), _REMEDY)


def _read_deep_png(path: Path) -> Image:
    """Read a png of 16 bits a colour, of which Pillow would give the upper 8."""
    import imagecodecs

    pixels = imagecodecs.png_decode(path.read_bytes())
    return split_alpha(pixels, -1, [-1]) if pixels.shape[-1] in (2, 4) else Image(pixels, -1)


def _decoded_by_pillow(file: Any) -> Image:  # Any: PIL.Image.Image stays in here
    if file.mode.startswith("I;16"):
        return _grey_without(file.info.get("transparency"), np.asarray(file))
    if file.has_transparency_data:
        grey = file.mode in ("L", "LA", "La", "1")
        return split_alpha(np.asarray(file.convert("RGBA").convert("LA" if grey else "RGBA")), -1, [-1])
    if file.mode not in ("1", "L", "I", "F", "RGB"):
        file = file.convert("RGB")  # palettes, CMYK, YCbCr, Lab
    pixels = np.asarray(file)
    return Image(pixels, None if pixels.ndim == 2 else -1)


def _grey_without(transparent: int | None, pixels: NDArray[Any]) -> Image:
    """Return 16-bit grey, masked where it has the value that is declared transparent."""
    mask = None if transparent is None else pixels != transparent
    return Image(pixels, None, None if mask is None or mask.all() else mask)
