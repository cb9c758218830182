"""The plan of windows: what each of them reads, and which pixels it labels for the result.

The result in a window's *core* is final; cores cover the picture without overlap. To name the connected
pieces in its core, a window needs the labels of a few more pixels (`connectivity.reach_px`), and for these
it reads still more (the network's `Halo`). The margins are sums of the reaches of the operators, so the
labels in a core are those that the whole picture would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_pcnet.geometry.grid import STRIDE, Grid, Window, whole_strides

CORE_PX = 1 << 23
"""Work pixels in a core by default."""

MAX_BAND_PX = 8192
"""Widest core by default, in work pixels."""

SHARED_CORE = (1024, 4096)
"""Rows and columns of a core by default where several workers share a picture: small, so that each has some,
and flat, since what the windows of the same rows say is held until all are known."""


class Halo(NamedTuple):
    """Work pixels that a network needs around a window that starts and ends on multiples of `STRIDE`.

    `network.reach.halo_of` computes it from the layers.
    """

    before_px: int  # above, and to the left
    after_px: int  # below, and to the right


@dataclass(frozen=True)
class Tile:
    """One window of the plan.

    Attributes
    ----------
    core : Window
        Image pixels whose labels go into the result.
    labelled : Window
        Image pixels that are labelled: the core and the reach of connectivity.
    tail : Window
        Work pixels that the network's tail computes, on multiples of 64; they hold `labelled`.
    read : Window
        Work pixels that the trunk reads, on multiples of 64 (inside the padded frame).
    """

    core: Window
    labelled: Window
    tail: Window
    read: Window


def default_core(grid: Grid) -> tuple[int, int]:
    """Rows and columns of cores that bound memory: bands as wide as the picture if possible.

    Bands of equal height waste the least on halos; a core holds about `CORE_PX` pixels at most.
    """
    height, width = grid.padded_shape
    across = -(-width // MAX_BAND_PX)
    columns = whole_strides(-(-width // across))
    down = -(-height * columns // CORE_PX)
    return whole_strides(-(-height // down)), columns


def chosen_core(grid: Grid, window_px: int | None, is_shared: bool) -> tuple[int, int]:
    """Rows and columns of cores: of a side that is asked for, else as `SHARED_CORE` or `default_core`."""
    if window_px is not None:
        return window_px, window_px
    return SHARED_CORE if is_shared else default_core(grid)


def plan(
    grid: Grid,
    core_shape: tuple[int, int],
    reach_px: int,
    halo: Halo,
    part: Window | None = None,
    *,
    alike: bool = False,
) -> Iterator[Tile]:
    """Cut a picture into windows.

    Parameters
    ----------
    grid : Grid
    core_shape : tuple of int
        Rows and columns of a core in work pixels; rounded up to multiples of 64.
    reach_px : int
        Work pixels around the core whose labels are needed, too.
    halo : Halo
        Work pixels that the network needs around these, in multiples of 64.
    part : Window, optional
        Image pixels that the cores are to hold; by default all.
    alike : bool
        Whether windows at the rim read farther inwards, so that all are of one size: libraries keep
        memory for each size that they have seen.

    Yields
    ------
    Tile
        In raster order, without those whose core has no image pixel.
    """
    held = part or Window(0, 0, *grid.image_shape)
    rows = list(_axis(grid, 0, core_shape[0], reach_px, halo, (held.top, held.bottom)))
    columns = list(_axis(grid, 1, core_shape[1], reach_px, halo, (held.left, held.right)))
    if alike:
        rows, columns = _alike(rows, grid.padded_shape[0]), _alike(columns, grid.padded_shape[1])
    for row in rows:
        for column in columns:
            yield Tile(
                *(
                    Window(vertical[0], horizontal[0], vertical[1], horizontal[1])
                    for vertical, horizontal in zip(row, column, strict=True)
                )
            )


_Spans = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


def _axis(
    grid: Grid, axis: int, side_px: int, reach_px: int, halo: Halo, held: tuple[int, int]
) -> Iterator[_Spans]:
    """Core, labelled, tail and read spans along one axis."""
    padded = grid.padded_shape[axis]
    position = grid.work_position(axis)
    step = whole_strides(side_px)
    begin = int(position[held[0]]) // STRIDE * STRIDE
    end = whole_strides(int(position[held[1] - 1]) + 1)
    for start in range(begin, end, step):
        stop = min(start + step, end)
        core = _image_span(position, start, stop)
        if core[0] == core[1]:
            continue
        labelled = _image_span(position, start - reach_px, stop + reach_px)
        assert labelled[0] < core[0] or core[0] == 0, "the next pixel is within reach"
        assert labelled[1] > core[1] or core[1] == len(position), "the next pixel is within reach"
        tail = (
            max(0, (start - reach_px) // STRIDE * STRIDE),
            min(padded, whole_strides(stop + reach_px)),
        )
        read = (max(0, tail[0] - halo.before_px), min(padded, tail[1] + halo.after_px))
        yield core, labelled, tail, read


def _alike(spans: list[_Spans], padded: int) -> list[_Spans]:
    """Give all read spans the length of the longest, inside the padded frame."""
    longest = max(stop - start for *_, (start, stop) in spans)
    starts = [min(start, padded - longest) for *_, (start, _) in spans]
    return [
        (core, labelled, tail, (start, start + longest))
        for (core, labelled, tail, _), start in zip(spans, starts, strict=True)
    ]


def _image_span(
    position: np.ndarray[tuple[int], np.dtype[np.int64]], start: int, stop: int
) -> tuple[int, int]:
    """Image pixels whose work position lies in ``start <= position < stop``."""
    first, last = np.searchsorted(position, [start, stop])
    return int(first), int(last)
