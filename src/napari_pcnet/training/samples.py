"""From pairs on disk to a batch: the global view, the local patch, and their labels.

A view is a crop of ``crop_px`` x ``crop_px`` work pixels. The *global view* shows the picture at a
scale drawn for each sample (in the paper: the whole picture resized to a square, which loses its
aspect ratio). The *local patch* is anchored on a boundary pixel of the ground truth. A picture
smaller than its crop is mirrored outwards, image and labels alike, so that nothing is invented.

Labels are cut with the nearest rule and renumbered in each crop from 0, so that one-hot maps are as
narrow as the crop allows.
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
"""Room for decoded pictures and their labels; BSDS500 takes a third of it."""


@dataclass(frozen=True)
class SampleConfig:
    """How crops are drawn.

    Attributes
    ----------
    crop_px : int
        Side of both crops in work pixels, a multiple of 64. The paper's is 512.
    batch : int
        Global views in a batch; there are as many local patches.
    global_resize_px : int
        If positive, the whole picture is resized to this square before the crop, as in the paper
        (768), and `global_scale` is unused.
    global_scale, local_scale : tuple of float
        Smallest and largest enlargement of the picture, drawn evenly in its logarithm.
    mirror : bool
        Mirror half of the crops left to right.
    rotate : bool
        Turn crops by a multiple of 90 degrees, drawn evenly: for pictures that have no up.
    patches : bool
        Whether there are local patches at all; what is trained on global views alone needs none.
    dynamic_mask : bool
        Guide local patches by the dynamic mask of Eq. 4; otherwise by all their classes.
    augment : AugmentConfig
        What is done to the colours.
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
        if self.batch * (self.crop_px // STRIDE) ** 2 < 2:  # normalisation needs two at the bottom
            raise ValueError(f"a batch of 1 needs a crop_px of at least {2 * STRIDE}")


class View(NamedTuple):
    """Aligned crops of several pictures and their ground truth."""

    image: Tensor  # (B, 3, H, W) in 0..1
    labels: Tensor  # (B, H, W) int64, from 0 in each crop


class Batch(NamedTuple):
    """One step's food for Algorithm 1."""

    whole: View  # G* and S_G
    patch: View | None  # L* and M of Eq. 4 (or S_L)


class _Decoded(NamedTuple):
    """A pair in memory."""

    image: NDArray[np.uint8]  # (H, W, 3)
    annotations: list[NDArray[np.integer]]  # (H, W) each


class _Crop(NamedTuple):
    """A rectangle of the picture's own pixels; it may reach over the picture's rim."""

    top: int
    left: int
    height: int
    width: int


class Sampler:
    """Draws batches from pairs; batch number ``step`` depends on nothing but `seed` and `step`.

    Parameters
    ----------
    pairs : sequence of Pair
        Each annotation of each image counts as one sample.
    config : SampleConfig
    seed : int
    processes : Processes, optional
        Each of several processes draws its own part of one larger batch.
    shares : sequence of float, optional
        How often an annotation of each pair is drawn, in any unit; all alike if not given.

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
            random = np.random.default_rng((self.seed, step, number))  # whoever draws this sample
            pair, annotation = self.rows[drawn[number]]
            image, annotations = self._read(pair)
            labels = annotations[annotation]
            wholes.append(self._cut(image, labels, self._whole_region(labels.shape, random), random))
            if self.config.patches:
                region = self._patch_region(labels, random)
                patches.append(self._cut(image, labels, region, random, self.config.dynamic_mask))
        return Batch(_stack(wholes), _stack(patches) if patches else None)

    def _read(self, pair: Pair) -> _Decoded:
        """Decode a pair, once as long as there is room: in random order any pair is as good to keep."""
        if pair in self._decoded:
            return self._decoded[pair]
        decoded = _Decoded(as_network_input(pair.read_image()), pair.read_annotations())
        size = decoded.image.nbytes + sum(each.nbytes for each in decoded.annotations)
        if size <= self._room:
            self._room -= size
            self._decoded[pair] = decoded
        return decoded

    def _whole_region(self, shape: tuple[int, ...], random: np.random.Generator) -> _Crop:
        crop, config = self.config.crop_px, self.config
        if config.global_resize_px:
            scales = [config.global_resize_px / side for side in shape]
        else:
            scales = [_draw_scale(config.global_scale, random)] * 2
        size = [max(1, round(crop / scale)) for scale in scales]
        corner = [_draw_start(side, length, random) for side, length in zip(shape, size, strict=True)]
        return _Crop(corner[0], corner[1], size[0], size[1])

    def _patch_region(self, labels: NDArray[np.integer], random: np.random.Generator) -> _Crop:
        size = max(1, round(self.config.crop_px / _draw_scale(self.config.local_scale, random)))
        boundary = np.flatnonzero(boundary_pixels(labels))
        if boundary.size:
            anchor = np.unravel_index(random.choice(boundary), labels.shape)
        else:  # a picture of one region: any patch of it
            anchor = tuple(random.integers(side) for side in labels.shape)
        top, left = (
            _clamp_start(side, size, int(at) - size // 2)
            for side, at in zip(labels.shape, anchor, strict=True)
        )
        return _Crop(top, left, size, size)

    def _cut(
        self,
        image: NDArray[np.uint8],
        labels: NDArray[np.integer],
        region: _Crop,
        random: np.random.Generator,
        guided: bool = False,
    ) -> tuple[Tensor, Tensor]:
        crop = self.config.crop_px
        rows = _mirrored(region.top, region.height, image.shape[0])
        columns = _mirrored(region.left, region.width, image.shape[1])
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
    """Stretch an image to its own extremes, as pictures are before the network sees them."""
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
    """Pixel numbers of a stretch that may reach over both rims, mirrored at them."""
    wave = np.arange(start, start + length) % (2 * side)
    return np.minimum(wave, 2 * side - 1 - wave)


def _nearest(positions: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Stretch or shrink a run of pixel numbers to `length` of them with the nearest rule."""
    at = (np.arange(length) + 0.5) * (len(positions) / length)
    return positions[np.minimum(at.astype(np.intp), len(positions) - 1)]


def _stack(views: list[tuple[Tensor, Tensor]]) -> View:
    pictures, labels = zip(*views, strict=True)
    return View(torch.stack(pictures), torch.stack(labels))
