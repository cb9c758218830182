"""What commands on regions read: labels and what is none, and the picture's level, part and channels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_pcnet.disk import pictures
from napari_pcnet.disk.labels import read_notes
from napari_pcnet.record import outside_label
from napari_pcnet.shapes import plane_axes

BACKGROUND = {
    "help": "label of what is no region; default as the record in our own files says, 0 in others",
    "read": int,
}
"""Of the field of that name."""


def background_of(labels: Path, asked: int | None) -> int:
    """The label of what is no region: the one that is asked for, or that of the file's record."""
    recorded = outside_label(read_notes(labels)) if asked is None else asked
    return 0 if recorded is None else recorded


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
