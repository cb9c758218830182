"""Smooth outlines: superpixels whose borders are rounder, their number and connectedness kept.

A border between two regions of an image runs along its pixels and what noise made of them. To smooth
it, each region is blurred, as an image that is 1 inside and 0 outside, with a Gaussian; a pixel
belongs where the blurred region is strongest. That step, repeated, moves borders by their curvature
(Merriman, Bence and Osher, "Motion of multiple junctions: a level set approach", 1994). Taken as it is
it also splits regions at their waists and swallows small ones. So a region that would lose most of its
pixels keeps them all, and a pixel moves only if what it leaves stays in one piece, and only to a region
that it touches: whatever the width, as many regions are left as there were, none of them a remnant, and
each that was 4-connected still is.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_pcnet.merging import exact, passes

REACH = 3.0
"""Where a Gaussian ends, in standard deviations."""

WEIGHT_STEPS = 1 << 12
"""The largest weight of a Gaussian. All are whole numbers, and so are their sums: the same on every
processor, in any order."""

OWN = 1e-4
"""Added to the blurred image of a pixel's own region, as a share of the largest value that one can have: of
equals, the pixel keeps its region."""

KEPT_SHARE = 0.5
"""Share of its own pixels that a region is left with, at least."""

RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The eight neighbours of a pixel, rows and columns, in order around it; every other one shares a side."""

APART = 3
"""Pixels this far apart along an axis have no neighbours in common, and can move at once."""


def _may_leave() -> NDArray[np.bool_]:
    """Whether a region stays as connected without a pixel, for each set of its eight neighbours in it.

    It does if those that share a side with the pixel are one run around it, others of the ring in
    between.
    """
    codes = np.arange(1 << len(RING))
    inside = (codes[:, None] >> np.arange(len(RING))) & 1
    sides = inside[:, 1::2].sum(axis=1)
    # Around the ring, two sides that follow each other are connected if the corner between them is inside.
    joined = inside[:, 1::2] & inside[:, [2, 4, 6, 0]] & np.roll(inside[:, 1::2], -1, axis=1)
    may: NDArray[np.bool_] = (sides - joined.sum(axis=1) == 1) & (sides < len(RING) // 2)
    return may


MAY_LEAVE = _may_leave()


def smoothed(regions: NDArray[np.int32], width: float, spacing: tuple[float, float]) -> NDArray[np.int32]:
    """Smooth the outlines of regions that are numbered from 1; 0 is outside and stays."""
    passes.count(pixels=regions.size)
    goal = _strongest(regions, (width / spacing[0], width / spacing[1]))
    areas = np.bincount(regions.ravel())
    kept = np.bincount(regions[goal == regions], minlength=len(areas))
    narrow = kept < KEPT_SHARE * areas
    return _moved(regions, np.where(narrow[regions], regions, goal))


def _strongest(regions: NDArray[np.int32], widths: tuple[float, float]) -> NDArray[np.int32]:
    """Region that is strongest at each pixel when all are blurred."""
    gaussians = [_weights(width) for width in widths]
    bonus = np.rint(OWN * math.prod(weights.sum() for weights in gaussians))
    reach = [len(weights) // 2 for weights in gaussians]
    best = np.zeros(regions.shape)
    goal = regions.copy()
    for number, box in enumerate(ndimage.find_objects(regions), 1):
        if box is None:
            continue
        around = tuple(
            slice(max(0, side.start - more), side.stop + more) for side, more in zip(box, reach, strict=True)
        )
        own = regions[around] == number
        blurred = own.astype(np.float64)
        for axis, weights in enumerate(gaussians):
            blurred = ndimage.correlate1d(blurred, weights, axis, mode="nearest")
        blurred += bonus * own
        stronger = blurred > best[around]
        best[around][stronger] = blurred[stronger]
        goal[around][stronger] = number
    goal[regions == 0] = 0
    return goal


def _weights(width: float) -> NDArray[np.float64]:
    """A Gaussian in whole `WEIGHT_STEPS`, as far as `REACH`."""
    reach = math.ceil(REACH * width)
    from_middle = np.arange(-reach, reach + 1) / max(width, 1e-3)  # a width of 0 is the middle alone
    return np.rint(exact.exp(-from_middle * from_middle / 2) * WEIGHT_STEPS)


def _moved(regions: NDArray[np.int32], goal: NDArray[np.int32]) -> NDArray[np.int32]:
    """Let pixels move to their goals, as far as no region is lost or falls apart.

    Of each 3 x 3 pixels one moves at a time: its neighbours then stand still.
    """
    frame = np.pad(regions, 1, constant_values=-1)
    columns = frame.shape[1]
    flat, goals = frame.ravel(), np.pad(goal, 1, constant_values=-1).ravel()
    ring = np.array([row * columns + column for row, column in RING])
    away = np.flatnonzero(flat != goals)
    turn = away // columns % APART * APART + away % columns % APART
    order = np.argsort(turn, kind="stable")
    ends = np.searchsorted(turn[order], np.arange(APART**2 + 1))
    waiting = [away[order[start:end]] for start, end in pairwise(ends)]
    fast = passes.compiled()
    if fast is not None:
        fast.move(flat, goals, away[order], ends, ring, MAY_LEAVE)
        return frame[1:-1, 1:-1].copy()
    moving = True
    while moving:
        moving = False
        for k, here in enumerate(waiting):
            around = flat[here[:, None] + ring]
            code = ((around == flat[here, None]) << np.arange(len(RING))).sum(axis=1)
            goes = MAY_LEAVE[code] & (around[:, 1::2] == goals[here, None]).any(axis=1)
            flat[here[goes]] = goals[here[goes]]
            waiting[k] = here[~goes]
            moving |= bool(goes.any())
    return frame[1:-1, 1:-1].copy()
