"""Arrays of xarray: labels keep the names of axes, the coordinates and the attributes of their image.

They are known by what they have, since xarray need not be there.
"""

from __future__ import annotations

from typing import Any

from napari_pcnet.shapes import Labels


def are_named(image: Any) -> bool:
    """Whether an image is a DataArray."""
    return all(hasattr(image, name) for name in ("dims", "coords", "attrs", "isel", "data"))


def like(image: Any, channel_axis: int | None, labels: Any) -> Labels:
    """Name the axes of labels as those of their image, without its channels.

    Parameters
    ----------
    image : DataArray
        ``(H, W)``, or three-dimensional with `channel_axis`.
    channel_axis : int or None
    labels : (H, W) array

    Returns
    -------
    DataArray
    """
    plane = image if image.ndim == 2 else image.isel({image.dims[channel_axis]: 0}, drop=True)
    named = plane.copy(data=labels)
    named.encoding = {}  # how the values of the image are stored
    result: Labels = named
    return result
