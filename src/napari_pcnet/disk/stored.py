"""A picture in a tif as it is stored: one level of one series, decoded where it is sliced."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import colour, pillow_files
from napari_pcnet.disk.chunks import read_part
from napari_pcnet.disk.damage import naming_damage
from napari_pcnet.disk.files import is_special
from napari_pcnet.disk.formats import NOTES_KEY
from napari_pcnet.disk.memory import READ_LESS, check_fits
from napari_pcnet.disk.tif_chain import check_chain

_NO_PRINTING = logging.NullHandler()
"""A log that nobody has set up is printed, here a line for each damaged tag; one that is set up stays so."""


@dataclass(frozen=True)
class Stored:
    """One level of one series of pages, read where it is sliced; the file is open only meanwhile.

    Attributes
    ----------
    path : Path
    series, level : int
        By tifffile's count.
    axes : str
        A letter of tifffile for each axis of `shape`; ``Y`` are rows, ``X`` columns, ``S`` samples.
    shape : tuple of int
        Without axes of length one, but for rows and columns.
    dropped : tuple of int
        Axes of length one in the file's own shape.
    dtype : numpy.dtype
    is_plain : bool
        Whether the file holds the array byte by byte.
    chunk_shape : tuple of int
        Rows and columns of a strip or tile.
    pillow_page : int or None
        The page, if Pillow has to decode it.
    """

    path: Path
    series: int
    level: int
    axes: str
    shape: tuple[int, ...]
    dropped: tuple[int, ...]
    dtype: np.dtype[Any]
    is_plain: bool
    chunk_shape: tuple[int, int]
    pillow_page: int | None = None

    @classmethod
    def of(cls, path: Path, file: Any, whole: Any, level: int) -> Stored:  # Any: tifffile's
        """Describe a level of a series, without reading it unless tifffile may fail to."""
        series = whole.levels[level]
        is_ours = NOTES_KEY in notes_in(whole.keyframe)  # ours has the shape that it was given
        lengths = list(zip(series.shape, series.axes, strict=True))
        dropped = [
            at
            for at, (side, letter) in enumerate(lengths)
            if side == 1 and letter not in "YX" and not is_ours
        ]
        kept = [at for at in range(len(lengths)) if at not in dropped]
        stored = cls(
            path,
            next(at for at, each in enumerate(file.series) if each is whole),
            level,
            "".join(series.axes[at] for at in kept),
            tuple(int(series.shape[at]) for at in kept),
            tuple(dropped),
            np.dtype(series.dtype),
            series.dataoffset is not None,
            _chunk_shape(series.keyframe),
        )
        return stored._decodable(series) if colour.may_need_pillow(series.keyframe) else stored

    @property
    def nbytes(self) -> int:
        """Bytes that all values take in memory."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.plane_axes
        return self.shape[rows], self.shape[columns]

    @property
    def plane_axes(self) -> tuple[int, int]:
        """Axes of rows and columns."""
        return _plane_axes(self.axes)

    @property
    def is_decoded_rgb(self) -> bool:
        """Whether values are red, green and blue, whatever the file's own model of colours."""
        return self.pillow_page is not None

    def mapped(self) -> NDArray[Any]:
        """Map a plain file."""
        import tifffile

        pixels: NDArray[Any] = tifffile.memmap(self.path, mode="r", series=self.series, level=self.level)
        return pixels.reshape(self.shape)  # the file's own shape may have axes of length one

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part: of a slice with a positive step for each axis, or of ``...`` the whole."""
        with naming_damage(self.path, "a tif, png or jpg picture"):
            if self.pillow_page is not None:
                page: NDArray[Any] = pillow_files.read_tif_page(self.path, self.pillow_page)[key]
                return page
            if self.is_plain:
                return np.array(self.mapped()[key])
            with opened(self.path) as file:
                return self._decoded(file.series[self.series], key)

    def _decoded(self, series: Any, key: Any) -> NDArray[Any]:
        """Decode the strips or tiles of a part."""
        part = (
            self.shape
            if key is ...
            else [len(range(n)[each]) for each, n in zip(key, self.shape, strict=True)]
        )
        strip = series.levels[self.level].keyframe.chunks
        check_fits((prod(part) + prod(strip)) * self.dtype.itemsize, READ_LESS)
        if tuple(part) == self.shape:
            whole: NDArray[Any] = series.levels[self.level].asarray()  # in several threads
            return whole.reshape(self.shape)
        with_single = list(key)
        for at in self.dropped:
            with_single.insert(at, slice(0, 1))
        store = series.aszarr(level=self.level)
        try:
            pixels = read_part(store, tuple(with_single), 2)
        finally:
            store.close()
        return pixels.squeeze(self.dropped)

    def _decodable(self, series: Any) -> Stored:
        """Leave a page to Pillow, which makes it RGB, if tifffile can't decode it."""
        check_fits(self.nbytes, READ_LESS)
        try:
            series.asarray()
        except (ValueError, NotImplementedError, RuntimeError) as error:
            page = int(series.keyframe.index)
            try:
                shape = pillow_files.read_tif_page(self.path, page).shape
            except OSError as another:
                raise ValueError(f"tifffile says {error}, Pillow says {another}") from another
            whole = shape[0], shape[1]
            rgb = replace(
                self, axes="YXS", shape=shape, dropped=(), dtype=np.dtype(np.uint8), chunk_shape=whole
            )
            return replace(rgb, is_plain=False, pillow_page=page)
        return self


