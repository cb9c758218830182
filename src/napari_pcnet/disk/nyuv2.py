"""NYUv2's own file, an HDF5 file of all images with their labels, and its list of splits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import matlab
from napari_pcnet.disk.damage import naming_damage

FILE = "nyu_depth_v2_labeled.mat"
SPLITS_FILE = "splits.mat"

INSTANCES_PER_CLASS = 256
"""Step between the numbers of two classes: instances are numbered in 8 bits."""


def count_images(path: Path) -> int:
    """Count the images in the file."""
    with _opened(path) as arrays:
        return len(arrays["images"])


def read_image(path: Path, index: int) -> NDArray[np.uint8]:
    """Read an image, counted from 0, as ``(H, W, 3)``."""
    with _opened(path) as arrays:
        pixels: NDArray[np.uint8] = arrays["images"][index]
    return pixels.transpose(2, 1, 0)  # HDF5 has MATLAB's axes backwards: (C, W, H)


def read_objects(path: Path, index: int) -> NDArray[np.integer]:
    """Read the objects in an image as ``(H, W)`` int32: class * 256 + instance, 0 without a label."""
    with _opened(path) as arrays:
        classes, instances = arrays["labels"][index], arrays["instances"][index]
    objects: NDArray[np.integer] = classes.T.astype(np.int32) * INSTANCES_PER_CLASS + instances.T
    return objects


def read_split(path: Path, name: str) -> list[int]:
    """Read the numbers of the images of a split, train or test, from 1."""
    if name not in ("train", "test"):
        raise FileNotFoundError(f"the splits of NYUv2 are train and test, got {path.with_name(name)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}, which lists the images of NYUv2 for {name}, is not there")
    return [int(number) for number in matlab.read_variable(path, f"{name}Ndxs").ravel()]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:  # Any: h5py, which may be missing, stays in here
    try:
        h5py = import_module("h5py")
    except ModuleNotFoundError as error:
        raise ValueError(f"{path} needs h5py, which is not installed; pip install h5py") from error
    with naming_damage(path, "NYUv2's labelled set"), h5py.File(path, "r") as arrays:
        yield arrays
