"""The fields of the dock widget: what they say, and how they hang together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
import psutil
import pytest
from actions import (
    N,
    assert_same_state,
    choose_in,
    drawn_picture,
    pyramid_of,
    record_of,
    run_widget,
    state_of,
    turn_wheel,
    wait_for_run,
    wait_for_threads,
)
from napari._qt.utils import QImg2array
from numpy.testing import assert_array_equal
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QScrollArea,
    QSlider,
)

from napari_pcnet.plugin import cost
from napari_pcnet.plugin import widget as widget_module
from napari_pcnet.plugin.field_names import FIELDS
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def test_count_and_size_are_linked_and_the_one_that_was_set_holds(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    viewer, widget = opened
    size = widget.form.size_fields
    large = viewer.add_image(drawn_picture(100, 120), name="large", scale=(0.5, 0.5), units=("um", "um"))
    assert size.count.value() == N and size.size_px.value() == 31.6  # the root of 12000 / 12
    assert size.size_units.value() == 15.811 and size.size_units.suffix() == " µm"
    assert size.size_units.isVisible()
    size.size_px.setValue(10)
    assert size.count.value() == 120 and size.size_units.value() == 5
    small = viewer.add_image(drawn_picture(50, 60), name="small", scale=(2, 2))
    assert widget.form.image.layer == small
    assert (size.size_px.value(), size.count.value(), size.size_units.value()) == (10, 30, 20)
    assert size.size_units.suffix() == ""
    size.size_units.setValue(40)
    assert (size.size_px.value(), size.count.value()) == (20, 8)  # 3000 / 400 is 7.5
    viewer.layers.selection.active = large
    assert (size.size_units.value(), size.size_px.value(), size.count.value()) == (40, 80, 2)
    size.count.setValue(30)
    viewer.layers.selection.active = small
    assert (size.count.value(), size.size_px.value()) == (30, 10)
    plain = viewer.add_image(drawn_picture(50, 60), name="plain")
    assert widget.form.image.layer == plain and not size.size_units.isVisible()


def test_a_region_changes_the_size_that_goes_with_a_count(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(100, 120), name="a")
    drawn = np.zeros((100, 120), np.uint8)
    drawn[:30, :40] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    choose_in(widget.form.region_field.box, "inside 'cell'")
    assert (widget.form.size_fields.count.value(), widget.form.size_fields.size_px.value()) == (N, 10)


def test_the_info_line_says_what_a_run_makes_takes_and_needs(
    opened: tuple[napari.Viewer, SuperpixelsWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(3, 48, 60, 3), name="stack")
    widget.form.size_fields.count.setValue(1200)
    text = widget.run_panel.info.text()
    assert text.startswith("1,200 superpixels of 48 x 60 pixels, about ")
    assert text.endswith(" MB of memory.") and " s and " in text
    choose_in(widget.form.image.planes_box, "all planes")
    assert widget.run_panel.info.text().startswith(
        "1,200 superpixels in each of 3 planes of 48 x 60 pixels, about "
    )
    _memory(monkeypatch, 1_000_000)
    widget.form.size_fields.count.setValue(1201)
    assert widget.run_panel.info.text().endswith(
        " Only 1 MB are free: choose a smaller region or a coarser level."
    )


def _memory(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))


def test_the_finest_level_that_fits_is_taken_and_the_reason_given(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    pixels = np.tile(drawn_picture(128, 128), (16, 16))
    viewer.add_image(pyramid_of(pixels, 3), multiscale=True, name="pyramid")
    assert widget.run_panel.info.text().endswith(" Full resolution.")
    needed = []
    for level in (0, 1):
        source = widget.form.source(level)
        assert source is not None
        assert widget.machine is not None
        expected = cost.cost_of(source, widget.form.region(source), N, widget.machine.halo).expected
        needed.append(expected.memory_bytes)
    assert needed[0] > needed[1]
    free = needed[0] + needed[1]  # half of it lies in between
    _memory(monkeypatch, free)
    widget.form.size_fields.count.setValue(N + 1)
    assert widget.run_panel.info.text().startswith("13 superpixels of 1024 x 1024 pixels, about ")
    assert widget.run_panel.info.text().endswith(
        f" Level 1, because level 0 would need {needed[0] / 1e6:.0f} MB and {free / 2e6:.0f} MB may be "
        "taken; for full resolution choose the current view."
    )
    layer = run_widget(widget, qtbot)
    assert record_of(layer).level == 1 and layer.data.shape == (1024, 1024)
    choose_in(widget.form.image.level_box, "0:")
    source = widget.form.source()
    assert source is not None and source.level == 0
    assert "Level" not in widget.run_panel.info.text()


def _with_everything(viewer: napari.Viewer, widget: SuperpixelsWidget) -> None:
    """An image that needs every row of the form."""
    levels = [drawn_picture(3, 4, 2**k * 64, 2**k * 80) for k in (1, 0)]
    viewer.add_image(
        levels,
        multiscale=True,
        name="a rather long name of an image, as microscopes write them, 2026-11-22 T 12:00",
        axis_labels=("time", "channel", "down", "across"),
        units=("second", "pixel", "micrometer", "micrometer"),
        scale=(1, 1, 0.325, 0.325),
    )
    QApplication.processEvents()
    for row in (
        widget.form.image.layer_box,
        widget.form.image.level_box,
        widget.form.image.channels_row,
        widget.form.image.channels,
        widget.form.image.planes_box,
        widget.form.region_field.box,
        widget.form.size_fields.size_units,
    ):
        assert row.isVisible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_widget_is_drawn_in_both_themes_and_fits_a_small_screen(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, theme: str
) -> None:
    viewer, widget = opened
    viewer.theme = theme
    viewer.window.resize(1280, 800)
    _with_everything(viewer, widget)
    run_widget(widget, qtbot)
    qtbot.wait(50)
    pixels = QImg2array(widget.grab().toImage())[..., :3]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    background = np.median(pixels)
    assert background > 128 if theme == "light" else background < 128
    assert (np.abs(pixels.astype(int) - background) > 60).mean() > 0.005  # text stands out

    (scroll,) = widget.findChildren(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width()
    assert viewer.window._qt_window.width() <= 1280 and viewer.window._qt_window.height() <= 800


def test_the_table_of_features_leaves_the_widget_its_place(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.window.resize(1280, 800)
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    run_widget(widget, qtbot)
    dock, _ = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    qtbot.wait(100)
    assert dock.isVisible() and dock.geometry().left() == widget.parent().geometry().left()
    run_button = widget.run_panel.run_button
    assert run_button.visibleRegion().boundingRect() == run_button.rect()
    assert viewer.window._qt_window.height() <= 800


def test_every_field_and_button_says_what_it_is(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    _, widget = opened
    form = widget.form
    parts: list[Any] = [form.image, form.region_field, form.size_fields, form.intensities, form.network]
    parts += [widget.run_panel, widget.cut_panel]
    fields = [each for part in parts for each in vars(part).items()]
    checked = []
    for name, field in (*fields, *form.options.boxes.items()):
        if name.startswith("_") or name in ("info", "message", "device_reason", "height_label"):
            continue
        if hasattr(field, "toolTip") and hasattr(field, "isEnabled"):
            assert field.toolTip(), name
            checked.append(name)
    assert len(checked) >= 25 and {"layer_box", "count", "compactness", "live", "n_slider"} <= set(checked)


def test_the_wheel_changes_no_field_that_has_not_the_focus(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.window._qt_window.activateWindow()
    _with_everything(viewer, widget)
    run_widget(widget, qtbot)
    kinds = (QComboBox, QAbstractSpinBox, QSlider)
    fields: list[Any] = [field for kind in kinds for field in widget.findChildren(kind)]
    fields = [field for field in fields if field.isVisible()]

    def values() -> list[Any]:
        return [each.currentIndex() if isinstance(each, QComboBox) else each.value() for each in fields]

    assert len(fields) >= 14
    before = values()
    for field in fields:
        field.clearFocus()
        for turn in (120, -120):
            assert not turn_wheel(field, turn), field.toolTip()
            assert values() == before, field.toolTip()
        assert field.focusPolicy() == Qt.FocusPolicy.StrongFocus  # with Qt's own the wheel gives it
    count = widget.form.size_fields.count
    count.setFocus()
    qtbot.waitUntil(count.hasFocus, timeout=5_000)
    assert turn_wheel(count, 120) and count.value() > N


def test_nothing_moves_under_the_mouse_when_a_line_of_text_comes_or_goes(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    panels = (widget.run_panel, widget.cut_panel, widget.form.network.model_box)

    def places() -> list[QPoint]:
        seen = list[list[QPoint]]()
        while len(seen) < 6 or any(each != seen[-1] for each in seen[-6:]):  # until all is laid out
            qtbot.wait(50)
            seen.append([each.mapToGlobal(QPoint(0, 0)) for each in panels])
        return seen[-1]

    qtbot.waitUntil(lambda: not widget.layout().geometry().isEmpty())  # a busy machine lays out later
    before = places()
    assert widget.machine is not None
    for text in ("", "short", "a sentence as long as the widget ever says one, and then some more " * 3):
        widget.show_message(text)
        widget.run_panel.info.setText(text)
        widget.form.show_machine(replace(widget.machine, reason=text))
        assert places() == before, text


def test_messages_name_fields_as_the_form_does(opened: tuple[napari.Viewer, SuperpixelsWidget]) -> None:
    _, widget = opened
    labels = {each.text() for each in widget.form.findChildren(QLabel)}
    assert set(FIELDS.values()) <= labels


def test_the_preferences_are_where_the_widget_begins(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = replace(
        widget_module.read_settings(),
        n_segments=33,
        options={"compactness": 2.5, "smoothing": 1.5},
        device="cpu",
    )
    monkeypatch.setattr(widget_module, "read_settings", lambda: chosen)
    viewer = make_napari_viewer(show=True)
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    assert widget.form.image.layer == viewer.layers[0]  # what is there already is offered
    assert widget.form.network.device_reason.text().startswith("cpu: ")
    layer = run_widget(widget, qtbot)
    assert record_of(layer) == RunRecord(33, compactness=2.5, smoothing=1.5, device="cpu")
    wait_for_threads(qtbot)


def test_a_model_of_ones_own_is_chosen_from_a_file(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    missing = str(tmp_path / "none.safetensors")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (missing, ""))
    widget.form.network.browse.click()
    before = state_of(viewer)
    widget.run()
    wait_for_run(widget, qtbot)
    with pytest.raises(OSError, match="safetensors") as refused:
        run_record(viewer.layers[0].data, RunRecord(N, model=missing))
    assert widget.run_panel.message.text().lower() == " ".join(str(refused.value).split()).lower()
    assert_same_state(viewer, before)


def test_an_image_with_other_data_is_looked_at_anew(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(4, 40, 48), name="a")
    choose_in(widget.form.image.axis_box, widget.form.image.axis_box.itemText(1))
    layer = run_widget(widget, qtbot)
    image.data = drawn_picture(40, 48)
    assert widget.form.image.axis_box.currentData() is None
    assert [each.ndim for each in widget.add_nested()] == [2, 2, 2]  # of the run, where it lay
    assert_array_equal(layer.data.shape, (40, 48))
    assert record_of(run_widget(widget, qtbot)).channel_axis is None
