"""The measure of the promises finds what breaks them."""

import numpy as np
import pytest

from napari_pcnet.evaluation import contract
from napari_pcnet.evaluation.contract import ContractOptions, main_contract


def test_labels_that_break_the_promise_are_found() -> None:
    assert contract._problem(np.array([[1, 1, 2]]), 2) == ""
    assert contract._problem(np.array([[1, 2, 1]]), 2) == "3 pieces"
    assert contract._problem(np.array([[1, 1, 3]]), 2) == "2 labels"


def test_nesting_is_found_broken_by_one_pixel() -> None:
    coarse = np.array([[1, 1, 2, 2]])
    assert contract._is_nested(np.array([[1, 2, 3, 4]]), coarse)
    assert not contract._is_nested(np.array([[1, 2, 2, 3]]), coarse)


def test_the_ratio_of_sizes_is_that_of_the_extremes() -> None:
    assert contract._size_ratio(np.array([[1, 2, 2, 2, 3, 3]])) == 3


def test_the_sections_are_printed_under_their_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = ("_counts", "_slivers", "_evenness", "_windows", "_precisions", "_invariance", "_compactness")
    for name in sections:
        monkeypatch.setattr(contract, name, lambda options, name=name: iter([f"  {name}"]))
    seen: list[tuple[int, int]] = []
    text = main_contract(ContractOptions(), lambda done, total: seen.append((done, total)))
    assert [line.strip() for line in text.splitlines() if line.startswith("  _")] == list(sections)
    assert seen[-1] == (7, 7)


def test_windows_and_precisions_are_measured_on_a_small_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LARGE", (150, 210))
    monkeypatch.setattr(contract, "LARGE_COUNT", 15)  # so many need no enlarging
    lines = list(contract._windows(ContractOptions(windows=(64,))))
    assert lines[0] == "  float64, window    64: base 0.0000%, final labels 0.0000%"
    assert len(lines) == 2
    assert [line.split(":")[0].strip() for line in contract._precisions(ContractOptions())] == [
        "float32",
        "bfloat16",
        "float16",
    ]
