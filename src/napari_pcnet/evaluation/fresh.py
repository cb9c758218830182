"""One run of a method in a process of its own, with its time and its peak memory."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_pcnet.evaluation.segmenter import Pixels, Segmenter

WARM_UP_PX = 256
WARM_UP_SEGMENTS = 16
KIBIBYTE = 2**10

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
"""Linux: writing 5 here sets the peak to the memory held now."""


class Run(NamedTuple):
    """One run of a method in a process of its own."""

    superpixels: int
    seconds: float
    peak_bytes: int


def run_afresh(method: Segmenter, image: Pixels, count: int) -> Run | None:
    """Run a method once in a fresh process; None if memory runs out, or the process is killed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.npy")
        np.save(file, image)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            try:
                return process.submit(_run_and_watch, method, file, count).result()
            except (MemoryError, BrokenProcessPool):
                return None


def _run_and_watch(method: Segmenter, image_file: Path, count: int) -> Run:
    """Time a run, and take its peak of memory beyond this process with its imports and the image."""
    for module in method.imports:
        import_module(module)
    image = np.load(image_file)
    before = _reset_peak()
    warm_up(method, image)
    start = time.perf_counter()
    labels = method(image, count)
    seconds = time.perf_counter() - start
    peak = _peak_rss() - before
    return Run(np.unique(labels).size, seconds, peak)


def warm_up(method: Segmenter, image: Pixels) -> None:
    """Run a method on a small part, so that the next run includes no imports and no loading of weights."""
    method(np.ascontiguousarray(image[:WARM_UP_PX, :WARM_UP_PX]), WARM_UP_SEGMENTS)


def _reset_peak() -> int:
    """Forget the peak so far where the system can, and return the memory held now, in bytes."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")
    return _peak_rss()


def _peak_rss() -> int:
    if STATUS.exists():
        # On Linux ru_maxrss would do only nearly: a process inherits the peak of its parent.
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())
        if found:
            return int(found[1]) * KIBIBYTE
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIBIBYTE
