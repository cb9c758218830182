"""Label files that others wrote: their record and transform are checked before anything is done with them."""

from __future__ import annotations

import ast
import json
import math
import shlex
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from numpy.testing import assert_array_equal

from napari_pcnet.cli import parser_for
from napari_pcnet.cli.flags import options_from
from napari_pcnet.disk import labels
from napari_pcnet.plugin.files import open_in, read, write
from napari_pcnet.plugin.metadata import KEY, recorded_run
from napari_pcnet.plugin.selected_run import SelectedRun
from napari_pcnet.plugin.texts import as_command, as_python
from napari_pcnet.record import DroppedFieldWarning, Origin, RunRecord, from_notes, notes_of

COMMAND = "touch /tmp/owned"
HOSTILE: tuple[Any, ...] = (
    f"0\n{COMMAND}",
    f"0; {COMMAND}",
    f"$({COMMAND})",
    f"'; {COMMAND}; '",
    "__import__('os').system('touch owned')",
    f"\x03\n{COMMAND}\n",
    f"a\u2028{COMMAND}",
    "--overwrite",
    "none",
    ["--overwrite"],
    ["0\n--overlay", "x"],
    [[0]],
    {"0": 1},
    True,
    None,
    -1,
    0.5,
    -1e-05,
    1e300,
    math.nan,
    math.inf,
    10**400,
    "",
    "x" * 10_000,
    [0] * 100_000,
    [0, 0, 1, 1],
    [1, 0, 0, 1],
)
"""Values that a record in a file may have, in the place of any other."""

NAMES = [each.name for each in fields(RunRecord)]


