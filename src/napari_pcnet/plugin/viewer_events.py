"""Events of a viewer as Qt signals: layers come and go, the view moves, an image gets other data.

A viewer outlives a widget: all connections to it are cut when the widget goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari.viewer import Viewer


class ViewerEvents(QObject):
    """What happens in a viewer, as signals.

    Parameters
    ----------
    viewer : Viewer
    parent : QObject
    """

    layers_changed = Signal()
    """A layer came, went, moved in the list, or has another name."""
    layer_removed = Signal(object)
    """The layer that is gone."""
    active_changed = Signal()
    """Another layer is selected."""
    selection_changed = Signal()
    """Other layers are selected, one or several."""
    view_changed = Signal()
    """The view moved, or a layer that outlines a region was edited."""
    image_data_changed = Signal()
    """An image holds other data."""
    image_scale_changed = Signal()
    """An image has another pixel size or unit."""
    image_limits_changed = Signal()
    """An image has other contrast limits."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        layers = viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            self._connect(event, self._change_layers)
        self._connect(layers.removing, self._enter_canvas)
        self._connect(layers.removed, self._remove_layer)
        self._connect(viewer.layers.selection.events.active, self._change_active)
        self._connect(viewer.layers.selection.events.changed, self._change_selection)
        dims, canvas = viewer.dims.events, viewer.canvas.events
        for event in (viewer.scene.camera.events, dims.point, dims.order, dims.ndisplay, canvas.size):
            self._connect(event, self._change_view)

    def watch(self, layers: Iterable[Layer], regions: Iterable[Layer]) -> None:
        """Connect to the events of layers, and of those that may outline a region; to each once."""
        for layer in layers:
            self._connect(layer.events.name, self._change_layers)
            if isinstance(layer, Image):
                self._connect(layer.events.data, self._change_image_data)
                self._connect(layer.events.contrast_limits, self._change_image_limits)
                for event in (layer.events.scale, layer.events.units):
                    self._connect(event, self._change_image_scale)
        for layer in regions:
            self._connect(layer.events.data, self._change_view)
            if isinstance(layer, Labels):
                self._connect(layer.events.labels_update, self._change_view)

    def cut(self) -> None:
        """Undo all connections."""
        for event, slot in self._connections:
            event.disconnect(slot)
        self._connections.clear()

    def _connect(self, event: Any, slot: Callable[..., None]) -> None:
        if (event, slot) not in self._connections:
            event.connect(slot)
            self._connections.append((event, slot))

    def _change_layers(self, _event: object = None) -> None:
        self.layers_changed.emit()

    def _enter_canvas(self, _event: object = None) -> None:
        enter_canvas(self._viewer)

    def _remove_layer(self, event: Any) -> None:
        self.layer_removed.emit(event.value)

    def _change_active(self, _event: object = None) -> None:
        self.active_changed.emit()

    def _change_selection(self, _event: object = None) -> None:
        self.selection_changed.emit()

    def _change_view(self, _event: object = None) -> None:
        self.view_changed.emit()

    def _change_image_data(self, _event: object = None) -> None:
        self.image_data_changed.emit()

    def _change_image_limits(self, _event: object = None) -> None:
        self.image_limits_changed.emit()

    def _change_image_scale(self, _event: object = None) -> None:
        self.image_scale_changed.emit()


def enter_canvas(viewer: Viewer) -> None:
    """Make the OpenGL context of a viewer's canvas the current one, before a layer is removed.

    napari 0.9.2 deletes the buffers and textures of a layer in whatever context is current, often that in
    which Qt puts the window together. In the canvas's own they stay bound, and Mesa may crash when it draws
    next.
    """
    model = getattr(viewer, "__wrapped__", viewer)  # a plugin gets napari's wrapper
    with suppress(AttributeError, RuntimeError):  # no window, or none any more
        canvas = model.window._qt_window._qt_viewer.canvas.native
        if canvas.isValid():
            canvas.makeCurrent()


def is_open(viewer: Viewer) -> bool:
    """Whether a viewer still has its window."""
    try:
        viewer.window.geometry()
    except (AttributeError, RuntimeError):  # of Python's part of it, of Qt's
        return False
    return True
