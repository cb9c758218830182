"""A run's options become Python, a command line and JSON, and come back."""

import inspect
import json
import math
import os
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_pcnet import __version__
from napari_pcnet.cli import parser_for
from napari_pcnet.cli.flags import options_from
from napari_pcnet.disk import pictures
from napari_pcnet.record import OF_A_PART, DroppedFieldWarning, Origin, RunRecord, from_notes, notes_of

PLAIN = RunRecord()
FULL = RunRecord(
    1000,
    model="my weights.safetensors",
    method="lattice",
    compactness=8.5,
    smoothing=1.5,
    start_label=0,
    mask="in.png",
    channel_axis=None,
    intensity_range=(-5.0, 100.0),
    spacing=(2.0, 0.5),
    device="cpu",
    precision="float64",
    window=512,
)
PART = RunRecord(
    300,
    channel_axis=-4,
    max_segments=1000,
    height=2.5,
    level=2,
    plane=(0, 3),
    crop=(0, 8, 64, 72),
    channels=(2, 0),
)
PERCENTILES = RunRecord(9, intensity_range=("1%", "99.9%"), min_size=40)


def test_its_fields_and_defaults_are_the_functions_own() -> None:
    from napari_pcnet import pcnet_superpixels

    arguments = inspect.signature(pcnet_superpixels).parameters.values()
    named = [each for each in arguments if each.kind is not inspect.Parameter.VAR_KEYWORD]
    asked = {each.name: each.default for each in named if each.name not in ("image", "progress", "out")}
    given = {each.name: each.default for each in fields(RunRecord) if each.name not in OF_A_PART}
    assert given == asked


def test_what_it_says_of_the_part_is_by_default_the_whole() -> None:
    assert {each.name: each.default for each in fields(RunRecord) if each.name in OF_A_PART} == {
        "max_segments": None,
        "height": None,
        "level": 0,
        "series": 0,
        "mask_series": 0,
        "nodata": None,
        "plane": None,
        "crop": None,
        "channels": None,
    }
    assert PLAIN.is_plain and FULL.is_plain and not PART.is_plain
    assert RunRecord(level=3, series=1, nodata=-9999.0).is_plain


def test_every_option_has_a_help_text() -> None:
    assert all(each.metadata["help"] for each in fields(RunRecord))


@pytest.mark.parametrize("record", [PLAIN, FULL, PART, PERCENTILES])
def test_a_record_comes_back_from_json(record: RunRecord) -> None:
    assert RunRecord.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_its_dict_says_which_version_wrote_it() -> None:
    assert PLAIN.as_dict()["napari-pcnet"] == __version__


def test_options_that_a_dict_lacks_have_their_default() -> None:
    assert RunRecord.from_dict({"n_segments": 7}) == RunRecord(7)


def test_an_option_of_another_version_is_dropped_with_a_sentence() -> None:
    message = (
        f"the record's 'beta, sigma' was dropped: napari-pcnet {__version__} does not know it, "
        "the record was written by '9.0.0'"
    )
    with pytest.warns(DroppedFieldWarning, match=f"^{re.escape(message)}$"):
        assert RunRecord.from_dict({"napari-pcnet": "9.0.0", "sigma": 1, "beta": 2, "level": 1}) == RunRecord(
            level=1
        )


@pytest.mark.parametrize("record", [PLAIN, FULL, PART, PERCENTILES])
def test_a_record_comes_back_from_its_command_line(record: RunRecord) -> None:
    words = shlex.split(record.command_line("my scan.tif", "out.tif"))
    assert words[0] == "napari-pcnet"
    namespace = parser_for(words[1:]).parse_args(words[1:])
    assert [str(file) for file in namespace.files] == ["my scan.tif", "out.tif"]
    assert options_from(namespace, RunRecord) == record


def test_a_record_of_a_part_is_no_call() -> None:
    with pytest.raises(ValueError, match="python_script repeats this record"):
        PART.python_call()


def test_the_call_names_what_differs_from_the_defaults() -> None:
    assert PLAIN.python_call() == "pcnet_superpixels(image, 100)"
    assert FULL.python_call("layer", "inside") == (
        "pcnet_superpixels(layer, 1000, model='my weights.safetensors', method='lattice', compactness=8.5, "
        "smoothing=1.5, start_label=0, channel_axis=None, intensity_range=(-5.0, 100.0), spacing=(2.0, 0.5), "
        "device='cpu', precision='float64', window=512, mask=inside)"
    )


@pytest.mark.parametrize("record", [PLAIN, FULL, PERCENTILES])
def test_the_call_passes_exactly_the_records_arguments(record: RunRecord) -> None:
    passed: dict[str, object] = {}

    def pcnet_superpixels(image: str, n_segments: int, **keywords: object) -> None:
        passed.update(keywords, n_segments=n_segments)

    eval(record.python_call(), {"pcnet_superpixels": pcnet_superpixels, "image": "", "mask": record.mask})
    assert RunRecord(**passed) == record  # type: ignore[arg-type]  # what a call was given


