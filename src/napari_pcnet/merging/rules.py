"""Numbers that decide what a merge costs, for the rounds in numpy and for the compiled ones."""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """What all pairs of regions are compared by; constants of `tree` beside what differs from run to run."""

    cell_area: float  # pixels of a cell
    colour_unit: float
    across: float  # length of a horizontal side
    down: float  # length of a vertical side
    shape_weight: float
    slope: float  # of the classifier's LeakyReLU
    boundary_weight: float
    classifier_weight: float
    colour_share: float
    evenness: float
    square: float
    colour_steps: float
    lab_steps: float
    input_steps: float
    weight_steps: float
    largest_input: float
    steps_per_octave: int
