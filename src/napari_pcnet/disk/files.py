"""Files and folders that appear under their name only when they are complete; and a file's hash.

What is not complete lies beside its place in a folder ``.napari-pcnet-*.part``, and its writer holds the lock
in there. The system takes the lock from a process that ends, however it ends, and the next writer removes
what nobody holds. A symbolic link is followed. New files get their rights from the system: reading the umask
would change it for a moment, in all threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX, _SUFFIX = ".napari-pcnet-", ".part"
_NEW, _OLD, _LOCK = "new", "old", "lock"
"""What may be in a part: the file or folder being written, the folder that it replaces, and the lock."""

_SETTLING_S = 1.0
"""How long a part is left alone: its writer makes it first, and then takes the lock."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, replace: bool = True) -> None:
    """Write a file beside its place, then give it its name.

    Parameters
    ----------
    path : Path
        Its folder must exist. A file that is replaced leaves its rights to the new one.
    write : callable
        ``write(file)`` with a binary file open for writing.
    replace : bool, optional
        Whether a file that is there is replaced.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If there is a file by the time that this one is complete, and it is not to be replaced: of several
        processes that write one file, one succeeds.
    OSError
        If it can't be written, a full disk included. Nothing is left behind, and what was under
        `path` stays.
    """
    with _part_for(path) as (new, target):
        with new.open("x+b") as file:
            write(file)
        if replace:
            if target.is_file():
                _take_rights(new, target)
            new.replace(target)
        else:
            _put_where_nothing_is(new, target)


def write_folder_atomically(path: Path, write: Callable[[Path], object], *, replace: bool = True) -> None:
    """Fill a folder beside its place, then give it its name.

    Parameters
    ----------
    path : Path
        Its own folder must exist. A folder that is replaced goes with all its content, and leaves its rights.
    write : callable
        ``write(folder)`` with an empty folder.
    replace : bool, optional
        Whether what is there is replaced.

    Raises
    ------
    FileNotFoundError
        If the folder that `path` is in does not exist.
    FileExistsError
        If something is there by the time that the folder is complete, and it is not to be replaced.
    OSError
        If it can't be written, a full disk included. Nothing is left behind, and what was under
        `path` stays.
    """
    with _part_for(path) as (new, target):
        new.mkdir()
        write(new)
        if replace:
            _put_in_place(new, target)
        else:
            _put_where_no_folder_is(new, target)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """Give an empty folder for what is needed until a file is written; it goes with the statement.

    Parameters
    ----------
    beside : Path
        The folder that it lies in. What a process that was killed has left goes with the next.
    """
    _remove_remains(beside)
    part, lock = _new_part(beside)
    try:
        (part / _NEW).mkdir()
        yield part / _NEW
    finally:
        _remove(part, lock)


def followed(path: Path) -> Path:
    """Return where a symbolic link leads, which may not be there yet; of any other path itself."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def try_folder(folder: Path) -> None:
    """Raise the OSError that writing into a folder would end with: rights alone do not tell."""
    made = tempfile.mkdtemp(dir=folder, prefix=_PREFIX, suffix=_SUFFIX)
    with suppress(OSError):  # another process may just take it for remains, and remove it
        os.rmdir(made)


def is_special(path: Path) -> bool:
    """Whether a path leads to a pipe or a device, of which one may never begin and another never end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # missing, or no name of a file
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def check_file(path: Path, role: str) -> None:
    """Refuse what is not there, and what is no regular file; refusals name its role.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    IsADirectoryError
        If it is a folder.
    ValueError
        If it is a pipe or a device.
    """
    if not path.exists():
        raise FileNotFoundError(f"{role} {path} does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"{role} {path} is a folder; name a file")
    if is_special(path):
        raise ValueError(f"{role} {path} is a pipe or a device; name a file")


Version: TypeAlias = tuple[int, ...]
"""What a file's content is known by without reading it: which file it is, its length, and when it was written
and changed, in ns. A copy may keep the first of these times, a path may come to lead elsewhere."""


def version_of(path: Path) -> Version:
    """Return what changes with the content of a file."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- parts -----------------------------------------------------------------------------------------


@contextmanager
def _part_for(path: Path) -> Iterator[tuple[Path, Path]]:
    """Give the path of a file or folder to be made, which goes if it is left, and of its place."""
    target = followed(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} to")
    _remove_remains(target.parent)
    part, lock = _new_part(target.parent)
    try:
        yield part / _NEW, target
    finally:
        _remove(part, lock)


def _new_part(folder: Path) -> tuple[Path, BaseFileLock]:
    from filelock import FileLock

    while True:
        part = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX, suffix=_SUFFIX))
        lock = FileLock(part / _LOCK)
        try:
            lock.acquire()
        except OSError:  # a file system without locks, where remains stay, too
            if not part.is_dir():  # or another process came first, and took the part for remains
                continue
        return part, lock


def _remove_remains(folder: Path) -> None:
    """Remove the parts of processes that were killed."""
    from filelock import FileLock

    for part in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if not _is_settled(part):
            continue
        if (part / _OLD).exists() and (part / _NEW).exists():
            continue  # killed between two renames: the only copy of what was to be replaced
        lock = FileLock(part / _LOCK)
        try:
            lock.acquire(blocking=False)
        except OSError:  # its writer is at work, or it is another user's
            continue
        _remove(part, lock)


def _is_settled(part: Path) -> bool:
    """Whether something is the folder of a writer that must have its lock by now, if it lives."""
    try:
        status = part.lstat()
    except FileNotFoundError:  # its writer is done
        return False
    return stat.S_ISDIR(status.st_mode) and time.time() - status.st_mtime > _SETTLING_S


def _remove(part: Path, lock: BaseFileLock) -> None:
    """Remove a part whose lock is held, if there are locks."""
    _delete(part / _NEW)
    _delete(part / _OLD)
    with suppress(OSError):  # an open file can't be removed on Windows; filelock does it there
        (part / _LOCK).unlink()
    lock.release()
    with suppress(OSError):  # not empty: another process waits for the lock, and removes the part then
        part.rmdir()


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:  # missing, or a folder; a part that can't be deleted does no harm to the new one
        shutil.rmtree(path, ignore_errors=True)


# -- names -----------------------------------------------------------------------------------------


def _take_rights(new: Path, old: Path) -> None:
    """Give a file or folder the mode of the one that it replaces, and the owner as far as that is allowed."""
    status = old.stat()
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(new, status.st_uid, status.st_gid)
    new.chmod(stat.S_IMODE(status.st_mode))


def _put_where_nothing_is(new: Path, target: Path) -> None:
    """Give a file its name, which must be free: no system renames so, but a link is made only once."""
    try:
        os.link(new, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, as on memory cards
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        new.replace(target)


def _put_where_no_folder_is(new: Path, target: Path) -> None:
    try:
        new.rename(target)
    except OSError as error:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


def _put_in_place(new: Path, target: Path) -> None:
    """Rename a folder to `target`; no system renames one over another that holds something."""
    old = new.with_name(_OLD)
    if target.is_dir():
        _take_rights(new, target)
    try:
        if os.path.lexists(target):
            target.rename(old)
        new.rename(target)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(target):
            old.rename(target)
        raise
