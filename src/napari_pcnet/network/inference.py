"""From a picture to its base: the network window by window, the pieces, and their table.

The trunk, on 1/16 of the pixels, runs on a whole window; the stem before it and the tail behind it run in
strips of rows, so memory is a few floats for each work pixel of a window. A window reads as much around
itself as the network's layers reach (`reach.halo_of`), so the result does not depend on the windows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pcnet.disk.memory import free_bytes, memory_text
from napari_pcnet.geometry.grid import STRIDE, Grid, Window, raw_ids, whole_strides
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture
from napari_pcnet.geometry.tiling import Halo, Tile, default_core, plan
from napari_pcnet.merging import connectivity, passes, regions
from napari_pcnet.network.association import confidence, neighbour_argmax
from napari_pcnet.network.machine import is_out_of_memory
from napari_pcnet.network.model import Trunk
from napari_pcnet.network.prepared import PreparedNetwork
from napari_pcnet.network.reach import needed
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
}
"""Memory on a CPU for each work pixel that a window reads, as measured with `pcnet-v1` and one thread."""

RUN_BYTES = 170_000_000
"""Memory on a CPU for the first run of a process, in one window, besides its pixels."""

MANY_RUN_BYTES = 210_000_000
"""The same for several windows of one size: freed memory does not all go back, and kernels are kept."""

SHAPES_BYTES = 140_000_000
"""Memory on a CPU for the kernels of windows of other shapes, which those at the ends of a picture have."""

CLEARLY_LESS = 0.9
"""Share of the memory that the next smaller windows take at most, or else they are not worth their time."""

SMALLEST_PX = 256
"""Longest side of windows that are not halved again; with its halo, one reads 14 times its own pixels."""

STRIP_PX = 1 << 17
"""Work pixels in a strip; the tail holds 57 numbers for each, 16 + 16 + 16 + 9."""


@dataclass(frozen=True)
class Base:
    """The finest labelling of a picture, and the table of its regions.

    Attributes
    ----------
    ids : (H, W) int32 array
        Row of each pixel's region in `regions`, -1 outside the mask.
    regions : RegionTable
    grid : Grid
    confidence : (n,) int64 array or None
        Sums over each region of `association.confidence` in `COLOUR_STEPS`, if it was asked for.
    """

    ids: NDArray[np.int32]
    regions: regions.RegionTable
    grid: Grid
    confidence: NDArray[np.int64] | None = None


class Labelled(NamedTuple):
    """Output of the network for a window of the image."""

    raw: NDArray[np.int32]  # (h, w) raw ids, `connectivity.OUTSIDE` outside the mask
    confidence: NDArray[np.float32] | None  # (h, w) in whole steps, 0 to COLOUR_STEPS
    boundary: NDArray[np.float32] | None  # (h, w) boundary probability, in the same steps


class Predictor:
    """A prepared network at work.

    Parameters
    ----------
    prepared : PreparedNetwork
    confidence : bool
        Whether to compute the confidence of the association, too; a little more work.
    """

    def __init__(self, prepared: PreparedNetwork, confidence: bool = False) -> None:
        self.prepared, self.model = prepared, prepared.network
        self.reduction = self.model.config.reduction
        self.with_confidence = confidence

    def raw_labels(
        self, picture: Picture, grid: Grid, tile: Tile, strip_done: Callable[[], None]
    ) -> Labelled:
        """Label the labelled window of a tile."""
        with torch.inference_mode(), _own_arithmetic(self.prepared.device):
            with stage("trunk"):
                trunk = self._trunk(picture, grid, tile.read)
            ids = np.empty(tile.labelled.shape, np.int32)
            certainty = np.empty(tile.labelled.shape, np.float32) if self.with_confidence else None
            boundary = np.empty(tile.labelled.shape, np.float32) if trunk.boundary is not None else None
            rows, columns = (grid.work_position(axis) for axis in (0, 1))
            columns = columns[tile.labelled.left : tile.labelled.right]
            for strip in _strips(tile.tail):
                with stage("tail"):
                    logits = self._logits(picture, trunk.features, tile, strip, grid)
                    neighbour = neighbour_argmax(logits)[0].to(torch.uint8).cpu().numpy()
                first, last = np.searchsorted(rows, [strip.top, strip.bottom])
                first, last = max(first, tile.labelled.top), min(last, tile.labelled.bottom)
                if first < last:
                    at = rows[first:last]
                    inside = at - strip.top, columns - strip.left
                    place = slice(first - tile.labelled.top, last - tile.labelled.top)
                    ids[place] = raw_ids(_pick(neighbour, *inside), at, columns, grid)
                    if certainty is not None:
                        certainty[place] = _pick(_in_steps(confidence(logits)[0]), *inside)
                    if boundary is not None:
                        boundary[place] = _pick(self._boundary(trunk, tile, strip), *inside)
                strip_done()
        mask = picture.read_mask(tile.labelled)
        if mask is not None:
            ids[~mask] = connectivity.OUTSIDE
        return Labelled(ids, certainty, boundary)

    def _boundary(self, trunk: Trunk, tile: Tile, strip: Window) -> NDArray[np.float32]:
        """Boundary probability of each work pixel of a strip, in whole steps."""
        assert trunk.boundary is not None
        ratio = self.reduction
        rows, columns = (slice(s.start // ratio, s.stop // ratio) for s in strip.inside(tile.read))
        logits = self.model.boundary_map(trunk._replace(boundary=trunk.boundary[:, :, rows, columns]))
        assert logits is not None
        return _in_steps(logits[0, 0].sigmoid())

    def _trunk(self, picture: Picture, grid: Grid, read: Window) -> Trunk:
        """Features of a window."""
        return self.model.trunk_from_first(self._first(picture, grid, read))

    def _first(self, picture: Picture, grid: Grid, read: Window) -> Tensor:
        """Stem and first convolution, in strips: the frame itself is never held whole."""
        first: Tensor | None = None
        ratio = self.reduction
        for strip in _strips(read):
            rows = slice((strip.top - read.top) // ratio, (strip.bottom - read.top) // ratio)
            input_rows = needed(self._stem, rows, read.bottom - read.top)
            wide = Window(read.top + input_rows.start, read.left, read.top + input_rows.stop, read.right)
            image = self._pixels(picture, grid, wide)
            reduced = self._stem(image - self.model.mean)
            if first is None:
                height, width = (side // ratio for side in read.shape)
                first = reduced.new_empty((1, reduced.shape[1], height, width)).contiguous(
                    memory_format=torch.channels_last
                )
            begin = (strip.top - wide.top) // ratio
            first[:, :, rows] = reduced[:, :, begin : begin + rows.stop - rows.start]
        assert first is not None, "a window has rows"
        return first

    def _stem(self, image: Tensor) -> Tensor:
        """Stem and first convolution."""
        first: Tensor = self.model.first(self.model.stem(image))
        return first

    def _logits(self, picture: Picture, features: Tensor, tile: Tile, strip: Window, grid: Grid) -> Tensor:
        """Logits of the association of every work pixel of a strip, ``(1, 9, h, w)``."""
        if self.model.config.block:
            logits = self._blocks(features, tile, strip, grid)
        else:
            logits = self._tail(picture, features, tile, strip, grid)
        cell = grid.cell
        _mask_rim(logits, grid.lattice, (strip.top // cell, strip.left // cell), cell)
        return logits

    def _blocks(self, features: Tensor, tile: Tile, strip: Window, grid: Grid) -> Tensor:
        """The same of a network that predicts blocks, before the rim of the lattice is masked."""
        ratio, sides = self.reduction, features.shape[-2:]
        inside = [slice(span.start // ratio, span.stop // ratio) for span in strip.inside(tile.read)]
        wide = _needed(self.model.block, inside, sides)
        hidden = _crop(self.model.block(features[:, :, wide[0], wide[1]]), wide, inside)
        head = self.model.heads[self.model.config.cells.index(grid.cell)]
        return self.model.to_pixels(head(hidden))

    def _tail(self, picture: Picture, features: Tensor, tile: Tile, strip: Window, grid: Grid) -> Tensor:
        """The same of a network with the paper's tail.

        Each layer of the tail is computed on no more than the next one needs.
        """
        ratio = self.reduction
        inside = [
            slice(strip.top - tile.read.top, strip.bottom - tile.read.top),
            slice(strip.left - tile.read.left, strip.right - tile.read.left),
        ]
        low_sides = features.shape[-2:]
        sides = [side * ratio for side in low_sides]
        nearer = _needed(self.model.head, inside, sides)
        near = _needed(self.model.embed, nearer, sides)
        low = _needed(self.model.subpixel, near, low_sides)
        have = [slice(span.start * ratio, span.stop * ratio) for span in low]
        detail = _crop(self.model.subpixel(features[:, :, low[0], low[1]]), have, near)
        if self.model.guide is not None:
            rows, columns = wide = _needed(self.model.guide, near, sides)
            top, left = tile.read.top, tile.read.left
            window = Window(top + rows.start, left + columns.start, top + rows.stop, left + columns.stop)
            guide = self.model.guide(self._pixels(picture, grid, window) - self.model.mean)
            detail = torch.cat([detail, _crop(guide, wide, near)], dim=1)
        embedding = _crop(self.model.embed(detail), near, nearer)
        return _crop(self.model.head(embedding), nearer, inside)

    def _pixels(self, picture: Picture, grid: Grid, window: Window) -> Tensor:
        """A window of the work frame, ``(1, 3, h, w)``."""
        with stage("reading"):
            pixels = picture.read_work(grid, window, self.prepared.reads)
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.prepared.device, self.prepared.dtype)


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
        Side of a window's core in work pixels, without its halo; None for `tiling.default_core`.
    confidence : bool
        Whether to sum the confidence of the association over regions; a little more work.
    single_pixels : bool
        Whether each pixel is a region of its own, for counts that no lattice reaches.

    Returns
    -------
    Base

    Raises
    ------
    MemoryError
        If not even the smallest windows fit, or the labels themselves do not.
    """
    predictor = Predictor(prepared, confidence)
    core_shape = (window_px, window_px) if window_px else default_core(grid)
    sizes = _window_sizes(picture, grid, core_shape, prepared)
    passes.compiled()  # what is already due is loaded before free memory is asked for
    free = free_bytes()
    first = _first_that_fits(sizes, free) if prepared.device.type == "cpu" else 0
    is_scarce = prepared.device.type == "cpu" and free < sizes[0].total_bytes + SHAPES_BYTES
    ids: NDArray[np.int32] | None = None
    for size in sizes[first:]:
        is_smaller = size is not sizes[0]
        if is_smaller:
            _warn_of_smaller(size)
        tiles = _tiles_inside(picture, grid, size.core_shape, prepared.halo, alike=is_smaller or is_scarce)
        if tiles[0].core.shape != picture.shape and ids is None:
            ids = _room_for_labels(picture.shape)
        try:
            return _segment(predictor, picture, grid, tiles, ids, progress, window_done, single_pixels)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if prepared.device.type == "cuda":
            torch.cuda.empty_cache()
    raise MemoryError(_no_room(sizes, prepared.device, free))