def _file(folder: Path, notes: dict[str, Any]) -> Path:
    path = folder / "sent.superpixels.tif"
    labels.write_labels(path, np.arange(48, dtype=np.int32).reshape(6, 8) // 8, notes=notes)
    return path


def _words(command: str) -> list[str]:
    """The words of a command that is one line."""
    (line,) = command.splitlines()
    return shlex.split(line)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_record_holds_its_texts_say_the_checked_record_and_no_more(name: str) -> None:
    for value in HOSTILE:
        dropped: list[str] = []
        notes = {"record": RunRecord(7).as_dict() | {name: value}, "image": "cat", "path": "cat.png"}
        found = from_notes(notes, dropped.append)
        assert found is not None
        record, origin = found
        default = RunRecord(100 if name == "n_segments" else 7)
        if dropped:
            assert record == default and dropped[0].startswith(
                f"the record's {name} was dropped: {name} must be "
            )
            assert len(dropped[0]) < 500
        words = _words(as_command(record, origin, "cat superpixels"))
        assert options_from(parser_for(words[1:]).parse_args(words[1:]), RunRecord) == record
        assert eval(record.constructor(), {"RunRecord": RunRecord, "__builtins__": {}}) == record
        calls = [
            each.func
            for each in ast.walk(ast.parse(as_python(record, origin, "b")))
            if isinstance(each, ast.Call)
        ]
        assert {each.id for each in calls if isinstance(each, ast.Name)} <= {
            "pcnet_superpixels",
            "read_image",
            "RunRecord",
            "run_file",
        }
        assert not any(isinstance(each, ast.Attribute) for each in calls)
        json.dumps(record.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", ["image", "path", "has_planes", "has_levels"])
def test_whatever_an_origin_holds_a_command_is_one_line(name: str) -> None:
    for value in HOSTILE:
        found = from_notes(
            notes_of(RunRecord(7, mask="layer"), Origin("cat")) | {name: value}, lambda _text: None
        )
        assert found is not None
        text = as_command(*found, "a'; touch owned; '\n\x03")
        *comments, line = text.splitlines()
        for comment in comments:  # zsh runs what stands behind a typed #
            assert len(shlex.split(comment, comments=False)) == 2
        words = shlex.split(line)[1:]
        namespace = parser_for(words).parse_args(words)
        assert options_from(namespace, RunRecord).n_segments == 7 and not namespace.overwrite
        assert "\x03" not in text
        ast.parse(as_python(*found, "b"))


def test_a_file_whose_name_a_terminal_would_obey_is_in_no_command() -> None:
    origin = Origin("cat", "/data/x\x03\ntouch owned\n.tif")
    message = r"^a command cannot name the file '/data/x\\x03\\ntouch owned\\n.tif': rename it"
    with pytest.raises(ValueError, match=message):
        as_command(RunRecord(7), origin, "b")
    assert "read_image('/data/x\\x03\\ntouch owned\\n.tif')" in as_python(RunRecord(7), origin, "b")


def test_a_layer_of_a_sent_file_keeps_what_is_sound_and_a_warning_says_the_rest(tmp_path: Path) -> None:
    record = RunRecord(7, compactness=2.0).as_dict() | {"level": f"0\n{COMMAND}", "plane": ["--overwrite"]}
    path = _file(tmp_path, {"record": record, "image": "cat", "has_planes": "no", "more": 1})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        layer = open_in(ViewerModel(), str(path))
    assert [str(each.message).partition(": ")[0] for each in told] == [
        "the record's level was dropped",
        "the record's plane was dropped",
        "the run's has_planes was dropped",
    ]
    assert all(each.category is DroppedFieldWarning for each in told)
    assert recorded_run(layer.metadata) == (RunRecord(7, compactness=2.0), Origin("cat"))
    assert layer.metadata == {KEY: notes_of(RunRecord(7, compactness=2.0), Origin("cat"))}


def test_a_selected_run_says_what_was_dropped_of_metadata_that_no_reader_checked() -> None:
    layer = Labels(np.ones((6, 8), np.int32), metadata={KEY: {"record": {"level": "0", "n_segments": 7}}})
    run = SelectedRun.first_of([None, layer])
    assert run is not None and run.record == RunRecord(7)
    assert run.dropped == ("the record's level was dropped: level must be a whole number from 0 on, got '0'",)


@pytest.mark.parametrize("record", [None, 5, "x", [1]])
def test_a_record_that_is_no_table_is_dropped(tmp_path: Path, record: object) -> None:
    path = _file(tmp_path, {"record": record})
    with pytest.warns(DroppedFieldWarning, match="the record of the run was dropped: it must be a table"):
        ((_, options, _),) = read(str(path))
    assert options["metadata"] == {KEY: {}}


# -- where the layer lies ----------------------------------------------------------------------------

IDENTITY = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("units", ["2**9**9**9", "mm"], "the name of a unit for each axis"),
        ("units", ["mm", "no_such_unit"], "the name of a unit for each axis"),
        ("units", ["mm"], "the name of a unit for each axis"),
        ("units", "mm", "the name of a unit for each axis"),
        ("units", ["mm", 3], "the name of a unit for each axis"),
        ("scale", 5, "a number other than 0 for each axis"),
        ("scale", [1, 0], "a number other than 0 for each axis"),
        ("scale", [1, 5e-324], "a number other than 0 for each axis"),
        ("scale", [1, math.nan], "a number other than 0 for each axis"),
        ("scale", [1, 1, 1], "a number other than 0 for each axis"),
        ("scale", ["1", "1"], "a number other than 0 for each axis"),
        ("scale", None, "a number other than 0 for each axis"),
        ("translate", [0, 1e300], "a number for each axis"),
        ("translate", {"0": 1}, "a number for each axis"),
        ("rotate", [[1, 1], [1, 1]], "a matrix that can be inverted"),
        ("rotate", [[1, 0], [1]], "a matrix that can be inverted"),
        ("rotate", 30, "a matrix that can be inverted"),
        ("shear", [1, 2, 3], "a triangular matrix with 1 along its diagonal, or the numbers above it"),
        ("shear", [[1, 2], [3, 1]], "a triangular matrix with 1 along its diagonal, or the numbers above it"),
        ("affine", IDENTITY, "a matrix that can be inverted, with a last row of 0 and 1"),
        (
            "affine",
            [[1, 0, 0], [1, 0, 0], [0, 0, 1]],
            "a matrix that can be inverted, with a last row of 0 and 1",
        ),
        (
            "affine",
            [[1, 0, 0], [0, 1, 0], [1, 0, 1]],
            "a matrix that can be inverted, with a last row of 0 and 1",
        ),
        ("axis_labels", ["y"], "a text for each axis"),
        ("axis_labels", ["y", 3], "a text for each axis"),
    ],
)
def test_a_transform_that_is_not_as_it_must_be_is_dropped(
    tmp_path: Path, name: str, value: object, wanted: str
) -> None:
    path = _file(tmp_path, {"layer": {"translate": [2, 3], "axis_labels": ["a", "b"]} | {name: value}})
    with pytest.warns(DroppedFieldWarning) as told:
        layer = open_in(ViewerModel(), str(path))
    (warning,) = told
    assert str(warning.message).startswith(f"the layer's {name} was dropped: it must be {wanted}, got ")
    assert_array_equal(layer.scale, (1, 1))
    if name != "translate":
        assert_array_equal(layer.translate, (2, 3))
    if name != "axis_labels":
        assert layer.axis_labels == ("a", "b")


