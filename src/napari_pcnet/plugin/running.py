"""A run under way: its job, the layer that it fills, and what becomes of the layer at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_pcnet.plugin.cost import cost_of
from napari_pcnet.plugin.disk_run import DiskRun, Written
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.segmentation import Segmentation, segment
from napari_pcnet.progress import duration
from napari_pcnet.record import RunRecord


@dataclass(frozen=True)
class FinishedRun:
    """Result of a run, and its seconds for this many work pixels."""

    result: ResultLayer
    work_px: int
    seconds: float

    @property
    def message(self) -> str:
        """What to tell the user."""
        assert self.result.hierarchy is not None, "a run is done"
        number = sum(self.result.hierarchy.counts(self.result.record.n_segments, nearest=True))
        pyramid = "; a pyramid, to be drawn at once ('Make editable' to paint)"
        return (
            f"{number:,} superpixels in {duration(self.seconds)}{pyramid if self.result.is_pyramid else ''}"
        )


@dataclass(frozen=True)
class FinishedDiskRun:
    """A run whose labels are on the disk, and what it wrote of this many work pixels."""

    run: DiskRun
    written: Written
    work_px: int

    @property
    def message(self) -> str:
        """What to tell the user."""
        seconds = duration(self.written.seconds)
        return f"{self.run.count:,} superpixels in {seconds}, in '{self.run.path.name}'"


class Running(QObject):
    """At most one run, under way or not.

    Parameters
    ----------
    parent : QObject
    """

    progressed = Signal(int, int, float)
    """``(done, total, seconds left)``"""
    finished = Signal(object)
    """The layer shows its superpixels; a `FinishedRun`."""
    written = Signal(object)
    """The superpixels are on the disk; a `FinishedDiskRun`."""
    refused = Signal(str)
    """The run could not be done; why, in a sentence."""
    over = Signal()
    """The last signal of a run, however it ended."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.job: Job | None = None
        self._filling: ResultLayer | DiskRun | None = None
        self._started_s = 0.0
        self._work_px = 0

    def start(self, result: ResultLayer, record: RunRecord, region: RegionOfInterest) -> None:
        """Segment the image of a new result layer."""
        self._start(result, record, region, lambda job: segment(job, result, record, region))

    def start_writing(self, run: DiskRun) -> None:
        """Segment an image, and write its labels."""
        self._start(run, run.record, run.region, run.write)

    def _start(
        self,
        filling: ResultLayer | DiskRun,
        record: RunRecord,
        region: RegionOfInterest,
        work: Callable[[Job], Any],
    ) -> None:
        assert self.job is None, "one run at a time"
        self._filling, self._started_s = filling, time.monotonic()
        cost = cost_of(filling.source, region, record.n_segments)
        self._work_px = cost.expected.work_px * len(filling.planes.indices)
        self.job = Job(work)
        self.job.progressed.connect(self._report_progress)
        self.job.changed.connect(self._draw)
        self.job.returned.connect(self._finish)
        self.job.refused.connect(self.refused)
        self.job.over.connect(self._end)
        self.job.start()

    def cancel(self) -> None:
        """Stop the run and leave every layer as it was; the job ends a little later."""
        self.stop()
        self.undo()

    def stop(self) -> None:
        """Ask the job to stop."""
        if self.job is not None:
            self.job.stop()

    def undo(self) -> None:
        """Leave every layer as it was before the run, unless it is done."""
        filling, self._filling = self._filling, None
        if isinstance(filling, ResultLayer):
            filling.undo()

    def uses(self, layer: Layer) -> bool:
        """Whether the run segments or fills a layer."""
        return self._filling is not None and self._filling.uses(layer)

    def _report_progress(self, done: int, total: int) -> None:
        if self._filling is None:
            return  # cancelled
        passed = time.monotonic() - self._started_s
        self.progressed.emit(done, total, passed / done * (total - done) if done else 0.0)

    def _draw(self) -> None:
        if isinstance(self._filling, ResultLayer):
            self._filling.layer.refresh()

    def _finish(self, outcome: Segmentation | Written) -> None:
        result, self._filling = self._filling, None
        if isinstance(result, ResultLayer) and isinstance(outcome, Segmentation):
            result.finish(outcome.hierarchy, outcome.cut)
            self.finished.emit(FinishedRun(result, self._work_px, outcome.seconds))
        elif isinstance(result, DiskRun) and isinstance(outcome, Written):
            self.written.emit(FinishedDiskRun(result, outcome, self._work_px))
        else:
            assert result is None, "cancelled between the job's last report and now"

    def _end(self) -> None:
        self.undo()
        self.job = None
        self.over.emit()
