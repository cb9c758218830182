"""A Labels layer that is a look-up: the number of each region stands in a table, which changes in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_pcnet.plugin.layer_cut import LookupArray
from napari_pcnet.plugin.result_layer import pyramid_levels

if TYPE_CHECKING:
    from napari.viewer import ViewerModel


class LookupLayer:
    """A layer of ``table[base]``.

    Parameters
    ----------
    viewer : ViewerModel
    base : (..., H, W) int32 array
        Region of each pixel; -1 takes the last entry of the table.
    table : (regions + 1,) array of whole numbers
        Not copied: after a change, `draw`.
    is_pyramid : bool
        Whether only what is on the screen is looked up.
    name : str
    transform : mapping
        Options of the layer that put it on the image.
    colours : mapping, optional
        As `colour` takes them; by default numbers have napari's own.
    contour : int, optional
        Pixels of the outlines that are shown; 0 fills.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        base: NDArray[np.int32],
        table: NDArray[np.integer[Any]],
        is_pyramid: bool,
        name: str,
        transform: Mapping[str, Any],
        colours: Mapping[int, str] | None = None,
        contour: int = 0,
    ) -> None:
        self._base, self._table = base, table
        self._array = None if is_pyramid else table[base]
        levels = [LookupArray(level, table) for level in pyramid_levels(base)] if is_pyramid else self._array
        self.layer = Labels(levels, multiscale=is_pyramid, name=name, **transform)
        self.layer.editable = False  # what napari painted would be gone at the next change
        self.layer.contour = contour
        if colours is not None:
            self.colour(colours)
        viewer.add_layer(self.layer)  # at last: of a layer that is there, each setting draws again

    def draw(self) -> None:
        """Show what the table holds now."""
        if self._array is not None:
            np.take(self._table, self._base, out=self._array, mode="wrap")  # -1 is the last entry
        self.layer.refresh(extent=False, thumbnail=False)

    def colour(self, colours: Mapping[int, str]) -> None:
        """Show numbers in these colours, and all others not at all."""
        shown: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
        for number, colour in colours.items():
            shown[number] = colour
        self.layer.colormap = DirectLabelColormap(color_dict=shown)
