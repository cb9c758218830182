"""What a training was worth: scores before and after on pictures it did not learn from, with plots.

`write` leaves in the folder of the run ``report.md``, ``curves.png`` (loss and validation, step by
step) and ``pictures.png`` (superpixels before and after). Scores are of `pcnet_superpixels` with
both models at the same count.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import mark_boundaries

from napari_pcnet.datasets import Pair
from napari_pcnet.files import write_atomically
from napari_pcnet.metrics import score_annotations
from napari_pcnet.provenance import Provenance
from napari_pcnet.superpixels import pcnet_superpixels

COUNT = 400
"""Superpixels of a picture that is scored; fewer where it has fewer pixels."""

SHOWN = 3
"""Pictures at most in the plot."""

SCORES = {
    "ASA": "achievable_segmentation_accuracy",
    "BR": "boundary_recall",
    "CO": "compactness",
}
"""Headings of the table and the fields of `Scores`."""

BORDER = (1.0, 0.9, 0.0)


@dataclass(frozen=True)
class Compared:
    """One picture under the model before and the one after."""

    pair: Pair
    before: Mapping[str, float]
    after: Mapping[str, float]


def write(folder: Path, start: Path, trained: Path, pairs: Sequence[Pair]) -> str:
    """Score both models on the held-out pictures, write the report, return its table.

    Parameters
    ----------
    folder : Path
        Of the run; its ``log.csv`` gives the curves.
    start, trained : Path
        Weights before and after.
    pairs : sequence of Pair
        What was not learnt from.

    Returns
    -------
    str
        A line a picture, and the mean.
    """
    compared = [Compared(pair, _score(pair, start), _score(pair, trained)) for pair in pairs]
    table = _table(compared)
    provenance = Provenance.of_this_run()
    _draw_curves(folder / "log.csv", folder / "curves.png")
    _draw_pictures(compared[:SHOWN], start, trained, folder / "pictures.png")
    text = "\n".join(
        [
            "# What the training was worth",
            "",
            f"On {len(pairs)} pictures that were held out, with at most {COUNT} superpixels each; "
            "every annotation counts.",
            "",
            "```text",
            table,
            "```",
            "",
            "![Loss and validation, step by step](curves.png)",
            "",
            "![Superpixels before and after](pictures.png)",
            "",
            f"`{trained.name}` is the model: `pcnet_superpixels(image, n, model='{trained.name}')`.",
            "",
            "```text",
            provenance.as_text(),
            "```",
            "",
        ]
    )
    write_atomically(folder / "report.md", lambda file: file.write(text.encode()))
    return f"{table}\n{folder / 'report.md'}: this table with curves and pictures\nweights: {trained}"


def _labels(pair: Pair, model: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    image = pair.read_image()
    number = min(COUNT, image.shape[0] * image.shape[1])
    return image, pcnet_superpixels(image, number, model=model)


def _score(pair: Pair, model: Path) -> Mapping[str, float]:
    image, labels = _labels(pair, model)
    scores = score_annotations(labels, pair.read_annotations(), image)
    return {short: float(np.mean([getattr(each, name) for each in scores])) for short, name in SCORES.items()}


def _table(compared: Sequence[Compared]) -> str:
    width = max(len("mean"), *(len(each.pair.name) for each in compared))
    lines = [" " * width + "".join(f"{short:>9} before   after" for short in SCORES)]
    for each in compared:
        lines.append(_line(each.pair.name, width, each.before, each.after))
    before, after = (
        {short: float(np.mean([getattr(each, when)[short] for each in compared])) for short in SCORES}
        for when in ("before", "after")
    )
    return "\n".join([*lines, _line("mean", width, before, after)])


def _line(name: str, width: int, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    return f"{name:<{width}}" + "".join(f"{before[short]:>16.4f}{after[short]:>8.4f}" for short in SCORES)


# ---------------------------------------------------------------------------------------- plots


def _draw_curves(log: Path, target: Path) -> None:
    from matplotlib.figure import Figure

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    seen = ~np.isnan(columns["validation_asa"])
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    loss, accuracy, recall = figure.subplots(1, 3)
    taken = columns["step"] > 0
    loss.plot(columns["step"][taken], columns["total"][taken], color="#9bbcd6", linewidth=0.8)
    loss.plot(columns["step"][taken], _smooth(columns["total"][taken]), color="#0072b2")
    for axis, name in ((accuracy, "validation_asa"), (recall, "validation_br")):
        axis.plot(columns["step"][seen], columns[name][seen], color="#d55e00", marker="o", markersize=3)
        axis.ticklabel_format(useOffset=False)
    for axis, title in ((loss, "loss"), (accuracy, "ASA, held out"), (recall, "boundary recall, held out")):
        axis.set(title=title, xlabel="step")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.4)
    write_atomically(target, lambda file: figure.savefig(file, format="png", dpi=130))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over a run of a twentieth of all steps."""
    reach = max(1, len(values) // 20)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - reach, 0)
    smoothed: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return smoothed


def _draw_pictures(compared: Sequence[Compared], start: Path, trained: Path, target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2 * len(compared)), layout="constrained")
    axes = figure.subplots(len(compared), 3, squeeze=False)
    for row, each in zip(axes, compared, strict=True):
        image, before = _labels(each.pair, start)
        _, after = _labels(each.pair, trained)
        shown = (each.pair.read_annotations()[0], before, after)
        titles = (
            f"{each.pair.name}: annotation",
            *(
                f"{when}: ASA {scores['ASA']:.3f}, BR {scores['BR']:.3f}"
                for when, scores in (("before", each.before), ("after", each.after))
            ),
        )
        for axis, labels, title in zip(row, shown, titles, strict=True):
            axis.imshow(mark_boundaries(image, labels, BORDER, mode="inner"))
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    write_atomically(target, lambda file: figure.savefig(file, format="png", dpi=130))
