"""PCNet, Fig. 3 of the paper: a low-resolution encoder-decoder and a full-resolution tail.

The network reads the work frame as RGB in 0..1, reduces it by 4 in its stem, halves it four times
more, and returns for every work pixel the logits of its association with 9 cells. `trunk` is the
encoder-decoder, on 1/16 of the pixels; `tail` is the sub-pixel convolution and the head, on all of
them. SCN (Yang et al. 2020), the paper's baseline, is the same trunk at full resolution with the
head at its end: ``PCNetConfig(reduction=1)``.

Layers and their order are those of the authors' network (activation LeakyReLU 0.1, transposed
convolutions with a bias and no normalisation), not of the paper's drawing where the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from napari_pcnet.association import NEIGHBOURS
from napari_pcnet.grid import CELL

Stem = Literal["nearest", "area", "unshuffle"]

LEAK = 0.1
"""Slope of LeakyReLU below zero, and the ``a`` of the Kaiming initialisation."""

REACH_PX = 377
"""No output of PCNet depends on an input further away than this, in work pixels, to one side."""

BSDS500_MEAN = (0.411, 0.432, 0.45)
"""Mean RGB of the BSDS500 training images as the authors give it."""


@dataclass(frozen=True)
class PCNetConfig:
    """What a PCNet is made of.

    Attributes
    ----------
    stem : {'nearest', 'area', 'unshuffle'}
        How the picture is reduced: every fourth pixel of every fourth row as in the paper, the
        mean of each 4 x 4 block, or all 16 pixels of a block as channels.
    reduction : {4, 1}
        4 for PCNet. 1 for SCN: nothing is reduced, and there is no sub-pixel layer.
    widths : tuple of int
        Channels of the five encoder stages.
    cell : int
        Side of a cell of the lattice in work pixels; the trunk halves the picture
        four times, so it is 16.
    mean : tuple of float
        Mean RGB of the training pictures, subtracted from the input.
    guide : int
        Channels of a 3 x 3 convolution of the picture at its full resolution, which the last
        convolutions see beside the restored features; 0 for none, as in the paper.
    boundary : bool
        Whether the network says, too, how likely a boundary runs along each pixel, which merging
        heeds; not in the paper.
    """

    stem: Stem = "nearest"
    reduction: int = 4
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    cell: int = CELL
    mean: tuple[float, float, float] = BSDS500_MEAN
    guide: int = 0
    boundary: bool = False

    def __post_init__(self) -> None:
        if self.stem not in get_args(Stem):
            raise ValueError(f"stem must be one of {get_args(Stem)}, got {self.stem!r}")
        if self.reduction not in (1, 4):
            raise ValueError(f"reduction must be 4 (PCNet) or 1 (SCN), got {self.reduction!r}")
        if self.cell != CELL:
            raise ValueError(f"cell must be {CELL}, got {self.cell!r}")
        if self.guide < 0 or (self.guide and self.reduction == 1):
            raise ValueError(f"guide must be at least 0, and 0 where nothing is reduced, got {self.guide!r}")
        if len(self.widths) != 5:
            raise ValueError(f"widths must have five entries, got {self.widths!r}")


class Output(NamedTuple):
    """What the tail says of every work pixel."""

    logits: Tensor  # (B, 9, H, W)
    embedding: Tensor  # (B, 16, H, W), after the convolution that follows the sub-pixel layer
    detail: Tensor  # (B, 16, H, W), the sub-pixel layer itself: what `reconstruct` reads
    boundary: Tensor | None = None  # (B, 1, H, W), logits that a boundary runs along the pixel


class ConvBlock(nn.Sequential):
    """3 x 3 convolution without bias, batch normalisation, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(LEAK),
        )


