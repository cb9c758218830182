"""Options of fine-tuning on a folder of pictures and labels; reading them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from napari_pcnet.options import Options


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of a training without a configuration file."""

    data: Path = field(metadata={"flag": False})
    start: str = field(
        default=Options.model, metadata={"help": "weights to start from: a name, or a file of your own"}
    )
    output: Path | None = field(default=None, metadata={"help": "folder of the run (default: runs/FOLDER)"})
    steps: int = field(
        default=600,
        metadata={"help": "at most, of the first training; it stops when scores no longer improve"},
    )
    learning_rate: float = field(
        default=5e-4, metadata={"help": "the highest, after some steps of warm-up; it falls to 0"}
    )
    seed: int = field(default=0, metadata={"help": "of the random crops and their augmentation"})
    device: str = field(default=Options.device, metadata={"help": "auto, cpu, cuda, cuda:1 or mps"})
    resume: bool = field(default=False, metadata={"help": "go on from the state in that folder"})
    dry_run: bool = field(
        default=False,
        metadata={"help": "only read every file and say what is wrong; the exit status is 2 if anything is"},
    )
    skip_bad: bool = field(default=False, metadata={"help": "leave out files that cannot be used"})
