"""What labelling a large plane will take: memory, disk and time, by one window that is measured before.

Time is that of the measured window for all that windows read, label and write, and of so many regions for
the tree, so it is rough, on a machine that others use most of all.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from napari_pcnet import pipeline
from napari_pcnet.disk.memory import free_bytes, memory_text
from napari_pcnet.disk.spool import MEMORY_BYTES, pack
from napari_pcnet.geometry.blocks import KEPT_BYTES
from napari_pcnet.geometry.estimate import LARGE_PX, TABLE_BYTES, TREE_BYTES
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.geometry.tiling import Tile, chosen_core
from napari_pcnet.merging import passes
from napari_pcnet.merging.joining import join_crumbs
from napari_pcnet.merging.regions import look_up
from napari_pcnet.network.inference import label_window, tiles_inside, window_bytes
from napari_pcnet.network.predictor import predictor
from napari_pcnet.options import Options
from napari_pcnet.progress import duration
from napari_pcnet.shapes import size_text
from napari_pcnet.stages import timed

SPOOLS = 2
"""Of pieces and of what becomes of them, each with some memory."""

MEASURED_PX = 1024
"""Side of the core of that window, in work pixels."""

TREE_S, PLAIN_TREE_S = 4e-6, 2e-5
"""Time of a region in the tree, where merging is compiled (docs/performance.md), and where it is not."""


class Copies(NamedTuple):
    """How often labels are on the disk, all together, while they are made."""

    labels: float
    windows: int = 1  # what windows say, in the spool and beside the output


@dataclass(frozen=True)
class Outlook:
    """What a plane will take.

    Attributes
    ----------
    seconds : float
    memory_bytes : int
        At the peak, besides the libraries.
    disk_bytes : int
        At the peak, the output included: at most, since superpixels compress better than what is measured.
    """

    seconds: float
    memory_bytes: int
    disk_bytes: int

    def sentence(self, shape: tuple[int, int], planes: int, free_memory: int, free_disk: int) -> str:
        """Say it of so many planes of a shape, and what there is too little of."""
        of_planes = f"{planes} planes of " if planes > 1 else ""
        text = (
            f"{of_planes}{size_text(shape)} pixels will take about {duration(planes * self.seconds)}, "
            f"{memory_text(self.memory_bytes)} of memory and at most "
            f"{memory_text(planes * self.disk_bytes)} of the disk"
        )
        short = [
            f"{memory_text(free)} of {what}"
            for what, needed, free in (
                ("memory", self.memory_bytes, free_memory),
                ("the disk", planes * self.disk_bytes, free_disk),
            )
            if needed > free
        ]
        return f"{text}; only {' and '.join(short)} are free" if short else text


def teller(
    tell: Callable[[str], object], folder: Path, copies: Copies, workers: int, here: bool
) -> Callable[[Picture, Options, int], None]:
    """Make what tells of a run before its first plane is labelled; nothing of small planes.

    Parameters
    ----------
    tell : callable
        Takes the sentence.
    folder : Path
        Where the output will be.
    copies : Copies
    workers : int
        Processes that label windows.
    here : bool
        Whether they are on this machine.
    """

    def before(picture: Picture, options: Options, planes: int) -> None:
        if math.prod(picture.shape) < LARGE_PX or options.smoothing:
            return
        expected = outlook(picture, options, copies, workers, here)
        free = shutil.disk_usage(folder).free
        tell(expected.sentence(picture.shape, planes, free_bytes(), free))

    return before


def outlook(
    picture: Picture, options: Options, copies: Copies, workers: int = 1, here: bool = True
) -> Outlook:
    """Say what a picture will take, by a window in its middle; arguments are those of `teller`."""
    passes.count(pixels=math.prod(picture.shape))  # so large a picture is worth loading numba, now
    network = pipeline.load_prepared(options)
    grid = pipeline.first_grid(picture.shape, picture.share_inside, options)
    core = chosen_core(grid, options.window, is_shared=workers > 1 or not here)
    tiles = tiles_inside(picture, grid, core, network.halo)
    several = tiles_inside(picture, grid, (MEASURED_PX, MEASURED_PX), network.halo)
    one = _measured(picture, options, several[len(several) // 2])
    windows_s = (
        one.trunk_s * _share(tiles, one.tile, "read")
        + one.tail_s * _share(tiles, one.tile, "tail")
        + one.table_s * _share(tiles, one.tile, "core")
    )
    cores = _share(tiles, one.tile, "core")
    regions = one.regions * cores
    tree_s = regions * (PLAIN_TREE_S if passes.compiled() is None else TREE_S)
    threads = torch.get_num_threads() if workers > 1 or not here else 1  # workers have one each
    on_this_machine = workers if here else 0
    held = window_bytes(picture, grid, core, network) + min(KEPT_BYTES, _bytes_of(picture))
    mask_bytes = 0 if picture.mask is None else picture.mask.nbytes
    packed = one.packed_bytes * cores
    of_regions = max(max(1, on_this_machine) * held + regions * TABLE_BYTES, regions * TREE_BYTES)
    return Outlook(
        windows_s * threads / workers + tree_s + one.writing_s * cores,
        round(of_regions + mask_bytes + SPOOLS * MEMORY_BYTES),
        round(packed * (copies.labels + copies.windows)),
    )


class _Measured(NamedTuple):
    """What one window took."""

    tile: Tile
    trunk_s: float  # with what it reads
    tail_s: float
    table_s: float
    writing_s: float
    regions: int  # that are left to merge
    packed_bytes: int


def _measured(picture: Picture, options: Options, tile: Tile) -> _Measured:
    """Label a window twice: what a process does but once is not counted.

    What this thread computes counts with its own time, since workers may start meanwhile. Reading, packing
    and a GPU, which it waits for, count with the time that passes.
    """
    network = pipeline.load_prepared(options)
    grid = pipeline.first_grid(picture.shape, picture.share_inside, options)
    for _ in range(2):
        picture.forget()
        start, of_thread = time.perf_counter(), time.thread_time()
        with timed() as seconds:
            said = label_window(predictor(network), picture, grid, tile, lambda: None)
        own_s, passed_s = time.thread_time() - of_thread, time.perf_counter() - start
    reading_s = seconds.get("reading", 0.0)
    own = min(1.0, own_s / (passed_s - reading_s)) if network.device.type == "cpu" else 1.0
    rule = pipeline.crumb_rule(grid, options.n_segments, picture.share_inside, options)
    start = time.thread_time()
    table = said.table if rule is None else join_crumbs(said.table, said.rim, rule).table
    table_s = own * (seconds.get("pieces", 0.0) + seconds.get("table", 0.0)) + time.thread_time() - start
    start = time.perf_counter()
    packed = pack(said.ids)
    labels = look_up(np.arange(len(said.table) + 1, dtype=np.int32), said.ids)
    pack(labels)
    writing_s = time.perf_counter() - start
    regions, size = int(np.count_nonzero(table.area)), sum(map(len, packed.pieces))
    trunk_s = own * seconds.get("trunk", 0.0) + reading_s
    return _Measured(tile, trunk_s, own * seconds.get("tail", 0.0), table_s, writing_s, regions, size)


def _share(tiles: Iterable[Tile], one: Tile, name: str) -> float:
    """How many times the pixels of one window all have, of its core or of another of its rectangles."""
    return sum(_pixels(getattr(tile, name)) for tile in tiles) / _pixels(getattr(one, name))


def _pixels(window: Window) -> int:
    return math.prod(window.shape)


def _bytes_of(picture: Picture) -> int:
    return math.prod(picture.shape) * picture.channels * int(picture.pixels.dtype.itemsize)
