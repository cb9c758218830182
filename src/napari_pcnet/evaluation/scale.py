"""How time and memory grow with the side of a square image: the paper's Fig. 1.

Each method segments each image in a fresh process, which measures its time and its peak memory beyond
the image and its imports. A run lives in a folder: ``results.csv`` (what a run resumes from),
``table.txt``, and ``scale.png``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from napari_pcnet.disk.provenance import GIBIBYTE
from napari_pcnet.evaluation.costs import Case, CostFile
from napari_pcnet.evaluation.folder import held, write_table
from napari_pcnet.evaluation.fresh import Run, run_afresh
from napari_pcnet.evaluation.methods import DEFAULT, Choice, OurMethod, choose
from napari_pcnet.evaluation.pictures import draw_photograph
from napari_pcnet.evaluation.segmenter import Segmenter
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.geometry.grid import CELL
from napari_pcnet.progress import Progress
from napari_pcnet.table import table_lines

PLOT = "scale.png"
TURN = "fresh process"


@dataclass(frozen=True)
class ScaleOptions:
    """Which images, which methods."""

    sides: tuple[int, ...] = field(
        default=(1024, 2048, 3072, 4096), metadata={"help": "sides of the drawn square images, in pixels"}
    )
    count: int = field(
        default=0,
        metadata={
            "help": f"superpixels of each image; 0: one for each {CELL} x {CELL} pixels, as in the paper"
        },
    )
    methods: tuple[str, ...] = field(
        default=(DEFAULT, "skimage-slic-10", "opencv-slic"),
        metadata={"help": "the first is held against the others; names as benchmark quality has them"},
    )
    ours: tuple[OurMethod, ...] = field(default=(), metadata={"flag": False})
    output: Path = field(
        default=Path("scale"),
        metadata={"help": "folder of results.csv, the table and the plot; a run resumes from it"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the drawn images"})

    def __post_init__(self) -> None:
        if not self.sides or min(self.sides) < CELL:
            raise ValueError(f"sides must be whole numbers of at least {CELL}, got {list(self.sides)}")
        if self.count < 0:
            raise ValueError(f"count must be a whole number of at least 0, got {self.count}")

    def case(self, side: int) -> Case:
        """The image and request that every method is given at one side."""
        return Case(f"{side}x{side}", self.seed, self.count or max(1, (side // CELL) ** 2))


def main_scale(options: ScaleOptions, progress: Progress) -> str:
    """Measure what is not in the results file yet; write and return the table, and draw.

    Parameters
    ----------
    options : ScaleOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in runs of a method, of those not there yet.

    Returns
    -------
    str
        Seconds and GiB of each method at each side, and what was skipped.

    Raises
    ------
    ValueError
        If a method or model is unknown.
    """
    return compare(choose(options.methods, options.ours), options, progress)


def compare(choice: Choice, options: ScaleOptions, progress: Progress) -> str:
    """Measure these methods, write and return their table, and draw it."""
    import_module("napari_pcnet.evaluation.plots.scale")  # a missing matplotlib is named before the work

    tally = Tally(progress, len(choice.methods) * len(options.sides))
    with held(options.output) as results_file:
        log = CostFile(results_file, choice.methods)
        for side in options.sides:
            _measure(choice.methods, side, options, log, tally)
        return _written(choice, options, log)


def _written(choice: Choice, options: ScaleOptions, log: CostFile) -> str:
    """Write the table and the plot of what was measured, and return the table."""
    from napari_pcnet.evaluation.plots.scale import ScalePoint, draw_scale

    runs = {
        method.name: [_found(method, side, options, log) for side in options.sides]
        for method in choice.methods
    }
    described = [f"{each.name}: {each.described()}" for each in choice.methods]
    text = "\n".join([*_table(runs, options), "", *described, *choice.skipped])
    provenance = write_table(options.output, text)
    series = {
        name: [
            ScalePoint(side, run.seconds, run.peak_bytes) if run else ScalePoint(side, None, None)
            for side, run in zip(options.sides, own, strict=True)
        ]
        for name, own in runs.items()
    }
    draw_scale(options.output / PLOT, series, provenance)
    return text


def _measure(
    methods: Sequence[Segmenter], side: int, options: ScaleOptions, log: CostFile, tally: Tally
) -> None:
    case, image = options.case(side), None
    for method in methods:
        if log.find(method, case, TURN) is not None:
            tally.skip()
            continue
        if image is None:
            image = draw_photograph((side, side), options.seed)
        run = run_afresh(method, image, case.request, small_first=True)
        log.write(method, case, TURN, **({} if run is None else run.numbers))
        tally.step()


def _found(method: Segmenter, side: int, options: ScaleOptions, log: CostFile) -> Run | None:
    """Return a run that was measured, or None if it ran out of memory."""
    numbers = log.find(method, options.case(side), TURN)
    if numbers is None or math.isnan(numbers["seconds"]):
        return None
    imports_s, first_s = numbers["imports_s"], numbers["first_s"]
    return Run(int(numbers["K"]), imports_s, first_s, numbers["seconds"], int(numbers["peak_bytes"]))


def _table(runs: dict[str, list[Run | None]], options: ScaleOptions) -> list[str]:
    first = next(iter(runs.values()))
    rows = [
        [name, *(_cell(run, reference) for run, reference in zip(own, first, strict=True))]
        for name, own in runs.items()
    ]
    title = "image side in pixels; seconds and peak GiB, each also as a multiple of the first line's"
    return [title, *table_lines(["", *map(str, options.sides)], rows)]


def _cell(run: Run | None, first: Run | None) -> str:
    if run is None:
        return "out of memory"
    gibibytes = run.peak_bytes / GIBIBYTE
    if first is None:
        return f"{run.seconds:.2f} s {gibibytes:.2f} GiB"
    return (
        f"{run.seconds:.2f} s ({run.seconds / first.seconds:.2f})"
        f" {gibibytes:.2f} GiB ({run.peak_bytes / first.peak_bytes:.2f})"
    )
