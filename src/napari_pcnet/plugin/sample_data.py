"""Sample pictures for napari's File menu, as layer data: a picture, its layer's name, its kind."""

from typing import Any, Literal

from napari_pcnet import images

LayerData = tuple[Any, dict[str, Any], Literal["image"]]  # Any: napari takes what is like an array


def cat() -> list[LayerData]:
    """Return the photograph that is shipped with the package, ``(300, 451, 3)`` uint8."""
    return [(images.read_image(images.SAMPLE).pixels, {"name": "cat"}, "image")]


def coffee() -> list[LayerData]:
    """Return scikit-image's photograph of a cup on a table, ``(400, 600, 3)`` uint8."""
    from skimage import data

    return [(data.coffee(), {"name": "coffee"}, "image")]
