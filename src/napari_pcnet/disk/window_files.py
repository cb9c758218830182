"""What is known of windows, a file each, so that work that was stopped goes on from there.

The folder says what it was begun with. What has changed since then is refused, and of several processes one
is at work in it. A file is there whole or not at all: a process that is killed leaves what it had finished.
What it was begun with goes last, so no window is ever taken for one of other work.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.damage import READER_ERRORS
from napari_pcnet.disk.files import is_special, write_atomically

_BEGUN, _LOCK = "begun.json", "lock"

Arrays = Mapping[str, NDArray[Any]]


class WindowFiles:
    """A folder of windows that are done.

    Parameters
    ----------
    folder : Path
        Is made if it is not there.
    begun_with : dict
        What JSON can say of the work; a folder that was begun with anything else is refused.

    Raises
    ------
    ValueError
        If the folder belongs to other work; it says in what that differs. If it is none of windows.
    OSError
        If another process is at work, or the folder can't be written.
    """

    def __init__(self, folder: Path, begun_with: dict[str, Any]) -> None:
        from filelock import FileLock, Timeout

        self.folder = folder
        words = json.loads(json.dumps(begun_with))
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file where a folder of windows is made; move it away")
        folder.mkdir(exist_ok=True)
        self._lock = FileLock(folder / _LOCK)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise OSError(f"another process is at work on {folder}; wait until it ends") from error
        try:
            self._check(words)
        except ValueError:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder if the work is done, or no window is; else what is in it stays."""
        goes = kind is None or not len(self)
        if goes:
            self._remove_windows()
            (self.folder / _BEGUN).unlink(missing_ok=True)
        self._lock.release()
        if goes:
            (self.folder / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # what someone else has put there stays
                self.folder.rmdir()

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.npz")))

    def read(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Read the arrays of a window; None if it is not done, or its file is damaged."""
        try:
            with self._path(name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {each: file[each] for each in file.files}
        except (*READER_ERRORS, zipfile.BadZipFile):
            return None

    def write(self, name: str, arrays: Arrays) -> None:
        """Write the arrays of a window that is done."""
        try:
            write_atomically(self._path(name), lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                f"{self.folder} takes no more windows: {reason}; what is in it stays, --resume goes on"
            ) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _check(self, begun_with: dict[str, Any]) -> None:
        """Compare with what the folder says, or let it say so."""
        file = self.folder / _BEGUN
        self._refuse(is_special)
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            self._refuse(_is_foreign)
            self._remove_windows()  # of nobody knows which work
            text = json.dumps(begun_with).encode()
            write_atomically(file, lambda opened: opened.write(text))
            return
        if before == begun_with:
            return
        old = before if isinstance(before, dict) else {}
        others = [name for name in {**begun_with, **old} if old.get(name) != begun_with.get(name)]
        changed = " and another ".join(others)
        raise ValueError(f"{self.folder} was begun with another {changed}; remove it to begin again")

    def _refuse(self, is_other: Callable[[Path], bool]) -> None:
        """Refuse a folder in which someone else has put something."""
        for file in self.folder.iterdir():
            if is_other(file):
                raise ValueError(
                    f"{self.folder} holds {file.name}, which is no window; move it away or name another OUT"
                )

    def _remove_windows(self) -> None:
        """Remove the files of windows, and what a process that was killed left of one."""
        for file in self.folder.glob("*.npz"):
            file.unlink(missing_ok=True)
        for part in self.folder.glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)


def _is_foreign(file: Path) -> bool:
    return file.name not in (_BEGUN, _LOCK) and file.suffix not in (".npz", ".part")


def state_of(*paths: str | os.PathLike[str]) -> str:
    """What changes with the content of files, or of the files in folders: sizes, times and names, hashed."""
    states = [sorted(_files_of(Path(path))) for path in paths]
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def written_ns(*paths: str | os.PathLike[str]) -> int:
    """When the last of files, or of the files in folders, was written, in ns."""
    return max((time_ns for path in paths for _, _, time_ns in _files_of(Path(path))), default=0)


def _files_of(path: Path) -> list[tuple[str, int, int]]:
    """Name, size and time in ns of a file, or of each of the files in a folder."""
    if not path.is_dir():
        status = path.stat()
        return [("", status.st_size, status.st_mtime_ns)]
    found, seen = list[tuple[str, int, int]](), set[str]()
    for folder, inner, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # links may lead in a circle
            inner.clear()
            continue
        seen.add(real)
        for name in names:
            file = Path(folder, name)
            with suppress(OSError):  # removed meanwhile
                status = file.stat()
                found.append((file.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns))
    return found
