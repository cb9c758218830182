"""Which piece of a cell stays and where its crumbs go, where pieces are equal."""

import numpy as np

from napari_pcnet.merging.connectivity import owners


def test_of_equal_pieces_of_a_cell_the_first_stays() -> None:
    # pieces 0 and 2 of cell 5 are equal; 1 is of another cell, and touches both
    edges, border = np.array([[0, 1], [1, 2]]), np.array([3, 3])
    assert owners(np.array([5, 6, 5]), np.array([4, 9, 4]), edges, border).tolist() == [0, 1, 1]


def test_a_larger_piece_stays_wherever_it_begins() -> None:
    edges, border = np.array([[0, 1], [1, 2]]), np.array([3, 3])
    assert owners(np.array([5, 6, 5]), np.array([4, 9, 5]), edges, border).tolist() == [1, 1, 2]


def test_borders_with_pieces_of_one_owner_add_up() -> None:
    # crumb 3 touches 0 by 3, and by 2 each 1 and 2, which are of one owner when crumb 2 has gone to 1
    cells, area = np.array([1, 2, 3, 1, 3]), np.array([9, 9, 1, 1, 9])
    edges, border = np.array([[0, 3], [1, 2], [1, 3]]), np.array([3, 5, 4])
    assert owners(cells, area, edges, border).tolist() == [0, 1, 1, 1, 4]
