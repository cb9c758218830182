"""The network in whole numbers: the same labels on every processor and device, for any windows and threads.

Pixels are whole numbers from 0 to 255, activations from 0 to 127, weights from -127 to 127. A layer
multiplies and adds them without rounding, adds its bias, and divides by a power of two:

    output = clip(round((sum of weight * input + bias) / 2**shift), 0, top)

rounded half to even, with a shift for each output channel. The sums stay below 2**24, so float32 holds them
and the quotient exactly, in whatever order they are added: a float convolution gives the same as one in whole
numbers, and nothing depends on how a library computes it. Two neighbouring products stay below 2**15, which
is what processors without VNNI add in 16 bits.

The scales of activations are free numbers, one for each layer, measured on pictures (`quantise`); weights
contain them, so that they are needed no more. Quantisation by powers of two follows Jain et al. 2020,
"Trained Quantization Thresholds for Accurate and Efficient Fixed-Point Inference of Deep Neural Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_pcnet.geometry.picture import BYTE_TOP, COLOUR_STEPS

TOP = 127
"""Largest value of an activation."""

CODE_TOP = 255
"""Largest value of a logit, which no layer reads."""

WEIGHT_TOP = 127
SUM_BITS = 24
PAIR_TOP = (1 << 15) - 1
"""Largest sum of two products."""

MAX_SHIFT = 24

WORD = 8
"""Bytes that are copied at once."""

WHOLE = "whole."
"""What names of tensors in a file begin with."""


@dataclass(frozen=True, eq=False)
class WholeLayer:
    """A convolution in whole numbers.

    Attributes
    ----------
    weight : (outputs, inputs, k, k) int8 tensor
    shift : (outputs,) int8 tensor
    bias : (outputs,) int32 tensor
    unit : (inputs,) float32 tensor
        What a weight stands for: ``weight * unit / 2**shift`` is that of the float network.
    """

    weight: Tensor
    shift: Tensor
    bias: Tensor
    unit: Tensor


class Shape(NamedTuple):
    """What a layer is besides its numbers."""

    stride: int
    padding: int
    input_top: int
    top: int

    @property
    def weight_top(self) -> int:
        """Largest weight: two products must not exceed `PAIR_TOP`."""
        return min(WEIGHT_TOP, PAIR_TOP // (2 * self.input_top))


@dataclass(frozen=True, eq=False)
class WholeNumbers:
    """The numbers of a whole network.

    Attributes
    ----------
    layers : mapping of str to WholeLayer
        By the names that `shapes_of` lists.
    steps : (256,) int32 tensor
        Boundary probability of each boundary logit, 0 to `COLOUR_STEPS`; empty without a boundary decoder.
    rim : (3,) uint8 tensor
        Colour beyond the rim of the frame.
    logit_scales : (cells,) float32 tensor
        What a step of the association's logits stands for, for each of the network's cells.
    """

    layers: Mapping[str, WholeLayer]
    steps: Tensor
    rim: Tensor
    logit_scales: Tensor


def shapes_of(reduction: int, levels: int, block: int, cells: int, has_boundary: bool) -> dict[str, Shape]:
    """Every layer of a network in whole numbers, by name.

    Parameters
    ----------
    reduction : int
        Side of a block of pixels.
    levels : int
        Stages of the encoder.
    block : int
        Layers of the tail.
    cells : int
        Heads.
    has_boundary : bool
        Whether there is a boundary decoder.
    """
    plain, pointwise, code = Shape(1, 1, TOP, TOP), Shape(1, 0, TOP, TOP), Shape(1, 0, TOP, CODE_TOP)
    shapes = {"first": Shape(reduction, 0, BYTE_TOP, TOP), "encoder.0.1": plain}
    for level in range(1, levels):
        shapes |= {f"encoder.{level}.0": Shape(2, 1, TOP, TOP), f"encoder.{level}.1": plain}
    for level in range(levels - 1):
        shapes |= {f"up.{level}": pointwise, f"fuse.{level}": plain}
    if has_boundary:
        shapes["boundary.deepest"] = pointwise
        shapes |= {f"boundary.lateral.{level}": pointwise for level in range(levels - 1)}
        shapes |= {"boundary.refine.1": plain, "boundary.refine.2": code}
    shapes |= {f"block.{layer}": plain for layer in range(block)}
    return shapes | {f"heads.{cell}": code for cell in range(cells)}


Values = TypeVar("Values")


class Arithmetic(Protocol[Values]):
    """How layers are computed; what the network's structure is written for."""

    def layer(self, name: str, values: Values) -> Values:
        """Apply a layer."""

    def join(self, parts: Sequence[Values], half: Values) -> Values:
        """Join channels; each pixel of `half` is repeated, twice along both axes."""


