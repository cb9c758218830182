"""What the network sees of regions: the mean of what it predicts boundaries from, over the pixels of each.

It is always the same network, so that a forest that has learnt from one picture can be asked about others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_pcnet import arguments
from napari_pcnet.geometry.blocks import in_memory
from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.geometry.picture import Picture, plane_shape, read_raw, windows_of
from napari_pcnet.geometry.tiling import SHARED_CORE, Tile, plan
from napari_pcnet.measuring.windows import NONE, numbered
from napari_pcnet.network.predictor import WholePredictor
from napari_pcnet.network.prepared import PreparedNetwork
from napari_pcnet.network.whole_numbers import TOP
from napari_pcnet.options import Options
from napari_pcnet.pipeline import load_prepared

MODEL = "pcnet-v2"
"""The network. A name never changes its file; with another one, forests of before would be wrong."""

REACH_PX = 1
"""Windows are planned to read the next pixels, too."""


class Embedding:
    """The network, at work on a picture.

    Parameters
    ----------
    pixels : (H, W[, C]) array
    channel_axis : int or None

    Attributes
    ----------
    picture : Picture
        With the range of its finite values; no pixel is left out.
    grid : Grid
        Of the picture's own pixels.

    Raises
    ------
    ValueError
        If the picture holds values that float64 cannot tell apart.
    """

    def __init__(self, pixels: Any, channel_axis: int | None) -> None:
        self._prepared: PreparedNetwork = load_prepared(Options(model=MODEL))
        self.picture = _picture(pixels, channel_axis)
        self.grid = Grid(self.picture.shape, self.picture.shape)
        self._tiles: list[Tile] = list(plan(self.grid, SHARED_CORE, REACH_PX, self._prepared.halo))

    @property
    def windows(self) -> int:
        """In how many windows the picture is read."""
        return len(self._tiles)

    def means(
        self,
        labels: Any,
        background: int | None,
        label: NDArray[np.int64],
        area: NDArray[np.int64],
        window_done: Callable[[], None],
    ) -> NDArray[np.float32]:
        """Means over regions.

        Parameters
        ----------
        labels : (H, W) array
        background : int or None
        label, area : (n,) int64 array
            Of all regions, increasing, and their pixels.
        window_done : callable
            Called with each window that is read.

        Returns
        -------
        (n, C) float32 array
        """
        kind = np.int32 if area.max(initial=0) * TOP <= np.iinfo(np.int32).max else np.int64
        total: NDArray[Any] | None = None
        for core, blocks, block_of in self._windows():
            names, codes = numbered(in_memory(labels[core.slices]), background)
            is_region = (codes != NONE).ravel()
            pairs = codes.ravel()[is_region], block_of.ravel()[is_region]
            ones = np.ones(len(pairs[0]), kind)
            pixels = sparse.csr_array((ones, pairs), shape=(len(names), len(blocks)))
            if total is None:
                total = np.zeros((len(label), blocks.shape[1]), kind)
            total[np.searchsorted(label, names)] += pixels @ blocks.astype(kind)
            window_done()
        assert total is not None, "a picture has windows"
        means = np.empty(total.shape, np.float32)
        np.divide(total, area[:, None], out=means, casting="same_kind")
        return means

    def _windows(self) -> Iterator[tuple[Window, NDArray[np.uint8], NDArray[np.int64]]]:
        """Each window's pixels, the features of its blocks ``(m, C)``, and the block of each pixel."""
        assert self._prepared.whole is not None, f"{MODEL} is in whole numbers"
        at_work = WholePredictor(self._prepared, self._prepared.whole)
        for tile in self._tiles:
            seen = at_work.embedding(self.picture, self.grid, tile.read)
            rows = (np.arange(tile.core.top, tile.core.bottom) - tile.read.top) // at_work.reduction
            columns = (np.arange(tile.core.left, tile.core.right) - tile.read.left) // at_work.reduction
            block_of = rows[:, None] * seen.shape[1] + columns
            yield tile.core, seen.reshape(-1, seen.shape[-1]), block_of


def _picture(image: Any, channel_axis: int | None) -> Picture:
    """A picture with the range of its finite values; no pixel of it is left out."""
    pixels, axis, channels = arguments.plane_of(image, channel_axis)
    pixels = arguments.in_blocks(pixels, axis)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for window in windows_of(plane_shape(pixels.shape, axis)):
        values = read_raw(pixels, axis, window)[..., :channels]
        known = np.isfinite(values)
        wide = values.astype(np.float64)
        low = np.minimum(low, wide.min((0, 1), initial=np.inf, where=known))
        high = np.maximum(high, wide.max((0, 1), initial=-np.inf, where=known))
        if arguments.has_whole_range(pixels.dtype, low, high):
            break
    is_unknown = low > high
    low[is_unknown] = high[is_unknown] = 0
    return Picture(pixels, axis, None, *arguments.checked_extremes(pixels.dtype, low, high))