class UpBlock(nn.Sequential):
    """4 x 4 transposed convolution of stride 2 with a bias, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(LEAK))


class Reduce(nn.Module):
    """The stem: the work frame reduced ``factor`` times."""

    def __init__(self, stem: Stem, factor: int) -> None:
        super().__init__()
        self.stem, self.factor = stem, factor
        self.channels = 3 * factor * factor if stem == "unshuffle" else 3

    def forward(self, image: Tensor) -> Tensor:
        """Reduce ``(B, 3, H, W)`` to ``(B, channels, H / factor, W / factor)``."""
        if self.stem == "nearest":
            return image[..., :: self.factor, :: self.factor]
        if self.stem == "area":
            return nn.functional.avg_pool2d(image, self.factor)
        return nn.functional.pixel_unshuffle(image, self.factor)


class PCNet(nn.Module):
    """The network of Fig. 3.

    Parameters
    ----------
    config : PCNetConfig

    References
    ----------
    .. [1] Wang, Wei, Qian, Zhu, Yang, "Generating Superpixels for High-resolution Images with
           Decoupled Patch Calibration".
    .. [2] Yang, Sun, Jin, Zhou, "Superpixel Segmentation with Fully Convolutional Networks",
           CVPR 2020.
    """

    mean: Tensor

    def __init__(self, config: PCNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PCNetConfig()
        widths = config.widths
        self.register_buffer("mean", torch.tensor(config.mean).reshape(1, 3, 1, 1))
        self.stem = Reduce(config.stem, config.reduction)
        stages = [nn.Sequential(ConvBlock(self.stem.channels, widths[0]), ConvBlock(widths[0], widths[0]))]
        for below, here in pairwise(widths):
            stages.append(nn.Sequential(ConvBlock(below, here, stride=2), ConvBlock(here, here)))
        self.encoder = nn.ModuleList(stages)
        falling = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (256, 128), ... (32, 16)
        self.up = nn.ModuleList(UpBlock(below, here) for below, here in falling)
        self.fuse = nn.ModuleList(ConvBlock(2 * here, here) for _, here in falling)
        base = widths[0]
        if config.reduction > 1:
            self.subpixel = nn.Sequential(
                ConvBlock(base, base * config.reduction**2), nn.PixelShuffle(config.reduction)
            )
            self.embed: nn.Module = ConvBlock(base + config.guide, base)
        else:
            self.subpixel = nn.Sequential()
            self.embed = nn.Identity()
        self.head = nn.Conv2d(base, NEIGHBOURS, 3, padding=1)
        self.super_resolution = nn.Conv2d(base, 3, 1, bias=False)  # training only
        self.guide = ConvBlock(3, config.guide) if config.guide else None
        self.boundary = (
            nn.Sequential(ConvBlock(base + config.guide, base), nn.Conv2d(base, 1, 3, padding=1))
            if config.boundary
            else None
        )
        self.apply(_initialise)

    @property
    def first(self) -> nn.Module:
        """The first convolution, behind the stem."""
        return self.get_submodule("encoder.0.0")

    def trunk(self, image: Tensor) -> Tensor:
        """Encode and decode: ``(B, 3, H, W)`` in 0..1 to ``(B, 16, H / 4, W / 4)``.

        H and W are multiples of 64 (16 for SCN).
        """
        return self.trunk_from_first(self.first(self.stem(image - self.mean)))

    def trunk_from_first(self, features: Tensor) -> Tensor:
        """Go on from the first convolution, which inference runs in strips of rows."""
        features = self.get_submodule("encoder.0.1")(features)
        skips = []
        for stage in self.encoder[1:]:
            skips.append(features)
            features = stage(features)
        for up, fuse in zip(self.up, self.fuse, strict=True):
            features = fuse(torch.cat([skips.pop(), up(features)], dim=1))
        return features

    def tail(self, features: Tensor, image: Tensor) -> Output:
        """Restore the resolution and associate: ``(B, 16, H / 4, W / 4)`` to ``(B, ., H, W)``."""
        detail = self.subpixel(features)
        guided = self.guided(detail, image)
        embedding = self.embed(guided)
        boundary = self.boundary(guided) if self.boundary is not None else None
        return Output(self.head(embedding), embedding, detail, boundary)

    def guided(self, detail: Tensor, image: Tensor) -> Tensor:
        """Put what the guide sees of the picture ``(B, 3, H, W)`` beside the restored features."""
        if self.guide is None:
            return detail
        return torch.cat([detail, self.guide(image - self.mean)], dim=1)

    def forward(self, image: Tensor) -> Output:
        """Associate every pixel of ``(B, 3, H, W)`` pictures in 0..1."""
        return self.tail(self.trunk(image), image)

    def reconstruct(self, detail: Tensor) -> Tensor:
        """Super-resolved picture less its mean, ``(B, 3, H, W)`` in -1..1; training only."""
        return torch.tanh(self.super_resolution(detail))


def channels_last(model: PCNet) -> PCNet:
    """Lay the weights out with channels last, which is twice as fast on a CPU."""
    laid_out: PCNet = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out


def parameter_count(model: PCNet) -> int:
    """Number of parameters that inference needs."""
    training_only = {id(p) for p in model.super_resolution.parameters()}
    return sum(p.numel() for p in model.parameters() if id(p) not in training_only)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, a=LEAK, mode="fan_in")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
