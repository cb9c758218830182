"""Connected pieces on the device where the network's answer is: those of `merging.connectivity`, by torch.

Runs of equal raw ids within a row are numbered in raster order, and those that touch across rows are joined.
A piece goes by the smallest of its runs, which begins with its first pixel. All numbers are whole, so the
pieces are the same to the last bit, whatever the order in which a device joins runs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import passes
from napari_pcnet.merging.connectivity import OUTSIDE

BLOCK_PX = 1 << 20
"""Pixels searched at once."""


class Pieces(NamedTuple):
    """Pieces of a window, on its device."""

    ids: Tensor  # (h, w) int32, from 0 in raster order of the first pixel, `OUTSIDE` elsewhere
    names: Tensor  # (n,) int64, first pixel in the whole picture, increasing
    cells: Tensor  # (n,) int32, raw id


@torch.inference_mode()
def find_pieces(raw: Tensor, window: Window, width: int) -> Pieces:
    """Find the 4-connected pieces of a window as `connectivity.find_pieces` does.

    Parameters
    ----------
    raw : (h, w) int32 tensor
        Raw ids, `OUTSIDE` where there is nothing to label.
    window : Window
        Where `raw` lies in the image.
    width : int
        Columns of the whole image.

    Returns
    -------
    Pieces
        Names are right for pieces that lie whole in the window.
    """
    passes.count(pixels=raw.numel())
    ids, columns = torch.empty_like(raw), max(1, raw.shape[1])
    rows = max(1, BLOCK_PX // columns)
    joins, firsts = list[Tensor](), [raw.new_empty(0, dtype=torch.int64)]
    number = 0
    for top in range(0, len(raw), rows):
        block = slice(top, top + rows)
        ids[block], first = _of_block(raw[block], number)
        if top:
            touch = (raw[top - 1] == raw[top]) & (raw[top] != OUTSIDE)
            joins.append(ids[top - 1 : top + 1, touch])
        firsts.append(first + top * columns)
        number += len(first)
    first = torch.cat(firsts)
    if joins:
        smallest = smallest_joined(number, *torch.cat(joins, dim=1).long())
        stays = smallest == _numbers(number, raw.device)
        outside = raw.new_full((1,), OUTSIDE)  # what -1 finds
        renumbered = torch.cat([_rank(stays)[smallest], outside])
        for top in range(0, len(raw), rows):
            ids[top : top + rows] = renumbered[ids[top : top + rows].long()]
        first = first[stays]
    names = (first // columns + window.top) * width + first % columns + window.left
    return Pieces(ids, names, raw.flatten()[first])


@torch.inference_mode()
def name_pixels(raw: Tensor, window: Window, width: int) -> Tensor:
    """Raw ids of which each pixel has its own, as `connectivity.name_pixels` gives them."""
    rows = torch.arange(window.top, window.bottom, dtype=torch.int32, device=raw.device)
    columns = torch.arange(window.left, window.right, dtype=torch.int32, device=raw.device)
    return torch.where(raw != OUTSIDE, rows[:, None] * width + columns, raw)


def smallest_joined(number: int, one: Tensor, other: Tensor) -> Tensor:
    """The smallest number that each of so many is joined with, by any chain of pairs.

    Each round halves the trees that still have a neighbour, so there are at most as many rounds as a number
    has bits, however long a chain is.

    Parameters
    ----------
    number : int
    one, other : (e,) int64 tensor
        Pairs that are joined.

    Returns
    -------
    (number,) int64 tensor
    """
    above = _numbers(number, one.device)
    while True:
        one, other = above[one], above[other]
        apart = one != other
        one, other = one[apart], other[apart]
        if len(one) == 0:
            return above
        above = _joined(above, torch.minimum(one, other), torch.maximum(one, other))


def _joined(above: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Hang each tree that has a neighbour on another one, and all numbers on the tops of their trees.

    A tree hangs on its smallest neighbour, if that is smaller; one without a smaller neighbour, and on which
    none hangs either, hangs where a neighbour of its hangs, which is smaller, too. So a number never hangs on
    a larger one, and no tree stays alone.

    Parameters
    ----------
    above : (n,) int64 tensor
        What each number hangs on: itself at the top of a tree, else such a top. Used up.
    low, high : (e,) int64 tensor
        Tops of neighbouring trees, the smaller and the larger.
    """
    above.scatter_reduce_(0, high, low, "amin")
    stays = above[low] == low
    above.scatter_reduce_(0, low, torch.where(stays, above[high], low), "amin")
    while True:
        higher = above[above]
        if torch.equal(higher, above):
            return above
        above = higher


def _of_block(raw: Tensor, begin: int) -> tuple[Tensor, Tensor]:
    """Pieces of some rows, ``(h, w)``, numbered from `begin` on, and the first pixel of each."""
    starts = torch.ones_like(raw, dtype=torch.bool)  # of runs
    starts[:, 1:] = raw[:, 1:] != raw[:, :-1]
    run = starts.flatten().cumsum(0, dtype=torch.int32).sub_(1).view_as(raw)
    first = starts.flatten().nonzero().flatten()
    # two runs touch in many pixels, and begin to in one
    touch = (raw[1:] == raw[:-1]) & (raw[1:] != OUTSIDE) & (starts[1:] | starts[:-1])
    smallest = smallest_joined(len(first), run[:-1][touch].long(), run[1:][touch].long())
    inside = raw.flatten()[first] != OUTSIDE
    stays = inside & (smallest == _numbers(len(first), raw.device))
    numbers = torch.where(inside, _rank(stays)[smallest] + begin, OUTSIDE)
    return numbers[run.long()], first[stays]


def _numbers(number: int, device: torch.device) -> Tensor:
    return torch.arange(number, dtype=torch.int64, device=device)


def _rank(stays: Tensor) -> Tensor:
    """How many come before each that stays, ``(n,)`` int32."""
    return stays.cumsum(0, dtype=torch.int32).sub_(1)
