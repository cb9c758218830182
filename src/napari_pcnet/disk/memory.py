"""Free memory, and the refusal of a picture that does not fit into it, before it is decoded.

A few kilobytes of a file may say that they are a picture of gigabytes. What is free is what the system has
left, or less where the process may not take it all: by ``ulimit -v``, or by the cgroup of a container, a
batch job or a service.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

READ_LESS = "read a part of it, or a coarser level"
"""What would do for a picture that is read where it is sliced."""


def free_bytes() -> int:
    """Memory that is free now, and that the process may take by its cgroup and its limit of addresses."""
    import psutil

    free = min([int(psutil.virtual_memory().available), *cgroup_room()])
    process = psutil.Process()
    if not hasattr(process, "rlimit"):  # Linux has them
        return free
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    return free if limit == psutil.RLIM_INFINITY else max(0, min(free, limit - process.memory_info().vms))


def give_back() -> None:
    """Let the system have memory that was freed and that the C library keeps, where it is glibc."""
    with suppress(OSError, AttributeError, TypeError):  # another library; Windows has none without a name
        ctypes.CDLL(None).malloc_trim(0)


def cgroup_room(root: Path = Path("/")) -> Iterator[int]:
    """Bytes that each cgroup with a limit, of those that the process is in, has left.

    Parameters
    ----------
    root : path, optional
        The folder that holds ``proc`` and what is mounted.

    Yields
    ------
    int
        The limit less what is in use, but for pages of files that the kernel takes back first.
    """
    for version, mount, folder in _memory_cgroups(root):
        limits, usage, reclaimable = version
        while True:
            of_this = [limit for name in limits if (limit := _number_in(folder / name)) is not None]
            used = _number_in(folder / usage)
            if of_this and used is not None:
                yield max(0, min(of_this) - used + _counted_in(folder / "memory.stat", reclaimable))
            if folder == mount:
                break
            folder = folder.parent


class _Version(NamedTuple):
    """Where a version of cgroups has its numbers."""

    limits: tuple[str, ...]  # files, of which the least counts
    usage: str  # file
    reclaimable: str  # line of memory.stat, of the cgroup with those in it


_FIRST = _Version(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
_SECOND = _Version(("memory.max", "memory.high"), "memory.current", "inactive_file")

_PLACE = re.compile(r"(\d+):(.*?):(/.*)")
_MOUNT = re.compile(r"\S+ \S+ \S+ (/\S*) (/\S*) .* - (cgroup2?) \S+ (\S+)")
"""Lines of ``/proc/self/cgroup`` and ``mountinfo``, of which man 7 cgroups and man 5 proc tell."""


def _memory_cgroups(root: Path) -> Iterator[tuple[_Version, Path, Path]]:
    """Yield the cgroups of the process that may count memory: version, where it is mounted, its folder."""
    places = dict[_Version, Path]()
    for line in _lines_of(root / "proc/self/cgroup"):
        if found := _PLACE.fullmatch(line):
            number, controllers, place = found.groups()
            if number == "0" or "memory" in controllers.split(","):
                places[_SECOND if number == "0" else _FIRST] = Path(place)
    for line in _lines_of(root / "proc/self/mountinfo"):
        if found := _MOUNT.fullmatch(line):
            mounted, at, kind, options = found.groups()
            version = _SECOND if kind == "cgroup2" else _FIRST
            if version in places and (version is _SECOND or "memory" in options.split(",")):
                mount, place = root / at.lstrip("/"), places[version]
                # A container may have its own cgroup mounted, whatever its place is outside.
                inside = place.is_relative_to(mounted) and ".." not in place.parts
                yield version, mount, mount / place.relative_to(mounted) if inside else mount


def _lines_of(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # no Linux
        return []


def _number_in(file: Path) -> int | None:
    """Return the number that a file holds; None if there is none, such as ``max``."""
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _counted_in(file: Path, name: str) -> int:
    """Return the number behind a name in a file of such lines; 0 if there is none."""
    found = (line.split() for line in _lines_of(file))
    return next((int(words[1]) for words in found if words[:1] == [name]), 0)


def memory_text(size_bytes: float) -> str:
    """Return a size of memory in words.

    >>> memory_text(250e6), memory_text(2.5e9)
    ('250 MB', '2.5 GB')
    """
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{max(1, round(size_bytes / 1e6))} MB"


def check_fits(needed_bytes: int, remedy: str) -> None:
    """Refuse a picture that needs more memory than is free.

    Parameters
    ----------
    needed_bytes : int
        Memory at the peak of its decoding, its pixels included.
    remedy : str
        What would do, as the end of a sentence.

    Raises
    ------
    MemoryError
        Beginning with "it", for `damage.naming_damage` to name the file.
    """
    free = free_bytes()
    if needed_bytes > free:
        raise MemoryError(
            f"it needs {memory_text(needed_bytes)} of memory, and {memory_text(free)} are free; {remedy}"
        )
