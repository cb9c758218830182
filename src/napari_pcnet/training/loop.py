"""Algorithm 1 as a loop: draw batches, take a step, log one flat record, now and then validate and save.

A run lives in one folder: ``log.csv`` (`log`), ``state.safetensors`` and ``weights.safetensors`` (`state`).
Batches depend on the seed and the step alone, so a resumed run gets the batches that an uninterrupted one
would have got.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import torch

from napari_pcnet.disk.datasets import Pair
from napari_pcnet.disk.output import make_folder
from napari_pcnet.disk.provenance import source_commit
from napari_pcnet.network import checkpoint
from napari_pcnet.network.machine import choose_device
from napari_pcnet.network.quantise import quantise
from napari_pcnet.progress import Progress
from napari_pcnet.training.config import TrainingConfig
from napari_pcnet.training.log import TrainingLog
from napari_pcnet.training.merge_classifier import fit_merge_classifier
from napari_pcnet.training.processes import Processes, average, joined_processes, own_device, wait_for_all
from napari_pcnet.training.samples import Batch, Sampler
from napari_pcnet.training.split import Split, evenly_spread, split_pairs, spread_by_share
from napari_pcnet.training.state import (
    STATE,
    WEIGHTS,
    TrainingState,
    holds_training,
    initial_state,
    load_state,
    save_start,
    save_state,
    save_weights,
)
from napari_pcnet.training.step import take_step
from napari_pcnet.training.validation import validate

Report = Callable[[dict[str, float]], None]
"""Called after each step with its record; before the first one with the scores of what it starts from, if
these are known, as step 0, which has no losses."""


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
        ``report(record)`` after each step.
    classifier_progress : callable, optional
        ``classifier_progress(done, total)`` while the merge classifier is fitted.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    FileExistsError
        If the folder holds a training and `resume` is False.
    NotADirectoryError, FileNotFoundError, ValueError
        If the folder, the data, the weights to start from or the state cannot be used.
    FloatingPointError
        If a gradient is not finite.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; the run needs a folder of its own")
    if holds_training(config, folder) and not resume:
        raise FileExistsError(f"{folder} holds a training already: pass --resume or another folder")
    source_commit()  # of the code that trains, not of what is committed meanwhile
    device = choose_device(own_device(config.run.device)).device
    split = split_pairs(config.data, base)
    with joined_processes(device) as processes:
        if config.run.trains == "merges":
            save_start(config, folder, processes.is_first)
        else:
            _train_network(config, folder, processes, split, device, report)
        wait_for_all()  # until the last weights are written
    if processes.is_first and config.run.trains != "merges":
        _round_to_whole_numbers(config, folder, split)
    if processes.is_first and config.merge_classifier.steps:
        _fit_merge_classifier(config, folder, split, classifier_progress)
    return folder / WEIGHTS


def _train_network(
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    split: Split,
    device: torch.device,
    report: Report | None,
) -> None:
    """Train association or boundary decoder, from the state in the folder if there is one."""
    sampler = Sampler(split.train, config.samples, config.run.seed, processes, split.shares)
    validation = evenly_spread(split.validation, config.run.validate_images)
    if config.run.trains == "boundary":
        validation = []  # the association does not change
    state = initial_state(config, folder.parent, device, processes)
    if (folder / STATE).exists():
        load_state(state, config, folder / STATE)
    make_folder(folder)
    _go_on(state, config, folder if processes.is_first else None, sampler, validation, report)


def _round_to_whole_numbers(config: TrainingConfig, folder: Path, split: Split) -> None:
    """Round the finished network, by ranges measured on views that it has not learnt from, if it is to be.

    Raises
    ------
    ValueError
        If it is rounded by other ranges than the configuration asks for: the floats are gone.
    """
    path, number = folder / WEIGHTS, config.whole_numbers.batches
    record = checkpoint.read_record(path)
    if "whole_numbers" in record:
        before = record["whole_numbers"]["views"] // config.samples.batch
        if before != number:
            raise ValueError(
                f"{path} is rounded: whole_numbers.batches was {before}, the configuration has {number}; "
                "take another folder"
            )
    elif number:
        model = checkpoint.load_model(path)
        sampler = Sampler(split.train, config.samples, config.run.seed, shares=split.shares)
        first = config.run.steps * config.run.accumulate
        views = [sampler.batch(first + k).whole.image for k in range(number)]
        model.whole_numbers = quantise(model, torch.cat(views))
        checkpoint.save_model(path, model, record | {"whole_numbers": {"views": sum(map(len, views))}})


def _fit_merge_classifier(
    config: TrainingConfig, folder: Path, split: Split, classifier_progress: Progress | None
) -> None:
    """Fit the merge classifier to trees of the finished network, and save both in one file."""
    path = folder / WEIGHTS
    record = checkpoint.read_record(path)
    if "merge_classifier" in record and record["training"]["merge_classifier"] == json.loads(
        json.dumps(asdict(config.merge_classifier))
    ):
        return
    model = checkpoint.load_model(path)
    model.add_merge_classifier(config.model.merge_classifier)
    pairs = spread_by_share(split, config.merge_classifier.images)
    loss = fit_merge_classifier(
        model, pairs, config.merge_classifier, config.run.seed, config.run.device, classifier_progress
    )
    record["training"] = asdict(config)
    record["merge_classifier"] = {"images": len(pairs), "loss": round(loss, 5)}
    checkpoint.save_model(path, model, record)


def _go_on(
    state: TrainingState,
    config: TrainingConfig,
    folder: Path | None,
    sampler: Sampler,
    validation: list[Pair],
    report: Report | None,
) -> None:
    """Take the remaining steps; log, report and save if there is a folder."""
    with closing(TrainingLog(folder, state.step)) as log:
        started, saved = time.monotonic() - state.elapsed_s, time.monotonic()
        steps = config.run.steps
        if validation and state.step == 0 and config.run.start_from:
            record = {"step": 0, **_score(state, config, validation)}
            log.write(record)
            if report is not None and folder is not None:
                report(record)
            save_weights(state, config, folder)
        first = steps if _is_over(state, config) else state.step
        for batches in _prefetch(sampler, first, steps, config.run.accumulate):
            record = take_step(state, batches, config)
            state.elapsed_s = record["elapsed_s"] = time.monotonic() - started
            last = state.step == steps
            better = False
            if validation and (last or _due(state.step, config.run.validate_every)):
                record |= _score(state, config, validation)
                better = state.worse == 0
                last = last or _is_over(state, config)
            log.write(record)
            if report is not None and folder is not None:
                report(record)
            if last or better or time.monotonic() - saved > config.run.save_every_s:
                if better or not (config.run.patience and validation):
                    save_weights(state, config, folder)
                save_state(state, config, folder)
                saved = time.monotonic()
            if last:
                break


def _score(state: TrainingState, config: TrainingConfig, pairs: list[Pair]) -> dict[str, float]:
    """Score the model, and keep count of validations since the best."""
    accuracy, recall = validate(state.result(config), pairs)
    # over all processes, so that all of them stop, or none
    scores = average({"validation_asa": accuracy, "validation_br": recall})
    state.worse = 0 if scores["validation_asa"] > state.best else state.worse + 1
    state.best = max(state.best, scores["validation_asa"])
    return scores


def _is_over(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether patience has run out."""
    return 0 < config.run.patience <= state.worse


def _prefetch(sampler: Sampler, first: int, end: int, number: int) -> Iterator[list[Batch]]:
    """Draw the batches of each step, `number` of them, in a thread and one step ahead."""

    def batches(step: int) -> list[Batch]:
        return [sampler.batch(step * number + k) for k in range(number)]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batches, first) if first < end else None
        for step in range(first, end):
            assert ahead is not None
            ready = ahead.result()
            if step + 1 < end:
                ahead = pool.submit(batches, step + 1)
            yield ready


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