def trunk(
    arithmetic: Arithmetic[Values], first: Values, levels: int, has_boundary: bool
) -> tuple[Values, Values | None]:
    """Encode and decode what the first layer gave; features, and those of boundaries if there is a decoder.

    It is the structure of `model.PCNet` with `PCNetConfig.block`, where the sum of the boundary decoder's
    levels has become one layer. `boundary_logits` goes on from there.
    """
    features = arithmetic.layer("encoder.0.1", first)
    skips = []
    for level in range(1, levels):
        skips.append(features)
        features = arithmetic.layer(f"encoder.{level}.0", features)
        features = arithmetic.layer(f"encoder.{level}.1", features)
    context = arithmetic.layer("boundary.deepest", features) if has_boundary else None
    for level in range(levels - 1):
        skip = skips.pop()
        half = arithmetic.layer(f"up.{level}", features)
        features = arithmetic.layer(f"fuse.{level}", arithmetic.join([skip], half))
        if context is not None:
            joined = arithmetic.join([skip, features], context)
            context = arithmetic.layer(f"boundary.lateral.{level}", joined)
    return features, context


def boundary_logits(arithmetic: Arithmetic[Values], context: Values) -> Values:
    """Logits of boundaries."""
    return arithmetic.layer("boundary.refine.2", arithmetic.layer("boundary.refine.1", context))


def check(layer: WholeLayer, shape: Shape, name: str) -> None:
    """Refuse numbers with which sums would not be exact.

    Raises
    ------
    ValueError
        If a sum may reach 2**24, or a weight is too large for the sum of two products.
    """
    outputs = layer.weight.shape[0]
    if layer.shift.shape != (outputs,) or layer.bias.shape != (outputs,):
        raise ValueError(f"{name}: shift and bias must have one number for each of {outputs} channels")
    if not bool(((layer.shift >= 0) & (layer.shift <= MAX_SHIFT)).all()):
        raise ValueError(f"{name}: shifts must be from 0 to {MAX_SHIFT}")
    weight = layer.weight.to(torch.int64).abs()
    if int(weight.max()) > shape.weight_top:
        raise ValueError(f"{name}: weights must be from -{shape.weight_top} to {shape.weight_top}")
    sums = weight.sum((1, 2, 3)) * shape.input_top + layer.bias.to(torch.int64).abs()
    if int(sums.max()) >= 1 << SUM_BITS:
        raise ValueError(f"{name}: a sum may reach 2**{SUM_BITS}")


# ------------------------------------------------------------------------------------- files


def as_tensors(numbers: WholeNumbers) -> dict[str, Tensor]:
    """Tensors by their names in a file."""
    tensors = {f"{WHOLE}{name}": getattr(numbers, name) for name in ("steps", "rim", "logit_scales")}
    for name, layer in numbers.layers.items():
        tensors |= {f"{WHOLE}{name}.{each.name}": getattr(layer, each.name) for each in fields(layer)}
    return {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}


