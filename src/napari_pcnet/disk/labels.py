"""Labels in files: integers, as they are, with notes on how they were made beside them."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pillow_files, tiff, zarr_store
from napari_pcnet.disk.damage import READER_ERRORS
from napari_pcnet.disk.formats import LABEL_SUFFIXES, LARGEST_PNG_LABEL, NOTES_KEY, Format, format_of
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.output import ArrayKind, check_output
from napari_pcnet.disk.pictures import open_picture
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.zarr_store import LabelsOfPart
from napari_pcnet.shapes import size_text

_LIMITS = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
"""Of labels in files, which have a sign."""


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.integer[Any]]:
    """Read labels, ``(..., H, W)`` integers; of a palette the indices, never the colours.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    IsADirectoryError
        If it is a folder and no zarr.
    ValueError
        If it is not a picture of whole numbers with one channel.
    """
    return loaded(open_labels(path))


def loaded(opened: Image) -> NDArray[np.integer[Any]]:
    """Load labels that `open_labels` opened."""
    labels: NDArray[Any] = np.asarray(opened.pixels)
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def open_labels(path: str | os.PathLike[str]) -> Image:
    """Open labels as `read_labels` reads them; a zarr or a large tif is read where it is sliced."""
    path = Path(path)
    image = open_picture(path, colours_of_palette=False, role="labels file")
    labels = image.pixels
    if image.channel_axis is not None or labels.ndim < 2 or labels.dtype.kind not in "bui":
        raise ValueError(
            f"labels in {path} must be one channel of whole numbers, "
            f"got {size_text(labels.shape)} of {labels.dtype}"
        )
    return image


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the notes that `write_labels` left in a file; None if the file, whatever it is, has none of ours.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    """
    path = Path(path)
    try:
        kind = format_of(path)
    except (IsADirectoryError, ValueError):
        return None
    try:
        words = _words_beside_pixels(path, kind)
    except READER_ERRORS:  # a file that can't be read has no notes of ours
        return None
    notes = words.get(NOTES_KEY)
    return notes if isinstance(notes, dict) else None


def write_labels(
    path: str | os.PathLike[str],
    labels: NDArray[np.integer[Any]],
    overwrite: bool = False,
    notes: Mapping[str, Any] | None = None,
    placement: Placement | None = None,
    outside: int | None = None,
) -> None:
    """Write labels as integers, whole or not at all.

    A tif has 16 bits if every label fits, 32 (or 64) otherwise; a png has 16. Never 8: a viewer would
    show a file that looks like a picture. A zarr is one array of format 3 with 32 bits (or 64), never 16,
    so that labels added later fit; its chunks are at most 1024 x 1024 pixels of one plane. A name that ends
    in .ome.zarr becomes an OME-Zarr 0.5 of labels: a pyramid, each level with the most frequent label of
    2 x 2 pixels, and the size of a pixel with its unit.

    Parameters
    ----------
    path : path
        Ends in .tif, .tiff, .png or .zarr, or .ome.zarr.
    labels : (..., H, W) array_like of int or bool
        A png takes one plane.
    overwrite : bool
        Whether an existing file is replaced.
    notes : mapping, optional
        What JSON can say about the labels, for `read_notes`; a png cannot carry them.
    placement : Placement, optional
        Where the labels lie, as `pictures.read_image` gives it. A tif has all of it, a png and a zarr the
        size of a pixel.
    outside : int, optional
        The label of what is outside a mask or has no data. A tif that holds it declares it as no data
        (GDAL_NODATA).

    Raises
    ------
    ValueError
        If labels are no planes of whole numbers, or they or the notes do not fit into the format.
    TypeError
        If JSON cannot say the notes.
    OSError
        If the file exists, its folder does not, or the disk is full.
    """
    path = Path(path)
    check_output(path, LABEL_SUFFIXES, overwrite)
    # As JSON has them: what is written is what `read_notes` gives, and what can't be is refused now.
    words = None if notes is None else json.loads(json.dumps(dict(notes)))
    if np.ma.isMaskedArray(labels):
        raise ValueError("labels are a masked array: pass labels.filled(0)")
    labels = np.asarray(labels)
    if labels.ndim < 2 or labels.dtype.kind not in "bui" or not labels.size:
        shape = size_text(labels.shape) or "one value"
        raise ValueError(f"labels must be whole numbers of one plane or more, got {shape} of {labels.dtype}")
    kind = path.suffix.lower()
    if kind == ".png":
        _check_png(path, labels, notes)
        pillow_files.write(path, labels.astype(np.uint16), overwrite, placement)
    elif kind == ".zarr":
        wide = np.dtype(_wide_type(labels))
        whole = [(..., labels.astype(wide, copy=False))]
        kind_of_array = ArrayKind(labels.shape, wide)
        zarr_store.write_labels(path, whole, kind_of_array, words, overwrite, placement)
    else:
        is_short = _fits(labels, 0, LARGEST_PNG_LABEL)
        kind_of_number = np.uint16 if is_short else _wide_type(labels)
        nodata = outside if outside is not None and (labels == outside).any() else None
        tiff.write_labels(path, labels.astype(kind_of_number), words, overwrite, placement, nodata)


