"""One method measured on all images of a set, until its curve reaches every K and CD wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from napari_pcnet.disk.datasets import Pair
from napari_pcnet.evaluation.curves import mean_points, next_requests
from napari_pcnet.evaluation.results import Key, ResultsFile, Row
from napari_pcnet.evaluation.segmenter import CutAt, Pixels, Segmenter
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.evaluation.workers import Workers
from napari_pcnet.metrics import score_annotations, seam_rate
from napari_pcnet.shapes import Labels

MAX_ROUNDS = 6
"""Rounds of requests, after which a K or CD not reached is given up and named in the table."""


class MethodFailedError(ValueError):
    """A method that raises an error, or returns no labels of the image."""


@dataclass(frozen=True)
class Wanted:
    """The K and CD that every curve must reach, and what its means are over."""

    counts: Sequence[int]
    densities: Sequence[float]
    annotations: str  # mean, worst or best
    tolerance_px: int | None


class _Task(NamedTuple):
    """One image to be segmented by one method at several requests."""

    method: Segmenter
    pair: Pair
    keys: Sequence[Key]
    tolerance_px: int | None


@dataclass(frozen=True)
class Campaign:
    """One method on all images of a set.

    Attributes
    ----------
    method : Segmenter
    folder : Path
        Of the set.
    pairs : sequence of Pair
        Its images and annotations.
    most : int
        Superpixels that can be asked of every image.
    wanted : Wanted
    results : ResultsFile
        Where rows are found again and written to.
    tally : Tally
        Counts finished labellings.
    workers : Workers
    """

    method: Segmenter
    folder: Path
    pairs: Sequence[Pair]
    most: int
    wanted: Wanted
    results: ResultsFile
    tally: Tally
    workers: Workers

    def rows(self) -> list[Row]:
        """Measure round by round until the curve brackets every K and CD wanted.

        A resumed run goes through the same rounds, since each follows from the ones before alone.

        Raises
        ------
        MethodFailedError
            If the method fails on an image.
        """
        described = self.method.described()
        requests = sorted({min(count, self.most) for count in self.wanted.counts})
        rows: list[Row] = []
        for round_number in range(MAX_ROUNDS):
            if round_number:
                self.tally.expect(len(requests) * len(self.pairs))
            rows += self._round(requests, described)
            requests = self._missing(rows)
            if not requests:
                break
        return rows

    def _missing(self, rows: Sequence[Row]) -> list[int]:
        """Return the requests of the next round."""
        points = mean_points(rows, self.wanted.annotations)
        for_counts = next_requests(points, self.wanted.counts, self.most)
        for_densities = next_requests(points, self.wanted.densities, self.most, along="CD")
        return sorted({*for_counts, *for_densities})

    def _round(self, requests: Sequence[int], described: str) -> Iterator[Row]:
        """Measure what is missing of a round, and return all its rows."""
        tasks, keys = [], []
        for pair in self.pairs:
            of_pair = [self._key(pair, request, described) for request in requests]
            missing = [key for key in of_pair if key not in self.results]
            keys += of_pair
            if missing:
                tasks.append(_Task(self.method, pair, missing, self.wanted.tolerance_px))
            for _ in range(len(of_pair) - len(missing)):
                self.tally.skip()
        for row in self.workers.results_of(_measure, tasks):
            self.results.append(row)
            self.tally.step()
        return (self.results[key] for key in keys)

    def _key(self, pair: Pair, request: int, described: str) -> Key:
        tolerance_px = self.wanted.tolerance_px
        return Key(
            data=set_name(self.folder),
            method=self.method.name,
            settings=described,
            image=pair.name,
            request=request,
            tolerance="default" if tolerance_px is None else str(tolerance_px),
        )


def set_name(folder: Path) -> str:
    """Return what a set is called in results and tables: its last two folders, such as bsds500/val."""
    return "/".join(folder.resolve().parts[-2:])


def _measure(task: _Task) -> Iterator[Row]:
    """Segment and score; one row for each key."""
    image, references = task.pair.read_image(), task.pair.read_annotations()
    with _named_failure(task, task.keys[0].request):
        cut = task.method.cuts(image)
    for key in task.keys:
        labels = _segment(task, cut, image, key.request)
        scores = score_annotations(labels, references, image, task.tolerance_px)
        yield Row.of(key, scores, _seam_rate_of(task.method, labels, key.request))


def _segment(task: _Task, cut: CutAt, image: Pixels, count: int) -> Labels:
    with _named_failure(task, count):
        labels = cut(count)
        if labels.shape != image.shape[:2]:
            raise ValueError(f"labels of shape {labels.shape} for {image.shape[:2]} pixels")
    return labels


@contextmanager
def _named_failure(task: _Task, count: int) -> Iterator[None]:
    """Name the method, the image and the count in whatever error a method may raise."""
    try:
        yield
    except Exception as error:
        message = f"{task.method.name} left out: it failed on {task.pair.image} at n = {count} ({error})"
        raise MethodFailedError(message) from error


def _seam_rate_of(method: Segmenter, labels: Labels, request: int) -> float:
    if method.seams is None:
        return math.nan
    seams = method.seams((labels.shape[0], labels.shape[1]), request)
    if not any(seams.cut) or not any(seams.lattice):
        return math.nan
    rate = seam_rate(labels, *seams)
    return rate if math.isfinite(rate) else math.nan  # no borders to hold the seams against
