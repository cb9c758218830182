"""Several processes, each with its part of every batch, as ``torchrun`` starts them.

A process learns its rank and their number from the environment. Gradients are averaged over processes,
so a loss that divides by a count (of band pixels, of windows) must divide by the mean count of all
processes, as `mean_over_all` does: only then is the average that of the undivided batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Processes(NamedTuple):
    """The processes that train together, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0


SINGLE = Processes()


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did.

    Yields
    ------
    Processes
        One if there is no ``WORLD_SIZE`` in the environment.
    """
    if not is_one_of_several():
        yield SINGLE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # NCCL uses the current one
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def is_one_of_several() -> bool:
    """Whether ``torchrun`` started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(name: str) -> str:
    """The device of this process: with several on CUDA, each has its own."""
    local = os.environ.get("LOCAL_RANK")
    if is_one_of_several() and local is not None and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local}"
    return name


def mean_over_all(total: Tensor, count: Tensor | float) -> Tensor:
    """Divide a sum by the mean of its count over all processes; 0 where nothing was counted."""
    everywhere = torch.as_tensor(count, dtype=torch.float32, device=total.device)
    if dist.is_initialized():
        everywhere = everywhere.detach().clone()
        dist.all_reduce(everywhere)
        everywhere = everywhere / dist.get_world_size()
    return torch.where(everywhere > 0, total / everywhere.clamp_min(1e-12), total * 0)


def average(numbers: dict[str, float]) -> dict[str, float]:
    """Average numbers over all processes, name by name."""
    if not dist.is_initialized():
        return numbers
    device = f"cuda:{torch.cuda.current_device()}" if dist.get_backend() == "nccl" else "cpu"
    values = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
    dist.all_reduce(values)
    return dict(zip(numbers, (values / dist.get_world_size()).tolist(), strict=True))


def wait_for_all() -> None:
    """Return when every process has called this."""
    if dist.is_initialized():
        dist.barrier()
