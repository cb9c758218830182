"""Fine-tuning without a configuration file: a folder of pictures and labels, and a model to start from.

Every file is read once before the first step. Some of the pictures, spread evenly over their names, are
held out; early stopping and the report use their scores.

Two trainings follow each other. In the first the association learns (`ASSOCIATION`). In the second, behind
its best weights, a boundary decoder and a merge classifier learn (`MERGING`); they are added if the model
has none. The weights that are kept are those with the best score on the held-out pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from napari_pcnet import weights
from napari_pcnet.disk.datasets import Pair, sound_pairs
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.output import make_folder
from napari_pcnet.network import checkpoint
from napari_pcnet.network.machine import choose_device
from napari_pcnet.network.model import PCNetConfig
from napari_pcnet.progress import Progress
from napari_pcnet.training import report
from napari_pcnet.training.augment import AugmentConfig
from napari_pcnet.training.config import (
    DataConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    WholeNumbersConfig,
)
from napari_pcnet.training.finetune_options import FinetuneOptions
from napari_pcnet.training.loop import Report, train
from napari_pcnet.training.losses import LossConfig
from napari_pcnet.training.merge_classifier import MergeClassifierConfig
from napari_pcnet.training.processes import is_one_of_several
from napari_pcnet.training.samples import SampleConfig
from napari_pcnet.training.split import split_pairs

HOLDOUT = 0.2
WARMUP = 20
VALIDATE_EVERY = 50
PATIENCE = 4
"""Validations without a better one after which training stops: 200 steps."""

ASSOCIATION, MERGING = "association", "merging"
"""Folders of the two trainings in the folder of the run."""

MERGING_SHARE = 2 / 3
"""Steps of the second training for each of the first; a step takes a fifth of the time."""

DECODER_RATE = 2e-3
"""Learning rate of a new boundary decoder; one that the model has learns at that of the first training."""

DECODER_CHANNELS, CLASSIFIER_UNITS, CLASSIFIER_STEPS = 32, 24, 1500

CLASSIFIER_MIN_PX = 4096
"""A merge classifier is fitted only if some picture has this many pixels: smaller ones hold too few
superpixels."""

START = "start.safetensors"
"""Copy of the weights that a run started from, in its folder, so that the folder is complete."""

AUGMENT = AugmentConfig(colour=0.1, gamma=0.2, noise=0.02)
LARGEST_BATCH = 4

BLOCK_POSITION = 0.0003
"""Weight of the position term for a network that predicts blocks, as in the training of `pcnet-v2`."""

RANGE_BATCHES = 8
"""Batches on which such a network is rounded to whole numbers."""


class Checked(NamedTuple):
    """Result of reading every file."""

    text: str  # what was found, then a line for each problem
    sound: bool


def main_check(options: FinetuneOptions) -> Checked:
    """Read every file; raises as `main_finetune`, except for bad files."""
    pairs, problems = _sound_pairs(options)
    text = [_found(pairs, problems), *problems]
    if problems and options.skip_bad:
        text.append(f"without them: {len(pairs)} pictures would be used")
    return Checked("\n".join(text), not problems or (options.skip_bad and len(pairs) > 1))


def main_finetune(
    options: FinetuneOptions,
    report_step: Callable[[int], Report],
    classifier_progress: Progress | None = None,
) -> str:
    """Check every file, train, and write the report.

    Parameters
    ----------
    options, report_step, classifier_progress
        As `finetune` takes them.

    Returns
    -------
    str
        The scores before and after.

    Raises
    ------
    FileNotFoundError, ValueError
        As `finetune` does.
    """
    comparison = finetune(options, report_step, classifier_progress)
    folder = comparison.trained.parent
    return report.write(folder, comparison, [folder / name / "log.csv" for name in (ASSOCIATION, MERGING)])


def finetune(
    options: FinetuneOptions,
    report_step: Callable[[int], Report],
    classifier_progress: Progress | None = None,
    scoring_progress: Progress | None = None,
) -> report.BeforeAndAfter:
    """Check every file, train, and keep the weights with the best scores.

    Parameters
    ----------
    options : FinetuneOptions
    report_step : callable
        ``report_step(steps)`` returns the function to call after each step.
    classifier_progress : callable, optional
        ``classifier_progress(done, total)`` while the merge classifier is fitted.
    scoring_progress : callable, optional
        ``scoring_progress(done, total)`` before the weights of the start and of each training are scored.

    Returns
    -------
    BeforeAndAfter
        The weights that are kept, in the folder of the run, and the scores of the held-out pictures.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is nothing to learn from, or files are bad and `skip_bad` is False.
    """
    if is_one_of_several():
        raise ValueError(
            "a folder is trained on in one process: leave torchrun out, or give it a configuration "
            "that ends in .toml"
        )
    folder = options.output or Path("runs") / options.data.resolve().name
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; --output must be a folder")
    start = weights.locate(options.start)
    pairs, problems = _sound_pairs(options)
    found = _found(pairs, problems)
    if problems and not options.skip_bad:
        raise ValueError(f"{found}: {'; '.join(problems)}. Cure them, or pass --skip-bad to leave them out")
    if len(pairs) < 2:
        raise ValueError(f"{options.data} needs at least 2 pictures with labels, one to look at; {found}")
    config = _association(options, pairs, checkpoint.load_model(start).config)
    base = options.data.resolve().parent
    split = split_pairs(config.data, base)
    files = [_kept_start(start, folder, options.resume)]
    for name in (ASSOCIATION, MERGING):
        if name == MERGING:
            config = _merging(options, config, split.train)
        steps = config.run.steps
        files.append(
            train(
                config,
                folder / name,
                base=base,
                resume=options.resume,
                report=report_step(steps),
                classifier_progress=classifier_progress,
            )
        )
    return _best_of(files, split.validation, folder / report.TRAINED, scoring_progress)


def _best_of(
    files: Sequence[Path], held_out: Sequence[Pair], target: Path, progress: Progress | None
) -> report.BeforeAndAfter:
    """Keep the weights that serve the held-out pictures best; of equals, those that learnt more."""
    scores = []
    for done, file in enumerate(files):
        if progress is not None:
            progress(done, len(files))
        scores.append(report.scores_of(held_out, file))
    best = max(reversed(range(len(files))), key=lambda k: report.mean(scores[k])["ASA"])
    checkpoint.save_model(target, checkpoint.load_model(files[best]), checkpoint.read_record(files[best]))
    return report.BeforeAndAfter(held_out, files[0], target, scores[0], scores[best], best)


def _sound_pairs(options: FinetuneOptions) -> tuple[list[Pair], list[str]]:
    if options.data.is_file():
        raise NotADirectoryError(
            f"{options.data} is a file: name a folder with images/ and labels/, or a configuration "
            "that ends in .toml"
        )
    return sound_pairs(options.data)


def _kept_start(start: Path, folder: Path, resume: bool) -> Path:
    """Copy the weights to start from into the folder of the run; a resumed run must have them already."""
    copy, content = folder / START, start.read_bytes()
    if copy.exists() and copy.read_bytes() != content:
        if resume:
            raise ValueError(f"{folder} began with other weights than {start}: take another folder")
        raise FileExistsError(f"{folder} holds a training already: pass --resume or another folder")
    if not copy.exists():
        make_folder(folder)
        write_atomically(copy, lambda file: file.write(content))
    return copy


def _found(pairs: Sequence[Pair], problems: Sequence[str]) -> str:
    annotations = sum(len(pair.annotations) for pair in pairs)
    bad = f", {len(problems)} problem{'s' * (len(problems) != 1)}" if problems else ", nothing wrong"
    return f"{len(pairs)} pictures with {annotations} annotations{bad}"


def _association(options: FinetuneOptions, pairs: Sequence[Pair], model: PCNetConfig) -> TrainingConfig:
    """Configuration of the first training."""
    place = options.data.resolve()
    data = DataConfig(
        train=(place.name,),
        holdout=HOLDOUT,
        only=tuple(pair.name for pair in pairs) if options.skip_bad else (),
    )
    annotations = sum(len(pair.annotations) for pair in split_pairs(data, place.parent).train)
    return TrainingConfig(
        data=data,
        model=model,
        samples=SampleConfig(
            batch=min(LARGEST_BATCH, annotations),
            global_scale=(0.5, 2.0),
            local_scale=(1.0, 3.0),
            rotate=True,
            patches=not model.block,
            augment=AUGMENT,
        ),
        loss=_loss(model),
        whole_numbers=WholeNumbersConfig(RANGE_BATCHES if model.block else 0),
        optimizer=OptimizerConfig(learning_rate=options.learning_rate, warmup=WARMUP),
        run=RunConfig(
            steps=options.steps,
            seed=options.seed,
            device=options.device,
            precision="bfloat16" if _is_fast_in_bfloat16(options.device) else "float32",
            start_from=START,
            validate_every=VALIDATE_EVERY,
            patience=PATIENCE,
        ),
    )


def _loss(model: PCNetConfig, boundary: float = 0.0) -> LossConfig:
    """Weights of the terms that a network has."""
    if not model.block:
        return LossConfig(boundary=boundary)
    return LossConfig(BLOCK_POSITION, reconstruction=0, local=0, discrimination=0, boundary=boundary)


def _merging(options: FinetuneOptions, before: TrainingConfig, pairs: Sequence[Pair]) -> TrainingConfig:
    """Configuration of the second training, behind the weights of the first."""
    model = before.model
    fits_classifier = any(pair.read_image()[..., 0].size >= CLASSIFIER_MIN_PX for pair in pairs)
    units = model.merge_classifier or (CLASSIFIER_UNITS if fits_classifier else 0)
    return replace(
        before,
        model=replace(model, boundary=model.boundary or DECODER_CHANNELS, merge_classifier=units),
        samples=replace(before.samples, global_scale=(0.7, 3.0), patches=False),
        loss=_loss(model, boundary=1.0),
        optimizer=before.optimizer
        if model.boundary
        else replace(before.optimizer, learning_rate=DECODER_RATE),
        run=replace(
            before.run,
            steps=max(1, round(MERGING_SHARE * options.steps)),
            start_from=f"{ASSOCIATION}/weights.safetensors",
            trains="boundary",
            patience=0,
        ),
        merge_classifier=MergeClassifierConfig(steps=CLASSIFIER_STEPS if fits_classifier else 0),
    )


def _is_fast_in_bfloat16(device: str) -> bool:
    """Whether the device computes in bfloat16, which trains two to three times as fast."""
    kind = choose_device(device).device.type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    asked = "_is_avx512_bf16_supported", "_is_amx_tile_supported"  # torch has no public name for it
    return kind == "cpu" and any(getattr(torch.cpu, name, bool)() for name in asked)
