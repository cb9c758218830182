"""Two calls of a method in a process of its own, with their times and their peak of memory."""

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
    """The first two calls of a process."""

    superpixels: int
    imports_s: float  # before the first call; numpy and what the method's description needs are there
    first_s: float  # with weights, what is compiled or read as compiled, and what a library does but once
    seconds: float  # of the second call
    peak_bytes: int

    @property
    def numbers(self) -> dict[str, float]:
        """Columns of a `CostFile`."""
        numbers = self._asdict()
        return {"K": numbers.pop("superpixels"), **numbers}


def run_afresh(method: Segmenter, image: Pixels, count: int, *, small_first: bool = False) -> Run | None:
    """Call a method twice in a fresh process; None if memory runs out, or the process is killed.

    With `small_first` the first call gets a small part of the image.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.npy")
        np.save(file, image)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            try:
                return process.submit(_run_and_watch, method, file, count, small_first).result()
            except (MemoryError, BrokenProcessPool):
                return None


def _run_and_watch(method: Segmenter, image_file: Path, count: int, small_first: bool) -> Run:
    """Time both calls, and take their peak of memory beyond this process with its imports and the image."""
    start = time.perf_counter()
    for module in method.imports:
        import_module(module)
    imports_s = time.perf_counter() - start
    image = np.load(image_file)
    before = _reset_peak()
    start = time.perf_counter()
    if small_first:
        warm_up(method, image)
    else:
        method(image, count)
    between = time.perf_counter()
    labels = method(image, count)
    seconds = time.perf_counter() - between
    peak = _peak_rss() - before
    return Run(np.unique(labels).size, imports_s, between - start, seconds, peak)


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
