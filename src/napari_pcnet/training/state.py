"""The state of a training: what changes from step to step, where it starts, and its files.

``state.safetensors`` holds all that a resumed run needs: model, optimizer and step, and the configuration
that they belong to. ``weights.safetensors`` holds the model with the record of its training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_pcnet import weights
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.output import make_folder
from napari_pcnet.disk.provenance import source_commit
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig, channels_last, weights_drawn_by
from napari_pcnet.options import shown
from napari_pcnet.training.config import DataConfig, TrainingConfig
from napari_pcnet.training.losses import ModelLosses
from napari_pcnet.training.merge_classifier import MergeClassifierConfig
from napari_pcnet.training.processes import SINGLE, Processes

STATE, WEIGHTS = "state.safetensors", "weights.safetensors"
"""Files in the folder of a run."""

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types that `RunConfig.precision` names."""

ADDED = ("boundary", "merge_classifier")
"""Parts of a network that the weights it starts from may lack."""

BEHIND_THE_TRUNK = ("block", "finer", "boundary", "merge_classifier")
"""What a network may have of its own that takes the trunk of one with the paper's tail."""

JOINED = ("fuse.", "boundary.lateral.")
"""Layers that read as many channels of the encoder as of the decoder."""

FREE_TO_CHANGE = (
    "run.device",
    "run.precision",
    "run.save_every_s",
    "run.validate_every",
    "run.validate_images",
    "data.licence",
    "whole_numbers.batches",
    *(f"merge_classifier.{each.name}" for each in fields(MergeClassifierConfig)),
)
"""Fields of the configuration that a resumed run may change; `loop` refuses one of a finished network."""

DEFAULTS = TrainingConfig(DataConfig(train=()))


@dataclass
class TrainingState:
    """What changes from step to step."""

    model: PCNet
    loss: nn.Module  # the losses of the model, over all processes
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    start: dict[str, Any]  # record of the weights it started from
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    elapsed_s: float = 0.0
    best: float = -math.inf  # validation score
    worse: int = 0  # validations since then

    def update_average(self, decay: float) -> None:
        """Move the average of the weights towards those of this step, if there is to be an average."""
        if not decay:
            return
        decay = min(decay, (1 + self.step) / (10 + self.step))  # follows fast while young
        for name, value in self.model.state_dict().items():
            average = self.average.get(name)
            if average is None or not value.is_floating_point():
                self.average[name] = value.detach().clone()
            else:
                average.lerp_(value.detach(), 1 - decay)

    def result(self, config: TrainingConfig) -> PCNet:
        """The model to save: the average if there is one, without a merge classifier yet to be fitted."""
        with weights_drawn_by(None):
            model = PCNet(config.model)
        model.load_state_dict(self.average or self.model.state_dict())
        if config.merge_classifier.steps:
            model.drop_merge_classifier()
        return channels_last(model).to(next(self.model.parameters()).device).eval()


def initial_state(
    config: TrainingConfig, runs: Path, device: torch.device, processes: Processes = SINGLE
) -> TrainingState:
    """Make the state before the first step.

    Parameters
    ----------
    config : TrainingConfig
    runs : Path
        Folder that ``run.start_from`` is relative to.
    device : torch.device
    processes : Processes, optional
        Those that train together.
    """
    with weights_drawn_by(torch.Generator().manual_seed(config.run.seed)):
        model = PCNet(config.model)
    record = _start(model, _start_file(config.run.start_from, runs)) if config.run.start_from else {}
    model = channels_last(model).to(device)
    model.requires_grad_(config.run.trains == "all")
    if model.boundary is not None:
        model.boundary.requires_grad_(config.learns_boundary)
    if model.merge_classifier is not None:
        model.merge_classifier.requires_grad_(False)  # fitted after all else
    boundary_only = config.run.trains == "boundary"
    loss: nn.Module = ModelLosses(model, config.loss, AUTOCAST[config.run.precision], boundary_only)
    if processes.size > 1:
        if device.type == "cuda":
            loss = nn.SyncBatchNorm.convert_sync_batchnorm(loss)
            model = loss.get_submodule("model")  # type: ignore[assignment]  # still a PCNet
        loss = DistributedDataParallel(loss, find_unused_parameters=True)
    adam = torch.optim.Adam(_parameter_groups(model, config), lr=config.optimizer.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=config.run.precision == "float16")
    return TrainingState(model, loss, adam, scaler, record)


