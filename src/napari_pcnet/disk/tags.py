"""What the tags of a tif say beside its pixels: no data, what a band is, where it lies, how large pixels are.

Tags have the numbers of TIFF 6.0, GeoTIFF 1.1 and GDAL; pages and files are tifffile's. A tag that holds
something else than it should counts as missing.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import isfinite
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

from napari_pcnet.disk.placement import Affine, GeoReference, Placement, unit_name

Page: TypeAlias = Any  # tifffile has few types of its own
TagTuple: TypeAlias = tuple[int, str, int, Any, bool]
"""A tag as tifffile writes it: number, type, count (0: of the value), value, only on the first page."""

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_PIXEL_SCALE, _TIE_POINTS, _TRANSFORMATION = 33550, 33922, 34264
_GEO_KEYS, _GEO_NUMBERS, _GEO_TEXT = 34735, 34736, 34737
_GDAL_METADATA, _GDAL_NODATA = 42112, 42113

_UNITS = {2: "inch", 3: "cm"}
"""By the value of ResolutionUnit; 1 is none."""
_UNIT_IF_MISSING = 2

_LARGEST_KEY = 2**16 - 1
_LARGEST_PART = 2**32 - 1
"""Of a rational."""

_ALPHA_WORDS = re.compile("alpha|mask|transparen|opacity", re.IGNORECASE)
_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")
"""Micrometres of a pixel, in the description of a slide by Aperio."""


def nodata_of(page: Page) -> float | None:
    """Return the value that stands for no data, or NaN; None if the page names none."""
    try:
        return float(str(page.tags.valueof(_GDAL_NODATA)).strip(" \0").replace(",", "."))
    except ValueError:
        return None


def is_alpha_by_name(page: Page, band: int) -> bool | None:
    """Whether GDAL's metadata call a band transparency; None if they say nothing of it."""
    words = {
        item.get("role"): (item.text or "").strip()
        for item in _items(page.tags.valueof(_GDAL_METADATA))
        if item.get("sample") == str(band)
    }
    known = [word for word in (words.get("colorinterp"), words.get("description")) if word]
    return bool(_ALPHA_WORDS.search(known[0])) if known else None


def placement_of(file: Any, page: Page, series: int) -> Placement | None:
    """Return where the picture of a page lies and how large its pixels are; None if nothing is said.

    Parameters
    ----------
    file : tifffile.TiffFile
    page : tifffile.TiffPage
        Of the full size.
    series : int
        Which of the file's pictures it is.
    """
    size, unit = _ome_size(file, series) or _slide_size(file, page) or _resolution(file, page) or (None, "")
    geo = _reference(page)
    return None if size is None and geo is None else Placement(size, unit, geo)


def tags_of(placement: Placement | None, nodata: int | None = None) -> dict[str, Any]:
    """Return the arguments of tifffile's ``imwrite`` that keep a placement, and a value that is no data."""
    declared: list[TagTuple] = [] if nodata is None else [(_GDAL_NODATA, "s", 0, str(nodata), True)]
    if placement is None:
        return {"extratags": declared}
    return _resolution_arguments(placement) | {"extratags": _geo_tags(placement.geo) + declared}


def _items(text: object) -> list[Any]:
    try:
        return list(ET.fromstring(str(text).strip(" \0")).iter("Item"))
    except ET.ParseError:
        return []


def _numbers(page: Page, tag: int, least: int) -> tuple[float, ...] | None:
    """Return the finite numbers of a tag; None if it is missing, has others or fewer than it must."""
    value = page.tags.valueof(tag)
    try:
        numbers = tuple(float(each) for each in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) >= least and all(map(isfinite, numbers)) else None


def _reference(page: Page) -> GeoReference | None:
    transform = _transform(page)
    if transform is None:
        return None
    keys = tuple(int(key) for key in _numbers(page, _GEO_KEYS, 4) or ())
    numbers = _numbers(page, _GEO_NUMBERS, 1) or ()
    text = page.tags.valueof(_GEO_TEXT)
    text = text if isinstance(text, str) else ""
    # Other characters than ASCII can't be written; as many are kept, as keys say where a name begins.
    text = text.encode("ascii", "replace").decode()
    fit = all(0 <= key <= _LARGEST_KEY for key in keys)
    return GeoReference(transform, keys if fit else (), numbers, text)


