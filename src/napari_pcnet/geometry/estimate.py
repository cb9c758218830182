"""What a run will cost, from the size of the picture alone: superpixels, work pixels, memory, time.

Memory is what comes on top of the picture; the figures below were fitted to the peak memory of runs
from 1 to 67 megapixels and 6,000 to 420,000 regions (`napari-pcnet benchmark speed` measures it).
They are for deciding, not for booking: a third more or less is to be expected.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_pcnet.geometry.grid import Grid, whole_strides
from napari_pcnet.geometry.tiling import Halo, default_core

NO_HALO = Halo(0, 0)
"""Of a network that is not known yet; windows then seem a little smaller than they will be."""

FIXED_BYTES = 30 << 20
BYTES_PER_WINDOW_PX = 16
BYTES_PER_IMAGE_PX = 8
BYTES_PER_REGION = 600
REGIONS_PER_CELL = 1.6
"""Pieces that the pixels of one cell fall into."""


@dataclass(frozen=True)
class Estimate:
    """What to expect of a run on one plane.

    Attributes
    ----------
    work_px : int
        Pixels that the network looks at, enlargement included.
    memory_bytes : int
        Peak, on top of the picture.
    """

    work_px: int
    memory_bytes: int

    def seconds(self, work_px_per_s: float) -> float:
        """How long, on a machine that does so many work pixels a second."""
        return self.work_px / work_px_per_s


def estimate(
    shape: tuple[int, int],
    number: int,
    *,
    inside: float = 1.0,
    spacing: tuple[float, float] = (1.0, 1.0),
    window_px: int | None = None,
    halo: Halo = NO_HALO,
) -> Estimate:
    """Estimate a run of ``method="hierarchy"``.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    number : int
        Superpixels asked for (of the tree: its largest count).
    inside : float
        Share of the plane inside the mask.
    spacing : tuple of float
        Size of a pixel along rows and columns.
    window_px : int, optional
        As ``window`` of `pcnet_superpixels`.
    halo : Halo, optional
        What the network reads around a window (`network.reach.halo_of`); left out if it is not given.
    """
    pixels = shape[0] * shape[1]
    grid, _ = Grid.for_count(shape, number, max(1, round(inside * pixels)), spacing)
    core = (window_px, window_px) if window_px else default_core(grid)
    around_px = halo.before_px + halo.after_px
    rows, columns = (
        min(side, whole_strides(core_px) + around_px) if side > whole_strides(core_px) else side
        for side, core_px in zip(grid.padded_shape, core, strict=True)
    )
    work_px = grid.padded_shape[0] * grid.padded_shape[1]
    memory = (
        FIXED_BYTES
        + BYTES_PER_WINDOW_PX * rows * columns
        + BYTES_PER_IMAGE_PX * pixels
        + round(BYTES_PER_REGION * REGIONS_PER_CELL * grid.cells * inside)
    )
    return Estimate(work_px, memory)
