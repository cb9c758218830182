"""Runs of the dock widget in a real napari: what lies where, and what it is equal to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import napari
import numpy as np
import pytest
import zarr
from actions import (
    TURNED,
    N,
    add_large_image,
    assert_same_state,
    choose_in,
    drawn_picture,
    look_at,
    pyramid_of,
    record_of,
    rgba_picture,
    run_widget,
    state_of,
    wait_for_run,
    wait_for_threads,
    wait_until_settled,
)
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QOpenGLContext

from napari_pcnet.plugin.metadata import KEY, recorded_run
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record

# -- a run -----------------------------------------------------------------------------------------


def test_a_photograph_gets_exactly_so_many_superpixels_where_it_lies(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    (image,) = viewer.open_sample("napari-pcnet", "cat")
    widget.form.size_fields.count.setValue(40)
    layer = run_widget(widget, qtbot)

    assert list(viewer.layers) == [image, layer] and layer.name == "cat superpixels"
    assert layer.data.dtype == np.int32
    assert_array_equal(np.unique(layer.data), np.arange(1, 41))
    assert_array_equal(layer.extent.world, image.extent.world)
    notes = layer.metadata[KEY]
    record = RunRecord.from_dict(notes["record"])
    assert notes["record"] == RunRecord(40).as_dict() == record.as_dict()
    assert_array_equal(layer.data, run_record(image.data, record))

    features = layer.features
    assert list(features.columns) == [
        "label",
        "area",
        "intensity_mean-0",
        "intensity_mean-1",
        "intensity_mean-2",
        "confidence",
    ]
    assert len(features) == 41
    assert_array_equal(features["label"], np.arange(41))
    shown = layer._get_properties((5, 7), view_direction=None, dims_displayed=[0, 1])  # as the status bar
    assert f"area: {(layer.data == layer.data[5, 7]).sum()}" in shown
    assert_array_equal(features["area"], np.bincount(layer.data.ravel()))
    for channel in range(3):
        sums = np.bincount(layer.data.ravel(), weights=image.data[..., channel].ravel())
        assert_allclose(features[f"intensity_mean-{channel}"][1:], sums[1:] / features["area"][1:], rtol=1e-5)
    assert features["confidence"][1:].between(0, 1).all()
    assert widget.run_panel.message.text().startswith("40 superpixels in ")
    assert layer.contour == 1


def test_what_a_run_notices_in_the_pixels_names_fields(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = drawn_picture(60, 70).astype(np.float32)
    image[:9, 50:] = np.nan
    viewer.add_image(image, contrast_limits=(0, 255))
    with pytest.warns(UserWarning, match=r"^image holds NaN: .* outside the region; choose a Region to say"):
        layer = run_widget(widget, qtbot)
    assert_array_equal(layer.data == 0, np.isnan(image))


def test_a_run_says_of_what_it_is_and_its_bar_moves_from_the_start_to_the_end(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    add_large_image(viewer)
    bar, message = widget.run_panel.progress, widget.run_panel.message
    widget.form.size_fields.count.setValue(500)
    widget.run()
    assert (bar.minimum(), bar.maximum()) == (0, 0)  # busy: it moves while the pixels are read
    assert message.text() == "Segmenting 'large' ..." and widget.job is not None
    seen: list[tuple[int, int, int]] = []
    widget.job.progressed.connect(lambda done, _: seen.append((done, bar.value(), bar.maximum())))
    wait_for_run(widget, qtbot)
    part_way = [(value, maximum) for done, value, maximum in seen if value == done and maximum > done]
    assert part_way and seen[-1][2] == 0  # busy again behind the last window: the tree is built
    assert message.text().startswith("500 superpixels in ")
    assert bar.maximum() > 0 and bar.text() == ""

    widget.run()
    widget.cancel()
    assert message.text() == "Stopping ..."
    wait_for_run(widget, qtbot)
    assert message.text() == "" and bar.maximum() > 0


def test_a_second_run_updates_the_layer_of_the_first(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    first = run_widget(widget, qtbot)
    widget.form.size_fields.count.setValue(7)
    second = run_widget(widget, qtbot)
    assert second is first and len(viewer.layers) == 2
    assert_array_equal(np.unique(second.data), np.arange(1, 8))
    assert record_of(second) == RunRecord(7) and len(second.features) == 8


def test_this_plane_of_a_stack_makes_a_layer_on_that_plane_and_others_their_own(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    stack = drawn_picture(3, 2, 48, 60, 3)
    image = viewer.add_image(
        stack,
        scale=(10, 2, 0.5, 0.25),
        translate=(5, 6, 7, 8),
        units=("second", "micrometer", "micrometer", "micrometer"),
        axis_labels=("t", "z", "y", "x"),
        name="stack",
    )
    layers = {}
    for t, z in ((2, 1), (0, 1)):
        viewer.dims.set_current_step(0, t)
        viewer.dims.set_current_step(1, z)
        layer = layers[t, z] = run_widget(widget, qtbot)
        assert layer.data.shape == (1, 1, 48, 60)
        record = record_of(layer)
        assert record.plane == (t, z) and record.spacing == (0.5, 0.25)
        assert_array_equal(layer.data[0, 0], run_record(stack, record))
        for y, x in ((0, 0), (47, 59), (3, 50)):
            assert_allclose(layer.data_to_world((0, 0, y, x)), image.data_to_world((t, z, y, x)), rtol=1e-12)
        assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
        # what napari reads under the pointer is the label of that very pixel
        world = image.data_to_world((t, z, 20, 30))
        assert layer.get_value(world, world=True) == layer.data[0, 0, 20, 30]
    assert layers[2, 1] is not layers[0, 1] and len(viewer.layers) == 3
    assert_array_equal(np.unique(layers[2, 1].data), np.arange(1, N + 1))

    viewer.dims.set_current_step(0, 2)
    widget.form.size_fields.count.setValue(5)
    assert run_widget(widget, qtbot) is layers[2, 1] and len(viewer.layers) == 3
    assert_array_equal(np.unique(layers[2, 1].data), np.arange(1, 6))


def test_a_plane_that_is_not_shown_is_not_segmented(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    stack = drawn_picture(5, 48, 60)
    image = viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 3)
    refusal = "The viewer shows no plane of the image; look at rows and columns in 2D, or choose all planes"
    before = state_of(viewer)
    for order in ((1, 0, 2), (2, 0, 1), (1, 2, 0)):
        viewer.dims.order = order
        qtbot.waitUntil(lambda: widget.run_panel.info.text() == refusal, timeout=5_000)
        widget.run()
        assert widget.job is None and widget.run_panel.message.text() == refusal
    assert_same_state(viewer, before)

    viewer.dims.order = (0, 2, 1)  # the same plane, turned
    qtbot.waitUntil(lambda: widget.run_panel.info.text().startswith("12 superpixels of"), timeout=5_000)
    layer = run_widget(widget, qtbot)
    assert record_of(layer).plane == (3,)
    assert_array_equal(layer.data[0], run_record(stack, record_of(layer)))
    look_at(viewer, (0, 30, 24), 20.0)
    choose_in(widget.form.region_field.box, "current view")
    part = run_widget(widget, qtbot)
    half = np.array(viewer.canvas.viewbox_size(viewer.layers))[::-1] / 40  # rows run across the screen
    low, high = np.floor((24, 30) - half + 0.5), np.ceil((24, 30) + half + 0.5)
    assert record_of(part).crop == (*low, *high)

    choose_in(widget.form.region_field.box, "whole plane")
    viewer.dims.order = (1, 0, 2)
    choose_in(widget.form.image.planes_box, "all planes")
    every = run_widget(widget, qtbot)
    assert_array_equal(every.data, run_record(image.data, record_of(every)))


def test_all_planes_are_numbered_on(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(3, 2, 48, 60, 3), scale=(1, 2, 0.5, 0.5))
    assert [widget.form.image.planes_box.itemText(k) for k in range(2)] == ["this plane", "all planes (6)"]
    choose_in(widget.form.image.planes_box, "all planes")
    layer = run_widget(widget, qtbot)
    assert layer.data.shape == (3, 2, 48, 60)
    assert_array_equal(layer.data, run_record(image.data, record_of(layer)))
    for k, index in enumerate(np.ndindex(3, 2)):
        assert_array_equal(np.unique(layer.data[index]), np.arange(k * N + 1, (k + 1) * N + 1))
    assert_array_equal(layer.extent.world, image.extent.world)
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))
    assert widget.run_panel.message.text().startswith(f"{6 * N} superpixels in ")


def test_what_was_painted_stays_when_it_is_run_or_slid_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    first = run_widget(widget, qtbot)
    first.brush_size = 5
    first.paint((30, 30), 99)
    painted = first.data.copy()
    assert (painted == 99).any()

    second = run_widget(widget, qtbot)
    assert second is not first and list(viewer.layers)[1:] == [first, second]
    assert_array_equal(first.data, painted)
    assert_array_equal(second.data, run_record(viewer.layers[0].data, RunRecord(N)))

    second.paint((30, 30), 77)
    painted = second.data.copy()
    widget.slide(5)
    wait_until_settled(widget, qtbot)
    third = viewer.layers[-1]
    assert third is not second and len(viewer.layers) == 4
    assert_array_equal(second.data, painted)
    assert (third.data.max(), record_of(third).n_segments) == (5, 5)
    assert record_of(second).n_segments == N


# -- large images ----------------------------------------------------------------------------------


class _Counted:
    """An array that writes down what is read of it."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self._pixels = pixels
        self.shape, self.dtype, self.ndim, self.size = pixels.shape, pixels.dtype, pixels.ndim, pixels.size
        self.keys: list[Any] = []
        self.largest = 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        part: NDArray[Any] = self._pixels[key]
        self.keys.append(key)
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        self.largest = self.size
        return np.asarray(self._pixels, dtype)


