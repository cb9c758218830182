"""How work that takes long says how far it is; who shows it is a surface's matter."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""``progress(done, total)``, in whatever units the work has."""
