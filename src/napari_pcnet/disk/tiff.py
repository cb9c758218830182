"""Tif and ome-tif: pictures with their levels and axes; labels with notes beside them.

Large pictures stay on the disk: a plain file is mapped, of any other the strips or tiles are decoded that a
slice touches. A part and the whole go through the same steps, so that they agree.
"""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import tags
from napari_pcnet.disk.deferred import Deferred, Slices
from napari_pcnet.disk.formats import NOTES_KEY
from napari_pcnet.disk.image import ORIENTATION_TAG, Image, mask_of, several_text, upright
from napari_pcnet.disk.output import ArrayKind, write_whole
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.samples import Samples
from napari_pcnet.disk.stored import Stored, notes_in, opened, plane_shape
from napari_pcnet.shapes import plane_axes, size_text

WHOLE_BYTES = 2**24
"""Pictures of fewer bytes are decoded at once, whatever will be asked of them."""

CLASSIC_BYTES = 2**32 - 2**25
"""Arrays of more bytes become a BigTIFF, however well they compress: some room is left for what is said."""

TILE_PX = 512
"""Side of a tile of labels."""

READ_PX = 8192
"""Columns of a row of tiles that are read as one."""

BUFFER_BYTES = 1 << 25
"""Tiles that wait to be compressed side by side."""


def count_series(path: Path) -> int:
    """Count the pictures in a file that differ in size or kind; pages of one kind are one stack."""
    with opened(path) as file:
        return len(_pictures(file))


def count_levels(path: Path, series: int) -> int:
    """Count the sizes of a picture: 1 unless it is a pyramid."""
    with opened(path) as file:
        return len(_pictures(file)[series].levels)


def files_of(path: Path) -> list[Path]:
    """Return a file and the others that its pictures are read from, as an OME-TIFF may name them."""
    with opened(path) as file:
        pages = [page for series in file.series if series.is_multifile for page in series if page is not None]
        others = {Path(page.parent.filehandle.path) for page in pages if page.parent is not file}
    return [path, *sorted(others)]


def read(path: Path, *, level: int, series: int, colours_of_palette: bool, alpha_apart: bool) -> Image:
    """Read one level of one picture; arguments as those of `pictures.read_image`."""
    with opened(path) as file:
        pictures = _pictures(file)
        if series == 0 and len(pictures) > 1:
            sizes = [f"{size_text(each.shape)} of {each.dtype}" for each in pictures]
            warnings.warn(several_text(path, sizes), UserWarning, stacklevel=4)
        whole = pictures[series]
        page = whole.keyframe
        if whole.kind == "ome":
            _warn_of_missing(path, whole.levels[level])
        stored = Stored.of(path, file, whole, level)
        if 0 in stored.shape:
            raise ValueError(f"its shape is {size_text(stored.shape)}, a picture has pixels")
        samples = Samples.of(page, whole.levels[level].keyframe, stored.axes, colours_of_palette)
        if stored.is_decoded_rgb:
            samples = samples.of_rgb()
        inside = _mask_page(path, file, whole, stored)
        placement = tags.placement_of(file, page, series)
        # Only the full size is certain to carry the orientation.
        orientation = page.tags.valueof(ORIENTATION_TAG)
        full_size = plane_shape(whole)
    if alpha_apart:
        samples = samples.with_alpha_apart(stored, path)
    if placement is not None:
        rows, columns = (many / few for many, few in zip(full_size, stored.plane_shape, strict=True))
        placement = placement.shrunk(rows, columns)
    turned = orientation in range(2, 9)
    picture = _Picture(stored, samples, inside)
    image = replace(picture.image(turned or stored.nbytes < WHOLE_BYTES), placement=placement)
    return upright(image, int(orientation)) if turned else image


def _warn_of_missing(path: Path, series: Any) -> None:
    """Say how many pages are missing, which an ome-tif may name in files that are not there."""
    missing = [page is None for page in series]
    if any(missing):
        warnings.warn(
            f"{sum(missing)} of {len(missing)} pages are missing in {path} and the files that it names, and "
            "are read as 0",
            stacklevel=5,
        )


def read_description(path: Path) -> dict[str, Any]:
    """Read the JSON object in the description of the first page; empty if there is none."""
    with opened(path) as file:
        return notes_in(file.pages[0])


