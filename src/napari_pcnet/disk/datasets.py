"""Pairs of an image and its ground truth, as published sets hold them on disk.

`read_pairs` takes the folder of a split and finds the rest from there. ``A`` is the number of an
annotator, and labels in ``.png`` may also be in ``.tif``.

==========  ==============================  ==========================================================
layout      split                           image and annotation
==========  ==============================  ==========================================================
plain       ``SPLIT/``                      ``images/ID.jpg`` with ``labels/ID.png`` or ``ID-A.png``
bsds500     ``data/images/SPLIT/``          ``ID.jpg`` with ``data/groundTruth/SPLIT/ID.mat``, which holds
                                            all annotations, or ``ID-A.csv`` or ``ID-A.png`` there [1]_
nyuv2       ``NYUV2/images/SPLIT/``         ``ID.png`` with ``NYUV2/csv_groundTruth/SPLIT/ID.csv`` [2]_
nyuv2       ``NYU/`` or ``NYU/SPLIT``       both out of ``NYU/nyu_depth_v2_labeled.mat``: all images, or
                                            those that ``NYU/splits.mat`` has under train or test [3]_
face-human  ``ROOT/SPLIT``, or              ``NAME.jpg`` with ``NAME_label.png`` for each line of
            ``ROOT/SPLIT_FaceHuman.txt``    ``ROOT/SPLIT_FaceHuman.txt``, relative to ``ROOT`` [4]_
mapillary   ``training/``, ``validation/``  ``images/ID.jpg`` with the first there is of ``instances/ID.png``
                                            and ``labels/ID.png`` in ``v1.2/``, ``v2.0/`` or the split [5]_
big         ``BIG/SPLIT/``                  ``NAME_im.jpg`` with ``NAME_gt.png`` [6]_
==========  ==============================  ==========================================================

Annotations of bsds500 and nyuv2 are read from ``csv_groundTruth`` where it exists, else from
``groundTruth``: the superpixel benchmark made the former from the latter, and of NYUv2 only the former
has the size of the cropped images. ``NYU/SPLIT`` and ``ROOT/SPLIT`` need not exist. The layout of
Face-Human is the one its authors' code reads; it has not been tried on the set itself.

Labels are the files' own integers; of a palette the indices. In NYUv2's own file and in Mapillary's
instances an object is class * 256 + instance; the former has 0 where nothing is labelled. In BIG the
object is 1 and the rest 0. If Face-Human's labels have colours, blue is the class, as for its authors.

References
----------
.. [1] https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html
.. [2] https://github.com/davidstutz/superpixel-benchmark, docs/DATASETS.md
.. [3] https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html
.. [4] https://github.com/wangyxxjtu/PCNet, datasets/BSD500.py and datasets/listdataset.py
.. [5] https://www.mapillary.com/dataset/vistas, README and demo.py of the download
.. [6] https://github.com/hkchengrex/CascadePSP, docs/testing_segmentation.md
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import nyuv2, pictures, pillow_files
from napari_pcnet.disk.annotations import (
    LABEL_ENDINGS,
    TRUTH_ENDINGS,
    Annotation,
    annotation_files,
    annotations_of,
)
from napari_pcnet.disk.image import stretched
from napari_pcnet.disk.labels import write_labels
from napari_pcnet.shapes import Labels, size_text

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Pair:
    """One image with its annotations.

    Attributes
    ----------
    name : str
    image : Path
    annotations : tuple of Annotation
    index : int or None
        Which image of NYUv2's file, from 0; None if the file is a picture.
    """

    name: str
    image: Path
    annotations: tuple[Annotation, ...]
    index: int | None = None

    def read_image(self) -> NDArray[np.uint8]:
        """Read the image as ``(H, W, 3)`` uint8.

        8-bit values stay as they are; others are stretched between the image's extremes. Grey is repeated
        three times, and so is the mean of two channels, or of more than RGBA has.
        """
        pixels = self._pixels()
        vars(self)["image_shape"] = pixels.shape[:2]  # so that read_annotations need not decode it again
        return as_photograph(pixels)

    def read_annotations(self) -> list[Labels]:
        """Read every annotation as ``(H, W)`` integers.

        Raises
        ------
        ValueError
            If the size of one differs from that of the image; the message names both files.
        """
        return [self.read_annotation(each) for each in self.annotations]

    @cached_property
    def image_shape(self) -> tuple[int, ...]:
        """Height and width of the image, in pixels."""
        return self.read_image().shape[:2]

    def _pixels(self) -> NDArray[Any]:
        if self.index is not None:
            return nyuv2.read_image(self.image, self.index)
        image = pictures.read_image(self.image)
        if image.channel_axis is None:
            return np.asarray(image.pixels)
        return np.moveaxis(image.pixels, image.channel_axis, -1)

    def read_annotation(self, annotation: Annotation) -> Labels:
        """Read one annotation as ``(H, W)`` integers; errors as `read_annotations`."""
        labels = annotation.read()
        if labels.shape != self.image_shape:
            raise ValueError(
                f"{annotation.path} is {size_text(labels.shape)} pixels, but its image {self.image} is "
                f"{size_text(self.image_shape)}; they must be the same"
            )
        return labels


def read_pairs(folder: Path, layout: str = "auto") -> list[Pair]:
    """List the pairs of a split, sorted by name as text.

    Parameters
    ----------
    folder : Path
        The split, as in the table of this module.
    layout : str
        One of `LAYOUTS`, or ``"auto"`` for the first of them that the folder has something of.

    Raises
    ------
    FileNotFoundError
        If there is no such split, or an image has no annotation; the message names the paths that were tried.
    ValueError
        If the layout is unknown, a file damaged, or h5py is needed and missing.
    """
    folder = Path(os.path.abspath(folder))  # a split's parents matter, and "." has none
    if layout == "auto":
        layout = _detect(folder)
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be auto or one of {', '.join(LAYOUTS)}, got {layout!r}")
    markers = LAYOUTS[layout].markers(folder)
    if not any(map(_is_there, markers)):
        looked_for = ", ".join(map(str, markers))
        raise FileNotFoundError(f"{folder} is no split of {layout}: looked for {looked_for}, found none")
    return sorted(LAYOUTS[layout].read(folder), key=lambda pair: pair.name)


def as_photograph(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return ``(H, W[, C])`` pixels of any type as ``(H, W, 3)`` uint8, as `Pair.read_image` says."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] not in (1, 3, 4):
        pixels = pixels.mean(axis=2, keepdims=True, dtype=np.float64).astype(pixels.dtype)
    if pixels.dtype != np.uint8:
        pixels = stretched(pixels).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3)))


def write_pair(folder: Path, name: str, pixels: NDArray[Any], labels: Labels) -> None:
    """Write an image and its annotation into a split of the plain layout, which is made if it is not there.

    Parameters
    ----------
    folder : Path
        The split.
    name : str
        Of the image.
    pixels : (H, W[, C]) array
        They are written as `Pair.read_image` would give them, so nothing is lost.
    labels : (H, W) array of int

    Raises
    ------
    OSError
        If there is such a pair already, or the disk is full.
    """
    images, annotations = folder / "images", folder / "labels"
    for each in (images, annotations):
        each.mkdir(parents=True, exist_ok=True)
    pillow_files.write(images / f"{name}.png", as_photograph(pixels), overwrite=False)
    write_labels(annotations / f"{name}.tif", labels)


def sound_pairs(folder: Path) -> tuple[list[Pair], list[str]]:
    """Read every file of a split once; separate the pairs fit for training from the faults of the others.

    Parameters
    ----------
    folder : Path
        As `read_pairs` takes it.

    Returns
    -------
    list of Pair
        Those whose files can all be read, and whose annotations all have a boundary.
    list of str
        A message for each file that is missing, unreadable, of another size, in colours, or of a
        single class.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no split at all.
    """
    pairs, missing = _pairs_and_gaps(Path(os.path.abspath(folder)))
    damage = {pair.name: damage_of(pair) for pair in pairs}
    sound = [pair for pair in pairs if not damage[pair.name]]
    return sound, [*missing, *(each for of_pair in damage.values() for each in of_pair)]


def damage_of(pair: Pair) -> list[str]:
    """Return a message for each file of a pair that is unfit for training; empty if all are fit."""
    try:
        pair.read_image()
    except (OSError, ValueError) as error:
        return [str(error)]
    found = []
    for each in pair.annotations:
        try:
            labels = pair.read_annotation(each)
        except (OSError, ValueError) as error:
            found.append(str(error))
            continue
        if (labels == labels.flat[0]).all():
            found.append(f"{each.path} has a single class, so there is no boundary to learn from")
    return found


def _pairs_and_gaps(folder: Path) -> tuple[list[Pair], list[str]]:
    """Return the pairs of a split and, of a plain layout, a message for each image without labels."""
    if _detect(folder) != "plain":
        return read_pairs(folder), []
    missing: list[str] = []
    found = _images_in(folder / "images")
    return _match(found, folder / "labels", LABEL_ENDINGS, missing), missing


def by_stem(paths: Iterable[Path], mark: str = "") -> dict[str, Path]:
    """Return files by their name without its ending, and without a mark that may stand before it.

    Raises
    ------
    ValueError
        If two files have the same name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(path.stem.removesuffix(mark), path)
        if other != path:
            raise ValueError(f"{other} and {path.name} have one name; rename one of them")
    return found


