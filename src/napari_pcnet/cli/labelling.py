"""Labels as the commands make them: with the time taken, and a line about the result."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.window_files import WindowFiles
from napari_pcnet.disk.zarr_store import ArrayKind, LabelsOfPart
from napari_pcnet.progress import Progress
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import size_text


def label(image: Image, record: RunRecord, progress: Progress) -> tuple[NDArray[np.integer[Any]], float]:
    """Return the labels of a run, ``(..., H, W)``, and the seconds it took."""
    from napari_pcnet.run import run_image

    start = time.perf_counter()
    labels = run_image(image, record, progress=progress)
    return labels, time.perf_counter() - start


def label_to_zarr(
    path: Path, image: Image, record: RunRecord, progress: Progress, files: WindowFiles | None, **writing: Any
) -> str:
    """Write the labels of a run window by window, and return the line about them.

    Arguments of `labels.write_windows` may follow.
    """
    from napari_pcnet.run import image_by_windows

    start, highest = time.perf_counter(), record.start_label - 1
    made = image_by_windows(image, record, path.absolute().parent, progress, files)

    def parts() -> Iterator[LabelsOfPart]:
        nonlocal highest
        for place, labels in made.parts:
            highest = max(highest, int(labels.max()))
            yield place, labels

    write_windows(path, parts(), ArrayKind(made.shape, made.dtype), **writing)
    return summary(highest, made.shape, record, time.perf_counter() - start)


def summary(highest: int, shape: Sequence[int], record: RunRecord, seconds: float) -> str:
    """Return how many superpixels of which image took how long."""
    count = highest - record.start_label + 1
    text = f"{count} superpixels in {size_text(shape)} pixels, {seconds:.1f} s"
    if record.height is None:
        return text
    return (
        f"{text}; cut at height {record.height:g}, not at a count, of a tree made for {record.tree_segments}"
    )
