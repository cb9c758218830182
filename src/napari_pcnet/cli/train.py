"""``napari-pcnet train FOLDER | CONFIG.toml``: fine-tune on a folder, or train as a configuration says."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Self

from napari_pcnet.cli.exits import INTERRUPTED, USER_ERROR
from napari_pcnet.cli.flags import add_flags, flag_of, naming_flags, options_from
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.training.finetune_options import FinetuneOptions

HELP = "train a network on a folder of pictures and labels"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the folder or configuration, and a flag for each option of fine-tuning."""
    parser.add_argument(
        "what",
        type=Path,
        metavar="FOLDER",
        help="folder with images/ and labels/ of the same names; or a configuration, CONFIG.toml",
    )
    parser.add_argument(
        "--data",
        dest="base",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="what paths in a configuration are relative to",
    )
    add_flags(parser, FinetuneOptions)
    parser.set_defaults(run=train)


def train(namespace: argparse.Namespace) -> int:
    """Train; an interruption keeps what was reached."""
    try:
        if namespace.what.suffix == ".toml":
            return _train_as_configured(namespace)
        with naming_flags(FinetuneOptions):
            return _finetune(namespace)
    except KeyboardInterrupt:
        print("napari-pcnet: stopped; the same command with --resume goes on from here", file=sys.stderr)
        return INTERRUPTED


def _finetune(namespace: argparse.Namespace) -> int:
    from napari_pcnet.training import finetune

    if "base" in namespace:
        raise ValueError("--data goes with a configuration; the folder itself holds the pictures")
    namespace.data = namespace.what
    options = options_from(namespace, FinetuneOptions)
    if options.dry_run:
        checked = finetune.main_check(options)
        print(checked.text)
        return 0 if checked.sound else USER_ERROR
    with _Displays() as displays:
        scores = finetune.main_finetune(options, displays.of_steps, displays.classifier)
    print(scores)
    return 0


def _train_as_configured(namespace: argparse.Namespace) -> int:
    from napari_pcnet.training import config, loop

    given = {each.name for each in fields(FinetuneOptions) if each.name in namespace}
    others = sorted(map(flag_of, given - {"output", "resume"}))
    if others:
        raise ValueError(f"{others[0]} goes with a folder; {namespace.what} says it itself")
    asked = config.read_config(namespace.what)
    with _Displays() as displays:
        weights_file = loop.train(
            asked,
            getattr(namespace, "output", None) or Path("runs") / namespace.what.stem,
            base=getattr(namespace, "base", Path()),
            resume=getattr(namespace, "resume", False),
            report=displays.of_steps(asked.run.steps),
            classifier_progress=displays.classifier,
        )
    if os.environ.get("RANK", "0") == "0":  # one of several processes prints
        print(f"weights: {weights_file}")
    return 0


class _Displays:
    """The line of the steps, and after it that of the merge classifier, which learns last."""

    def __init__(self) -> None:
        self._steps = ProgressDisplay(" steps")
        self._classifier = ProgressDisplay(" pictures", "merge classifier")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._steps.close()
        self._classifier.close()

    def of_steps(self, number: int) -> Callable[[dict[str, float]], None]:
        """Return what a training of this many steps calls after each, with its record."""
        self._steps.close()  # a training before this one may have stopped early

        def report(record: dict[str, float]) -> None:
            if "total" in record:
                self._steps(int(record["step"]), number, f"loss={record['total']:.4f}")

        return report

    def classifier(self, done: int, total: int) -> None:
        """Show how far the merge classifier has learned."""
        self._steps.close()
        self._classifier(done, total)