# -- layouts ---------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """How a published set is laid out on disk."""

    markers: Callable[[Path], list[Path]]
    """Paths one of which exists if a split has this layout; a star in a name matches anything."""

    read: Callable[[Path], list[Pair]]
    """Lists the pairs of a split."""


def _detect(folder: Path) -> str:
    for name, layout in LAYOUTS.items():
        if any(map(_is_there, layout.markers(folder))):
            return name
    others = ", ".join(name for name in LAYOUTS if name != "plain")
    raise FileNotFoundError(f"{_lacks_of_plain(folder)}; nor is it laid out as a data set of {others}")


def _is_there(marker: Path) -> bool:
    return any(marker.parent.glob(marker.name)) if "*" in marker.name else marker.exists()


def _read_plain(folder: Path) -> list[Pair]:
    lacks = _lacks_of_plain(folder)
    if lacks:
        raise FileNotFoundError(lacks)
    return _match(_images_in(folder / "images"), folder / "labels", LABEL_ENDINGS)


def _lacks_of_plain(folder: Path) -> str:
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            return f"{folder} must hold images/ and labels/, and {folder / part} is not there"
    return ""


def _ground_truths(folder: Path) -> list[Path]:
    data = folder.parent.parent
    return [data / part / folder.name for part in ("csv_groundTruth", "groundTruth")]


