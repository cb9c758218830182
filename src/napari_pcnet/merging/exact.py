"""Logarithm, exponential, logistic function and CIELAB from sums, products, quotients and roots alone.

IEEE 754 rounds ``+ - * /`` and square roots in one way only, so what is computed here is the same on every
processor. The functions of numpy, which choose code by processor, differ in their last bits, and a merge
that was decided by one of these would differ with them. Where a function is a series, its error is far below
the steps in which merging compares.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.geometry.picture import COLOUR_STEPS

LN_2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
TWO_OVER_LN_2 = 2.8853900817779268
ROOT_HALF = 0.7071067811865476

LAB_STEPS = 1024
"""Steps in a unit of CIELAB, in which colours are summed up: a thousandth of what is just visible."""

STEEPEST = 40.0
"""Exponents are clipped here: beyond it the logistic function is 0 or 1 to 1e-17."""

_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""Of linear sRGB; ITU-R BT.709, in the digits of scikit-image."""

_WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of the illuminant D65 for 2 degrees; CIE 15."""


def _exp2_series() -> tuple[float, ...]:
    terms = [1.0]
    for k in range(1, 9):
        terms.append(terms[-1] * LN_2 / k)
    return tuple(reversed(terms))


LOG2_SERIES = tuple(TWO_OVER_LN_2 / k for k in range(13, 0, -2))
"""log2((1 + t) / (1 - t)) over t for ``|t| < 0.172``, to 1e-10, in powers of t^2, the highest first: twice
the series of atanh over ln 2."""

EXP2_SERIES = _exp2_series()
"""2**f for ``|f| <= 0.5``, to 1e-10, in powers of f, the highest first: the series of the exponential."""


def _series(terms: tuple[float, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polynomial by Horner's rule."""
    value = np.full_like(x, terms[0])
    for term in terms[1:]:
        value *= x
        value += term
    return value


def log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of positive numbers, to 1e-9."""
    mantissa, exponent = np.frexp(values)
    low = mantissa < ROOT_HALF
    mantissa = np.where(low, 2 * mantissa, mantissa)
    whole = (exponent - low).astype(np.float64)
    t = (mantissa - 1) / (mantissa + 1)
    result: NDArray[np.float64] = (whole + _series(LOG2_SERIES, t * t) * t) * LN_2
    return result


def exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponential of numbers clipped to `STEEPEST` on either side of 0, with a relative error below 1e-9."""
    power = np.clip(values, -STEEPEST, STEEPEST) * LOG2_E
    whole = np.floor(power + 0.5)
    result: NDArray[np.float64] = np.ldexp(_series(EXP2_SERIES, power - whole), whole.astype(np.int32))
    return result


def logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / (1 + exp(-x))``, to 1e-9."""
    return 1 / (1 + exp(-values))


def lab_of_rgb(rgb: NDArray[np.int64]) -> NDArray[np.float64]:
    """CIELAB (D65, 2 degrees) of sRGB.

    Parameters
    ----------
    rgb : (n, 3) int64 array
        From 0 to `COLOUR_STEPS`.

    Returns
    -------
    (n, 3) float64 array
        L from 0 to 100, a and b.
    """
    linear = _linear()[rgb]
    red, green, blue = linear.T
    curve = [
        _lightness_curve((row[0] * red + row[1] * green + row[2] * blue) / white)
        for row, white in zip(_RGB_TO_XYZ, _WHITE, strict=True)
    ]
    x, y, z = curve
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_sums(area: NDArray[np.int64], lab: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sums over regions ``(n,)`` of their means of CIELAB ``(n, 3)``, in `LAB_STEPS`."""
    sums: NDArray[np.int64] = np.rint(lab * LAB_STEPS).astype(np.int64) * area[:, None]
    return sums


def _lightness_curve(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cube root, and its tangent where that is steep (CIE 15)."""
    return np.where(t > 0.008856, _root(np.maximum(t, 0.008856), 3), 7.787 * t + 16 / 116)


@cache
def _linear() -> NDArray[np.float64]:
    """Linear intensity of every step of sRGB (IEC 61966-2-1)."""
    value = np.arange(COLOUR_STEPS + 1) / COLOUR_STEPS
    base = (np.maximum(value, 0.04045) + 0.055) / 1.055
    fifth = _root(base, 5)
    return np.where(value > 0.04045, base * base * (fifth * fifth), value / 12.92)  # to the power of 2.4


def _root(values: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """The third or fifth root of numbers from 0.005 to 2, by Newton's method."""
    root = 0.45 + 0.6 * values if degree == 3 else 0.6 + 0.45 * values
    for _ in range(7):
        power = root * root if degree == 3 else root * root * (root * root)
        root = root + (values / power - root) / degree
    return root
