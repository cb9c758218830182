"""Seconds spent in the stages of a call, counted for each thread by itself.

A stage within another one is not counted in that one, so stages add up to the time that they cover.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("weights", "reading", "trunk", "tail", "pieces", "table", "tree", "look-up", "smoothing")
"""All stages, in the order of a call: loading and preparing the network; reading the picture and finding its
range; the two parts of the network; and what comes behind it.

A call that writes its labels or waits for other processes goes through two more, "writing" and "waiting"."""


class _Clock(threading.local):
    """The stage that a thread is in, and what it has spent in each so far."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._stage: str | None = None
        self._since = 0.0

    def enter(self, stage: str | None) -> str | None:
        """Go on to a stage, or to none; return the one that is left."""
        now = time.perf_counter()
        left = self._stage
        if left is not None:
            self.seconds[left] += now - self._since
        self._stage, self._since = stage, now
        return left


_clock = _Clock()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time in a ``with`` statement to a stage."""
    left = _clock.enter(name)
    try:
        yield
    finally:
        _clock.enter(left)


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Collect the seconds of each stage that this thread goes through in a ``with`` statement.

    Yields
    ------
    dict
        Filled at the end of the statement.

    Examples
    --------
    >>> with timed() as seconds:
    ...     with stage("reading"):
    ...         pass
    >>> list(seconds)
    ['reading']
    """
    before = _clock.seconds.copy()
    seconds: dict[str, float] = {}
    yield seconds
    for name, total in _clock.seconds.items():
        if total > before.get(name, 0.0):
            seconds[name] = total - before.get(name, 0.0)
