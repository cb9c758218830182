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
from napari_pcnet.plugin.source import AS_CHANNELS, LayerGroup, Source, guess_channel_axis, level_shapes
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
        self._shown: Image | LayerGroup | None = None
        self._layers: Sequence[Image] = ()
        self._offered_group: LayerGroup | None = None
        self._is_stale = True  # the fields do not show the layer's axes and levels yet
        self.layer_box, self.level_box, self.axis_box = choice_box(), choice_box(), choice_box()
        self.channels, self.planes_box = Channels(), choice_box()
        self.channels_row = side_by_side(self.axis_box, self.channels)
        rows.add(
            "Image",
            self.layer_box,
            "The image layer to segment; several that are selected and of one shape are its channels",
        )
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
        """The chosen layer; of a group the first."""
        chosen = self._chosen
        return chosen.layers[0] if isinstance(chosen, LayerGroup) else chosen

    @property
    def group(self) -> LayerGroup | None:
        """The chosen layers, where they are channels of one image."""
        return self._chosen if isinstance(self._chosen, LayerGroup) else None

    @property
    def with_limits(self) -> Image | None:
        """The chosen layer, if its contrast limits are those of the whole image."""
        return None if self.group is not None else self.layer

    @property
    def _chosen(self) -> Image | LayerGroup | None:
        return self.layer_box.currentData()

    @property
    def is_level_open(self) -> bool:
        """Whether the user leaves the level of the pyramid open."""
        return bool(self.level_box.currentData() == AUTOMATIC)

    @property
    def is_lazy(self) -> bool:
        """Whether the chosen image, at full resolution, is not in memory."""
        source = self.source(0)
        return source is not None and source.is_lazy

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
            return self._choose_level(self._levels(layer, axis))
        return self._levels(layer, axis)[chosen]

    def _levels(self, layer: Image, axis: int | None) -> list[Source]:
        others = () if self.group is None else self.group.layers[1:]
        return [Source(layer, k, axis, others) for k in range(len(level_shapes(layer)))]

    def sources(self) -> list[Source]:
        """Every image that is offered, at full resolution; the chosen one has the chosen axis of channels."""
        found = []
        for at in range(self.layer_box.count()):
            offered = self.layer_box.itemData(at)
            layers = offered.layers if isinstance(offered, LayerGroup) else (offered,)
            axis = guess_channel_axis(layers[0]) if len(layers) == 1 else layers[0].ndim
            if at == self.layer_box.currentIndex():
                axis = self.axis_box.currentData()
            found.append(Source(layers[0], 0, axis, layers[1:]))
        return found

    def channels_of(self, source: Source) -> tuple[int, ...] | None:
        """The record's `channels` for an image."""
        chosen = None
        if source.channel_axis is not None and not source.layer.rgb:
            chosen = self.channels.chosen()
        return source.all_channels if chosen is None else chosen

    # -- choosing ----------------------------------------------------------------------------------

    def offer(self, layers: Sequence[Image]) -> None:
        """Offer image layers, and those that were chosen as channels; the chosen one stays chosen."""
        self._layers = layers
        if self._offered_group is not None and not all(each in layers for each in self._offered_group.layers):
            self._offered_group = None
        groups = [] if self._offered_group is None else [self._offered_group]
        offer(self.layer_box, [(each.name, each) for each in (*layers, *groups)])
        self._show_layer()

    def choose(self, layer: Image) -> None:
        """Choose a layer."""
        self.layer_box.setCurrentIndex(index_of(self.layer_box, layer))

    def choose_channels(self, layers: Sequence[Image]) -> None:
        """Choose several layers as channels of one image, if they can be that."""
        group = LayerGroup.of(layers)
        if group is not None:
            self._offered_group = group
            self.offer(self._layers)
            self.layer_box.setCurrentIndex(index_of(self.layer_box, group))

    def choose_named(self, name: str) -> None:
        """Choose a layer, or several as channels, by the name of the image, if it is there."""
        at = self.layer_box.findText(name)
        if at < 0 and name.endswith(AS_CHANNELS):
            named = {each.name: each for each in self._layers}
            parts = name.removesuffix(AS_CHANNELS).split(" + ")
            self.choose_channels([named[part] for part in parts if part in named])
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
        if self._chosen != self._shown or self._is_stale:
            self._shown, self._is_stale = self._chosen, False
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
        if self.group is not None:
            guess = self.group.layers[0].ndim
            axes = [("selected layers", guess)]
        offer(self.axis_box, axes)
        with signals_blocked(self.axis_box):
            self.axis_box.setCurrentIndex(index_of(self.axis_box, guess))

    def _offer_levels(self, layer: Image | None) -> None:
        levels = [("full resolution", 0)]
        if layer is not None and layer.multiscale:
            axis = self.axis_box.currentData()
            planes = [each.plane_shape for each in self._levels(layer, axis)]
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
        group = self.group
        self.channels.set_names(
            [each.name for each in group.layers] if group else list(map(str, range(n_channels)))
        )
        offer(self.planes_box, [(THIS_PLANE, THIS_PLANE), (f"{ALL_PLANES} ({n_planes})", ALL_PLANES)])
        self._rows.set_shown(self.planes_box, n_planes > 1)
        rgb = source is None or source.layer.rgb or len(source.shape) == 2
        self._rows.set_shown(self.channels_row, not rgb)
        self.channels.setVisible(n_channels > 1 and not rgb)
        self.changed.emit()
