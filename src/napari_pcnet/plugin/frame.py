"""The frame of a result: its layer is as large as the part that was segmented, or as the image around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.memory import free_bytes, memory_text
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.source import Source

BYTES_PER_PX = 8
"""Of a layer that is larger than its part: its labels, and its regions where the slider looks them up."""


@dataclass(frozen=True)
class Frame:
    """The array of a result's layer, and where in it the segmented part lies.

    Attributes
    ----------
    shape : tuple of int
        ``(..., H, W)``, of the layer's axes.
    transform : mapping
        Options of the layer that put this array on the image.
    part : tuple
        Index of the segmented part.
    part_shape : tuple of int
    """

    shape: tuple[int, ...]
    transform: Mapping[str, Any]
    part: tuple[EllipsisType | slice, ...]
    part_shape: tuple[int, ...]

    @classmethod
    def of(cls, source: Source, planes: Planes, *, image_sized: bool = False) -> Frame:
        """The frame of a result of some planes of an image."""
        whole = replace(planes, crop=source.plane_window) if image_sized else planes
        part = (Ellipsis, *(planes.crop.slices if image_sized else ()))
        shape, part_shape = source.labels_shape(whole), source.labels_shape(planes)
        return cls(shape, source.labels_transform(whole), part, part_shape)

    @property
    def is_larger(self) -> bool:
        """Whether there is more than the segmented part."""
        return self.shape != self.part_shape

    def check_memory(self) -> None:
        """Refuse to hold labels that are as large as the image where there is no memory for them."""
        needed_bytes = BYTES_PER_PX * int(np.prod(self.shape, dtype=np.int64))
        if self.is_larger and needed_bytes > free_bytes():
            raise ValueError(
                f"labels as large as the image need {memory_text(needed_bytes)} of memory, and "
                f"{memory_text(free_bytes())} are free: untick 'labels as large as image'"
            )

    def around(self, part: NDArray[Any], outside: int = 0) -> NDArray[Any]:
        """An array of the frame that holds the segmented part; of its very memory where that is all."""
        if not self.is_larger:
            return part.reshape(self.shape)
        whole = np.full(self.shape, outside, part.dtype)
        whole[self.part] = part.reshape(self.part_shape)
        return whole
