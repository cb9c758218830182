"""``napari-pcnet evaluate LABELS TRUTH``: score labels against annotations."""

import argparse

from napari_pcnet.cli.flags import add_flags, naming_flags, options_from
from napari_pcnet.cli.progress import ProgressDisplay

HELP = "score labels against annotations"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each option."""
    from napari_pcnet.evaluation.evaluate import EvaluateOptions

    add_flags(parser, EvaluateOptions)
    parser.set_defaults(run=evaluate)


def evaluate(namespace: argparse.Namespace) -> int:
    """Print the scores, and what their headings stand for."""
    from napari_pcnet.evaluation.evaluate import EvaluateOptions, legend, main_evaluate

    with naming_flags(EvaluateOptions), ProgressDisplay(" files") as progress:
        scores = main_evaluate(options_from(namespace, EvaluateOptions), progress)
    print(scores, legend(), sep="\n\n")
    return 0
