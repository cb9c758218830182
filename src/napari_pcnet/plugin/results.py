"""The results of a session: the layer of each run that is done, and which of them the slider cuts."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer

from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.roi import RegionPlace
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import RunRecord

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

_left: dict[int, Results] = {}
"""What widgets that are closed have left, by the identity of their viewer."""


@dataclass(frozen=True)
class Place:
    """What a run segments: two runs of one place give one result, the later.

    Attributes
    ----------
    images : tuple of Image
    plane : tuple of int or None
        None for all planes.
    level : int
    channel_axis : int or None
        With another one, rows and columns are others.
    region : RegionPlace
    """

    images: tuple[Image, ...]
    plane: tuple[int, ...] | None
    level: int
    channel_axis: int | None
    region: RegionPlace

    @classmethod
    def of(cls, source: Source, record: RunRecord, region: RegionPlace) -> Place:
        """The place of a run on an image, in a region."""
        return cls(source.layers, record.plane, record.level, source.channel_axis, region)


class Results:
    """Results of runs, one for each `Place`.

    Attributes
    ----------
    current : ResultLayer or None
        The result that the slider cuts.
    """

    def __init__(self) -> None:
        self._by_key: dict[Place, ResultLayer] = {}
        self.current: ResultLayer | None = None

    @property
    def layers(self) -> set[Labels]:
        """The layers of all results."""
        return {each.layer for each in self._by_key.values()}

    @classmethod
    def of(cls, viewer: ViewerModel) -> Results:
        """Those that an earlier widget has left in a viewer, else none."""
        model = getattr(viewer, "__wrapped__", viewer)
        left = _left.pop(id(model), None)
        if left is None:
            return cls()
        model.layers.events.removed.disconnect(left._forget_removed)
        return left

    def leave(self, viewer: ViewerModel) -> None:
        """Keep what there is for the next widget in a viewer, as long as its layers are there."""
        model = getattr(viewer, "__wrapped__", viewer)
        if self._by_key:
            _left[id(model)] = self
            weakref.finalize(model, _left.pop, id(model), None)
            model.layers.events.removed.connect(self._forget_removed)

    def _forget_removed(self, event: Any) -> None:
        self.forget(event.value)
        if not self._by_key:
            event.source.events.removed.disconnect(self._forget_removed)
            for viewer in [viewer for viewer, left in _left.items() if left is self]:
                del _left[viewer]

    def add(self, result: ResultLayer) -> None:
        """Take in a result that is done, in place of an earlier one, and make it the current one."""
        self._by_key[Place.of(result.source, result.record, result.region)] = result
        self.current = result

    def layer_to_update(self, source: Source, record: RunRecord, region: RegionPlace) -> Labels | None:
        """The layer of an earlier run of the same place, unless someone has painted on it."""
        before = self._by_key.get(Place.of(source, record, region))
        if before is None or not before.is_there or before.is_edited:
            return None
        return before.layer if before.layer.ndim == len(source.layer_axes) else None

    def region_of(self, layer: Layer) -> RegionPlace | None:
        """The region of the result of an image that a layer shows; None if it shows none."""
        results = self._by_key.values()
        return next((each.region for each in results if each.layer == layer and each.has_image), None)

    def select(self, layer: Layer | None) -> bool:
        """Make the result of a layer the current one; whether it has one."""
        for result in self._by_key.values():
            if result.layer == layer:
                self.current = result
                return True
        return False

    def forget(self, layer: Layer) -> None:
        """Drop the results that are shown by a layer, or were made of it."""
        self._by_key = {key: each for key, each in self._by_key.items() if not each.uses(layer)}
        if self.current is not None and self.current.uses(layer):
            self.current = None

    def is_edited(self, layer: Layer) -> bool:
        """Whether a layer is a result that was painted on."""
        return any(each.layer == layer and each.is_edited for each in self._by_key.values())
