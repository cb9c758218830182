"""Copied, saved and used again: a run can be repeated from what is left of it."""

from __future__ import annotations

import shlex
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import napari
import numpy as np
import pytest
import tifffile
import zarr
from actions import (
    TURNED,
    N,
    choose_in,
    drawn_picture,
    look_at,
    pyramid_of,
    record_of,
    rgba_picture,
    run_widget,
    wait_until_settled,
)
from napari.layers import Labels
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from PIL import Image as Pillow
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from napari_pcnet.plugin import files
from napari_pcnet.plugin.metadata import KEY, recorded_run
from napari_pcnet.plugin.widget import SuperpixelsWidget
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record

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

    Pillow.fromarray(drawn_picture(64, 80, 3)).save(tmp_path / "my picture.png")
    (picture,) = viewer.open(tmp_path / "my picture.png", plugin="napari")
    layer = run_widget(widget, qtbot)
    folder = keep("png", layer)
    assert (
        "#" not in (folder / "script.py").read_text() and str(tmp_path) in (folder / "script.py").read_text()
    )
    widget.slide(5)
    wait_until_settled(widget, qtbot)
    keep("slid", layer)
    assert widget.result is not None and widget.result.hierarchy is not None
    widget.slide(height=float(widget.result.hierarchy.trees[0].height[-7]))
    wait_until_settled(widget, qtbot)
    keep("height", layer)

    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:50, 15:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = picture
    choose_in(widget.form.region_field.box, "inside 'cell'")
    layer = run_widget(widget, qtbot)
    folder = keep("region", layer)
    first = (
        f'First save the layer "{layer.name}" as my-picture-superpixels-1-region.tif: '
        "what is 0 there lies outside."
    )
    assert (folder / "script.py").read_text().startswith(f"# {first}\n")
    assert (folder / "command.sh").read_text().startswith(f"# '{first}'\n")
    layer.save(str(folder / "my-picture-superpixels-1-region.tif"), plugin="napari")

    choose_in(widget.form.region_field.box, "whole plane")
    tifffile.imwrite(tmp_path / "stack.tif", drawn_picture(3, 48, 60), photometric="minisblack")
    (stack,) = viewer.open(tmp_path / "stack.tif", plugin="napari")
    assert widget.form.image.layer == stack
    viewer.dims.set_current_step(0, 1)
    folder = keep("plane", run_widget(widget, qtbot))
    assert "plane=(1,)" in (folder / "script.py").read_text()

    group = zarr.open_group(tmp_path / "levels.zarr", mode="w")
    for k, level in enumerate(pyramid_of(drawn_picture(160, 200), 2)):
        array = group.create_array(str(k), shape=level.shape, chunks=(64, 64), dtype=level.dtype)
        array[...] = level
    viewer.open(tmp_path / "levels.zarr", plugin="napari")
    choose_in(widget.form.image.level_box, "1:")
    folder = keep("zarr", run_widget(widget, qtbot))
    assert "#" not in (folder / "script.py").read_text()

    opaque = drawn_picture(64, 80, 4)
    opaque[..., 3] = 255
    Pillow.fromarray(opaque).save(tmp_path / "opaque.png")
    viewer.open(tmp_path / "opaque.png", plugin="napari")
    folder = keep("opaque", run_widget(widget, qtbot))
    assert "#" not in (folder / "script.py").read_text()

    for name, pixels, options in (
        ("a photo, no file", drawn_picture(64, 80, 3), {"rgb": True, "scale": (2, 1)}),
        ("see through", rgba_picture(), {"rgb": True}),
        ("deep", drawn_picture(64, 80).astype(np.uint16) * 99, {}),
        ("single", drawn_picture(1, 1, 48, 60, 3), {"rgb": True}),
        ("lazy", da.from_array(drawn_picture(48, 60).astype(np.float32), chunks=(20, 20)), {}),
        ("two times", drawn_picture(2, 48, 60, 3), {"rgb": True}),
        ("five bands", drawn_picture(5, 48, 60), {"axis_labels": ("c", "y", "x")}),
    ):
        image = viewer.add_image(pixels, name=name, **options)
        assert widget.form.image.layer == image
        choose_in(widget.form.image.planes_box, "all" if name == "two times" else "this")
        folder = keep(name, run_widget(widget, qtbot))
        file = f"{name.replace(',', '').replace(' ', '-')}.tif"
        first = f'# First save the layer "{name}" as {file} (File, Save Selected Layers).\n'
        assert (folder / "script.py").read_text().startswith(first)
        image.save(str(folder / file), plugin="napari")

    times = drawn_picture(2, 64, 80)
    tifffile.imwrite(tmp_path / "times.tif", times, photometric="minisblack")
    viewer.open(tmp_path / "times.tif", plugin="napari")
    choose_in(widget.form.image.planes_box, "all")
    choose_in(widget.form.region_field.box, "inside 'cell'")
    layer = run_widget(widget, qtbot)
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
    viewer.add_image(drawn_picture(64, 80, 3), name="a")
    run_widget(widget, qtbot)
    widget.slide(5)
    script = widget.copy_python()  # before the slider's cut is complete
    assert script is not None and "RunRecord(5, max_segments=12)" in script
    wait_until_settled(widget, qtbot)


