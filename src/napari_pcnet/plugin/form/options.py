"""Fields for the options of merging, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_pcnet.plugin.boxes import FormRows, number_box
from napari_pcnet.record import RunRecord


class OptionFields(QObject):
    """Fields for the options of merging.

    Parameters
    ----------
    rows : FormRows
        The form, to which the fields are added.
    values : mapping of str to float
        The value that each option begins with, by its name in the record.
    """

    changed = Signal()

    def __init__(self, rows: FormRows, values: Mapping[str, float]) -> None:
        super().__init__(rows)
        self.boxes = {"compactness": number_box(2)}
        self.boxes["compactness"].setRange(0, 1e4)
        rows.add(
            "Compactness", self.boxes["compactness"], "Weight of shape against colour: larger is rounder"
        )
        for name, box in self.boxes.items():
            box.setValue(values[name])
            box.valueChanged.connect(self.changed)

    def values(self) -> dict[str, Any]:  # as keyword arguments of the record
        """The chosen value of each option, by its name in the record."""
        return {name: float(box.value()) for name, box in self.boxes.items()}

    def use(self, record: RunRecord) -> None:
        """Set all options as a record has them."""
        for name, box in self.boxes.items():
            box.setValue(getattr(record, name))
