"""Where a picture lies, and how large its pixels are: what its labels and its overlay inherit.

Frames: a map position is ``(x, y)`` of the picture's reference system, a raster position ``(column, row)``.
Whether whole numbers are corners or centres of pixels is said by the reference (GeoTIFF 1.1, section 7.1.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

Affine: TypeAlias = tuple[float, float, float, float, float, float]
"""``(a, b, c, d, e, f)`` of ``x = a column + b row + c`` and ``y = d column + e row + f``."""

_RASTER_TYPE_KEY, _PIXEL_IS_POINT = 1025, 2

INCH_M = 0.0254

_METRES = {
    "m": 1.0,
    "mm": 1e-3,
    "µm": 1e-6,
    "nm": 1e-9,
    "pm": 1e-12,
    "cm": 1e-2,
    "km": 1e3,
    "inch": INCH_M,
    "ft": 0.3048,
}
_OTHER_WORDS = {
    "meter": "m",
    "metre": "m",
    "millimeter": "mm",
    "centimeter": "cm",
    "um": "µm",
    "μm": "µm",  # the Greek letter; the other is the micro sign
    "\\u00b5m": "µm",  # as ImageJ writes it
    "micron": "µm",
    "microns": "µm",
    "micrometer": "µm",
    "micrometre": "µm",
    "nanometer": "nm",
    "picometer": "pm",
    "kilometer": "km",
    "in": "inch",
    "foot": "ft",
}
"""Units as programs write them, in lower case, and our name for each."""


@dataclass(frozen=True)
class GeoReference:
    """The place of a picture on a map.

    Attributes
    ----------
    transform : tuple of float
        From raster to map positions, an `Affine`.
    keys : tuple of int
        GeoKeyDirectory: four numbers for each key of the reference system. Empty if it isn't named.
    numbers : tuple of float
        GeoDoubleParams, which keys point into.
    text : str
        GeoAsciiParams, which keys point into.
    """

    transform: Affine
    keys: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    text: str = ""

    @property
    def corner(self) -> float:
        """Raster position of the first pixel's upper left corner, along either axis."""
        entries = zip(*(iter(self.keys[4:]),) * 4, strict=False)
        is_point = any(entry[0] == _RASTER_TYPE_KEY and entry[3] == _PIXEL_IS_POINT for entry in entries)
        return -0.5 if is_point else 0.0

    def composed(self, columns: tuple[float, float, float], rows: tuple[float, float, float]) -> GeoReference:
        """Return the reference of another raster, whose positions make this one's.

        Parameters
        ----------
        columns, rows : (float, float, float)
            This one's column (row) is ``p column + q row + r`` of the other, from the corner of its
            first pixel.
        """
        a, b, c, d, e, f = self.transform
        corner = self.corner
        (p, q, r), (s, t, u) = (
            (along, across, offset + corner - (along + across) * corner)
            for along, across, offset in (columns, rows)
        )
        transform = (
            a * p + b * s,
            a * q + b * t,
            a * r + b * u + c,
            d * p + e * s,
            d * q + e * t,
            d * r + e * u + f,
        )
        return replace(self, transform=transform)


@dataclass(frozen=True)
class Placement:
    """Where a picture lies, and how large its pixels are.

    Attributes
    ----------
    pixel_size : (float, float) or None
        Height and width of a pixel.
    unit : str
        Unit of `pixel_size`; empty if the file names none.
    geo : GeoReference or None
    """

    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    geo: GeoReference | None = None

    @property
    def pixel_metres(self) -> tuple[float, float] | None:
        """Height and width of a pixel in metres; None if they aren't known."""
        if self.pixel_size is None or self.unit not in _METRES:
            return None
        height, width = self.pixel_size
        return height * _METRES[self.unit], width * _METRES[self.unit]

    def pixel_size_in(self, unit: str) -> tuple[float, float] | None:
        """Height and width of a pixel in a unit, as programs write it; None if they aren't known.

        >>> Placement((2.0, 4.0), "mm").pixel_size_in("cm")
        (0.2, 0.4)

        Raises
        ------
        ValueError
            If there is no such unit.
        """
        name = _OTHER_WORDS.get(unit.lower(), unit)
        if name not in _METRES:
            raise ValueError(f"unit must be one of {', '.join(_METRES)}, got {unit!r}")
        metres = self.pixel_metres
        return None if metres is None else (metres[0] / _METRES[name], metres[1] / _METRES[name])

    def part(self, top: int, left: int) -> Placement:
        """Return the placement of a part that begins at a row and a column.

        >>> Placement(geo=GeoReference((2.0, 0.0, 500.0, 0.0, -2.0, 900.0))).part(10, 5).geo.transform
        (2.0, 0.0, 510.0, 0.0, -2.0, 880.0)
        """
        geo = None if self.geo is None else self.geo.composed((1, 0, left), (0, 1, top))
        return replace(self, geo=geo)

    def shrunk(self, rows: float, columns: float) -> Placement:
        """Return the placement of the picture with so many times fewer rows and columns.

        >>> Placement((1.0, 2.0), "mm").shrunk(4, 4).pixel_size
        (4.0, 8.0)
        """
        geo = None if self.geo is None else self.geo.composed((columns, 0, 0), (0, rows, 0))
        if self.pixel_size is None:
            return replace(self, geo=geo)
        height, width = self.pixel_size
        return replace(self, pixel_size=(height * rows, width * columns), geo=geo)

    def upright(self, orientation: int, shape: tuple[int, int]) -> Placement:
        """Return the placement of the picture when it is turned as `image.upright` does.

        Parameters
        ----------
        orientation : int
            Value of the tag, 1 to 8.
        shape : (int, int)
            Rows and columns as they are stored.
        """
        height, width = shape
        columns: tuple[float, float, float] = (-1, 0, width) if orientation in (2, 3, 7, 8) else (1, 0, 0)
        rows: tuple[float, float, float] = (0, -1, height) if orientation in (3, 4, 6, 7) else (0, 1, 0)
        size = self.pixel_size
        if orientation in range(5, 9):  # stored columns run along our rows
            columns, rows = (columns[1], columns[0], columns[2]), (rows[1], rows[0], rows[2])
            size = None if size is None else (size[1], size[0])
        geo = None if self.geo is None else self.geo.composed(columns, rows)
        return replace(self, pixel_size=size, geo=geo)


def unit_name(word: str) -> str:
    """Return our name of a unit as a program writes it.

    >>> unit_name("micron"), unit_name("Metre"), unit_name("parsec")
    ('µm', 'm', 'parsec')
    """
    word = word.strip()
    return _OTHER_WORDS.get(word.lower(), word)
