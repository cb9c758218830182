"""Learning the rest in a real viewer: the buttons of the dock, the key, the layer that is drawn."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from actions import close_dock_of, run_widget
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_pcnet.plugin.predicted_layer import CLASSES
from napari_pcnet.plugin.widget import SuperpixelsWidget


def _fields() -> NDArray[np.uint8]:
    """A picture of dark and bright fields like a chess board."""
    board = np.kron(np.indices((3, 4)).sum(axis=0) % 2, np.ones((40, 40), int))
    noise = np.random.default_rng(0).integers(0, 30, (*board.shape, 3))
    return (board[..., None] * (140, 90, 60) + 40 + noise).astype(np.uint8)


def test_the_rest_is_learnt_looked_at_accepted_and_saved(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    viewer, widget = opened
    picture = _fields()
    viewer.add_image(picture, name="a")
    viewer.reset_view()
    rows = widget.annotation_panel.learning
    assert not rows.learn_button.isEnabled()
    base = run_widget(widget, qtbot).data
    widget.annotate()
    qtbot.waitUntil(lambda: widget.annotating.layer is not None)
    assert rows.learn_button.isEnabled() and not rows.accept_button.isEnabled()
    rows.learn_button.click()
    assert widget.run_panel.message.text() == "Paint two classes before the rest is learnt"
    annotation, hierarchy = widget.annotating.annotation, widget.annotating._result.hierarchy
    assert annotation is not None and base.max() > 2
    widget.annotating.press_key("2")
    is_bright = picture[..., 0] > 100
    with annotation.stroke():
        for at, number in (((20, 20), 1), ((20, 60), 2), ((60, 20), 2), ((60, 60), 1)):
            node = annotation.nested.node_at(int(hierarchy.base[at]), widget.cutting.counts)
            annotation.assign(node, number)
    rows.learn_button.click()
    qtbot.waitUntil(lambda: not widget.learning.is_busy, timeout=60_000)
    qtbot.wait(20)
    layer = viewer.layers["a predicted"]
    shown = np.asarray(layer.data)
    is_shown = shown > 0
    assert is_shown.mean() > 0.3 and ((shown % CLASSES == 2) == is_bright)[is_shown].mean() > 0.97
    assert rows.accept_button.isEnabled()
    assert viewer.layers.selection.active is widget.annotating.layer
    scribbles = widget.annotation_panel.scribbles_box
    result = widget.result.layer
    viewer.add_labels(result.data, name="copy of a run", metadata=result.metadata)
    viewer.add_labels(np.zeros_like(result.data), name="drawn")
    assert [scribbles.itemText(k) for k in range(scribbles.count())] == ["drawn"]
    del viewer.layers["copy of a run"], viewer.layers["drawn"]
    viewer.layers.selection.active = widget.annotating.layer

    before = viewer.scene.camera.center
    QTest.keyClick(viewer.window._qt_window._qt_viewer.canvas.native, Qt.Key.Key_N)
    QApplication.processEvents()
    assert viewer.scene.camera.center != before
    assert widget.run_panel.message.text().endswith("% of the votes")

    for number in (1, 2):
        widget.annotating.choose_class(number)
        rows.accept_button.click()
    qtbot.wait(20)
    assert ((np.asarray(widget.annotating.layer.data) == 2) == is_bright).mean() > 0.97
    assert not np.asarray(layer.data).any()

    path = tmp_path / "fields"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (f"{path}.safetensors", ""))
    rows.save_button.click()
    assert path.with_suffix(".safetensors").exists()
    rows.load_button.click()
    qtbot.waitUntil(lambda: not widget.learning.is_busy, timeout=60_000)
    assert widget.run_panel.message.text().startswith("The forest was asked")
    annotated = np.asarray(widget.annotating.layer.data).copy()
    classes = widget.annotating.layer
    close_dock_of(widget)
    assert "a predicted" not in viewer.layers
    assert_array_equal(classes.data, annotated)
