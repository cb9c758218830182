"""An array that is read block by block, so that each chunk of a store is decoded about once.

Windows overlap, and what is computed of one is read strip by strip. A compressed store would decode the
chunks that a strip touches each time; here the latest ones are kept, as far as there is room.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, product
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.grid import Window

KEPT_BYTES = 1 << 28
"""Blocks that are kept: of RGB 2,700 rows of a picture 32,768 pixels wide, more than two bands of windows."""

READ_BYTES = 1 << 26
"""About as much is read in one slice, so that a store can decode chunks side by side."""

BLOCK_PX = (512, 4096)
"""Rows and columns of the blocks of an array that does not tell its chunks."""


class Place(NamedTuple):
    """Which block: counted along rows and along columns."""

    row: int
    column: int


class Blocks:
    """A plane whose blocks are kept for a while; threads may share it, and one at a time reads the array.

    Parameters
    ----------
    pixels : array
        ``(H, W)``, or three-dimensional with `channel_axis`; anything with shape, dtype and slicing. The
        blocks are its ``chunks``, if it has some, with all channels.
    channel_axis : int or None
    kept_bytes : int
        Most that is kept; the latest block always is.

    Attributes
    ----------
    masks_parts : bool
        Whether some blocks may be masked arrays and others not, as those that dask computes.
    """

    def __init__(self, pixels: Any, channel_axis: int | None, kept_bytes: int = KEPT_BYTES) -> None:
        self.shape: tuple[int, ...] = tuple(map(int, pixels.shape))
        self.dtype: np.dtype[Any] = pixels.dtype
        self.masks_parts = hasattr(pixels, "__dask_graph__")
        self._pixels, self._channel_axis, self._most_bytes = pixels, channel_axis, kept_bytes
        self._axes = [axis for axis in range(len(self.shape)) if axis != channel_axis]
        chunks = chunks_of(pixels) or dict(zip(self._axes, BLOCK_PX, strict=True))
        self._edges = [_edges(self.shape[axis], chunks[axis]) for axis in self._axes]
        self._kept: OrderedDict[Place, NDArray[Any]] = OrderedDict()
        self._kept_bytes = 0
        self._under_way = set[Place]()  # blocks that a thread reads
        self._changed = threading.Condition()  # of these three
        self._reading = threading.Lock()

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part, of a slice without a step for each axis; all channels are read for any."""
        spans = [range(self.shape[axis])[key[axis]] for axis in self._axes]
        rows, columns = self._counts(spans)
        places = map(Place._make, product(rows, columns))
        blocks = {place: self._block(place, columns.stop) for place in places}
        shape = list(self.shape)
        for axis, span in zip(self._axes, spans, strict=True):
            shape[axis] = len(span)
        is_masked = any(isinstance(block, np.ma.MaskedArray) for block in blocks.values())
        part: NDArray[Any] = (np.ma.zeros if is_masked else np.empty)(shape, self.dtype)
        for place, block in blocks.items():
            common = [
                (max(edges[at], span.start), min(edges[at + 1], span.stop))
                for edges, at, span in zip(self._edges, place, spans, strict=True)
            ]
            part[self._key(common, [span.start for span in spans])] = block[
                self._key(common, [edges[at] for edges, at in zip(self._edges, place, strict=True)])
            ]
        self._shrink()
        if self._channel_axis is None:
            return part
        return part[(slice(None),) * self._channel_axis + (key[self._channel_axis],)]

    def forget(self) -> None:
        """Let go of all blocks."""
        with self._changed:
            self._kept.clear()
            self._kept_bytes = 0

    def load(self, window: Window) -> None:
        """Read the blocks of a window, if as many again could be kept, so that they are there when asked for.

        Whatever stands against it is left to the thread that will ask.
        """
        counts = self._counts([range(window.top, window.bottom), range(window.left, window.right)])
        height, width = (
            edges[span.stop] - edges[span.start] for edges, span in zip(self._edges, counts, strict=True)
        )
        if 2 * height * width * self._pixel_bytes > self._most_bytes:
            return
        for place in map(Place._make, product(*counts)):
            self._block(place, counts[1].stop)
        self._shrink()

    @property
    def _pixel_bytes(self) -> int:
        """Bytes of a pixel of all channels."""
        channels = 1 if self._channel_axis is None else self.shape[self._channel_axis]
        return channels * self.dtype.itemsize

    def _counts(self, spans: Sequence[range]) -> list[range]:
        """Blocks that rows and columns touch, along each axis."""
        return [
            range(
                int(np.searchsorted(edges, span.start, "right")) - 1, int(np.searchsorted(edges, span.stop))
            )
            for edges, span in zip(self._edges, spans, strict=True)
        ]

    def _block(self, place: Place, stop: int) -> NDArray[Any]:
        """A block; if it is not kept, it is read with those that follow it in its row, before `stop`."""
        with self._changed:
            while place in self._under_way:
                self._changed.wait()
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
            run = self._run(place, stop)
            self._under_way.update(run)
        read = dict[Place, NDArray[Any]]()
        try:
            read = self._read(run)
        finally:  # one that failed is read again by the thread that waits for it, which is told why
            with self._changed:
                self._under_way.difference_update(run)
                self._kept.update(read)
                self._kept_bytes += sum(block.nbytes for block in read.values())
                self._changed.notify_all()
        return read[place]

    def _run(self, first: Place, stop: int) -> list[Place]:
        """Blocks that are read as one: those that follow in the row, before `stop`, and are not there."""
        rows, columns = self._edges
        height, left = rows[first.row + 1] - rows[first.row], columns[first.column]
        run = [first]
        for column in range(first.column + 1, stop):
            is_much = height * (columns[column + 1] - left) * self._pixel_bytes > READ_BYTES
            if is_much or (first.row, column) in self._kept or (first.row, column) in self._under_way:
                break
            run.append(Place(first.row, column))
        return run

    def _read(self, run: Sequence[Place]) -> dict[Place, NDArray[Any]]:
        """Read blocks that follow each other in a row."""
        rows, columns = self._edges
        first, last = run[0], run[-1]
        top, bottom, left = rows[first.row], rows[first.row + 1], columns[first.column]
        with self._reading:
            read = in_memory(
                self._pixels[self._key([(top, bottom), (left, columns[last.column + 1])], (0, 0))]
            )
        blocks = dict[Place, NDArray[Any]]()
        for place in run:
            span = columns[place.column], columns[place.column + 1]
            block = read[self._key([(top, bottom), span], (top, left))]
            blocks[place] = block.copy() if len(run) > 1 else block
        return blocks

    def _shrink(self) -> None:
        """Let go of the blocks that were not used for longest."""
        with self._changed:
            while self._kept_bytes > self._most_bytes and len(self._kept) > 1:
                _, block = self._kept.popitem(last=False)
                self._kept_bytes -= block.nbytes

    def _key(self, spans: Sequence[tuple[int, int]], origin: Sequence[int]) -> tuple[slice, ...]:
        """An index of rows and columns that count from an origin, and of all channels."""
        key = [slice(start - first, stop - first) for (start, stop), first in zip(spans, origin, strict=True)]
        if self._channel_axis is not None:
            key.insert(self._channel_axis, slice(None))
        return tuple(key)


