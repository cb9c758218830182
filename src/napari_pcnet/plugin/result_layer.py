"""The Labels layer of a run: filled while the run is under way, cut again by the slider, undone by cancel.

A small result is a plain array, which napari can paint on. napari would draw every pixel of a large one at
each change and stand still meanwhile, so it is shown as a pyramid, whose levels are views of one array: only
what is on the screen is drawn.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.frame import Frame
from napari_pcnet.plugin.layer_cut import LayerCut, LookupArray
from napari_pcnet.plugin.layer_transform import place_of
from napari_pcnet.plugin.metadata import KEY, TREES, recorded_run, trees_of
from napari_pcnet.plugin.roi import RegionPlace
from napari_pcnet.plugin.source import AS_CHANNELS, Source, shear_matrix
from napari_pcnet.record import Origin, RunRecord

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

    from napari_pcnet.hierarchy import PCNetHierarchy

SMALLEST_LEVEL_PX = 512
"""A pyramid ends with the first level that is no longer than this along rows or columns."""

EDITABLE_OPACITY = 0.4
"""Of a filled layer to paint on: colours tell superpixels apart, and the image is seen through them."""

OUTSIDE = -1
"""Stands in a base for what lies outside, which the last entry of a table of labels is for."""


class ResultLayer:
    """The layer of a run and, when the run is done, its trees.

    Parameters
    ----------
    viewer : ViewerModel
    source : Source
    planes : Planes
        The planes to segment.
    editable_px : int
        A layer of at most this many pixels is a plain array.
    layer : Labels, optional
        The layer of an earlier run, which this run fills again.
    region : RegionPlace, optional
        The region that is segmented; by default the whole plane.
    image_sized : bool
        Whether the labels of a region are as large as the image, 0 outside.

    Attributes
    ----------
    has_image : bool
        Whether the image is known, as that of labels from a file is not.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        source: Source,
        planes: Planes,
        editable_px: int,
        layer: Labels | None = None,
        region: RegionPlace = (None, None),
        *,
        image_sized: bool = False,
    ) -> None:
        self._viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))  # a plugin gets napari's wrapper
        self.source = source
        self.planes = planes
        self.region = region
        self.hierarchy: PCNetHierarchy | None = None
        self.record = RunRecord()
        self._origin = Origin(source.name)
        # As it is now: the image may move, or get other data.
        self._frame = Frame.of(source, planes, image_sized=image_sized)
        self._frame.check_memory()
        self._editable_px = editable_px
        self.has_image = True
        self._buffer = np.zeros(self._frame.shape, np.int32)
        self.is_pyramid = self._buffer.size > editable_px
        self._smoothed: NDArray[np.int32] | None = None
        self._before: dict[str, Any] | None = None
        self._replaced: Labels | None = None
        if layer is not None and layer.multiscale == self.is_pyramid:
            self.layer = layer
            self._take_over()
        else:
            self._replaced = layer
            self.layer = self._new_layer(layer)

    @classmethod
    def opened(cls, viewer: ViewerModel, layer: Labels, editable_px: int) -> ResultLayer | None:
        """The result that a layer shows whose trees came with it, as from a file; None if it shows no cut.

        It stands on the layer itself, since its image may not be there.
        """
        hierarchy, found = trees_of(layer.metadata), recorded_run(layer.metadata)
        if hierarchy is None or found is None or layer.multiscale:
            return None
        if hierarchy.base.size != layer.data.size:
            return None
        cut = LayerCut.make(hierarchy, *found)
        if not np.array_equal(cut.labels.reshape(layer.data.shape), layer.data):  # someone has painted
            return None
        source = Source(layer)
        result = cls(viewer, source, source.planes(RunRecord(channel_axis=None)), editable_px, layer)
        result.has_image = False
        result.finish(hierarchy, cut)
        return result

    # -- a run -------------------------------------------------------------------------------------

    def write(self, k: int, window: Window, ids: NDArray[np.int32]) -> None:
        """Put a window of the base into the layer's data, from any thread; the next refresh draws it."""
        part = self._buffer[self._frame.part]
        plane = part[np.unravel_index(k, part.shape[:-2])]
        np.add(ids, 1, out=plane[window.slices])

    @property
    def buffer(self) -> NDArray[np.int32] | None:
        """The array that the layer shows while it is filled; None if it is larger than the labels."""
        return None if self._frame.is_larger else self._buffer.reshape(self.planes.shape)

    def finish(self, hierarchy: PCNetHierarchy, cut: LayerCut) -> None:
        """Show the labels of a finished run."""
        self.hierarchy = hierarchy
        self.settle(cut)
        framed = replace(hierarchy, base=self.framed_base) if self._frame.is_larger else hierarchy
        self.layer.metadata = self.layer.metadata | {TREES: framed}
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
    def origin(self) -> Origin:
        """Where the image came from, by the name that it has now."""
        return replace(self._origin, image=self.source.name) if self.has_image else self._origin

    @property
    def framed_base(self) -> NDArray[np.int32]:
        """Region of each pixel of the layer, `OUTSIDE` where there is none."""
        assert self.hierarchy is not None, "a run is done"
        return self._frame.around(self.hierarchy.base, OUTSIDE)

    @property
    def transform(self) -> Mapping[str, Any]:
        """Options of a layer that lies where this one was put."""
        return self._frame.transform

    @property
    def viewer(self) -> ViewerModel:
        """The viewer that the layer is in, which a result does not keep alive."""
        viewer = self._viewer()
        assert viewer is not None, "a viewer has its layers"
        return viewer

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self.viewer.layers

    def uses(self, layer: Layer) -> bool:
        """Whether this is the result's layer, or the image that it is of, or a channel of that."""
        return layer in (self.layer, *self.source.layers)

    @property
    def is_edited(self) -> bool:
        """Whether the labels are no longer those of the run: painted on, or replaced."""
        shown = self.layer.data[0] if self.layer.multiscale else self.layer.data
        if shown is not self._shown:
            return True
        return not self.is_pyramid and not np.array_equal(shown, self._labels())

    def cut(self, record: RunRecord, check: Callable[[], None] = lambda: None) -> LayerCut:
        """Make the cut that a record names; `check` may raise in between."""
        assert self.hierarchy is not None, "a run is done"
        return LayerCut.make(self.hierarchy, record, self.origin, check)

    def slide(self, n: int | None = None, height: float | None = None) -> None:
        """Show another cut of the trees at once, without smoothing; `settle` completes it."""
        assert self.hierarchy is not None, "a run is done"
        self._show_layer()
        self._table, self._smoothed = self.hierarchy.table(n, height=height, nearest=True), None
        if not self.is_pyramid:
            part = self._buffer[self._frame.part]
            part[...] = self._table[self.hierarchy.base.reshape(part.shape)]
        elif isinstance(self._shown, LookupArray):
            for level in self.layer.data:
                level.table = self._table
        else:
            self._show([LookupArray(level, self._table) for level in pyramid_levels(self.framed_base)])
            return
        self.layer.refresh(extent=False, thumbnail=False)

    def settle(self, cut: LayerCut) -> None:
        """Complete a cut that `slide` may have shown already: labels as an array, features, record."""
        self.record, self._origin, self._table = cut.record, cut.origin, cut.table
        if np.may_share_memory(cut.labels, self._buffer):
            self.layer.refresh(extent=False)  # cheaper than new data
        else:
            self._buffer = self._frame.around(cut.labels.astype(np.int32, copy=False))
            self._show(pyramid_levels(self._buffer) if self.is_pyramid else self._buffer)
        if cut.record.smoothing:  # the table does not give these labels, and a plain array can be painted on
            self._smoothed = self._buffer if self.is_pyramid else self._buffer.copy()
        else:
            self._smoothed = None
        self.layer.features = cut.features
        self.layer.metadata = self.layer.metadata | {KEY: cut.notes}

    def add_cut(self, cut: LayerCut, name: str) -> Labels:
        """Add another cut as a layer of its own."""
        labels = self._frame.around(cut.labels)
        layer = _labels_layer(labels, self.is_pyramid, name, self._frame.transform)
        layer.features = cut.features
        layer.metadata = {KEY: cut.notes}
        self.viewer.add_layer(layer)
        return layer

    def again(self) -> ResultLayer:
        """The same cut in a new layer, where someone has painted on this one."""
        assert self.hierarchy is not None, "a run is done"
        result = ResultLayer(
            self.viewer,
            self.source,
            self.planes,
            self._editable_px,
            region=self.region,
            image_sized=self._frame.is_larger,
        )
        result.finish(self.hierarchy, self.cut(self.record))
        return result

    def editable_copy(self) -> Labels:
        """Add the labels of the cut that is shown, whatever was painted since, as `add_editable` does."""
        return add_editable(self.viewer, self.layer, self._labels())

    def _labels(self) -> NDArray[np.integer[Any]]:
        """The labels of the cut that is shown, whatever was painted since."""
        if self._smoothed is not None:
            return self._smoothed
        assert self.hierarchy is not None, "a run is done"
        return self._frame.around(self.hierarchy.look_up(self._table))

    def _show_layer(self) -> None:
        """Show the layer, which 'Make editable' may have hidden; napari draws again at each setting."""
        if not self.layer.visible:
            self.layer.visible = True

    def _show(self, data: Any) -> None:
        self.layer.data = data
        self._shown = self.layer.data[0] if self.is_pyramid else self.layer.data

    def _take_over(self) -> None:
        data = list(self.layer.data) if self.is_pyramid else self.layer.data
        self._before = {"data": data, "metadata": dict(self.layer.metadata)}
        self._before |= {name: getattr(self.layer, name) for name in ("visible", *self._frame.transform)}
        self._show_layer()
        self._place(self._frame.transform)
        self._show(pyramid_levels(self._buffer) if self.is_pyramid else self._buffer)

    def _place(self, transform: Mapping[str, Any]) -> None:
        """Set what differs; napari draws again at each setting."""
        for name, value in transform.items():
            now, then = getattr(self.layer, name), value
            if name == "shear":
                now, then = (shear_matrix(each, self.layer.ndim) for each in (now, then))
            if not np.array_equal(np.asarray(now), np.asarray(then)):
                setattr(self.layer, name, value)

    def _new_layer(self, like: Labels | None) -> Labels:
        name = f"{self.source.name.removesuffix(AS_CHANNELS)} superpixels" if like is None else like.name
        layer = _labels_layer(self._buffer, self.is_pyramid, name, self._frame.transform)
        self.viewer.add_layer(layer)
        self._shown = layer.data[0] if self.is_pyramid else layer.data
        return layer


