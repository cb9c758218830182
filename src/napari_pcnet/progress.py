"""Progress callbacks: long work calls ``progress(done, total)``; the caller decides how to show it."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""``progress(done, total)``, in whatever units the work has."""
