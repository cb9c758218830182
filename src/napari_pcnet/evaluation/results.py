"""A tidy file of results: CSV, one row per method, image and request.

A row is written when it is measured and found again by its key, so that an interrupted benchmark
goes on where it stopped, without repeating or losing a row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from napari_pcnet.metrics import Scores

SCORES = tuple(str(each.metadata["short"]) for each in fields(Scores))
"""Headings of the scores, in the order of `Scores`."""


DIGITS = 9
"""Significant digits of a score in the file."""


class Key(NamedTuple):
    """What decides a row's figures."""

    data: str  # the set and its split, such as bsds500/val
    method: str
    settings: str
    image: str
    request: int
    tolerance: str  # as asked: in pixels, or "default"


@dataclass(frozen=True)
class Row:
    """The scores of one labelling, each the mean over the image's annotations."""

    key: Key
    annotations: int
    scores: Mapping[str, float]

    @property
    def request(self) -> int:
        """The number of superpixels asked for."""
        return self.key.request


COLUMNS = (*Key._fields, "annotations", *SCORES)


class ResultsFile:
    """Rows in a CSV file and in memory. Opening it drops a last line that was cut off."""

    def __init__(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder of the results file {path} does not exist; make it first")
        self._path = path
        self._rows: dict[Key, Row] = {}
        if path.exists():
            _drop_cut_off_line(path)
            self._rows = _read(path)

    def __contains__(self, key: Key) -> bool:
        return key in self._rows

    def __getitem__(self, key: Key) -> Row:
        return self._rows[key]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in the order of the file."""
        return tuple(self._rows.values())

    def append(self, row: Row) -> None:
        """Write a row to the end of the file, at once."""
        is_new = not self._path.exists() or self._path.stat().st_size == 0
        cells = [*map(str, row.key), str(row.annotations)]
        cells += [f"{row.scores[name]:.{DIGITS}g}" for name in SCORES]
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_as_csv([COLUMNS, cells] if is_new else [cells]))
        # As read again, so that a resumed run goes on with the very same numbers.
        self._rows[row.key] = _parse(cells)


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


def _read(path: Path) -> dict[Key, Row]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        header = tuple(next(lines, COLUMNS))
        if header != COLUMNS:
            raise ValueError(
                f"{path} is no results file of this version: its first columns are "
                f"{', '.join(header[:3])}; name another output"
            )
        rows = [_parse(line) for line in lines]
    return {row.key: row for row in rows}


def _parse(line: Sequence[str]) -> Row:
    cells = dict(zip(COLUMNS, line, strict=True))
    key = Key._make(cells[name] for name in Key._fields)._replace(request=int(cells["request"]))
    scores = {name: float(cells[name]) for name in SCORES}
    return Row(key, int(cells["annotations"]), scores)
