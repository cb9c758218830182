"""By how much a picture is enlarged before the network sees it."""

import pytest

from napari_pcnet.geometry.grid import Grid


@pytest.mark.parametrize(("number", "scale"), [(1, 1), (2, 1), (3, 2)])
def test_cells_that_are_just_enough_are_not_made_finer(number: int, scale: int) -> None:
    # 4 x 4 cells at its own scale, 8 for each superpixel
    grid, *_ = Grid.for_count((64, 64), number, 64 * 64)
    assert grid.work_shape == (64 * scale, 64 * scale)


@pytest.mark.parametrize(("ratio", "factor"), [(1.4, 1), (1.6, 2), (2.6, 3), (100.0, 16)])
def test_the_coarse_axis_is_enlarged_by_the_nearest_whole_factor(ratio: float, factor: int) -> None:
    assert Grid.enlarged((10, 10), 1, spacing=(ratio, 1.0)).work_shape == (10 * factor, 10)
    assert Grid.enlarged((10, 10), 1, spacing=(0.5, 0.5 * ratio)).work_shape == (10, 10 * factor)
