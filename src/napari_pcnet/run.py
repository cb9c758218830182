"""One run as its record asks for it: the planes, crop and channels of an image of any number of axes.

`pcnet_superpixels` takes a plane. An image as people have it may have more axes (time, depth), of
which each plane is segmented by itself, n superpixels each, numbered on so that a label stands for one
superpixel in the whole stack. A `RunRecord` says which plane, part and channels; the widget, the
command line and the scripts that they hand out all go through here, so that they agree.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, superpixels
from napari_pcnet.disk import pictures
from napari_pcnet.disk.image import Image
from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging.tree import Tree
from napari_pcnet.network.inference import look_up
from napari_pcnet.planes import Planes, part_of
from napari_pcnet.progress import Progress
from napari_pcnet.record import RunRecord, needs_no_fourth
from napari_pcnet.shapes import size_text
from napari_pcnet.superpixels import Measures, PCNetHierarchy

PlaneWindowDone = Callable[[int, Window, NDArray[np.int32]], None]
"""``window_done(k, window, ids)``: as `inference.WindowDone`, of the k-th selected plane."""


@dataclass(frozen=True)
class Stack:
    """Superpixels of one or more planes at every count, nested.

    Attributes
    ----------
    ids : (..., H, W) int32 array
        Region of each pixel at the finest level, from 1; 0 outside the mask. Regions of a plane
        follow those of the plane before.
    trees : tuple of Tree
        The merges in each plane.
    measures : tuple of Measures
        Area, intensities and confidence of the regions of each plane.
    start_label : {0, 1}
    """

    ids: NDArray[np.int32]
    trees: tuple[Tree, ...]
    measures: tuple[Measures, ...]
    start_label: int = 1

    @property
    def n_max(self) -> int:
        """The largest count that every plane can give."""
        return min(tree.leaves for tree in self.trees)

    @property
    def n_min(self) -> int:
        """The smallest."""
        return max(tree.roots for tree in self.trees)

    def counts(self, n: int | None = None, *, height: float | None = None) -> tuple[int, ...]:
        """How many superpixels each plane has at a count (within what it can give) or a height."""
        if height is not None:
            return tuple(tree.count_at(height) for tree in self.trees)
        assert n is not None, "a count or a height"
        return tuple(min(max(n, tree.roots), tree.leaves) for tree in self.trees)

    def table(self, n: int | None = None, *, height: float | None = None) -> NDArray[np.int32]:
        """Label of each region, ``(regions + 1,)``; the first entry is what lies outside."""
        start, parts = self.start_label, [np.array([self.start_label - 1])]
        for tree, count in zip(self.trees, self.counts(n, height=height), strict=True):
            parts.append(tree.cut(count) + start)
            start += count
        return np.concatenate(parts).astype(np.int32)

    def labels(self, n: int | None = None, *, height: float | None = None) -> NDArray[np.int32]:
        """Labels of a cut, ``(..., H, W)`` int32: consecutive over the planes."""
        return self.look_up(self.table(n, height=height))

    def look_up(self, table: NDArray[np.int32], out: NDArray[np.int32] | None = None) -> NDArray[np.int32]:
        """Labels by a table of `table`, into an array of the shape of `ids` if one is given."""
        labels = np.empty_like(self.ids) if out is None else out
        width = self.ids.shape[-1]
        look_up(table, self.ids.reshape(-1, width), out=labels.reshape(-1, width))
        return labels

    def features(
        self, n: int | None = None, *, height: float | None = None
    ) -> dict[str, NDArray[np.integer | np.floating]]:
        """Measures of each superpixel of a cut, as `PCNetHierarchy.features` has them."""
        counts = self.counts(n, height=height)
        merged = [
            measures.merged(tree.cut(count)).as_columns()
            for tree, measures, count in zip(self.trees, self.measures, counts, strict=True)
        ]
        label = np.arange(sum(counts)) + self.start_label
        columns = {name: np.concatenate([each[name] for each in merged]) for name in merged[0]}
        return {"label": label} | columns


def run(
    image: Any, record: RunRecord, *, mask: Any = None, progress: Progress | None = None
) -> NDArray[np.integer]:
    """Repeat the run of a record.

    Parameters
    ----------
    image : (..., H, W[, C]) array_like
        Where the channels are, the record says. Anything with shape, dtype and slicing.
    record : RunRecord
        What to segment, and how; its ``mask`` and ``level``, which are files' matters, are not looked at.
    mask : (..., H, W) array_like, optional
        Superpixels are made inside it; of the whole plane or of the record's crop, of every plane or
        of all alike.
    progress : callable, optional
        ``progress(done, total)``.

    Returns
    -------
    (..., H, W) array of int32
        Labels of the planes, or of the one plane that the record names, as `pcnet_superpixels` makes
        them; those of a plane follow those of the plane before.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet.record import RunRecord
    >>> from napari_pcnet.run import run
    >>> stack = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    >>> run(stack, RunRecord(5, channel_axis=None)).reshape(3, -1).max(axis=1).tolist()
    [5, 10, 15]
    """
    if record.method == "lattice":
        return _lattice(image, record, mask, progress)
    width = arguments.smoothing(record.smoothing)
    stack = build(image, record, mask=mask, progress=progress)
    labels = stack.labels(record.n_segments, height=record.height)
    if not width:
        return labels
    planes, first = labels.reshape(-1, *labels.shape[-2:]), record.start_label
    for k, count in enumerate(stack.counts(record.n_segments, height=record.height)):
        planes[k] = superpixels.smoothed_labels(planes[k], width, record.spacing, first)
        first += count
    return labels


def run_file(
    path: str | os.PathLike[str], record: RunRecord, *, progress: Progress | None = None
) -> NDArray[np.integer]:
    """Repeat a run on the picture file at `path`, with the level and the mask file that the record names."""
    image = pictures.read_image(path, level=record.level, alpha_apart=needs_no_fourth(record))
    return run_image(image, record, progress=progress)


def run_image(image: Image, record: RunRecord, *, progress: Progress | None = None) -> NDArray[np.integer]:
    """Repeat a run on a picture as `pictures.read_image` gives it, inside the record's mask file."""
    mask = image.mask
    if record.mask is not None:
        planes = Planes.select(image.pixels, record, mask)
        given = pictures.read_mask(record.mask)
        allowed = {planes.plane_shape, planes.crop.shape}
        if given.shape[-2:] not in allowed:
            raise ValueError(
                f"mask {record.mask} is {size_text(given.shape)} pixels, but the image is "
                f"{' and its crop '.join(map(size_text, sorted(allowed, reverse=True)))}; it must be the same"
            )
        mask = given if mask is None else given & part_of(mask, given.shape[-2:], planes.crop)
    if _has_four_channels_last(image.pixels, record):
        record = replace(record, channels=(0, 1, 2, 3))
    return run(image.pixels, record, mask=mask, progress=progress)


