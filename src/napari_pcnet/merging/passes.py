"""Whether passes over pixels and regions are compiled: the extra `fast` brings numba."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any

SWITCH = "NAPARI_PCNET_COMPILED"
"""Environment variable: 0 keeps to numpy where numba is installed, too; 1 takes numba from the first
pixel on."""

WORTH_PX = 4_000_000
"""Pixels on which numpy loses as much as loading numba takes, half a second: a process begins with numpy."""

REGION_PX = 75
"""Pixels on which it loses as much as on a region that is merged."""


LONGEST_REASON = 240
"""Characters of a library's reason that are shown."""


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
    except (OSError, MemoryError) as error:  # its library has no room, or is damaged
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        warnings.warn(f"numba cannot be loaded ({reason}): numpy does its work, more slowly", stacklevel=3)
        return None
    surviving_its_cache(module)
    return module


_CACHE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What numba answers to files of its own that are damaged, or that a full disk does not take."""


def surviving_its_cache(module: ModuleType) -> None:
    """Let no call of a module's compiled functions fail because of the files where they are kept.

    A function whose files are damaged is compiled again, and kept anew; one that can't be kept is compiled by
    each process, of which one warning is given.
    """
    for function in vars(module).values():
        kept = getattr(function, "_cache", None)  # numba has no other way to it
        if kept is not None:
            kept.load_overload = _load(kept)
            kept.save_overload = _save(kept)


def _load(kept: Any) -> Callable[[Any, Any], Any]:
    load = kept.load_overload

    def loaded(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except _CACHE_ERRORS:
            with suppress(*_CACHE_ERRORS):  # `_save` says it
                kept.flush()
            return None

    return loaded


def _save(kept: Any) -> Callable[[Any, Any], None]:
    save = kept.save_overload

    def saved(signature: Any, result: Any) -> None:
        try:
            save(signature, result)
        except _CACHE_ERRORS as error:
            _warn_once(str(kept.cache_path), getattr(error, "strerror", None) or str(error))

    return saved


@cache
def _warn_once(folder: str, reason: str) -> None:
    warnings.warn(
        f"numba cannot keep what it compiles in {folder} ({reason}): each process compiles it again; "
        "make room there, or name another folder by NUMBA_CACHE_DIR",
        stacklevel=2,
    )
