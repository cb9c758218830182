"""Png and jpg: what Pillow reads, and png of 16 bits a colour, which it doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import ORIENTATION_TAG, Image, split_alpha, upright
from napari_pcnet.disk.memory import check_fits
from napari_pcnet.disk.output import write_whole

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_DEEP_MODES = ("RGB;16B", "RGBA;16B", "LA;16B")
"""Pillow's names for 16 bits a colour in a png."""

_PEAK_BYTES_PER_PX = {"1": 3, "L": 3, "I;16": 6, "I": 12, "RGB": 10}
"""Memory for a pixel in the modes that are decoded and copied once, as measured."""

_LARGEST_PEAK_BYTES_PER_PX = 20
"""The same where the mode changes (transparency, palettes, CMYK) and with 16 bits a colour: 9 to 19."""


def read(path: Path, kind: Literal["png", "jpg"], colours_of_palette: bool) -> Image:
    """Read a picture; of a palette the colours or the indices."""
    with _opened(path, kind) as file:
        has_deep_colours = file.format == "PNG" and any(tile.args in _DEEP_MODES for tile in file.tile)
        _check_fits(file, has_deep_colours)
        orientation = int(file.getexif().get(ORIENTATION_TAG, 1))  # decodes a png
        if file.mode == "P" and not colours_of_palette:
            image = Image(np.asarray(file), None)
        elif has_deep_colours:
            image = _read_deep_png(path)
        else:
            image = _decoded_by_pillow(file)
    return upright(image, orientation)


def write(path: Path, pixels: NDArray[Any]) -> None:
    """Write a png or jpg, by the ending of its name."""
    import PIL.Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"

    write_whole(path, lambda file: PIL.Image.fromarray(pixels).save(file, format=kind))


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
    width, height = file.size
    check_fits(
        width * height * (peak or _LARGEST_PEAK_BYTES_PER_PX), "save it as a zarr, which is read in parts"
    )


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
