"""From a picture to its base: the network window by window, the pieces, and their table.

A window reads as much around itself as the network's layers reach (`reach.halo_of`), so the result does not
depend on the windows.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_pcnet.disk.memory import free_bytes, give_back, memory_text
from napari_pcnet.geometry.blocks import ReadingAhead
from napari_pcnet.geometry.grid import Grid, Window, whole_strides
from napari_pcnet.geometry.picture import Picture, image_window
from napari_pcnet.geometry.tiling import Halo, Tile, chosen_core, plan
from napari_pcnet.merging import connectivity, passes, regions
from napari_pcnet.merging.assembly import Assembly
from napari_pcnet.merging.crumbs import Joined, largest_px
from napari_pcnet.merging.joining import Rule
from napari_pcnet.merging.streamed import KeptWindows, LabelledWindow, StreamedIds, WholeIds
from napari_pcnet.network.machine import builds_tables, is_out_of_memory
from napari_pcnet.network.pieces import find_pieces, name_pixels
from napari_pcnet.network.predictor import Predictor, predictor, strips
from napari_pcnet.network.prepared import PreparedNetwork
from napari_pcnet.network.tables import as_array, gather
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import size_text
from napari_pcnet.stages import stage

WindowDone = Callable[[Window, NDArray[np.int32]], None]
"""``window_done(window, ids)``: the regions of a window of the image, ``(h, w)``, -1 outside the mask."""

PIXEL_BYTES: dict[torch.dtype, int] = {
    torch.float64: 200,
    torch.float32: 48,
    torch.bfloat16: 26,
    torch.float16: 26,
    torch.uint8: 30,
}
"""Memory on a CPU for each work pixel that a window reads, as measured with `pcnet-v1` and one thread."""

RUN_BYTES = 170_000_000
"""Memory on a CPU for the first run of a process, in one window, besides its pixels."""

MANY_RUN_BYTES = 210_000_000
"""The same for several windows of one size: freed memory does not all go back, and kernels are kept."""

SHAPES_BYTES = 140_000_000
"""Memory on a CPU for the kernels of windows of other shapes, which those at the ends of a picture have."""

MANY_PIECES = 1 << 18
"""Pieces of a band of windows from which on the memory that putting it together took is given back."""

CLEARLY_LESS = 0.9
"""Share of the memory that the next smaller windows take at most, or else they are not worth their time."""

HERE_AT_ONCE = 2
"""Windows of a picture that is labelled in this process: one is, and one is read."""

SMALLEST_PX = 256
"""Longest side of windows that are not halved again; with its halo, one reads 14 times its own pixels."""


@dataclass(frozen=True)
class Base:
    """The finest labelling of a picture, and the table of its regions.

    Attributes
    ----------
    ids : (H, W) int32 array
        Row of each pixel's region in `regions`, -1 outside the mask; ``(0, 0)`` if they were streamed.
    regions : RegionTable
    grid : Grid
    confidence : (n,) int64 array or None
        Sums over each region of `association.confidence` in `COLOUR_STEPS`, if it was asked for.
    joined : Joined or None
        If crumbs have joined the regions.
    """

    ids: NDArray[np.int32]
    regions: regions.RegionTable
    grid: Grid
    confidence: NDArray[np.int64] | None = None
    joined: Joined | None = None

    @property
    def pieces(self) -> int:
        """How many pieces there are, those that have joined others counted."""
        return len(self.regions) if self.joined is None else self.joined.pieces

    def gives(self, number: int) -> bool:
        """Whether its tree has the cut at this count of the tree of all pieces."""
        if self.joined is None:
            return True
        return int(np.count_nonzero(self.regions.area > largest_px(self.grid.cell_area))) >= number


@dataclass(frozen=True)
class Elsewhere:
    """Other processes that label the windows of a picture.

    Attributes
    ----------
    begin : callable
        ``wait = begin(picture, grid, tile, single_pixels)``; ``wait()`` is what the window says.
    at_once : int
        Windows that may be under way.
    sharing : int
        Processes among which the memory of this machine is shared; 0 if it is that of others.
    """

    begin: Callable[[Picture, Grid, Tile, bool], Callable[[], LabelledWindow]]
    at_once: int
    sharing: int


class SmallerWindowsWarning(RuntimeWarning):
    """Memory is short, and the work is done in smaller windows than asked for."""


class WindowSize(NamedTuple):
    """A size of windows, and what it takes."""

    core_shape: tuple[int, int]  # in work pixels
    total_bytes: int  # about; on other devices than a CPU, to compare sizes with


def segment_base(
    picture: Picture,
    grid: Grid,
    prepared: PreparedNetwork,
    progress: Progress | None = None,
    window_done: WindowDone | None = None,
    *,
    window_px: int | None = None,
    confidence: bool = False,
    single_pixels: bool = False,
    streamed: StreamedIds | None = None,
    rule: Rule | None = None,
    elsewhere: Elsewhere | None = None,
) -> Base:
    """Label a picture with the pieces of its lattice, and gather their table.

    On a CPU, windows are halved until they fit into the memory that is free, if there are such. If any device
    runs out of memory all the same, they are halved and the work begins again. Either way a
    `SmallerWindowsWarning` says so, and labels stay the same.

    Parameters
    ----------
    picture : Picture
    grid : Grid
    prepared : PreparedNetwork
    progress : callable, optional
        ``progress(done, total)`` in strips.
    window_done : callable, optional
        Called with each window that holds a pixel of the mask and its regions, which are renumbered when
        all are known.
    window_px : int or None
        Side of a window's core in work pixels, without its halo; None for `tiling.default_core`. Where
        windows are labelled elsewhere, or kept for a call that may be shared out, `tiling.SHARED_CORE`.
    confidence : bool
        Whether to sum the confidence of the association over regions; a little more work.
    single_pixels : bool
        Whether each pixel is a region of its own, for counts that no lattice reaches.
    streamed : StreamedIds, optional
        Takes the regions of the pixels window by window, in place of `Base.ids`.
    rule : Rule, optional
        If they are streamed: crumbs by this rule join their hosts in the tables of windows.
    elsewhere : Elsewhere, optional
        Labels the windows in place of this process, without their confidence.

    Returns
    -------
    Base

    Raises
    ------
    MemoryError
        If not even the smallest windows fit, or the labels themselves do not.
    """
    at_work = predictor(prepared, confidence)
    kept = streamed.kept if streamed is not None else None
    core = chosen_core(grid, window_px, is_shared=bool(elsewhere or kept))
    sizes = _window_sizes(picture, grid, core, prepared, streamed is None)
    passes.compiled()  # what is already due is loaded before free memory is asked for
    free = free_bytes() // max(1, elsewhere.sharing if elsewhere else 1)
    is_counted = prepared.device.type == "cpu" and (elsewhere is None or elsewhere.sharing > 0)
    first = _first_that_fits(sizes, free) if is_counted else 0
    is_scarce = is_counted and free < sizes[0].total_bytes + SHAPES_BYTES
    ids: WholeIds | StreamedIds | None = streamed
    for size in sizes[first:]:
        is_smaller = size is not sizes[0]
        if is_smaller:
            _warn_of_smaller(size)
        tiles = tiles_inside(picture, grid, size.core_shape, prepared.halo, alike=is_smaller or is_scarce)
        if tiles[0].core.shape != picture.shape and ids is None:
            ids = WholeIds(_room_for_labels(picture.shape))
        try:
            work = _Work(at_work, picture, grid, tiles, single_pixels, kept, elsewhere, progress, rule)
            return _segment(work, ids, window_done)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if prepared.device.type == "cuda":
            torch.cuda.empty_cache()
    raise MemoryError(_no_room(sizes, prepared.device, free))


def _segment(work: _Work, ids: WholeIds | StreamedIds | None, window_done: WindowDone | None) -> Base:
    """Label window by window into `ids`; a window of the whole picture needs none."""
    grid, with_confidence = work.grid, work.at_work.with_confidence
    if streams := isinstance(ids, StreamedIds):
        ids.clear()
    assembly: Assembly | None = None
    offset = 0
    with closing(work.windows()) as windows:
        for _, band in groupby(work.tiles, key=lambda tile: tile.core.top):
            for _ in band:
                part = next(windows)
                if window_done is not None:
                    window_done(part.core, np.where(part.ids < 0, connectivity.OUTSIDE, part.ids + offset))
                if ids is None:
                    return _base(part.ids, part.table, grid, with_confidence)
                if assembly is None:
                    columns = part.table.colour.shape[1], part.table.lines.shape[1]
                    assembly = Assembly(work.picture.shape[1], *columns, work.rule)
                with stage("table"):
                    assembly.add(part.table, part.core, part.beyond, part.rim)
                    ids.add(part)
                offset += len(part.table)
                del part  # its memory serves the next window
            assert assembly is not None
            assert ids is not None
            with stage("table"):
                rows = assembly.end_band()
                ids.end_band(rows)
                if streams and sum(map(len, rows)) >= MANY_PIECES:
                    give_back()  # the table grows
    assert assembly is not None
    of_pixels = ids.ids if isinstance(ids, WholeIds) else np.empty((0, 0), np.int32)
    joined = assembly.joined()
    return replace(_base(of_pixels, assembly.table(), grid, with_confidence), joined=joined)


@dataclass
class _Work:
    """The windows of a picture, in their order: known from an earlier call, or labelled here or elsewhere.

    While one is labelled here, the pixels of the next are read; elsewhere, as many are under way as may be.
    """

    at_work: Predictor[Any]
    picture: Picture
    grid: Grid
    tiles: list[Tile]
    single_pixels: bool
    kept: KeptWindows | None
    elsewhere: Elsewhere | None
    progress: Progress | None
    rule: Rule | None

    def __post_init__(self) -> None:
        self._total = sum(map(_strips_in, self.tiles))
        self._done = 0

    def windows(self) -> Generator[LabelledWindow, None, None]:
        """What each window says."""
        at_once = HERE_AT_ONCE if self.elsewhere is None else self.elsewhere.at_once
        reads_ahead = self.elsewhere is None and len(self.tiles) > 1
        waiting = deque[Callable[[], LabelledWindow]]()
        with ReadingAhead(self.picture.pixels if reads_ahead else None) as ahead:
            for tile in self.tiles:
                waiting.append(self._begin(tile, ahead))
                if len(waiting) >= at_once:
                    yield waiting.popleft()()
            while waiting:
                yield waiting.popleft()()

    def _begin(self, tile: Tile, ahead: ReadingAhead) -> Callable[[], LabelledWindow]:
        """Begin with a window; the function that is returned ends with it."""
        known = None if self.kept is None else self.kept.read(self.grid, self.single_pixels, tile.core)
        if known is not None:
            return partial(self._known, tile, known)
        if self.elsewhere is not None:
            wait = self.elsewhere.begin(self.picture, self.grid, tile, self.single_pixels)
            return partial(self._awaited, tile, wait)
        ahead.begin(image_window(self.grid, tile.read))
        return partial(self._labelled, tile)

    def _known(self, tile: Tile, window: LabelledWindow) -> LabelledWindow:
        self._done += _strips_in(tile)
        return window

    def _awaited(self, tile: Tile, wait: Callable[[], LabelledWindow]) -> LabelledWindow:
        with stage("waiting"):
            window = wait()
        self._tell(_strips_in(tile))
        return self._keep(window)

    def _labelled(self, tile: Tile) -> LabelledWindow:
        window = label_window(
            self.at_work, self.picture, self.grid, tile, partial(self._tell, 1), self.single_pixels
        )
        return self._keep(window)

    def _keep(self, window: LabelledWindow) -> LabelledWindow:
        if self.kept is not None:
            window = window.packed()
            self.kept.write(self.grid, self.single_pixels, window)
        return window

    def _tell(self, strips_done: int) -> None:
        self._done += strips_done
        if self.progress is not None:
            self.progress(self._done, self._total)


def _strips_in(tile: Tile) -> int:
    return len(list(strips(tile.tail)))


def label_window(
    at_work: Predictor[Any],
    picture: Picture,
    grid: Grid,
    tile: Tile,
    strip_done: Callable[[], None],
    single_pixels: bool = False,
) -> LabelledWindow:
    """Label one window with its pieces, and gather their table.

    Raises
    ------
    ValueError
        If the lattice of the whole picture has more cells than can be told apart.
    """
    grid.check_names(single_pixels=single_pixels)
    if builds_tables(at_work.prepared.device):
        return _label_on_device(at_work, picture, grid, tile, strip_done, single_pixels)
    labelled = at_work.raw_labels(picture, grid, tile, strip_done)
    with stage("pieces"):
        if single_pixels:
            connectivity.name_pixels(labelled.raw, tile.labelled, picture.shape[1])
        pieces = connectivity.find_pieces(labelled.raw, tile.labelled, picture.shape[1])
    core = tile.core.inside(tile.labelled)
    read, boundary = _summed_channels(picture, tile, labelled.confidence), labelled.boundary
    del labelled  # its memory serves what follows
    with stage("table"):
        table = regions.gather(pieces.ids, core, tile.core, read, pieces.names, pieces.cells, boundary)
    beyond = pieces.ids[core[0].stop : core[0].stop + 1].flatten()
    return LabelledWindow.of(tile.core, pieces.ids[core], table, beyond)


def _label_on_device(
    at_work: Predictor[Any],
    picture: Picture,
    grid: Grid,
    tile: Tile,
    strip_done: Callable[[], None],
    single_pixels: bool,
) -> LabelledWindow:
    """The same where the network's answer is: only pixels go there, and only ids and the table come back.

    Behind the network, a window of 1,024 x 4,096 pixels and its surroundings takes 52 bytes a pixel there
    where a piece has 12 pixels, 38 where pieces are large, and 331 where each pixel is one: counted tensor by
    tensor, with a boundary map, confidence, and what CUDA holds while it sorts.
    """
    raw, certainty, boundary = at_work.raw_tensors(picture, grid, tile, strip_done)
    with stage("pieces"):
        if single_pixels:
            raw = name_pixels(raw, tile.labelled, picture.shape[1])
        pieces = find_pieces(raw, tile.labelled, picture.shape[1])
    del raw  # its memory serves what follows
    core = tile.core.inside(tile.labelled)
    read = _summed_channels(picture, tile, None)
    with stage("table"):
        table = gather(pieces, core, tile.core, read, boundary, certainty)
        beyond = as_array(pieces.ids[core[0].stop : core[0].stop + 1].flatten())
        ids = as_array(pieces.ids[core])
    return LabelledWindow.of(tile.core, ids, table, beyond)


def _window_sizes(
    picture: Picture,
    grid: Grid,
    core_shape: tuple[int, int],
    prepared: PreparedNetwork,
    with_labels: bool = True,
) -> list[WindowSize]:
    """Return windows of a size, then smaller ones, each of which takes clearly less than the one before."""
    label_bytes = math.prod(picture.shape) * np.dtype(np.int32).itemsize if with_labels else 0
    sizes = list[WindowSize]()
    smaller: tuple[int, int] | None = core_shape
    while smaller is not None:
        size = WindowSize(smaller, window_bytes(picture, grid, smaller, prepared, label_bytes))
        if not sizes or size.total_bytes <= CLEARLY_LESS * sizes[-1].total_bytes:
            sizes.append(size)
        smaller = _halved(smaller, grid)
    return sizes


def window_bytes(
    picture: Picture, grid: Grid, core_shape: tuple[int, int], prepared: PreparedNetwork, label_bytes: int = 0
) -> int:
    """Memory that windows of a size take, with labels of several."""
    part, halo = picture.surroundings, prepared.halo
    tile = next(plan(grid, core_shape, connectivity.reach_px(grid), halo, part, alike=True))
    of_a_window = math.prod(tile.read.shape) * PIXEL_BYTES[prepared.dtype]
    if prepared.device.type != "cpu":
        return of_a_window
    if tile.core.shape == picture.shape:
        return of_a_window + RUN_BYTES
    return of_a_window + MANY_RUN_BYTES + label_bytes


def _first_that_fits(sizes: Sequence[WindowSize], free: int) -> int:
    """Return which size to begin with; where none fits, the smallest may all the same."""
    return next((at for at, size in enumerate(sizes) if size.total_bytes <= free), len(sizes) - 1)


def _warn_of_smaller(size: WindowSize) -> None:
    rows, columns = size.core_shape
    warnings.warn(
        f"memory is short: the picture is segmented in windows of {rows} x {columns} pixels, which takes "
        "longer and gives the same labels",
        SmallerWindowsWarning,
        stacklevel=3,
    )


def _no_room(sizes: Sequence[WindowSize], device: torch.device, free: int) -> str:
    """Return why there is no room, for a MemoryError."""
    rows, columns = sizes[-1].core_shape
    if device.type != "cpu":
        return f"{device} has no room for windows of {rows} x {columns} pixels"
    return (
        f"windows of {rows} x {columns} pixels take about {memory_text(sizes[-1].total_bytes)}, and "
        f"{memory_text(free)} were free"
    )


def tiles_inside(
    picture: Picture, grid: Grid, core_shape: tuple[int, int], halo: Halo, alike: bool = False
) -> list[Tile]:
    """Return the windows that hold pixels of the mask.

    A window also counts the sides between its last pixels and the next ones, so it is passed over only if
    nothing that it labels is inside.
    """
    tiles = plan(grid, core_shape, connectivity.reach_px(grid), halo, picture.surroundings, alike=alike)
    masks = ((tile, picture.read_mask(tile.labelled)) for tile in tiles)
    return [tile for tile, mask in masks if mask is None or mask.any()]


def _room_for_labels(shape: tuple[int, int]) -> NDArray[np.int32]:
    """Allocate the labels of a picture, which smaller windows would not make smaller."""
    try:
        return np.full(shape, connectivity.OUTSIDE, np.int32)
    except MemoryError:
        size = math.prod(shape) * np.dtype(np.int32).itemsize
        raise MemoryError(
            f"the labels of {size_text(shape)} pixels take {size / 1e9:.3g} GB; segment a part of the picture"
        ) from None


def _base(ids: NDArray[np.int32], table: regions.RegionTable, grid: Grid, with_confidence: bool) -> Base:
    """Separate the confidence, which is summed as one more channel, from the colours of the table."""
    if not with_confidence:
        return Base(ids, table, grid)
    colour, confidence_sum = table.colour[:, :-1], table.colour[:, -1]
    return Base(ids, replace(table, colour=colour), grid, confidence_sum)


def _summed_channels(
    picture: Picture, tile: Tile, certainty: NDArray[np.float32] | None
) -> Callable[[Window], NDArray[np.floating]]:
    """Reader of what is summed over regions: the picture's channels and, as one more, the confidence."""

    def read(window: Window) -> NDArray[np.floating]:
        with stage("reading"):
            steps = picture.read_steps(window)
        return steps if certainty is None else np.dstack([steps, certainty[window.inside(tile.labelled)]])

    return read


def _halved(core_shape: tuple[int, int], grid: Grid) -> tuple[int, int] | None:
    """Halve the longer side of a core, in whole strides, as `plan` has them; None if it is the smallest."""
    rows, columns = (min(pair) for pair in zip(core_shape, grid.padded_shape, strict=True))
    if max(rows, columns) <= SMALLEST_PX:
        return None
    if rows >= columns:
        return whole_strides(rows // 2), columns
    return rows, whole_strides(columns // 2)
