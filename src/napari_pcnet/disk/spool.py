"""Arrays of whole numbers that wait to be read again: compressed in memory while few, then in a file.

The file has no name on systems that allow it, so nothing is left of it however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.files import try_folder
from napari_pcnet.disk.memory import memory_text

MEMORY_BYTES = 1 << 26
"""Compressed bytes that are kept in memory: of the regions of a picture, those of some 300 megapixels."""

PIECE_VALUES = 1 << 24
"""Values that are compressed as one; the codec takes no more than 2 GB."""


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

    def append(self, array: NDArray[np.integer[Any]]) -> None:
        """Take an array.

        Raises
        ------
        OSError
            If the disk is full, or the folder can't be written.
        """
        codec, flat, sizes = _codec(), np.ascontiguousarray(array).reshape(-1), list[int]()
        for start in range(0, flat.size, PIECE_VALUES):
            piece = codec.encode(flat[start : start + PIECE_VALUES])
            try:
                self._file.write(piece)
            except OSError as error:
                where = self._folder or tempfile.gettempdir()
                written = memory_text(self._file.tell() + len(piece))
                raise OSError(
                    f"the regions of windows could not be kept in {where} until all are known: "
                    f"{error.strerror}, and {written} are needed so far"
                ) from error
            sizes.append(len(piece))
        self._arrays.append((array.shape, array.dtype, sizes))

    def __iter__(self) -> Iterator[NDArray[np.integer[Any]]]:
        """Read the arrays, in the order in which they came."""
        codec = _codec()
        self._file.seek(0)
        for shape, dtype, sizes in self._arrays:
            pieces = [np.frombuffer(codec.decode(self._file.read(size)), dtype) for size in sizes]
            yield np.concatenate(pieces).reshape(shape) if len(pieces) != 1 else pieces[0].reshape(shape)


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

    return Blosc("lz4", clevel=1, shuffle=Blosc.SHUFFLE)
