"""Progress of long work, ``progress(done, total)``, shown as the caller likes; durations in words."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""``progress(done, total)``, in whatever units the work has."""


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(0.24), duration(3.7), duration(200), duration(25_560)
    ('0.2 s', '4 s', '3 min 20 s', '7 h 6 min')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
