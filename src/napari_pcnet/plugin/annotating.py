"""Annotating a result: its classes, its strokes, its journal and its layer, from the button to the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_pcnet.annotation.classes import KEYS, ClassTable, default_name
from napari_pcnet.annotation.drawn import paint_majority
from napari_pcnet.annotation.strokes import NOTHING, Annotation, Entry
from napari_pcnet.plugin.annotated_layer import AnnotatedLayer
from napari_pcnet.plugin.cutting import Cutting
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.objects_layer import ObjectsLayer
from napari_pcnet.plugin.opening import CLASSES, OBJECTS, Opening
from napari_pcnet.plugin.pixels import LayerPixels
from napari_pcnet.plugin.results import Results

if TYPE_CHECKING:
    from napari_pcnet.annotation.journal import Journal
    from napari_pcnet.hierarchy import PCNetHierarchy
    from napari_pcnet.plugin.result_layer import ResultLayer

FIRST_STEPS = {
    CLASSES: "keys 1 to 9 choose a class, a click gives it to a superpixel",
    OBJECTS: "a drag merges superpixels into an object, Shift takes one out, a double click splits",
}
"""What to say of an annotation that is new."""


@dataclass(frozen=True)
class Subject:
    """What classes are given to.

    Attributes
    ----------
    result : ResultLayer
    annotation : Annotation
    classes : ClassTable
    layer : Labels
        The layer of classes.
    counts : tuple of int
        How many superpixels each plane has in the cut that is shown.
    """

    result: ResultLayer
    annotation: Annotation
    classes: ClassTable
    layer: Labels
    counts: tuple[int, ...]

    @property
    def hierarchy(self) -> PCNetHierarchy:
        """The regions."""
        assert self.result.hierarchy is not None, "a run is done"
        return self.result.hierarchy


class Annotating(QObject):
    """The annotation of one result at a time.

    Parameters
    ----------
    results : Results
    cutting : Cutting
        Its cut is the size of the brush.
    parent : QObject
    """

    changed = Signal()
    """Classes, their counts, what can be undone or the class that is chosen are others."""
    message = Signal(str)
    began = Signal()
    """There is a layer to annotate in."""
    stroke_done = Signal()
    """A stroke was done, undone or done again."""
    brush_changed = Signal()
    """Another cut is shown."""
    next_asked = Signal()
    """A user asked for the superpixel that is least certain."""
    ended = Signal()
    """Annotating has ended."""

    def __init__(self, results: Results, cutting: Cutting, parent: QObject) -> None:
        super().__init__(parent)
        self._results, self._cutting = results, cutting
        self.classes = ClassTable()
        self.annotation: Annotation | None = None
        self.current = 1
        self._kind = CLASSES
        self._shown: AnnotatedLayer | None = None
        self._result: ResultLayer | None = None
        self._journal: Journal | None = None
        self._opening: Opening | None = None
        self._job: Job | None = None  # that opens it, or one before it that is about to stop
        self._counts: tuple[int, ...] = ()
        self._colours: dict[int, str] = {}
        self._trees = ""
        self._left: dict[tuple[str, str], Labels] = {}
        """Layers of annotations that have ended, by their trees and kind; their strokes are in journals."""

    @property
    def layers(self) -> set[Labels]:
        """The layers of classes and outline, while there are any."""
        return set() if self._shown is None else self._shown.layers

    @property
    def layer(self) -> Labels | None:
        """The layer of classes."""
        return None if self._shown is None else self._shown.layer

    @property
    def subject(self) -> Subject | None:
        """What classes are given to now; None while objects are made, or nothing is annotated."""
        if self._shown is None or self._result is None or self.annotation is None or self._kind != CLASSES:
            return None
        return Subject(self._result, self.annotation, self.classes, self._shown.layer, self._brush())

    @property
    def is_opening(self) -> bool:
        """Whether an annotation is about to begin."""
        return self._opening is not None

    def start(self, kind: str = CLASSES) -> None:
        """Annotate the current result with classes or objects; if that is under way, select its layer."""
        result = self._results.current
        if result is None or result.hierarchy is None or not result.is_there:
            return
        if self._opening is not None and self._opening.is_of(result, kind):
            return
        is_same = self._result is not None and self._result.hierarchy is result.hierarchy
        if self._shown is not None and is_same and self._kind == kind:
            result.viewer.layers.selection.active = self._shown.layer
            return
        self.end()
        self._opening = Opening(result, kind, self._cutting.counts)
        self.message.emit("getting ready to annotate ...")
        self.changed.emit()
        if self._job is None:
            self._open()

    def end(self) -> None:
        """End annotating, or what opens it; the layer of classes stays."""
        if self._shown is not None:
            self._shown.end()
            self._shown.deleteLater()
            if self._journal is not None:
                self._left[self._trees, self._kind] = self._shown.layer
        self.stop()
        self._shown = self._result = self.annotation = None
        self.changed.emit()
        self.ended.emit()

    def stop(self) -> None:
        """Close the journal, and stop what opens one; the viewer may be gone."""
        self._opening = None
        if self._job is not None:
            self._job.stop()
        self._close_journal()

    def stop_opening(self) -> None:
        """Begin no annotation that is about to."""
        if self.is_opening:
            self.end()

    def forget(self, layer: Layer) -> None:
        """End if the layer of classes, or what is annotated, has been removed."""
        is_ours = self._shown is not None and layer == self._shown.layer
        if is_ours or (self._result is not None and self._result.uses(layer)):
            self.end()
        if self._opening is not None and self._opening.result.uses(layer):
            self.stop_opening()

    def show_cut(self) -> None:
        """Heed that another cut is shown."""
        if self._shown is not None:
            self._shown.show_cut()
            self.brush_changed.emit()

    def press_key(self, key: str) -> None:
        """Paint with the class of a key from now on, which is added if there is none; 0 erases."""
        given = self.classes.by_key(key)
        if key == str(NOTHING):
            self.choose_class(NOTHING)
        elif given is not None:
            self.choose_class(given.number)
        else:
            number = None if int(key) in self.classes else int(key)
            self._add(number, key)

    def choose_class(self, number: int) -> None:
        """Paint with a class of the table from now on."""
        self.current = number
        if self._shown is not None:
            self._shown.current = self._shown.layer.selected_label = number
        self._show_classes()

    def add_class(self) -> None:
        """Add a class, and choose it."""
        if self._shown is not None:
            self._add()

    def add_classes(self, names: Mapping[int, str]) -> None:
        """Add the classes that are not there, by number and name, and name those that have no name yet."""
        for number, name in names.items():
            if number not in self.classes:
                self.classes.add(number)
            if self.classes[number].name == default_name(number):
                self.classes.change(number, name=name)
        self._show_classes()

    def draw(self) -> None:
        """Draw what has changed, soon."""
        if self._shown is not None:
            self._shown.draw_soon()

    def go_to(self, regions: NDArray[np.int64]) -> None:
        """Bring regions to the middle of the view, and outline the piece that they are in."""
        if self._shown is not None:
            self._shown.go_to(regions)

    def change_class(self, number: int, fields: dict[str, Any]) -> None:
        """Give a class another name, colour, key or lock."""
        try:
            self.classes.change(number, **fields)
        except ValueError as error:
            self.message.emit(str(error))
        self._show_classes()

    def undo(self) -> None:
        """Undo the last stroke."""
        if self._shown is not None:
            self._shown.undo()

    def redo(self) -> None:
        """Do the stroke again that was undone last."""
        if self._shown is not None:
            self._shown.redo()

    def take_scribbles(self, layer: Labels | None) -> None:
        """Give each superpixel that is scribbled on the class of most of its scribbled pixels."""
        if self._shown is None or self._result is None or self.annotation is None:
            return
        if layer is None:
            self.message.emit("choose a layer of labels that classes are drawn on")
            return
        try:
            scribbles = np.asarray(LayerPixels(layer.data[0] if layer.multiscale else layer.data, layer.name))
            base = self._result.framed_base
            if scribbles.shape == base.shape and not self._shown.is_covered_by(layer):
                raise ValueError(f"'{layer.name}' lies elsewhere than the superpixels; draw over them")
            is_other = paint_majority(self.annotation, base, scribbles, self._brush())
        except ValueError as error:
            self.message.emit(str(error))
            return
        for number in self.annotation.used() if self._kind == CLASSES else ():
            if number not in self.classes:
                self.classes.add(number)
        self._show_classes()
        self._shown.draw_soon()
        did = "was taken; Ctrl+Z undoes it" if is_other else "changes nothing here"
        self.message.emit(f"'{layer.name}' {did}")

    def _brush(self) -> tuple[int, ...]:
        """How many superpixels each plane has in the cut that is shown; the last one if that is another's."""
        current = self._results.current
        if current is not None and self._result is not None and current.hierarchy is self._result.hierarchy:
            self._counts = self._cutting.counts
        return self._counts

    def _open(self) -> None:
        """Open the annotation that is to begin, in a job."""
        assert self._opening is not None, "one is to begin"
        self._job = Job(self._opening.work)
        self._job.returned.connect(self._begin)
        self._job.refused.connect(self._refuse)
        self._job.over.connect(self._opening.close)  # before the next one, which may need the same journal
        self._job.over.connect(self._end_job)
        self._job.start()

    def _begin(self, opening: Opening) -> None:
        """Show an annotation that is open, unless it is no longer wanted."""
        if opening is not self._opening:
            return
        self._opening = None
        result, kind = opening.result, opening.kind
        self.classes, self.annotation, self._trees = opening.classes, opening.annotation, opening.trees
        self._journal = opening.take_journal()
        self.annotation.tell, self.classes.tell = self._tell_stroke, self._tell
        self._result, self._counts, self._kind = result, opening.counts, kind
        self._remove_left(result)
        layer_of = AnnotatedLayer if kind == CLASSES else ObjectsLayer
        shown = layer_of(result, self.annotation, self._brush, self)
        shown.key_pressed.connect(self.press_key)
        shown.picked.connect(self.choose_class)
        shown.lock_asked.connect(self._turn_lock)
        shown.changed.connect(self.changed)
        shown.refused.connect(self.message)
        shown.next_asked.connect(self.next_asked)
        self._shown, self._colours = shown, {}
        self.began.emit()
        if len(self.classes):
            self.choose_class(next(iter(self.classes)).number)
        elif kind == CLASSES:
            self.press_key(KEYS[0])
        self.changed.emit()
        if opening.strokes:
            self.message.emit(
                f"{opening.strokes:,} strokes of an earlier session are back; Ctrl+Z undoes them"
            )
        else:
            self.message.emit(opening.not_kept or FIRST_STEPS[kind])

    def _refuse(self, why: str) -> None:
        self._opening = None
        self.changed.emit()
        self.message.emit(why)

    def _end_job(self) -> None:
        self._job = None
        if self._opening is not None:
            self._open()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = None

    def _remove_left(self, result: ResultLayer) -> None:
        """Remove the layer that the same annotation had before, of which all comes back."""
        before = self._left.pop((self._trees, self._kind), None)
        if self._journal is not None and before is not None and before in result.viewer.layers:
            result.viewer.layers.remove(before)

    def _tell_stroke(self, entry: Entry) -> None:
        self._tell(entry)
        self.stroke_done.emit()

    def _tell(self, entry: Entry) -> None:
        """Write a step to the journal; where that fails, go on without one."""
        if self._journal is None:
            return
        try:
            self._journal.append(entry)
        except OSError as error:
            self.message.emit(f"strokes are not kept on the disk from now on: {error.strerror or error}")
            self._close_journal()

    def _add(self, number: int | None = None, key: str | None = None) -> None:
        try:
            made = self.classes.add(number)
        except ValueError as error:
            self.message.emit(str(error))
            return
        if key is not None:
            self.classes.change(made.number, key=key)
        self.choose_class(made.number)

    def _turn_lock(self) -> None:
        if self.current in self.classes:
            self.change_class(self.current, {"is_locked": not self.classes[self.current].is_locked})

    def _show_classes(self) -> None:
        colours = {each.number: each.colour for each in self.classes}
        if self._shown is not None and colours != self._colours:  # objects have napari's own
            self._shown.colour(colours)
        self._colours = colours
        self.changed.emit()
