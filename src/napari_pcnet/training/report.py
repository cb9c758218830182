"""The report of a fine-tuning: scores before and after on the held-out pictures, with plots.

`write` puts ``report.md``, ``curves.png`` (loss and validation, step by step) and ``pictures.png``
(superpixels before and after) into the folder of the run. Scores are those of `pcnet_superpixels` with both
models at the same count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import mark_boundaries

from napari_pcnet.disk.datasets import Pair
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.metrics import SCORES, score_annotations
from napari_pcnet.superpixels import pcnet_superpixels
from napari_pcnet.table import table_lines
from napari_pcnet.training.log import read_log
from napari_pcnet.training.merge_classifier import SLIVER_PX

TRAINED = "weights.safetensors"
"""File of the weights that are kept, in the folder of the run."""

COUNT = 400
"""Superpixels for each picture."""

SHOWN = 3
"""Pictures in the plot, at most."""

COLUMNS = ("ASA", "BR", "CO")
"""Scores in the table, by their headings in `metrics.SCORES`."""

BORDER = (1.0, 0.9, 0.0)

Score = Mapping[str, float]
"""Scores of one picture, by heading."""


KEPT_TEXTS = (
    "the weights it started from: neither training made these pictures better",
    "those of the first training, the association; merging did not improve them",
    "those of both trainings",
)
"""The weights that were kept, as the report names them."""


@dataclass(frozen=True)
class BeforeAndAfter:
    """Scores of pictures with the model before training and the one after."""

    pairs: Sequence[Pair]
    start: Path
    trained: Path
    before: Sequence[Score]
    after: Sequence[Score]
    trainings: int  # how many of the two are in `trained`

    @property
    def kept(self) -> str:
        """What `trained` is, in words."""
        return KEPT_TEXTS[self.trainings]


def scores_of(pairs: Sequence[Pair], model: Path) -> list[Score]:
    """Score a model on pictures, with the mean over all annotations of each."""
    return [_score(pair, model) for pair in pairs]


def mean(scores: Sequence[Score]) -> Score:
    """Mean over pictures."""
    return {short: float(np.mean([each[short] for each in scores])) for short in COLUMNS}


def write(folder: Path, comparison: BeforeAndAfter, logs: Sequence[Path]) -> str:
    """Write the report, return its table.

    Parameters
    ----------
    folder : Path
        Of the run.
    comparison : BeforeAndAfter
        On pictures that were held out.
    logs : sequence of Path
        ``log.csv`` of the two trainings.

    Returns
    -------
    str
        A line for each picture, and one for the mean.
    """
    table = _table(comparison)
    trained = comparison.trained
    provenance = Provenance.of_this_run()
    _draw_curves(logs, folder / "curves.png")
    _draw_pictures(comparison, folder / "pictures.png")
    text = "\n".join(
        [
            "# Scores before and after training",
            "",
            f"On {len(comparison.pairs)} pictures that were held out, with at most {COUNT} superpixels each; "
            "every annotation counts. What is kept was chosen on these pictures, so scores after training "
            "are a little better than they will be on others, the more so the fewer they are.",
            "",
            f"Kept: {comparison.kept}.",
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
    return "\n".join(
        [
            table,
            f"kept: {comparison.kept}",
            f"{folder / 'report.md'}: this table with curves and pictures",
            f"weights: {trained}",
        ]
    )


def _labels(pair: Pair, model: Path) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]]]:
    image = pair.read_image()
    number = min(COUNT, max(1, image.shape[0] * image.shape[1] // SLIVER_PX))
    return image, pcnet_superpixels(image, number, model=model)


def _score(pair: Pair, model: Path) -> Score:
    image, labels = _labels(pair, model)
    scores = score_annotations(labels, pair.read_annotations(), image)
    return {short: float(np.mean([getattr(each, SCORES[short]) for each in scores])) for short in COLUMNS}


def _table(comparison: BeforeAndAfter) -> str:
    names = [pair.name for pair in comparison.pairs]
    rows = [
        _cells(name, before, after)
        for name, before, after in zip(names, comparison.before, comparison.after, strict=True)
    ]
    rows.append(_cells("mean", mean(comparison.before), mean(comparison.after)))
    head = ["", *(heading for short in COLUMNS for heading in (f"{short} before", "after"))]
    return "\n".join(table_lines(head, rows, indent=0))


def _cells(name: str, before: Score, after: Score) -> list[str]:
    return [name, *(f"{score[short]:.4f}" for short in COLUMNS for score in (before, after))]


# ---------------------------------------------------------------------------------------- plots


def _draw_curves(logs: Sequence[Path], target: Path) -> None:
    from matplotlib.figure import Figure

    first, second = (read_log(log) for log in logs)
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    loss, accuracy, recall, boundary = figure.subplots(1, 4)
    for axis, columns in ((loss, first), (boundary, second)):
        taken = columns["step"] > 0
        axis.plot(columns["step"][taken], columns["total"][taken], color="#9bbcd6", linewidth=0.8)
        axis.plot(columns["step"][taken], _smooth(columns["total"][taken]), color="#0072b2")
    validated = ~np.isnan(first["validation_asa"])
    for axis, name in ((accuracy, "validation_asa"), (recall, "validation_br")):
        axis.plot(first["step"][validated], first[name][validated], color="#d55e00", marker="o", markersize=3)
        axis.ticklabel_format(useOffset=False)
    titles = {
        loss: "loss of the association",
        accuracy: "ASA of the lattice, held out",
        recall: "boundary recall, held out",
        boundary: "loss of the boundaries",
    }
    for axis, title in titles.items():
        axis.set(title=title, xlabel="step")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.4)
    write_atomically(target, lambda file: figure.savefig(file, format="png", dpi=130))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a twentieth of all steps."""
    reach = max(1, len(values) // 20)
    sums = np.cumsum(np.insert(values, 0, 0.0))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - reach, 0)
    smoothed: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return smoothed


def _draw_pictures(comparison: BeforeAndAfter, target: Path) -> None:
    from matplotlib.figure import Figure

    shown = list(zip(comparison.pairs, comparison.before, comparison.after, strict=True))[:SHOWN]
    figure = Figure(figsize=(9, 3.2 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, (pair, before, after) in zip(axes, shown, strict=True):
        image, labels_before = _labels(pair, comparison.start)
        _, labels_after = _labels(pair, comparison.trained)
        labellings = (pair.read_annotations()[0], labels_before, labels_after)
        titles = (
            f"{pair.name}: annotation",
            *(
                f"{when}: ASA {score['ASA']:.3f}, BR {score['BR']:.3f}"
                for when, score in (("before", before), ("after", after))
            ),
        )
        for axis, labels, title in zip(row, labellings, titles, strict=True):
            axis.imshow(mark_boundaries(image, labels, BORDER, mode="inner"))
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    write_atomically(target, lambda file: figure.savefig(file, format="png", dpi=130))
