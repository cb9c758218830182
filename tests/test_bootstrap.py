"""Intervals of differences, on cases small enough to count out."""

import numpy as np
import pytest

from napari_pcnet.evaluation.bootstrap import Difference, Statistic, draw_images, paired_difference


def mean_of(values) -> Statistic:
    """The statistic that is a mean over images."""
    return lambda counted: (counted @ values) / counted.sum(-1)


def rng():
    return np.random.default_rng(3)


def test_equal_figures_differ_by_nothing_however_images_are_drawn():
    values = rng().random(20)
    draws = draw_images(20, rng(), 500)
    assert paired_difference(mean_of(values), mean_of(values.copy()), draws) == Difference(0, 0, 0)


def test_a_difference_that_every_image_has_has_no_width():
    values = np.array([0.1, 0.9, 0.4])
    difference = paired_difference(mean_of(values + 0.25), mean_of(values), draw_images(3, rng(), 500))
    assert difference == pytest.approx((0.25, 0.25, 0.25))
    assert difference.excludes_zero


def test_the_interval_holds_the_middle_of_all_draws_counted_out():
    # Of two images one differs by 1. Both, or one of them twice: means 1/2, 0 and 1, with 1/4 at each end.
    draws = np.array([[1.0, 1], [1, 1], [2, 0], [0, 2]])
    difference = paired_difference(mean_of(np.array([0.0, 1])), mean_of(np.zeros(2)), draws)
    assert difference.value == 0.5
    # Of the sorted means 0, 1/2, 1/2, 1 the quantile .025 lies .075 of the way from the first to the second.
    assert (difference.low, difference.high) == pytest.approx((0.0375, 0.9625))
    assert difference.excludes_zero


def test_every_draw_has_as_many_images_as_there_are_and_follows_the_seed():
    draws = draw_images(7, rng(), 100)
    assert draws.shape == (100, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert np.array_equal(draws, draw_images(7, rng(), 100))
    assert not np.array_equal(draws, draw_images(7, np.random.default_rng(4), 100))


def test_the_interval_of_a_mean_is_about_two_standard_errors_to_each_side():
    values = rng().normal(0.1, 1, 400)
    difference = paired_difference(mean_of(values), mean_of(np.zeros(400)), draw_images(400, rng()))
    error = values.std() / 20
    assert difference.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert difference.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(-1, 0, False), (-1, 1, False), (0.1, 1, True), (-1, -0.1, True)]
)
def test_an_interval_beside_zero_excludes_it(low, high, expected):
    assert Difference(0, low, high).excludes_zero is expected


def test_pairing_takes_out_what_images_share():
    shared = rng().normal(0, 10, 100)
    draws = draw_images(100, rng(), 2000)
    difference = paired_difference(mean_of(shared + 0.1), mean_of(shared), draws)
    assert difference.high - difference.low < 1e-9
