"""The benchmarks on tiny drawn pictures, with methods so plain that their answers are known."""

import math
import re
import sys
import types
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from napari_pcnet.evaluation import cost, methods, quality
from napari_pcnet.evaluation.benchmark import CostOptions, QualityOptions, main_cost, main_quality
from napari_pcnet.evaluation.curves import Point, at_equal_count, mean_points, next_requests
from napari_pcnet.evaluation.methods import HIERARCHY, PEERS, Choice, Method
from napari_pcnet.evaluation.results import Key, ResultsFile, Row

SIDE = 48


def grid(image, n_segments):
    """Squares, about as many as asked for."""
    cells = max(round(math.sqrt(n_segments)), 1)
    rows, columns = (np.arange(size) * cells // size for size in image.shape[:2])
    return rows[:, None] * cells + columns


def half_of(image, n_segments):
    return grid(image, n_segments // 2)


def at_most_nine(image, n_segments):
    return grid(image, min(n_segments, 9))


def ignore(done, total):
    pass


def choice_of(*segments):
    return Choice(tuple(Method(each.__name__, each) for each in segments), ())


@pytest.fixture
def data(tmp_path):
    """Three pictures of two halves, with 1, 2 and 3 annotations."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "drawn" / "val"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in (1, 2, 3):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"p{number}.png")
        for annotator in range(number):
            halves = np.zeros((SIDE, SIDE), np.uint8)
            halves[:, 10 * (annotator + 1) :] = 1
            Image.fromarray(halves).save(folder / "labels" / f"p{number}-{annotator}.png")
    return folder


@pytest.fixture
def options(data, tmp_path):
    return QualityOptions(data, tmp_path / "quality.csv", counts=(4, 16, 64))


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


# -------------------------------------------------------------------------- equal measured K


def point(request, superpixels, **scores):
    return Point(request, superpixels, {"K": superpixels, **scores})


def test_scores_between_two_requests_lie_on_the_line_between_them():
    points = [point(200, 150, ASA=0.9), point(400, 350, ASA=0.96), point(100, 80, ASA=0.5)]
    assert at_equal_count(points, 200) == {"K": 200, "ASA": pytest.approx(0.9 + 0.06 * 50 / 200)}


def test_a_curve_says_nothing_beyond_its_ends():
    points = [point(200, 150, ASA=0.9), point(400, 350, ASA=0.96)]
    assert at_equal_count(points, 149) is None
    assert at_equal_count(points, 351) is None
    assert at_equal_count(points, 350) == {"K": 350, "ASA": pytest.approx(0.96)}


def row(image, request, annotations, **scores):
    key = Key("drawn/val", "grid", "", image, request, "default")
    return Row(key, annotations, scores)


def test_an_image_counts_as_often_as_it_has_annotations():
    rows = [row("a", 9, 1, K=10, ASA=0.9), row("b", 9, 3, K=6, ASA=0.5), row("b", 4, 3, K=4, ASA=0)]
    assert mean_points(rows) == [
        point(4, 4.0, ASA=0.0),
        point(9, 7.0, ASA=pytest.approx(0.6)),
    ]


@pytest.mark.parametrize(
    ("measured", "wanted", "requests"),
    [
        ({200: 200, 400: 400}, (200, 400), []),  # exactly there
        ({200: 100, 400: 200}, (400,), [880]),  # too few: twice as many and a tenth
        ({200: 400, 400: 800}, (200,), [90]),  # too many: half of it less a tenth
        ({200: 100, 400: 300}, (200,), [300]),  # bracketed too widely: on the line between
        ({200: 180, 400: 220}, (200,), []),  # bracketed closely
        ({200: 195, 400: 800}, (200,), []),  # near enough to one of the two
        ({300: 100, 400: 300, 301: 101}, (200,), [350]),
        ({200: 9, 4000: 9}, (18,), [8800]),  # no more to be had, as far as one can see
        ({1: 5, 9: 9}, (2,), []),  # no less than 1 can be asked for
    ],
)
def test_requests_are_steered_towards_the_count_wanted(measured, wanted, requests):
    points = [point(request, superpixels) for request, superpixels in measured.items()]
    assert next_requests(points, wanted) == requests


def test_steering_brackets_every_count_wanted(options):
    table = quality.compare(choice_of(half_of), options, ignore)
    assert "-  " not in table
    assert "not reached" not in table
    superpixels = {row.scores["K"] for row in rows_of(options)}
    assert min(superpixels) <= 4
    assert max(superpixels) >= 64


def test_a_count_that_is_never_reached_is_said_so(options):
    table = quality.compare(choice_of(at_most_nine), options, ignore)
    assert "at_most_nine: K = 16, 64 not reached, measured 4 to 9" in table
    assert re.search(r"at_most_nine +0\.\d{4} +- +-\n", table)


# ------------------------------------------------------------------------------- the results


def rows_of(options):
    results = ResultsFile(options.output)
    return list(results.rows)


def test_a_row_holds_the_mean_over_annotations(options):
    options = replace(options, counts=(4,), tolerance_px=0)
    quality.compare(choice_of(grid), options, ignore)
    first, second, _ = rows_of(options)
    assert first.key == Key("drawn/val", "grid", "", "p1", 4, "0")
    assert (first.annotations, second.annotations) == (1, 2)
    # Four squares of 24 px; the annotations' halves begin at columns 10 and 20.
    assert first.scores["ASA"] == pytest.approx(1 - 10 / 48)
    assert second.scores["ASA"] == pytest.approx(1 - (10 + 4) / 2 / 48)
    assert first.scores["CO"] == pytest.approx(math.pi / 4)


def test_every_other_image_begins_with_the_first(options):
    quality.compare(choice_of(grid), replace(options, every=2), ignore)
    assert {row.key.image for row in rows_of(options)} == {"p1", "p3"}


def test_the_table_gives_each_score_at_equal_count(options):
    options = replace(options, counts=(4,))
    table = quality.compare(choice_of(grid), options, ignore)
    assert table.splitlines()[0] == (
        f"{options.data}: 3 images, mean over all 6 annotations, at equal measured K; "
        "boundary tolerance 0.0025 of the diagonal"
    )
    # p1 errs by 10 columns, p2 by 10 and 4, p3 by 10, 4 and 6; six annotations in all.
    expected = 1 - (10 + 10 + 4 + 10 + 4 + 6) / 6 / 48
    assert re.search(rf"ASA: .*\n +K +4\n +grid +{expected:.4f}\n", table)


def test_progress_counts_every_labelling(options):
    steps = []
    quality.compare(choice_of(grid), options, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 9) for done in range(1, 10)]


class InterruptedRunError(Exception):
    pass


def test_an_interrupted_run_resumes_without_repeating_or_losing_a_row(options, tmp_path):
    calls = []

    def counted(image, n_segments, limit):
        if len(calls) == limit:
            raise InterruptedRunError
        calls.append(n_segments)
        return half_of(image, n_segments)

    def run(limit, output):
        method = Method("counted", partial(counted, limit=limit))
        return quality.compare(Choice((method,), ()), replace(options, output=output), ignore)

    whole = tmp_path / "whole.csv"
    table = run(math.inf, whole)
    needed = list(calls)
    calls.clear()
    for limit in (0, 2, 7, len(needed) - 1):  # in the first round, and in the last
        with pytest.raises(InterruptedRunError):
            run(limit, options.output)
    assert run(math.inf, options.output) == table
    assert calls == needed
    assert options.output.read_text() == whole.read_text()


@pytest.mark.parametrize("lost", [1, 30, 500])
def test_a_row_cut_off_in_the_middle_is_measured_again(options, lost):
    quality.compare(choice_of(grid), options, ignore)
    whole = options.output.read_text()
    options.output.write_text(whole[:-lost])
    quality.compare(choice_of(grid), options, ignore)
    assert options.output.read_text() == whole


def test_a_header_cut_off_in_the_middle_is_written_again(options):
    options.output.write_text("data,meth")
    quality.compare(choice_of(grid), options, ignore)
    assert len(rows_of(options)) == 9


def test_other_settings_are_other_rows(options):
    for settings in ("fine", "coarse"):
        method = Method("grid", grid, settings=settings)
        quality.compare(Choice((method,), ()), options, ignore)
    assert len(rows_of(options)) == 18


def test_a_file_of_something_else_is_refused(options):
    options.output.write_text("x,y\n1,2\n")
    message = (
        f"{options.output} is no results file of this version: its first columns are x, y; "
        "name another output"
    )
    with refuses(ValueError, message):
        quality.compare(choice_of(grid), options, ignore)


def test_a_folder_that_does_not_exist_is_refused(options, tmp_path):
    output = tmp_path / "nowhere" / "quality.csv"
    message = f"the folder of the results file {output} does not exist; make it first"
    with refuses(FileNotFoundError, message):
        quality.compare(choice_of(grid), replace(options, output=output), ignore)


# ------------------------------------------------------------------------------- the methods


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_returns_about_as_many_labels_as_asked(peer):
    if peer.missing():
        pytest.skip(peer.missing())
    smooth = np.linspace(0, 255, 96 * 96).reshape(96, 96, 1)
    image = np.concatenate([smooth, smooth.transpose(1, 0, 2), smooth], axis=2).astype(np.uint8)
    labels = peer(image, 36)
    assert labels.shape == (96, 96)
    assert labels.dtype.kind in "iu"
    assert 12 <= np.unique(labels).size <= 72


def test_a_missing_package_is_named_and_its_method_skipped(options):
    absent = Method("absent", grid, imports=("not_a_package.at_all",), install="not-a-package")
    choice = methods.available([absent, Method("grid", grid)])
    sentence = "absent skipped: not_a_package.at_all is not installed (pip install not-a-package)"
    assert choice.skipped == (sentence,)
    assert quality.compare(choice, options, ignore).endswith("\n" + sentence)


def test_an_unknown_method_is_refused(options):
    message = f"no method is called 'slick'; there are {', '.join(methods.NAMES)}"
    with refuses(ValueError, message):
        main_quality(replace(options, methods=("slick",)), ignore)


@pytest.fixture
def ours(monkeypatch, tmp_path):
    """A stand-in for `napari_pcnet.superpixels`, and weights for it; returns the trees made."""
    trees = []

    def pcnet_hierarchy(image, max_segments=100, *, model, compactness=7.0):
        trees.append((max_segments, compactness))
        return types.SimpleNamespace(labels=partial(grid, image), timings={"trunk": 0.25})

    def pcnet_superpixels(image, n_segments=100, *, model, method, compactness=7.0):
        return grid(image, n_segments)

    stand_in = types.ModuleType("napari_pcnet.superpixels")
    stand_in.pcnet_hierarchy = pcnet_hierarchy
    stand_in.pcnet_superpixels = pcnet_superpixels
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    model = tmp_path / "drawn.safetensors"
    model.write_bytes(b"weights")
    return types.SimpleNamespace(model=str(model), trees=trees)


def test_the_hierarchy_makes_one_tree_for_all_counts_of_an_image(options, ours):
    options = replace(options, methods=(HIERARCHY,), model=ours.model)
    table = main_quality(options, ignore)
    assert ours.trees == [(64, 7.0)] * 3
    assert re.search(rf"{HIERARCHY}: .*sha256 [0-9a-f]{{12}}\), compactness 7$", table)


def test_the_lattice_is_asked_for_each_count(options, ours):
    options = replace(options, methods=("pcnet-lattice",), lattice_model=ours.model)
    assert "not reached" not in main_quality(options, ignore)
    assert ours.trees == []


def test_compactness_is_compared_value_by_value(options, ours):
    options = replace(options, model=ours.model, choose_compactness=(2.5, 5.0))
    table = main_quality(options, ignore)
    headings = [line.partition(":")[0] for line in table.split("\n\n")[1:-1]]
    assert headings == ["ASA", "BR", "CO"]
    assert table.count("\n  compactness 2.5 ") == table.count("\n  compactness 5 ") == 3
    assert ours.trees == [(64, 2.5)] * 3 + [(64, 5.0)] * 3


def test_compactness_is_not_chosen_on_test_images(options):
    data = options.data.with_name("test")
    message = f"compactness is not chosen on test images, got {data}; give validation data"
    with refuses(ValueError, message):
        replace(options, data=data, choose_compactness=(1.0,))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, got 0"),
        ({"counts": ()}, "counts must be whole numbers of at least 1, got []"),
        ({"counts": (5, 0)}, "counts must be whole numbers of at least 1, got [5, 0]"),
    ],
)
def test_options_that_measure_nothing_are_refused(options, wrong, message):
    with refuses(ValueError, message):
        replace(options, **wrong)


# ---------------------------------------------------------------------------------- the cost


def test_costs_are_printed_with_their_ratios_and_stages(ours):
    options = CostOptions(sizes=("80x60",), counts=(16,), repetitions=2, memory=False)
    steps = []
    choice = Choice((methods.hierarchy(ours.model), Method("grid", grid)), ("x skipped: y",))
    table = cost.compare(choice, options, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    lines = table.splitlines()
    assert lines[0] == "80x60, n = 16, median of 2"
    assert re.fullmatch(rf" +{HIERARCHY} +16 .* - +1\.00 +-", lines[2])
    assert re.fullmatch(r" +grid +16 .*", lines[3])
    assert re.match(rf"  where the time of {HIERARCHY} goes, .*: trunk 0.25 s, labels", lines[4])
    assert lines[-1] == "x skipped: y"


def test_peak_memory_is_measured_in_a_fresh_process():
    pytest.importorskip("resource")
    options = CostOptions(sizes=("400x300",), counts=(16,), methods=("skimage-slic-10",), repetitions=1)
    table = main_cost(options, ignore)
    mebibytes = int(table.splitlines()[2].split()[-3])
    # 120,000 pixels of float64 Lab alone are 2.7 MiB; the interpreter and scipy would be 100.
    assert 2 <= mebibytes <= 60


def test_a_drawn_photograph_follows_its_seed():
    first, again, other = (cost.draw_photograph((90, 130), seed) for seed in (1, 1, 2))
    assert first.shape == (90, 130, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_size_is_width_by_height():
    assert cost.shape_of("3264x2448") == (2448, 3264)


def test_a_size_written_otherwise_is_refused():
    message = "sizes are written WIDTHxHEIGHT such as 4096x4096, got '4096'"
    with refuses(ValueError, message):
        CostOptions(sizes=("4096",))


def test_no_repetition_is_refused():
    with refuses(ValueError, "repetitions must be a whole number of at least 1, got 0"):
        CostOptions(repetitions=0)