def save_state(state: TrainingState, config: TrainingConfig, folder: Path | None) -> None:
    """Write all that a resumed run needs into the folder of the run, if there is one."""
    if folder is None:
        return
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    for index, slot in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in slot.items()}
    tensors = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
    header = {
        "step": str(state.step),
        "elapsed_s": str(state.elapsed_s),
        "best": str(state.best),
        "worse": str(state.worse),
        "config": json.dumps(asdict(config)),
        "scaler": json.dumps(state.scaler.state_dict()),
    }
    content = save(tensors, metadata=header)
    write_atomically(folder / STATE, lambda file: file.write(content))


def save_weights(state: TrainingState, config: TrainingConfig, folder: Path | None) -> None:
    """Write the model with its record into the folder of the run, if there is one."""
    if folder is None:
        return
    start = {"start": state.start} if state.start else {}
    record = _record(config, state.step, state.elapsed_s) | start
    checkpoint.save_model(folder / WEIGHTS, state.result(config), record)


def _record(config: TrainingConfig, step: int, elapsed_s: float) -> dict[str, Any]:
    """What weights say of their training."""
    return {
        "training": asdict(config),
        "step": step,
        "hours": round(elapsed_s / 3600, 3),
        "commit": source_commit(),
        "torch": torch.__version__,
    }


def holds_training(config: TrainingConfig, folder: Path) -> bool:
    """Whether a folder has what a run goes on from: its state, or where merges alone learn its weights.

    Raises
    ------
    ValueError
        If it is for another kind of run.
    """
    weights_file = folder / WEIGHTS
    alone = config.run.trains == "merges"
    if weights_file.exists() and not (folder / STATE).exists():
        stored = checkpoint.read_record(weights_file).get("training", {})
        if alone or stored.get("run", {}).get("trains") == "merges":
            _check_training(stored, config, weights_file)
            return True
    if alone and (folder / STATE).exists():
        raise ValueError(f"{folder} holds a training of a network; take another folder")
    return (folder / STATE).exists()


def _check_training(stored: dict[str, Any], config: TrainingConfig, path: Path) -> None:
    """Refuse a file of a training with another configuration."""
    difference = _difference(stored, config) if stored else "it has no record"
    if difference:
        raise ValueError(f"{path} is of another training: {difference}; take another folder")


def save_start(config: TrainingConfig, folder: Path, writes: bool) -> None:
    """Write the weights behind which a merge classifier is to be fitted; those of an earlier run stay.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
    writes : bool
        Whether this process is the one that writes; the others check, too.

    Raises
    ------
    ValueError
        If they are another network's.
    """
    path = folder / WEIGHTS
    if path.exists():
        return
    start_file = _start_file(config.run.start_from, folder.parent)
    model, start = checkpoint.load_model(start_file), checkpoint.read_record(start_file)
    _check_same(model.config, config.model, start_file, free=("merge_classifier",))
    if not writes:
        return
    kept = {"whole_numbers": start["whole_numbers"]} if "whole_numbers" in start else {}
    kept |= {"start": start} if start else {}
    model.drop_merge_classifier()
    make_folder(folder)
    checkpoint.save_model(path, model, _record(config, 0, 0.0) | kept)


def load_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Go on from a state file.

    Raises
    ------
    ValueError
        If it is damaged, or belongs to a training with another configuration.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        difference = _difference(json.loads(header["config"]), config)
        if not difference:
            _fill(state, header, tensors)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not the state of a training, or damaged: take another folder, or delete the "
            "file to begin again"
        ) from error
    if difference:
        raise ValueError(f"{path} is of another training: {difference}; take another folder")


def _difference(stored: dict[str, Any], config: TrainingConfig) -> str:
    """Name the first field, of those that change what is learnt, in which a stored configuration differs.

    What it lacks was added since, and had its default.
    """
    defaults, asked = (json.loads(json.dumps(asdict(each))) for each in (DEFAULTS, config))
    before = dict(_flat(defaults)) | dict(_flat(stored))
    for name, value in _flat(asked):
        if before[name] != value and name not in FREE_TO_CHANGE:
            return f"{name} was {before[name]!r}, the configuration has {value!r}"
    return ""


