"""Votes of the regions of a base, pooled over the parts of a cut: what a forest says of each superpixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.annotation.nested import NestedRegions
from napari_pcnet.groups import reduced
from napari_pcnet.learning.forest import Prediction, RegionForest


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class CutPrediction:
    """What a forest says of the parts of a cut.

    Attributes
    ----------
    nested : NestedRegions
    starts : (p,) int64 array
        The first rank of each part.
    parts : Prediction
        Of each part.
    """

    nested: NestedRegions
    starts: NDArray[np.int64]
    parts: Prediction

    @classmethod
    def of(
        cls,
        forest: RegionForest,
        votes: NDArray[np.float64],
        area: NDArray[np.number[Any]],
        nested: NestedRegions,
        counts: Sequence[int],
    ) -> CutPrediction:
        """Pool votes: those of a part are the mean of its regions', by their area.

        Parameters
        ----------
        forest : RegionForest
        votes : (n, K) float64 array
            `Prediction.share` of the regions of the base; rows of zeros, of which nothing is known, do not
            count.
        area : (n,) array
            Of each region.
        nested : NestedRegions
        counts : sequence of int
            How many parts each plane has in the cut, as `PCNetHierarchy.counts` gives them.
        """
        starts = nested.starts(counts)
        weighted = (votes * area[:, None])[nested.order]
        total = reduced(np.add, weighted, starts)
        weight = total.sum(axis=1, keepdims=True)
        share = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        return cls(nested, starts, forest.decide(share))

    def by_region(self, of_part: NDArray[Any]) -> NDArray[Any]:
        """A value of each part for each of its regions, by their numbers in the base, ``(n,)``."""
        lengths = np.diff(self.starts, append=self.nested.regions)
        return np.repeat(of_part, lengths)[self.nested.rank]

    def least_certain(self) -> NDArray[np.int64]:
        """The parts, by uncertainty, the most uncertain first; those of which nothing can be said, last."""
        unknown = self.parts.number == 0
        return np.lexsort([-self.parts.uncertainty, unknown])

    def regions_of(self, part: int) -> NDArray[np.int64]:
        """The regions of a part."""
        end = self.starts[part + 1] if part + 1 < len(self.starts) else self.nested.regions
        return self.nested.order[self.starts[part] : end]
