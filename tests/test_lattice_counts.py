"""Rows and columns of the lattice for a count: near the count, and no cell smaller than a pixel."""

import pytest

from napari_pcnet.geometry.grid import Grid


@pytest.mark.parametrize(
    ("shape", "number", "lattice"),
    [
        ((100, 100), 8, (2, 4)),  # 2.8 rows are wanted: 2 give 8 cells, 3 give 9
        ((100, 200), 9, (3, 3)),  # 2.1 rows: 2 give 8 cells
        ((200, 100), 12, (4, 3)),  # 4.9 rows: 5 give 10
        ((200, 100), 21, (7, 3)),  # 6.5 rows: 6 give 24
    ],
)
def test_of_the_rows_around_the_ideal_those_nearest_to_the_count_are_taken(
    shape: tuple[int, int], number: int, lattice: tuple[int, int]
) -> None:
    assert Grid.of_count(shape, number).lattice == lattice


def test_no_row_of_cells_is_thinner_than_a_row_of_pixels() -> None:
    # 2 rows of pixels, 100 times as high as wide: 10 rows of cells would be square in the world
    assert Grid.of_count((2, 100), 50, (10.0, 0.1)).lattice == (2, 25)


def test_no_column_of_cells_is_thinner_than_a_column_of_pixels() -> None:
    assert Grid.of_count((100, 2), 50, (0.1, 10.0)).lattice == (25, 2)


@pytest.mark.parametrize(
    ("shape", "number", "cells"),
    [((2000, 1), 10, 10), ((2000, 3), 1000, 1000), ((4, 4), 13, 12), ((5, 1), 9, 5), ((112, 160), 60, 60)],
)
def test_a_picture_and_its_transpose_have_as_many_cells(
    shape: tuple[int, int], number: int, cells: int
) -> None:
    assert Grid.of_count(shape, number).cells == Grid.of_count(shape[::-1], number).cells == cells
