"""From a network in floats to one in whole numbers, and back for further training.

Scales are measured: a few pictures run through the float network, layer by layer, and each layer is rounded
by the range of what it gives. Weights are multiplied by the scale of what they read and divided by that of
what they make, so that a layer can read channels of different scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pcnet.geometry.picture import BYTE_TOP, COLOUR_STEPS
from napari_pcnet.merging.exact import logistic
from napari_pcnet.network.association import NEIGHBOURS
from napari_pcnet.network.model import ConvBlock, PCNet, PCNetConfig, RepeatBlock, strided
from napari_pcnet.network.whole_numbers import (
    CODE_TOP,
    MAX_SHIFT,
    SUM_BITS,
    Shape,
    WholeLayer,
    WholeNumbers,
    boundary_logits,
    check,
    power_of_two,
    shapes_of,
    trunk,
)

KEPT_SHARE = 0.9995
"""Share of activations that do not reach the upper end of their range."""


def shapes(config: PCNetConfig) -> dict[str, Shape]:
    """Every layer of a network that predicts blocks, by its name in whole numbers."""
    levels, block, cells = len(config.widths), len(config.block), len(config.cells)
    return shapes_of(config.reduction, levels, block, cells, bool(config.boundary))


def quantise(model: PCNet, pictures: Tensor) -> WholeNumbers:
    """Round a network to whole numbers.

    Parameters
    ----------
    model : PCNet
        With ``PCNetConfig.block``, in ``eval`` mode, on the CPU.
    pictures : (B, 3, H, W) tensor
        In 0..1; ranges are measured on them. H and W are multiples of 64.

    Returns
    -------
    WholeNumbers

    Raises
    ------
    ValueError
        If the network has the paper's tail.
    """
    config = model.config
    if not config.block:
        raise ValueError("only a network that predicts blocks can be rounded to whole numbers")
    quantiser = Quantiser(float_layers(model), shapes(model.config))
    mean = model.mean.reshape(3)
    rim = (mean * BYTE_TOP).round()
    with torch.no_grad():
        centred = pictures - model.mean
        beyond = config.reduction
        centred = F.pad(centred, (beyond, beyond, beyond, beyond))
        first = quantiser.layer("first", Measured(centred, torch.full((3,), 1 / BYTE_TOP), mean * BYTE_TOP))
        features, context = trunk(quantiser, first, len(config.widths), bool(config.boundary))
        if context is not None:
            boundary_logits(quantiser, context)
        for layer in range(len(config.block)):
            features = quantiser.layer(f"block.{layer}", features)
        for cell in range(len(config.cells)):
            quantiser.layer(f"heads.{cell}", features)
    steps = torch.zeros(0, dtype=torch.int32)
    if config.boundary:
        low, high = quantiser.ranges["boundary.refine.2"]
        logits = low + (high - low) * np.arange(CODE_TOP + 1) / CODE_TOP
        steps = torch.from_numpy(np.rint(COLOUR_STEPS * logistic(logits)).astype(np.int32))
    ends = [quantiser.ranges[f"heads.{cell}"] for cell in range(len(config.cells))]
    scales = torch.tensor([(high - low) / CODE_TOP for low, high in ends])
    return WholeNumbers(quantiser.layers, steps, rim.to(torch.uint8), scales)


def sizes(model: PCNet) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of every layer, by its name in whole numbers."""
    factor = model.config.reduction
    found = {}
    for name in shapes(model.config):
        convolution, _ = _modules(model, name)
        outputs, inputs, *kernel = convolution.weight.shape
        if name == "first":
            inputs, kernel = 3, [3 * factor, 3 * factor]
        if name.startswith("boundary.lateral."):
            inputs += outputs
        found[name] = (outputs, inputs, *kernel)
    return found


def implied(model: PCNet) -> set[str]:
    """Parameters that follow from whole numbers; `restore` sets them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(_modules(model, name)[0].weight)] for name in shapes(model.config)}


class FloatLayer(NamedTuple):
    """A convolution with its normalisation folded in."""

    weight: Tensor
    bias: Tensor
    activation: Callable[[Tensor], Tensor]


def float_layers(model: PCNet) -> dict[str, FloatLayer]:
    """The layers of a network that `shapes` names, folded, in float32."""
    found = {}
    for name in shapes(model.config):
        convolution, normalisation = _modules(model, name)
        weight, bias = convolution.weight.detach().double(), convolution.bias
        folded = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.detach().double()
        if normalisation is not None:
            gain, offset = _gain_and_offset(normalisation)
            weight, folded = weight * gain[:, None, None, None], folded * gain + offset
        is_linear = normalisation is None
        if name == "first":
            weight = strided(weight, model.config.reduction)
        if name.startswith("boundary.lateral."):
            weight = torch.cat([weight, torch.eye(len(weight), dtype=torch.float64)[:, :, None, None]], dim=1)
            is_linear = not name.endswith(f".{len(model.up) - 1}")  # refining begins with ReLU
        activation = nn.Identity() if is_linear else nn.ReLU()
        found[name] = FloatLayer(weight.float(), folded.float(), activation)
    return found


def restore(model: PCNet, numbers: WholeNumbers) -> None:
    """Give a network, whose other parameters are set, the convolutions that whole numbers stand for."""
    for name, layer in numbers.layers.items():
        convolution, normalisation = _modules(model, name)
        weight = layer.weight.double() * layer.unit.double()[None, :, None, None]
        weight = weight * power_of_two(-layer.shift)[:, None, None, None]
        if normalisation is not None:
            gain, _ = _gain_and_offset(normalisation)
            weight = weight / torch.where(gain.abs() > 1e-12, gain, torch.inf)[:, None, None, None]
        if name == "first":
            weight = _unshuffled(weight, model.config.reduction)
        weight = weight[:, : convolution.in_channels]  # the boundary decoder's sum has become channels
        convolution.weight.data.copy_(weight)


def _modules(model: PCNet, name: str) -> tuple[nn.Conv2d, nn.BatchNorm2d | None]:
    """The convolution of a layer, and the normalisation behind it."""
    module = model.get_submodule("encoder.0.0" if name == "first" else name)
    if isinstance(module, RepeatBlock):
        module = module[0]
    if isinstance(module, ConvBlock):
        convolution, normalisation = module[0], module[1]
        assert isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d)
        return convolution, normalisation
    assert isinstance(module, nn.Conv2d)
    return module, None


def _gain_and_offset(normalisation: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a normalisation multiplies by, and what it adds."""
    assert normalisation.running_mean is not None and normalisation.running_var is not None
    deviation = (normalisation.running_var.double() + normalisation.eps).sqrt()
    gain = normalisation.weight.detach().double() / deviation
    return gain, normalisation.bias.detach().double() - normalisation.running_mean.double() * gain


