"""Superpixels by PCNet, for images of any size.

``from napari_pcnet import pcnet_superpixels`` is the whole of it for most users. The functions are
fetched on first use, so that importing the package loads neither torch nor Qt nor napari.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pcnet.superpixels import pcnet_hierarchy, pcnet_superpixels

__version__ = "0.1.0"

__all__ = ["__version__", "pcnet_hierarchy", "pcnet_superpixels"]


def __getattr__(name: str) -> object:
    """Fetch a public function from `superpixels`, the module that needs torch, on first use."""
    if name in ("pcnet_hierarchy", "pcnet_superpixels"):
        return getattr(import_module("napari_pcnet.superpixels"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
