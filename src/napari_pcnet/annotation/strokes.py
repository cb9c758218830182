"""Numbers on regions, stroke by stroke: a class, or an object, for each region of the base.

Numbers are kept by rank (see `nested`), so a stroke is a list of runs: intervals of ranks that had one number
and get another. To undo it is to write the former numbers back, and the first state comes back exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.annotation.nested import NestedRegions

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy

NOTHING = 0
"""The number of what has no class and belongs to no object."""

Runs: TypeAlias = NDArray[np.int64]
"""``(k, 4)``: first rank, the rank behind the last, number before, number after. No two overlap."""

Entry: TypeAlias = dict[str, Any]
"""A step as a journal keeps it: ``{"stroke": [[first, end, number], ...]}``, ``{"undo": 1}`` or
``{"redo": 1}``."""


class Annotation:
    """A number for each region, and the strokes that gave them.

    Parameters
    ----------
    nested : NestedRegions
    area : (n,) int64 array
        Pixels of each region, by its number in the base.
    dtype : numpy type
        ``uint8`` for up to 255 classes, ``uint16`` for up to 65,535 objects.
    locked : (largest + 1,) bool array, optional
        Numbers whose regions no stroke changes. It is not copied, so a lock may come and go.
    tell : callable, optional
        ``tell(entry)`` is called with each step that is done: a stroke, an undo, a redo.

    Attributes
    ----------
    numbers : (n,) array of `dtype`
        By rank.
    table : (n + 1,) array of `dtype`
        By the regions' numbers in the base; the last entry, `NOTHING`, is what lies outside. It is written in
        place, so that ``table[base]`` is always the picture of the numbers.
    """

    def __init__(
        self,
        nested: NestedRegions,
        area: NDArray[np.integer[Any]],
        dtype: type[np.uint8 | np.uint16] = np.uint8,
        locked: NDArray[np.bool_] | None = None,
        tell: Callable[[Entry], None] = lambda _entry: None,
    ) -> None:
        self.nested = nested
        self.largest = int(np.iinfo(dtype).max)
        self.locked = np.zeros(self.largest + 1, bool) if locked is None else locked
        self.tell = tell
        self.numbers = np.zeros(nested.regions, dtype)
        self.table = np.zeros(nested.regions + 1, dtype)
        self._area_before = np.append(0, np.cumsum(area[nested.order]))
        self._regions_of = np.zeros(self.largest + 1, np.int64)
        self._area_of = np.zeros(self.largest + 1, np.int64)
        self._regions_of[NOTHING], self._area_of[NOTHING] = nested.regions, self._area_before[-1]
        self._open: list[Runs] | None = None
        self._done: list[list[Runs]] = []
        self._undone: list[list[Runs]] = []

    @classmethod
    def of(
        cls,
        hierarchy: PCNetHierarchy,
        dtype: type[np.uint8 | np.uint16] = np.uint8,
        locked: NDArray[np.bool_] | None = None,
    ) -> Annotation:
        """An annotation of all regions of a hierarchy, with nothing on them yet."""
        area = np.concatenate([each.area for each in hierarchy.measures])
        return cls(NestedRegions.of(hierarchy.trees), area, dtype, locked)

    # -- what there is -----------------------------------------------------------------------------

    def number_of(self, region: int) -> int:
        """The number of a region of the base."""
        return int(self.table[region])

    def regions_of(self, number: int) -> int:
        """How many regions have a number."""
        return int(self._regions_of[number])

    def area_of(self, number: int) -> int:
        """How many pixels have a number."""
        return int(self._area_of[number])

    def used(self) -> list[int]:
        """Numbers that some region has, without `NOTHING`."""
        return [int(each) for each in np.flatnonzero(self._regions_of) if each != NOTHING]

    def is_all(self, node: int, number: int) -> bool:
        """Whether a node has a number wherever no lock keeps another; False if locks keep all of it."""
        here = self.numbers[slice(*self.nested.span(node))]
        free = here[~self.locked[here]]
        return bool(len(free)) and bool((free == number).all())

    @property
    def can_undo(self) -> bool:
        """Whether there is a stroke to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a stroke to do again."""
        return bool(self._undone)

    # -- strokes -----------------------------------------------------------------------------------

    @contextmanager
    def stroke(self) -> Iterator[None]:
        """All that changes in here is undone at once."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Begin a stroke, as when a mouse button goes down; one that is under way ends."""
        self.end()
        self._open = []

    def end(self) -> None:
        """End the stroke; one that changed nothing is none."""
        stroke, self._open = self._open, None
        if stroke:
            self._keep(stroke)

    def assign(self, node: int, number: int) -> bool:
        """Give a node a number, `NOTHING` to erase it; whether that changed anything.

        Raises
        ------
        ValueError
            If there is no such number.
        """
        first, end = self.nested.span(node)
        return self.set_from(first, np.full(end - first, self.checked(number)))

    def toggle(self, node: int, number: int) -> bool:
        """Give a node a number; if all of it has it already, erase it. Whether that changed anything."""
        return self.assign(node, NOTHING if self.is_all(node, number) else number)

    def set_from(self, first: int, numbers: NDArray[np.integer[Any]]) -> bool:
        """Give the regions from a rank on these numbers, each its own; whether that changed anything."""
        runs = self._runs(first, numbers)
        if not len(runs):
            return False
        self._write(runs, after=True)
        if self._open is None:
            self._keep([runs])
        else:
            self._open.append(runs)
        return True

    def undo(self) -> bool:
        """Undo the last stroke; whether there was one."""
        self.end()
        if not self._done:
            return False
        stroke = self._done.pop()
        for runs in reversed(stroke):
            self._write(runs, after=False)
        self._undone.append(stroke)
        self.tell({"undo": 1})
        return True

    def redo(self) -> bool:
        """Do the stroke again that was undone last; whether there was one."""
        self.end()
        if not self._undone:
            return False
        stroke = self._undone.pop()
        for runs in stroke:
            self._write(runs, after=True)
        self._done.append(stroke)
        self.tell({"redo": 1})
        return True

    def replay(self, entry: Entry) -> bool:
        """Do a step that `tell` was called with, whatever is locked now; whether it could be done.

        After one that could not, the annotation may be anything.
        """
        if "undo" in entry:
            return self.undo()
        if "redo" in entry:
            return self.redo()
        rows = _rows(entry.get("stroke"))
        if rows is None:
            return False
        stroke = []
        for first, end, number in rows:
            if not (0 <= first < end <= self.nested.regions and 0 <= number <= self.largest):
                return False
            before = int(self.numbers[first])
            if before == number or (self.numbers[first:end] != before).any():
                return False
            stroke.append(np.array([[first, end, before, number]]))
            self._write(stroke[-1], after=True)
        self._keep(stroke)
        return True

    def checked(self, number: int) -> int:
        """Refuse a number that no region can have."""
        if not 0 <= number <= self.largest:
            raise ValueError(f"a number must be from 0 to {self.largest}, got {number}")
        return number

    def _runs(self, first: int, numbers: NDArray[np.integer[Any]]) -> Runs:
        """Where the regions from a rank on change, if they get these numbers."""
        before = self.numbers[first : first + len(numbers)].astype(np.int64)
        after = numbers.astype(np.int64)
        changes = (before != after) & ~self.locked[before]
        codes = np.where(changes, before * (self.largest + 1) + after, -1)
        starts = np.flatnonzero(np.diff(codes, prepend=-2))
        ends = np.append(starts[1:], len(codes))
        kept = changes[starts] if len(starts) else np.empty(0, bool)
        at = starts[kept]
        return np.column_stack([first + at, first + ends[kept], before[at], after[at]])

    def _write(self, runs: Runs, *, after: bool) -> None:
        first, end, old, new = runs.T
        numbers = new if after else old
        if len(runs) == 1:
            at: slice | NDArray[np.int64] = slice(int(first[0]), int(end[0]))
            values: NDArray[np.int64] = numbers
        else:
            lengths = end - first
            at = np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
            values = np.repeat(numbers, lengths)
        self.numbers[at] = values
        self.table[self.nested.order[at]] = values
        gone = old if after else new
        for total, amount in (
            (self._regions_of, end - first),
            (self._area_of, self._area_before[end] - self._area_before[first]),
        ):
            np.subtract.at(total, gone, amount)
            np.add.at(total, numbers, amount)

    def _keep(self, stroke: list[Runs]) -> None:
        self._done.append(stroke)
        self._undone.clear()
        rows = np.concatenate(stroke)[:, [0, 1, 3]]
        self.tell({"stroke": rows.tolist()})


def _rows(given: object) -> list[tuple[int, int, int]] | None:
    """A list of three whole numbers each; None of anything else."""
    if not isinstance(given, list):
        return None
    rows = [tuple(row) for row in given if isinstance(row, list)]
    are_rows = len(rows) == len(given) > 0
    if not are_rows or any(len(row) != 3 or any(type(each) is not int for each in row) for row in rows):
        return None
    return rows
