"""The file of measured costs, from which a benchmark of speed or scale resumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.journal import Journal
from napari_pcnet.evaluation.segmenter import Segmenter
from napari_pcnet.stages import STAGES


class Case(NamedTuple):
    """An image and a request, given to every method in turn."""

    size: str
    seed: int
    request: int


class CostFile:
    """The cost of each run of a method, by method, case and turn.

    A run in a process of its own has the times of its imports and its first call, too; a run of our methods
    in this process has the seconds of each stage.

    Ratios are of runs beside each other in one environment. A run is therefore found again only
    beside the same methods, by the same code on the same machine.

    Parameters
    ----------
    path : Path
        The file.
    methods : sequence of Segmenter
        All that take part.
    """

    NAMES = ("environment", "beside", "method", "settings", "size", "seed", "request", "turn")
    NUMBERS = ("seconds", "K", "peak_bytes", "imports_s", "first_s", *STAGES)

    def __init__(self, path: Path, methods: Sequence[Segmenter]) -> None:
        self._journal = Journal(path, self.NAMES, self.NUMBERS)
        self._nothing = dict.fromkeys(self.NUMBERS, math.nan)
        self._environment = Provenance.of_this_run().environment
        self._beside = " ".join(sorted(method.name for method in methods))

    def find(self, method: Segmenter, case: Case, turn: str) -> Mapping[str, float] | None:
        """Return the numbers of one run, or None if it was not measured yet."""
        numbers = self._journal.rows.get(self._key(method, case, turn))
        return None if numbers is None else {**self._nothing, **numbers}

    def write(self, method: Segmenter, case: Case, turn: str, **numbers: float) -> None:
        """Append the numbers of one run."""
        self._journal.append(self._key(method, case, turn), self._nothing | numbers)

    def _key(self, method: Segmenter, case: Case, turn: str) -> tuple[str, ...]:
        return (self._environment, self._beside, method.name, method.described(), *map(str, case), turn)
