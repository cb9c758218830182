"""The tables of times, from times that are known."""

import csv
from pathlib import Path

import numpy as np
import pytest

from napari_pcnet.evaluation import fresh, speed
from napari_pcnet.evaluation.fresh import Run
from napari_pcnet.evaluation.methods import Choice
from napari_pcnet.evaluation.segmenter import Segmenter
from napari_pcnet.evaluation.speed import SpeedOptions, compare
from napari_pcnet.stages import stage

SECONDS = {"first": (1.0, 2.0, 4.0), "second": (2.0, 8.0, 12.0)}
"""Of each method, the turns."""


def _one_label(image: np.ndarray, n_segments: int) -> np.ndarray:
    return np.zeros(image.shape[:2], int)


STAGES = {"trunk": (0.5, 1.5, 1.0), "tail": (0.25, 0.25, 2.0)}
"""Of the method with stages, the turns; what is left of its seconds is .25, .25 and 1."""


def _in_stages(image: np.ndarray, n_segments: int) -> np.ndarray:
    with stage("trunk"):
        pass
    with stage("tail"):
        return _one_label(image, n_segments)


def _write_times(path: Path) -> None:
    """Put the known times into a file of results."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        turn = int(row["turn"])
        row["seconds"] = str(SECONDS[row["method"]][turn])
        for name, turns in STAGES.items():
            row[name] = str(turns[turn]) if row[name] != "nan" else "nan"
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


def test_our_methods_have_their_seconds_stage_by_stage_in_a_resumed_run_too(tmp_path: Path) -> None:
    choice = Choice((Segmenter("first", _in_stages), Segmenter("second", _one_label)), ())
    options = SpeedOptions(
        sizes=("64x64",), counts=(1,), repetitions=3, memory=False, output=tmp_path / "speed"
    )
    compare(choice, options, lambda done, total: None)
    _write_times(options.output / "results.csv")
    lines = compare(choice, options, lambda done, total: pytest.fail("all is measured")).splitlines()
    assert lines[4:8] == [
        "",
        "  seconds in each stage  trunk   tail   rest",
        "  first                  1.000  0.250  0.250",
        "",
    ]


def test_the_first_two_calls_of_a_process_are_shown_with_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"first": Run(1, imports_s=2.5, first_s=1.25, seconds=0.5, peak_bytes=3 << 20), "second": None}
    monkeypatch.setattr(speed, "run_afresh", lambda method, image, count: runs[method.name])
    choice = Choice((Segmenter("first", _one_label), Segmenter("second", _one_label)), ())
    options = SpeedOptions(sizes=("64x64",), counts=(1,), repetitions=1, output=tmp_path / "speed")
    lines = compare(choice, options, lambda done, total: None).splitlines()
    assert lines[4:8] == [
        "",
        "  seconds in a fresh process  imports  first call  second call",
        "  first                          2.50        1.25         0.50",
        "  second                            -           -            -",
    ]
    assert lines[2].split()[3] == "3"


@pytest.mark.parametrize(("small_first", "first"), [(False, (300, 280, 3)), (True, (256, 256, 3))])
def test_a_process_calls_twice_and_counts_what_the_second_call_gives(
    tmp_path: Path, small_first: bool, first: tuple[int, ...]
) -> None:
    given: list[tuple[int, ...]] = []

    def numbered(image: np.ndarray, n_segments: int) -> np.ndarray:
        given.append(image.shape)
        return np.arange(len(given))

    np.save(tmp_path / "image.npy", np.zeros((300, 280, 3), np.uint8))
    run = fresh._run_and_watch(Segmenter("numbered", numbered), tmp_path / "image.npy", 5, small_first)
    assert given == [first, (300, 280, 3)]
    assert run.superpixels == 2
