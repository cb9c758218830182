"""Whether one sees where a large picture was cut: borders on the lines between windows, and between chunks.

Drawn pictures are labelled in one window; window by window into a zarr, as a picture larger than memory is;
and each window on its own. The seam rate says how much more often neighbours differ across such lines than
across the lines beside them on multiples of 64 pixels, on which windows could begin, too; 1 is no seam. What
happens to lie on those few lines of a picture moves it, and is the same in one window. A run lives in a
folder: ``results.csv`` (what a run resumes from) and ``table.txt``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.disk.zarr_store import CHUNK_SIDE_PX
from napari_pcnet.evaluation.bootstrap import LEVEL, draw_images
from napari_pcnet.evaluation.folder import held, write_table
from napari_pcnet.evaluation.journal import Journal
from napari_pcnet.evaluation.methods import weights_described
from napari_pcnet.evaluation.pictures import BLOCK_SIDE_PX, draw_photograph
from napari_pcnet.evaluation.segmenter import Pixels
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.geometry.grid import CELL, STRIDE, whole_strides, windows_over
from napari_pcnet.metrics import seam_rate
from napari_pcnet.options import Options
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import Labels
from napari_pcnet.superpixels import pcnet_superpixels
from napari_pcnet.table import table_lines

WHOLE, STREAMED, ALONE = "one window", "streamed", "each window on its own"

LINES = ("window_lines", "chunk_lines")

MOVED = "moved"
"""Pixels whose label is not that of one window; NaN where labels have other numbers."""


class Drawn(NamedTuple):
    """A picture, and the lines between the photographs that it is drawn from."""

    picture: Pixels
    rows: set[int]
    columns: set[int]


@dataclass(frozen=True)
class SeamsOptions:
    """Which pictures, cut how."""

    side: int = field(default=4096, metadata={"help": "side of the drawn square pictures, in pixels"})
    pictures: int = field(default=8, metadata={"help": "how many are drawn"})
    window: int = field(default=768, metadata={"help": f"side of a window in pixels, a multiple of {STRIDE}"})
    count: int = field(
        default=0, metadata={"help": f"superpixels of each; 0: one for each {CELL} x {CELL} pixels"}
    )
    model: str = field(default=Options.model, metadata={"help": "weights"})
    output: Path = field(
        default=Path("seams"), metadata={"help": "folder of results.csv and the table; a run resumes from it"}
    )
    seed: int = field(default=0, metadata={"help": "seed of the first picture; the others follow"})

    def __post_init__(self) -> None:
        if self.window < STRIDE or self.window % STRIDE:
            raise ValueError(f"window must be a multiple of {STRIDE}, got {self.window}")
        if self.side < 2 * self.window:
            raise ValueError(f"side must be at least two windows, {2 * self.window}, got {self.side}")
        for name, least in (("pictures", 1), ("count", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be a whole number of at least {least}, got {getattr(self, name)}"
                )

    @property
    def request(self) -> int:
        """Superpixels of a picture."""
        return self.count or (self.side // CELL) ** 2


def main_seams(options: SeamsOptions, progress: Progress) -> str:
    """Measure what is not in the results file yet; write and return the table.

    Parameters
    ----------
    options : SeamsOptions
        What to measure.
    progress : callable
        `progress(done, total)`, in pictures, of those not there yet.

    Returns
    -------
    str
        The seam rate on each kind of lines, with its interval over pictures.
    """
    tally = Tally(progress, options.pictures)
    with held(options.output) as results_file:
        log = Journal(results_file, ("environment", "settings", "seed", "how"), (*LINES, MOVED))
        for seed in range(options.seed, options.seed + options.pictures):
            if _key(options, seed, ALONE) in log:
                tally.skip()
                continue
            _measure(options, seed, log)
            tally.step()
        text = "\n".join(_table(options, log.rows))
        write_table(options.output, text)
    return text


def _measure(options: SeamsOptions, seed: int, log: Journal) -> None:
    drawn = _drawn(options.side, seed)
    whole = _whole(drawn.picture, options)
    log.append(_key(options, seed, WHOLE), {**_rates(whole, options.window, drawn), MOVED: 0})
    streamed = _streamed(drawn.picture, options)
    moved = int(np.count_nonzero(streamed != whole))
    log.append(_key(options, seed, STREAMED), {**_rates(streamed, options.window, drawn), MOVED: moved})
    alone = _alone(drawn.picture, options)
    log.append(_key(options, seed, ALONE), {**_rates(alone, options.window, drawn), MOVED: math.nan})


def _drawn(side: int, seed: int) -> Drawn:
    """Draw a picture whose photographs begin anywhere."""
    top, left = np.random.default_rng(seed).integers(BLOCK_SIDE_PX, size=2).tolist()
    large = draw_photograph((top + side, left + side), seed)
    rows, columns = (
        {line - first for line in range(0, first + side, BLOCK_SIDE_PX)} for first in (top, left)
    )
    return Drawn(large[top:, left:], rows, columns)


def _key(options: SeamsOptions, seed: int, how: str) -> tuple[str, ...]:
    settings = f"{_described(options)}, {weights_described(options.model)}"
    return Provenance.of_this_run().environment, settings, str(seed), how


def _described(options: SeamsOptions) -> str:
    size = f"{options.side} x {options.side} pixels, {options.request} superpixels"
    return f"{size}, windows of {options.window}, chunks of {CHUNK_SIDE_PX}"


def _whole(picture: Pixels, options: SeamsOptions) -> Labels:
    """Labels of a picture that is one window."""
    labels: Labels = pcnet_superpixels(
        picture, options.request, model=options.model, window=whole_strides(options.side)
    )
    return labels


def _streamed(picture: Pixels, options: SeamsOptions) -> Labels:
    """Labels of a picture by windows, from the zarr that takes them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "labels.zarr")
        labels = pcnet_superpixels(
            picture, options.request, model=options.model, window=options.window, out=out
        )
        whole: Labels = np.asarray(labels[:])
    return whole