def test_the_current_view_of_a_zarr_is_segmented_at_full_resolution(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = np.tile(drawn_picture(128, 128), (16, 16))
    group = zarr.open_group(tmp_path / "large.zarr", mode="w")
    for k, level in enumerate(pyramid_of(pixels, 3)):
        array = group.create_array(str(k), shape=level.shape, chunks=(256, 256), dtype=level.dtype)
        array[...] = level
    (image,) = viewer.open(tmp_path / "large.zarr", plugin="napari")
    assert image.multiscale and [each.shape for each in image.data] == [(2048,) * 2, (1024,) * 2, (512,) * 2]

    look_at(viewer, (0, 700, 900), 4.0)
    choose_in(widget.form.region_field.box, "current view")
    height, width = np.array(viewer.canvas.viewbox_size(viewer.layers)) / 4
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert record.level == 0 and record.crop is not None
    top, left, bottom, right = record.crop
    assert (top, left) == (np.floor(700 - height / 2 + 0.5), np.floor(900 - width / 2 + 0.5))
    assert (bottom, right) == (np.ceil(700 + height / 2 + 0.5), np.ceil(900 + width / 2 + 0.5))
    assert layer.data.shape == (bottom - top, right - left)
    assert_array_equal(layer.data, run_record(pixels, record))
    assert_array_equal(layer.data_to_world((0, 0)), (top, left))
    found = recorded_run(layer.metadata)
    assert found is not None and found[1].path == str(tmp_path / "large.zarr")


def test_the_part_in_view_is_read_once_and_no_level_as_a_whole(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = np.tile(drawn_picture(128, 128), (8, 8))
    levels = [_Counted(each) for each in pyramid_of(pixels, 3)]
    image = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255), name="counted")
    look_at(viewer, (0, 500, 500), 8.0)
    choose_in(widget.form.region_field.box, "current view")
    qtbot.wait(300)  # napari draws, the info line is written
    asked = len(levels[0].keys)
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert record.level == 0 and record.crop is not None
    top, left, bottom, right = record.crop
    ours = [key for key in levels[0].keys[asked:] if key == (slice(top, bottom, 1), slice(left, right, 1))]
    assert len(ours) == 1
    assert levels[0].largest < levels[0].size / 4
    assert_array_equal(layer.data, run_record(pixels, record))
    assert image.multiscale


