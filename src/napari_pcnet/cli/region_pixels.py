"""The picture that labels are of, as commands on regions find it: its level, its part, its channels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_pcnet.disk import pictures
from napari_pcnet.shapes import plane_axes


@dataclass(frozen=True, kw_only=True)
class LabelledPart:
    """Which part of which picture in a file the labels are of."""

    level: int = field(default=0, metadata={"help": "size of a pyramid that the labels are of (default: 0)"})
    series: int = field(default=0, metadata={"help": "which of several pictures in the file (default: 0)"})
    crop: tuple[int, int, int, int] | None = field(
        default=None, metadata={"help": "top left bottom right of the part that the labels are of"}
    )

    def read(self, path: Path) -> tuple[Any, int | None]:
        """The pixels of the part, and the axis of their channels."""
        image = pictures.read_image(path, level=self.level, series=self.series)
        if self.crop is None:
            return image.pixels, image.channel_axis
        top, left, bottom, right = self.crop
        height, width = image.plane_shape
        if not (0 <= top < bottom <= height and 0 <= left < right <= width):
            raise ValueError(
                f"crop must be top, left, bottom, right inside the {height} x {width} pixels of {path}, "
                f"got {self.crop}"
            )
        key = [slice(None)] * len(image.pixels.shape)
        rows, columns = plane_axes(len(key), image.channel_axis)
        key[rows], key[columns] = slice(top, bottom), slice(left, right)
        return image.pixels[tuple(key)], image.channel_axis
