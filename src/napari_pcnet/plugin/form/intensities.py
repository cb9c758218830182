"""The field that chooses which intensities count as black and as white."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_pcnet.options import IntensityRange
from napari_pcnet.plugin.boxes import FormRows, choice_box, index_of, offer

if TYPE_CHECKING:
    from napari.layers import Image

EXTREMES, LIMITS, PERCENTILES, RECORDED = "extremes", "contrast limits", "percentiles", "recorded"

AGAINST_OUTLIERS = ("0.1%", "99.9%")
"""Percentiles that a few hot or dead pixels do not move."""


class IntensitiesField(QObject):
    """The field that chooses which intensities count as black and as white.

    Parameters
    ----------
    rows : FormRows
        The form, to which the field is added.
    """

    changed = Signal()

    def __init__(self, rows: FormRows) -> None:
        super().__init__(rows)
        self._recorded: IntensityRange | None = None
        self.box = choice_box()
        rows.add(
            "Intensities",
            self.box,
            "What counts as black and white: the image's extremes, its contrast limits, or percentiles "
            "that outliers do not move",
        )
        self.offer(None)
        self.box.currentIndexChanged.connect(self.changed)

    def chosen(self, layer: Image) -> IntensityRange | None:
        """The record's `intensity_range` for an image."""
        choice = self.box.currentData()
        if choice == LIMITS:
            low, high = layer.contrast_limits
            return float(low), float(high)
        return {PERCENTILES: AGAINST_OUTLIERS, RECORDED: self._recorded}.get(choice)

    def offer(self, layer: Image | None) -> None:
        """Offer what a layer has; the choice stays if it is still there. Those of RGB have no limits."""
        items = [("whole range", EXTREMES), (" to ".join(AGAINST_OUTLIERS), PERCENTILES)]
        if layer is not None and not layer.rgb:
            items.insert(1, ("contrast limits", LIMITS))
        if self._recorded is not None:
            items.append((" to ".join(map(_text, self._recorded)), RECORDED))
        offer(self.box, items)

    def use(self, recorded: IntensityRange | None, layer: Image | None) -> None:
        """Choose the range of a record; intensities that it names are offered, too."""
        named = recorded not in (None, AGAINST_OUTLIERS)
        self._recorded = recorded if named else None
        self.offer(layer)
        choice = RECORDED if named else EXTREMES if recorded is None else PERCENTILES
        self.box.setCurrentIndex(index_of(self.box, choice))

    def follow_limits(self) -> None:
        """A layer has other contrast limits: another value is chosen where these are."""
        if self.box.currentData() == LIMITS:
            self.changed.emit()


def _text(limit: float | str) -> str:
    return limit if isinstance(limit, str) else f"{limit:g}"
