"""Labels are those that are kept: a changed number anywhere in network, geometry or merging shows here."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_pcnet.merging import passes


def _load() -> ModuleType:
    path = Path(__file__).parents[1] / "tools" / "golden_labels.py"
    spec = importlib.util.spec_from_file_location("golden_labels", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _load()
KEPT = golden.read()
CASES = dict(golden.cases())


def test_every_case_is_kept_and_every_kept_one_is_a_case() -> None:
    assert sorted(KEPT) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_labels_are_the_golden_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")  # small pictures would be labelled by numpy alone
    labels = CASES[name]()
    assert golden.is_close(KEPT[name], labels), golden.difference(KEPT[name], labels)


def test_a_difference_is_counted_in_pixels_whatever_the_numbers() -> None:
    labels = np.arange(200).reshape(1, 200) // 20
    assert golden.difference(labels, labels) == ""
    assert golden.is_close(labels, labels[:, ::-1])
    other = labels.copy()
    other[0, 20] = 0
    assert not golden.is_close(labels, other)
    assert golden.difference(labels, other) == "1 of 200 pixels (0.500%) moved, 10 labels, were 10"
