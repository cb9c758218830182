"""What superpixels cost: time as ratios measured side by side in one run, and memory at its peak.

Times are in seconds, methods taking turns so that a busy machine slows all of them, the median of
several turns. Memory is in bytes: the peak of a fresh process beyond what it held with its imports
and the image.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.evaluation.methods import (
    HIERARCHY,
    LATTICE,
    NAMES,
    Choice,
    Image,
    Method,
    choose,
)
from napari_pcnet.evaluation.tally import Progress, Tally

BLOCK_PX = 816
"""Side of the photographs that a drawn image is put together from."""

NOISE = 2.0
"""Standard deviation of the drawn sensor noise, in grey levels."""

WARM_UP_PX = 256
WARM_UP_SEGMENTS = 16
KIBIBYTE = 2**10
MEBIBYTE = 2**20

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
"""Linux: writing 5 here sets the peak to the memory held now."""


@dataclass(frozen=True)
class CostOptions:
    """What is timed, on which images, how often."""

    sizes: tuple[str, ...] = field(
        default=("3264x2448", "4096x4096"),
        metadata={"help": "sizes of the drawn images, WIDTHxHEIGHT in pixels"},
    )
    counts: tuple[int, ...] = field(
        default=(1_000, 10_000), metadata={"help": "numbers of superpixels to ask for"}
    )
    methods: tuple[str, ...] = field(
        default=(HIERARCHY, "skimage-slic-10", "opencv-slic"),
        metadata={"help": f"the first is held against the others, out of {', '.join(NAMES)}"},
    )
    repetitions: int = field(default=3, metadata={"help": "turns of each method, of which the median counts"})
    memory: bool = field(
        default=True, metadata={"help": "measure peak memory, too, in a process for each method"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the drawn images"})
    model: str = field(default="pcnet-bsds500-v1", metadata={"help": f"weights of {HIERARCHY}"})
    lattice_model: str = field(
        default="pcnet-faithful-bsds500-v1", metadata={"help": f"weights of {LATTICE}"}
    )

    def __post_init__(self) -> None:
        if self.repetitions < 1:
            raise ValueError(f"repetitions must be a whole number of at least 1, got {self.repetitions}")
        for size in self.sizes:
            shape_of(size)


@dataclass(frozen=True)
class Cost:
    """One method on one image at one request."""

    method: str
    superpixels: int
    seconds: tuple[float, ...]
    peak_bytes: int | None  # None: not measured, or the process was killed

    @property
    def median_s(self) -> float:
        """The median turn, in seconds."""
        return statistics.median(self.seconds)


def main_cost(options: CostOptions, progress: Progress) -> str:
    """Measure time and memory, and return the table.

    Parameters
    ----------
    options : CostOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in runs of a method.

    Returns
    -------
    str
        Seconds, memory and their ratios to the first method, for each image and request.

    Raises
    ------
    ValueError
        If a method, model or size is unknown.
    """
    choice = choose(options.methods, options.model, options.lattice_model)
    return compare(choice, options, progress)


def compare(choice: Choice, options: CostOptions, progress: Progress) -> str:
    """Measure these methods and return their table; the first is held against the others."""
    turns = options.repetitions + options.memory
    cases = len(options.sizes) * len(options.counts)
    tally = Tally(progress, cases * len(choice.methods) * turns)
    blocks = []
    for size in options.sizes:
        image = draw_photograph(shape_of(size), options.seed)
        for count in options.counts:
            costs = _measure(choice.methods, image, count, options, tally)
            title = f"{size}, n = {count}, median of {options.repetitions}"
            stages = [_stages(method, image, count) for method in choice.methods]
            blocks.append("\n".join([title, *_table(costs), *filter(None, stages)]))
    described = [f"{each.name}: {each.described()}" for each in choice.methods]
    return "\n\n".join([*blocks, "\n".join([*described, *choice.skipped])])


# ------------------------------------------------------------------------------- pictures


def shape_of(size: str) -> tuple[int, int]:
    """Return (H, W) of a size written WIDTHxHEIGHT.

    Raises
    ------
    ValueError
        If it is not written so.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if match is None:
        raise ValueError(f"sizes are written WIDTHxHEIGHT such as 4096x4096, got {size!r}")
    return int(match[2]), int(match[1])


