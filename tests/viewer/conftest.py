"""A viewer with the dock widget in it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import napari
import numpy as np
import pytest
from actions import N, wait_for_threads, wait_until_gone
from napari._qt.qt_viewer import QtViewer
from napari.settings import get_settings
from napari.utils.colormap_backend import ColormapBackend
from napari.utils.triangulation_backend import TriangulationBackend
from pytestqt.qtbot import QtBot
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pcnet import pcnet_hierarchy
from napari_pcnet.merging import passes
from napari_pcnet.plugin import machine
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.machine import Machine, measure_machine
from napari_pcnet.plugin.viewer_events import enter_canvas
from napari_pcnet.plugin.widget import SuperpixelsWidget

WINDOW_PX = (1089, 660)
"""Width and height of the viewer's window; a larger one shows more of a pyramid at full resolution."""


@pytest.fixture(scope="session")
def viewer(qapp: QApplication) -> Iterator[napari.Viewer]:
    """One viewer for all tests that leave it as it was: to open another takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        # as napari's own fixture has it: no preferences of the user's, no thread, nothing kept at the end
        get_settings().reset()
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        viewer = napari.Viewer(show=True, show_welcome_screen=False)
        window = viewer.window._qt_window
        patch.setattr(window, "_save_current_window_settings", lambda: None)
        viewer.layers.events.removing.connect(lambda _event: enter_canvas(viewer))  # also without the widget
        QtViewer._instances.discard(window._qt_viewer)  # that fixture wants to find no other
        viewer.window.resize(*WINDOW_PX)
        assert QTest.qWaitForWindowExposed(window, 5000)
        gc.collect()
        gc.freeze()  # napari collects garbage wherever a layer is removed
        yield viewer
        viewer.close()


@pytest.fixture
def make_napari_viewer(make_napari_viewer: Callable[..., napari.Viewer]) -> Callable[..., napari.Viewer]:
    """napari's own fixture, which has set preferences back."""
    _keep_napari_from_compiling()
    return make_napari_viewer


def _keep_napari_from_compiling() -> None:
    """Have shapes and the colours of labels in Python: numba would take some ten seconds for each."""
    experimental = get_settings().experimental
    experimental.triangulation_backend = TriangulationBackend.pure_python
    experimental.colormap_backend = ColormapBackend.pure_python


@pytest.fixture(scope="session")
def measured() -> Callable[[Job, str], Machine]:
    """Measure each device once; tests with a viewer of their own measure it themselves."""
    known: dict[str, Machine] = {}

    def measure(job: Job, device: str) -> Machine:
        if device not in known:
            known[device] = measure_machine(job, device)
        return known[device]

    return measure


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Compile in this thread: in a job's, numba would set and unset filters of warnings beside napari's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(passes.SWITCH, "1")
        pcnet_hierarchy(np.zeros((70, 80), np.uint8), 5, smoothing=1.0, confidence=True).labels(3)


@pytest.fixture
def opened(
    viewer: napari.Viewer,
    measured: Callable[[Job, str], Machine],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[napari.Viewer, SuperpixelsWidget]]:
    """The viewer with the widget, warmed up; afterwards it is as it was, and no thread is left."""
    monkeypatch.setattr(machine, "measure_machine", measured)
    _keep_napari_from_compiling()
    before = _state_of(viewer)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    widget.form.size_fields.count.setValue(N)
    yield viewer, widget
    wait_for_threads(qtbot)
    viewer.window.remove_dock_widget("all")
    wait_until_gone(widget, qtbot)
    wait_for_threads(qtbot)
    viewer.layers.clear()
    viewer.dims.update(before["dims"])
    viewer.scene.camera.update(before["camera"])
    viewer.theme = before["theme"]
    QApplication.processEvents()  # the window is laid out without what made it higher
    viewer.window.resize(*WINDOW_PX)
    assert _state_of(viewer) == before


def _state_of(viewer: napari.Viewer) -> dict[str, Any]:
    """What a test may leave behind in a viewer; ``slots`` are those of the events that the widget follows."""
    layers, dims = viewer.layers.events, viewer.dims.events
    followed = (
        *(layers.inserted, layers.removed, layers.reordered, viewer.layers.selection.events.active),
        *(viewer.scene.camera.events, dims.point, dims.order, dims.ndisplay, viewer.canvas.events.size),
    )
    return {
        "layers": list(viewer.layers),
        "dims": viewer.dims.model_dump(),
        "camera": viewer.scene.camera.model_dump(),
        "theme": viewer.theme,
        "size": viewer.window.geometry()[2:],
        "slots": [slot for event in followed for slot in event.callbacks],
    }
