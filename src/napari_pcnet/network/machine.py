"""What a machine gives to the network: devices, threads, which a fork loses, and memory, which runs out."""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import NamedTuple

import torch

_NO_MEMORY = re.compile(
    r"out of memory"  # CUDA, MPS
    r"|(can't|cannot) allocate memory|not enough memory"  # torch's allocator on the CPU; mapping a file
    r"|could not (create|execute) a primitive(?! descriptor)|could not create a memory"  # oneDNN
    r"|bad_alloc|bad allocation",  # C++
    re.IGNORECASE,
)
"""What torch and its libraries say where memory runs out, in errors of other types."""


_GPU = threading.Lock()
"""Of the windows of a process, one at a time is on its GPU."""


class Device(NamedTuple):
    """A device and why it was chosen."""

    device: torch.device
    reason: str


def choose_device(name: str = "auto") -> Device:
    """Choose where the network runs.

    Parameters
    ----------
    name : str
        'auto' takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If the named device is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return Device(torch.device("cuda"), f"CUDA is there: {torch.cuda.get_device_name()}")
        if torch.backends.mps.is_available():
            return Device(torch.device("mps"), "Apple's Metal (MPS) is there")
        return Device(torch.device("cpu"), "neither CUDA nor Apple's Metal is there")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"device must be one of those that torch finds here ({', '.join(device_names())}), got {name!r}"
        ) from None
    return Device(device, "asked for")


def one_at_a_time(device: str) -> AbstractContextManager[object]:
    """Hold the GPU of the process while it computes a window; on a CPU nothing is held."""
    return nullcontext() if device == "cpu" else _GPU


def builds_tables(device: torch.device) -> bool:
    """Whether pieces and their table are built on a device, so that only ids and tables leave it.

    MPS shares the memory of the CPU, and has not all sums in 64 bits: there the CPU builds them.
    """
    return device.type not in ("cpu", "mps")


def device_names() -> tuple[str, ...]:
    """Names of the available devices, 'auto' and 'cpu' first."""
    graphics = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    apple = ["mps"] if torch.backends.mps.is_available() else []
    return ("auto", "cpu", *graphics, *apple)


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
