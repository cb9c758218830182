"""Output files: refused before the work begins, and written whole or not at all."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from napari_pcnet.disk.files import followed, try_folder, write_atomically
from napari_pcnet.disk.formats import is_label_pyramid, is_zarr_array

_LONGEST_SHOWN = 240
"""Characters of a path in a message: one may be refused for its length."""

_ARRAY_FILES = ("zarr.json", ".zarray", ".zattrs", ".zmetadata")
_CHUNK = re.compile(r"c|(c[./])?\d+([./]\d+)*")
"""Path of a chunk in the folder of its array, in any of zarr's ways to name one."""

_LEVEL = re.compile(r"^\d+/")
"""Folder of a level in that of a pyramid."""

_DESKTOP_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


class ArrayKind(NamedTuple):
    """Shape and type of an array that is to be written."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def check_output(path: str | os.PathLike[str], suffixes: tuple[str, ...], overwrite: bool = False) -> None:
    """Refuse a file that could not be written at the end, before the work begins.

    A symbolic link is followed: what it leads to is written.

    Raises
    ------
    ValueError
        If the ending is none of `suffixes`.
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If the file, or the folder of a zarr, exists and `overwrite` is False.
    IsADirectoryError
        If a file would replace a folder, or a zarr a folder that is no zarr array, or holds more than one.
    OSError
        If the name is too long, the folder or the file can't be written, or it is a device.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"output {_shown(path)} must end in {wanted}")
    target = _place_of(path)
    if not target.parent.is_dir():
        leads = "" if target == path else f" that {path} leads to"
        raise FileNotFoundError(f"output folder {target.parent}{leads} does not exist; make it first")
    _check_existing(path, target, overwrite)
    make_folder(target.parent)


def check_apart(role: str, path: Path, other: str, its: Path) -> None:
    """Refuse an output that is another file of the command, holds it, or lies in it."""
    place, taken = Path(os.path.realpath(path)), Path(os.path.realpath(its))
    if place == taken or (path.exists() and its.exists() and path.samefile(its)):
        raise ValueError(f"{other} and {role} are the same file {path}; name another one for {role}")
    if place in taken.parents:
        raise ValueError(f"{other} {its} lies in {role} {path}, which would be replaced; name another {role}")
    check_outside(role, path, other, its)


def check_outside(role: str, path: Path, other: str, its: Path) -> None:
    """Refuse an output in the folder of an input."""
    if Path(os.path.realpath(its)) in Path(os.path.realpath(path)).parents:
        raise ValueError(f"{role} {path} lies in {other} {its}, which it would change; name another {role}")


def make_folder(folder: Path, remedy: str = "name another") -> None:
    """Make a folder for outputs, with all that it lies in, if it is not there.

    Parameters
    ----------
    folder : Path
    remedy : str, optional
        What to do, for the message, if it can't be had.

    Raises
    ------
    NotADirectoryError
        If it is a file.
    OSError
        If it can't be made, or no file can be written in it.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"output {folder} is a file; name a folder")
    done = "written" if folder.is_dir() else "made"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_folder(folder)
    except OSError as error:
        place = _shown(Path(os.path.abspath(folder)))
        raise OSError(f"output folder {place} cannot be {done} ({error.strerror}); {remedy}") from error


def write_whole(path: Path, write: Callable[[BinaryIO], object], overwrite: bool) -> None:
    """Write all of a file or nothing of it.

    Parameters
    ----------
    path : Path
    write : callable
        ``write(file)`` with a binary file open for writing.
    overwrite : bool
        Whether a file that is there by then is replaced.

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
        write_atomically(path, write_through, replace=overwrite)


@contextmanager
def naming_failure(path: Path) -> Iterator[None]:
    """Name the file and the reason in the error of a write that failed."""
    try:
        yield
    except FileExistsError as error:
        raise FileExistsError(
            f"output {path} was made by another program in the meantime and stays; "
            "pass overwrite=True to replace it"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{path} could not be written: {reason}; nothing of it was left") from error


def _place_of(path: Path) -> Path:
    """Follow a link, and let the system say whether there can be such a name."""
    try:
        target = followed(path)
        with suppress(FileNotFoundError, NotADirectoryError):
            target.lstat()
    except (OSError, ValueError) as error:  # of a null byte Python says so
        reason = error.strerror if isinstance(error, OSError) else error
        raise OSError(f"output {_shown(path)} cannot be a file: {reason}; name another") from error
    return target


def _check_existing(path: Path, target: Path, overwrite: bool) -> None:
    """Refuse to replace what is there: without `overwrite` anything, with it what is no file or array."""
    to_be_zarr = path.suffix.lower() == ".zarr"
    if target.is_dir() and not to_be_zarr:
        raise IsADirectoryError(f"output {path} is a folder; name a file")
    if not target.exists():
        return
    if not overwrite:
        raise FileExistsError(f"output {path} exists; pass overwrite=True to replace it")
    if not target.is_dir():
        if not target.is_file():
            raise OSError(f"output {path} is no regular file; name another")
    elif not is_zarr_array(target) and not is_label_pyramid(target):
        raise IsADirectoryError(f"output {path} is a folder, but no zarr array; name another")
    elif (foreign := _foreign_file(target)) is not None:
        raise IsADirectoryError(
            f"output {path} is a zarr array, but its folder holds {foreign}, too; name another"
        )
    if not os.access(target, os.W_OK):
        raise PermissionError(f"output {path} is write-protected; name another or change its rights")


def _foreign_file(array: Path) -> str | None:
    """Name a file in the folder of a zarr of labels that is none of its own, and would go with it."""
    is_array = is_zarr_array(array)
    for folder, _, names in os.walk(array):
        for name in names:
            inside = Path(folder, name).relative_to(array).as_posix()
            own = inside if is_array else _LEVEL.sub("", inside)
            if not (own in _ARRAY_FILES or _CHUNK.fullmatch(own) or name in _DESKTOP_FILES):
                return inside
    return None


def _shown(path: Path) -> str:
    """Return a path as a message shows it: of a long one the beginning."""
    text = str(path)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
