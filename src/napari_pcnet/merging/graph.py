"""The regions of a base and which of them touch: what a tree is built of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.merging import exact
from napari_pcnet.merging.crumbs import Joined
from napari_pcnet.merging.exact import LAB_STEPS


@dataclass(frozen=True)
class Features:
    """Features of the regions that are merged: sums over their pixels, all of whole numbers.

    Attributes
    ----------
    area : (n,) array of whole numbers
        Pixels.
    colour : (n, C) int64 array
        What is compared: sums of CIELAB for grey and RGB, of the channels for others.
    lab : (n, 3) int64 array
        Sums of CIELAB, in `LAB_STEPS`, of the three channels that the network gets: `colour` itself for grey
        and RGB.
    perimeter : (n, 2) array of whole numbers
        Sides of pixels on the outline, including the image's frame: horizontal, vertical; or of both,
        ``(n, 1)``.
    cell_area : float
        Pixels of a cell of the lattice, the unit of area of a merge classifier.
    colour_unit : float
        Of a step of `colour`, where a difference of 1 is just visible.
    sides : tuple of float
        Length of a horizontal and of a vertical side, in sides of a square pixel of the same area.
    """

    area: NDArray[np.integer]
    colour: NDArray[np.int64]
    lab: NDArray[np.int64]
    perimeter: NDArray[np.integer]
    cell_area: float = 1.0
    colour_unit: float = 1 / LAB_STEPS
    sides: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of_lab(
        cls,
        area: NDArray[np.int64],
        lab: NDArray[np.float64],
        perimeter: NDArray[np.integer],
        cell_area: float = 1.0,
        sides: tuple[float, float] = (1.0, 1.0),
    ) -> Features:
        """Features of grey and RGB, from means of CIELAB, ``(n, 3)``."""
        sums = exact.lab_sums(area, lab)
        return cls(area, sums, sums, perimeter, cell_area, sides=sides)

    @property
    def colours(self) -> NDArray[np.int64]:
        """`lab`, and `colour` behind it where that is another one, ``(n, 3 + ...)``."""
        return np.concatenate([self.lab, self.colour], axis=1) if self.first_compared else self.lab

    @property
    def first_compared(self) -> int:
        """The first column of `colours` that is compared."""
        return 0 if self.colour is self.lab else self.lab.shape[1]

    def length(self, sides: NDArray[np.integer] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Length of horizontal and vertical sides, ``(n, 2)`` to ``(n,)``."""
        across, down = self.sides
        result: NDArray[np.float64] = sides[:, 0] * across + sides[:, 1] * down
        return result


@dataclass
class Graph:
    """Regions and which of them touch: what a tree is built of.

    Attributes
    ----------
    features : Features
    edges : (e, 2) array of whole numbers
        Regions that touch, the smaller first, each pair once.
    lines : (e, 4) array of whole numbers
        Of each border its horizontal and its vertical sides, and the boundary probability summed up over the
        two pixels of each, in `COLOUR_STEPS`, likewise; 0 without a boundary map. Of regions that crumbs have
        joined, where sides are as long in both directions, they may be summed up: ``(e, 2)``, with
        perimeters ``(n, 1)``.
    joined : Joined, optional
        If crumbs have joined these regions. The tree then merges them as the tree of all pieces does once its
        crumbs have joined.
    """

    features: Features
    edges: NDArray[np.integer]
    lines: NDArray[np.integer]
    joined: Joined | None = None

    def clear(self) -> None:
        """Let go of everything."""
        self.joined = None
        nothing = np.empty((0, 4), np.int64)
        self.features = Features(nothing[:, 0], nothing[:, :3], nothing[:, :3], nothing[:, :2])
        self.edges, self.lines = nothing[:, :2], nothing
