"""The Labels layer of a run: filled while the run is under way, cut anew by the slider, undone by cancel.

Small results are plain arrays, which napari can paint on. Of large ones napari would draw all pixels at
each change, and stand still; they are shown as a pyramid, whose levels are views of one array: only what
is on the screen is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.layers import Source, shear_matrix
from napari_pcnet.record import VERSION_KEY, Origin, RunRecord, from_notes, notes_of

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

    from napari_pcnet.hierarchy import PCNetHierarchy

KEY = VERSION_KEY
"""Where a layer's metadata hold the record of its run."""

SMALLEST_LEVEL_PX = 512
"""A pyramid ends with the first level that is no longer than this along rows or columns."""


def read_notes(metadata: Mapping[str, Any]) -> tuple[RunRecord, Origin] | None:
    """The record and origin in a layer's metadata; None if there are none that this version knows."""
    return from_notes(metadata.get(KEY))


@dataclass(frozen=True)
class Cut:
    """A cut of a tree, complete.

    Attributes
    ----------
    record : RunRecord
    table : (regions + 1,) int32 array
        Label of each region.
    labels : (..., H, W) int32 array
    features : dict of array
        As napari takes them: the first row is the background's.
    notes : dict
        For the layer's metadata.
    """

    record: RunRecord
    table: NDArray[np.integer[Any]]
    labels: NDArray[np.integer[Any]]
    features: dict[str, NDArray[Any]]
    notes: dict[str, Any]

    @classmethod
    def make(
        cls,
        stack: PCNetHierarchy,
        record: RunRecord,
        origin: Origin,
        check: Callable[[], None] = lambda: None,
        out: NDArray[np.int32] | None = None,
    ) -> Cut:
        """Make the cut that a record names; `check` may leave in between, `out` takes the labels."""
        table = stack.table(**record.cut, nearest=True)
        check()
        made = stack.cut(**record.cut, nearest=True, out=out)
        return cls(record, table, made.labels, table_of(made.features), notes_of(record, origin))


