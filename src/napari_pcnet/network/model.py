"""PCNet, Fig. 3 of the paper: a low-resolution encoder-decoder and a full-resolution tail.

The network reads the work frame as RGB in 0..1, reduces it by 4 in its stem, halves it four more
times, and returns for every work pixel the logits of its association with 9 cells. `trunk` is the
encoder-decoder, on 1/16 of the pixels; `tail` is the sub-pixel convolution and the head, on all of
them. SCN (Yang et al. 2020), the paper's baseline, is the same trunk at full resolution with the
head at its end: ``PCNetConfig(reduction=1)``.

The cheaper network of this project, ``PCNetConfig(block=...)``, has no full-resolution tail: it predicts the
logits of whole blocks of pixels at the resolution of the trunk, for cells of several sides. Its activation is
ReLU and it enlarges by repeating pixels, so that all of it can be computed in whole numbers.

Layers and their order are those of the authors' network (activation LeakyReLU 0.1, transposed
convolutions with a bias and no normalisation), not of the paper's drawing where the two differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_pcnet.geometry.grid import CELL, OF_THE_PAPER, STRIDE, Fineness
from napari_pcnet.merging.cost import EDGE_FEATURES, MergeClassifier
from napari_pcnet.network.association import NEIGHBOURS
from napari_pcnet.network.whole_numbers import WholeNumbers
from napari_pcnet.options import shown

Stem = Literal["nearest", "area", "unshuffle"]

LEAK = 0.1
"""Slope of LeakyReLU below zero, and the ``a`` of the Kaiming initialisation."""

CELL_FACTORS = {16: 30, 8: 8, 4: 4}
"""How many cells of each side a superpixel must have, for networks that know finer cells.

Finer cells cost nothing in the network, and behind it a fifth of a call or more. With cells of 8 where a
superpixel has 8 to 30 of 16, accuracy is .003 to .03 higher on aerial pictures and micrographs."""

BLOCK_FINENESS = {
    "detail_px": 64,
    "small_px": 1 << 18,
}
"""Which lattices a network that predicts blocks is asked for (`geometry.grid.Fineness`).

