"""The lattice, the two frames, and the way between them."""

import numpy as np
import pytest

from napari_pcnet.geometry.grid import CELL, Fineness, Grid, Window, raw_ids


def test_a_picture_at_its_own_scale_has_partial_last_cells_and_whole_strides() -> None:
    grid = Grid.enlarged((481, 321), 1)
    assert grid.work_shape == (481, 321)
    assert grid.lattice == (31, 21)
    assert grid.padded_shape == (512, 384)


def test_enlarging_by_a_whole_factor_centres_image_pixels_in_their_blocks() -> None:
    grid = Grid.enlarged((4, 5), 3)
    assert grid.work_position(0).tolist() == [1, 4, 7, 10]
    assert grid.work_position(1).tolist() == [1, 4, 7, 10, 13]


@pytest.mark.parametrize("number", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("shape", [(300, 400), (1, 1000), (481, 321)])
def test_a_lattice_of_a_count_comes_near_it(shape: tuple[int, int], number: int) -> None:
    grid = Grid.of_count(shape, number)
    assert abs(grid.cells - number) <= max(1, 0.05 * number)


def test_the_lattice_is_near_square_in_the_world() -> None:
    rows, columns = Grid.of_count((100, 100), 400, spacing=(4.0, 1.0)).lattice
    assert rows / columns == pytest.approx(4.0, rel=0.1)


def test_anisotropic_pixels_are_enlarged_along_the_coarse_axis() -> None:
    assert Grid.enlarged((10, 10), 2, spacing=(3.1, 1.0)).work_shape == (60, 20)


@pytest.mark.parametrize(
    ("number", "inside_px", "scale"), [(8, 6400, 2), (3, 6400, 1), (3, 3200, 2), (7000, 6400, 16)]
)
def test_the_base_is_fine_enough_for_a_count(number: int, inside_px: int, scale: int) -> None:
    grid, *_ = Grid.for_count((80, 80), number, inside_px)
    assert grid.work_shape == (80 * scale, 80 * scale)


def test_finer_cells_come_before_larger_pictures() -> None:
    fineness = Fineness((16, 8, 4), (4, 4, 4))
    grids = Grid.ever_finer((40, 60), fineness=fineness)
    assert [(grid.cell, grid.work_shape) for grid in grids] == [
        (16, (40, 60)),
        (8, (40, 60)),
        *((4, (40 * scale, 60 * scale)) for scale in (1, 2, 3, 4)),
    ]
    assert grids[-1].cells == 40 * 60


@pytest.mark.parametrize(
    ("number", "cell", "scale"), [(3, 16, 1), (4, 8, 1), (10, 8, 1), (11, 4, 1), (38, 4, 2), (601, 4, 4)]
)
def test_the_coarsest_of_several_cells_that_is_fine_enough_is_taken(
    number: int, cell: int, scale: int
) -> None:
    # 3 x 4 cells of 16 pixels, 5 x 8 of 8, 10 x 15 of 4, and 4 are wanted for each superpixel
    grid, *finer = Grid.for_count((40, 60), number, 2400, fineness=Fineness((16, 8, 4), (4, 4, 4)))
    assert (grid.cell, grid.work_shape) == (cell, (40 * scale, 60 * scale))
    assert all(each.cells > grid.cells for each in finer)


@pytest.mark.parametrize(("number", "cell"), [(1, 16), (2, 8), (5, 8), (6, 4), (37, 4)])
def test_a_superpixel_has_as_many_cells_as_their_side_asks_for(number: int, cell: int) -> None:
    # 12 cells of 16 pixels, 40 of 8 and 150 of 4
    grid, *_ = Grid.for_count((40, 60), number, 2400, fineness=Fineness((16, 8, 4), (12, 8, 4)))
    assert (grid.cell, grid.work_shape) == (cell, (40, 60))


@pytest.mark.parametrize(("number", "cell", "scale"), [(4, 8, 1), (5, 8, 2), (21, 8, 2), (22, 4, 2)])
def test_small_superpixels_are_found_in_a_picture_twice_as_large(number: int, cell: int, scale: int) -> None:
    # 2,400 pixels for 5 superpixels are fewer than 500 for each; then 10 x 15 cells, 20 x 30, and 7 wanted
    fineness = Fineness((16, 8, 4), (9, 8, 7), detail_px=500)
    grid, *finer = Grid.for_count((40, 60), number, 2400, fineness=fineness)
    assert (grid.cell, grid.work_shape) == (cell, (40 * scale, 60 * scale))
    assert finer[-1].cells == 2400


@pytest.mark.parametrize(
    ("pixels", "number", "doubles"), [(1000, 1, True), (1001, 20, False), (1001, 21, True)]
)
def test_small_pictures_and_those_of_small_superpixels_are_doubled(
    pixels: int, number: int, doubles: bool
) -> None:
    fineness = Fineness((16, 8, 4), (8, 8, 8), 50, small_px=1000)
    assert fineness.doubles(pixels, number) == doubles
    assert not Fineness((16,), (8,)).doubles(pixels, pixels)


def test_raw_ids_name_the_chosen_cell() -> None:
    grid = Grid.enlarged((48, 48), 1)
    rows = columns = np.arange(48)
    for channel, step in enumerate([-4, -3, -2, -1, 0, 1, 2, 3, 4]):
        ids = raw_ids(np.full((48, 48), channel, np.uint8), rows, columns, grid)
        own = (rows // CELL)[:, None] * 3 + (columns // CELL)[None, :]
        np.testing.assert_array_equal(ids, own + step)


def test_more_cells_or_pixels_than_32_bits_name_are_refused() -> None:
    most = Grid((16 << 15, (16 << 16) - 16), (16 << 15, (16 << 16) - 16))
    assert most.cells == (1 << 31) - (1 << 15)
    most.check_names()
    with pytest.raises(
        ValueError, match="a lattice of 2147516416 cells is beyond the 2147483647 that can be"
    ):
        Grid((16 << 15, (16 << 16) + 16), (16 << 15, (16 << 16) + 16)).check_names()
    with pytest.raises(ValueError, match="pixels, each a region, is beyond"):
        most.check_names(single_pixels=True)


def test_a_cell_and_its_id_are_a_round_trip() -> None:
    grid = Grid.enlarged((100, 70), 2)
    rows, columns = (grid.work_position(axis) for axis in (0, 1))
    ids = raw_ids(np.full((100, 70), 4, np.uint8), rows, columns, grid)
    assert np.unique(ids).tolist() == list(range(grid.cells))
    row, column = np.divmod(ids, grid.lattice[1])
    np.testing.assert_array_equal(row, np.broadcast_to((np.arange(100) // 8)[:, None], (100, 70)))
    np.testing.assert_array_equal(column, np.broadcast_to(np.arange(70) // 8, (100, 70)))


def test_a_window_indexes_an_array_that_holds_a_larger_one() -> None:
    inner, outer = Window(3, 5, 6, 9), Window(1, 2, 10, 12)
    assert inner.inside(outer) == (slice(2, 5), slice(3, 7))
    assert inner.shape == (3, 4)
