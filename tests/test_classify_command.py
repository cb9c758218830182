"""``napari-pcnet classify``: the class of each pixel and region in files, or one sentence."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from numpy.testing import assert_array_equal

from napari_pcnet import RegionForest, drawn_classes, read_labels, read_table, region_features, write_labels
from napari_pcnet.cli import main

LABELS = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((9, 8), np.int32))
LABELS[LABELS == 9] = 0
LABELS[LABELS == 30] = 70_000
KINDS = np.tile(np.repeat([1, 4], 24), (45, 1))
IMAGE = np.where(KINDS == 1, 40, 160) + np.random.default_rng(2).integers(-20, 20, (3, *LABELS.shape))
IMAGE = np.moveaxis(IMAGE, 0, -1).astype(np.uint8)
DRAWING = np.where(np.arange(45)[:, None] % 18 < 9, KINDS, 0).astype(np.uint8)
"""The first, third and fifth row of regions."""

SAVING = ["--drawing", "drawing.tif", "--save-forest", "forest.safetensors"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with picture, labels and drawing in it."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("image.tif", IMAGE, photometric="rgb")
    write_labels("labels.tif", LABELS)
    write_labels("drawing.tif", DRAWING)
    return tmp_path


def _classify(*words: str) -> int:
    return main(["classify", "image.tif", "labels.tif", "out.tif", *words])


def test_what_is_drawn_on_some_regions_is_learnt_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert _classify("--drawing", "drawing.tif", "--names", "dark", "bright", "--table", "out.csv") == 0
    expected = np.where(LABELS > 0, KINDS, 0)
    assert_array_equal(read_labels("out.tif"), expected)
    table = read_table("out.csv")
    assert list(table) == ["label", "class", "class_number", "uncertainty"]
    assert table["label"].tolist() == [*range(1, 9), *range(10, 30), 70_000]
    assert set(table["class"][table["class_number"] == 4].tolist()) == {"bright"}
    assert 0 <= table["uncertainty"].min() <= table["uncertainty"].max() < 1
    assert capsys.readouterr().out == "out.tif: 29 regions, dark 14, bright 15\n"


@pytest.mark.parametrize("first", [0, 1])
def test_what_is_no_region_is_what_the_record_of_the_labels_says(
    first: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Superpixels that are numbered from 0 are all regions, and what is outside their mask is none."""
    mask = np.ones(LABELS.shape, np.uint8)
    mask[:, :10] = 0
    write_labels("mask.tif", mask)
    words = ["-n", "12", "--start-label", str(first), "--mask", "mask.tif", "--overwrite"]
    assert main(["segment", "image.tif", "labels.tif", *words]) == 0
    expected = np.arange(first, first + 12)
    capsys.readouterr()

    assert main(["measure", "labels.tif", "out.csv"]) == 0
    assert_array_equal(read_table("out.csv")["label"], expected)
    assert main(["export", "labels.tif", "out.geojson"]) == 0
    assert _classify("--drawing", "drawing.tif", "--table", "classes.csv") == 0
    assert_array_equal(read_table("classes.csv")["label"], expected)
    assert_array_equal(read_labels("out.tif") > 0, mask > 0)
    assert re.findall(r"(\d+) regions", capsys.readouterr().out) == ["12"] * 3

    with pytest.raises(SystemExit, match="2"):
        main(["measure", "labels.tif", "none.csv", "--background", "none"])
    assert "argument --background: must be a whole number, got 'none'" in capsys.readouterr().err
    assert main(["measure", "labels.tif", "out.csv", "--background", str(first), "--overwrite"]) == 0
    assert_array_equal(read_table("out.csv")["label"], [first - 1, *expected[1:]])


def test_a_forest_that_looks_at_the_embedding_is_asked_with_it() -> None:
    assert _classify(*SAVING, "--embedding") == 0
    assert RegionForest.load("forest.safetensors").looks_at("embedding-")
    learnt = read_labels("out.tif")
    assert _classify("--forest", "forest.safetensors", "--overwrite") == 0
    assert_array_equal(read_labels("out.tif"), learnt)
    assert _classify(*SAVING, "--overwrite") == 0
    assert not RegionForest.load("forest.safetensors").looks_at("embedding-")


