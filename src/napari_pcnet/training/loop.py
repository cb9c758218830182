"""Algorithm 1 as a loop: draw a batch, take a step, log one flat record, now and then save.

A run lives in one folder: ``log.csv`` (a row a step), ``state.safetensors`` (model, optimiser and
step, and the configuration they belong to: all that `resume` needs), ``weights.safetensors`` (the
model with its record, written at the end and at each save). Batches depend on the seed and the step
alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from napari_pcnet import weights
from napari_pcnet.disk.configuration import read_toml
from napari_pcnet.disk.datasets import Pair, read_pairs, sound_pairs
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.provenance import source_commit
from napari_pcnet.geometry.grid import STRIDE, Grid, raw_ids
from napari_pcnet.metrics import achievable_segmentation_accuracy, boundary_recall
from napari_pcnet.network import checkpoint
from napari_pcnet.network.association import mask_outside, neighbour_argmax
from napari_pcnet.network.inference import choose_device
from napari_pcnet.network.model import PCNet, PCNetConfig, channels_last
from napari_pcnet.progress import Progress
from napari_pcnet.training.losses import LossConfig, LossTerms, boundary_terms, loss_terms
from napari_pcnet.training.merge_classifier import MergeClassifierConfig, fit_merge_classifier
from napari_pcnet.training.processes import ALONE, Team, average, joined, own_device, wait_for_all
from napari_pcnet.training.samples import Batch, SampleConfig, Sampler, View, as_network_input
from napari_pcnet.training.schedule import cosine

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types that `RunConfig.precision` names."""

STATE = "state.safetensors"

ADDED = ("boundary", "merge_classifier")
"""Parts of a network that weights to start from may lack."""

FREE_TO_CHANGE = (
    "run.device",
    "run.precision",
    "run.save_every_s",
    "run.validate_every",
    "run.validate_images",
    "data.licence",
    *(f"merge_classifier.{each.name}" for each in fields(MergeClassifierConfig)),
)
"""What a resumed run may have otherwise than the run it goes on from."""

VALIDATED_SIDE = 2048
"""Of a larger validation picture the middle is looked at, so many pixels wide and high."""


@dataclass(frozen=True)
class DataConfig:
    """Where the pairs lie.

    Attributes
    ----------
    train, validation : tuple of str
        Folders with ``images/`` and ``labels/``, relative to the folder given by ``--data``.
    shares : tuple of float
        How much of the samples each folder of `train` gives, in any unit; as many as it has
        annotations if not said.
    holdout : float
        Share of the training images, evenly spread by name, to be validated on instead; for sets
        without a validation split. At least one if it is not 0 and there are two.
    only : tuple of str
        Names of the training images to take; all if there are none.
    licence : str
        Terms of the training data, for the model card.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    holdout: float = 0.0
    only: tuple[str, ...] = ()
    licence: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be a share from 0 to below 1, got {self.holdout!r}")
        if self.shares and (len(self.shares) != len(self.train) or min(self.shares) <= 0):
            raise ValueError(
                f"shares must be a positive number for each folder of train, got {list(self.shares)}"
            )


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
        'auto', or a device as torch names it: 'cpu', 'cuda', 'cuda:1', 'mps'.
    precision : {'float32', 'bfloat16', 'float16'}
        Type of autocast. With float16 the loss is scaled so that gradients neither vanish nor
        overflow, and steps that overflow are left out.
    start_from : str
        Weights to start from: a name, or a file relative to the folder that holds the run; '' for
        random weights.
    save_every_s : float
        Seconds between saved states.
    validate_every : int
        Steps between validations; 0 for the end only.
    validate_images : int
        Number of validation images to look at, evenly spread.
    accumulate : int
        Batches whose gradients are averaged before each step.
    normalisation : {'batch', 'frozen'}
        Normalise by each batch (of all processes on CUDA, of its own on a CPU), or by the
        statistics of the weights that training started from.
    trains : {'all', 'boundary'}
        What learns: everything (the boundary decoder where ``loss.boundary`` is not 0), or the
        boundary decoder alone, behind weights that stay as they are. A merge classifier depends on both,
        so fit it again after either (``merge_classifier.steps``).
    patience : int
        Stop after so many validations without a better one, and keep the weights of the best; 0 to
        take all steps and keep the last. Needs pictures to validate on, and an association that learns.
    """

    steps: int = 1600
    seed: int = 0
    device: str = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    start_from: str = ""
    save_every_s: float = 60.0
    validate_every: int = 200
    validate_images: int = 20
    accumulate: int = 1
    normalisation: Literal["batch", "frozen"] = "batch"
    trains: Literal["all", "boundary"] = "all"
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, got {self.patience!r}")
        if self.patience and self.trains == "boundary":
            raise ValueError("patience looks at the association, which stays as it is: leave it out")
        if self.normalisation == "frozen" and not self.start_from:
            raise ValueError("normalisation can be 'frozen' only where start_from gives statistics")
        if self.trains != "all" and not self.start_from:
            raise ValueError("a boundary decoder can be trained alone only behind weights: set start_from")