def write_windows(
    path: Path,
    windows: Iterable[LabelsOfPart],
    kind: ArrayKind,
    *,
    overwrite: bool = False,
    notes: Mapping[str, Any] | None = None,
    placement: Placement | None = None,
    outside: int | None = None,
    origin: tuple[float, float] | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write labels part by part, as `write_labels` writes them, whole or not at all.

    They are never held: those of a tif, which is written tile by tile, wait in a zarr beside it until all are
    there.

    Parameters
    ----------
    path : Path
        Ends in .zarr, .tif or .tiff; `output.check_output` has passed it.
    windows : iterable
        For each part an index of the array and the labels there. It begins when the output is made.
    kind : ArrayKind
        Shape, and int32 or int64.
    overwrite, notes, placement, outside
        As in `write_labels`.
    origin : (float, float), optional
        Where the centre of the first pixel lies along rows and columns, in the unit of `placement`; an
        OME-Zarr alone has it.
    check : callable, optional
        Called in between while a zarr is written, and may raise to leave nothing of it.
    """
    words = None if notes is None else json.loads(json.dumps(dict(notes)))
    if path.suffix.lower() == ".zarr":
        zarr_store.write_labels(path, windows, kind, words, overwrite, placement, origin, check)
        return
    with zarr_store.scratch(path, windows, kind) as array:
        lowest, highest, has_outside = _seen(array, outside)
        ends = np.array([lowest, highest])
        dtype = np.dtype(np.uint16 if _fits(ends, 0, LARGEST_PNG_LABEL) else _wide_type(ends))
        nodata = outside if has_outside else None
        tiff.write_tiled_labels(
            path, array, ArrayKind(kind.shape, dtype), words, overwrite, placement, nodata
        )


def _seen(array: Any, outside: int | None) -> tuple[int, int, bool]:
    """The least and the highest label of an array, and whether it holds what is outside."""
    lowest, highest, has_outside = 0, 0, False
    for part in tiff.parts_of(array):
        lowest, highest = min(lowest, int(part.min())), max(highest, int(part.max()))
        has_outside |= outside is not None and bool((part == outside).any())
    return lowest, highest, has_outside


def _words_beside_pixels(path: Path, kind: Format) -> dict[str, Any]:
    """Read the notes that are kept with the pixels, in the formats that have room for it."""
    if kind == "tif":
        return tiff.read_description(path)
    return zarr_store.read_attributes(path) if kind == "zarr" else {}


def _fits(labels: NDArray[np.integer[Any]], lowest: int, highest: int) -> bool:
    return not labels.size or bool(labels.min() >= lowest and labels.max() <= highest)


def fits_32_bits(labels: NDArray[np.integer[Any]]) -> bool:
    """Whether every label, ``(...)``, is one of int32."""
    limits = np.iinfo(np.int32)
    return _fits(labels, limits.min, limits.max)


def _wide_type(labels: NDArray[np.integer[Any]]) -> type[np.signedinteger[Any]]:
    if not _fits(labels, *_LIMITS):
        raise ValueError(f"labels in a file must be at most {_LIMITS[1]}, got {labels.max()}")
    return np.int32 if fits_32_bits(labels) else np.int64


def _check_png(path: Path, labels: NDArray[np.integer[Any]], notes: Mapping[str, Any] | None) -> None:
    tif = path.with_suffix(".tif")
    if notes is not None:
        raise ValueError(f"a png cannot carry notes; write {tif} or {path.with_suffix('.zarr')} instead")
    if labels.ndim != 2:
        raise ValueError(f"labels are {size_text(labels.shape)}, a png has one plane; write {tif} instead")
    if not _fits(labels, 0, LARGEST_PNG_LABEL):
        raise ValueError(
            f"labels {labels.min()} to {labels.max()} do not fit into the 16 bits of a png; "
            f"write {tif} instead"
        )
