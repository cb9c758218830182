"""The configuration of a training: one TOML file with a table for each part."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_pcnet.disk.configuration import read_toml
from napari_pcnet.network.model import PCNetConfig
from napari_pcnet.options import Options
from napari_pcnet.training.losses import LossConfig
from napari_pcnet.training.merge_classifier import MergeClassifierConfig
from napari_pcnet.training.samples import SampleConfig


@dataclass(frozen=True)
class DataConfig:
    """The images of a training, and their annotations.

    Attributes
    ----------
    train, validation : tuple of str
        Folders with ``images/`` and ``labels/``, relative to the folder given by ``--data``.
    shares : tuple of float
        Share of the samples that comes from each folder of `train`, in any unit; by default in
        proportion to its annotations.
    holdout : float
        Share of the training images, spread evenly over their names, that is held out for validation; for
        sets without a validation split. If it is not 0, at least one of two or more images.
    only : tuple of str
        Names of the training images to use; all if empty.
    licence : str
        Terms of the training data, for the model card.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    holdout: float = 0.0
    only: tuple[str, ...] = ()
    licence: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout must be a share from 0 to below 1, got {self.holdout!r}")
        if self.shares and (len(self.shares) != len(self.train) or min(self.shares) <= 0):
            raise ValueError(
                f"shares must be a positive number for each folder of train, got {list(self.shares)}"
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam and its schedule.

    Attributes
    ----------
    learning_rate : float
        After warm-up. The paper's is 5e-5, its authors' code has 8e-5.
    schedule : {'cosine', 'steps'}
        Fall to 0 along a cosine, or by `factor` every `every` steps (paper: 0.1 every 2,000).
    warmup : int
        Steps of linear rise from 0.
    weight_decay : float
        On weights of convolutions, not on biases or normalisation (authors' code: 4e-4).
    clip : float
        Largest norm of the gradient; 0 for none.
    ema : float
        Decay of the moving average of weights that is saved in place of the last ones; 0 for none.
    """

    learning_rate: float = 1.5e-3
    schedule: Literal["cosine", "steps"] = "cosine"
    warmup: int = 50
    every: int = 2000
    factor: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be a number above 0, got {self.learning_rate!r}")


@dataclass(frozen=True)
class RunConfig:
    """Length, device and validation of a training.

    Attributes
    ----------
    steps : int
    seed : int
    device : str
        'auto', or a device as torch names it: 'cpu', 'cuda', 'cuda:1', 'mps'.
    precision : {'float32', 'bfloat16', 'float16'}
        Type of autocast. With float16 the loss is scaled so that gradients neither vanish nor
        overflow, and steps that overflow are skipped.
    start_from : str
        Weights to start from: a name, or a file relative to the folder that holds the run; '' for
        random weights.
    save_every_s : float
        Seconds between saved states.
    validate_every : int
        Steps between validations; 0 for the end only.
    validate_images : int
        Number of validation images to score, evenly spread.
    accumulate : int
        Batches whose gradients are averaged before each step.
    normalisation : {'batch', 'frozen'}
        Normalise by each batch (of all processes on CUDA, of its own on a CPU), or by the
        statistics of the weights that training started from.
    trains : {'all', 'boundary', 'merges'}
        What learns: everything (the boundary decoder only if ``loss.boundary`` is not 0), or the
        boundary decoder alone, behind weights that stay as they are. The merge classifier depends on
        both: fit it again after either (``merge_classifier.steps``). Or the merge classifier alone,
        behind weights that stay as they are, whole numbers, too: what steers the training of a network is
        then not used.
    patience : int
        Stop after this many validations without a better one, and keep the weights of the best; 0 to
        take all steps and keep the last. Needs validation images, and an association that learns.
    """

    steps: int = 1600
    seed: int = 0
    device: str = Options.device
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    start_from: str = ""
    save_every_s: float = 60.0
    validate_every: int = 200
    validate_images: int = 20
    accumulate: int = 1
    normalisation: Literal["batch", "frozen"] = "batch"
    trains: Literal["all", "boundary", "merges"] = "all"
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.patience < 0:
            raise ValueError(f"patience must be at least 0, got {self.patience!r}")
        if self.patience and self.trains != "all":
            raise ValueError(
                f"patience needs an association that learns: with trains = {self.trains!r} set it to 0"
            )
        if self.normalisation == "frozen" and not self.start_from:
            raise ValueError("normalisation can be 'frozen' only where start_from gives statistics")
        if self.trains != "all" and not self.start_from:
            what = "a boundary decoder" if self.trains == "boundary" else "a merge classifier"
            raise ValueError(f"{what} can be trained alone only behind weights: set start_from")


@dataclass(frozen=True)
class WholeNumbersConfig:
    """Rounding of the trained network to whole numbers.

    Attributes
    ----------
    batches : int
        Batches of training views on which the ranges of activations are measured; 0 leaves the network in
        floats.
    """

    batches: int = 0

    def __post_init__(self) -> None:
        if self.batches < 0:
            raise ValueError(f"batches must be at least 0, got {self.batches!r}")


@dataclass(frozen=True)
class TrainingConfig:
    """A whole training; in TOML a table for each field."""

    data: DataConfig
    model: PCNetConfig = field(default_factory=PCNetConfig)
    samples: SampleConfig = field(default_factory=SampleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    whole_numbers: WholeNumbersConfig = field(default_factory=WholeNumbersConfig)
    merge_classifier: MergeClassifierConfig = field(default_factory=MergeClassifierConfig)

    @property
    def learns_boundary(self) -> bool:
        """Whether the boundary decoder learns."""
        return self.run.trains == "boundary" or self.loss.boundary > 0

    def __post_init__(self) -> None:
        if self.run.trains == "boundary" and not self.model.boundary:
            raise ValueError(
                "run.trains is 'boundary', but the network has no boundary decoder: set model.boundary"
            )
        if self.run.trains == "merges" and not self.merge_classifier.steps:
            raise ValueError("run.trains is 'merges', but nothing fits them: set merge_classifier.steps")
        if self.run.patience and not (self.data.validation or self.data.holdout):
            raise ValueError("patience needs validation images: set data.validation or data.holdout")
        if self.merge_classifier.steps and not self.model.merge_classifier:
            raise ValueError(
                "merge_classifier.steps is set, but the network has no merge classifier: "
                "set model.merge_classifier"
            )
        if self.whole_numbers.batches and not self.model.block:
            raise ValueError(
                "whole_numbers.batches is set, but only a network that predicts blocks can be rounded to "
                "whole numbers: set model.block"
            )
        if self.run.trains != "merges":
            self._check_loss()

    def _check_loss(self) -> None:
        """Refuse losses of what the network lacks, or of what does not learn."""
        alone = self.run.trains == "boundary"
        if self.model.block and not alone and self.loss.local:
            raise ValueError("a network that predicts blocks learns from whole views: set loss.local = 0")
        of_the_tail = self.loss.reconstruction or self.loss.discrimination
        if self.model.block and not alone and of_the_tail:
            raise ValueError(
                "loss.reconstruction and loss.discrimination need the features of the paper's tail: with "
                "model.block set both to 0"
            )
        if self.loss.boundary_trains_trunk and (alone or not (self.model.block and self.loss.boundary)):
            raise ValueError(
                "loss.boundary_trains_trunk is for a network that predicts blocks and learns as a whole: set "
                "model.block, loss.boundary and run.trains = 'all', or leave it out"
            )
        if not (alone or self.samples.patches) and self.loss.local:
            raise ValueError("loss.local needs local patches: set samples.patches, or loss.local = 0")


def read_config(path: Path) -> TrainingConfig:
    """Read a training configuration from a TOML file, as `configuration.read_toml` does."""
    return read_toml(TrainingConfig, Path(path))