def test_a_coarser_level_is_taken_when_it_is_chosen_and_lies_on_the_finer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(256, 320, 3)
    viewer.add_image(pyramid_of(pixels, 3), multiscale=True, rgb=True, name="pyramid", scale=(2, 2))
    assert [widget.form.image.level_box.itemText(k) for k in range(widget.form.image.level_box.count())] == [
        "finest that fits",
        "0: 256 x 320",
        "1: 128 x 160",
        "2: 64 x 80",
    ]
    choose_in(widget.form.image.level_box, "1:")
    layer = run_widget(widget, qtbot)
    assert layer.data.shape == (128, 160) and record_of(layer).level == 1
    assert_array_equal(layer.data, run_record(pixels[::2, ::2], record_of(layer)))
    assert_allclose(layer.data_to_world((0, 0)), (1, 1))  # the middle of pixels 0 and 1, 2 wide
    for edge in ((-0.5, -0.5), (127.5, 159.5)):
        there = (np.array(edge) + 0.5) * 2 - 0.5
        assert_allclose(layer.data_to_world(edge), viewer.layers[0].data_to_world(there))
    choose_in(widget.form.image.level_box, "2:")
    again = run_widget(widget, qtbot)
    assert list(viewer.layers)[1:] == [layer, again] and record_of(again).level == 2
    assert layer.data.shape == (128, 160)  # another level is another result
    choose_in(widget.form.image.level_box, "1:")
    assert run_widget(widget, qtbot) is layer and len(viewer.layers) == 3
    assert_array_equal(again.data, run_record(pixels[::4, ::4], record_of(again)))
    assert_allclose(again.data_to_world((0, 0)), (3, 3))  # of pixels 0 to 3


