"""What the samples of a pixel in a tif mean: colours, a palette, transparency, no data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk import colour, tags
from napari_pcnet.disk.image import Image, has_data, split_alpha
from napari_pcnet.disk.stored import Stored

_UNASSOCIATED_ALPHA = 2
_ALPHA_KINDS = (1, _UNASSOCIATED_ALPHA)
"""Kinds of extra samples that are alpha, associated or not; another kind, such as infrared, is a channel."""

_PROBES, _PROBE_PX = 4, 32
"""Along each axis: how many parts of a band are looked at, and how large they are."""

_FEW_VALUES = 16
"""A soft edge or a uniform veil has no more values between transparent and opaque."""


@dataclass(frozen=True)
class Samples:
    """The steps from a part of a page as it is stored to a part of an image.

    Attributes
    ----------
    axes : str
        Of what is stored; ``S`` are samples, ``C`` channels.
    model : int
        Of colours, a number of TIFF.
    bits : int
        Of a sample.
    palette : (3, N) array of uint16, or None
    nodata : float or None
        The stored value, or NaN, that stands for no data.
    extra : tuple of int
        Kinds of the last samples.
    named : tuple of bool or None
        For each of these, whether its name says that it is alpha.
    alphas : tuple of int
        Which samples, counted from the end, are transparency, to be taken out.
    """

    axes: str
    model: int
    bits: int
    palette: NDArray[np.uint16] | None
    nodata: float | None
    extra: tuple[int, ...]
    named: tuple[bool | None, ...]
    alphas: tuple[int, ...] = ()

    @classmethod
    def of(cls, page: tags.Page, of_level: tags.Page, axes: str, colours_of_palette: bool) -> Samples:
        """Read the tags.

        Parameters
        ----------
        page : tifffile.TiffPage
            Of the full size, which has tags that levels may lack.
        of_level : tifffile.TiffPage
            Of the level that is read.
        axes : str
            Of what is stored.
        colours_of_palette : bool
            Whether colours are wanted; False for labels, whose values stay as they are stored.
        """
        extra = tuple(map(int, of_level.extrasamples)) if "S" in axes else ()
        first = int(of_level.samplesperpixel) - len(extra)
        model = colour.model_of(of_level) if colours_of_palette else colour.RGB
        return cls(
            axes,
            model,
            int(of_level.bitspersample),
            of_level.colormap if model == colour.PALETTE else None,
            tags.nodata_of(page),
            extra,
            tuple(tags.is_alpha_by_name(page, first + at) for at in range(len(extra))),
        )

    def of_rgb(self) -> Samples:
        """Return these of pixels that a decoder has made RGB."""
        return replace(self, axes="YXS", model=colour.RGB, palette=None, nodata=None, extra=(), named=())

    @property
    def channel_axis(self) -> int | None:
        """Which axis of what is stored holds samples or channels."""
        return next((self.axes.index(each) for each in "SC" if each in self.axes), None)

    @property
    def changes_pixels(self) -> bool:
        """Whether pixels of the image are others than those that are stored."""
        return bool(self.alphas) or self.palette is not None or self.model in colour.CONVERTED

    @property
    def may_hide(self) -> bool:
        """Whether pixels may be outside."""
        return bool(self.alphas) or self.nodata is not None

    def with_alpha_apart(self, stored: Stored, path: Path) -> Samples:
        """Decide which samples are transparency: by GDAL's names, else by the tag, unless values deny it."""
        numbers = range(-len(self.extra), 0)
        declared = [
            at
            for at, kind, named in zip(numbers, self.extra, self.named, strict=True)
            if kind in _ALPHA_KINDS and named is not False
        ]
        may_be_measured = self.extra == (_UNASSOCIATED_ALPHA,) and self.named == (None,)
        # Four bands of 8 bits are declared so by GDAL whatever they hold, if their writer says nothing.
        if may_be_measured and self.model == colour.RGB and self._is_measured(stored):
            planar = self.axes.index("S") < self.axes.index("Y")
            stack = ", or, of a stack of planes, no axis for them (--channel-axis none)" if planar else ""
            warnings.warn(
                f"{path} declares its last band as transparency, but the values are many and few are opaque: "
                f"it is taken for a measured channel, such as near infrared; choose others by channels "
                f"(--channels){stack}",
                UserWarning,
                stacklevel=5,
            )
            declared = []
        return replace(self, alphas=tuple(declared))

    def image_of(self, part: NDArray[Any]) -> Image:
        """Return the image of a part that has all samples."""
        image = split_alpha(part, self.axes.index("S"), list(self.alphas)) if self.alphas else None
        image = image or Image(part, self.channel_axis)
        seen = None if self.nodata is None else has_data(image.pixels, image.channel_axis, self.nodata)
        mask = image.mask if seen is None or image.mask is None else seen & image.mask
        return replace(self._in_colour(image), mask=seen if mask is None else mask)

    def _in_colour(self, image: Image) -> Image:
        if self.palette is not None:
            axis = image.channel_axis
            indices = (
                image.pixels if axis is None else np.take(image.pixels, 0, axis)
            )  # others are no colours
            return Image(colour.look_up_palette(indices, self.palette), -1, image.mask)
        if self.model != colour.WHITE_IS_ZERO:
            return colour.in_rgb(image, self.model)
        if image.channel_axis is None:
            return replace(image, pixels=colour.white_as_largest(image.pixels, self.bits))
        pixels = np.moveaxis(image.pixels.copy(), image.channel_axis, 0)
        pixels[0] = colour.white_as_largest(pixels[0], self.bits)  # the others are measured
        return replace(image, pixels=np.moveaxis(pixels, 0, image.channel_axis))

    def _is_measured(self, stored: Stored) -> bool:
        """Whether more pixels lie between transparent and opaque than are opaque, with many values."""
        values = np.concatenate([each.ravel() for each in _probed(stored)])
        if values.dtype.kind != "u":
            return False
        largest = 2**self.bits - 1
        between = values[(values > 0) & (values < largest)]
        return between.size > np.count_nonzero(values == largest) and np.unique(between).size > _FEW_VALUES


def _probed(stored: Stored) -> list[NDArray[Any]]:
    """Read parts of the last sample, spread over the first plane."""
    key = [slice(0, 1, 1)] * len(stored.shape)
    key[stored.axes.index("S")] = slice(stored.shape[stored.axes.index("S")] - 1, None, 1)
    rows, columns = stored.plane_axes
    parts = []
    for top in _starts(stored.shape[rows]):
        for left in _starts(stored.shape[columns]):
            key[rows], key[columns] = slice(top, top + _PROBE_PX, 1), slice(left, left + _PROBE_PX, 1)
            parts.append(stored[tuple(key)])
    return parts


def _starts(side: int) -> list[int]:
    return sorted({at * max(side - _PROBE_PX, 0) // (_PROBES - 1) for at in range(_PROBES)})
