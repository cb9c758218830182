"""Whether passes over pixels and regions are compiled: the extra `fast` brings numba."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

SWITCH = "NAPARI_PCNET_COMPILED"
"""Environment variable: 0 keeps to numpy where numba is installed, too; 1 takes numba from the first
pixel on."""

WORTH_PX = 12_000_000
"""Pixels on which numpy loses as much as loading numba takes, half a second: a process begins with numpy."""

REGION_PX = 75
"""Pixels on which it loses as much as on a region that is merged."""


class _Work:
    """Pixels that this process has labelled, and for each region `REGION_PX` more.

    They decide when numba is loaded, never what is computed.
    """

    pixels = 0


def count(*, pixels: int = 0, regions: int = 0) -> None:
    """Count pixels that are about to be labelled, and regions about to be merged."""
    _Work.pixels += pixels + regions * REGION_PX


def compiled() -> ModuleType | None:
    """The compiled passes, or None where numpy is to do; imported when they are first needed."""
    switch = os.environ.get(SWITCH)
    if switch == "0" or (switch != "1" and _Work.pixels < WORTH_PX):
        return None
    return _loaded()


@cache
def _loaded() -> ModuleType | None:
    try:
        import napari_pcnet.merging.compiled as module
    except ImportError:  # numba is not installed, or not for this numpy
        return None
    return module
