"""Small parts of the dock widget that Qt has not got ready."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QMenu, QSlider, QSpinBox, QToolButton, QWidget

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
        self.blockSignals(True)
        self.setValue(round(self.STEPS * min(1.0, share)))
        self.blockSignals(False)

    def _number(self, at: int) -> float:
        ratio: float = (self._high / self._low) ** (at / self.STEPS)
        return self._low * ratio


class Channels(QToolButton):
    """Which channels of several are taken: a menu of check marks."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setMenu(QMenu(self))
        self.setStyleSheet("padding-right: 14px")  # the arrow's place
        self.set_count(1)

    def set_count(self, number: int) -> None:
        """Offer so many, all of them taken."""
        self.menu().clear()
        for channel in range(number):
            action = self.menu().addAction(str(channel))
            action.setCheckable(True)
            action.setChecked(True)
            action.toggled.connect(self._toggle)
        self._name()

    def chosen(self) -> tuple[int, ...] | None:
        """Channels that are taken, from 0; None for all."""
        checked = self._checked()
        return None if len(checked) == len(self.menu().actions()) else checked

    def choose(self, channels: tuple[int, ...] | None) -> None:
        """Take these; None for all."""
        for number, action in enumerate(self.menu().actions()):
            action.blockSignals(True)
            action.setChecked(channels is None or number in channels)
            action.blockSignals(False)
        self._name()

    def _checked(self) -> tuple[int, ...]:
        return tuple(k for k, action in enumerate(self.menu().actions()) if action.isChecked())

    def _toggle(self) -> None:
        self._name()
        self.changed.emit()

    def _name(self) -> None:
        checked, number = self._checked(), len(self.menu().actions())
        self.setText(f"all {number}" if len(checked) == number else ", ".join(map(str, checked)) or "none")


def count_box(largest: int = LARGEST_COUNT) -> QSpinBox:
    """Return a box for a count from 1; it speaks when typing has ended."""
    box = QSpinBox()
    box.setRange(1, largest)
    box.setKeyboardTracking(False)
    box.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
    return box


def size_box(decimals: int = 1) -> QDoubleSpinBox:
    """Return a box for a length; it speaks when typing has ended."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(10.0**-decimals, 1e6)
    box.setKeyboardTracking(False)
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    return box


def narrow(box: QComboBox) -> QComboBox:
    """Let a combo box be narrower than its longest entry, so that the dock may be, too."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def note() -> QLabel:
    """Return a label for a sentence, which may wrap and be copied."""
    label = QLabel()
    label.setWordWrap(True)
    label.setAlignment(Qt.AlignmentFlag.AlignTop)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
