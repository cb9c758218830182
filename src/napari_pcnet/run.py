"""One run as its record asks for it: the planes, crop and channels of an image of any number of axes.

`pcnet_superpixels` takes a plane. An image as people have it may have more axes (time, depth), of
which each plane is segmented by itself, n superpixels each, numbered on so that a label stands for one
superpixel in the whole stack. A `RunRecord` says which plane, part and channels; the widget, the
command line and the scripts that they hand out all go through here, so that they agree.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, outliers, pipeline
from napari_pcnet.disk import pictures
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.window_files import WindowFiles
from napari_pcnet.geometry.grid import Window
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.hierarchy import Measures, PCNetHierarchy
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.merging.streamed import KeptWindows
from napari_pcnet.merging.tree import Tree
from napari_pcnet.network.inference import Elsewhere, WindowDone
from napari_pcnet.options import Options
from napari_pcnet.planes import Planes, naming_channels, part_of
from napari_pcnet.progress import Progress
from napari_pcnet.record import RunRecord, Tell
from napari_pcnet.shapes import label_type, size_text
from napari_pcnet.streaming import labels_by_windows

PlaneWindowDone = Callable[[int, Window, NDArray[np.int32]], None]
"""``window_done(k, window, ids)``: as `inference.WindowDone`, of the k-th selected plane."""

OfPlane = Callable[[RunRecord, tuple[int, ...], Options], Elsewhere]
"""What labels the windows of the plane at an index, of a record and its checked options."""

Before = Callable[[Picture, Options, int], object]
"""``before(picture, options, planes)``."""


def run_record(
    image: Any, record: RunRecord, *, mask: Any = None, progress: Progress | None = None
) -> NDArray[np.integer]:
    """Repeat the run of a record.

    Parameters
    ----------
    image : (..., H, W[, C]) array_like
        The record says which axis holds the channels. Anything with shape, dtype and slicing.
    record : RunRecord
        What to segment, and how; its ``mask`` and ``level`` apply to files and are ignored.
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
    >>> from napari_pcnet import RunRecord, run_record
    >>> stack = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    >>> run_record(stack, RunRecord(5, channel_axis=None)).reshape(3, -1).max(axis=1).tolist()
    [5, 10, 15]
    """
    _check_cut(record)
    if record.method == "lattice":
        return _lattice(image, record, mask, progress)
    hierarchy = build_hierarchy(image, record, mask=mask, progress=progress)
    return hierarchy.labels(**record.cut)


def run_file(
    path: str | os.PathLike[str], record: RunRecord, *, progress: Progress | None = None
) -> NDArray[np.integer]:
    """Repeat a run on the picture file at `path`, of which the record names a part and a mask file."""
    image = pictures.read_image(path, **record.reading())
    return run_image(image, record, progress=progress)


def run_image(image: Image, record: RunRecord, *, progress: Progress | None = None) -> NDArray[np.integer]:
    """Repeat a run on a picture as `pictures.read_image` gives it, inside the record's mask file."""
    pixels, record, mask = _inside(image, record)
    return run_record(pixels, record, mask=mask, progress=progress)


@dataclass(frozen=True)
class Streaming:
    """How labels are made window by window: who makes them, where they wait, and who hears of it.

    Attributes
    ----------
    folder : Path, optional
        As in `streaming.labels_by_windows`.
    progress : callable, optional
        ``progress(done, total)``.
    files : WindowFiles, optional
        Has the windows that are done, and takes those that will be.
    elsewhere : callable, optional
        ``elsewhere(record, index, options)`` labels the windows of a plane in place of this process.
    before : callable, optional
        ``before(picture, options, planes)`` when the first of so many planes has been read for its range.
    tell : callable, optional
        ``tell(sentence)`` of what is noticed in the pixels, in place of a warning.
    """

    folder: Path | None = None
    progress: Progress | None = None
    files: WindowFiles | None = None
    elsewhere: OfPlane | None = None
    before: Before | None = None
    tell: Tell | None = None


def image_by_windows(image: Image, record: RunRecord, streaming: Streaming | None = None) -> LabelsByParts:
    """Label a picture as `run_image` does, window by window: neither it nor its labels are held.

    Parameters
    ----------
    image, record
        As in `run_image`.
    streaming : Streaming, optional

    Returns
    -------
    LabelsByParts
        The network runs when its parts are asked for.
    """
    pixels, record, mask = _inside(image, record)
    return record_by_windows(pixels, record, streaming, mask=mask)


