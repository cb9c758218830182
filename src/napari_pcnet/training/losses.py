"""The losses of the paper: Eq. 3, 5, 6 and 7, and their sum, Eq. 8.

Each is a mean (over pixels, band pixels or windows), so that its size does not depend on the crop.
The authors' code sums over pixels and multiplies by 0.005; the weights in `LossConfig` have the same
ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pcnet.boundaries import boundary_pixels
from napari_pcnet.geometry.grid import CELL
from napari_pcnet.network.association import associate, mask_outside, pool, to_cells, unpool
from napari_pcnet.network.model import Output, PCNet
from napari_pcnet.training.processes import mean_over_all
from napari_pcnet.training.samples import Batch, Crops

BAND_PX = 17
"""Side of the square that dilates boundaries to the band of Eq. 5; the paper's 16 has no centre."""

TINY = 1e-10
"""Keeps the ratio of Eq. 6 finite where both regions are uniform; the authors' value."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; 0 switches a term off and it is not computed.

    The defaults are those of the authors' code. There the superpixel loss is ``0.005 * (sum over pixels)``,
    which on their 512 px crops is 1311 times the mean used here, and the reconstruction a band mean
    of weight 1: relative to the superpixel loss, 1 / 1311. The discrimination loss stands inside the
    bracket that is summed, so its 0.5 is 0.5 / 512^2 of a mean.

    Attributes
    ----------
    position : float
        Weight of the position term of Eq. 3 relative to its cross entropy, per pixel of distance.
    position_power : {1, 2}
        1 for the distance, as the authors' code has it; 2 for its square, as in Eq. 3.
    reconstruction : float
        Weight of the masked super-resolution loss, Eq. 5.
    local : float
        Weight of the local patch, alpha of Eq. 8 (paper 0.1, code 0.5).
    discrimination : float
        Weight of the local discrimination loss, beta of Eq. 8 (paper 0.5).
    bounded : bool
        Use ``-log(1 + J)`` in place of Eq. 6's ``-J``, which has no lower bound.
    window_px : int
        Side of the windows of Eq. 6, K in the paper.
    windows : int
        Windows in a batch, at most.
    boundary : float
        Weight of the boundary decoder's cross entropy, for a network that has one; not in the paper.
    boundary_trains_trunk : bool
        Whether the trunk learns from it, too, in a network that predicts blocks. With the paper's tail, from
        random weights, it cost the association accuracy (docs/benchmark.md).
    """

    position: float = 0.003 / CELL
    position_power: Literal[1, 2] = 1
    reconstruction: float = 1 / 1311
    local: float = 0.5
    discrimination: float = 0.5 / 262144
    bounded: bool = False
    window_px: int = 5
    windows: int = 500
    boundary: float = 0.0
    boundary_trains_trunk: bool = False


@dataclass(frozen=True)
class LossTerms:
    """Every term of Eq. 8, unweighted; a term that is switched off is 0."""

    semantic_global: Tensor
    position_global: Tensor
    reconstruction_global: Tensor
    semantic_local: Tensor
    position_local: Tensor
    reconstruction_local: Tensor
    discrimination: Tensor
    boundary: Tensor

    def total(self, config: LossConfig) -> Tensor:
        """The full loss, Eq. 8."""
        whole = (
            self.semantic_global
            + config.position * self.position_global
            + config.reconstruction * self.reconstruction_global
        )
        patch = (
            self.semantic_local
            + config.position * self.position_local
            + config.reconstruction * self.reconstruction_local
        )
        own = config.discrimination * self.discrimination + config.boundary * self.boundary
        return whole + config.local * patch + own

    def as_record(self) -> dict[str, float]:
        """The terms as numbers, by name."""
        return {field.name: float(getattr(self, field.name).detach()) for field in fields(self)}


class SuperpixelLoss(NamedTuple):
    """The two summands of Eq. 3, each a mean over pixels."""

    semantic: Tensor
    position: Tensor


