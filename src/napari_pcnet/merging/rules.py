"""Numbers that decide what a merge costs, for the rounds in numpy and for the compiled ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 4
"""Rows of a layer's weights that the compiled merge classifier takes at once."""


class Rules(NamedTuple):
    """What all pairs of regions are compared by: numbers of a run, and constants of `tree`.

    They are handed over because numba would go on with a constant that it has once compiled.
    """

    cell_area: float  # in pixels
    colour_unit: float  # of a step of colour, where a difference of 1 is just visible
    across: float  # length of a horizontal side, in sides of a square pixel of the same area
    down: float  # and of a vertical one
    shape_weight: float  # the compactness squared
    slope: float  # of the classifier's LeakyReLU
    boundary_weight: float  # from here on as the constants of these names in `tree`
    classifier_weight: float
    colour_share: float
    evenness: float
    square: float
    colour_steps: float
    lab_steps: float
    input_steps: float
    weight_steps: float
    largest_input: float
    octave: NDArray[np.float64]
