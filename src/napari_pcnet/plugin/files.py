"""Files of superpixels that keep the record of their run: the plugin's reader and writer.

napari's own writers keep only the labels. Ours put the record and the placement of the layer into the
file (.tif) or folder (.zarr), so that it opens where it was, and can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.plugin.metadata import KEY

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import ViewerModel

LayerData = tuple[Any, dict[str, Any], str]

PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""The options of a layer that a file keeps, with its data, features and record."""


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader if the file holds superpixels with their record."""
    if not isinstance(path, str) or not Path(path).exists() or read_notes(path) is None:
        return None
    return read


def read(path: str) -> list[LayerData]:
    """Read superpixels as a Labels layer with its record and its placement."""
    notes = read_notes(path) or {}
    labels = read_labels(path).astype(np.int32)
    placement = notes.get("layer", {})
    options = {name: _listed(placement[name]) for name in PLACEMENT if name in placement}
    if any(len(options.get(name, labels.shape)) != labels.ndim for name in ("scale", "translate")):
        options = {}
    run = {name: value for name, value in notes.items() if name not in ("layer", "features")}
    name = Path(path).name.removesuffix(Path(path).suffix).removesuffix(".superpixels")
    options |= {"name": name, "metadata": {KEY: run}}
    if "features" in notes:
        options["features"] = {column: np.array(values) for column, values in notes["features"].items()}
    return [(labels, options, "labels")]


def write(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer with its record and its placement; a name without a suffix becomes a tif."""
    target = Path(path) if Path(path).suffix else Path(f"{path}.tif")
    levels = data if meta.get("multiscale") else [data]
    notes = dict(meta.get("metadata", {}).get(KEY, {}))
    notes["layer"] = {name: _plain(meta[name]) for name in PLACEMENT if meta.get(name) is not None}
    features = meta.get("features")
    if features is not None and len(features):
        notes["features"] = {str(column): np.asarray(features[column]).tolist() for column in features}
    write_labels(target, np.asarray(levels[0]), overwrite=True, notes=notes)
    return [str(target)]


def open_in(viewer: ViewerModel, path: str) -> Labels:
    """Add the superpixels of a file to a viewer.

    Raises
    ------
    ValueError
        If the file holds none.
    """
    place = Path(path).parent if Path(path).name == "zarr.json" else Path(path)
    (data, options, _), *_ = read(str(place))
    layer = viewer.add_labels(data, **options)
    layer.contour = 1
    return layer


def _plain(value: Any) -> Any:
    """A layer's option in JSON types."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    matrix = getattr(value, "affine_matrix", None)
    return str(value) if matrix is None else np.asarray(matrix).tolist()


def _listed(value: Any) -> Any:
    return np.array(value) if value and isinstance(value[0], list) else value