class LookedUp:
    """Labels that are looked up where they are read: an array of regions, and a label for each.

    Has what napari asks of data: shape, dtype, ndim, slicing.
    """

    dtype = np.dtype(np.int32)

    def __init__(self, ids: NDArray[np.integer[Any]], table: NDArray[np.integer[Any]]) -> None:
        self.ids = ids
        self.table = table
        self.shape = ids.shape
        self.ndim = ids.ndim
        self.size = ids.size

    def __getitem__(self, key: Any) -> NDArray[np.int32]:
        labels: NDArray[np.int32] = self.table[self.ids[key]]
        return labels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class Result:
    """The layer of a run and, when it is done, its tree.

    Parameters
    ----------
    viewer : ViewerModel
    source : Source
    planes : Planes
        What is segmented.
    editable_px : int
        Up to so many pixels the layer is a plain array.
    layer : Labels, optional
        The layer of an earlier run, which this one takes over.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        source: Source,
        planes: Planes,
        editable_px: int,
        layer: Labels | None = None,
    ) -> None:
        self.viewer = viewer
        self.source = source
        self.planes = planes
        self.stack: PCNetHierarchy | None = None
        self.record = RunRecord()
        self.origin = Origin(source.layer.name)
        self._placement = source.placement(planes)  # of now: the image may move, or get other data
        self._buffer = np.zeros(source.labels_shape(planes), np.int32)
        self.is_pyramid = self._buffer.size > editable_px
        self._before: dict[str, Any] | None = None
        self._replaced: Labels | None = None
        if layer is not None and layer.multiscale == self.is_pyramid:
            self.layer = layer
            self._take_over()
        else:
            self._replaced = layer
            self.layer = self._new_layer(layer)

    # -- a run -------------------------------------------------------------------------------------

    def write(self, k: int, window: Window, ids: NDArray[np.int32]) -> None:
        """Put a window of the base into the layer's data; from any thread, drawn at the next refresh."""
        plane = self._buffer.reshape(-1, *self.planes.crop.shape)[k]
        np.add(ids, 1, out=plane[window.slices])

    @property
    def buffer(self) -> NDArray[np.int32]:
        """The array that the layer shows while it grows, for the labels themselves in the end."""
        return self._buffer.reshape(self.planes.shape)

    def finish(self, stack: PCNetHierarchy, cut: Cut) -> None:
        """Show the labels of a finished run."""
        self.stack = stack
        self.settle(cut)
        self._before = None
        if self._replaced is not None and self._replaced in self.viewer.layers:
            name = self._replaced.name
            self.viewer.layers.remove(self._replaced)
            self.layer.name = name
        self._replaced = None

    def undo(self) -> None:
        """Leave every layer as it was before the run."""
        if self._before is None:
            if self.is_there:
                self.viewer.layers.remove(self.layer)
            return
        self.layer.data = self._before.pop("data")
        self.layer.metadata = self._before.pop("metadata")
        self._place(self._before)
        self._before = None

    # -- afterwards --------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self.viewer.layers

    @property
    def is_edited(self) -> bool:
        """Whether the labels are no longer those of the run: painted on, or replaced."""
        shown = self.layer.data[0] if self.layer.multiscale else self.layer.data
        if shown is not self._shown:
            return True
        return not self.is_pyramid and not np.array_equal(shown, self._labels())

    def slide(self, n: int | None = None, height: float | None = None) -> None:
        """Show another cut of the tree at once; `settle` completes it."""
        assert self.stack is not None, "a run is done"
        self._table = self.stack.table(n, height=height, nearest=True)
        ids = self.stack.base.reshape(self._buffer.shape)
        if not self.is_pyramid:
            np.take(self._table, ids, out=self._buffer)
        elif isinstance(self._shown, LookedUp):
            for level in self.layer.data:
                level.table = self._table
        else:
            self._show([LookedUp(level, self._table) for level in _levels(ids)])
            return
        self.layer.refresh(extent=False, thumbnail=False)

    def settle(self, cut: Cut) -> None:
        """Complete a cut that `slide` may have shown already: labels as an array, features, record."""
        self.record, self._table = cut.record, cut.table
        found = from_notes(cut.notes)
        assert found is not None, "a cut has its record"
        self.origin = found[1]
        if np.may_share_memory(cut.labels, self._buffer):
            self.layer.refresh(extent=False)  # less to do than for new data
        else:
            self._buffer = cut.labels.astype(np.int32, copy=False).reshape(self._buffer.shape)
            self._show(_levels(self._buffer) if self.is_pyramid else self._buffer)
        self.layer.features = cut.features
        self.layer.metadata = self.layer.metadata | {KEY: cut.notes}

    def add_cut(self, cut: Cut, name: str) -> Labels:
        """Add another cut as a layer of its own."""
        labels = cut.labels.reshape(self._buffer.shape)
        layer = _labels_layer(labels, self.is_pyramid, name, self._placement)
        layer.features = cut.features
        layer.metadata = {KEY: cut.notes}
        self.viewer.add_layer(layer)
        return layer

    def editable_copy(self) -> Labels:
        """Add the labels as a plain array, which napari can paint on."""
        labels = np.array(self._labels())
        name = f"{self.layer.name} (editable)"
        layer = _labels_layer(labels, False, name, self._placement)
        layer.features = self.layer.features
        layer.metadata = dict(self.layer.metadata)
        self.viewer.add_layer(layer)
        return layer

    def _labels(self) -> NDArray[np.integer[Any]]:
        assert self.stack is not None, "a run is done"
        return self.stack.look_up(self._table).reshape(self._buffer.shape)

    def _show(self, data: Any) -> None:
        self.layer.data = data
        self._shown = self.layer.data[0] if self.is_pyramid else self.layer.data

    def _take_over(self) -> None:
        data = list(self.layer.data) if self.is_pyramid else self.layer.data
        self._before = {"data": data, "metadata": dict(self.layer.metadata)}
        self._before |= {name: getattr(self.layer, name) for name in self._placement}
        self._place(self._placement)
        self._show(_levels(self._buffer) if self.is_pyramid else self._buffer)

    def _place(self, placement: Mapping[str, Any]) -> None:
        """Set what differs; each setting draws anew."""
        for name, value in placement.items():
            now, then = getattr(self.layer, name), value
            if name == "shear":
                now, then = (shear_matrix(each, self.layer.ndim) for each in (now, then))
            if not np.array_equal(np.asarray(now), np.asarray(then)):
                setattr(self.layer, name, value)

    def _new_layer(self, like: Labels | None) -> Labels:
        name = f"{self.source.layer.name} superpixels" if like is None else like.name
        layer = _labels_layer(self._buffer, self.is_pyramid, name, self._placement)
        self.viewer.add_layer(layer)
        self._shown = layer.data[0] if self.is_pyramid else layer.data
        return layer


def table_of(features: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Features as napari takes them: the first row is the background's."""
    table = {"index": np.concatenate([[0], features["label"]])}
    for name, values in features.items():
        if name != "label":
            nothing = 0 if values.dtype.kind == "i" else np.nan
            table[name] = np.concatenate([np.array([nothing], values.dtype), values])
    return table


def at_cut(record: RunRecord, n: int | None = None, height: float | None = None) -> RunRecord:
    """The record of another cut of the same tree."""
    most = record.n_segments if record.max_segments is None else record.max_segments
    if height is not None:
        return replace(record, n_segments=most, max_segments=None, height=height)
    assert n is not None, "a count or a height"
    return replace(record, n_segments=n, max_segments=None if n == most else most, height=None)


def _labels_layer(
    labels: NDArray[np.integer[Any]], is_pyramid: bool, name: str, placement: Mapping[str, Any]
) -> Labels:
    data = _levels(labels) if is_pyramid else labels
    layer = Labels(data, multiscale=is_pyramid, name=name, **placement)
    layer.contour = 1
    return layer


def _levels(array: NDArray[np.integer[Any]]) -> list[NDArray[np.integer[Any]]]:
    """A pyramid of views: every second pixel, every fourth, and so on."""
    levels, step = [array], 2
    while len(levels) < 2 or max(levels[-1].shape[-2:]) > SMALLEST_LEVEL_PX:
        levels.append(array[..., ::step, ::step])
        step *= 2
    return levels