def record_by_windows(
    image: Any, record: RunRecord, streaming: Streaming | None = None, *, mask: Any = None
) -> LabelsByParts:
    """Label an image as `run_record` does, window by window: neither it nor its labels are held.

    Parameters
    ----------
    image, record, mask
        As in `run_record`.
    streaming
        As in `image_by_windows`.

    Returns
    -------
    LabelsByParts
    """
    _check_cut(record)
    options = Options.checked({**vars(record), "n_segments": record.tree_segments})
    planes = Planes.select(_array(image, record), record, mask)
    is_counted = record.height is None and record.method == "hierarchy"
    most = record.n_segments * len(planes.indices) if is_counted else math.prod(planes.shape)
    dtype = np.dtype(label_type(most + record.start_label - 1))
    return LabelsByParts(planes.shape, dtype, _parts(planes, options, record, streaming or Streaming()))


class LabelsByParts(NamedTuple):
    """Labels that are made as they are asked for.

    Attributes
    ----------
    shape : tuple of int
        Of all labels.
    dtype : numpy.dtype
        int32, or int64 if there may be more labels.
    parts : iterator
        An index of all labels, and the labels there; of two that overlap the later one counts.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Iterator[tuple[tuple[Any, ...], NDArray[np.integer]]]


def _parts(
    planes: Planes, options: Options, record: RunRecord, streaming: Streaming
) -> Iterator[tuple[tuple[Any, ...], NDArray[np.integer]]]:
    """Labels of the windows of each plane; those of a plane follow those of the plane before."""
    number, first, above = len(planes.indices), record.start_label, 0
    places = np.ndindex(*planes.stack_shape)
    cut = record.n_segments if record.height is None and record.method == "hierarchy" else None
    files, elsewhere = streaming.files, streaming.elsewhere
    pictures_of = _pictures(planes, options, _count_name(record), cut, streaming.tell or _warn)
    for k, (place, picture) in enumerate(zip(places, pictures_of, strict=True)):
        of_plane = _progress_of_plane(streaming.progress, k, number)
        highest = first - 1
        if streaming.before is not None and k == 0:
            streaming.before(picture, options, number)
        kept = None if files is None else KeptWindows(files, k)
        others = None if elsewhere is None else elsewhere(record, planes.indices[k], options)
        with labels_by_windows(
            picture, options, streaming.folder, of_plane, record.cut, kept, others
        ) as windows:
            for window, labels in windows:
                highest_here = int(labels.max())
                highest = max(highest, highest_here)
                wide = labels.astype(label_type(above + highest_here), copy=False)
                yield (*place, *window.slices), np.where(wide >= first, wide + above, wide) if above else wide
        above += highest - first + 1


def _inside(image: Image, record: RunRecord) -> tuple[Any, RunRecord, Any]:
    """Pixels, record and mask of a run on a picture: inside its own mask and the record's file."""
    mask = image.mask
    if record.mask is not None:
        planes = Planes.select(image.pixels, record, mask)
        given = pictures.read_mask(record.mask, record.mask_series)
        crop = planes.crop.shape
        allowed = {planes.plane_shape, crop}
        if given.shape[-2:] not in allowed:
            raise ValueError(
                f"mask {record.mask} is {size_text(given.shape)} pixels, but the image is "
                f"{' and its crop '.join(map(size_text, sorted(allowed, reverse=True)))}; it must be the same"
            )
        mask = given if mask is None else part_of(given, crop, planes.crop) & part_of(mask, crop, planes.crop)
    return image.pixels, naming_channels(image.pixels, record), mask


