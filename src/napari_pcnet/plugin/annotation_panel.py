"""The box for annotating: a button to begin, the table of classes, undo, scribbles, and learning the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QGroupBox,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_pcnet.annotation.classes import AnnotationClass
from napari_pcnet.annotation.strokes import Annotation
from napari_pcnet.plugin.boxes import choice_box, offer, row, signals_blocked
from napari_pcnet.plugin.learning_rows import LearningRows

TITLE = "Annotate"

COLUMNS = ("Class", "Key", "Area", "Lock")
NAME, KEY, AREA, LOCK = range(len(COLUMNS))

TABLE_HEIGHT_PX = 130
SWATCH_PX = 16


class AnnotationPanel(QGroupBox):
    """Buttons and the table of classes."""

    class_chosen = Signal(int)
    """A user selected the row of a class."""
    class_changed = Signal(int, dict)
    """A user gave a class other fields."""
    scribbles_chosen = Signal(object)
    """A user asked to take the scribbles of a layer."""

    def __init__(self) -> None:
        super().__init__(TITLE)
        self.start_button, self.objects_button = QPushButton("Annotate"), QPushButton("Objects")
        self.undo_button, self.redo_button = QPushButton("Undo"), QPushButton("Redo")
        self.add_button, self.colour_button = QPushButton("Add class"), QPushButton("Colour...")
        self.scribbles_box, self.scribbles_button = choice_box(), QPushButton("Take scribbles")
        self.learning = LearningRows()
        self.table = QTableWidget(0, len(COLUMNS))
        self._classes: list[AnnotationClass] = []
        self._set_up_table()
        self._lay_out()
        self._set_tips()
        self.table.itemSelectionChanged.connect(self._choose)
        self.table.itemChanged.connect(self._change)
        self.colour_button.clicked.connect(self._ask_colour)
        self.scribbles_button.clicked.connect(
            lambda: self.scribbles_chosen.emit(self.scribbles_box.currentData())
        )

    def enable(self, *, trees: bool) -> None:
        """Enable what begins, where there are superpixels to annotate."""
        for button in (self.start_button, self.objects_button):
            button.setEnabled(trees)

    def show_opening(self, is_opening: bool) -> None:
        """Say in the title whether an annotation is about to begin."""
        self.setTitle(f"{TITLE}: getting ready ..." if is_opening else TITLE)

    def show_classes(
        self, classes: Sequence[AnnotationClass], annotation: Annotation | None, current: int
    ) -> None:
        """Show the classes of an annotation, and which of them is chosen."""
        with signals_blocked(self.table):
            self._classes = [] if annotation is None else list(classes)
            numbers = [each.number for each in self._classes]
            self.table.setRowCount(len(numbers))
            for at, each in enumerate(self._classes):
                self._show_class(at, each, annotation)
            self.table.clearSelection()
            if current in numbers:
                self.table.selectRow(numbers.index(current))
        is_on = annotation is not None
        for widget in (self.scribbles_box, self.scribbles_button):
            widget.setEnabled(is_on)
        for widget in (self.table, self.add_button):
            widget.setEnabled(is_on and bool(classes))  # objects have none
        self.colour_button.setEnabled(current in numbers)
        self.undo_button.setEnabled(annotation is not None and annotation.can_undo)
        self.redo_button.setEnabled(annotation is not None and annotation.can_redo)

    def offer_scribbles(self, layers: Sequence[Labels]) -> None:
        """Offer layers whose labels may be taken for scribbles."""
        offer(self.scribbles_box, [(each.name, each) for each in layers])

    def _show_class(self, at: int, given: AnnotationClass, annotation: Annotation | None) -> None:
        assert annotation is not None
        texts = (given.name, given.key, short(annotation.area_of(given.number)), "")
        for column, text in enumerate(texts):
            item = self.table.item(at, column)
            if item is None:
                item = QTableWidgetItem()
                self.table.setItem(at, column, item)
            item.setText(text)
            if column in (AREA, LOCK):
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
            if column == AREA:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.item(at, NAME).setToolTip(given.name)  # a narrow dock cuts it off
        self.table.item(at, NAME).setIcon(swatch(given.colour))
        self.table.item(at, AREA).setToolTip(
            f"{annotation.area_of(given.number):,} pixels, {annotation.regions_of(given.number):,} regions"
        )
        state = Qt.CheckState.Checked if given.is_locked else Qt.CheckState.Unchecked
        self.table.item(at, LOCK).setCheckState(state)

    def _choose(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if rows:
            self.class_chosen.emit(self._classes[rows[0].row()].number)

    def _change(self, item: QTableWidgetItem) -> None:
        fields: dict[int, dict[str, Any]] = {
            NAME: {"name": item.text().strip()},
            KEY: {"key": item.text().strip()},
            LOCK: {"is_locked": item.checkState() == Qt.CheckState.Checked},
        }
        if item.column() in fields:
            self.class_changed.emit(self._classes[item.row()].number, fields[item.column()])

    def _ask_colour(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if not rows:
            return
        chosen = self._classes[rows[0].row()]
        colour = QColorDialog.getColor(QColor(chosen.colour), self)
        if colour.isValid():
            self.class_changed.emit(chosen.number, {"colour": colour.name()})

    def _set_up_table(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(COLUMNS)
        table.verticalHeader().hide()
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setFixedHeight(TABLE_HEIGHT_PX)
        header = table.horizontalHeader()
        header.setMinimumSectionSize(0)
        header.setStyleSheet(
            "QHeaderView::section { padding: 2px }"
        )  # a narrow dock leaves names their place
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setSpacing(4)
        column.addLayout(row(self.start_button, self.objects_button))
        column.addLayout(row(self.undo_button, self.redo_button))
        column.addWidget(self.table)
        column.addLayout(row(self.add_button, self.colour_button))
        column.addLayout(row(self.scribbles_box, self.scribbles_button))
        column.addWidget(self.learning)

    def _set_tips(self) -> None:
        for widget, tip in (
            (self.start_button, "Paint classes on the superpixels, in a layer of their own"),
            (self.objects_button, "Merge superpixels into objects, in a layer of their own"),
            (self.undo_button, "Undo the last stroke (Ctrl+Z over the picture)"),
            (self.redo_button, "Do it again (Ctrl+Shift+Z over the picture)"),
            (
                self.table,
                "Select the class to paint with; double click a name or a key to change it. Areas are in "
                "pixels; held over one, the mouse shows its regions, too, the finest pieces, of which "
                "superpixels are made",
            ),
            (self.add_button, "Another class, with the first key that is free"),
            (self.colour_button, "The colour of the class that is selected"),
            (self.scribbles_box, "A layer of labels: what is drawn with 1 is for class 1, and so on"),
            (self.scribbles_button, "Each superpixel gets the class of most pixels drawn on it"),
        ):
            widget.setToolTip(tip)


def swatch(colour: str) -> QIcon:
    """A square of a colour, which Qt would tint in a row that is selected."""
    square, icon = QPixmap(SWATCH_PX, SWATCH_PX), QIcon()
    square.fill(QColor(colour))
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
        icon.addPixmap(square, mode)
    return icon


def short(number: int) -> str:
    """A number that leaves names their place.

    >>> short(12_345), short(16_777_216)
    ('12,345', '16.8 M')
    """
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.1f} M"
