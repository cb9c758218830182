"""Learning the rest from some strokes: a forest, what it predicts, and what a user takes of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_pcnet.annotation.classes import default_name
from napari_pcnet.annotation.nested import NestedRegions
from napari_pcnet.annotation.strokes import NOTHING
from napari_pcnet.learning.cuts import CutPrediction
from napari_pcnet.learning.features import EMBEDDING
from napari_pcnet.learning.forest import RegionForest
from napari_pcnet.plugin.annotating import Annotating, Subject
from napari_pcnet.plugin.boxes import single_shot
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.predicted_layer import PredictedLayer, with_lead
from napari_pcnet.plugin.region_columns import RegionColumns

if TYPE_CHECKING:
    from napari_pcnet.annotation.classes import AnnotationClass, ClassTable

LIBRARY = "sklearn"
"""scikit-learn's module."""

TREES = 32
"""Half as many as `RegionForest.fit` grows, so that 50,000 regions are answered within a second."""

MISSING = "scikit-learn is not installed; pip install 'napari-pcnet[learn]'"

NO_IMAGE = "learning looks at the image: open it, press Use its settings and Run"

TOO_FEW = "paint two classes before the rest is learnt"


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Learnt:
    """A forest, and what it says of the regions of the base.

    Attributes
    ----------
    forest : RegionForest
    votes : (n, K) float64 array
        Of each region of the base.
    columns : RegionColumns
    taught : int
        How many superpixels it was fitted on; 0 if it was loaded.
    """

    forest: RegionForest
    votes: NDArray[np.float64]
    columns: RegionColumns
    taught: int


@dataclass(frozen=True, eq=False)
class Pooled:
    """What a forest says of the superpixels of a cut.

    Attributes
    ----------
    learnt : Learnt
    counts : tuple of int
        How many superpixels each plane has.
    cut : CutPrediction
    number : (n,) uint8 array
        The class of each region of the base.
    uncertainty : (n,) float64 array
    """

    learnt: Learnt
    counts: tuple[int, ...]
    cut: CutPrediction
    number: NDArray[np.uint8]
    uncertainty: NDArray[np.float64]

    @classmethod
    def of(cls, learnt: Learnt, nested: NestedRegions, counts: tuple[int, ...]) -> Pooled:
        """Pool the votes over a cut; for any thread."""
        area = learnt.columns.table["area"]
        cut = CutPrediction.of(learnt.forest, learnt.votes, area, nested, counts)
        parts = cut.parts
        return cls(learnt, counts, cut, cut.by_region(parts.number), cut.by_region(parts.uncertainty))

    def said_of(self, part: int, classes: ClassTable) -> str:
        """What a superpixel is, and how far that is ahead of what it is second most likely."""
        number, lead = int(self.cut.parts.number[part]), 1 - self.cut.parts.uncertainty[part]
        if number == NOTHING:
            return "nothing can be said of this one: the picture has no values here"
        second = self.learnt.forest.classes[np.argsort(-self.cut.parts.share[part], kind="stable")[1]]
        return with_lead(classes[number].name, classes[second].name, f"{lead:.0%}")


