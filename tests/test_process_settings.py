"""No command changes a setting of its process, or a file that is not its output."""

import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import matplotlib as mpl
import numpy as np
import PIL.Image
import pyogrio
import pytest
import skimage.color
import tifffile
import torch
import zarr

from napari_pcnet.cli import main
from napari_pcnet.evaluation import contract
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.training import finetune, report

LOADED = (geopandas, mpl, pyogrio, skimage.color, tifffile, zarr)
"""Libraries that add filters of warnings, or variables for certificates, when they are loaded, which is not
ours to prevent."""

CONFIGURATION = """
[data]
train = ["cells"]
[model]
widths = [4, 4, 4, 4, 4]
[samples]
crop_px = 64
batch = 2
[run]
steps = 1
device = "cpu"
precision = "float32"
"""

COMMANDS = {
    "segment in.png out/a.tif -n 5 --overlay out/a.png": 0,
    "segment in.png out/a.zarr -n 5 --method lattice --precision float64": 0,
    "segment in.png out/d.png -n 5 --overwrite --mask mask.png": 0,
    "segment in.png mask.png none.png -o out -n 5": 1,
    "segment none.png out/b.tif": 2,
    "segment in.png in.png --overwrite": 2,
    "segment in.png out/c.tif -n 100000": 2,
    "demo --output out/demo": 0,
    "weights list": 0,
    "weights info pcnet-v1": 0,
    "weights verify": 0,
    "weights download pcnet-v1": 0,
    "weights import thin.safetensors --name own": 0,
    "weights remove spare": 0,
    "doctor": 0,
    "measure mask.png out/regions.csv --image in.png": 0,
    "measure mask.png out/regions.parquet": 0,
    "export mask.png out/regions.geojson": 0,
    "export mask.png out/regions.gpkg": 0,
    "evaluate mask.png truth.png --output out/scores.csv": 0,
    "train cells --from thin.safetensors --output out/run --steps 1 --device cpu": 0,
    "train c.toml --output out/run2": 0,
    "benchmark quality --data cells --output out/q --counts 4 --methods pcnet-v1/lattice skimage-slic-10": 0,
    "benchmark speed --sizes 64x64 --counts 9 --repetitions 1 --no-memory --methods pcnet-v1/lattice "
    "--output out/speed": 0,
    "benchmark scale --sides 64 --methods pcnet-v1/hierarchy --output out/scale": 0,
    "benchmark contract --windows 64": 0,
}
"""All commands, some that succeed and some that do not; they write to ``out`` and the cache folder.

None relies on another before it: several processes share them."""

FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "os.link",
    "os.symlink",
    "os.truncate",
)

PROCESS_WIDE: tuple[tuple[Any, str], ...] = (
    (os, "umask"),
    (os, "chdir"),
    (torch, "manual_seed"),
    (torch, "set_rng_state"),
    (torch.random, "fork_rng"),
    (torch, "set_num_threads"),
    (torch, "set_default_dtype"),
    (np, "seterr"),
    (locale, "setlocale"),
)
"""What changes a setting of all threads; no command calls it, not even to set it back."""

watched: list[str] | None = None
"""Absolute paths that the process writes to, while a command runs."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watched is None:
        return
    is_write = event in WRITES or (event == "open" and bool((arguments[2] or 0) & FOR_WRITING))
    if is_write and not isinstance(arguments[0], int) and os.path.isabs(arguments[0]):
        watched.append(os.fsdecode(arguments[0]))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The inputs of the commands, in the working folder; home and cache folder lie beside it."""
    sys.addaudithook(_watch)  # for ever, but it does nothing unless something is watched
    top = tmp_path_factory.mktemp("workplace")
    folder = top / "work"
    (folder / "out").mkdir(parents=True)
    found = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")  # as Python starts; Qt sets others, and GDAL numbers back to this
    locale.setlocale(locale.LC_CTYPE, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, place in {
            "HOME": "home",
            "NAPARI_PCNET_CACHE": "cache",
            "XDG_CACHE_HOME": "caches",
        }.items():
            (top / place).mkdir()
            patch.setenv(name, str(top / place))
        _draw(folder)
        assert main(["weights", "import", "thin.safetensors", "--name", "spare"]) == 0
        torch.optim.Adam([torch.zeros(1)]).step()  # loads torch's compiler, which sets a variable
        yield top
    locale.setlocale(locale.LC_ALL, found)


def _draw(folder: Path) -> None:
    random = np.random.default_rng(0)
    halves = np.repeat([[0, 1]], 40, 1).repeat(70, 0).astype(np.uint8)
    PIL.Image.fromarray(random.integers(0, 255, (70, 80, 3), np.uint8)).save("in.png")
    PIL.Image.fromarray(halves).save("mask.png")
    PIL.Image.fromarray(np.roll(halves, 4, 1)).save("truth.png")
    (folder / "cells" / "images").mkdir(parents=True)
    (folder / "cells" / "labels").mkdir()
    for name in "abcde":
        colours = random.integers(0, 255, (2, 3)).astype(np.uint8)
        PIL.Image.fromarray(colours[halves]).save(folder / "cells" / "images" / f"{name}.png")
        PIL.Image.fromarray(halves).save(folder / "cells" / "labels" / f"{name}.png")
    with torch.random.fork_rng(devices=[]):
        checkpoint.save_model(folder / "thin.safetensors", PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), {})
    (folder / "c.toml").write_text(CONFIGURATION)


