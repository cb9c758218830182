"""A table as text: names to the left, figures to the right, each column as wide as its widest cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = 2
"""Spaces between columns."""


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 2) -> list[str]:
    """Lay cells out in columns.

    Parameters
    ----------
    head : sequence of str
        Headings of the columns; the first column holds names.
    rows : iterable of sequences of str
        As many cells as headings each.
    indent : int
        Spaces before each line.

    Returns
    -------
    list of str
        A line for the headings and one for each row, all of one length.

    Raises
    ------
    ValueError
        If a row has more or fewer cells than there are headings.

    Examples
    --------
    >>> for line in table_lines(["", "K", "ASA"], [["slic", "200", "0.94"], ["ours", "9", "-"]]):
    ...     print(line)
              K   ASA
      slic  200  0.94
      ours    9     -
    """
    cells = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        " " * indent
        + name.ljust(widths[0])
        + "".join(cell.rjust(GAP + width) for cell, width in zip(figures, widths[1:], strict=True))
        for name, *figures in cells
    ]