def _alone(picture: Pixels, options: SeamsOptions) -> Labels:
    """Labels of the same windows, each of which knows nothing of the others."""
    labels = np.empty((options.side, options.side), np.int32)
    above, pixels = 0, labels.size
    for window in windows_over((options.side, options.side), options.window, options.window):
        height, width = window.shape
        share = max(1, round(options.request * height * width / pixels))
        own = pcnet_superpixels(picture[window.slices], share, model=options.model)
        labels[window.slices] = own + above
        above += int(own.max())
    return labels


def _rates(labels: Labels, window: int, drawn: Drawn) -> dict[str, float]:
    """The seam rate on the lines between windows, and on those between chunks that are not among these.

    Each line is held against those on the next multiples of `STRIDE`, where the picture is much the same;
    lines between photographs are left out.
    """
    side = len(labels)
    windows = set(range(window, side, window))
    chunks = set(range(CHUNK_SIDE_PX, side, CHUNK_SIDE_PX)) - windows
    rates = dict[str, float]()
    for name, cut in zip(LINES, (windows, chunks), strict=True):
        beside = {line + step * STRIDE for line in cut for step in (-2, -1, 1, 2)} - windows - chunks
        rest = {line for line in beside if 0 < line < side}
        on, off = ((sorted(each - drawn.rows), sorted(each - drawn.columns)) for each in (cut, rest))
        rates[name] = seam_rate(labels, on, off) if cut else math.nan
    return rates


def _table(options: SeamsOptions, rows: Mapping[tuple[str, ...], Mapping[str, float]]) -> list[str]:
    seeds = range(options.seed, options.seed + options.pictures)

    def numbers(how: str, name: str) -> NDArray[np.float64]:
        return np.array([rows[_key(options, seed, how)][name] for seed in seeds])

    head = ("", *(name.replace("_", " ") for name in LINES))
    rates = [[how, *(_cell(numbers(how, name)) for name in LINES)] for how in (WHOLE, STREAMED, ALONE)]
    ratios = [
        [how, *(_cell(numbers(how, name) / numbers(WHOLE, name)) for name in LINES)]
        for how in (STREAMED, ALONE)
    ]
    return [
        f"{options.pictures} drawn pictures of {_described(options)}",
        f"means, and the middle {LEVEL:.0%} of means over pictures drawn with replacement",
        "",
        "seam rate: how much more often neighbours differ across these lines than across those beside them",
        *table_lines(head, rates),
        "",
        "seam rate, as a multiple of that of one window, where nothing is cut",
        *table_lines(head, ratios),
        "",
        f"pixels whose streamed label is not that of one window: {numbers(STREAMED, MOVED).sum():.0f}",
        f"weights: {weights_described(options.model)}",
    ]


def _cell(rates: NDArray[np.float64]) -> str:
    """The mean over pictures, and its interval."""
    draws = draw_images(len(rates), np.random.default_rng(0))
    low, high = _ends(draws @ rates / len(rates))
    return f"{rates.mean():.3f} ({low:.3f} to {high:.3f})"


def _ends(means: NDArray[np.float64]) -> Sequence[float]:
    tail = (1 - LEVEL) / 2
    ends: list[float] = np.quantile(means, (tail, 1 - tail)).tolist()
    return ends
