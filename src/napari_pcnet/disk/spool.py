"""Arrays of whole numbers that wait to be read again: compressed in memory while few, then in a file.

The file has no name on systems that allow it, so nothing is left of it however the process ends.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.files import try_folder
from napari_pcnet.disk.memory import memory_text

MEMORY_BYTES = 1 << 25
"""Compressed bytes that are kept in memory: of the regions of a picture, those of some 100 megapixels."""

PIECE_VALUES = 1 << 24
"""Values that are compressed as one; the codec takes no more than 2 GB."""


class Packed(NamedTuple):
    """An array, compressed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: tuple[bytes, ...]


class Spool:
    """A list of arrays.

    Parameters
    ----------
    folder : Path or None
        Where the file is made if there must be one; None for the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: Any = None  # a file of bytes
        self._arrays: list[tuple[tuple[int, ...], np.dtype[Any], list[int]]] = []
        self.clear()

    def __len__(self) -> int:
        return len(self._arrays)

    def clear(self) -> None:
        """Begin again."""
        self.close()
        folder = None if self._folder is None else str(self._folder)
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=folder)  # noqa: SIM115
        self._arrays.clear()

    def close(self) -> None:
        """Let go of all."""
        if self._file is not None:
            self._file.close()

    def append(self, array: NDArray[np.integer[Any]] | Packed) -> None:
        """Take an array, which may be compressed already.

        Raises
        ------
        OSError
            If the disk is full, or the folder can't be written.
        """
        packed = array if isinstance(array, Packed) else pack(array)
        for piece in packed.pieces:
            try:
                self._file.write(piece)
            except OSError as error:
                where = self._folder or tempfile.gettempdir()
                written = memory_text(self._file.tell() + len(piece))
                raise OSError(
                    f"the regions of windows could not be kept in {where} until all are known: "
                    f"{error.strerror}, and {written} are needed so far"
                ) from error
        self._arrays.append((packed.shape, packed.dtype, [len(piece) for piece in packed.pieces]))

    def __iter__(self) -> Iterator[Packed]:
        """Read the arrays, compressed as they are, in the order in which they came."""
        self._file.seek(0)
        for shape, dtype, sizes in self._arrays:
            yield Packed(shape, dtype, tuple(self._file.read(size) for size in sizes))


def pack(array: NDArray[np.integer[Any]]) -> Packed:
    """Compress an array of whole numbers."""
    codec, flat = _codec(), np.ascontiguousarray(array).reshape(-1)
    starts = range(0, flat.size, PIECE_VALUES)
    pieces = tuple(codec.encode(flat[start : start + PIECE_VALUES]) for start in starts)
    return Packed(array.shape, array.dtype, pieces)


def unpack(packed: Packed) -> NDArray[np.integer[Any]]:
    """The array that was compressed."""
    codec, flat = _codec(), np.empty(math.prod(packed.shape), packed.dtype)
    for number, piece in enumerate(packed.pieces):
        start = number * PIECE_VALUES
        codec.decode(piece, out=flat[start : start + PIECE_VALUES])
    return flat.reshape(packed.shape)


def folder_beside(out: Any) -> Path | None:
    """The folder that holds the file or store of an array, if it can be written; else the system's, None."""
    file = getattr(out, "filename", None) or getattr(getattr(out, "store", None), "root", None)
    if not isinstance(file, str | os.PathLike):
        return None
    folder = Path(file).absolute().parent
    try:
        try_folder(folder)
    except OSError:
        return None
    return folder


def _codec() -> Any:  # numcodecs' have no types
    from numcodecs import Blosc

    return Blosc("zstd", clevel=1, shuffle=Blosc.SHUFFLE)  # half of what lz4 leaves of regions
