"""Pictures for measuring what superpixels cost: as large as asked for, and like photographs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.evaluation.segmenter import Pixels

BLOCK_SIDE_PX = 816
"""Side of the photographs that a drawn image is put together from."""

NOISE = 2.0
"""Standard deviation of the drawn sensor noise, in grey levels."""


def shape_of(size: str) -> tuple[int, int]:
    """Return (H, W) of a size written WIDTHxHEIGHT.

    Raises
    ------
    ValueError
        If it is not written so.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
    if match is None:
        raise ValueError(f"sizes are written WIDTHxHEIGHT such as 4096x4096, got {size!r}")
    return int(match[2]), int(match[1])


def draw_photograph(shape: tuple[int, int], seed: int) -> Pixels:
    """Draw a picture like a large photograph: enlarged photographs side by side, and noise.

    Parameters
    ----------
    shape : (H, W) tuple of int
        In pixels.
    seed : int
        Decides which photographs lie where, how they are turned, and the noise.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    picture = np.empty((*shape, 3), np.uint8)
    top = 0
    for band in draw_bands(shape, seed):
        picture[top : top + len(band)] = band
        top += len(band)
    return picture


def draw_bands(shape: tuple[int, int], seed: int) -> Iterator[Pixels]:
    """Draw the same picture band by band, ``(h, W, 3)`` from its top."""
    rng = np.random.default_rng(seed)
    blocks = [_enlarged(photograph) for photograph in _photographs()]
    height, width = shape
    for top in range(0, height, BLOCK_SIDE_PX):
        band = np.empty((min(BLOCK_SIDE_PX, height - top), width, 3), np.uint8)
        for left in range(0, width, BLOCK_SIDE_PX):
            target = band[:, left : left + BLOCK_SIDE_PX]
            turned = np.rot90(blocks[rng.integers(len(blocks))], int(rng.integers(4)))
            grey_levels = turned[: target.shape[0], : target.shape[1]]
            noisy = grey_levels + rng.normal(0, NOISE, target.shape)
            target[:] = np.clip(np.rint(noisy), 0, 255)
        yield band


def _photographs() -> list[Pixels]:
    from skimage import data

    return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def _enlarged(photograph: Pixels) -> NDArray[np.float64]:
    from skimage.transform import resize

    side = min(photograph.shape[:2])
    square = photograph[:side, :side]
    enlarged: NDArray[np.float64] = resize(
        square, (BLOCK_SIDE_PX, BLOCK_SIDE_PX), order=1, mode="edge", preserve_range=True
    )
    return enlarged
