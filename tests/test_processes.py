"""Training in two processes is training in one with a batch twice as large."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pcnet.cli import main
from napari_pcnet.disk.datasets import read_pairs
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.training.processes import Processes, average, mean_over_all
from napari_pcnet.training.samples import SampleConfig, Sampler

STEPS = 20
CONFIG = """
[data]
train = ["drawn"]
validation = ["drawn"]
[model]
stem = "unshuffle"
widths = [4, 4, 4, 4, 4]
guide = 2
boundary = 4
[samples]
crop_px = 64
batch = {batch}
rotate = true
[loss]
reconstruction = 0.5
discrimination = 0.0
boundary = 1.0
[optimizer]
learning_rate = 1e-3
warmup = 2
[run]
steps = {steps}
device = "cpu"
precision = "float32"
normalisation = "frozen"
start_from = "start.safetensors"
validate_every = 10
accumulate = {accumulate}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures whose boundaries are of very different length, and a model to start from."""
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / "drawn" / part).mkdir(parents=True)
    for number in range(6):
        y, x = np.indices((64, 80))
        labels = (((x // (6 + 12 * number)) + (y // (5 + 9 * number))) % 2).astype(np.uint8)
        colours = random.integers(0, 255, (2, 3))
        pixels = (colours[labels] + random.normal(0, 9, (64, 80, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "drawn" / "images" / f"{number}.png")
        Image.fromarray(labels).save(tmp_path / "drawn" / "labels" / f"{number}.png")
    torch.manual_seed(0)
    model = PCNet(PCNetConfig("unshuffle", widths=(4, 4, 4, 4, 4), guide=2, boundary=4))
    model.train()(torch.rand(4, 3, 64, 64))  # lively statistics
    checkpoint.save_model(tmp_path / "start.safetensors", model.eval(), {})
    return tmp_path


def train(folder: Path, name: str, processes: int = 1, **options: int) -> dict[str, torch.Tensor]:
    """Train in this process, or in several of their own; return the weights."""
    config = folder / f"{name}.toml"
    config.write_text(CONFIG.format(**{"steps": STEPS, "accumulate": 1} | options))
    words = ["train", str(config), "--data", str(folder), "--output", str(folder / name)]
    if processes == 1:
        assert main(words) == 0
    else:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        run = subprocess.run(
            [sys.executable, *launch, "-m", "napari_pcnet.cli", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("weights: ") == 1  # one process prints
    return checkpoint.load_model(folder / name / "weights.safetensors").state_dict()


def log_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_are_one_with_twice_the_batch(folder: Path) -> None:
    one, two = train(folder, "one", batch=4), train(folder, "two", processes=2, batch=2)
    start = checkpoint.load_model(folder / "start.safetensors").state_dict()
    assert max(float((one[name] - value).abs().max()) for name, value in start.items()) > 1e-3
    for name, value in one.items():
        assert torch.allclose(two[name], value, rtol=0, atol=1e-4), name
    for mine, theirs in zip(log_of(folder, "one"), log_of(folder, "two"), strict=True):
        for column in ("total", "reconstruction_global", "boundary", "gradient_norm", "validation_asa"):
            assert float(theirs[column]) == pytest.approx(float(mine[column]), abs=1e-4, nan_ok=True), column


def test_gradients_of_several_batches_are_averaged_over_processes_once(folder: Path) -> None:
    first = train(folder, "first", batch=4, accumulate=2, steps=3)
    again = train(folder, "again", processes=2, batch=2, accumulate=2, steps=3)
    plain = train(folder, "plain", batch=4, steps=3)
    assert [row["step"] for row in log_of(folder, "first")] == ["0", "1", "2", "3"]
    for name, value in first.items():
        assert torch.allclose(again[name], value, rtol=0, atol=1e-4), name
    assert not torch.equal(first["head.weight"], plain["head.weight"])


def test_the_parts_of_a_batch_are_the_batch(folder: Path) -> None:
    pairs = read_pairs(folder / "drawn")
    whole = Sampler(pairs, SampleConfig(crop_px=64, batch=4), seed=3).batch(7)
    parts = [
        Sampler(pairs, SampleConfig(crop_px=64, batch=2), seed=3, processes=Processes(rank, 2)).batch(7)
        for rank in (0, 1)
    ]
    for rank, part in enumerate(parts):
        assert torch.equal(part.whole.image, whole.whole.image[rank::2])
        assert torch.equal(part.patch.labels, whole.patch.labels[rank::2])


def test_alone_a_mean_is_a_mean() -> None:
    assert float(mean_over_all(torch.tensor(6.0), 4)) == 1.5
    assert float(mean_over_all(torch.tensor(0.0), 0)) == 0
    assert average({"a": 2.0}) == {"a": 2.0}