def add_editable(
    viewer: ViewerModel, layer: Labels, labels: NDArray[np.integer[Any]] | None = None
) -> Labels:
    """Add a layer's labels as a plain array, which napari can paint on, and show it in place of the layer.

    It is filled: where two superpixels become one, one sees so. Under the outlines of a run's layer nothing
    would change. `labels` stand in place of those that the layer holds.
    """
    if labels is None:
        labels = layer.data[0] if layer.multiscale else layer.data
    copy = _labels_layer(np.array(labels), False, f"{layer.name} (editable)", place_of(layer))
    copy.features = layer.features
    copy.metadata = {KEY: layer.metadata[KEY]}
    copy.contour, copy.opacity = 0, EDITABLE_OPACITY
    viewer.add_layer(copy)
    layer.visible = False
    return copy


def _labels_layer(
    labels: NDArray[np.integer[Any]], is_pyramid: bool, name: str, transform: Mapping[str, Any]
) -> Labels:
    data = pyramid_levels(labels) if is_pyramid else labels
    layer = Labels(data, multiscale=is_pyramid, name=name, **transform)
    layer.contour = 1
    return layer


def pyramid_levels(array: NDArray[np.integer[Any]]) -> list[NDArray[np.integer[Any]]]:
    """A pyramid of views of one array: every second pixel, every fourth, and so on."""
    levels, step = [array], 2
    while len(levels) < 2 or max(levels[-1].shape[-2:]) > SMALLEST_LEVEL_PX:
        levels.append(array[..., ::step, ::step])
        step *= 2
    return levels