def _flat(tables: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Each field of nested tables by its whole name."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value


def _fill(state: TrainingState, header: dict[str, str], tensors: dict[str, Tensor]) -> None:
    state.step, state.elapsed_s = int(header["step"]), float(header["elapsed_s"])
    state.best, state.worse = float(header["best"]), int(header["worse"])
    scaler = json.loads(header["scaler"])
    if scaler and state.scaler.is_enabled():  # else the precision has changed
        state.scaler.load_state_dict(scaler)
    device = state.model.mean.device
    state.model.load_state_dict(_with_prefix(tensors, "model."))
    state.average = {k: v.to(device) for k, v in _with_prefix(tensors, "average.").items()}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _with_prefix(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        slots.setdefault(int(index), {})[key] = value
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": slots, "param_groups": groups})


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _parameter_groups(model: PCNet, config: TrainingConfig) -> list[dict[str, Any]]:
    """Parameters that learn; only weights decay, biases and normalisation do not."""
    learn = [p for p in model.parameters() if p.requires_grad]
    weights = [p for p in learn if p.ndim > 1]
    others = [p for p in learn if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": config.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _start_file(start_from: str, runs: Path) -> Path:
    return weights.locate(start_from) if start_from in weights.names() else runs / start_from


def _start(model: PCNet, path: Path) -> dict[str, Any]:
    """Give a model the weights of a file; return the record of their training.

    The file may lack what was added to the network since: its boundary decoder, its merge classifier. A
    network that predicts blocks may have more channels, too, or take the trunk of one with the paper's tail.

    Raises
    ------
    ValueError
        If the file holds another network.
    """
    start = checkpoint.load_model(path)
    of_the_tail = bool(model.config.block) and not start.config.block
    if start.config.block:
        start = _widened(start, model)
    comparable = _with_added(start.config, model.config)
    _check_same(comparable, model.config, path, free=BEHIND_THE_TRUNK if of_the_tail else ())
    own, theirs = model.state_dict(), start.state_dict()
    shared = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
    assert of_the_tail or len(shared) == len(theirs), "the configurations agree"
    model.load_state_dict(shared, strict=False)
    return checkpoint.read_record(path)


def _check_same(start: PCNetConfig, asked: PCNetConfig, path: Path, free: Sequence[str] = ()) -> None:
    """Refuse a file of another network; some fields may differ."""
    for each in fields(PCNetConfig):
        its, wanted = getattr(start, each.name), getattr(asked, each.name)
        if its != wanted and each.name not in free:
            raise ValueError(
                f"{path} holds a network whose {each.name} is {shown(its)}, "
                f"the configuration asks for {shown(wanted)}"
            )


def _with_added(start: PCNetConfig, asked: PCNetConfig) -> PCNetConfig:
    """A configuration with the parts that another one has and it lacks."""
    return replace(start, **{name: getattr(asked, name) for name in ADDED if not getattr(start, name)})


def _widened(start: PCNet, model: PCNet) -> PCNet:
    """Put a network that predicts blocks into one with more channels (Chen et al. 2016, Net2Net).

    It computes the same. New channels keep the random weights of `model` for what they read; what reads them
    does so with 0. A network that differs in anything else is returned as it is.
    """
    here, there = start.config, model.config
    boundary = there.boundary if here.boundary else 0
    sizes = zip((*here.widths, here.boundary), (*there.widths, boundary), strict=False)
    if here.reduction != there.reduction or any(after < before for before, after in sizes):
        return start
    config = replace(here, widths=there.widths, boundary=boundary)
    if _with_added(config, there) != there:
        return start
    with weights_drawn_by(None):
        result = PCNet(config)
    wide, narrow = model.state_dict(), start.state_dict()
    result.load_state_dict({name: _extended(narrow[name], wide[name], name) for name in narrow})
    return result


def _extended(narrow: Tensor, wide: Tensor, name: str) -> Tensor:
    """One parameter of `_widened`."""
    result = wide.clone()
    if narrow.ndim < 2:
        result[tuple(slice(length) for length in narrow.shape)] = narrow
        return result
    joined = 2 if name.startswith(JOINED) else 1
    own = result.unflatten(1, (joined, -1))[: len(narrow)]  # a view
    own[:] = 0
    own[:, :, : narrow.shape[1] // joined] = narrow.unflatten(1, (joined, -1))
    return result
