"""Quality of superpixels on annotated images, methods compared at equal measured K.

Every method segments every image at a list of requests, steered until the measured K brackets the
K wanted; every labelling is scored against every annotation. Means are over all (image, annotation)
rows, and all scores are interpolated linearly in the mean K. The same holds for the contour density
CD, if densities are asked for. Differences to a reference have intervals of a paired bootstrap.

A run lives in a folder: ``results.csv`` (a row a method, image and request; what a run resumes
from), ``table.txt``, and the plots of `plots`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_pcnet.disk.datasets import Pair, read_pairs
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.campaign import Campaign, MethodFailedError, Wanted, set_name
from napari_pcnet.evaluation.comparison import HEADLINES, Comparison
from napari_pcnet.evaluation.curves import between, nearest_request
from napari_pcnet.evaluation.folder import held, write_table
from napari_pcnet.evaluation.methods import DEFAULT, Choice, OurMethod, choose
from napari_pcnet.evaluation.results import ResultsFile, Row
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.evaluation.workers import Workers
from napari_pcnet.metrics import TOLERANCE_OF_DIAGONAL
from napari_pcnet.progress import Progress

if TYPE_CHECKING:
    from napari_pcnet.evaluation.plots.panel import PanelRow


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
        metadata={"help": f"names such as {DEFAULT}, FILE/lattice, opencv-slic; default all"},
    )
    ours: tuple[OurMethod, ...] = field(default=(), metadata={"flag": False})
    counts: tuple[int, ...] = field(
        default=(200, 400, 600, 800),
        metadata={"help": "numbers of superpixels to compare at, as measured"},
    )
    densities: tuple[float, ...] = field(
        default=(),
        metadata={"help": "contour densities to compare at, as measured; default none"},
    )
    reference: str = field(
        default="",
        metadata={"help": "method that the differences are to; default the first"},
    )
    every: int = field(
        default=1, metadata={"help": "take every so-many-th image by name, the first included"}
    )
    annotations: Literal["mean", "worst", "best"] = field(
        default="mean", metadata={"help": "which of an image's annotations counts in table and plots"}
    )
    tolerance_px: int | None = field(
        default=None,
        metadata={
            "help": f"reach of boundary recall in pixels; default {TOLERANCE_OF_DIAGONAL} of the diagonal"
        },
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
        if any(not 0 < density < 1 for density in self.densities):
            raise ValueError(f"densities must lie between 0 and 1, got {list(self.densities)}")
        if len(set(self.densities)) < len(self.densities):
            raise ValueError(f"densities must differ from each other, got {list(self.densities)}")
        if self.tolerance_px is not None and self.tolerance_px < 0:
            raise ValueError(f"tolerance_px must be a whole number of at least 0, got {self.tolerance_px}")
        if not self.sets:
            raise ValueError("sets must name at least one folder, got none")
        unknown = [each for each in self.headlines if each not in HEADLINES]
        if unknown:
            raise ValueError(f"no score is called {unknown[0]!r}; there are {', '.join(HEADLINES)}")

    @property
    def wanted(self) -> Wanted:
        """The K and CD that every curve must reach."""
        return Wanted(self.counts, self.densities, self.annotations, self.tolerance_px)


class Curves(NamedTuple):
    """What was measured on one set."""

    folder: Path
    pairs: Sequence[Pair]
    comparison: Comparison


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
    _refuse_equal_names([set_name(options.data / name) for name in options.sets])
    sets = {name: _pairs_of(options.data / name, options.every) for name in options.sets}
    crops = [_crop_of(crop, sets) for crop in options.panel]
    names = [each.name for each in choice.methods]
    _refuse_unknown("panel_methods", options.panel_methods, names)
    _refuse_unknown("reference", [options.reference] if options.reference else [], names)
    if options.plots:  # a missing matplotlib is named before the work, not after it
        import_module("napari_pcnet.evaluation.plots.curves")
    with held(options.output) as results_file, Workers(options.workers) as workers:
        tally = Tally(progress, len(choice.methods) * sum(map(len, sets.values())) * len(options.counts))
        choice, measured = _measured(choice, sets, options, ResultsFile(results_file), tally, workers)
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
    workers: Workers,
) -> tuple[Choice, Sequence[Curves]]:
    """Measure set by set; a method that fails is left out of all, and its failure named."""
    rows, failures = dict[str, dict[str, list[Row]]](), dict[str, str]()
    for name, pairs in sets.items():
        rows[name] = {}
        most = min(math.prod(pair.read_image().shape[:2]) for pair in pairs)
        for method in choice.methods:
            if method.name in failures:
                continue
            campaign = Campaign(
                method, options.data / name, pairs, most, options.wanted, results, tally, workers
            )
            try:
                rows[name][method.name] = campaign.rows()
            except MethodFailedError as failure:
                failures[method.name] = str(failure)
    left = tuple(each for each in choice.methods if each.name not in failures)
    if not left:
        raise ValueError("; ".join(failures.values()))
    measured = [
        Curves(
            options.data / name,
            pairs,
            _comparison({each.name: rows[name][each.name] for each in left}, options),
        )
        for name, pairs in sets.items()
    ]
    return Choice(left, (*choice.skipped, *failures.values())), measured


def _comparison(rows: Mapping[str, Sequence[Row]], options: QualityOptions) -> Comparison:
    reference = options.reference if options.reference in rows else next(iter(rows))
    return Comparison(rows, options.counts, options.densities, options.annotations, reference)


def _refuse_unknown(option: str, asked: Sequence[str], names: Sequence[str]) -> None:
    unknown = [each for each in asked if each not in names]
    if unknown:
        raise ValueError(
            f"{option} names {unknown[0]!r}, which is not measured; there are {', '.join(names)}"
        )


def _refuse_equal_names(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two sets are called {twice!r}, and rows go by that name; rename a folder")


def _pairs_of(folder: Path, every: int) -> Sequence[Pair]:
    return read_pairs(folder)[::every]


# ------------------------------------------------------------------------------ the table


def _text(choice: Choice, measured: Sequence[Curves], options: QualityOptions) -> str:
    blocks = [options.title] if options.title else []
    for curves in measured:
        blocks += [_heading(curves, options), *curves.comparison.blocks(options.headlines)]
    blocks.append(
        "\n".join([*(f"{each.name}: {each.described()}" for each in choice.methods), *choice.skipped])
    )
    return "\n\n".join(filter(None, blocks))


def _heading(curves: Curves, options: QualityOptions) -> str:
    annotations = sum(len(pair.annotations) for pair in curves.pairs)
    tolerance = (
        f"{TOLERANCE_OF_DIAGONAL} of the diagonal"
        if options.tolerance_px is None
        else f"{options.tolerance_px} px"
    )
    over = {
        "mean": f"mean over all {annotations} annotations",
        "worst": "the worst annotation of each image, score by score",
        "best": "the best annotation of each image, score by score",
    }
    return (
        f"{set_name(curves.folder)}: {len(curves.pairs)} images, {over[options.annotations]}, "
        f"at equal measured K; boundary tolerance {tolerance}"
    )


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
    from napari_pcnet.evaluation.plots.curves import draw_curves
    from napari_pcnet.evaluation.plots.panel import draw_panel

    for curves in measured:
        name = set_name(curves.folder)
        stem = name.replace("/", "-")
        title = f"{options.title} ({name})" if options.title else name
        points = curves.comparison.points
        by_count = {method: between(own, options.counts) for method, own in points.items()}
        by_density = {
            method: between(own, options.densities, along="CD") if options.densities else by_count[method]
            for method, own in points.items()
        }
        draw_curves(options.output, stem, by_count, title, provenance, by_density)
    if crops:
        by_set = dict(zip(options.sets, measured, strict=True))
        rows = [_panel_row(shown, by_set[shown.set], choice, options) for shown in crops]
        draw_panel(options.output / "panel.png", rows, provenance)


def _panel_row(shown: _Shown, curves: Curves, choice: Choice, options: QualityOptions) -> PanelRow:
    """Segment a whole image by each method at a count as near the one wanted as was measured."""
    from napari_pcnet.evaluation.plots.panel import PanelRow

    crop, image = shown.crop, shown.pair.read_image()
    window = (slice(crop.top, crop.top + crop.side_px), slice(crop.left, crop.left + crop.side_px))
    labels, counts = {}, {}
    for method in choice.methods:
        if options.panel_methods and method.name not in options.panel_methods:
            continue
        request = nearest_request(curves.comparison.points[method.name], options.panel_count)
        whole = method(image, request)
        labels[method.name], counts[method.name] = whole[window], len(np.unique(whole))
    truth = shown.pair.read_annotations()[0][window]
    return PanelRow(crop.image, image[window], truth, labels, counts)
