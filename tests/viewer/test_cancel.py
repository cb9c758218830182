"""What is left of a run that was cancelled, or whose layer, dock or viewer went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import napari
import numpy as np
import pytest
from actions import (
    N,
    add_large_image,
    assert_same_state,
    close_dock_of,
    drawn_picture,
    look_at,
    previews_of,
    record_of,
    run_widget,
    start_run,
    state_of,
    wait_for_run,
    wait_for_threads,
    wait_until_gone,
)
from numpy.testing import assert_array_equal
from pytestqt.qtbot import QtBot

from napari_pcnet.plugin import commands, jobs
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def test_cancelling_a_first_run_leaves_no_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    add_large_image(viewer)
    before = state_of(viewer)
    start_run(widget, qtbot)
    assert (
        len(viewer.layers) == 2
        and widget.run_panel.cancel_button.isEnabled()
        and not widget.run_panel.run_button.isEnabled()
    )
    widget.cancel()
    assert_same_state(viewer, before)
    wait_for_run(widget, qtbot)
    assert_same_state(viewer, before)
    assert widget.run_panel.run_button.isEnabled() and widget.result is None


@pytest.mark.parametrize("pyramid", [False, True])
def test_cancelling_a_second_run_leaves_every_layer_as_it_was(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, pyramid: bool
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=0.1 if pyramid else 10)
    layer = run_widget(widget, qtbot)
    assert layer.multiscale == pyramid
    before = state_of(viewer)
    image.scale = (2, 3)  # a second run would move the layer, too
    before[0] |= {"scale": np.array((2.0, 3.0))}
    layer.visible = before[1]["visible"] = False
    start_run(widget, qtbot)
    assert_array_equal(layer.scale, (2, 3))
    assert layer.visible
    widget.cancel()
    wait_for_run(widget, qtbot)
    assert_same_state(viewer, before)
    assert widget.result is not None and widget.result.layer is layer

    image.scale = (1, 1)
    assert run_widget(widget, qtbot) is layer and len(viewer.layers) == 2  # and it can be run again


def test_cancel_in_the_moment_of_a_report_is_cancel(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3))
    before = state_of(viewer)
    widget.run()
    assert widget.job is not None
    widget.job.progressed.connect(lambda done, total: widget.cancel())
    wait_for_run(widget, qtbot)
    assert_same_state(viewer, before)
    assert widget.run_panel.message.text() == ""


def test_a_layer_replaced_by_a_cancelled_pyramid_stays(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    add_large_image(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=10)
    plain = run_widget(widget, qtbot)
    before = state_of(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=0.1)
    start_run(widget, qtbot)
    assert len(viewer.layers) == 3
    widget.cancel()
    wait_for_run(widget, qtbot)
    assert_same_state(viewer, before)
    again = run_widget(widget, qtbot)
    assert again is not plain and again.multiscale and list(viewer.layers)[1:] == [again]
    assert again.name == "large superpixels"


@pytest.mark.parametrize("what", ["image", "result"])
def test_deleting_a_layer_of_a_run_stops_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, what: str
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    start_run(widget, qtbot)
    viewer.layers.remove(image if what == "image" else viewer.layers[-1])
    wait_for_run(widget, qtbot)
    assert list(viewer.layers) == ([] if what == "image" else [image])
    assert widget.result is None and widget.run_panel.message.text() == ""


def test_renaming_the_image_does_not_disturb_a_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    start_run(widget, qtbot)
    image.name = "renamed"
    assert widget.form.image.layer_box.currentText() == "renamed"
    wait_for_run(widget, qtbot)
    assert widget.result is not None
    layer = widget.result.layer
    assert_array_equal(np.unique(layer.data), np.arange(1, 501))
    assert run_widget(widget, qtbot) is layer


def test_another_image_may_be_selected_during_a_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    start_run(widget, qtbot)
    other = viewer.add_image(drawn_picture(64, 80), name="other")
    viewer.layers.selection.active = other
    wait_for_run(widget, qtbot)
    assert widget.result is not None and widget.result.source.layer == image
    assert_array_equal(np.unique(widget.result.layer.data), np.arange(1, 501))


def test_closing_the_viewer_during_a_run_leaves_no_thread(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    add_large_image(viewer)
    start_run(widget, qtbot)
    assert jobs._running
    viewer.close()
    wait_for_threads(qtbot)


def test_the_x_of_the_dock_cancels_a_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    before = state_of(viewer)
    start_run(widget, qtbot)
    close_dock_of(widget)
    assert_same_state(viewer, before)
    wait_until_gone(widget, qtbot)
    assert all(job.is_stopped for job in jobs._running)
    wait_for_threads(qtbot)
    viewer.add_image(drawn_picture(32, 32), name="later")  # no slot of a widget that is gone is called
    viewer.layers.remove(image)
    qtbot.wait(300)
    again = commands.widget_of(viewer)
    assert again is not widget and again.form.image.layer == viewer.layers["later"]
    close_dock_of(again)
    wait_until_gone(again, qtbot)


def test_the_x_of_the_dock_ends_the_preview(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(60, 80, 3), name="a")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    close_dock_of(widget)
    assert list(viewer.layers) == [image]
    look_at(viewer, (0, 20, 20), 9.0)  # an own preview would follow
    qtbot.wait(400)
    assert list(viewer.layers) == [image] and not jobs._running


def test_the_x_of_the_dock_completes_a_cut(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    widget.slide(5)
    close_dock_of(widget)
    assert record_of(layer) == RunRecord(5, max_segments=N) and len(layer.features) == 6
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))
