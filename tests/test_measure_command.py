"""``napari-pcnet measure``: the table of a picture's regions in a file, or one sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal

from napari_pcnet import region_table, write_labels
from napari_pcnet.cli import main
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.tables import read_table, write_table

IMAGE = np.random.default_rng(0).integers(0, 65_535, (40, 50, 3)).astype(np.uint16)
LABELS = np.zeros((40, 50), np.int32)
LABELS[5:30, 8:40] = 3
LABELS[20:38, 30:45] = 70_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with picture and labels in it."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("image.tif", IMAGE, photometric="rgb")
    write_labels("labels.tif", LABELS)
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_table_in_the_file_is_that_of_the_library(
    ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", "labels.tif", f"out.{ending}", "--image", "image.tif"]) == 0
    expected = region_table(IMAGE, LABELS)
    found = read_table(f"out.{ending}")
    frame = pd.read_csv("out.csv") if ending == "csv" else pd.read_parquet("out.parquet")
    assert list(frame) == list(found) == list(expected)
    for name, values in expected.items():
        assert_array_equal(found[name], values, err_msg=name)
        assert_array_equal(frame[name], values, err_msg=name)
    assert capsys.readouterr().out == f"out.{ending}: 2 regions, {len(expected)} columns\n"


def test_properties_units_and_channels_are_chosen() -> None:
    words = ["--properties", "label", "area", "mean_intensity", "--spacing", "0.5", "2"]
    names = ["--channel-names", "red", "green", "blue"]
    assert main(["measure", "labels.tif", "out.csv", "--image", "image.tif", *words, *names]) == 0
    found = read_table("out.csv")
    assert list(found) == ["label", "area", *(f"mean_intensity-{name}" for name in names[1:])]
    assert found["area"].tolist() == [(LABELS == 3).sum(), (LABELS == 70_000).sum()]


def test_lengths_are_in_a_unit_by_what_the_file_of_labels_states() -> None:
    expected = region_table(None, LABELS, spacing=(500, 2000))
    for name in ("placed.tif", "placed.ome.zarr"):
        write_labels(name, LABELS, placement=Placement((0.5, 2.0), "µm"))
        assert main(["measure", name, "out.csv", "--unit", "nanometer", "--overwrite"]) == 0
        for column, values in read_table("out.csv").items():
            assert_allclose(values, expected[column], rtol=1e-6, err_msg=column)


def test_labels_of_a_part_are_measured_in_that_part() -> None:
    write_labels("part.tif", LABELS[10:35, 5:45])
    crop = ["--crop", "10", "5", "35", "45"]
    assert main(["measure", "part.tif", "out.csv", "--image", "image.tif", *crop]) == 0
    expected = region_table(IMAGE[10:35, 5:45], LABELS[10:35, 5:45])
    for name, values in read_table("out.csv").items():
        assert_array_equal(values, expected[name], err_msg=name)


def test_without_a_picture_shapes_are_measured_of_a_zarr_too() -> None:
    write_labels("labels.zarr", LABELS)
    assert main(["measure", "labels.zarr", "out.csv"]) == 0
    assert read_table("out.csv")["perimeter"].tolist() == region_table(None, LABELS)["perimeter"].tolist()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["labels.tif", "out.txt"], "output out.txt must end in .csv or .parquet"),
        (["none.tif", "out.csv"], "labels file none.tif does not exist"),
        (["labels.tif", "out.csv", "--image", "none.tif"], "image none.tif does not exist"),
        (
            ["labels.tif", "out.csv", "--image", "image.tif", "--crop", "0", "0", "9", "9"],
            "image is 9 x 9 pixels, but labels are 40 x 50; they must be the same",
        ),
        (
            ["labels.tif", "out.csv", "--image", "image.tif", "--crop", "0", "0", "9", "99"],
            "--crop must be top, left, bottom, right inside the 40 x 50 pixels of image.tif, got 0 0 9 99",
        ),
        (
            ["labels.tif", "out.csv", "--crop", "0", "0", "9", "9"],
            "--level, --series and --crop are of a picture: name it by --image",
        ),
        (
            ["labels.tif", "out.csv", "--unit", "um"],
            "labels.tif states no size of a pixel with its unit: give it by --spacing",
        ),
        (
            ["labels.tif", "out.csv", "--unit", "um", "--spacing", "1", "2"],
            "--unit says what --spacing would say: give one of them",
        ),
        (
            ["labels.tif", "out.csv", "--unit", "pixel"],
            "--unit must be one of m, mm, µm, nm, pm, cm, km, inch, ft, got 'pixel'",
        ),
        (
            ["labels.tif", "out.csv", "--properties", "aera"],
            "'aera' is no property of regions; did you mean 'area'?",
        ),
        (
            ["labels.tif", "out.csv", "--properties", "intensity_mean"],
            "intensity_mean is of the intensity: it needs an image",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", *words]) == 2
    assert capsys.readouterr().err == f"napari-pcnet: {sentence}\n"
    assert not Path("out.csv").exists()


def test_a_table_that_exists_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.csv").write_text("mine")
    assert main(["measure", "labels.tif", "out.csv"]) == 2
    assert capsys.readouterr().err == "napari-pcnet: output out.csv exists; pass --overwrite to replace it\n"
    assert Path("out.csv").read_text() == "mine"
    assert main(["measure", "labels.tif", "out.csv", "--overwrite"]) == 0


def test_parquet_without_its_extra_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert main(["measure", "none.tif", "out.parquet"]) == 2
    message = "napari-pcnet: pyarrow is not installed; pip install 'napari-pcnet[export]'\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_frame_with_odd_names_is_a_table_too(ending: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": [1, 2], 'a, "b"; =c': [0.1, 0.2], "µm² ": [True, False], "": [3, 4]})
    write_table(tmp_path / f"a.{ending}", frame)
    found = read_table(tmp_path / f"a.{ending}")
    assert list(found) == list(frame)
    assert found['a, "b"; =c'].tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="columns must be of one axis and one length"):
        write_table(tmp_path / f"b.{ending}", {"label": [1, 2], "area": [1]})


def test_columns_that_a_table_cannot_hold_are_refused_and_any_order_of_bytes_is_taken(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", {"label": np.array([1, 2], ">i4"), "x": np.array([0.5, 2], ">f8")})
    assert read_table(tmp_path / "a.parquet")["label"].tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"^column 'x' of complex128 cannot be written as parquet"):
        write_table(tmp_path / "b.parquet", {"label": np.array([1]), "x": np.array([1j])})
    with pytest.raises(ValueError, match=r"^column 'x' is a masked array: fill it, such as with NaN$"):
        write_table(tmp_path / "b.csv", {"label": np.array([1]), "x": np.ma.masked_equal([3], 3)})
    assert not list(tmp_path.glob("b.*"))


def test_what_is_missing_among_categories_stays_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": [1, 2, 3], "class": pd.Categorical(["a", None, "b"])})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet")["class"].tolist() == ["a", None, "b"]


def test_a_table_with_texts_and_gaps_is_read_again(tmp_path: Path) -> None:
    columns = {
        "label": np.array([1, 2]),
        "class": np.array(['Tumour, "dense"', ""]),
        "x": np.array([0.1, np.nan]),
    }
    write_table(tmp_path / "a.csv", columns)
    found = read_table(tmp_path / "a.csv")
    assert found["class"].tolist() == ['Tumour, "dense"', ""]
    assert_array_equal(found["x"], columns["x"])
    assert found["label"].dtype.kind == "i"
    write_table(tmp_path / "none.csv", {name: column[:0] for name, column in columns.items()})
    assert read_table(tmp_path / "none.csv")["label"].dtype.kind == "i"
    (tmp_path / "digits.csv").write_text("label,class\n1,01\n2,\n3,1_0\n")
    assert read_table(tmp_path / "digits.csv")["class"].tolist() == ["01", "", "1_0"]
    (tmp_path / "b.csv").write_text("label,area\n1\n")
    with pytest.raises(ValueError, match="must have a name for each column, and as many cells in each row"):
        read_table(tmp_path / "b.csv")
