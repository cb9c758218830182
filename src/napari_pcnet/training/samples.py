"""From pairs on disk to a batch: the global view, the local patch, and their labels.

A view is a crop of ``crop_px`` x ``crop_px`` work pixels. The *global view* shows the picture at a
random scale (in the paper: the whole picture resized to a square, which changes its aspect ratio). The
*local patch* is centred on a boundary pixel of the ground truth. A picture smaller than its crop is
extended by its mirror image, pixels and labels alike.

Labels are resampled to the nearest pixel and renumbered from 0 in each crop, which keeps one-hot maps
narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_pcnet.boundaries import boundary_pixels
from napari_pcnet.disk.datasets import Pair
from napari_pcnet.disk.image import stretched
from napari_pcnet.geometry.grid import STRIDE
from napari_pcnet.training.augment import AugmentConfig, augment
from napari_pcnet.training.processes import SINGLE, Processes

CACHE_BYTES = 2 << 30
"""Memory for decoded pictures and their labels; BSDS500 takes a third of it."""


@dataclass(frozen=True)
class SampleConfig:
    """Sampling of crops.

    Attributes
    ----------
    crop_px : int
        Side of both crops in work pixels, a multiple of 64; 512 in the paper.
    batch : int
        Global views in a batch; there are as many local patches.
    global_resize_px : int
        If positive, the whole picture is resized to this square before the crop, as in the paper
        (768), and `global_scale` is unused.
    global_scale, local_scale : tuple of float
        Smallest and largest enlargement of the picture; its logarithm is drawn uniformly.
    mirror : bool
        Mirror half of the crops left to right.
    rotate : bool
        Turn crops by a random multiple of 90 degrees: for pictures without an upright position.
    patches : bool
        Whether to draw local patches, too; without ``loss.local`` they are not needed.
    dynamic_mask : bool
        Label local patches by the dynamic mask of Eq. 4; otherwise by all their classes.
    augment : AugmentConfig
        Random changes of the colours.
    """

    crop_px: int = 256
    batch: int = 4
    global_resize_px: int = 0
    global_scale: tuple[float, float] = (0.5, 1.5)
    local_scale: tuple[float, float] = (1.0, 1.0)
    mirror: bool = True
    rotate: bool = False
    patches: bool = True
    dynamic_mask: bool = True
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if self.crop_px < STRIDE or self.crop_px % STRIDE:
            raise ValueError(f"crop_px must be a multiple of {STRIDE}, got {self.crop_px!r}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch!r}")
        # normalisation needs two values at the coarsest level
        if self.batch * (self.crop_px // STRIDE) ** 2 < 2:
            raise ValueError(f"a batch of 1 needs a crop_px of at least {2 * STRIDE}")


class Crops(NamedTuple):
    """Aligned crops of several pictures and their ground truth."""

    image: Tensor  # (B, 3, H, W) in 0..1
    labels: Tensor  # (B, H, W) int64, from 0 in each crop


class Batch(NamedTuple):
    """Input of one step of Algorithm 1."""

    whole: Crops  # G* and S_G
    patch: Crops | None  # L* and M of Eq. 4 (or S_L)


class _Decoded(NamedTuple):
    """Image and annotations of a pair, in memory."""

    image: NDArray[np.uint8]  # (H, W, 3)
    annotations: list[NDArray[np.integer]]  # (H, W) each


class _Rectangle(NamedTuple):
    """A rectangle in the picture's own pixels; it may extend beyond the picture."""

    top: int
    left: int
    height: int
    width: int


