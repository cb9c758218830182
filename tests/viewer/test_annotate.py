"""Annotating in a real viewer: Qt's mouse and keys on the canvas, the table in the dock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import napari
import numpy as np
import pytest
from actions import close_dock_of, drawn_picture, run_widget, wait_until_settled
from napari._app_model import get_app_model
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_pcnet.annotation.journal import fingerprint
from napari_pcnet.plugin import jobs, opening
from napari_pcnet.plugin.annotated_layer import OUTLINE
from napari_pcnet.plugin.annotation_panel import AREA, NAME
from napari_pcnet.plugin.lookup_layer import LookupLayer
from napari_pcnet.plugin.widget import SuperpixelsWidget

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
SHIFT = Qt.KeyboardModifier.ShiftModifier
PLAIN = Qt.KeyboardModifier.NoModifier


class Canvas:
    """The canvas of a viewer, by pixels of an image that lies at the world's origin."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.widget: QWidget = viewer.window._qt_window._qt_viewer.canvas.native

    def move(self, at: Sequence[float]) -> None:
        self._send(QEvent.Type.MouseMove, at, NONE, NONE, PLAIN)

    def drag(self, *path: Sequence[float], modifiers: Any = PLAIN) -> None:
        """Press at the first point, move over the others, release at the last; one point is a click."""
        self._send(QEvent.Type.MouseButtonPress, path[0], LEFT, LEFT, modifiers)
        for at in path[1:]:
            self._send(QEvent.Type.MouseMove, at, NONE, LEFT, modifiers)
        self._send(QEvent.Type.MouseButtonRelease, path[-1], LEFT, NONE, modifiers)
        QApplication.processEvents()

    def press(self, key: Any, modifiers: Any = PLAIN) -> None:
        QTest.keyClick(self.widget, key, modifiers)
        QApplication.processEvents()

    def _send(self, kind: Any, at: Sequence[float], button: Any, buttons: Any, modifiers: Any) -> None:
        camera = self.viewer.scene.camera
        row, column = (np.array(at) - np.array(camera.center)[-2:]) * camera.zoom
        place = QPointF(self.widget.width() / 2 + column, self.widget.height() / 2 + row)
        where = QPointF(self.widget.mapToGlobal(place.toPoint()))
        QApplication.sendEvent(self.widget, QMouseEvent(kind, place, where, button, buttons, modifiers))