@pytest.mark.parametrize("table", [None, 5, "x", [1]])
def test_a_transform_that_is_no_table_is_dropped(tmp_path: Path, table: object) -> None:
    with pytest.warns(
        DroppedFieldWarning, match="the transform of the layer was dropped: it must be a table"
    ):
        open_in(ViewerModel(), str(_file(tmp_path, {"layer": table})))


def test_a_layer_on_the_globe_keeps_its_place(tmp_path: Path) -> None:
    affine = [[0.2, 0.0, 5_834_000.1], [0.0, 0.2, 412_345.6], [0.0, 0.0, 1.0]]
    layer = open_in(
        ViewerModel(), str(_file(tmp_path, {"layer": {"affine": affine, "units": ["meter", "µm"]}}))
    )
    assert_array_equal(layer.affine.affine_matrix, affine)
    assert [str(each) for each in layer.units] == ["meter", "micrometer"]


# -- features and labels -----------------------------------------------------------------------------


def test_columns_that_are_none_are_dropped_and_the_others_kept(tmp_path: Path) -> None:
    table = {
        "label": [0, 1],
        "area": [math.nan, 2.5],
        "kind": ["", "cell"],
        "short": [1],
        "ragged": [[1], [2, 3]],
        "mixed": [1, "a"],
        "big": [1, 10**30],
        "none": None,
    }
    with pytest.warns(DroppedFieldWarning) as told:
        layer = open_in(ViewerModel(), str(_file(tmp_path, {"features": table})))
    names = [str(each.message).split("'")[1] for each in told]
    assert names == ["short", "ragged", "mixed", "big", "none"]
    assert list(layer.features) == ["label", "area", "kind"]
    assert layer.features["kind"].tolist() == ["", "cell"]


def test_features_that_are_no_table_are_dropped(tmp_path: Path) -> None:
    with pytest.warns(DroppedFieldWarning, match="the features were dropped: they must be a table, got 5"):
        open_in(ViewerModel(), str(_file(tmp_path, {"features": 5})))


def test_a_column_that_a_file_cannot_keep_is_not_written(tmp_path: Path) -> None:
    layer = Labels(np.ones((6, 8), np.int32), features={"index": [0, 1], "when": [object(), object()]})
    data, meta, _ = layer.as_layer_data_tuple()
    with pytest.warns(DroppedFieldWarning, match="the column 'when' of the features was dropped"):
        write(str(tmp_path / "a.tif"), data, meta)
    ((_, options, _),) = read(str(tmp_path / "a.tif"))
    assert list(options["features"]) == ["index"]


@pytest.mark.parametrize("label", [2**31 - 1, 2**31, 2**40])
def test_labels_beyond_32_bits_keep_their_numbers(tmp_path: Path, label: int) -> None:
    given = np.full((6, 8), label, np.int64)
    labels.write_labels(tmp_path / "a.tif", given)
    ((data, options, _),) = read(str(tmp_path / "a.tif"))
    assert_array_equal(data, given)
    assert data.dtype == (np.int32 if label < 2**31 else np.int64)
    assert_array_equal(Labels(data, **options).data, given)
