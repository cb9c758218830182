"""The table of times, from times that are known."""

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_pcnet.evaluation.methods import Choice
from napari_pcnet.evaluation.segmenter import Segmenter
from napari_pcnet.evaluation.speed import SpeedOptions, compare

SECONDS = {"first": (1.0, 2.0, 4.0), "second": (2.0, 8.0, 12.0)}
"""Of each method, the turns."""


def _one_label(image: np.ndarray, n_segments: int) -> np.ndarray:
    return np.zeros(image.shape[:2], int)


def _write_times(path: Path) -> None:
    """Put the known times into a file of results."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["seconds"] = str(SECONDS[row["method"]][int(row["turn"])])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_a_ratio_is_the_median_over_turns_of_that_within_a_turn(tmp_path: Path) -> None:
    choice = Choice((Segmenter("first", _one_label), Segmenter("second", _one_label)), ())
    options = SpeedOptions(
        sizes=("64x64",), counts=(1,), repetitions=3, memory=False, output=tmp_path / "speed"
    )
    compare(choice, options, lambda done, total: None)
    _write_times(options.output / "results.csv")
    table = compare(choice, options, lambda done, total: pytest.fail("all of it is measured"))
    first, second = (line.split() for line in table.splitlines() if line.startswith(("  first", "  second")))
    assert first == ["first", "1", "2.00", "-", "1.00", "(1.00", "to", "1.00)", "-"]
    # 2 / 1, 8 / 2 and 12 / 4; the ratio of the medians would be 8 / 2
    assert second == ["second", "1", "8.00", "-", "3.00", "(2.00", "to", "4.00)", "-"]