def test_the_copied_command_works_as_a_command(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    tifffile.imwrite(tmp_path / "it's.tif", drawn_picture(64, 80, 3), photometric="rgb")
    viewer.open(tmp_path / "it's.tif", plugin="napari")
    layer = run_widget(widget, qtbot)
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
    image = viewer.add_image(drawn_picture(4, 48, 60), name="bands", axis_labels=("c", "y", "x"))
    layer = run_widget(widget, qtbot)
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
    image = viewer.add_image(pyramid_of(drawn_picture(256, 320), 2), multiscale=True, name="pyramid")
    choose_in(widget.form.image.level_box, "1:")
    layer = run_widget(widget, qtbot)
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
    image = viewer.add_image(drawn_picture(64, 80, 3), name="turned", **TURNED)
    widget.form.options.boxes["compactness"].setValue(9)
    look_at(viewer, (0, *image.data_to_world((30, 40))), 14.0)
    choose_in(widget.form.region_field.box, "current view")
    layer = run_widget(widget, qtbot)
    path = tmp_path / f"cat.superpixels{ending}"
    beside = str(tmp_path / "cat.superpixels.trees.npz")
    assert layer.save(str(path), plugin="napari-pcnet") == [str(path), beside]
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


@pytest.mark.parametrize("is_pyramid", [False, True])
def test_saved_superpixels_are_cut_and_annotated_without_their_image(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path, is_pyramid: bool
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(64, 80, 3, seed=9), name="a", scale=(2, 2))
    layer = run_widget(widget, qtbot)
    widget.slide(7)
    wait_until_settled(widget, qtbot)
    expected = {n: np.array(widget.result.hierarchy.labels(n)) for n in (7, 40)}
    extent = layer.extent.world
    path = tmp_path / "a.superpixels.tif"
    layer.save(str(path), plugin="napari-pcnet")
    viewer.layers.clear()
    assert widget.result is None and not widget.cut_panel.n_slider.isEnabled()

    widget.settings = replace(widget.settings, editable_megapixels=0.0 if is_pyramid else 2.0)
    files.open_in(viewer, str(path))
    qtbot.waitUntil(lambda: widget.result is not None)
    (back,) = viewer.layers
    assert back.name == "a" and back.multiscale == is_pyramid and record_of(back).n_segments == 7
    assert widget.cut_panel.n_box.value() == 7 and widget.cut_panel.n_slider.isEnabled()
    assert_array_equal(back.extent.world, extent)
    for n, labels in reversed(expected.items()):
        widget.slide(n)
        wait_until_settled(widget, qtbot)
        assert_array_equal(back.data[0] if back.multiscale else back.data, labels)
        assert record_of(back).n_segments == n
    assert "max-segments" in (widget.copy_command() or "")
    widget.annotate()
    qtbot.waitUntil(lambda: widget.annotating.layer is not None)
    assert widget.annotating.annotation.nested.trees[0].leaves == widget.result.hierarchy.n_base
    widget.annotation_panel.learning.learn_button.click()
    assert widget.run_panel.message.text().startswith("Learning looks at the image")
    back.save(str(tmp_path / "again.superpixels.tif"), plugin="napari-pcnet")
    assert (tmp_path / "again.superpixels.trees.npz").exists()


def test_the_settings_of_superpixels_can_be_used_again(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot, tmp_path: Path
) -> None:
    viewer, widget = opened
    stack = viewer.add_image(
        drawn_picture(3, 4, 48, 60), name="stack", axis_labels=("t", "c", "y", "x"), scale=(1, 1, 2, 1)
    )
    viewer.dims.set_current_step(0, 2)
    widget.form.image.channels.choose((0, 3))
    widget.form.options.boxes["compactness"].setValue(7.5)
    widget.form.size_fields.count.setValue(9)
    labels = np.array(run_widget(widget, qtbot).data)
    layer = viewer.layers[-1]
    layer.save(str(tmp_path / "a.superpixels.tif"), plugin="napari-pcnet")
    record = record_of(layer)
    viewer.layers.remove(layer)

    viewer.add_image(drawn_picture(64, 80, 3), name="other")
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
    again = run_widget(widget, qtbot)
    assert again is not back and record_of(again) == record
    assert_array_equal(again.data, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_segments": 2**62}, "The count is 10,000,000, was 4,611,686,018,427,387,904"),
        ({"plane": (10**18,)}, ""),
        ({"level": 10**12}, ""),
        ({"crop": (0, 0, 10**18, 10**18)}, ""),
        ({"compactness": 1e9}, "Compactness is 10000, was 1e+09"),
        ({"channel_axis": -64}, "Channels must be a whole number from -3 to 2 for an image of shape"),
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
    viewer.add_image(drawn_picture(3, 64, 80), name="a")
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
    image = viewer.add_image(drawn_picture(64, 80, 3), name="a")
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:40, 10:60] = 1
    viewer.add_labels(drawn, name="cell")
    viewer.layers.selection.active = image
    choose_in(widget.form.region_field.box, "inside 'cell'")
    layer = run_widget(widget, qtbot)
    labels = np.array(layer.data)
    viewer.layers.selection.active = layer
    widget.use_record()
    assert_array_equal(run_widget(widget, qtbot).data, labels)


def test_settings_are_used_again_beside_axes_of_length_one(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(1, 1, 40, 48), name="a")
    layer = run_widget(widget, qtbot)
    first = layer.data.copy()
    widget.use_record()
    assert widget.form.image.axis_box.currentData() is None and widget.run_panel.message.text() == ""
    assert_array_equal(run_widget(widget, qtbot).data, first)


def test_options_without_a_field_are_in_the_message(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    image = viewer.add_image(drawn_picture(60, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    widget.slide(5)
    widget.use_record()
    assert (
        widget.form.size_fields.count.value() == N
        and widget.run_panel.message.text() == "Then slide the count to 5"
    )
    record = replace(record_of(layer), min_size=5, nodata=-9999.0, max_segments=None)
    layer.metadata = {KEY: layer.metadata[KEY] | {"record": record.as_dict()}}
    image.name = "b"
    widget.use_record()
    assert widget.run_panel.message.text() == (
        "'a' is not open; the smallest part of a region was 5: no field; "
        "pixels of -9999 were outside: choose a region without them"
    )


def test_intensities_are_the_contrast_limits_percentiles_or_those_of_a_record(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    pixels = drawn_picture(40, 48).astype(np.uint16)
    pixels[3, 4] = 60_000
    image = viewer.add_image(pixels, name="hot", contrast_limits=(0, 250))
    box = widget.form.intensities.box
    assert [box.itemText(k) for k in range(box.count())] == [
        "whole range",
        "contrast limits",
        "0.1% to 99.9%",
    ]
    for choice, limits in (("contrast", (0.0, 250.0)), ("0.1%", ("0.1%", "99.9%"))):
        choose_in(box, choice)
        layer = run_widget(widget, qtbot)
        assert record_of(layer) == RunRecord(N, channel_axis=None, intensity_range=limits)
        assert_array_equal(layer.data, run_record(pixels, record_of(layer)))
    record = replace(record_of(layer), intensity_range=(5.0, 200.0))
    layer.metadata = {KEY: layer.metadata[KEY] | {"record": record.as_dict()}}
    widget.use_record()
    assert (box.currentText(), widget.run_panel.message.text()) == ("5 to 200", "")
    changes: list[None] = []
    widget.form.changed.connect(lambda: changes.append(None))
    image.contrast_limits = (0, 100)
    assert not changes
    choose_in(box, "contrast")
    image.contrast_limits = (0, 200)
    assert len(changes) == 2
    viewer.add_image(drawn_picture(40, 48, 3), name="colours")
    assert [box.itemText(k) for k in range(box.count())] == ["whole range", "0.1% to 99.9%", "5 to 200"]


def test_the_region_of_a_record_is_of_its_level(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(pyramid_of(drawn_picture(256, 320, 3), 2), multiscale=True, rgb=True, name="p")
    choose_in(widget.form.image.level_box, "1:")
    look_at(viewer, (0, 100, 120), 8.0)
    choose_in(widget.form.region_field.box, "current view")
    first = run_widget(widget, qtbot).data.copy()
    widget.use_record()
    assert_array_equal(run_widget(widget, qtbot).data, first)
    choose_in(widget.form.image.level_box, "0:")
    assert widget.run_panel.info.text() == "The region of 'p superpixels' is of level 1: choose it"


def test_a_copy_of_painted_superpixels_says_what_is_not_in_it(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    viewer.add_image(drawn_picture(60, 80, 3), name="a")
    layer = run_widget(widget, qtbot)
    layer.data[:10] = 0
    widget.copy_python()
    message = "Copied 'a superpixels' as Python; later painting is not included"
    assert widget.run_panel.message.text() == message
