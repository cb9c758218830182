"""Whether passes over pixels and regions are compiled: the extra `fast` brings numba."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

SWITCH = "NAPARI_PCNET_COMPILED"
"""Environment variable; 0 keeps to numpy where numba is installed, too."""


@cache
def compiled() -> ModuleType | None:
    """The compiled passes, or None where there is no numba; imported when they are first asked for."""
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        import napari_pcnet.merging.compiled as module
    except ImportError:  # numba is not installed, or not for this numpy
        return None
    return module