In a doubled picture the network has four times the pixels. It finds the outlines of the small pictures of
BSDS500 more exactly: against cells of 4 of their own pixels accuracy is .0025 higher with 200 superpixels,
.001 with 800; and it draws sharp edges to the pixel, which it does not always at their own size. On
streets, portraits, micrographs and pictures from drones, of 0.3 to 1 megapixels, it is between .001 higher
and .002 lower, so these are doubled only where cells of their own pixels are too few.
Chosen on every second to fourth of the validation images."""

_DRAWING = ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_")
"""What the layers draw their first weights by."""

BSDS500_MEAN = (0.411, 0.432, 0.45)
"""Mean RGB of the BSDS500 training images as the authors give it."""


@dataclass(frozen=True)
class PCNetConfig:
    """The architecture of a PCNet.

    Attributes
    ----------
    stem : {'nearest', 'area', 'unshuffle'}
        How the picture is reduced: every fourth pixel of every fourth row as in the paper, the
        mean of each 4 x 4 block, or all 16 pixels of a block as channels.
    reduction : {4, 8, 1}
        4 for PCNet; 8 with `block` alone. 1 for SCN: nothing is reduced, and there is no sub-pixel layer.
    widths : tuple of int
        Channels of the encoder's stages: five, or four where the picture is reduced 8 times.
    cell : int
        Side of a cell of the lattice in work pixels. The trunk reduces the picture to a sixteenth or less
        along both axes, so it is 16.
    mean : tuple of float
        Mean RGB of the training pictures, subtracted from the input.
    guide : int
        Channels of a 3 x 3 convolution of the picture at its full resolution, which the last
        convolutions get in addition to the restored features; 0 for none, as in the paper.
    boundary : int
        Channels of a decoder that predicts the boundary probability of each pixel, for merging; 0 for
        none, as in the paper.
    merge_classifier : int
        Hidden units of a small network that predicts, for two touching regions, how much merging them
        would lose; 0 for none.
    block : tuple of int
        Channels of the 3 x 3 convolutions, at the trunk's resolution, behind which one more predicts the
        logits of all pixels of a block; empty for the paper's tail at full resolution.
    finer : tuple of int
        Sides of finer cells that `block` predicts the association with, too, in work pixels, falling.
    """

    stem: Stem = "nearest"
    reduction: int = 4
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    cell: int = CELL
    mean: tuple[float, float, float] = BSDS500_MEAN
    guide: int = 0
    boundary: int = 0
    merge_classifier: int = 0
    block: tuple[int, ...] = ()
    finer: tuple[int, ...] = ()

    @property
    def cells(self) -> tuple[int, ...]:
        """Sides of the cells that pixels are associated with, falling."""
        return self.cell, *self.finer

    @property
    def fineness(self) -> Fineness:
        """Which lattices it can be asked for."""
        if not self.finer:
            return OF_THE_PAPER
        return Fineness(self.cells, tuple(CELL_FACTORS[cell] for cell in self.cells), **BLOCK_FINENESS)

    def __post_init__(self) -> None:
        if self.stem not in get_args(Stem):
            raise ValueError(f"stem must be one of {get_args(Stem)}, got {self.stem!r}")
        if self.reduction not in ((4, 8) if self.block else (1, 4)):
            allowed = "4 or 8 with block" if self.block else "4 (PCNet) or 1 (SCN)"
            raise ValueError(f"reduction must be {allowed}, got {self.reduction!r}")
        if self.cell != CELL:
            raise ValueError(f"cell must be {CELL}, got {self.cell!r}")
        if self.guide < 0 or (self.guide and self.reduction == 1):
            raise ValueError(f"guide must be at least 0, and 0 where nothing is reduced, got {self.guide!r}")
        for name in ("boundary", "merge_classifier"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")
        if self.merge_classifier and not self.boundary:
            raise ValueError("a merge classifier needs a boundary decoder: set boundary, too")
        stages = 4 if self.reduction == 8 else 5
        if len(self.widths) != stages:
            raise ValueError(f"widths must have {stages} entries, got {shown(self.widths)}")
        if self.block and (self.stem != "unshuffle" or self.guide):
            raise ValueError("with block, in place of the paper's tail, stem must be 'unshuffle' and guide 0")
        if self.finer and not self.block:
            raise ValueError("finer must be empty without block: only whole blocks have finer cells")
        for coarse, fine in pairwise(self.cells):
            if fine < self.reduction or coarse % fine or fine >= coarse:
                raise ValueError(
                    f"finer must fall from {self.cell} to {self.reduction} by whole factors, "
                    f"got {shown(self.finer)}"
                )


class Trunk(NamedTuple):
    """Output of the trunk for every block of work pixels, whose side is `PCNetConfig.reduction`, r."""

    features: Tensor  # (B, C, H / r, W / r)
    boundary: Tensor | None  # (B, r * r, H / r, W / r), the block's pixels row by row: see `Output.boundary`


class Output(NamedTuple):
    """Output of the network for every work pixel."""

    logits: Tensor  # (B, 9, H, W)
    embedding: Tensor | None = None  # (B, 16, H, W), after the convolution that follows the sub-pixel layer
    detail: Tensor | None = None  # (B, 16, H, W), the sub-pixel layer itself, input of `reconstruct`
    boundary: Tensor | None = None  # (B, 1, H, W), logits that the pixel lies on a boundary
    finer: tuple[Tensor, ...] = ()  # (B, 9, H, W) for each of `PCNetConfig.finer`


class ConvBlock(nn.Sequential):
    """3 x 3 convolution without bias, batch normalisation, LeakyReLU or ReLU."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, kernel: int = 3, leak: float = LEAK
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(leak) if leak else nn.ReLU(),
        )


