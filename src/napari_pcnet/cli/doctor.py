"""``napari-pcnet doctor``: versions, devices, weights and a self-test, for a bug report."""

import argparse
import platform
from dataclasses import replace
from importlib import metadata

from napari_pcnet import __version__, weights
from napari_pcnet.cli.exits import FAILED
from napari_pcnet.cli.labelling import label
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.cli.weights import damage_here
from napari_pcnet.disk import pictures
from napari_pcnet.metrics import achievable_segmentation_accuracy
from napari_pcnet.record import RunRecord

HELP = "versions, devices, weights, self-test: for a bug report"

REPORTED_PACKAGES = (
    "numpy",
    "torch",
    "scikit-image",
    "tifffile",
    "safetensors",
    "napari",
    "PyQt6",
    "PySide6",
)

N_SEGMENTS = 500
LARGEST_CHANGE = 0.001
"""Largest share of pixels that may change superpixel from float64 on the CPU to the default device and
precision."""


def fill(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no arguments."""
    parser.set_defaults(run=doctor)


def doctor(_namespace: argparse.Namespace) -> int:
    """Print what a report needs; fail if weights are damaged or the self-test does not pass."""
    print(f"napari-pcnet {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in REPORTED_PACKAGES:
        print(f"{name}: {_version_of(name)}")
    device = _describe_device()
    damages = [_check_weights(record) for record in weights.records()]
    changed = _self_test()
    passed = changed <= LARGEST_CHANGE
    print(
        f"self-test {'passed' if passed else 'FAILED'}: {changed:.4%} of pixels change superpixel from "
        f"float64 on the CPU to {device}, at most {LARGEST_CHANGE:.1%} may"
    )
    return FAILED if any(damages) or not passed else 0


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _describe_device() -> str:
    import torch

    from napari_pcnet.network.machine import choose_device

    choice = choose_device("auto")
    print(f"device: {choice.device} ({choice.reason}), {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        print(f"cuda:{index}: {torch.cuda.get_device_name(index)}")
    return str(choice.device)


def _check_weights(record: weights.WeightsRecord) -> str:
    damage = damage_here(record)
    good = f"SHA-256 as published, {record.sha256[:12]}..." if record.is_here else "to download"
    print(f"weights {record.name}: {damage or good}")
    return damage


def _self_test() -> float:
    """Return the share of pixels of the sample whose superpixel depends on device and precision.

    It compares the lattice, not the tree: there a pixel that changes moves no other.
    """
    image = pictures.read_image(pictures.SAMPLE)
    record = RunRecord(N_SEGMENTS, method="lattice")
    with ProgressDisplay(" strips") as progress:
        reference, _ = label(image, replace(record, device="cpu", precision="float64"), progress)
        labels, _ = label(image, record, progress)
    return 1 - achievable_segmentation_accuracy(labels, reference)
