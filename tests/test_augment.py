"""Colours change within bounds, and the same way for the same seed."""

import numpy as np
import pytest
import torch

from napari_pcnet.training.augment import AugmentConfig, augment

ALL = AugmentConfig(colour=0.3, gamma=0.4, grey=0.5, invert=0.5, blur=0.5, noise=0.1)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))


def test_nothing_is_drawn_where_all_is_off(picture: torch.Tensor) -> None:
    random = np.random.default_rng(1)
    assert augment(picture, AugmentConfig(), random) is picture
    assert random.random() == np.random.default_rng(1).random()


def test_a_picture_stays_a_picture(picture: torch.Tensor) -> None:
    for seed in range(30):
        changed = augment(picture, ALL, np.random.default_rng(seed))
        assert changed.shape == picture.shape
        assert changed.dtype == picture.dtype
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        assert not torch.equal(changed, picture)


def test_a_seed_gives_the_same_picture_again(picture: torch.Tensor) -> None:
    first, again, other = (augment(picture, ALL, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_grey_is_grey_and_a_negative_is_one(picture: torch.Tensor) -> None:
    grey = augment(picture, AugmentConfig(grey=1.0), np.random.default_rng(0))
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert float(grey[0, 0, 0]) == pytest.approx(
        float(0.299 * picture[0, 0, 0] + 0.587 * picture[1, 0, 0] + 0.114 * picture[2, 0, 0])
    )
    negative = augment(picture, AugmentConfig(invert=1.0), np.random.default_rng(0))
    assert torch.equal(negative, 1 - picture)


def test_a_blur_keeps_the_mean_of_an_even_picture_and_smooths_noise(picture: torch.Tensor) -> None:
    even = torch.full((3, 24, 32), 0.25)
    blur = AugmentConfig(blur=1.0)
    assert torch.allclose(augment(even, blur, np.random.default_rng(0)), even, atol=1e-6)
    assert float(augment(picture, blur, np.random.default_rng(0)).std()) < float(picture.std())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"grey": 1.5}, "grey must be a share from 0 to 1, got 1.5"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
    ],
)
def test_a_change_that_can_not_be_made_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        AugmentConfig(**wrong)
