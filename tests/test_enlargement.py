"""By how much a picture is enlarged before the network sees it."""

import numpy as np
import pytest

from napari_pcnet import pcnet_superpixels
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


@pytest.mark.parametrize("number", [3, 5, 10, 40])
def test_a_small_picture_of_sharp_shapes_is_cut_along_them_whatever_the_number(number: int) -> None:
    shapes = np.zeros((200, 260), np.intp)
    shapes[30:120, 40:130], shapes[90:180, 150:240] = 1, 2
    image = np.array([(0, 0, 0), (200, 60, 60), (60, 200, 90)], np.uint8)[shapes]
    labels = pcnet_superpixels(image, number)
    assert labels.max() == number
    of_label = [np.unique(shapes[labels == label]) for label in range(1, number + 1)]
    assert all(len(each) == 1 for each in of_label)
