"""What tests do with the viewer and the widget: pictures, a run, waiting, the state of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.compat import isalive
from qtpy.QtCore import QPoint, QPointF, Qt, QThreadPool
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QDockWidget, QWidget

from napari_pcnet.plugin import jobs
from napari_pcnet.plugin.metadata import recorded_run
from napari_pcnet.plugin.preview import NAME as PREVIEW
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord

N = 12
"""Superpixels of a run, where a test names no other number."""

TURNED = {
    "scale": (0.5, 2.0),
    "rotate": 30,
    "shear": (0.25,),
    "translate": (100, -50),
    "affine": np.array([[0.8, 0.3, 5], [-0.2, 1.1, -7], [0, 0, 1]]),
    "units": ("micrometer", "micrometer"),
    "axis_labels": ("down", "across"),
}
"""Where an image of two axes may lie, as options of its layer."""


def wait_for_threads(qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not jobs._running, timeout=60_000)
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=60_000)


def drawn_picture(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise on a few large patches: something to find edges in."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, [max(1, side // 16) if side > 8 else side for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, -(-side // coarse.shape[axis]), axis=axis)
    fine: NDArray[np.uint8] = coarse[tuple(map(slice, shape))] + random.integers(0, 50, shape)
    return fine.astype(np.uint8)


def run_widget(widget: SuperpixelsWidget, qtbot: QtBot) -> Labels:
    """Run what is chosen, and wait until all of it is shown."""
    before = widget.result
    widget.run()
    wait_for_run(widget, qtbot)
    assert widget.result is not None and widget.result is not before, widget.run_panel.message.text()
    return widget.result.layer


def wait_for_run(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    qtbot.wait(10)


def wait_until_settled(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Wait until the slider's cut is an array with its features and record."""
    qtbot.waitUntil(lambda: widget.cutting.is_settled, timeout=60_000)


def choose_in(box: QComboBox, text: str) -> None:
    texts = [box.itemText(k) for k in range(box.count())]
    (at,) = [k for k, each in enumerate(texts) if each.startswith(text)]
    box.setCurrentIndex(at)


def close_dock_of(widget: SuperpixelsWidget) -> None:
    """Click the x of the dock that a widget is in."""
    dock = widget.parent()
    assert isinstance(dock, QDockWidget)
    dock.title.close_button.click()


def wait_until_gone(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Wait until Qt has deleted its part of a widget."""
    qtbot.waitUntil(lambda: not isalive(widget))


def turn_wheel(over: QWidget, eighths_of_degrees: int) -> bool:
    """Turn the mouse wheel over a widget, forwards above 0; whether it keeps that from its parent."""
    middle = over.rect().center()
    event = QWheelEvent(
        QPointF(middle),
        QPointF(over.mapToGlobal(middle)),
        QPoint(),
        QPoint(0, eighths_of_degrees),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(over, event)
    return event.isAccepted()


def record_of(layer: Layer) -> RunRecord:
    found = recorded_run(layer.metadata)
    assert found is not None
    return found[0]


def camera_of(viewer: napari.Viewer) -> Any:
    return getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it


def look_at(viewer: napari.Viewer, centre: Sequence[float], zoom: float) -> None:
    camera = camera_of(viewer)
    camera.center = centre
    camera.zoom = zoom
    QApplication.processEvents()


def state_of(viewer: napari.Viewer) -> list[dict[str, Any]]:
    """All that a run might change of the layers; data as the very objects."""
    return [
        {
            "layer": layer,
            "name": layer.name,
            "data": list(layer.data) if getattr(layer, "multiscale", False) else layer.data,
            "pixels": np.array(layer.data[0] if getattr(layer, "multiscale", False) else layer.data),
            "metadata": dict(layer.metadata),
            "features": layer.features.to_numpy(na_value=-1) if hasattr(layer, "features") else None,
            "visible": layer.visible,
            "units": layer.units,
            "axis_labels": layer.axis_labels,
            **{name: np.array(getattr(layer, name)) for name in ("scale", "translate", "rotate", "shear")},
            "affine": layer.affine.affine_matrix.copy(),
        }
        for layer in viewer.layers
    ]


def assert_same_state(viewer: napari.Viewer, before: list[dict[str, Any]]) -> None:
    after = state_of(viewer)
    assert [each["layer"] for each in after] == [each["layer"] for each in before]
    for was, now in zip(before, after, strict=True):
        was_data, now_data = was["data"], now["data"]
        for one, other in zip(
            was_data if isinstance(was_data, list) else [was_data],
            now_data if isinstance(now_data, list) else [now_data],
            strict=True,
        ):
            assert one is other
        for name, value in was.items():
            if name == "data":
                continue
            if isinstance(value, np.ndarray):
                assert_array_equal(now[name], value, err_msg=name)
            else:
                assert now[name] == value, name


def pyramid_of(pixels: NDArray[Any], levels: int) -> list[NDArray[Any]]:
    return [pixels[:: 2**k, :: 2**k] for k in range(levels)]


def rgba_picture() -> NDArray[np.uint8]:
    pixels = drawn_picture(48, 64, 4)
    pixels[..., 3] = 255
    pixels[:, :20, 3] = 0
    return pixels


def add_large_image(viewer: napari.Viewer) -> Image:
    """An image that 500 superpixels take two windows of."""
    return viewer.add_image(np.tile(drawn_picture(92, 92, 3), (8, 8, 1)), name="large")


def start_run(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Start a run and wait until some of it is done."""
    widget.form.size_fields.count.setValue(500)
    widget.run()
    assert widget.job is not None, widget.run_panel.message.text()
    with qtbot.waitSignal(widget.job.progressed, timeout=60_000):
        pass


def previews_of(viewer: napari.Viewer) -> list[Labels]:
    return [each for each in viewer.layers if each.name == PREVIEW]