def _read_bsds500(folder: Path) -> list[Pair]:
    truths = next(filter(Path.is_dir, _ground_truths(folder)))
    return _match(_images_in(folder), truths, TRUTH_ENDINGS)


def _nyuv2_files(folder: Path) -> list[Path]:
    return [folder / nyuv2.FILE, folder.parent / nyuv2.FILE]


def _read_nyuv2(folder: Path) -> list[Pair]:
    file = next(filter(Path.is_file, _nyuv2_files(folder)), None)
    if file is None:
        return _read_bsds500(folder)
    numbers: Iterable[int] = range(1, nyuv2.count_images(file) + 1)
    if folder != file.parent:
        numbers = nyuv2.read_split(file.with_name(nyuv2.SPLITS_FILE), folder.name)
    return [_nyuv2_pair(file, number - 1) for number in numbers]


def _nyuv2_pair(file: Path, index: int) -> Pair:
    # The superpixel benchmark names its images so.
    return Pair(f"{index + 1:08d}", file, (Annotation(file, index, "nyuv2"),), index)


def _face_human_list(folder: Path) -> Path:
    return folder if folder.suffix == ".txt" else folder.parent / f"{folder.name}_FaceHuman.txt"


def _read_face_human(folder: Path) -> list[Pair]:
    listed = _face_human_list(folder)
    names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise FileNotFoundError(f"{listed} names no image")
    return [_face_human_pair(listed, name) for name in names]