@dataclass(frozen=True)
class TrainingConfig:
    """One training, whole; a TOML file with a table for each field."""

    data: DataConfig
    model: PCNetConfig = field(default_factory=PCNetConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    merge_classifier: MergeClassifierConfig = field(default_factory=MergeClassifierConfig)

    @property
    def learns_boundary(self) -> bool:
        """Whether the boundary decoder learns."""
        return self.run.trains == "boundary" or self.loss.boundary > 0

    def __post_init__(self) -> None:
        alone = self.run.trains == "boundary"
        if alone and not self.model.boundary:
            raise ValueError(
                "run.trains is 'boundary', but the network has no boundary decoder: set model.boundary"
            )
        if self.run.patience and not (self.data.validation or self.data.holdout):
            raise ValueError("patience needs pictures to look at: set data.validation or data.holdout")
        if self.merge_classifier.steps and not self.model.merge_classifier:
            raise ValueError(
                "merge_classifier.steps is set, but the network has no merge classifier: "
                "set model.merge_classifier"
            )
        if not (alone or self.samples.patches) and self.loss.local:
            raise ValueError("loss.local needs local patches: set samples.patches, or loss.local = 0")


@dataclass
class TrainingState:
    """What changes from step to step."""

    model: PCNet
    loss: nn.Module  # the losses of the model, of all processes together
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    start: dict[str, Any]  # record of the weights it started from
    average: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    elapsed_s: float = 0.0
    best: float = -math.inf  # validation score
    worse: int = 0  # validations since then


COLUMNS = (
    "step",
    "elapsed_s",
    "learning_rate",
    "total",
    "gradient_norm",
    *(each.name for each in fields(LossTerms)),
    "validation_asa",
    "validation_br",
)
"""Of ``log.csv``; NaN where a step has none. Step 0 holds the validation of the weights it started from."""

Report = Callable[[dict[str, float], float], None]
"""Called after each step with its record and the seconds left."""


def read_config(path: Path) -> TrainingConfig:
    """Read a training configuration from a TOML file, as `configuration.read_toml` does."""
    return read_toml(TrainingConfig, Path(path))


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    base: Path = Path(),
    resume: bool = False,
    report: Report | None = None,
    classifier_progress: Progress | None = None,
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
    classifier_progress : callable, optional
        ``classifier_progress(done, total)`` while the merge classifier is fitted.

    Returns
    -------
    Path
        The weights file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; the run needs a folder of its own")
    state_file = folder / STATE
    if state_file.exists() and not resume:
        raise FileExistsError(f"{folder} holds a training already: pass --resume or another folder")
    device = choose_device(own_device(config.run.device)).device
    split = split_pairs(config.data, base)
    with joined(device) as team:
        sampler = Sampler(split.train, config.samples, config.run.seed, team, split.shares)
        validation = _spread(split.validation, config.run.validate_images)
        if config.run.trains == "boundary":
            validation = []  # the association does not change
        state = _initial_state(config, folder.parent, device, team)
        if state_file.exists():
            _load_state(state, config, state_file)
        folder.mkdir(parents=True, exist_ok=True)
        _go_on(state, config, folder if team.leads else None, sampler, validation, report)
        wait_for_all()  # until the last weights are written
    if team.leads and config.merge_classifier.steps:
        _fit_merge_classifier(config, folder, split, classifier_progress)
    return folder / "weights.safetensors"


def _fit_merge_classifier(
    config: TrainingConfig, folder: Path, split: Split, classifier_progress: Progress | None
) -> None:
    """Fit the merge classifier to trees of the finished network, and save both in one file."""
    path = folder / "weights.safetensors"
    record = checkpoint.read_record(path)
    if "merge_classifier" in record and record["training"]["merge_classifier"] == json.loads(
        json.dumps(asdict(config.merge_classifier))
    ):
        return
    model = checkpoint.load_model(path)
    model.add_merge_classifier(config.model.merge_classifier)
    pairs = _spread_by_share(split, config.merge_classifier.images)
    loss = fit_merge_classifier(
        model, pairs, config.merge_classifier, config.run.seed, config.run.device, classifier_progress
    )
    record["training"] = asdict(config)
    record["merge_classifier"] = {"images": len(pairs), "loss": round(loss, 5)}
    checkpoint.save_model(path, model, record)


def _spread_by_share(split: Split, number: int) -> list[Pair]:
    """Take so many training pairs, if there are, of each set as many as its share of the samples is."""
    weight = np.array(
        [share * len(pair.annotations) for pair, share in zip(split.train, split.shares, strict=True)]
    )
    sure = np.zeros(len(weight), bool)  # no pair is taken more than once
    chance = weight
    while not sure.all():
        rest = weight * ~sure
        chance = np.where(sure, 1.0, rest / rest.sum() * (number - sure.sum()))
        if (chance <= 1).all():
            break
        sure |= chance > 1
    taken = np.diff(np.ceil(np.cumsum(chance) - 1e-9), prepend=0) > 0
    return [pair for pair, is_taken in zip(split.train, taken, strict=True) if is_taken]


def _go_on(
    state: TrainingState,
    config: TrainingConfig,
    folder: Path | None,
    sampler: Sampler,
    validation: list[Pair],
    report: Report | None,
) -> None:
    """Take the steps that are left; log, report and save, where there is a folder."""
    log = _Log(folder, state.step)
    started, saved = time.monotonic() - state.elapsed_s, time.monotonic()
    steps = config.run.steps
    if validation and state.step == 0 and config.run.start_from:
        log.write({"step": 0, **_validate(state, config, validation)})
        _save_weights(state, config, folder)
    first = steps if _is_over(state, config) else state.step
    for batches in _prefetch(sampler, first, steps, config.run.accumulate):
        record = _take_step(state, batches, config)
        state.elapsed_s = record["elapsed_s"] = time.monotonic() - started
        last = state.step == steps
        better = False
        if validation and (last or _due(state.step, config.run.validate_every)):
            record |= _validate(state, config, validation)
            better = state.worse == 0
            last = last or _is_over(state, config)
        log.write(record)
        if report is not None and folder is not None:
            report(record, state.elapsed_s / state.step * (steps - state.step))
        if last or better or time.monotonic() - saved > config.run.save_every_s:
            if better or not (config.run.patience and validation):
                _save_weights(state, config, folder)
            _save_state(state, config, folder)
            saved = time.monotonic()
        if last:
            break
    log.close()


def _validate(state: TrainingState, config: TrainingConfig, pairs: list[Pair]) -> dict[str, float]:
    """Score the model, and remember whether it was ever better."""
    accuracy, recall = validate(_averaged(state, config), pairs)
    # of several processes all go on, or none
    scores = average({"validation_asa": accuracy, "validation_br": recall})
    state.worse = 0 if scores["validation_asa"] > state.best else state.worse + 1
    state.best = max(state.best, scores["validation_asa"])
    return scores


def _is_over(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether patience has run out."""
    return 0 < config.run.patience <= state.worse


class Split(NamedTuple):
    """What is learnt from, and what is only looked at."""

    train: list[Pair]
    validation: list[Pair]
    shares: list[float]  # of each training pair's annotations, how often one is drawn


def split_pairs(config: DataConfig, base: Path) -> Split:
    """List the pairs of a training, and those it is validated on."""
    sets = [_pairs((folder,), base, config.only) for folder in config.train]
    train = [pair for pairs in sets for pair in pairs]
    validation = _pairs(config.validation, base)
    if config.holdout and len(train) > 1:
        number = min(len(train) - 1, max(1, round(config.holdout * len(train))))
        held = _spread(train, number)
        train, validation = [pair for pair in train if pair not in held], [*validation, *held]
    return Split(train, validation, _shares(sets, train, config.shares))


def _shares(sets: Sequence[list[Pair]], train: list[Pair], shares: Sequence[float]) -> list[float]:
    """How often an annotation of each pair is drawn, so that each set gets its share of the samples."""
    if not shares:
        return [1.0] * len(train)
    found: dict[Pair, float] = {}
    for pairs, share in zip(sets, shares, strict=True):
        left = [pair for pair in pairs if pair in train]
        annotations = sum(len(pair.annotations) for pair in left)
        found |= dict.fromkeys(left, share / max(annotations, 1))
    return [found[pair] for pair in train]


def validate(model: PCNet, pairs: list[Pair]) -> tuple[float, float]:
    """Mean accuracy and boundary recall of the raw lattice at the pictures' own pixels."""
    device = next(model.parameters()).device
    scores = []
    for pair in pairs:
        labels = raw_lattice(model, as_network_input(_middle(pair.read_image())), device)
        truths = [_middle(each) for each in pair.read_annotations()]
        scores.append(
            np.mean(
                [(achievable_segmentation_accuracy(labels, t), boundary_recall(labels, t)) for t in truths],
                axis=0,
            )
        )
    accuracy, recall = np.mean(scores, axis=0)
    return float(accuracy), float(recall)


def _middle(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The middle of a picture, of bounded size."""
    top, left = (max(0, side - VALIDATED_SIDE) // 2 for side in pixels.shape[:2])
    return pixels[top : top + VALIDATED_SIDE, left : left + VALIDATED_SIDE]


@torch.no_grad()
def raw_lattice(model: PCNet, image: np.ndarray[Any, Any], device: torch.device) -> np.ndarray[Any, Any]:
    """Cell number of every pixel of an ``(H, W, 3)`` uint8 picture, without connectivity."""
    height, width = image.shape[:2]
    pad = [(0, -side % STRIDE) for side in (height, width)]
    padded = np.pad(image, [*pad, (0, 0)], mode="edge")
    pixels = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None].float() / 255
    grid = Grid((height, width), (height, width))
    logits = model(pixels.contiguous(memory_format=torch.channels_last)).logits
    neighbour = neighbour_argmax(mask_outside(logits, grid.lattice))[0].cpu().numpy()
    return raw_ids(neighbour[:height, :width], np.arange(height), np.arange(width), grid)


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate of one step, counted from 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    in_steps = config.schedule == "steps"
    fall = config.factor ** (step // config.every) if in_steps else cosine(step, steps)
    return config.learning_rate * warm * fall


def _take_step(state: TrainingState, batches: Sequence[Batch], config: TrainingConfig) -> dict[str, float]:
    rate = learning_rate(config.optimizer, state.step, config.run.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    _prepare(state.model, config)
    random = torch.Generator().manual_seed(config.run.seed * 1_000_003 + state.step)
    state.optimizer.zero_grad(set_to_none=True)
    records = []
    for number, batch in enumerate(batches, 1):
        # gradients of several processes meet once, at the last batch
        apart = number < len(batches) and isinstance(state.loss, DistributedDataParallel)
        with _apart(state.loss) if apart else nullcontext():
            terms = LossTerms(**state.loss(_to(batch, state.model.mean.device), random))
            total = terms.total(config.loss)
            state.scaler.scale(total / len(batches)).backward()
        records.append({"total": float(total.detach()), **terms.as_record()})
    # of all batches and processes, so that all of them go on, or none
    means = average({name: sum(each[name] for each in records) / len(records) for name in records[0]})
    norm = _descend(state, means["total"], config.optimizer.clip or math.inf)
    _update_average(state, config.optimizer.ema)
    state.step += 1
    return {"step": state.step, "learning_rate": rate, "gradient_norm": float(norm), **means}


def _apart(loss: nn.Module) -> AbstractContextManager[None]:
    assert isinstance(loss, DistributedDataParallel)
    together: AbstractContextManager[None] = loss.no_sync()
    return together


class _Losses(nn.Module):
    """The losses of a model as a module, which several processes can share."""

    def __init__(self, model: PCNet, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """Return the terms by name: what holds tensors must be a plain container."""
        run = self.config.run
        autocast = AUTOCAST[run.precision]
        if run.trains == "boundary":
            terms = boundary_terms(self.model, batch, autocast)
        else:
            terms = loss_terms(self.model, batch, self.config.loss, random, autocast)
        return {each.name: getattr(terms, each.name) for each in fields(terms)}


def _prepare(model: PCNet, config: TrainingConfig) -> None:
    """Set the layers that learn and normalise by batches to do so."""
    run = config.run
    model.train(run.trains == "all")
    if model.boundary is not None:
        model.boundary.train(config.learns_boundary)
    if run.normalisation == "frozen":
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):  # torch has no other name
                layer.eval()


def _descend(state: TrainingState, total: float, clip: float) -> Tensor:
    """Step down the gradient, cut to the norm `clip`; return the norm it had."""
    scaler = state.scaler
    scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), clip)
    overflown = scaler.is_enabled() and math.isfinite(total) and scaler.get_scale() >= 1
    if not (bool(torch.isfinite(norm)) or overflown):  # an overflow is cured by a smaller scale
        raise FloatingPointError(f"the gradient is not finite at step {state.step}: lower the learning rate")
    scaler.step(state.optimizer)
    scaler.update()
    return norm


def _to(batch: Batch, device: torch.device) -> Batch:
    def moved(view: View) -> View:
        return View(view.image.to(device, memory_format=torch.channels_last), view.labels.to(device))

    return Batch(moved(batch.whole), None if batch.patch is None else moved(batch.patch))


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
    """The model to save: the moving average if there is one, without a merge classifier yet to be fitted."""
    with torch.random.fork_rng(devices=[]):
        model = PCNet(config.model)
    model.load_state_dict(state.average or state.model.state_dict())
    if config.merge_classifier.steps:
        model.drop_merge_classifier()
    return channels_last(model).to(next(state.model.parameters()).device).eval()


def _initial_state(
    config: TrainingConfig, runs: Path, device: torch.device, team: Team = ALONE
) -> TrainingState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        model = PCNet(config.model)
    record = _start(model, _start_file(config.run.start_from, runs)) if config.run.start_from else {}
    model = channels_last(model).to(device)
    model.requires_grad_(config.run.trains == "all")
    if model.boundary is not None:
        model.boundary.requires_grad_(config.learns_boundary)
    if model.merge_classifier is not None:
        model.merge_classifier.requires_grad_(False)  # learns when all else is done
    loss: nn.Module = _Losses(model, config)
    if team.size > 1:
        if device.type == "cuda":
            loss = nn.SyncBatchNorm.convert_sync_batchnorm(loss)
            model = loss.get_submodule("model")  # type: ignore[assignment]  # it is one still
        loss = DistributedDataParallel(loss, find_unused_parameters=True)
    learn = [p for p in model.parameters() if p.requires_grad]
    weights = [p for p in learn if p.ndim > 1]
    others = [p for p in learn if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.optimizer.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adam = torch.optim.Adam(groups, lr=config.optimizer.learning_rate)
    scaler = torch.amp.GradScaler(device.type, enabled=config.run.precision == "float16")
    return TrainingState(model, loss, adam, scaler, record)


def _start_file(start_from: str, runs: Path) -> Path:
    return weights.locate(start_from) if start_from in weights.names() else runs / start_from


def _start(model: PCNet, path: Path) -> dict[str, Any]:
    """Give a model the weights of a file; return the record of their training.

    The file may lack what was added to the network since: its boundary decoder, its merge classifier.
    """
    start = checkpoint.load_model(path)
    added = {name: getattr(model.config, name) for name in ADDED if not getattr(start.config, name)}
    if replace(start.config, **added) != model.config:
        raise ValueError(f"{path} holds a model of {start.config}, the configuration asks for {model.config}")
    lacks = model.load_state_dict(start.state_dict(), strict=False)
    assert not lacks.unexpected_keys and {key.partition(".")[0] for key in lacks.missing_keys} <= set(added)
    return checkpoint.read_record(path)


def _save_state(state: TrainingState, config: TrainingConfig, folder: Path | None) -> None:
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


def _load_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Go on from a file, if it is of a training with the same configuration."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        difference = _difference(json.loads(header["config"]), json.loads(json.dumps(asdict(config))))
        if not difference:
            _fill(state, header, tensors)
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not the state of a training, or damaged: take another folder, or delete the "
            "file to begin anew"
        ) from error
    if difference:
        raise ValueError(f"{path} is of another training: {difference}; take another folder")


def _difference(stored: dict[str, Any], asked: dict[str, Any]) -> str:
    """Say in which field two configurations differ first, of those that change what is learnt."""
    for table, values in asked.items():
        for name, value in values.items():
            before = stored[table].get(name)
            if before != value and f"{table}.{name}" not in FREE_TO_CHANGE:
                return f"{table}.{name} was {before!r}, the configuration has {value!r}"
    return ""


def _fill(state: TrainingState, header: dict[str, str], tensors: dict[str, Tensor]) -> None:
    state.step, state.elapsed_s = int(header["step"]), float(header["elapsed_s"])
    state.best, state.worse = float(header["best"]), int(header["worse"])
    scaler = json.loads(header["scaler"])
    if scaler and state.scaler.is_enabled():  # else the precision was changed
        state.scaler.load_state_dict(scaler)
    device = state.model.mean.device
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


def _save_weights(state: TrainingState, config: TrainingConfig, folder: Path | None) -> None:
    if folder is None:
        return
    record = {
        "training": asdict(config),
        "step": state.step,
        "hours": round(state.elapsed_s / 3600, 3),
        "commit": source_commit(),
        "torch": torch.__version__,
    } | ({"start": state.start} if state.start else {})
    checkpoint.save_model(folder / "weights.safetensors", _averaged(state, config), record)


def _prefetch(sampler: Sampler, first: int, end: int, each: int) -> Iterator[list[Batch]]:
    """Draw the batches of each step in a thread, one step ahead."""

    def batches(step: int) -> list[Batch]:
        return [sampler.batch(step * each + number) for number in range(each)]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batches, first) if first < end else None
        for step in range(first, end):
            assert ahead is not None
            ready = ahead.result()
            if step + 1 < end:
                ahead = pool.submit(batches, step + 1)
            yield ready


class _Log:
    """One flat record a step: ``log.csv``, and TensorBoard where it is installed."""

    def __init__(self, folder: Path | None, step: int) -> None:
        self.board: Any = None  # tensorboard's writer is untyped
        self.path = None if folder is None else folder / "log.csv"
        if folder is None or self.path is None:
            return
        _keep_until(self.path, step)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, record: dict[str, float]) -> None:
        """Append one record, where there is a folder."""
        if self.path is None:
            return
        row = dict.fromkeys(COLUMNS, math.nan) | record
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, sorted(COLUMNS))
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


def _keep_until(path: Path, step: int) -> None:
    """Drop rows of a log that a resumed run will write again."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if float(row["step"]) <= step] if step else []
    path.unlink()
    if kept:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)


def _pairs(folders: tuple[str, ...], base: Path, only: tuple[str, ...] = ()) -> list[Pair]:
    if not only:
        return [pair for folder in folders for pair in read_pairs(base / folder)]
    sound = [pair for folder in folders for pair in sound_pairs(base / folder)[0]]
    return [pair for pair in sound if pair.name in only]


def _spread(pairs: list[Pair], number: int) -> list[Pair]:
    if len(pairs) <= number:
        return pairs
    return [pairs[i * len(pairs) // number] for i in range(number)]


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
