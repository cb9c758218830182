"""A preview of what lies on the screen, made anew while one looks around or changes a setting.

It sees the visible part at no more than `PREVIEW_PX` pixels, so it comes within about a second; from
farther away these are every second pixel, every third and so on, and the run itself will be finer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_pcnet.geometry.estimate import estimate
from napari_pcnet.plugin.layers import Source
from napari_pcnet.plugin.work import Job
from napari_pcnet.record import RunRecord

if TYPE_CHECKING:
    from napari.viewer import ViewerModel

NAME = "PCNet preview"
PREVIEW_PX = 1 << 20
WORK_PX = 3 << 19
"""Most pixels that the network looks at for a preview, enlargement included, as far as steps can do it."""

MAX_STEP = 64
WAIT_MS = 150
"""How long nothing must have changed before a preview is made."""


@dataclass(frozen=True)
class Preview:
    """What to preview: a part of a plane, and the record that would segment it all.

    Attributes
    ----------
    source : Source
    record : RunRecord
        Its crop is the visible part, its count that of the part.
    mask : callable or None
        As `layers.Region.mask`, of the crop.
    """

    source: Source
    record: RunRecord
    mask: Callable[[], NDArray[np.bool_]] | None = None


class LivePreview(QObject):
    """Keeps the preview layer up to date while it is switched on.

    Parameters
    ----------
    viewer : ViewerModel
    wanted : callable
        Gives the `Preview` to be made now, or None; a ValueError says why there is none.
    """

    said = Signal(str)
    """A sentence for the user; empty when all is well."""

    def __init__(self, viewer: ViewerModel, wanted: Callable[[], Preview | None], parent: QObject) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._wanted = wanted
        self.job: Job | None = None
        self._is_on = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._make)

    @property
    def layer(self) -> Labels | None:
        """The preview layer, if it is shown."""
        return next((each for each in self.viewer.layers if each.metadata.get(NAME)), None)

    def switch(self, is_on: bool) -> None:
        """Switch it on or off; off takes the layer away."""
        self._is_on = is_on
        if is_on:
            self.ask()
            return
        self._timer.stop()
        if self.job is not None:
            self.job.stop()
            self.job = None
        self.clear()

    def clear(self) -> None:
        """Take the layer away."""
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)

    def ask(self) -> None:
        """Something has changed: make a new one when it has settled."""
        if self._is_on:
            self._timer.start()

    def _make(self) -> None:
        if not self._is_on:
            return
        if self.job is not None:
            self.job.stop()
        try:
            wanted = self._wanted()
        except ValueError as error:
            self.clear()
            self.said.emit(str(error))
            return
        if wanted is None:
            self.clear()
            return
        self.job = Job(lambda job: make(wanted, job))
        self.job.returned.connect(self._show)
        self.job.refused.connect(self.said)
        self.job.start()

    def _show(self, made: tuple[NDArray[np.int32], dict[str, Any]]) -> None:
        if not self._is_on:
            return
        self.said.emit("")
        labels, placement = made
        layer = self.layer
        if layer is not None and layer.ndim != labels.ndim:
            self.viewer.layers.remove(layer)
            layer = None
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = Labels(labels, name=NAME, metadata={NAME: True}, **placement)
            layer.contour = 1
            self.viewer.add_layer(layer)
            self.viewer.layers.selection.active = active
            return
        layer.data = labels
        for name, value in placement.items():
            setattr(layer, name, value)


def make(wanted: Preview, job: Job) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Segment every so many pixels of the part; labels, and where they lie."""
    from napari_pcnet.run import run_record

    source, record = wanted.source, wanted.record
    planes = source.planes(record)
    step = _step(planes.crop.shape, record)
    pixels, channel_axis = planes.read(planes.indices[0], step)
    mask = None if wanted.mask is None else wanted.mask()[::step, ::step]
    own = replace(record, channel_axis=channel_axis, crop=None, plane=None, channels=None)
    labels = run_record(pixels, own, mask=mask, progress=job.progress)
    placement = source.placement(planes)
    return np.asarray(labels).reshape(source.labels_shape(planes)[:-2] + labels.shape), _coarser(
        placement, step
    )


def _step(shape: tuple[int, int], record: RunRecord) -> int:
    """How many pixels to go on at a time, so that the network has no more than `WORK_PX` to do.

    Fewer pixels are enlarged by more, in whole factors, so a step more may also mean more work.
    """
    first = max(1, math.ceil(math.sqrt(shape[0] * shape[1] / PREVIEW_PX)))
    work_px = {}
    for step in range(first, max(first + 1, min(MAX_STEP, min(shape)))):
        seen = (-(-shape[0] // step), -(-shape[1] // step))
        work_px[step] = estimate(seen, record.n_segments, spacing=record.spacing or (1.0, 1.0)).work_px
        if work_px[step] <= WORK_PX:
            return step
        if step >= 2 * first + 2:  # coarser than this shows too little
            break
    return min(work_px, key=lambda step: work_px[step])


def _coarser(placement: dict[str, Any], step: int) -> dict[str, Any]:
    """Where every so-many-th pixel lies: the centre of the block that it stands for."""
    scale = np.array(placement["scale"])
    centre = np.zeros(len(scale))
    centre[-2:] = (step - 1) / 2
    moved = np.asarray(placement["rotate"]) @ np.asarray(placement["shear"]) @ (scale * centre)
    scale[-2:] *= step
    return placement | {"scale": scale, "translate": np.asarray(placement["translate"]) + moved}