@pytest.mark.parametrize(
    ("level", "crop"), [(0, False), (0, True), (1, False), (1, True)], ids=["whole", "crop", "level", "both"]
)
def test_a_corner_of_a_superpixel_lies_where_it_lies_in_the_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, level: int, crop: bool
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(128, 160, 3)
    levels = pyramid_of(pixels, 2)
    data = levels if level else pixels
    image = viewer.add_image(data, multiscale=bool(level), rgb=True, name="turned", **TURNED)
    if level:
        choose_in(widget.form.image.level_box, "1:")
    if crop:
        look_at(viewer, (0, *image.data_to_world((50, 60))), 12.0)
        choose_in(widget.form.region_field.box, "current view")
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert (record.crop is not None) == crop
    top, left = record.crop[:2] if record.crop else (0, 0)
    assert_array_equal(layer.data, run_record(levels[level], record))
    side = 2**level
    corner = np.argwhere(layer.data == 5)[0]
    for row, column in (corner, (0, 0), np.array(layer.data.shape) - 1):
        covered = [
            image.data_to_world(((top + row) * side + r, (left + column) * side + c))
            for r in range(side)
            for c in range(side)
        ]
        assert_allclose(layer.data_to_world((row, column)), np.mean(covered, axis=0), rtol=1e-9)
    assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
    steps = image.data_to_world((1, 0)), image.data_to_world((0, 1))
    sizes = [side * np.linalg.norm(np.subtract(step, image.data_to_world((0, 0)))) for step in steps]
    assert_allclose(record.spacing, sizes)


# -- kinds of images -------------------------------------------------------------------------------


