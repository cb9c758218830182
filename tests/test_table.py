"""Tables as text."""

import pytest

from napari_pcnet.table import table_lines


def test_names_stand_to_the_left_and_figures_to_the_right_of_their_columns():
    lines = table_lines(["method", "K"], [["a", "1"], ["a long name", "1000"]], indent=1)
    assert lines == [
        " method          K",
        " a               1",
        " a long name  1000",
    ]


def test_a_table_without_rows_has_its_headings():
    assert table_lines(["", "K"], [], indent=0) == ["  K"]


def test_a_row_that_lacks_a_cell_is_refused():
    with pytest.raises(ValueError, match="zip"):
        table_lines(["", "K"], [["a"]])
