"""Eq. 1 and Eq. 2: pool to superpixels and back to pixels."""

import math

import pytest
import torch

from napari_pcnet.geometry.grid import CELL
from napari_pcnet.network.association import (
    associate,
    confidence,
    mask_outside,
    neighbour_argmax,
    pool,
    to_cells,
    unpool,
)


def from_cells(cells: torch.Tensor) -> torch.Tensor:
    """Undo `to_cells`: ``(B, rows, columns, 256, C)`` to ``(B, C, H, W)``."""
    batch, rows, columns, _, channels = cells.shape
    split = cells.reshape(batch, rows, columns, CELL, CELL, channels)
    return split.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, rows * CELL, columns * CELL)


def hard(channel: int, rows: int, columns: int) -> torch.Tensor:
    """Every pixel belongs to one and the same neighbour of its cell."""
    logits = torch.zeros(1, 9, rows * CELL, columns * CELL, dtype=torch.float64)
    logits[:, channel] = 100
    return logits


def slow_pool_unpool(values: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Eq. 1 and 2 as loops over pixels and neighbours."""
    _, channels, height, width = values.shape
    rows, columns = height // CELL, width // CELL
    total = torch.zeros(rows, columns, channels + 1, dtype=values.dtype)
    rebuilt = torch.zeros_like(values)
    for fill in (True, False):
        for y in range(height):
            for x in range(width):
                for k in range(9):
                    r, c = y // CELL + k // 3 - 1, x // CELL + k % 3 - 1
                    if not (0 <= r < rows and 0 <= c < columns):
                        continue
                    weight = q[0, k, y, x]
                    if fill:
                        total[r, c, :-1] += weight * values[0, :, y, x]
                        total[r, c, -1] += weight
                    else:
                        rebuilt[0, :, y, x] += weight * total[r, c, :-1] / total[r, c, -1]
    return rebuilt


def test_cells_and_pixels_are_a_round_trip() -> None:
    values = torch.arange(2 * 3 * 32 * 48.0).reshape(2, 3, 32, 48)
    assert torch.equal(from_cells(to_cells(values)), values)


def test_pool_and_unpool_equal_a_loop() -> None:
    torch.manual_seed(0)
    values = torch.randn(1, 2, 32, 48, dtype=torch.float64)
    q = associate(mask_outside(torch.randn(1, 9, 32, 48, dtype=torch.float64), (2, 3)))
    cells = to_cells(q)
    fast = from_cells(unpool(pool(to_cells(values), cells), cells))
    torch.testing.assert_close(fast, slow_pool_unpool(values, q))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_constant_comes_back_constant(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    q = to_cells(associate(mask_outside(torch.randn(2, 9, 64, 48), (4, 3)))).to(dtype)
    values = torch.full((2, 4, 3, 256, 1), 3.0, dtype=dtype)
    rebuilt = unpool(pool(values, q), q)
    assert rebuilt.dtype == dtype
    torch.testing.assert_close(rebuilt, values, rtol=0.02 if dtype == torch.bfloat16 else 1e-5, atol=0)


def test_a_shift_by_one_cell_pools_into_the_neighbour() -> None:
    values = torch.zeros(1, 1, 48, 48, dtype=torch.float64)
    values[..., 16:32, 16:32] = 1
    means = pool(to_cells(values), to_cells(associate(hard(5, 3, 3))))  # to the right
    assert means[0, 1, 2, 0] == pytest.approx(1)
    assert means[0, 1, 1, 0] == pytest.approx(0)


def test_neighbours_outside_the_lattice_have_no_probability() -> None:
    q = associate(mask_outside(torch.zeros(1, 9, 32, 32), (2, 2)))
    assert q[0, :, 0, 0].tolist() == pytest.approx([0, 0, 0, 0, 0.25, 0.25, 0, 0.25, 0.25])
    assert q[0, :, 31, 31].tolist() == pytest.approx([0.25, 0.25, 0, 0.25, 0.25, 0, 0, 0, 0])


def test_masking_a_window_equals_masking_the_whole() -> None:
    logits = torch.randn(1, 9, 96, 96)
    whole = mask_outside(logits, (5, 6))  # the last row of cells is padding
    part = mask_outside(logits[:, :, 48:, 32:], (5, 6), origin=(3, 2))
    assert torch.equal(part, whole[:, :, 48:, 32:])
    assert torch.isfinite(whole[:, :, 80:]).all()  # padding keeps its logits


def test_inside_the_lattice_nothing_is_masked() -> None:
    logits = torch.randn(1, 9, 32, 32)
    assert mask_outside(logits, (9, 9), origin=(3, 3)) is logits


def test_the_hard_association_is_the_argmax() -> None:
    assert (neighbour_argmax(hard(7, 1, 2)) == 7).all()


def test_confidence_is_one_for_a_sure_pixel_and_none_for_an_even_one() -> None:
    logits = torch.zeros(1, 9, 1, 4)
    logits[0, 1:, 0, 1] = float("-inf")
    logits[0, 2:, 0, 2] = float("-inf")
    logits[0, 0, 0, 3] = 50.0
    expected = torch.tensor([[[0.0, 1.0, 1 - math.log(2) / math.log(9), 1.0]]])
    torch.testing.assert_close(confidence(logits), expected)


def test_pooling_and_unpooling_are_differentiable() -> None:
    torch.manual_seed(2)
    logits = torch.randn(1, 9, 16, 32, dtype=torch.float64, requires_grad=True)
    values = to_cells(torch.randn(1, 1, 16, 32, dtype=torch.float64))
    weights = torch.randn(1, 1, 2, 256, 1, dtype=torch.float64)

    def loss(x: torch.Tensor) -> torch.Tensor:
        q = to_cells(associate(mask_outside(x, (1, 2))))
        return (unpool(pool(values, q), q) * weights).sum()

    assert torch.autograd.gradcheck(loss, (logits,), fast_mode=True)
