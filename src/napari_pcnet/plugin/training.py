"""Training on layers: a job that writes them as a folder, trains as the command does, and keeps the weights.

The folder and the run are temporary; what stays is a file of weights with a name, as
``napari-pcnet weights import`` makes one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_pcnet import weights
from napari_pcnet.disk.download import naming_cache_failure
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.layer_pairs import LayerPair, write_pairs
from napari_pcnet.training.finetune_options import FinetuneOptions

if TYPE_CHECKING:
    from napari_pcnet.training.report import BeforeAndAfter

Record = dict[str, float]
"""Of a step: its number, losses and, now and then, scores."""


@dataclass(frozen=True)
class Choice:
    """A training that a user asks for.

    Attributes
    ----------
    name : str
        Of the weights it makes.
    pairs : tuple of LayerPair
    options : FinetuneOptions
        Of which data and output are not yet known.
    """

    name: str
    pairs: tuple[LayerPair, ...]
    options: FinetuneOptions


@dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes
    ----------
    name : str
        Of the weights.
    is_kept : bool
        Whether there are such weights now; not where no training served the held-out pictures better.
    before, after : float
        Accuracy of the held-out pictures, with the weights of the start and with the best.
    held_out : int
        How many pictures these are.
    pictures : int
        Of all.
    """

    name: str
    is_kept: bool
    before: float
    after: float
    held_out: int
    pictures: int

    @property
    def message(self) -> str:
        """What to tell the user."""
        which = f"{self.held_out} of {self.pictures} pictures, held out"
        if not self.is_kept:
            return (
                f"no training did better than the accuracy {self.before:.4f} of the start on {which}; "
                "nothing is kept: label more, or take more steps"
            )
        scores = f"accuracy {self.before:.4f} before, {self.after:.4f} after, on {which}"
        return f"'{self.name}' is among the models now; {scores}"


class Training(QObject):
    """At most one training, under way or not.

    Parameters
    ----------
    parent : QObject
    """

    part_begun = Signal(int, int)
    """One of the two trainings begins: which, from 0, and its steps."""
    stepped = Signal(object)
    """A step is done; its `Record`."""
    fitting = Signal(int, int)
    """``(done, total)`` of the merge classifier, which learns last, or of the scores at the end."""
    finished = Signal(object)
    """What came out; a `Trained`."""
    refused = Signal(str)
    """The training could not be done; why, in a sentence."""
    over = Signal()
    """The last signal of a training, however it ended."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.job: Job | None = None

    def start(self, choice: Choice) -> bool:
        """Train; return whether that has begun: what is wrong with the choice is refused at once."""
        assert self.job is None, "one training at a time"
        try:
            target = checked(choice)
        except (ValueError, OSError) as error:
            self.refused.emit(str(error))
            return False
        self.job = Job(lambda job: self._train(job, choice, target))
        self.job.returned.connect(self.finished)
        self.job.refused.connect(self.refused)
        self.job.over.connect(self._end)
        self.job.start()
        return True

    def stop(self) -> None:
        """Ask the training to stop; it leaves nothing behind."""
        if self.job is not None:
            self.job.stop()

    def _train(self, job: Job, choice: Choice, target: Path) -> Trained:
        """Train in the job's thread."""
        from napari_pcnet.training.finetune import finetune

        with tempfile.TemporaryDirectory(prefix="napari-pcnet-", ignore_cleanup_errors=True) as place:
            data = Path(place, choice.name)
            pictures = write_pairs(data, choice.pairs, job.check)
            options = replace(choice.options, data=data, output=Path(place, "run"))
            fitting = self._reporter(job, self.fitting.emit)
            comparison = finetune(options, self._steps_of(job), fitting, fitting)
            job.check()
            trained = _trained(choice.name, comparison, pictures)
            if trained.is_kept:
                content = comparison.trained.read_bytes()
                with naming_cache_failure(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(target, lambda file: file.write(content), replace=False)
        return trained

    def _steps_of(self, job: Job) -> Callable[[int], Callable[[Record], None]]:
        """What `finetune` calls with the steps of each training, and what that returns."""
        parts = iter(range(2))

        def begin(steps: int) -> Callable[[Record], None]:
            job.check()
            self.part_begun.emit(next(parts), steps)
            return self._reporter(job, self.stepped.emit)

        return begin

    def _reporter(self, job: Job, tell: Callable[..., object]) -> Callable[..., None]:
        def report(*what: object) -> None:
            job.check()
            tell(*what)

        return report

    def _end(self) -> None:
        self.job = None
        self.over.emit()


def checked(choice: Choice) -> Path:
    """Return the place for the weights of a choice.

    Raises
    ------
    ValueError
        If there is nothing to learn from, labels do not fit, or the name is none or taken.
    """
    if not choice.pairs:
        raise ValueError("choose the labels of an image to learn from")
    for pair in choice.pairs:
        pair.check()
    if not choice.name:
        raise ValueError("give the weights that are trained a name")
    return weights.place_for(choice.name)


def _trained(name: str, comparison: BeforeAndAfter, pictures: int) -> Trained:
    from napari_pcnet.training.report import mean

    before, after = (mean(each)["ASA"] for each in (comparison.before, comparison.after))
    return Trained(name, comparison.trainings > 0, before, after, len(comparison.pairs), pictures)