def _settings() -> dict[str, Any]:
    """Every setting of the process that others rely on."""
    mask = os.umask(0)
    os.umask(mask)
    cudnn = torch.backends.cudnn
    return {
        "umask": mask,
        "working folder": os.getcwd(),
        **{f"environment: {name}": value for name, value in os.environ.items()},
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion limit": sys.getrecursionlimit(),
        "module path": list(sys.path),
        "hooks": (sys.excepthook, threading.excepthook, sys.stdout, sys.stderr),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "filters of warnings": list(warnings.filters),
        "random state": random.getstate(),
        "numpy's random state": str(np.random.get_state()),  # noqa: NPY002  # the one that all share
        "numpy's errors": np.geterr(),
        "numpy's printing": np.get_printoptions(),
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "torch's threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch's type": torch.get_default_dtype(),
        "torch's gradients": torch.is_grad_enabled(),
        "torch's determinism": torch.are_deterministic_algorithms_enabled(),
        "torch's convolutions": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "Pillow's limit": PIL.Image.MAX_IMAGE_PIXELS,
        "matplotlib": dict(mpl.rcParams),
    }


def _files(top: Path) -> dict[str, tuple[int, ...]]:
    """Every file and folder, its rights, and of a file its size and time."""
    found = {}
    for path in top.rglob("*"):
        status = path.lstat()
        size = (status.st_size, status.st_mtime_ns) if path.is_file() else ()
        found[str(path.relative_to(top))] = (status.st_mode, *size)
    return found


@contextmanager
def _watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the absolute paths that are written to, and forbid what changes a setting even for a moment."""
    global watched
    with monkeypatch.context() as patch:
        for module, name in PROCESS_WIDE:
            patch.setattr(module, name, _never(name))
        watched = []
        try:
            yield watched
        finally:
            watched = None


def _never(name: str) -> Callable[..., None]:
    def called(*_arguments: object, **_options: object) -> None:
        raise AssertionError(f"{name} changes what other threads rely on")

    return called


@pytest.mark.parametrize(("words", "status"), COMMANDS.items())
def test_a_command_changes_nothing_but_its_output(
    workplace: Path, words: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for section in ("_counts", "_slivers", "_evenness", "_invariance", "_compactness", "_precisions"):
        monkeypatch.setattr(contract, section, lambda options: iter(()))
    monkeypatch.setattr(finetune, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(report, "COUNT", 50)
    monkeypatch.setattr(contract, "LARGE", (90, 110))
    monkeypatch.setattr(contract, "LARGE_COUNT", 4)
    settings, files = _settings(), _files(workplace)
    with _watched(monkeypatch) as written:
        assert main(words.split()) == status
    after, there = _settings(), _files(workplace)
    assert {name for name in {**settings, **after} if after.get(name) != settings.get(name)} == set()
    changed = {path for path in {**files, **there} if files.get(path) != there.get(path)}
    assert {path for path in changed if not path.startswith(("work/out", "cache/"))} == set()
    elsewhere = {path for path in written if not path.startswith(str(workplace))}
    left = {path for path in elsewhere if os.path.exists(path) and path != os.devnull}
    assert {path for path in left if "__pycache__" not in path} == set()
