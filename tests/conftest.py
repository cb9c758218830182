"""What tests share: an empty cache folder, a small fine-tuning, and the groups in which processes take them.

The test command does not accept skipped viewer tests.
"""

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_pcnet.disk import provenance

VIEWER = "viewer"
"""The folder of the tests that open windows."""

WINDOWS = {"make_napari_viewer", "qapp", "qtbot"}
"""Fixtures that need a display; tests elsewhere may have them, too."""

TRAINING = (
    "test_training",
    "test_finetune",
    "test_processes",
    "test_merge_classifier",
    "test_losses",
)
"""Beginnings of the files whose tests train."""

SLOW = (
    "test_cluster",
    "test_contract",
    "test_delayed",
    "test_golden",
    "test_large_files",
    "test_out.py",
    "test_plots",
    "test_process_settings",
    "test_quality",
    "test_resume",
    "test_speed",
    "test_style",
    "test_tiled_equals_whole",
)
"""Beginnings of the files whose tests take long."""

LONG = {"viewer", "training", "slow"}
"""Marks of tests that take long."""

FIRST = (
    ("torch",),
    ("napari.layers", "napari.viewer"),
    ("skimage.measure", "matplotlib.pyplot", "zarr", "dask.array", "geopandas"),
)
"""What one of several processes imports first: in a fresh environment no two then compile the same."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their file, and keep those of a file together, so that its fixtures are made once.

    What takes long comes first, so that processes side by side end together.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))
        if item.path.parent.name == VIEWER or WINDOWS & set(getattr(item, "fixturenames", ())):
            item.add_marker("viewer")
        if item.path.name.startswith(TRAINING):
            item.add_marker("training")
        if item.path.name.startswith(SLOW):
            item.add_marker("slow")
    long = {item.path for item in items if LONG & {mark.name for mark in item.iter_markers()}}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests of the viewer, or that start processes, often wait."""
    return provenance.usable_cores() + 1


def pytest_configure() -> None:
    """Use one thread in each of several processes, and in commands they start: more would wait."""
    os.environ.setdefault("NAPARI_COLORMAP_BACKEND", "Pure Python")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for name in FIRST[int(worker.removeprefix("gw")) % len(FIRST)]:
            importlib.import_module(name)
        import torch  # a plugin may have loaded what reads the variable

        torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Take what the tests import out of garbage collection: napari's fixture runs it four times a viewer."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the weights that a user imported or downloaded from all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_PCNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _label_colours_in_python() -> None:
    """Keep napari from compiling the colours of labels, for some seconds in every fresh environment.

    The environment says so to preferences that are loaded later; a test may have set others back.
    """
    if "napari.layers" in sys.modules:
        from napari.utils import colormap_backend

        colormap_backend.set_backend(colormap_backend.ColormapBackend.pure_python)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A thin model to fine-tune."""
    import torch

    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import PCNet, PCNetConfig

    torch.manual_seed(0)
    path = tmp_path / "thin.safetensors"
    checkpoint.save_model(path, PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4))), {})
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine-tune with small crops, a look after every step, a classifier of few regions, scores of few."""
    from napari_pcnet.training import finetune, report
    from napari_pcnet.training.config import TrainingConfig

    whole, merging = finetune._association, finetune._merging

    def smaller(*arguments: Any) -> TrainingConfig:
        config = whole(*arguments)
        return replace(
            config,
            samples=replace(config.samples, crop_px=64, batch=2),
            run=replace(config.run, validate_every=1, precision="float32"),
        )

    def fewer(*arguments: Any) -> TrainingConfig:
        config = merging(*arguments)
        return replace(config, merge_classifier=replace(config.merge_classifier, counts=(200,)))

    monkeypatch.setattr(finetune, "_association", smaller)
    monkeypatch.setattr(finetune, "_merging", fewer)
    monkeypatch.setattr(finetune, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(report, "COUNT", 50)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "NAPARI_PCNET_REQUIRE_VIEWER" not in os.environ:
        return
    skipped = [each.nodeid for each in reporter.stats.get("skipped", ()) if "viewer" in each.nodeid]
    if skipped:
        reporter.write_line(f"viewer tests were skipped: {', '.join(skipped)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
