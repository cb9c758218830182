"""Algorithm 1 as a loop: draw a batch, take a step, log one flat record, now and then save.

A run lives in one folder: ``log.csv`` (a row a step), ``state.safetensors`` (model, optimiser and
step: all that `resume` needs), ``weights.safetensors`` (the model with its record, written at the
end and at each save). Batches depend on the seed and the step alone, so a resumed run
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import csv
import json
import math
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from napari_pcnet import checkpoint
from napari_pcnet.association import mask_outside, neighbour_argmax
from napari_pcnet.datasets import Pair, read_pairs
from napari_pcnet.files import write_atomically
from napari_pcnet.grid import CELL, STRIDE
from napari_pcnet.metrics import achievable_segmentation_accuracy
from napari_pcnet.model import PCNet, PCNetConfig, channels_last
from napari_pcnet.training.losses import LossConfig, LossTerms, loss_terms
from napari_pcnet.training.samples import Batch, SampleConfig, Sampler, View

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types that `RunConfig.precision` names."""


@dataclass(frozen=True)
class DataConfig:
    """Where the pairs lie.

    Attributes
    ----------
    train, validation : tuple of str
        Folders with ``images/`` and ``labels/``, relative to the configuration's own.
    licence : str
        Terms of the training data, for the model card.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    licence: str = ""


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its schedule.

    Attributes
    ----------
    learning_rate : float
        After warm-up. The paper's is 5e-5, its authors' code has 8e-5.
    schedule : {'cosine', 'steps'}
        Fall to 0 along a cosine, or by `factor` every `every` steps (paper: 0.1 every 2,000).
    warmup : int
        Steps of linear rise from 0.
    weight_decay : float
        On weights of convolutions, not on biases or normalisation (authors' code: 4e-4).
    clip : float
        Largest norm of the gradient; 0 for none.
    ema : float
        Decay of the moving average of weights that is saved in place of the last ones; 0 for none.
    """

    learning_rate: float = 1.5e-3
    schedule: Literal["cosine", "steps"] = "cosine"
    warmup: int = 50
    every: int = 2000
    factor: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0


@dataclass(frozen=True)
class RunConfig:
    """How long, on what, and how often to look.

    Attributes
    ----------
    steps : int
    seed : int
    device : str
        'auto', 'cpu', 'cuda' or 'mps'.
    precision : {'float32', 'bfloat16', 'float16'}
        Type of autocast.
    start_from : str
        A weights file to start from, relative to the folder that holds the run; '' for random
        weights.
    save_every_s : float
        Seconds between saved states.
    validate_every : int
        Steps between validations; 0 for the end only.
    validate_images : int
        Number of validation images to look at, evenly spread.
    """

    steps: int = 1600
    seed: int = 0
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    start_from: str = ""
    save_every_s: float = 60.0
    validate_every: int = 200
    validate_images: int = 20


@dataclass(frozen=True)
class TrainingConfig:
    """One training, whole; a TOML file with a table for each field."""

    data: DataConfig
    model: PCNetConfig = field(default_factory=PCNetConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)


@dataclass
class TrainingState:
    """What changes from step to step."""

    model: PCNet
    optimizer: torch.optim.Adam
    average: dict[str, Tensor]
    step: int = 0
    elapsed_s: float = 0.0


Report = Callable[[dict[str, float], float], None]
"""Called after each step with its record and the seconds left."""

Table = TypeVar("Table")


