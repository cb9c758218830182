"""Paired bootstrap over images: how much a difference of two methods depends on the choice of images.

Both methods are scored on the same images. Images are drawn with replacement, as many as there are,
and the difference is worked out again on each draw; the middle 95 % of these differences are its
interval (the percentile method of Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993,
chapter 13). Where it does not hold 0, other images of the same kind are unlikely to turn the
difference round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95

Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Figures (draws,) of a method, given how often each image counts, (draws, images)."""


class Difference(NamedTuple):
    """Difference of two methods on all images, with its interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


def draw_images(images: int, rng: Generator, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Draw images with replacement, as many as there are, again and again.

    Parameters
    ----------
    images : int
        How many there are.
    rng : Generator
        Decides the draws.
    resamples : int
        How many draws.

    Returns
    -------
    (resamples, images) array
        How often each image is in each draw.
    """
    return rng.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)


def paired_difference(one: Statistic, other: Statistic, draws: NDArray[np.float64]) -> Difference:
    """Return the difference of two methods, `one` less `other`, with its interval.

    Parameters
    ----------
    one, other : callable
        The figure of each method for every draw, on the same images in the same order.
    draws : (draws, images) array
        As `draw_images` returns it; the same for all comparisons that are read together.
    """
    all_images = np.ones((1, draws.shape[1]))
    (value,) = one(all_images) - other(all_images)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(one(draws) - other(draws), (tail, 1 - tail))
    return Difference(float(value), float(low), float(high))