def draw_photograph(shape: tuple[int, int], seed: int) -> Image:
    """Draw a picture like a large photograph: enlarged photographs side by side, and noise.

    Parameters
    ----------
    shape : (H, W) tuple of int
        In pixels.
    seed : int
        Decides which photographs lie where, how they are turned, and the noise.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    rng = np.random.default_rng(seed)
    blocks = [_enlarged(photograph) for photograph in _photographs()]
    height, width = shape
    picture = np.empty((*shape, 3), np.uint8)
    for top, left in product(range(0, height, BLOCK_PX), range(0, width, BLOCK_PX)):
        target = picture[top : top + BLOCK_PX, left : left + BLOCK_PX]
        turned = np.rot90(blocks[rng.integers(len(blocks))], int(rng.integers(4)))
        grey_levels = turned[: target.shape[0], : target.shape[1]]
        noisy = grey_levels + rng.normal(0, NOISE, target.shape)
        target[:] = np.clip(np.rint(noisy), 0, 255)
    return picture


def _photographs() -> list[Image]:
    from skimage import data

    return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def _enlarged(photograph: Image) -> NDArray[np.float64]:
    from skimage.transform import resize

    side = min(photograph.shape[:2])
    square = photograph[:side, :side]
    enlarged: NDArray[np.float64] = resize(
        square, (BLOCK_PX, BLOCK_PX), order=1, mode="edge", preserve_range=True
    )
    return enlarged


# ------------------------------------------------------------------------------ measuring


def _measure(
    chosen: Sequence[Method], image: Image, count: int, options: CostOptions, tally: Tally
) -> list[Cost]:
    peaks = _peaks(chosen, image, count, tally) if options.memory else [None] * len(chosen)
    for method in chosen:  # so that no turn pays for imports or for loading weights
        method(np.ascontiguousarray(image[:WARM_UP_PX, :WARM_UP_PX]), WARM_UP_SEGMENTS)
    seconds: list[list[float]] = [[] for _ in chosen]
    superpixels = [0] * len(chosen)
    for _ in range(options.repetitions):
        for index, method in enumerate(chosen):
            start = time.perf_counter()
            labels = method(image, count)
            seconds[index].append(time.perf_counter() - start)
            superpixels[index] = np.unique(labels).size
            tally.step()
    return [
        Cost(method.name, superpixels[index], tuple(seconds[index]), peaks[index])
        for index, method in enumerate(chosen)
    ]


def _peaks(chosen: Sequence[Method], image: Image, count: int, tally: Tally) -> list[int | None]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.npy")
        np.save(file, image)
        peaks = []
        for method in chosen:
            peaks.append(_peak_of_fresh_process(method, file, count))
            tally.step()
    return peaks


def _peak_of_fresh_process(method: Method, image_file: Path, count: int) -> int | None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            return process.submit(peak_bytes, method, image_file, count).result()
        except BrokenProcessPool:  # killed, as a system does that runs out of memory
            return None


def peak_bytes(method: Method, image_file: Path, count: int) -> int:
    """Return the peak memory of one run, beyond this process with its imports and the image."""
    for module in method.imports:
        import_module(module)
    image = np.load(image_file)
    before = _reset_peak()
    method(image, count)
    return _peak_rss() - before


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


def _stages(method: Method, image: Image, count: int) -> str:
    if method.stages is None:
        return ""
    seconds = method.stages(image, count)
    parts = ", ".join(f"{stage} {value:.2f} s" for stage, value in seconds.items())
    return f"  where the time of {method.name} goes, in one more run: {parts}"


# ------------------------------------------------------------------------------ the table


def _table(costs: Sequence[Cost]) -> list[str]:
    columns = f"{'K':>7}{'seconds':>9}{'range':>18}{'MiB':>8}{'time':>8}{'memory':>8}"
    return [
        f"  {'':<18}{columns}  (the last two as multiples of the first line's)",
        *(_line(cost, costs[0]) for cost in costs),
    ]


def _line(cost: Cost, first: Cost) -> str:
    span = f"{min(cost.seconds):.2f} to {max(cost.seconds):.2f}"
    memory = "-" if cost.peak_bytes is None else f"{cost.peak_bytes / MEBIBYTE:.0f}"
    measured = f"{cost.superpixels:>7}{cost.median_s:>9.2f}{span:>18}{memory:>8}"
    time_ratio = f"{cost.median_s / first.median_s:.2f}"
    return f"  {cost.method:<18}{measured}{time_ratio:>8}{_memory_ratio(cost, first):>8}"


def _memory_ratio(cost: Cost, first: Cost) -> str:
    if cost.peak_bytes is None or not first.peak_bytes:
        return "-"
    return f"{cost.peak_bytes / first.peak_bytes:.2f}"