class ReadingAhead:
    """A thread that reads blocks before they are asked for, while another one computes.

    Used in a ``with`` statement; it ends with that, after what it is at.

    Parameters
    ----------
    pixels : array
        Of anything but `Blocks` nothing is read.
    """

    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels
        self._thread = ThreadPoolExecutor(1, "reading ahead") if isinstance(pixels, Blocks) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def begin(self, window: Window) -> Future[None] | None:
        """Begin to read a window; what fails is told to whoever asks for its pixels."""
        return None if self._thread is None else self._thread.submit(self._pixels.load, window)


@dataclass(frozen=True)
class Part:
    """An array of which a part is there, sliced by places in the whole; all channels are asked for."""

    values: NDArray[Any]
    axes: tuple[int, ...]  # of rows and columns
    window: Window  # of `values` in the whole
    shape: tuple[int, ...]  # of the whole

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values."""
        kind: np.dtype[Any] = self.values.dtype
        return kind

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        moved = list(key)
        for axis, first in zip(self.axes, self.window[:2], strict=True):
            moved[axis] = slice(key[axis].start - first, key[axis].stop - first)
        part: NDArray[Any] = self.values[tuple(moved)]
        return part


def in_memory(part: Any) -> NDArray[Any]:
    """Load what slicing gave. A masked array stays one, one of dask's, too, whose mask ``asarray`` drops."""
    loaded = part.compute() if hasattr(part, "compute") else part
    return loaded if isinstance(loaded, np.ndarray) else np.asarray(loaded)


Chunks = tuple[int | tuple[int, ...], ...]
"""The chunks of an array along each axis: one length, as zarr says it, or all of them, as dask does."""


def chunks_of(pixels: Any) -> Chunks | None:
    """The chunks of an array; None if it does not tell them."""
    chunks = getattr(pixels, "chunks", None)
    if not isinstance(chunks, tuple) or len(chunks) != len(pixels.shape):
        return None
    return chunks


def chunks_within(side: int, chunk: int | Sequence[int], span: slice) -> tuple[int, ...]:
    """The chunks of a part of an axis."""
    edges = [span.start, *(edge for edge in _edges(side, chunk) if span.start < edge < span.stop), span.stop]
    return tuple(int(length) for length in np.diff(edges))


def _edges(side: int, chunk: int | Sequence[int]) -> list[int]:
    """Where blocks of an axis begin, and where the last one ends."""
    if isinstance(chunk, int | np.integer):
        return [*range(0, side, max(1, int(chunk))), side]
    return [0, *accumulate(map(int, chunk))]