def read_config(path: Path) -> TrainingConfig:
    """Read a training configuration from a TOML file; unknown names are refused."""
    try:
        content = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no training configuration {path}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    return _from_table(TrainingConfig, content, str(path))


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    base: Path = Path(),
    resume: bool = False,
    report: Report | None = None,
) -> Path:
    """Train a model.

    Parameters
    ----------
    config : TrainingConfig
    folder : Path
        Where the run lives.
    base : Path
        Folder that paths of the configuration are relative to.
    resume : bool
        Go on from the state in `folder`; from the start if there is none.
    report : callable, optional
        ``report(record, left_s)`` after each step.

    Returns
    -------
    Path
        The weights file.
    """
    folder = Path(folder)
    state_file = folder / "state.safetensors"
    if state_file.exists() and not resume:
        raise FileExistsError(f"{folder} holds a training already: pass --resume or another folder")
    folder.mkdir(parents=True, exist_ok=True)
    device = _device(config.run.device)
    sampler = Sampler(_pairs(config.data.train, base), config.samples, config.run.seed)
    validation = _spread(_pairs(config.data.validation, base), config.run.validate_images)
    state = _initial_state(config, folder.parent, device)
    if state_file.exists():
        _load_state(state, state_file)
    log = _Log(folder, state.step)
    started, saved = time.monotonic() - state.elapsed_s, time.monotonic()
    for batch in _prefetch(sampler, state.step, config.run.steps):
        record = _take_step(state, batch, config, device)
        state.elapsed_s = time.monotonic() - started
        record["elapsed_s"] = state.elapsed_s
        last = state.step == config.run.steps
        if validation and (last or _due(state.step, config.run.validate_every)):
            record["validation_asa"] = validate(_averaged(state, config), validation)
        log.write(record)
        if report is not None:
            done = state.step
            report(record, state.elapsed_s / done * (config.run.steps - done))
        if last or time.monotonic() - saved > config.run.save_every_s:
            _save_state(state, state_file)
            _save_weights(state, config, folder)
            saved = time.monotonic()
    log.close()
    return folder / "weights.safetensors"


def validate(model: PCNet, pairs: list[Pair]) -> float:
    """Mean achievable segmentation accuracy of the raw lattice at the pictures' own pixels."""
    device = next(model.parameters()).device
    scores = []
    for pair in pairs:
        labels = raw_lattice(model, pair.read_image(), device)
        truths = pair.read_annotations()
        scores.append(np.mean([achievable_segmentation_accuracy(labels, t) for t in truths]))
    return float(np.mean(scores))


@torch.no_grad()
def raw_lattice(model: PCNet, image: np.ndarray[Any, Any], device: torch.device) -> np.ndarray[Any, Any]:
    """Cell number of every pixel of an ``(H, W, 3)`` uint8 picture, without connectivity."""
    height, width = image.shape[:2]
    pad = [(0, -side % STRIDE) for side in (height, width)]
    padded = np.pad(image, [*pad, (0, 0)], mode="edge")
    pixels = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None].float() / 255
    rows, columns = -(-height // CELL), -(-width // CELL)
    logits = model(pixels.contiguous(memory_format=torch.channels_last)).logits
    neighbour = neighbour_argmax(mask_outside(logits, (rows, columns)))[0].cpu().numpy()
    neighbour = neighbour[:height, :width]
    row = np.arange(height)[:, None] // CELL + neighbour // 3 - 1
    column = np.arange(width)[None, :] // CELL + neighbour % 3 - 1
    labels: np.ndarray[Any, Any] = row * columns + column
    return labels


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate of one step, counted from 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == "steps":
        fall = config.factor ** (step // config.every)
    else:
        fall = 0.5 * (1 + math.cos(math.pi * step / steps))
    return config.learning_rate * warm * fall


def _take_step(
    state: TrainingState, batch: Batch, config: TrainingConfig, device: torch.device
) -> dict[str, float]:
    rate = learning_rate(config.optimizer, state.step, config.run.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.model.train()
    random = torch.Generator().manual_seed(config.run.seed * 1_000_003 + state.step)
    terms = loss_terms(state.model, _to(batch, device), config.loss, random, AUTOCAST[config.run.precision])
    total = terms.total(config.loss)
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    limit = config.optimizer.clip or math.inf
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), limit)
    if not bool(torch.isfinite(norm)):
        raise FloatingPointError(f"the gradient is not finite at step {state.step}: lower the learning rate")
    state.optimizer.step()
    _update_average(state, config.optimizer.ema)
    state.step += 1
    return _record(state.step, rate, total, norm, terms)


def _record(step: int, rate: float, total: Tensor, norm: Tensor, terms: LossTerms) -> dict[str, float]:
    return {
        "step": step,
        "learning_rate": rate,
        "total": float(total.detach()),
        "gradient_norm": float(norm),
        **terms.as_record(),
    }


def _to(batch: Batch, device: torch.device) -> Batch:
    return Batch(
        *(
            View(
                view.image.to(device, memory_format=torch.channels_last),
                view.labels.to(device),
            )
            for view in batch
        )
    )


def _update_average(state: TrainingState, decay: float) -> None:
    if not decay:
        return
    decay = min(decay, (1 + state.step) / (10 + state.step))  # follows fast while young
    for name, value in state.model.state_dict().items():
        average = state.average.get(name)
        if average is None or not value.is_floating_point():
            state.average[name] = value.detach().clone()
        else:
            average.lerp_(value.detach(), 1 - decay)


def _averaged(state: TrainingState, config: TrainingConfig) -> PCNet:
    """The model to be saved: the moving average if there is one."""
    with torch.random.fork_rng(devices=[]):
        model = PCNet(config.model)
    model.load_state_dict(state.average or state.model.state_dict())
    return channels_last(model).to(next(state.model.parameters()).device).eval()


def _initial_state(config: TrainingConfig, runs: Path, device: torch.device) -> TrainingState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        model = PCNet(config.model)
    if config.run.start_from:
        start = checkpoint.load_model(runs / config.run.start_from)
        if start.config != config.model:
            raise ValueError(
                f"{config.run.start_from} holds a model of {start.config}, "
                f"the configuration asks for {config.model}"
            )
        model.load_state_dict(start.state_dict())
    model = channels_last(model).to(device)
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return TrainingState(model, torch.optim.Adam(groups, lr=config.optimizer.learning_rate), {})


def _save_state(state: TrainingState, path: Path) -> None:
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    for index, slot in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in slot.items()}
    tensors = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
    header = {"step": str(state.step), "elapsed_s": str(state.elapsed_s)}
    content = save(tensors, metadata=header)
    write_atomically(path, lambda file: file.write(content))