def build_hierarchy(
    image: Any,
    record: RunRecord,
    *,
    mask: Any = None,
    progress: Progress | None = None,
    confidence: bool = False,
    window_done: PlaneWindowDone | None = None,
    tell: Tell | None = None,
) -> PCNetHierarchy:
    """Make the hierarchy of a run, of which `run_record` gives one cut.

    Parameters
    ----------
    image, record, mask, progress
        As in `run_record`; the record's method is 'hierarchy'.
    confidence : bool, optional
        Whether features hold the network's confidence.
    window_done : callable, optional
        ``window_done(k, window, ids)`` as each window of the k-th plane is done.
    tell : callable, optional
        ``tell(sentence)`` of what is noticed in the pixels, in place of a warning.

    Returns
    -------
    PCNetHierarchy
        Of as many planes as the record selects.
    """
    if record.method == "lattice":
        raise ValueError("method='lattice' builds no hierarchy; run_record gives its labels")
    options = Options.checked({**vars(record), "n_segments": record.tree_segments})
    planes = Planes.select(_array(image, record), record, mask)
    many = len(planes.indices) > 1
    base = np.full((len(planes.indices), *planes.crop.shape), OUTSIDE, np.int32) if many else None
    trees, measures, timings, start = list[Tree](), list[Measures](), dict[str, float](), 0
    cut = record.n_segments if record.height is None else None
    for k, picture in enumerate(_pictures(planes, options, _count_name(record), cut, tell or _warn)):
        one = pipeline.segment(
            picture,
            options,
            progress=_progress_of_plane(progress, k, len(planes.indices)),
            confidence=confidence,
            window_done=_window_done_of_plane(window_done, k),
        )
        if cut is not None:
            one.check_count(cut, "n_segments")
        if base is None:
            base = one.base
        else:
            np.add(one.base, start, out=base[k], where=one.base >= 0)
        start += one.n_base
        trees += one.trees
        measures += one.measures
        timings = {stage: timings.get(stage, 0.0) + seconds for stage, seconds in one.timings.items()}
    assert base is not None, "a record selects a plane"
    ids = base.reshape(planes.shape)
    return PCNetHierarchy(
        ids,
        tuple(trees),
        tuple(measures),
        options.start_label,
        options.smoothing,
        options.spacing,
        timings,
    )


def _count_name(record: RunRecord) -> str:
    """The option that says how many superpixels a tree must have room for."""
    return "n_segments" if record.max_segments is None else "max_segments"


def _check_cut(record: RunRecord) -> None:
    if record.method == "lattice" and (record.height is not None or record.max_segments is not None):
        raise ValueError("height= and max_segments= cut a tree, which method='lattice' does not build")


def _lattice(image: Any, record: RunRecord, mask: Any, progress: Progress | None) -> NDArray[np.integer]:
    planes = Planes.select(_array(image, record), record, mask)
    options = Options.checked(vars(record))
    parts, above = list[NDArray[np.integer]](), 0
    for k, picture in enumerate(_pictures(planes, options, "n_segments")):
        labels = pipeline.segment_lattice(
            picture, options, _progress_of_plane(progress, k, len(planes.indices))
        )
        if above + int(labels.max()) > np.iinfo(labels.dtype).max:
            labels = labels.astype(np.int64)
        inside = labels >= record.start_label
        labels[inside] += above
        above = int(labels.max()) + 1 - record.start_label
        parts.append(labels)
    return np.stack(parts).reshape(planes.shape)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=4)


def _pictures(
    planes: Planes, options: Options, count_name: str, cut: int | None = None, tell: Tell = _warn
) -> Iterator[Picture]:
    """Check every plane, for a cut at a count if one is named; then read them again, one by one.

    What is wrong with the last plane is said before the first is segmented.
    """

    def read(index: tuple[int, ...]) -> Picture:
        pixels, channel_axis = planes.open(index)
        limits = options.intensity_range, options.min_size
        return arguments.picture(pixels, planes.read_mask(index), channel_axis, *limits)

    first = read(planes.indices[0])
    others = planes.indices[1:] if arguments.differs_by_plane(first) else ()
    rooms, sizes, has_nan = [arguments.room(first)], list[NDArray[np.int64]](), first.has_nan
    if cut is not None:
        sizes.append(arguments.part_sizes(first))
    for index in others:
        picture = read(index)
        rooms.append(arguments.room(picture))
        if cut is not None:
            sizes.append(arguments.part_sizes(picture))
        has_nan |= picture.has_nan
    arguments.room_for(options.n_segments, min(rooms), count_name)
    if cut is not None:
        arguments.parts_within(cut, sizes, "n_segments")
    if has_nan:
        tell(arguments.NAN_IS_OUTSIDE)
    each = iter([first]) if len(planes.indices) == 1 else map(read, planes.indices)
    del first  # one plane at a time is held
    is_said = options.intensity_range is not None
    for picture in each:
        spent = None if is_said else outliers.spent_range(picture)
        if spent is not None:
            is_said = True
            tell(spent.sentence)
        yield picture


def _progress_of_plane(progress: Progress | None, k: int, number: int) -> Progress | None:
    """Progress of the k-th of so many planes, as progress of the whole."""
    if progress is None:
        return None
    return lambda done, total: progress(k * total + done, number * total)


def _window_done_of_plane(window_done: PlaneWindowDone | None, k: int) -> WindowDone | None:
    return None if window_done is None else lambda window, ids: window_done(k, window, ids)


def _array(image: Any, record: RunRecord) -> Any:
    pixels = arguments.array(image)
    arguments.warn_of_channels_last(pixels.shape, record.channel_axis, "channel_axis=None")
    return pixels
