"""Rows of a table that follow one another and belong together, each group reduced to one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUPS_AT_ONCE = 1 << 15
"""numpy's `reduceat` keeps all other threads waiting until it returns, the viewer's among them."""


def reduced(ufunc: np.ufunc, values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    """Reduce the groups of `values` ``(n, ...)`` that begin at `starts`, of which the first is 0.

    >>> reduced(np.add, np.array([[1, 10], [2, 20], [3, 30]]), np.array([0, 2]))
    array([[ 3, 30],
           [ 3, 30]])
    """
    ends = [*starts[GROUPS_AT_ONCE::GROUPS_AT_ONCE].tolist(), len(values)]
    pieces = []
    for at, end in zip(range(0, len(starts), GROUPS_AT_ONCE), ends, strict=True):
        own = starts[at : at + GROUPS_AT_ONCE]
        pieces.append(ufunc.reduceat(values[own[0] : end], own - own[0]))
    return np.concatenate(pieces)