class ModelLosses(nn.Module):
    """The loss terms of a model as a module, so that several processes can share its gradients.

    Parameters
    ----------
    model : PCNet
    config : LossConfig
    autocast : torch.dtype or None
        Type of autocast.
    boundary_only : bool
        Whether the boundary decoder alone learns.
    """

    def __init__(
        self, model: PCNet, config: LossConfig, autocast: torch.dtype | None, boundary_only: bool
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.autocast, self.boundary_only = autocast, boundary_only

    def forward(self, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """Return the terms of `LossTerms` by name: tensors must come in a plain container."""
        if self.boundary_only:
            terms = boundary_terms(self.model, batch, self.autocast)
        elif self.model.config.block:
            terms = block_terms(self.model, batch, self.config, self.autocast)
        else:
            terms = loss_terms(self.model, batch, self.config, random, self.autocast)
        return {each.name: getattr(terms, each.name) for each in fields(terms)}


def loss_terms(
    model: PCNet,
    batch: Batch,
    config: LossConfig,
    random: torch.Generator,
    autocast: torch.dtype | None = None,
) -> LossTerms:
    """Run Algorithm 1, lines 6 to 13: both branches with shared weights, and their losses."""
    zero = batch.whole.image.new_zeros(())
    device = batch.whole.image.device.type
    with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
        whole = model(batch.whole.image)
    global_loss = superpixel_loss(whole.logits, batch.whole.labels, config.position_power)
    reconstruction = _reconstruction(model, whole, batch.whole, config)
    boundary = boundary_loss(whole.boundary, batch.whole.labels) if config.boundary else zero
    discrimination = zero
    if config.discrimination:
        assert whole.embedding is not None, "TrainingConfig checks it"
        discrimination = discrimination_loss(whole.embedding, batch.whole.labels, config, random)
    local_loss, local_reconstruction = SuperpixelLoss(zero, zero), zero
    if config.local:
        assert batch.patch is not None, "TrainingConfig checks it"
        with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
            patch = model(batch.patch.image)
        local_loss = superpixel_loss(patch.logits, batch.patch.labels, config.position_power)
        local_reconstruction = _reconstruction(model, patch, batch.patch, config)
    return LossTerms(
        global_loss.semantic,
        global_loss.position,
        reconstruction,
        local_loss.semantic,
        local_loss.position,
        local_reconstruction,
        discrimination,
        boundary,
    )


def boundary_terms(model: PCNet, batch: Batch, autocast: torch.dtype | None = None) -> LossTerms:
    """Run the trunk alone, to train the boundary decoder behind it; other terms are 0."""
    view = batch.whole
    device = view.image.device.type
    with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
        logits = model.boundary_map(model.trunk(view.image))
    return _only(view, boundary=boundary_loss(logits, view.labels))


def block_terms(
    model: PCNet, batch: Batch, config: LossConfig, autocast: torch.dtype | None = None
) -> LossTerms:
    """Run a network that predicts blocks; it has no terms of the paper's tail, which are 0."""
    view = batch.whole
    with torch.autocast(view.image.device.type, autocast or torch.bfloat16, enabled=autocast is not None):
        trunk = model.trunk(view.image, boundary_apart=not config.boundary_trains_trunk)
        hidden = views_of_cells(model, model.block(trunk.features))
        logits = [model.to_pixels(head(part)) for head, part in zip(model.heads, hidden, strict=True)]
        drawn = model.boundary_map(trunk) if config.boundary else None
    loss = block_loss(model, logits, view, config.position_power)
    terms = {"semantic_global": loss.semantic, "position_global": loss.position}
    if config.boundary:
        terms["boundary"] = boundary_loss(drawn, view.labels)
    return _only(view, **terms)


def _only(view: Crops, **terms: Tensor) -> LossTerms:
    """Some terms; the others are 0."""
    zero = view.image.new_zeros(())
    return LossTerms(**{each.name: zero for each in fields(LossTerms)} | terms)


def block_loss(
    model: PCNet, logits: Sequence[Tensor], view: Crops, position_power: int = 1
) -> SuperpixelLoss:
    """Superpixel loss of a network that predicts blocks: the mean over its cells.

    Parameters
    ----------
    model : PCNet
    logits : sequence of (b, 9, H, W) tensor
        Of the network's cells, each for its own part of the views; see `views_of_cells`.
    view : Crops
    position_power : {1, 2}

    Returns
    -------
    SuperpixelLoss
        Distances are those of cells enlarged to `CELL` pixels, so that cells of all sides weigh the same.
    """
    parts = views_of_cells(model, view.labels)
    losses = [
        superpixel_loss(each, labels, position_power, cell)
        for each, labels, cell in zip(logits, parts, model.config.cells, strict=True)
    ]
    views = sum(len(labels) for labels in parts)
    shares = [len(labels) / views for labels in parts]
    scales = [(CELL / cell) ** position_power for cell in model.config.cells]
    semantic = [share * loss.semantic for share, loss in zip(shares, losses, strict=True)]
    position = [
        share * scale * loss.position for share, scale, loss in zip(shares, scales, losses, strict=True)
    ]
    return SuperpixelLoss(torch.stack(semantic).sum(), torch.stack(position).sum())


def views_of_cells(model: PCNet, views: Tensor) -> tuple[Tensor, ...]:
    """Deal out the views of a batch to the cells of a network; of too few, each cell gets all.

    Pooling costs more than the network, and cells of all sides learn much the same from a view.
    """
    cells = len(model.config.cells)
    return torch.tensor_split(views, cells) if len(views) >= cells else (views,) * cells


def superpixel_loss(
    logits: Tensor, labels: Tensor, position_power: int = 1, cell: int = CELL
) -> SuperpixelLoss:
    """Superpixel loss, Eq. 3: the error of labels and positions after pooling and unpooling.

    Parameters
    ----------
    logits : (B, 9, H, W) tensor
        Logits of the association, of whole cells.
    labels : (B, H, W) int64 tensor
        Classes from 0.
    position_power : {1, 2}
    cell : int
        Side of a cell in pixels.

    Returns
    -------
    SuperpixelLoss
        Mean cross entropy in nats and mean distance in pixels (to the power). The first is 0 if each
        superpixel holds one class.
    """
    if logits.shape[-2:] != labels.shape[-2:]:
        raise ValueError(
            f"labels must be as large as logits, got {tuple(labels.shape[-2:])} and "
            f"{tuple(logits.shape[-2:])}"
        )
    height, width = labels.shape[-2:]
    lattice = height // cell, width // cell
    q = to_cells(associate(mask_outside(logits, lattice, cell=cell)), cell)
    truth = to_cells(labels[:, None], cell)  # (B, rows, columns, n, 1)
    classes = int(labels.max()) + 1
    one_hot = F.one_hot(truth[..., 0], classes).to(q.dtype)
    place = to_cells(_coordinates(height, width, q), cell).expand(len(labels), -1, -1, -1, -1)
    rebuilt = unpool(pool(torch.cat([one_hot, place], dim=-1), q), q)
    at_truth = rebuilt[..., :-2].gather(-1, truth)
    floor = torch.finfo(q.dtype).tiny
    semantic = -at_truth.clamp_min(floor).log().mean()
    squared = (rebuilt[..., -2:] - place).square().sum(-1)
    position = squared.mean() if position_power == 2 else (squared + TINY).sqrt().mean()
    return SuperpixelLoss(semantic, position)


def reconstruction_loss(rebuilt: Tensor, picture: Tensor, labels: Tensor) -> Tensor:
    """Masked super-resolution loss, Eq. 5: mean absolute error in the band around boundaries.

    Parameters
    ----------
    rebuilt, picture : (B, 3, H, W) tensor
    labels : (B, H, W) int64 tensor

    Returns
    -------
    scalar tensor
        0 where there is no boundary.
    """
    band = _dilate(boundary_pixels(labels)[:, None].to(rebuilt.dtype))
    error = (rebuilt - picture).abs().mean(dim=1, keepdim=True)
    return mean_over_all((error * band).sum(), band.sum())


def boundary_loss(logits: Tensor | None, labels: Tensor) -> Tensor:
    """Mean cross entropy of boundary pixels, in nats.

    Boundary pixels are rare, but get no larger weight: every annotation of an image is a sample of its own,
    so the decoder learns the share of annotators who draw a boundary along a pixel.

    Parameters
    ----------
    logits : (B, 1, H, W) tensor or None
        Output of the boundary decoder, if the network has one.
    labels : (B, H, W) int64 tensor

    Raises
    ------
    ValueError
        If there is no boundary decoder.
    """
    if logits is None:
        raise ValueError("loss.boundary needs a network with a boundary decoder: set model.boundary")
    return F.binary_cross_entropy_with_logits(logits.float(), boundary_pixels(labels)[:, None].float())


def discrimination_loss(
    embedding: Tensor, labels: Tensor, config: LossConfig, random: torch.Generator
) -> Tensor:
    """Local discrimination loss, Eq. 6 and 7.

    Small windows centred on boundary pixels are kept where they hold exactly two classes; the loss
    pushes the mean embeddings of the two apart in units of their scatter.

    Parameters
    ----------
    embedding : (B, D, H, W) tensor
    labels : (B, H, W) int64 tensor
    config : LossConfig
    random : torch.Generator
        Draws the windows; on the CPU.

    Returns
    -------
    scalar tensor
        0 where no window is kept.
    """
    classes, features = _boundary_windows(embedding, labels, config, random)
    low, high = classes.amin(1, keepdim=True), classes.amax(1, keepdim=True)
    first, second = classes == low, classes == high
    two = ((first | second).all(1)) & (low != high)[:, 0]
    if not bool(two.any()):  # other processes may have some
        return mean_over_all(embedding.float().sum() * 0, 0)
    features = features[two]
    mean_f, scatter_f = _mean_and_scatter(features, first[two])
    mean_g, scatter_g = _mean_and_scatter(features, second[two])
    ratio = (mean_f - mean_g).square().sum(-1) / (scatter_f + scatter_g + TINY)
    return mean_over_all(-(ratio.log1p() if config.bounded else ratio).sum(), len(ratio))


def _reconstruction(model: PCNet, output: Output, view: Crops, config: LossConfig) -> Tensor:
    if not config.reconstruction:
        return view.image.new_zeros(())
    assert output.detail is not None, "TrainingConfig checks it"
    rebuilt = model.reconstruct(output.detail.to(view.image.dtype))
    return reconstruction_loss(rebuilt, view.image - model.mean, view.labels)


def _dilate(mask: Tensor) -> Tensor:
    """Dilate a 0/1 map by a square of `BAND_PX`, rows first, then columns."""
    reach = BAND_PX // 2
    rows = F.max_pool2d(mask, (BAND_PX, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(rows, (1, BAND_PX), stride=1, padding=(0, reach))


def _coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """Row and column of every pixel relative to the centre, ``(1, 2, H, W)``, in pixels."""
    rows = torch.arange(height, dtype=like.dtype, device=like.device) - (height - 1) / 2
    columns = torch.arange(width, dtype=like.dtype, device=like.device) - (width - 1) / 2
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


def _boundary_windows(
    embedding: Tensor, labels: Tensor, config: LossConfig, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cut windows around drawn boundary pixels: labels ``(n, K * K)``, features ``(n, K * K, D)``."""
    reach = config.window_px // 2
    inner = boundary_pixels(labels)[:, reach:-reach, reach:-reach].cpu()
    centres = inner.nonzero()
    number = min(config.windows, len(centres) // config.window_px)
    drawn = torch.randperm(len(centres), generator=random)[:number]
    centres = centres[drawn].to(labels.device)
    step = torch.arange(config.window_px, device=labels.device)
    image = centres[:, 0, None, None]
    row = centres[:, 1, None, None] + step[:, None]
    column = centres[:, 2, None, None] + step[None, :]
    classes = labels[image, row, column].flatten(1)
    features = embedding.permute(0, 2, 3, 1)[image, row, column].flatten(1, 2).float()
    return classes, features


def _mean_and_scatter(features: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(n, D)`` and summed squared distance from it ``(n,)`` of the members of each window."""
    weight = members[..., None].to(features.dtype)
    mean = (features * weight).sum(1) / weight.sum(1)
    scatter = ((features - mean[:, None]).square() * weight).sum((1, 2))
    return mean, scatter
