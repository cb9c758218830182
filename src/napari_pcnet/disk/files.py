"""Files and folders that appear under their name only when they are complete; and a file's hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside its own, then rename it.

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
        If it can't be written, a full disk included. Nothing is left behind, and what was under
        `path` stays.
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


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Fill a folder under a temporary name beside its own, then rename it.

    Parameters
    ----------
    path : Path
        Replaced with all its content if it exists. Its own folder must exist.
    write : callable
        ``write(folder)`` with an empty folder.

    Raises
    ------
    FileNotFoundError
        If the folder that `path` is in does not exist.
    OSError
        If it can't be written, a full disk included. Nothing is left behind, and what was under
        `path` stays.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        write(made)
        made.chmod(0o777 & ~_umask())  # mkdtemp's folders are for their owner alone
        _put_in_place(made, path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_in_place(made: Path, path: Path) -> None:
    """Rename a folder to `path`; no system renames one over another that holds something."""
    old = made.with_suffix(".old")
    try:
        if os.path.lexists(path):
            path.rename(old)
        made.rename(path)
    except BaseException:
        if os.path.lexists(old):
            old.rename(path)
        raise
    _delete(old)


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:  # missing, or a folder; a part that can't be deleted does no harm to the new one
        shutil.rmtree(path, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
