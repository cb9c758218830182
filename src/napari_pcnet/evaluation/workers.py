"""The results of many tasks, worked out in this process or in several side by side."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
    try:
        for done in as_completed([pool.submit(_listed, function, task) for task in tasks]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _listed(function: Callable[[Task], Iterable[Result]], task: Task) -> list[Result]:
    return list(function(task))


def _prepare(threads: int) -> None:
    """Make a process one of several: few threads, no interrupt of its own, no life after its parent's."""
    import torch

    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