def build(
    image: Any,
    record: RunRecord,
    *,
    mask: Any = None,
    progress: Progress | None = None,
    confidence: bool = False,
    window_done: PlaneWindowDone | None = None,
) -> Stack:
    """Make the trees of a run, of which `run` gives one cut (smoothed, where the record says so).

    Parameters
    ----------
    image, record, mask, progress
        As in `run`; the record's method is 'hierarchy'.
    confidence : bool, optional
        Whether features tell how sure the network was.
    window_done : callable, optional
        ``window_done(k, window, ids)`` as each window of the k-th plane is done.

    Returns
    -------
    Stack
    """
    planes = Planes.select(_array(image), record, mask)
    trees = []
    ids: NDArray[np.int32] | None = None
    start = 1
    for k, index in enumerate(planes.indices):
        part = _part(progress, k, len(planes.indices))
        tree = _tree(planes, index, record, part, confidence, _of(window_done, k))
        if len(planes.indices) == 1:
            ids = tree.base.reshape(planes.shape)
            ids += 1
        else:
            ids = np.zeros((len(planes.indices), *planes.crop.shape), np.int32) if ids is None else ids
            np.add(tree.base, start, out=ids[k], where=tree.base >= 0)
        start += tree.n_base
        trees.append((tree.tree, tree.measures))
    assert ids is not None, "a record selects a plane"
    merges, measures = zip(*trees, strict=True)
    return Stack(ids.reshape(planes.shape), merges, measures, record.start_label)


def _tree(
    planes: Planes,
    index: Sequence[int],
    record: RunRecord,
    progress: Progress | None,
    confidence: bool,
    window_done: Callable[[Window, NDArray[np.int32]], None] | None,
) -> PCNetHierarchy:
    pixels, channel_axis = planes.read(index)
    options = record.keywords() | {"channel_axis": channel_axis, "mask": planes.read_mask(index)}
    for name in ("method", "n_segments", "smoothing"):
        del options[name]
    number = arguments.whole_number(record.n_segments, "n_segments")
    if record.height is not None and math.isnan(record.height):
        raise ValueError("height must be a number, got nan")
    most = number if record.max_segments is None else record.max_segments
    tree = superpixels.pcnet_hierarchy(
        pixels, most, progress=progress, confidence=confidence, window_done=window_done, **options
    )
    if record.height is None:
        superpixels.checked_count(tree.tree, number, "n_segments")
    return tree


def _lattice(image: Any, record: RunRecord, mask: Any, progress: Progress | None) -> NDArray[np.integer]:
    planes = Planes.select(_array(image), record, mask)
    parts, above = [], 0
    for k, index in enumerate(planes.indices):
        pixels, channel_axis = planes.read(index)
        options = record.keywords() | {"channel_axis": channel_axis, "mask": planes.read_mask(index)}
        labels = superpixels.pcnet_superpixels(
            pixels, progress=_part(progress, k, len(planes.indices)), **options
        )
        inside = labels >= record.start_label
        labels[inside] += above
        above = int(labels.max()) + 1 - record.start_label
        parts.append(labels)
    return np.stack(parts).reshape(planes.shape)


def _part(progress: Progress | None, k: int, number: int) -> Progress | None:
    """Progress of the k-th of so many like parts, as progress of the whole."""
    if progress is None:
        return None
    return lambda done, total: progress(k * total + done, number * total)


def _of(window_done: PlaneWindowDone | None, k: int) -> Callable[[Window, NDArray[np.int32]], None] | None:
    return None if window_done is None else lambda window, ids: window_done(k, window, ids)


def _array(image: Any) -> Any:
    return image if hasattr(image, "shape") else np.asarray(image)


def _has_four_channels_last(pixels: Any, record: RunRecord) -> bool:
    """Whether pixels of a file might be taken for RGBA, which `pictures.read_image` never gives."""
    axis = record.channel_axis
    last = axis is not None and axis in (-1, len(pixels.shape) - 1)
    return last and pixels.shape[-1] == 4 and record.channels is None
