"""The losses at their limits, where a constant decides."""

import math

import pytest
import torch

from napari_pcnet.training.losses import (
    LossConfig,
    discrimination_loss,
    reconstruction_loss,
    superpixel_loss,
)


def _two_sides(difference: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedding of one feature that has one value in each of two classes side by side."""
    labels = torch.zeros(1, 12, 12, dtype=torch.int64)
    labels[:, :, 6:] = 1
    return labels[:, None] * difference, labels


def test_between_uniform_classes_the_scatter_of_eq_6_is_the_authors_1e_10() -> None:
    embedding, labels = _two_sides(3e-5)
    loss = discrimination_loss(embedding, labels, LossConfig(), torch.Generator().manual_seed(0))
    assert float(loss) == pytest.approx(-9.0, rel=1e-4)


def test_uniform_classes_that_are_equal_lose_nothing() -> None:
    embedding, labels = _two_sides(0.0)
    assert float(discrimination_loss(embedding, labels, LossConfig(), torch.Generator())) == 0


def test_a_class_that_no_superpixel_keeps_costs_a_finite_sum() -> None:
    # one superpixel with one pixel of class 1 among 255 of class 0
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 0, 0] = 1
    logits = torch.zeros(1, 9, 16, 16)
    logits[:, 4] = 100
    expected = -(255 * math.log(255 / 256) + math.log(1 / 256)) / 256
    assert float(superpixel_loss(logits, labels).semantic) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("column", "loss"), [(10, 0), (11, 1 / 18), (28, 1 / 18), (29, 0)])
def test_the_band_of_eq_5_reaches_eight_pixels_from_a_boundary(column: int, loss: float) -> None:
    # the pixels along the boundary are columns 19 and 20; the band is 18 columns wide
    labels = torch.zeros(1, 30, 40, dtype=torch.int64)
    labels[:, :, 20:] = 1
    picture = torch.zeros(1, 3, 30, 40)
    wrong = picture.clone()
    wrong[..., column] = 1
    assert float(reconstruction_loss(wrong, picture, labels)) == pytest.approx(loss)