def _transform(page: Page) -> Affine | None:
    """GeoTIFF 1.1, annex B.6: a matrix, or a scale and a point that ties raster and map."""
    matrix = _numbers(page, _TRANSFORMATION, 8)
    if matrix is not None:
        a, b, _, c, d, e, _, f = matrix[:8]
        return _mapping(a, b, c, d, e, f)
    scale, tie = _numbers(page, _PIXEL_SCALE, 2), _numbers(page, _TIE_POINTS, 6)
    if scale is None or tie is None:
        return None
    column, row, _, x, y = tie[:5]
    return _mapping(scale[0], 0.0, x - scale[0] * column, 0.0, -scale[1], y + scale[1] * row)


def _mapping(*numbers: float) -> Affine | None:
    """Return six numbers as a transform; None if they put pixels in no place, or all in one."""
    a, b, c, d, e, f = numbers
    area = a * e - b * d
    return (a, b, c, d, e, f) if isfinite(c) and isfinite(f) and isfinite(area) and area != 0 else None


def _geo_tags(geo: GeoReference | None) -> list[TagTuple]:
    if geo is None:
        return []
    a, b, c, d, e, f = geo.transform
    if b == d == 0 and a > 0 > e:  # north up: in the form that every program reads
        tags: list[TagTuple] = [
            (_PIXEL_SCALE, "d", 3, (a, -e, 0.0), True),
            (_TIE_POINTS, "d", 6, (0.0, 0.0, 0.0, c, f, 0.0), True),
        ]
    else:
        matrix = (a, b, 0.0, c, d, e, 0.0, f, *(0.0,) * 4, *(0.0,) * 3, 1.0)
        tags = [(_TRANSFORMATION, "d", 16, matrix, True)]
    if geo.keys:
        tags.append((_GEO_KEYS, "H", len(geo.keys), geo.keys, True))
    if geo.numbers:
        tags.append((_GEO_NUMBERS, "d", len(geo.numbers), geo.numbers, True))
    if geo.text:
        tags.append((_GEO_TEXT, "s", 0, geo.text, True))
    return tags


def _resolution_arguments(placement: Placement) -> dict[str, Any]:
    """Pixels in an inch or, of any other unit that has metres, in a centimetre, which ImageJ shows as µm."""
    if placement.pixel_size is None:
        return {}
    (height, width), code = placement.pixel_size, 1
    if placement.unit == "inch":
        code = 2
    elif placement.pixel_metres is not None:
        (height, width), code = placement.pixel_metres, 3
        height, width = height * 100, width * 100
    pixels = _rational(width), _rational(height)
    return {"resolution": pixels, "resolutionunit": code} if all(map(all, pixels)) else {}


def _rational(size: float) -> tuple[int, int]:
    """Return the pixels in a unit as a ratio of two numbers of 32 bits; (0, 0) if none is near."""
    if not 1 / _LARGEST_PART < size < _LARGEST_PART:
        return 0, 0
    number = 1 / size
    ratio = Fraction(number).limit_denominator(int(_LARGEST_PART / max(number, 1)))
    return ratio.numerator, ratio.denominator


def _resolution(file: Any, page: Page) -> tuple[tuple[float, float], str] | None:
    """Size of a pixel by the resolution tags, in the unit that ImageJ keeps beside them."""
    pixels = [_ratio(page.tags.valueof(tag)) for tag in (_Y_RESOLUTION, _X_RESOLUTION)]
    code = page.tags.valueof(_RESOLUTION_UNIT, default=_UNIT_IF_MISSING)
    unit = _UNITS.get(code, "")
    if file.is_imagej:
        unit = unit_name(str((file.imagej_metadata or {}).get("unit", unit)))
    if not all(pixels) or (not unit and pixels == [1.0, 1.0]):  # 1 of nothing is what writers fill in
        return None
    height, width = (1 / each for each in pixels)
    return (height, width), unit


def _ratio(value: Any) -> float:  # Any: a tag may hold anything
    """Return the positive number that a rational stands for; 0 if it is none."""
    try:
        above, below = value
        number = float(above) / float(below)
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return number if 0 < number < float("inf") else 0.0


def _slide_size(file: Any, page: Page) -> tuple[tuple[float, float], str] | None:
    found = _MPP.search(str(page.description)) if file.is_svs else None
    size = _positive(found[1]) if found else None
    return None if size is None else ((size, size), "µm")


def _ome_size(file: Any, series: int) -> tuple[tuple[float, float], str] | None:
    """Size of a pixel in OME-XML, whose unit is micrometres if it names none."""
    if not file.is_ome:
        return None
    try:
        pixels = ET.fromstring(file.ome_metadata).findall("{*}Image/{*}Pixels")[series]
    except (ET.ParseError, IndexError):
        return None
    height, width = (_positive(pixels.get(f"PhysicalSize{axis}")) for axis in "YX")
    unit, other = (unit_name(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX")
    return None if height is None or width is None or unit != other else ((height, width), unit)


def _positive(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
