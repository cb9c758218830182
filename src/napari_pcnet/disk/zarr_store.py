"""Zarr: arrays, groups of arrays and OME-Zarr pyramids; labels with notes beside them."""

import errno
import itertools
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import label_levels
from napari_pcnet.disk.chunks import read_part
from napari_pcnet.disk.damage import naming_damage
from napari_pcnet.disk.deferred import Deferred, Slices
from napari_pcnet.disk.files import followed, scratch_folder, write_folder_atomically
from napari_pcnet.disk.formats import NOTES_KEY
from napari_pcnet.disk.image import Image, several_text
from napari_pcnet.disk.memory import READ_LESS, check_fits
from napari_pcnet.disk.output import ArrayKind, naming_failure
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.remote import Folder, RemoteFolder
from napari_pcnet.disk.zarr_layout import OLD_AXES, picture_in, pictures_in
from napari_pcnet.disk.zarr_node import read_node
from napari_pcnet.shapes import CHANNEL_NAMES, size_text

CHUNK_SIDE_PX = 1024
"""Longest side of a chunk of labels: 4 MB of 32 bits before compression."""

AT_ONCE = 2
"""Chunks of a level that are made at once, beside those that zarr packs in threads of its own."""

INDEX_BYTES = 256
"""Of a chunk in a shard: where it lies, and what its codec says of it."""

SAID_BYTES = 1 << 20
"""What a file may say besides its values."""

_COLOUR_LENGTHS = (3, 4)
"""An unnamed last axis of this length is taken for RGB or RGBA, as napari does."""


LabelsOfPart = tuple[Any, NDArray[np.integer[Any]]]
"""An index of an array, and the labels there."""


@dataclass(frozen=True)
class _Chunks:
    """The chunks of an array, which give parts of it."""

    folder: Folder
    array: Any  # zarr's array stays in here
    told: list[bool] = field(default_factory=list)  # one entry when missing chunks have been told of

    def read(self, slices: Slices) -> NDArray[Any]:
        """Decode a part; its damage is a sentence, missing chunks are a warning."""
        spans = [range(side)[each] for each, side in zip(slices, self.array.shape, strict=True)]
        with naming_damage(self.folder, "a zarr"):
            values = math.prod(map(len, spans)) + math.prod(self.array.chunks)
            check_fits(values * self.array.dtype.itemsize, READ_LESS)
            pixels = read_part(self.folder, slices, self.array.metadata.zarr_format)
            self._warn_of_missing(spans)
        return pixels

    def _warn_of_missing(self, spans: list[range]) -> None:
        """Say how many of the array's chunks are missing, when the first of them is read."""
        if isinstance(self.folder, RemoteFolder):
            self._warn_of_missing_there(self.folder)
            return
        if self.told or not any(_are_missing(self.folder, self.array, spans)):
            return
        self.told.append(True)
        of_all = list(_are_missing(self.folder, self.array, _everywhere(self.array)))
        warnings.warn(
            f"{sum(of_all)} of {len(of_all)} chunks are missing in {self.folder}, and are read as its "
            f"fill value, {self.array.fill_value or 0}",
            stacklevel=4,
        )

    def _warn_of_missing_there(self, folder: RemoteFolder) -> None:
        """Say which chunk behind an address is missing; to count them all would take a request for each."""
        if self.told or not folder.missing:
            return
        self.told.append(True)
        warnings.warn(
            f"chunk {min(folder.missing)} is missing in {folder}, and is read as its fill value, "
            f"{self.array.fill_value or 0}; others may be missing, too",
            stacklevel=5,
        )


@dataclass(frozen=True)
class _Waiting:
    """Labels in a folder that is ours; if another program removes of it what is read, that is no label 0."""

    folder: Path
    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        shape: tuple[int, ...] = self.array.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        part = np.asarray(self.array[key])
        spans = [
            range(side)[each] if isinstance(each, slice) else range(each, each + 1)
            for each, side in zip(key, self.shape, strict=True)
        ]
        _check_there(self.folder, self.array, spans)
        return part


def _everywhere(array: Any) -> list[range]:
    return [range(side) for side in array.shape]


