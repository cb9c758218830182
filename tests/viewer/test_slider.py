"""The slider over the tree: what is shown at once, and what is there when it settles."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import napari
import numpy as np
import pytest
from actions import (
    N,
    add_large_image,
    choose_in,
    close_dock_of,
    drawn_picture,
    previews_of,
    record_of,
    run_widget,
    start_run,
    wait_for_run,
    wait_until_gone,
    wait_until_settled,
)
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

from napari_pcnet.plugin import commands, results
from napari_pcnet.plugin.layer_cut import LookupArray
from napari_pcnet.plugin.metadata import recorded_run
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def test_the_slider_shows_another_cut_at_once_and_then_completes_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(100, 120, 3), name="a")
    widget.form.size_fields.count.setValue(40)
    layer = run_widget(widget, qtbot)
    assert widget.result is not None and widget.result.hierarchy is not None
    hierarchy = widget.result.hierarchy
    assert widget.cut_panel.n_box.value() == 40 and (
        widget.cut_panel.n_box.minimum(),
        widget.cut_panel.n_box.maximum(),
    ) == (1, hierarchy.n_base)

    widget.slide(10)
    assert_array_equal(layer.data, hierarchy.labels(10))
    assert widget.cut_panel.n_box.value() == 10
    wait_until_settled(widget, qtbot)
    assert layer is widget.result.layer and len(viewer.layers) == 2
    assert_array_equal(layer.data, hierarchy.labels(10))
    assert record_of(layer) == RunRecord(10, max_segments=40)
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, record_of(layer)))

    height = float(hierarchy.trees[0].height[-8])
    widget.slide(height=height)
    n = hierarchy.counts(height=height)[0]
    assert_array_equal(layer.data, hierarchy.labels(height=height))
    assert (
        widget.cut_panel.n_box.value() == n == layer.data.max()
        and widget.cut_panel.height_label.text() == f"{height:,.0f}"
    )
    wait_until_settled(widget, qtbot)
    assert record_of(layer) == RunRecord(40, height=height) and len(layer.features) == n + 1
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, record_of(layer)))

    widget.slide(40)
    wait_until_settled(widget, qtbot)
    assert record_of(layer) == RunRecord(40)


def test_outlines_are_smoothed_when_a_run_or_the_slider_settles(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(100, 120, 3), name="a")
    smoothing = widget.form.options.boxes["smoothing"]
    smoothing.setValue(2)
    layer = run_widget(widget, qtbot)
    assert record_of(layer) == RunRecord(N, smoothing=2.0)
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))

    widget.slide(5)
    at_once = run_record(image.data, RunRecord(5, max_segments=N))
    assert_array_equal(layer.data, at_once)
    wait_until_settled(widget, qtbot)
    assert list(viewer.layers) == [image, layer]
    assert record_of(layer) == RunRecord(5, smoothing=2.0, max_segments=N)
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))
    assert (layer.data != at_once).any()
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))

    fine, medium, _ = widget.add_nested()
    assert_array_equal(fine.data, at_once)  # smoothed ones would not be nested
    assert_array_equal(medium.data, run_record(image.data, record_of(medium)))
    assert widget.run_panel.message.text().startswith("Outlines of these layers are not smoothed")

    viewer.layers.selection.active = layer
    smoothing.setValue(0)
    widget.use_record()
    assert smoothing.value() == 2 and widget.run_panel.message.text() == "Then slide the count to 5"
    viewer.reset_view()
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews_of(viewer)), timeout=60_000)
    assert_array_equal(previews_of(viewer)[0].data, run_record(image.data, RunRecord(N, smoothing=2.0)))
    widget.run_panel.live.setChecked(False)


@pytest.mark.parametrize("cancel", [False, True])
def test_a_slide_just_before_a_run_does_not_get_in_its_way(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, cancel: bool
) -> None:
    viewer, widget = opened
    image = add_large_image(viewer)
    layer = run_widget(widget, qtbot)
    widget.slide(5)
    start_run(widget, qtbot)  # its cut is not complete yet
    if cancel:
        qtbot.waitUntil(lambda: not widget.cutting._timer.isActive() or widget.job is None, timeout=60_000)
        widget.cancel()
    wait_for_run(widget, qtbot)
    wait_until_settled(widget, qtbot)
    qtbot.wait(300)
    assert len(viewer.layers) == 2
    n = 5 if cancel else 500
    assert layer.data.max() == n == len(layer.features) - 1
    assert record_of(layer).n_segments == n
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))


def test_the_box_and_the_handles_slide(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(100, 120, 3), name="a")
    layer = run_widget(widget, qtbot)
    assert widget.result is not None and widget.result.hierarchy is not None
    widget.cut_panel.n_box.setValue(5)
    assert layer.data.max() == 5
    widget.cut_panel.n_slider.setValue(0)
    assert layer.data.max() == 1 == widget.cut_panel.n_box.value()
    widget.cut_panel.n_slider.setValue(widget.cut_panel.n_slider.maximum())
    assert layer.data.max() == widget.result.hierarchy.n_base == widget.cut_panel.n_box.value()
    widget.cut_panel.height_slider.setValue(widget.cut_panel.height_slider.maximum())
    assert layer.data.max() == 1
    wait_until_settled(widget, qtbot)
    assert record_of(layer).height is not None
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, record_of(layer)))


def test_all_planes_are_slid_together(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(3, 48, 60, 3), name="stack")
    choose_in(widget.form.image.planes_box, "all planes")
    layer = run_widget(widget, qtbot)
    widget.slide(4)
    for k in range(3):
        assert_array_equal(np.unique(layer.data[k]), np.arange(4 * k + 1, 4 * k + 5))
    wait_until_settled(widget, qtbot)
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))


def test_coarse_medium_and_fine_are_nested(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(100, 120, 3), name="a", scale=(3, 3))
    widget.form.size_fields.count.setValue(64)
    run_widget(widget, qtbot)
    made = widget.add_nested()
    assert [each.name for each in made] == ["a fine (64)", "a medium (16)", "a coarse (4)"]
    assert list(viewer.layers)[2:] == made
    for layer, n in zip(made, (64, 16, 4), strict=True):
        assert_array_equal(np.unique(layer.data), np.arange(1, n + 1))
        assert_array_equal(layer.data, run_record(image.data, record_of(layer)))
        assert_array_equal(layer.extent.world, image.extent.world)
        assert len(layer.features) == n + 1
    for fine, coarse in pairwise(made):
        pairs = np.unique(np.stack([fine.data.ravel(), coarse.data.ravel()]), axis=1)
        assert pairs.shape[1] == fine.data.max()  # each lies in one of the next


def test_a_large_result_is_a_pyramid_that_slides_and_has_an_editable_copy(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    widget.settings = replace(widget.settings, editable_megapixels=0.001)
    image = viewer.add_image(drawn_picture(100, 120, 3), name="a", scale=(2, 2))
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert layer.multiscale and [each.shape for each in layer.data] == [(100, 120), (50, 60)]
    assert_array_equal(layer.data[0], run_record(image.data, record))
    assert_array_equal(layer.data[1], layer.data[0][::2, ::2])
    assert "a pyramid" in widget.run_panel.message.text()

    widget.slide(5)
    expected = run_record(image.data, replace(record, n_segments=5, max_segments=N))
    assert all(isinstance(each, LookupArray) for each in layer.data)
    assert_array_equal(np.asarray(layer.data[0]), expected)
    assert_array_equal(np.asarray(layer.data[1]), expected[::2, ::2])
    widget.slide(4)
    assert np.asarray(layer.data[0]).max() == 4
    widget.slide(5)
    wait_until_settled(widget, qtbot)
    assert isinstance(layer.data[0], np.ndarray)
    assert_array_equal(layer.data[0], expected)
    assert widget.result is not None and layer is widget.result.layer
    assert record_of(layer).n_segments == 5 and len(layer.features) == 6

    widget.make_editable()
    copy = viewer.layers[-1]
    assert not copy.multiscale and copy.name == "a superpixels (editable)"
    assert_array_equal(copy.data, expected)
    assert_array_equal(copy.extent.world, image.extent.world)
    assert recorded_run(copy.metadata) == recorded_run(layer.metadata)
    assert (copy.contour, copy.visible, layer.visible) == (0, True, False)
    copy.brush_size = 5
    copy.paint((30, 30), 99)
    assert_array_equal(layer.data[0], expected)

    again = run_widget(widget, qtbot)
    assert again is layer and len(viewer.layers) == 3 and layer.visible
    assert_array_equal(layer.data[0], run_record(image.data, record))


def test_the_superpixels_that_are_selected_are_made_editable_as_they_are_copied(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a", scale=(2, 2))
    assert not widget.cut_panel.editable_button.isEnabled()
    layer = run_widget(widget, qtbot)
    *_, coarse = widget.add_nested()
    viewer.layers.selection.active = coarse
    widget.copy_command()
    assert widget.run_panel.message.text() == f"Copied '{coarse.name}' as a command"
    widget.cut_panel.editable_button.click()
    copy = viewer.layers.selection.active
    assert copy.name == f"{coarse.name} (editable)"
    assert_array_equal(copy.data, coarse.data)
    assert_array_equal(copy.extent.world, coarse.extent.world)
    assert (coarse.visible, layer.visible) == (False, True)
    copy.paint((30, 30), 99)
    assert coarse.data.max() < 99

    viewer.layers.remove(copy)
    assert widget.run_panel.message.text() == ""
    viewer.layers.selection.active = layer
    widget.cut_panel.editable_button.click()
    assert_array_equal(viewer.layers.selection.active.data, layer.data)


def test_a_message_goes_with_the_superpixels_that_it_is_of(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    other = viewer.add_image(drawn_picture(64, 80, 3), name="b")
    viewer.layers.selection.active = image
    layer = run_widget(widget, qtbot)
    viewer.layers.remove(other)
    assert widget.run_panel.message.text().startswith("12 superpixels")
    viewer.layers.remove(layer)
    assert widget.run_panel.message.text() == ""


def test_a_merge_in_the_editable_copy_is_seen(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(np.full((60, 80), 128, np.uint8), name="a")
    viewer.reset_view()
    widget.form.size_fields.count.setValue(2)
    layer = run_widget(widget, qtbot)
    widget.make_editable()
    copy = viewer.layers.selection.active
    assert copy.name == "a superpixels (editable)"
    first, second = (tuple(map(int, np.argwhere(layer.data == label).mean(0))) for label in (1, 2))

    def seen(row: int, column: int) -> NDArray[np.uint8]:
        """The colour on the screen at a pixel of the image."""
        shot = viewer.screenshot(flash=False)
        zoom = viewer.scene.camera.zoom * shot.shape[0] / viewer.canvas.viewbox_size(viewer.layers)[0]
        at = np.array(shot.shape[:2]) / 2 + (np.array((row, column)) - (29.5, 39.5)) * zoom
        colour: NDArray[np.uint8] = shot[tuple(at.astype(int))][:3]
        return colour

    before = seen(*second)
    assert (before != seen(*first)).any()
    copy.fill(second, 1)
    assert_array_equal(seen(*second), seen(*first))
    assert (seen(*second) != before).any()

    widget.slide(1)
    assert layer.visible
    wait_until_settled(widget, qtbot)


def test_the_slider_belongs_to_the_superpixels_that_are_selected(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    first_image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    first = run_widget(widget, qtbot)
    second_image = viewer.add_image(drawn_picture(64, 80, 3, seed=1), name="b")
    assert widget.form.image.layer == second_image
    widget.form.size_fields.count.setValue(20)
    second = run_widget(widget, qtbot)
    viewer.layers.selection.active = first
    assert widget.cut_panel.n_box.value() == N
    widget.slide(3)
    assert (first.data.max(), second.data.max()) == (3, 20)
    wait_until_settled(widget, qtbot)
    viewer.layers.selection.active = second
    assert (
        widget.cut_panel.n_box.value() == 20 and widget.result is not None and widget.result.layer is second
    )
    viewer.layers.selection.active = first_image
    assert widget.form.image.layer == first_image
    viewer.layers.remove(first)
    viewer.layers.remove(second)
    assert widget.result is None and not widget.cut_panel.n_slider.isEnabled()
    widget.slide(3)
    assert list(viewer.layers) == [first_image, second_image]


def test_a_layer_that_goes_while_its_cut_is_completed_is_no_error(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    widget.slide(5)
    viewer.layers.remove(layer)
    wait_until_settled(widget, qtbot)
    qtbot.wait(250)
    assert len(viewer.layers) == 1


def test_a_slide_of_one_result_is_completed_before_that_of_another(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    layers = []
    for name in "ab":
        viewer.layers.selection.active = viewer.add_image(drawn_picture(60, 80, 3), name=name)
        layers.append(run_widget(widget, qtbot))
    for layer in layers:
        viewer.layers.selection.active = layer
        widget.slide(5)
    wait_until_settled(widget, qtbot)
    assert [record_of(layer).n_segments for layer in layers] == [5, 5]


def test_tree_and_slider_are_there_when_the_widget_is_opened_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    widget.slide(5)
    close_dock_of(widget)
    viewer.layers.selection.active = image
    again = commands.widget_of(viewer)
    qtbot.waitUntil(lambda: again.machine is not None, timeout=60_000)
    assert again is not widget and again.cut_panel.n_slider.isEnabled()
    assert again.cut_panel.n_box.value() == 5 and again.form.region_field.box.count() == 2  # no layer of ours
    again.slide(7)
    assert layer.data.max() == 7
    wait_until_settled(again, qtbot)
    assert record_of(layer) == RunRecord(7, max_segments=N)
    again.form.size_fields.count.setValue(N)
    assert run_widget(again, qtbot) is layer and len(viewer.layers) == 2

    close_dock_of(again)
    assert results._left
    viewer.layers.remove(layer)
    assert not results._left  # nothing keeps the tree of a layer that has gone
    last = commands.widget_of(viewer)
    assert last.result is None and not last.cut_panel.n_slider.isEnabled()
    qtbot.waitUntil(lambda: last.machine is not None, timeout=60_000)
    close_dock_of(last)
    wait_until_gone(last, qtbot)
