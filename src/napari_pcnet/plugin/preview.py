"""A preview of what is on the screen, updated as the view or a setting changes.

It takes at most `PREVIEW_PX` pixels of the visible part, so that it comes within about a second. Farther
away it takes every second pixel, every third and so on, and the run itself is finer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_pcnet.geometry.estimate import estimate
from napari_pcnet.geometry.grid import Fineness
from napari_pcnet.plugin.boxes import single_shot
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.metadata import KEY
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.source import Source, overlap
from napari_pcnet.plugin.view import View
from napari_pcnet.record import RunRecord

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

NAME = "PCNet preview"
PREVIEW_PX = 1 << 20
WORK_PX = 3 << 19
"""Most pixels that the network looks at for a preview, enlargement included, where a step achieves that."""

MAX_STEP = 64
WAIT_MS = 150
"""How long nothing may have changed before a preview is made."""


@dataclass(frozen=True)
class Preview:
    """What to preview: a part of a plane, and the record that would segment it all.

    Attributes
    ----------
    source : Source
    record : RunRecord
        Its crop is the visible part, its count that of the part.
    mask : callable or None
        As `RegionOfInterest.mask`, of the visible part.
    """

    source: Source
    record: RunRecord
    mask: Callable[[], NDArray[np.bool_]] | None = None

    @classmethod
    def in_view(
        cls, view: View, source: Source, region: RegionOfInterest, record: RunRecord
    ) -> Preview | None:
        """The part of a run that is in view, with its share of the superpixels; None if nothing is."""
        whole, visible = region.window(source), view.window(source)
        part = None if visible is None else overlap(visible, whole)
        if part is None:
            return None
        share = part.shape[0] * part.shape[1] / (whole.shape[0] * whole.shape[1])
        record = replace(
            record,
            n_segments=max(1, round(record.n_segments * share)),
            plane=source.plane_at(view.point) if source.has_planes else None,
            crop=(part.top, part.left, part.bottom, part.right),
            mask=None,
        )
        mask = region.mask
        if mask is None:
            return cls(source, record)

        def mask_in_view() -> NDArray[np.bool_]:
            inside: NDArray[np.bool_] = np.logical_or.reduce(mask().reshape(-1, *whole.shape))
            return inside[part.inside(whole)]

        return cls(source, record, mask_in_view)


class LivePreview(QObject):
    """Keeps the preview layer up to date while it is switched on.

    Parameters
    ----------
    viewer : ViewerModel
    wanted : callable
        Returns the `Preview` to make now, or None; a ValueError says why there is none.
    """

    message = Signal(str)
    """Why there is no preview; empty when there is one."""

    def __init__(self, viewer: ViewerModel, wanted: Callable[[], Preview | None], parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._wanted = wanted
        self.job: Job | None = None
        self._is_on = False
        self._hidden: list[Labels] = []  # outlines that the preview would be drawn over
        self._timer = single_shot(self._make, WAIT_MS, self)

    @property
    def layer(self) -> Labels | None:
        """The preview layer, if it is shown."""
        return next((each for each in self.viewer.layers if each.metadata.get(NAME)), None)

    def switch(self, is_on: bool) -> None:
        """Switch it on or off; off removes the layer."""
        self._is_on = is_on
        if is_on:
            self.ask()
            return
        self._timer.stop()
        self.stop()
        self.job = None
        self.clear()

    def stop(self) -> None:
        """Ask the job of a preview under way to stop."""
        if self.job is not None:
            self.job.stop()

    def clear(self) -> None:
        """Remove the layer, and show again what it has hidden."""
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        for each in self._hidden:
            if each in self.viewer.layers:
                each.visible = True
        self._hidden.clear()

    def ask(self) -> None:
        """Make a new one when nothing has changed for a while."""
        if self._is_on:
            self._timer.start()

    def _make(self) -> None:
        if not self._is_on:
            return
        self.stop()
        try:
            wanted = self._wanted()
        except ValueError as error:
            self.clear()
            self.message.emit(str(error))
            return
        if wanted is None:
            self.clear()
            return
        self.job = Job(lambda job: make(wanted, job))
        self.job.returned.connect(self._show)
        self.job.refused.connect(self.message)
        self.job.start()

    def _show(self, made: tuple[NDArray[np.int32], dict[str, Any]]) -> None:
        if not self._is_on:
            return
        self.message.emit("")
        labels, transform = made
        layer = self.layer
        if layer is not None and layer.ndim != labels.ndim:
            self.viewer.layers.remove(layer)
            layer = None
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = Labels(labels, name=NAME, metadata={NAME: True}, **transform)
            layer.contour = 1
            self.viewer.add_layer(layer)
            self.viewer.layers.selection.active = active
        else:
            layer.data = labels
            for name, value in transform.items():
                setattr(layer, name, value)
        self._hide_outlines_under(layer)

    def _hide_outlines_under(self, preview: Labels) -> None:
        """Hide the outlines of superpixels where those of the preview are: nobody can tell them apart."""
        for each in self.viewer.layers:
            is_outlined = isinstance(each, Labels) and each.contour > 0 and KEY in each.metadata
            if is_outlined and each.visible and each not in self._hidden and _meet(each, preview):
                self._hidden.append(each)
                each.visible = False


def _meet(one: Layer, other: Layer) -> bool:
    """Whether two layers share a part of the plane, in the world."""
    (low, high), (other_low, other_high) = (each.extent.world[:, -2:] for each in (one, other))
    return bool((np.maximum(low, other_low) < np.minimum(high, other_high)).all())


def make(wanted: Preview, job: Job) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Segment every k-th pixel of the visible part; its labels, and where they lie."""
    from napari_pcnet.pipeline import load_prepared
    from napari_pcnet.run import run_record

    source, record = wanted.source, wanted.record
    planes = source.planes(record)
    step = _step(planes.crop.shape, record, load_prepared(record).fineness)
    pixels, channel_axis = planes.read(planes.indices[0], step)
    mask = None if wanted.mask is None else wanted.mask()[::step, ::step]
    own = replace(record, channel_axis=channel_axis, crop=None, plane=None, channels=None)
    own = replace(own, smoothing=record.smoothing / step)  # a pixel is as long as `step` of the run's
    labels = run_record(pixels, own, mask=mask, progress=job.progress)
    transform = source.labels_transform(planes)
    shape = source.labels_shape(planes)[:-2] + labels.shape
    return np.asarray(labels).reshape(shape), _coarser(transform, step)


