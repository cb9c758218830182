"""Fields that say how many superpixels: a count, or the side of a mean one in pixels or the layer's units."""

from __future__ import annotations

import math
from typing import Literal

from qtpy.QtCore import QObject, Signal

from napari_pcnet.plugin.boxes import LARGEST_COUNT, FormRows, count_box, number_box, signals_blocked
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.source import Source

Held = Literal["count", "pixels", "units"]
"""Which of the linked numbers was set last, and holds when the region changes."""


class SizeFields(QObject):
    """Three linked fields for the number of superpixels.

    Parameters
    ----------
    rows : FormRows
        The form, to which the fields are added.
    count : int
        The number that the form begins with.
    """

    changed = Signal()

    def __init__(self, rows: FormRows, count: int) -> None:
        super().__init__(rows)
        self._rows = rows
        self._held: Held = "count"
        self.count, self.size_px, self.size_units = count_box(), number_box(), number_box(3)
        self.count.setValue(count)
        rows.add("Superpixels", self.count, "How many; of a stack, in each plane")
        rows.add("Size, pixels", self.size_px, "The same as the side of a mean superpixel, in pixels")
        rows.add("Size, world", self.size_units, "The same in the layer's units")
        self.count.valueChanged.connect(lambda: self._hold("count"))
        self.size_px.valueChanged.connect(lambda: self._hold("pixels"))
        self.size_units.valueChanged.connect(lambda: self._hold("units"))

    def use(self, count: int) -> None:
        """Set the count, the largest possible if it is beyond the field, and hold it."""
        self.count.setValue(min(count, LARGEST_COUNT))
        self._hold("count")

    def link(self, source: Source, region: RegionOfInterest) -> None:
        """Keep the number that is held, and set the other two by the area of a region."""
        area_px = region.area_px(source)
        height, width = source.pixel_size
        per_px = math.sqrt(height * width)
        if self._held == "count":
            side = math.sqrt(area_px / self.count.value())
        else:
            side = self.size_px.value() if self._held == "pixels" else self.size_units.value() / per_px
        with signals_blocked(self.count, self.size_px, self.size_units):
            self.size_units.setDecimals(max(1, min(12, 2 - math.floor(math.log10(per_px)))))
            self.size_units.setMinimum(10.0 ** -self.size_units.decimals())
            if self._held != "count":
                self.count.setValue(max(1, min(LARGEST_COUNT, round(area_px / side**2))))
            if self._held != "pixels":
                self.size_px.setValue(side)
            if self._held != "units":
                self.size_units.setValue(side * per_px)
        self._show_unit(source, per_px)

    def _show_unit(self, source: Source, per_px: float) -> None:
        units = {source.layer.units[axis] for axis in source.plane_axes}
        unit = units.pop() if len(units) == 1 else None
        is_pixel = str(unit) == "pixel"
        self.size_units.setSuffix("" if unit is None or is_pixel else f" {unit:~}")
        self._rows.set_shown(self.size_units, not is_pixel or not math.isclose(per_px, 1))

    def _hold(self, which: Held) -> None:
        self._held = which
        self.changed.emit()
