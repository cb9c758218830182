"""A viewer with the dock widget in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import napari
import numpy as np
import pytest
from actions import N, wait_for_threads
from pytestqt.qtbot import QtBot

from napari_pcnet import pcnet_hierarchy
from napari_pcnet.plugin.widget import SuperpixelsWidget


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Compile in this thread: in a job's, numba would set and unset filters of warnings beside napari's."""
    pcnet_hierarchy(np.zeros((70, 80), np.uint8), 5, smoothing=1.0, confidence=True).labels(3)


@pytest.fixture
def opened(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> Iterator[tuple[napari.Viewer, SuperpixelsWidget]]:
    """A viewer with the widget, warmed up; afterwards no thread may be left."""
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    widget.form.size_fields.count.setValue(N)
    yield viewer, widget
    wait_for_threads(qtbot)
