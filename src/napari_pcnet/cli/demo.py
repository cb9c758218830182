"""``napari-pcnet demo``: superpixels of the photograph in the package."""

import argparse
from pathlib import Path

from napari_pcnet.cli.labelling import label, summary
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.disk import pictures
from napari_pcnet.disk.formats import LABEL_SUFFIXES, OVERLAY_SUFFIXES
from napari_pcnet.disk.labels import write_labels
from napari_pcnet.disk.output import check_output, make_folder
from napari_pcnet.disk.overlay import write_overlay
from napari_pcnet.record import RunRecord

HELP = "segment the sample photograph that is shipped"

N_SEGMENTS = 250
FOLDER = Path("napari-pcnet-demo")


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the folder to write to."""
    parser.add_argument("--output", type=Path, metavar="DIR", default=FOLDER, help="default: %(default)s")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing files in a folder of yours"
    )
    parser.set_defaults(run=demo)


def demo(namespace: argparse.Namespace) -> int:
    """Write labels and overlay, and print where they are."""
    make_folder(namespace.output, "name another by --output DIR")
    labels_path, overlay_path = namespace.output / "labels.tif", namespace.output / "overlay.png"
    overwrite = namespace.overwrite or namespace.output == FOLDER
    check_output(labels_path, LABEL_SUFFIXES, overwrite)
    check_output(overlay_path, OVERLAY_SUFFIXES, overwrite)
    image = pictures.read_image(pictures.SAMPLE)
    record = RunRecord(N_SEGMENTS)
    with ProgressDisplay(" strips") as progress:
        labels, seconds = label(image, record, progress)
    write_labels(labels_path, labels, overwrite)
    write_overlay(overlay_path, image, labels, overwrite)
    print(summary(int(labels.max()), labels.shape, record, seconds))
    print(f"labels:  {labels_path.resolve()}")
    print(f"overlay: {overlay_path.resolve()}")
    return 0