def _segment(
    predictor: Predictor,
    picture: Picture,
    grid: Grid,
    tiles: list[Tile],
    ids: NDArray[np.int32] | None,
    progress: Progress | None,
    window_done: WindowDone | None,
    single_pixels: bool,
) -> Base:
    """Label window by window into `ids`, which is empty; a window of the whole picture needs none."""
    total = sum(len(list(_strips(tile.tail))) for tile in tiles)
    done = 0

    def strip_done() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    parts, offset = [], 0
    for tile in tiles:
        labelled = predictor.raw_labels(picture, grid, tile, strip_done)
        with stage("pieces"):
            if single_pixels:
                connectivity.name_pixels(labelled.raw, tile.labelled, picture.shape[1])
            pieces = connectivity.find_pieces(labelled.raw, tile.labelled, picture.shape[1])
        core = tile.core.inside(tile.labelled)
        read, boundary = _summed_channels(picture, tile, labelled.confidence), labelled.boundary
        del labelled  # its memory serves the next window
        with stage("table"):
            parts.append(
                regions.gather(pieces.ids, core, tile.core, read, pieces.names, pieces.cells, boundary)
            )
        core_ids = pieces.ids[core]
        if ids is not None:
            core_ids = np.where(core_ids < 0, -1, core_ids + offset)
            ids[tile.core.slices] = core_ids
            offset += len(pieces.names)
        if window_done is not None:
            window_done(tile.core, core_ids)
        if ids is None:
            return _base(pieces.ids, parts[0], grid, predictor.with_confidence)
    assert ids is not None
    with stage("table"):
        table, lookups = regions.merge(parts)
        rows = np.append(np.concatenate(lookups), connectivity.OUTSIDE).astype(np.int32)
        regions.look_up(rows, ids, out=ids)
    return _base(ids, table, grid, predictor.with_confidence)