class RepeatBlock(nn.Sequential):
    """1 x 1 convolution, batch normalisation, ReLU; then each pixel is repeated, twice along both axes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(ConvBlock(inputs, outputs, kernel=1, leak=0), nn.UpsamplingNearest2d(scale_factor=2))


class UpBlock(nn.Sequential):
    """4 x 4 transposed convolution of stride 2 with a bias, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(LEAK))


class BoundaryDecoder(nn.Module):
    """Boundaries from the features of every level: projections summed from coarse to fine, then refined.

    A feature pyramid (Lin et al. 2017) at the resolution of the trunk. With 32 channels it costs a tenth of
    the network's multiply-adds, and it can be trained behind a network that stays as it is.

    Parameters
    ----------
    widths : tuple of int
        Channels of the encoder's stages.
    channels : int
    reduction : int
        Side of the block of work pixels that a pixel of the first stage stands for.
    cheap : bool
        Whether its last convolution is 1 x 1, and its activation ReLU.
    """

    def __init__(self, widths: tuple[int, ...], channels: int, reduction: int, cheap: bool = False) -> None:
        super().__init__()
        self.deepest = nn.Conv2d(widths[-1], channels, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(2 * here, channels, 1) for here in widths[-2::-1])
        self.refine = nn.Sequential(
            nn.ReLU() if cheap else nn.LeakyReLU(LEAK),
            ConvBlock(channels, channels, leak=0 if cheap else LEAK),  # one more would need a larger halo
            nn.Conv2d(channels, reduction**2, 1 if cheap else 3, padding=0 if cheap else 1),
        )

    def finer(self, level: int, context: Tensor, skip: Tensor, features: Tensor) -> Tensor:
        """Enlarge the sum of the coarser levels and add the projection of encoder and decoder here."""
        context = nn.functional.interpolate(context, scale_factor=2.0, mode="nearest")
        added: Tensor = context + self.lateral[level](torch.cat([skip, features], dim=1))
        return added


