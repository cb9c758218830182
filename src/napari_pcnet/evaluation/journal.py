"""A tidy CSV file of measurements that is written row by row and found again by key.

An interrupted benchmark goes on where it stopped, without repeating or losing a row: a row is
written at once, and a last line that was cut off in the middle is dropped when the file is opened.
Beside it ``runs.csv`` names the run that wrote each row: from what row on, by what command, commit and
machine.

A file of an earlier version may lack columns, as when a score was added since, or have some that are
no longer known. Its rows count as measured: what a row lacks is not in its numbers, and a table shows
``-`` there. To have it measured, name another output. Unknown columns are kept in the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.provenance import Provenance

RowKey: TypeAlias = tuple[str, ...]

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
        Headings of the others, which hold numbers; "nan" where there is none. A cell is empty where
        the column did not exist yet when its row was written.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If the file has another key, a column twice, or a line that cannot be read.
    """

    def __init__(self, path: Path, names: Sequence[str], numbers: Sequence[str]) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the results file {path} does not exist; make it first")
        self._path, self._names, self._numbers = path, tuple(names), tuple(numbers)
        self._columns = self._numbers
        """Headings of the numbers in the file, in its order."""
        self._rows: dict[RowKey, Mapping[str, float]] = {}
        self._run_is_noted = False
        if path.exists():
            self._columns = self._columns_of_file()
            _drop_cut_off_line(path)
            self._rows = self._read()

    def __contains__(self, key: RowKey) -> bool:
        return key in self._rows

    def __getitem__(self, key: RowKey) -> Mapping[str, float]:
        return self._rows[key]

    @property
    def rows(self) -> Mapping[RowKey, Mapping[str, float]]:
        """All rows, in the order of the file."""
        return self._rows

    def append(self, key: RowKey, numbers: Mapping[str, float]) -> None:
        """Write a row to the end of the file, at once."""
        if not self._run_is_noted:
            _note_run(self._path.with_name(RUNS), len(self._rows) + 1)
            self._run_is_noted = True
        columns = tuple(dict.fromkeys((*self._numbers, *self._columns)))
        if columns != self._columns:
            self._write_columns(columns)
        is_new = not self._path.exists() or self._path.stat().st_size == 0
        cells = [*key, *(_cell(numbers.get(name)) for name in columns)]
        header = [*self._names, *columns]
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_as_csv([header, cells] if is_new else [cells]))
        # As read again, so that a resumed run goes on with the very same numbers.
        self._rows[key] = self._parse(cells)[1]

    def _columns_of_file(self) -> tuple[str, ...]:
        """Return the headings of its numbers; refuse a file of something else before it is touched."""
        with self._path.open("rb") as file:
            first = file.readline()
        own = _as_csv([[*self._names, *self._numbers]]).encode()
        if not first.endswith(b"\n") and own.startswith(first):
            return self._numbers  # it was cut off in the header, and has no row
        try:
            header = next(csv.reader([first.decode(errors="replace")]), [])
        except csv.Error:  # a cell without end
            header = []
        columns = header[len(self._names) :]
        is_whole = first.endswith(b"\n") and len(set(header)) == len(header)
        if tuple(header[: len(self._names)]) != self._names or not is_whole:
            raise ValueError(
                f"{self._path} is no results file of this benchmark: it begins with "
                f"{first[:40].decode(errors='replace').rstrip()!r}; name another output"
            )
        return tuple(columns)

    def _write_columns(self, columns: tuple[str, ...]) -> None:
        """Write the file again with these columns of numbers, whole or not at all."""
        if self._rows:
            lines = [[*key, *(_cell(row.get(name)) for name in columns)] for key, row in self._rows.items()]
            content = _as_csv([[*self._names, *columns], *lines]).encode()
            write_atomically(self._path, lambda file: file.write(content))
        elif self._path.exists():
            self._path.unlink()  # a header alone
        self._columns = columns

    def _read(self) -> dict[RowKey, Mapping[str, float]]:
        with _named_damage(self._path), self._path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file)
            next(lines, None)
            return dict(self._parse(line) for line in lines if line)

    def _parse(self, cells: Sequence[str]) -> tuple[RowKey, Mapping[str, float]]:
        try:
            figures = zip(self._columns, cells[len(self._names) :], strict=True)
            numbers = {name: float(cell) for name, cell in figures if cell}
        except ValueError:
            raise ValueError(
                f"{self._path} is damaged: its line {','.join(cells)!r} cannot be read; delete the line"
            ) from None
        return tuple(cells[: len(self._names)]), numbers


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.{DIGITS}g}"


def _note_run(path: Path, first_row: int) -> None:
    run = Provenance.of_this_run()
    cells = [str(first_row), run.date, run.commit, run.machine, run.versions_as_text, run.command]
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(_as_csv([RUN_COLUMNS, cells] if is_new else [cells]))


def runs_of(folder: Path, now: Provenance) -> list[str]:
    """Name the run of each row of a folder's results; nothing if runs like the present one made all."""
    path = folder / RUNS
    if not path.exists():
        return []
    with _named_damage(path), path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        runs = [run for run in lines if set(RUN_COLUMNS) <= set(run) and None not in run.values()]
    if len(runs) < 2 and all(run["commit"] == now.commit for run in runs):
        return []
    facts = [(run["first_row"], ", ".join(run[name] for name in RUN_COLUMNS[1:])) for run in runs]
    return [f"rows from {first_row} on: {text}" for first_row, text in facts]


@contextmanager
def _named_damage(path: Path) -> Iterator[None]:
    """Name the file whose bytes are no text, or no table."""
    try:
        yield
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is damaged: {error}; restore it, or name another output") from None


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
