"""Colour models of tif pages: CMYK, YCbCr and Lab samples, and palettes, become RGB; white is the largest."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.image import Image

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, _CMYK, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
"""Colour models by their number in TIFF."""

_INK_SET_TAG, _CMYK_INKS = 332, 1
_OLD_JPEG = 6
_JPEG_COMPRESSIONS = (_OLD_JPEG, 7, 33007, 34892)
"""Of these, tifffile gives YCbCr as RGB; of all others as it is stored."""

_NO_BLUE = 1 - 1e-6
"""Share that b may have of its limit at a lightness, where Z of CIE XYZ is 0. scikit-image warns below 0 and
clips, and rounding alone must not reach there."""


def model_of(page: Any) -> int:  # Any: tifffile's page stays in here
    """Return the colour model, a number of TIFF, that tifffile gives the samples of a page in."""
    model = int(page.photometric or 0)
    inks = page.tags.get(_INK_SET_TAG)
    other_inks = model == _CMYK and inks is not None and inks.value != _CMYK_INKS
    decoded = model == _YCBCR and page.compression in _JPEG_COMPRESSIONS
    return RGB if other_inks or decoded else model


def may_need_pillow(page: Any) -> bool:  # Any: as above
    """Whether a page is in a form that tifffile may fail to decode: JPEG of TIFF 6.0, or thinned chroma."""
    thinned = model_of(page) == _YCBCR and bool(page.is_subsampled)
    return thinned or page.compression == _OLD_JPEG


def white_as_largest(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Turn whole numbers around whose zero is white; floats have no white, and stay.

    >>> white_as_largest(np.array([0, 15], np.uint8), 4)
    array([15,  0], dtype=uint8)
    """
    if pixels.dtype.kind in "bi":
        return ~pixels
    return pixels if pixels.dtype.kind != "u" else pixels.dtype.type(2**bits - 1) - pixels


def in_rgb(image: Image, model: int) -> Image:
    """Convert CMYK, YCbCr (of JFIF) or Lab samples to RGB of the same type; leave others as they are."""
    axis = image.channel_axis
    if model not in _RGB_OF or axis is None:
        return image
    samples = np.moveaxis(image.pixels, axis, -1)
    if samples.shape[-1] != (4 if model == _CMYK else 3):
        return image
    kind = samples.dtype.newbyteorder("=")
    largest = np.iinfo(kind).max if kind.kind in "ui" else 1
    rgb = _RGB_OF[model](samples.astype(kind), largest).clip(0, 1) * largest
    return replace(image, pixels=(rgb.round() if largest > 1 else rgb).astype(kind), channel_axis=-1)


def look_up_palette(indices: NDArray[Any], colours: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Replace palette indices by their colours, in a new last axis.

    Parameters
    ----------
    indices : (...) array of int or bool
    colours : (3, N) array of uint16
        Red, green and blue of each entry: the upper 8 bits, or, as some programs write them, the lower ones.
    """
    shift = 0 if colours.max(initial=0) < 256 else 8
    return np.moveaxis((colours >> shift)[:, indices.astype(np.intp)], 0, -1).astype(np.uint8)


def _rgb_of_cmyk(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    paper = 1 - samples.astype(np.float32) / largest
    return paper[..., :3] * paper[..., 3:]


def _rgb_of_ycbcr(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    luma = samples[..., 0].astype(np.float32) / largest
    middle = (largest + 1) // 2 if largest > 1 else 0.5
    blue, red = ((samples[..., at].astype(np.float32) - middle) / largest for at in (1, 2))
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], -1)


def _rgb_of_cielab(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    """TIFF 6.0, section 23: a and b are signed, in units of 1 or, with 16 bits, of 1 / 256."""
    if largest == 1:
        return _rgb_of_lab(samples)
    signed = samples[..., 1:].view(f"i{samples.itemsize}") * (128 / ((largest + 1) // 2))
    return _rgb_of_lab(np.concatenate([samples[..., :1] * (100 / largest), signed], axis=-1))


def _rgb_of_icclab(samples: NDArray[Any], largest: int) -> NDArray[Any]:
    """Lab as ICC profiles store it: a and b from 128 up, with 16 bits in units of 1 / 256."""
    if largest == 1:
        return _rgb_of_lab(samples)
    of_256 = samples / ((largest + 1) / 256)
    return _rgb_of_lab(of_256 * (100 / 255, 1, 1) - (0, 128, 128))


def _rgb_of_lab(lab: NDArray[Any]) -> NDArray[Any]:
    from skimage import color

    lightness, green_red, blue_yellow = np.moveaxis(lab, -1, 0)
    yellowest = (lightness + 16) * (200 / 116 * _NO_BLUE)
    clipped = [lightness, green_red, np.minimum(blue_yellow, yellowest)]
    rgb: NDArray[Any] = color.lab2rgb(np.stack(clipped, axis=-1))
    return rgb


_RGB_OF: dict[int, Callable[[NDArray[Any], int], NDArray[Any]]] = {
    _CMYK: _rgb_of_cmyk,
    _YCBCR: _rgb_of_ycbcr,
    _CIELAB: _rgb_of_cielab,
    _ICCLAB: _rgb_of_icclab,
}
"""By colour model what makes RGB in 0..1 of samples and the largest value of their type."""

CONVERTED = (WHITE_IS_ZERO, *_RGB_OF)
"""Colour models whose samples become others."""
