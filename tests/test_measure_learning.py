"""What a forest learns from strokes: where they run, what is counted, what the tool writes."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import gaussian_filter

TOOL = Path(__file__).parents[1] / "tools" / "measure_learning.py"

LABELS = np.kron(np.arange(48).reshape(6, 8), np.ones((5, 5), int))
OWN = np.tile(np.repeat([1, 2], 4), 6)
"""The class of each region: the left half, the right half."""


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location("measure_learning", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "measure_learning", module)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_strokes_paint_as_many_as_asked_for_in_their_own_class_and_every_class(tool):
    for seed in range(5):
        painted = tool.strokes(LABELS, OWN, 12, seed)
        assert np.count_nonzero(painted) == 12
        assert_array_equal(painted[painted > 0], OWN[painted > 0])
        assert set(painted) == {0, 1, 2}
        assert_array_equal(painted, tool.strokes(LABELS, OWN, 12, seed))


def test_what_is_not_annotated_is_neither_painted_nor_counted(tool):
    truth = OWN[LABELS].copy()
    truth[:5] = 0  # the first row of regions
    truth[5, :5] = 2  # a fifth of region 8
    regions = tool.Regions(LABELS, lambda painted, seed: np.where(OWN == 1, 1, 1))
    best, found = tool.accuracies(regions, truth, 0.25, 2)
    assert best == pytest.approx(1 - 5 / 1000)
    for seed, accuracy in enumerate(found):
        painted = tool.strokes(LABELS, np.where(np.arange(48) < 8, 0, OWN), 12, seed)
        assert not painted[:8].any()
        right = 500 - 5 + 25 * np.count_nonzero(painted == 2)
        assert accuracy == pytest.approx(right / 1000)


def test_slic_comes_close_to_the_count(tool):
    smooth = gaussian_filter(np.random.default_rng(0).random((120, 160, 3)), (6, 6, 0))
    image = (smooth * 255).astype(np.uint8)
    number = len(np.unique(tool.slic_of(image, 90)))
    assert abs(number - 90) <= 9


def test_the_table_has_a_line_for_each_way_and_says_what_made_it(tool, tmp_path, monkeypatch, capsys):
    for folder in ("images", "labels"):
        (tmp_path / "mixed" / "drawn" / "val" / folder).mkdir(parents=True)
    kinds = np.where(np.arange(96) < 48, 1, 4) * np.ones((64, 1), int)
    image = 50 * kinds[..., None] + np.random.default_rng(1).integers(0, 40, (64, 96, 3))
    split = tmp_path / "mixed" / "drawn" / "val"
    PIL.Image.fromarray(image.astype(np.uint8)).save(split / "images" / "a.png")
    PIL.Image.fromarray(kinds.astype(np.uint8)).save(split / "labels" / "a.png")
    monkeypatch.setattr(tool, "PICTURES", (tool.Annotated("drawn", "drawn/val", "a"),))
    table = tmp_path / "results" / "table.txt"
    words = [str(tmp_path), str(table), "--count", "60", "--share", "0.25", "--draws", "2"]
    monkeypatch.setattr(sys, "argv", ["measure_learning.py", *words])
    assert tool.main() == 0
    lines = table.read_text().splitlines()
    assert lines[0] == "Learning from strokes on 25% of the superpixels"
    rows = [line.split() for line in lines if re.match(r"  (pcnet|the same|scikit)", line)]
    assert len(rows) == 4
    for row in rows:
        best, mean, lowest, highest = map(float, row[-5:-1])
        assert lowest <= mean <= highest <= best and mean > 0.9
    assert "command: python tools/measure_learning.py DATA TABLE --count 60 --share 0.25 --draws 2" in lines
    assert str(tmp_path) not in table.read_text()
