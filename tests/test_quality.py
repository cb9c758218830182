"""Comparisons of quality on tiny drawn pictures, with methods so plain that their answers are known."""

import csv
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from napari_pcnet.cli import main
from napari_pcnet.evaluation import methods, quality
from napari_pcnet.evaluation.benchmark import QualityOptions, main_quality
from napari_pcnet.evaluation.comparison import HEADLINES
from napari_pcnet.evaluation.methods import Choice, OurMethod
from napari_pcnet.evaluation.quality import Crop
from napari_pcnet.evaluation.results import Key, ResultsFile
from napari_pcnet.evaluation.segmenter import Seams, Segmenter

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
    return Choice(tuple(Segmenter(each.__name__, each) for each in segments), ())


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
    return QualityOptions(data, output=tmp_path / "quality", counts=(4, 16, 64), plots=False)


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


# -------------------------------------------------------------------------- equal measured K


def test_steering_brackets_every_count_wanted(options):
    table = quality.compare(choice_of(half_of), options, ignore)
    assert "-  " not in table
    assert "not reached" not in table
    superpixels = {row.scores["K"] for row in rows_of(options)}
    assert min(superpixels) <= 4
    assert max(superpixels) >= 64


def test_a_count_that_is_never_reached_is_said_so(options):
    table = quality.compare(choice_of(at_most_nine), options, ignore)
    assert "at_most_nine: K = 16, 64 not reached, measured 4, 9" in table
    assert re.search(r"at_most_nine +0\.\d{4} +- +-\n", table)


def test_steering_brackets_every_contour_density_wanted(options):
    table = quality.compare(choice_of(half_of), replace(options, densities=(0.2, 0.5)), ignore)
    assert "not reached" not in table
    densities = {row.scores["CD"] for row in rows_of(options)}
    assert min(densities) <= 0.2
    assert max(densities) >= 0.5
    # n x n squares of 48 px have n - 1 boundaries of 2 px across, n - 1 down: 1 - ((48 - 2 (n - 1)) / 48)^2.
    nine, sixteen = (1 - ((48 - 2 * (n - 1)) / 48) ** 2 for n in (3, 4))
    at = 9 + 7 * (0.2 - nine) / (sixteen - nine)
    assert re.search(rf"K at equal contour density\n +CD +0.2 +0.5\n +half_of +{at:.0f} ", table)


def test_methods_are_compared_with_the_first_or_with_the_one_named(options):
    options = replace(options, counts=(4, 9), headlines=("ASA",))
    first = quality.compare(choice_of(grid, half_of), options, ignore)
    assert "ASA less that of grid, at equal K\n" in first
    assert re.search(r"\n +half_of +\+0\.0000 \[\+0\.0000, \+0\.0000\] ", first)
    named = quality.compare(choice_of(grid, half_of), replace(options, reference="half_of"), ignore)
    assert "ASA less that of half_of, at equal K\n" in named


def test_a_reference_that_is_not_measured_is_refused(options):
    message = "reference names 'slick', which is not measured; there are grid"
    with refuses(ValueError, message):
        quality.compare(choice_of(grid), replace(options, reference="slick"), ignore)


# ------------------------------------------------------------------------------- the results


def rows_of(options):
    path = options.output / "results.csv"
    with path.open(newline="") as file:
        keys = [Key._make(cells[: len(Key._fields)]) for cells in csv.reader(file)][1:]
    results = ResultsFile(path)
    return [results[key._replace(request=int(key.request))] for key in keys]


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
        "drawn/val: 3 images, mean over all 6 annotations, at equal measured K; "
        "boundary tolerance 0.0025 of the diagonal"
    )
    # p1 errs by 10 columns, p2 by 10 and 4, p3 by 10, 4 and 6; six annotations in all.
    expected = 1 - (10 + 10 + 4 + 10 + 4 + 6) / 6 / 48
    assert re.search(rf"ASA: .*\n +K +4\n +grid +{expected:.4f}\n", table)


def test_progress_counts_every_labelling(options):
    steps = []
    quality.compare(choice_of(grid), options, lambda done, total: steps.append((done, total)))
    assert steps == [(done, 9) for done in range(1, 10)]


class InterruptedRunError(KeyboardInterrupt):
    pass


