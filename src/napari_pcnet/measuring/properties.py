"""The properties of regions, by scikit-image's names, from the sums over their pixels."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.measuring.sums import CROSSINGS, INTENSITY, LIMB_BITS, MOMENTS, OUTLINE, Sums
from napari_pcnet.options import shown

Spacing = tuple[float, float]
"""Size of a pixel along rows and columns."""


class Property(NamedTuple):
    """How a property is computed.

    Attributes
    ----------
    of : callable
        ``of(sums, spacing)``: an ``(n,)`` array, or ``(n, ...)`` of one column for each further index.
    group : str
        The group of sums that it needs; empty for none.
    """

    of: Callable[[Sums, Spacing], NDArray[Any]]
    group: str = ""


def _area(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    return sums.area.astype(np.float64) * (spacing[0] * spacing[1])


def _bbox(sums: Sums, _spacing: Spacing) -> NDArray[np.int64]:
    return np.column_stack([sums.first, sums.last + 1])


def _area_bbox(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    sides = sums.last + 1 - sums.first
    return np.asarray(sides.prod(axis=1) * (spacing[0] * spacing[1]), np.float64)


def _centroid(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    return np.asarray(sums.position / sums.area[:, None] * spacing, np.float64)


def _diameter(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(4 / math.pi * _area(sums, spacing)), np.float64)


def _extent(sums: Sums, _spacing: Spacing) -> NDArray[np.float64]:
    return _area(sums, (1, 1)) / _area_bbox(sums, (1, 1))


def _tensor(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    """The inertia tensor ``(n, 2, 2)`` of a region of weight 1.

    Moments are moved by whole pixels to the middle of the region, exactly, so that nothing is lost where it
    lies far from the first pixel.
    """
    area = sums.area
    middle = sums.position // area[:, None]
    rest = sums.position - middle * area[:, None]

    def about(at: int, one: int, other: int) -> NDArray[np.float64]:
        moved = (
            sums.moments[:, at]
            - middle[:, one] * sums.position[:, other]
            - middle[:, other] * sums.position[:, one]
            + middle[:, one] * middle[:, other] * area
        )
        squared = moved / area - (rest[:, one] / area) * (rest[:, other] / area)
        return np.asarray(squared * (spacing[one] * spacing[other]), np.float64)

    rows, both, columns = about(0, 0, 0), about(1, 0, 1), about(2, 1, 1)
    return np.stack([np.stack([columns, -both], axis=1), np.stack([-both, rows], axis=1)], axis=1)


def _eigenvalues(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    tensor = _tensor(sums, spacing)
    a, b, c = tensor[:, 0, 0], tensor[:, 0, 1], tensor[:, 1, 1]
    middle, half = (a + c) / 2, np.hypot((a - c) / 2, b)
    return np.column_stack([middle + half, np.maximum(middle - half, 0)])


def _axis(which: int) -> Callable[[Sums, Spacing], NDArray[np.float64]]:
    return lambda sums, spacing: np.asarray(4 * np.sqrt(_eigenvalues(sums, spacing)[:, which]), np.float64)


def _eccentricity(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    large, small = _eigenvalues(sums, spacing).T
    share = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    return np.asarray(np.sqrt(1 - share), np.float64)


def _orientation(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    tensor = _tensor(sums, spacing)
    a, b, c = tensor[:, 0, 0], tensor[:, 0, 1], tensor[:, 1, 1]
    diagonal = np.where(b < 0, math.pi / 4, -math.pi / 4)
    return np.asarray(np.where(a == c, diagonal, 0.5 * np.arctan2(-2 * b, c - a)), np.float64)


def _perimeter(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    steps = np.array([1, math.sqrt(2), (1 + math.sqrt(2)) / 2])
    return np.asarray(sums.outline @ steps * spacing[0], np.float64)


def _perimeter_crofton(sums: Sums, spacing: Spacing) -> NDArray[np.float64]:
    """Cauchy and Crofton: half the integral, over all lines, of how often a line crosses the outline."""
    apart = np.array([1, 1, math.sqrt(0.5), math.sqrt(0.5)])  # lines of pixels along each direction
    return np.asarray(math.pi / 8 * (sums.crossings @ apart) * spacing[0], np.float64)


def _mean(sums: Sums, _spacing: Spacing) -> NDArray[np.float64]:
    exact = sums.total / sums.area[:, None]
    return exact if sums.total.shape[1] else sums.mean


def _deviation(sums: Sums, _spacing: Spacing) -> NDArray[np.float64]:
    if not sums.total.shape[1]:
        return np.asarray(np.sqrt(sums.spread / sums.area[:, None]), np.float64)
    upper, both, lower = np.moveaxis(sums.squares.astype(object), -1, 0)  # Python's integers have no end
    squares = (upper << 2 * LIMB_BITS) + (both << LIMB_BITS + 1) + lower
    area = sums.area.astype(object)[:, None]
    variance = (area * squares - sums.total.astype(object) ** 2) / area**2
    return np.asarray(np.sqrt(variance.astype(np.float64)), np.float64)


PROPERTIES: dict[str, Property] = {
    "label": Property(lambda sums, _: sums.label),
    "area": Property(_area),
    "area_bbox": Property(_area_bbox),
    "axis_major_length": Property(_axis(0), MOMENTS),
    "axis_minor_length": Property(_axis(1), MOMENTS),
    "bbox": Property(_bbox),
    "centroid": Property(_centroid),
    "eccentricity": Property(_eccentricity, MOMENTS),
    "equivalent_diameter_area": Property(_diameter),
    "extent": Property(_extent),
    "inertia_tensor": Property(_tensor, MOMENTS),
    "inertia_tensor_eigvals": Property(_eigenvalues, MOMENTS),
    "intensity_max": Property(lambda sums, _: sums.highest, INTENSITY),
    "intensity_mean": Property(_mean, INTENSITY),
    "intensity_min": Property(lambda sums, _: sums.lowest, INTENSITY),
    "intensity_std": Property(_deviation, INTENSITY),
    "num_pixels": Property(lambda sums, _: sums.area),
    "orientation": Property(_orientation, MOMENTS),
    "perimeter": Property(_perimeter, OUTLINE),
    "perimeter_crofton": Property(_perimeter_crofton, CROSSINGS),
}
"""By name; `region_table` says what each is."""

FORMER_NAMES = {
    "bbox_area": "area_bbox",
    "equivalent_diameter": "equivalent_diameter_area",
    "major_axis_length": "axis_major_length",
    "max_intensity": "intensity_max",
    "mean_intensity": "intensity_mean",
    "min_intensity": "intensity_min",
    "minor_axis_length": "axis_minor_length",
    "std_intensity": "intensity_std",
}
"""Names that scikit-image had before, and still takes."""

NOT_MEASURED = (
    *("area_convex", "area_filled", "convex_area", "filled_area"),
    *("centroid_local", "centroid_weighted", "centroid_weighted_local"),
    *("local_centroid", "weighted_centroid", "weighted_local_centroid"),
    *("coords", "euler_number", "feret_diameter_max", "intensity_median", "slice", "solidity"),
    *("convex_image", "filled_image", "image", "image_convex", "image_filled"),
    *("image_intensity", "intensity_image"),
    *("moments", "moments_central", "moments_hu", "moments_normalized"),
    *("moments_weighted", "moments_weighted_central", "moments_weighted_hu", "moments_weighted_normalized"),
    *("weighted_moments", "weighted_moments_central", "weighted_moments_hu", "weighted_moments_normalized"),
)
"""The other properties of scikit-image, with the names that they had before."""


def find(name: str) -> Property:
    """Return a property by its name, or by the one that it had before.

    Raises
    ------
    ValueError
        If there is none.
    """
    known = FORMER_NAMES.get(name, name)
    if known in PROPERTIES:
        return PROPERTIES[known]
    if name in NOT_MEASURED:
        raise ValueError(f"{name!r} is not measured here: skimage.measure.regionprops_table gives it")
    near = difflib.get_close_matches(name, [*PROPERTIES, *FORMER_NAMES], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PROPERTIES)}"
    raise ValueError(f"{shown(name)} is no property of regions; {hint}")


def columns_of(name: str, values: NDArray[Any], channels: Iterable[str] | None) -> dict[str, NDArray[Any]]:
    """Name the columns of a property as scikit-image does, and those of channels by the names of these.

    Parameters
    ----------
    name : str
    values : (n, ...) array
    channels : iterable of str, or None
        Of an intensity; None where the picture has no channels.
    """
    if find(name).group == INTENSITY:
        if channels is None:
            return {name: values[:, 0]}
        return {f"{name}-{each}": values[:, at] for at, each in enumerate(channels)}
    if values.ndim == 1:
        return {name: values}
    indices = np.ndindex(values.shape[1:])
    return {"-".join([name, *map(str, at)]): values[(slice(None), *at)] for at in indices}
