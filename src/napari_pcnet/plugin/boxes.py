"""Boxes, rows and sliders: the small parts of the dock widget, with what Qt's own lack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LARGEST_COUNT = 10_000_000


class LogSlider(QSlider):
    """A slider from a smallest to a largest number whose steps are equal ratios."""

    STEPS = 1000

    moved = Signal(float)
    """The number under the handle, when a user moves it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(0, self.STEPS)
        self._low, self._high = 1.0, 1.0
        self.valueChanged.connect(lambda at: self.moved.emit(self._number(at)))

    def set_limits(self, low: float, high: float) -> None:
        """Set the smallest and the largest number, both above 0."""
        self._low, self._high = low, max(low, high)

    def show_number(self, number: float) -> None:
        """Put the handle where a number is, without a signal."""
        span = math.log(self._high / self._low)
        share = math.log(max(number, self._low) / self._low) / span if span else 0.0
        with signals_blocked(self):
            self.setValue(round(self.STEPS * min(1.0, share)))

    def _number(self, at: int) -> float:
        ratio: float = (self._high / self._low) ** (at / self.STEPS)
        return self._low * ratio


class WheelNeedsFocus(QObject):
    """Lets the mouse wheel change a field only after a click into it; else the column of fields scrolls.

    Qt gives such a field the focus by the wheel itself.
    """

    def keep(self, *fields: QWidget) -> None:
        """Keep the wheel from these fields."""
        for field in fields:
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(self)

    def eventFilter(self, field: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  # Qt's name
        """Pass the wheel over a field without focus on to what the field lies in."""
        assert isinstance(field, QWidget) and event is not None, "filters what `keep` names"
        passed = event.type() == QEvent.Type.Wheel and not field.hasFocus()
        if passed:
            event.ignore()
        return passed


class Channels(QToolButton):
    """Which channels of several are taken: a menu of check marks."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setMenu(QMenu(self))
        self.setStyleSheet("padding-right: 14px")  # the arrow's place
        self.set_names(["0"])

    def set_names(self, names: Sequence[str]) -> None:
        """Offer channels by their names, all of them taken."""
        self.menu().clear()
        for name in names:
            action = self.menu().addAction(name.replace("&", "&&"))  # one & marks a key
            action.setCheckable(True)
            action.setChecked(True)
            action.toggled.connect(self._toggle)
        self._show_chosen()

    def chosen(self) -> tuple[int, ...] | None:
        """Channels that are taken, from 0; None for all."""
        checked = self._checked()
        return None if len(checked) == len(self.menu().actions()) else checked

    def choose(self, channels: tuple[int, ...] | None) -> None:
        """Take these; None for all."""
        for number, action in enumerate(self.menu().actions()):
            with signals_blocked(action):
                action.setChecked(channels is None or number in channels)
        self._show_chosen()

    def _checked(self) -> tuple[int, ...]:
        return tuple(k for k, action in enumerate(self.menu().actions()) if action.isChecked())

    def _toggle(self) -> None:
        self._show_chosen()
        self.changed.emit()

    def _show_chosen(self) -> None:
        checked, number = self._checked(), len(self.menu().actions())
        names = [self.menu().actions()[channel].text() for channel in checked]
        self.setText(f"all {number}" if len(checked) == number else ", ".join(names) or "none")


def count_box(largest: int = LARGEST_COUNT) -> QSpinBox:
    """Return a box for a count from 1; its signal comes when typing has ended."""
    box = QSpinBox()
    box.setRange(1, largest)
    box.setKeyboardTracking(False)
    box.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
    return box


def number_box(decimals: int = 1) -> QDoubleSpinBox:
    """Return a box for a number above 0; its signal comes when typing has ended."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(10.0**-decimals, 1e6)
    box.setKeyboardTracking(False)
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    return box


def choice_box() -> QComboBox:
    """Return a combo box that may be narrower than its longest entry, so that the dock may be, too."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


class FormRows(QFormLayout):
    """Rows of a form: a label, a field and what it is for."""

    def __init__(self) -> None:
        super().__init__()
        self.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.setContentsMargins(0, 0, 0, 0)
        self.setVerticalSpacing(4)

    def add(self, label: str, field: QWidget, tip: str) -> None:
        """Add a row; the field and all that it holds get the tip."""
        for each in (field, *field.findChildren(QWidget)):
            each.setToolTip(tip)
        self.addRow(label, field)

    def set_shown(self, field: QWidget, shown: bool) -> None:
        """Show or hide the row of a field."""
        field.setVisible(shown)
        label = self.labelForField(field)
        if label is not None:
            label.setVisible(shown)


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return a row of widgets, close together."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def side_by_side(*widgets: QWidget) -> QWidget:
    """Return a widget that holds others in a row."""
    holder = QWidget()
    holder.setLayout(row(*widgets))
    return holder


def scrolled_column(*widgets: QWidget) -> QScrollArea:
    """Return a column of widgets that scrolls where the screen is too small for it.

    The wheel over a field in it scrolls, too, unless the field has the focus.
    """
    inner = QWidget()
    inner.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)  # scrolled, never squeezed
    column = QVBoxLayout(inner)
    column.setContentsMargins(6, 6, 6, 6)
    column.setSpacing(4)
    for widget in widgets:
        column.addWidget(widget)
    column.addStretch()
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inner)
    kinds = (QComboBox, QAbstractSpinBox, QSlider)
    WheelNeedsFocus(scroll).keep(*(field for kind in kinds for field in inner.findChildren(kind)))
    return scroll


def offer(box: QComboBox, items: Sequence[tuple[str, Any]]) -> None:
    """Fill a box with texts and what they stand for, without a signal; keep the choice if that is there."""
    chosen = box.currentData()
    with signals_blocked(box):
        box.clear()
        for text, data in items:
            box.addItem(text, data)
        box.setCurrentIndex(max(0, index_of(box, chosen)) if items else -1)


def index_of(box: QComboBox, data: object) -> int:
    """Where a box holds an object, else -1; napari wraps the same layer in new objects, which are equal."""
    for k in range(box.count()):
        held = box.itemData(k)
        if held is data or (held is not None and data is not None and held == data):
            return k
    return -1


def single_shot(slot: Callable[[], None], wait_ms: int, parent: QObject) -> QTimer:
    """Return a timer that calls a slot once, this many milliseconds after its last start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(wait_ms)
    timer.timeout.connect(slot)
    return timer


@contextmanager
def signals_blocked(*senders: QObject) -> Iterator[None]:
    """Block the signals of some objects for a while."""
    before = [each.blockSignals(True) for each in senders]
    try:
        yield
    finally:
        for each, was_blocked in zip(senders, before, strict=True):
            each.blockSignals(was_blocked)
