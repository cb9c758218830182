"""What it costs to merge two regions that touch.

Two regions of ``a`` and ``b`` pixels cost ::

    a b / (a + b) * (|colour difference|^2 + m^2 (1 / r^2 + EVENNESS + ROUNDNESS_WEIGHT * loss of r))

with the colour of a region its mean (CIELAB for RGB), ``m`` the compactness, and ``r`` the roundness of the
two together, ``4 sqrt(area) / perimeter``: 1 for a square of any size, and less as a region gets longer or
more ragged. The first term is Ward's, the growth of the summed squared colour error. The others are free of
scale. So one tree serves every count, where with a fixed scale fine cuts would ignore shape and coarse ones
become a grid. `EVENNESS` weighs size alone, so that uniform pictures merge their smallest regions first. What
a merge loses of roundness, the mean of the two (by area) less that of their union, charges it with what it
spoils and not with what was ragged before. It is bounded, so that a boundary overrules it where thin things
lie side by side; and what becomes rounder gains nothing, or every spot would go to what surrounds it.

A network with a boundary decoder adds ``BOUNDARY_WEIGHT s``, where ``s`` is the mean boundary probability
along the common border. A network with a `MergeClassifier` adds ``CLASSIFIER_WEIGHT p`` instead and halves
the weight of colour (`COLOUR_SHARE`); ``p`` is the share of the smaller region that the merge is likely to
lose to another object. Merging by the expected loss alone, cheapest first, would be greedy for accuracy; the
rest of Ward's term keeps results sensible on pictures unlike the training data.

Costs in one step of an eighth of an octave count as equal, and among equals a hash of the two regions'
numbers decides: in exact order a smooth gradient or a uniform picture would merge one pair a round.

What is computed goes through `exact`, so costs are the same on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import exact
from napari_pcnet.options import Options

STEPS_PER_OCTAVE = 8
"""Fineness in which costs are compared."""

OCTAVE = np.array([0.5 * 2 ** (step / STEPS_PER_OCTAVE) for step in range(1, STEPS_PER_OCTAVE)])
"""Where steps begin in the octave from 0.5 to 1."""

SMALLEST_COST = float(np.finfo(np.float64).tiny)
"""Costs below it are in its step: only normal numbers have one."""

BOUNDARY_WEIGHT = 1500.0
"""Weight of a boundary that is certain along the whole border, as a squared difference of colour."""

CLASSIFIER_WEIGHT = 10000.0
"""Weight of the share that a merge classifier expects to be lost, as a squared difference of colour. Chosen
on BSDS500 val, where accuracy hardly depends on it within a factor of 2."""

COLOUR_SHARE = 0.5
"""Factor on the weight of colour where a merge classifier is used."""

CLASSIFIER_ROWS = 1 << 11
"""Edges that are classified at once: their numbers stay in the cache of a core."""

EDGE_FEATURES = 7
"""Numbers that describe two touching regions to a merge classifier: `Round.edge_features`."""

EVENNESS = 2.0
"""Weight of size alone relative to shape (1 for a square): Ward's cost of a feature in which all regions
differ by the same amount. On uniform pictures shapes and sizes compete: ``napari-pcnet benchmark contract``
shows how far the largest superpixel is from the smallest."""

ROUNDNESS_WEIGHT = 56.0
"""Weight of the roundness that a merge loses, relative to shape. Chosen on the validation sets: superpixels
are rounder, with the accuracy and, at equal length of contours, the recall of a cost without it
(docs/models.md)."""

SQUARE = 16
"""Squared perimeter over area of a square."""

INPUT_STEPS = 1 << 10
WEIGHT_STEPS = 1 << 12
"""Steps in a unit of what goes into a layer of the merge classifier, and of its weights. Sums of their
products are whole numbers below 2**53, exact in float64 in any order."""

EXACT = 1 << 53
"""Whole numbers below this are exact in float64."""

LARGEST_INPUT = 1 << 20
"""Features are clipped here, in `INPUT_STEPS`, so that sums stay exact."""


@dataclass(frozen=True)
class MergeClassifier:
    """A small network that predicts what merging two regions loses: `model.MergeClassifierNetwork` in numpy.

    It computes in whole numbers, so that every processor gives the same.

    Attributes
    ----------
    layers : tuple of (weight (n_out, n_in), bias (n_out,)) float arrays
        The first takes `Round.edge_features`, the last has one output.
    slope : float
        Of the LeakyReLU between two layers, below zero.
    """

    layers: tuple[tuple[NDArray[np.floating], NDArray[np.floating]], ...]
    slope: float

    def __post_init__(self) -> None:
        largest: np.floating | float = LARGEST_INPUT
        for weight, bias in self.layers:
            sums = np.abs(weight.astype(np.float64)).sum(1) * largest + np.abs(bias) * INPUT_STEPS
            largest = sums.max() + 1  # of a sum in the input steps of the next layer, rounded
            if not largest * WEIGHT_STEPS < EXACT:  # NaN, too
                raise ValueError("the sums of a merge classifier must be below 2**53 in its steps")

    @cached_property
    def steps(self) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
        """Weights ``(n_in, n_out)`` and biases, in whole steps."""
        return tuple(
            (
                np.rint(weight.T.astype(np.float64) * WEIGHT_STEPS),
                np.rint(bias.astype(np.float64) * (WEIGHT_STEPS * INPUT_STEPS)),
            )
            for weight, bias in self.layers
        )

    def __call__(self, edge_features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected share of the smaller region's pixels that is lost: ``(e, EDGE_FEATURES)`` to ``(e,)``."""
        shares = np.empty(len(edge_features))
        for start in range(0, len(edge_features), CLASSIFIER_ROWS):
            values = edge_features[start : start + CLASSIFIER_ROWS] * INPUT_STEPS
            np.clip(values, -LARGEST_INPUT, LARGEST_INPUT, out=values)
            for number, (weight, bias) in enumerate(self.steps):
                if number:
                    values *= 1 / WEIGHT_STEPS
                    np.maximum(values, self.slope * values, out=values)
                values += 0.5
                values = np.floor(values, out=values) @ weight
                values += bias
            shares[start : start + CLASSIFIER_ROWS] = exact.logistic(
                values[:, 0] / (WEIGHT_STEPS * INPUT_STEPS)
            )
        return shares


