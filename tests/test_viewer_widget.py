"""The dock widget in a real napari: what lies where, what it is equal to, and what is left after cancel."""

from __future__ import annotations

import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import napari
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from napari._app_model import get_app_model
from napari._qt.utils import QImg2array
from napari.layers import Image, Labels, Layer
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from PIL import Image as Pillow
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QScrollArea
from skimage.draw import polygon2mask

from napari_pcnet.plugin import commands, cost, files, jobs
from napari_pcnet.plugin import widget as widget_module
from napari_pcnet.plugin.layer_cut import LookupArray
from napari_pcnet.plugin.metadata import KEY, recorded_run
from napari_pcnet.plugin.preview import NAME as PREVIEW
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record

N = 12


@pytest.fixture
def opened(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> Iterator[tuple[napari.Viewer, SuperpixelsWidget]]:
    """A viewer with the widget, warmed up; afterwards no thread may be left."""
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    widget.form.size_fields.count.setValue(N)
    yield viewer, widget
    _wait_for_threads(qtbot)


def _wait_for_threads(qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: not jobs._running, timeout=60_000)
    pool = QThreadPool.globalInstance()
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0, timeout=60_000)


def _picture(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise on a few large patches: something to find edges in."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 200, [max(1, side // 16) if side > 8 else side for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, -(-side // coarse.shape[axis]), axis=axis)
    fine: NDArray[np.uint8] = coarse[tuple(map(slice, shape))] + random.integers(0, 50, shape)
    return fine.astype(np.uint8)


def _run(widget: SuperpixelsWidget, qtbot: QtBot) -> Labels:
    """Run what is chosen, and wait until all of it is shown."""
    before = widget.result
    widget.run()
    _wait(widget, qtbot)
    assert widget.result is not None and widget.result is not before, widget.run_panel.message.text()
    return widget.result.layer


def _wait(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: widget.job is None, timeout=60_000)
    qtbot.wait(10)


def _settle(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Wait until the slider's cut is an array with its features and record."""
    qtbot.waitUntil(lambda: widget.cutting.is_settled, timeout=60_000)


def _choose(box: QComboBox, text: str) -> None:
    texts = [box.itemText(k) for k in range(box.count())]
    (at,) = [k for k, each in enumerate(texts) if each.startswith(text)]
    box.setCurrentIndex(at)


def _record(layer: Layer) -> RunRecord:
    found = recorded_run(layer.metadata)
    assert found is not None
    return found[0]


def _camera(viewer: napari.Viewer) -> Any:
    return getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it


def _look_at(viewer: napari.Viewer, centre: Sequence[float], zoom: float) -> None:
    camera = _camera(viewer)
    camera.center = centre
    camera.zoom = zoom
    QApplication.processEvents()


def _state(viewer: napari.Viewer) -> list[dict[str, Any]]:
    """All that a run might change of the layers; data as the very objects."""
    return [
        {
            "layer": layer,
            "name": layer.name,
            "data": list(layer.data) if getattr(layer, "multiscale", False) else layer.data,
            "pixels": np.array(layer.data[0] if getattr(layer, "multiscale", False) else layer.data),
            "metadata": dict(layer.metadata),
            "features": layer.features.to_numpy(na_value=-1) if hasattr(layer, "features") else None,
            "visible": layer.visible,
            "units": layer.units,
            "axis_labels": layer.axis_labels,
            **{name: np.array(getattr(layer, name)) for name in ("scale", "translate", "rotate", "shear")},
            "affine": layer.affine.affine_matrix.copy(),
        }
        for layer in viewer.layers
    ]


def _assert_same_state(viewer: napari.Viewer, before: list[dict[str, Any]]) -> None:
    after = _state(viewer)
    assert [each["layer"] for each in after] == [each["layer"] for each in before]
    for was, now in zip(before, after, strict=True):
        was_data, now_data = was["data"], now["data"]
        for one, other in zip(
            was_data if isinstance(was_data, list) else [was_data],
            now_data if isinstance(now_data, list) else [now_data],
            strict=True,
        ):
            assert one is other
        for name, value in was.items():
            if name == "data":
                continue
            if isinstance(value, np.ndarray):
                assert_array_equal(now[name], value, err_msg=name)
            else:
                assert now[name] == value, name


# -- a run -----------------------------------------------------------------------------------------


def test_a_photograph_gets_exactly_so_many_superpixels_where_it_lies(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    (image,) = viewer.open_sample("napari-pcnet", "cat")
    widget.form.size_fields.count.setValue(40)
    layer = _run(widget, qtbot)

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
        "index",
        "area",
        "intensity_mean-0",
        "intensity_mean-1",
        "intensity_mean-2",
        "confidence",
    ]
    assert len(features) == 41
    assert_array_equal(features["index"], np.arange(41))
    assert_array_equal(features["area"], np.bincount(layer.data.ravel()))
    for channel in range(3):
        sums = np.bincount(layer.data.ravel(), weights=image.data[..., channel].ravel())
        assert_allclose(features[f"intensity_mean-{channel}"][1:], sums[1:] / features["area"][1:], rtol=1e-5)
    assert features["confidence"][1:].between(0, 1).all()
    assert widget.run_panel.message.text().startswith("40 superpixels in ")
    assert layer.contour == 1


def test_a_second_run_updates_the_layer_of_the_first(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(64, 80, 3), name="a")
    first = _run(widget, qtbot)
    widget.form.size_fields.count.setValue(7)
    second = _run(widget, qtbot)
    assert second is first and len(viewer.layers) == 2
    assert_array_equal(np.unique(second.data), np.arange(1, 8))
    assert _record(second) == RunRecord(7) and len(second.features) == 8


def test_this_plane_of_a_stack_makes_a_layer_on_that_plane_and_others_their_own(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    stack = _picture(3, 2, 48, 60, 3)
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
        layer = layers[t, z] = _run(widget, qtbot)
        assert layer.data.shape == (1, 1, 48, 60)
        record = _record(layer)
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
    assert _run(widget, qtbot) is layers[2, 1] and len(viewer.layers) == 3
    assert_array_equal(np.unique(layers[2, 1].data), np.arange(1, 6))


def test_all_planes_are_numbered_on(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(3, 2, 48, 60, 3), scale=(1, 2, 0.5, 0.5))
    assert [widget.form.image.planes_box.itemText(k) for k in range(2)] == ["this plane", "all planes (6)"]
    _choose(widget.form.image.planes_box, "all planes")
    layer = _run(widget, qtbot)
    assert layer.data.shape == (3, 2, 48, 60)
    assert_array_equal(layer.data, run_record(image.data, _record(layer)))
    for k, index in enumerate(np.ndindex(3, 2)):
        assert_array_equal(np.unique(layer.data[index]), np.arange(k * N + 1, (k + 1) * N + 1))
    assert_array_equal(layer.extent.world, image.extent.world)
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))
    assert widget.run_panel.message.text().startswith(f"{6 * N} superpixels in ")


def test_what_was_painted_stays_when_it_is_run_or_slid_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(64, 80, 3), name="a")
    first = _run(widget, qtbot)
    first.brush_size = 5
    first.paint((30, 30), 99)
    painted = first.data.copy()
    assert (painted == 99).any()

    second = _run(widget, qtbot)
    assert second is not first and list(viewer.layers)[1:] == [first, second]
    assert_array_equal(first.data, painted)
    assert_array_equal(second.data, run_record(viewer.layers[0].data, RunRecord(N)))

    second.paint((30, 30), 77)
    painted = second.data.copy()
    widget.slide(5)
    _settle(widget, qtbot)
    third = viewer.layers[-1]
    assert third is not second and len(viewer.layers) == 4
    assert_array_equal(second.data, painted)
    assert (third.data.max(), _record(third).n_segments) == (5, 5)
    assert _record(second).n_segments == N


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


