"""Labels in files, scored against annotations in files."""

import csv
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from napari_pcnet.disk.labels import write_labels
from napari_pcnet.evaluation.evaluate import EvaluateOptions, main_evaluate
from napari_pcnet.metrics import score
from napari_pcnet.record import Origin, RunRecord, notes_of

SIDE = 24


def halves(column):
    labels = np.ones((SIDE, SIDE), np.uint8)
    labels[:, column:] = 2
    return labels


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def ignore(done, total):
    pass


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folders(tmp_path):
    """Labels of two pictures; the first has two annotations, the second one."""
    write(tmp_path / "labels" / "a.png", halves(12))
    write_labels(tmp_path / "labels" / "b.zarr", halves(12))
    write(tmp_path / "truth" / "a-1.png", halves(12))
    write(tmp_path / "truth" / "a-2.png", halves(9))
    write_labels(tmp_path / "truth" / "b.tif", halves(6))
    write(tmp_path / "truth" / "c.png", halves(6))
    return EvaluateOptions(tmp_path / "labels", tmp_path / "truth", output=tmp_path / "scores.csv")


# ------------------------------------------------------------------------------------- the table


def test_one_labels_file_has_one_line(tmp_path):
    labels = write(tmp_path / "slic.png", halves(12))
    truth = write(tmp_path / "truth.png", halves(9))
    # 3 of 24 columns lie outside the best partner of their superpixel; borders are 3 columns apart.
    table = main_evaluate(EvaluateOptions(labels, truth, tolerance_px=0), ignore)
    heading, line = (each.split() for each in table.splitlines())
    assert heading == ["K", "ASA", "BR", "BP", "UE", "UE_Levin", "EV", "CO", "CD", "tolerance_px"]
    assert line[:4] == ["slic.png", "2", "0.8750", "0.0000"]
    assert line[7:] == ["-", "0.6981", "0.0833", "0"]


def test_an_image_gives_explained_variation(tmp_path):
    labels = write(tmp_path / "labels.png", halves(12))
    picture = write(tmp_path / "image.png", np.stack([halves(12) * 100] * 3, axis=-1))
    table = main_evaluate(EvaluateOptions(labels, labels, picture), ignore)
    assert table.split()[-4] == "1.0000"


@pytest.mark.parametrize("start_label", [0, 1])
def test_what_lies_outside_the_mask_of_a_run_is_not_scored(tmp_path, start_label):
    labels = halves(12).astype(int) - 1 + start_label
    labels[:6] = start_label - 1
    notes = notes_of(RunRecord(2, start_label=start_label), Origin("cat"))
    write_labels(tmp_path / "labels.tif", labels, notes=notes)
    truth = write(tmp_path / "truth.png", halves(9))
    table = main_evaluate(EvaluateOptions(tmp_path / "labels.tif", truth, tolerance_px=0), ignore)
    assert table.splitlines()[1].split()[:3] == ["labels.tif", "2", "0.8750"]


def test_the_label_outside_may_be_named(tmp_path):
    labels = halves(12)
    labels[:6] = 0
    path, truth = write(tmp_path / "labels.png", labels), write(tmp_path / "truth.png", halves(9))
    counts = [
        main_evaluate(EvaluateOptions(path, truth, outside=outside), ignore).splitlines()[1].split()[1]
        for outside in (None, 0, 7)
    ]
    assert counts == ["3", "2", "3"]


def test_labels_that_are_outside_everywhere_are_refused(tmp_path):
    labels = write(tmp_path / "labels.png", halves(24))
    with refuses(ValueError, f"labels in {labels} are 1 everywhere, which is outside"):
        main_evaluate(EvaluateOptions(labels, labels, outside=1), ignore)


def test_several_files_end_with_the_mean_over_all_annotations(folders):
    lines = [line.split() for line in main_evaluate(folders, ignore).splitlines()]
    accuracies = [1 - 0 / 24, 1 - 3 / 24, 1 - 6 / 24]
    assert [line[0] for line in lines[1:]] == ["a.png", "b.zarr", "mean"]
    assert lines[1][2] == f"{np.mean(accuracies[:2]):.4f}"
    assert lines[2][2] == f"{accuracies[2]:.4f}"
    assert lines[3][:5] == ["mean", "over", "all", "3", "annotations"]
    assert lines[3][6] == f"{np.mean(accuracies):.4f}"


def test_labels_of_segment_go_by_the_names_of_their_pictures(folders):
    as_before = main_evaluate(folders, ignore).splitlines()
    (folders.labels / "a.png").rename(folders.labels / "a.superpixels.png")
    (folders.labels / "b.zarr").rename(folders.labels / "b.superpixels.zarr")
    lines = main_evaluate(replace(folders, overwrite=True), ignore).splitlines()
    assert [line.split()[1:] for line in lines] == [line.split()[1:] for line in as_before]
    assert [line.split()[0] for line in lines[1:3]] == ["a.superpixels.png", "b.superpixels.zarr"]


def test_columns_stand_under_their_headings(folders):
    lines = main_evaluate(folders, ignore).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_progress_counts_labels_files(folders):
    steps = []
    main_evaluate(folders, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 2), (2, 2)]


# -------------------------------------------------------------------------------------- the file


def test_the_file_has_a_row_for_each_annotation(folders):
    main_evaluate(folders, ignore)
    first, second, third = rows_of(folders.output)
    assert (first["labels"], first["truth"]) == (
        str(folders.labels / "a.png"),
        str(folders.truth / "a-1.png"),
    )
    assert second["truth"] == str(folders.truth / "a-2.png")
    assert third["labels"] == str(folders.labels / "b.zarr")
    expected = score(halves(12), halves(9))
    assert (second["annotation"], second["K"], second["EV"]) == ("1", "2", "")
    assert float(second["ASA"]) == pytest.approx(expected.achievable_segmentation_accuracy)
    assert float(second["CO"]) == pytest.approx(expected.compactness)


