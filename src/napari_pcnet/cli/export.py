"""``napari-pcnet export LABELS POLYGONS``: regions as polygons, for QuPath and for maps."""

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.cli.flags import add_flags, naming_flags, options_from
from napari_pcnet.cli.region_pixels import BACKGROUND, background_of
from napari_pcnet.disk.geojson import Colour, ObjectType
from napari_pcnet.disk.labels import loaded, open_labels
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.polygon_files import POLYGON_SUFFIXES, write_polygons
from napari_pcnet.disk.tables import read_table

HELP = "write regions as polygons, for QuPath or for maps"

_COLOUR = re.compile(r"(.+)=#([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class ExportOptions:
    """Which regions are written as polygons, and with what."""

    labels: Path = field(metadata={"positional": True, "help": "labels of one plane: tif, png or zarr"})
    polygons: Path = field(
        metadata={
            "positional": True,
            "help": "geojson, in pixels, as QuPath opens it; or gpkg, where the labels lie on a map",
        }
    )
    table: Path | None = field(
        default=None,
        metadata={"help": "csv or parquet with a row a label: its class, and what was measured"},
    )
    class_colours: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "NAME=#rrggbb for each class that is to have this colour in geojson; a class that no "
            "region has is passed over"
        },
    )
    object_type: ObjectType = field(default="annotation", metadata={"help": "what a region is in QuPath"})
    simplify: float = field(
        default=0.0,
        metadata={"help": "leave out what is finer than so many pixels; borders stay common (default: 0)"},
    )
    origin: tuple[int, int] = field(
        default=(0, 0),
        metadata={
            "help": "row and column of the first pixel in the whole picture, for geojson (default: 0 0)"
        },
    )
    background: int | None = field(default=None, metadata=BACKGROUND)
    overwrite: bool = field(default=False, metadata={"help": "replace an existing file"})


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option."""
    add_flags(parser, ExportOptions)
    parser.set_defaults(run=export)


def export(namespace: argparse.Namespace) -> int:
    """Trace the regions and write them."""
    chosen = options_from(namespace, ExportOptions)
    with naming_flags(ExportOptions):
        check_output(chosen.polygons, POLYGON_SUFFIXES, chosen.overwrite)
        opened = open_labels(chosen.labels)
        labels, background = loaded(opened), background_of(chosen.labels, chosen.background)
        table = None if chosen.table is None else read_table(chosen.table)
        count = write_polygons(
            chosen.polygons,
            labels,
            table,
            class_colours=_colours(chosen.class_colours),
            object_type=chosen.object_type,
            simplify=chosen.simplify,
            origin=chosen.origin,
            placement=opened.placement,
            background=background,
            overwrite=chosen.overwrite,
        )
    missing = 0 if table is None else count - _with_row(labels, table["label"], background)
    said = f", {missing} of them without a row in the table" if missing else ""
    print(f"{chosen.polygons}: {count} regions{said}")
    return 0


def _with_row(labels: NDArray[Any], rows: NDArray[Any], background: int) -> int:
    """How many regions a table says something of."""
    names = np.unique(labels)
    return int(np.count_nonzero(np.isin(names[names != background], rows)))


def _colours(words: tuple[str, ...]) -> dict[str, Colour]:
    colours = {}
    for word in words:
        found = _COLOUR.fullmatch(word)
        if found is None:
            raise ValueError(f"class_colours must be NAME=#rrggbb, got {word!r}")
        red, green, blue = bytes.fromhex(found[2])
        colours[found[1]] = (red, green, blue)
    return colours
