"""Rows of a table that follow one another and belong together, each group reduced to one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GROUPS_AT_ONCE = 1 << 15
"""numpy's `reduceat` keeps all other threads waiting until it returns, the viewer's among them."""


def reduced(ufunc: np.ufunc, values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    """Reduce each group of rows to one, as ``ufunc.reduceat`` does.

    Parameters
    ----------
    ufunc : numpy.ufunc
    values : (n, ...) array
    starts : (groups,) array
        Where groups begin, the first at 0; none, without values.

    Returns
    -------
    (groups, ...) array

    >>> reduced(np.add, np.array([[1, 10], [2, 20], [3, 30]]), np.array([0, 2]))
    array([[ 3, 30],
           [ 3, 30]])
    """
    if len(starts) <= GROUPS_AT_ONCE:
        return ufunc.reduceat(values, starts)
    ends = [*starts[GROUPS_AT_ONCE::GROUPS_AT_ONCE].tolist(), len(values)]
    pieces = []
    for at, end in zip(range(0, len(starts), GROUPS_AT_ONCE), ends, strict=True):
        own = starts[at : at + GROUPS_AT_ONCE]
        pieces.append(ufunc.reduceat(values[own[0] : end], own - own[0]))
    return np.concatenate(pieces)