def middle_of(labels: NDArray[Any], label: int) -> tuple[float, float]:
    """A pixel of a superpixel that lies as far inside as any."""
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(np.pad(labels == label, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return float(row), float(column)


def annotate(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Begin to annotate, and wait until one can."""
    widget.annotate()
    qtbot.waitUntil(lambda: widget.annotating.layer is not None)


def test_a_run_or_a_dock_that_is_closed_comes_before_an_annotation_that_is_opened(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3, seed=6), name="a")
    run_widget(widget, qtbot)
    go = threading.Event()
    monkeypatch.setattr(opening, "fingerprint", lambda given: (go.wait(60), fingerprint(given))[1])
    widget.annotate()
    widget.form.size_fields.count.setValue(20)
    run_widget(widget, qtbot)
    widget.annotate()
    close_dock_of(widget)
    go.set()
    qtbot.waitUntil(lambda: not jobs._running)
    qtbot.wait(10)
    assert [each.name for each in viewer.layers] == ["a", "a superpixels"]


def test_superpixels_are_painted_with_mouse_and_keys(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(100, 120, 3), name="a")
    viewer.reset_view()
    panel = widget.annotation_panel
    assert not panel.start_button.isEnabled() and not panel.table.isEnabled()
    labels = run_widget(widget, qtbot).data.copy()
    panel.start_button.click()
    assert panel.title() == "Annotate: getting ready ..."
    qtbot.waitUntil(lambda: widget.annotating.layer is not None)
    assert panel.title() == "Annotate"
    layer = viewer.layers.selection.active
    assert layer.name == "a classes" and "keys 1 to 9" in widget.run_panel.message.text().lower()
    canvas = Canvas(viewer)
    camera = viewer.scene.camera.model_dump()
    one, other = middle_of(labels, 1), middle_of(labels, 12)

    canvas.drag(one)
    assert_array_equal(layer.data, labels == 1)
    canvas.press(Qt.Key.Key_2)
    canvas.drag(other)
    assert_array_equal(layer.data, (labels == 1) + 2 * (labels == 12))
    assert [panel.table.item(row, AREA).text() for row in (0, 1)] == [
        f"{(labels == label).sum():,}" for label in (1, 12)
    ]
    widget.annotating.change_class(2, {"name": "background"})
    needed = panel.table.sizeHintForIndex(panel.table.model().index(1, NAME))
    assert needed.width() <= panel.table.columnWidth(NAME)  # in a dock that is as narrow as it may be
    canvas.drag(other)
    assert_array_equal(layer.data, labels == 1)

    canvas.drag(one, other)  # a quick one: two events far apart
    touched = np.unique(labels[layer.data == 2])
    assert len(touched) > 2 and 12 in touched and set(np.unique(layer.data)) <= {0, 1, 2}
    assert_array_equal(layer.data == 2, np.isin(labels, touched) & (layer.data != 1))
    canvas.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert_array_equal(layer.data, labels == 1)
    canvas.drag(one, modifiers=SHIFT)
    assert not layer.data.any()
    panel.undo_button.click()
    QApplication.processEvents()
    assert_array_equal(layer.data, labels == 1)
    assert viewer.scene.camera.model_dump() == camera  # no drag moved the view

    for n in (3, 40, 12):
        widget.slide(n)
        QApplication.processEvents()
        assert_array_equal(layer.data, labels == 1)
    canvas.move(other)
    qtbot.wait(10)
    assert_array_equal(viewer.layers[OUTLINE].data, labels == 12)
    assert OUTLINE not in [panel.scribbles_box.itemText(k) for k in range(panel.scribbles_box.count())]
    wait_until_settled(widget, qtbot)

    close_dock_of(widget)
    assert OUTLINE not in viewer.layers and layer.mouse_pan
    assert_array_equal(layer.data, labels == 1)


def test_the_command_of_the_menu_annotates_and_strokes_come_back(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3, seed=5), name="a")
    viewer.reset_view()
    labels = run_widget(widget, qtbot).data.copy()

    def annotate() -> Any:
        get_app_model().commands.execute_command("napari-pcnet.annotate").result()
        qtbot.waitUntil(lambda: not widget.annotating.is_opening)
        return viewer.layers.selection.active

    layer = annotate()
    assert annotate() is layer  # it is under way
    Canvas(viewer).drag(middle_of(labels, 3))
    assert_array_equal(layer.data, labels == 3)
    viewer.layers.remove(layer)
    assert widget.annotating.layer is None and not widget.annotation_panel.table.isEnabled()
    again = annotate()
    assert again is not layer and "1 strokes of an earlier session" in widget.run_panel.message.text()
    assert_array_equal(again.data, labels == 3)


def test_any_strokes_stay_at_every_count_and_undo_to_the_first_state(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(160, 200, 3, seed=8), name="a")
    viewer.reset_view()
    widget.form.size_fields.count.setValue(300)
    run_widget(widget, qtbot)
    annotate(widget, qtbot)
    annotation, layer = widget.annotating.annotation, widget.annotating.layer
    assert annotation is not None and layer is not None and widget.cutting.counts == (300,)
    canvas, random = Canvas(viewer), np.random.default_rng(3)
    states = [annotation.table.copy()]
    for at in range(40):
        canvas.press(getattr(Qt.Key, f"Key_{random.integers(1, 4)}"))
        path = random.uniform((2, 2), (157, 197), (random.integers(1, 4), 2))
        canvas.drag(*path, modifiers=SHIFT if at % 7 == 6 else PLAIN)
        if not np.array_equal(annotation.table, states[-1]):
            states.append(annotation.table.copy())
    last = np.asarray(layer.data).copy()
    assert len(states) > 35 and set(np.unique(last)) == {0, 1, 2, 3}

    for n in (60, 3000, 300):
        widget.cut_panel.n_box.setValue(n)
        QApplication.processEvents()
        assert widget.cutting.counts == (n,)
        assert_array_equal(layer.data, last)
    for expected in states[-2::-1]:
        canvas.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert_array_equal(annotation.table, expected)
    assert not annotation.can_undo and not np.asarray(layer.data).any()
    for expected in states[1:]:
        canvas.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | SHIFT)
        assert_array_equal(annotation.table, expected)
    assert_array_equal(layer.data, last)
    wait_until_settled(widget, qtbot)


def test_moves_of_one_turn_are_drawn_once(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(100, 120, 3), name="a")
    viewer.reset_view()
    run_widget(widget, qtbot)
    drawn: list[str] = []
    draw = LookupLayer.draw
    monkeypatch.setattr(LookupLayer, "draw", lambda layer: (drawn.append(layer.layer.name), draw(layer))[1])
    annotate(widget, qtbot)
    QApplication.processEvents()
    drawn.clear()
    Canvas(viewer).drag(*((row, 3 * row) for row in range(5, 35)))  # 30 events, then one turn of the loop
    assert sorted(drawn) == ["a classes", OUTLINE]