def write_labels(
    path: Path,
    labels: NDArray[np.integer[Any]],
    notes: dict[str, Any] | None,
    overwrite: bool,
    placement: Placement | None = None,
    nodata: int | None = None,
) -> None:
    """Write labels in the type they have, compressed, with their notes in the description."""
    _write(path, labels, overwrite, **_arguments(labels.dtype, notes, placement, nodata))


def _arguments(
    dtype: np.dtype[Any], notes: dict[str, Any] | None, placement: Placement | None, nodata: int | None
) -> dict[str, Any]:
    """The arguments of tifffile's ``write`` for labels."""
    return {
        "predictor": dtype.itemsize <= 4,  # the format has none for 64 bits
        "photometric": "minisblack",
        "metadata": {NOTES_KEY: notes},  # the key, even without notes, marks the file's shape as ours
        **tags.tags_of(placement, nodata),
    }


def write_tiled_labels(
    path: Path,
    labels: Any,
    kind: ArrayKind,
    notes: dict[str, Any] | None,
    overwrite: bool,
    placement: Placement | None = None,
    nodata: int | None = None,
) -> None:
    """Write labels as `write_labels` does, but tile by tile, as the array gives them.

    Parameters
    ----------
    labels : (..., H, W) array
        Anything that can be sliced.
    kind : ArrayKind
        The shape of the labels, and the type that they get.
    """
    import tifffile

    def write(file: BinaryIO) -> None:
        with tifffile.TiffWriter(file, bigtiff=_is_big(kind)) as writer:
            writer.write(
                tiles_of(labels, kind.dtype),
                shape=kind.shape,
                dtype=kind.dtype,
                tile=(TILE_PX, TILE_PX),
                compression="zlib",
                buffersize=BUFFER_BYTES,
                **_arguments(kind.dtype, notes, placement, nodata),
            )

    write_whole(path, write, overwrite)


def parts_of(labels: Any) -> Iterator[NDArray[Any]]:
    """Rows of tiles of each plane in raster order, ``(h, w)``, in parts of some megabytes."""
    height, width = labels.shape[-2:]
    for plane in np.ndindex(*labels.shape[:-2]):
        for top in range(0, height, TILE_PX):
            for left in range(0, width, READ_PX):
                yield np.asarray(labels[(*plane, slice(top, top + TILE_PX), slice(left, left + READ_PX))])