def test_the_script_reads_the_files_and_makes_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    import napari_pcnet

    given: dict[str, object] = {}

    def stand_in(image: object, n_segments: int, **keywords: object) -> str:
        given.update(keywords, image=image, n_segments=n_segments)
        return "labels"

    monkeypatch.setattr(napari_pcnet, "pcnet_superpixels", stand_in, raising=False)
    names: dict[str, object] = {}
    exec(RunRecord(9, compactness=2.0).python_script(str(pictures.SAMPLE)), names)
    np.testing.assert_array_equal(given.pop("image"), pictures.read_image(pictures.SAMPLE).pixels)
    assert given == {"n_segments": 9, "compactness": 2.0, "mask": None}
    assert names["labels"] == "labels"


@pytest.mark.parametrize("record", [FULL, PART, PERCENTILES])
def test_a_record_comes_back_from_its_constructor(record: RunRecord) -> None:
    assert eval(record.constructor(), {"RunRecord": RunRecord}) == record


def test_the_script_of_a_part_runs_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_pcnet import run

    monkeypatch.setattr(run, "run_file", lambda path, record: (path, record))
    names: dict[str, object] = {}
    exec(PART.python_script("a 'stack'.tif"), names)
    assert names["labels"] == ("a 'stack'.tif", PART)
    exec(PLAIN.python_script("stack.tif", planes=True), names)
    assert names["labels"] == ("stack.tif", PLAIN)


def test_the_script_reads_what_a_plain_run_took_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(pictures, "read_image", lambda path, **more: asked.append((path, more)))
    with pytest.raises(AttributeError):  # nothing was read
        exec(RunRecord(9, level=2, series=1, nodata=-1.5).python_script("slide.tif"), {})
    assert asked == [("slide.tif", {"level": 2, "series": 1, "nodata": -1.5})]


def test_notes_tell_record_and_origin() -> None:
    origin = Origin("cat", "cat.tif", True)
    assert from_notes(json.loads(json.dumps(notes_of(PART, origin)))) == (PART, origin)


@pytest.mark.parametrize("notes", [None, 7, {}, [{"record": {}}]])
def test_other_notes_are_none(notes: object) -> None:
    assert from_notes(notes) is None


def test_values_of_numpy_and_paths_become_plain() -> None:
    record = RunRecord(
        np.uint16(9),  # type: ignore[arg-type]  # what a script may pass
        model=Path("own") / "net.safetensors",  # type: ignore[arg-type]
        mask=Path("in.png"),  # type: ignore[arg-type]
        compactness=np.float16(2.5),  # type: ignore[arg-type]
        spacing=np.array([2, 1], np.float32),  # type: ignore[arg-type]
        crop=np.array([0, 1, 8, 9]),  # type: ignore[arg-type]
        channels=[np.int64(2)],  # type: ignore[arg-type]
        height=np.float32(0.5),  # type: ignore[arg-type]
    )
    plain = RunRecord.from_dict(json.loads(json.dumps(record.as_dict())))
    assert plain == record
    assert eval(record.constructor(), {"RunRecord": RunRecord}) == record
    assert (record.model, record.mask) == (
        os.path.join("own", "net.safetensors"),
        os.path.join(".", "in.png"),
    )


def test_a_path_without_a_folder_is_no_name_of_weights() -> None:
    assert RunRecord(model=Path("net")).model == os.path.join(".", "net")  # type: ignore[arg-type]
    assert RunRecord(model="net").model == "net"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_segments": 2**63}, "n_segments must be at most 9223372036854775807, got 9223372036854775808"),
        ({"max_segments": 0}, "max_segments must be a whole number of at least 1, got 0"),
        ({"height": math.nan}, "height must be a number of at least 0, got nan"),
        ({"height": math.inf}, "height must be a number of at least 0, got inf"),
        ({"height": -0.5}, "height must be a number of at least 0, got -0.5"),
        ({"level": -1}, "level must be a whole number from 0 on, got -1"),
        ({"level": "0"}, "level must be a whole number from 0 on, got '0'"),
        ({"plane": ()}, "plane must be a whole number from 0 on for each leading axis, got ()"),
        ({"plane": (0,) * 63}, "plane must be a whole number from 0 on for each leading axis, got (0, 0, "),
        ({"plane": "01"}, "plane must be a whole number from 0 on for each leading axis, got '01'"),
        ({"plane": (True,)}, "plane must be a whole number from 0 on for each leading axis, got (True,)"),
        ({"crop": (0, 0, 5)}, "crop must be top, left, bottom, right, with top above bottom and left "),
        ({"crop": (0, 0, 5, 5.5)}, "crop must be four whole numbers from 0 on, got (0, 0, 5, 5.5)"),
        ({"channels": b"\x00"}, "channels must be one or more whole numbers from 0 on, got b'\\x00'"),
        ({"channels": (2**63,)}, "channels must be one or more whole numbers from 0 on, got (9223"),
        ({"channel_axis": True}, "channel_axis must be a whole number from -64 to 63, or None, got True"),
        ({"mask": 3}, "mask must be the name of a file, got 3"),
        ({"mask": "a\nb"}, "mask must be the name of a file, got 'a\\nb'"),
        ({"model": None}, "model must be the name of weights or of a file of them, got None"),
        ({"model": ""}, "model must be the name of weights or of a file of them, got ''"),
        ({"device": "cpu\x1b"}, "device must be a text such as 'auto', 'cpu' or 'cuda', got 'cpu\\x1b'"),
    ],
)
def test_a_record_of_something_else_cannot_be_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        RunRecord(**options)


def test_the_keywords_leave_the_mask_to_the_caller() -> None:
    assert "mask" not in FULL.keywords()
    assert FULL.keywords()["window"] == 512
