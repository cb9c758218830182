"""What napari is told: every contribution is there, is ours, and can be called."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_pcnet

MANIFEST = Path(napari_pcnet.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    manifest: PluginManifest = PluginManifest.from_file(MANIFEST)
    return manifest


def test_napari_finds_the_manifest_by_its_entry_point() -> None:
    (entry,) = metadata.entry_points(group="napari.manifest", name="napari-pcnet")
    assert entry.value == "napari_pcnet:napari.yaml"


def test_the_contributions_are_counted(manifest: PluginManifest) -> None:
    # npe2 passes over keys that it does not know, so that a misspelt one would go unnoticed.
    given = manifest.contributions.model_dump(exclude_none=True)
    counts = {kind: len(each) for kind, each in given.items() if each}
    assert counts == {"commands": 2, "sample_data": 2}


def test_every_command_carries_the_plugins_name(manifest: PluginManifest) -> None:
    assert all(each.id.startswith("napari-pcnet.") for each in manifest.contributions.commands or ())


def test_every_sample_has_its_command(manifest: PluginManifest) -> None:
    commands = {each.id for each in manifest.contributions.commands or ()}
    given = manifest.contributions.model_dump()
    assert {each["command"] for each in given["sample_data"]} == commands


def test_samples_are_photographs_in_colour() -> None:
    from napari_pcnet.plugin import sample_data

    shapes = []
    for ((pixels, options, kind),) in (sample_data.cat(), sample_data.coffee()):
        shapes.append((options["name"], np.shape(pixels), pixels.dtype, kind))
    assert shapes == [
        ("cat", (300, 451, 3), np.uint8, "image"),
        ("coffee", (400, 600, 3), np.uint8, "image"),
    ]


def test_the_command_is_an_entry_point() -> None:
    (entry,) = metadata.entry_points(group="console_scripts", name="napari-pcnet")
    assert entry.value == "napari_pcnet.cli:main"


def test_no_viewer_or_qt_is_required() -> None:
    required = [each for each in metadata.requires("napari-pcnet") or () if "extra ==" not in each]
    assert not [each for each in required if each.lower().startswith(("napari", "pyqt", "pyside", "qtpy"))]


def test_no_dependency_has_a_ceiling() -> None:
    assert not [
        each for each in metadata.requires("napari-pcnet") or () if "<" in each or "==" in each.split(";")[0]
    ]
