"""Pairs of an image and its ground truth, as folders on disk hold them.

A split is a folder with ``images/`` and ``labels/``: ``images/ID.jpg`` goes with ``labels/ID.png``,
or with several annotations ``labels/ID-A.png``, as BSDS500 has them. Labels are single-channel
integers of the size of the image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import images

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
LABEL_ENDINGS = (".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Pair:
    """One image with its annotations."""

    name: str
    image: Path
    annotations: tuple[Path, ...]

    def read_image(self) -> NDArray[np.uint8]:
        """Read the image as ``(H, W, 3)`` uint8; grey is repeated."""
        pixels = images.read_image(self.image).pixels
        if pixels.dtype != np.uint8:
            raise ValueError(f"{self.image} must be an 8-bit image, got {pixels.dtype}")
        return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels[..., :3]

    def read_annotations(self) -> list[NDArray[np.integer]]:
        """Read every annotation as ``(H, W)`` integers."""
        return [self._read_annotation(path) for path in self.annotations]

    def _read_annotation(self, path: Path) -> NDArray[np.integer]:
        labels: NDArray[np.integer] = images.read_labels(path)
        return labels


def read_pairs(folder: Path) -> list[Pair]:
    """List the pairs of a split, sorted by name as text.

    Parameters
    ----------
    folder : Path
        A folder with ``images/`` and ``labels/``.

    Raises
    ------
    FileNotFoundError
        If a folder is missing or an image has no annotation; the message names what was looked for.
    """
    folder = Path(folder)
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            raise FileNotFoundError(
                f"{folder} must hold images/ and labels/, and {folder / part} is not there"
            )
    annotations = _annotations_by_name(folder / "labels")
    found = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in IMAGE_ENDINGS)
    if not found:
        raise FileNotFoundError(f"{folder / 'images'} holds no image ({', '.join(IMAGE_ENDINGS)})")
    for path in found:
        if path.stem not in annotations:
            raise FileNotFoundError(
                f"{path} has no labels: looked for {folder / 'labels'}/{path.stem}.png and {path.stem}-*.png"
            )
    return sorted(
        (Pair(path.stem, path, tuple(sorted(annotations[path.stem]))) for path in found),
        key=lambda pair: pair.name,
    )


def _annotations_by_name(folder: Path) -> dict[str, list[Path]]:
    """Collect label files under the name of their image; ``ID-A`` counts for ``ID-A`` and ``ID``."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in folder.iterdir():
        if path.suffix.lower() in LABEL_ENDINGS:
            by_name[path.stem].append(path)
            stem, dash, annotator = path.stem.rpartition("-")
            if dash and annotator.isdigit():
                by_name[stem].append(path)
    return by_name
