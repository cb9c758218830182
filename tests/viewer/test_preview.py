"""The live preview: where it is drawn, and when it goes."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from actions import N, choose_in, drawn_picture, look_at, previews_of, run_widget, wait_until_settled
from numpy.testing import assert_allclose, assert_array_equal
from pytestqt.qtbot import QtBot

from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def test_the_preview_follows_the_view_and_goes_when_it_is_switched_off(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(200, 240, 3), name="a", scale=(2, 2), translate=(5, 5))
    viewer.reset_view()
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    (preview,) = previews_of(viewer)
    assert viewer.layers.selection.active is image
    assert_array_equal(preview.data, run_record(image.data, RunRecord(N)))
    assert_array_equal(preview.extent.world, image.extent.world)

    look_at(viewer, (0, *image.data_to_world((60, 70))), 10.0)
    qtbot.waitUntil(lambda: preview.data.shape != (200, 240), timeout=60_000)
    assert previews_of(viewer) == [preview] and viewer.layers.selection.active is image
    top, left = np.subtract(preview.translate, 5) / 2
    bottom, right = np.add((top, left), preview.data.shape)
    height, width = np.array(viewer.canvas.viewbox_size(viewer.layers)) / 20
    assert (top, bottom) == (np.floor(60 - height / 2 + 0.5), np.ceil(60 + height / 2 + 0.5))
    assert (left, right) == (np.floor(70 - width / 2 + 0.5), np.ceil(70 + width / 2 + 0.5))

    viewer.reset_view()
    qtbot.waitUntil(lambda: preview.data.shape == (200, 240), timeout=60_000)
    widget.form.size_fields.count.setValue(5)
    qtbot.waitUntil(lambda: preview.data.max() == 5, timeout=60_000)
    widget.run_panel.live.setChecked(False)
    assert list(viewer.layers) == [image]
    qtbot.wait(400)
    assert list(viewer.layers) == [image]


def test_the_preview_goes_when_a_run_starts(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    layer = run_widget(widget, qtbot)
    assert list(viewer.layers) == [image, layer] and not widget.run_panel.live.isChecked()


def test_the_preview_shows_the_plane_that_is_shown_inside_the_region(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    stack = drawn_picture(3, 64, 80, 3)
    image = viewer.add_image(stack, name="stack")
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:40, 10:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    viewer.dims.set_current_step(0, 2)
    look_at(viewer, (0, 32, 40), 3.0)
    choose_in(widget.form.region_field.box, "inside 'cell'")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    (preview,) = previews_of(viewer)
    assert preview.data.shape == (1, 64, 80)
    assert_array_equal(preview.data[0], run_record(stack[2], RunRecord(N), mask=drawn > 0))
    assert_allclose(preview.data_to_world((0, 0, 0)), image.data_to_world((2, 0, 0)))
    viewer.dims.set_current_step(0, 1)
    expected = run_record(stack[1], RunRecord(N), mask=drawn > 0)
    qtbot.waitUntil(lambda: bool(np.array_equal(preview.data[0], expected)), timeout=60_000)
    with pytest.warns(UserWarning, match="Contours are not displayed"):
        viewer.dims.ndisplay = 3
    qtbot.waitUntil(
        lambda: "look at rows and columns in 2D" in widget.run_panel.message.text(), timeout=60_000
    )


def test_the_preview_stands_in_for_the_outlines_that_it_would_cross(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    nested = widget.add_nested()
    nested[1].visible = False
    filled = nested[2]
    filled.contour = 0
    beside = viewer.add_labels(layer.data, metadata=layer.metadata, translate=(0, 100), name="beside")
    beside.contour = 1
    viewer.layers.selection.active = image
    before = [each.visible for each in viewer.layers]
    look_at(viewer, (0, 32, 40), 4.0)
    live = widget.run_panel.live
    live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    assert [each for each in viewer.layers if each.visible] == [image, filled, beside, *previews_of(viewer)]
    live.setChecked(False)
    assert [each.visible for each in viewer.layers] == before

    for show in (lambda: widget.slide(3), widget.add_nested, widget.make_editable):
        live.setChecked(True)
        qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
        show()
        assert not previews_of(viewer) and not live.isChecked()
    wait_until_settled(widget, qtbot)
