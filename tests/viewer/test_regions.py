"""The part of the image that a run is given: shapes, labels, the current view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from actions import (
    N,
    assert_same_state,
    choose_in,
    drawn_picture,
    look_at,
    record_of,
    run_widget,
    state_of,
    wait_for_run,
    wait_until_settled,
)
from numpy.testing import assert_allclose, assert_array_equal
from pytestqt.qtbot import QtBot
from skimage.draw import polygon2mask
from skimage.measure import regionprops

from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record


def test_superpixels_are_made_inside_shapes_of_a_turned_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(100, 120, 3)
    image = viewer.add_image(pixels, name="turned", rotate=30, scale=(2, 2), translate=(9, 9))
    rectangle = np.array([[10.2, 10.2], [10.2, 40.3], [30.4, 40.3], [30.4, 10.2]])
    polygon = np.array([[50.2, 20.1], [90.3, 30.4], [60.1, 60.2]])
    box = np.array([[40.2, 70.3], [40.2, 110.3], [80.2, 110.3], [80.2, 70.3]])  # of the ellipse
    path = np.array([[0.0, 0.0], [99, 0], [99, 119]])  # has no inside
    corners = {"rectangle": rectangle, "polygon": polygon, "ellipse": box, "path": path}
    viewer.add_shapes(
        [np.array([image.data_to_world(each) for each in one]) for one in corners.values()],
        shape_type=list(corners),
        name="field",
    )
    viewer.layers.selection.active = image
    choose_in(widget.form.region_field.box, "inside 'field'")
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert record.mask == "layer" and record.crop is not None
    assert record.crop == (10, 10, 92, 112)

    rows, columns = np.mgrid[:100, :120]
    mask = polygon2mask((100, 120), rectangle) | polygon2mask((100, 120), polygon)
    mask |= ((rows - 60.2) / 20) ** 2 + ((columns - 90.3) / 20) ** 2 < 1
    top, left, bottom, right = record.crop
    part = mask[top:bottom, left:right]
    differ = part != (layer.data > 0)
    assert differ.sum() <= 8  # an ellipse is a polygon of many corners here
    assert not differ[:, :30].any()  # rectangle and the left of the polygon: exactly
    expected = run_record(pixels, replace(record, mask=None), mask=layer.data > 0)
    assert_array_equal(layer.data, expected)
    assert_array_equal(np.unique(layer.data), np.arange(N + 1))
    assert_allclose(layer.data_to_world((0, 0)), image.data_to_world((top, left)))


def test_a_run_shows_what_was_asked_for_wherever_the_slider_was(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    drawn = np.zeros((64, 80), np.uint8)
    for left in (0, 30, 60):
        drawn[10:50, left : left + 20] = 1  # three parts: no fewer than three superpixels
    viewer.add_labels(drawn, name="parts")
    viewer.layers.selection.active = image
    widget.form.size_fields.count.setValue(2000)
    run_widget(widget, qtbot)
    for n, region in ((4, "whole plane"), (N, "inside 'parts'")):
        widget.form.size_fields.count.setValue(n)
        choose_in(widget.form.region_field.box, region)
        layer = run_widget(widget, qtbot)
        assert_array_equal(np.unique(layer.data[layer.data > 0]), np.arange(1, n + 1))
        assert widget.cut_panel.n_box.value() == n
        wait_until_settled(widget, qtbot)
        assert (record_of(layer).n_segments, record_of(layer).max_segments) == (n, None)
        widget.cut_panel.n_box.setValue(3)  # where the slider is when the next run is done
        wait_until_settled(widget, qtbot)


def test_a_run_in_another_region_leaves_the_earlier_result(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    corners = np.array([[10, 20], [10, 60], [50, 60], [50, 20]])
    shapes = viewer.add_shapes([corners], shape_type="polygon", name="field")
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:50, 10:40] = 1
    labels = viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image

    def fields() -> Iterator[None]:
        choose_in(widget.form.region_field.box, "whole plane")
        yield
        choose_in(widget.form.region_field.box, "inside 'field'")
        yield
        shapes.data = [np.array([[10, 20], [10, 60], [50, 60], [30, 20]])]  # in the same rectangle
        yield
        choose_in(widget.form.region_field.box, "inside 'cell'")
        yield
        labels.data[20, 20] = 0
        yield
        choose_in(widget.form.region_field.box, "current view")
        for centre in ((32, 40), (20, 30)):
            look_at(viewer, (0, *centre), 20.0)
            yield

    made = []
    for _ in fields():
        made.append(run_widget(widget, qtbot))
        before = [np.array(each.data) for each in made]
        widget.form.size_fields.count.setValue(N - 1)
        assert run_widget(widget, qtbot) is made[-1]  # of this region again
        assert record_of(made[-1]).n_segments == N - 1
        widget.form.size_fields.count.setValue(N)
        assert list(viewer.layers)[3:] == made
        for layer, labels_before in zip(made[:-1], before[:-1], strict=True):
            assert_array_equal(layer.data, labels_before)
    assert len(set(map(id, made))) == 7

    viewer.layers.selection.active = made[2]
    widget.use_record()
    assert run_widget(widget, qtbot) is made[2]
    viewer.layers.selection.active = made[1]
    widget.slide(3)
    assert made[1].data.max() == 3 and made[2].data.max() == N - 1
    wait_until_settled(widget, qtbot)


def test_a_region_is_the_mask_of_the_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(64, 80, 3)
    image = viewer.add_image(pixels, name="a")
    viewer.add_shapes([np.array([[10, 20], [10, 60], [50, 60], [50, 20]])], name="field")
    viewer.layers.selection.active = image
    choose_in(widget.form.region_field.box, "inside 'field'")
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert record.crop is not None
    whole = np.zeros((64, 80), bool)
    whole[record.crop[0] : record.crop[2], record.crop[1] : record.crop[3]] = layer.data > 0
    inside = np.zeros((64, 80), bool)
    inside[11:50, 21:60] = True
    assert whole[inside].all() and not whole[:10].any() and not whole[51:].any() and not whole[:, :20].any()
    assert_array_equal(layer.data, run_record(pixels, replace(record, mask=None), mask=whole))


def test_the_result_of_a_region_can_be_as_large_as_the_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(64, 80, 3)
    viewer.add_image(pixels, name="a")
    size_box = widget.form.region_field.size_box
    assert not size_box.isVisible()
    look_at(viewer, (0, 30, 40), 20.0)
    choose_in(widget.form.region_field.box, "current view")
    assert size_box.isVisible()
    small = run_widget(widget, qtbot)
    record = record_of(small)
    part = np.array(small.data)
    size_box.setChecked(True)
    layer = run_widget(widget, qtbot)
    assert layer is small and record_of(layer) == record and record.crop is not None
    whole = np.zeros((64, 80), np.int32)
    whole[record.crop[0] : record.crop[2], record.crop[1] : record.crop[3]] = part
    assert_array_equal(layer.data, whole)
    assert [each.label for each in regionprops(layer.data, pixels)] == list(range(1, N + 1))
    widget.use_record()
    assert_array_equal(run_widget(widget, qtbot).data, whole)
    layer.save(str(tmp_path / "a.tif"), plugin="napari")  # which keeps no place
    assert_array_equal(tifffile.imread(tmp_path / "a.tif"), whole)
    size_box.setChecked(False)
    assert_array_equal(run_widget(widget, qtbot).data, part)


@pytest.mark.parametrize("side", [1, 4])
def test_superpixels_are_made_inside_labels_of_any_scale(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, side: int
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(64, 80, 3)
    image = viewer.add_image(pixels, name="a")
    drawn = np.zeros((64 // side, 80 // side), np.uint8)
    drawn[16 // side : 48 // side, 20 // side : 60 // side] = 3
    viewer.add_labels(drawn, name="cell", scale=(side, side), translate=((side - 1) / 2,) * 2)
    viewer.layers.selection.active = image
    choose_in(widget.form.region_field.box, "inside 'cell'")
    layer = run_widget(widget, qtbot)
    mask = np.zeros((64, 80), bool)
    mask[16:48, 20:60] = True
    record = record_of(layer)
    assert (record.crop, record.mask) == (None, "layer")
    assert_array_equal(layer.data, run_record(pixels, RunRecord(N), mask=mask))


def test_an_empty_region_is_a_sentence(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    viewer.add_shapes(name="nothing")
    viewer.add_labels(np.zeros((64, 80), np.uint8), name="blank")
    viewer.layers.selection.active = image
    before = state_of(viewer)
    choose_in(widget.form.region_field.box, "inside 'nothing'")
    sentence = "No shape of the layer 'nothing' encloses pixels of 'a'"
    assert widget.run_panel.info.text() == sentence
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == sentence
    choose_in(widget.form.region_field.box, "whole plane")
    assert widget.run_panel.message.text() == ""
    choose_in(widget.form.region_field.box, "inside 'blank'")
    widget.run()
    wait_for_run(widget, qtbot)
    assert widget.run_panel.message.text() == "The layer 'blank' is 0 everywhere on 'a'"
    full = viewer.add_labels(np.ones((64, 80), np.uint8), name="full")
    viewer.layers.selection.active = image
    assert widget.run_panel.message.text() == "The layer 'blank' is 0 everywhere on 'a'"
    choose_in(widget.form.region_field.box, "inside 'full'")
    assert widget.run_panel.message.text() == ""
    viewer.layers.remove(full)
    choose_in(widget.form.region_field.box, "inside 'blank'")
    widget.run()
    wait_for_run(widget, qtbot)
    other = viewer.add_image(drawn_picture(64, 80, 3), name="b")
    assert widget.run_panel.message.text() == ""
    viewer.layers.remove(other)
    viewer.layers.selection.active = image
    look_at(viewer, (0, 5000, 5000), 4.0)
    choose_in(widget.form.region_field.box, "current view")
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == "Nothing of 'a' is in view"
    look_at(viewer, (0, 32, 40), 4.0)
    assert widget.run_panel.message.text() == ""
    assert_same_state(viewer, before)
