"""Messages to the user: one line below the bar of progress, and how times and sizes are put into words."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel


class WrappedLabel(QLabel):
    """A label for a sentence, which may wrap and be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)


class MessageLine(WrappedLabel):
    """The widget's last message."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("message")
        self._of_preview = ""

    def show_message(self, text: str) -> None:
        """Show a message; an empty one clears the line."""
        self.setText(sentence(text))

    def show_preview_message(self, text: str) -> None:
        """Show why there is no preview; an empty message clears only what an earlier one has left."""
        if text or self.text() == self._of_preview:
            self.show_message(text)
        self._of_preview = sentence(text)


def sentence(text: str) -> str:
    """A message with a capital letter.

    >>> sentence("open an image first")
    'Open an image first'
    """
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(0.24), duration(3.7), duration(200)
    ('0.2 s', '4 s', '3 min 20 s')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"
