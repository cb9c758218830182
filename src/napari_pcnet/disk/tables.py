"""Tables of regions in files: named columns, a row each; csv, and parquet by the extra `export`."""

import csv
import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.files import check_file
from napari_pcnet.disk.output import check_output, write_whole
from napari_pcnet.options import shown

TABLE_SUFFIXES = (".csv", ".parquet")

TEXTS = ("class",)
"""Columns of names, also where all of these are digits."""


def write_table(
    path: str | os.PathLike[str], columns: Mapping[str, NDArray[Any]], overwrite: bool = False
) -> None:
    """Write a table, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in .csv or .parquet; the second needs the extra ``export``.
    columns : mapping of str to (n,) array_like
        As `region_table` gives them, or a frame of pandas.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    TypeError
        If `columns` is neither a mapping nor a frame.
    ValueError
        If the ending is another, the columns are not of one length, or one is masked or of a type that the
        format does not know.
    OSError
        If the file exists, its folder does not, or the disk is full.
    """
    path = Path(path)
    check_output(path, TABLE_SUFFIXES, overwrite)
    check_columns(columns)
    arrays = {str(name): np.asarray(column) for name, column in columns.items()}
    if len({each.shape for each in arrays.values()}) > 1 or any(each.ndim != 1 for each in arrays.values()):
        raise ValueError("columns must be of one axis and one length")
    if path.suffix.lower() == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(arrays)
        writer.writerows(zip(*(column.tolist() for column in arrays.values()), strict=True))
        content = text.getvalue().encode()
        write_whole(path, lambda file: file.write(content), overwrite)
        return
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({name: _arrow_column(name, column) for name, column in arrays.items()})
    write_whole(path, lambda file: parquet.write_table(table, file), overwrite)


def check_table(table: Any) -> None:
    """Refuse what is neither a mapping nor a frame."""
    if not hasattr(table, "items"):  # a frame of pandas is no Mapping
        raise TypeError(f"a table must map names to columns, as region_table does, got {shown(table)}")


def check_columns(columns: Mapping[str, Any]) -> None:
    """Refuse what is no table, and a masked column: what is under its mask would be taken for values."""
    check_table(columns)
    masked = [str(name) for name, column in columns.items() if np.ma.isMaskedArray(column)]
    if masked:
        raise ValueError(f"column {masked[0]!r} is a masked array: fill it, such as with NaN")


def _arrow_column(name: str, column: NDArray[Any]) -> Any:
    """A column as parquet has it, whose numbers are little-endian."""
    import pyarrow as pa

    try:
        return pa.array(column.astype(column.dtype.newbyteorder("="), copy=False))
    except (pa.ArrowException, UnicodeError) as error:
        raise ValueError(
            f"column {name!r} of {column.dtype} cannot be written as parquet: {error}"
        ) from error


def read_table(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read a table as `write_table` writes it: columns of whole numbers, of floats, and of texts.

    A csv does not say which is which. Its column ``class`` is one of texts; others are of numbers where all
    cells are, or are empty.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is no table, or its rows are of different lengths.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(f"table {path} must end in .csv or .parquet")
    check_file(path, "table")
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"table {path} cannot be read as parquet") from error
    columns = {name: table[name] for name in table.column_names}
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):  # whose missing values would become others
            columns[name] = column.cast(column.type.value_type)
    return {name: column.to_numpy() for name, column in columns.items()}


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"table {path} cannot be read as csv: {error}") from error
    if len(set(head)) != len(head) or any(len(row) != len(head) for row in rows):
        raise ValueError(f"table {path} must have a name for each column, and as many cells in each row")
    cells = zip(*rows, strict=True) if rows else iter([()] * len(head))
    return {name: _column(name, column) for name, column in zip(head, cells, strict=True)}


def _column(name: str, cells: tuple[str, ...]) -> NDArray[Any]:
    """Whole numbers if all cells are, else floats if all are or are empty, else texts."""
    kinds: tuple[tuple[Callable[[str], float], type[np.generic]], ...] = (
        (int, np.int64),
        (lambda cell: float(cell) if cell else math.nan, np.float64),
    )
    for number, kind in () if name in TEXTS else kinds:
        try:
            return np.array([number(cell) for cell in cells], kind)
        except (ValueError, OverflowError):
            continue
    return np.array(cells, str)