def _face_human_pair(listed: Path, name: str) -> Pair:
    image = listed.parent / name
    labels = image.with_name(f"{image.stem}_label.png")
    if not image.is_file():
        raise FileNotFoundError(f"{listed} names {image}, which is not there")
    if not labels.is_file():
        raise FileNotFoundError(f"{image} has no labels: looked for {labels}")
    # Faces and humans may have the same stem.
    return Pair(Path(name).with_suffix("").as_posix(), image, (Annotation(labels, kind="blue"),))


def _mapillary_labels(folder: Path) -> list[Path]:
    # v1.2 has the 66 classes that the paper on the set describes.
    versions = [folder / "v1.2", folder / "v2.0"]
    if folder.name in ("training", "validation"):
        versions.append(folder)
    return [version / part for version in versions for part in ("instances", "labels")]


def _read_mapillary(folder: Path) -> list[Pair]:
    labels = next(filter(Path.is_dir, _mapillary_labels(folder)))
    return _match(_images_in(folder / "images"), labels, LABEL_ENDINGS)


def _read_big(folder: Path) -> list[Pair]:
    found = [path for path in _images_in(folder) if path.stem.endswith("_im")]
    if not found:
        raise FileNotFoundError(f"{folder} holds no image of BIG: looked for {folder / '*_im.jpg'}")
    return [_big_pair(image) for image in found]


def _big_pair(image: Path) -> Pair:
    name = image.stem.removesuffix("_im")
    mask = image.with_name(f"{name}_gt.png")
    if not mask.is_file():
        raise FileNotFoundError(f"{image} has no labels: looked for {mask}")
    return Pair(name, image, (Annotation(mask, kind="mask"),))


LAYOUTS: dict[str, Layout] = {
    "mapillary": Layout(_mapillary_labels, _read_mapillary),
    "plain": Layout(lambda folder: [folder / "labels"], _read_plain),
    "face-human": Layout(lambda folder: [_face_human_list(folder)], _read_face_human),
    "bsds500": Layout(_ground_truths, _read_bsds500),
    "nyuv2": Layout(lambda folder: _nyuv2_files(folder) + _ground_truths(folder), _read_nyuv2),
    "big": Layout(lambda folder: [folder / "*_gt.png"], _read_big),
}
"""The layouts by name, in the order in which ``"auto"`` tries them."""


def _images_in(folder: Path) -> list[Path]:
    there = folder.iterdir() if folder.is_dir() else iter(())
    found = sorted(path for path in there if path.suffix.lower() in IMAGE_ENDINGS)
    if not found:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(IMAGE_ENDINGS)})")
    return list(by_stem(found).values())


def _match(
    found: list[Path], folder: Path, endings: tuple[str, ...], missing: list[str] | None = None
) -> list[Pair]:
    """Give every image the annotations of its name; one without is an error, or noted in `missing`."""
    files, first = annotation_files(folder, {path.stem for path in found}, endings), endings[0]
    for path in found:
        if path.stem not in files:
            lack = (
                f"{path} has no labels: looked for {folder / path.stem}{first} and {path.stem}-*{first} "
                f"(or {', '.join(endings[1:])})"
            )
            if missing is None:
                raise FileNotFoundError(lack)
            missing.append(lack)
    return [
        Pair(path.stem, path, tuple(each for file in files[path.stem] for each in annotations_of(file)))
        for path in found
        if path.stem in files
    ]
