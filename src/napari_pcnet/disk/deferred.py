"""An array of a file that is read where it is sliced."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Slices = tuple[slice, ...]


class Deferred:
    """An array that is read where it is sliced, and not before.

    Parameters
    ----------
    read : callable
        ``read(slices)``, of one slice for each axis, with a start and a stop inside the axis and a step of at
        least 1, returns these values in an array of as many axes.
    shape : tuple of int
    dtype : numpy.dtype
    chunks : tuple, optional
        Along each axis, the side of the parts that are decoded as one, or the sides of all; None if there are
        no such parts.
    """

    def __init__(
        self,
        read: Callable[[Slices], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: Any,
        chunks: tuple[int | tuple[int, ...], ...] | None = None,
    ) -> None:
        self._read = read
        self.shape = shape
        self.chunks = chunks
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all values take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part: of whole numbers, slices and ``...``; anything else is taken from the whole."""
        keys = _for_each_axis(key, self.ndim)
        if keys is None:
            return np.asarray(np.asarray(self)[key])
        slices, rest = zip(*map(_forwards, keys, self.shape, range(self.ndim)), strict=True)
        part: NDArray[Any] = self._read(slices)[rest]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole, for numpy."""
        if copy is False:
            raise ValueError("a picture that is read where it is sliced can't become an array without a copy")
        whole = self._read(tuple(slice(0, side, 1) for side in self.shape))
        return np.asarray(whole, dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"


def _for_each_axis(key: Any, ndim: int) -> list[Any] | None:
    """Return an index for each axis; None if it has others than whole numbers, slices and ``...``."""
    given = list(key) if isinstance(key, tuple) else [key]
    if not all(each is ... or isinstance(each, int | np.integer | slice) for each in given):
        return None
    if any(isinstance(each, bool) for each in given):
        return None
    if ... not in given:
        given.append(...)
    at = given.index(...)
    missing = ndim - (len(given) - 1)
    if missing < 0 or given.count(...) > 1:
        raise IndexError(f"too many indices for {ndim} axes: {key}")
    return given[:at] + [slice(None)] * missing + given[at + 1 :]


def _forwards(index: Any, side: int, axis: int) -> tuple[slice, Any]:
    """Return the slice to read, and the index that makes the asked of it."""
    if not isinstance(index, slice):
        at = int(index)
        if not -side <= at < side:
            raise IndexError(f"index {at} is out of bounds for axis {axis} of length {side}")
        return slice(at % side, at % side + 1, 1), 0
    places = range(side)[index]
    if len(places) == 0:
        return slice(0, 0, 1), slice(None)
    first, last = min(places[0], places[-1]), max(places[0], places[-1])
    return slice(first, last + 1, abs(places.step)), slice(None, None, 1 if places.step > 0 else -1)
