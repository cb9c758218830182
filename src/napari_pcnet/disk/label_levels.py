"""A pyramid of labels as OME-Zarr 0.5 describes it: its levels, and what is said of them.

A pixel of a level has the label that most of the four pixels below it have, never a mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.placement import Placement, unit_name

SUFFIX = ".ome.zarr"
"""Names of pyramids end so; any other zarr of labels is one array."""

LARGEST_LEADING = 2
"""Axes before rows and columns: time and depth."""

_UNITS = {
    "micrometer": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
    "inch": "inch",
    "foot": "ft",
}
"""Units as OME-Zarr names them, and our name for each."""


def level_shapes(shape: tuple[int, ...], smallest_px: int) -> Iterator[tuple[int, ...]]:
    """Shapes of the levels, the full size first, until a plane has no side longer than this.

    >>> list(level_shapes((2, 5, 3), 2))
    [(2, 5, 3), (2, 3, 2), (2, 2, 1)]
    """
    yield shape
    while max(shape[-2:]) > smallest_px:
        shape = (*shape[:-2], -(-shape[-2] // 2), -(-shape[-1] // 2))
        yield shape


def halved(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Labels of half the size, ``(h, w)``: of each 2 x 2 the most frequent one, of equals the first.

    >>> halved(np.array([[1, 2, 5], [2, 3, 5], [7, 8, 9]]))
    array([[2, 5],
           [7, 9]])
    """
    rows, columns = (side % 2 for side in labels.shape)
    even = np.pad(labels, ((0, rows), (0, columns)), mode="edge") if rows or columns else labels
    fours = even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]
    result = fours[0].copy()
    down = even[::2] != even[1::2]
    differ = (fours[0] != fours[1]) | down[:, ::2] | down[:, 1::2]  # few: most lie inside a region
    a, b, c, d = (each[differ] for each in fours)
    others = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
    result[differ] = np.where((a == b) | (a == c) | (a == d), a, others)
    return result


def metadata(
    name: str,
    levels: Sequence[tuple[int, ...]],
    placement: Placement | None,
    origin: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """What the group of a pyramid says of itself, as the value of ``ome``.

    `origin` is where the centre of the first pixel lies along rows and columns, in the unit of `placement`.
    """
    leading = len(levels[0]) - 2
    size = (1.0, 1.0) if placement is None or placement.pixel_size is None else placement.pixel_size
    names = "tz"[LARGEST_LEADING - leading :]
    axes = [{"name": each, "type": "time" if each == "t" else "space"} for each in names]
    axes += [{"name": each, "type": "space", **_unit(placement)} for each in "yx"]
    datasets = []
    for level in range(len(levels)):
        scale = [1.0] * leading + [side * 2**level for side in size]
        first = [side * (2**level - 1) / 2 for side in size]  # centre of the first pixel
        shift = [0.0] * leading + [at + start for at, start in zip(first, origin or (0.0, 0.0), strict=True)]
        moves = [{"type": "scale", "scale": scale}]
        moves += [{"type": "translation", "translation": shift}] if any(shift) else []
        datasets.append({"path": str(level), "coordinateTransformations": moves})
    scales = {"name": name, "type": "mode", "axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [scales], "image-label": {}}


def _unit(placement: Placement | None) -> dict[str, str]:
    """The unit of an axis, if OME-Zarr has a name for it."""
    ours = "" if placement is None else unit_name(placement.unit)
    return next(({"unit": name} for name, unit in _UNITS.items() if unit == ours), {})


def pixel_size(scale: dict[str, Any], level: int) -> Placement | None:
    """The size of a pixel of a level, by one of the multiscales that an image says; None if it does not.

    What is no list of numbers is passed over: the picture can be read without.
    """
    try:
        axes = [each if isinstance(each, dict) else {"name": each} for each in scale["axes"]]
        moves = [*scale["datasets"][level]["coordinateTransformations"]]
        moves += scale.get("coordinateTransformations") or []
        factors = [each["scale"] for each in moves if each.get("type") == "scale"]
        at = [[str(each.get("name")).lower() for each in axes].index(name) for name in "yx"]
        sides = [float(np.prod([float(factor[axis]) for factor in factors])) for axis in at]
        words = [str(axes[axis].get("unit") or "") for axis in at]
        units = {unit_name(_UNITS.get(word, word)) for word in words}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    is_told = bool(factors) and len(units) == 1 and all(0 < side < np.inf for side in sides)
    if not is_told or (sides == [1.0, 1.0] and units == {""}):
        return None
    return Placement((sides[0], sides[1]), units.pop())
