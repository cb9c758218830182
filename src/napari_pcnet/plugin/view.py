"""The view: what a viewer's canvas shows, in the world and in the pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window
from napari_pcnet.plugin.source import Source

if TYPE_CHECKING:
    from napari.viewer import Viewer


class View:
    """What a viewer shows now.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    @property
    def point(self) -> tuple[float, ...]:
        """The point of the world at which the viewer slices."""
        point: tuple[float, ...] = self._viewer.dims.point
        return point

    def shows_planes(self, source: Source) -> bool:
        """Whether the viewer shows a plane of an image: rows and columns in 2D, in this order or turned."""
        dims = self._viewer.dims
        offset = dims.ndim - source.layer.ndim
        return dims.ndisplay == 2 and set(dims.displayed) == {axis + offset for axis in source.plane_axes}

    def window(self, source: Source) -> Window | None:
        """The part of a plane on the canvas, in level pixels; None if the plane is out of view."""
        return source.covered(self._corners())

    def move_to_plane(self, source: Source, plane: tuple[int, ...]) -> None:
        """Show a plane of an image."""
        dims = self._viewer.dims
        offset = dims.ndim - source.layer.ndim
        for axis, position in source.world_of_plane(plane).items():
            dims.set_point(axis + offset, position)

    def _corners(self) -> NDArray[np.float64]:
        """Corners of the canvas in the world, ``(4, d)``."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        half = np.array(self._viewer.canvas.viewbox_size(self._viewer.layers)) / (2 * camera.zoom)
        centre = np.array(camera.center)[-2:]
        corners = np.tile(np.array(dims.point, float), (4, 1))
        signs = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        corners[:, list(dims.displayed[-2:])] = centre + signs * half
        return corners
