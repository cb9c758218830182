"""Quality of superpixels on annotated images, method beside method at equal measured K.

Every method segments every image at a list of requests, steered until the measured K brackets the
K wanted; every labelling is scored against every annotation. Means are over all (image, annotation)
rows, and all scores are interpolated linearly in the mean K.

A run lives in a folder: ``results.csv`` (a row a method, image and request; what a run resumes
from), ``table.txt``, and the plots of `plots`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.curves import (
    Point,
    at_equal_count,
    between,
    mean_points,
    nearest_request,
    next_requests,
)
from napari_pcnet.evaluation.folder import held, write_table
from napari_pcnet.evaluation.methods import Choice, OurMethod, choose
from napari_pcnet.evaluation.results import SEAM_RATE, Key, ResultsFile, Row
from napari_pcnet.evaluation.segmenter import Image, Labels, Segmenter
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.evaluation.workers import results_of
from napari_pcnet.metrics import score_annotations, seam_rate
from napari_pcnet.progress import Progress

if TYPE_CHECKING:
    from napari_pcnet.evaluation.plots import PanelRow

MAX_ROUNDS = 6
"""Rounds of requests after which a K not reached is given up and said so."""

HEADLINES = {
    "ASA": "achievable segmentation accuracy (higher is better)",
    "BR": "boundary recall (higher is better)",
    "BP": "boundary precision (higher is better)",
    "UE": "undersegmentation error, Neubert-Protzel (lower is better)",
    "UE_Levin": "undersegmentation error, Levinshtein (lower is better)",
    "EV": "explained variation (higher is better)",
    "CO": "compactness (a square has 0.785)",
    "CD": "contour density (lower is sparser)",
    SEAM_RATE: "borders on lines between windows, as a multiple of the lattice's other lines (1: no seam)",
}


@dataclass(frozen=True)
class Crop:
    """A part of one image to be shown under each method.

    Attributes
    ----------
    image : str
        Its name, without ending.
    top, left : int
        Its first row and column, in pixels.
    side_px : int
        Its side, in pixels.
    """

    image: str
    top: int
    left: int
    side_px: int = 160

    def __post_init__(self) -> None:
        if self.side_px < 1:
            raise ValueError(f"side_px must be a whole number of at least 1, got {self.side_px}")


@dataclass(frozen=True)
class QualityOptions:
    """What is measured, on which images, and where it is written."""

    data: Path = field(
        default=Path(), metadata={"help": "folder of a split, or of the sets", "default": "here"}
    )
    sets: tuple[str, ...] = field(
        default=(".",), metadata={"help": "splits, as folders below that of --data", "default": "itself"}
    )
    output: Path = field(
        default=Path("quality"),
        metadata={"help": "folder of results.csv, the table and the plots; a run resumes from it"},
    )
    methods: tuple[str, ...] = field(
        default=(),
        metadata={"help": "names such as pcnet-v1/hierarchy, FILE/lattice, opencv-slic; default all"},
    )
    ours: tuple[OurMethod, ...] = field(default=(), metadata={"flag": False})
    counts: tuple[int, ...] = field(
        default=(200, 400, 600, 800),
        metadata={"help": "numbers of superpixels to compare at, as measured"},
    )
    every: int = field(
        default=1, metadata={"help": "take every so-many-th image by name, the first included"}
    )
    annotations: Literal["mean", "worst", "best"] = field(
        default="mean", metadata={"help": "which of an image's annotations counts in table and plots"}
    )
    tolerance_px: int | None = field(
        default=None,
        metadata={"help": "reach of boundary recall in pixels; default 0.0025 of the diagonal"},
    )
    headlines: tuple[str, ...] = field(
        default=("ASA", "BR", "BP", "UE", "EV", "CO"),
        metadata={"help": f"scores of the table, out of {', '.join(HEADLINES)}"},
    )
    title: str = field(default="", metadata={"help": "what the table and the plots are headed"})
    plots: bool = field(default=True, metadata={"help": "draw the curves, too"})
    panel: tuple[Crop, ...] = field(default=(), metadata={"flag": False})
    panel_count: int = field(default=400, metadata={"help": "superpixels of an image in the panel of crops"})
    panel_methods: tuple[str, ...] = field(
        default=(), metadata={"help": "methods in the panel of crops; default all"}
    )
    workers: int = field(default=1, metadata={"help": "processes side by side"})

    def __post_init__(self) -> None:
        for name in ("every", "workers", "panel_count"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)}")
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"counts must be whole numbers of at least 1, got {list(self.counts)}")
        if len(set(self.counts)) < len(self.counts):
            raise ValueError(f"counts must differ from each other, got {list(self.counts)}")
        if self.tolerance_px is not None and self.tolerance_px < 0:
            raise ValueError(f"tolerance_px must be a whole number of at least 0, got {self.tolerance_px}")
        if not self.sets:
            raise ValueError("sets must name at least one folder, got none")
        unknown = [each for each in self.headlines if each not in HEADLINES]
        if unknown:
            raise ValueError(f"no score is called {unknown[0]!r}; there are {', '.join(HEADLINES)}")


class MethodFailedError(ValueError):
    """A method that raises an error, or returns no labels of the image."""


class Curves(NamedTuple):
    """What was measured on one set."""

    folder: Path
    pairs: Sequence[Pair]
    by_method: dict[str, list[Point]]


def main_quality(options: QualityOptions, progress: Progress) -> str:
    """Measure what is not in the results file yet; write and return the table, and draw.

    Parameters
    ----------
    options : QualityOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in labellings scored, of those not there yet. The total grows when
        requests are added.

    Returns
    -------
    str
        Each score at equal measured K, method by method, and what was skipped or not reached.

    Raises
    ------
    FileNotFoundError
        If the data are not there.
    ValueError
        If a method, a model or a layout is unknown, or every method fails. One that fails beside
        others is left out and named.
    """
    return compare(choose(options.methods, options.ours), options, progress)


def compare(choice: Choice, options: QualityOptions, progress: Progress) -> str:
    """Measure these methods, write and return their table, and draw."""
    _refuse_equal_names([_set_name(options.data / name) for name in options.sets])
    sets = {name: _pairs_of(options.data / name, options.every) for name in options.sets}
    crops = [_crop_of(crop, sets) for crop in options.panel]
    _refuse_unknown([*options.panel_methods], [each.name for each in choice.methods])
    if options.plots:  # a missing matplotlib is said before the work, not after it
        import_module("napari_pcnet.evaluation.plots")
    with held(options.output) as results_file:
        tally = Tally(progress, len(choice.methods) * sum(map(len, sets.values())) * len(options.counts))
        choice, measured = _measured(choice, sets, options, ResultsFile(results_file), tally)
        text = _text(choice, measured, options)
        provenance = write_table(options.output, text)
        if options.plots:
            _draw(choice, measured, crops, options, provenance)
    return text


def _measured(
    choice: Choice,
    sets: Mapping[str, Sequence[Pair]],
    options: QualityOptions,
    results: ResultsFile,
    tally: Tally,
) -> tuple[Choice, Sequence[Curves]]:
    """Measure set by set; a method that fails is left out of all, and its failure said."""
    measured, failures = [], dict[str, str]()
    for name, pairs in sets.items():
        folder, curves = options.data / name, dict[str, list[Point]]()
        most = min(math.prod(pair.read_image().shape[:2]) for pair in pairs)
        for method in choice.methods:
            if method.name in failures:
                continue
            try:
                campaign = _Campaign(method, folder, pairs, most, options, results, tally)
                curves[method.name] = campaign.curve()
            except MethodFailedError as failure:
                failures[method.name] = str(failure)
        measured.append(Curves(folder, pairs, curves))
    left = tuple(each for each in choice.methods if each.name not in failures)
    if not left:
        raise ValueError("; ".join(failures.values()))
    for curves_of_set in measured:
        for name in failures:
            curves_of_set.by_method.pop(name, None)
    return Choice(left, (*choice.skipped, *failures.values())), measured


def _refuse_unknown(panel_methods: Sequence[str], names: Sequence[str]) -> None:
    unknown = [each for each in panel_methods if each not in names]
    if unknown:
        raise ValueError(
            f"panel_methods names {unknown[0]!r}, which is not measured; there are {', '.join(names)}"
        )


def _refuse_equal_names(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"two sets are called {twice!r}, by which their rows are told apart; rename a folder"
        )


def _pairs_of(folder: Path, every: int) -> Sequence[Pair]:
    return read_pairs(folder)[::every]


# ------------------------------------------------------------------------------- measuring


class _Task(NamedTuple):
    """One image to be segmented by one method at several requests."""

    method: Segmenter
    pair: Pair
    keys: Sequence[Key]
    tolerance_px: int | None


@dataclass(frozen=True)
class _Campaign:
    """One method on all images of a set."""

    method: Segmenter
    folder: Path
    pairs: Sequence[Pair]
    most: int  # superpixels that can be asked of every image
    options: QualityOptions
    results: ResultsFile
    tally: Tally

    def curve(self) -> list[Point]:
        """Measure round by round until the curve brackets every K wanted.

        A resumed run goes through the same rounds, since each follows from the ones before alone.
        """
        described = self.method.described()
        requests = sorted({min(count, self.most) for count in self.options.counts})
        rows: list[Row] = []
        for round_number in range(MAX_ROUNDS):
            if round_number:
                self.tally.expect(len(requests) * len(self.pairs))
            rows += self._round(requests, described)
            points = mean_points(rows, self.options.annotations)
            requests = next_requests(points, self.options.counts, self.most)
            if not requests:
                break
        return mean_points(rows, self.options.annotations)

    def _round(self, requests: Sequence[int], described: str) -> Iterator[Row]:
        """Measure what is missing of a round, and return all its rows."""
        tasks, keys = [], []
        for pair in self.pairs:
            of_pair = [self._key(pair, request, described) for request in requests]
            missing = [key for key in of_pair if key not in self.results]
            keys += of_pair
            if missing:
                tasks.append(_Task(self.method, pair, missing, self.options.tolerance_px))
            for _ in range(len(of_pair) - len(missing)):
                self.tally.skip()
        for row in results_of(_measure, tasks, self.options.workers):
            self.results.append(row)
            self.tally.step()
        return (self.results[key] for key in keys)

    def _key(self, pair: Pair, request: int, described: str) -> Key:
        tolerance_px = self.options.tolerance_px
        return Key(
            data=_set_name(self.folder),
            method=self.method.name,
            settings=described,
            image=pair.name,
            request=request,
            tolerance="default" if tolerance_px is None else str(tolerance_px),
        )


def _set_name(folder: Path) -> str:
    return "/".join(folder.resolve().parts[-2:])


def _measure(task: _Task) -> Iterator[Row]:
    """Segment and score; one row for each key."""
    image, truths = task.pair.read_image(), task.pair.read_annotations()
    for key in task.keys:
        labels = _segment(task, image, key.request)
        scores = score_annotations(labels, truths, image, task.tolerance_px)
        yield Row.of(key, scores, _seam_rate_of(task.method, labels, key.request))


def _segment(task: _Task, image: Image, count: int) -> Labels:
    failure = f"{task.method.name} left out: it failed on {task.pair.image} at n = {count}"
    try:
        labels = task.method(image, count)
    except Exception as error:  # whatever a peer may raise
        raise MethodFailedError(f"{failure} ({error})") from error
    if labels.shape != image.shape[:2]:
        raise MethodFailedError(f"{failure} (labels of shape {labels.shape} for {image.shape[:2]} pixels)")
    return labels


def _seam_rate_of(method: Segmenter, labels: Labels, request: int) -> float:
    if method.seams is None:
        return math.nan
    seams = method.seams((labels.shape[0], labels.shape[1]), request)
    if not any(seams.cut) or not any(seams.lattice):
        return math.nan
    rate = seam_rate(labels, *seams)
    return rate if math.isfinite(rate) else math.nan  # no borders to hold the seams against


# ------------------------------------------------------------------------------ the table


def _text(choice: Choice, measured: Sequence[Curves], options: QualityOptions) -> str:
    blocks = [options.title] if options.title else []
    for curves in measured:
        blocks.append(_heading(curves, options))
        blocks += [_block(each, curves.by_method, options) for each in options.headlines]
        blocks.append("\n".join(_not_reached(curves.by_method, options.counts)))
    blocks.append(
        "\n".join([*(f"{each.name}: {each.described()}" for each in choice.methods), *choice.skipped])
    )
    return "\n\n".join(filter(None, blocks))


def _heading(curves: Curves, options: QualityOptions) -> str:
    annotations = sum(len(pair.annotations) for pair in curves.pairs)
    tolerance = "0.0025 of the diagonal" if options.tolerance_px is None else f"{options.tolerance_px} px"
    over = {
        "mean": f"mean over all {annotations} annotations",
        "worst": "the worst annotation of each image, score by score",
        "best": "the best annotation of each image, score by score",
    }
    return (
        f"{_set_name(curves.folder)}: {len(curves.pairs)} images, {over[options.annotations]}, "
        f"at equal measured K; boundary tolerance {tolerance}"
    )


def _block(headline: str, curves: Mapping[str, list[Point]], options: QualityOptions) -> str:
    width = max(20, *(len(name) + 1 for name in curves)) if curves else 20
    counts = options.counts
    lines = [f"{headline}: {HEADLINES[headline]}", _line("K", [str(count) for count in counts], width)]
    for name, points in curves.items():
        at_counts = [at_equal_count(points, count) for count in counts]
        cells = ["-" if each is None else _number(each[headline]) for each in at_counts]
        lines.append(_line(name, cells, width))
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _line(name: str, cells: Sequence[str], width: int) -> str:
    return f"  {name:<{width}}" + "".join(f"{cell:>9}" for cell in cells)


def _not_reached(curves: Mapping[str, list[Point]], counts: Sequence[int]) -> Iterator[str]:
    for name, points in curves.items():
        missed = [str(count) for count in counts if at_equal_count(points, count) is None]
        if missed:
            reached = ", ".join(f"{number:.0f}" for number in sorted({point.superpixels for point in points}))
            yield f"{name}: K = {', '.join(missed)} not reached, measured {reached}"


# ------------------------------------------------------------------------------- drawing


class _Shown(NamedTuple):
    """A crop, the image it is of, and the set of that image."""

    crop: Crop
    pair: Pair
    set: str


def _crop_of(crop: Crop, sets: Mapping[str, Sequence[Pair]]) -> _Shown:
    for name, pairs in sets.items():
        for pair in pairs:
            if pair.name == crop.image:
                height, width = pair.read_image().shape[:2]
                if not (0 <= crop.top <= height - crop.side_px and 0 <= crop.left <= width - crop.side_px):
                    raise ValueError(
                        f"the panel asks for {crop}, but the image has {height} x {width} pixels"
                    )
                return _Shown(crop, pair, name)
    raise ValueError(f"the panel asks for image {crop.image!r}, which is not in {', '.join(sets)}")


def _draw(
    choice: Choice,
    measured: Sequence[Curves],
    crops: Sequence[_Shown],
    options: QualityOptions,
    provenance: Provenance,
) -> None:
    from napari_pcnet.evaluation.plots import draw_curves, draw_panel

    for curves in measured:
        name = _set_name(curves.folder)
        stem = name.replace("/", "-")
        title = f"{options.title} ({name})" if options.title else name
        near = (min(options.counts), max(options.counts))
        shown = {method: between(points, *near) for method, points in curves.by_method.items()}
        draw_curves(options.output, stem, shown, title, provenance)
    if crops:
        by_set = dict(zip(options.sets, measured, strict=True))
        rows = [_panel_row(shown, by_set[shown.set], choice, options) for shown in crops]
        draw_panel(options.output / "panel.png", rows, provenance)


def _panel_row(shown: _Shown, curves: Curves, choice: Choice, options: QualityOptions) -> PanelRow:
    """Segment a whole image by each method at a count as near the one wanted as was measured."""
    from napari_pcnet.evaluation.plots import PanelRow

    crop, image = shown.crop, shown.pair.read_image()
    window = (slice(crop.top, crop.top + crop.side_px), slice(crop.left, crop.left + crop.side_px))
    labels, counts = {}, {}
    for method in choice.methods:
        if options.panel_methods and method.name not in options.panel_methods:
            continue
        request = nearest_request(curves.by_method[method.name], options.panel_count)
        whole = method(image, request)
        labels[method.name], counts[method.name] = whole[window], len(np.unique(whole))
    truth = shown.pair.read_annotations()[0][window]
    return PanelRow(crop.image, image[window], truth, labels, counts)
