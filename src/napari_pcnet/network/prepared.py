"""A network made ready to run: on one device, in one precision, with its normalisation folded away.

Preparing takes longer than a small picture does. What is prepared is never changed, so that calls and threads
may share it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_pcnet.geometry.grid import OF_THE_PAPER, Fineness
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.merging.cost import MergeClassifier
from napari_pcnet.network.machine import survive_forks
from napari_pcnet.network.model import ConvBlock, PCNet, channels_last, strided, weights_drawn_by
from napari_pcnet.network.quantise import shapes
from napari_pcnet.network.reach import halo_of
from napari_pcnet.network.whole_numbers import Computed, WholeNumbers
from napari_pcnet.options import Precision


class WholeNetwork(NamedTuple):
    """A network in whole numbers, on its device."""

    computed: Computed
    steps: NDArray[np.float32]  # (256,) boundary probability of each logit, in whole steps
    rim: NDArray[np.uint8]  # (3,) colour beyond the rim of the frame
    logit_scales: NDArray[np.float32]  # (cells,) what a step of the association's logits stands for


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
        In floats.
    device : torch.device
    dtype : torch.dtype
        uint8 for whole numbers.
    halo : Halo
        How far it reads.
    classifier : MergeClassifier or None
        Its merge classifier, if it has one.
    fineness : Fineness
        Of its lattices.
    whole : WholeNetwork or None
        The network in whole numbers, if that is what computes.
    """

    network: PCNet
    device: torch.device
    dtype: torch.dtype
    halo: Halo
    classifier: MergeClassifier | None
    fineness: Fineness = OF_THE_PAPER
    whole: WholeNetwork | None = None

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
        Of a network in floats; 'auto' is float32. One in whole numbers computes in these.

    Raises
    ------
    ValueError
        If the device does not have the precision.
    """
    survive_forks()
    fineness = model.config.fineness
    if model.whole_numbers is not None:
        whole = _whole(model, model.whole_numbers, device)
        return PreparedNetwork(
            model, device, torch.uint8, halo_of(model), _classifier(model), fineness, whole
        )
    dtype = DTYPES["float32" if precision == "auto" else precision]
    if device.type == "mps" and dtype == torch.float64:
        raise ValueError("precision 'float64' does not exist on MPS: use float32, or device='cpu'")
    network = channels_last(_fused(model).to(dtype).to(device)).requires_grad_(False)
    return PreparedNetwork(network, device, dtype, halo_of(network), _classifier(model), fineness)


def _classifier(model: PCNet) -> MergeClassifier | None:
    return None if model.merge_classifier is None else model.merge_classifier.as_numpy()


def _whole(model: PCNet, numbers: WholeNumbers, device: torch.device) -> WholeNetwork:
    return WholeNetwork(
        Computed(numbers, shapes(model.config), device),
        numbers.steps.numpy().astype(np.float32),
        numbers.rim.numpy(),
        numbers.logit_scales.numpy(),
    )


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
    """The unshuffle and the 3 x 3 convolution behind it as one strided convolution of the frame."""
    small, f = fused.get_submodule("encoder.0.0.0"), fused.stem.factor
    assert isinstance(small, nn.Conv2d)
    with weights_drawn_by(None):  # they are replaced
        large = nn.Conv2d(3, small.out_channels, 3 * f, stride=f, padding=f)
    large.weight = nn.Parameter(strided(small.weight.detach(), f))
    large.bias = small.bias
    return large
