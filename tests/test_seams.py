"""The benchmark of seams finds those of windows that know nothing of each other."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pcnet import pcnet_superpixels
from napari_pcnet.cli import main
from napari_pcnet.evaluation import seams
from napari_pcnet.evaluation.pictures import draw_bands, draw_photograph
from napari_pcnet.evaluation.seams import Drawn, SeamsOptions

WORDS = ["benchmark", "seams", "--side", "512", "--pictures", "2", "--window", "128", "--count", "500"]


def test_the_rate_is_that_on_the_lines_over_that_on_the_lines_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "CHUNK_SIDE_PX", 320)
    monkeypatch.setattr(seams, "STRIDE", 10)
    labels = np.zeros((640, 640), np.int32)
    labels[:256] = 1  # on one of four lines between windows, at 256 and 512 along both axes: a quarter
    labels[:80, 266:] = 2  # on one of 16 lines beside them an eighth: a 128th
    labels[:40, 320:] = 3  # on one of two lines between chunks a sixteenth: a 32nd, and nothing beside
    rates = seams._rates(labels, 256, Drawn(np.empty(0, np.uint8), set(), set()))
    assert rates == {"window_lines": pytest.approx(32), "chunk_lines": float("inf")}


def test_lines_of_the_picture_and_those_of_both_kinds_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seams, "CHUNK_SIDE_PX", 128)
    labels = np.zeros((640, 640), np.int32)
    labels[320:] = 1  # the picture's own
    labels[:, 384:] += 2  # a line between windows; as of both kinds it is none between chunks
    labels[:64, 448:] += 4  # a tenth of one of the three lines beside it that are left
    drawn = Drawn(np.empty(0, np.uint8), {320}, set())
    assert seams._rates(labels, 384, drawn) == {"window_lines": pytest.approx(15), "chunk_lines": 0}


def test_the_lines_between_photographs_are_known() -> None:
    drawn = seams._drawn(900, 3)
    assert drawn.picture.shape == (900, 900, 3)
    steps = np.abs(np.diff(drawn.picture.astype(int), axis=0)).mean(axis=(1, 2))
    (line,) = (line for line in drawn.rows if 0 < line < 900)
    assert steps[line - 1] > 2 * np.median(steps)


def test_streamed_windows_have_the_labels_of_the_whole_and_windows_alone_have_not() -> None:
    options = SeamsOptions(side=512, window=128, count=500)
    picture = draw_photograph((512, 512), 0)
    np.testing.assert_array_equal(seams._streamed(picture, options), pcnet_superpixels(picture, 500))
    alone = seams._alone(picture, options)
    assert len(np.unique(alone)) == alone.max()
    assert not set(np.unique(alone[:, 127])) & set(np.unique(alone[:, 128]))


def test_the_command_finds_the_seams_and_goes_on_from_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seams, "CHUNK_SIDE_PX", 192)
    words = [*WORDS, "--output", str(tmp_path / "made")]
    assert main(words) == 0
    text = capsys.readouterr().out
    rate = r"([\d.]+) \(([\d.]+) to ([\d.]+)\)"
    whole, streamed, alone, no_seam, seam = (
        found[1] for found in re.finditer(rf"^ +[a-z ]+ {rate} +{rate}$", text, re.MULTILINE)
    )
    assert float(alone) > 2 > float(streamed) == float(whole)
    assert float(seam) > 2
    assert no_seam == "1.000"
    assert "is not that of one window: 0\n" in text
    assert (tmp_path / "made" / "table.txt").read_text().startswith(text.strip())

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is measured already")

    monkeypatch.setattr(seams, "pcnet_superpixels", refuse)
    assert main(words) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", "100"], "--window must be a multiple of 64, got 100"),
        (["--side", "200"], "--side must be at least two windows, 256, got 200"),
        (["--pictures", "0"], "--pictures must be a whole number of at least 1, got 0"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, *words]) == 2
    assert capsys.readouterr().err == f"napari-pcnet: {message}\n"


def test_a_picture_is_drawn_into_a_file_tile_by_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[1] / "tools" / "draw_picture.py"
    spec = importlib.util.spec_from_file_location("draw_picture", path)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(
        "sys.argv", ["draw_picture.py", "1700x900", str(tmp_path / "made.tif"), "--seed", "3"]
    )
    assert tool.main() == 0
    expected = draw_photograph((900, 1700), 3)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "made.tif"), expected)
    assert [len(band) for band in draw_bands((900, 1700), 3)] == [816, 84]
    with tifffile.TiffFile(tmp_path / "made.tif") as file:
        assert (file.pages[0].tilewidth, file.pages[0].compression.name) == (512, "ADOBE_DEFLATE")
