"""Regions coloured by a column of their table: an Image layer in the place of a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_pcnet.plugin.layer_cut import LookupArray
from napari_pcnet.plugin.layer_transform import place_of
from napari_pcnet.plugin.pixels import LayerPixels

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

LABEL_COLUMNS = ("label", "index")
"""Columns that say which label a row is of, as our tables and as napari's have them."""

COLORMAP = "viridis"

COLOURED = "napari-pcnet column"
"""Key in the metadata of our layers; its value is the column."""

OPACITY = 0.7
"""The image is seen through it."""

MOST_PER_ROW = 64
"""A table of all numbers up to the largest label may be so many times as long as that of the regions."""


def is_coloured(layer: object) -> bool:
    """Whether a layer is one of ours, and no image to segment."""
    return isinstance(layer, Image) and COLOURED in layer.metadata


def columns_of(layer: Labels) -> list[str]:
    """Columns of numbers that the regions of a layer can be coloured by."""
    features = layer.features
    if _labels_of(layer) is None:
        return []
    return [
        str(name)
        for name in features
        if name not in LABEL_COLUMNS and np.asarray(features[name]).dtype.kind in "buif"
    ]


def colour_by(viewer: ViewerModel, layer: Labels, column: str) -> Image:
    """Colour the regions of a layer by a column; what has no value is transparent.

    It takes the place of the layer that an earlier call has made of the same column, and the layer of the
    regions stays the active one.

    Raises
    ------
    ValueError
        If the labels are too large to be looked up in a table, or cannot be read.
    """
    finest = np.asarray(LayerPixels(layer.data[0] if layer.multiscale else layer.data, layer.name))
    table = _table(layer, column, finest)
    looked_up = [LookupArray(level, table) for level in layer.data] if layer.multiscale else table[finest]
    name = f"{layer.name}: {column}"
    before = next((each for each in viewer.layers if each.name == name and is_coloured(each)), None)
    if before is not None:
        viewer.layers.remove(before)
    image = Image(
        looked_up,
        multiscale=layer.multiscale,
        name=name,
        colormap=COLORMAP,
        contrast_limits=_limits(table),
        opacity=OPACITY,
        metadata={COLOURED: column},
        **place_of(layer),
    )
    viewer.add_layer(image)
    viewer.layers.selection.active = layer
    return image


def _labels_of(layer: Labels) -> NDArray[np.int64] | None:
    """The label of each row of a layer's table; None if no column says it."""
    for name in LABEL_COLUMNS:
        if name in layer.features:
            column = np.asarray(layer.features[name])
            return column.astype(np.int64) if column.dtype.kind in "iu" else None
    return None


def _table(layer: Labels, column: str, drawn: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """The value of each label, NaN where there is none; those below 0 count from the end, as indices do."""
    labels = _labels_of(layer)
    assert labels is not None, "its columns were offered"
    largest = max(int(drawn.max()), int(labels.max(initial=0)))
    lowest = min(int(drawn.min()), int(labels.min(initial=0)), 0)
    if largest - lowest > MOST_PER_ROW * (len(labels) + 1024):
        ends = f"from {lowest:,} to {largest:,}" if lowest else f"up to {largest:,}"
        raise ValueError(f"labels {ends} of {len(labels):,} regions are too far apart to be coloured")
    table = np.full(largest + 1 - lowest, np.nan, np.float32)
    is_region = labels != 0  # which is napari's background
    table[labels[is_region]] = np.asarray(layer.features[column])[is_region]
    return table


def _limits(table: NDArray[np.float32]) -> tuple[float, float]:
    """The lowest and the highest value, which are not the same."""
    known = table[np.isfinite(table)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return low, high if high > low else low + 1.0
