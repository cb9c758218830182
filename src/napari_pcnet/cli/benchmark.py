"""``napari-pcnet benchmark quality | speed | scale | seams | contract``: PCNet beside other methods."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from napari_pcnet.cli.exits import INTERRUPTED
from napari_pcnet.cli.flags import add_flags, naming_flags, options_from
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.disk import configuration

HELP = "compare quality and cost with other methods"

_MODULE = "napari_pcnet.evaluation.benchmark"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a command for each benchmark, with a flag for each of its options."""
    module = import_module(_MODULE)
    kinds = parser.add_subparsers(required=True, metavar="quality|speed|scale|seams|contract", dest="what")
    for what, options_class, about in (
        ("quality", module.QualityOptions, "scores against annotations, at equal measured counts"),
        ("speed", module.SpeedOptions, "time and memory of methods in turn"),
        ("scale", module.ScaleOptions, "time and memory against the side of the image"),
        ("seams", module.SeamsOptions, "borders where a picture is cut into windows and chunks"),
        ("contract", module.ContractOptions, "counts, connectedness and sizes of superpixels"),
    ):
        kind = kinds.add_parser(what, help=about, description=f"Measure {about}.")
        kind.add_argument(
            "config",
            type=Path,
            metavar="CONFIG.toml",
            nargs="?",
            help="what to measure; a flag overrides what it says",
        )
        add_flags(kind, options_class)
        kind.set_defaults(run=benchmark, options_class=options_class)


def benchmark(namespace: argparse.Namespace) -> int:
    """Run one benchmark and print its tables; an interruption keeps what was measured."""
    measure = getattr(import_module(_MODULE), f"main_{namespace.what}")
    config = None
    if namespace.config is not None:
        config = configuration.read_toml(namespace.options_class, namespace.config)
    with naming_flags(namespace.options_class):
        options = options_from(namespace, namespace.options_class, config)
    try:
        with ProgressDisplay(" results") as progress:
            text = measure(options, progress)
    except KeyboardInterrupt:
        print("napari-pcnet: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    print(text)
    return 0
