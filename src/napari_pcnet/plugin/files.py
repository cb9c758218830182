"""Files of superpixels that keep the record of their run: the plugin's reader and writer.

napari's own writers keep only the labels. Ours put the record and the transform of the layer into the
file (.tif) or folder (.zarr), so that it opens where it was, and can be run again. The trees of the run lie
in a file beside it, so that it can be cut again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.formats import LABELS_MARK
from napari_pcnet.disk.label_levels import SUFFIX
from napari_pcnet.disk.labels import fits_32_bits, open_labels, read_labels, read_notes, write_labels
from napari_pcnet.disk.zarr_store import open_levels
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.options import as_list, shown
from napari_pcnet.plugin.layer_cut import LayerCut
from napari_pcnet.plugin.layer_transform import read_transform, transform_of
from napari_pcnet.plugin.metadata import FOLDER, KEY, TREES, trees_of
from napari_pcnet.record import Origin, RunRecord, Tell, from_notes, notes_of, warn_of_dropped

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import ViewerModel

TREES_SUFFIX = ".trees.npz"
"""Ends the name of the file of trees, which is else that of the labels."""

HELD_BYTES = 1 << 28
"""Labels of more bytes stay on the disk, where nobody can paint on them."""

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader if the file holds superpixels with their record."""
    if not isinstance(path, str) or not Path(path).exists() or read_notes(path) is None:
        return None
    return read


def read(path: str) -> list[LayerData]:
    """Read superpixels as a Labels layer with its record, its transform and its trees.

    A large pyramid without trees beside it stays on the disk, and is read where it is drawn.

    Warns
    -----
    DroppedFieldWarning
        For each part of the notes that is not as it must be, and was dropped; and for a file of trees that is
        not of these superpixels.
    """
    notes = read_notes(path) or {}
    levels = _levels(path)
    labels = levels[0] if levels else _short(read_labels(path))
    name = Path(path).name.removesuffix(Path(path).suffix).removesuffix(LABELS_MARK)
    found = from_notes(notes)
    options = read_transform(notes.get("layer", {}), labels.ndim, warn_of_dropped)
    options |= {"name": name, "metadata": {KEY: {} if found is None else notes_of(*found)}}
    if "features" in notes:
        options["features"] = _features(notes["features"], warn_of_dropped)
    if levels:
        options |= {"multiscale": True, "metadata": options["metadata"] | {FOLDER: path}}
        return [(levels, options, "labels")]
    trees = None if found is None else _trees(trees_path(path), labels, found[0], warn_of_dropped)
    if trees is not None:
        options["metadata"] |= {TREES: trees}
    return [(labels, options, "labels")]


def write(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer with its record and its transform; a name without a suffix becomes a tif.

    The trees that a run has left in the layer are written beside it. Where it has none, a file of trees that
    is there stays, as no other may hold them, and `read` tells that they are not of these labels.

    Warns
    -----
    DroppedFieldWarning
        For each column of the layer's features that such a file cannot keep.
    """
    target = Path(path) if Path(path).suffix else Path(f"{path}.tif")
    levels = data if meta.get("multiscale") else [data]
    found = from_notes(meta.get("metadata", {}).get(KEY))
    notes = {} if found is None else notes_of(*found)
    notes["layer"] = transform_of(meta)
    features = meta.get("features")
    if features is not None and len(features):
        table = {str(column): np.asarray(features[column]).tolist() for column in features}
        columns = _features(table, warn_of_dropped)
        notes["features"] = {column: values.tolist() for column, values in columns.items()}
    write_labels(target, np.asarray(levels[0]), overwrite=True, notes=notes)
    trees = trees_of(meta.get("metadata", {}))
    if trees is None:
        return [str(target)]
    trees.save(trees_path(target))
    return [str(target), str(trees_path(target))]


def trees_path(path: str | Path) -> Path:
    """The file of trees beside a file of labels.

    >>> trees_path("cat-30.superpixels.tif").name
    'cat-30.superpixels.trees.npz'
    """
    return Path(path).with_suffix(TREES_SUFFIX)


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


def _levels(path: str) -> list[Any]:
    """The levels of a large pyramid without trees, which need all labels; empty for anything else."""
    if not Path(path).name.lower().endswith(SUFFIX) or trees_path(path).is_file():
        return []
    is_large = open_labels(path).pixels.nbytes > HELD_BYTES
    return open_levels(Path(path)) if is_large else []


def _short(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Labels in 32 bits, which napari draws fastest, where they fit."""
    return labels.astype(np.int32, copy=False) if fits_32_bits(labels) else labels


def _trees(
    path: Path, labels: NDArray[np.integer[Any]], record: RunRecord, tell: Tell
) -> PCNetHierarchy | None:
    """The trees in a file, if the labels are their cut that a record names."""
    if not path.is_file():
        return None
    try:
        trees = PCNetHierarchy.load(path)
    except (ValueError, OSError) as error:
        tell(str(error))
        return None
    if trees.base.size == labels.size and trees.base.shape[-2:] == labels.shape[-2:]:
        cut = LayerCut.make(trees, record, Origin("")).labels
        if np.array_equal(cut.reshape(labels.shape), labels):
            return trees
    tell(f"{path} was left alone: its trees are not those of these labels; move it away")
    return None


def _features(table: object, tell: Tell) -> dict[str, NDArray[Any]]:
    """The columns of a table whose values are of one type and as many as in the first column."""
    if not isinstance(table, Mapping):
        tell(f"the features were dropped: they must be a table, got {shown(table)}")
        return {}
    columns: dict[str, NDArray[Any]] = {}
    for name, values in table.items():
        column = _column(values)
        if column is None or any(len(column) != len(other) for other in columns.values()):
            tell(
                f"the column {shown(name)} of the features was dropped: it must be numbers or texts, as many "
                f"as in other columns, got {shown(values)}"
            )
        else:
            columns[name] = column
    return columns


def _column(values: object) -> NDArray[Any] | None:
    """Numbers, texts or truth values as an array; None for anything else."""
    given = as_list(values)
    if given is None:
        return None
    kinds = {type(each) for each in given}
    if kinds == {str}:
        return np.array(given, object)  # an array of texts is as wide as its longest one
    if kinds != {bool} and kinds - {int, float}:
        return None
    column = np.array(given, None if given else np.float64)
    return None if column.dtype == object else column  # whole numbers beyond 64 bits
