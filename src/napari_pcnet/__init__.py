"""Superpixels by PCNet, for images of any size.

``from napari_pcnet import pcnet_superpixels`` is the whole of it for most users. The functions are
fetched on first use, so that importing the package loads neither torch nor Qt nor napari.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pcnet.superpixels import pcnet_hierarchy, pcnet_superpixels, smooth_outlines

__version__ = "0.1.0"

__all__ = ["__version__", "pcnet_hierarchy", "pcnet_superpixels", "smooth_outlines"]

_HOMES = {
    "pcnet_hierarchy": "superpixels",
    "pcnet_superpixels": "superpixels",
    "smooth_outlines": "superpixels",
}
"""The module of each public function; they need torch."""


def __getattr__(name: str) -> object:
    """Fetch a public function on first use."""
    if name in _HOMES:
        return getattr(import_module(f"napari_pcnet.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
