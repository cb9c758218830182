"""Annotations of an image: ``(H, W)`` integers from a picture, a table or a MATLAB file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pcnet.disk import matlab, nyuv2, pictures
from napari_pcnet.disk.damage import naming_damage
from napari_pcnet.disk.labels import read_labels
from napari_pcnet.shapes import Labels

LABEL_ENDINGS = (".png", ".tif", ".tiff")
TRUTH_ENDINGS = (".mat", ".csv", *LABEL_ENDINGS)

_CELLS = "groundTruth"
"""The variable in a file of BSDS500: a cell array with an annotation each."""


@dataclass(frozen=True)
class Annotation:
    """One annotation of an image: a file, or one of those that a file holds.

    Attributes
    ----------
    path : Path
    index : int
        Which of the file's annotations, from 0.
    kind : str
        How the file holds them: one of the names in `_DECODERS`.
    """

    path: Path
    index: int = 0
    kind: str = "picture"

    def read(self) -> Labels:
        """Read the annotation as ``(H, W)`` integers.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file does not hold what its kind says.
        """
        return _DECODERS[self.kind](self.path, self.index)


def annotations_of(path: Path) -> tuple[Annotation, ...]:
    """List the annotations in a file: a ``.mat`` of BSDS500 may hold several, any other file holds one.

    Raises
    ------
    ValueError
        If a ``.mat`` holds no ground truth in the form of BSDS500.
    """
    ending = path.suffix.lower()
    if ending == ".mat":
        return tuple(Annotation(path, index, "cell") for index in range(_count_cells(path)))
    return (Annotation(path, kind="csv" if ending == ".csv" else "picture"),)


def annotation_files(
    folder: Path, names: Collection[str], endings: tuple[str, ...] = TRUTH_ENDINGS
) -> dict[str, list[Path]]:
    """Collect the files of a folder under the name of their image, sorted.

    Parameters
    ----------
    folder : Path
    names : collection of str
        Names of the images.
    endings : tuple of str
        Endings of the files to take, in lower case.

    Returns
    -------
    dict
        From name to files. ``ID-A`` belongs to ``ID``, unless there is an image ``ID-A``.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in endings:
            stem, dash, annotator = path.stem.rpartition("-")
            is_one_of_several = dash and annotator.isdigit() and path.stem not in names
            by_name[stem if is_one_of_several else path.stem].append(path)
    return dict(by_name)


def _decode_picture(path: Path, _index: int) -> Labels:
    labels: Labels = read_labels(path)
    return labels


def _decode_blue(path: Path, _index: int) -> Labels:
    """Read class ids as the authors of Face-Human do, from the first channel in OpenCV's order."""
    image = pictures.read_into_memory(path)
    ids: Labels = image.pixels if image.channel_axis is None else image.pixels[..., 2]
    return ids


def _decode_mask(path: Path, _index: int) -> Labels:
    """Read a mask as 0 and 1, divided at half the range of its type, for its edges may be soft."""
    image = pictures.read_into_memory(path)
    grey = image.pixels if image.channel_axis is None else image.pixels.max(axis=image.channel_axis)
    largest = 1 if grey.dtype == bool else np.iinfo(grey.dtype).max
    inside: Labels = (grey > largest // 2).astype(np.uint8)
    return inside


def _decode_csv(path: Path, _index: int) -> Labels:
    with naming_damage(path, "a table of whole numbers with commas"):
        return np.loadtxt(path, delimiter=",", dtype=np.int32, ndmin=2)


def _decode_cell(path: Path, index: int) -> Labels:
    """Read one annotation of BSDS500: a cell of ``groundTruth``, a struct with ``Segmentation``."""
    cells = matlab.read_variable(path, _CELLS).ravel()
    with naming_damage(path, f"a MATLAB file with {_CELLS}"):
        labels: Labels = cells[index]["Segmentation"][0, 0]
    return labels


def _count_cells(path: Path) -> int:
    return int(np.prod(matlab.read_shape(path, _CELLS)))


_DECODERS: dict[str, Callable[[Path, int], Labels]] = {
    "picture": _decode_picture,
    "blue": _decode_blue,
    "mask": _decode_mask,
    "csv": _decode_csv,
    "cell": _decode_cell,
    "nyuv2": nyuv2.read_objects,
}
