"""The journal of an annotation: a file to whose end each step is written when it is done.

The first line names the trees by their `fingerprint`, each other one is a step in JSON. A process that is
killed loses at most the stroke under way: a last line without an end is dropped. (Against a machine that
loses its power it is no guarantee: the system may still hold what was written last.)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pcnet.annotation.strokes import Annotation, Entry
from napari_pcnet.disk.download import cache_folder

if TYPE_CHECKING:
    from napari_pcnet.annotation.classes import ClassTable
    from napari_pcnet.hierarchy import PCNetHierarchy

FOLDER = "annotations"
"""The folder of journals in the cache folder."""

VERSION = 1

_VERSION_KEY, _TREE_KEY = "napari-pcnet annotation", "trees"


def fingerprint(hierarchy: PCNetHierarchy) -> str:
    """What the same picture, segmented in the same way, gives again: 64 hexadecimal digits.

    Shape, areas, mean intensities and merges of the regions go into it. Hashing the base itself would take
    seconds of a large picture.
    """
    digest = hashlib.sha256(repr(hierarchy.base.shape).encode())
    for tree, measures in zip(hierarchy.trees, hierarchy.measures, strict=True):
        for array in (tree.children, tree.height, measures.area, measures.intensity_mean):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def place_of(trees: str, kind: str) -> Path:
    """The journal of a kind of annotation, such as ``classes``, by the fingerprint of its trees."""
    return cache_folder() / FOLDER / f"{trees[:32]}.{kind}.jsonl"


class Journal:
    """A file of steps, for one process at a time; any thread may open and close it.

    Parameters
    ----------
    path : Path
        Its folder is made as needed; the file, with the first step.
    trees : str
        `fingerprint` of the trees that it is for.

    Attributes
    ----------
    entries : list of dict
        The steps that an earlier process has written.

    Raises
    ------
    ValueError
        If the file is of other trees, damaged, or in use.
    OSError
        If it can't be read or written.
    """

    def __init__(self, path: Path, trees: str) -> None:
        from filelock import FileLock, Timeout

        self.path = path
        self._head = {_VERSION_KEY: VERSION, _TREE_KEY: trees}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ValueError("these superpixels are being annotated in another window; close it") from None
        try:
            self.entries = self._read()
            self._is_begun = bool(self.entries)
        except BaseException:
            self.close()
            raise

    def append(self, entry: Entry) -> None:
        """Write a step to the end of the file, at once."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size and self._is_begun:  # strokes that are gone, others would be done without
            raise FileNotFoundError(f"{self.path} is gone")
        lines = (entry,) if size else (self._head, entry)
        text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
            self._is_begun = True
        except OSError:  # a full disk may have taken half of a line
            with suppress(OSError):
                os.truncate(self.path, size)
            raise

    def replay(
        self,
        annotation: Annotation,
        classes: ClassTable | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Do the steps of an earlier process on a fresh annotation; how many strokes that left.

        `check` is called before each step and may raise.

        Raises
        ------
        ValueError
            If one cannot be done: the file is damaged.
        """
        strokes = 0
        for line, entry in enumerate(self.entries, 2):
            check()
            if "class" in entry:
                done = classes is not None and classes.replay(entry)
            else:
                done = annotation.replay(entry)
                strokes += -1 if "undo" in entry else 1
            if not done:
                raise self._damaged(line)
        return strokes

    def close(self) -> None:
        """Let others have the file."""
        with suppress(OSError):  # an open file can't be removed on Windows; filelock does it there
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    def _read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # a process was killed while it wrote
            with self.path.open("r+b") as file:
                file.truncate(whole)
        lines = content[:whole].splitlines()
        entries = [self._parsed(line, number) for number, line in enumerate(lines, 1)]
        if not entries:
            return []
        if entries[0].get(_VERSION_KEY) != VERSION:
            raise ValueError(f"{self.path} is no annotation of this version: move it away")
        if entries[0] != self._head:
            raise ValueError(f"{self.path} is the annotation of other superpixels: move it away")
        return entries[1:]

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # the second of what is nested without end
            raise self._damaged(number) from None
        if not isinstance(entry, dict):
            raise self._damaged(number)
        return entry

    def _damaged(self, line: int) -> ValueError:
        return ValueError(f"{self.path} is damaged: its line {line} is no step; move it away")
