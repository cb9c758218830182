"""The results of many tasks, worked out in this process or in several side by side."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Self, TypeVar

from napari_pcnet import interrupts
from napari_pcnet.disk.provenance import usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers:
    """This process, or several side by side: they start with the first tasks and stay for the next ones.

    Attributes
    ----------
    number : int
        Processes; 1 for this one.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the processes when they have done what they are at; what else was asked for is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def results_of(
        self, function: Callable[[Task], Iterable[Result]], tasks: Sequence[Task]
    ) -> Iterator[Result]:
        """Yield the results of the tasks as they come: those of one task in order, the tasks in any.

        Parameters
        ----------
        function : callable
            Results of one task; with several workers it and the tasks are pickled, and the results of
            a task come when all of them are there.
        tasks : sequence

        Raises
        ------
        ValueError
            If a process was killed.
        """
        if self.number == 1 or len(tasks) < 2:
            for task in tasks:
                yield from function(task)
            return
        waiting = self._submitted(function, tasks)
        rest: Iterator[Result] = iter(())
        try:
            for done in as_completed(waiting.copy()):
                waiting.remove(done)
                rest = iter(done.result())
                yield from rest
        except KeyboardInterrupt:
            yield from rest  # of the task whose results were being taken
            self.stop()
            for finished in waiting:  # their results are there, and would be worked out again
                if not finished.cancelled():
                    yield from finished.result()
            raise
        except BrokenProcessPool as error:
            raise ValueError(
                "a process was killed, as when memory runs out; ask for fewer workers: the same command goes "
                "on from here"
            ) from error
        finally:
            for future in waiting:  # where the results are no longer asked for
                future.cancel()

    def _submitted(
        self, function: Callable[[Task], Iterable[Result]], tasks: Sequence[Task]
    ) -> set[Future[list[Result]]]:
        if self._pool is None:
            threads = max(1, usable_cores() // self.number)
            self._pool = ProcessPoolExecutor(self.number, get_context("spawn"), _prepare, (threads,))
        with interrupts.ignored():  # as the processes that start here then do
            return {self._pool.submit(_listed, function, task) for task in tasks}


def _listed(function: Callable[[Task], Iterable[Result]], task: Task) -> list[Result]:
    return list(function(task))


def _prepare(threads: int) -> None:
    """Make a process one of several: few threads, no interrupt of its own, no life after its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries that tasks load
    if "torch" in sys.modules:  # by the script that began it all, of which Python runs the imports here, too
        import torch

        torch.set_num_threads(threads)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
