"""Labels of a plane, window by window: for a picture of any size, and an output of any kind.

The first pass keeps what each window says of its pixels, compressed, and the table of all regions. The second
one looks up the labels. So memory is set by a window and by the table, not by the picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from napari_pcnet import pipeline
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.output import ArrayKind, check_output
from napari_pcnet.disk.spool import folder_beside
from napari_pcnet.disk.zarr_store import open_array
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import Picture, windows_of
from napari_pcnet.merging.streamed import KeptWindows, StreamedIds
from napari_pcnet.network.inference import Elsewhere
from napari_pcnet.options import Options
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import Labels, label_type

Windows = Iterator[tuple[Window, Labels]]
"""Where a window lies in the picture, and its labels, ``(h, w)``."""


def new_path(out: Any) -> Path | None:
    """Take the path of a zarr that is to be made, and refuse it before any work; None for what is no path.

    Raises
    ------
    ValueError, OSError
        If it could not be written.
    """
    if not isinstance(out, str | os.PathLike):
        return None
    path = Path(out)
    if path.suffix.lower() == ".zarr" and os.path.lexists(path):
        raise FileExistsError(f"out {path} exists; name another, or pass the array itself to write into it")
    check_output(path, (".zarr",))
    return path


def write_zarr(path: Path, picture: Picture, options: Options, progress: Progress | None = None) -> Labels:
    """Write the labels of a plane to a new zarr, whole or not at all, and open it."""
    kind = ArrayKind(picture.shape, np.dtype(label_type(_highest(picture, options))))
    with labels_by_windows(picture, options, path.absolute().parent, progress) as windows:
        write_windows(path, ((window.slices, labels) for window, labels in windows), kind)
    opened: Labels = open_array(path)
    return opened


def write_array(out: Any, picture: Picture, options: Options, progress: Progress | None = None) -> Labels:
    """Write the labels of a plane into an array, and return it.

    Raises
    ------
    ValueError, TypeError
        If it can't take them.
    """
    _check_array(out, picture, options)
    with labels_by_windows(picture, options, folder_beside(out), progress) as windows:
        for window, labels in windows:
            out[window.slices] = labels
    written: Labels = out
    return written


def _highest(picture: Picture, options: Options) -> int:
    """The highest label that there may be."""
    most = options.n_segments
    if options.method == "lattice":
        most = pipeline.lattice_grid(picture.shape, picture.share_inside, options).cells
    return most + options.start_label - 1


def _check_array(out: Any, picture: Picture, options: Options) -> None:
    """Refuse an array that can't take labels."""
    names = ("shape", "dtype", "__setitem__")
    if not all(hasattr(out, name) for name in names) or hasattr(out, "compute"):
        raise TypeError(
            "out must be an array that can be written by slices, such as numpy's or zarr's, or the path of a "
            f"new .zarr, got {type(out).__name__}"
        )
    if tuple(out.shape) != picture.shape:
        raise ValueError(f"out must have the image's shape {picture.shape}, got {tuple(out.shape)}")
    dtype, highest = _type_of(out), _highest(picture, options)
    lowest = options.start_label - (picture.mask is not None)
    fits = dtype.kind in "iu" and np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max
    if not fits:
        raise ValueError(f"out must hold whole numbers from {lowest} to {highest}, got {dtype}")
    if _is_read_only(out):
        raise ValueError("out is read-only; open it for writing")


def _type_of(out: Any) -> np.dtype[Any]:
    """Type of an array as numpy names it; tensors have their own."""
    try:
        kind: np.dtype[Any] = np.dtype(out.dtype)
    except TypeError as error:
        raise TypeError(
            f"out must be an array of a type that numpy knows, got {type(out).__name__} of {out.dtype}; of a "
            "tensor pass its view by numpy()"
        ) from error
    return kind


def _is_read_only(out: Any) -> bool:
    """Whether an array of zarr, numpy or h5py can't be written."""
    if getattr(out, "read_only", False) or not getattr(getattr(out, "flags", None), "writeable", True):
        return True
    return getattr(getattr(out, "file", None), "mode", None) == "r"


@contextmanager
def labels_by_windows(
    picture: Picture,
    options: Options,
    folder: Path | None = None,
    progress: Progress | None = None,
    cut: Mapping[str, Any] | None = None,
    kept: KeptWindows | None = None,
    elsewhere: Elsewhere | None = None,
) -> Iterator[Windows]:
    """Label a plane; on entering the network runs, and what is given are the labels of its windows.

    Parameters
    ----------
    picture : Picture
        Has room for `options.n_segments`.
    options : Options
        Smoothed outlines take the memory of the whole plane, and are one window.
    folder : Path, optional
        Where a file is made for what windows say, if it is much; None for the system's temporary folder.
    progress : callable, optional
        As in `napari_pcnet.pcnet_superpixels`.
    cut : mapping, optional
        Which cut of the tree: arguments of `PCNetHierarchy.labels`. By default at `options.n_segments`.
    kept : KeptWindows, optional
        Windows that are done before, and those that will be.
    elsewhere : Elsewhere, optional
        Labels the windows in place of this process.

    Yields
    ------
    iterator of (Window, (h, w) int32 array)
        Windows cover the plane. Where it has a mask some overlap, and the later ones count.
    """
    cut = cut or {"n": options.n_segments}
    if options.smoothing:
        yield iter([(Window(0, 0, *picture.shape), _whole(picture, options, progress, cut, elsewhere))])
        return
    with StreamedIds(folder, kept) as streamed:
        if options.method == "lattice":
            base = pipeline.lattice_base(picture, options, progress, streamed, elsewhere)
            table = pipeline.lattice_table(base.regions, options)
        else:
            most = max(options.n_segments, cut.get("n", 0))
            hierarchy = pipeline.segment(
                picture, options, progress=progress, streamed=streamed, most=most, elsewhere=elsewhere
            )
            if "n" in cut:
                hierarchy.check_count(cut["n"], "n_segments")
            table = hierarchy.table(**cut)
        with closing(streamed.labels(table, pipeline.threads(elsewhere))) as labels:
            if picture.mask is None:
                yield labels
            else:  # windows without a pixel inside are passed over
                yield chain(_outside(picture, options.start_label - 1, table.dtype), labels)


def _whole(
    picture: Picture,
    options: Options,
    progress: Progress | None,
    cut: Mapping[str, Any],
    elsewhere: Elsewhere | None,
) -> Labels:
    if options.method == "lattice":
        return pipeline.segment_lattice(picture, options, progress, elsewhere)
    return pipeline.segment(picture, options, progress=progress, elsewhere=elsewhere).labels(**cut)


def _outside(picture: Picture, label: int, dtype: np.dtype[np.integer[Any]]) -> Windows:
    """Windows that cover a picture, of the label of what is outside."""
    for window in windows_of(picture.shape):
        yield window, np.full(window.shape, label, dtype)
