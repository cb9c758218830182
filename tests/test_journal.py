"""The file that benchmarks resume from."""

import math
import re

import pytest

from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.journal import Journal, runs_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.csv"


def journal_of(path):
    return Journal(path, ("method", "image"), ("ASA", "K"))


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def test_a_row_is_found_again_by_its_key_in_another_run(path):
    journal_of(path).append(("a, b", "x"), {"ASA": 1 / 3, "K": math.nan})
    again = journal_of(path)
    assert ("a, b", "x") in again
    assert ("a", "x") not in again
    assert again["a, b", "x"]["ASA"] == 0.333333333
    assert math.isnan(again["a, b", "x"]["K"])


def test_numbers_are_the_same_before_and_after_a_restart(path):
    first = journal_of(path)
    first.append(("a", "x"), {"ASA": 2 / 3, "K": 1e12 / 7})
    assert journal_of(path).rows == first.rows


def test_a_line_cut_off_in_the_middle_is_dropped_and_the_others_kept(path):
    journal = journal_of(path)
    for image in "xyz":
        journal.append(("a", image), {"ASA": 0.5, "K": 9})
    path.write_text(path.read_text()[:-4])
    assert list(journal_of(path).rows) == [("a", "x"), ("a", "y")]
    assert path.read_text().endswith("y,0.5,9\n")


@pytest.mark.parametrize(
    "text",
    ["x,y\n1,2\n", "x,y\n1,2", "mine, without an end", "method,image,K,K\na,x,1,2\n", "image,method,ASA,K\n"],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(path, text):
    path.write_text(text)
    message = (
        f"{path} is no results file of this benchmark: it begins with {text.splitlines()[0]!r}; "
        "name another output"
    )
    with refuses(ValueError, message):
        journal_of(path)
    assert path.read_text() == text


def test_a_row_of_before_a_score_was_added_counts_and_lacks_that_score(path):
    path.write_text("method,image,K\na,x,9\n")
    journal = journal_of(path)
    assert ("a", "x") in journal
    assert journal["a", "x"] == {"K": 9}
    assert path.read_text() == "method,image,K\na,x,9\n"


def test_a_file_of_before_a_score_was_added_gets_its_column_with_the_next_row(path):
    path.write_text("method,image,K\na,x,9\n")
    journal_of(path).append(("a", "y"), {"ASA": 0.5, "K": math.nan})
    assert path.read_text() == "method,image,ASA,K\na,x,,9\na,y,0.5,nan\n"
    again = journal_of(path)
    assert again["a", "x"] == {"K": 9}
    assert again["a", "y"]["ASA"] == 0.5


def test_columns_no_longer_known_are_kept_and_new_rows_lack_them(path):
    path.write_text("method,image,ASA,old\na,x,0.25,7\n")
    journal_of(path).append(("a", "y"), {"ASA": 0.5, "K": 9})
    assert path.read_text() == "method,image,ASA,K,old\na,x,0.25,,7\na,y,0.5,9,\n"


def test_columns_in_another_order_are_read_by_their_headings(path):
    path.write_text("method,image,K,ASA\na,x,9,0.5\n")
    assert journal_of(path)["a", "x"] == {"K": 9, "ASA": 0.5}


@pytest.mark.parametrize("text", ["", "meth", "method,image,ASA,K\n", "method,image,ASA,K\n\n"])
def test_a_file_with_no_row_yet_is_begun_again(path, text):
    path.write_text(text)
    journal_of(path).append(("a", "x"), {"ASA": 0.5, "K": 9})
    assert list(journal_of(path).rows) == [("a", "x")]


def test_a_line_that_cannot_be_read_is_named(path):
    path.write_text("method,image,ASA,K\na,x,0.5,nine\n")
    with refuses(ValueError, f"{path} is damaged: its line 'a,x,0.5,nine' cannot be read; delete the line"):
        journal_of(path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "nowhere" / "results.csv"
    with refuses(FileNotFoundError, f"the folder of the results file {path} does not exist; make it first"):
        journal_of(path)


def test_bytes_that_are_no_text_are_named(path):
    path.write_bytes(b"method,image,ASA,K\na,\xff,0.5,9\n")
    with pytest.raises(
        ValueError, match=r"results\.csv is damaged: 'utf-8' codec can't decode byte 0xff .*; restore it"
    ):
        journal_of(path)
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(
        ValueError, match=r"results\.csv is no results file of this benchmark: it begins with"
    ):
        journal_of(path)


def test_a_cell_without_end_is_named(path):
    cell = "x" * 200_000
    path.write_text(f"method,image,ASA,K\na,{cell},0.5,9\n")
    with pytest.raises(ValueError, match=r"results\.csv is damaged: .*; restore it, or name another output$"):
        journal_of(path)
    path.write_text(f"{cell}\n")
    with pytest.raises(
        ValueError, match=r"results\.csv is no results file of this benchmark: it begins with"
    ):
        journal_of(path)


@pytest.mark.parametrize(
    "runs", [b"\xff\n", b"first_row,date,commit,machine,versions,command\n1,\xff,a,b,c,d\n"]
)
def test_runs_that_are_no_text_are_named(tmp_path, runs):
    (tmp_path / "runs.csv").write_bytes(runs)
    with pytest.raises(ValueError, match=r"runs\.csv is damaged: 'utf-8' codec can't decode byte 0xff"):
        runs_of(tmp_path, Provenance.of_this_run())


def test_runs_of_other_columns_are_none(tmp_path):
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n3,4\n")
    assert runs_of(tmp_path, Provenance.of_this_run()) == []