def from_tensors(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Shape], sizes: Mapping[str, tuple[int, ...]]
) -> WholeNumbers:
    """Read `as_tensors`.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    shapes : mapping of str to Shape
        Of the network's layers.
    sizes : mapping of str to tuple of int
        Shapes of their weights.

    Raises
    ------
    ValueError
        If a tensor is missing, or of another shape or type, or numbers are too large to be summed exactly.
    """
    rest = dict(tensors)

    def take(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor = rest.pop(WHOLE + name, None)
        if tensor is None or tensor.shape != shape or tensor.dtype != dtype:
            raise ValueError(f"{WHOLE}{name} must be {dtype} of shape {shape}")
        return tensor

    layers = {}
    for name, shape in shapes.items():
        outputs, inputs, *_ = sizes[name]
        layers[name] = WholeLayer(
            take(f"{name}.weight", sizes[name], torch.int8),
            take(f"{name}.shift", (outputs,), torch.int8),
            take(f"{name}.bias", (outputs,), torch.int32),
            take(f"{name}.unit", (inputs,), torch.float32),
        )
        check(layers[name], shape, name)
        if not bool((torch.isfinite(layers[name].unit) & (layers[name].unit > 0)).all()):
            raise ValueError(f"{WHOLE}{name}.unit must be positive numbers")
    has_boundary = "boundary.deepest" in shapes
    cells = sum(name.startswith("heads.") for name in shapes)
    steps = take("steps", (CODE_TOP + 1,) if has_boundary else (0,), torch.int32)
    if bool(((steps < 0) | (steps > COLOUR_STEPS)).any()):
        raise ValueError(f"{WHOLE}steps must be from 0 to {COLOUR_STEPS}")
    scales = take("logit_scales", (cells,), torch.float32)
    if not bool((torch.isfinite(scales) & (scales > 0)).all()):
        raise ValueError(f"{WHOLE}logit_scales must be positive numbers")
    numbers = WholeNumbers(layers, steps, take("rim", (3,), torch.uint8), scales)
    if rest:
        raise ValueError(f"{next(iter(rest))} is not part of the network")
    return numbers


# ------------------------------------------------------------------------------- arithmetic

Convolution = Callable[[Tensor], Tensor]
"""A layer, ready to run: uint8 to uint8."""


class Computed:
    """Layers computed on a device: by oneDNN in whole numbers where it can, by float convolutions elsewhere.

    Parameters
    ----------
    numbers : WholeNumbers
    shapes : mapping of str to Shape
    device : torch.device
    """

    def __init__(self, numbers: WholeNumbers, shapes: Mapping[str, Shape], device: torch.device) -> None:
        make = by_onednn if device.type == "cpu" and onednn_agrees() else by_floats
        self._convolutions = {
            name: make(_moved(layer, device), shapes[name]) for name, layer in numbers.layers.items()
        }

    def layer(self, name: str, values: Tensor) -> Tensor:
        """Apply a layer."""
        return self._convolutions[name](values)

    def join(self, parts: Sequence[Tensor], half: Tensor) -> Tensor:
        """Join channels; each pixel of `half` is repeated, twice along both axes."""
        every = [*parts, half]
        batch, _, height, width = parts[0].shape
        ends = list(accumulate(each.shape[1] for each in every))
        joined = half.new_empty((batch, height, width, ends[-1]))
        # eight channels at once are copied eight times as fast
        word = torch.uint8 if any(end % WORD for end in ends) else torch.int64
        size = word.itemsize
        words = joined.view(word)
        for part, end in zip(parts, ends, strict=False):
            words[..., (end - part.shape[1]) // size : end // size] = _last(part).view(word)
        repeated = words[..., ends[-2] // size :].unflatten(2, (width // 2, 2)).unflatten(1, (height // 2, 2))
        repeated[:] = _last(half).view(word)[:, :, None, :, None]
        return joined.permute(0, 3, 1, 2)


def by_floats(layer: WholeLayer, shape: Shape) -> Convolution:
    """A layer as a float32 convolution, whose sums are exact."""
    weight = layer.weight.float().contiguous(memory_format=torch.channels_last)
    bias, quotient = layer.bias.float(), power_of_two(-layer.shift)[:, None, None]

    def convolution(values: Tensor) -> Tensor:
        sums = F.conv2d(values.float(), weight, bias, shape.stride, shape.padding)
        # an algorithm that rounds inside, as Winograd's does, errs by less than a half
        return sums.round_().mul_(quotient).round_().clamp_(0, shape.top).to(torch.uint8)

    return convolution


def by_onednn(layer: WholeLayer, shape: Shape) -> Convolution:
    """A layer as a convolution of oneDNN in whole numbers: exact, too, with powers of two as its scales."""
    ones = [1, 1]
    stride, padding = [shape.stride] * 2, [shape.padding] * 2
    quotient = power_of_two(-layer.shift)
    bias = layer.bias.float() * quotient
    zeros = torch.zeros(len(quotient), dtype=torch.int32)
    packed = torch.ops.onednn.qconv_prepack(layer.weight, quotient, 1.0, 0, stride, padding, ones, 1, None)
    clips = shape.top < CODE_TOP  # else the type does
    name, limits = ("hardtanh", [0.0, float(shape.top)]) if clips else ("none", [])

    def convolution(values: Tensor) -> Tensor:
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            values, 1.0, 0, packed, quotient, zeros, bias, stride, padding, ones, 1, 1.0, 0, torch.uint8,
            name, limits, "",
        )  # fmt: skip
        return result

    return convolution


@lru_cache(maxsize=1)
def onednn_agrees() -> bool:
    """Whether this torch has oneDNN's convolutions in whole numbers, and they give what floats give."""
    with torch.autocast("cpu", enabled=False), torch.device("cpu"):  # a caller's would decide for ever
        return _onednn_agrees()


def _onednn_agrees() -> bool:
    random = torch.Generator().manual_seed(0)

    def drawn(shape: tuple[int, ...], low: int, high: int, dtype: torch.dtype) -> Tensor:
        return torch.randint(low, high + 1, shape, generator=random).to(dtype)

    for shape, inputs, kernel in (
        (Shape(4, 0, BYTE_TOP, TOP), 3, 12),
        (Shape(2, 1, TOP, TOP), 40, 3),
        (Shape(1, 0, TOP, CODE_TOP), 24, 1),
    ):
        most = shape.weight_top
        layer = WholeLayer(
            drawn((24, inputs, kernel, kernel), -most, most, torch.int8),
            drawn((24,), 8, 14, torch.int8),
            drawn((24,), -(1 << 18), 1 << 18, torch.int32),
            torch.ones(inputs),
        )
        image = drawn((1, inputs, 20, 28), 0, shape.input_top, torch.uint8).contiguous(
            memory_format=torch.channels_last
        )
        try:
            found = by_onednn(layer, shape)(image)
        except (AttributeError, RuntimeError):  # another build of torch
            return False
        if not torch.equal(found, by_floats(layer, shape)(image)):
            return False
    return True


def power_of_two(exponent: Tensor) -> Tensor:
    """2 to small whole numbers, exactly, in float32; `torch.exp2` may err in the last bit."""
    powers = np.ldexp(1.0, exponent.cpu().numpy()).astype(np.float32)
    return torch.from_numpy(powers).to(exponent.device)


def _last(values: Tensor) -> Tensor:
    """``(B, C, h, w)`` to ``(B, h, w, C)``, in this order in memory."""
    return values.permute(0, 2, 3, 1).contiguous()


def _moved(layer: WholeLayer, device: torch.device) -> WholeLayer:
    return WholeLayer(*(getattr(layer, each.name).to(device) for each in fields(layer)))
