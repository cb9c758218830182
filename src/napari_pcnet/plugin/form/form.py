"""The form as a whole: from its fields to the image, the region and the record of a run, and back."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields, replace

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_pcnet.disk.memory import free_bytes
from napari_pcnet.geometry.estimate import LARGE_PX, NO_HALO
from napari_pcnet.geometry.grid import OF_THE_PAPER
from napari_pcnet.options import Options
from napari_pcnet.plugin.boxes import FormRows, signals_blocked
from napari_pcnet.plugin.cost import Cost, cost_of, finest_that_fits, outlook, why_this_level
from napari_pcnet.plugin.field_names import field_of, in_fields
from napari_pcnet.plugin.form.image import ImageFields
from napari_pcnet.plugin.form.intensities import IntensitiesField
from napari_pcnet.plugin.form.network import NetworkFields
from napari_pcnet.plugin.form.options import OptionFields
from napari_pcnet.plugin.form.output import OutputField
from napari_pcnet.plugin.form.region import RegionField
from napari_pcnet.plugin.form.size import SizeFields
from napari_pcnet.plugin.machine import Machine
from napari_pcnet.plugin.messages import sentence
from napari_pcnet.plugin.preview import NAME as PREVIEW_NAME
from napari_pcnet.plugin.preview import Preview
from napari_pcnet.plugin.roi import RecordedRegion, RegionOfInterest
from napari_pcnet.plugin.settings import Settings, form_options
from napari_pcnet.plugin.source import Source
from napari_pcnet.plugin.texts import MASK_IS_LAYER
from napari_pcnet.plugin.view import View
from napari_pcnet.record import Origin, RunRecord

OWN_FIELDS = ("n_segments", "model", "channel_axis", "intensity_range", "spacing", "device")
"""Options that have fields of their own, or follow from the image."""

WRITE_IT = "A new folder under 'Write to' takes the labels window by window, in less memory."
"""What helps where an image is lazy."""


class Form(QWidget):
    """The fields of a run.

    Parameters
    ----------
    view : View
        What "this plane" and "current view" mean.
    settings : Settings
        What the fields begin with.
    """

    changed = Signal()
    """Another value is chosen."""
    device_changed = Signal()
    """Another device is chosen."""

    def __init__(self, view: View, settings: Settings) -> None:
        super().__init__()
        self._view = view
        self._memory_share = settings.memory_share
        self._halo, self._fineness = NO_HALO, OF_THE_PAPER
        rows = FormRows()
        self.setLayout(rows)
        self.image = ImageFields(rows, self._finest_that_fits)
        self.region_field = RegionField(rows, view)
        self.output = OutputField(rows)
        self.size_fields = SizeFields(rows, settings.n_segments)
        self.options = OptionFields(rows, form_options(), settings.options)
        self.intensities = IntensitiesField(rows)
        self.network = NetworkFields(rows, settings.device)
        self.image.changed.connect(lambda: self.intensities.offer(self.image.with_limits))
        self.image.changed.connect(lambda: self.output.offer(self.image.is_lazy))
        fields_of_run = (
            self.region_field,
            self.output,
            self.size_fields,
            self.options,
            self.intensities,
            self.network,
        )
        for part in (self.image, *fields_of_run):
            part.changed.connect(self.changed)
        self.network.device_changed.connect(self.device_changed)

    # -- what is chosen ----------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many superpixels in each plane."""
        return int(self.size_fields.count.value())

    def source(self, level: int | None = None) -> Source | None:
        """The chosen image, at the chosen level unless another is named; None without an image."""
        return self.image.source(level)

    def region(self, source: Source) -> RegionOfInterest:
        """The chosen region of an image; a ValueError says why there is none."""
        return self.region_field.region(source)

    def record(self, source: Source, region: RegionOfInterest) -> RunRecord:
        """The record of the chosen run.

        Raises
        ------
        ValueError
            If "this plane" is chosen, and the viewer shows none.
        """
        one_plane = source.has_planes and not self.image.all_planes
        if one_plane and not self._view.shows_planes(source):
            raise ValueError(
                "the viewer shows no plane of the image; look at rows and columns in 2D, or choose all planes"
            )
        crop = region.crop and (region.crop.top, region.crop.left, region.crop.bottom, region.crop.right)
        return RunRecord(
            self.count,
            model=self.network.model,
            channel_axis=source.record_axis,
            channels=self.image.channels_of(source),
            intensity_range=self.intensities.chosen(source.layer),
            spacing=source.spacing,
            device=self.network.device,
            level=source.level,
            plane=source.plane_at(self._view.point) if one_plane else None,
            crop=crop,
            mask=None if region.mask is None else MASK_IS_LAYER,
            **self.options.values(),
        )

    def outlook(self, px_per_s: float) -> str:
        """Say what the chosen run would make, need and take, or why there is none; link the sizes to it."""
        source = self.source()
        if source is None:
            return "Open an image to begin."
        try:
            region = self.region(source)
            self.record(source, region)
        except ValueError as error:
            return sentence(in_fields(str(error)))
        self.size_fields.link(source, region)
        area_px = region.area_px(source)
        if region.mask is None and self.count > area_px:
            return f"{self.count:,} superpixels are more than the {area_px:,.0f} pixels."
        n_planes = len(source.planes().indices) if self.image.all_planes else 1
        cost, shape = self._cost_of(source, region), region.shape(source)
        text = outlook(self.count, n_planes, shape, cost, px_per_s)
        more = (self._why_this_level(source), self._why_write(source, shape, cost))
        return " ".join(filter(None, (text, *more)))

    def preview(self) -> Preview | None:
        """The part of the chosen run that is in view, at the level that is drawn if that is a coarser one.

        Raises
        ------
        ValueError
            If there is none; the message says why.
        """
        layer, chosen = self.image.layer, self.source()
        if layer is None or chosen is None:
            return None
        source = self.source(max(chosen.level, layer.data_level if layer.multiscale else 0))
        assert source is not None, "there is an image"
        if not self._view.shows_planes(source):
            raise ValueError("the preview shows planes; look at rows and columns in 2D")
        region = self.region(source)
        return Preview.in_view(self._view, source, region, self.record(source, region))

    def _why_this_level(self, source: Source) -> str:
        if not source.layer.multiscale or not self.image.is_level_open:
            return ""
        finer = None
        if source.level > 0:
            finer = self._cost(replace(source, level=source.level - 1))
        return why_this_level(source.level, finer, self._allowed_bytes)

    def _why_write(self, source: Source, shape: tuple[int, int], cost: Cost) -> str:
        """Suggest the disk where an image is lazy, and memory short or a plane large."""
        if not self.output.is_offered or self.output.path is not None or self._is_smoothed:
            return ""
        is_coarser = self.image.is_level_open and source.level > 0
        is_much = cost.total_bytes > free_bytes() or math.prod(shape) >= LARGE_PX
        return WRITE_IT if is_coarser or is_much else ""

    def _finest_that_fits(self, levels: Sequence[Source]) -> Source:
        return finest_that_fits(levels, self._cost, self._allowed_bytes)

    def _cost(self, source: Source) -> Cost | None:
        """The cost of the chosen run on an image; None where it has no region."""
        try:
            region = self.region(source)
        except ValueError:  # reported where a run, or its outlook, is asked for
            return None
        return self._cost_of(source, region)

    def _cost_of(self, source: Source, region: RegionOfInterest) -> Cost:
        held = self.output.path is None or self._is_smoothed
        return cost_of(source, region, self.count, self._halo, self._fineness, held=held)

    @property
    def _is_smoothed(self) -> bool:
        """Whether outlines are smoothed, which takes a whole plane in any case."""
        return bool(self.options.values()["smoothing"])

    @property
    def _allowed_bytes(self) -> float:
        return self._memory_share * free_bytes()

    # -- choosing ----------------------------------------------------------------------------------

    def offer(self, layers: Sequence[Layer], results: Collection[Layer]) -> list[Shapes | Labels]:
        """Offer the layers of a viewer; return those that may outline a region, results and preview aside."""
        images = [each for each in layers if isinstance(each, Image) and each.ndim > 1]
        regions = [
            each
            for each in layers
            if isinstance(each, Shapes | Labels) and each not in results and PREVIEW_NAME not in each.metadata
        ]
        with signals_blocked(self):
            self.region_field.offer(regions)
            self.image.offer(images)
        self.changed.emit()
        return regions

    def use(self, record: RunRecord, origin: Origin, region: RecordedRegion | None) -> None:
        """Set all fields as a record has them, and show its plane.

        Raises
        ------
        ValueError
            If the chosen image has other axes.
        """
        self.image.choose_named(origin.image)
        source = self.source()
        if source is None:
            return
        with signals_blocked(self):
            self.image.use(record)
            self.size_fields.use(record.tree_segments)
            self.options.use(record)
            self.intensities.use(record.intensity_range, self.image.with_limits)
            self.network.use(record.model, record.device)
            self.region_field.use(region)
        self.changed.emit()
        if record.plane is not None and len(record.plane) == len(source.planes().leading):
            self._view.move_to_plane(source, record.plane)

    def show_machine(self, machine: Machine) -> None:
        """Offer the machine's devices, and take its network into account from now on."""
        self._halo, self._fineness = machine.halo, machine.fineness
        self.network.show_machine(machine)

    def not_shown(self, record: RunRecord, origin: Origin) -> str:
        """Say what of a record no field shows: another image, the cut, options out of a field's range."""
        parts = []
        if origin.image != self.image.layer_box.currentText():
            parts.append(f"'{origin.image}' is not open")
        if record.tree_segments != self.count:
            parts.append(f"the count is {self.count:,}, was {record.tree_segments:,}")
        if record.height is not None:
            parts.append(f"then slide the height to {record.height:,.6g}")
        elif record.max_segments is not None:
            parts.append(f"then slide the count to {record.n_segments:,}")
        chosen = self.options.values()
        for option in fields(Options):
            value = getattr(record, option.name)
            shown = chosen.get(option.name, option.default)
            if option.name not in OWN_FIELDS and value != shown:
                given = f"is {shown:g}, was {value:g}" if option.name in chosen else f"was {value}: no field"
                parts.append(f"{field_of(option.name)} {given}")
        if record.nodata is not None:
            parts.append(f"pixels of {record.nodata:g} were outside: choose a region without them")
        return "; ".join(parts)
