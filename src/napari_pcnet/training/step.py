"""One step of a training: losses of its batches, gradient, optimizer, moving average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_pcnet.network.model import PCNet
from napari_pcnet.training.config import OptimizerConfig, TrainingConfig
from napari_pcnet.training.losses import LossTerms
from napari_pcnet.training.processes import average
from napari_pcnet.training.samples import Batch, Crops
from napari_pcnet.training.schedule import cosine
from napari_pcnet.training.state import TrainingState


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate of one step, counted from 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    in_steps = config.schedule == "steps"
    fall = config.factor ** (step // config.every) if in_steps else cosine(step, steps)
    return config.learning_rate * warm * fall


def take_step(state: TrainingState, batches: Sequence[Batch], config: TrainingConfig) -> dict[str, float]:
    """Take a step down the mean gradient of some batches.

    Returns
    -------
    dict of float
        Step, learning rate, norm of the gradient, and each loss averaged over batches and processes.

    Raises
    ------
    FloatingPointError
        If the gradient is not finite.
    """
    rate = learning_rate(config.optimizer, state.step, config.run.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    _prepare(state.model, config)
    random = torch.Generator().manual_seed(config.run.seed * 1_000_003 + state.step)
    state.optimizer.zero_grad(set_to_none=True)
    records = []
    for number, batch in enumerate(batches, 1):
        # several processes average their gradients once, at the last batch
        with _no_average(state.loss) if number < len(batches) else nullcontext():
            terms = LossTerms(**state.loss(_to(batch, state.model.mean.device), random))
            total = terms.total(config.loss)
            state.scaler.scale(total / len(batches)).backward()
        records.append({"total": float(total.detach()), **terms.as_record()})
    # over all processes, so that all of them stop, or none
    means = average({name: sum(each[name] for each in records) / len(records) for name in records[0]})
    norm = descend(state, means["total"], config.optimizer.clip or math.inf)
    state.update_average(config.optimizer.ema)
    state.step += 1
    return {"step": state.step, "learning_rate": rate, "gradient_norm": float(norm), **means}


def _no_average(loss: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients of this process apart from those of others, if there are others."""
    if not isinstance(loss, DistributedDataParallel):
        return nullcontext()
    apart: AbstractContextManager[None] = loss.no_sync()
    return apart


def _prepare(model: PCNet, config: TrainingConfig) -> None:
    """Put the layers that learn into training mode, and frozen normalisation back into evaluation mode."""
    run = config.run
    model.train(run.trains == "all")
    if model.boundary is not None:
        model.boundary.train(config.learns_boundary)
    if run.normalisation == "frozen":
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):  # torch has no other name
                layer.eval()


def descend(state: TrainingState, total: float, clip: float) -> Tensor:
    """Step down the gradient, clipped to the norm `clip`; return its norm before."""
    scaler = state.scaler
    scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), clip)
    overflown = scaler.is_enabled() and math.isfinite(total) and scaler.get_scale() >= 1
    if not (bool(torch.isfinite(norm)) or overflown):  # a smaller scale cures an overflow
        raise FloatingPointError(f"the gradient is not finite at step {state.step}: lower the learning rate")
    scaler.step(state.optimizer)
    scaler.update()
    return norm


def _to(batch: Batch, device: torch.device) -> Batch:
    def moved(view: Crops) -> Crops:
        return Crops(view.image.to(device, memory_format=torch.channels_last), view.labels.to(device))

    return Batch(moved(batch.whole), None if batch.patch is None else moved(batch.patch))