def _load_state(state: TrainingState, path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state.step, state.elapsed_s = int(header["step"]), float(header["elapsed_s"])
    device = next(state.model.parameters()).device
    state.model.load_state_dict(_below(tensors, "model."))
    state.average = {k: v.to(device) for k, v in _below(tensors, "average.").items()}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        index, _, key = name.partition(".")
        slots.setdefault(int(index), {})[key] = value
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": slots, "param_groups": groups})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _save_weights(state: TrainingState, config: TrainingConfig, folder: Path) -> None:
    record = {
        "training": asdict(config),
        "step": state.step,
        "hours": round(state.elapsed_s / 3600, 3),
        "commit": _commit(),
        "torch": torch.__version__,
    }
    checkpoint.save_model(folder / "weights.safetensors", _averaged(state, config), record)


def _commit() -> str:
    """Commit of the source tree the code runs from; '' where it is no checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()


def _prefetch(sampler: Sampler, first: int, end: int) -> Iterator[Batch]:
    """Draw batches in a thread, one ahead of the step that uses it."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(sampler.batch, first) if first < end else None
        for step in range(first, end):
            assert ahead is not None
            batch = ahead.result()
            if step + 1 < end:
                ahead = pool.submit(sampler.batch, step + 1)
            yield batch


class _Log:
    """One flat record a step: ``log.csv``, and TensorBoard where it is installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "log.csv"
        self._keep_until(step)
        self.board: Any = None  # tensorboard's writer is untyped
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, record: dict[str, float]) -> None:
        """Append one record."""
        row = {"validation_asa": math.nan, **record}
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, sorted(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.board is not None:
            for name, value in record.items():
                if name != "step":
                    self.board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush what is open."""
        if self.board is not None:
            self.board.close()

    def _keep_until(self, step: int) -> None:
        """Drop rows that a resumed run will write again."""
        if not self.path.exists():
            return
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        kept = [row for row in rows if float(row["step"]) <= step]
        self.path.unlink()
        if kept:
            with self.path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(kept[0]))
                writer.writeheader()
                writer.writerows(kept)


def _pairs(folders: tuple[str, ...], base: Path) -> list[Pair]:
    return [pair for folder in folders for pair in read_pairs(base / folder)]


def _spread(pairs: list[Pair], number: int) -> list[Pair]:
    if len(pairs) <= number:
        return pairs
    return [pairs[i * len(pairs) // number] for i in range(number)]


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _from_table(kind: type[Table], table: dict[str, Any], place: str) -> Table:
    """Build a configuration dataclass from a TOML table."""
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{place}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    values = {}
    for name, value in table.items():
        if is_dataclass(hints[name]):
            values[name] = _from_table(hints[name], value, f"{place} [{name}]")
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{place}: {error}") from None


def describe(config: TrainingConfig) -> str:
    """The configuration as JSON, for a log or a model card."""
    return json.dumps(asdict(config), indent=2)
