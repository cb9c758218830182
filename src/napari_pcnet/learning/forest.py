"""A random forest on a table of regions: fitted on those whose class is known, it says what the others are.

scikit-learn grows the trees and is needed for nothing else: they are kept as arrays (`trees`), vote the same
wherever they are, and are stored as safetensors, a file of numbers and one text, which cannot hold code. (A
scikit-learn forest is stored by pickle, which runs what is in the file; skops, the safe way, would tie a file
to the version that wrote it.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_pcnet import options
from napari_pcnet.annotation.classes import default_name
from napari_pcnet.disk.files import check_file
from napari_pcnet.disk.output import check_output, write_whole
from napari_pcnet.disk.tables import check_columns, check_table
from napari_pcnet.learning.trees import Trees

NO_CLASS = 0
"""The number of a region whose class is not known."""

LARGEST_CLASS = 255
"""The largest number of a class, as of an annotation."""

TREES = 64
"""Trees of a forest unless more are asked for: twice as many are no more accurate, and take twice as long."""

MOST_ROWS = 2000
"""Rows that a tree is grown on, drawn for each anew, and rows of a class that they are drawn from: with more
a forest is no more accurate, and a class of few regions would hardly be drawn."""

FEW_ROWS, HALF = 100, 0.5
"""On fewer rows a split looks at this share of the features, not at the square root of their number: among
few rows many columns tell classes apart by chance, and one that truly does should be there."""

FORMAT = "napari-pcnet forest"
"""The one text in a file; no other file has it."""

VERSION = 1
"""Of the file, and of what the features mean."""

SUFFIX = ".safetensors"

_TYPES = {
    "root": "int32",
    "feature": "int32",
    "threshold": "float32",
    "children": "int32",
    "share": "float32",
}


class Prediction(NamedTuple):
    """What a forest says of the rows of a table.

    Attributes
    ----------
    number : (n,) uint8 array
        The class of each region; 0 where a feature is not finite, so that nothing can be said.
    uncertainty : (n,) float64 array
        From 0, all trees agree, to 1, two classes are equally likely: 1 less the lead of the first class over
        the second. 1 where nothing can be said.
    share : (n, K) float64 array
        What share of the votes each class of the forest has, in the order of `RegionForest.classes`.
    """

    number: NDArray[np.uint8]
    uncertainty: NDArray[np.float64]
    share: NDArray[np.float64]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class RegionForest:
    """Trees that say which class a region has, from its features.

    Attributes
    ----------
    features : tuple of str
        Names of the columns that it looks at.
    classes : tuple of int
        Numbers of the classes, increasing.
    names : tuple of str
        A name for each.
    trees : Trees

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import RegionForest
    >>> table = {"label": np.arange(1, 9), "intensity_mean-0": np.repeat([10.0, 90.0], 4)}
    >>> forest = RegionForest.fit(table, [1, 1, 0, 0, 2, 0, 0, 2])
    >>> forest.predict(table).number
    array([1, 1, 1, 1, 2, 2, 2, 2], dtype=uint8)
    """

    features: tuple[str, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]
    trees: Trees

    @classmethod
    def fit(
        cls,
        table: Mapping[str, NDArray[Any]],
        numbers: ArrayLike,
        *,
        names: Mapping[int, str] | None = None,
        trees: int = TREES,
        seed: int = 0,
    ) -> Self:
        """Grow a forest on the rows whose class is known. It needs scikit-learn, the extra ``learn``.

        Parameters
        ----------
        table : mapping of str to (n,) array
            As `region_features` gives it; every column but ``label`` is a feature.
        numbers : (n,) array_like of int
            The class of each row, from 1 to 255; 0 where it is not known. Rows with a feature that is not
            finite are left out.
        names : mapping of int to str, optional
            Names of classes; others are called ``class 1`` and so on.
        trees : int, optional
            How many.
        seed : int, optional
            Of the random draws: the same table, numbers and seed give the same forest.

        Returns
        -------
        RegionForest

        Raises
        ------
        TypeError
            If `table` is no mapping.
        ValueError
            If fewer than two classes are known, or the arguments do not fit together.
        ModuleNotFoundError
            If scikit-learn is not installed.
        """
        check_table(table)
        count, start = options.whole_number(trees, "trees"), _seed(seed)
        columns = tuple(name for name in table if name != "label")
        rows = _rows(table, columns)
        given = _numbers(numbers, len(rows))
        known = (given != NO_CLASS) & np.isfinite(rows).all(axis=1)
        classes = [int(number) for number in np.unique(given[known])]
        if len(classes) < 2:
            found = f"class {classes[0]} alone" if classes else "none"
            raise ValueError(f"at least two classes must have regions to learn from, got {found}")
        from sklearn.ensemble import RandomForestClassifier

        taught = _some_of_each(given, known, start)
        drawn, looked_at = min(len(taught), MOST_ROWS), HALF if len(taught) < FEW_ROWS else "sqrt"
        grown = RandomForestClassifier(count, max_samples=drawn, max_features=looked_at, random_state=start)
        grown.fit(rows[taught], given[taught])
        called = {number: default_name(number) for number in classes} | dict(names or {})
        return cls(
            columns, tuple(classes), tuple(_name(called[number]) for number in classes), Trees.of(grown)
        )

    def predict(self, table: Mapping[str, NDArray[Any]]) -> Prediction:
        """Say which class each row of a table has.

        Parameters
        ----------
        table : mapping of str to (n,) array
            With the columns that the forest was fitted on; others do no harm.

        Raises
        ------
        TypeError
            If `table` is no mapping.
        ValueError
            If one is missing: the picture has other channels.
        """
        check_table(table)
        own, found = _channels(self.features), _channels(table)
        if own != found:
            raise ValueError(f"the forest is for pictures of {own}, got {found}")
        missing = [name for name in self.features if name not in table]
        if missing:
            raise ValueError(f"the forest looks at {missing[0]!r}, and the table has no such column")
        rows = _rows(table, self.features)
        known = np.isfinite(rows).all(axis=1)
        share = np.zeros((len(rows), len(self.classes)))
        share[known] = self.trees.votes(rows[known])
        return self.decide(share)

    def looks_at(self, kind: str) -> bool:
        """Whether it was fitted on columns whose names begin like this."""
        return any(name.startswith(kind) for name in self.features)

    def decide(self, share: NDArray[np.float64]) -> Prediction:
        """Say what shares of votes ``(n, K)`` come to; rows of zeros are unknown.

        Of equal shares the smallest number wins.
        """
        second, first = np.partition(share, -2, axis=1)[:, -2:].T
        number = np.where(first > 0, np.array(self.classes)[share.argmax(axis=1)], NO_CLASS)
        return Prediction(number.astype(np.uint8), 1 - (first - second), share)

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the forest to one file, ``.safetensors``, whole or not at all.

        A file of that name is replaced, unless `overwrite` is False.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        OSError
            If it cannot be written, or is there and not to be replaced.
        """
        from safetensors.numpy import save

        path = checked_forest_path(path)
        check_output(path, (SUFFIX,), overwrite)
        text = {"version": VERSION, "features": self.features, "classes": self.classes, "names": self.names}
        arrays = {each.name: np.ascontiguousarray(getattr(self.trees, each.name)) for each in fields(Trees)}
        content = save(arrays, {FORMAT: json.dumps(text)})
        write_whole(path, lambda file: file.write(content), overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a forest that `save` wrote. Nothing in a file is ever run.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is anything else, or damaged.
        """
        path = Path(path)
        check_file(path, "forest")
        refusal = ValueError(f"{path} is no forest that RegionForest.save wrote, or is damaged")
        text, arrays = _read(path, refusal)
        if text.get("version") != VERSION:
            raise ValueError(f"{path} is a forest of another version of napari-pcnet; fit it again")
        try:
            features, classes, names = (tuple(text[name]) for name in ("features", "classes", "names"))
        except (KeyError, TypeError):
            raise refusal from None
        if not _is_sound(features, classes, names):
            raise refusal
        trees = Trees(**arrays)
        if not trees.is_sound(len(features), len(classes)):
            raise refusal
        return cls(features, classes, names, trees)


def checked_forest_path(path: str | os.PathLike[str]) -> Path:
    """Refuse a name that no forest is written under."""
    if Path(path).suffix.lower() != SUFFIX:
        raise ValueError(f"forest {path} must end in {SUFFIX}")
    return Path(path)


def _read(path: Path, refusal: ValueError) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The text and the arrays of a file, of the types that a forest has."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = json.loads((file.metadata() or {})[FORMAT])
            arrays = {name: file.get_tensor(name) for name in _TYPES}
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise refusal from error
    if not isinstance(text, dict) or any(str(arrays[name].dtype) != kind for name, kind in _TYPES.items()):
        raise refusal
    return text, arrays


def _is_sound(features: tuple[Any, ...], classes: tuple[Any, ...], names: tuple[Any, ...]) -> bool:
    """Whether the texts and numbers of a file are those of a forest."""
    if not all(map(_is_name, (*features, *names))):
        return False
    if not all(type(each) is int and NO_CLASS < each <= LARGEST_CLASS for each in classes):
        return False
    are_in_order = list(classes) == sorted(set(classes)) and len(classes) == len(names) >= 2
    return are_in_order and len(set(features)) == len(features) > 0


def _rows(table: Mapping[str, NDArray[Any]], names: Sequence[str]) -> NDArray[np.float32]:
    """The features of each row, ``(n, d)``; what float32 cannot hold becomes infinite."""
    given = {name: table[name] for name in names}
    check_columns(given)
    columns = [np.asarray(column) for column in given.values()]
    if not columns or any(each.shape != columns[0].shape or each.ndim != 1 for each in columns):
        raise ValueError("table must have columns of features, all of one length")
    with np.errstate(over="ignore"):
        return np.column_stack(columns).astype(np.float32)


def _numbers(given: ArrayLike, rows: int) -> NDArray[np.int64]:
    """Check the class of each row."""
    if np.ma.isMaskedArray(given):
        raise ValueError("numbers are a masked array: pass numbers.filled(0)")
    numbers = np.asarray(given)
    if numbers.shape != (rows,) or numbers.dtype.kind not in "bui":
        raise ValueError(
            f"numbers must be a class for each of {rows} rows, got {numbers.dtype} of shape {numbers.shape}"
        )
    if rows and not NO_CLASS <= int(numbers.min()) <= int(numbers.max()) <= LARGEST_CLASS:
        wrong = int(numbers.min()) if numbers.min() < NO_CLASS else int(numbers.max())
        raise ValueError(f"a class must be a number from 1 to {LARGEST_CLASS}, or 0 for none, got {wrong}")
    return numbers.astype(np.int64)


def _some_of_each(numbers: NDArray[np.int64], known: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Rows whose class is known, at most `MOST_ROWS` of each class, in order."""
    random = np.random.default_rng(seed)
    of_each = [np.flatnonzero(known & (numbers == number)) for number in np.unique(numbers[known])]
    some = [
        each if len(each) <= MOST_ROWS else random.choice(each, MOST_ROWS, replace=False) for each in of_each
    ]
    return np.sort(np.concatenate(some))


def _name(given: Any) -> str:
    if not _is_name(given):
        raise ValueError(f"a class must have a name of one line, got {options.shown(given)}")
    return str(given)


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and given.isprintable() and bool(given.strip())


def _seed(given: Any) -> int:
    seed = options.as_index(given)
    if seed is None or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {options.shown(given)}")
    return seed


def _channels(names: Any) -> str:
    """How many channels columns are of, in words."""
    count = sum(str(name).startswith("intensity_mean-") for name in names)
    return f"{count} channel" if count == 1 else f"{count} channels"
