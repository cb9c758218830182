"""Where a result comes from: command, commit, machine, versions and date, to be kept beside it.

The machine is described by what decides its speed. Its name and the name of its user stay out; the
command keeps its paths as they were typed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "napari-pcnet",
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-contrib-python-headless",
    "matplotlib",
)
"""Packages whose versions are noted: they decide labels, scores and figures."""

CPU_INFO = Path("/proc/cpuinfo")
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Provenance:
    """What made a result.

    Attributes
    ----------
    command : str
        In a form that can be typed into a shell again.
    commit : str
        Of the source tree, with "-dirty" if its files differ from the commit; empty outside a checkout.
    machine : str
        Processor, cores, memory and system.
    versions : mapping of str to str
        Version of Python and of each package, by name.
    date : str
        The day, in UTC, as 2026-01-31.
    """

    command: str
    commit: str
    machine: str
    versions: Mapping[str, str]
    date: str

    @classmethod
    def of_this_run(cls, packages: Sequence[str] = PACKAGES) -> Provenance:
        """Describe this process.

        Parameters
        ----------
        packages : sequence of str
            Names as pip knows them. A package that is not installed is left out.
        """
        return cls(
            command=_command(sys.argv),
            commit=source_commit(),
            machine=_machine(),
            versions={"python": platform.python_version(), **_versions(packages)},
            date=datetime.now(UTC).date().isoformat(),
        )

    def as_text(self) -> str:
        """Return one line for each of command, commit, machine, versions and date."""
        lines = {
            "command": self.command,
            "commit": self.commit or "unknown, the code is no checkout",
            "machine": self.machine,
            "versions": self.versions_as_text,
            "date": self.date,
        }
        return "\n".join(f"{name}: {value}" for name, value in lines.items())

    @property
    def versions_as_text(self) -> str:
        """Versions in one line."""
        return ", ".join(f"{name} {number}" for name, number in self.versions.items())

    @property
    def environment(self) -> str:
        """Eight digits that differ if the code, the machine or a version differs."""
        facts = json.dumps([self.commit, self.machine, self.versions])
        return hashlib.sha256(facts.encode()).hexdigest()[:8]


@cache
def source_commit() -> str:
    """Return the commit of the source tree that the code runs from; '' outside a checkout of this code.

    It is asked once in a process, so ask before long work: a commit made meanwhile is not of the code that
    runs.
    """
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # fails in another checkout
        return _git("describe", "--always", "--dirty", "--abbrev=40")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*words: str) -> str:
    run = subprocess.run(
        ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def _command(argv: Sequence[str]) -> str:
    return f"{_name_of(Path(argv[0]))} {shlex.join(argv[1:])}".strip()


def _name_of(program: Path) -> str:
    """Return a program as it is called: its name, or ``python -m`` and the last two names of a module."""
    if program.suffix != ".py":
        return program.name
    names = program.with_suffix("").parts
    module = names[-3:-1] if names[-1] == "__main__" else names[-2:]
    return f"python -m {'.'.join(module)}"


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}"
    cores = usable_cores()
    threads = os.environ.get("OMP_NUM_THREADS", "")
    parts = [
        _processor(),
        f"{cores} core{'s' * (cores > 1)}",
        f"OMP_NUM_THREADS {threads}" if threads else "",
        _memory(),
        system,
    ]
    return ", ".join(filter(None, parts))


def _processor() -> str:
    """Return the model of the processor, such as Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    return platform.processor()


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a process may be bound to some of them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> str:
    try:
        held_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, other systems not these names
        return ""
    return f"{held_bytes / GIBIBYTE:.1f} GiB"