class MergeClassifierNetwork(nn.Module):
    """Features of pairs of regions to the logit of the share of the smaller region that merging loses."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(EDGE_FEATURES, units),
            nn.LeakyReLU(LEAK),
            nn.Linear(units, units),
            nn.LeakyReLU(LEAK),
            nn.Linear(units, 1),
        )
        self.register_buffer("mean", torch.zeros(EDGE_FEATURES))
        self.register_buffer("deviation", torch.ones(EDGE_FEATURES))

    def forward(self, edge_features: Tensor) -> Tensor:
        """Classify ``(n, EDGE_FEATURES)`` to logits ``(n,)``."""
        logits: Tensor = self.layers((edge_features - self.mean) / self.deviation)
        return logits[:, 0]

    @torch.no_grad()
    def as_numpy(self) -> MergeClassifier:
        """The same in numpy, for merging, with the normalisation inside its first layer.

        Raises
        ------
        ValueError
            If its weights are too large to be summed exactly.
        """
        layers = [
            [each.detach().cpu().double().numpy() for each in (layer.weight, layer.bias)]
            for layer in self.layers
            if isinstance(layer, nn.Linear)
        ]
        mean, deviation = (each.cpu().double().numpy() for each in (self.mean, self.deviation))
        weight, bias = layers[0]
        layers[0] = [weight / deviation, bias - weight @ (mean / deviation)]
        with np.errstate(over="ignore"):  # `MergeClassifier` refuses infinity
            floats = tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers)
        return MergeClassifier(floats, LEAK)


def strided(weight: Tensor, factor: int) -> Tensor:
    """The unshuffle of a frame and the 3 x 3 convolution behind it as one strided convolution.

    A block's pixel (i, j) of channel c is unshuffled channel ``(c * f + i) * f + j``; block (y, x) of
    the 3 x 3 holds the frame's pixels ``(f y + i, f x + j)``.
    """
    split = weight.reshape(-1, 3, factor, factor, 3, 3).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(-1, 3, 3 * factor, 3 * factor)


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
    whole_numbers: WholeNumbers | None
    """What it was rounded to, if it was; `quantise.quantise` makes it."""

    def __init__(self, config: PCNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PCNetConfig()
        self.whole_numbers = None
        widths = config.widths
        self.register_buffer("mean", torch.tensor(config.mean).reshape(1, 3, 1, 1))
        self.stem = Reduce(config.stem, config.reduction)
        leak = 0 if config.block else LEAK

        def stage(below: int, here: int, stride: int) -> nn.Sequential:
            return nn.Sequential(ConvBlock(below, here, stride, leak=leak), ConvBlock(here, here, leak=leak))

        self.encoder = nn.ModuleList([stage(self.stem.channels, widths[0], 1)])
        self.encoder.extend(stage(below, here, 2) for below, here in pairwise(widths))
        falling = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (256, 128), ... (32, 16)
        enlarge = RepeatBlock if config.block else UpBlock
        self.up = nn.ModuleList(enlarge(below, here) for below, here in falling)
        self.fuse = nn.ModuleList(ConvBlock(2 * here, here, leak=leak) for _, here in falling)
        base = widths[0]
        self.subpixel: nn.Module = nn.Sequential()
        self.embed: nn.Module = nn.Identity()
        if config.reduction > 1 and not config.block:
            self.subpixel = nn.Sequential(
                ConvBlock(base, base * config.reduction**2), nn.PixelShuffle(config.reduction)
            )
            self.embed = ConvBlock(base + config.guide, base)
        self.block = nn.Sequential(
            *(ConvBlock(below, here, leak=0) for below, here in pairwise((base, *config.block)))
        )
        if config.block:
            logits = NEIGHBOURS * config.reduction**2
            self.heads = nn.ModuleList(nn.Conv2d(config.block[-1], logits, 1) for _ in config.cells)
        else:
            self.head = nn.Conv2d(base, NEIGHBOURS, 3, padding=1)
            self.super_resolution = nn.Conv2d(base, 3, 1, bias=False)  # training only
        self.guide = ConvBlock(3, config.guide) if config.guide else None
        self.boundary = (
            BoundaryDecoder(widths, config.boundary, config.reduction, cheap=bool(config.block))
            if config.boundary
            else None
        )
        self.apply(_initialise)
        # last, so that it changes none of the random weights above
        self.merge_classifier = (
            MergeClassifierNetwork(config.merge_classifier) if config.merge_classifier else None
        )

    def add_merge_classifier(self, units: int) -> None:
        """Add a merge classifier with random weights, in place of the one that may be there."""
        self.config = replace(self.config, merge_classifier=units)
        random = torch.Generator()
        random.set_state(torch.get_rng_state())
        with weights_drawn_by(random):
            self.merge_classifier = MergeClassifierNetwork(units)

    def drop_merge_classifier(self) -> None:
        """Remove the merge classifier."""
        self.config, self.merge_classifier = replace(self.config, merge_classifier=0), None

    @property
    def first(self) -> nn.Module:
        """The first convolution, behind the stem."""
        return self.get_submodule("encoder.0.0")

    def trunk(self, image: Tensor, *, boundary_apart: bool = True) -> Trunk:
        """Encode and decode ``(B, 3, H, W)`` in 0..1, H and W multiples of 64 (16 for SCN).

        With `boundary_apart` the gradient of the boundary decoder ends at what it reads.
        """
        first = self.first(self.stem(image - self.mean))
        return self.trunk_from_first(first, boundary_apart=boundary_apart)

    def trunk_from_first(self, features: Tensor, *, boundary_apart: bool = True) -> Trunk:
        """Continue from the first convolution, which inference runs in strips of rows."""

        def read(values: Tensor) -> Tensor:
            return values.detach() if boundary_apart else values

        features = self.get_submodule("encoder.0.1")(features)
        skips = []
        for stage in self.encoder[1:]:
            skips.append(features)
            features = stage(features)
        pyramid = None if self.boundary is None else self.boundary.deepest(read(features))
        for level, (up, fuse) in enumerate(zip(self.up, self.fuse, strict=True)):
            skip = skips.pop()
            features = fuse(torch.cat([skip, up(features)], dim=1))
            if self.boundary is not None and pyramid is not None:
                pyramid = self.boundary.finer(level, pyramid, read(skip), read(features))
        return Trunk(features, None if self.boundary is None else self.boundary.refine(pyramid))

    def tail(self, trunk: Trunk, image: Tensor) -> Output:
        """Restore the resolution and associate: to ``(B, ., H, W)``."""
        if self.config.block:
            hidden = self.block(trunk.features)
            logits, *finer = (self.to_pixels(head(hidden)) for head in self.heads)
            return Output(logits, boundary=self.boundary_map(trunk), finer=tuple(finer))
        detail = self.subpixel(trunk.features)
        embedding = self.embed(self.guided(detail, image))
        return Output(self.head(embedding), embedding, detail, self.boundary_map(trunk))

    def boundary_map(self, trunk: Trunk) -> Tensor | None:
        """Logits that each work pixel lies on a boundary, ``(B, 1, H, W)``; None without a decoder."""
        if trunk.boundary is None:
            return None
        return nn.functional.pixel_shuffle(trunk.boundary, self.config.reduction)

    def to_pixels(self, block_logits: Tensor) -> Tensor:
        """Lay out the logits of blocks, ``(B, 9 * reduction**2, h, w)``, as ``(B, 9, H, W)``."""
        return nn.functional.pixel_shuffle(block_logits, self.config.reduction)

    def guided(self, detail: Tensor, image: Tensor) -> Tensor:
        """Join the restored features with the guide's features of the picture ``(B, 3, H, W)``."""
        if self.guide is None:
            return detail
        return torch.cat([detail, self.guide(image - self.mean)], dim=1)

    def forward(self, image: Tensor) -> Output:
        """Associate every pixel of ``(B, 3, H, W)`` pictures in 0..1."""
        return self.tail(self.trunk(image), image)

    def reconstruct(self, detail: Tensor) -> Tensor:
        """Super-resolved picture minus its mean, ``(B, 3, H, W)`` in -1..1; training only.

        For the paper's tail, which has `Output.detail`.
        """
        return torch.tanh(self.super_resolution(detail))


