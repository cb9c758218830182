"""Jobs: functions that run in napari's thread pool, report progress, and can be stopped.

A job's function takes the `Job`. It reports through it and must call `Job.check` (or `Job.progress`)
every so often. Signals arrive in the viewer's thread; slots of a widget that is gone are not called.
What it warns of, napari shows as it does what the viewer's own thread warns of.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QCoreApplication, QObject, QThreadPool, QTimer, Signal

REPORT_S = 0.03
"""Least time between two reports: the viewer draws no faster."""

EXIT_WAIT_MS = 10_000
"""How long the application waits for its jobs when it ends; they stop within a second."""

REFUSALS = (ValueError, TypeError, OSError, MemoryError)
"""Errors that a user can do something about; all others are bugs, and napari shows them as such."""

_running: set[Job] = set()
"""Keeps jobs under way alive, whatever becomes of the widget that started them."""


class Stopped(Exception):  # noqa: N818  # not an error
    """Leaves a job that was stopped; never reaches a user."""


class _Worker(FunctionWorker):
    """A worker of napari that leaves the filters of warnings alone.

    napari's own sets filters while it works. They are the whole process's, and at its end they become again
    what they were at its beginning, whatever the viewer has set meanwhile.
    """

    def run(self) -> None:
        """Work in a thread, and say how it went, as napari's own does."""
        self.started.emit()
        try:
            self.work()
        except Exception as error:
            self.errored.emit(error)
        self.finished.emit()
        self._finished.emit(self)


class Job(QObject):
    """One function under way.

    Parameters
    ----------
    function : callable
        ``function(job)``, run in a thread; its result comes with `returned`.
    """

    progressed = Signal(int, int)
    """``(done, total)``"""
    changed = Signal()
    """There is something new to draw."""
    returned = Signal(object)
    """The function has returned; its result."""
    refused = Signal(str)
    """The function raised one of `REFUSALS`; its message, on one line."""
    over = Signal()
    """The last signal of all, however the job ended."""

    def __init__(self, function: Callable[[Job], Any]) -> None:
        super().__init__()
        self._function = function
        self._stop = threading.Event()
        self._reported_s = 0.0
        self._drawn_s = 0.0
        self._worker = create_worker(self._work, _start_thread=False, _worker_class=_Worker)

    def start(self) -> Job:
        """Start the function in napari's thread pool."""
        _running.add(self)
        self._worker.finished.connect(self._finish)
        self._worker.start()
        return self

    def stop(self) -> None:
        """Ask the job to stop; it does so at its next report, and neither returns nor refuses."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """Whether the job was asked to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise, to leave the function, if the job was stopped. For the job's thread."""
        if self._stop.is_set():
            raise Stopped

    def progress(self, done: int, total: int) -> None:
        """Report progress. For the job's thread."""
        self.check()
        now = time.monotonic()
        if done == total or now - self._reported_s >= REPORT_S:
            self._reported_s = now
            self.progressed.emit(done, total)

    def draw(self, every_s: float = 0.0) -> None:
        """Report that there is something new to draw. For the job's thread."""
        self.check()
        now = time.monotonic()
        if now - self._drawn_s >= every_s:
            self._drawn_s = now
            self.changed.emit()

    def _work(self) -> None:
        try:
            result = self._function(self)
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
        # The viewer may draw in between. A bound signal does not keep the job, which nobody else may hold.
        QTimer.singleShot(0, lambda: self.over.emit())


def stop_all() -> None:
    """Ask every job to stop."""
    for job in tuple(_running):
        job.stop()


def stop_when_application_ends() -> None:
    """Let Qt's application stop every job before it ends."""
    application = QCoreApplication.instance()
    assert application is not None, "jobs need an application"
    application.aboutToQuit.connect(stop_all_and_wait)


def stop_all_and_wait() -> None:
    """Stop every job and wait for its end: a thread must not outlive the application."""
    stop_all()
    pool = QThreadPool.globalInstance()
    assert pool is not None, "Qt always has one"
    if _running:
        pool.waitForDone(EXIT_WAIT_MS)
    _running.clear()


atexit.register(stop_all_and_wait)
