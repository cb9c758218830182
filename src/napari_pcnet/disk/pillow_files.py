"""Png and jpg: what Pillow reads, and png of 16 bits a colour, which it doesn't."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import ORIENTATION_TAG, Image, split_alpha, upright
from napari_pcnet.disk.output import write_whole

_DEEP_MODES = ("RGB;16B", "RGBA;16B", "LA;16B")
"""Pillow's names for 16 bits a colour in a png."""


def read(path: Path, colours_of_palette: bool) -> Image:
    """Read a picture; of a palette the colours or the indices."""
    import PIL.Image

    # The limit protects servers that take files from strangers; our pictures are large.
    limit, PIL.Image.MAX_IMAGE_PIXELS = PIL.Image.MAX_IMAGE_PIXELS, None
    try:
        with PIL.Image.open(path) as file:
            has_deep_colours = file.format == "PNG" and any(tile.args in _DEEP_MODES for tile in file.tile)
            orientation = int(file.getexif().get(ORIENTATION_TAG, 1))
            if file.mode == "P" and not colours_of_palette:
                image = Image(np.asarray(file), None)
            elif has_deep_colours:
                image = _read_deep_png(path)
            else:
                image = _decoded_by_pillow(file)
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = limit
    return upright(image, orientation)


def write(path: Path, pixels: NDArray[Any], overwrite: bool) -> None:
    """Write a png or jpg, by the ending of its name."""
    import PIL.Image

    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"

    write_whole(path, lambda file: PIL.Image.fromarray(pixels).save(file, format=kind), overwrite)


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