def test_a_file_of_bsds500_holds_several_annotations(tmp_path):
    cells = np.empty((1, 2), object)
    cells[:] = [[{"Segmentation": halves(12).astype(np.uint16)}, {"Segmentation": halves(9)}]]
    savemat(tmp_path / "a.mat", {"groundTruth": cells})
    labels = write(tmp_path / "a.png", halves(12))
    main_evaluate(EvaluateOptions(labels, tmp_path / "a.mat", output=tmp_path / "scores.csv"), ignore)
    rows = rows_of(tmp_path / "scores.csv")
    assert [(row["annotation"], row["ASA"]) for row in rows] == [("1", "1"), ("2", "0.875")]


def test_an_existing_output_is_kept_unless_asked(folders):
    folders.output.write_text("precious")
    message = f"output {folders.output} exists; pass overwrite=True to replace it"
    with refuses(FileExistsError, message):
        main_evaluate(folders, ignore)
    assert folders.output.read_text() == "precious"
    main_evaluate(EvaluateOptions(folders.labels, folders.truth, None, folders.output, 1, True), ignore)
    assert [row["tolerance_px"] for row in rows_of(folders.output)] == ["1", "1", "1"]


def test_nothing_is_written_when_scoring_fails(folders):
    write(folders.truth / "b-1.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match="must be the same"):
        main_evaluate(folders, ignore)
    assert not folders.output.exists()


def test_an_output_of_another_ending_is_refused(folders, tmp_path):
    options = EvaluateOptions(folders.labels, folders.truth, output=tmp_path / "scores.xlsx")
    with refuses(ValueError, f"output {options.output} must end in .csv"):
        main_evaluate(options, ignore)


def test_a_truth_is_never_replaced(tmp_path):
    labels = write(tmp_path / "a.png", halves(12))
    truth = tmp_path / "a.csv"
    np.savetxt(truth, halves(9), fmt="%d", delimiter=",")
    with refuses(ValueError, f"output {truth} is a truth; name another file"):
        main_evaluate(EvaluateOptions(labels, truth, output=truth, overwrite=True), ignore)


# ---------------------------------------------------------------------------------- the refusals


def test_labels_without_truth_are_named(folders):
    for path in folders.truth.glob("a-*"):
        path.unlink()
    message = (
        f"{folders.labels / 'a.png'} has no truth: looked for {folders.truth / 'a'} and "
        f"{folders.truth / 'a'}-* (.mat, .csv, .png, .tif, .tiff, .zarr)"
    )
    with refuses(FileNotFoundError, message):
        main_evaluate(folders, ignore)


def test_labels_without_image_are_named(folders, tmp_path):
    write(tmp_path / "images" / "a.jpg", halves(12))
    message = (
        f"{folders.labels / 'b.zarr'} has no image: looked for {tmp_path / 'images' / 'b'} "
        "(.jpg, .jpeg, .png, .tif, .tiff, .zarr)"
    )
    with refuses(FileNotFoundError, message):
        main_evaluate(EvaluateOptions(folders.labels, folders.truth, tmp_path / "images"), ignore)


def test_a_folder_goes_with_folders_and_a_file_with_files(folders):
    labels, truth = folders.labels / "b.zarr", folders.truth / "b.tif"
    message = (
        f"labels {folders.labels} are a folder, but truth {truth} is a file; "
        "give files alone or folders alone"
    )
    with refuses(ValueError, message):
        main_evaluate(EvaluateOptions(folders.labels, truth), ignore)
    message = (
        f"labels {labels} are a file, but image {folders.truth} is a folder; "
        "give files alone or folders alone"
    )
    with refuses(ValueError, message):
        main_evaluate(EvaluateOptions(labels, truth, folders.truth), ignore)


def test_what_is_not_there_is_named(folders, tmp_path):
    with refuses(FileNotFoundError, f"truth {tmp_path / 'none'} does not exist"):
        main_evaluate(EvaluateOptions(folders.labels, tmp_path / "none"), ignore)


def test_a_folder_without_labels_is_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with refuses(FileNotFoundError, f"{tmp_path / 'empty'} holds no labels (.tif, .tiff, .png, .zarr)"):
        main_evaluate(EvaluateOptions(tmp_path / "empty", folders.truth), ignore)


@pytest.mark.parametrize("role", ["truth", "image"])
def test_shapes_that_differ_are_refused_with_both_files(tmp_path, role):
    labels = write(tmp_path / "labels.png", halves(12))
    other = write(tmp_path / "other.png", halves(12)[:-1])
    files = {"truth": labels, role: other}
    message = f"{labels} is 24 x 24 pixels, but its {role} {other} is 23 x 24; they must be the same"
    with refuses(ValueError, message):
        main_evaluate(EvaluateOptions(labels, **files), ignore)


def test_labels_in_colours_are_refused(tmp_path):
    truth = write(tmp_path / "truth.png", halves(12))
    labels = write(tmp_path / "labels.png", np.stack([halves(12)] * 3, axis=-1))
    message = f"labels in {labels} must be one channel of whole numbers, got 24 x 24 x 3 of uint8"
    with refuses(ValueError, message):
        main_evaluate(EvaluateOptions(labels, truth), ignore)


def test_every_option_is_explained():
    assert all(each.metadata["help"] for each in fields(EvaluateOptions))
