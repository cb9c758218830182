"""Pictures that one can draw, by a network that leaves each pixel in its cell: exact labels and heights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels
from napari_pcnet.merging.cost import BOUNDARY_WEIGHT, EVENNESS, ROUNDNESS_WEIGHT
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig

GREY = np.full((16, 32, 3), 90, np.uint8)
"""The base of one superpixel: 2 x 4 cells of 8 x 8 pixels."""

PAIR = 9 / 8 + EVENNESS + ROUNDNESS_WEIGHT * (1 - (8 / 9) ** 0.5)
"""What the shape of two squares side by side costs."""


def _weights_file(path: Path, **options: Any) -> Path:
    """Weights of a network that keeps its cells; of boundaries it knows nothing, so each is half certain."""
    torch.manual_seed(0)
    model = PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4), **options)).eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(9) == 4)
        if model.boundary is not None:
            for each in model.boundary.parameters():
                each.zero_()
    checkpoint.save_model(path, model, {})
    return path


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _weights_file(tmp_path_factory.mktemp("weights") / "cells.safetensors")


@pytest.fixture(scope="module")
def with_boundary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _weights_file(tmp_path_factory.mktemp("weights") / "boundary.safetensors", boundary=4)


def test_two_cells_of_one_grey_cost_their_shape_alone(cells: Path) -> None:
    tree = pcnet_hierarchy(GREY, 1, model=cells, compactness=3.0)
    assert tree.n_base == 8
    assert tree.heights[0] == pytest.approx(32 * 9 * PAIR)


def test_a_boundary_that_is_half_certain_costs_half_its_weight(with_boundary: Path) -> None:
    tree = pcnet_hierarchy(GREY, 1, model=with_boundary, compactness=0.0)
    half = 32768 / 65535  # in the whole steps in which it is summed
    assert tree.heights[0] == pytest.approx(32 * BOUNDARY_WEIGHT * half, rel=1e-9)
    assert tree.heights[-1] <= 128 * BOUNDARY_WEIGHT * half * (1 + 1e-9)


@pytest.mark.parametrize("channels", [2, 4, 5, 9])
def test_channels_together_weigh_as_three_however_many_there_are(cells: Path, channels: int) -> None:
    halves = np.zeros((channels, 16, 32))
    halves[:, :, 16:] = 7.0
    tree = pcnet_hierarchy(halves, 1, model=cells, compactness=0.0, channel_axis=0)
    assert tree.heights[:-1].tolist() == [0] * 6
    assert tree.heights[-1] == pytest.approx(128 * 3 * 100**2)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_heights_are_pixels_times_squared_differences_of_colour(cells: Path, times: int) -> None:
    halves = np.zeros((16 * times, 32 * times, 3), np.uint8)
    halves[:, 16 * times :] = 255
    tree = pcnet_hierarchy(halves, 1, model=cells, compactness=0.0)
    assert tree.heights[-1] == pytest.approx(128 * times**2 * 100**2, rel=1e-3)


@pytest.mark.parametrize("scale", [0.1, 1.0, 1000.0])
def test_only_the_ratio_of_spacing_counts(cells: Path, scale: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3)).astype(np.uint8)
    square = pcnet_hierarchy(image, 1, model=cells)
    scaled = pcnet_hierarchy(image, 1, model=cells, spacing=scale)
    np.testing.assert_allclose(scaled.heights, square.heights)
    flat = pcnet_hierarchy(image, 1, model=cells, spacing=(2.0, 1.0))
    scaled = pcnet_hierarchy(image, 1, model=cells, spacing=(2.0 * scale, scale))
    np.testing.assert_allclose(scaled.heights, flat.heights)


def test_a_cell_that_is_square_in_the_world_costs_as_a_square(cells: Path) -> None:
    # cells of 4 x 16 pixels, each four times as high as wide
    tree = pcnet_hierarchy(GREY, 1, model=cells, compactness=1.0, spacing=(4.0, 1.0))
    assert tree.n_base == 8
    assert tree.heights[0] == pytest.approx(32 * PAIR)


def test_the_lattice_has_its_cells_inside_the_mask(cells: Path) -> None:
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    labels = pcnet_superpixels(np.zeros((64, 64, 3), np.uint8), 8, model=cells, method="lattice", mask=mask)
    rows, columns = np.indices((64, 64)) // 16
    assert labels.tolist() == np.where(mask, rows * 2 + columns + 1, 0).tolist()


@pytest.mark.parametrize(
    ("shape", "n", "cell"),
    [
        ((64, 64), 8, (32, 16)),  # 2.8 rows: of 2 there are 8 cells, of 3 there would be 9
        ((64, 64), 16, (16, 16)),
        ((96, 32), 12, (16, 16)),
        ((32, 96), 12, (16, 16)),
    ],
)
def test_the_lattice_has_so_many_cells_where_they_fit(
    cells: Path, shape: tuple[int, int], n: int, cell: tuple[int, int]
) -> None:
    labels = pcnet_superpixels(np.zeros((*shape, 3), np.uint8), n, model=cells, method="lattice")
    rows, columns = (np.arange(side) // step for side, step in zip(shape, cell, strict=True))
    expected = rows[:, None] * (columns[-1] + 1) + columns + 1
    assert labels.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_what_is_fully_transparent_is_outside(cells: Path, dtype: Any) -> None:
    image = np.zeros((32, 40, 4), dtype)
    image[..., 0] = np.arange(40)
    image[..., 3] = np.repeat(np.array([0, 1, 100, 127, 255]), 8)
    labels = pcnet_superpixels(image, 5, model=cells)
    assert (labels == 0).tolist() == (image[..., 3] == 0).tolist()
