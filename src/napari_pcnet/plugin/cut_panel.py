"""What can be done without a second run: sliders that cut the trees, and buttons for what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QGroupBox, QLabel, QMenu, QPushButton, QVBoxLayout

from napari_pcnet.plugin.boxes import LogSlider, count_box, row, side_by_side, signals_blocked

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy


class CutPanel(QGroupBox):
    """Sliders and buttons below the run."""

    count_moved = Signal(int)
    """A user chose another count."""
    height_moved = Signal(float)
    """A user chose another height."""
    column_chosen = Signal(str)
    """A user chose a column to colour superpixels by."""

    def __init__(self) -> None:
        super().__init__("Without a second run")
        self.n_slider, self.height_slider = LogSlider(), LogSlider()
        self.n_box, self.height_label = count_box(), QLabel()
        self.height_label.setMinimumWidth(60)
        self.nested_button = QPushButton("Coarse, medium, fine")
        self.editable_button = QPushButton("Make editable")
        self.python_button = QPushButton("Copy as Python")
        self.command_button = QPushButton("Copy as command")
        self.use_button, self.colour_button = QPushButton("Use its settings"), QPushButton("Colour by")
        self.column_menu = QMenu(self)
        self.colour_button.setMenu(self.column_menu)
        self._lay_out()
        self._set_tips()
        self.n_slider.moved.connect(lambda n: self.count_moved.emit(round(n)))
        self.n_box.valueChanged.connect(self.count_moved)
        self.height_slider.moved.connect(self.height_moved)

    def show_trees(self, hierarchy: PCNetHierarchy, n: int, height: float | None) -> None:
        """Set the sliders' limits by the trees of a run, and show their cut at a count or a height."""
        heights = hierarchy.heights[hierarchy.heights > 0]
        low, high = (float(heights[0]), float(heights[-1])) if len(heights) else (1.0, 1.0)
        self.n_slider.set_limits(hierarchy.n_min, hierarchy.n_base)
        self.height_slider.set_limits(low, high)
        with signals_blocked(self.n_box):
            self.n_box.setRange(hierarchy.n_min, hierarchy.n_base)
        self.show_cut(hierarchy, n, height)

    def show_cut(self, hierarchy: PCNetHierarchy, n: int, height: float | None) -> None:
        """Show where a cut is: n superpixels in the first plane, and the height of their last merge."""
        tree = hierarchy.trees[0]
        merges = tree.leaves - n
        at = height if height is not None else float(tree.height[merges - 1]) if merges else 0.0
        with signals_blocked(self.n_box):
            self.n_box.setValue(n)
        self.n_slider.show_number(n)
        self.height_slider.show_number(at)
        self.height_label.setText(f"{at:,.0f}" if at >= 100 else f"{at:.3g}")

    def show_no_trees(self) -> None:
        """Show no height: there is nothing to cut."""
        self.height_label.clear()

    def offer_columns(self, names: Sequence[str]) -> None:
        """Offer columns in the menu; none are said to be there if there are none."""
        self.column_menu.clear()
        for name in names:
            action = self.column_menu.addAction(name.replace("&", "&&"))  # one & marks a key
            action.triggered.connect(partial(self.column_chosen.emit, name))
        if not names:
            self.column_menu.addAction("the selected layer has no table").setEnabled(False)

    def enable(self, *, trees: bool, labels: bool, record: bool) -> None:
        """Enable what needs the trees of a run, its labels, and its record."""
        for widget in (
            self.n_slider,
            self.n_box,
            self.height_slider,
            self.nested_button,
        ):
            widget.setEnabled(trees)
        self.editable_button.setEnabled(labels)
        for button in (self.python_button, self.command_button, self.use_button):
            button.setEnabled(record)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.addRow("Count", side_by_side(self.n_slider, self.n_box))
        form.addRow("Height", side_by_side(self.height_slider, self.height_label))
        column = QVBoxLayout(self)
        column.setSpacing(4)
        column.addLayout(form)
        column.addLayout(row(self.nested_button, self.editable_button))
        column.addLayout(row(self.python_button, self.command_button))
        column.addLayout(row(self.use_button, self.colour_button))

    def _set_tips(self) -> None:
        for widget, tip in (
            (self.n_slider, "Another number of superpixels, from the same tree"),
            (self.n_box, "Another number of superpixels, from the same tree"),
            (self.height_slider, "Merge all that is cheaper than this: more where there is more to see"),
            (self.nested_button, "Three layers, of n, n / 4 and n / 16 superpixels, one inside the other"),
            (
                self.editable_button,
                "A filled copy that can be painted on, in place of the outlines",
            ),
            (self.python_button, "A script that makes the selected superpixels again"),
            (self.command_button, "A command for a terminal that makes the selected superpixels again"),
            (self.colour_button, "A layer in which each region has the colour of a value in its table"),
            (self.use_button, "Set the fields above as they were for the selected superpixels"),
        ):
            widget.setToolTip(tip)
        self.column_menu.setToolTip(self.colour_button.toolTip())