def _window_sizes(
    picture: Picture, grid: Grid, core_shape: tuple[int, int], prepared: PreparedNetwork
) -> list[WindowSize]:
    """Return windows of a size, then smaller ones, each of which takes clearly less than the one before."""
    sizes = list[WindowSize]()
    smaller: tuple[int, int] | None = core_shape
    while smaller is not None:
        size = WindowSize(smaller, _bytes_for(picture, grid, smaller, prepared))
        if not sizes or size.total_bytes <= CLEARLY_LESS * sizes[-1].total_bytes:
            sizes.append(size)
        smaller = _halved(smaller, grid)
    return sizes


def _bytes_for(picture: Picture, grid: Grid, core_shape: tuple[int, int], prepared: PreparedNetwork) -> int:
    """Memory that windows of a size take, labels included."""
    part, halo = picture.surroundings, prepared.halo
    tile = next(plan(grid, core_shape, connectivity.reach_px(grid), halo, part, alike=True))
    of_a_window = math.prod(tile.read.shape) * PIXEL_BYTES[prepared.dtype]
    if prepared.device.type != "cpu":
        return of_a_window
    if tile.core.shape == picture.shape:
        return of_a_window + RUN_BYTES
    return of_a_window + MANY_RUN_BYTES + math.prod(picture.shape) * np.dtype(np.int32).itemsize


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