def test_an_interrupted_run_resumes_without_repeating_or_losing_a_row(options, tmp_path):
    calls = []

    def counted(image, n_segments, limit):
        if len(calls) == limit:
            raise InterruptedRunError
        calls.append(n_segments)
        return half_of(image, n_segments)

    def run(limit, output):
        method = Segmenter("counted", partial(counted, limit=limit))
        return quality.compare(Choice((method,), ()), replace(options, output=output), ignore)

    whole = tmp_path / "whole"
    table = run(math.inf, whole)
    needed = list(calls)
    calls.clear()
    for limit in (0, 2, 7, len(needed) - 1):  # in the first round, and in the last
        with pytest.raises(InterruptedRunError):
            run(limit, options.output)
    assert run(math.inf, options.output) == table
    assert calls == needed
    assert results_of(options.output) == results_of(whole)


@pytest.mark.parametrize("lost", [1, 30, 500])
def test_a_row_cut_off_in_the_middle_is_measured_again(options, lost):
    quality.compare(choice_of(grid), options, ignore)
    whole = results_of(options.output)
    (options.output / "results.csv").write_text(whole[:-lost])
    quality.compare(choice_of(grid), options, ignore)
    assert results_of(options.output) == whole


def test_a_header_cut_off_in_the_middle_is_written_again(options):
    options.output.mkdir()
    (options.output / "results.csv").write_text("data,meth")
    quality.compare(choice_of(grid), options, ignore)
    assert len(rows_of(options)) == 9


def test_other_settings_are_other_rows(options):
    for settings in ("fine", "coarse"):
        method = Segmenter("grid", grid, settings=settings)
        quality.compare(Choice((method,), ()), options, ignore)
    assert len(rows_of(options)) == 18