def test_channels_named_so_are_guessed_and_two_of_four_can_be_chosen(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(4, 48, 64)
    viewer.add_image(pixels, axis_labels=("c", "y", "x"), name="channels")
    assert (
        widget.form.image.axis_box.currentText() == "c: 4 long"
        and widget.form.image.channels.text() == "all 4"
    )
    layer = run_widget(widget, qtbot)
    assert record_of(layer).channels == (0, 1, 2, 3) and record_of(layer).channel_axis == -3
    assert_array_equal(layer.data, run_record(pixels, RunRecord(N, channel_axis=0, channels=(0, 1, 2, 3))))
    assert layer.axis_labels == ("y", "x")

    for unwanted in (0, 2):
        widget.form.image.channels.menu().actions()[unwanted].setChecked(False)
    assert widget.form.image.channels.text() == "1, 3"
    layer = run_widget(widget, qtbot)
    assert record_of(layer).channels == (1, 3)
    assert_array_equal(layer.data, run_record(pixels[[1, 3]], RunRecord(N, channel_axis=0)))
    assert len(viewer.layers) == 2 and "intensity_mean-2" not in layer.features.columns

    for unwanted in (1, 3):
        widget.form.image.channels.menu().actions()[unwanted].setChecked(False)
    before = state_of(viewer)
    widget.run()
    assert widget.job is None
    refusal = "Channels must be one or more whole numbers from 0 on, got ()"
    assert widget.run_panel.message.text() == refusal
    assert_same_state(viewer, before)


def test_several_selected_layers_are_the_channels_of_one_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(4, 48, 64)
    place = {"scale": (2, 3), "translate": (5, 6), "rotate": 10}
    names = ["DAPI", "FITC", "Cy5", "bright & dim"]
    channels = viewer.add_image(pixels, channel_axis=0, name=names, blending="additive", **place)
    other = viewer.add_image(drawn_picture(48, 64), name="elsewhere")
    box, buttons = widget.form.image.layer_box, widget.form.image.channels
    for selected in ([other, channels[0]], [other]):
        viewer.layers.selection = set(selected)
        assert widget.form.image.layer == other and widget.form.image.group is None
    viewer.layers.selection = {channels[2], channels[0], channels[3]}
    assert box.currentText() == "DAPI + Cy5 + bright & dim as channels" and buttons.isVisible()
    viewer.layers.selection.add(channels[1])
    image_name = "DAPI + FITC + Cy5 + bright & dim as channels"
    assert box.currentText() == image_name and buttons.text() == "all 4"
    assert widget.form.intensities.box.findText("contrast limits") < 0
    layer = run_widget(widget, qtbot)
    assert layer.name == "DAPI + FITC + Cy5 + bright & dim superpixels"
    stacked = np.stack(list(pixels), axis=-1)
    record = record_of(layer)
    assert record == RunRecord(N, channels=(0, 1, 2, 3), spacing=record.spacing)
    assert_array_equal(layer.data, run_record(stacked, record))
    assert_array_equal(layer.extent.world, channels[0].extent.world)

    buttons.menu().actions()[1].setChecked(False)
    buttons.menu().actions()[2].setChecked(False)
    assert buttons.text() == "DAPI, bright && dim"
    again = run_widget(widget, qtbot)
    assert again is layer and record_of(layer).channels == (0, 3)
    assert_array_equal(layer.data, run_record(stacked, record_of(layer)))
    script = widget.copy_python()
    assert script is not None
    first = script.splitlines()[0]
    monkeypatch.chdir(tmp_path)
    exec(first[first.index("import numpy") :], {"viewer": viewer})
    made: dict[str, Any] = {}
    exec(script, made)
    assert_array_equal(made["labels"], layer.data)

    viewer.layers.selection.active = other
    assert widget.form.image.group is None
    viewer.layers.selection.active = layer
    widget.use_record()
    assert box.currentText() == image_name and buttons.chosen() == (0, 3)
    assert widget.run_panel.message.text() == ""
    assert run_widget(widget, qtbot) is layer
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: any(each.name == "PCNet preview" for each in viewer.layers), timeout=60_000)
    widget.run_panel.live.setChecked(False)

    viewer.layers.remove(channels[1])
    assert widget.result is None and box.findText(image_name) < 0


@pytest.mark.parametrize(
    ("pixels", "options", "axis"),
    [
        (drawn_picture(48, 64), {}, None),
        (drawn_picture(48, 64, 3).astype(np.uint16) * 200, {"rgb": True}, -1),
        (drawn_picture(48, 64).astype(np.float32) / 7 - 3, {}, None),
        (rgba_picture(), {"rgb": True}, -1),
        (da.from_array(drawn_picture(48, 64, 3), chunks=(20, 20, 3)), {"rgb": True}, -1),
        (drawn_picture(1, 1, 48, 64, 3), {"rgb": True}, -1),
        (drawn_picture(1, 48, 64), {}, None),
        (drawn_picture(5, 48, 64), {"axis_labels": ("c", "y", "x")}, -3),
    ],
    ids=["grey", "16 bits", "float", "RGBA", "dask", "singleton axes", "singleton axis, grey", "5 bands"],
)
def test_every_kind_of_image_gets_what_the_record_makes_of_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    pixels: Any,
    options: dict[str, Any],
    axis: int | None,
) -> None:
    viewer, widget = opened
    image = viewer.add_image(pixels, name="picture", **options)
    layer = run_widget(widget, qtbot)
    record = record_of(layer)
    assert record == RunRecord(N, channel_axis=axis)
    expected = run_record(np.asarray(pixels), record)
    assert_array_equal(layer.data.reshape(expected.shape), expected)
    assert layer.ndim == image.ndim - (axis == -3)
    assert_array_equal(layer.extent.world, image.extent.world[:, -layer.ndim :])
    assert not widget.form.image.planes_box.isVisible()


