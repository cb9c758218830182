"""``napari-pcnet segment IN OUT``: superpixels of a picture file."""

import argparse
from dataclasses import replace
from pathlib import Path

from napari_pcnet.cli.flags import add_flags, options_from
from napari_pcnet.cli.labelling import label, summary
from napari_pcnet.disk import pictures
from napari_pcnet.disk.formats import LABEL_SUFFIXES, LARGEST_PNG_LABEL, OVERLAY_SUFFIXES
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import write_labels
from napari_pcnet.disk.output import check_output
from napari_pcnet.disk.overlay import write_overlay
from napari_pcnet.disk.placement import Placement
from napari_pcnet.record import Origin, RunRecord, notes_of

HELP = "make superpixels of a picture"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the files, and a flag for each option of a run."""
    parser.add_argument("image", type=Path, metavar="IN", help="tif, zarr, png or jpg")
    parser.add_argument("output", type=Path, metavar="OUT", help="labels: tif, zarr or png")
    parser.add_argument(
        "--overlay", type=Path, metavar="FILE", help="write the picture with borders: png, jpg or tif"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    add_flags(parser, RunRecord, short={"n_segments": "-n"})
    parser.set_defaults(run=segment)


def segment(namespace: argparse.Namespace) -> int:
    """Read the picture, make its labels, write them and the overlay."""
    from napari_pcnet.planes import naming_channels, record_axis

    record = options_from(namespace, RunRecord)
    _check_files(namespace, record)
    image = pictures.read_image(namespace.image, **record.reading())
    if "channel_axis" not in namespace:
        record = replace(record, channel_axis=record_axis(image.pixels.shape, image.channel_axis))
    record = naming_channels(image.pixels, record)  # so that whoever repeats the run has them, too
    labels, seconds = label(image, record)
    if namespace.overlay is not None and labels.ndim > 2:
        raise ValueError(
            f"an overlay shows one plane of {namespace.image}, which has several; choose one by --plane"
        )
    planes = image.pixels.ndim > (2 if record.channel_axis is None else 3)
    notes = notes_of(record, Origin(namespace.image.stem, str(namespace.image.resolve()), planes))
    can_note = namespace.output.suffix.lower() != ".png"
    placement = _placement_of_part(image, record)
    write_labels(namespace.output, labels, namespace.overwrite, notes if can_note else None, placement)
    print(f"{namespace.output}: {summary(labels, record, seconds)}")
    if namespace.overlay is not None:
        shown = replace(_segmented_part(image, record), placement=placement)
        write_overlay(namespace.overlay, shown, labels, namespace.overwrite)
        print(f"{namespace.overlay}: the picture with their borders")
    return 0


def _check_files(namespace: argparse.Namespace, record: RunRecord) -> None:
    """Refuse, before any work, files that could not be written or would overwrite each other."""
    check_output(namespace.output, LABEL_SUFFIXES, namespace.overwrite)
    if namespace.overlay is not None:
        check_output(namespace.overlay, OVERLAY_SUFFIXES, namespace.overwrite)
    named = {"IN": namespace.image, "--mask": record.mask, "OUT": namespace.output}
    role_of: dict[Path, str] = {}
    for role, path in (named | {"--overlay": namespace.overlay}).items():
        if path is None:
            continue
        other = role_of.setdefault(Path(path).resolve(), role)
        if other != role and role != "--mask":  # a picture may well be its own mask
            raise ValueError(f"{other} and {role} are the same file {path}; name another one for {role}")
    if namespace.output.suffix.lower() == ".png" and record.n_segments > LARGEST_PNG_LABEL:
        raise ValueError(
            f"{record.n_segments} superpixels do not fit into the 16 bits of a png; "
            f"write {namespace.output.with_suffix('.tif')} instead"
        )


def _segmented_part(image: Image, record: RunRecord) -> Image:
    """Return the plane, part and channels that were segmented, for an overlay."""
    from napari_pcnet.planes import Planes

    planes = Planes.select(image.pixels, record)
    return Image(*planes.read(planes.indices[0]))


def _placement_of_part(image: Image, record: RunRecord) -> Placement | None:
    """Return where the labels lie: the image's place, or that of its crop."""
    if image.placement is None or record.crop is None:
        return image.placement
    top, left, *_ = record.crop
    return image.placement.part(top, left)
