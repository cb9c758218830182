"""What a run does in its thread: reads the pixels once, segments them, cuts the tree, measures."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import pictures
from napari_pcnet.plugin.layers import Region, Source
from napari_pcnet.plugin.result import Cut, Result
from napari_pcnet.plugin.texts import MASK_IS_LAYER
from napari_pcnet.plugin.work import Job
from napari_pcnet.record import Origin, RunRecord, needs_no_fourth

if TYPE_CHECKING:
    from napari_pcnet.hierarchy import PCNetHierarchy

CALIBRATION_PX = 512
DRAW_EVERY_S = 0.2
"""Least time between two drawings of a result that is growing."""


@dataclass(frozen=True)
class Done:
    """What a run came to."""

    stack: PCNetHierarchy
    cut: Cut
    seconds: float


@dataclass(frozen=True)
class Machine:
    """What is known of this machine when torch is loaded."""

    device: str
    reason: str
    work_px_per_s: float
    names: tuple[str, ...]


def segment(job: Job, result: Result, record: RunRecord, region: Region) -> Done:
    """Segment what a result has been made ready for."""
    from napari_pcnet.run import build_hierarchy

    started = time.monotonic()
    source = result.source
    mask = None if region.mask is None else region.mask()
    job.check()

    def window_done(k: int, window: Any, ids: NDArray[np.int32]) -> None:
        result.write(k, window, ids)
        job.draw(DRAW_EVERY_S)

    stack = build_hierarchy(
        source.pixels,
        replace(record, mask=None),
        mask=mask,
        progress=job.progress,
        confidence=True,
        window_done=window_done,
    )
    job.check()
    origin = origin_of(source, record)
    seconds = time.monotonic() - started
    return Done(stack, Cut.make(stack, record, origin, job.check, result.buffer), seconds)


def origin_of(source: Source, record: RunRecord) -> Origin:
    """Where the pixels came from; a file counts if it still holds just these."""
    path = source.layer.source.path
    holds = path is not None and _file_holds(path, source, record)
    has_planes = len(source.shape) > (2 if source.channel_axis is None else 3)
    file = str(path) if holds else None
    return Origin(source.layer.name, file, has_planes, bool(source.layer.multiscale))


def _file_holds(path: str, source: Source, record: RunRecord) -> bool:
    """Whether a file, as a script would read it, holds the first and the last plane of a run."""
    plain = replace(record, mask=None)
    if not isinstance(source.pixels, np.ndarray) and not Path(path).is_dir():
        return False  # read bit by bit by whoever opened it; our reader might have to load it all
    try:
        image = pictures.read_image(path, level=record.level, alpha_apart=needs_no_fourth(record))
        here, there = source.planes(plain), source.planes(plain).select(image.pixels, plain)
    except (ValueError, OSError, MemoryError):
        return False
    same_part = (here.indices, here.crop) == (there.indices, there.crop)
    return same_part and all(
        _same(here.read(index)[0], there.read(index)[0], image.mask)
        for index in {here.indices[0], here.indices[-1]}
    )


def _same(shown: NDArray[Any], read: NDArray[Any], mask: NDArray[np.bool_] | None) -> bool:
    """Whether a layer and a file hold the same pixels; the reader takes transparency apart."""
    if shown.shape[-1:] == (4,) and read.shape[-1:] == (3,):
        opaque = bool((shown[..., 3] > 0).all())
        shown = shown[..., :3]
        if not opaque or mask is not None:
            return False  # both could be right; to save the layer is sure to be
    return shown.dtype == read.dtype and np.array_equal(shown, read)


def know_machine(job: Job, device: str) -> Machine:
    """Load torch and the default network, and see how fast they are on a small picture of noise."""
    import pandas as pd  # noqa: F401  # napari's features; its import would hold up the first layer

    from napari_pcnet.network.inference import choose_device, device_names
    from napari_pcnet.superpixels import pcnet_superpixels

    job.check()
    choice = choose_device(device)
    noise = np.random.default_rng(0).integers(0, 255, (CALIBRATION_PX, CALIBRATION_PX), np.uint8)
    pcnet_superpixels(noise[:64, :64], 4, channel_axis=None, device=device)  # loads the weights
    job.check()
    started = time.monotonic()
    pcnet_superpixels(noise, 200, channel_axis=None, device=device, progress=job.progress)
    rate = CALIBRATION_PX**2 / max(time.monotonic() - started, 1e-3)
    return Machine(str(choice.device), choice.reason, rate, device_names())


def record_of_region(record: RunRecord, region: Region) -> RunRecord:
    """The record inside a region."""
    crop = region.crop and (region.crop.top, region.crop.left, region.crop.bottom, region.crop.right)
    mask = None if region.mask is None else MASK_IS_LAYER
    return replace(record, crop=crop, mask=mask)