def _step(shape: tuple[int, int], record: RunRecord, fineness: Fineness) -> int:
    """The smallest k so that the network has at most `WORK_PX` pixels to do when it gets every k-th.

    Fewer pixels are enlarged by a larger whole factor, so a larger k may also mean more work.
    """
    first = max(1, math.ceil(math.sqrt(shape[0] * shape[1] / PREVIEW_PX)))
    work_px = {}
    for step in range(first, max(first + 1, min(MAX_STEP, min(shape)))):
        taken = (-(-shape[0] // step), -(-shape[1] // step))
        spacing = record.spacing or (1.0, 1.0)
        work_px[step] = estimate(taken, record.n_segments, spacing=spacing, fineness=fineness).work_px
        if work_px[step] <= WORK_PX:
            return step
        if step >= 2 * first + 2:  # a coarser one shows too little
            break
    return min(work_px, key=lambda step: work_px[step])


def _coarser(transform: dict[str, Any], step: int) -> dict[str, Any]:
    """The transform of every k-th pixel: in the centre of the block that it stands for."""
    scale = np.array(transform["scale"])
    centre = np.zeros(len(scale))
    centre[-2:] = (step - 1) / 2
    moved = np.asarray(transform["rotate"]) @ np.asarray(transform["shear"]) @ (scale * centre)
    scale[-2:] *= step
    return transform | {"scale": scale, "translate": np.asarray(transform["translate"]) + moved}
