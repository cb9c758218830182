"""Output files: refused before the work begins, and written whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.formats import is_zarr_array


def check_output(path: str | os.PathLike[str], suffixes: tuple[str, ...], overwrite: bool = False) -> None:
    """Refuse a file that could not be written at the end, before the work begins.

    Raises
    ------
    ValueError
        If the ending is none of `suffixes`.
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If the file, or the folder of a zarr, exists and `overwrite` is False.
    IsADirectoryError
        If a file would replace a folder, or a zarr a folder that is no zarr array.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"output {path} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"output folder {path.parent} does not exist; make it first")
    to_be_zarr = path.suffix.lower() == ".zarr"
    if path.is_dir() and not to_be_zarr:
        raise IsADirectoryError(f"output {path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise FileExistsError(f"output {path} exists; add --overwrite (overwrite=True) to replace it")
    if path.is_dir() and not is_zarr_array(path):
        raise IsADirectoryError(f"output {path} is a folder, but no zarr array; name another")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write all of a file or nothing of it.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    write : callable
        ``write(file)`` with a binary file open for writing.

    Raises
    ------
    OSError
        If it can't be written; the message names the file and the reason.
    """

    def write_through(file: BinaryIO) -> None:
        write(file)
        file.flush()
        os.fsync(file.fileno())  # a full disk may only show here

    with naming_failure(path):
        write_atomically(path, write_through)


@contextmanager
def naming_failure(path: Path) -> Iterator[None]:
    """Name the file and the reason in the error of a write that failed."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} could not be written: {reason}; nothing of it was left") from error
