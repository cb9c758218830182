"""Messages to the user: one line below the fields."""

from __future__ import annotations

import re
from collections.abc import Callable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_pcnet.plugin.field_names import in_fields

LEAST_LINES = 10
"""Height of the lines below the fields where they are fewer: as much as the device, the outlook and a message
of three lines take with the space between them, so that such a message covers no field that is in view."""

NO_BREAK = "\N{NO-BREAK SPACE}"

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|h|MB|GB)\b)|(?<=\d) (?=x \d)|(?<=\d x) (?=\d)")
"""Spaces between a number and its unit, and within a size such as 300 x 451."""


class WrappedLabel(QLabel):
    """A label for a sentence, which may be copied and may wrap, though not between a number and its unit."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str | None) -> None:  # noqa: N802  # Qt's name
        """Show a text."""
        self._text = text or ""
        super().setText(_BEFORE_UNIT.sub(NO_BREAK, self._text))

    def text(self) -> str:
        """The text as it was given, with plain spaces."""
        return self._text


class MessageLine(WrappedLabel):
    """The widget's last message."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("message")
        self._of_preview = ""
        self._refusal: tuple[str, object] = ("", None)

    def show_message(self, text: str) -> None:
        """Show a message; an empty one clears the line."""
        self.setText(sentence(in_fields(text)))
        self.changed.emit()

    def show_preview_message(self, text: str) -> None:
        """Show why there is no preview; an empty message clears only what an earlier one has left."""
        if text or self.text() == self._of_preview:
            self.show_message(text)
        self._of_preview = sentence(in_fields(text))

    def show_refusal(self, text: str, choice: object) -> None:
        """Show why a run of what is chosen can't be done."""
        self.show_message(text)
        self._refusal = self.text(), choice

    def follow_choice(self, choice: Callable[[], object]) -> None:
        """Clear a refusal, if there is one and it is of another choice."""
        refusal, refused = self._refusal
        if refusal and refused != choice():
            self._refusal = ("", None)
            if self.text() == refusal:
                self.show_message("")


def lines_below(*labels: WrappedLabel) -> QWidget:
    """Return lines of text in a place of their own below all fields and buttons.

    They come and change by themselves, and nothing that is under the mouse may move with them.
    """
    lines = QWidget()
    column = QVBoxLayout(lines)
    column.setContentsMargins(6, 4, 6, 6)
    column.setSpacing(2)
    for label in labels:
        column.addWidget(label)
    column.addStretch()
    lines.setMinimumHeight(LEAST_LINES * lines.fontMetrics().lineSpacing())
    return lines


def sentence(text: str) -> str:
    """A message with a capital letter.

    >>> sentence("open an image first")
    'Open an image first'
    """
    return text[:1].upper() + text[1:]
