"""The box for training: which labels belong to which image, a few numbers, and the curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QGroupBox,
    QHeaderView,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pcnet.plugin.boxes import (
    FormRows,
    WheelNeedsFocus,
    choice_box,
    count_box,
    index_of,
    number_box,
    row,
)
from napari_pcnet.plugin.curve import TrainingCurve
from napari_pcnet.plugin.layer_pairs import LayerPair, shape_of_labels
from napari_pcnet.plugin.training import Choice, Record, Trained
from napari_pcnet.training.finetune_options import FinetuneOptions

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_pcnet.plugin.source import Source

NOT_USED = "not used"
"""Stands for the labels of an image that is not learnt from."""

TABLE_HEIGHT_PX = 100
RATE_DECIMALS = 5
LARGEST_SEED = 2**31 - 1

MEANINGS = {
    "association": "which pixels belong together",
    "merging": "whether two superpixels that touch belong to one object",
}
"""What the network learns in each of the two trainings."""

PARTS = tuple(MEANINGS)


class TrainingPanel(QGroupBox):
    """Fields, buttons and curves; closed until its title is ticked."""

    def __init__(self) -> None:
        super().__init__("Train")
        self.setCheckable(True)
        self.table = QTableWidget(0, 2)
        self.steps, self.rate, self.seed = count_box(), number_box(RATE_DECIMALS), count_box()
        self.name = QLineEdit()
        self.train_button, self.cancel_button = QPushButton("Train"), QPushButton("Cancel training")
        self.progress = QProgressBar()
        self.curves = tuple(map(TrainingCurve, PARTS))
        self._sources: list[Source] = []
        self._offered: list[tuple[Source | Labels, str]] = []
        self._boxes: list[QComboBox] = []
        self._part = 0
        self._inside = QWidget()
        self._wheel = WheelNeedsFocus(self)
        self._set_up_fields()
        self._lay_out()
        self._set_tips()
        self.toggled.connect(self._inside.setVisible)
        self.setChecked(False)
        self.enable(training=False)

    # -- what is chosen ----------------------------------------------------------------------------

    def choice(self, model: str, device: str) -> Choice:
        """The training that is chosen, from a model and on a device of the form."""
        pairs = tuple(
            LayerPair(source, box.currentData())
            for source, box in zip(self._sources, self._boxes, strict=True)
            if box.currentData() is not None
        )
        options = FinetuneOptions(
            Path(),  # where the layers are written is not known yet
            start=model,
            steps=self.steps.value(),
            learning_rate=self.rate.value(),
            seed=self.seed.value(),
            device=device,
        )
        return Choice(self.name.text().strip(), pairs, options)

    def offer(self, sources: Sequence[Source], labels: Sequence[Labels]) -> None:
        """Offer images and layers of labels; what is chosen for an image stays, if it is there."""
        offered = [(each, each.name) for each in (*sources, *labels)]
        if offered == self._offered:
            return
        self._offered = offered
        before = [
            (source.layers, box.currentData()) for source, box in zip(self._sources, self._boxes, strict=True)
        ]
        self._sources, self._boxes = list(sources), []
        self.table.setRowCount(len(sources))
        for at, source in enumerate(sources):
            chosen = [given for layers, given in before if layers == source.layers]
            wanted = chosen[0] if chosen else _likely(source, labels, is_only=len(sources) == 1)
            box = choice_box()
            self._wheel.keep(box)
            box.addItem(NOT_USED, None)
            for each in labels:
                box.addItem(each.name, each)
            box.setCurrentIndex(max(0, index_of(box, wanted)))
            self._boxes.append(box)
            item = QTableWidgetItem(source.name)
            item.setToolTip(source.name)
            self.table.setItem(at, 0, item)
            self.table.setCellWidget(at, 1, box)

    # -- a training comes and goes -----------------------------------------------------------------

    def enable(self, *, training: bool) -> None:
        """Enable Train or Cancel."""
        self.train_button.setEnabled(not training)
        self.cancel_button.setEnabled(training)

    def show_started(self) -> None:
        """Show that the layers are read: nobody knows how long."""
        for curve in self.curves:
            curve.begin(1)
        self._show(0, 0, "reading the layers")
        self.enable(training=True)

    def show_part(self, part: int, steps: int) -> None:
        """Show that one of the two trainings begins."""
        self._part = part
        self.curves[part].begin(steps)
        self._show(0, steps, f"{PARTS[part]}, step %v of %m")

    def show_step(self, record: Record) -> None:
        """Show what was measured at a step."""
        self.curves[self._part].add(record)
        self.progress.setValue(int(record["step"]))

    def show_fitting(self, done: int, total: int) -> None:
        """Show how far that is which comes behind the steps."""
        self._show(done, total, "fitting and comparing, %v of %m")

    def show_stopping(self) -> None:
        """Show that the training is about to stop."""
        self._show(0, 0, "stopping")

    def show_over(self) -> None:
        """Show that no training is under way."""
        self._show(0, 1, "")
        self.progress.reset()
        self.enable(training=False)

    def show_trained(self, trained: Trained) -> None:
        """Empty the name: it is taken now."""
        if trained.is_kept:
            self.name.clear()

    def _show(self, done: int, total: int, text: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(text)

    # -- putting together --------------------------------------------------------------------------

    def _set_up_fields(self) -> None:
        self.steps.setValue(FinetuneOptions.steps)
        self.rate.setValue(FinetuneOptions.learning_rate)
        self.seed.setRange(0, LARGEST_SEED)
        self.seed.setValue(FinetuneOptions.seed)
        self.name.setPlaceholderText("of the new weights")
        self.table.setHorizontalHeaderLabels(["Image", "Labels"])
        self.table.verticalHeader().hide()
        self.table.setFixedHeight(TABLE_HEIGHT_PX)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def _lay_out(self) -> None:
        rows = FormRows()
        rows.add("Name", self.name, "The new weights are in the list of models under this name")
        rows.add(
            "Steps", self.steps, "At most, of the first training; it stops when scores no longer improve"
        )
        rows.add("Learning rate", self.rate, "The highest, after some steps of warm-up; it falls to 0")
        rows.add("Seed", self.seed, "Of the random crops and their augmentation")
        column = QVBoxLayout(self._inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.table)
        column.addLayout(rows)
        column.addLayout(row(self.train_button, self.cancel_button))
        column.addWidget(self.progress)
        column.addLayout(row(*self.curves))
        QVBoxLayout(self).addWidget(self._inside)

    def _set_tips(self) -> None:
        for widget, tip in (
            (self, "Teach the model chosen above your own outlines, on the device chosen above"),
            (
                self.table,
                "The labels of each image: objects or classes of all of it, for 0 is learnt as one, too. "
                "Each plane of a stack is a picture; one picture alone is cut into quarters",
            ),
            (self.train_button, "Train; a part of the pictures is held out and decides what is kept"),
            (self.cancel_button, "Stop, and keep nothing of this training"),
            (self.progress, "How far the training is"),
            *(
                (
                    curve,
                    f"The network learns {meaning}: the loss of each step, and the accuracy of the pictures "
                    "held out",
                )
                for curve, meaning in zip(self.curves, MEANINGS.values(), strict=True)
            ),
        ):
            widget.setToolTip(tip)


def _likely(source: Source, labels: Sequence[Labels], *, is_only: bool) -> Labels | None:
    """The labels of an image, if they are easily told: by their name, or there is one of each."""
    shape = shape_of_labels(source)
    fitting = [each for each in labels if _shape(each) == shape]
    named = [each for each in fitting if each.name.startswith(source.name)]
    likely = named or (fitting if is_only and len(fitting) == 1 else [])
    return likely[0] if likely else None


def _shape(labels: Labels) -> tuple[int, ...]:
    array = labels.data[0] if labels.multiscale else labels.data
    return tuple(map(int, array.shape))
