"""Percentiles of a picture's channels: exact, in few passes over its parts, in bounded memory.

The bits of a value, read as a whole number, are in the order of the values, once those of negative ones are
turned about. Each pass looks at the next bits of the values that agree with a percentile in the bits before,
and counts them: one pass for 8 and 16 bits, two for 32, four for 64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Parts = Callable[[], Iterable[NDArray[np.generic]]]
"""Begins a pass over a picture: parts of it, ``(n, C)`` each, all of one type, without NaN."""

PASS_BITS = 16
"""Bits counted in a pass."""

MANY_CHANNELS = 16
"""Above this many channels half the bits are counted in a pass: a table of counts is held for each."""


def percentiles(
    parts: Parts, dtype: np.dtype[np.generic], channels: int, shares: Sequence[Fraction]
) -> NDArray[np.float64]:
    """Find percentiles of each channel.

    Parameters
    ----------
    parts : callable
    dtype : dtype
        Type of the parts.
    channels : int
    shares : sequence of Fraction
        From 0 to 1. The percentile is the smallest value that at least this share of the values does not
        exceed: a value that occurs, whatever the gain and offset of the others.

    Returns
    -------
    (len(shares), C) float64 array
    """
    native = _native(np.zeros(0, dtype)).dtype
    bits = 8 * native.itemsize
    step = min(bits, PASS_BITS if channels <= MANY_CHANNELS else PASS_BITS // 2)
    found = np.zeros((len(shares), channels), np.uint64)
    ranks: NDArray[np.int64] | None = None
    for shift in range(bits - step, -1, -step):
        counts = _counted(parts, found, shift, step, is_first=ranks is None)
        if ranks is None:
            number = counts[0, 0].sum()
            ranks = np.array([[max(1, math.ceil(share * int(number))) - 1] * channels for share in shares])
        below = np.cumsum(counts, axis=2)
        digit = np.argmax(below > ranks[..., None], axis=2)[..., None]
        ranks -= np.take_along_axis(below - counts, digit, axis=2)[..., 0]
        found = (found << np.uint64(step)) | digit[..., 0].astype(np.uint64)
    return _values(found, native).astype(np.float64)


def _counted(
    parts: Parts, found: NDArray[np.uint64], shift: int, step: int, *, is_first: bool
) -> NDArray[np.int64]:
    """Count the next bits of values that begin like the percentiles: ``(len(shares), C, 2**step)``."""
    counts = np.zeros((*found.shape, 1 << step), np.int64)
    last_bits = np.uint64((1 << step) - 1)
    for part in parts():
        for channel, values in enumerate(part.T):
            keys = _keys(_native(values)).astype(np.uint64) >> np.uint64(shift)
            if is_first:  # of all values alike
                counts[:, channel] += np.bincount(keys.astype(np.intp), minlength=1 << step)
                continue
            for row, begin in enumerate(found[:, channel]):
                alike = keys[keys >> np.uint64(step) == begin]
                counts[row, channel] += np.bincount((alike & last_bits).astype(np.intp), minlength=1 << step)
    return counts


def _native(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """In this machine's byte order; floats of more than 64 bits become ones of 64."""
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        return values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _keys(values: NDArray[np.generic]) -> NDArray[np.unsignedinteger]:
    """Whole numbers in the order of the values."""
    keys, sign = _as_bits(values)
    if values.dtype.kind == "i":
        return keys ^ sign
    if values.dtype.kind == "f":
        return np.where(keys & sign, ~keys, keys | sign)
    return keys


def _values(keys: NDArray[np.uint64], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return the values that have these keys."""
    bits, sign = _as_bits(np.zeros(0, dtype))
    narrow = keys.astype(bits.dtype)
    if dtype.kind == "i":
        narrow ^= sign
    elif dtype.kind == "f":
        narrow = np.where(narrow & sign, narrow ^ sign, ~narrow)
    return narrow.view(dtype)


def _as_bits(values: NDArray[np.generic]) -> tuple[NDArray[np.unsignedinteger], np.unsignedinteger]:
    """The bits of values as whole numbers, and the first bit of these."""
    kind = np.dtype(f"u{values.dtype.itemsize}")
    sign: np.unsignedinteger = kind.type(1 << (8 * kind.itemsize - 1))
    return np.ascontiguousarray(values).view(kind), sign
