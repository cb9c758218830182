"""Labels as the commands make them: with the time taken, and a line about the result."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.output import ArrayKind
from napari_pcnet.disk.zarr_store import LabelsOfPart
from napari_pcnet.progress import Progress
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import size_text
from napari_pcnet.stages import stage, timed

if TYPE_CHECKING:
    from napari_pcnet.run import OfPlane, Streaming

WORDS = {
    "reading": ("reading",),
    "network": ("weights", "trunk", "tail"),
    "tables": ("pieces", "table"),
    "tree": ("tree",),
    "waiting for workers": ("waiting",),
    "writing": ("look-up", "smoothing", "writing"),
}
"""Stages by the words for them."""


def label(
    image: Image, record: RunRecord, progress: Progress, elsewhere: "OfPlane | None" = None
) -> tuple[NDArray[np.integer[Any]], float]:
    """Return the labels of a run, ``(..., H, W)``, and the seconds it took."""
    from napari_pcnet.run import Streaming, image_by_windows, run_image

    start = time.perf_counter()
    if elsewhere is None:
        labels = run_image(image, record, progress=progress)
    else:
        made = image_by_windows(image, record, Streaming(progress=progress, elsewhere=elsewhere))
        labels = np.empty(made.shape, made.dtype)
        for place, part in made.parts:
            labels[place] = part
    return labels, time.perf_counter() - start


def label_to_file(
    path: Path, image: Image, record: RunRecord, streaming: "Streaming", **writing: Any
) -> list[str]:
    """Write the labels of a run window by window; return a line about them, and one on where the time went.

    Arguments are those of `run.image_by_windows`; those of `labels.write_windows` may follow.
    """
    from napari_pcnet.run import image_by_windows

    start, highest = time.perf_counter(), record.start_label - 1
    made = image_by_windows(image, record, streaming)

    def parts() -> Iterator[LabelsOfPart]:
        nonlocal highest
        for place, labels in made.parts:
            highest = max(highest, int(labels.max()))
            yield place, labels

    with timed() as stages, stage("writing"):
        write_windows(path, parts(), ArrayKind(made.shape, made.dtype), **writing)
    seconds = time.perf_counter() - start
    megapixels = math.prod(made.shape) / 1e6
    return [
        summary(highest, made.shape, record, seconds),
        f"{megapixels / seconds:.3g} megapixels a second: {shares_of(stages)}",
    ]


def shares_of(stages: Mapping[str, float]) -> str:
    """Say what part of the time went where, from the seconds of each stage.

    >>> shares_of({"trunk": 3.0, "tail": 1.0, "writing": 1.0})
    'network 80 %, writing 20 %'
    """
    spent = {word: sum(stages.get(each, 0.0) for each in names) for word, names in WORDS.items()}
    total = sum(spent.values())
    return ", ".join(
        f"{word} {seconds / total:.0%}".replace("%", " %") for word, seconds in spent.items() if seconds
    )


def summary(highest: int, shape: Sequence[int], record: RunRecord, seconds: float) -> str:
    """Return how many superpixels of which image took how long."""
    count = highest - record.start_label + 1
    text = f"{count} superpixels in {size_text(shape)} pixels, {seconds:.1f} s"
    if record.height is None:
        return text
    return (
        f"{text}; cut at height {record.height:g}, not at a count, of a tree made for {record.tree_segments}"
    )
