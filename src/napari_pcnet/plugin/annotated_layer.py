"""The layer of classes, which mouse and keys paint on, and the outline of the piece under the cursor.

napari calls the functions below with the layer; what it does itself with a double click and the wheel with
Alt (it zooms, and selects another layer) rests while this layer is the active one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_pcnet.annotation.classes import KEYS
from napari_pcnet.annotation.drawn import regions_along
from napari_pcnet.annotation.strokes import NOTHING, Annotation
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.plugin.boxes import single_shot
from napari_pcnet.plugin.lookup_layer import LookupLayer

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_pcnet.plugin.result_layer import ResultLayer

OUTLINE = "piece under the cursor"
"""Name of the layer with the outline."""

OUTLINE_PX = 2

OPACITY = 0.5
"""Of the classes: the image is seen through them."""

OFF_PX = 0.5
"""How far a corner of scribbles may lie from that of the classes."""

NO_NODE = -1
"""Stands for the piece under a cursor that is elsewhere."""


class AnnotatedLayer(QObject):
    """The layer of an annotation.

    Parameters
    ----------
    result : ResultLayer
        Whose superpixels are annotated; a run that is done.
    annotation : Annotation
    counts : callable
        ``counts()`` gives how many superpixels each plane has in the cut that is shown: the brush.
    parent : QObject
    """

    NUMBERS = "classes"
    """What numbers are, in the name of the layer."""

    changed = Signal()
    """Strokes were drawn, or undone."""
    key_pressed = Signal(str)
    """A user chose a class by its key; 0 erases."""
    picked = Signal(int)
    """A user picked the class under the cursor, 0 where there is none."""
    refused = Signal(str)
    """Why something cannot be done."""
    next_asked = Signal()
    """A user pressed the key that goes to the superpixel that is least certain."""
    lock_asked = Signal()
    """A user pressed the key that locks the class that is chosen, or lets it change again."""

    def __init__(
        self,
        result: ResultLayer,
        annotation: Annotation,
        counts: Callable[[], tuple[int, ...]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.annotation = annotation
        self.current = 1
        self._viewer = result.viewer
        self._counts = counts
        self._base = result.framed_base
        self._node = NO_NODE
        self._piece = np.zeros(annotation.nested.regions + 1, np.uint8)
        name = f"{result.source.name} {self.NUMBERS}"
        shape = (self._base, annotation.table, result.is_pyramid, name, result.transform)
        self._classes = LookupLayer(self._viewer, *shape)
        shape = (self._base, self._piece, result.is_pyramid, OUTLINE, result.transform)
        self._outline = LookupLayer(self._viewer, *shape, {1: "white"}, OUTLINE_PX)
        self.layer.opacity = OPACITY
        self._draw_timer = single_shot(self._draw, 0, self)
        self._outline_timer = single_shot(self._outline.draw, 0, self)
        self._quietened: list[tuple[list[Any], Any, Any]] = []
        self._take_mouse()
        self._take_keys()
        self._viewer.layers.selection.active = self.layer

    @property
    def layer(self) -> Labels:
        """The layer of classes."""
        return self._classes.layer

    @property
    def layers(self) -> set[Labels]:
        """Both layers."""
        return {self.layer, self._outline.layer}

    @property
    def is_active(self) -> bool:
        """Whether the mouse paints now: the layer is selected and seen, in 2D, and is not being moved."""
        layer = self.layer
        return bool(
            self._viewer.layers.selection.active == layer
            and layer.visible
            and layer.mode == "pan_zoom"
            and not layer.mouse_pan
            and self._viewer.dims.ndisplay == 2
        )

    def is_covered_by(self, other: Labels) -> bool:
        """Whether the pixels of a layer of the same shape lie on those of the classes."""
        corners = np.array([np.zeros(self.layer.ndim), np.subtract(self._base.shape, 1)])
        own = [self.layer.world_to_data(other.data_to_world(corner)) for corner in corners]
        return bool(np.abs(np.asarray(own) - corners).max() <= OFF_PX)

    def colour(self, colours: dict[int, str]) -> None:
        """Show classes in these colours."""
        self._classes.colour(colours)

    def show_cut(self) -> None:
        """Heed that another cut is shown: the piece under the cursor is another one when it moves."""
        self._outline_node(NO_NODE)

    def undo(self, _layer: object = None) -> None:
        """Undo the last stroke."""
        if self.annotation.undo():
            self.draw_soon()

    def redo(self, _layer: object = None) -> None:
        """Do the stroke again that was undone last."""
        if self.annotation.redo():
            self.draw_soon()

    def go_to(self, regions: NDArray[np.int64]) -> None:
        """Bring regions to the middle of the view, and outline the piece of the cut that they are in."""
        region = int(regions[len(regions) // 2])
        world = self.layer.data_to_world(self._pixel_of(region))
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        place = dict(enumerate(world, dims.ndim - self.layer.ndim))
        for axis in set(place) - set(dims.displayed):
            dims.set_point(axis, place[axis])
        middle = [place.get(axis, dims.point[axis]) for axis in dims.displayed]
        camera.center = (*camera.center[: -len(middle)], *middle)
        self._outline_node(self._node_of(region))

    def draw_soon(self) -> None:
        """Draw what has changed, once in this turn of the event loop."""
        if not self._draw_timer.isActive():
            self._draw_timer.start()

    def end(self) -> None:
        """Leave the layer as it is, to others; a stroke under way ends."""
        self.annotation.end()
        if self._draw_timer.isActive():
            self._classes.draw()
        for timer in (self._draw_timer, self._outline_timer):
            timer.stop()
        for callbacks, ours, own in self._quietened:
            callbacks[callbacks.index(ours)] = own
        self._quietened.clear()
        layer = self.layer
        layer.mouse_drag_callbacks[:] = [each for each in layer.mouse_drag_callbacks if each != self._drag]
        layer.mouse_move_callbacks[:] = [each for each in layer.mouse_move_callbacks if each != self._hover]
        layer.events.mode.disconnect(self._follow_mode)
        layer.keymap.clear()
        layer.mouse_pan = True
        if self._outline.layer in self._viewer.layers:
            self._viewer.layers.remove(self._outline.layer)

    # -- the mouse ---------------------------------------------------------------------------------

    def _take_mouse(self) -> None:
        layer = self.layer
        layer.mouse_drag_callbacks.append(self._drag)
        layer.mouse_move_callbacks.append(self._hover)
        layer.events.mode.connect(self._follow_mode)
        layer.mouse_pan = False  # the left button paints
        layer.cursor = "crosshair"
        self._quieten(self._viewer.mouse_wheel_callbacks, "layers_scroll", self._turn)
        self._quieten(self._viewer.mouse_double_click_callbacks, "double_click_to_zoom", self._double_click)

    def _quieten(self, callbacks: list[Any], name: str, instead: Callable[[Any], None]) -> None:
        """Call another function in place of one of napari's own while the layer is active."""
        for k, own in enumerate(callbacks):
            if getattr(own, "__name__", "") == name:
                ours = _unless(own, lambda: self.is_active, instead)
                callbacks[k] = ours
                self._quietened.append((callbacks, ours, own))

    def _follow_mode(self, _event: object = None) -> None:
        """Paint again when the user comes back from another mode, which lets the mouse move the view."""
        if self.layer.mode == "pan_zoom":
            self.layer.mouse_pan = False

    def _drag(self, _layer: object, event: Any) -> Generator[None, None, None]:
        """A stroke: what the mouse touches gets the class; one click on what has it already clears it."""
        if not self.is_active or event.button != 1 or "Alt" in event.modifiers:
            return
        at = self._pixel_at(event.position)
        number = NOTHING if "Shift" in event.modifiers else self.current
        first = self._piece_at(at)
        clears = first != NO_NODE and number != NOTHING and self.annotation.is_all(first, number)
        has_left = False
        self.annotation.begin()
        if not clears:
            self._assign(first, number)
        yield
        while event.type == "mouse_move":
            before, at = at, self._pixel_at(event.position)
            for region in self._regions_between(before, at):
                if first != NO_NODE and self._holds(first, region):
                    continue
                has_left = True
                self._assign(self._node_of(region), number)
            self._outline_node(self._piece_at(at))
            yield
        if clears and not has_left:
            self._assign(first, NOTHING)
        self.annotation.end()
        self.draw_soon()

    def _hover(self, _layer: object, event: Any) -> None:
        self._outline_node(self._piece_at(self._pixel_at(event.position)) if self.is_active else NO_NODE)

    def _double_click(self, _event: Any) -> None:
        """Two quick clicks are two clicks."""

    def _turn(self, event: Any) -> None:
        """Take the parent or a child of the piece under the cursor, by the wheel with Alt."""
        region = self._region_at(self._pixel_at(event.position))
        steps = float(np.sum(event.delta))  # with Alt, some systems turn the wheel's axis
        if "Alt" not in event.modifiers or region == OUTSIDE or not steps:
            return
        nested, node = self.annotation.nested, self._piece_at(self._pixel_at(event.position))
        self._outline_node(nested.parent_of(node) if steps > 0 else nested.child_of(node, region))

    # -- keys --------------------------------------------------------------------------------------

    def _take_keys(self) -> None:
        for key, function in self._keys().items():
            self.layer.bind_key(key, function, overwrite=True)

    def _keys(self) -> dict[str, Callable[[Any], Any]]:
        """What each key does."""
        return {
            **{key: self._presser(key) for key in f"{NOTHING}{KEYS}"},
            "p": self._pick,
            "l": lambda _layer: self.lock_asked.emit(),
            "n": lambda _layer: self.next_asked.emit(),
            "Control-Z": self.undo,
            "Control-Shift-Z": self.redo,
            "Space": self._move,
        }

    def _presser(self, key: str) -> Callable[[object], None]:
        return lambda _layer: self.key_pressed.emit(key)

    def _pick(self, _layer: object) -> None:
        region = self._region_at(self._pixel_at(self._viewer.cursor.position))
        if region != OUTSIDE:
            self.picked.emit(self.annotation.number_of(region))

    def _move(self, layer: Labels) -> Generator[None, None, None]:
        """Let the mouse move the view while the key is down."""
        layer.mouse_pan = True
        yield
        layer.mouse_pan = False

    # -- where -------------------------------------------------------------------------------------

    def _pixel_at(self, position: tuple[float, ...]) -> NDArray[np.float64]:
        """Where a point of the world lies in the layer, in pixels."""
        return np.asarray(self.layer.world_to_data(position), float)

    def _plane_of(self, pixel: NDArray[np.float64]) -> NDArray[np.int32] | None:
        """The regions of the plane that a pixel lies in; None if it lies in none."""
        index = np.rint(pixel[:-2]).astype(int)
        if (index < 0).any() or (index >= self._base.shape[:-2]).any():
            return None
        plane: NDArray[np.int32] = self._base[tuple(index)]
        return plane

    def _regions_between(self, start: NDArray[np.float64], stop: NDArray[np.float64]) -> list[int]:
        plane = self._plane_of(stop)
        return [] if plane is None else regions_along(plane, start[-2:], stop[-2:])

    def _region_at(self, pixel: NDArray[np.float64]) -> int:
        """The region of a pixel, `OUTSIDE` where there is none."""
        regions = self._regions_between(pixel, pixel)
        return regions[0] if regions else OUTSIDE

    def _pixel_of(self, region: int) -> tuple[int, ...]:
        """A pixel in the middle of those of a region, in their order."""
        ends = np.cumsum([tree.leaves for tree in self.annotation.nested.trees])
        plane = int(np.searchsorted(ends, region, side="right"))
        leading = self._base.shape[:-2]
        index = np.unravel_index(plane, leading) if leading else ()
        places = np.flatnonzero(self._base[index] == region)
        row, column = np.unravel_index(places[len(places) // 2], self._base.shape[-2:])
        return (*(int(each) for each in index), int(row), int(column))

    def _piece_at(self, pixel: NDArray[np.float64]) -> int:
        """The piece that a click takes: the outlined one, else the superpixel of the cut."""
        region = self._region_at(pixel)
        if region == OUTSIDE:
            return NO_NODE
        return self._node if self._holds(self._node, region) else self._node_of(region)

    def _node_of(self, region: int) -> int:
        return self.annotation.nested.node_at(region, self._counts())

    def _holds(self, node: int, region: int) -> bool:
        if node == NO_NODE:
            return False
        first, end = self.annotation.nested.span(node)
        return bool(first <= self.annotation.nested.rank[region] < end)

    # -- what is drawn -----------------------------------------------------------------------------

    def _assign(self, node: int, number: int) -> None:
        if node != NO_NODE and self.annotation.assign(node, number):
            self.draw_soon()

    def _draw(self) -> None:
        self._classes.draw()
        self.changed.emit()

    def _outline_node(self, node: int) -> None:
        if node == self._node:
            return
        for each, value in ((self._node, 0), (node, 1)):
            if each != NO_NODE:
                self._piece[self.annotation.nested.order[slice(*self.annotation.nested.span(each))]] = value
        self._node = node
        self._outline_timer.start()


def _unless(
    own: Callable[..., Any], is_ours: Callable[[], bool], instead: Callable[[Any], None]
) -> Callable[[Any, Any], None]:
    """A callback of the mouse that does one thing where the event is ours, else napari's own."""

    def heeded(viewer: Any, event: Any) -> None:
        if is_ours():
            instead(event)
        else:
            own(viewer, event)

    return heeded
