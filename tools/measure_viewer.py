"""Measure how the viewer feels during runs: gaps in its event loop, cancel, slider, preview, memory.

    xvfb-run -a -s "-screen 0 1280x800x24" python tools/measure_viewer.py

Run it on a quiet machine. Times are seconds; memory is what comes on top of napari with the image open.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import napari
import numpy as np
import psutil
import zarr
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QTimer
from skimage import data

from napari_pcnet.plugin.widget import SuperpixelsWidget

TICK_MS = 2
SIDE, PYRAMID_SIDE = 4096, 20_000


class Pulse:
    """The largest gap between ticks of a timer since it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._gaps: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps.append(now - self._last)
        self._last = now

    def worst(self) -> float:
        """Return the largest gap, and begin again."""
        worst = max(self._gaps, default=0.0)
        self._gaps, self._last = [], time.perf_counter()
        return worst


def wait(until: Callable[[], bool], least_s: float = 0.0) -> None:
    """Let the viewer go on until something holds."""
    start = time.perf_counter()
    while not until() or time.perf_counter() - start < least_s:
        loop = QEventLoop()
        QTimer.singleShot(10, loop.quit)
        loop.exec()


def settle(seconds: float) -> None:
    """Let the viewer go on for a while."""
    wait(lambda: True, seconds)


@contextmanager
def memory_peak() -> Iterator[list[float]]:
    """Peak of memory in MiB, on top of what there was, in a list of one."""
    process, peak, stop = psutil.Process(), [0.0], threading.Event()
    start = process.memory_info().rss

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], (process.memory_info().rss - start) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    yield peak
    stop.set()
    thread.join()


def picture(side: int) -> NDArray[np.uint8]:
    """A photograph, again and again."""
    cup = data.coffee()
    tiled: NDArray[np.uint8] = np.tile(cup, (side // 400 + 1, side // 600 + 1, 1))[:side, :side]
    return np.ascontiguousarray(tiled)


def pyramid(folder: Path) -> Path:
    """Write a pyramid of five levels as a zarr."""
    path = folder / "pyramid.zarr"
    group, finest = zarr.open_group(path, mode="w"), picture(PYRAMID_SIDE)
    for level in range(5):
        pixels = np.ascontiguousarray(finest[:: 2**level, :: 2**level])
        array = group.create_array(str(level), shape=pixels.shape, chunks=(1024, 1024, 3), dtype="u1")
        array[:] = pixels
    return path


def measure_runs(widget: SuperpixelsWidget, pulse: Pulse) -> None:
    """Print gaps while runs are on, from the call's return until a second after the end."""
    for which in ("first", "second", "third"):
        pulse.worst()
        start = time.perf_counter()
        widget.run()
        called = time.perf_counter() - start
        settle(0.001)
        pulse.worst()
        wait(lambda: widget.job is None)
        took = time.perf_counter() - start
        settle(1)
        print(f"{which} run: {took:.1f} s, the call {called:.3f} s, worst gap {pulse.worst():.3f} s")


def measure_slider(widget: SuperpixelsWidget, pulse: Pulse) -> None:
    """Print what a move of the slider costs, from the call until it is drawn."""
    times = []
    for n in (4000, 2000, 900, 300, 60, 20, 500):
        pulse.worst()
        widget.slide(n)
        settle(0.1)
        times.append(pulse.worst())
    print(f"slider: median {np.median(times):.3f} s, worst {max(times):.3f} s")
    settle(1)


def measure_cancel(widget: SuperpixelsWidget) -> None:
    """Print how long after a cancel the thread is gone."""
    widget.run()
    settle(1.5)
    start = time.perf_counter()
    widget.cancel()
    called = time.perf_counter() - start
    wait(lambda: widget.job is None)
    print(f"cancel: the call {called:.3f} s, all over after {time.perf_counter() - start:.3f} s")


def measure_view_and_preview(viewer: napari.Viewer, widget: SuperpixelsWidget) -> None:
    """Print time and memory of a run on the current view of a large pyramid, and of its preview."""
    with tempfile.TemporaryDirectory() as folder:
        viewer.open(pyramid(Path(folder)))
        viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 9000, 9000), 0.2
        widget.form.region_field.box.setCurrentText("current view")
        settle(1)
        start = time.perf_counter()
        widget.run_panel.live.setChecked(True)
        wait(lambda: widget.preview.layer is not None)
        print(f"preview: {time.perf_counter() - start:.2f} s")
        widget.run_panel.live.setChecked(False)
        settle(1)
        with memory_peak() as peak:
            start = time.perf_counter()
            widget.run()
            wait(lambda: widget.job is None)
        assert widget.result is not None
        shape = widget.result.layer.data.shape
        print(f"view of {shape}: {time.perf_counter() - start:.1f} s, {peak[0]:.0f} MiB")
        viewer.layers.clear()


def main() -> None:
    """Measure all, and print a line each."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    wait(lambda: widget.machine is not None)
    pulse = Pulse()
    viewer.add_image(picture(SIDE), name="large")
    settle(1)
    measure_runs(widget, pulse)
    measure_slider(widget, pulse)
    measure_cancel(widget)
    viewer.layers.clear()
    measure_view_and_preview(viewer, widget)
    viewer.close()


if __name__ == "__main__":
    main()
