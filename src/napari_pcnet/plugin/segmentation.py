"""The segmentation of a run, done in a job's thread: read the pixels once, build the trees, cut, measure."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pictures
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import windows_of
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.field_names import in_fields
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.layer_cut import LayerCut
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import Origin, RunRecord

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy

DRAW_EVERY_S = 0.2
"""Least time between two drawings of a layer that is being filled."""


@dataclass(frozen=True)
class Segmentation:
    """The outcome of a run: the trees, the cut that was asked for, and the time it took."""

    hierarchy: PCNetHierarchy
    cut: LayerCut
    seconds: float


def segment(job: Job, result: ResultLayer, record: RunRecord, region: RegionOfInterest) -> Segmentation:
    """Segment the image of a result layer, and fill the layer meanwhile."""
    from napari_pcnet.run import build_hierarchy

    started = time.monotonic()
    source = result.source
    mask = None if region.mask is None else region.mask()
    job.check()

    def window_done(k: int, window: Any, ids: NDArray[np.int32]) -> None:
        result.write(k, window, ids)
        job.draw(DRAW_EVERY_S)

    hierarchy = build_hierarchy(
        source.readable,
        replace(record, mask=None),
        mask=mask,
        progress=job.progress,
        confidence=True,
        window_done=window_done,
        tell=warn,
    )
    job.check()
    origin = origin_of(source, record, job.check)
    seconds = time.monotonic() - started
    cut = LayerCut.make(hierarchy, record, origin, job.check, result.buffer)
    return Segmentation(hierarchy, cut, seconds)


def warn(sentence: str) -> None:
    """Have napari show what is noticed in the pixels."""
    warnings.warn(in_fields(sentence), stacklevel=2)


def origin_of(source: Source, record: RunRecord, check: Callable[[], object] = lambda: None) -> Origin:
    """Where the pixels came from; the layer's file is named only if it still holds exactly these.

    Both are read window by window; `check` may raise in between.
    """
    path = None if source.others else source.layer.source.path
    holds = path is not None and _file_holds(path, source, record, check)
    has_planes = len(source.shape) > (2 if source.channel_axis is None else 3)
    file = str(path) if holds else None
    return Origin(source.name, file, has_planes, bool(source.layer.multiscale))


def _file_holds(path: str, source: Source, record: RunRecord, check: Callable[[], object]) -> bool:
    """Whether a file, read as a script reads it, holds the first and the last plane of a run."""
    plain = replace(record, mask=None)
    if not isinstance(source.pixels, np.ndarray) and not Path(path).is_dir():
        return False  # the layer reads it lazily; our reader might have to load it all
    try:
        image = pictures.read_image(Path(path), **record.reading())
        here, there = source.planes(plain), source.planes(plain).select(image.pixels, plain)
    except (ValueError, OSError, MemoryError):
        return False
    same_part = (here.indices, here.crop) == (there.indices, there.crop)
    return same_part and all(
        _same(part.read(index)[0], other.read(index)[0], image.mask)
        for index in {here.indices[0], here.indices[-1]}
        for part, other in zip(_windows(here, check), _windows(there, check), strict=True)
    )


def _windows(planes: Planes, check: Callable[[], object]) -> Iterator[Planes]:
    """Planes of every window of the part that is selected."""
    top, left, *_ = planes.crop
    for each in windows_of(planes.crop.shape):
        check()
        crop = Window(top + each.top, left + each.left, top + each.bottom, left + each.right)
        yield replace(planes, crop=crop)


def _same(shown: NDArray[Any], read: NDArray[Any], mask: NDArray[np.bool_] | None) -> bool:
    """Whether a layer and a file hold the same pixels; our reader keeps transparency apart, as a mask."""
    if shown.shape[-1:] == (4,) and read.shape[-1:] == (3,):
        opaque = bool((shown[..., 3] > 0).all())
        shown = shown[..., :3]
        if not opaque or mask is not None:
            return False  # the two need not agree on what is outside; saving the layer is safe
    return shown.dtype == read.dtype and np.array_equal(shown, read)
