"""The results of many tasks, worked out in this process or in several side by side."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def results_of(
    function: Callable[[Task], Iterable[Result]], tasks: Sequence[Task], workers: int
) -> Iterator[Result]:
    """Yield the results of the tasks as they come: those of one task in order, the tasks in any.

    Parameters
    ----------
    function : callable
        Results of one task; with several workers it and the tasks are pickled, and the results of
        a task come when all of them are there.
    tasks : sequence
    workers : int
        Processes; 1 for this one.
    """
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield from function(task)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _prepare, (threads,))
    with _interrupts_ignored():  # as the processes that start here then do from their first moment
        waiting = {pool.submit(_listed, function, task) for task in tasks}
    try:
        for done in as_completed(waiting.copy()):
            waiting.remove(done)
            yield from done.result()
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
        for finished in waiting:  # their results are there, and would be worked out again
            if not finished.cancelled():
                yield from finished.result()
        raise
    except BrokenProcessPool as error:
        raise ValueError(
            "a process was killed, as when memory runs out; ask for fewer workers: the same command goes on "
            "from here"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # where Python has no signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _listed(function: Callable[[Task], Iterable[Result]], task: Task) -> list[Result]:
    return list(function(task))


def _prepare(threads: int) -> None:
    """Make a process one of several: few threads, no interrupt of its own, no life after its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
