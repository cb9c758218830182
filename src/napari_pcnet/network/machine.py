"""What a machine gives to the network: threads, which a fork loses, and memory, which runs out."""

from __future__ import annotations

import os
import re
from functools import cache

import torch

_NO_MEMORY = re.compile(
    r"out of memory"  # CUDA, MPS
    r"|(can't|cannot) allocate memory|not enough memory"  # torch's allocator on the CPU; mapping a file
    r"|could not (create|execute) a primitive(?! descriptor)|could not create a memory"  # oneDNN
    r"|bad_alloc|bad allocation",  # C++
    re.IGNORECASE,
)
"""What torch and its libraries say where memory runs out, in errors of other types."""


@cache
def survive_forks() -> None:
    """Have processes that fork from this one compute with one thread.

    The threads of OpenMP do not come along, and a forked process that counts on them waits for ever. To be
    called before the first computation, not when a module is loaded.
    """
    if hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any type says that there is no memory."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or _NO_MEMORY.search(str(error)) is not None
