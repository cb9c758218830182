"""Other cuts of a result's trees: labels are shown at once, features and record when the slider rests."""

from __future__ import annotations

from dataclasses import replace

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_pcnet.plugin.boxes import single_shot
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.layer_cut import LayerCut, at_cut
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.results import Results
from napari_pcnet.plugin.source import AS_CHANNELS
from napari_pcnet.record import RunRecord

SETTLE_MS = 200
"""How long the slider must rest before a cut is completed."""


NESTED = (("fine", 1), ("medium", 4), ("coarse", 16))
"""Names of nested layers, and how many times fewer superpixels each has."""


class Cutting(QObject):
    """Cuts of the current result.

    Parameters
    ----------
    results : Results
    parent : QObject
    """

    selected = Signal(object, int, object)
    """Another result is cut from now on: ``(hierarchy, superpixels in its first plane, height or None)``."""
    slid = Signal(object, int, object)
    """Another cut of the same trees is shown; its values are those of `selected`."""
    message = Signal(str)
    """How many superpixels there are now, or why a cut could not be completed."""

    def __init__(self, results: Results, parent: QObject) -> None:
        super().__init__(parent)
        self._results = results
        self._pending: tuple[ResultLayer, RunRecord] | None = None  # a cut that is shown, but not complete
        self._job: Job | None = None
        self._timer = single_shot(self._complete, SETTLE_MS, self)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to complete."""
        return not self._timer.isActive() and self._job is None

    @property
    def counts(self) -> tuple[int, ...]:
        """How many superpixels each plane of the current result shows now."""
        result = self._results.current
        assert result is not None and result.hierarchy is not None, "a run is done"
        is_sliding = self._pending is not None and self._pending[0] is result
        record = self._pending[1] if self._pending is not None and is_sliding else result.record
        return result.hierarchy.counts(**record.cut, nearest=True)

    def select(self) -> None:
        """Cut the current result from now on."""
        result = self._results.current
        assert result is not None and result.hierarchy is not None, "a run is done"
        counts = result.hierarchy.counts(**result.record.cut, nearest=True)
        self.selected.emit(result.hierarchy, counts[0], result.record.height)

    def slide(self, n: int | None = None, height: float | None = None) -> None:
        """Show a cut by count or height now, and complete it when the slider rests."""
        result = self._result_to_cut()
        if result is None or result.hierarchy is None:
            return
        if self._pending is not None and self._pending[0] is not result:
            self.settle()
        counts = result.hierarchy.counts(n, height=height, nearest=True)
        result.slide(n, height)
        self._pending = (result, at_cut(result.record, None if n is None else counts[0], height))
        self.slid.emit(result.hierarchy, counts[0], height)
        self.message.emit(f"{sum(counts):,} superpixels")
        self._timer.start()

    def add_nested(self) -> list[Labels]:
        """Add three layers, of the cut that is shown and two coarser ones: nested, so never smoothed."""
        self.settle()
        result = self._results.current
        if result is None or result.hierarchy is None:
            return []
        shown = result.hierarchy.counts(**result.record.cut, nearest=True)[0]
        made = []
        for name, times in NESTED:
            n = max(result.hierarchy.n_min, shown // times)
            cut = result.cut(replace(at_cut(result.record, n), smoothing=0.0))
            made.append(result.add_cut(cut, f"{result.source.name.removesuffix(AS_CHANNELS)} {name} ({n})"))
        if result.record.smoothing:
            self.message.emit("outlines of these layers are not smoothed, so that they are nested")
        return made

    def settle(self) -> None:
        """Complete a pending cut now, before something builds on it."""
        self._timer.stop()
        self.stop()
        if self._pending is not None and self._pending[0].is_there:
            result, record = self._pending
            result.settle(result.cut(record))
        self._pending = self._job = None

    def stop(self) -> None:
        """Ask the job that completes a cut to stop."""
        if self._job is not None:
            self._job.stop()

    def _result_to_cut(self) -> ResultLayer | None:
        """The current result; where someone has painted on it, another layer of it."""
        result = self._results.current
        if result is None or not result.is_there:
            return None
        if self._pending is None and result.is_edited:
            result = result.again()
            self._results.add(result)
        return result

    def _complete(self) -> None:
        """Make labels, features and record of the pending cut, in a job."""
        self.stop()
        if self._pending is None or not self._pending[0].is_there:
            self._pending = self._job = None
            return
        result, record = self._pending
        self._job = Job(lambda job: (result, result.cut(record, job.check)))
        self._job.returned.connect(self._finish)
        self._job.refused.connect(self.message)
        self._job.start()

    def _finish(self, made: tuple[ResultLayer, LayerCut]) -> None:
        result, cut = made
        if self._timer.isActive() or self._pending != (result, cut.record):
            return  # there is a newer one
        if result.is_there:
            result.settle(cut)
        self._pending = self._job = None