class Sampler:
    """Draws batches from pairs; the batch of a step depends on `seed` and the step alone.

    Parameters
    ----------
    pairs : sequence of Pair
        Each annotation of each image counts as one sample.
    config : SampleConfig
    seed : int
    processes : Processes, optional
        Each of several processes draws its own part of one larger batch.
    shares : sequence of float, optional
        How often an annotation of each pair is drawn, in any unit; by default all equally often.

    Raises
    ------
    ValueError
        If there are fewer samples than a batch has.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        config: SampleConfig,
        seed: int,
        processes: Processes = SINGLE,
        shares: Sequence[float] | None = None,
    ) -> None:
        self.config, self.seed, self.processes = config, seed, processes
        self.rows = [(pair, k) for pair in pairs for k in range(len(pair.annotations))]
        often = np.ones(len(pairs)) if shares is None else np.array(shares, np.float64)
        of_row = np.repeat(often, [len(pair.annotations) for pair in pairs])
        self._shares = of_row / of_row.sum()
        if config.batch * processes.size > len(self.rows):
            raise ValueError(
                f"batch must be at most {len(self.rows) // processes.size}, the number of annotations for "
                f"each process, got {config.batch}"
            )
        self._decoded: dict[Pair, _Decoded] = {}
        self._room = CACHE_BYTES

    def batch(self, step: int) -> Batch:
        """Draw the batch of one step."""
        rank, size = self.processes
        drawn = np.random.default_rng((self.seed, step)).choice(
            len(self.rows), size=self.config.batch * size, replace=False, p=self._shares
        )
        wholes, patches = [], []
        for number in range(rank, len(drawn), size):
            random = np.random.default_rng((self.seed, step, number))  # the same in every process
            pair, annotation = self.rows[drawn[number]]
            image, annotations = self._read(pair)
            labels = annotations[annotation]
            wholes.append(self._cut(image, labels, self._global_crop(labels.shape, random), random))
            if self.config.patches:
                patch = self._local_crop(labels, random)
                patches.append(self._cut(image, labels, patch, random, self.config.dynamic_mask))
        return Batch(_stack(wholes), _stack(patches) if patches else None)

    def _read(self, pair: Pair) -> _Decoded:
        """Decode a pair, and keep it while there is room: in random order any pair is worth as much."""
        if pair in self._decoded:
            return self._decoded[pair]
        decoded = _Decoded(as_network_input(pair.read_image()), pair.read_annotations())
        size = decoded.image.nbytes + sum(each.nbytes for each in decoded.annotations)
        if size <= self._room:
            self._room -= size
            self._decoded[pair] = decoded
        return decoded

    def _global_crop(self, shape: tuple[int, ...], random: np.random.Generator) -> _Rectangle:
        crop, config = self.config.crop_px, self.config
        if config.global_resize_px:
            scales = [config.global_resize_px / side for side in shape]
        else:
            scales = [_draw_scale(config.global_scale, random)] * 2
        size = [max(1, round(crop / scale)) for scale in scales]
        corner = [_draw_start(side, length, random) for side, length in zip(shape, size, strict=True)]
        return _Rectangle(corner[0], corner[1], size[0], size[1])

    def _local_crop(self, labels: NDArray[np.integer], random: np.random.Generator) -> _Rectangle:
        size = max(1, round(self.config.crop_px / _draw_scale(self.config.local_scale, random)))
        boundary = np.flatnonzero(boundary_pixels(labels))
        if boundary.size:
            anchor = np.unravel_index(random.choice(boundary), labels.shape)
        else:  # a picture of one class: any place will do
            anchor = tuple(random.integers(side) for side in labels.shape)
        top, left = (
            _clamp_start(side, size, int(at) - size // 2)
            for side, at in zip(labels.shape, anchor, strict=True)
        )
        return _Rectangle(top, left, size, size)

    def _cut(
        self,
        image: NDArray[np.uint8],
        labels: NDArray[np.integer],
        place: _Rectangle,
        random: np.random.Generator,
        guided: bool = False,
    ) -> tuple[Tensor, Tensor]:
        crop = self.config.crop_px
        rows = _mirrored(place.top, place.height, image.shape[0])
        columns = _mirrored(place.left, place.width, image.shape[1])
        if self.config.mirror and random.random() < 0.5:
            columns = columns[::-1]
        turns = int(random.integers(4)) if self.config.rotate else 0
        pixels = torch.from_numpy(np.ascontiguousarray(image[rows[:, None], columns].transpose(2, 0, 1)))
        picture = F.interpolate(
            pixels[None].float() / 255, size=(crop, crop), mode="bicubic", antialias=True
        )[0].clamp_(0, 1)
        cut = labels[_nearest(rows, crop)[:, None], _nearest(columns, crop)]
        _, dense = np.unique(cut, return_inverse=True)
        dense = dense.reshape(cut.shape)
        if guided:
            dense = guiding_mask(dense)
        picture = torch.rot90(augment(picture, self.config.augment, random), turns, (1, 2))
        return picture, torch.from_numpy(np.rot90(dense, turns).astype(np.int64))


def as_network_input(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch an image to its own extremes, as inference does."""
    return stretched(image).astype(np.uint8)


def guiding_mask(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Dynamic guiding mask of Eq. 4: 1 where the class with the longest boundary is, 0 elsewhere.

    The longest boundary is the authors' reading: the class found most often on boundary pixels.
    """
    on_boundary = labels[boundary_pixels(labels)]
    if on_boundary.size == 0:
        return np.zeros(labels.shape, np.int64)
    classes, counts = np.unique(on_boundary, return_counts=True)
    mask: NDArray[np.int64] = (labels == classes[counts.argmax()]).astype(np.int64)
    return mask


def _draw_scale(limits: tuple[float, float], random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))


def _draw_start(side: int, length: int, random: np.random.Generator) -> int:
    room = side - length
    return int(random.integers(room + 1)) if room > 0 else -((-room) // 2)


def _clamp_start(side: int, length: int, start: int) -> int:
    return min(max(start, 0), side - length) if side > length else -((length - side) // 2)


def _mirrored(start: int, length: int, side: int) -> NDArray[np.intp]:
    """Positions of a stretch that may extend beyond both ends of an axis, mirrored at them."""
    wave = np.arange(start, start + length) % (2 * side)
    return np.minimum(wave, 2 * side - 1 - wave)


def _nearest(positions: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Resample positions to `length` of them, each the nearest."""
    at = (np.arange(length) + 0.5) * (len(positions) / length)
    return positions[np.minimum(at.astype(np.intp), len(positions) - 1)]


def _stack(views: list[tuple[Tensor, Tensor]]) -> Crops:
    pictures, labels = zip(*views, strict=True)
    return Crops(torch.stack(pictures), torch.stack(labels))
