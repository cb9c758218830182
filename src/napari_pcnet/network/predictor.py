"""A prepared network at work on one window: what each pixel chooses, and where boundaries run.

The trunk, on 1/16 of the pixels, runs on a whole window; the stem before it and the tail behind it run in
strips of rows, so memory is a few numbers for each work pixel of a window.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_pcnet.geometry.grid import STRIDE, Grid, Window, id_parts, raw_ids
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture
from napari_pcnet.geometry.tiling import Tile
from napari_pcnet.merging import connectivity, passes
from napari_pcnet.network import whole_numbers
from napari_pcnet.network.association import NEIGHBOURS, confidence, neighbour_argmax
from napari_pcnet.network.model import Trunk
from napari_pcnet.network.prepared import PreparedNetwork, WholeNetwork
from napari_pcnet.network.reach import needed
from napari_pcnet.stages import stage

STRIP_PX = 1 << 17
"""Work pixels in a strip; the paper's tail holds 57 numbers for each, 16 + 16 + 16 + 9."""


RANK_BITS = 4
"""For the place of a neighbour among nine, below its logit."""


class Labelled(NamedTuple):
    """Output of the network for a window of the image."""

    raw: NDArray[np.int32]  # (h, w) raw ids, `connectivity.OUTSIDE` outside the mask
    confidence: NDArray[np.float32] | None  # (h, w) in whole steps, 0 to COLOUR_STEPS
    boundary: NDArray[np.float32] | None  # (h, w) boundary probability, in the same steps


class LabelledTensors(NamedTuple):
    """The same on the network's device."""

    raw: Tensor  # (h, w) int32
    confidence: Tensor | None  # (h, w) float32
    boundary: Tensor | None  # (h, w) float32


class Strip(NamedTuple):
    """Output of the network for a strip of work pixels."""

    neighbour: Tensor  # (h, w) uint8 chosen neighbour, 0 to 8
    confidence: Tensor | None  # (h, w) float32, as in `Labelled`
    boundary: Tensor | None  # (h, w) float32


Values = TypeVar("Values", NDArray[Any], Tensor)


class Share(NamedTuple):
    """What a strip of work pixels says of the pixels of a labelled window."""

    place: slice  # rows of the labelled window
    rows: NDArray[np.int64]  # (h,) their work positions
    columns: NDArray[np.int64]  # (w,)
    strip: Window

    def pick(self, values: Values) -> Values:
        """Values of these pixels, of those of the strip; a view where their work pixels follow each other."""
        return _pick(values, self.rows - self.strip.top, self.columns - self.strip.left)


TrunkOutput = TypeVar("TrunkOutput")


