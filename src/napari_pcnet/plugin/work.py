"""Work beside the viewer: one task in napari's thread pool, which reports, and stops when it is told to.

A task is a function of its `Job`. It reports through it and must call `Job.check` (or `Job.progress`)
every so often. Signals arrive in the thread of the viewer; slots of a widget that is gone are not
called.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

if TYPE_CHECKING:
    from napari.viewer import Viewer

REPORT_S = 0.03
"""Least time between two reports: the viewer draws no faster."""

WAIT_MS = 10_000
"""How long the end of the application waits for its tasks; they stop within a second."""

REFUSALS = (ValueError, TypeError, OSError, MemoryError)
"""What a user can do something about; everything else is a bug, and napari shows it as one."""

_running: set[Job] = set()
"""Jobs under way are kept alive here, whatever becomes of the widget that started them."""


class Stopped(Exception):  # noqa: N818  # it is no error
    """Leaves a task that was told to stop; never reaches a user."""


class Job(QObject):
    """One task under way.

    Parameters
    ----------
    task : callable
        ``task(job)``, run in a thread; what it returns comes with `returned`.
    """

    progressed = Signal(int, int)
    """``(done, total)``"""
    changed = Signal()
    """There is something new to be drawn."""
    returned = Signal(object)
    """The task is done; its result."""
    refused = Signal(str)
    """The task could not be done; why, in a sentence."""
    over = Signal()
    """The last signal of all, however the task ended."""

    def __init__(self, task: Callable[[Job], Any]) -> None:
        super().__init__()
        self._task = task
        self._stop = threading.Event()
        self._reported_s = 0.0
        self._drawn_s = 0.0
        self._worker = create_worker(self._work, _start_thread=False)

    def start(self) -> Job:
        """Begin."""
        _running.add(self)
        self._worker.finished.connect(self._finish)
        self._worker.start()
        return self

    def stop(self) -> None:
        """Tell the task to stop; it does so at its next report, and neither returns nor refuses."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether the task was told to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Leave the task if it was told to stop. For the task's thread."""
        if self._stop.is_set():
            raise Stopped

    def progress(self, done: int, total: int) -> None:
        """Report progress. For the task's thread."""
        self.check()
        now = time.monotonic()
        if done == total or now - self._reported_s >= REPORT_S:
            self._reported_s = now
            self.progressed.emit(done, total)

    def draw(self, every_s: float = 0.0) -> None:
        """Report that there is something new to be drawn. For the task's thread."""
        self.check()
        now = time.monotonic()
        if now - self._drawn_s >= every_s:
            self._drawn_s = now
            self.changed.emit()

    def _work(self) -> None:
        try:
            result = self._task(self)
            self.check()
        except Stopped:
            return
        except REFUSALS as error:
            if not self.is_stopped:
                self.refused.emit(" ".join(str(error).split()) or type(error).__name__)
            return
        self.returned.emit(result)

    def _finish(self) -> None:
        _running.discard(self)
        QTimer.singleShot(0, self.over.emit)  # the viewer may draw in between


class Wires:
    """Connections to events of a viewer, which outlives a widget: they are cut when it goes."""

    def __init__(self) -> None:
        self._wires: list[tuple[Any, Callable[..., None]]] = []

    def connect(self, event: Any, slot: Callable[..., None]) -> None:
        """Call a slot at an event, once however often this is said."""
        if (event, slot) not in self._wires:
            event.connect(slot)
            self._wires.append((event, slot))

    def cut(self) -> None:
        """Undo all connections."""
        for event, slot in self._wires:
            event.disconnect(slot)
        self._wires.clear()


def is_open(viewer: Viewer) -> bool:
    """Whether a viewer still has its window."""
    try:
        viewer.window.geometry()
    except (AttributeError, RuntimeError):  # of Python's part of it, of Qt's
        return False
    return True


def stop_all() -> None:
    """Tell every job to stop."""
    for job in tuple(_running):
        job.stop()


def stop_all_and_wait() -> None:
    """Tell every job to stop, and see them do it: a thread must not outlive the application."""
    stop_all()
    pool = QThreadPool.globalInstance()
    assert pool is not None, "Qt always has one"
    if _running:
        pool.waitForDone(WAIT_MS)
    _running.clear()


atexit.register(stop_all_and_wait)
