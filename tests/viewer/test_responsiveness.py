"""While a large picture is segmented, the viewer's event loop goes on turning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import napari
import numpy as np
import pytest
from actions import N, drawn_picture, wait_for_run, wait_for_threads
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_pcnet.plugin import machine
from napari_pcnet.plugin.widget import SuperpixelsWidget

LONGEST_WORK_S = 0.25
"""Of the viewer's own thread between two turns, in seconds of its processor time: other programs that
keep the machine busy do not count."""

LONGEST_SHARE = 0.5
"""Of the time a run takes, what may pass between two turns; a viewer that waits for a run has 1."""

MakeViewer = Callable[..., napari.Viewer]


class _Gaps:
    """What the viewer's thread does between two turns of the event loop, as a timer of 2 ms sees it."""

    def __init__(self) -> None:
        self.longest_work_s = 0.0
        self.longest_s = 0.0
        self._last: tuple[float, float] | None = None
        self._started_s = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        work_s, now_s = time.thread_time(), time.perf_counter()
        if self._last is not None:
            self.longest_work_s = max(self.longest_work_s, work_s - self._last[0])
            self.longest_s = max(self.longest_s, now_s - self._last[1])
        self._last = work_s, now_s

    @property
    def longest_share(self) -> float:
        return self.longest_s / (time.perf_counter() - self._started_s)

    def forget_the_last_turn(self) -> None:
        self._last = None

    def stop(self) -> None:
        self._timer.stop()


def _large_picture() -> NDArray[np.uint8]:
    """4096 x 4096: noise on patches, 256 of them."""
    random = np.random.default_rng(0)
    patches = np.repeat(np.repeat(random.integers(0, 200, (16, 16, 3)), 16, axis=0), 16, axis=1)
    small = patches + random.integers(0, 50, patches.shape)
    return np.tile(small.astype(np.uint8), (16, 16, 1))


def _open(make_napari_viewer: MakeViewer, qtbot: QtBot) -> tuple[napari.Viewer, SuperpixelsWidget]:
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    viewer.add_image(_large_picture(), name="large")
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    qtbot.wait(500)  # the picture is drawn, the info line is written
    return viewer, widget


def test_the_viewer_is_never_held_up_by_a_run_or_the_slider(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer, widget = _open(make_napari_viewer, qtbot)
    widget.run()
    gaps = _Gaps()
    qtbot.waitUntil(lambda: widget.job is None, timeout=300_000)
    qtbot.wait(1000)
    gaps.stop()
    assert gaps.longest_share < LONGEST_SHARE
    layer = viewer.layers[-1]
    assert (layer.data[0].shape, int(layer.data[0].max())) == ((4096, 4096), 1000)
    assert gaps.longest_work_s < LONGEST_WORK_S

    gaps = _Gaps()
    for n in (900, 30, 300):
        widget.slide(n)
        qtbot.wait(20)
    qtbot.waitUntil(lambda: widget.cutting.is_settled, timeout=60_000)
    qtbot.wait(100)
    gaps.stop()
    assert int(layer.data[0].max()) == 300 == len(layer.features) - 1
    assert gaps.longest_work_s < LONGEST_WORK_S
    wait_for_threads(qtbot)


def test_a_large_run_is_cancelled_while_the_viewer_goes_on(
    make_napari_viewer: MakeViewer, qtbot: QtBot
) -> None:
    viewer, widget = _open(make_napari_viewer, qtbot)
    (image,) = viewer.layers
    pixels, metadata = image.data, dict(image.metadata)
    widget.run()
    assert widget.job is not None and len(viewer.layers) == 2
    gaps = _Gaps()
    with qtbot.waitSignal(widget.job.progressed, timeout=60_000):
        pass
    qtbot.wait(500)
    assert widget.job is not None
    widget.cancel()
    gaps.forget_the_last_turn()  # napari collects garbage, a fifth of a second, wherever a layer is removed
    assert list(viewer.layers) == [image]
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    qtbot.wait(1000)
    gaps.stop()
    assert list(viewer.layers) == [image] and image.data is pixels and image.metadata == metadata
    assert_array_equal(image.data[:256, :256], _large_picture()[:256, :256])
    assert gaps.longest_work_s < LONGEST_WORK_S
    assert widget.result is None and widget.run_panel.run_button.isEnabled()
    wait_for_threads(qtbot)


def test_a_run_before_all_is_loaded_waits_for_it_and_can_be_cancelled(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    loaded = threading.Event()
    monkeypatch.setattr(machine, "load_features", lambda: loaded.wait(60))
    widget.probe.is_ready = False  # as in a viewer that has shown no features yet
    widget.probe.measure("auto")
    panel = widget.run_panel
    for _ in range(2):
        widget.run()
        assert widget.job is None and len(viewer.layers) == 1
        assert panel.message.text() == "Getting ready ..." and panel.progress.maximum() == 0
        assert panel.cancel_button.isEnabled() and not panel.run_button.isEnabled()
        widget.cancel()
        assert panel.message.text() == "" and panel.run_button.isEnabled()
    widget.run()
    loaded.set()
    qtbot.waitUntil(lambda: widget.job is not None, timeout=60_000)
    wait_for_run(widget, qtbot)
    assert widget.result is not None and widget.result.layer.data.max() == N
    widget.cancel()
    assert panel.message.text().startswith("12 superpixels in ")
