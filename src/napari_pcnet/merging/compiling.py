"""How passes are compiled: by numba, without the lock of Python, and kept on disk until their file changes.

So nothing of another file is compiled into a pass, and numbers from elsewhere are its arguments.

The first call waits for the compiler, so passes are loops over single numbers: an array expression, a slice
or a sort takes numba up to a second. Arrays are contiguous and of one type, for which a function is compiled
once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, and keep that on disk where there is a place for it."""
    options = {"nogil": True, "error_model": "numpy"}
    result: Function
    try:
        result = njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside its file nor in the user's folder can anything be written
        result = njit(**options)(function)
    return result
