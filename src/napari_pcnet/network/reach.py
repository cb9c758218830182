"""Which input pixels an output depends on, computed from the layers.

The network's own code runs on a stand-in for its input: `Intervals` holds, for every position along one
axis, the first and the last input position that it depends on. PyTorch passes each operation on such an
object to ``__torch_function__``, where kernel, stride and padding become a rule for intervals. So the halo
follows from the layers, whatever they are and in whatever order; an operation without a rule is refused.

All layers are square, so one axis stands for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_pcnet.geometry.grid import STRIDE, whole_strides
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.network.model import Output, PCNet

NOWHERE = 1 << 40
"""First position of an interval that is empty, as that of padding is."""


class Intervals:
    """Positions along one axis, each with the interval of input positions that it depends on.

    Stands in for a ``(B, C, H, W)`` tensor in the code of a network.

    Attributes
    ----------
    first, last : (n,) int64 array
        First and last input position. An interval that is empty has `first` behind `last`.
    """

    def __init__(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
        self.first, self.last = first, last

    @classmethod
    def of_input(cls, length: int) -> Intervals:
        """The input itself: every position depends on itself."""
        return cls(np.arange(length), np.arange(length))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Intervals:
        if function not in _RULES:
            raise NotImplementedError(f"there is no rule for the reach of {function.__name__}")
        return _RULES[function](*arguments, **(keywords or {}))

    def __add__(self, other: Intervals) -> Intervals:
        return Intervals(np.minimum(self.first, other.first), np.maximum(self.last, other.last))

    def __sub__(self, constant: Tensor) -> Intervals:
        return self

    def __getitem__(self, index: tuple[EllipsisType, slice, slice]) -> Intervals:
        return Intervals(self.first[index[-1]], self.last[index[-1]])

    def __len__(self) -> int:
        return len(self.first)

    def detach(self) -> Intervals:
        """As of a tensor: the values stay the same."""
        return self

    def dim(self) -> int:
        """Number of axes of the tensor that this stands for."""
        return 4

    def span(self, start: int, stop: int) -> slice:
        """Input positions that the positions from `start` to before `stop` depend on."""
        return slice(int(self.first[start:stop].min()), int(self.last[start:stop].max()) + 1)


def needed(layer: Callable[[Tensor], Tensor], span: slice, length: int) -> slice:
    """Input positions that a part of a layer's output depends on.

    Parameters
    ----------
    layer : callable
        A layer, or several that follow each other.
    span : slice
        Positions of the output.
    length : int
        Positions of the whole input.
    """
    output = cast(Intervals, layer(cast(Tensor, Intervals.of_input(length))))
    return output.span(span.start, span.stop)


def halo_of(model: PCNet) -> Halo:
    """Work pixels that a network needs around a window that starts and ends on multiples of `STRIDE`.

    Parameters
    ----------
    model : PCNet
        In ``eval`` mode.

    Returns
    -------
    Halo
        In whole strides.
    """
    length = 8 * STRIDE
    while True:
        length *= 2
        window = slice(length // 2, length // 2 + STRIDE)
        read = window_input(model, window, length)
        if read.start > 0 and read.stop < length:  # else the frame may cut it off
            break
    return Halo(_up_to_strides(window.start - read.start), _up_to_strides(read.stop - window.stop))


def window_input(model: PCNet, window: slice, length: int) -> slice:
    """Work pixels, of a frame of `length`, on which association and boundaries in a window depend."""
    output: Output = model(Intervals.of_input(length))
    maps = [output.logits, *output.finer, *([] if output.boundary is None else [output.boundary])]
    spans = [cast(Intervals, each).span(window.start, window.stop) for each in maps]
    return slice(min(span.start for span in spans), max(span.stop for span in spans))


def _up_to_strides(length: int) -> int:
    return whole_strides(length) if length > 0 else 0


def _conv(
    values: Intervals,
    weight: Tensor,
    _bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    _groups: int,
) -> Intervals:
    """Output ``o`` takes the inputs ``o stride - padding + t dilation`` for all taps ``t``."""
    assert weight.shape[-2] == weight.shape[-1], "layers are square"
    reach = dilation[-1] * (weight.shape[-1] - 1)
    number = (len(values) + 2 * padding[-1] - reach - 1) // stride[-1] + 1
    first, last = _nowhere(len(values) + 2 * padding[-1])
    inside = slice(padding[-1], padding[-1] + len(values))
    first[inside], last[inside] = values.first, values.last
    result = Intervals(*_nowhere(number))
    for tap in range(0, reach + 1, dilation[-1]):
        taken = slice(tap, tap + (number - 1) * stride[-1] + 1, stride[-1])
        result += Intervals(first[taken], last[taken])
    return result


def _conv_transpose(
    values: Intervals,
    weight: Tensor,
    _bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    output_padding: tuple[int, int],
    _groups: int,
    dilation: tuple[int, int],
) -> Intervals:
    """Input ``i`` gives to the outputs ``i stride - padding + t dilation``."""
    assert weight.shape[-2] == weight.shape[-1], "layers are square"
    reach = dilation[-1] * (weight.shape[-1] - 1)
    spread = (len(values) - 1) * stride[-1] + 1
    result = Intervals(*_nowhere(spread + reach + output_padding[-1]))
    for tap in range(0, reach + 1, dilation[-1]):
        given = slice(tap, tap + spread, stride[-1])
        result.first[given] = np.minimum(result.first[given], values.first)
        result.last[given] = np.maximum(result.last[given], values.last)
    kept = slice(padding[-1], len(result) - padding[-1])
    return Intervals(result.first[kept], result.last[kept])


def _enlarged(values: Intervals, factor: int) -> Intervals:
    return Intervals(np.repeat(values.first, factor), np.repeat(values.last, factor))


def _reduced(values: Intervals, factor: int) -> Intervals:
    return Intervals(
        values.first.reshape(-1, factor).min(axis=1), values.last.reshape(-1, factor).max(axis=1)
    )


def _interpolate(values: Intervals, *, scale_factor: float, mode: str, **_unused: object) -> Intervals:
    assert mode == "nearest" and scale_factor == int(scale_factor), "other modes reach further"
    return _enlarged(values, int(scale_factor))


def _joined(parts: Sequence[Intervals], dim: int) -> Intervals:
    assert dim == 1, "channels are joined, not places"
    result = parts[0]
    for part in parts[1:]:
        result += part
    return result


def _pointwise(values: Intervals, *_arguments: object, **_keywords: object) -> Intervals:
    return values


def _nowhere(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.full(length, NOWHERE), np.full(length, -1)


_RULES: dict[Callable[..., Any], Callable[..., Intervals]] = {
    F.conv2d: _conv,
    F.conv_transpose2d: _conv_transpose,
    F.pixel_shuffle: _enlarged,
    F.pixel_unshuffle: _reduced,
    F.avg_pool2d: _reduced,
    F.interpolate: _interpolate,
    F.batch_norm: _pointwise,
    F.leaky_relu: _pointwise,
    F.relu: _pointwise,
    torch.cat: _joined,
}
"""What each operation does to intervals; the arguments are the operation's own."""
