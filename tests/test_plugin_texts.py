"""A run as text: what stands there, and what is to be saved first."""

from __future__ import annotations

import shlex

import pytest

from napari_pcnet.plugin.texts import MASK_IS_LAYER, as_command, as_python
from napari_pcnet.record import Origin, RunRecord


def test_a_run_on_a_file_is_a_script_that_reads_it() -> None:
    origin = Origin("cat", "/data/a cat.png")
    assert as_python(RunRecord(40, compactness=8.0), origin, "cat superpixels") == (
        "from napari_pcnet import pcnet_superpixels, read_image\n"
        "\n"
        "picture = read_image('/data/a cat.png')\n"
        "labels = pcnet_superpixels(picture.pixels, 40, compactness=8.0, mask=picture.mask)\n"
    )


def test_a_run_on_a_file_is_a_command() -> None:
    origin = Origin("cat", "/data/a cat.png")
    assert as_command(RunRecord(40, level=2), origin, "cat superpixels") == (
        "napari-pcnet segment '/data/a cat.png' cat.superpixels.tif --n-segments 40 --channel-axis=-1 "
        "--level 2\n"
    )


def test_a_layer_that_is_saved_first_is_one_picture_of_one_size() -> None:
    text = as_python(RunRecord(40, level=2, series=1, nodata=-9999.0), Origin("dem"), "dem superpixels")
    assert "picture = read_image('dem.tif', nodata=-9999.0)\n" in text


def test_a_part_of_a_stack_is_its_record() -> None:
    record = RunRecord(40, plane=(1, 2), channel_axis=None, max_segments=90)
    assert as_python(record, Origin("stack", "stack.tif", True), "stack superpixels") == (
        "from napari_pcnet import RunRecord, run_file\n"
        "\n"
        "record = RunRecord(40, channel_axis=None, max_segments=90, plane=(1, 2))\n"
        "labels = run_file('stack.tif', record)\n"
    )


def test_all_planes_of_a_stack_are_its_record_too() -> None:
    text = as_python(RunRecord(40), Origin("stack", "stack.tif", True), "stack superpixels")
    assert text.endswith("record = RunRecord(40)\nlabels = run_file('stack.tif', record)\n")


def test_what_is_in_no_file_is_to_be_saved_first() -> None:
    origin = Origin("cells [1]")
    first = 'First save the layer "cells [1]" as cells-1.tif (File, Save Selected Layers).'
    script = as_python(RunRecord(40), origin, "cells [1] superpixels")
    assert script.startswith(f"# {first}\nfrom napari_pcnet import") and "('cells-1.tif')" in script
    assert as_command(RunRecord(40), origin, "cells [1] superpixels").splitlines() == [
        f"# '{first}'",
        "napari-pcnet segment cells-1.tif cells-1.superpixels.tif --n-segments 40 --channel-axis=-1",
    ]


def test_a_region_is_the_layer_of_its_own_superpixels() -> None:
    record = RunRecord(40, mask=MASK_IS_LAYER, crop=(1, 2, 30, 40))
    text = as_command(record, Origin("cat", "cat.png"), "cat superpixels")
    assert text == (
        '# \'First save the layer "cat superpixels" as cat-superpixels-region.tif: '
        "what is 0 there lies outside.'\n"
        "napari-pcnet segment cat.png cat.superpixels.tif --n-segments 40 --channel-axis=-1 "
        "--mask cat-superpixels-region.tif --crop 1 2 30 40\n"
    )
    script = as_python(record, Origin("cat", "cat.png"), "cat superpixels")
    assert script.startswith('# First save the layer "cat superpixels" as cat-superpixels-region.tif:')
    assert "record = RunRecord(40, mask='cat-superpixels-region.tif', crop=(1, 2, 30, 40))\n" in script


def test_image_and_region_in_no_file_are_two_lines() -> None:
    text = as_python(RunRecord(40, mask=MASK_IS_LAYER), Origin("a"), "b")
    assert text.splitlines()[:2] == [
        '# First save the layer "a" as a.tif (File, Save Selected Layers).',
        '# First save the layer "b" as b-region.tif: what is 0 there lies outside.',
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cat", "cat.tif"),
        ("../../etc/passwd", "passwd.tif"),
        ("my $(rm -rf) `x`; cat & dog", "my-rm--rf-x-cat-dog.tif"),
        ("...", "image.tif"),
        ("", "image.tif"),
        ("größe 5 µm", "größe-5-µm.tif"),
        ("-n", "n.tif"),
    ],
)
def test_a_layers_name_is_made_a_files(name: str, file: str) -> None:
    command = as_command(RunRecord(40), Origin(name), "b")
    assert shlex.split(command, comments=True)[2] == file


def test_a_name_cannot_leave_the_comment() -> None:
    text = as_python(RunRecord(40), Origin("a\nimport os; os.abort()"), "b")
    compile(text, "script", "exec")
    assert "\nimport os" not in text
    assert "\nimport os" not in as_command(RunRecord(40), Origin("a\nimport os; os.abort()"), "b")