def _unshuffled(weight: Tensor, factor: int) -> Tensor:
    """Undo `strided`."""
    split = weight.reshape(-1, 3, 3, factor, 3, factor).permute(0, 1, 3, 5, 2, 4)
    return split.reshape(-1, 3 * factor * factor, 3, 3)


class Measured(NamedTuple):
    """Activations as floats, and how whole numbers stand for them: ``value = scale * (number - zero)``."""

    values: Tensor  # (B, C, H, W)
    scale: Tensor  # (C,)
    zero: Tensor  # (C,)


@dataclass
class Quantiser:
    """Computes layers in floats, and rounds each of them as it goes; an `Arithmetic`.

    Attributes
    ----------
    floats : mapping of str to FloatLayer
    shapes : mapping of str to Shape
    layers : dict of str to WholeLayer
        Made so far.
    ranges : dict of str to (low, high)
        What the smallest and the largest number of a layer's output stand for.
    """

    floats: Mapping[str, FloatLayer]
    shapes: Mapping[str, Shape]
    layers: dict[str, WholeLayer] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def layer(self, name: str, values: Measured) -> Measured:
        """Apply a layer in floats, and quantise it by the range of its output."""
        shape, layer = self.shapes[name], self.floats[name]
        output = layer.activation(
            F.conv2d(values.values, layer.weight, layer.bias, shape.stride, shape.padding)
        )
        low, high = _range(output, is_choice=name.startswith("heads."))
        scale = max(high - low, 1e-6) / shape.top
        zero = round(-low / scale)
        self.ranges[name] = (-zero * scale, (shape.top - zero) * scale)
        self.layers[name] = _whole(layer, values, scale, zero, shape)
        check(self.layers[name], shape, name)
        ones = torch.ones(output.shape[1])
        return Measured(output, scale * ones, zero * ones)

    def join(self, parts: Sequence[Measured], half: Measured) -> Measured:
        """Join channels; each pixel of `half` is repeated, twice along both axes."""
        repeated = F.interpolate(half.values, scale_factor=2.0, mode="nearest")
        values, scale, zero = zip(*parts, half._replace(values=repeated), strict=True)
        return Measured(torch.cat(values, dim=1), torch.cat(scale), torch.cat(zero))


def _range(values: Tensor, *, is_choice: bool) -> tuple[float, float]:
    """The range that is kept; of a choice, the best must not be cut off, nor most of the second best."""
    if is_choice:
        two = values.unflatten(1, (NEIGHBOURS, -1)).topk(2, dim=1).values
        return _quantile(two[:, 1], 1 - KEPT_SHARE), float(two.max())
    low = 0.0 if float(values.min()) >= 0 else _quantile(values, 1 - KEPT_SHARE)
    return low, _quantile(values, KEPT_SHARE)


def _whole(layer: FloatLayer, inputs: Measured, scale: float, zero: int, shape: Shape) -> WholeLayer:
    """Round weights and bias, each channel in the finest steps that keep its sums exact."""
    unit = scale / inputs.scale
    weight = layer.weight.double() / unit.double()[None, :, None, None]
    bias = layer.bias.double() / scale + zero - (weight.sum((2, 3)) * inputs.zero).sum(1)
    assert shape.padding == 0 or not bool(inputs.zero.any()), "what is padded stands for zero"
    most = shape.weight_top
    tiny = torch.finfo(torch.float32).tiny
    shift = torch.floor(torch.log2(most / weight.abs().amax((1, 2, 3)).clamp_min(tiny)))
    sums = weight.abs().sum((1, 2, 3)) * shape.input_top + bias.abs()
    rounded = weight[0].numel() * shape.input_top  # at most this much more, halved, by rounding
    room = torch.floor(torch.log2(((1 << SUM_BITS) - rounded) / sums.clamp_min(tiny)))
    shift = torch.minimum(shift, room).clamp(0, MAX_SHIFT)
    factor = power_of_two(shift.to(torch.int32))
    return WholeLayer(
        (weight * factor[:, None, None, None]).round().clamp(-most, most).to(torch.int8),
        shift.to(torch.int8),
        (bias * factor).round().to(torch.int32),
        unit.float(),
    )


def _quantile(values: Tensor, share: float) -> float:
    return float(np.quantile(values.numpy(), share))
