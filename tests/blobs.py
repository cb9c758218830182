"""A picture to segment window by window: waves, squares and noise, a channel each."""

import numpy as np


def blobs(shape: tuple[int, int]) -> np.ndarray:
    """Draw it, ``(H, W, 3)`` of uint8."""
    y, x = np.indices(shape)
    waves = np.sin(x / 19) + np.cos(y / 13)
    channels = np.stack([waves, (x // 40 + y // 30) % 2 * 2.0, np.random.default_rng(0).random(shape)], -1)
    return np.asarray(60 * channels + 70).astype(np.uint8)


def disc(shape: tuple[int, int]) -> np.ndarray:
    """Draw a mask of a part of it, ``(H, W)``."""
    y, x = np.indices(shape)
    return np.asarray((y - 180) ** 2 + (x - 90) ** 2 < 60**2)
