"""Pixels of a layer as they are read: whatever goes wrong in an array of somebody else's is one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.blocks import in_memory


class LayerPixels:
    """An array of a layer that is read where it is sliced.

    It has what a run asks of an image: shape, dtype, ndim, slicing.

    Parameters
    ----------
    array : array
        dask, zarr, or anything that is sliced so.
    name : str
        Of the layer.
    """

    def __init__(self, array: Any, name: str) -> None:
        self._array = array
        self._name = name
        self.shape = tuple(array.shape)
        self.dtype = array.dtype
        self.ndim = len(self.shape)
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part.

        Raises
        ------
        MemoryError
            As the array does.
        ValueError
            For every other error of the array: what failed there is a file, a server or somebody's function.
        """
        try:
            return in_memory(self._array[key])
        except MemoryError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())
            raise ValueError(f"'{self._name}' could not be read: {reason}") from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read it all."""
        return np.asarray(self[...], dtype)


class StackedPixels:
    """Arrays of one shape as the channels of one, along its last axis; each is read where it is sliced.

    Parameters
    ----------
    arrays : sequence of array
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        self._arrays = arrays
        self.shape = (*map(int, arrays[0].shape), len(arrays))
        self.dtype = np.result_type(*(each.dtype for each in arrays))
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part; the key has an entry for each axis."""
        *place, channels = key
        if not isinstance(channels, slice):
            return in_memory(self._arrays[channels][tuple(place)]).astype(self.dtype, copy=False)
        parts = [in_memory(each[tuple(place)]) for each in self._arrays[channels]]
        stack = np.ma.stack if any(map(np.ma.isMaskedArray, parts)) else np.stack
        stacked: NDArray[Any] = stack(parts, axis=-1)
        return stacked


def readable(array: Any, name: str) -> Any:
    """An array whose errors of reading are one sentence; one in memory has none, and stays."""
    return array if isinstance(array, np.ndarray) else LayerPixels(array, name)
