"""The table of classes: a number, a name, a colour, a key and a lock for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from napari_pcnet.colours import default_colour

MOST_CLASSES = 255
"""As many as a byte can tell apart, with 0 for no class."""

KEYS = "123456789"
"""What may choose a class: 0 erases."""

_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class AnnotationClass:
    """One class.

    Attributes
    ----------
    number : int
        From 1 to `MOST_CLASSES`.
    name : str
    colour : str
        ``#rrggbb``.
    key : str
        The digit that chooses it, or nothing.
    is_locked : bool
        Whether its regions keep it.
    """

    number: int
    name: str
    colour: str
    key: str = ""
    is_locked: bool = False


class ClassTable:
    """The classes of an annotation.

    Parameters
    ----------
    tell : callable, optional
        ``tell(entry)`` is called with each class that is new or changed, as ``{"class": fields}``.

    Attributes
    ----------
    locked : (256,) bool array
        Whether each class is locked; written in place, for `Annotation`.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None] = lambda _entry: None) -> None:
        self.tell = tell
        self.locked = np.zeros(MOST_CLASSES + 1, bool)
        self._classes: dict[int, AnnotationClass] = {}

    def __iter__(self) -> Iterator[AnnotationClass]:
        return iter([self._classes[number] for number in sorted(self._classes)])

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, number: int) -> bool:
        return number in self._classes

    def __getitem__(self, number: int) -> AnnotationClass:
        return self._classes[number]

    def add(self, number: int | None = None) -> AnnotationClass:
        """Add a class with a name, a colour and, if its own is free, a key; by default the first free number.

        Raises
        ------
        ValueError
            If the number is taken or no class, or none is free.
        """
        if number is None:
            number = next((k for k in range(1, MOST_CLASSES + 1) if k not in self._classes), None)
        if number is None:
            raise ValueError(f"there can be at most {MOST_CLASSES} classes")
        if not 1 <= number <= MOST_CLASSES or number in self._classes:
            raise ValueError(f"a new class must have a free number from 1 to {MOST_CLASSES}, got {number}")
        key = str(number) if number <= len(KEYS) and self.by_key(str(number)) is None else ""
        return self._put(AnnotationClass(number, default_name(number), default_colour(number), key))

    def change(self, number: int, **fields: Any) -> AnnotationClass:
        """Give a class another name, colour, key or lock; a key that another class had leaves that.

        Raises
        ------
        ValueError
            If a field cannot be that.
        """
        changed = replace(self._classes[number], **fields)
        _check(**asdict(changed))
        if changed == self._classes[number]:
            return changed
        holder = self.by_key(changed.key)
        if holder is not None and holder.number != number:
            self._put(replace(holder, key=""))
        return self._put(changed)

    def by_key(self, key: str) -> AnnotationClass | None:
        """The class that a key chooses."""
        return next((each for each in self if key and each.key == key), None)

    def replay(self, entry: Mapping[str, Any]) -> bool:
        """Take a class that `tell` was called with; whether it is one."""
        try:
            _check(**entry["class"])
        except (TypeError, ValueError):
            return False
        self._put(AnnotationClass(**entry["class"]))
        return True

    def _put(self, given: AnnotationClass) -> AnnotationClass:
        self._classes[given.number] = given
        self.locked[given.number] = given.is_locked
        self.tell({"class": asdict(given)})
        return given


def default_name(number: int) -> str:
    """What a class is called until it has a name."""
    return f"class {number}"


def _check(number: Any, name: Any, colour: Any, key: Any, is_locked: Any) -> None:
    """Refuse what is no field of a class."""
    if type(number) is not int or not 1 <= number <= MOST_CLASSES:
        raise ValueError(f"a class must have a number from 1 to {MOST_CLASSES}, got {number!r}")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"a class must have a name of one line, got {name!r}")
    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
        raise ValueError(f"a colour must be #rrggbb in lower case, got {colour!r}")
    if key != "" and (not isinstance(key, str) or key not in tuple(KEYS)):
        raise ValueError(f"a key must be a digit from 1 to 9, got {key!r}")
    if type(is_locked) is not bool:
        raise ValueError(f"a lock must be on or off, got {is_locked!r}")
