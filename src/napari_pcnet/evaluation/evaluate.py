"""Scores of label files against the annotations of the same name.

The code of ``napari-pcnet evaluate LABELS TRUTH``. Everything is in the image frame; the scores
are those of `napari_pcnet.metrics`, and means are over (labels, annotation) rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pictures
from napari_pcnet.disk.annotations import TRUTH_ENDINGS, Annotation, annotation_files, annotations_of
from napari_pcnet.disk.datasets import IMAGE_ENDINGS, by_stem
from napari_pcnet.disk.formats import LABEL_SUFFIXES, LABELS_MARK
from napari_pcnet.disk.labels import read_labels, read_notes
from napari_pcnet.disk.output import check_output, write_whole
from napari_pcnet.evaluation.journal import DIGITS
from napari_pcnet.metrics import MEANINGS, SCORES, TOLERANCE_OF_DIAGONAL, Scores, score_annotations
from napari_pcnet.progress import Progress
from napari_pcnet.record import outside_label
from napari_pcnet.shapes import Labels, size_text
from napari_pcnet.table import table_lines

IMAGES = (*IMAGE_ENDINGS, ".zarr")
"""Endings of what may be an image."""

TRUTHS = (*TRUTH_ENDINGS, ".zarr")
"""Endings of what may be a truth."""

COLUMNS = ("labels", "truth", "annotation", *SCORES)
"""Of the file; `annotation` is the number, from 1, of the annotation within the truth's file."""


@dataclass(frozen=True)
class EvaluateOptions:
    """What is scored against what, and where it is written."""

    labels: Path = field(
        metadata={"positional": True, "help": "labels to score: tif, png or zarr, or a folder of them"}
    )
    truth: Path = field(
        metadata={
            "positional": True,
            "help": "the annotation: tif, png, zarr, csv or a BSDS500 mat; of a folder of labels the folder "
            "with the same names, or ID-1, ID-2 ... for several annotations of ID",
        }
    )
    image: Path | None = field(
        default=None,
        metadata={"help": "the picture, or a folder with the same names, for explained variation"},
    )
    output: Path | None = field(
        default=None, metadata={"help": "CSV file to write, a row for each labels file and annotation"}
    )
    tolerance_px: int | None = field(
        default=None,
        metadata={
            "help": f"reach of boundary recall in pixels; default {TOLERANCE_OF_DIAGONAL} of the diagonal"
        },
    )
    overwrite: bool = field(default=False, metadata={"help": "replace an existing output"})
    outside: int | None = field(
        default=None,
        metadata={
            "help": "label of what lies outside a mask and is not scored; default as the record in our own "
            "files says, none in others",
            "read": int,
        },
    )


@dataclass(frozen=True)
class Scored:
    """A labels file, its annotations, and its scores against each."""

    labels: Path
    annotations: tuple[Annotation, ...]
    scores: tuple[Scores, ...]


def main_evaluate(options: EvaluateOptions, progress: Progress) -> str:
    """Score labels against their annotations and return the table.

    Parameters
    ----------
    options : EvaluateOptions
        What to score.
    progress : callable
        `progress(done, total)`, in labels files scored.

    Returns
    -------
    str
        A line for each labels file, with the mean over its annotations, and for several files one
        with the mean over all annotations of all.

    Raises
    ------
    FileNotFoundError
        If a file, or the truth or picture of a labels file, is not there.
    FileExistsError
        If the output exists and `overwrite` is False.
    ValueError
        If a folder is given with a file, a file is damaged or has colours, or shapes differ.
    """
    cases = _cases(options)
    if options.output is not None:
        _check_output(options.output, options.overwrite, cases)
    scored = []
    for done, case in enumerate(cases, 1):
        scored.append(case.score(options.tolerance_px, options.outside))
        progress(done, len(cases))
    if options.output is not None:
        content = _as_csv(scored).encode()
        write_whole(options.output, lambda file: file.write(content), options.overwrite)
    return _table(scored)


def legend() -> str:
    """What the headings of the table stand for, a line each."""
    width = max(map(len, MEANINGS))
    return "\n".join(f"{name.ljust(width)}  {meaning}" for name, meaning in MEANINGS.items())


# --------------------------------------------------------------------------- what belongs together


