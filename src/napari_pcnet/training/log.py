"""The log of a training: one flat record a step, in ``log.csv`` and, where it is installed, TensorBoard."""

from __future__ import annotations

import csv
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.training.losses import LossTerms

COLUMNS = (
    "step",
    "elapsed_s",
    "learning_rate",
    "total",
    "gradient_norm",
    *(each.name for each in fields(LossTerms)),
    "validation_asa",
    "validation_br",
)
"""Of ``log.csv``; NaN where a step has none. Step 0 holds the validation of the weights it started from."""


class TrainingLog:
    """Writes the records of a run.

    Parameters
    ----------
    folder : Path or None
        Of the run; None writes nothing.
    step : int
        Step that the run goes on from; rows of later ones are dropped, since they are written again.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self.board: Any = None  # tensorboard's writer is untyped
        self.path = None if folder is None else folder / "log.csv"
        if folder is None or self.path is None:
            return
        _keep_until(self.path, step)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, record: dict[str, float]) -> None:
        """Append one record."""
        if self.path is None:
            return
        row = dict.fromkeys(COLUMNS, math.nan) | record
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.board is not None:
            for name, value in record.items():
                if name != "step":
                    self.board.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush what is open."""
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the columns of a ``log.csv``, ``(rows,)`` each."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _keep_until(path: Path, step: int) -> None:
    """Drop the rows behind a step; all of them, with the file, at step 0."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [row for row in rows if float(row["step"]) <= step] if step else []
    path.unlink()
    if kept:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
