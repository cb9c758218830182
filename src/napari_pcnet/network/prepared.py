"""A network made ready to run: on one device, in one precision, with its normalisation folded away.

Preparing takes longer than a small picture does. What is prepared is never changed, so that calls and threads
may share it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_pcnet.geometry.grid import OF_THE_PAPER, Fineness
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.merging.tree import MergeClassifier
from napari_pcnet.network.machine import survive_forks
from napari_pcnet.network.model import ConvBlock, PCNet, channels_last, weights_drawn_by
from napari_pcnet.network.reach import halo_of
from napari_pcnet.options import Precision

DTYPES: dict[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A network with all that a run takes from it.

    Attributes
    ----------
    network : PCNet
    device : torch.device
    dtype : torch.dtype
    halo : Halo
        How far it reads.
    classifier : MergeClassifier or None
        Its merge classifier, if it has one.
    fineness : Fineness
        Of its lattices.
    """

    network: PCNet
    device: torch.device
    dtype: torch.dtype
    halo: Halo
    classifier: MergeClassifier | None
    fineness: Fineness = OF_THE_PAPER

    @property
    def reads(self) -> type[np.floating[Any]]:
        """Type in which pictures are read."""
        return np.float64 if self.dtype == torch.float64 else np.float32


def prepare(model: PCNet, device: torch.device, precision: Precision = "auto") -> PreparedNetwork:
    """Prepare a copy of a model.

    Parameters
    ----------
    model : PCNet
        Not changed.
    device : torch.device
    precision : str
        'auto' is float32.

    Raises
    ------
    ValueError
        If the device does not have the precision.
    """
    survive_forks()
    dtype = DTYPES["float32" if precision == "auto" else precision]
    if device.type == "mps" and dtype == torch.float64:
        raise ValueError("precision 'float64' does not exist on MPS: use float32, or device='cpu'")
    network = channels_last(_fused(model).to(dtype).to(device)).requires_grad_(False)
    merging = model.merge_classifier
    classifier = None if merging is None else merging.as_numpy()
    return PreparedNetwork(network, device, dtype, halo_of(network), classifier, model.config.fineness)


def _fused(model: PCNet) -> PCNet:
    """A copy with every normalisation folded into the convolution before it."""
    fused = copy.deepcopy(model).eval().double()
    for block in fused.modules():
        if isinstance(block, ConvBlock):
            block[0] = fuse_conv_bn_eval(block[0], block[1])  # type: ignore[arg-type, type-var]
            block[1] = nn.Identity()
        elif isinstance(block, nn.LeakyReLU | nn.ReLU):
            block.inplace = True
    if fused.stem.stem == "unshuffle":
        fused.stem, fused.encoder[0][0][0] = nn.Identity(), _strided(fused)  # type: ignore[index, assignment]
    return fused


def _strided(fused: PCNet) -> nn.Conv2d:
    """The unshuffle and the 3 x 3 convolution behind it as one strided convolution of the frame.

    A block's pixel (i, j) of channel c is unshuffled channel ``(c * f + i) * f + j``; block (y, x) of
    the 3 x 3 holds the frame's pixels ``(f y + i, f x + j)``.
    """
    small, f = fused.get_submodule("encoder.0.0.0"), fused.stem.factor
    assert isinstance(small, nn.Conv2d)
    outputs = small.out_channels
    with weights_drawn_by(None):  # they are replaced
        large = nn.Conv2d(3, outputs, 3 * f, stride=f, padding=f)
    weight = small.weight.detach().reshape(outputs, 3, f, f, 3, 3).permute(0, 1, 4, 2, 5, 3)
    large.weight = nn.Parameter(weight.reshape(outputs, 3, 3 * f, 3 * f))
    large.bias = small.bias
    return large