def _pyramid(pixels: NDArray[Any], levels: int) -> list[NDArray[Any]]:
    return [pixels[:: 2**k, :: 2**k] for k in range(levels)]


def test_the_current_view_of_a_zarr_is_segmented_at_full_resolution(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    pixels = np.tile(_picture(128, 128), (16, 16))
    group = zarr.open_group(tmp_path / "large.zarr", mode="w")
    for k, level in enumerate(_pyramid(pixels, 3)):
        array = group.create_array(str(k), shape=level.shape, chunks=(256, 256), dtype=level.dtype)
        array[...] = level
    (image,) = viewer.open(tmp_path / "large.zarr", plugin="napari")
    assert image.multiscale and [each.shape for each in image.data] == [(2048,) * 2, (1024,) * 2, (512,) * 2]

    _look_at(viewer, (0, 700, 900), 4.0)
    _choose(widget.form.region_field.box, "current view")
    height, width = np.array(viewer.canvas.viewbox_size(viewer.layers)) / 4
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    pixels = np.tile(_picture(128, 128), (8, 8))
    levels = [_Counted(each) for each in _pyramid(pixels, 3)]
    image = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255), name="counted")
    _look_at(viewer, (0, 500, 500), 8.0)
    _choose(widget.form.region_field.box, "current view")
    qtbot.wait(300)  # napari draws, the info line is written
    asked = len(levels[0].keys)
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    pixels = _picture(256, 320, 3)
    viewer.add_image(_pyramid(pixels, 3), multiscale=True, rgb=True, name="pyramid", scale=(2, 2))
    assert [widget.form.image.level_box.itemText(k) for k in range(widget.form.image.level_box.count())] == [
        "finest that fits",
        "0: 256 x 320",
        "1: 128 x 160",
        "2: 64 x 80",
    ]
    _choose(widget.form.image.level_box, "1:")
    layer = _run(widget, qtbot)
    assert layer.data.shape == (128, 160) and _record(layer).level == 1
    assert_array_equal(layer.data, run_record(pixels[::2, ::2], _record(layer)))
    assert_allclose(layer.data_to_world((0, 0)), (1, 1))  # the middle of pixels 0 and 1, 2 wide
    for edge in ((-0.5, -0.5), (127.5, 159.5)):
        there = (np.array(edge) + 0.5) * 2 - 0.5
        assert_allclose(layer.data_to_world(edge), viewer.layers[0].data_to_world(there))
    _choose(widget.form.image.level_box, "2:")
    again = _run(widget, qtbot)
    assert again is layer and len(viewer.layers) == 2 and _record(again).level == 2
    assert_array_equal(again.data, run_record(pixels[::4, ::4], _record(again)))
    assert_allclose(again.data_to_world((0, 0)), (3, 3))  # of pixels 0 to 3


# -- where it lies ---------------------------------------------------------------------------------

TURNED = {
    "scale": (0.5, 2.0),
    "rotate": 30,
    "shear": (0.25,),
    "translate": (100, -50),
    "affine": np.array([[0.8, 0.3, 5], [-0.2, 1.1, -7], [0, 0, 1]]),
    "units": ("micrometer", "micrometer"),
    "axis_labels": ("down", "across"),
}


@pytest.mark.parametrize(
    ("level", "crop"), [(0, False), (0, True), (1, False), (1, True)], ids=["whole", "crop", "level", "both"]
)
def test_a_corner_of_a_superpixel_lies_where_it_lies_in_the_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, level: int, crop: bool
) -> None:
    viewer, widget = opened
    pixels = _picture(128, 160, 3)
    levels = _pyramid(pixels, 2)
    data = levels if level else pixels
    image = viewer.add_image(data, multiscale=bool(level), rgb=True, name="turned", **TURNED)
    if level:
        _choose(widget.form.image.level_box, "1:")
    if crop:
        _look_at(viewer, (0, *image.data_to_world((50, 60))), 12.0)
        _choose(widget.form.region_field.box, "current view")
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    pixels = _picture(4, 48, 64)
    viewer.add_image(pixels, axis_labels=("c", "y", "x"), name="channels")
    assert (
        widget.form.image.axis_box.currentText() == "c: 4 long"
        and widget.form.image.channels.text() == "all 4"
    )
    layer = _run(widget, qtbot)
    assert _record(layer).channels == (0, 1, 2, 3) and _record(layer).channel_axis == -3
    assert_array_equal(layer.data, run_record(pixels, RunRecord(N, channel_axis=0, channels=(0, 1, 2, 3))))
    assert layer.axis_labels == ("y", "x")

    for unwanted in (0, 2):
        widget.form.image.channels.menu().actions()[unwanted].setChecked(False)
    assert widget.form.image.channels.text() == "1, 3"
    layer = _run(widget, qtbot)
    assert _record(layer).channels == (1, 3)
    assert_array_equal(layer.data, run_record(pixels[[1, 3]], RunRecord(N, channel_axis=0)))
    assert len(viewer.layers) == 2 and "intensity_mean-2" not in layer.features.columns

    for unwanted in (1, 3):
        widget.form.image.channels.menu().actions()[unwanted].setChecked(False)
    before = _state(viewer)
    widget.run()
    assert widget.job is None
    refusal = "Channels must be one or more whole numbers from 0 on, got ()"
    assert widget.run_panel.message.text() == refusal
    _assert_same_state(viewer, before)


def _rgba() -> NDArray[np.uint8]:
    pixels = _picture(48, 64, 4)
    pixels[..., 3] = 255
    pixels[:, :20, 3] = 0
    return pixels