def test_a_saved_forest_classifies_another_picture_and_is_the_library_s(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _classify(*SAVING, "--trees", "33", "--seed", "5") == 0
    features = region_features(IMAGE, LABELS)
    expected = RegionForest.fit(features, drawn_classes(LABELS, DRAWING), trees=33, seed=5)
    saved = RegionForest.load("forest.safetensors")
    assert_array_equal(saved.predict(features).share, expected.predict(features).share)
    tifffile.imwrite("other.tif", IMAGE[:, ::-1], photometric="rgb")
    assert main(["classify", "other.tif", "labels.tif", "other.png", "--forest", "forest.safetensors"]) == 0
    other = region_features(IMAGE[:, ::-1], LABELS)
    number = np.zeros(70_001, np.uint8)
    number[other["label"]] = expected.predict(other).number
    assert_array_equal(read_labels("other.png"), number[LABELS])
    assert (read_labels("other.png") == KINDS[:, ::-1])[LABELS > 0].mean() > 0.9
    counts = [np.count_nonzero(number == each) for each in (1, 4)]
    line = f"other.png: 29 regions, class 1 {counts[0]}, class 4 {counts[1]}\n"
    assert capsys.readouterr().out.endswith(line)


def test_labels_of_a_part_are_classified_in_that_part() -> None:
    write_labels("part.tif", LABELS[9:, :40])
    write_labels("drawing.tif", DRAWING[9:, :40], overwrite=True)
    words = ["--drawing", "drawing.tif", "--crop", "9", "0", "45", "40"]
    assert main(["classify", "image.tif", "part.tif", "out.tif", *words]) == 0
    assert_array_equal(read_labels("out.tif"), np.where(LABELS > 0, KINDS, 0)[9:, :40])


def test_polygons_get_the_classes_of_the_table() -> None:
    assert _classify("--drawing", "drawing.tif", "--table", "out.csv") == 0
    assert main(["export", "labels.tif", "out.geojson", "--table", "out.csv"]) == 0
    assert '"name":"class 4"' in Path("out.geojson").read_text(encoding="utf-8").replace(": ", ":")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "a forest is either loaded or learnt: give --forest or --drawing, one of the two"),
        (
            ["--drawing", "drawing.tif", "--forest", "f.safetensors"],
            "a forest is either loaded or learnt: give --forest or --drawing, one of the two",
        ),
        (
            ["--forest", "f.safetensors", "--save-forest", "g.safetensors"],
            "--names, --embedding and --save-forest are for a forest that is learnt from a --drawing",
        ),
        (["--forest", "f.safetensors"], "forest f.safetensors does not exist"),
        (
            ["--forest", "image.tif"],
            "image.tif is no forest that RegionForest.save wrote, or is damaged",
        ),
        (
            ["--drawing", "drawing.tif", "--save-forest", "forest.pkl"],
            "forest forest.pkl must end in .safetensors",
        ),
        (["--drawing", "none.tif"], "labels file none.tif does not exist"),
        (
            ["--drawing", "drawing.tif", "--names", "a"],
            "--names must be one for each of the 2 classes that are drawn, got 1",
        ),
        (
            ["--drawing", "empty.tif"],
            "at least two classes must have regions to learn from, got none",
        ),
        (
            ["--drawing", "one.tif"],
            "at least two classes must have regions to learn from, got class 4 alone",
        ),
        (
            ["--drawing", "labels.tif"],
            "a class must be a number from 1 to 255, or 0 for none, got 70000",
        ),
        (
            ["--drawing", "small.tif"],
            "drawing is 44 x 48 pixels, but labels are 45 x 48; they must be the same",
        ),
        (["--drawing", "drawing.tif", "--trees", "0"], "--trees must be a whole number of at least 1, got 0"),
        (["--drawing", "drawing.tif", "--table", "o.txt"], "output o.txt must end in .csv or .parquet"),
    ],
)
def test_what_a_user_got_wrong_is_one_sentence_and_leaves_nothing(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels("empty.tif", DRAWING * 0)
    write_labels("one.tif", np.where(DRAWING == 4, DRAWING, 0))
    write_labels("small.tif", DRAWING[1:])
    assert _classify(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"napari-pcnet: {sentence}"
    assert not Path("out.tif").exists()


def test_a_picture_of_other_channels_than_the_forest_s_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert _classify(*SAVING) == 0
    tifffile.imwrite("image.tif", IMAGE[..., 0])
    assert _classify("--forest", "forest.safetensors", "--overwrite") == 2
    sentence = "napari-pcnet: the forest is for pictures of 3 channels, got 1 channel"
    assert capsys.readouterr().err.splitlines()[-1] == sentence
    assert_array_equal(read_labels("out.tif"), np.where(LABELS > 0, KINDS, 0))  # that of before


def test_a_forest_is_learnt_with_the_extra_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _classify(*SAVING) == 0
    for module in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sklearn", None)  # type: ignore[arg-type]
    assert _classify("--forest", "forest.safetensors", "--overwrite") == 0
    capsys.readouterr()
    assert _classify("--drawing", "drawing.tif", "--overwrite") == 2
    message = "napari-pcnet: scikit-learn is not installed; pip install 'napari-pcnet[learn]'\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("image.tif labels.tif image.tif", "IMAGE and CLASSES are the same file image.tif"),
        ("image.tif labels.tif labels.tif", "LABELS and CLASSES are the same file labels.tif"),
        ("image.tif labels.tif drawing.tif", "--drawing and CLASSES are the same file drawing.tif"),
    ],
)
def test_no_input_is_overwritten(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert main(["classify", *words.split(), "--drawing", "drawing.tif", "--overwrite"]) == 2
    assert capsys.readouterr().err == f"napari-pcnet: {says}; name another one for CLASSES\n"
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_labels_that_floats_cannot_tell_apart_get_their_own_classes() -> None:
    _classify("--drawing", "drawing.tif")
    expected = read_labels("out.tif")
    large = np.where(LABELS > 0, LABELS.astype(np.uint64) + 2**60, 0)
    store = zarr.create_array("large.zarr", shape=large.shape, dtype=large.dtype, chunks=(16, 16))
    store[:] = large
    assert main(["classify", "image.tif", "large.zarr", "large.tif", "--drawing", "drawing.tif"]) == 0
    assert_array_equal(read_labels("large.tif"), expected)
