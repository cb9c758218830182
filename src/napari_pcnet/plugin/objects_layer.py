"""The layer of objects: a drag merges superpixels into one, Shift detaches, a double click splits."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari_pcnet.annotation.objects import detach, merge_into, split, unused_number
from napari_pcnet.annotation.strokes import NOTHING
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.plugin.annotated_layer import NO_NODE, AnnotatedLayer


class ObjectsLayer(AnnotatedLayer):
    """The layer of an annotation whose numbers are objects; parameters as `AnnotatedLayer` has them."""

    NUMBERS = "objects"

    def _drag(self, _layer: object, event: Any) -> Generator[None, None, None]:
        """A stroke: what the mouse touches becomes one object with what it begins on."""
        if not self.is_active or event.button != 1 or "Alt" in event.modifiers:
            return
        at = self._pixel_at(event.position)
        region = self._region_at(at)
        if region == OUTSIDE:
            return
        if "Shift" in event.modifiers:
            self._changes(detach(self.annotation, region, self._counts()))
            return
        number = self.annotation.number_of(region)
        is_new = number == NOTHING
        if is_new:
            try:
                number = unused_number(self.annotation)
            except ValueError as error:
                self.refused.emit(str(error))
                return
        self.annotation.begin()
        if is_new:
            self._changes(merge_into(self.annotation, number, self._piece_at(at)))
        yield
        while event.type == "mouse_move":
            before, at = at, self._pixel_at(event.position)
            for region in self._regions_between(before, at):
                if self.annotation.number_of(region) != number:
                    self._changes(merge_into(self.annotation, number, self._node_of(region)))
            self._outline_node(self._piece_at(at))
            yield
        self.annotation.end()
        self.draw_soon()

    def _double_click(self, event: Any) -> None:
        region = self._region_at(self._pixel_at(event.position))
        if region != OUTSIDE:
            try:
                self._changes(split(self.annotation, region))
            except ValueError as error:
                self.refused.emit(str(error))
            self._outline_node(NO_NODE)

    def _keys(self) -> dict[str, Callable[[Any], Any]]:
        keys = super()._keys()
        return {key: keys[key] for key in ("Control-Z", "Control-Shift-Z", "Space")}

    def _changes(self, is_other: bool) -> None:
        if is_other:
            self.draw_soon()
