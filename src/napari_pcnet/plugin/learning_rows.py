"""The rows of the box for annotating that learn the rest."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from napari_pcnet.plugin.boxes import row

FILES = "Forests (*.safetensors)"
SUFFIX = ".safetensors"


class LearningRows(QWidget):
    """Buttons to learn, to go to what is uncertain, to accept, and for the file of a forest."""

    load_chosen = Signal(str)
    """A user chose the file of a forest."""
    save_chosen = Signal(str)
    """A user chose where to write one."""

    def __init__(self) -> None:
        super().__init__()
        self.learn_button, self.after_each = QPushButton("Learn"), QCheckBox("After each stroke")
        self.next_button, self.accept_button = QPushButton("Next (N)"), QPushButton("Accept class")
        self.load_button, self.save_button = QPushButton("Load forest..."), QPushButton("Save forest...")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row(self.learn_button, self.after_each))
        column.addLayout(row(self.next_button, self.accept_button))
        column.addLayout(row(self.load_button, self.save_button))
        self._set_tips()
        self.load_button.clicked.connect(self._ask_load)
        self.save_button.clicked.connect(self._ask_save)

    def enable(self, *, classes: bool, forest: bool) -> None:
        """Enable what can be done: with classes under way, and with a forest for them."""
        for widget in (self.learn_button, self.after_each, self.load_button):
            widget.setEnabled(classes)
        for widget in (self.next_button, self.accept_button, self.save_button):
            widget.setEnabled(classes and forest)

    def _ask_load(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self.window(), "Load a forest", "", FILES)
        if chosen:
            self.load_chosen.emit(chosen)

    def _ask_save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self.window(), "Save the forest", "", FILES)
        if chosen:
            self.save_chosen.emit(chosen if chosen.lower().endswith(SUFFIX) else f"{chosen}{SUFFIX}")

    def _set_tips(self) -> None:
        for widget, tip in (
            (
                self.learn_button,
                "Learn the classes of all superpixels from those that have one: a forest of decision trees "
                "votes on each",
            ),
            (self.after_each, "Learn again whenever a stroke is done"),
            (
                self.next_button,
                "Go to the superpixel that is least certain, its two likeliest classes having almost as many "
                "votes (N over the picture)",
            ),
            (self.accept_button, "Give all that is predicted to be of the class that is selected this class"),
            (self.load_button, "Take a forest that was learnt on another picture; Learn replaces it"),
            (self.save_button, "Keep the forest, for other pictures and napari-pcnet classify"),
        ):
            widget.setToolTip(tip)