class Learning(QObject):
    """A forest for the annotation under way.

    Parameters
    ----------
    annotating : Annotating
    parent : QObject

    Attributes
    ----------
    after_each : bool
        Whether the rest is learnt after each stroke.
    """

    changed = Signal()
    """There is a forest, or none, or one is being learnt."""
    layer_added = Signal()
    message = Signal(str)

    def __init__(self, annotating: Annotating, parent: QObject) -> None:
        super().__init__(parent)
        self._annotating = annotating
        self.after_each = False
        self._job: Job | None = None
        self._again: Callable[[], None] | None = None  # what is to be done when the job is over
        self._columns: RegionColumns | None = None
        self._learnt: Learnt | None = None
        self._predicted: PredictedLayer | None = None
        self._pooled: Pooled | None = None
        self._pooling: Job | None = None
        self._then: Callable[[], None] | None = None  # to be done when the cut that is shown is pooled
        self._next = 0
        self._classes: tuple[AnnotationClass, ...] = ()
        self._pool_timer = single_shot(self._pool, 0, self)
        self._draw_timer = single_shot(self._draw, 0, self)
        annotating.stroke_done.connect(self._follow_stroke)
        annotating.changed.connect(self._follow_classes)
        annotating.brush_changed.connect(self._pool_soon)
        annotating.next_asked.connect(self.jump)
        annotating.ended.connect(self.end)

    @property
    def layers(self) -> set[Labels]:
        """The layer of what is predicted, while there is one."""
        return set() if self._predicted is None else {self._predicted.layer}

    @property
    def forest(self) -> RegionForest | None:
        """What was learnt or loaded."""
        return None if self._learnt is None else self._learnt.forest

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way, or about to be."""
        return self._job is not None or self._is_pooling

    def learn(self) -> None:
        """Learn from what is annotated, in a thread; while one is learning, again when that is done."""
        subject = self._annotating.subject
        if subject is None:
            self.message.emit("annotate classes first")
            return
        if not subject.result.has_image:
            self.message.emit(NO_IMAGE)
            return
        if find_spec(LIBRARY) is None:
            self.message.emit(MISSING)
            return
        numbers = subject.annotation.table[:-1].copy()
        if len(subject.annotation.used()) < 2:
            self.message.emit(TOO_FEW)
            return
        if self._job is not None:
            self._again = self.learn
            return
        names = {each.number: each.name for each in subject.classes}

        nested, counts = subject.annotation.nested, subject.counts

        def learn(columns: RegionColumns) -> Learnt:
            forest = RegionForest.fit(columns.plain, numbers, names=names, trees=TREES)
            votes = forest.predict(columns.plain).share
            taught = nested.parts_with(numbers != NOTHING, counts)
            return Learnt(forest, votes, columns, taught)

        self._start(subject, learn)

    def switch(self, on: bool) -> None:
        """Learn after each stroke from now on, or no longer."""
        self.after_each = on
        if on:
            self._follow_stroke()

    def load(self, path: str) -> None:
        """Ask the forest of a file in place of one that is learnt here."""
        subject = self._annotating.subject
        if subject is None:
            self.message.emit("annotate classes first")
            return
        if not subject.result.has_image:
            self.message.emit(NO_IMAGE)
            return
        try:
            forest = RegionForest.load(path)
        except (ValueError, OSError) as error:
            self.message.emit(str(error))
            return
        if self._job is not None:
            self._again = lambda: self.load(path)
            return

        def ask(columns: RegionColumns) -> Learnt:
            return Learnt(forest, forest.predict(columns.table).share, columns, 0)

        self._start(subject, ask, embedding=forest.looks_at(EMBEDDING))

    def save(self, path: str) -> None:
        """Write the forest to a file, with the names that the classes have now."""
        subject = self._annotating.subject
        if self.forest is None or subject is None:
            self.message.emit("learn or load a forest first")
            return
        try:
            names = tuple(subject.classes[number].name for number in self.forest.classes)
            replace(self.forest, names=names).save(path)
        except (ValueError, OSError) as error:
            self.message.emit(str(error))
            return
        self.message.emit(f"saved the forest as {path}")

    def accept(self) -> None:
        """Give the regions that are predicted to be of the chosen class this class, in one stroke."""
        subject, number = self._annotating.subject, self._annotating.current
        if subject is None or self._pooled is None:
            self.message.emit("learn the rest first")
            return
        if number not in subject.classes:
            self.message.emit("choose the class to accept")
            return
        if self._is_pooling:
            self._then = self.accept
            return
        nested, counts = subject.annotation.nested, self._pooled.counts
        is_new = (self._pooled.number == number) & (subject.annotation.table[:-1] == NOTHING)
        by_rank = is_new[nested.order]
        name = subject.classes[number].name
        if subject.annotation.set_from(0, np.where(by_rank, number, subject.annotation.numbers)):
            self._annotating.draw()
            taken = nested.parts_with(is_new, counts)
            self.message.emit(f"{taken:,} superpixels are '{name}' now; Ctrl+Z undoes it")
        else:
            self.message.emit(f"nothing is predicted to be '{name}'")

    def jump(self) -> None:
        """Go to the least certain superpixel that is not annotated; the next time, to the one behind it."""
        subject = self._annotating.subject
        if subject is None or self._pooled is None:
            self.message.emit("learn the rest first")
            return
        if self._is_pooling:
            self._then = self.jump
            return
        cut = self._pooled.cut
        order, given = cut.least_certain(), subject.annotation.numbers
        free = self._next + np.flatnonzero(given[cut.starts[order[self._next :]]] == NOTHING)
        if not len(free):
            self._next = 0
            self.message.emit("all superpixels have been seen; N begins again")
            return
        part = int(order[free[0]])
        self._next = int(free[0]) + 1
        self._annotating.go_to(cut.regions_of(part))
        self.message.emit(self._pooled.said_of(part, subject.classes))

    def forget(self, layer: Layer) -> None:
        """Heed that the layer was removed."""
        if self._predicted is not None and layer == self._predicted.layer:
            self._predicted = None

    def end(self) -> None:
        """End with the annotation: the layer goes, and so does the forest."""
        self.stop()
        predicted, self._predicted = self._predicted, None
        if predicted is not None:
            predicted.remove()
        self._learnt = self._pooled = self._columns = None
        self.changed.emit()

    def stop(self) -> None:
        """Stop what is under way; the viewer may be gone."""
        self._again = self._then = None
        for timer in (self._pool_timer, self._draw_timer):
            timer.stop()
        for job in (self._job, self._pooling):
            if job is not None:
                job.stop()

    # -- learning ----------------------------------------------------------------------------------

    def _start(
        self, subject: Subject, learn: Callable[[RegionColumns], Learnt], *, embedding: bool = False
    ) -> None:
        known = self._columns
        if known is None or not known.serve(subject.hierarchy, embedding):
            known = None
            self.message.emit("measuring the picture, once")
        nested, counts = subject.annotation.nested, subject.counts

        def work(job: Job) -> Pooled:
            columns = known or RegionColumns.of(subject.result, job.progress, embedding=embedding)
            job.check()
            learnt = learn(columns)
            job.check()
            return Pooled.of(learnt, nested, counts)

        self._job = Job(work)
        self._job.returned.connect(self._take)
        self._job.refused.connect(self.message)
        self._job.over.connect(self._end_job)
        self._job.start()
        self.changed.emit()

    def _take(self, pooled: Pooled) -> None:
        subject, learnt = self._annotating.subject, pooled.learnt
        if subject is None or learnt.columns.hierarchy is not subject.hierarchy:
            return
        self._columns, self._learnt = learnt.columns, learnt
        self._annotating.add_classes(dict(zip(learnt.forest.classes, learnt.forest.names, strict=True)))
        if self._predicted is None:
            self._predicted = PredictedLayer(subject.result, subject.annotation, subject.layer)
            self._classes = ()
            self._follow_classes()
            self.layer_added.emit()
        self._show(pooled)
        if pooled.counts != subject.counts:  # it was another when the job began
            self._pool_soon()
        if learnt.taught:
            source, others = f"learnt from {learnt.taught:,} superpixels", []
        else:
            source, others = "the forest was asked", _other_names(learnt.forest, subject.classes)
        jump = "N jumps to the superpixel that is least certain"
        self.message.emit("; ".join((source, jump, *others)))

    def _end_job(self) -> None:
        self._job = None
        again, self._again = self._again, None
        self.changed.emit()
        if again is not None:
            again()

    # -- showing -----------------------------------------------------------------------------------

    @property
    def _is_pooling(self) -> bool:
        return self._pool_timer.isActive() or self._pooling is not None

    def _pool_soon(self) -> None:
        if self._learnt is not None and not self._pool_timer.isActive():
            self._pool_timer.start()

    def _pool(self) -> None:
        """Pool the votes over the cut that is shown, in a job; one for a cut before it is not wanted."""
        subject, learnt = self._annotating.subject, self._learnt
        if subject is None or learnt is None:
            return
        nested, counts = subject.annotation.nested, subject.counts

        def pool(job: Job) -> Pooled:
            job.check()
            return Pooled.of(learnt, nested, counts)

        if self._pooling is not None:
            self._pooling.stop()
        self._pooling = job = Job(pool)
        job.returned.connect(self._show)
        job.refused.connect(self.message)
        job.over.connect(lambda: self._end_pooling(job))
        job.start()

    def _show(self, pooled: Pooled) -> None:
        """Show what is predicted, unless something else has been learnt since."""
        if pooled.learnt is not self._learnt:
            return
        self._pooled, self._next = pooled, 0
        if self._predicted is not None:
            self._predicted.show(pooled.number, pooled.uncertainty)

    def _end_pooling(self, job: Job) -> None:
        if job is not self._pooling:
            return
        self._pooling = None
        then, self._then = self._then, None
        if then is not None:
            then()

    def _draw(self) -> None:
        if self._predicted is not None:
            self._predicted.draw()

    def _follow_stroke(self) -> None:
        self._draw_timer.start()
        subject = self._annotating.subject
        if self.after_each and subject is not None and len(subject.annotation.used()) > 1:
            self.learn()

    def _follow_classes(self) -> None:
        subject = self._annotating.subject
        classes = () if subject is None else tuple(subject.classes)
        if self._predicted is not None and classes != self._classes:
            self._predicted.colour({each.number: each for each in classes})
            self._classes = classes


def _other_names(forest: RegionForest, classes: ClassTable) -> list[str]:
    """A sentence for each class that has another name in a forest than here: they may be different things."""
    named = zip(forest.classes, forest.names, strict=True)
    return [
        f"class {number} is '{classes[number].name}' here and '{name}' in the forest"
        for number, name in named
        if name not in (classes[number].name, default_name(number))
    ]
