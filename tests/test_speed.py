"""Measuring time and memory, with methods that take next to none."""

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_pcnet.evaluation import scale, speed
from napari_pcnet.evaluation.benchmark import ScaleOptions, SpeedOptions, main_scale, main_speed
from napari_pcnet.evaluation.fresh import run_afresh
from napari_pcnet.evaluation.methods import Choice
from napari_pcnet.evaluation.pictures import draw_photograph, shape_of
from napari_pcnet.evaluation.segmenter import Segmenter


def halves(image, n_segments):
    calls.append(("halves", image.shape))
    return np.arange(image.shape[1])[None].repeat(image.shape[0], 0) * 2 // image.shape[1]


def whole(image, n_segments):
    calls.append(("whole", image.shape))
    return np.zeros(image.shape[:2], int)


calls: list[tuple[str, tuple[int, ...]]] = []
BOTH = Choice((Segmenter("halves", halves), Segmenter("whole", whole)), ("x skipped: y",))


def ignore(done, total):
    pass


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


@pytest.fixture
def options(tmp_path):
    calls.clear()
    return SpeedOptions(
        sizes=("300x260",), counts=(16,), repetitions=3, memory=False, output=tmp_path / "speed"
    )


def test_methods_take_turns_after_one_run_to_warm_up(options):
    steps = []
    speed.compare(BOTH, options, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 6) for done in range(1, 7)]
    measured = [name for name, shape in calls if shape == (260, 300, 3)]
    assert measured == ["halves", "whole"] * 3
    assert [name for name, shape in calls if shape == (256, 256, 3)] == ["halves", "whole"]


def test_times_are_printed_with_their_ratios(options):
    lines = speed.compare(BOTH, options, ignore).splitlines()
    assert lines[0] == (
        "300x260, n = 16, median of 3 turns; time and memory as multiples of the first line's"
    )
    assert re.fullmatch(r"  halves +2 +\d+\.\d\d +- +1\.00 +\(1\.00 to 1\.00\) +-", lines[2])
    assert re.fullmatch(r"  whole +1 +\d+\.\d\d +- +\d+\.\d\d +\(.* to .*\) +-", lines[3])
    assert lines[-1] == "x skipped: y"


def test_an_interrupted_measurement_goes_on_with_the_turn_that_is_missing(options):
    speed.compare(BOTH, options, ignore)
    results = options.output / "results.csv"
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-2]) + lines[-2][:9])
    calls.clear()
    steps = []
    speed.compare(BOTH, options, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]
    assert [name for name, shape in calls if shape == (260, 300, 3)] == ["halves", "whole"]
    again = results.read_text().splitlines(keepends=True)
    assert again[:-2] == lines[:-2]
    assert len(again) == len(lines)


def test_peak_memory_is_measured_in_a_fresh_process(tmp_path):
    pytest.importorskip("resource")
    options = SpeedOptions(
        sizes=("400x300",), counts=(16,), methods=("skimage-slic-10",), repetitions=1, output=tmp_path / "s"
    )
    table = main_speed(options, ignore)
    mebibytes = int(table.splitlines()[2].split()[3])
    # 120,000 pixels of float64 Lab alone are 2.7 MiB, and skimage imports on its first call; the interpreter
    # and scipy would be 100.
    assert 2 <= mebibytes <= 80


def test_time_and_memory_are_drawn_against_the_side(tmp_path):
    pytest.importorskip("resource")
    options = ScaleOptions(sides=(64, 128), methods=("skimage-slic-10", "opencv-slic"), output=tmp_path / "s")
    table = main_scale(options, ignore)
    assert re.search(r"\n  skimage-slic-10 +\d+\.\d\d s \(1\.00\) \d+\.\d\d GiB \(1\.00\) ", table)
    assert (options.output / "scale.png").read_bytes().startswith(b"\x89PNG")
    steps = []
    more = replace(options, sides=(64, 128, 192))
    main_scale(more, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]


def test_a_superpixel_for_each_cell_is_asked_for_unless_a_count_is_given():
    assert ScaleOptions(sides=(1024,)).case(1024).request == 4096
    assert ScaleOptions(sides=(1024,), count=1000).case(1024).request == 1000


def test_a_process_that_is_killed_has_run_out_of_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "run_afresh", lambda *_, **__: None)
    table = scale.compare(BOTH, ScaleOptions(sides=(64,), output=tmp_path / "s"), ignore)
    assert table.count("out of memory") == 2


def test_a_method_that_finds_no_memory_is_said_so_not_raised():
    # numpy's own function, as what is sent to another process must be found there
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(MemoryError):
        np.resize(image, 2**60)
    assert run_afresh(Segmenter("resize", np.resize), image, 64).superpixels == 1
    assert run_afresh(Segmenter("resize", np.resize), image, 2**60) is None


def test_a_method_added_later_is_measured_beside_the_others_anew(options):
    alone = Choice(BOTH.methods[:1], ())
    speed.compare(alone, options, ignore)
    calls.clear()
    speed.compare(BOTH, options, ignore)
    measured = [name for name, shape in calls if shape == (260, 300, 3)]
    assert measured == ["halves", "whole"] * 3


def test_another_machine_measures_all_anew(options, monkeypatch):
    speed.compare(BOTH, options, ignore)
    calls.clear()
    monkeypatch.setattr("napari_pcnet.disk.provenance._machine", lambda: "Abacus 3000")
    speed.compare(BOTH, options, ignore)
    assert len([name for name, shape in calls if shape == (260, 300, 3)]) == 6


def test_a_drawn_photograph_follows_its_seed():
    first, again, other = (draw_photograph((90, 130), seed) for seed in (1, 1, 2))
    assert first.shape == (90, 130, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_size_is_width_by_height():
    assert shape_of("3264x2448") == (2448, 3264)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ("4096",)}, "sizes are written WIDTHxHEIGHT such as 4096x4096, got '4096'"),
        ({"repetitions": 0}, "repetitions must be a whole number of at least 1, got 0"),
        ({"counts": (0,)}, "counts must be whole numbers of at least 1, got [0]"),
    ],
)
def test_speed_that_cannot_be_measured_is_refused(wrong, message):
    with refuses(ValueError, message):
        SpeedOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sides": (8,)}, "sides must be whole numbers of at least 16, got [8]"),
        ({"sides": ()}, "sides must be whole numbers of at least 16, got []"),
        ({"count": -1}, "count must be a whole number of at least 0, got -1"),
    ],
)
def test_scales_that_cannot_be_measured_are_refused(wrong, message):
    with refuses(ValueError, message):
        ScaleOptions(**wrong)