def test_what_is_there_is_not_counted_as_work(options):
    quality.compare(choice_of(grid), replace(options, counts=(4, 16)), ignore)
    steps = []
    quality.compare(choice_of(grid), options, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_several_processes_measure_the_same_rows(options, tmp_path):
    choice = methods.choose(["skimage-slic-10"])
    quality.compare(choice, options, ignore)
    others = replace(options, output=tmp_path / "others", workers=2)
    quality.compare(choice, others, ignore)
    assert sorted(results_of(others.output).splitlines()) == sorted(results_of(options.output).splitlines())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_benchmark_goes_on_and_repeats_nothing(options, tmp_path, capsys, workers):
    words = ["benchmark", "quality", "--data", str(options.data)]
    words += ["--methods", "skimage-slic-10", "skimage-slic-20", "--counts", "4", "9", "16", "25"]
    words += ["--no-plots"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    stopped = [*words, "--workers", workers, "--output", str(killed)]
    process = subprocess.Popen([sys.executable, "-m", "napari_pcnet.cli", *stopped])
    rows = killed / "results.csv"
    while not (rows.exists() and rows.read_text().count("\n") > 3):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    there = rows.read_text().splitlines()[:-1]  # the last one may have been cut off
    tables = []
    for each in (
        stopped,
        [*words, "--output", str(whole)],
    ):  # the whole in this process: its start takes long
        assert main(each) == 0
        tables.append(capsys.readouterr().out)
    after = rows.read_text().splitlines()
    assert after[: len(there)] == there
    assert len(there) < len(after), "it was killed when all was measured"
    assert len(set(after)) == len(after)
    assert sorted(after) == sorted((whole / "results.csv").read_text().splitlines())
    assert tables[0] == tables[1]


def results_of(folder):
    return (folder / "results.csv").read_text()


# ---------------------------------------------------------------------- tables, plots, panels


def test_the_table_is_kept_beside_the_results_with_what_made_it(options):
    table = quality.compare(choice_of(grid), options, ignore)
    kept = (options.output / "table.txt").read_text()
    assert kept.startswith(table + "\n\n")
    assert all(word in kept.removeprefix(table) for word in ("command", "commit", "numpy"))


def test_the_worst_annotation_may_count_alone(options):
    options = replace(options, counts=(4,), annotations="worst", headlines=("ASA", "CO"))
    table = quality.compare(choice_of(grid), options, ignore)
    assert "3 images, the worst annotation of each image, score by score, at" in table
    # The worst annotation of each picture is the one whose border is 10 columns off.
    assert re.search(rf"ASA: .*\n +K +4\n +grid +{1 - 10 / 48:.4f}\n", table)


def test_labels_of_another_shape_are_refused(options):
    def smaller(image, n_segments):
        return grid(image, n_segments)[1:]

    message = (
        f"smaller left out: it failed on {options.data / 'images' / 'p1.png'} at n = 4 "
        "(labels of shape (47, 48) for (48, 48) pixels)"
    )
    with refuses(ValueError, message):
        quality.compare(choice_of(smaller), options, ignore)


def test_more_counts_change_no_row_that_is_there(options, tmp_path):
    asked = (OurMethod("pcnet-bsds500-v1"),)
    first, fresh = (replace(options, ours=asked, counts=(9,), output=tmp_path / name) for name in "ab")
    main_quality(first, ignore)
    for folder in (first, fresh):
        main_quality(replace(folder, counts=(9, 60)), ignore)
    assert sorted(results_of(first.output).splitlines()) == sorted(results_of(fresh.output).splitlines())


def test_each_set_has_its_table(options):
    shutil.copytree(options.data, options.data.with_name("test"))
    options = replace(options, data=options.data.parent, sets=("val", "test"))
    table = quality.compare(choice_of(grid), options, ignore)
    assert table.count("drawn/val: 3 images") == table.count("drawn/test: 3 images") == 1
    assert len(rows_of(options)) == 18


def test_two_sets_of_one_name_are_refused(options):
    options = replace(options, data=options.data.parent, sets=("val", "../drawn/val"))
    message = "two sets are called 'drawn/val', and rows go by that name; rename a folder"
    with refuses(ValueError, message):
        quality.compare(choice_of(grid), options, ignore)


def test_a_method_that_fails_is_left_out_and_named_with_the_image_and_the_count(options):
    def failing(image, n_segments):
        if n_segments == 16:
            raise RuntimeError("no such luck")
        return grid(image, n_segments)

    message = f"failing left out: it failed on {options.data / 'images' / 'p1.png'} at n = 16 (no such luck)"
    with refuses(ValueError, message):
        quality.compare(choice_of(failing), options, ignore)
    assert [row.request for row in rows_of(options)] == [4]
    table = quality.compare(choice_of(failing, grid), options, ignore)
    assert table.endswith(f"\n{message}")
    assert re.search(r"\n  grid +0", table)
    assert not re.search(r"\n  failing +0", table)


def test_the_table_says_which_run_measured_which_rows(options):
    once = quality.compare(choice_of(grid), options, ignore)
    table = options.output / "table.txt"
    assert "rows from" not in table.read_text()
    quality.compare(choice_of(grid), replace(options, counts=(4, 9, 16, 64)), ignore)
    assert re.search(r"\nrows from 1 on: .*\nrows from 10 on: ", table.read_text())
    assert "rows from" not in once


def test_one_folder_takes_one_benchmark_at_a_time(options):
    def within(image, n_segments):
        return quality.compare(choice_of(grid), options, ignore)

    message = f"another benchmark is at work in {options.output}; wait for it or name another output"
    with pytest.raises(ValueError, match=re.escape(message)):
        quality.compare(choice_of(within), options, ignore)


def test_an_output_that_is_a_file_is_refused(options):
    options.output.write_text("mine")
    with refuses(ValueError, f"output must be a folder, but {options.output} is a file"):
        quality.compare(choice_of(grid), options, ignore)
    assert options.output.read_text() == "mine"


def test_no_more_superpixels_are_asked_for_than_there_are_pixels(options):
    asked = []

    def one(image, n_segments):
        asked.append(n_segments)
        return np.zeros(image.shape[:2], int)

    quality.compare(choice_of(one), replace(options, counts=(9000,)), ignore)
    assert max(asked) == SIDE**2


def test_borders_on_the_lines_between_windows_are_counted(options):
    halves = Segmenter("halves", grid, seams=lambda shape, n: Seams(([24], []), ([16], [12, 24])))
    options = replace(options, counts=(4, 9), headlines=("seam_rate",))
    table = quality.compare(Choice((halves, Segmenter("grid", grid)), ()), options, ignore)
    # Of 4 squares the borders are row and column 24, of 9 they are 16 and 32.
    assert re.search(r"halves +3\.0000 +0\.0000\n +grid +- +-\n", table)


def test_curves_and_crops_are_drawn(options):
    crops = (Crop("p2", 4, 8, 16), Crop("p3", 0, 0, 32))
    options = replace(options, plots=True, panel=crops, panel_count=16)
    quality.compare(choice_of(grid, half_of), options, ignore)
    drawn = {path.name for path in options.output.glob("*.png")}
    assert {"drawn-val-br-bp.png", "drawn-val-asa-k.png", "panel.png"} <= drawn


def test_a_crop_of_an_image_that_is_not_there_is_refused(options):
    options = replace(options, plots=True, panel=(Crop("p9", 0, 0),))
    with refuses(ValueError, "the panel asks for image 'p9', which is not in ."):
        quality.compare(choice_of(grid), options, ignore)


def test_a_crop_beyond_the_image_is_refused_before_any_work(options):
    options = replace(options, plots=True, panel=(Crop("p1", 40, 0, 16),))
    message = (
        "the panel asks for Crop(image='p1', top=40, left=0, side_px=16), but the image has 48 x 48 pixels"
    )
    with refuses(ValueError, message):
        quality.compare(choice_of(grid), options, ignore)
    assert not options.output.exists()


def test_a_nested_method_builds_one_hierarchy_for_all_counts_of_an_image(options):
    built = []

    def hierarchy(image):
        built.append(image.shape)
        return partial(grid, image)

    nested = Segmenter("nested", grid, nested=hierarchy)
    table = quality.compare(Choice((nested,), ()), replace(options, every=2), ignore)
    assert len(built) == 2  # of two images; the first round reaches all counts
    again = replace(options, every=2, output=options.output.with_name("again"))
    plain = quality.compare(Choice((Segmenter("nested", grid),), ()), again, ignore)
    assert table == plain


def test_a_hierarchy_that_fails_leaves_its_method_out(options):
    def failing(image):
        raise RuntimeError("no such luck")

    nested = Segmenter("nested", grid, nested=failing)
    with pytest.raises(
        ValueError, match=r"^nested left out: it failed on .*p1.png at n = 4 \(no such luck\)$"
    ):
        quality.compare(Choice((nested,), ()), options, ignore)


def test_a_missing_package_is_named_and_its_method_skipped(options):
    absent = Segmenter("absent", grid, imports=("not_a_package.at_all",), install="not-a-package")
    choice = methods.available([absent, Segmenter("grid", grid)])
    sentence = "absent skipped: not_a_package.at_all is not installed (pip install not-a-package)"
    assert choice.skipped == (sentence,)
    assert quality.compare(choice, options, ignore).endswith("\n" + sentence)


def test_our_methods_are_measured_under_the_names_they_are_given(options):
    asked = OurMethod("pcnet-bsds500-v1", name="mine", compactness=2.5)
    table = main_quality(replace(options, counts=(4,), ours=(asked,)), ignore)
    assert re.search(r"\n  mine +0\.\d{4}\n", table)
    assert re.search(
        r"\nmine: .*hierarchy of each count, pcnet-bsds500-v1 \(sha256 [0-9a-f]{12}\), compactness 2\.5$",
        table,
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, got 0"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"counts": ()}, "counts must be whole numbers of at least 1, got []"),
        ({"counts": (5, 5)}, "counts must differ from each other, got [5, 5]"),
        ({"tolerance_px": -1}, "tolerance_px must be a whole number of at least 0, got -1"),
        ({"counts": (5, 0)}, "counts must be whole numbers of at least 1, got [5, 0]"),
        ({"densities": (0.1, 1.0)}, "densities must lie between 0 and 1, got [0.1, 1.0]"),
        ({"densities": (0.1, 0.1)}, "densities must differ from each other, got [0.1, 0.1]"),
        ({"sets": ()}, "sets must name at least one folder, got none"),
        ({"headlines": ("BB",)}, f"no score is called 'BB'; there are {', '.join(HEADLINES)}"),
    ],
)
def test_options_that_measure_nothing_are_refused(options, wrong, message):
    with refuses(ValueError, message):
        replace(options, **wrong)
