"""Labels as the commands make them: with the time taken, and a line about the result."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import Image
from napari_pcnet.progress import Progress
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import size_text


def label(image: Image, record: RunRecord, progress: Progress) -> tuple[NDArray[np.integer[Any]], float]:
    """Return the labels of a run, ``(..., H, W)``, and the seconds it took."""
    from napari_pcnet.run import run_image

    start = time.perf_counter()
    labels = run_image(image, record, progress=progress)
    return labels, time.perf_counter() - start


def summary(labels: NDArray[np.integer[Any]], record: RunRecord, seconds: float) -> str:
    """Return how many superpixels of which image took how long."""
    count = int(labels.max()) - record.start_label + 1
    text = f"{count} superpixels in {size_text(labels.shape)} pixels, {seconds:.1f} s"
    if record.height is None:
        return text
    return (
        f"{text}; cut at height {record.height:g}, not at a count, of a tree made for {record.tree_segments}"
    )
