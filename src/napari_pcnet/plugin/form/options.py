"""Fields for the options of merging: a row for each option whose declaration has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_pcnet.options import FormRow
from napari_pcnet.plugin.boxes import FormRows, number_box
from napari_pcnet.plugin.messages import sentence
from napari_pcnet.record import RunRecord


class OptionFields(QObject):
    """Fields for the options of merging.

    Parameters
    ----------
    rows : FormRows
        The form, to which the fields are added.
    declared : mapping of str to Field
        Declarations of the options, as `settings.form_options` finds them.
    values : mapping of str to float
        What each field begins with.
    """

    changed = Signal()

    def __init__(
        self, rows: FormRows, declared: Mapping[str, Field[Any]], values: Mapping[str, float]
    ) -> None:
        super().__init__(rows)
        self._types: dict[str, Any] = {name: type(each.default) for name, each in declared.items()}
        self.boxes = {}
        for name, each in declared.items():
            shown: FormRow = each.metadata["form"]
            box = self.boxes[name] = number_box(shown.decimals)
            box.setRange(0, shown.high)
            box.setValue(values[name])
            box.valueChanged.connect(self.changed)
            rows.add(shown.label, box, sentence(each.metadata["help"]))

    def values(self) -> dict[str, Any]:  # as keyword arguments of the record
        """The chosen value of each option, by its name in the record."""
        return {name: self._types[name](box.value()) for name, box in self.boxes.items()}

    def use(self, record: RunRecord) -> None:
        """Set all options as a record has them."""
        for name, box in self.boxes.items():
            box.setValue(getattr(record, name))
