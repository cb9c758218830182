"""Ctrl-C, which a terminal sends to a process and to all that it has started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore Ctrl-C, as processes that start meanwhile then do from their first moment."""
    if threading.current_thread() is not threading.main_thread():  # where Python has no signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
