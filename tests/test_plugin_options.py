"""Rows of the form for the options of merging: their declaration is all that they need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget

from napari_pcnet.options import FormRow, option, whole_number
from napari_pcnet.plugin.boxes import FormRows
from napari_pcnet.plugin.form.options import OptionFields
from napari_pcnet.record import RunRecord


@dataclass(frozen=True)
class _Record(RunRecord):
    """With an option that the package does not have."""

    roughness: int = option(
        3, "how rough the outlines are", whole_number, FormRow("Roughness", high=9, decimals=0)
    )


@pytest.fixture
def rows(qtbot: QtBot) -> Iterator[FormRows]:
    """The rows of an empty form."""
    form, rows = QWidget(), FormRows()
    form.setLayout(rows)
    qtbot.addWidget(form)
    yield rows
    form.close()


def _fields(rows: FormRows) -> OptionFields:
    declared = {each.name: each for each in fields(_Record) if each.metadata["form"] is not None}
    return OptionFields(rows, declared, {name: each.default for name, each in declared.items()})


def test_an_option_becomes_a_row_by_its_declaration(rows: FormRows) -> None:
    options = _fields(rows)
    assert list(options.boxes) == [each.name for each in fields(_Record) if each.metadata["form"] is not None]
    assert {"compactness", "smoothing", "roughness"} <= options.boxes.keys()
    box = options.boxes["roughness"]
    assert rows.labelForField(box).text() == "Roughness"
    assert (box.minimum(), box.maximum(), box.decimals(), box.value()) == (0, 9, 0, 3)
    assert box.toolTip() == "How rough the outlines are"


def test_values_go_into_a_record_and_come_from_one(rows: FormRows, qtbot: QtBot) -> None:
    options = _fields(rows)
    with qtbot.waitSignal(options.changed, timeout=1000):
        options.boxes["roughness"].setValue(5)
    options.boxes["smoothing"].setValue(1.5)
    assert _Record(**options.values()) == _Record(smoothing=1.5, roughness=5)
    assert isinstance(options.values()["roughness"], int)
    options.use(_Record(compactness=0.25, roughness=7))
    assert _Record(**options.values()) == _Record(compactness=0.25, roughness=7)
