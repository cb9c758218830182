"""What one step of training changes: by hand, from the weights before and after."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNetConfig
from napari_pcnet.training.config import DataConfig, OptimizerConfig, RunConfig, TrainingConfig
from napari_pcnet.training.loop import train
from napari_pcnet.training.samples import SampleConfig

Weights = dict[str, torch.Tensor]

STEADY = OptimizerConfig(learning_rate=1e-2, schedule="steps", warmup=0)
"""A learning rate that is the same however many steps there are."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of a bright and a dark part."""
    folder = tmp_path / "drawn" / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name, edge in (("a", 30), ("b", 41)):
        labels = np.zeros((64, 64), np.uint8)
        labels[:, edge:] = 1
        noise = np.random.default_rng(edge).integers(0, 40, (64, 64, 3))
        Image.fromarray((60 + 120 * labels[..., None] + noise).astype(np.uint8)).save(
            folder / "images" / f"{name}.png"
        )
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
    return folder


def _config(folder: Path, optimizer: OptimizerConfig, **run: object) -> TrainingConfig:
    options = {"steps": 1, "device": "cpu", "precision": "float32", "save_every_s": 0.0} | run
    return TrainingConfig(
        data=DataConfig(train=(str(folder),)),
        model=PCNetConfig(widths=(4, 4, 4, 4, 4)),
        samples=SampleConfig(crop_px=64, batch=2, mirror=False, global_scale=(1.0, 1.0)),
        optimizer=optimizer,
        run=RunConfig(**options),
    )


def _trained(config: TrainingConfig, folder: Path) -> Weights:
    return checkpoint.load_model(train(config, folder)).state_dict()


def test_decay_is_of_weights_and_not_of_biases_and_normalisation(folder: Path, tmp_path: Path) -> None:
    without = _trained(_config(folder, STEADY), tmp_path / "without")
    decayed = _trained(_config(folder, replace(STEADY, weight_decay=1000.0)), tmp_path / "decayed")
    stays = {name for name, value in without.items() if torch.equal(value, decayed[name])}
    learns = {name for name, value in without.items() if value.is_floating_point() and value.ndim in (1, 4)}
    learns -= {name for name in learns if name.endswith(("running_mean", "running_var")) or name == "mean"}
    assert {name for name in learns if without[name].ndim == 1} <= stays
    assert {name for name in learns if without[name].ndim == 4}.isdisjoint(stays)


def test_a_moving_average_follows_fast_while_it_is_young(folder: Path, tmp_path: Path) -> None:
    first = _trained(_config(folder, STEADY, steps=1), tmp_path / "first")
    second = _trained(_config(folder, STEADY, steps=2), tmp_path / "second")
    averaged = _trained(_config(folder, replace(STEADY, ema=0.999), steps=2), tmp_path / "averaged")
    share = 2 / 11  # of what was there, at the second step
    for name in ("head.weight", "head.bias", "encoder.0.0.0.weight"):
        expected = share * first[name] + (1 - share) * second[name]
        torch.testing.assert_close(averaged[name], expected, msg=name)
        assert not torch.allclose(first[name], second[name], atol=1e-4)


def test_a_moving_average_that_decays_fast_is_not_slowed(folder: Path, tmp_path: Path) -> None:
    first = _trained(_config(folder, STEADY, steps=1), tmp_path / "first")
    second = _trained(_config(folder, STEADY, steps=2), tmp_path / "second")
    averaged = _trained(_config(folder, replace(STEADY, ema=0.1), steps=2), tmp_path / "averaged")
    expected = 0.1 * first["head.weight"] + 0.9 * second["head.weight"]
    torch.testing.assert_close(averaged["head.weight"], expected)


def test_batches_of_a_step_are_averaged_not_added(folder: Path, tmp_path: Path) -> None:
    # each batch is of both pictures, whole: two of them have the gradient of one
    norms = []
    for number in (1, 2):
        config = _config(folder, STEADY, accumulate=number)
        config = replace(
            config,
            samples=replace(config.samples, patches=False),
            loss=replace(config.loss, local=0.0, discrimination=0.0),
        )
        train(config, tmp_path / f"{number}")
        with (tmp_path / f"{number}" / "log.csv").open(newline="") as file:
            norms.append(float(next(csv.DictReader(file))["gradient_norm"]))
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def test_a_gradient_is_cut_to_the_norm_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    def first_moment(clip: float) -> tuple[float, float]:
        """Norm of the gradient before it was cut, and of what Adam saw of it."""
        run = tmp_path / f"{clip}"
        train(_config(folder, replace(STEADY, clip=clip)), run)
        with (run / "log.csv").open(newline="") as file:
            norm = float(next(csv.DictReader(file))["gradient_norm"])
        with safe_open(run / "state.safetensors", framework="pt") as file:
            seen = [file.get_tensor(name) for name in file.keys() if name.endswith("exp_avg")]  # noqa: SIM118
        return norm, math.sqrt(sum(float(each.square().sum()) for each in seen)) / 0.1

    norm, seen = first_moment(0.01)
    assert norm > 0.02
    assert seen == pytest.approx(0.01, rel=1e-3)
    norm, seen = first_moment(0.0)
    assert seen == pytest.approx(norm, rel=1e-3)
