"""The features of a result's base, of all its planes: what a forest looks at, measured once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.learning.features import EMBEDDING, region_features
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.progress import Progress

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy
    from napari_pcnet.plugin.result_layer import ResultLayer

RGBA = 4


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class RegionColumns:
    """A table of features.

    Attributes
    ----------
    hierarchy : PCNetHierarchy
        Whose regions they are of.
    table : dict of (n,) float32 array
        In the order of the regions' numbers.
    """

    hierarchy: PCNetHierarchy
    table: dict[str, NDArray[np.float32]]

    @property
    def plain(self) -> dict[str, NDArray[np.float32]]:
        """Those that are always measured."""
        return {name: column for name, column in self.table.items() if not name.startswith(EMBEDDING)}

    def serve(self, hierarchy: PCNetHierarchy, embedding: bool) -> bool:
        """Whether they are of these regions, and hold what the network sees of them if that is asked for."""
        return self.hierarchy is hierarchy and (not embedding or len(self.table) > len(self.plain))

    @classmethod
    def of(cls, result: ResultLayer, progress: Progress, *, embedding: bool = False) -> RegionColumns:
        """Measure the regions of a run that is done; for any thread."""
        hierarchy, planes = result.hierarchy, result.planes
        assert hierarchy is not None, "a run is done"
        bases = hierarchy.base.reshape(-1, *hierarchy.base.shape[-2:])
        parts = []
        for index, base in zip(planes.indices, bases, strict=True):
            pixels, axis = _opaque(*planes.read(index))
            measured = region_features(
                pixels,
                base,
                channel_axis=axis,
                background=OUTSIDE,
                embedding=embedding,
                progress=progress,
            )
            parts.append({name: column.astype(np.float32) for name, column in measured.items()})
        return cls(hierarchy, {name: np.concatenate([each[name] for each in parts]) for name in parts[0]})


def _opaque(pixels: NDArray[Any], axis: int | None) -> tuple[NDArray[Any], int | None]:
    """A plane without its alpha and its own mask: what they leave out is no region."""
    data = np.ma.getdata(pixels)
    return (data[..., : RGBA - 1] if axis == data.ndim - 1 and data.shape[-1] == RGBA else data), axis