def tiles_of(labels: Any, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Tiles of each plane in raster order, all of one size: beyond the plane they are 0."""
    for part in parts_of(labels):
        for start in range(0, part.shape[1], TILE_PX):
            inside = part[:, start : start + TILE_PX]
            tile = np.zeros((TILE_PX, TILE_PX), dtype)
            tile[: inside.shape[0], : inside.shape[1]] = inside
            yield tile


def write_picture(
    path: Path, pixels: NDArray[np.uint8], overwrite: bool, placement: Placement | None = None
) -> None:
    """Write a picture of ``(..., H, W, 3)``, compressed."""
    # Where pages do not tell the shape, it is kept in the description.
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None if pixels.ndim == 3 else {}}
    options |= tags.tags_of(placement)
    _write(path, pixels, overwrite, predictor=True, **options)


def pixel_at(placement: Placement) -> bytes:
    """Make a tif of one pixel that lies somewhere, for GDAL to say where that is."""
    return _content(np.zeros((1, 1), np.uint8), **tags.tags_of(placement)).getvalue()


def _write(path: Path, pixels: NDArray[Any], overwrite: bool, **options: Any) -> None:
    content = _content(pixels, **options)
    write_whole(path, lambda file: file.write(content.getbuffer()), overwrite)


def _content(pixels: NDArray[Any], **options: Any) -> io.BytesIO:
    import tifffile

    content = io.BytesIO()  # tifffile asks a file for its name, and a temporary file's is a number
    is_big = _is_big(ArrayKind(pixels.shape, pixels.dtype))
    tifffile.imwrite(content, pixels, compression="zlib", bigtiff=is_big, **options)
    return content


def _is_big(kind: ArrayKind) -> bool:
    """Whether an array may take more bytes than an offset of a classic tif counts."""
    return prod(kind.shape) * kind.dtype.itemsize > CLASSIC_BYTES


@dataclass
class _Picture:
    """Stored pixels, what they mean, and where they are inside.

    Attributes
    ----------
    stored : Stored
    samples : Samples
    inside : Stored, array or None
        The page that is zero outside the picture, ``(..., H, W)``.
    """

    stored: Stored
    samples: Samples
    inside: Any

    def __post_init__(self) -> None:
        self._latest: tuple[Slices, Image] | None = None

    @property
    def plane_axes(self) -> list[int]:
        """Axes of what is stored that are none of channels."""
        return [at for at in range(len(self.stored.shape)) if at != self.samples.channel_axis]

    def image(self, at_once: bool) -> Image:
        """Return the picture; what isn't read at once is read where it is sliced."""
        stored, samples = self.stored, self.samples
        one = [1 if at in self.plane_axes else side for at, side in enumerate(stored.shape)]
        first = samples.image_of(np.zeros(one, stored.dtype))
        planes = tuple(stored.shape[at] for at in self.plane_axes)
        pixels: Any
        if samples.changes_pixels:
            axis = None if first.channel_axis is None else first.channel_axis % first.pixels.ndim
            shape = planes if axis is None else (*planes[:axis], first.pixels.shape[axis], *planes[axis:])
            sides = self._chunks(len(shape), axis)
            pixels = Deferred(lambda slices: self._pixels(slices, axis), shape, first.pixels.dtype, sides)
        elif stored.is_plain:
            pixels = stored.mapped()
        else:
            sides = self._chunks(len(stored.shape), samples.channel_axis)
            pixels = Deferred(stored.__getitem__, stored.shape, stored.dtype, sides)
        if at_once and isinstance(pixels, Deferred):
            pixels = pixels[...]
        mask = mask_of(self._mask, planes, at_once) if samples.may_hide or self.inside is not None else None
        return Image(pixels, first.channel_axis, mask)

    def _chunks(self, ndim: int, channel_axis: int | None) -> tuple[int, ...]:
        """Sides of what is decoded as one."""
        sides = [1] * ndim
        if channel_axis is not None and self.stored.axes.endswith("S"):  # samples lie beside each other
            sides[channel_axis] = self.stored.shape[-1]
        for axis, side in zip(plane_axes(ndim, channel_axis), self.stored.chunk_shape, strict=True):
            sides[axis] = side
        return tuple(sides)

    def _pixels(self, slices: Slices, axis: int | None) -> NDArray[Any]:
        planes = [each for at, each in enumerate(slices) if at != axis]
        pixels: NDArray[Any] = self._part(tuple(planes)).pixels
        return pixels if axis is None else pixels[(slice(None),) * axis + (slices[axis],)]

    def _mask(self, slices: Slices) -> NDArray[np.bool_]:
        mask = self._part(slices).mask if self.samples.may_hide else None
        if mask is None:
            mask = np.ones([len(range(each.start, each.stop, each.step)) for each in slices], bool)
        if self.inside is not None:
            mask = mask & (self.inside[slices[-len(self.inside.shape) :]] != 0)
        return mask

    def _part(self, slices: Slices) -> Image:
        """Read a part of all channels; the latest is kept, as mask and channels are asked for one by one."""
        latest = self._latest
        if latest is None or latest[0] != slices:
            key, axis = list(slices), self.samples.channel_axis
            if axis is not None:
                key.insert(axis, slice(0, self.stored.shape[axis], 1))
            latest = self._latest = slices, self.samples.image_of(self.stored[tuple(key)])
        return latest[1]


def _pictures(file: Any) -> list[Any]:
    """Return the series of a file that are no masks or small copies of others."""
    own = [each for each in file.series if not each.keyframe.is_mask and not each.keyframe.is_reduced]
    return own or list(file.series)


def _mask_page(path: Path, file: Any, whole: Any, stored: Stored) -> Any:
    """Return what is zero outside a picture, in its shape, from the mask page of its size, if any."""
    for series in file.series:
        if series is whole or not series.keyframe.is_mask or plane_shape(series) != plane_shape(whole):
            continue
        levels = [Stored.of(path, file, series, level) for level in range(len(series.levels))]
        if levels[0].axes not in ("YX", stored.axes.replace("S", "")):
            continue
        same = next((each for each in levels if each.plane_shape == stored.plane_shape), None)
        return same or _shrunk(levels[0][...], stored.plane_shape)
    return None


def _shrunk(mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Take the nearest pixels of a mask of the full size."""
    rows, columns = (np.arange(few) * many // few for many, few in zip(mask.shape[-2:], shape, strict=True))
    small: NDArray[Any] = mask[..., rows[:, None], columns]
    return small
