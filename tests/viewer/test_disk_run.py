"""Runs on lazy images whose labels are written window by window, and the layer that shows them."""

from __future__ import annotations

import threading
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
    choose_in,
    close_dock_of,
    drawn_picture,
    look_at,
    pyramid_of,
    record_of,
    run_widget,
    state_of,
    wait_for_run,
    wait_for_threads,
    wait_until_gone,
)
from napari.layers import Labels
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_pcnet import pcnet_superpixels, planes, read_labels
from napari_pcnet.disk import zarr_store
from napari_pcnet.geometry import picture
from napari_pcnet.plugin import files
from napari_pcnet.plugin.form import form
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.metadata import recorded_run
from napari_pcnet.plugin.widget import ONE_COUNT, SuperpixelsWidget
from napari_pcnet.run import run_record


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have small pictures read by their parts, and several levels of their labels."""
    monkeypatch.setattr(planes, "SMALL_BYTES", 0)
    monkeypatch.setattr(zarr_store, "CHUNK_SIDE_PX", 32)


def _lazy(kind: str, pixels: NDArray[Any], folder: Path) -> Any:
    if kind == "dask":
        return da.from_array(pixels, chunks=(40,) * 2 + (3,) * (pixels.ndim - 2))
    array = zarr.create_array(folder / "in.zarr", shape=pixels.shape, chunks=(40,) * 2, dtype=pixels.dtype)
    array[...] = pixels
    return array


def _start_to(widget: SuperpixelsWidget, path: Path) -> Job | None:
    widget.form.output.edit.setText(str(path))
    widget.run()
    return widget.job


def _run_to(widget: SuperpixelsWidget, path: Path, qtbot: QtBot) -> Labels:
    """Run with a path under 'Write to', and wait for the layer."""
    _start_to(widget, path)
    wait_for_run(widget, qtbot)
    layer = widget.viewer.layers.selection.active
    assert isinstance(layer, Labels), widget.run_panel.message.text()
    return layer


def _shows(widget: SuperpixelsWidget) -> bool:
    return not widget.form.output.field.isHidden()


def test_only_a_lazy_image_may_be_written(
    opened: tuple[napari.Viewer, SuperpixelsWidget], tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(48, 64)
    assert not _shows(widget)
    held = viewer.add_image(pixels, name="held")
    assert not _shows(widget)
    viewer.add_image(da.from_array(pixels), name="dask")
    assert _shows(widget)
    widget.form.output.edit.setText(str(tmp_path / "a.ome.zarr"))
    assert widget.form.output.path == tmp_path / "a.ome.zarr"
    viewer.layers.selection.active = held
    assert not _shows(widget) and widget.form.output.path is None
    viewer.add_image(_lazy("zarr", pixels, tmp_path), name="zarr")
    assert _shows(widget)
    viewer.add_image([da.from_array(each) for each in pyramid_of(pixels, 2)], multiscale=True)
    assert _shows(widget)


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_the_labels_of_a_lazy_image_are_those_of_the_plane(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path, kind: str
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(90, 120)
    place: dict[str, Any] = {"scale": (0.5, 0.25), "translate": (3, 4), "units": ("micrometer",) * 2}
    viewer.add_image(_lazy(kind, pixels, tmp_path), name="slide", **place)
    path = tmp_path / "out.ome.zarr"
    layer = _run_to(widget, path, qtbot)
    expected = pcnet_superpixels(pixels, N, channel_axis=None, spacing=(0.5, 0.25))
    assert_array_equal(read_labels(path), expected)
    assert layer.name == "slide superpixels" and layer.multiscale and layer.contour == 1
    assert [each.shape for each in layer.data] == [(90, 120), (45, 60), (23, 30)]
    assert all(isinstance(each, zarr.Array) and each.read_only for each in layer.data)
    assert_array_equal(layer.data[0], expected)
    assert_allclose(layer.scale, (0.5, 0.25))
    assert_allclose(layer.translate, (3, 4))
    assert list(map(str, layer.units)) == ["micrometer"] * 2
    assert record_of(layer).n_segments == N
    assert_array_equal(run_record(pixels, record_of(layer)), expected)
    (scales,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]  # type: ignore[call-overload, index]
    assert [axis["unit"] for axis in scales["axes"]] == ["micrometer"] * 2
    assert scales["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [0.5, 0.25]},
        {"type": "translation", "translation": [3.0, 4.0]},
    ]
    message = widget.run_panel.message.text()
    assert message.startswith(f"{N} superpixels in ") and message.endswith(f"in 'out.ome.zarr'; {ONE_COUNT}")
    back = files.open_in(viewer, str(path / "zarr.json"))
    assert_array_equal(back.data, expected)
    assert_allclose(back.translate, (3, 4))
    assert record_of(back) == record_of(layer)


def test_a_turned_image_has_its_labels_on_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_lazy("dask", drawn_picture(90, 120), tmp_path), name="slide", **TURNED)
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    for corner in ((0, 0), (89, 0), (89, 119)):
        assert_allclose(layer.data_to_world(corner), image.data_to_world(corner))
    assert layer.axis_labels == ("down", "across")
    (scales,) = zarr.open_group(tmp_path / "out.ome.zarr", mode="r").attrs["ome"]["multiscales"]  # type: ignore[call-overload, index]
    (only,) = scales["datasets"][0]["coordinateTransformations"]
    assert only["type"] == "scale"  # a translation says nothing of a place that is turned


class _Watched:
    """An array in chunks that knows the largest part that was read of it."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self._pixels = pixels
        self.shape, self.ndim, self.dtype, self.chunks = pixels.shape, pixels.ndim, pixels.dtype, (40, 40)
        self.largest = 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        part: NDArray[Any] = self._pixels[key]
        self.largest = max(self.largest, part.size)
        return part


