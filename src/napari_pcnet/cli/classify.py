"""``napari-pcnet classify IMAGE LABELS CLASSES``: the class of each region, by a random forest."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.cli.flags import add_flags, naming_flags, options_from
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.cli.region_pixels import BACKGROUND, LabelledPart, background_of
from napari_pcnet.disk.formats import LABEL_SUFFIXES
from napari_pcnet.disk.labels import loaded, open_labels, read_labels, write_labels
from napari_pcnet.disk.output import check_apart, check_output
from napari_pcnet.disk.tables import TABLE_SUFFIXES, write_table

if TYPE_CHECKING:
    from napari_pcnet.learning.forest import Prediction, RegionForest

HELP = "give superpixels classes, learnt from those that are drawn on"

OUTSIDE = 0
"""The class of what is no region, and of a region of which nothing can be said."""


@dataclass(frozen=True)
class ClassifyOptions(LabelledPart):
    """Which regions get a class, and what is learnt from."""

    image: Path = field(metadata={"positional": True, "help": "the picture"})
    labels: Path = field(
        metadata={"positional": True, "help": "its superpixels, as segment writes them: tif, png or zarr"}
    )
    classes: Path = field(
        metadata={"positional": True, "help": "where the class of each pixel is written: tif, png or zarr"}
    )
    drawing: Path | None = field(
        default=None,
        metadata={"help": "labels to learn from: 1 to 255 where a class is drawn, 0 elsewhere"},
    )
    forest: Path | None = field(
        default=None,
        metadata={"help": "a forest (decision trees) that --save-forest has written, in place of a drawing"},
    )
    save_forest: Path | None = field(
        default=None, metadata={"help": "where the forest is written, for other pictures: .safetensors"}
    )
    names: tuple[str, ...] = field(
        default=(), metadata={"help": "of the classes that are drawn, in the order of their numbers"}
    )
    table: Path | None = field(
        default=None,
        metadata={"help": "csv or parquet of the class and the uncertainty of each region, for export"},
    )
    embedding: bool = field(
        default=False, metadata={"help": "learn from what the network sees of regions, too"}
    )
    trees: int = field(default=64, metadata={"help": "how many trees are grown"})
    seed: int = field(default=0, metadata={"help": "of the random draws (default: 0)"})
    background: int | None = field(default=None, metadata=BACKGROUND)
    overwrite: bool = field(default=False, metadata={"help": "replace existing files"})


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option."""
    add_flags(parser, ClassifyOptions)
    parser.set_defaults(run=classify)


def classify(namespace: argparse.Namespace) -> int:
    """Learn from a drawing, or load a forest; write the class of each region."""
    chosen = options_from(namespace, ClassifyOptions)
    with naming_flags(ClassifyOptions):
        return _classify(chosen)


def _classify(chosen: ClassifyOptions) -> int:
    from napari_pcnet.learning.features import EMBEDDING, region_features

    _check(chosen)
    forest = _loaded_forest(chosen)
    opened = open_labels(chosen.labels)
    labels, background = loaded(opened), background_of(chosen.labels, chosen.background)
    pixels, axis = chosen.read(chosen.image)
    with ProgressDisplay(" windows") as progress:
        features = region_features(
            pixels,
            labels,
            channel_axis=axis,
            background=background,
            embedding=chosen.embedding if forest is None else forest.looks_at(EMBEDDING),
            progress=progress,
        )
    forest = forest or _fitted(chosen, labels, features, background)
    found = forest.predict(features)
    classes = _painted(labels, features["label"], found.number)
    write_labels(chosen.classes, classes, chosen.overwrite, placement=opened.placement, outside=OUTSIDE)
    if chosen.table is not None:
        write_table(chosen.table, _rows(features["label"], found, forest), chosen.overwrite)
    if chosen.save_forest is not None:
        forest.save(chosen.save_forest, chosen.overwrite)
    print(f"{chosen.classes}: {len(found.number)} regions, {_counts(found, forest)}")
    return 0


def _check(chosen: ClassifyOptions) -> None:
    """Refuse what would fail at the end, before the work."""
    from napari_pcnet.learning.forest import SUFFIX, checked_forest_path

    if (chosen.drawing is None) == (chosen.forest is None):
        raise ValueError("a forest is either loaded or learnt: give --forest or --drawing, one of the two")
    if chosen.forest is not None and (chosen.names or chosen.embedding or chosen.save_forest is not None):
        raise ValueError(
            "--names, --embedding and --save-forest are for a forest that is learnt from a --drawing"
        )
    check_output(chosen.classes, LABEL_SUFFIXES, chosen.overwrite)
    if chosen.table is not None:
        check_output(chosen.table, TABLE_SUFFIXES, chosen.overwrite)
        if chosen.table.suffix.lower() == ".parquet":
            import pyarrow as pa  # noqa: F401 - is refused before the work, not after it
    if chosen.save_forest is not None:
        check_output(checked_forest_path(chosen.save_forest), (SUFFIX,), chosen.overwrite)
    for role, path in (
        ("CLASSES", chosen.classes),
        ("--table", chosen.table),
        ("--save-forest", chosen.save_forest),
    ):
        for other, its in (
            ("IMAGE", chosen.image),
            ("LABELS", chosen.labels),
            ("--drawing", chosen.drawing),
        ):
            if path is not None and its is not None:
                check_apart(role, path, other, its)
    if chosen.drawing is not None:
        import sklearn  # noqa: F401 - as above


def _loaded_forest(chosen: ClassifyOptions) -> "RegionForest | None":
    from napari_pcnet.learning.forest import RegionForest

    return None if chosen.forest is None else RegionForest.load(chosen.forest)


def _fitted(
    chosen: ClassifyOptions, labels: NDArray[Any], features: dict[str, NDArray[Any]], background: int
) -> "RegionForest":
    """The forest that a drawing teaches."""
    from napari_pcnet.learning.drawn import drawn_classes
    from napari_pcnet.learning.forest import NO_CLASS, RegionForest

    assert chosen.drawing is not None, "checked before"
    numbers = drawn_classes(labels, read_labels(chosen.drawing), background=background)
    drawn = [int(each) for each in np.unique(numbers) if each != NO_CLASS]
    if chosen.names and len(chosen.names) != len(drawn):
        raise ValueError(
            f"names must be one for each of the {len(drawn)} classes that are drawn, got {len(chosen.names)}"
        )
    names = dict(zip(drawn, chosen.names, strict=True)) if chosen.names else None
    return RegionForest.fit(features, numbers, names=names, trees=chosen.trees, seed=chosen.seed)


def _painted(
    labels: NDArray[Any], regions: NDArray[np.int64], numbers: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The class of each pixel."""
    names, places = np.unique(labels, return_inverse=True)
    table = np.full(len(names), OUTSIDE, np.uint8)
    table[np.searchsorted(names, regions.astype(names.dtype))] = numbers  # of two types it compares floats
    return table[places].reshape(labels.shape)


def _rows(regions: NDArray[np.int64], found: "Prediction", forest: "RegionForest") -> dict[str, NDArray[Any]]:
    called = {OUTSIDE: "", **dict(zip(forest.classes, forest.names, strict=True))}
    return {
        "label": regions,
        "class": np.array([called[int(number)] for number in found.number], np.str_),
        "class_number": found.number,
        "uncertainty": found.uncertainty,
    }


def _counts(found: "Prediction", forest: "RegionForest") -> str:
    """How many regions each class has."""
    number = np.bincount(found.number, minlength=256)
    pairs = zip(forest.names, forest.classes, strict=True)
    return ", ".join([f"{name} {number[each]}" for name, each in pairs])
