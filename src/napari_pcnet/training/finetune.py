"""Training without a configuration file: a folder of pictures and their labels, and a model to start from.

Every file is read once before the first step. A part of the pictures, spread evenly over their
names, is held out; what training stops at, and what the report shows, is measured on them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from napari_pcnet import checkpoint, weights
from napari_pcnet.datasets import Pair, sound_pairs
from napari_pcnet.inference import choose_device
from napari_pcnet.training import report
from napari_pcnet.training.augment import AugmentConfig
from napari_pcnet.training.loop import (
    DataConfig,
    OptimizerConfig,
    Report,
    RunConfig,
    TrainingConfig,
    split_pairs,
    train,
)
from napari_pcnet.training.losses import LossConfig
from napari_pcnet.training.samples import SampleConfig

HOLDOUT = 0.2
LEARNING_RATE = 5e-4
WARMUP = 20
VALIDATE_EVERY = 50
PATIENCE = 4
"""Validations without a better one after which training stops: 200 steps."""

AUGMENT = AugmentConfig(colour=0.1, gamma=0.2, noise=0.02)
LARGEST_BATCH = 4


@dataclass(frozen=True)
class FinetuneOptions:
    """What a training without a configuration file may be told."""

    data: Path = field(metadata={"flag": False})
    start: str = field(
        default="pcnet-bsds500-v1", metadata={"help": "weights to start from: a name, or a file of your own"}
    )
    output: Path | None = field(default=None, metadata={"help": "folder of the run (default: runs/FOLDER)"})
    steps: int = field(default=600, metadata={"help": "at most so many; it stops when nothing gets better"})
    seed: int = field(default=0, metadata={"help": "of crops and of what is done to them"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1 or mps"})
    resume: bool = field(default=False, metadata={"help": "go on from the state in that folder"})
    dry_run: bool = field(
        default=False,
        metadata={"help": "only read every file and say what is wrong; the exit status is 2 if anything is"},
    )
    skip_bad: bool = field(default=False, metadata={"help": "leave files that cannot be used out"})


class Checked(NamedTuple):
    """What reading every file found."""

    text: str  # what there is, then a line for each problem
    sound: bool


def main_check(options: FinetuneOptions) -> Checked:
    """Read every file; errors as `main_finetune`, but for bad files."""
    pairs, problems = sound_pairs(options.data)
    return Checked("\n".join([_found(pairs, problems), *problems]), not problems)


def main_finetune(options: FinetuneOptions, report_step: Callable[[int], Report]) -> str:
    """Check every file, train, and write the report.

    Parameters
    ----------
    options : FinetuneOptions
    report_step : callable
        ``report_step(steps)`` gives what is called after each step.

    Returns
    -------
    str
        What came of it: what was found, or the scores before and after.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing to learn from, or files are bad and not to be skipped.
    """
    pairs, problems = sound_pairs(options.data)
    found = _found(pairs, problems)
    if problems and not options.skip_bad:
        raise ValueError(f"{found}: {'; '.join(problems)}. Cure them, or pass --skip-bad to leave them out")
    if len(pairs) < 2:
        raise ValueError(f"{options.data} needs at least 2 pictures with labels, one to look at; {found}")
    start = weights.locate(options.start)
    config = _config(options, pairs, start)
    folder = options.output or Path("runs") / options.data.resolve().name
    weights_file = train(config, folder, resume=options.resume, report=report_step(config.run.steps))
    split = split_pairs(config.data, Path())
    return report.write(folder, start, weights_file, split.validation)


def _found(pairs: Sequence[Pair], problems: Sequence[str]) -> str:
    annotations = sum(len(pair.annotations) for pair in pairs)
    bad = f", {len(problems)} problem{'s' * (len(problems) != 1)}" if problems else ", nothing wrong"
    return f"{len(pairs)} pictures with {annotations} annotations{bad}"


def _config(options: FinetuneOptions, pairs: Sequence[Pair], start: Path) -> TrainingConfig:
    """The training that a folder of pictures gets."""
    model = checkpoint.load_model(start).config
    annotations = sum(len(pair.annotations) for pair in pairs)
    return TrainingConfig(
        data=DataConfig(
            train=(os.path.abspath(options.data),),
            holdout=HOLDOUT,
            only=tuple(pair.name for pair in pairs) if options.skip_bad else (),
        ),
        model=model,
        samples=SampleConfig(
            batch=min(LARGEST_BATCH, max(1, annotations - round(HOLDOUT * annotations))),
            global_scale=(0.5, 2.0),
            local_scale=(1.0, 3.0),
            rotate=True,
            augment=AUGMENT,
        ),
        loss=LossConfig(boundary=1.0 if model.boundary else 0.0),
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, warmup=WARMUP),
        run=RunConfig(
            steps=options.steps,
            seed=options.seed,
            device=options.device,
            precision="bfloat16" if _is_fast_in_bfloat16(options.device) else "float32",
            start_from=os.path.abspath(start),
            validate_every=VALIDATE_EVERY,
            patience=PATIENCE,
        ),
    )


def _is_fast_in_bfloat16(device: str) -> bool:
    """Whether the device computes in bfloat16, which trains two to three times as fast."""
    kind = choose_device(device).device.type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked = "_is_avx512_bf16_supported", "_is_amx_tile_supported"  # torch has no public name for it
    return kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in asked)
