"""Quality of superpixels on annotated images, method beside method at equal measured K.

Every method segments every image at a list of requests, steered until the measured K brackets the
K wanted; every labelling is scored against every annotation. Means are over all (image, annotation)
rows, and all scores are interpolated linearly in the mean K.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from napari_pcnet.datasets import Pair, read_pairs
from napari_pcnet.evaluation.curves import Point, at_equal_count, mean_points, next_requests
from napari_pcnet.evaluation.methods import (
    HIERARCHY,
    LATTICE,
    NAMES,
    Choice,
    Image,
    Labels,
    Method,
    available,
    choose,
    hierarchy,
)
from napari_pcnet.evaluation.results import SCORES, Key, ResultsFile, Row
from napari_pcnet.evaluation.tally import Progress, Tally
from napari_pcnet.metrics import Scores, score_annotations

MAX_ROUNDS = 6
"""Rounds of requests after which a K not reached is given up and said so."""

HEADLINES = {
    "ASA": "achievable segmentation accuracy (higher is better)",
    "BR": "boundary recall (higher is better)",
    "BP": "boundary precision (higher is better)",
    "UE": "undersegmentation error, Neubert-Protzel (lower is better)",
    "EV": "explained variation (higher is better)",
    "CO": "compactness (a square has 0.785)",
    "CD": "contour density (lower is sparser)",
}
CHOICE_HEADLINES = ("ASA", "BR", "CO")


@dataclass(frozen=True)
class QualityOptions:
    """What is measured, on which images, and where it is written."""

    data: Path = field(metadata={"help": "folder of a split, with images/ and labels/"})
    output: Path = field(
        default=Path("quality.csv"),
        metadata={"help": "CSV file the rows are added to; a run resumes from what is there"},
    )
    methods: tuple[str, ...] = field(default=NAMES, metadata={"help": f"out of {', '.join(NAMES)}"})
    counts: tuple[int, ...] = field(
        default=(200, 400, 600, 800),
        metadata={"help": "numbers of superpixels to compare at, as measured"},
    )
    every: int = field(
        default=1, metadata={"help": "take every so-many-th image by name, the first included"}
    )
    tolerance_px: int | None = field(
        default=None,
        metadata={"help": "reach of boundary recall in pixels; default 0.0025 of the diagonal"},
    )
    model: str = field(default="pcnet-bsds500-v1", metadata={"help": f"weights of {HIERARCHY}"})
    lattice_model: str = field(
        default="pcnet-faithful-bsds500-v1", metadata={"help": f"weights of {LATTICE}"}
    )
    compactness: float | None = field(
        default=None, metadata={"help": f"of {HIERARCHY}; its own default if not given"}
    )
    choose_compactness: tuple[float, ...] = field(
        default=(),
        metadata={
            "help": f"compare {HIERARCHY} at these values of compactness, on validation "
            "data, in place of the methods"
        },
    )

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be a whole number of at least 1, got {self.every}")
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"counts must be whole numbers of at least 1, got {list(self.counts)}")
        if self.choose_compactness and self.data.name == "test":
            raise ValueError(
                f"compactness is not chosen on test images, got {self.data}; give validation data"
            )


def main_quality(options: QualityOptions, progress: Progress) -> str:
    """Measure what is not in the results file yet, and return the table.

    Parameters
    ----------
    options : QualityOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in labellings scored. The total grows when requests are added.

    Returns
    -------
    str
        Each score at equal measured K, method by method, and what was skipped or not reached.

    Raises
    ------
    FileNotFoundError
        If the data, or the folder of the output, are not there.
    ValueError
        If a method or model is unknown.
    """
    if options.choose_compactness:
        trees = [hierarchy(options.model, each) for each in options.choose_compactness]
        labels = [f"compactness {each:g}" for each in options.choose_compactness]
        return compare(available(trees), options, progress, labels, CHOICE_HEADLINES)
    choice = choose(options.methods, options.model, options.lattice_model, options.compactness)
    return compare(choice, options, progress)


def compare(
    choice: Choice,
    options: QualityOptions,
    progress: Progress,
    names: Sequence[str] = (),
    headlines: Sequence[str] = tuple(HEADLINES),
) -> str:
    """Measure these methods and return their table, each under its name or the one given."""
    pairs = read_pairs(options.data)[:: options.every]
    results = ResultsFile(options.output)
    tally = Tally(progress, len(choice.methods) * len(pairs) * len(options.counts))
    curves = [_Campaign(each, pairs, options, results, tally).curve() for each in choice.methods]
    named = dict(zip(names or [each.name for each in choice.methods], curves, strict=True))
    return "\n\n".join(
        [
            _heading(pairs, options),
            *(_block(headline, named, options.counts) for headline in headlines),
            _notes(choice, named, options.counts),
        ]
    )


# ------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class _Campaign:
    """One method on all images."""

    method: Method
    pairs: Sequence[Pair]
    options: QualityOptions
    results: ResultsFile
    tally: Tally

    def curve(self) -> list[Point]:
        """Measure round by round until the curve brackets every K wanted.

        A resumed run goes through the same rounds, since each follows from the ones before alone.
        """
        described = self.method.described()
        requests = sorted(set(self.options.counts))
        rows: list[Row] = []
        for round_number in range(MAX_ROUNDS):
            if round_number:
                self.tally.expect(len(requests) * len(self.pairs))
            for pair in self.pairs:
                rows += self._rows(pair, requests, described)
            requests = next_requests(mean_points(rows), self.options.counts)
            if not requests:
                break
        return mean_points(rows)

    def _rows(self, pair: Pair, requests: Sequence[int], described: str) -> Iterator[Row]:
        keys = [self._key(pair, request, described) for request in requests]
        missing = [key for key in keys if key not in self.results]
        if missing:
            # The whole round's largest request, so that a resumed run makes the same tree.
            self._measure(pair, missing, max(requests))
        for key in keys:
            self.tally.step()
            yield self.results[key]

    def _measure(self, pair: Pair, keys: Sequence[Key], max_segments: int) -> None:
        image, truths = pair.read_image(), pair.read_annotations()
        cut = self.method.cut(image, max_segments)
        for key in keys:
            scores = _mean_scores(cut(key.request), truths, image, self.options.tolerance_px)
            self.results.append(Row(key, len(truths), scores))

    def _key(self, pair: Pair, request: int, described: str) -> Key:
        return Key(
            data="/".join(self.options.data.resolve().parts[-2:]),
            method=self.method.name,
            settings=described,
            image=pair.name,
            request=request,
            tolerance=_tolerance(self.options),
        )


def _tolerance(options: QualityOptions) -> str:
    return "default" if options.tolerance_px is None else str(options.tolerance_px)


def _mean_scores(
    labels: Labels, truths: Sequence[Labels], image: Image, tolerance_px: int | None
) -> dict[str, float]:
    scores = score_annotations(labels, truths, image, tolerance_px)
    return {
        short: float(np.mean([getattr(each, name) for each in scores]))
        for name, short in zip((each.name for each in fields(Scores)), SCORES, strict=True)
    }


# ------------------------------------------------------------------------------ the table


def _heading(pairs: Sequence[Pair], options: QualityOptions) -> str:
    annotations = sum(len(pair.annotations) for pair in pairs)
    tolerance = "0.0025 of the diagonal" if options.tolerance_px is None else f"{options.tolerance_px} px"
    return (
        f"{options.data}: {len(pairs)} images, mean over all {annotations} annotations, "
        f"at equal measured K; boundary tolerance {tolerance}"
    )


def _block(headline: str, curves: dict[str, list[Point]], counts: Sequence[int]) -> str:
    lines = [f"{headline}: {HEADLINES[headline]}", _line("K", [str(count) for count in counts])]
    for name, points in curves.items():
        at_counts = [at_equal_count(points, count) for count in counts]
        cells = ["-" if each is None else f"{each[headline]:.4f}" for each in at_counts]
        lines.append(_line(name, cells))
    return "\n".join(lines)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"  {name:<20}" + "".join(f"{cell:>9}" for cell in cells)


def _notes(choice: Choice, curves: dict[str, list[Point]], counts: Sequence[int]) -> str:
    notes = [f"{each.name}: {each.described()}" for each in choice.methods]
    for name, points in curves.items():
        reached = [point.superpixels for point in points]
        missed = [str(count) for count in counts if not min(reached) <= count <= max(reached)]
        if missed:
            span = f"{min(reached):.0f} to {max(reached):.0f}"
            notes.append(f"{name}: K = {', '.join(missed)} not reached, measured {span}")
    return "\n".join([*notes, *choice.skipped])