@dataclass(frozen=True)
class Round:
    """The ``e`` pairs of regions that touch at the start of a round of merging.

    Attributes
    ----------
    edges : (e, 2) int64 array
    smaller, larger : (e,) float64 array
        Areas in pixels.
    colour : (e,) float64 array
        Squared difference of mean colours.
    lab : (e, 3) float64 array
        Difference of mean L, a and b of the channels that the network gets.
    border : (e,) float64 array
        Length of the common border.
    boundary : (e,) float64 array
        Mean boundary probability along it.
    shape : (e,) float64 array
        ``P^2 / 16 area`` of the two together.
    roundness_lost : (e,) float64 array
        Mean of the roundness of the two, by area, less that of the two together; 0 if that is higher.
    cell_area : float
    """

    edges: NDArray[np.int64]
    smaller: NDArray[np.float64]
    larger: NDArray[np.float64]
    colour: NDArray[np.float64]
    lab: NDArray[np.float64]
    border: NDArray[np.float64]
    boundary: NDArray[np.float64]
    shape: NDArray[np.float64]
    roundness_lost: NDArray[np.float64]
    cell_area: float

    @cached_property
    def edge_features(self) -> NDArray[np.float64]:
        """Input of a merge classifier, ``(e, EDGE_FEATURES)``: sizes in cells, logarithms of long tails.

        Colours are those of the three channels that the network gets, however many the picture has.
        """
        lightness, a, b = self.lab.T
        columns = (
            exact.log(self.smaller / self.cell_area + 0.1),
            exact.log(self.larger / self.cell_area + 0.1),
            exact.log(1 + np.sqrt(lightness * lightness + a * a + b * b)),
            exact.log(1 + np.abs(lightness)),
            self.boundary,
            exact.log(self.border / np.sqrt(self.smaller) + 0.05),
            self.shape,
        )
        return np.stack(columns, axis=1)

    def cost(self, options: Options, classifier: MergeClassifier | None) -> NDArray[np.float64]:
        """Cost of merging each pair."""
        weight = self.smaller * self.larger / (self.smaller + self.larger)
        if classifier is None:
            apart = self.colour + BOUNDARY_WEIGHT * self.boundary
        else:
            apart = COLOUR_SHARE * self.colour + CLASSIFIER_WEIGHT * classifier(self.edge_features)
        square = options.compactness * options.compactness
        shape = self.shape + EVENNESS + ROUNDNESS_WEIGHT * self.roundness_lost
        result: NDArray[np.float64] = weight * (apart + square * shape)
        return result


def keys_of(cost: NDArray[np.float64], leaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers in the order of merging: the step of the cost above 48 bits of the hash.

    `leaves` are the smallest of both ends.
    """
    keys: NDArray[np.int64] = (_step(cost) << 48) | (_hash(leaves) >> np.uint64(16)).astype(np.int64)
    return keys


def _step(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Steps of an eighth of an octave that costs lie in."""
    mantissa, exponent = np.frexp(np.maximum(cost, SMALLEST_COST))
    steps: NDArray[np.int64] = STEPS_PER_OCTAVE * exponent + np.searchsorted(OCTAVE, mantissa, side="right")
    return steps


def _hash(edges: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each edge that scatters neighbours (the finaliser of SplitMix64)."""
    u, v = edges.T.astype(np.uint64)
    x = u * np.uint64(0x9E3779B97F4A7C15) + v
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
