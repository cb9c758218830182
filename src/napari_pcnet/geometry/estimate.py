"""The cost of a run, from the size of the picture alone: work pixels, memory, time.

Memory is what a run needs on top of the picture; the figures below were fitted to the peak memory of runs
from 1 to 67 megapixels and 6,000 to 420,000 regions (`napari-pcnet benchmark speed` measures it).
They are good to about a third where merging is not compiled; where it is, many regions take half. What a
region takes where labels are written window by window is `TABLE_BYTES`, then `TREE_BYTES`.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_pcnet.geometry.grid import OF_THE_PAPER, Fineness, Grid, whole_strides
from napari_pcnet.geometry.tiling import Halo, default_core

NO_HALO = Halo(0, 0)
"""For a network that is not loaded yet: the estimate leaves its halo out, and is that much too small."""

LARGE_PX = 1 << 25
"""Pixels from which a plane is large: a measured window, which takes a second or two, is worth it."""

FIXED_BYTES = 30 << 20
BYTES_PER_WINDOW_PX = 16
BYTES_PER_IMAGE_PX = 8
BYTES_PER_CELL = 960
"""Of a cell of the lattice: its regions in tables and in the tree."""

TABLE_BYTES, TREE_BYTES = 67, 112
"""Of a region where neither labels nor picture are held: 24 bytes and 2.7 pairs of 16 while the table is put
together, then at most so many in the compiled tree with what it is made of (docs/performance.md)."""


@dataclass(frozen=True)
class Estimate:
    """The expected cost of a run on one plane.

    Attributes
    ----------
    work_px : int
        Pixels that the network labels, after enlargement.
    memory_bytes : int
        Peak, on top of the picture.
    """

    work_px: int
    memory_bytes: int

    def seconds(self, work_px_per_s: float) -> float:
        """Duration on a machine that labels this many work pixels in a second."""
        return self.work_px / work_px_per_s


def estimate(
    shape: tuple[int, int],
    number: int,
    *,
    inside: float = 1.0,
    spacing: tuple[float, float] = (1.0, 1.0),
    window_px: int | None = None,
    halo: Halo = NO_HALO,
    fineness: Fineness = OF_THE_PAPER,
    held: bool = True,
) -> Estimate:
    """Estimate a run of ``method="hierarchy"``.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    number : int
        Superpixels asked for (of a hierarchy: its largest count).
    inside : float
        Share of the plane inside the mask.
    spacing : tuple of float
        Size of a pixel along rows and columns.
    window_px : int, optional
        As ``window`` of `pcnet_superpixels`.
    halo : Halo, optional
        Work pixels that the network reads around a window, from `network.reach.halo_of`.
    fineness : Fineness, optional
        Of the network's lattices.
    held : bool, optional
        Whether the labels are held; else they are written window by window, and this is rather too much.
    """
    pixels = shape[0] * shape[1]
    grid, *_ = Grid.for_count(shape, number, max(1, round(inside * pixels)), spacing, fineness)
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
        + (BYTES_PER_IMAGE_PX * pixels if held else 0)
        + round(BYTES_PER_CELL * grid.cells * inside)
    )
    return Estimate(work_px, memory)