def test_one_depth_between_channels_and_rows_is_no_obstacle(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(4, 1, 48, 64)
    viewer.add_image(pixels, axis_labels=("c", "z", "y", "x"), name="one depth")
    layer = run_widget(widget, qtbot)
    assert layer.data.shape == (1, 48, 64)
    expected = RunRecord(N, channel_axis=-3, channels=(0, 1, 2, 3))
    assert_array_equal(layer.data[0], run_record(pixels[:, 0], expected))


def test_an_image_that_cannot_be_segmented_leaves_a_message_and_no_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(48, 64).astype(np.float32)
    pixels[5, 6] = np.inf
    viewer.add_image(pixels, name="holes", contrast_limits=(0, 255))
    before = state_of(viewer)
    widget.run()
    wait_for_run(widget, qtbot)
    reason = "Image must be finite, got infinity; leave such pixels out of the region"
    assert widget.run_panel.message.text() == reason
    assert_same_state(viewer, before)
    assert widget.run_panel.run_button.isEnabled() and not widget.run_panel.cancel_button.isEnabled()


class _Broken:
    """An array whose file has gone since it was opened."""

    def __init__(self, error: Exception, *shape: int) -> None:
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(np.uint8)
        self.error: Exception | None = None
        self._later = error

    def go(self) -> None:
        self.error = self._later

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if self.error is not None:
            raise self.error
        pixels: NDArray[Any] = drawn_picture(*self.shape)[key]
        return pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("the server\nhas gone"), "RuntimeError the server has gone"),
        (KeyError("c/0/0"), "KeyError 'c/0/0'"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (OSError(5, "Input/output error"), "OSError [Errno 5] Input/output error"),
    ],
)
def test_an_error_of_a_lazy_array_is_a_sentence(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, error: Exception, reason: str
) -> None:
    viewer, widget = opened
    image, mask = _Broken(error, 48, 64), _Broken(error, 48, 64)
    viewer.add_image(image, name="far", contrast_limits=(0, 255))
    viewer.add_labels(mask, name="cells")
    viewer.layers.selection.active = viewer.layers["far"]
    before = [each.data for each in viewer.layers]
    image.go()
    widget.run()
    wait_for_run(widget, qtbot)
    assert widget.run_panel.message.text() == f"'far' could not be read: {reason}"
    assert [each.data for each in viewer.layers] == before
    assert widget.run_panel.run_button.isEnabled()
    widget.show_message("")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: widget.run_panel.message.text() != "", timeout=60_000)
    assert widget.run_panel.message.text() == f"'far' could not be read: {reason}"
    widget.run_panel.live.setChecked(False)
    mask.go()
    choose_in(widget.form.region_field.box, "inside 'cells'")
    assert widget.run_panel.info.text() == f"'cells' could not be read: {reason}"
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == widget.run_panel.info.text()


def test_an_error_of_a_dask_array_is_a_sentence(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    gone: list[bool] = []

    def chunk(block: NDArray[Any]) -> NDArray[Any]:
        if gone:
            raise LookupError("no such chunk")
        return block

    pixels = da.from_array(drawn_picture(48, 64), chunks=(16, 16)).map_blocks(chunk)
    viewer.add_image(pixels, name="lazy", contrast_limits=(0, 255))
    gone.append(True)
    widget.run()
    wait_for_run(widget, qtbot)
    assert widget.run_panel.message.text() == "'lazy' could not be read: LookupError no such chunk"
    assert len(viewer.layers) == 1


def test_without_an_image_every_command_leaves_a_message(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    viewer, widget = opened
    assert widget.run_panel.info.text() == "Open an image to begin."
    assert not widget.run_panel.run_button.isEnabled()
    widget.run()
    assert widget.run_panel.message.text() == "Open an image first" and widget.job is None
    assert widget.copy_python() is None and widget.run_panel.message.text() == "There is no run to copy yet"
    widget.use_record()
    assert widget.run_panel.message.text() == "Select a layer of superpixels that has a record"
    assert len(viewer.layers) == 0


def test_another_channel_axis_makes_another_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(3, 40, 48), name="a", scale=(7, 1, 1))
    choose_in(widget.form.image.planes_box, "all planes")
    planes = run_widget(widget, qtbot)
    choose_in(widget.form.image.axis_box, widget.form.image.axis_box.itemText(1))
    flat = run_widget(widget, qtbot)
    assert flat is not planes and (flat.ndim, planes.ndim) == (2, 3)
    assert_array_equal(planes.scale, (7, 1, 1))


def test_a_layer_is_removed_in_the_context_of_the_canvas(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    layer = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    qtbot.wait(50)  # it is drawn
    canvas = viewer.window._qt_window._qt_viewer.canvas.native
    is_entered: list[bool] = []

    def note(_event: object) -> None:
        is_entered.append(QOpenGLContext.currentContext() == canvas.context())

    viewer.layers.events.removed.connect(note, position="first")
    canvas.doneCurrent()
    viewer.layers.remove(layer)
    assert is_entered == [True]
    wait_for_threads(qtbot)
