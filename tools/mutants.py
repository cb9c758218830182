"""Change one line, run the tests that ought to notice, and say which did: do they pin what the code does?

    python tools/mutants.py                    every change of tools/mutants.toml
    python tools/mutants.py --only NAME ...    these only

A change is applied to a copy of the repository in a temporary folder, never to the working tree. There the
named tests run up to their first failure. A change is *caught* if one of them fails, *survives* if all pass,
and is *stale* if its old text does not stand in its file exactly once. First the same tests run without any
change, for a test that fails anyway catches nothing. The exit status is 1 unless every change is caught.

Each table of the list has

name   what the change does, in a few words
file   the file, from the root of the repository
old    text that stands there once
new    text to put in its place
tests  files of tests, or single tests as pytest names them
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("mutants.toml")

NOT_COPIED = (".*", "__pycache__", "dist", "build", "*.egg-info")
"""Names of files and folders that no test needs."""

LIMIT_S = 900.0
"""A change may make a loop endless; tests that take longer than this count as failed."""

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
"""Where pytest's summary names a test that failed, or a file that cannot be imported."""


@dataclass(frozen=True)
class Mutant:
    """A change of one line, and the tests that ought to notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def is_stale(self, root: Path) -> bool:
        """Whether the old text does not stand in the file of a repository exactly once."""
        path = root / self.file
        return not path.is_file() or path.read_text(encoding="utf-8").count(self.old) != 1

    def apply(self, root: Path) -> None:
        """Change the file of a copy of the repository."""
        path = root / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")


def read(path: Path) -> list[Mutant]:
    """Read the list of changes; names must differ."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**(table | {"tests": tuple(table["tests"])})) for table in tables]
    repeated = [name for name, number in Counter(each.name for each in mutants).items() if number > 1]
    if repeated:
        raise ValueError(f"names must differ, got {repeated[0]!r} twice")
    return mutants


def first_failure(root: Path, tests: Sequence[str], limit_s: float | None = None) -> str:
    """Run tests in a copy of the repository up to the first that fails; return its name, '' if all pass.

    Raises
    ------
    ValueError
        If pytest finds no such test.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    try:
        run = subprocess.run(
            command, cwd=root, env=_environment(root), capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return f"no end within {limit_s:.0f} s"
    if run.returncode == 0:
        return ""
    found = FAILED.search(run.stdout)
    if found is None or run.returncode not in (1, 2):  # 1: a test failed; 2: a file cannot be imported
        raise ValueError(f"pytest could not run {' '.join(tests)}:\n{run.stdout}{run.stderr}")
    return found[1]


def verdict_on(mutant: Mutant, root: Path) -> str:
    """Try a change in a copy of the repository, and take it back."""
    if mutant.is_stale(root):
        return "STALE"
    path = root / mutant.file
    before = path.read_bytes()
    mutant.apply(root)
    try:
        failure = first_failure(root, mutant.tests, LIMIT_S)
    finally:
        path.write_bytes(before)
    return f"caught by {failure}" if failure else "SURVIVED"


def _environment(root: Path) -> dict[str, str]:
    """Variables with which Python imports the package from a copy, and Qt opens no window."""
    path = os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return {"QT_QPA_PLATFORM": "offscreen"} | os.environ | ours


def _copy(root: Path) -> None:
    """Copy the repository, and see that tests there import the package from the copy."""
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
    # by hash, not by time: a file that is changed twice within a second may be as new and as long as before
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "src"]
    subprocess.run(compiling, cwd=root, check=True)
    where = [sys.executable, "-c", "import napari_pcnet; print(napari_pcnet.__file__)"]
    run = subprocess.run(where, cwd=root, env=_environment(root), capture_output=True, text=True, check=True)
    if root not in Path(run.stdout.strip()).parents:
        raise RuntimeError(f"tests would run {run.stdout.strip()}, not the copy in {root}")


def main(words: Sequence[str] | None = None) -> int:
    """Try the changes that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of the list")
    only = parser.parse_args(words).only
    mutants = read(LIST)
    unknown = [name for name in only or () if name not in {each.name for each in mutants}]
    if unknown:
        parser.error(f"no change of {LIST.name} is called {unknown[0]!r}")
    chosen = [each for each in mutants if only is None or each.name in only]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder).resolve() / "copy"
        _copy(root)
        failure = first_failure(root, sorted({test for each in chosen for test in each.tests}))
        if failure:
            print(f"{failure} fails without any change")
            return 1
        totals: Counter[str] = Counter()
        for mutant in chosen:
            verdict = verdict_on(mutant, root)
            totals[verdict.partition(" ")[0]] += 1
            print(f"{mutant.name}: {verdict}", flush=True)
    print(", ".join(f"{totals[each]} {each}" for each in ("caught", "SURVIVED", "STALE")))
    return int(totals["caught"] < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