def _are_missing(folder: Path, array: Any, spans: list[range]) -> Iterator[bool]:
    """Whether each chunk, or shard, of a part of an array is missing."""
    sides = array.shards or array.chunks
    places = itertools.product(
        *(sorted({at // side for at in span}) for span, side in zip(spans, sides, strict=True))
    )
    for place in places:
        yield not (folder / array.metadata.encode_chunk_key(place)).is_file()


def _check_there(folder: Path, array: Any, spans: list[range]) -> None:
    """Refuse to go on if something of an array that was written is gone: zarr makes folders anew, unasked."""
    if not (folder / "zarr.json").is_file() or any(_are_missing(folder, array, spans)):
        raise _removed(folder)


def _removed(folder: Path) -> FileNotFoundError:
    reason = "another program has removed what was written so far"
    return FileNotFoundError(errno.ENOENT, reason, str(folder))


def count_levels(path: Folder, series: int = 0) -> int:
    """Count the sizes of a picture: 1 unless it is a pyramid."""
    return len(picture_in(pictures_in(path)[series]).levels)


def count_series(path: Folder) -> int:
    """Count the pictures: 1 unless it is a plate, several that were converted, or a group of groups."""
    return len(pictures_in(path))


def read(path: Folder, level: int, series: int = 0) -> Image:
    """Open one level of one picture; its pixels are read where they are sliced."""
    pictures = pictures_in(path)
    if len(pictures) > 1 and series == 0:
        names = [each.as_posix().removeprefix(f"{path.as_posix()}/") for each in pictures]
        warnings.warn(several_text(path, names), stacklevel=4)
    levels, axes, scale = picture_in(pictures[series])
    pixels, names = _opened(levels[level])
    if axes is None:
        axes = OLD_AXES if pixels.ndim == len(OLD_AXES) else []
    if axes and len(axes) != pixels.ndim:
        raise ValueError(f"it names {len(axes)} axes, its array has {pixels.ndim}")
    size = None if scale is None else label_levels.pixel_size(scale, level)
    return Image(pixels, _channel_axis(pixels.shape, axes, names), placement=size)


def read_attributes(path: Path) -> dict[str, Any]:
    """Read the attributes of an array or group."""
    return read_node(path).attributes


def write_labels(
    path: Path,
    windows: Iterable[LabelsOfPart],
    kind: ArrayKind,
    notes: dict[str, Any] | None,
    overwrite: bool,
    placement: Placement | None = None,
    origin: tuple[float, float] | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write labels part by part as one array of format 3; notes and pixel size are attributes.

    A name that ends in ``.ome.zarr`` becomes a pyramid of OME-Zarr 0.5 with the notes beside its metadata.
    `check` may raise in between; nothing is left then.
    """
    import zarr

    said, failed = {} if notes is None else {NOTES_KEY: notes}, list[OSError]()
    is_pyramid = path.name.lower().endswith(label_levels.SUFFIX)
    if is_pyramid and len(kind.shape) - 2 > label_levels.LARGEST_LEADING:
        raise ValueError(
            f"labels are {size_text(kind.shape)}, an OME-Zarr has planes along time and depth alone; write "
            f"{path.with_name(path.name[: -len(label_levels.SUFFIX)] + '.zarr')} instead"
        )

    def write(folder: Path) -> None:
        if is_pyramid:
            shapes = list(label_levels.level_shapes(kind.shape, CHUNK_SIDE_PX))
            name = path.name[: -len(label_levels.SUFFIX)]
            ome = {"ome": label_levels.metadata(name, shapes, placement, origin)}
            zarr.create_group(folder, zarr_format=3, attributes=ome | said)
            folders = [folder / str(at) for at in range(len(shapes))]
            arrays = [_new_array(at, each, kind.dtype, {}) for at, each in zip(folders, shapes, strict=True)]
        else:
            folders = [folder]
            arrays = [_new_array(folder, kind.shape, kind.dtype, said | _size_attributes(placement))]
        for place, labels in _apart(windows, failed):
            check()
            arrays[0][place] = labels
        for finer, coarser in pairwise(arrays):
            _halve(finer, coarser, check)
        for file in filter(Path.is_file, folder.rglob("*")):
            check()
            _sync(file)
        for its, array in zip(folders, arrays, strict=True):
            _check_there(its, array, _everywhere(array))
        if not (folder / "zarr.json").is_file():
            raise _removed(folder)
        check()

    try:
        with naming_failure(path):
            write_folder_atomically(path, write, replace=overwrite)
    except OSError:
        if failed:
            raise failed[0] from None
        raise


@contextmanager
def scratch(path: Path, windows: Iterable[LabelsOfPart], kind: ArrayKind) -> Iterator[Any]:
    """Give an array with the labels of all parts, in a folder beside a file that is to be made of them.

    Parameters
    ----------
    path : Path
        Of the file, which errors name.
    windows, kind
        As in `write_labels`.
    """
    failed = list[OSError]()
    with ExitStack() as stack:
        try:
            with naming_failure(path):
                folder = stack.enter_context(scratch_folder(followed(path).absolute().parent))
                array = _new_array(folder / "labels", kind.shape, kind.dtype, {})
                for place, labels in _apart(windows, failed):
                    array[place] = labels
        except OSError:
            if failed:
                raise failed[0] from None
            raise
        yield _Waiting(folder / "labels", array)


def _new_array(folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], said: dict[str, Any]) -> Any:
    """Make an array for labels, with attributes."""
    import zarr

    leading = len(shape) - 2
    return zarr.create_array(
        folder,
        shape=shape,
        chunks=(1,) * leading + tuple(min(max(side, 1), CHUNK_SIDE_PX) for side in shape[-2:]),
        dtype=dtype,
        zarr_format=3,
        attributes=said,
        config={"write_empty_chunks": True},  # one that is missing is damage, not background
        dimension_names=(None,) * leading + ("y", "x"),  # or a width of 3 would be taken for colours
    )


def _halve(finer: Any, coarser: Any, check: Callable[[], object]) -> None:
    """Fill a level of a pyramid, chunk by chunk."""
    *leading, height, width = coarser.shape

    def make(plane: tuple[int, ...], top: int, left: int) -> None:
        rows = slice(top, min(top + CHUNK_SIDE_PX, height))
        columns = slice(left, min(left + CHUNK_SIDE_PX, width))
        below = (slice(2 * each.start, 2 * each.stop) for each in (rows, columns))
        coarser[(*plane, rows, columns)] = label_levels.halved(np.asarray(finer[(*plane, *below)]))

    starts = (range(0, side, CHUNK_SIDE_PX) for side in (height, width))
    with ThreadPoolExecutor(AT_ONCE, "halving") as pool:
        corners = list(itertools.product(*starts))
        chunks = [pool.submit(make, plane, *each) for plane in np.ndindex(*leading) for each in corners]
        try:
            for chunk in chunks:
                check()
                chunk.result()
        finally:
            for chunk in chunks:
                chunk.cancel()


def _apart(windows: Iterable[LabelsOfPart], failed: list[OSError]) -> Iterator[LabelsOfPart]:
    """Keep the error of what is to be written apart from those of writing it."""
    try:
        yield from windows
    except OSError as error:
        failed.append(error)
        raise


def open_array(path: Path) -> Any:
    """Open an array, or the full size of a pyramid, for reading, as zarr does."""
    import zarr

    return zarr.open_array(_to_open(picture_in(path).levels[0]), mode="r")


def open_levels(path: Path) -> list[Any]:
    """Open the levels of a pyramid for reading, the full size first, as zarr does.

    Raises
    ------
    ValueError
        If one is no picture, or has a codec that may give more than numbers.
    """
    import zarr

    levels = picture_in(path).levels
    with naming_damage(path, "a zarr"):
        for each in levels:
            _opened(each)  # refuses what is no picture
        return [
            zarr.open_array(_to_open(each), mode="r", zarr_format=read_node(each).zarr_format)
            for each in levels
        ]


def _size_attributes(placement: Placement | None) -> dict[str, Any]:
    """Height and width of a pixel, and their unit."""
    if placement is None or placement.pixel_size is None:
        return {}
    return {"pixel_size": list(placement.pixel_size), "unit": placement.unit}


def _opened(folder: Folder) -> tuple[Deferred, list[str]]:
    """Open the array in a folder, without reading from it; also give the names of its dimensions, if any."""
    import zarr

    node = read_node(folder)
    if not node.is_array:
        raise ValueError(f"it is a group where an array is named, {folder.name}")
    array = zarr.open_array(_to_open(folder), mode="r", zarr_format=node.zarr_format)
    if array.ndim < 2:
        raise ValueError(f"its shape is {size_text(array.shape)}, a picture has two axes or more")
    if 0 in array.shape:
        raise ValueError(f"its shape is {size_text(array.shape)}, a picture has pixels")
    if array.dtype.kind not in "buif":
        raise ValueError(f"its values are of type {array.dtype}, those of a picture are numbers")
    if isinstance(folder, RemoteFolder):
        folder.most_bytes = _most_stored(array)
    names = getattr(array.metadata, "dimension_names", None) or ()  # format 2 has none
    pixels = Deferred(_Chunks(folder, array).read, array.shape, array.dtype, array.chunks)
    return pixels, [str(name).lower() for name in names]


def _most_stored(array: Any) -> int:
    """Bytes that the file of a chunk or shard may have: twice its values, and what is said of them."""
    values = math.prod(array.shards or array.chunks)
    chunks = values // math.prod(array.chunks)
    return int(2 * values * array.dtype.itemsize + INDEX_BYTES * chunks + SAID_BYTES)


def _to_open(folder: Folder) -> Any:
    """What zarr opens an array from: of one behind an address, the metadata that were read."""
    if not isinstance(folder, RemoteFolder):
        from napari_pcnet.disk.local_store import LocalFiles

        return LocalFiles(folder, read_only=True)
    from napari_pcnet.disk.remote_store import unconnected

    return unconnected(folder)


def _channel_axis(shape: tuple[int, ...], axes: list[str], dimensions: list[str]) -> int | None:
    """Return the axis that is named as channels, or the last one if it is unnamed and as long as a colour."""
    names = axes or dimensions
    named = next((at for at, name in enumerate(names) if name in CHANNEL_NAMES), None)
    if named is not None or axes or names[-1:] == ["x"]:
        return named
    return -1 if len(shape) >= 3 and shape[-1] in _COLOUR_LENGTHS else None


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # a full disk may only show here
