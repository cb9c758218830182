"""The manifest: every contribution is there, is ours, and can be called."""

import contextlib
from dataclasses import asdict
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    assert counts == {
        "commands": 14,
        "widgets": 1,
        "menus": 4,
        "submenus": 1,
        "readers": 1,
        "writers": 1,
        "sample_data": 3,
        "configurations": 1,
    }
    items = {menu: len(each) for menu, each in given["menus"].items()}
    assert items == {
        "napari/layers/segment": 2,
        "napari/layers/annotate": 3,
        "napari/file/io_utilities": 1,
        "napari-pcnet.actions": 4,
    }


def test_every_command_carries_the_plugins_name(manifest: PluginManifest) -> None:
    assert all(each.id.startswith("napari-pcnet.") for each in manifest.contributions.commands or ())


def test_every_command_is_there_and_is_used(manifest: PluginManifest) -> None:
    given = manifest.contributions.model_dump(exclude_none=True)
    in_menus = [each for menu in given["menus"].values() for each in menu]
    users = in_menus + [
        each for kind in ("widgets", "readers", "writers", "sample_data") for each in given[kind]
    ]
    commands = {each.id: each.python_name for each in manifest.contributions.commands or ()}
    assert {each["command"] for each in users if "command" in each} == set(commands)
    for name in commands.values():
        module, _, function = str(name).partition(":")
        assert callable(getattr(import_module(module), function))


def test_the_reader_leaves_other_tifs_to_napari(manifest: PluginManifest) -> None:
    (reader,) = manifest.contributions.readers or ()
    assert list(reader.filename_patterns) == ["*.superpixels.tif", "*.superpixels.tiff"]
    assert not reader.accepts_directories


def test_the_preferences_are_the_settings_with_their_defaults(manifest: PluginManifest) -> None:
    from napari_pcnet.plugin.settings import Settings, read_settings

    properties = manifest.contributions.configurations["superpixels"].properties
    own = asdict(Settings())
    expected = {**own.pop("options"), **own}
    assert {name: each.default for name, each in properties.items()} == expected
    assert all(each.title and each.description for each in properties.values())
    assert read_settings() == Settings()


def test_each_option_in_the_form_is_a_preference_with_its_default_range_and_help(
    manifest: PluginManifest,
) -> None:
    from napari_pcnet.plugin.messages import sentence
    from napari_pcnet.plugin.settings import form_options

    properties = manifest.contributions.configurations["superpixels"].properties
    declared = form_options()
    assert {"compactness", "smoothing"} <= set(declared)
    for name, option in declared.items():
        preference, row = properties[name], option.metadata["form"]
        assert preference.type == {float: "number", int: "integer"}[type(option.default)], name
        assert (preference.title, preference.default) == (row.label, option.default), name
        assert (preference.minimum, preference.maximum) == (0, row.high), name
        assert preference.description == f"{sentence(option.metadata['help'])}.", name


def test_samples_are_photographs_in_colour() -> None:
    from napari_pcnet.plugin import sample_data

    shapes = []
    for ((pixels, options, kind),) in (sample_data.cat(), sample_data.coffee(), sample_data.stack()):
        shapes.append((options["name"], np.shape(pixels), pixels.dtype, kind))
    assert shapes == [
        ("cat", (300, 451, 3), np.uint8, "image"),
        ("coffee", (400, 600, 3), np.uint8, "image"),
        ("stack", (3, 2, 200, 300, 3), np.uint8, "image"),
    ]


def test_the_command_is_an_entry_point() -> None:
    (entry,) = metadata.entry_points(group="console_scripts", name="napari-pcnet")
    assert entry.value == "napari_pcnet.cli:main"


def test_no_viewer_or_qt_is_required() -> None:
    required = [each for each in metadata.requires("napari-pcnet") or () if "extra ==" not in each]
    assert not [each for each in required if each.lower().startswith(("napari", "pyqt", "pyside", "qtpy"))]


def test_every_package_that_an_install_with_all_brings_is_pinned() -> None:
    lines = Path(__file__).parents[1].joinpath("constraints.txt").read_text().splitlines()[1:]
    assert lines == sorted(lines, key=str.lower)
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    extras, found = ["all", "napari", "test"], set[str]()
    waiting = [Requirement(f"napari-pcnet[{extra}]") for extra in extras]
    while waiting:
        asked = waiting.pop()
        key = f"{canonicalize_name(asked.name)}{sorted(asked.extras)}"
        if key in found:
            continue
        found.add(key)
        with contextlib.suppress(metadata.PackageNotFoundError):  # one of [all] that the tests do without
            for text in metadata.requires(asked.name) or ():
                needed = Requirement(text)
                every = [{"extra": extra} for extra in ("", *asked.extras)]
                if needed.marker is None or any(map(needed.marker.evaluate, every)):
                    waiting.append(needed)
    names = {key.partition("[")[0] for key in found} - {"napari-pcnet", "setuptools"}
    assert names <= pinned


def test_no_dependency_has_a_ceiling() -> None:
    assert not [
        each for each in metadata.requires("napari-pcnet") or () if "<" in each or "==" in each.split(";")[0]
    ]
