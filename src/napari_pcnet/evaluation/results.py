"""The results of a comparison of quality: a row for each method, image and request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from napari_pcnet.evaluation.journal import Journal
from napari_pcnet.metrics import SCORES, Scores, combine_annotations

EXTREMES = {
    f"{each.metadata['short']}_{how}": (each.name, how)
    for how in ("worst", "best")
    for each in fields(Scores)
    if "best" in each.metadata
}
"""Heading of each score of the worst and of the best annotation, its field, and which of the two."""

SEAM_RATE = "seam_rate"
FIGURES = (*SCORES, *EXTREMES, SEAM_RATE)
"""Headings of all figures of a row: the mean of each score over annotations, then the extremes.

The seam rate is NaN where a method cuts no windows.
"""


class Key(NamedTuple):
    """All that determines a row's figures."""

    data: str  # the set and its split, such as bsds500/val
    method: str
    settings: str
    image: str
    request: int
    tolerance: str  # as asked: in pixels, or "default"

    def as_text(self) -> tuple[str, ...]:
        """Its cells in the file."""
        return tuple(map(str, self))


@dataclass(frozen=True)
class Row:
    """The figures of one labelling, by heading."""

    key: Key
    annotations: int
    scores: Mapping[str, float]

    @classmethod
    def of(cls, key: Key, scores: Sequence[Scores], seam_rate: float = math.nan) -> Row:
        """Combine the scores that a labelling has against each annotation."""
        combined = {
            "mean": combine_annotations(scores, "mean"),
            "worst": combine_annotations(scores, "worst"),
            "best": combine_annotations(scores, "best"),
        }
        means = {short: getattr(combined["mean"], name) for short, name in SCORES.items()}
        extremes = {short: getattr(combined[how], name) for short, (name, how) in EXTREMES.items()}
        return cls(key, len(scores), means | extremes | {SEAM_RATE: seam_rate})

    @property
    def request(self) -> int:
        """The number of superpixels asked for."""
        return self.key.request


class ResultsFile:
    """Rows in a `Journal`."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, Key._fields, ("annotations", *FIGURES))

    def __contains__(self, key: Key) -> bool:
        return key.as_text() in self._journal

    def __getitem__(self, key: Key) -> Row:
        numbers = dict(self._journal[key.as_text()])
        return Row(key, int(numbers.pop("annotations")), numbers)

    def append(self, row: Row) -> None:
        """Write a row to the end of the file, at once."""
        self._journal.append(row.key.as_text(), {"annotations": row.annotations, **row.scores})
