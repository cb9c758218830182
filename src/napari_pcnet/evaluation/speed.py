"""What superpixels cost: time as ratios measured side by side in one run, and memory at its peak.

Times are in seconds. Methods take turns, so that a busy machine slows all of them; a ratio is the
median over turns of the ratio within a turn. Our own methods are timed stage by stage, too. Memory is in
bytes: the peak of a fresh process beyond what it held with its imports and the image; the imports and the
first two calls of that process are timed.

A run lives in a folder: ``results.csv`` (a row for each turn of each method, and for its fresh process;
what a run resumes from) and ``table.txt``.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_pcnet.evaluation.costs import Case, CostFile
from napari_pcnet.evaluation.folder import held, write_table
from napari_pcnet.evaluation.fresh import run_afresh, warm_up
from napari_pcnet.evaluation.methods import DEFAULT, Choice, OurMethod, choose
from napari_pcnet.evaluation.pictures import draw_photograph, shape_of
from napari_pcnet.evaluation.segmenter import Pixels, Segmenter
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.progress import Progress
from napari_pcnet.stages import STAGES, timed
from napari_pcnet.table import table_lines

MEBIBYTE = 2**20

MEMORY = "memory"
"""Stands for the turn in the row of a method's fresh process."""

REST = "rest"
"""What no stage holds: checks, and what a callback does."""

FRESH = ("imports_s", "first_s", "seconds", "peak_bytes")
"""Columns of `CostFile` that a fresh process fills."""


