"""The table of a window on the device where the network's answer is: that of `merging.regions`, by torch.

All sums are of whole numbers, in 64 bits, so the order in which a device adds them cannot change them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging.regions import STRIP_ROWS, RegionTable, narrowed
from napari_pcnet.network.pieces import Pieces

BLOCK_PX = 1 << 20
"""Pixels whose sides are sorted at once."""


@torch.inference_mode()
def gather(
    pieces: Pieces,
    core: tuple[slice, slice],
    origin: Window,
    read: Callable[[Window], NDArray[np.floating]],
    boundary: Tensor | None = None,
    certainty: Tensor | None = None,
) -> RegionTable:
    """Gather what one window contributes as `regions.gather` does.

    Parameters
    ----------
    pieces : Pieces
        Of the window, ``(h, w)``.
    core : tuple of slice
        The part of them that this window answers for.
    origin : Window
        Where `core` lies in the image.
    read : callable
        ``read(window)`` gives the image in a window, ``(h, w, C)`` in whole steps of up to 31 bits.
    boundary : (h, w) tensor, optional
        How likely a boundary runs along each pixel of the window, in whole steps.
    certainty : (h, w) tensor, optional
        In whole steps; summed as one more channel.

    Returns
    -------
    RegionTable
        On the CPU.
    """
    area, colour = _pixels(pieces, core, origin, read, certainty)
    rim, edges, lines = _outlines(pieces.ids, core, len(pieces.names), boundary)
    names, cells = as_array(pieces.names), as_array(pieces.cells)
    rows = as_array(area), as_array(colour), as_array(rim), as_array(edges)
    return RegionTable(names, cells, *rows, narrowed(as_array(lines)))


def as_array(values: Tensor) -> NDArray[Any]:
    """Bring a tensor to the CPU."""
    array: NDArray[Any] = values.contiguous().cpu().numpy()
    return array


def _pixels(
    pieces: Pieces,
    core: tuple[slice, slice],
    origin: Window,
    read: Callable[[Window], NDArray[np.floating]],
    certainty: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Pixels of each piece, ``(n,)``, and the sums of their channels, ``(n, C)``."""
    number, device = len(pieces.names), pieces.ids.device
    # One more takes what is outside the mask.
    area = torch.zeros(number + 1, dtype=torch.int64, device=device)
    colour = torch.zeros((number + 1, 0), dtype=torch.int64, device=device)
    for top in range(origin.top, origin.bottom, STRIP_ROWS):
        strip = Window(top, origin.left, min(top + STRIP_ROWS, origin.bottom), origin.right)
        begin = core[0].start + top - origin.top
        place = slice(begin, begin + strip.bottom - strip.top), core[1]
        ids = pieces.ids[place].flatten()
        ids = torch.where(ids < 0, number, ids)
        pixels = torch.from_numpy(read(strip).astype(np.int32)).to(device).flatten(0, 1).long()
        if certainty is not None:
            pixels = torch.cat([pixels, certainty[place].reshape(-1, 1).long()], dim=1)
        if top == origin.top:
            colour = colour.new_zeros((number + 1, pixels.shape[1]))
        area.index_add_(0, ids, torch.ones_like(ids, dtype=torch.int64))
        colour.index_add_(0, ids, pixels)
    return area[:-1], colour[:-1]


class _Sides(NamedTuple):
    """Sides between pixels and those below them or on their right."""

    direction: int  # 0 for those below, which are horizontal
    here: tuple[slice, slice]
    beyond: tuple[slice, slice]


def _sides(shape: tuple[int, int], core: tuple[slice, slice]) -> Iterator[_Sides]:
    """The sides that a window answers for, without those on the image's frame; in blocks of rows."""
    rows, columns = core
    for direction, (down, right) in enumerate(((1, 0), (0, 1))):
        bottom, end = min(rows.stop, shape[0] - down), min(columns.stop, shape[1] - right)
        at_once = max(1, BLOCK_PX // max(1, end - columns.start))
        for top in range(rows.start, bottom, at_once):
            stop = min(top + at_once, bottom)
            here = slice(top, stop), slice(columns.start, end)
            beyond = slice(top + down, stop + down), slice(columns.start + right, end + right)
            yield _Sides(direction, here, beyond)


def _outlines(
    ids: Tensor, core: tuple[slice, slice], number: int, boundary: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sides on the rim of each piece, pairs that touch, and the sides that these share, with strength."""
    rim = torch.zeros((number, 2), dtype=torch.int64, device=ids.device)
    for axis, length in enumerate(ids.shape):
        for position in (0, length):  # sides on the frame
            if position in (core[axis].start, core[axis].stop):
                line = ids[core].select(axis, -1 if position else 0)
                _count(line[line >= 0], rim[:, axis])
    codes = [rim.new_empty(0)]  # of pairs
    sums = [rim.new_empty((0, 2 if boundary is None else 4))]
    for sides in _sides((ids.shape[0], ids.shape[1]), core):
        here, beyond = ids[sides.here], ids[sides.beyond]
        differ = here != beyond
        here, beyond = here[differ], beyond[differ]
        low, high = torch.minimum(here, beyond), torch.maximum(here, beyond)
        inside = low >= 0
        _count(high[~inside], rim[:, sides.direction])
        pairs = low[inside].long() * number + high[inside]
        pairs, which, count = torch.unique(pairs, return_inverse=True, return_counts=True)
        of_pairs = sums[0].new_zeros((len(pairs), sums[0].shape[1]))
        of_pairs[:, sides.direction] = count
        if boundary is not None:
            both = boundary[sides.here][differ] + boundary[sides.beyond][differ]
            of_pairs[:, 2 + sides.direction].index_add_(0, which, both[inside].long())
        codes.append(pairs)
        sums.append(of_pairs)
    pairs, which = torch.unique(torch.cat(codes), return_inverse=True)
    lines = sums[0].new_zeros((len(pairs), sums[0].shape[1])).index_add_(0, which, torch.cat(sums))
    ends = max(1, number)
    edges = torch.stack([pairs // ends, pairs % ends], dim=1)
    return rim.int(), edges.int(), lines


def _count(ids: Tensor, counts: Tensor) -> None:
    """Add how often each id occurs to its count, ``(n,)``."""
    counts.index_add_(0, ids, torch.ones_like(ids, dtype=torch.int64))
