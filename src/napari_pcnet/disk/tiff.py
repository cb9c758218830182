"""Tif and ome-tif: pictures with their levels and axes; labels with notes beside them."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import colour
from napari_pcnet.disk.formats import NOTES_KEY
from napari_pcnet.disk.image import ORIENTATION_TAG, Image, split_alpha, upright
from napari_pcnet.disk.output import write_whole

_ALPHA_KINDS = (1, 2)
"""Kinds of extra samples that are alpha, associated or not; another kind, such as infrared, is a channel."""


def count_levels(path: Path) -> int:
    """Count the sizes of the picture: 1 unless it is a pyramid."""
    with _opened(path) as file:
        return len(file.series[0].levels)


def read(path: Path, *, level: int, colours_of_palette: bool, alpha_apart: bool) -> Image:
    """Read one level; arguments as those of `pictures.read_image`."""
    import tifffile

    with _opened(path) as file:
        whole = file.series[0]
        # Only the full size is certain to carry the orientation.
        orientation = whole.keyframe.tags.get(ORIENTATION_TAG)
        is_ours = NOTES_KEY in _json_of(whole.keyframe)
        series = whole.levels[level]
        page = series.keyframe
        # A plain file is mapped, not loaded, so that its windows are read as they are needed.
        is_plain = series.dataoffset is not None
        pixels = tifffile.memmap(path, mode="r", level=level) if is_plain else series.asarray()
        has_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE
        palette = page.colormap if has_palette and colours_of_palette else None
        extra = tuple(page.extrasamples) if "S" in series.axes else ()
        model = colour.model_of(page) if colours_of_palette else colour.RGB
        axes: str = series.axes
    if pixels.shape != series.shape:  # a file's own shape may leave out axes of length one
        pixels = pixels.reshape(series.shape)
    if not is_ours:  # ours has the shape that it was given
        pixels, axes = _without_single_axes(pixels, axes)
    if palette is not None:
        pixels, axes = colour.look_up_palette(pixels, palette), axes + "S"
    alphas = [at for at, kind in enumerate(extra, -len(extra)) if kind in _ALPHA_KINDS]
    if "S" in axes and alphas and alpha_apart:
        image = split_alpha(pixels, axes.index("S"), alphas)
    else:
        image = Image(pixels, next((axes.index(each) for each in "SC" if each in axes), None))
    image = colour.in_rgb(image, model)
    return image if orientation is None else upright(image, int(orientation.value))


def read_description(path: Path) -> dict[str, Any]:
    """Read the JSON object in the description of the first page; empty if there is none."""
    with _opened(path) as file:
        return _json_of(file.pages[0])


def write_labels(
    path: Path, labels: NDArray[np.integer[Any]], notes: dict[str, Any] | None, overwrite: bool
) -> None:
    """Write labels in the type they have, compressed, with their notes in the description."""
    import tifffile

    content = io.BytesIO()  # tifffile asks a file for its name, and a temporary file's is a number
    tifffile.imwrite(
        content,
        labels,
        compression="zlib",
        predictor=labels.dtype.itemsize <= 4,  # the format has none for 64 bits
        photometric="minisblack",
        metadata={NOTES_KEY: notes},  # the key, even without notes, marks the file's shape as ours
    )
    write_whole(path, lambda file: file.write(content.getbuffer()), overwrite)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:  # Any: tifffile's file stays in here
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except tifffile.TiffFileError as error:  # in older versions no ValueError
        raise ValueError(str(error)) from error


def _json_of(page: Any) -> dict[str, Any]:  # Any: tifffile's page stays in here
    """Return the JSON object in a page's description; empty if there is other text or none."""
    try:
        words = json.loads(page.description)
    except (ValueError, RecursionError):  # other text, brackets without end
        return {}
    return words if isinstance(words, dict) else {}


def _without_single_axes(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Drop axes of length one, but for rows and columns."""
    single = tuple(
        at
        for at, (letter, length) in enumerate(zip(axes, pixels.shape, strict=True))
        if length == 1 and letter not in "YX"
    )
    return pixels.squeeze(single), "".join(each for at, each in enumerate(axes) if at not in single)