@dataclass(frozen=True)
class SpeedOptions:
    """What is timed, on which images, how often."""

    sizes: tuple[str, ...] = field(
        default=("3264x2448", "4096x4096"),
        metadata={"help": "sizes of the drawn images, WIDTHxHEIGHT in pixels"},
    )
    counts: tuple[int, ...] = field(
        default=(1_000, 10_000), metadata={"help": "numbers of superpixels to ask for"}
    )
    methods: tuple[str, ...] = field(
        default=(DEFAULT, "skimage-slic-10", "opencv-slic"),
        metadata={"help": "the first is held against the others; names as benchmark quality has them"},
    )
    ours: tuple[OurMethod, ...] = field(default=(), metadata={"flag": False})
    output: Path = field(
        default=Path("speed"), metadata={"help": "folder of results.csv and the table; a run resumes from it"}
    )
    repetitions: int = field(default=5, metadata={"help": "turns of each method, of which the median counts"})
    memory: bool = field(
        default=True,
        metadata={"help": "measure peak memory and the first two calls, too, in a process for each method"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the drawn images"})

    def __post_init__(self) -> None:
        if self.repetitions < 1:
            raise ValueError(f"repetitions must be a whole number of at least 1, got {self.repetitions}")
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"counts must be whole numbers of at least 1, got {list(self.counts)}")
        for size in self.sizes:
            shape_of(size)


@dataclass(frozen=True)
class MeasuredCost:
    """One method in one case."""

    method: str
    superpixels: int
    seconds: tuple[float, ...]  # a turn each
    stages: Mapping[str, float]  # median seconds of each, and of the rest; none of another's method
    fresh: Mapping[str, float]  # columns of `CostFile`; NaN: not measured, or the process was killed

    @property
    def median_s(self) -> float:
        """The median turn, in seconds."""
        return statistics.median(self.seconds)


def main_speed(options: SpeedOptions, progress: Progress) -> str:
    """Measure the time and memory that is not in the results file yet; write and return the table.

    Parameters
    ----------
    options : SpeedOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in runs of a method, of those not there yet.

    Returns
    -------
    str
        Seconds, memory and their ratios to the first method, for each image and request.

    Raises
    ------
    ValueError
        If a method, model or size is unknown.
    """
    return compare(choose(options.methods, options.ours), options, progress)


def compare(choice: Choice, options: SpeedOptions, progress: Progress) -> str:
    """Measure these methods and return their table; the first is held against the others."""
    turns = options.repetitions + options.memory
    cases = [Case(size, options.seed, count) for size in options.sizes for count in options.counts]
    tally = Tally(progress, len(cases) * len(choice.methods) * turns)
    with held(options.output) as results_file:
        clock = _Clock(choice.methods, CostFile(results_file, choice.methods), tally)
        blocks = []
        for case in cases:
            costs = clock.measure(case, options.repetitions, options.memory)
            title = (
                f"{case.size}, n = {case.request}, median of {options.repetitions} turns; "
                "time and memory as multiples of the first line's"
            )
            blocks.append("\n".join([title, *_table(costs), *_stage_table(costs), *_fresh_table(costs)]))
        described = [f"{each.name}: {each.described()}" for each in choice.methods]
        text = "\n\n".join([*blocks, "\n".join([*described, *choice.skipped])])
        write_table(options.output, text)
    return text


# ------------------------------------------------------------------------------ measuring


class _Clock:
    """Lets methods take turns, and remembers what was measured."""

    def __init__(self, methods: Sequence[Segmenter], log: CostFile, tally: Tally) -> None:
        self.methods, self.log, self.tally = methods, log, tally
        self._warm: set[str] = set()

    def measure(self, case: Case, repetitions: int, memory: bool) -> list[MeasuredCost]:
        """Measure what is missing of a case, and return all of it."""
        turns = [str(turn) for turn in range(repetitions)]
        image: Pixels | None = None
        for turn in [*turns, *([MEMORY] if memory else [])]:  # last: what is compiled is on disk by then
            for method in self.methods:
                if self.log.find(method, case, turn) is not None:
                    self.tally.skip()
                    continue
                if image is None:
                    image = draw_photograph(shape_of(case.size), case.seed)
                self._run(method, case, turn, image)
                self.tally.step()
        return [self._cost(method, case, turns, memory) for method in self.methods]

    def _run(self, method: Segmenter, case: Case, turn: str, image: Pixels) -> None:
        if turn == MEMORY:
            run = run_afresh(method, image, case.request)
            self.log.write(method, case, turn, **({} if run is None else run.numbers))
            return
        if method.name not in self._warm:
            warm_up(method, image)
            self._warm.add(method.name)
        start = time.perf_counter()
        with timed() as stages:
            labels = method(image, case.request)
        seconds = time.perf_counter() - start
        self.log.write(method, case, turn, seconds=seconds, K=np.unique(labels).size, **stages)

    def _cost(self, method: Segmenter, case: Case, turns: Sequence[str], memory: bool) -> MeasuredCost:
        runs = [numbers for turn in turns if (numbers := self.log.find(method, case, turn))]
        fresh = self.log.find(method, case, MEMORY) if memory else None
        return MeasuredCost(
            method.name,
            int(runs[0]["K"]),
            tuple(run["seconds"] for run in runs),
            _median_stages(runs),
            dict.fromkeys(FRESH, math.nan) if fresh is None else fresh,
        )


def _median_stages(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median over turns of the seconds of each stage that all of them have, and of the rest."""
    common = [name for name in STAGES if not any(math.isnan(run[name]) for run in runs)]
    if not common:
        return {}
    rests = [run["seconds"] - sum(run[name] for name in common) for run in runs]
    return {name: statistics.median(run[name] for run in runs) for name in common} | {
        REST: statistics.median(rests)
    }


# ------------------------------------------------------------------------------ the table


HEAD = ("", "K", "seconds", "MiB", "time", "(range)", "memory")


def _table(costs: Sequence[MeasuredCost]) -> list[str]:
    return table_lines(HEAD, (_row(cost, costs[0]) for cost in costs))


def _row(cost: MeasuredCost, first: MeasuredCost) -> list[str]:
    ratios = [own / other for own, other in zip(cost.seconds, first.seconds, strict=True)]
    return [
        cost.method,
        str(cost.superpixels),
        f"{cost.median_s:.2f}",
        _or_dash(cost.fresh["peak_bytes"] / MEBIBYTE, ".0f"),
        f"{statistics.median(ratios):.2f}",
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        _or_dash(cost.fresh["peak_bytes"] / first.fresh["peak_bytes"], ".2f"),
    ]


def _stage_table(costs: Sequence[MeasuredCost]) -> list[str]:
    """Seconds of each stage of our methods; nothing if there is none of them."""
    ours = [cost for cost in costs if cost.stages]
    names = [name for name in (*STAGES, REST) if any(name in cost.stages for cost in ours)]
    rows = [
        [cost.method, *(_or_dash(cost.stages.get(name, math.nan), ".3f") for name in names)] for cost in ours
    ]
    return ["", *table_lines(("seconds in each stage", *names), rows)] if ours else []


def _fresh_table(costs: Sequence[MeasuredCost]) -> list[str]:
    """Seconds of the first two calls of a process; nothing if they were not measured."""
    columns = FRESH[:3]
    if all(math.isnan(cost.fresh[name]) for cost in costs for name in columns):
        return []
    head = ("seconds in a fresh process", "imports", "first call", "second call")
    rows = ([cost.method, *(_or_dash(cost.fresh[name], ".2f") for name in columns)] for cost in costs)
    return ["", *table_lines(head, rows)]


def _or_dash(number: float, digits: str) -> str:
    return "-" if math.isnan(number) else format(number, digits)
