"""An annotation that is opened in a job: regions are put in order, the journal is read and done again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from napari_pcnet.annotation.classes import ClassTable
from napari_pcnet.annotation.journal import Journal, fingerprint, place_of
from napari_pcnet.annotation.strokes import Annotation
from napari_pcnet.disk.download import CACHE_VARIABLE, NoCacheFolderError

if TYPE_CHECKING:
    from napari_pcnet.plugin.jobs import Job
    from napari_pcnet.plugin.result_layer import ResultLayer

CLASSES, OBJECTS = "classes", "objects"
"""The kinds of annotation, as in the names of their layers and journals."""


class Opening:
    """An annotation that begins, or goes on from its journal.

    Parameters
    ----------
    result : ResultLayer
        Whose superpixels are annotated; a run that is done.
    kind : str
    counts : tuple of int
        How many superpixels each plane shows.

    Attributes
    ----------
    classes : ClassTable
    trees : str
        `fingerprint` of the regions.
    strokes : int
        How many the journal has.
    not_kept : str
        Why there is no journal; empty if there is one.
    """

    def __init__(self, result: ResultLayer, kind: str, counts: tuple[int, ...]) -> None:
        self.result, self.kind, self.counts = result, kind, counts
        self.classes = ClassTable()
        self.trees, self.strokes, self.not_kept = "", 0, ""
        self._annotation: Annotation | None = None
        self._journal: Journal | None = None

    @property
    def annotation(self) -> Annotation:
        """The annotation, once it is open."""
        assert self._annotation is not None, "the job is done"
        return self._annotation

    def is_of(self, result: ResultLayer, kind: str) -> bool:
        """Whether it is an annotation of this kind of the same regions."""
        return self.result.hierarchy is result.hierarchy and self.kind == kind

    def work(self, job: Job) -> Opening:
        """Open it; for the job's thread.

        Raises
        ------
        ValueError, OSError
            If there is a journal, and it is in use, damaged, or can't be read.
        """
        hierarchy = self.result.hierarchy
        assert hierarchy is not None, "a run is done"
        if self.kind == CLASSES:
            annotation = Annotation.of(hierarchy, locked=self.classes.locked)
        else:
            annotation = Annotation.of(hierarchy, np.uint16)
        job.check()
        self.trees = fingerprint(hierarchy)
        job.check()
        self._journal = self._open_journal()
        if self._journal is not None:
            self.strokes = self._journal.replay(annotation, self.classes, job.check)
        self._annotation = annotation
        return self

    def _open_journal(self) -> Journal | None:
        """The journal; None if there is none yet, and none can be begun."""
        try:
            path = place_of(self.trees, self.kind)
        except NoCacheFolderError as error:
            self.not_kept = str(error)
            return None
        try:
            return Journal(path, self.trees)
        except OSError as error:
            if os.path.exists(path):  # it may hold strokes; of `Path`, a name may be too long to ask
                raise
            self.not_kept = (
                f"strokes are not kept on the disk ({error.strerror or error}); "
                f"name another folder by {CACHE_VARIABLE}"
            )
            return None

    def take_journal(self) -> Journal | None:
        """The journal, for who annotates and closes it; None if there is none."""
        journal, self._journal = self._journal, None
        return journal

    def close(self) -> None:
        """Close the journal if nobody has taken it; for the end of the job, however it ended."""
        journal = self.take_journal()
        if journal is not None:
            journal.close()
