"""Which regions touch, and along how many sides of pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.groups import reduced
from napari_pcnet.measuring.windows import MARGIN, NONE, NumberedWindow

Borders = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pairs of labels ``(e, 2)``, the smaller first, sorted; and the sides that they share ``(e, 2)``: horizontal
sides, vertical sides."""


def borders_of(window: NumberedWindow) -> Borders:
    """Find the borders that run to the right of pixels of the core, and below them."""
    codes, number = window.codes, len(window.names)
    height, width = window.core.shape
    here = window.core_codes
    below = codes[MARGIN + 1 : MARGIN + 1 + height, MARGIN:-MARGIN]
    right = codes[MARGIN:-MARGIN, MARGIN + 1 : MARGIN + 1 + width]
    pairs, sides = [], []
    for direction, other in enumerate((below, right)):
        touch = (here != other) & (here != NONE) & (other != NONE)
        one, two = here[touch].astype(np.int64), other[touch].astype(np.int64)
        found, count = np.unique(np.minimum(one, two) * number + np.maximum(one, two), return_counts=True)
        pairs.append(window.names[np.column_stack(np.divmod(found, max(number, 1)))])
        sides.append(np.zeros((len(found), 2), np.int64))
        sides[-1][:, direction] = count
    return np.concatenate(pairs), np.concatenate(sides)


def merge(parts: Iterable[Borders]) -> Borders:
    """Add up the sides that pairs share, over windows or under other names."""
    pairs, sides = (np.concatenate(each) for each in zip(*parts, strict=True))
    pairs = np.sort(pairs, axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, sides = pairs[order], sides[order]
    if not len(pairs):
        return pairs, sides
    starts = np.flatnonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)])
    return pairs[starts], reduced(np.add, sides, starts)
