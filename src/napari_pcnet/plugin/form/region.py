"""The field that chooses the region of interest: the plane, the view, a layer's inside, an earlier run's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox

from napari_pcnet.plugin.boxes import FormRows, choice_box, index_of, offer
from napari_pcnet.plugin.roi import RecordedRegion, RegionOfInterest, inside_labels, inside_shapes
from napari_pcnet.plugin.source import Source, overlap
from napari_pcnet.plugin.view import View

if TYPE_CHECKING:
    from napari.layers import Labels

WHOLE, VIEW = "whole plane", "current view"


class RegionField(QObject):
    """The field that chooses the region of interest.

    Parameters
    ----------
    rows : FormRows
        The form, to which the field is added.
    view : View
    """

    changed = Signal()

    def __init__(self, rows: FormRows, view: View) -> None:
        super().__init__(rows)
        self._view = view
        self._recorded: RecordedRegion | None = None
        self._layers: Sequence[Shapes | Labels] = ()
        self.box = choice_box()
        self.size_box = QCheckBox("labels as large as image")
        rows.add("Region", self.box, "The whole plane, what is in view, or inside a Shapes or Labels layer")
        rows.add(
            "",
            self.size_box,
            "Whether a region's result has the shape of the image, with 0 outside: other tools want that",
        )
        self._rows = rows
        self._show_size_box()
        self.box.currentIndexChanged.connect(self._show_size_box)
        self.box.currentIndexChanged.connect(self.changed)

    @property
    def image_sized(self) -> bool:
        """Whether the labels of a region are to be as large as the image."""
        return bool(self.size_box.isChecked())

    def region(self, source: Source) -> RegionOfInterest:
        """The chosen region of an image.

        Raises
        ------
        ValueError
            If there is none; the message says why.
        """
        chosen = self.box.currentData()
        if chosen == WHOLE:
            return RegionOfInterest()
        if chosen == VIEW:
            return self._in_view(source)
        if isinstance(chosen, RecordedRegion):
            return _as_recorded(chosen, source)
        inside = inside_shapes if isinstance(chosen, Shapes) else inside_labels
        return inside(source, chosen, self._view.point)

    def offer(self, layers: Sequence[Shapes | Labels]) -> None:
        """Offer layers that outline a region; the chosen one stays chosen."""
        self._layers = layers
        inside = [(f"inside '{each.name}'", each) for each in layers]
        recorded = [] if self._recorded is None else [(f"as in '{self._recorded.name}'", self._recorded)]
        offer(self.box, [(WHOLE, WHOLE), (VIEW, VIEW), *inside, *recorded])
        self._show_size_box()

    def use(self, recorded: RecordedRegion | None) -> None:
        """Offer the region of an earlier run and choose it; None chooses the whole plane."""
        self._recorded = recorded
        self.offer(self._layers)
        self.box.setCurrentIndex(index_of(self.box, WHOLE if recorded is None else recorded))

    def _show_size_box(self, _index: int = 0) -> None:
        self._rows.set_shown(self.size_box, self.box.currentData() != WHOLE)

    def _in_view(self, source: Source) -> RegionOfInterest:
        if not self._view.shows_planes(source):
            raise ValueError("the current view is no plane of the image; look at rows and columns in 2D")
        window = self._view.window(source)
        if window is None:
            raise ValueError(f"nothing of '{source.name}' is in view")
        return RegionOfInterest(window)


def _as_recorded(recorded: RecordedRegion, source: Source) -> RegionOfInterest:
    """The region of an earlier run, on an image that may be another one."""
    if recorded.level != source.level:
        raise ValueError(f"the region of '{recorded.name}' is of level {recorded.level}: choose it")
    if recorded.crop is not None and overlap(source.plane_window, recorded.crop) != recorded.crop:
        raise ValueError(f"the region of '{recorded.name}' is not inside '{source.name}'")
    return RegionOfInterest(recorded.crop, mask=recorded.mask, inside=recorded.inside)
