"""A job beside the viewer: what it returns, refuses, reports, and how it stops."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QThreadPool

from napari_pcnet.plugin import jobs
from napari_pcnet.plugin.jobs import Job


@pytest.fixture(autouse=True)
def _no_thread_is_left(qtbot: QtBot) -> Iterator[None]:
    yield
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: not jobs._running and pool.activeThreadCount() == 0, timeout=10_000)


class _Log:
    """The signals of a job, in order."""

    def __init__(self, job: Job) -> None:
        self.signals: list[tuple[Any, ...]] = []
        job.progressed.connect(lambda done, total: self.signals.append(("progressed", done, total)))
        job.changed.connect(lambda: self.signals.append(("changed",)))
        job.returned.connect(lambda result: self.signals.append(("returned", result)))
        job.refused.connect(lambda why: self.signals.append(("refused", why)))
        job.over.connect(lambda: self.signals.append(("over",)))


def _do(job: Job, qtbot: QtBot) -> list[tuple[Any, ...]]:
    log = _Log(job)
    with qtbot.waitSignal(job.over, timeout=10_000):
        job.start()
    return log.signals


def test_a_job_works_in_another_thread_and_returns(qtbot: QtBot) -> None:
    threads = []

    def task(job: Job) -> str:
        threads.append(threading.current_thread())
        return "done"

    assert _do(Job(task), qtbot) == [("returned", "done"), ("over",)]
    assert threads[0] is not threading.current_thread()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("image must be finite,\n  got NaN"), "image must be finite, got NaN"),
        (TypeError("not that"), "not that"),
        (FileNotFoundError("weights file x does not exist"), "weights file x does not exist"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence(qtbot: QtBot, error: Exception, sentence: str) -> None:
    def task(job: Job) -> None:
        raise error

    assert _do(Job(task), qtbot) == [("refused", sentence), ("over",)]


def test_a_bug_is_no_sentence_but_shown_as_what_it_is(qtbot: QtBot) -> None:
    def task(job: Job) -> None:
        raise ZeroDivisionError("a bug")

    with qtbot.captureExceptions() as caught:
        signals = _do(Job(task), qtbot)
    assert signals == [("over",)]
    assert [kind for kind, _, _ in caught] == [ZeroDivisionError]


def test_filters_of_warnings_that_the_viewer_sets_meanwhile_hold_when_a_job_ends(qtbot: QtBot) -> None:
    begun, ended = threading.Event(), threading.Event()

    def task(job: Job) -> None:
        begun.set()
        assert ended.wait(10)

    filters, show = list(warnings.filters), warnings.showwarning
    job = Job(task)
    with qtbot.waitSignal(job.over, timeout=10_000):
        job.start()
        qtbot.waitUntil(begun.is_set, timeout=10_000)
        assert (warnings.filters, warnings.showwarning) == (filters, show)  # no thread has its own
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "out of gamut")
            ended.set()
            qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=10_000)
            warnings.warn("out of gamut", UserWarning, stacklevel=1)
    assert warnings.filters == filters


def test_what_a_job_warns_of_is_told_as_other_warnings_are(qtbot: QtBot) -> None:
    def task(job: Job) -> None:
        warnings.warn("image holds NaN", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="image holds NaN"):
        assert _do(Job(task), qtbot) == [("returned", None), ("over",)]


def test_a_job_that_is_stopped_neither_returns_nor_refuses(qtbot: QtBot) -> None:
    begun, stopped = threading.Event(), threading.Event()

    def task(job: Job) -> str:
        begun.set()
        assert stopped.wait(10)
        job.check()
        return "never"

    job = Job(task)
    log = _Log(job)
    with qtbot.waitSignal(job.over, timeout=10_000):
        job.start()
        assert begun.wait(10)
        job.stop()
        stopped.set()
    assert log.signals == [("over",)] and job.is_stopped


@pytest.mark.parametrize("ending", ["returns", "refuses"])
def test_stopping_wins_over_an_end_in_the_same_moment(qtbot: QtBot, ending: str) -> None:
    def task(job: Job) -> str:
        job.stop()
        if ending == "refuses":
            raise ValueError("too late")
        return "too late"

    assert _do(Job(task), qtbot) == [("over",)]


def test_progress_is_reported_no_oftener_than_it_is_drawn_but_its_end_always(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REPORT_S", 1000)

    def task(job: Job) -> None:
        for done in range(1, 101):
            job.progress(done, 100)

    signals = _do(Job(task), qtbot)
    assert signals[-3:] == [("progressed", 100, 100), ("returned", None), ("over",)]
    assert len(signals) <= 4  # the first one may come, too


def test_progress_stops_a_job_that_is_stopped(qtbot: QtBot) -> None:
    reached = []

    def task(job: Job) -> None:
        for done in range(10):
            if done == 5:
                job.stop()
            job.progress(done, 10)
            reached.append(done)

    assert _do(Job(task), qtbot)[-1] == ("over",)
    assert reached == [0, 1, 2, 3, 4]


def test_a_growing_result_is_drawn_every_so_often(qtbot: QtBot) -> None:
    def task(job: Job) -> None:
        for _ in range(5):
            job.draw(1000)

    def task_at_once(job: Job) -> None:
        for _ in range(5):
            job.draw()

    assert _do(Job(task), qtbot).count(("changed",)) <= 1
    assert _do(Job(task_at_once), qtbot).count(("changed",)) == 5


def test_a_job_lives_until_it_is_over_whoever_forgets_it(qtbot: QtBot) -> None:
    going = threading.Event()
    Job(lambda job: going.wait(10)).start()
    assert len(jobs._running) == 1
    going.set()
    qtbot.waitUntil(lambda: not jobs._running, timeout=10_000)


def test_all_jobs_are_stopped_and_waited_for_at_the_end(qtbot: QtBot) -> None:
    ended = []

    def task(job: Job) -> None:
        try:
            while True:
                job.check()
                time.sleep(0.001)
        finally:
            ended.append(job)

    started = [Job(task).start() for _ in range(2)]
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() >= 1, timeout=10_000)
    jobs.stop_all_and_wait()
    assert all(job.is_stopped for job in started) and not jobs._running
    assert QThreadPool.globalInstance().activeThreadCount() == 0
    assert set(ended) <= set(started) and ended
    jobs.stop_all_and_wait()  # nothing to wait for is no error


def test_a_job_that_nobody_holds_any_more_still_tells_that_it_is_over(qtbot: QtBot) -> None:
    told: list[str] = []
    job = Job(lambda _job: None)
    job.over.connect(lambda: told.append("over"))
    jobs._running.add(job)
    job._finish()
    del job
    gc.collect()
    qtbot.waitUntil(lambda: told == ["over"], timeout=10_000)
