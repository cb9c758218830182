"""Image layers and the layers with their labels, as the pictures that a training reads.

Each plane of a stack is a picture. One picture alone is cut into quarters, since some of what is labelled is
held out for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.datasets import write_pair
from napari_pcnet.plugin.pixels import LayerPixels
from napari_pcnet.plugin.source import Source
from napari_pcnet.shapes import Labels as LabelArray
from napari_pcnet.shapes import size_text

if TYPE_CHECKING:
    from napari.layers import Labels

LEAST_PICTURES = 2
"""One to learn from, and one to score."""

OFF_PX = 0.5
"""How far a corner of the labels may lie from that of the image."""


@dataclass(frozen=True)
class LayerPair:
    """An image with its labels.

    Attributes
    ----------
    source : Source
        At full resolution.
    labels : Labels
        0 is a label like the others.
    """

    source: Source
    labels: Labels

    @property
    def array(self) -> Any:  # whatever the layer holds
        """The labels at full resolution; nothing of them is read here."""
        return self.labels.data[0] if self.labels.multiscale else self.labels.data

    def check(self) -> None:
        """Refuse labels that are not those of the image.

        Raises
        ------
        ValueError
            If they have another shape, or lie elsewhere.
        """
        shape, expected = tuple(map(int, self.array.shape)), shape_of_labels(self.source)
        names = f"'{self.labels.name}'", f"'{self.source.name}'"
        if shape != expected:
            raise ValueError(
                f"{names[0]} is {size_text(shape)} pixels, but its image {names[1]} is "
                f"{size_text(expected)}; they must be the same"
            )
        if self._off_px() > OFF_PX:
            raise ValueError(f"{names[0]} lies elsewhere than its image {names[1]}; choose labels made of it")

    def _off_px(self) -> float:
        """How far the corners of the labels lie from those of the image, in pixels."""
        ndim = self.source.layer.ndim
        if self.source.plane_axes != (ndim - 2, ndim - 1):
            return 0.0  # a viewer draws labels along the last axes, which are others here
        corners = np.array([np.zeros(self.labels.ndim), np.subtract(self.array.shape, 1)])
        world = np.array([self.labels.data_to_world(corner) for corner in corners])
        return float(np.abs(self.source.to_level_pixels(world) - corners[:, -2:]).max())

    def pictures(self) -> Iterator[tuple[NDArray[Any], LabelArray]]:
        """Read each plane, ``(H, W[, C])``, with its labels; those of a single label are passed over."""
        planes = self.source.planes()
        lengths = shape_of_labels(self.source)[:-2]
        for index in planes.indices:
            at = iter(index)
            place = tuple(next(at) if length > 1 else 0 for length in lengths)
            labels = np.array(LayerPixels(self.array, self.labels.name)[place])
            if is_learnable(labels):
                pixels, axis = planes.read(index)
                yield (pixels if axis is None else np.moveaxis(pixels, axis, -1)), labels


def shape_of_labels(source: Source) -> tuple[int, ...]:
    """Shape of the labels of a whole image."""
    return tuple(side for axis, side in enumerate(source.shape) if axis != source.channel_axis)


def is_learnable(labels: LabelArray) -> bool:
    """Whether labels, ``(H, W)``, have a boundary."""
    return bool((labels != labels.flat[0]).any())


def write_pairs(folder: Path, pairs: Sequence[LayerPair], check: Callable[[], None]) -> int:
    """Write a folder for `training.finetune.finetune`; return how many pictures it has.

    Parameters
    ----------
    folder : Path
    pairs : sequence of LayerPair
        `LayerPair.check` has passed them.
    check : callable
        Called after each picture; may raise.

    Raises
    ------
    ValueError
        If there is nothing to learn from, or pixels cannot be read.
    """
    number = 0
    for pixels, labels in _pictures(pairs):
        write_pair(folder, f"{number:04d}", pixels, labels)
        number += 1
        check()
    return number


def _pictures(pairs: Sequence[LayerPair]) -> Iterator[tuple[NDArray[Any], LabelArray]]:
    """All pictures; of a single one its quarters."""
    every = (picture for pair in pairs for picture in pair.pictures())
    first, second = next(every, None), next(every, None)
    if first is None:
        names = ", ".join(f"'{pair.labels.name}'" for pair in pairs)
        raise ValueError(f"{names} has a single class, so there is no boundary to learn from")
    if second is None:
        yield from _quarters(*first)
        return
    yield first
    yield second
    yield from every


def _quarters(pixels: NDArray[Any], labels: LabelArray) -> list[tuple[NDArray[Any], LabelArray]]:
    """The quarters of a picture that have a boundary."""
    halves = [(slice(0, side // 2), slice(side // 2, side)) for side in labels.shape]
    quarters = [part for part in product(*halves) if labels[part].size and is_learnable(labels[part])]
    if len(quarters) < LEAST_PICTURES:
        raise ValueError(
            "one picture alone is cut into quarters, and fewer than two of them have a boundary; label more "
            "of it, or another picture"
        )
    return [(pixels[part], labels[part]) for part in quarters]
