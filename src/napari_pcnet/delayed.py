"""A dask array of labels from a dask array of pixels: one graph, nothing of it computed early.

Its tasks: the extremes of each chunk become the range; a window is labelled from the chunks that it and its
halo touch; one task makes one table of those of all windows, merges regions and says the label of each; the
labels of each chunk are looked up. From worker to worker go chunks, tables and compressed regions. A task is
an object that can be called, so that it can be sent to a process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby, product
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, pipeline, weights
from napari_pcnet.disk import files
from napari_pcnet.disk.spool import Packed, pack, unpack
from napari_pcnet.geometry.blocks import Part
from napari_pcnet.geometry.grid import Grid, Window
from napari_pcnet.geometry.picture import Picture, image_window, surroundings
from napari_pcnet.geometry.tiling import Tile, chosen_core, plan
from napari_pcnet.merging.assembly import Assembly
from napari_pcnet.merging.connectivity import reach_px
from napari_pcnet.merging.joining import Rule
from napari_pcnet.merging.regions import RegionTable, look_up
from napari_pcnet.merging.streamed import labels_of_pieces
from napari_pcnet.network.inference import Base, label_window
from napari_pcnet.network.machine import one_at_a_time
from napari_pcnet.network.predictor import predictor
from napari_pcnet.options import Options
from napari_pcnet.shapes import Labels, label_type

MERGED_AT_ONCE = 64
"""Extremes of chunks that one task takes."""

_ELSE = "pass mask=, which is read at once, or compute labels window by window by out="
"""What would do where the mask depends on values that are not read yet."""


def is_dask(image: Any) -> bool:
    """Whether an image is a dask array; dask need not be there."""
    return hasattr(image, "__dask_graph__") and hasattr(image, "blocks")


def superpixels(image: Any, mask: Any, options: Options) -> Any:
    """Return the labels of a dask array as a dask array with the chunks of the image.

    Parameters
    ----------
    image : (H, W[, C]) dask array
    mask : (H, W) array_like or None
        Is read at once.
    options : Options

    Returns
    -------
    (H, W) dask array of int32, or int64 if labels don't fit

    Raises
    ------
    ValueError
        If it is something that only a picture that is read can give. What depends on values is raised
        when labels are computed.
    """
    from dask.array import Array
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    run = _Run.of(image, mask, options)
    weights_now = files.version_of(weights.locate(options.model))
    name = f"superpixels-{tokenize(image.name, vars(options), weights_now, run.mask)}"
    tasks = _tasks(run, image.name, name)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[image])
    chunks = tuple(image.chunks[axis] for axis in run.settings.axes)
    make: Any = Array  # has no types
    return make(graph, name, chunks, meta=np.empty((0, 0), run.label_type))


class _Settings(NamedTuple):
    """What each task knows of the picture and of what is asked of it."""

    options: Options
    shape: tuple[int, ...]  # of the image
    axes: tuple[int, int]  # of rows and columns
    channel_axis: int | None
    channels: int  # without alpha
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Run:
    """A picture that is not read yet, and what is asked of it.

    Attributes
    ----------
    settings : _Settings
    chunks : tuple of tuple of int
        Along each axis.
    mask : (H, W) bool array or None
    """

    settings: _Settings
    chunks: tuple[tuple[int, ...], ...]
    mask: NDArray[np.bool_] | None

    @classmethod
    def of(cls, image: Any, mask: Any, options: Options) -> _Run:
        """Check what can be checked."""
        if options.smoothing:
            raise ValueError(
                "smoothing takes the labels of the whole plane, and those of a dask array are not held: pass "
                "smoothing=0, and take smooth_outlines of what fits into memory"
            )
        limits = options.intensity_range
        if limits is not None and isinstance(limits[0], str):
            raise ValueError(
                "intensity_range in percentages reads a dask array several times: pass two values, or "
                "compute labels window by window by out="
            )
        if isinstance(getattr(image, "_meta", None), np.ma.MaskedArray):
            raise ValueError(f"image is a dask array of masked arrays, whose masks are not known: {_ELSE}")
        pixels, axis, channels = arguments.plane_of(image, options.channel_axis)
        axes = tuple(at for at in range(len(pixels.shape)) if at != axis)
        shape = tuple(map(int, pixels.shape))
        region = arguments.region_of(mask, (shape[axes[0]], shape[axes[1]]), options.min_size)
        settings = _Settings(options, shape, (axes[0], axes[1]), axis, channels, pixels.dtype)
        run = cls(settings, tuple(image.chunks), region)
        most = run.inside_px, "image" if region is None else "mask"
        arguments.room_for(options.n_segments, most, "n_segments")
        if options.method == "hierarchy" and region is not None:
            arguments.parts_within(options.n_segments, [arguments.sizes_of_parts(region)], "n_segments")
        return run

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.settings.shape[self.settings.axes[0]], self.settings.shape[self.settings.axes[1]]

    @property
    def inside_px(self) -> int:
        """Pixels to be segmented."""
        return self.plane[0] * self.plane[1] if self.mask is None else int(np.count_nonzero(self.mask))

    @property
    def label_type(self) -> type[np.signedinteger[Any]]:
        """Of the labels."""
        options = self.settings.options
        return label_type(options.n_segments + options.start_label - 1)

    @cached_property
    def edges(self) -> tuple[list[int], list[int]]:
        """Where chunks of rows and of columns begin, and where the last ones end."""
        rows, columns = ([0, *accumulate(map(int, self.chunks[axis]))] for axis in self.settings.axes)
        return rows, columns

    def chunk(self, place: tuple[int, int]) -> Window:
        """Pixels of a chunk."""
        rows, columns = self.edges
        return Window(rows[place[0]], columns[place[1]], rows[place[0] + 1], columns[place[1] + 1])

    def places(self, window: Window) -> list[tuple[int, int]]:
        """Chunks that a window touches."""
        rows, columns = (
            range(int(np.searchsorted(edges, start, "right")) - 1, int(np.searchsorted(edges, stop)))
            for edges, start, stop in zip(self.edges, window[:2], window[2:], strict=True)
        )
        return list(product(rows, columns))

    def keys(self, name: str, place: tuple[int, int]) -> list[Any]:
        """Keys of the pieces of a chunk: several if channels are in chunks, too."""
        if self.settings.channel_axis is None:
            return [(name, *place)]
        before, behind = place[: self.settings.channel_axis], place[self.settings.channel_axis :]
        return [(name, *before, at, *behind) for at in range(len(self.chunks[self.settings.channel_axis]))]

    def all_places(self) -> list[tuple[int, int]]:
        """All chunks."""
        rows, columns = (range(len(edges) - 1) for edges in self.edges)
        return list(product(rows, columns))

    def part_of_mask(self, window: Window) -> NDArray[np.bool_] | None:
        """The mask of a window."""
        return None if self.mask is None else self.mask[window.slices].copy()

    @cached_property
    def grid(self) -> Grid:
        """The lattice."""
        share = self.inside_px / (self.plane[0] * self.plane[1])
        return pipeline.first_grid(self.plane, share, self.settings.options)

    def tiles(self) -> list[Tile]:
        """The windows that hold pixels of the mask."""
        halo = pipeline.load_prepared(self.settings.options).halo
        core = chosen_core(self.grid, self.settings.options.window, is_shared=True)
        every = plan(self.grid, core, reach_px(self.grid), halo, surroundings(self.plane, self.mask))
        return [tile for tile in every if self.mask is None or self.mask[tile.labelled.slices].any()]


def _tasks(run: _Run, pixels: str, name: str) -> dict[Any, Any]:
    """The tasks of a graph by their keys; those of labels have `name`, as those of chunks have `pixels`."""
    settings, tiles = run.settings, run.tiles()
    cores, numbers = tuple(tile.core for tile in tiles), range(len(tiles))
    tasks: dict[Any, Any] = _range_tasks(run, pixels, name)
    over = defaultdict[tuple[int, int], list[int]](list)  # windows over each chunk
    for k, tile in enumerate(tiles):
        reads = _union(image_window(run.grid, tile.read), tile.labelled)
        places = run.places(reads)
        chunks = tuple(run.chunk(place) for place in places)
        for place in run.places(tile.core):
            over[place].append(k)
        label = _Label(settings, run.grid, tile, reads, chunks, run.part_of_mask(tile.labelled))
        tasks[f"{name}-window", k] = label, [run.keys(pixels, place) for place in places], f"{name}-range"
        tasks[f"{name}-ids", k] = itemgetter(0), (f"{name}-window", k)
        tasks[f"{name}-part", k] = itemgetter(1), (f"{name}-window", k)
        tasks[f"{name}-table", k] = itemgetter(k), f"{name}-tree"
    merge = _Merge(settings, run.grid, cores)
    tasks[f"{name}-tree"] = merge, [(f"{name}-part", k) for k in numbers]
    for place in run.all_places():
        some = over[place]
        windows = tuple(cores[k] for k in some)
        look = _LookUp(run.chunk(place), windows, settings.options.start_label - 1, run.label_type)
        tasks[name, *place] = look, [(f"{name}-ids", k) for k in some], [(f"{name}-table", k) for k in some]
    return tasks


def _range_tasks(run: _Run, pixels: str, name: str) -> dict[Any, Any]:
    """The tasks that find the range."""
    tasks = dict[Any, Any]()
    for place in run.all_places():
        look = _Look(run.settings, run.part_of_mask(run.chunk(place)))
        tasks[f"{name}-extremes", *place] = look, run.keys(pixels, place)
    keys, level = list(tasks), 0
    while len(keys) > MERGED_AT_ONCE:
        merged = list[Any]()
        for at, start in enumerate(range(0, len(keys), MERGED_AT_ONCE)):
            merged.append((f"{name}-extremes-{level}", at))
            tasks[merged[-1]] = _Extremes.joined, keys[start : start + MERGED_AT_ONCE]
        keys, level = merged, level + 1
    tasks[f"{name}-range"] = _Range(run.settings), keys
    return tasks


class _Extremes(NamedTuple):
    """What is seen of a part of an image."""

    low: NDArray[np.float64]  # (C,)
    high: NDArray[np.float64]
    has_nan: bool
    has_hidden: bool

    @classmethod
    def joined(cls, parts: Sequence[_Extremes]) -> _Extremes:
        low, high = (np.stack([part[end] for part in parts]) for end in (0, 1))
        seen = (any(part[flag] for part in parts) for flag in (2, 3))
        return cls(low.min(axis=0), high.max(axis=0), *seen)


@dataclass(frozen=True)
class _Look:
    """Task: what is to be seen of a chunk."""

    settings: _Settings
    mask: NDArray[np.bool_] | None

    def __call__(self, pieces: Sequence[NDArray[Any]]) -> _Extremes:
        pixels, axis = _with_all_channels(pieces, self.settings.channel_axis), self.settings.channel_axis
        if 0 in pixels.shape:
            nothing = np.full(self.settings.channels, np.inf)
            return _Extremes(nothing, -nothing, False, False)
        region = None if self.mask is None else self.mask.copy()
        seen = arguments.look(pixels, axis, self.settings.channels, region)
        hides = seen.region is not None and not np.array_equal(
            seen.region, np.ones(seen.region.shape, bool) if self.mask is None else self.mask
        )
        return _Extremes(seen.low, seen.high, seen.has_nan, hides)


@dataclass(frozen=True)
class _Range:
    """Task: the range of the image, ``(2, C)``."""

    settings: _Settings

    def __call__(self, parts: Sequence[_Extremes]) -> NDArray[np.float64]:
        seen = _Extremes.joined(parts)
        if seen.has_nan:
            raise ValueError(f"image holds NaN, which would be outside the mask: {_ELSE}")
        if seen.has_hidden:
            raise ValueError(f"image is masked or transparent somewhere, which would be outside: {_ELSE}")
        low, high = arguments.checked_extremes(self.settings.dtype, seen.low, seen.high)
        limits = self.settings.options.intensity_range
        if limits is not None:
            low, high = (np.full(self.settings.channels, float(limit)) for limit in limits)
        return np.stack([low, high])


@dataclass(frozen=True)
class _Label:
    """Task: the pieces of a window, compressed, and its part of the table."""

    settings: _Settings
    grid: Grid
    tile: Tile
    reads: Window  # pixels of the image
    chunks: tuple[Window, ...]  # of what is handed over
    mask: NDArray[np.bool_] | None  # of what is labelled

    def __call__(
        self, pieces: Sequence[Sequence[NDArray[Any]]], limits: NDArray[np.float64]
    ) -> tuple[Packed, _Gathered]:
        settings = self.settings
        network = pipeline.load_prepared(settings.options)
        picture = Picture(self._pixels(pieces), settings.channel_axis, self._mask(), *limits)
        with one_at_a_time(network.device.type):
            found = label_window(predictor(network), picture, self.grid, self.tile, lambda: None)
        return pack(found.ids), _Gathered(found.table, found.beyond, found.rim)

    def _pixels(self, pieces: Sequence[Sequence[NDArray[Any]]]) -> Any:
        """What the window reads, of all channels."""
        axis, axes = self.settings.channel_axis, self.settings.axes
        shape = list(self.settings.shape)
        for at, side in zip(axes, self.reads.shape, strict=True):
            shape[at] = side
        whole = np.empty(shape, self.settings.dtype)
        for chunk, each in zip(self.chunks, pieces, strict=True):
            common = _common(chunk, self.reads)
            if common is not None:
                part = _with_all_channels(each, axis)[_key(common.inside(chunk), axis)]
                whole[_key(common.inside(self.reads), axis)] = part
        return Part(whole, axes, self.reads, self.settings.shape)

    def _mask(self) -> Any:
        if self.mask is None:
            return None
        plane = tuple(self.settings.shape[axis] for axis in self.settings.axes)
        return Part(self.mask, (0, 1), self.tile.labelled, plane)


class _Gathered(NamedTuple):
    """What the table is made of."""

    table: RegionTable
    beyond: NDArray[np.int32]
    rim: NDArray[np.int32]


@dataclass(frozen=True)
class _Merge:
    """Task: the labels of the pieces of each window."""

    settings: _Settings
    grid: Grid
    cores: tuple[Window, ...]

    def __call__(self, parts: Sequence[_Gathered]) -> list[Labels]:
        options, rule = self.settings.options, None
        if options.method == "hierarchy":
            rule = pipeline.crumb_rule(self.grid, options.n_segments, 1.0, options)
        base, rows = self._assembled(parts, rule)
        if not base.gives(options.n_segments):  # of a small mask, for example
            base, rows = self._assembled(parts, None)
        labels = self._labels(base)
        return [labels_of_pieces(labels, each) for each in rows]

    def _assembled(
        self, parts: Sequence[_Gathered], rule: Rule | None
    ) -> tuple[Base, list[NDArray[np.int32]]]:
        """The base of all windows, without pixels, and the rows in its table of the pieces of each."""
        assembly: Assembly | None = None
        rows = list[NDArray[np.int32]]()
        for _, band in groupby(zip(self.cores, parts, strict=True), key=lambda each: each[0].top):
            for core, (table, beyond, rim) in band:
                if assembly is None:
                    width = self.settings.shape[self.settings.axes[1]]
                    assembly = Assembly(width, table.colour.shape[1], table.lines.shape[1], rule)
                assembly.add(table, core, beyond, rim)
            assert assembly is not None
            rows += assembly.end_band()
        assert assembly is not None, "a mask holds a pixel"
        base = Base(np.empty((0, 0), np.int32), assembly.table(), self.grid, joined=assembly.joined())
        return base, rows

    def _labels(self, base: Base) -> Labels:
        options, found = self.settings.options, len(base.regions)
        if options.method == "lattice":
            return pipeline.lattice_table(base.regions, options)
        if found < options.n_segments:
            raise ValueError(
                f"n_segments must be at most {found}, the regions that were found in this dask array, got "
                f"{options.n_segments}; with out= a finer lattice is tried"
            )
        return pipeline.label_table(base, options)


@dataclass(frozen=True)
class _LookUp:
    """Task: the labels of a chunk."""

    chunk: Window
    cores: tuple[Window, ...]
    outside: int
    dtype: type[np.signedinteger[Any]]

    def __call__(self, pieces: Sequence[Packed], tables: Sequence[Labels]) -> Labels:
        labels: Labels = np.full(self.chunk.shape, self.outside, self.dtype)
        for core, packed, table in zip(self.cores, pieces, tables, strict=True):
            common = _common(core, self.chunk)
            if common is None:  # an empty chunk
                continue
            ids = np.ascontiguousarray(unpack(packed)[common.inside(core)], np.int32)
            labels[common.inside(self.chunk)] = look_up(table, ids)
        return labels


def _with_all_channels(pieces: Sequence[NDArray[Any]], axis: int | None) -> NDArray[Any]:
    """A chunk of its pieces, which have some channels each."""
    if len(pieces) == 1 or axis is None:
        return pieces[0]
    is_masked = any(isinstance(piece, np.ma.MaskedArray) for piece in pieces)
    concatenate: Any = np.ma.concatenate if is_masked else np.concatenate  # the former has no types
    whole: NDArray[Any] = concatenate(pieces, axis)
    return whole


def _key(plane: tuple[slice, slice], channel_axis: int | None) -> tuple[slice, ...]:
    """An index of rows and columns, and of all channels."""
    key = list(plane)
    if channel_axis is not None:
        key.insert(channel_axis, slice(None))
    return tuple(key)


def _common(one: Window, other: Window) -> Window | None:
    """What two windows share."""
    top, left = (max(pair) for pair in zip(one[:2], other[:2], strict=True))
    bottom, right = (min(pair) for pair in zip(one[2:], other[2:], strict=True))
    return Window(top, left, bottom, right) if top < bottom and left < right else None


def _union(one: Window, other: Window) -> Window:
    """The smallest window that holds both."""
    top, left = (min(pair) for pair in zip(one[:2], other[:2], strict=True))
    bottom, right = (max(pair) for pair in zip(one[2:], other[2:], strict=True))
    return Window(top, left, bottom, right)
