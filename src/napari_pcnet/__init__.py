"""Superpixels by PCNet, for images of any size.

``from napari_pcnet import pcnet_superpixels`` is the whole of it for most users. Everything public is
imported from here. It is fetched on first use, so that importing the package loads neither torch nor Qt nor
napari.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pcnet.disk.image import Image
    from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
    from napari_pcnet.disk.overlay import write_overlay
    from napari_pcnet.disk.pictures import count_levels, count_series, read_image, read_mask
    from napari_pcnet.disk.polygon_files import write_polygons
    from napari_pcnet.disk.tables import read_table, write_table
    from napari_pcnet.hierarchy import PCNetHierarchy
    from napari_pcnet.learning.drawn import drawn_classes
    from napari_pcnet.learning.features import region_features
    from napari_pcnet.learning.forest import Prediction, RegionForest
    from napari_pcnet.measuring.region_graph import RegionGraph, region_graph
    from napari_pcnet.measuring.region_table import region_table
    from napari_pcnet.record import DroppedFieldWarning, RunRecord
    from napari_pcnet.run import build_hierarchy, run_file, run_record
    from napari_pcnet.superpixels import pcnet_hierarchy, pcnet_superpixels, smooth_outlines

__version__ = "0.1.0"

_HOMES = {
    "DroppedFieldWarning": "record",
    "Image": "disk.image",
    "PCNetHierarchy": "hierarchy",
    "Prediction": "learning.forest",
    "RegionForest": "learning.forest",
    "RegionGraph": "measuring.region_graph",
    "RunRecord": "record",
    "build_hierarchy": "run",
    "count_levels": "disk.pictures",
    "count_series": "disk.pictures",
    "drawn_classes": "learning.drawn",
    "metrics": "",
    "pcnet_hierarchy": "superpixels",
    "pcnet_superpixels": "superpixels",
    "read_image": "disk.pictures",
    "read_labels": "disk.labels",
    "read_mask": "disk.pictures",
    "read_notes": "disk.labels",
    "read_table": "disk.tables",
    "region_features": "learning.features",
    "region_graph": "measuring.region_graph",
    "region_table": "measuring.region_table",
    "run_file": "run",
    "run_record": "run",
    "smooth_outlines": "superpixels",
    "weights": "",
    "write_labels": "disk.labels",
    "write_overlay": "disk.overlay",
    "write_polygons": "disk.polygon_files",
    "write_table": "disk.tables",
}
"""The module that each public name is in; two are modules themselves."""

__all__ = [
    "DroppedFieldWarning",
    "Image",
    "PCNetHierarchy",
    "Prediction",
    "RegionForest",
    "RegionGraph",
    "RunRecord",
    "__version__",
    "build_hierarchy",
    "count_levels",
    "count_series",
    "drawn_classes",
    "metrics",
    "pcnet_hierarchy",
    "pcnet_superpixels",
    "read_image",
    "read_labels",
    "read_mask",
    "read_notes",
    "read_table",
    "region_features",
    "region_graph",
    "region_table",
    "run_file",
    "run_record",
    "smooth_outlines",
    "weights",
    "write_labels",
    "write_overlay",
    "write_polygons",
    "write_table",
]


def __getattr__(name: str) -> object:
    """Fetch a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    return getattr(import_module(f"{__name__}.{home}"), name) if home else import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
