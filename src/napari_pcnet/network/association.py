"""The association of pixels with superpixels, and the two sums it serves: Eq. 1 and Eq. 2.

All of it is in the work frame, where a superpixel starts as a cell of `cell` x `cell`
pixels. Each pixel may belong to its own cell or to one of the 8 around it, so the association is a
map ``q`` of shape ``(B, 9, H, W)``; channel ``3 * (dy + 1) + (dx + 1)`` is the cell ``dy`` rows
below and ``dx`` columns to the right of the pixel's own.

Pooling and unpooling first lay the pixels out cell by cell, ``(B, rows, columns, cell * cell, C)``. Each
cell is then one small matrix product with its 9 neighbours, and only tables of the size of the
lattice are shifted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_pcnet.geometry.grid import CELL

NEIGHBOURS = 9
"""A pixel's own cell and the 8 around it."""


def to_cells(values: Tensor, cell: int = CELL) -> Tensor:
    """Lay pixels out cell by cell: ``(B, C, H, W)`` to ``(B, rows, columns, cell * cell, C)``."""
    batch, channels, height, width = values.shape
    assert height % cell == width % cell == 0, "the work frame holds whole cells"
    rows, columns = height // cell, width // cell
    split = values.permute(0, 2, 3, 1).reshape(batch, rows, cell, columns, cell, channels)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, cell * cell, channels)


def mask_outside(
    logits: Tensor, lattice: tuple[int, int], origin: tuple[int, int] = (0, 0), cell: int = CELL
) -> Tensor:
    """Give the neighbours that lie outside the lattice a logit of minus infinity.

    Parameters
    ----------
    logits : (B, 9, H, W) tensor
        Logits of the association, for whole cells.
    lattice : tuple of int
        Rows and columns of the whole lattice.
    origin : tuple of int
        Row and column of the first cell of `logits` in that lattice.
    cell : int
        Side of a cell in work pixels.

    Returns
    -------
    (B, 9, H, W) tensor
        A pixel of the padding, whose own cell is outside, keeps its logits: its label is never used.
    """
    height, width = logits.shape[-2:]
    row_of = torch.arange(height, device=logits.device) // cell + origin[0]
    column_of = torch.arange(width, device=logits.device) // cell + origin[1]
    step = torch.arange(-1, 2, device=logits.device)
    rows = row_of[None, :] + step[:, None]  # (3, H)
    columns = column_of[None, :] + step[:, None]  # (3, W)
    row_inside = (rows >= 0) & (rows < lattice[0])
    column_inside = (columns >= 0) & (columns < lattice[1])
    if bool(row_inside.all()) and bool(column_inside.all()):
        return logits
    inside = row_inside[:, None, :, None] & column_inside[None, :, None, :]  # (3, 3, H, W)
    padding = (row_of >= lattice[0])[:, None] | (column_of >= lattice[1])[None, :]
    keep = inside.reshape(NEIGHBOURS, height, width) | padding
    return logits.masked_fill(~keep, float("-inf"))


def associate(logits: Tensor) -> Tensor:
    """Return ``q = softmax(logits)`` over the 9 neighbours, at least in float32."""
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide.softmax(dim=1)


def pool(values: Tensor, q: Tensor) -> Tensor:
    """Mean of pixel values over each superpixel, ``h(s)`` of Eq. 1.

    Parameters
    ----------
    values : (B, rows, columns, n, C) tensor
        Values of the n pixels of each cell, laid out by `to_cells`.
    q : (B, rows, columns, n, 9) tensor
        Association, laid out by `to_cells`.

    Returns
    -------
    (B, rows, columns, C) tensor
        Zero for a superpixel to which no pixel belongs.
    """
    weighted = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)
    gathered = q.transpose(-1, -2).to(weighted.dtype) @ weighted  # (B, rows, columns, 9, C + 1)
    total = _sum_at_target(gathered)
    tiny = torch.finfo(total.dtype).tiny
    return total[..., :-1] / total[..., -1:].clamp_min(tiny)


def unpool(means: Tensor, q: Tensor) -> Tensor:
    """Rebuild pixel values from the means of their superpixels, ``S'(p)`` of Eq. 2.

    Parameters
    ----------
    means : (B, rows, columns, C) tensor
        Means over superpixels, as `pool` returns them.
    q : (B, rows, columns, n, 9) tensor
        Association, laid out by `to_cells`.

    Returns
    -------
    (B, rows, columns, n, C) tensor
    """
    return q.to(means.dtype) @ _spread_to_neighbours(means)


def neighbour_argmax(logits: Tensor) -> Tensor:
    """Hard association: the neighbour with the largest logit, ``(B, 9, H, W)`` to ``(B, H, W)``.

    Of equal ones the first in reading order wins.
    """
    return logits.argmax(dim=1)


def confidence(logits: Tensor) -> Tensor:
    """Confidence of each pixel's association: 1 minus its entropy divided by ``log 9``.

    Parameters
    ----------
    logits : (B, 9, H, W) tensor

    Returns
    -------
    (B, H, W) tensor
        1 where one neighbour has probability 1, 0 where all nine are equal.
    """
    entropy = torch.special.entr(associate(logits)).sum(dim=1)
    certainty: Tensor = 1 - entropy / math.log(NEIGHBOURS)
    return certainty.clamp(0, 1)


def _sum_at_target(gathered: Tensor) -> Tensor:
    """Sum what every cell gives to each of its 9 neighbours, from ``(B, rows, columns, 9, C)``."""
    total: Tensor = _Linear.apply(gathered, _summed, _spread)  # type: ignore[no-untyped-call]
    return total


def _spread_to_neighbours(means: Tensor) -> Tensor:
    """Give every cell the means of its 9 neighbours, ``(B, rows, columns, 9, C)``."""
    spread: Tensor = _Linear.apply(means, _spread, _summed)  # type: ignore[no-untyped-call]
    return spread


class _Linear(torch.autograd.Function):
    """A linear map with its adjoint as gradient; torch's own makes a table of zeros for each neighbour."""

    @staticmethod
    def forward(
        context: Any,
        values: Tensor,
        function: Callable[[Tensor], Tensor],
        adjoint: Callable[[Tensor], Tensor],
    ) -> Tensor:
        context.adjoint = adjoint
        return function(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return context.adjoint(gradient), None, None


def _summed(gathered: Tensor) -> Tensor:
    rows, columns = gathered.shape[1:3]
    padded = F.pad(gathered, (0, 0, 0, 0, 1, 1, 1, 1))
    total = torch.zeros_like(gathered[..., 0, :])
    for k in range(NEIGHBOURS):
        dy, dx = k // 3 - 1, k % 3 - 1  # the giver is on the opposite side
        total += padded[:, 1 - dy : 1 - dy + rows, 1 - dx : 1 - dx + columns, k]
    return total


def _spread(means: Tensor) -> Tensor:
    rows, columns = means.shape[1:3]
    padded = F.pad(means, (0, 0, 1, 1, 1, 1))
    shifted = [padded[:, k // 3 : k // 3 + rows, k % 3 : k % 3 + columns] for k in range(NEIGHBOURS)]
    return torch.stack(shifted, dim=-2)
