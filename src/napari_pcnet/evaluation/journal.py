"""A tidy CSV file of measurements that is written row by row and found again by key.

An interrupted benchmark goes on where it stopped, without repeating or losing a row: a row is
written at once, and a last line that was cut off in the middle is dropped when the file is opened.
Beside it ``runs.csv`` says which run wrote which rows: from what row on, by what command, commit and
machine.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from napari_pcnet.disk.provenance import Provenance

Key: TypeAlias = tuple[str, ...]

DIGITS = 9
"""Significant digits of a number in the file."""

RUNS = "runs.csv"
RUN_COLUMNS = ("first_row", "date", "commit", "machine", "versions", "command")


class Journal:
    """Rows of a key and numbers, in a CSV file and in memory.

    Parameters
    ----------
    path : Path
        The file; made with the first row.
    names : sequence of str
        Headings of the columns that make up the key.
    numbers : sequence of str
        Headings of the others, which hold numbers; "nan" where there is none.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If the file has other columns, or a line that cannot be read.
    """

    def __init__(self, path: Path, names: Sequence[str], numbers: Sequence[str]) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the results file {path} does not exist; make it first")
        self._path, self._names, self._numbers = path, tuple(names), tuple(numbers)
        self._rows: dict[Key, Mapping[str, float]] = {}
        self._run_is_noted = False
        if path.exists():
            self._check_header()
            _drop_cut_off_line(path)
            self._rows = self._read()

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> Mapping[str, float]:
        return self._rows[key]

    @property
    def rows(self) -> Mapping[Key, Mapping[str, float]]:
        """All rows, in the order of the file."""
        return self._rows

    def append(self, key: Key, numbers: Mapping[str, float]) -> None:
        """Write a row to the end of the file, at once."""
        if not self._run_is_noted:
            _note_run(self._path.with_name(RUNS), len(self._rows) + 1)
            self._run_is_noted = True
        is_new = not self._path.exists() or self._path.stat().st_size == 0
        cells = [*key, *(f"{numbers[name]:.{DIGITS}g}" for name in self._numbers)]
        header = [*self._names, *self._numbers]
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_as_csv([header, cells] if is_new else [cells]))
        # As read again, so that a resumed run goes on with the very same numbers.
        self._rows[key] = self._parse(cells)[1]

    def _check_header(self) -> None:
        """Refuse a file of something else, before it is touched; the header may be cut off."""
        header = _as_csv([[*self._names, *self._numbers]]).encode()
        with self._path.open("rb") as file:
            first = file.readline()
        if first != header and not (header.startswith(first) and not first.endswith(b"\n")):
            raise ValueError(
                f"{self._path} is no results file of this version: it begins with "
                f"{first[:40].decode(errors='replace').rstrip()!r}; name another output"
            )

    def _read(self) -> dict[Key, Mapping[str, float]]:
        with self._path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines, None)
            return dict(self._parse(line) for line in lines if line)

    def _parse(self, cells: Sequence[str]) -> tuple[Key, Mapping[str, float]]:
        try:
            values = [float(cell) for cell in cells[len(self._names) :]]
            numbers = dict(zip(self._numbers, values, strict=True))
        except ValueError:
            raise ValueError(
                f"{self._path} is damaged: its line {','.join(cells)!r} cannot be read; delete the line"
            ) from None
        return tuple(cells[: len(self._names)]), numbers


def _note_run(path: Path, first_row: int) -> None:
    run = Provenance.of_this_run()
    cells = [str(first_row), run.date, run.commit, run.machine, run.versions_as_text, run.command]
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(_as_csv([RUN_COLUMNS, cells] if is_new else [cells]))


def earlier_runs(folder: Path) -> list[str]:
    """Say which rows of a folder's results are of which run; nothing where all are of one."""
    path = folder / RUNS
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        runs = [run for run in csv.DictReader(file) if None not in run.values()]  # a cut off line is none
    if len(runs) < 2:
        return []
    facts = [(run["first_row"], ", ".join(run[name] for name in RUN_COLUMNS[1:])) for run in runs]
    return [f"rows from {first_row} on: {text}" for first_row, text in facts]


def _as_csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _drop_cut_off_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
