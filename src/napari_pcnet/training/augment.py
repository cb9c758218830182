"""Random changes of colour, which leave boundaries in place.

Each change is drawn independently and applied in the order of the fields of `AugmentConfig`, to pictures
``(3, H, W)`` in 0..1; the results are in 0..1, too. If all are off, no random number is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

SIGMA_PX = (0.3, 1.5)
"""Range of the standard deviation of the Gaussian blur, in work pixels."""


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of the changes of colour.

    Attributes
    ----------
    colour : float
        Largest change of each channel's gain, drawn uniformly around 1.
    gamma : float
        Largest logarithm of the exponent, drawn uniformly around 0.
    grey : float
        Share of crops that are made grey.
    invert : float
        Share of crops that are made negative.
    blur : float
        Share of crops that are blurred, see `SIGMA_PX`.
    noise : float
        Largest standard deviation of normal noise.
    """

    colour: float = 0.0
    gamma: float = 0.0
    grey: float = 0.0
    invert: float = 0.0
    blur: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("grey", "invert", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {getattr(self, name)!r}")
        for name in ("colour", "gamma", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")


def augment(picture: Tensor, config: AugmentConfig, random: np.random.Generator) -> Tensor:
    """Change the colours of a picture.

    Parameters
    ----------
    picture : (3, H, W) tensor
        In 0..1.
    config : AugmentConfig
    random : numpy.random.Generator

    Returns
    -------
    (3, H, W) tensor
        In 0..1.
    """
    if not any(getattr(config, each.name) for each in fields(config)):
        return picture
    if config.colour:
        gain = random.uniform(1 - config.colour, 1 + config.colour, (3, 1, 1))
        picture = (picture * torch.from_numpy(gain).float()).clamp(0, 1)
    if config.gamma:
        picture = picture ** float(np.exp(random.uniform(-config.gamma, config.gamma)))
    if random.random() < config.grey:
        picture = torch.einsum("c,chw->hw", torch.tensor(GREY), picture).expand(3, -1, -1)
    if random.random() < config.invert:
        picture = 1 - picture
    if random.random() < config.blur:
        picture = _blurred(picture, random.uniform(*SIGMA_PX))
    if config.noise:
        noise = random.normal(0, random.uniform(0, config.noise), picture.shape)
        picture = (picture + torch.from_numpy(noise).float()).clamp(0, 1)
    return picture.contiguous()


def _blurred(picture: Tensor, sigma_px: float) -> Tensor:
    """Blur by a Gaussian, rows, then columns; mirrored at the border."""
    reach = max(1, round(3 * sigma_px))
    at = torch.arange(-reach, reach + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (at / sigma_px) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(picture[:, None], (reach, reach, reach, reach), mode="reflect")
    rows = F.conv2d(padded, kernel.reshape(1, 1, -1, 1))
    return F.conv2d(rows, kernel.reshape(1, 1, 1, -1))[:, 0]
