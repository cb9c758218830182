"""A cut of the trees of a run: its labels, its features and its record, as napari's Labels layer has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.record import Origin, RunRecord, notes_of

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy


@dataclass(frozen=True)
class LayerCut:
    """A cut of the trees of a run, with all that its layer needs.

    Attributes
    ----------
    record : RunRecord
    origin : Origin
    table : (regions + 1,) int32 array
        Label of each region without smoothing; the last entry is what lies outside.
    labels : (..., H, W) int32 array
        Smoothed, if the record asks for it.
    features : dict of array
        As napari takes them: the first row is for the background.
    """

    record: RunRecord
    origin: Origin
    table: NDArray[np.integer[Any]]
    labels: NDArray[np.integer[Any]]
    features: dict[str, NDArray[Any]]

    @property
    def notes(self) -> dict[str, Any]:
        """The record for the layer's metadata."""
        return notes_of(self.record, self.origin)

    @classmethod
    def make(
        cls,
        hierarchy: PCNetHierarchy,
        record: RunRecord,
        origin: Origin,
        check: Callable[[], None] = lambda: None,
        out: NDArray[np.int32] | None = None,
    ) -> LayerCut:
        """Make the cut that a record names, into `out` if it is given; `check` may raise in between."""
        table = hierarchy.table(**record.cut, nearest=True)
        check()
        part = segmented_part(hierarchy.base.shape, record)
        inner = replace(hierarchy, base=hierarchy.base[part], smoothing=record.smoothing)
        cut = inner.cut(**record.cut, nearest=True, out=out)
        labels = cut.labels
        if labels.size != hierarchy.base.size:
            labels = np.full(hierarchy.base.shape, hierarchy.start_label - 1, cut.labels.dtype)
            labels[part] = cut.labels
        return cls(record, origin, table, labels, features_table(cut.features))


class LookupArray:
    """Labels or values that are looked up where they are read, from an array of regions and a table.

    It has what napari asks of data: shape, dtype, ndim, slicing. Its type is the table's.
    """

    def __init__(self, base: NDArray[np.integer[Any]], table: NDArray[np.number[Any]]) -> None:
        self.base = base
        self.table = table
        self.dtype = table.dtype
        self.shape = base.shape
        self.ndim = base.ndim
        self.size = base.size

    def __getitem__(self, key: Any) -> NDArray[np.number[Any]]:
        values: NDArray[np.number[Any]] = self.table[self.base[key]]
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


def segmented_part(shape: tuple[int, ...], record: RunRecord) -> Any:
    """Index of what was segmented in labels of this shape, which may be as large as their image.

    Outlines are smoothed within that part, whose rim is that of a picture.
    """
    if record.crop is None:
        return ...
    top, left, bottom, right = record.crop
    is_larger = shape[-2:] != (bottom - top, right - left) and bottom <= shape[-2] and right <= shape[-1]
    return np.s_[..., top:bottom, left:right] if is_larger else ...


def features_table(features: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Features as napari takes them: row k is for label k, so the first is for the background."""
    table = {}
    for name, values in features.items():
        nothing = 0 if values.dtype.kind == "i" else np.nan
        table[name] = np.concatenate([np.array([nothing], values.dtype), values])
    return table


def at_cut(record: RunRecord, n: int | None = None, height: float | None = None) -> RunRecord:
    """The record of another cut of the same trees."""
    most = record.tree_segments
    if height is not None:
        return replace(record, n_segments=most, max_segments=None, height=height)
    assert n is not None, "a count or a height"
    return replace(record, n_segments=n, max_segments=None if n == most else most, height=None)
