"""Whole files or none: what is written appears under its name when it is complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside it, then give it its own.

    Parameters
    ----------
    path : Path
        Replaced if it exists. Its folder must exist.
    write : callable
        ``write(file)`` with a binary file open for writing.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    OSError
        If it can't be written, a full disk included. Nothing is left behind, and what was there
        under `path` stays.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's files are for their owner alone
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
