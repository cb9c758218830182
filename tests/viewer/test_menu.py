"""The commands of the menu."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import pytest
from actions import N, drawn_picture, record_of, wait_for_run, wait_for_threads
from napari._app_model import get_app_model
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_pcnet.plugin import commands
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord


def test_the_commands_of_the_menu_do_what_the_buttons_do(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    assert commands.widget_of(viewer) is widget
    viewer.add_image(drawn_picture(64, 80, 3), name="a")

    def command(name: str) -> None:
        get_app_model().commands.execute_command(f"napari-pcnet.{name}").result()

    command("run")
    assert widget.job is not None
    wait_for_run(widget, qtbot)
    layer = viewer.layers[-1]
    assert layer.data.max() == N
    clipboard = QApplication.clipboard()
    command("copy_python")
    assert "pcnet_superpixels(picture.pixels, 12," in clipboard.text()
    command("copy_command")
    assert "napari-pcnet segment a.tif a.superpixels.tif --n-segments 12" in clipboard.text()

    command("run")
    command("cancel")
    wait_for_run(widget, qtbot)
    assert list(viewer.layers)[1:] == [layer] and layer.data.max() == N

    path = tmp_path / "b.superpixels.tif"
    layer.save(str(path), plugin="napari-pcnet")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    command("open")
    assert viewer.layers[-1].name == "b" and record_of(viewer.layers[-1]) == RunRecord(N)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: ("", ""))
    command("open")
    assert len(viewer.layers) == 3


def test_commands_open_the_widget_where_it_is_not(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    commands.run(viewer)
    widget = commands.widget_of(viewer)
    wait_for_run(widget, qtbot)
    assert viewer.layers[-1].data.max() == widget.form.size_fields.count.value() == 1000
    commands.cancel(viewer)  # nothing to cancel is no error
    commands.copy_python(viewer)
    assert "pcnet_superpixels(picture.pixels, 1000," in QApplication.clipboard().text()
    commands.copy_command(viewer)
    assert "--n-segments 1000" in QApplication.clipboard().text()
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    wait_for_threads(qtbot)