def test_no_plane_is_read_as_a_whole(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(200, 240)
    folder = _lazy("zarr", pixels, tmp_path)
    (image,) = viewer.open(tmp_path / "in.zarr", plugin="napari")
    watched = _Watched(np.asarray(folder))
    image.data = watched
    monkeypatch.setattr(picture, "READ_ROWS", 40)
    qtbot.wait(300)
    watched.largest = 0
    run = _start_to(widget, tmp_path / "out.ome.zarr")
    wait_for_run(widget, qtbot)
    assert run is not None and 0 < watched.largest <= 40 * 240
    found = recorded_run(viewer.layers[-1].metadata)
    assert found is not None and found[1].path == str(tmp_path / "in.zarr")


def test_a_region_is_written_where_it_lies(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(200, 240, 3)
    viewer.add_image(_lazy("dask", pixels, tmp_path), name="slide", rgb=True, scale=(2, 2))
    look_at(viewer, (0, 200, 240), 4.0)
    choose_in(widget.form.region_field.box, "current view")
    layer = _run_to(widget, tmp_path / "view.ome.zarr", qtbot)
    crop = record_of(layer).crop
    assert crop is not None and crop[0] > 0
    top, left, bottom, right = crop
    assert_array_equal(layer.data[0], pcnet_superpixels(pixels[top:bottom, left:right], N))
    assert_allclose(layer.translate, (2 * top, 2 * left))

    triangle = np.array([[20, 30], [300, 60], [100, 400]])
    viewer.add_shapes([triangle], shape_type="polygon", name="part")
    viewer.layers.selection.active = viewer.layers["slide"]
    choose_in(widget.form.region_field.box, "inside 'part'")
    inside = _run_to(widget, tmp_path / "inside.ome.zarr", qtbot)
    written = np.asarray(inside.data[0])
    held = run_widget_held(widget, qtbot)
    assert_array_equal(written, held.data)
    assert (written == 0).any() and len(np.unique(written)) == N + 1


def test_a_region_is_written_as_large_as_the_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    stack = da.from_array(drawn_picture(3, 200, 240), chunks=(1, 40, 40))
    place = {"scale": (5, 2, 2), "translate": (0, 3, 4)}
    viewer.add_image(stack, name="slide", contrast_limits=(0, 255), **place)
    triangle = np.array([[20, 30], [300, 60], [100, 400]])
    viewer.add_shapes([triangle], shape_type="polygon", name="part")
    viewer.layers.selection.active = viewer.layers["slide"]
    choose_in(widget.form.image.planes_box, "all")
    choose_in(widget.form.region_field.box, "inside 'part'")
    widget.form.region_field.size_box.setChecked(True)
    layer = _run_to(widget, tmp_path / "whole.ome.zarr", qtbot)
    written = np.asarray(layer.data[0])
    back = files.open_in(viewer, str(tmp_path / "whole.ome.zarr" / "zarr.json"))
    assert written.shape == stack.shape and len(np.unique(written)) == 3 * N + 1
    for each in (layer, back, held := run_widget_held(widget, qtbot)):
        assert_allclose(each.translate, (0, 3, 4))
    assert_array_equal(written, held.data)
    assert_array_equal(back.data, held.data)
    widget.form.region_field.size_box.setChecked(False)


def test_the_region_of_labels_as_large_as_the_image_is_known_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_lazy("dask", drawn_picture(200, 240, 3), tmp_path), name="slide", rgb=True)
    look_at(viewer, (0, 100, 120), 4.0)
    choose_in(widget.form.region_field.box, "current view")
    widget.form.region_field.size_box.setChecked(True)
    layer = _run_to(widget, tmp_path / "whole.ome.zarr", qtbot)
    crop = record_of(layer).crop
    assert crop is not None and crop[0] > 0 and layer.data[0].shape == (200, 240)
    widget.use_record()
    viewer.layers.selection.active = image
    again = _run_to(widget, tmp_path / "again.ome.zarr", qtbot)
    assert record_of(again).crop == crop
    assert_array_equal(again.data[0], layer.data[0])
    widget.form.region_field.size_box.setChecked(False)


def run_widget_held(widget: SuperpixelsWidget, qtbot: QtBot) -> Labels:
    """Run what is chosen in memory."""
    widget.viewer.layers.selection.active = widget.viewer.layers["slide"]
    widget.form.output.edit.clear()
    return run_widget(widget, qtbot)


def test_what_is_transparent_is_outside(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(90, 120, 4)
    pixels[..., 3] = 255
    pixels[:, :50, 3] = 0
    viewer.add_image(da.from_array(pixels, chunks=(40, 40, 4)), name="slide", rgb=True)
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    assert_array_equal(layer.data[0], pcnet_superpixels(pixels, N))
    assert_array_equal(np.asarray(layer.data[0]) == 0, pixels[..., 3] == 0)


@pytest.mark.parametrize("which", ["this", "all"])
def test_planes_of_a_stack_are_written_with_the_axes_of_their_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path, which: str
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(3, 64, 80)
    viewer.add_image(da.from_array(pixels, chunks=(1, 40, 40)), name="slide", scale=(5, 1, 1))
    viewer.dims.set_current_step(0, 1)
    choose_in(widget.form.image.planes_box, which)
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    held = run_widget_held(widget, qtbot)
    assert layer.data[0].shape == held.data.shape == (1 if which == "this" else 3, 64, 80)
    assert_array_equal(layer.data[0], held.data)
    assert_allclose(layer.translate, held.translate)
    assert_allclose(layer.scale, held.scale)


def test_a_pyramid_is_written_at_full_resolution_where_memory_is_short_of_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    pixels = np.tile(drawn_picture(128, 128), (2, 2))
    levels = [da.from_array(each, chunks=(128, 128)) for each in pyramid_of(pixels, 2)]
    viewer.add_image(levels, multiscale=True, name="slide", contrast_limits=(0, 255))
    source = widget.form.source(0)
    assert source is not None
    region = widget.form.region(source)
    held = widget.form._cost_of(source, region).total_bytes
    widget.form.output.edit.setText(str(tmp_path / "out.ome.zarr"))
    written = widget.form._cost_of(source, region).total_bytes
    assert written < held
    widget.form.output.edit.clear()
    monkeypatch.setattr(form, "free_bytes", lambda: 2 * (held - 1))  # half of it may be taken
    chosen = widget.form.source()
    assert chosen is not None and chosen.level == 1
    assert widget.form.outlook(1e6).endswith(form.WRITE_IT)
    widget.form.output.edit.setText(str(tmp_path / "out.ome.zarr"))
    assert form.WRITE_IT not in widget.form.outlook(1e6)
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    assert record_of(layer).level == 0 and layer.data[0].shape == pixels.shape


def test_a_large_plane_of_a_lazy_image_is_better_written(
    opened: tuple[napari.Viewer, SuperpixelsWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(48, 64)
    viewer.add_image(da.from_array(pixels), name="lazy")
    assert form.WRITE_IT not in widget.form.outlook(1e6)
    monkeypatch.setattr(form, "LARGE_PX", 48 * 64)
    assert widget.form.outlook(1e6).endswith(form.WRITE_IT)
    widget.form.options.boxes["smoothing"].setValue(2)  # takes a whole plane
    assert form.WRITE_IT not in widget.form.outlook(1e6)
    widget.form.options.boxes["smoothing"].setValue(0)
    viewer.add_image(pixels, name="held")
    assert form.WRITE_IT not in widget.form.outlook(1e6)


@pytest.mark.parametrize("how", ["cancel", "image", "dock"])
def test_what_is_stopped_leaves_nothing_on_the_disk(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path, how: str
) -> None:
    viewer, widget = opened
    pixels = np.tile(drawn_picture(92, 92), (8, 8))
    image = viewer.add_image(_lazy("dask", pixels, tmp_path), name="slide", contrast_limits=(0, 255))
    before = state_of(viewer)
    widget.form.size_fields.count.setValue(500)
    widget.form.output.edit.setText(str(tmp_path / "out.ome.zarr"))
    widget.run()
    assert widget.job is not None
    with qtbot.waitSignal(widget.job.progressed, timeout=60_000):
        pass
    assert widget.run_panel.cancel_button.isEnabled()
    if how == "cancel":
        widget.cancel()
    elif how == "image":
        viewer.layers.remove(image)
    else:
        close_dock_of(widget)
        wait_until_gone(widget, qtbot)
    wait_for_threads(qtbot)
    assert list(tmp_path.iterdir()) == []
    assert list(viewer.layers) == ([] if how == "image" else [each["layer"] for each in before])


@pytest.mark.parametrize("name", ["_halve", "_sync"])
def test_a_run_that_is_cancelled_while_it_writes_leaves_nothing(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    viewer, widget = opened
    viewer.add_image(da.from_array(drawn_picture(90, 120)), name="slide")
    reached, go_on, whole = threading.Event(), threading.Event(), getattr(zarr_store, name)

    def waiting(*arguments: Any) -> None:
        reached.set()
        assert go_on.wait(60)
        whole(*arguments)

    monkeypatch.setattr(zarr_store, name, waiting)
    widget.form.output.edit.setText(str(tmp_path / "out.ome.zarr"))
    widget.run()
    qtbot.waitUntil(reached.is_set, timeout=60_000)
    widget.cancel()
    go_on.set()
    wait_for_run(widget, qtbot)
    assert list(tmp_path.iterdir()) == [] and len(viewer.layers) == 1
    assert widget.run_panel.message.text() == ""


def test_an_error_leaves_nothing_but_a_sentence(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(90, 120).astype(np.float32)
    pixels[5, 6] = np.inf
    viewer.add_image(da.from_array(pixels), name="holes", contrast_limits=(0, 255))
    widget.form.output.edit.setText(str(tmp_path / "out.ome.zarr"))
    widget.run()
    wait_for_run(widget, qtbot)
    reason = "Image must be finite, got infinity; leave such pixels out of the region"
    assert widget.run_panel.message.text() == reason
    assert list(tmp_path.iterdir()) == [] and len(viewer.layers) == 1


def test_a_folder_that_cannot_be_made_is_refused_before_the_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = _lazy("zarr", drawn_picture(90, 120), tmp_path)
    viewer.add_image(pixels, name="slide")
    there = tmp_path / "there.ome.zarr"
    there.mkdir()
    for path, reason in (
        (there, f"Output {there} exists; name another under 'Write to'"),
        (tmp_path / "a.zarr", f"Output {tmp_path / 'a.zarr'} must end in .ome.zarr"),
        (
            tmp_path / "no" / "a.ome.zarr",
            f"Output folder {tmp_path / 'no'} does not exist; make it first",
        ),
    ):
        widget.form.output.edit.setText(str(path))
        widget.run()
        assert widget.job is None and widget.run_panel.message.text() == reason
    assert list(there.iterdir()) == [] and len(viewer.layers) == 1
    (image,) = viewer.open(tmp_path / "in.zarr", plugin="napari")
    path = tmp_path / "in.zarr" / "a.ome.zarr"
    widget.form.output.edit.setText(str(path))
    widget.run()
    reason = f"Output {path} lies in '{image.name}', which it would change; name another"
    assert widget.job is None and widget.run_panel.message.text() == reason
    viewer.add_image(da.zeros((2, 2, 2, 32, 32), np.uint8), name="deep", contrast_limits=(0, 255))
    widget.form.output.edit.setText(str(tmp_path / "deep.ome.zarr"))
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == (
        "'deep' has 3 axes besides rows and columns, an OME-Zarr has planes along time and depth alone: "
        "leave 'Write to' empty"
    )


def test_labels_on_the_disk_have_one_count_and_their_record(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    viewer.add_image(_lazy("zarr", drawn_picture(90, 120), tmp_path), name="slide")
    held = run_widget_held(widget, qtbot)
    assert widget.cut_panel.n_slider.isEnabled()
    widget.form.size_fields.count.setValue(20)
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    needs_tree = (
        *(widget.cut_panel.n_slider, widget.cut_panel.n_box, widget.cut_panel.nested_button),
        *(widget.cut_panel.editable_button, widget.annotation_panel.start_button),
        widget.annotation_panel.objects_button,
    )
    assert not any(each.isEnabled() for each in needs_tree)
    before, reason = list(viewer.layers), ONE_COUNT[0].upper() + ONE_COUNT[1:]
    for command in (
        lambda: widget.slide(5),
        widget.add_nested,
        widget.make_editable,
        widget.annotate,
        widget.annotate_objects,
    ):
        widget.show_message("")
        command()
        assert widget.run_panel.message.text() == reason
    assert list(viewer.layers) == before
    assert layer not in [widget.form.region_field.box.itemData(k) for k in range(3)]
    script, command_line = widget.copy_python(), widget.copy_command()
    assert script is not None and "pixels, 20," in script
    assert command_line is not None and "--n-segments 20" in command_line
    widget.form.size_fields.count.setValue(3)
    widget.use_record()
    assert widget.form.count == 20
    viewer.layers.selection.active = held
    assert all(each.isEnabled() for each in needs_tree)
    viewer.layers.selection.active = layer
    assert widget.run_panel.message.text() == reason
    viewer.layers.selection.active = held
    assert widget.run_panel.message.text() == ""


def test_labels_of_one_level_are_no_pyramid_and_cannot_be_painted_on(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    monkeypatch.setattr(zarr_store, "CHUNK_SIDE_PX", 1024)
    viewer.add_image(da.from_array(drawn_picture(90, 120)), name="slide")
    layer = _run_to(widget, tmp_path / "out.ome.zarr", qtbot)
    assert not layer.multiscale and isinstance(layer.data, zarr.Array) and not layer.editable
    assert_array_equal(np.unique(layer.data), np.arange(1, N + 1))
    assert not widget.cut_panel.n_slider.isEnabled()


def test_browse_gives_a_name_its_ending(
    opened: tuple[napari.Viewer, SuperpixelsWidget], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(da.from_array(drawn_picture(48, 64)), name="slide")
    field, chosen = widget.form.output, [str(tmp_path / "a"), str(tmp_path / "b.OME.zarr"), ""]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (chosen.pop(0), ""))
    for path in ("a.ome.zarr", "b.OME.zarr", "b.OME.zarr"):
        field.browse_button.click()
        QApplication.processEvents()
        assert field.path == tmp_path / path
