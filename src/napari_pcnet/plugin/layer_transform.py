"""Where a layer lies, as a file keeps it: options of a napari layer, each checked before one is made.

Anybody may have written the file. napari inverts what it is given, draws it in single precision, and computes
a unit that is an expression, however long that takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.options import LONGEST_TEXT, as_list, as_number, shown
from napari_pcnet.record import Tell

if TYPE_CHECKING:
    from napari.layers import Labels

LARGEST = 1e30
"""Largest number of a transform, and 1 over the smallest scale: single precision ends at 3e38."""

FLATTEST = 1e12
"""Largest condition of a matrix that can be inverted with digits to spare."""

_UNIT = re.compile(r"[^\W\d_]{1,32}(_[^\W\d_]{1,32}){0,3}")
"""The name of a unit, such as micrometer or degree_Celsius; not an expression."""


def read_transform(table: object, ndim: int, tell: Tell) -> dict[str, Any]:
    """Return the options of a layer of `ndim` axes that a table of a file names.

    Parameters
    ----------
    table : object
        What the file has in the place of a table.
    ndim : int
    tell : callable
        Takes a sentence about each option that is not as it must be, and was dropped.
    """
    if not isinstance(table, Mapping):
        tell(f"the transform of the layer was dropped: it must be a table, got {shown(table)}")
        return {}
    options = {}
    for name, (read, wanted) in OPTIONS.items():
        if name in table:
            value = read(table[name], ndim)
            if value is None:
                tell(f"the layer's {name} was dropped: it must be {wanted}, got {shown(table[name])}")
            else:
                options[name] = value
    return options


def transform_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the transform of a layer in types that JSON knows."""
    return {name: _plain(meta[name]) for name in OPTIONS if meta.get(name) is not None}


def place_of(layer: Labels) -> dict[str, Any]:
    """Options of a layer that lies where another lies."""
    return {
        "scale": layer.scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _scale(value: Any, ndim: int) -> NDArray[np.float64] | None:
    scale = _vector(value, ndim)
    return None if scale is None or (np.abs(scale) < 1 / LARGEST).any() else scale


def _vector(value: Any, length: int) -> NDArray[np.float64] | None:
    numbers = [as_number(each) for each in as_list(value) or ()]
    is_sound = len(numbers) == length and all(each is not None and abs(each) <= LARGEST for each in numbers)
    return np.array(numbers, np.float64) if is_sound else None


def _square(value: Any, side: int) -> NDArray[np.float64] | None:
    given = as_list(value) or []
    rows = [row for row in (_vector(each, side) for each in given) if row is not None]
    return np.array(rows) if len(rows) == len(given) == side else None


def _matrix(value: Any, side: int) -> NDArray[np.float64] | None:
    matrix = _square(value, side)
    return None if matrix is None or np.linalg.cond(matrix) > FLATTEST else matrix


def _shear(value: Any, ndim: int) -> NDArray[np.float64] | None:
    above_diagonal = _vector(value, ndim * (ndim - 1) // 2)
    if above_diagonal is not None:
        return above_diagonal
    matrix = _matrix(value, ndim)
    if matrix is None or (matrix.diagonal() != 1).any():
        return None
    is_triangular = not np.triu(matrix, 1).any() or not np.tril(matrix, -1).any()
    return matrix if is_triangular else None


def _affine(value: Any, ndim: int) -> NDArray[np.float64] | None:
    matrix = _square(value, ndim + 1)
    if matrix is None or matrix[-1].tolist() != [0.0] * ndim + [1.0]:
        return None
    return None if _matrix(matrix[:-1, :-1].tolist(), ndim) is None else matrix


def _units(value: Any, ndim: int) -> list[str] | None:
    units = as_list(value) or []
    return units if len(units) == ndim and all(map(_is_unit, units)) else None


def _is_unit(name: object) -> bool:
    from napari.utils.transforms import Affine

    if not isinstance(name, str) or not _UNIT.fullmatch(name):
        return False
    try:
        Affine([1.0], [0.0], units=[name])
    except (ValueError, AttributeError):  # no unit, or the name of a number
        return False
    return True


def _axis_labels(value: Any, ndim: int) -> list[str] | None:
    labels = as_list(value) or []
    is_sound = all(isinstance(each, str) and len(each) <= LONGEST_TEXT for each in labels)
    return labels if is_sound and len(labels) == ndim else None


OPTIONS: dict[str, tuple[Callable[[Any, int], Any], str]] = {  # Any: an option's own type
    "scale": (_scale, "a number other than 0 for each axis"),
    "translate": (_vector, "a number for each axis"),
    "rotate": (_matrix, "a matrix that can be inverted"),
    "shear": (_shear, "a triangular matrix with 1 along its diagonal, or the numbers above it"),
    "affine": (_affine, "a matrix that can be inverted, with a last row of 0 and 1"),
    "units": (_units, "the name of a unit for each axis"),
    "axis_labels": (_axis_labels, "a text for each axis"),
}
"""The options of a layer that a file keeps: how each is read, and what it must be."""


def _plain(value: Any) -> Any:
    """A layer's option in JSON types."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    matrix = getattr(value, "affine_matrix", None)
    return str(value) if matrix is None else np.asarray(matrix).tolist()
