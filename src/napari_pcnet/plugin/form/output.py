"""The field that names the folder that labels of a lazy image are written to."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton

from napari_pcnet.disk.label_levels import SUFFIX
from napari_pcnet.plugin.boxes import FormRows, side_by_side

FILES = f"OME-Zarr (*{SUFFIX})"


class OutputField(QObject):
    """The field that names where labels are written; while it is empty they are held in memory.

    Parameters
    ----------
    rows : FormRows
        The form, to which the field is added.
    """

    changed = Signal()

    def __init__(self, rows: FormRows) -> None:
        super().__init__(rows)
        self._rows = rows
        self.edit, self.browse_button = QLineEdit(), QPushButton("Browse...")
        self.edit.setPlaceholderText("held in memory")
        self.field = side_by_side(self.edit, self.browse_button)
        rows.add(
            "Write to",
            self.field,
            f"A new {SUFFIX}, to which labels are written window by window: neither they nor the image need "
            "fit into memory; the result has one count",
        )
        self.offer(False)
        self.edit.editingFinished.connect(self.changed)
        self.browse_button.clicked.connect(self._ask)

    @property
    def is_offered(self) -> bool:
        """Whether the row is there."""
        return self._is_offered

    @property
    def path(self) -> Path | None:
        """Where labels are written; None if nowhere."""
        text = self.edit.text().strip()
        return Path(text).expanduser().absolute() if text and self._is_offered else None

    def offer(self, is_lazy: bool) -> None:
        """Show the row for an image whose pixels are not in memory."""
        self._is_offered = is_lazy
        self._rows.set_shown(self.field, is_lazy)

    def _ask(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self.edit.window(), "Write labels to", self.edit.text(), FILES
        )
        if chosen:
            self.edit.setText(chosen if chosen.lower().endswith(SUFFIX) else f"{chosen}{SUFFIX}")
            self.changed.emit()