@contextmanager
def opened(path: Path) -> Iterator[Any]:  # Any: tifffile's file stays in the disk
    """Open a tif by tifffile.

    Raises
    ------
    ValueError
        If it is none.
    """
    import tifffile

    logging.getLogger("tifffile").addHandler(_NO_PRINTING)
    try:
        with tifffile.TiffFile(path) as file:
            check_chain(file)
            _check_named(file)
            yield file
    except tifffile.TiffFileError as error:  # in older versions no ValueError
        raise ValueError(str(error)) from error


def _check_named(file: Any) -> None:  # Any: as above
    """Refuse a pipe or a device among the other files of a picture, which tifffile opens."""
    folder = Path(file.filehandle.dirname)  # of a link, that of the file it leads to
    for name in _named(folder, file):
        if is_special(folder / name):
            raise ValueError(f"it names {name}, which is a pipe or a device")


def _named(folder: Path, file: Any) -> Iterator[str]:  # Any: as above
    """The other files that an OME-TIFF or a tif of Micro-Manager names."""
    import tifffile

    with suppress(ET.ParseError):  # tifffile then opens none
        said = ET.fromstring(file.ome_metadata or "<none/>")
        yield from {each.get("FileName", "") for each in said.iter() if each.tag.endswith("UUID")}
    if file.is_micromanager:
        yield from (each.name for each in folder.glob("*_MMStack*.tif"))
        index = folder / "NDTiff.index"
        yield index.name
        if index.is_file():
            yield from {name for _, name, *_ in tifffile.read_ndtiff_index(index)}


def plane_shape(series: Any) -> tuple[int, int]:  # Any: as above
    """Return rows and columns of a series."""
    rows, columns = _plane_axes(series.axes)
    return int(series.shape[rows]), int(series.shape[columns])


def notes_in(page: Any) -> dict[str, Any]:  # Any: as above
    """Return the JSON object in a page's description; empty if there is other text or none."""
    try:
        words = json.loads(page.description)
    except (ValueError, RecursionError):  # other text, brackets without end
        return {}
    return words if isinstance(words, dict) else {}


def _chunk_shape(page: Any) -> tuple[int, int]:  # Any: as above
    """Return rows and columns of a strip or tile."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(page.rowsperstrip), int(page.imagewidth)


def _plane_axes(axes: str) -> tuple[int, int]:
    """Return the axes of rows and columns: those of that name, or the last two that hold no channels."""
    if "Y" in axes and "X" in axes:
        return axes.index("Y"), axes.index("X")
    rows, columns = [at for at, letter in enumerate(axes) if letter not in "SC"][-2:]
    return rows, columns