def _tiles_inside(
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


def _in_steps(shares: Tensor) -> NDArray[np.float32]:
    """Shares from 0 to 1 in whole steps of 1 / `COLOUR_STEPS`."""
    wide = shares.float() if shares.dtype in (torch.bfloat16, torch.float16) else shares
    steps = (wide * COLOUR_STEPS).round()  # float16 ends at 65504
    return steps.to(torch.float32).cpu().numpy()


def _needed(layer: Callable[[Tensor], Tensor], spans: Sequence[slice], sides: Sequence[int]) -> list[slice]:
    """Rows and columns that a layer needs for those of its output, of an input with these sides."""
    return [needed(layer, span, side) for span, side in zip(spans, sides, strict=True)]


def _crop(values: Tensor, have: Sequence[slice], need: Sequence[slice]) -> Tensor:
    """Cut the rows and columns `need` out of a tensor that holds those of `have`."""
    rows, columns = (slice(n.start - h.start, n.stop - h.start) for n, h in zip(need, have, strict=True))
    return values[:, :, rows, columns]


def _strips(window: Window) -> Iterator[Window]:
    """Cut a window of the work frame into strips of rows, on multiples of 64."""
    width = max(1, window.right - window.left)
    rows = max(STRIDE, STRIP_PX // width // STRIDE * STRIDE)
    for top in range(window.top, window.bottom, rows):
        yield Window(top, window.left, min(top + rows, window.bottom), window.right)


def _pick(values: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[Any]:
    """Values at the given rows and columns; a view where these follow each other."""
    if _is_run(rows) and _is_run(columns):
        return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return values[rows[:, None], columns[None, :]]


def _is_run(numbers: NDArray[np.int64]) -> bool:
    return bool(numbers[-1] - numbers[0] == len(numbers) - 1)


def _mask_rim(logits: Tensor, lattice: tuple[int, int], origin: tuple[int, int], cell: int) -> None:
    """Mask neighbours outside the lattice as `association.mask_outside` does, but in place and at its rim."""
    rows, columns = (
        min(cells - first, side // cell)
        for cells, first, side in zip(lattice, origin, logits.shape[-2:], strict=True)
    )
    if min(rows, columns) <= 0:  # padding alone
        return
    inside = logits.unflatten(1, (3, 3))[..., : rows * cell, : columns * cell]  # (1, dy, dx, h, w)
    if origin[0] == 0:
        inside[:, 0, :, :cell] = -math.inf
    if origin[0] + rows == lattice[0]:
        inside[:, 2, :, -cell:] = -math.inf
    if origin[1] == 0:
        inside[:, :, 0, :, :cell] = -math.inf
    if origin[1] + columns == lattice[1]:
        inside[:, :, 2, :, -cell:] = -math.inf


def _halved(core_shape: tuple[int, int], grid: Grid) -> tuple[int, int] | None:
    """Halve the longer side of a core, in whole strides, as `plan` has them; None if it is the smallest."""
    rows, columns = (min(pair) for pair in zip(core_shape, grid.padded_shape, strict=True))
    if max(rows, columns) <= SMALLEST_PX:
        return None
    if rows >= columns:
        return whole_strides(rows // 2), columns
    return rows, whole_strides(columns // 2)


@contextmanager
def _own_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute without a caller's autocast and without CUDA's TF32; settings are restored afterwards."""
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