class Predictor(ABC, Generic[TrunkOutput]):
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
        self.with_boundary = self.model.boundary is not None

    def raw_labels(
        self, picture: Picture, grid: Grid, tile: Tile, strip_done: Callable[[], None]
    ) -> Labelled:
        """Label the labelled window of a tile."""
        found = self._labelled(picture, grid, tile, strip_done, on_cpu=True)
        return Labelled(found.raw.numpy(), _as_array(found.confidence), _as_array(found.boundary))

    def raw_tensors(
        self, picture: Picture, grid: Grid, tile: Tile, strip_done: Callable[[], None]
    ) -> LabelledTensors:
        """The same on the network's device, from where nothing is brought to the CPU."""
        return self._labelled(picture, grid, tile, strip_done, on_cpu=False)

    def _labelled(
        self, picture: Picture, grid: Grid, tile: Tile, strip_done: Callable[[], None], on_cpu: bool
    ) -> LabelledTensors:
        """Label the labelled window of a tile; on the CPU numpy or compiled passes do what they can."""
        device, shape = torch.device("cpu") if on_cpu else self.prepared.device, tile.labelled.shape
        ids_of = _raw_ids if on_cpu else _raw_ids_of_tensors
        with torch.inference_mode(), _own_arithmetic(self.prepared.device):
            with stage("trunk"):
                trunk = self.trunk(picture, grid, tile.read)
            ids = torch.empty(shape, dtype=torch.int32, device=device)
            certainty, boundary = (
                torch.empty(shape, dtype=torch.float32, device=device) if wanted else None
                for wanted in (self.with_confidence, self.with_boundary)
            )
            for strip, share in _shares(grid, tile):
                with stage("tail"):
                    found = self.strip(picture, grid, trunk, tile, strip, on_cpu)
                    if share is not None:
                        ids[share.place] = ids_of(share, found.neighbour.to(device), grid)
                        if certainty is not None and found.confidence is not None:
                            certainty[share.place] = share.pick(found.confidence.to(device))
                        if boundary is not None and found.boundary is not None:
                            boundary[share.place] = share.pick(found.boundary.to(device))
                strip_done()
            mask = picture.read_mask(tile.labelled)
            if mask is not None:
                ids.masked_fill_(torch.from_numpy(~mask).to(device), connectivity.OUTSIDE)
        return LabelledTensors(ids, certainty, boundary)

    @abstractmethod
    def trunk(self, picture: Picture, grid: Grid, read: Window) -> TrunkOutput:
        """Encode and decode a window."""

    @abstractmethod
    def first_rows(self, picture: Picture, grid: Grid, read: Window, strip: Window) -> Tensor:
        """The first layer of a strip of a window, ``(1, C, h, w)``."""

    @abstractmethod
    def strip(
        self, picture: Picture, grid: Grid, trunk: TrunkOutput, tile: Tile, strip: Window, on_cpu: bool
    ) -> Strip:
        """Associate a strip of a window; what follows the network may be done by numpy, on the CPU."""

    def _first(self, picture: Picture, grid: Grid, read: Window) -> Tensor:
        """The first layer of a window, in strips: the frame itself is never held whole."""
        first: Tensor | None = None
        height, width = (side // self.reduction for side in read.shape)
        for strip in strips(read):
            reduced = self.first_rows(picture, grid, read, strip)
            if first is None:
                first = reduced.new_empty((1, height, width, reduced.shape[1]))
            top = (strip.top - read.top) // self.reduction
            first[:, top : top + reduced.shape[2]] = reduced.permute(0, 2, 3, 1)
        assert first is not None, "a window has rows"
        return first.permute(0, 3, 1, 2)

    def _blocks(self, strip: Window, tile: Tile) -> list[slice]:
        """Rows and columns of the blocks of a strip, in the output of the trunk."""
        ratio = self.reduction
        return [slice(span.start // ratio, span.stop // ratio) for span in strip.inside(tile.read)]


def predictor(prepared: PreparedNetwork, confidence: bool = False) -> Predictor[Any]:
    """The predictor of a network, in whole numbers if it has them."""
    if prepared.whole is not None:
        return WholePredictor(prepared, prepared.whole, confidence)
    return FloatPredictor(prepared, confidence)


class FloatPredictor(Predictor[Trunk]):
    """A network in floats at work."""

    def trunk(self, picture: Picture, grid: Grid, read: Window) -> Trunk:
        """Encode and decode a window."""
        return self.model.trunk_from_first(self._first(picture, grid, read))

    def strip(
        self,
        picture: Picture,
        grid: Grid,
        trunk: Trunk,
        tile: Tile,
        strip: Window,
        on_cpu: bool,  # noqa: ARG002  # only logits in whole numbers have passes of numpy
    ) -> Strip:
        """Associate a strip of a window."""
        if self.model.config.block:
            logits = self._block_logits(trunk.features, tile, strip, grid)
        else:
            logits = self._tail(picture, trunk.features, tile, strip, grid)
        _mask_rim(logits, grid.lattice, (strip.top // grid.cell, strip.left // grid.cell), grid.cell)
        return Strip(
            neighbour_argmax(logits)[0].to(torch.uint8),
            _in_steps(confidence(logits)[0]) if self.with_confidence else None,
            self._boundary(trunk, tile, strip),
        )

    def _boundary(self, trunk: Trunk, tile: Tile, strip: Window) -> Tensor | None:
        """Boundary probability of each work pixel of a strip, in whole steps."""
        if trunk.boundary is None:
            return None
        rows, columns = self._blocks(strip, tile)
        logits = self.model.boundary_map(trunk._replace(boundary=trunk.boundary[:, :, rows, columns]))
        assert logits is not None
        return _in_steps(logits[0, 0].sigmoid())

    def first_rows(self, picture: Picture, grid: Grid, read: Window, strip: Window) -> Tensor:
        """Stem and first convolution of a strip of a window, ``(1, C, h, w)``."""
        ratio = self.reduction
        rows = slice((strip.top - read.top) // ratio, (strip.bottom - read.top) // ratio)
        input_rows = needed(self._stem, rows, read.bottom - read.top)
        wide = Window(read.top + input_rows.start, read.left, read.top + input_rows.stop, read.right)
        reduced = self._stem(self._pixels(picture, grid, wide) - self.model.mean)
        begin = (strip.top - wide.top) // ratio
        return reduced[:, :, begin : begin + rows.stop - rows.start]

    def _stem(self, image: Tensor) -> Tensor:
        """Stem and first convolution."""
        first: Tensor = self.model.first(self.model.stem(image))
        return first

    def _block_logits(self, features: Tensor, tile: Tile, strip: Window, grid: Grid) -> Tensor:
        """Logits of the association of a strip's work pixels, ``(1, 9, h, w)``, predicted for blocks."""
        inside = self._blocks(strip, tile)
        wide = _needed(self.model.block, inside, features.shape[-2:])
        hidden = _crop(self.model.block(features[:, :, wide[0], wide[1]]), wide, inside)
        head = self.model.heads[self.model.config.cells.index(grid.cell)]
        return self.model.to_pixels(head(hidden))

    def _tail(self, picture: Picture, features: Tensor, tile: Tile, strip: Window, grid: Grid) -> Tensor:
        """The same of the paper's tail.

        Each layer of the tail is computed on no more than the next one needs.
        """
        ratio = self.reduction
        inside = list(strip.inside(tile.read))
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


class WholeTrunk(NamedTuple):
    """Output of the trunk in whole numbers, for every block of work pixels."""

    features: Tensor  # (1, C, h, w) uint8
    boundary: Tensor | None  # (1, reduction**2, h, w) uint8


class WholeLogits(NamedTuple):
    """Logits of the blocks of a strip, 0 to 255."""

    codes: Tensor  # (h, w, 9, n) uint8, of the association of the n pixels of each block
    boundary: Tensor | None  # (h, w, n) uint8


class WholePredictor(Predictor[WholeTrunk]):
    """A network in whole numbers at work.

    Parameters
    ----------
    prepared : PreparedNetwork
    whole : WholeNetwork
    confidence : bool
    """

    def __init__(self, prepared: PreparedNetwork, whole: WholeNetwork, confidence: bool = False) -> None:
        super().__init__(prepared, confidence)
        self.whole = whole
        self.levels, self.layers = len(self.model.config.widths), len(self.model.config.block)
        self._steps = torch.from_numpy(whole.steps).to(prepared.device)

    def trunk(self, picture: Picture, grid: Grid, read: Window) -> WholeTrunk:
        """Encode and decode a window."""
        features, context = self._decoded(picture, grid, read)
        if context is None:
            return WholeTrunk(features, None)
        return WholeTrunk(features, whole_numbers.boundary_logits(self.whole.computed, context))

    def embedding(self, picture: Picture, grid: Grid, read: Window) -> NDArray[np.uint8]:
        """Features of each block of a window of the work frame, ``(h, w, C)``.

        They are those that boundaries are predicted from, of all levels; without a decoder of boundaries
        those that the association is predicted from.
        """
        with torch.inference_mode(), _own_arithmetic(self.prepared.device):
            features, context = self._decoded(picture, grid, read)
            seen: NDArray[np.uint8] = _by_block(features if context is None else context).cpu().numpy()
        return seen

    def _decoded(self, picture: Picture, grid: Grid, read: Window) -> tuple[Tensor, Tensor | None]:
        first = self._first(picture, grid, read)
        return whole_numbers.trunk(self.whole.computed, first, self.levels, self.with_boundary)

    def strip(
        self,
        picture: Picture,  # noqa: ARG002  # only a guide reads it
        grid: Grid,
        trunk: WholeTrunk,
        tile: Tile,
        strip: Window,
        on_cpu: bool,
    ) -> Strip:
        """Associate a strip of a window."""
        (codes, of_boundary), inside = self._logits(grid, trunk, tile, strip), self._inside(grid, strip)
        boundary = None
        if on_cpu:
            codes = codes.cpu()
            neighbour = torch.from_numpy(_choices(codes.numpy(), inside))
            if of_boundary is not None:
                shares = self.whole.steps.take(_to_pixels(of_boundary.cpu().numpy()))
                boundary = torch.from_numpy(shares)
        else:
            neighbour = _choices_of_tensors(codes, inside)
            if of_boundary is not None:
                boundary = self._steps[_to_pixels(of_boundary).long()]
        return Strip(
            neighbour, self._confidence(codes, inside, grid) if self.with_confidence else None, boundary
        )

    def _logits(self, grid: Grid, trunk: WholeTrunk, tile: Tile, strip: Window) -> WholeLogits:
        """Apply the layers behind the trunk to a strip of a window."""
        rows, columns = self._blocks(strip, tile)
        height, width = trunk.features.shape[-2:]
        reach = self.layers  # 3 x 3 convolutions
        top, left = max(0, rows.start - reach), max(0, columns.start - reach)
        bottom, right = min(height, rows.stop + reach), min(width, columns.stop + reach)
        hidden = trunk.features[:, :, top:bottom, left:right]
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for layer in range(self.layers):
            hidden = self.whole.computed.layer(f"block.{layer}", hidden)
        hidden = hidden[:, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        head = f"heads.{self.model.config.cells.index(grid.cell)}"
        codes = _by_block(self.whole.computed.layer(head, hidden))
        codes = codes.reshape(*codes.shape[:2], NEIGHBOURS, self.reduction**2)
        boundary = None if trunk.boundary is None else _by_block(trunk.boundary[:, :, rows, columns])
        return WholeLogits(codes, boundary)

    def first_rows(self, picture: Picture, grid: Grid, read: Window, strip: Window) -> Tensor:
        """The first layer of a strip of a window, ``(1, C, h, w)``."""
        ratio = self.reduction
        top, bottom = max(read.top, strip.top - ratio), min(read.bottom, strip.bottom + ratio)
        with stage("reading"):
            pixels = picture.read_work(grid, Window(top, read.left, bottom, read.right), np.uint8)
        framed = np.empty((strip.bottom - strip.top + 2 * ratio, pixels.shape[1] + 2 * ratio, 3), np.uint8)
        begin = top - (strip.top - ratio)
        end = begin + len(pixels)
        framed[begin:end, ratio:-ratio] = pixels
        for beyond in (framed[:begin], framed[end:], framed[:, :ratio], framed[:, -ratio:]):
            beyond[:] = self.whole.rim
        image = torch.from_numpy(framed).permute(2, 0, 1)[None].to(self.prepared.device)
        return self.whole.computed.layer("first", image)

    def _inside(self, grid: Grid, strip: Window) -> Inside:
        """Which neighbours of the blocks of a strip lie in the lattice; of the padding all count."""
        side = grid.cell // self.reduction
        inside = []
        for cells, start, stop in zip(grid.lattice, strip[:2], strip[2:], strict=True):
            own = np.arange(start // self.reduction, stop // self.reduction) // side
            neighbours = own[:, None] + np.arange(-1, 2)
            inside.append(((neighbours >= 0) & (neighbours < cells)) | (own >= cells)[:, None])
        return Inside(*inside)

    def _confidence(self, codes: Tensor, inside: Inside, grid: Grid) -> Tensor:
        """Confidence of each pixel of blocks, ``(h * side, w * side)``, in whole steps.

        It is computed in floats, so devices may differ by a step; no label hangs on it.
        """
        scale = float(self.whole.logit_scales[self.model.config.cells.index(grid.cell)])
        logits = (codes.float() * scale).masked_fill_(~_inside_tensor(inside, codes.device), -math.inf)
        of_pixels = logits.permute(2, 0, 1, 3).reshape(1, NEIGHBOURS, -1, codes.shape[-1])
        return _to_pixels(_in_steps(confidence(of_pixels)[0]).reshape(*codes.shape[:2], -1))


class Inside(NamedTuple):
    """Which neighbours of blocks lie in the lattice: one does if its row and its column do."""

    rows: NDArray[np.bool_]  # (h, 3)
    columns: NDArray[np.bool_]  # (w, 3)


def _choices(codes: NDArray[np.uint8], inside: Inside) -> NDArray[np.uint8]:
    """The neighbour that each pixel of blocks chooses: that of the largest logit, the first of equal ones.

    Parameters
    ----------
    codes : (h, w, 9, n) uint8 array
        Logits of the n pixels of each block.
    inside : Inside
        Neighbours that can be chosen.

    Returns
    -------
    (h * side, w * side) uint8 array
        Pixel by pixel.
    """
    height, width, _, pixels = codes.shape
    fast = passes.compiled()
    if fast is not None:
        side = math.isqrt(pixels)
        chosen = np.empty((height * side, width * side), np.uint8)
        fast.choose(codes, inside.rows, inside.columns, side, chosen)
        return chosen
    best = np.zeros((height, width, pixels), np.uint16)
    for k, (rows, columns) in enumerate(product(inside.rows.T, inside.columns.T)):
        ranked = codes[:, :, k].astype(np.uint16)
        ranked += 1
        ranked <<= RANK_BITS
        ranked |= NEIGHBOURS - 1 - k
        ranked[~rows], ranked[:, ~columns] = 0, 0
        np.maximum(best, ranked, out=best)
    return _to_pixels((NEIGHBOURS - 1 - (best & ((1 << RANK_BITS) - 1))).astype(np.uint8))


def _choices_of_tensors(codes: Tensor, inside: Inside) -> Tensor:
    """The same of tensors."""
    ranked = codes.to(torch.int16).add_(1).mul_(1 << RANK_BITS)
    ranked += torch.arange(NEIGHBOURS - 1, -1, -1, dtype=torch.int16, device=codes.device)[:, None]
    ranked.masked_fill_(~_inside_tensor(inside, codes.device), 0)
    best = ranked.amax(dim=2)
    return _to_pixels((NEIGHBOURS - 1 - (best & ((1 << RANK_BITS) - 1))).to(torch.uint8))


def _inside_tensor(inside: Inside, device: torch.device) -> Tensor:
    """Which neighbours of each block lie in the lattice, ``(h, w, 9, 1)``."""
    rows, columns = (torch.from_numpy(each).to(device) for each in inside)
    both = rows[:, None, :, None] & columns[None, :, None, :]
    return both.reshape(*both.shape[:2], NEIGHBOURS, 1)


def _raw_ids(share: Share, neighbour: Tensor, grid: Grid) -> Tensor:
    """`raw_ids` of what a strip says of the pixels of a labelled window, ``(h, w)`` int32."""
    return torch.from_numpy(raw_ids(share.pick(neighbour.numpy()), share.rows, share.columns, grid))


def _raw_ids_of_tensors(share: Share, neighbour: Tensor, grid: Grid) -> Tensor:
    """The same on any device."""
    parts = id_parts(share.rows, share.columns, grid)
    steps, rows, columns = (torch.from_numpy(each).to(neighbour.device) for each in parts)
    ids = steps[share.pick(neighbour).long()]
    ids += rows[:, None]
    ids += columns[None, :]
    return ids


def _to_pixels(blocks: Values) -> Values:
    """Lay out the pixels of blocks, ``(h, w, side**2)``, as ``(h * side, w * side)``."""
    height, width, pixels = blocks.shape
    side = math.isqrt(pixels)
    return blocks.reshape(height, width, side, side).swapaxes(1, 2).reshape(height * side, width * side)


def _by_block(values: Tensor) -> Tensor:
    """``(1, C, h, w)`` to ``(h, w, C)``."""
    return values[0].permute(1, 2, 0)


def _in_steps(shares: Tensor) -> Tensor:
    """Shares from 0 to 1 in whole steps of 1 / `COLOUR_STEPS`, float32."""
    wide = shares.float() if shares.dtype in (torch.bfloat16, torch.float16) else shares
    steps = (wide * COLOUR_STEPS).round()  # float16 ends at 65504
    return steps.to(torch.float32)


def _as_array(values: Tensor | None) -> NDArray[np.float32] | None:
    return None if values is None else values.numpy()


def _needed(layer: Callable[[Tensor], Tensor], spans: Sequence[slice], sides: Sequence[int]) -> list[slice]:
    """Rows and columns that a layer needs for those of its output, of an input with these sides."""
    return [needed(layer, span, side) for span, side in zip(spans, sides, strict=True)]


def _crop(values: Tensor, have: Sequence[slice], need: Sequence[slice]) -> Tensor:
    """Cut the rows and columns `need` out of a tensor that holds those of `have`."""
    rows, columns = (slice(n.start - h.start, n.stop - h.start) for n, h in zip(need, have, strict=True))
    return values[:, :, rows, columns]


def strips(window: Window) -> Iterator[Window]:
    """Cut a window of the work frame into strips of rows, on multiples of 64."""
    width = max(1, window.right - window.left)
    rows = max(STRIDE, STRIP_PX // width // STRIDE * STRIDE)
    for top in range(window.top, window.bottom, rows):
        yield Window(top, window.left, min(top + rows, window.bottom), window.right)


def _shares(grid: Grid, tile: Tile) -> Iterator[tuple[Window, Share | None]]:
    """The strips of a tile, and what each says of the labelled window; None if nothing."""
    rows, columns = (grid.work_position(axis) for axis in (0, 1))
    columns = columns[tile.labelled.left : tile.labelled.right]
    for strip in strips(tile.tail):
        first, last = np.searchsorted(rows, [strip.top, strip.bottom])
        first, last = max(first, tile.labelled.top), min(last, tile.labelled.bottom)
        place = slice(first - tile.labelled.top, last - tile.labelled.top)
        yield strip, Share(place, rows[first:last], columns, strip) if first < last else None


def _pick(values: Values, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Values:
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


@contextmanager
def _own_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute without a caller's autocast and without CUDA's TF32; settings are restored afterwards."""
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda":
            yield
            return
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