@dataclass(frozen=True)
class _LabelsFile:
    """A labels file with the files of its truth, and its picture if there is one."""

    labels: Path
    truths: tuple[Path, ...]
    image: Path | None

    def score(self, tolerance_px: int | None, outside: int | None) -> Scored:
        labels = read_labels(self.labels)
        annotations = [each for path in self.truths for each in annotations_of(path)]
        truths = [each.read() for each in annotations]
        for annotation, truth in zip(annotations, truths, strict=True):
            _check_shapes(self.labels, labels.shape, "truth", annotation.path, truth.shape)
        picture = None if self.image is None else self._picture(self.image, labels.shape)
        inside = self._inside(labels, outside)
        scores = score_annotations(labels, truths, picture, tolerance_px, inside)
        return Scored(self.labels, tuple(annotations), scores)

    def _inside(self, labels: Labels, outside: int | None) -> NDArray[np.bool_] | None:
        """The pixels that are not of the label `outside`, or that of the file's record; None for all."""
        if outside is None:
            outside = outside_label(read_notes(self.labels))
        if outside is None:
            return None
        inside: NDArray[np.bool_] = labels != outside
        if not inside.any():
            raise ValueError(f"labels in {self.labels} are {outside} everywhere, which is outside")
        return None if inside.all() else inside

    def _picture(self, path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
        """Read the picture as ``(H, W[, C])``."""
        image = pictures.read_image(path)
        pixels = np.asarray(image.pixels)
        if image.channel_axis is not None:
            pixels = np.moveaxis(pixels, image.channel_axis, -1)
        size = pixels.shape if image.channel_axis is None else pixels.shape[:-1]
        _check_shapes(self.labels, shape, "image", path, size)
        return pixels


def _check_shapes(
    labels: Path, shape: tuple[int, ...], role: str, other: Path, other_shape: tuple[int, ...]
) -> None:
    if shape != other_shape:
        raise ValueError(
            f"{labels} is {size_text(shape)} pixels, but its {role} {other} is {size_text(other_shape)}; "
            "they must be the same"
        )


def _cases(options: EvaluateOptions) -> list[_LabelsFile]:
    given = {"labels": options.labels, "truth": options.truth}
    if options.image is not None:
        given["image"] = options.image
    for role, path in given.items():
        if not path.exists():
            raise FileNotFoundError(f"{role} {path} does not exist")
        if _is_folder(path) != _is_folder(options.labels):
            raise ValueError(
                f"labels {options.labels} are a {_what(options.labels)}, but {role} {path} is a "
                f"{_what(path)}; give files alone or folders alone"
            )
    if not _is_folder(options.labels):
        return [_LabelsFile(options.labels, (options.truth,), options.image)]
    return _cases_of_folders(options.labels, options.truth, options.image)


def _cases_of_folders(labels: Path, truth: Path, image: Path | None) -> list[_LabelsFile]:
    found = sorted(path for path in labels.iterdir() if path.suffix.lower() in LABEL_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{labels} holds no labels ({', '.join(LABEL_SUFFIXES)})")
    by_name = by_stem(found, LABELS_MARK)
    truths = annotation_files(truth, by_name, TRUTHS)
    pictures = {} if image is None else _pictures_in(image)
    for name, path in by_name.items():
        if name not in truths:
            looked_for = f"{truth / name} and {truth / name}-* ({', '.join(TRUTHS)})"
            raise FileNotFoundError(f"{path} has no truth: looked for {looked_for}")
        if image is not None and name not in pictures:
            looked_for = f"{image / name} ({', '.join(IMAGES)})"
            raise FileNotFoundError(f"{path} has no image: looked for {looked_for}")
    return [_LabelsFile(path, tuple(truths[name]), pictures.get(name)) for name, path in by_name.items()]


def _pictures_in(folder: Path) -> dict[str, Path]:
    return by_stem(path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGES)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and path.suffix.lower() != ".zarr"


def _what(path: Path) -> str:
    return "folder" if _is_folder(path) else "file"


# ------------------------------------------------------------------------------------- the output


def _check_output(path: Path, overwrite: bool, cases: Sequence[_LabelsFile]) -> None:
    """Refuse, before any work, an output that could not be written or would replace a truth."""
    if path.suffix.lower() != ".csv":
        raise ValueError(f"output {path} must end in .csv")
    if path.resolve() in {truth.resolve() for case in cases for truth in case.truths}:
        raise ValueError(f"output {path} is a truth; name another file")
    check_output(path, (".csv",), overwrite)


def _table(scored: Sequence[Scored]) -> str:
    lines = {each.labels.name: each.scores for each in scored}
    if len(scored) > 1:
        every = [scores for each in scored for scores in each.scores]
        lines[f"mean over all {len(every)} annotations"] = tuple(every)
    rows = table_lines(["", *SCORES], ([name, *_means(each)] for name, each in lines.items()), indent=0)
    return "\n".join(rows)


def _means(scores: Sequence[Scores]) -> list[str]:
    """Mean of every score, as a table prints it."""
    cells = []
    for name in SCORES.values():
        values = [getattr(each, name) for each in scores]
        if None in values:
            cells.append("-")
        else:
            is_count = isinstance(values[0], int)
            cells.append(f"{np.mean(values):.6g}" if is_count else f"{np.mean(values):.4f}")
    return cells


def _as_csv(scored: Sequence[Scored]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in scored:
        for annotation, scores in zip(each.annotations, each.scores, strict=True):
            cells = [_cell(getattr(scores, name)) for name in SCORES.values()]
            writer.writerow([each.labels, annotation.path, annotation.index + 1, *cells])
    return text.getvalue()


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"