def channels_last(model: PCNet) -> PCNet:
    """Store the weights with channels last, which is twice as fast on a CPU."""
    laid_out: PCNet = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out


def parameter_count(model: PCNet) -> int:
    """Number of parameters that inference needs."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("super_resolution."))


def multiply_adds_per_px(model: PCNet) -> float:
    """Multiply-adds of all convolutions per work pixel.

    Torch's own counter gives the same, but loads a compiler, which sets an environment variable.
    """
    side, total = 2 * STRIDE, 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        # a convolution applies its weights at each pixel that it makes, a transposed one at each it reads
        at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.get_parameter("weight").numel() * at.shape[-2] * at.shape[-1]

    counted = copy.deepcopy(model).eval().cpu().float()
    for layer in counted.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        counted(torch.zeros(1, 3, side, side))
    return total / side**2


class _WeightsDrawnBy(TorchFunctionMode):
    """Has `torch.nn.init` draw from a generator, or, without one, leave the weights as they lie in memory."""

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        given = keywords or {}
        if getattr(function, "__name__", "") not in _DRAWING:
            return function(*arguments, **given)
        if self._generator is None:
            return arguments[0] if arguments else given["tensor"]
        return function(*arguments, **{**given, "generator": self._generator})


def weights_drawn_by(generator: torch.Generator | None) -> TorchFunctionMode:
    """Make networks in a ``with`` statement without touching torch's random state, not even for a moment.

    Parameters
    ----------
    generator : torch.Generator or None
        Draws the weights, as torch's own generator with the same seed would; None if they will be replaced
        and nothing need be drawn.
    """
    return _WeightsDrawnBy(generator)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, a=LEAK, mode="fan_in")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
