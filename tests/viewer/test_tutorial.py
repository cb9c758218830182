"""docs/tutorial.md can be followed: its steps are taken, and what it names and shows is there."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import napari
import pytest
from npe2 import PluginManifest
from PIL import Image
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtWidgets import QAbstractButton, QComboBox, QGroupBox, QLabel, QMenu, QWidget

import napari_pcnet

MakeViewer = Callable[..., napari.Viewer]

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
TUTORIAL = ROOT.joinpath("docs", "tutorial.md").read_text(encoding="utf-8")
CODE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""Language and text of each code block."""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "tools" / "make_screenshots.py"
    spec = importlib.util.spec_from_file_location("make_screenshots", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:  # dataclasses look their module up
        patch.setitem(importlib.import_module("sys").modules, "make_screenshots", module)
        spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("small")
def test_the_steps_can_be_taken(
    script: ModuleType, make_napari_viewer: MakeViewer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "TRAINING_STEPS", 2)
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path / "cache"))
    viewer = make_napari_viewer(show=True)
    desk = script.Desk(viewer, tmp_path)
    found: set[str] = set()
    script.take_steps(desk, tmp_path, lambda desk: found.update(texts_of(desk.widget)))

    pictures = sorted(tmp_path.glob("tutorial-*.png"))
    assert {each.name for each in pictures} == names_of(script)
    screen = viewer.window._qt_window.screen().availableGeometry()
    expected = (min(script.WINDOW_PX[0], screen.width()), min(script.WINDOW_PX[1], screen.height()))
    for picture in pictures:
        assert_is_a_picture(picture, expected, script.AT_MOST_BYTES)

    command, python = desk.copied
    assert ("sh", command) in CODE.findall(TUTORIAL)
    assert ("python", python) in CODE.findall(TUTORIAL)

    picture = viewer.layers[0].data
    viewer.add_image([picture, picture[::2, ::2]], multiscale=True)  # the row for levels, which no step has
    found.update(texts_of(desk.widget))
    menus = dict(actions_of(viewer.window._qt_window.menuBar().actions()))
    keys = [each.key() for each in desk.widget.findChildren(QShortcut)]
    keys += [each.shortcut() for each in menus.values()]
    shortcuts = {key.toString(QKeySequence.SequenceFormat.PortableText) for key in keys}
    there = found | texts_of_manifest() | set(menus) | shortcuts
    assert bold_of_tutorial() - there == set()


def test_the_tutorial_shows_what_the_script_writes(script: ModuleType) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(images/([^)]+)\)", TUTORIAL)
    assert set(shown) == names_of(script)
    assert shown == [script.picture_name(step) for step in script.STEPS]  # each once, in this order


def test_the_pictures_of_the_repository_are_those(script: ModuleType) -> None:
    pictures = sorted(IMAGES.glob("tutorial-*.png"))
    assert {each.name for each in pictures} == names_of(script)
    for picture in pictures:
        assert_is_a_picture(picture, script.WINDOW_PX, script.AT_MOST_BYTES)


@pytest.mark.parametrize("code", [code for language, code in CODE.findall(TUTORIAL) if language == "python"])
def test_the_python_of_the_tutorial_compiles_and_imports_what_there_is(code: str) -> None:
    tree = ast.parse(code)
    compile(tree, "tutorial.md", "exec")
    found = [each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)]
    assert found
    for each in found:
        assert each.module is not None
        module = importlib.import_module(each.module)
        assert [alias.name for alias in each.names if not hasattr(module, alias.name)] == []


# -- what there is -------------------------------------------------------------------------------------


def assert_is_a_picture(path: Path, size: tuple[int, int], at_most_bytes: int) -> None:
    with Image.open(path) as image:
        assert image.size == size, path.name
        middle = image.crop((400, 250, 900, 550))
        assert len(middle.getcolors()) > 20, f"{path.name} is blank"
    assert path.stat().st_size <= at_most_bytes, path.name


def names_of(script: ModuleType) -> set[str]:
    return {script.picture_name(step) for step in script.STEPS}


def bold_of_tutorial() -> set[str]:
    return set(re.findall(r"\*\*([^*]+)\*\*", CODE.sub("", TUTORIAL)))


def texts_of(widget: QWidget) -> Iterator[str]:
    """Buttons, labels, titles and entries of all boxes."""
    for label in widget.findChildren(QLabel):
        yield label.text()
    for button in widget.findChildren(QAbstractButton):
        yield button.text()
    for group in widget.findChildren(QGroupBox):
        yield group.title()
    for box in widget.findChildren(QComboBox):
        yield from (box.itemText(k) for k in range(box.count()))


def texts_of_manifest() -> set[str]:
    path = Path(napari_pcnet.__file__).with_name("napari.yaml")
    manifest = PluginManifest.from_file(path)
    given = manifest.contributions
    texts = {manifest.display_name}
    texts |= {each.title for each in given.commands or ()}
    texts |= {each.display_name for each in (*(given.widgets or ()), *(given.sample_data or ()))}
    texts |= {each.label for each in given.submenus or ()}
    # as napari's dialog offers a writer
    texts |= {f"{manifest.display_name} {each.display_name}" for each in given.writers or ()}
    for configuration in (given.configurations or {}).values():
        texts |= {configuration.title} | {each.title for each in configuration.properties.values()}
    return texts


def actions_of(actions: list[QAction], above: str = "") -> Iterator[tuple[str, QAction]]:
    """What menus hold, by paths like 'File > Preferences', without mnemonics and names of plugins."""
    for action in actions:
        text = action.text().replace("&", "")
        text = re.sub(r" \((PCNet superpixels|napari builtins)\)$", "", text)
        path = f"{above} > {text}" if above else text
        yield path, action
        menu: QMenu | None = action.menu()
        if menu is not None:
            menu.aboutToShow.emit()  # napari fills some only then
            yield from actions_of(menu.actions(), path)
