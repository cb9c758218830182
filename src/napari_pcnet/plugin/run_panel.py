"""The controls of a run: preview, Run and Cancel, progress; and the lines that say what it is about."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_pcnet.plugin.boxes import row
from napari_pcnet.plugin.messages import MessageLine, WrappedLabel
from napari_pcnet.progress import duration


class RunPanel(QWidget):
    """Buttons and bar between the form and the cuts; the widget puts the lines below all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._of_run = ""  # the message of a run under way
        self.live = QCheckBox("Live preview of what is in view")
        self.info, self.message = WrappedLabel(), MessageLine()
        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        self.progress = QProgressBar()
        self.live.setToolTip("Superpixels of the visible part, updated as the view or a setting changes")
        self.run_button.setToolTip("Segment (Ctrl+Alt+R)")
        self.cancel_button.setToolTip("Stop, and leave every layer as it was (Ctrl+Alt+X)")
        self.progress.setToolTip("How far the run is, and the time left")
        self.message.changed.connect(self._say_once)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.live)
        column.addLayout(row(self.run_button, self.cancel_button))
        column.addWidget(self.progress)

    def show_info(self, text: str) -> None:
        """Show what a run would make, need and take, or why there can be none."""
        self.info.setText(text)
        self._say_once()

    def show_started(self, name: str) -> None:
        """Show that a run on an image is under way: its pixels are read, nobody knows how long."""
        self._show_of_run(f"segmenting '{name}' ...")
        self._show_busy()

    def show_waiting(self) -> None:
        """Show that a run begins as soon as all is loaded that it needs."""
        self._show_of_run("getting ready ...")
        self._show_busy()

    def show_progress(self, done: int, total: int, seconds_left: float) -> None:
        """Show how far the network is; behind its last window comes what is not counted."""
        if done >= total:
            self._show_busy()
            return
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(f"%p %, {duration(seconds_left)} left")

    def show_stopping(self) -> None:
        """Show that a run is about to stop."""
        self._show_of_run("stopping ...")
        self._show_busy()

    def show_no_run(self) -> None:
        """Empty the bar, and the line where it still speaks of the run."""
        if self._of_run and self.message.text() == self._of_run:
            self.message.show_message("")
        self._of_run = ""
        self.progress.setRange(0, 1)
        self.progress.reset()
        self.progress.setFormat("")

    def _show_of_run(self, text: str) -> None:
        self.message.show_message(text)
        self._of_run = self.message.text()

    def _say_once(self) -> None:
        """Hide the line about a run where the message below says the same."""
        self.info.setHidden(self.info.text() == self.message.text())

    def _show_busy(self) -> None:
        """Let the bar move without an end."""
        self.progress.setRange(0, 0)

    def enable(self, *, running: bool, has_image: bool) -> None:
        """Enable Run or Cancel."""
        self.run_button.setEnabled(not running and has_image)
        self.cancel_button.setEnabled(running)
