"""``napari-pcnet measure LABELS TABLE``: properties of regions, one row each."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from napari_pcnet.cli.flags import add_flags, naming_flags, options_from
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.cli.region_pixels import BACKGROUND, LabelledPart, background_of
from napari_pcnet.disk.labels import open_labels
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.tables import TABLE_SUFFIXES, write_table

HELP = "measure superpixels or other regions"


@dataclass(frozen=True)
class MeasureOptions(LabelledPart):
    """What is measured of which regions, and where it is written."""

    labels: Path = field(metadata={"positional": True, "help": "labels of one plane: tif, png or zarr"})
    table: Path = field(
        metadata={"positional": True, "help": 'csv, or parquet, which needs the extra "export"'}
    )
    image: Path | None = field(
        default=None, metadata={"help": "the picture, for intensities; without it shapes are measured"}
    )
    properties: tuple[str, ...] | None = field(
        default=None,
        metadata={"help": "names of scikit-image's regionprops, such as area intensity_mean perimeter"},
    )
    spacing: tuple[float, float] | None = field(
        default=None, metadata={"help": "height and width of a pixel, the unit of the table (default: 1 1)"}
    )
    unit: str | None = field(
        default=None,
        metadata={
            "help": "mm, um or another: lengths in this unit, by the size of a pixel that the labels' file "
            "states; in place of spacing"
        },
    )
    channel_names: tuple[str, ...] | None = field(
        default=None, metadata={"help": "one for each channel, in place of its number"}
    )
    background: int | None = field(default=None, metadata=BACKGROUND)
    overwrite: bool = field(default=False, metadata={"help": "replace an existing table"})


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option."""
    add_flags(parser, MeasureOptions)
    parser.set_defaults(run=measure)


def measure(namespace: argparse.Namespace) -> int:
    """Measure and write the table."""
    chosen = options_from(namespace, MeasureOptions)
    with naming_flags(MeasureOptions):
        return _measure(chosen)


def _measure(chosen: MeasureOptions) -> int:
    from napari_pcnet.measuring.region_table import region_table

    if chosen.image is None and (chosen.level or chosen.series or chosen.crop is not None):
        raise ValueError("level=, series= and crop= are of a picture: name it by image=")
    check_output(chosen.table, TABLE_SUFFIXES, chosen.overwrite)
    if chosen.table.suffix.lower() == ".parquet":
        import pyarrow as pa  # noqa: F401 - is refused before the work, not after it
    opened = open_labels(chosen.labels)
    spacing = chosen.spacing if chosen.unit is None else _spacing_in(chosen.unit, chosen, opened.placement)
    pixels, axis = (None, None) if chosen.image is None else chosen.read(chosen.image)
    with ProgressDisplay(" windows") as progress:
        table = region_table(
            pixels,
            opened.pixels,
            chosen.properties,
            spacing=spacing,
            channel_axis=axis,
            channel_names=chosen.channel_names,
            background=background_of(chosen.labels, chosen.background),
            progress=progress,
        )
    write_table(chosen.table, table, chosen.overwrite)
    rows = len(next(iter(table.values())))
    print(f"{chosen.table}: {rows} regions, {len(table)} columns")
    return 0


def _spacing_in(unit: str, chosen: MeasureOptions, placement: Placement | None) -> tuple[float, float]:
    """Height and width of a pixel as the labels' file states them, in a unit."""
    if chosen.spacing is not None:
        raise ValueError("unit= says what spacing= would say: give one of them")
    size = (placement or Placement()).pixel_size_in(unit)
    if size is None:
        raise ValueError(f"{chosen.labels} states no size of a pixel with its unit: give it by spacing=")
    return size
