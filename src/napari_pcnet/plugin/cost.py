"""The cost of a run: the pixels it labels, its memory and time, and which level of a pyramid fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_pcnet.disk.memory import free_bytes, memory_text
from napari_pcnet.geometry.blocks import KEPT_BYTES
from napari_pcnet.geometry.estimate import NO_HALO, Estimate, estimate
from napari_pcnet.geometry.grid import OF_THE_PAPER, Fineness
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.source import Source
from napari_pcnet.progress import duration
from napari_pcnet.shapes import size_text


@dataclass(frozen=True)
class Cost:
    """What a run on one plane costs.

    Attributes
    ----------
    expected : Estimate
        Work pixels, and memory on top of the image's pixels.
    read_bytes : int
        Memory for the image's pixels, if they are not in memory yet, or for as many as are kept.
    """

    expected: Estimate
    read_bytes: int

    @property
    def total_bytes(self) -> int:
        """All the memory that the run needs."""
        return self.expected.memory_bytes + self.read_bytes


def cost_of(
    source: Source,
    region: RegionOfInterest,
    count: int,
    halo: Halo = NO_HALO,
    fineness: Fineness = OF_THE_PAPER,
    *,
    held: bool = True,
) -> Cost:
    """Estimate the cost of `count` superpixels in one plane of an image, by a network of these properties.

    `held` says whether plane and labels are held, or read and written window by window.
    """
    shape = region.shape(source)
    expected = estimate(
        shape,
        count,
        inside=region.share,
        spacing=source.spacing or (1.0, 1.0),
        halo=halo,
        fineness=fineness,
        held=held,
    )
    in_memory = isinstance(source.pixels, np.ndarray)
    read = shape[0] * shape[1] * source.n_channels * np.dtype(source.pixels.dtype).itemsize
    kept = int(read) if held else min(int(read), KEPT_BYTES)
    return Cost(expected, 0 if in_memory else kept)


def finest_that_fits(
    levels: Sequence[Source], cost: Callable[[Source], Cost | None], allowed_bytes: float
) -> Source:
    """The first of some levels, finest first, whose run fits into memory; the last if none does.

    A level whose cost is None counts as one that fits.
    """
    for level in levels:
        expected = cost(level)
        if expected is None or expected.total_bytes <= allowed_bytes:
            return level
    return levels[-1]


def outlook(count: int, n_planes: int, shape: tuple[int, int], cost: Cost, px_per_s: float) -> str:
    """Say what a run would make, and what it would take.

    Parameters
    ----------
    count : int
        Superpixels in each plane.
    n_planes : int
    shape : (int, int)
        Rows and columns of the region of each plane.
    cost : Cost
        Of one plane.
    px_per_s : float
        Speed of this machine, in work pixels.
    """
    planes = f" in each of {n_planes} planes" if n_planes > 1 else ""
    text = (
        f"{count:,} superpixels{planes} of {size_text(shape)} pixels, about "
        f"{duration(n_planes * cost.expected.seconds(px_per_s))} and "
        f"{memory_text(cost.total_bytes)} of memory."
    )
    free = free_bytes()
    if cost.total_bytes > free:
        text += f" Only {memory_text(free)} are free: choose a smaller region or a coarser level."
    return text


def why_this_level(level: int, finer: Cost | None, allowed_bytes: float) -> str:
    """Say why the finest level that fits is this one; `finer` is the cost of the next finer level."""
    if finer is None:
        return "Full resolution."
    return (
        f"Level {level}, because level {level - 1} would need {memory_text(finer.total_bytes)} and "
        f"{memory_text(allowed_bytes)} may be taken; for full resolution choose the current view."
    )
