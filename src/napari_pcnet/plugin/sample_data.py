"""Sample images for napari's File menu, as layer data: pixels, the layer's options, its kind."""

from typing import Any, Literal

import numpy as np

from napari_pcnet.disk import pictures

SampleLayerData = tuple[Any, dict[str, Any], Literal["image"]]  # Any: napari takes anything like an array


def cat() -> list[SampleLayerData]:
    """Return the photograph that comes with the package, ``(300, 451, 3)`` uint8."""
    return [(pictures.read_image(pictures.SAMPLE).pixels, {"name": "cat"}, "image")]


def coffee() -> list[SampleLayerData]:
    """Return scikit-image's photograph of a cup on a table, ``(400, 600, 3)`` uint8."""
    from skimage import data

    return [(data.coffee(), {"name": "coffee"}, "image")]


def stack() -> list[SampleLayerData]:
    """Return the cat at three times and two depths: it moves to the right with time, and pales with depth.

    ``(T, Z, Y, X, RGB)`` = ``(3, 2, 200, 300, 3)`` uint8, pixels of 0.5 micrometres, depths 2 apart.
    """
    cat = pictures.read_image(pictures.SAMPLE).pixels
    times = [cat[50:250, 75 * t : 75 * t + 300] for t in (2, 1, 0)]
    planes = np.stack([[plane, plane // 2 + 100] for plane in times]).astype(np.uint8)
    options = {
        "name": "stack",
        "rgb": True,
        "scale": (1.0, 2.0, 0.5, 0.5),
        "units": ("second", "micrometer", "micrometer", "micrometer"),
        "axis_labels": ("t", "z", "y", "x"),
    }
    return [(planes, options, "image")]
