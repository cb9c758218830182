"""The run whose record the commands take: that of the selected superpixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from napari.layers import Labels, Layer

from napari_pcnet.plugin.metadata import recorded_run
from napari_pcnet.plugin.roi import RecordedRegion, RegionPlace
from napari_pcnet.record import Origin, RunRecord


@dataclass(frozen=True)
class SelectedRun:
    """A run, as the metadata of its layer record it.

    Attributes
    ----------
    record : RunRecord
    origin : Origin
    layer : Labels
    dropped : tuple of str
        A sentence for each part of the metadata that is not as it must be.
    """

    record: RunRecord
    origin: Origin
    layer: Labels
    dropped: tuple[str, ...] = ()

    def region(self, known: RegionPlace | None = None) -> RecordedRegion | None:
        """The region of the run; None for the whole plane. `known` is that of a result of this session."""
        if self.record.crop is None and self.record.mask is None:
            return None
        region = RecordedRegion.of(self.layer, self.record)
        return region if known is None else replace(region, inside=known[1])

    @classmethod
    def first_of(cls, layers: Iterable[Layer | None]) -> SelectedRun | None:
        """The run of the first layer that has a record; None if none has."""
        for layer in layers:
            dropped: list[str] = []
            found = None if layer is None else recorded_run(layer.metadata, dropped.append)
            if layer is not None and found is not None:
                return cls(*found, layer, tuple(dropped))
        return None