@pytest.mark.parametrize(
    ("pixels", "options", "axis"),
    [
        (_picture(48, 64), {}, None),
        (_picture(48, 64, 3).astype(np.uint16) * 200, {"rgb": True}, -1),
        (_picture(48, 64).astype(np.float32) / 7 - 3, {}, None),
        (_rgba(), {"rgb": True}, -1),
        (da.from_array(_picture(48, 64, 3), chunks=(20, 20, 3)), {"rgb": True}, -1),
        (_picture(1, 1, 48, 64, 3), {"rgb": True}, -1),
        (_picture(1, 48, 64), {}, None),
        (_picture(5, 48, 64), {"axis_labels": ("c", "y", "x")}, -3),
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
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    pixels = _picture(4, 1, 48, 64)
    viewer.add_image(pixels, axis_labels=("c", "z", "y", "x"), name="one depth")
    layer = _run(widget, qtbot)
    assert layer.data.shape == (1, 48, 64)
    expected = RunRecord(N, channel_axis=-3, channels=(0, 1, 2, 3))
    assert_array_equal(layer.data[0], run_record(pixels[:, 0], expected))


def test_an_image_that_cannot_be_segmented_leaves_a_message_and_no_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = _picture(48, 64).astype(np.float32)
    pixels[5, 6] = np.inf
    viewer.add_image(pixels, name="holes", contrast_limits=(0, 255))
    before = _state(viewer)
    widget.run()
    _wait(widget, qtbot)
    with pytest.raises(ValueError, match="infinity") as refused:
        run_record(pixels, RunRecord(N, channel_axis=None))
    reason = str(refused.value)
    assert widget.run_panel.message.text() == reason[:1].upper() + reason[1:]
    _assert_same_state(viewer, before)
    assert widget.run_panel.run_button.isEnabled() and not widget.run_panel.cancel_button.isEnabled()


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


# -- regions ---------------------------------------------------------------------------------------


def test_superpixels_are_made_inside_shapes_of_a_turned_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = _picture(100, 120, 3)
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
    _choose(widget.form.region_field.box, "inside 'field'")
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    image = viewer.add_image(_picture(64, 80, 3), name="a")
    drawn = np.zeros((64, 80), np.uint8)
    for left in (0, 30, 60):
        drawn[10:50, left : left + 20] = 1  # three parts: no fewer than three superpixels
    viewer.add_labels(drawn, name="parts")
    viewer.layers.selection.active = image
    widget.form.size_fields.count.setValue(2000)
    _run(widget, qtbot)
    for n, region in ((4, "whole plane"), (N, "inside 'parts'")):
        widget.form.size_fields.count.setValue(n)
        _choose(widget.form.region_field.box, region)
        layer = _run(widget, qtbot)
        assert_array_equal(np.unique(layer.data[layer.data > 0]), np.arange(1, n + 1))
        assert widget.cut_panel.n_box.value() == n
        _settle(widget, qtbot)
        assert (_record(layer).n_segments, _record(layer).max_segments) == (n, None)
        widget.cut_panel.n_box.setValue(3)  # where the slider is when the next run is done
        _settle(widget, qtbot)


def test_a_region_is_the_mask_of_the_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = _picture(64, 80, 3)
    image = viewer.add_image(pixels, name="a")
    viewer.add_shapes([np.array([[10, 20], [10, 60], [50, 60], [50, 20]])], name="field")
    viewer.layers.selection.active = image
    _choose(widget.form.region_field.box, "inside 'field'")
    layer = _run(widget, qtbot)
    record = _record(layer)
    assert record.crop is not None
    whole = np.zeros((64, 80), bool)
    whole[record.crop[0] : record.crop[2], record.crop[1] : record.crop[3]] = layer.data > 0
    inside = np.zeros((64, 80), bool)
    inside[11:50, 21:60] = True
    assert whole[inside].all() and not whole[:10].any() and not whole[51:].any() and not whole[:, :20].any()
    assert_array_equal(layer.data, run_record(pixels, replace(record, mask=None), mask=whole))


@pytest.mark.parametrize("side", [1, 4])
def test_superpixels_are_made_inside_labels_of_any_scale(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, side: int
) -> None:
    viewer, widget = opened
    pixels = _picture(64, 80, 3)
    image = viewer.add_image(pixels, name="a")
    drawn = np.zeros((64 // side, 80 // side), np.uint8)
    drawn[16 // side : 48 // side, 20 // side : 60 // side] = 3
    viewer.add_labels(drawn, name="cell", scale=(side, side), translate=((side - 1) / 2,) * 2)
    viewer.layers.selection.active = image
    _choose(widget.form.region_field.box, "inside 'cell'")
    layer = _run(widget, qtbot)
    mask = np.zeros((64, 80), bool)
    mask[16:48, 20:60] = True
    record = _record(layer)
    assert (record.crop, record.mask) == (None, "layer")
    assert_array_equal(layer.data, run_record(pixels, RunRecord(N), mask=mask))


def test_an_empty_region_is_a_sentence(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(64, 80, 3), name="a")
    viewer.add_shapes(name="nothing")
    viewer.add_labels(np.zeros((64, 80), np.uint8), name="blank")
    viewer.layers.selection.active = image
    before = _state(viewer)
    _choose(widget.form.region_field.box, "inside 'nothing'")
    sentence = "No shape of the layer 'nothing' encloses pixels of 'a'"
    assert widget.run_panel.info.text() == sentence
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == sentence
    _choose(widget.form.region_field.box, "inside 'blank'")
    widget.run()
    _wait(widget, qtbot)
    assert widget.run_panel.message.text() == "The layer 'blank' is 0 everywhere on 'a'"
    _look_at(viewer, (0, 5000, 5000), 4.0)
    _choose(widget.form.region_field.box, "current view")
    widget.run()
    assert widget.job is None and widget.run_panel.message.text() == "Nothing of 'a' is in view"
    _assert_same_state(viewer, before)


# -- cancel, and what happens meanwhile ------------------------------------------------------------


def _large(viewer: napari.Viewer) -> Image:
    return viewer.add_image(np.tile(_picture(100, 100, 3), (9, 9, 1)), name="large")


def _start(widget: SuperpixelsWidget, qtbot: QtBot) -> None:
    """Start a run and wait until some of it is done."""
    widget.form.size_fields.count.setValue(500)
    widget.run()
    assert widget.job is not None, widget.run_panel.message.text()
    with qtbot.waitSignal(widget.job.progressed, timeout=60_000):
        pass


def test_cancelling_a_first_run_leaves_no_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    _large(viewer)
    before = _state(viewer)
    _start(widget, qtbot)
    assert (
        len(viewer.layers) == 2
        and widget.run_panel.cancel_button.isEnabled()
        and not widget.run_panel.run_button.isEnabled()
    )
    widget.cancel()
    _assert_same_state(viewer, before)
    _wait(widget, qtbot)
    _assert_same_state(viewer, before)
    assert widget.run_panel.run_button.isEnabled() and widget.result is None


@pytest.mark.parametrize("pyramid", [False, True])
def test_cancelling_a_second_run_leaves_every_layer_as_it_was(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, pyramid: bool
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=0.1 if pyramid else 10)
    layer = _run(widget, qtbot)
    assert layer.multiscale == pyramid
    before = _state(viewer)
    image.scale = (2, 3)  # a second run would move the layer, too
    before[0] |= {"scale": np.array((2.0, 3.0))}
    _start(widget, qtbot)
    assert_array_equal(layer.scale, (2, 3))
    widget.cancel()
    _wait(widget, qtbot)
    _assert_same_state(viewer, before)
    assert widget.result is not None and widget.result.layer is layer

    image.scale = (1, 1)
    assert _run(widget, qtbot) is layer and len(viewer.layers) == 2  # and it can be run again


def test_cancel_in_the_moment_of_a_report_is_cancel(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(64, 80, 3))
    before = _state(viewer)
    widget.run()
    assert widget.job is not None
    widget.job.progressed.connect(lambda done, total: widget.cancel())
    _wait(widget, qtbot)
    _assert_same_state(viewer, before)
    assert widget.run_panel.message.text() == ""


def test_a_layer_replaced_by_a_cancelled_pyramid_stays(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    _large(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=10)
    plain = _run(widget, qtbot)
    before = _state(viewer)
    widget.settings = replace(widget.settings, editable_megapixels=0.1)
    _start(widget, qtbot)
    assert len(viewer.layers) == 3
    widget.cancel()
    _wait(widget, qtbot)
    _assert_same_state(viewer, before)
    again = _run(widget, qtbot)
    assert again is not plain and again.multiscale and list(viewer.layers)[1:] == [again]
    assert again.name == "large superpixels"


@pytest.mark.parametrize("what", ["image", "result"])
def test_deleting_a_layer_of_a_run_stops_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, what: str
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    _start(widget, qtbot)
    viewer.layers.remove(image if what == "image" else viewer.layers[-1])
    _wait(widget, qtbot)
    assert list(viewer.layers) == ([] if what == "image" else [image])
    assert widget.result is None and widget.run_panel.message.text() == ""


def test_renaming_the_image_does_not_disturb_a_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    _start(widget, qtbot)
    image.name = "renamed"
    assert widget.form.image.layer_box.currentText() == "renamed"
    _wait(widget, qtbot)
    assert widget.result is not None
    layer = widget.result.layer
    assert_array_equal(np.unique(layer.data), np.arange(1, 501))
    assert _run(widget, qtbot) is layer


def test_another_image_may_be_selected_during_a_run(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    _start(widget, qtbot)
    other = viewer.add_image(_picture(64, 80), name="other")
    viewer.layers.selection.active = other
    _wait(widget, qtbot)
    assert widget.result is not None and widget.result.source.layer == image
    assert_array_equal(np.unique(widget.result.layer.data), np.arange(1, 501))


def test_closing_the_viewer_during_a_run_leaves_no_thread(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    _large(viewer)
    _start(widget, qtbot)
    assert jobs._running
    viewer.close()
    _wait_for_threads(qtbot)


def test_closing_the_dock_widget_during_a_run_leaves_no_thread(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    _start(widget, qtbot)
    viewer.window.remove_dock_widget(widget)
    del widget
    _wait_for_threads(qtbot)
    viewer.add_image(_picture(32, 32), name="later")  # no slot of a widget that is gone is called
    viewer.layers.remove(image)
    qtbot.wait(300)


# -- without a second run --------------------------------------------------------------------------


def test_the_slider_shows_another_cut_at_once_and_then_completes_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(100, 120, 3), name="a")
    widget.form.size_fields.count.setValue(40)
    layer = _run(widget, qtbot)
    assert widget.result is not None and widget.result.hierarchy is not None
    hierarchy = widget.result.hierarchy
    assert widget.cut_panel.n_box.value() == 40 and (
        widget.cut_panel.n_box.minimum(),
        widget.cut_panel.n_box.maximum(),
    ) == (1, hierarchy.n_base)

    widget.slide(10)
    assert_array_equal(layer.data, hierarchy.labels(10))
    assert widget.cut_panel.n_box.value() == 10
    _settle(widget, qtbot)
    assert layer is widget.result.layer and len(viewer.layers) == 2
    assert_array_equal(layer.data, hierarchy.labels(10))
    assert _record(layer) == RunRecord(10, max_segments=40)
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, _record(layer)))

    height = float(hierarchy.trees[0].height[-8])
    widget.slide(height=height)
    n = hierarchy.counts(height=height)[0]
    assert_array_equal(layer.data, hierarchy.labels(height=height))
    assert (
        widget.cut_panel.n_box.value() == n == layer.data.max()
        and widget.cut_panel.height_label.text() == f"{height:,.0f}"
    )
    _settle(widget, qtbot)
    assert _record(layer) == RunRecord(40, height=height) and len(layer.features) == n + 1
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, _record(layer)))

    widget.slide(40)
    _settle(widget, qtbot)
    assert _record(layer) == RunRecord(40)


def test_outlines_are_smoothed_when_a_run_or_the_slider_settles(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(100, 120, 3), name="a")
    smoothing = widget.form.options.boxes["smoothing"]
    smoothing.setValue(2)
    layer = _run(widget, qtbot)
    assert _record(layer) == RunRecord(N, smoothing=2.0)
    assert_array_equal(layer.data, run_record(image.data, _record(layer)))

    widget.slide(5)
    at_once = run_record(image.data, RunRecord(5, max_segments=N))
    assert_array_equal(layer.data, at_once)
    _settle(widget, qtbot)
    assert list(viewer.layers) == [image, layer]
    assert _record(layer) == RunRecord(5, smoothing=2.0, max_segments=N)
    assert_array_equal(layer.data, run_record(image.data, _record(layer)))
    assert (layer.data != at_once).any()
    assert_array_equal(layer.features["area"], np.bincount(layer.data.ravel()))

    fine, medium, _ = widget.add_nested()
    assert_array_equal(fine.data, at_once)  # smoothed ones would not be nested
    assert_array_equal(medium.data, run_record(image.data, _record(medium)))
    assert widget.run_panel.message.text().startswith("Outlines of these layers are not smoothed")

    viewer.layers.selection.active = layer
    smoothing.setValue(0)
    widget.use_record()
    assert smoothing.value() == 2 and widget.run_panel.message.text() == "Then slide the count to 5"
    viewer.reset_view()
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(_previews(viewer)), timeout=60_000)
    assert_array_equal(_previews(viewer)[0].data, run_record(image.data, RunRecord(N, smoothing=2.0)))
    widget.run_panel.live.setChecked(False)


@pytest.mark.parametrize("cancel", [False, True])
def test_a_slide_just_before_a_run_does_not_get_in_its_way(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, cancel: bool
) -> None:
    viewer, widget = opened
    image = _large(viewer)
    layer = _run(widget, qtbot)
    widget.slide(5)
    _start(widget, qtbot)  # its cut is not complete yet
    if cancel:
        qtbot.waitUntil(lambda: not widget.cutting._timer.isActive() or widget.job is None, timeout=60_000)
        widget.cancel()
    _wait(widget, qtbot)
    _settle(widget, qtbot)
    qtbot.wait(300)
    assert len(viewer.layers) == 2
    n = 5 if cancel else 500
    assert layer.data.max() == n == len(layer.features) - 1
    assert _record(layer).n_segments == n
    assert_array_equal(layer.data, run_record(image.data, _record(layer)))


def test_the_box_and_the_handles_slide(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(100, 120, 3), name="a")
    layer = _run(widget, qtbot)
    assert widget.result is not None and widget.result.hierarchy is not None
    widget.cut_panel.n_box.setValue(5)
    assert layer.data.max() == 5
    widget.cut_panel.n_slider.setValue(0)
    assert layer.data.max() == 1 == widget.cut_panel.n_box.value()
    widget.cut_panel.n_slider.setValue(widget.cut_panel.n_slider.maximum())
    assert layer.data.max() == widget.result.hierarchy.n_base == widget.cut_panel.n_box.value()
    widget.cut_panel.height_slider.setValue(widget.cut_panel.height_slider.maximum())
    assert layer.data.max() == 1
    _settle(widget, qtbot)
    assert _record(layer).height is not None
    assert_array_equal(layer.data, run_record(viewer.layers[0].data, _record(layer)))


def test_all_planes_are_slid_together(opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(3, 48, 60, 3), name="stack")
    _choose(widget.form.image.planes_box, "all planes")
    layer = _run(widget, qtbot)
    widget.slide(4)
    for k in range(3):
        assert_array_equal(np.unique(layer.data[k]), np.arange(4 * k + 1, 4 * k + 5))
    _settle(widget, qtbot)
    assert_array_equal(layer.data, run_record(image.data, _record(layer)))


def test_coarse_medium_and_fine_are_nested(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(100, 120, 3), name="a", scale=(3, 3))
    widget.form.size_fields.count.setValue(64)
    _run(widget, qtbot)
    made = widget.add_nested()
    assert [each.name for each in made] == ["a fine (64)", "a medium (16)", "a coarse (4)"]
    assert list(viewer.layers)[2:] == made
    for layer, n in zip(made, (64, 16, 4), strict=True):
        assert_array_equal(np.unique(layer.data), np.arange(1, n + 1))
        assert_array_equal(layer.data, run_record(image.data, _record(layer)))
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
    image = viewer.add_image(_picture(100, 120, 3), name="a", scale=(2, 2))
    layer = _run(widget, qtbot)
    record = _record(layer)
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
    _settle(widget, qtbot)
    assert isinstance(layer.data[0], np.ndarray)
    assert_array_equal(layer.data[0], expected)
    assert layer is widget.result.layer if widget.result else False
    assert _record(layer).n_segments == 5 and len(layer.features) == 6

    widget.make_editable()
    copy = viewer.layers[-1]
    assert not copy.multiscale and copy.name == "a superpixels (editable)"
    assert_array_equal(copy.data, expected)
    assert_array_equal(copy.extent.world, image.extent.world)
    assert recorded_run(copy.metadata) == recorded_run(layer.metadata)
    copy.brush_size = 5
    copy.paint((30, 30), 99)
    assert_array_equal(layer.data[0], expected)

    again = _run(widget, qtbot)
    assert again is layer and len(viewer.layers) == 3
    assert_array_equal(layer.data[0], run_record(image.data, record))


def test_the_slider_belongs_to_the_superpixels_that_are_selected(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    first_image = viewer.add_image(_picture(64, 80, 3), name="a")
    first = _run(widget, qtbot)
    second_image = viewer.add_image(_picture(64, 80, 3, seed=1), name="b")
    assert widget.form.image.layer == second_image
    widget.form.size_fields.count.setValue(20)
    second = _run(widget, qtbot)
    viewer.layers.selection.active = first
    assert widget.cut_panel.n_box.value() == N
    widget.slide(3)
    assert (first.data.max(), second.data.max()) == (3, 20)
    _settle(widget, qtbot)
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
    viewer.add_image(_picture(64, 80, 3), name="a")
    layer = _run(widget, qtbot)
    widget.slide(5)
    viewer.layers.remove(layer)
    _settle(widget, qtbot)
    qtbot.wait(250)
    assert len(viewer.layers) == 1


# -- the live preview ------------------------------------------------------------------------------


def _previews(viewer: napari.Viewer) -> list[Labels]:
    return [each for each in viewer.layers if each.name == PREVIEW]


def test_the_preview_follows_the_view_and_goes_when_it_is_switched_off(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(200, 240, 3), name="a", scale=(2, 2), translate=(5, 5))
    viewer.reset_view()
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(_previews(viewer)), timeout=60_000)
    (preview,) = _previews(viewer)
    assert viewer.layers.selection.active is image
    assert_array_equal(preview.data, run_record(image.data, RunRecord(N)))
    assert_array_equal(preview.extent.world, image.extent.world)

    _look_at(viewer, (0, *image.data_to_world((60, 70))), 10.0)
    qtbot.waitUntil(lambda: preview.data.shape != (200, 240), timeout=60_000)
    assert _previews(viewer) == [preview] and viewer.layers.selection.active is image
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
    image = viewer.add_image(_picture(64, 80, 3), name="a")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(_previews(viewer)), timeout=60_000)
    layer = _run(widget, qtbot)
    assert list(viewer.layers) == [image, layer] and not widget.run_panel.live.isChecked()


def test_the_preview_shows_the_plane_that_is_shown_inside_the_region(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    stack = _picture(3, 64, 80, 3)
    image = viewer.add_image(stack, name="stack")
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:40, 10:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    viewer.dims.set_current_step(0, 2)
    _look_at(viewer, (0, 32, 40), 3.0)
    _choose(widget.form.region_field.box, "inside 'cell'")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: bool(_previews(viewer)), timeout=60_000)
    (preview,) = _previews(viewer)
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


# -- numbers ---------------------------------------------------------------------------------------


def test_count_and_size_are_linked_and_the_one_that_was_set_holds(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    viewer, widget = opened
    size = widget.form.size_fields
    large = viewer.add_image(_picture(100, 120), name="large", scale=(0.5, 0.5), units=("um", "um"))
    assert size.count.value() == N and size.size_px.value() == 31.6  # the root of 12000 / 12
    assert size.size_units.value() == 15.811 and size.size_units.suffix() == " µm"
    assert size.size_units.isVisible()
    size.size_px.setValue(10)
    assert size.count.value() == 120 and size.size_units.value() == 5
    small = viewer.add_image(_picture(50, 60), name="small", scale=(2, 2))
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
    plain = viewer.add_image(_picture(50, 60), name="plain")
    assert widget.form.image.layer == plain and not size.size_units.isVisible()


def test_a_region_changes_the_size_that_goes_with_a_count(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(100, 120), name="a")
    drawn = np.zeros((100, 120), np.uint8)
    drawn[:30, :40] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    _choose(widget.form.region_field.box, "inside 'cell'")
    assert (widget.form.size_fields.count.value(), widget.form.size_fields.size_px.value()) == (N, 10)


def test_the_info_line_says_what_a_run_makes_takes_and_needs(
    opened: tuple[napari.Viewer, SuperpixelsWidget], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(3, 48, 60, 3), name="stack")
    widget.form.size_fields.count.setValue(1200)
    text = widget.run_panel.info.text()
    assert text.startswith("1,200 superpixels of 48 x 60 pixels, about ")
    assert text.endswith(" MB of memory.") and " s and " in text
    _choose(widget.form.image.planes_box, "all planes")
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
    pixels = np.tile(_picture(128, 128), (8, 8))
    viewer.add_image(_pyramid(pixels, 3), multiscale=True, name="pyramid")
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
    assert widget.run_panel.info.text().startswith("13 superpixels of 512 x 512 pixels, about ")
    assert widget.run_panel.info.text().endswith(
        f" Level 1, because level 0 would need {needed[0] / 1e6:.0f} MB and {free / 2e6:.0f} MB may be "
        "taken; for full resolution choose the current view."
    )
    layer = _run(widget, qtbot)
    assert _record(layer).level == 1 and layer.data.shape == (512, 512)
    _choose(widget.form.image.level_box, "0:")
    source = widget.form.source()
    assert source is not None and source.level == 0
    assert "Level" not in widget.run_panel.info.text()


# -- the run as text -------------------------------------------------------------------------------

_DRIVER = """
import os, shlex, sys
from itertools import pairwise
from pathlib import Path
import numpy as np
from napari_pcnet.cli import main
for folder in sys.argv[1:]:
    os.chdir(folder)
    names = {}
    exec(Path("script.py").read_text(), names)
    np.save("script.npy", names["labels"])
    words = shlex.split(Path("command.sh").read_text(), comments=True)
    assert words[0] == "napari-pcnet", words
    words[3] = "command.tif"
    assert main(words[1:]) == 0, words
"""


def _copied(widget: SuperpixelsWidget, folder: Path) -> None:
    """Put what is on the clipboard into a folder."""
    folder.mkdir()
    clipboard = QApplication.clipboard()
    for copy, name in ((widget.copy_python, "script.py"), (widget.copy_command, "command.sh")):
        assert copy() is not None
        (folder / name).write_text(clipboard.text())


def test_the_copied_script_and_command_make_the_very_labels(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    made: dict[str, NDArray[Any]] = {}

    def keep(case: str, layer: Labels) -> Path:
        viewer.layers.selection.active = layer
        made[case] = np.array(layer.data)
        _copied(widget, tmp_path / case)
        return tmp_path / case

    Pillow.fromarray(_picture(64, 80, 3)).save(tmp_path / "my picture.png")
    (picture,) = viewer.open(tmp_path / "my picture.png", plugin="napari")
    layer = _run(widget, qtbot)
    folder = keep("png", layer)
    assert (
        "#" not in (folder / "script.py").read_text() and str(tmp_path) in (folder / "script.py").read_text()
    )
    widget.slide(5)
    _settle(widget, qtbot)
    keep("slid", layer)
    assert widget.result is not None and widget.result.hierarchy is not None
    widget.slide(height=float(widget.result.hierarchy.trees[0].height[-7]))
    _settle(widget, qtbot)
    keep("height", layer)

    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:50, 15:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = picture
    _choose(widget.form.region_field.box, "inside 'cell'")
    layer = _run(widget, qtbot)
    folder = keep("region", layer)
    first = (
        f'First save the layer "{layer.name}" as my-picture-superpixels-region.tif: '
        "what is 0 there lies outside."
    )
    assert (folder / "script.py").read_text().startswith(f"# {first}\n")
    assert (folder / "command.sh").read_text().startswith(f"# '{first}'\n")
    layer.save(str(folder / "my-picture-superpixels-region.tif"), plugin="napari")

    _choose(widget.form.region_field.box, "whole plane")
    tifffile.imwrite(tmp_path / "stack.tif", _picture(3, 48, 60), photometric="minisblack")
    (stack,) = viewer.open(tmp_path / "stack.tif", plugin="napari")
    assert widget.form.image.layer == stack
    viewer.dims.set_current_step(0, 1)
    folder = keep("plane", _run(widget, qtbot))
    assert "plane=(1,)" in (folder / "script.py").read_text()

    group = zarr.open_group(tmp_path / "levels.zarr", mode="w")
    for k, level in enumerate(_pyramid(_picture(160, 200), 2)):
        array = group.create_array(str(k), shape=level.shape, chunks=(64, 64), dtype=level.dtype)
        array[...] = level
    viewer.open(tmp_path / "levels.zarr", plugin="napari")
    _choose(widget.form.image.level_box, "1:")
    folder = keep("zarr", _run(widget, qtbot))
    assert "#" not in (folder / "script.py").read_text()

    opaque = _picture(64, 80, 4)
    opaque[..., 3] = 255
    Pillow.fromarray(opaque).save(tmp_path / "opaque.png")
    viewer.open(tmp_path / "opaque.png", plugin="napari")
    folder = keep("opaque", _run(widget, qtbot))
    assert "#" not in (folder / "script.py").read_text()

    for name, pixels, options in (
        ("a photo, no file", _picture(64, 80, 3), {"rgb": True, "scale": (2, 1)}),
        ("see through", _rgba(), {"rgb": True}),
        ("deep", _picture(64, 80).astype(np.uint16) * 99, {}),
        ("single", _picture(1, 1, 48, 60, 3), {"rgb": True}),
        ("lazy", da.from_array(_picture(48, 60).astype(np.float32), chunks=(20, 20)), {}),
        ("two times", _picture(2, 48, 60, 3), {"rgb": True}),
        ("five bands", _picture(5, 48, 60), {"axis_labels": ("c", "y", "x")}),
    ):
        image = viewer.add_image(pixels, name=name, **options)
        assert widget.form.image.layer == image
        _choose(widget.form.image.planes_box, "all" if name == "two times" else "this")
        folder = keep(name, _run(widget, qtbot))
        file = f"{name.replace(',', '').replace(' ', '-')}.tif"
        first = f'# First save the layer "{name}" as {file} (File, Save Selected Layers).\n'
        assert (folder / "script.py").read_text().startswith(first)
        image.save(str(folder / file), plugin="napari")

    times = _picture(2, 64, 80)
    tifffile.imwrite(tmp_path / "times.tif", times, photometric="minisblack")
    viewer.open(tmp_path / "times.tif", plugin="napari")
    _choose(widget.form.image.planes_box, "all")
    _choose(widget.form.region_field.box, "inside 'cell'")
    layer = _run(widget, qtbot)
    assert layer.data.shape == times.shape
    folder = keep("region of all", layer)
    layer.save(str(folder / "times-superpixels-region.tif"), plugin="napari")

    driver = tmp_path / "driver.py"
    driver.write_text(_DRIVER)
    folders = [str(tmp_path / case) for case in made]
    done = subprocess.run(
        [sys.executable, str(driver), *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for case, labels in made.items():
        for found in (
            np.load(tmp_path / case / "script.npy"),
            tifffile.imread(tmp_path / case / "command.tif"),
        ):
            assert_array_equal(found, labels.reshape(found.shape), err_msg=case)
            assert labels.max() > 1


def test_what_is_copied_is_the_cut_that_is_shown(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(64, 80, 3), name="a")
    _run(widget, qtbot)
    widget.slide(5)
    script = widget.copy_python()  # before the slider's cut is complete
    assert script is not None and "RunRecord(5, max_segments=12)" in script
    _settle(widget, qtbot)


def test_the_copied_command_works_as_a_command(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    tifffile.imwrite(tmp_path / "it's.tif", _picture(64, 80, 3), photometric="rgb")
    viewer.open(tmp_path / "it's.tif", plugin="napari")
    layer = _run(widget, qtbot)
    text = widget.copy_command()
    assert text is not None and QApplication.clipboard().text() == text
    assert widget.run_panel.message.text() == "Copied 'it's superpixels' as a command"
    words = shlex.split(text, comments=True)
    done = subprocess.run(
        [sys.executable, "-m", "napari_pcnet.cli", *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert_array_equal(tifffile.imread(tmp_path / words[3]), layer.data)


def test_four_bands_without_a_file_can_be_repeated_from_what_is_saved(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(4, 48, 60), name="bands", axis_labels=("c", "y", "x"))
    layer = _run(widget, qtbot)
    script = widget.copy_python()
    assert script is not None
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of tifffile: napari's writer calls it so
        image.save("bands.tif", plugin="napari")  # its fourth band is marked as transparency
    names: dict[str, Any] = {}
    exec(script, names)
    assert_array_equal(names["labels"], layer.data)


def test_a_coarser_level_without_a_file_can_be_repeated_from_what_is_saved(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_pyramid(_picture(256, 320), 2), multiscale=True, name="pyramid")
    _choose(widget.form.image.level_box, "1:")
    layer = _run(widget, qtbot)
    script = widget.copy_python()
    assert script is not None
    assert "level 1" in script.splitlines()[0]  # of all levels napari itself can save none as a tif
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("pyramid.tif", image.data[1])
    names: dict[str, Any] = {}
    exec(script, names)
    assert_array_equal(names["labels"], layer.data)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_saved_superpixels_come_back_where_they_lay_and_can_be_run_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path, ending: str
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(64, 80, 3), name="turned", **TURNED)
    widget.form.options.boxes["compactness"].setValue(9)
    _look_at(viewer, (0, *image.data_to_world((30, 40))), 14.0)
    _choose(widget.form.region_field.box, "current view")
    layer = _run(widget, qtbot)
    path = tmp_path / f"cat.superpixels{ending}"
    assert layer.save(str(path), plugin="napari-pcnet") == [str(path)]
    if ending == ".tif":
        (back,) = viewer.open(path, plugin="napari-pcnet")
    else:
        back = files.open_in(viewer, str(path / "zarr.json"))
    assert isinstance(back, Labels) and back.name == "cat"
    assert back.data.dtype == np.int32
    assert_array_equal(back.data, layer.data)
    assert recorded_run(back.metadata) == recorded_run(layer.metadata)
    for corner in ((0, 0), (5, 17)):
        assert_allclose(back.data_to_world(corner), layer.data_to_world(corner))
    assert (back.units, back.axis_labels) == (layer.units, layer.axis_labels)


def test_the_settings_of_superpixels_can_be_used_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    stack = viewer.add_image(
        _picture(3, 4, 48, 60), name="stack", axis_labels=("t", "c", "y", "x"), scale=(1, 1, 2, 1)
    )
    viewer.dims.set_current_step(0, 2)
    widget.form.image.channels.choose((0, 3))
    widget.form.options.boxes["compactness"].setValue(7.5)
    widget.form.size_fields.count.setValue(9)
    labels = np.array(_run(widget, qtbot).data)
    layer = viewer.layers[-1]
    layer.save(str(tmp_path / "a.superpixels.tif"), plugin="napari-pcnet")
    record = _record(layer)
    viewer.layers.remove(layer)

    viewer.add_image(_picture(64, 80, 3), name="other")
    viewer.dims.set_current_step(0, 0)
    widget.form.size_fields.count.setValue(33)
    widget.form.options.boxes["compactness"].setValue(1)
    (back,) = viewer.open(tmp_path / "a.superpixels.tif", plugin="napari-pcnet")
    viewer.layers.selection.active = back
    widget.use_record()
    assert widget.form.image.layer == stack and widget.form.image.channels.chosen() == (0, 3)
    assert (widget.form.size_fields.count.value(), widget.form.options.boxes["compactness"].value()) == (
        9,
        7.5,
    )
    assert viewer.dims.current_step[0] == 2
    again = _run(widget, qtbot)
    assert again is not back and _record(again) == record
    assert_array_equal(again.data, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_segments": 2**62}, "The count is 10,000,000, was 4,611,686,018,427,387,904"),
        ({"plane": (10**18,)}, ""),
        ({"level": 10**12}, ""),
        ({"crop": (0, 0, 10**18, 10**18)}, ""),
        ({"compactness": 1e9}, "Compactness is 10000, was 1e+09"),
        ({"channel_axis": -64}, "Channel_axis must be a whole number from -3 to 2 for an image of shape"),
        (
            {"level": "0\n--overwrite"},
            "The record's level was dropped: level must be a whole number from 0 on",
        ),
    ],
)
def test_a_record_that_others_wrote_leaves_the_form_usable(
    opened: tuple[napari.Viewer, SuperpixelsWidget], options: dict[str, Any], message: str
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(3, 64, 80), name="a")
    notes = {"record": RunRecord(7, channel_axis=None).as_dict() | options, "image": "a", "path": "a.tif"}
    layer = viewer.add_labels(np.ones((3, 64, 80), np.int32), metadata={KEY: notes})
    viewer.layers.selection.active = layer
    widget.use_record()
    assert widget.run_panel.message.text().startswith(message)
    command = widget.copy_command()
    assert command is not None and len(command.splitlines()) == 1 and "overwrite" not in command
    widget._show_outlook()


def test_the_region_of_a_record_is_used_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(64, 80, 3), name="a")
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:40, 10:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    _choose(widget.form.region_field.box, "inside 'cell'")
    layer = _run(widget, qtbot)
    labels = np.array(layer.data)
    viewer.layers.selection.active = layer
    widget.use_record()
    assert_array_equal(_run(widget, qtbot).data, labels)


# -- commands, looks, settings ---------------------------------------------------------------------


def test_the_commands_of_the_menu_do_what_the_buttons_do(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    assert commands.widget_of(viewer) is widget
    viewer.add_image(_picture(64, 80, 3), name="a")

    def command(name: str) -> None:
        get_app_model().commands.execute_command(f"napari-pcnet.{name}").result()

    command("run")
    assert widget.job is not None
    _wait(widget, qtbot)
    layer = viewer.layers[-1]
    assert layer.data.max() == N
    clipboard = QApplication.clipboard()
    command("copy_python")
    assert "pcnet_superpixels(picture.pixels, 12," in clipboard.text()
    command("copy_command")
    assert "napari-pcnet segment a.tif a-superpixels.tif --n-segments 12" in clipboard.text()

    command("run")
    command("cancel")
    _wait(widget, qtbot)
    assert list(viewer.layers)[1:] == [layer] and layer.data.max() == N

    path = tmp_path / "b.superpixels.tif"
    layer.save(str(path), plugin="napari-pcnet")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(path), ""))
    command("open")
    assert viewer.layers[-1].name == "b" and _record(viewer.layers[-1]) == RunRecord(N)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: ("", ""))
    command("open")
    assert len(viewer.layers) == 3


def test_commands_open_the_widget_where_it_is_not(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(_picture(64, 80, 3), name="a")
    commands.run(viewer)
    widget = commands.widget_of(viewer)
    _wait(widget, qtbot)
    assert viewer.layers[-1].data.max() == widget.form.size_fields.count.value() == 1000
    commands.cancel(viewer)  # nothing to cancel is no error
    commands.copy_python(viewer)
    assert "pcnet_superpixels(picture.pixels, 1000," in QApplication.clipboard().text()
    commands.copy_command(viewer)
    assert "--n-segments 1000" in QApplication.clipboard().text()
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    _wait_for_threads(qtbot)


def _with_everything(viewer: napari.Viewer, widget: SuperpixelsWidget) -> None:
    """An image that needs every row of the form."""
    levels = [_picture(3, 4, 2**k * 64, 2**k * 80) for k in (1, 0)]
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
    _run(widget, qtbot)
    qtbot.wait(50)
    pixels = QImg2array(widget.grab().toImage())[..., :3]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    background = np.median(pixels)
    assert background > 128 if theme == "light" else background < 128
    assert (np.abs(pixels.astype(int) - background) > 60).mean() > 0.005  # text stands out

    (scroll,) = widget.findChildren(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= scroll.viewport().width()
    assert viewer.window._qt_window.width() <= 1280 and viewer.window._qt_window.height() <= 800


def test_every_field_and_button_says_what_it_is(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
) -> None:
    _, widget = opened
    form = widget.form
    parts: list[Any] = [form.image, form.region_field, form.size_fields, form.network]
    parts += [widget.run_panel, widget.cut_panel]
    fields = {name: field for part in parts for name, field in vars(part).items()} | form.options.boxes
    checked = []
    for name, field in fields.items():
        if name.startswith("_") or name in ("info", "message", "device_reason", "height_label"):
            continue
        if hasattr(field, "toolTip") and hasattr(field, "isEnabled"):
            assert field.toolTip(), name
            checked.append(name)
    assert len(checked) >= 25 and {"layer_box", "count", "compactness", "live", "n_slider"} <= set(checked)


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
    viewer.add_image(_picture(64, 80, 3), name="a")
    widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
    qtbot.waitUntil(lambda: widget.machine is not None, timeout=60_000)
    assert widget.form.image.layer == viewer.layers[0]  # what is there already is offered
    assert widget.form.network.device_reason.text().startswith("cpu: ")
    layer = _run(widget, qtbot)
    assert _record(layer) == RunRecord(33, compactness=2.5, smoothing=1.5, device="cpu")
    _wait_for_threads(qtbot)


def test_a_model_of_ones_own_is_chosen_from_a_file(
    opened: tuple[napari.Viewer, SuperpixelsWidget],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(64, 80, 3), name="a")
    missing = str(tmp_path / "none.safetensors")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (missing, ""))
    widget.form.network.browse.click()
    before = _state(viewer)
    widget.run()
    _wait(widget, qtbot)
    with pytest.raises(OSError, match="safetensors") as refused:
        run_record(viewer.layers[0].data, RunRecord(N, model=missing))
    assert widget.run_panel.message.text().lower() == " ".join(str(refused.value).split()).lower()
    _assert_same_state(viewer, before)


# -- what a reader of the code found ---------------------------------------------------------------


def test_another_channel_axis_makes_another_layer(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(3, 40, 48), name="a", scale=(7, 1, 1))
    _choose(widget.form.image.planes_box, "all planes")
    planes = _run(widget, qtbot)
    _choose(widget.form.image.axis_box, widget.form.image.axis_box.itemText(1))
    flat = _run(widget, qtbot)
    assert flat is not planes and (flat.ndim, planes.ndim) == (2, 3)
    assert_array_equal(planes.scale, (7, 1, 1))


def test_settings_are_used_again_beside_axes_of_length_one(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(1, 1, 40, 48), name="a")
    layer = _run(widget, qtbot)
    first = layer.data.copy()
    widget.use_record()
    assert widget.form.image.axis_box.currentData() is None and widget.run_panel.message.text() == ""
    assert_array_equal(_run(widget, qtbot).data, first)


def test_options_without_a_field_are_in_the_message(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(60, 80, 3), name="a")
    layer = _run(widget, qtbot)
    widget.slide(5)
    widget.use_record()
    assert (
        widget.form.size_fields.count.value() == N
        and widget.run_panel.message.text() == "Then slide the count to 5"
    )
    record = replace(_record(layer), min_size=5, max_segments=None)
    layer.metadata = {KEY: layer.metadata[KEY] | {"record": record.as_dict()}}
    image.name = "b"
    widget.use_record()
    assert widget.run_panel.message.text() == "'a' is not open; min_size is not set"


def test_intensities_are_the_contrast_limits_percentiles_or_those_of_a_record(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = _picture(40, 48).astype(np.uint16)
    pixels[3, 4] = 60_000
    image = viewer.add_image(pixels, name="hot", contrast_limits=(0, 250))
    box = widget.form.intensities.box
    assert [box.itemText(k) for k in range(box.count())] == [
        "whole range",
        "contrast limits",
        "0.1% to 99.9%",
    ]
    for choice, limits in (("contrast", (0.0, 250.0)), ("0.1%", ("0.1%", "99.9%"))):
        _choose(box, choice)
        layer = _run(widget, qtbot)
        assert _record(layer) == RunRecord(N, channel_axis=None, intensity_range=limits)
        assert_array_equal(layer.data, run_record(pixels, _record(layer)))
    record = replace(_record(layer), intensity_range=(5.0, 200.0))
    layer.metadata = {KEY: layer.metadata[KEY] | {"record": record.as_dict()}}
    widget.use_record()
    assert (box.currentText(), widget.run_panel.message.text()) == ("5 to 200", "")
    changes: list[None] = []
    widget.form.changed.connect(lambda: changes.append(None))
    image.contrast_limits = (0, 100)
    assert not changes
    _choose(box, "contrast")
    image.contrast_limits = (0, 200)
    assert len(changes) == 2
    viewer.add_image(_picture(40, 48, 3), name="colours")
    assert [box.itemText(k) for k in range(box.count())] == ["whole range", "0.1% to 99.9%", "5 to 200"]


def test_a_slide_of_one_result_is_completed_before_that_of_another(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    layers = []
    for name in "ab":
        viewer.layers.selection.active = viewer.add_image(_picture(60, 80, 3), name=name)
        layers.append(_run(widget, qtbot))
    for layer in layers:
        viewer.layers.selection.active = layer
        widget.slide(5)
    _settle(widget, qtbot)
    assert [_record(layer).n_segments for layer in layers] == [5, 5]


def test_an_image_with_other_data_is_looked_at_anew(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(_picture(4, 40, 48), name="a")
    _choose(widget.form.image.axis_box, widget.form.image.axis_box.itemText(1))
    layer = _run(widget, qtbot)
    image.data = _picture(40, 48)
    assert widget.form.image.axis_box.currentData() is None
    assert [each.ndim for each in widget.add_nested()] == [2, 2, 2]  # of the run, where it lay
    assert_array_equal(layer.data.shape, (40, 48))
    assert _record(_run(widget, qtbot)).channel_axis is None


def test_the_region_of_a_record_is_of_its_level(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_pyramid(_picture(256, 320, 3), 2), multiscale=True, rgb=True, name="p")
    _choose(widget.form.image.level_box, "1:")
    _look_at(viewer, (0, 100, 120), 8.0)
    _choose(widget.form.region_field.box, "current view")
    first = _run(widget, qtbot).data.copy()
    widget.use_record()
    assert_array_equal(_run(widget, qtbot).data, first)
    _choose(widget.form.image.level_box, "0:")
    assert widget.run_panel.info.text() == "The region of 'p superpixels' is of level 1: choose it"


def test_a_copy_of_painted_superpixels_says_what_is_not_in_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(60, 80, 3), name="a")
    layer = _run(widget, qtbot)
    layer.data[:10] = 0
    widget.copy_python()
    message = "Copied 'a superpixels' as Python; later painting is not included"
    assert widget.run_panel.message.text() == message


def test_closing_the_dock_takes_the_preview_along(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(_picture(60, 80, 3), name="a")
    widget.run_panel.live.setChecked(True)
    qtbot.waitUntil(lambda: PREVIEW in viewer.layers, timeout=60_000)
    widget._leave()
    assert PREVIEW not in viewer.layers
