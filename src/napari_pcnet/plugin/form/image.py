"""Fields that choose an image: its layer, its level, its axis of channels, its channels and its planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_pcnet.plugin.boxes import (
    Channels,
    FormRows,
    choice_box,
    index_of,
    offer,
    side_by_side,
    signals_blocked,
)
from napari_pcnet.plugin.source import Source, guess_channel_axis, level_shapes
from napari_pcnet.record import RunRecord
from napari_pcnet.shapes import size_text

if TYPE_CHECKING:
    from napari.layers import Image

AUTOMATIC = -1
"""Stands among the levels for the finest one that fits into memory."""

THIS_PLANE, ALL_PLANES = "this plane", "all planes"

ChooseLevel = Callable[[Sequence[Source]], Source]
"""Chooses among the levels of an image, finest first."""


class ImageFields(QObject):
    """Fields that choose an image.

    Parameters
    ----------
    rows : FormRows
        The form, to which the fields are added.
    choose_level : callable
        Chooses the level where the user leaves it open.
    """

    changed = Signal()

    def __init__(self, rows: FormRows, choose_level: ChooseLevel) -> None:
        super().__init__(rows)
        self._rows = rows
        self._choose_level = choose_level
        self._shown: Image | None = None
        self._is_stale = True  # the fields do not show the layer's axes and levels yet
        self.layer_box, self.level_box, self.axis_box = choice_box(), choice_box(), choice_box()
        self.channels, self.planes_box = Channels(), choice_box()
        self.channels_row = side_by_side(self.axis_box, self.channels)
        rows.add("Image", self.layer_box, "The image layer to segment")
        rows.add(
            "Level",
            self.level_box,
            "Level of the pyramid: the finest that fits into memory, or one of your choice",
        )
        rows.add("Channels", self.channels_row, "The axis that holds channels, and which of them to use")
        rows.add(
            "Planes", self.planes_box, "The plane that is shown, or all of them (time, depth), each by itself"
        )
        self.layer_box.currentIndexChanged.connect(self._show_layer)
        self.axis_box.currentIndexChanged.connect(self._show_axis)
        for box in (self.level_box, self.planes_box):
            box.currentIndexChanged.connect(self.changed)
        self.channels.changed.connect(self.changed)

    # -- what is chosen ----------------------------------------------------------------------------

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        return self.layer_box.currentData()

    @property
    def is_level_open(self) -> bool:
        """Whether the user leaves the level of the pyramid open."""
        return bool(self.level_box.currentData() == AUTOMATIC)

    @property
    def all_planes(self) -> bool:
        """Whether all planes are chosen."""
        return bool(self.planes_box.currentData() == ALL_PLANES)

    def source(self, level: int | None = None) -> Source | None:
        """The chosen image, at the chosen level unless another is named."""
        layer, axis = self.layer, self.axis_box.currentData()
        if layer is None:
            return None
        chosen = self.level_box.currentData() if level is None else level
        if chosen is None or chosen == AUTOMATIC:
            return self._choose_level([Source(layer, k, axis) for k in range(len(level_shapes(layer)))])
        return Source(layer, chosen, axis)

    def channels_of(self, source: Source) -> tuple[int, ...] | None:
        """The record's `channels` for an image."""
        chosen = None
        if source.channel_axis is not None and not source.layer.rgb:
            chosen = self.channels.chosen()
        return source.all_channels if chosen is None else chosen

    # -- choosing ----------------------------------------------------------------------------------

    def offer(self, layers: Sequence[Image]) -> None:
        """Offer image layers; the chosen one stays chosen."""
        offer(self.layer_box, [(each.name, each) for each in layers])
        self._show_layer()

    def choose(self, layer: Image) -> None:
        """Choose a layer."""
        self.layer_box.setCurrentIndex(index_of(self.layer_box, layer))

    def choose_named(self, name: str) -> None:
        """Choose a layer by its name, if it is there."""
        at = self.layer_box.findText(name)
        if at >= 0:
            self.layer_box.setCurrentIndex(at)

    def use(self, record: RunRecord) -> None:
        """Choose level, channels and planes as a record names them.

        Raises
        ------
        ValueError
            If the image has no such axis.
        """
        source = self.source()
        if source is None:
            return
        axis = source.planes(RunRecord(channel_axis=record.channel_axis)).channel_axis
        with signals_blocked(self.axis_box):
            self.axis_box.setCurrentIndex(max(0, index_of(self.axis_box, axis)))
        self._show_axis()
        self.channels.choose(record.channels)
        self.level_box.setCurrentIndex(max(0, index_of(self.level_box, record.level)))
        self.planes_box.setCurrentIndex(int(record.plane is None))

    def show_new_data(self) -> None:
        """An image holds other data: it may have other axes and levels."""
        self._is_stale = True
        self._show_layer()

    # -- showing -----------------------------------------------------------------------------------

    def _show_layer(self, _index: int = 0) -> None:
        layer = self.layer
        if layer != self._shown or self._is_stale:
            self._shown, self._is_stale = layer, False
            self._offer_axes(layer)
            self._offer_levels(layer)
            self._show_axis()
        self.changed.emit()

    def _offer_axes(self, layer: Image | None) -> None:
        axes: list[tuple[str, int | None]] = [("none (grey)", None)]
        if layer is not None:
            labels = [*layer.axis_labels, "RGB"] if layer.rgb else list(layer.axis_labels)
            shape = level_shapes(layer)[0]
            named = [
                (f"{label}: {side} long", k)
                for k, (label, side) in enumerate(zip(labels, shape, strict=True))
            ]
            axes += named if len(shape) > 2 else []
        guess = None if layer is None else guess_channel_axis(layer)
        offer(self.axis_box, axes)
        with signals_blocked(self.axis_box):
            self.axis_box.setCurrentIndex(index_of(self.axis_box, guess))

    def _offer_levels(self, layer: Image | None) -> None:
        levels = [("full resolution", 0)]
        if layer is not None and layer.multiscale:
            axis = self.axis_box.currentData()
            planes = [Source(layer, k, axis).plane_shape for k in range(len(level_shapes(layer)))]
            levels = [(f"{k}: {size_text(shape)}", k) for k, shape in enumerate(planes)]
            levels.insert(0, ("finest that fits", AUTOMATIC))
        offer(self.level_box, levels)
        with signals_blocked(self.level_box):
            self.level_box.setCurrentIndex(0)
        self._rows.set_shown(self.level_box, len(levels) > 1)

    def _show_axis(self, _index: int = 0) -> None:
        """Show which channels and planes there are with the chosen axis of channels."""
        source = self.source()
        n_channels = 1 if source is None else source.n_channels
        n_planes = 1 if source is None else len(source.planes().indices)
        self.channels.set_count(n_channels)
        offer(self.planes_box, [(THIS_PLANE, THIS_PLANE), (f"{ALL_PLANES} ({n_planes})", ALL_PLANES)])
        self._rows.set_shown(self.planes_box, n_planes > 1)
        rgb = source is None or source.layer.rgb or len(source.shape) == 2
        self._rows.set_shown(self.channels_row, not rgb)
        self.channels.setVisible(n_channels > 1 and not rgb)
        self.changed.emit()
