"""The options of a run, each declared once: its default, its check, its help and its range.

`Options` are the arguments of `napari_pcnet.pcnet_superpixels`, but for the image, its mask and the
callbacks. From the declarations follow the checks of arguments, the flags of the command line, the fields of
a `record.RunRecord` and of the texts that repeat it, the rows of the widget's form and its preferences, and
the table of arguments in ``docs/api.md``. The functions' own signatures are held against them by a test.
"""

from __future__ import annotations

import math
import operator
import os
import re
import reprlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, NamedTuple, Self, cast, get_args

import numpy as np

Method = Literal["hierarchy", "lattice"]
Precision = Literal["auto", "float64", "float32", "bfloat16", "float16"]

IntensityRange = tuple[float, float] | tuple[str, str]
"""Two values, or two percentages such as "99.9%"."""

MOST_ANISOTROPIC = 1000.0
"""Largest ratio of `spacing` along the two axes."""

WIDEST_SMOOTHING = 100.0
"""Largest `smoothing` in pixels: the time that it takes grows with it."""

LARGEST_WHOLE = int(np.iinfo(np.int64).max)
"""Largest count, size or index: arrays have no larger one."""

LONGEST_TEXT = 4096
"""Most characters of a name or a file: Linux allows no longer path."""

_NARROWEST_RANGE = float(np.finfo(np.float64).tiny)
"""Smallest width of an `intensity_range`: 1 over a smaller number is infinite."""

_ALL_AXES = 64
"""Most axes of an array of numpy."""

Check = Callable[[Any, str], Any]  # Any: what a caller or a file gives, and the field's own type

_PERCENTAGE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)


class FormRow(NamedTuple):
    """How the widget's form shows a number."""

    label: str
    high: float  # the form's own limit; the check may allow more
    decimals: int


def option(
    initial: Any,  # a field's type is its annotation
    help: str,  # noqa: A002  # what argparse and the form call it
    check: Check,
    form: FormRow | None = None,
    **more: Any,
) -> Any:
    """Declare an option.

    Parameters
    ----------
    initial : object
        The default.
    help : str
        One line for ``--help``, the form's tooltip and the reference.
    check : callable
        ``check(value, name)`` returns the checked value as plain Python, or raises a ValueError that says
        what came and what would do.
    form : FormRow, optional
        Shows the option in the widget; it is then a preference, too.
    **more
        Further metadata: ``metavar`` of the flag, ``default`` if the flag has another one, in words,
        ``read`` if its words are read otherwise than its type says.
    """
    return field(default=initial, metadata={"help": help, "check": check, "form": form} | more)


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, and short.

    >>> shown((1, "a")), shown(10**400)
    ("(1, 'a')", '100000000000000000...0000000000000000000')
    """
    try:
        return " ".join(_SHORT.repr(value).split())
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of too many digits"


_SHORT = reprlib.Repr()
_SHORT.maxtuple = _SHORT.maxlist = 10
_SHORT.maxstring = _SHORT.maxother = 120


def as_index(value: Any) -> int | None:
    """Return a whole number, of Python or numpy; None for anything else, such as True."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def as_number(value: Any) -> float | None:
    """Return a finite number, of Python or numpy; None for anything else, such as True or a text."""
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_list(values: Any) -> list[Any] | None:
    """Return what a list, a tuple or an array of one axis holds; None for anything else, such as a text."""
    if isinstance(values, np.ndarray):
        return list(values) if values.ndim == 1 else None
    is_list = isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray)
    return list(values) if is_list else None


def is_one_line(text: str) -> bool:
    """Whether a text has no line break and no other control character, which a terminal would obey."""
    return not any(unicodedata.category(each) in ("Cc", "Zl", "Zp") for each in text)


def or_none(check: Check) -> Check:
    """A check that lets None pass, too."""
    return lambda value, name: None if value is None else check(value, name)


def whole_number(value: Any, name: str) -> int:
    """Check a count; 100.0 is one, too."""
    is_whole_float = isinstance(value, float | np.floating) and float(value).is_integer()
    number = int(value) if is_whole_float else as_index(value)
    if number is None or number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {shown(value)}")
    if number > LARGEST_WHOLE:
        raise ValueError(f"{name} must be at most {LARGEST_WHOLE}, got {shown(value)}")
    return number


def pixels(value: Any, name: str) -> float:
    """Check the width over which outlines are smoothed."""
    number = as_number(value)
    if number is None or not 0 <= number <= WIDEST_SMOOTHING:
        raise ValueError(
            f"{name} must be a number of pixels from 0 to {WIDEST_SMOOTHING:.0f}, got {shown(value)}"
        )
    return number


def file_name(value: Any, name: str, wanted: str = "the name of a file") -> str:
    """Check a text that names something: one line, which can stand in a command.

    A path becomes a text that is still one: with a folder, so that it is not taken for the name of weights.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT or not is_one_line(text):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    is_text = value is text or os.path.dirname(text)
    return text if is_text else os.path.join(os.curdir, text)


def spacing(value: Any, name: str = "spacing") -> tuple[float, float] | None:
    """Check the size of a pixel along rows and columns; one number stands for both."""
    if value is None:
        return None
    rows, columns = _pair(value if as_number(value) is None else (value, value)) or (math.nan, math.nan)
    if not (rows > 0 and columns > 0):
        raise ValueError(f"{name} must be two positive numbers (rows, columns) or one, got {shown(value)}")
    if abs(math.log(rows) - math.log(columns)) > math.log(MOST_ANISOTROPIC):
        raise ValueError(
            f"{name} must not differ more than {MOST_ANISOTROPIC:.0f} times between the axes, "
            f"got {shown(value)}"
        )
    return rows, columns


def background(value: Any, name: str = "background") -> int | None:
    """Check the label that stands for no region; None if there is none."""
    number = as_index(value)
    if value is not None and number is None:
        raise ValueError(f"{name} must be a label or None, got {shown(value)}")
    return number


def pixel_sides(checked_spacing: tuple[float, float] | None) -> tuple[float, float]:
    """Sides of a pixel along rows and columns, in units in which it has area 1."""
    if checked_spacing is None:
        return 1.0, 1.0
    logarithm = math.log(checked_spacing[0]) - math.log(checked_spacing[1])
    return math.exp(logarithm / 2), math.exp(-logarithm / 2)


def _pair(values: Any) -> tuple[float, float] | None:
    """Two numbers; None for anything else."""
    numbers = [as_number(each) for each in as_list(values) or ()]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[0], numbers[1]


def _number(low: float, high: float) -> Callable[[Any, str], float]:
    def check(value: Any, name: str) -> float:
        number = as_number(value)
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{name} must be a number of at least {low:g} (and at most {_short(high)}), "
                f"got {shown(value)}"
            )
        return number

    return check


def _method(value: Any, name: str) -> Method:
    if not isinstance(value, str) or value not in get_args(Method):
        raise ValueError(f"{name} must be 'hierarchy' or 'lattice', got {shown(value)}")
    return cast(Method, value)


def _start_label(value: Any, name: str) -> int:
    number = as_index(value)
    if number not in (0, 1):
        raise ValueError(f"{name} must be 0 or 1, got {shown(value)}")
    return number


def _channel_axis(value: Any, name: str) -> int | None:
    number = as_index(value)
    if value is not None and (number is None or not -_ALL_AXES <= number < _ALL_AXES):
        raise ValueError(
            f"{name} must be a whole number from {-_ALL_AXES} to {_ALL_AXES - 1}, or None, got {shown(value)}"
        )
    return number


def share_of(percentage: str) -> Fraction | None:
    """Return a percentage as a share of 1; None for another text.

    >>> share_of("99.9%")
    Fraction(999, 1000)
    """
    number = _PERCENTAGE.fullmatch(percentage)
    share = None if number is None else Fraction(number[1]) / 100
    return share if share is not None and share <= 1 else None


def range_end(word: str) -> float | str:
    """Read an end of `intensity_range` from a word: a number, or a percentage, which stays a text."""
    return word if word.endswith("%") else float(word)


def _intensity_range(limits: Any, name: str) -> IntensityRange | None:
    if limits is None:
        return None
    percentages = _percentages(limits, name)
    if percentages is not None:
        return percentages
    low, high = _pair(limits) or (math.nan, math.nan)
    if not low < high:
        raise ValueError(f"{name} must be two numbers (low, high) with low below high, got {shown(limits)}")
    if not _NARROWEST_RANGE <= high - low < math.inf:
        raise ValueError(
            f"{name} must be two numbers whose difference is from {_NARROWEST_RANGE:.2g} to "
            f"{np.finfo(np.float64).max:.2g}, got {shown(limits)}"
        )
    return low, high


def _percentages(limits: Any, name: str) -> tuple[str, str] | None:
    """Two percentages, of one text or of two; None of what holds no text with a percent sign."""
    words = limits.split("-") if isinstance(limits, str) else as_list(limits) or []
    if not any(isinstance(word, str) and "%" in word for word in words):
        return None
    shares = [share_of(word) if isinstance(word, str) else None for word in words]
    if len(shares) != 2 or shares[0] is None or shares[1] is None or shares[0] >= shares[1]:
        raise ValueError(f"{name} must be two rising percentages, such as 1% and 99.9%, got {shown(limits)}")
    return str(words[0]), str(words[1])


def _min_size(value: Any, name: str) -> int:
    number = as_index(value)
    if number == 0 or (number is None and isinstance(value, float | np.floating) and value == 0):
        return 0
    if number is not None and number < 0:
        raise ValueError(f"{name} must be a whole number of at least 0, got {shown(value)}")
    return whole_number(value, name)


def _model(value: Any, name: str) -> str:
    return file_name(value, name, "the name of weights or of a file of them")


def _device(value: Any, name: str) -> str:
    wanted = "a text such as 'auto', 'cpu' or 'cuda'"
    if not isinstance(value, str):
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return file_name(value, name, wanted)


def _precision(value: Any, name: str) -> str:
    if not isinstance(value, str) or value not in get_args(Precision):
        raise ValueError(f"{name} must be one of {get_args(Precision)}, got {shown(value)}")
    return value


def _short(number: float) -> str:
    return f"{number:g}".replace("e+0", "e")


@dataclass(frozen=True)
class Options:
    """How a picture is segmented; each field is an argument of `napari_pcnet.pcnet_superpixels`.

    Every value is checked when the options are made, and is plain Python afterwards.

    Raises
    ------
    ValueError
        One sentence that says what came and what would do.
    """

    n_segments: int = option(100, "how many superpixels; with a mask, how many inside it", whole_number)
    model: str = option("pcnet-v2", "weights by name, or a .safetensors file", _model)
    method: Method = option(
        "hierarchy",
        "hierarchy: exactly n, merged from a finer base; lattice: the paper's, near n",
        _method,
    )
    compactness: float = option(
        4.0,
        "weight of shape in merging: larger is rounder",
        _number(0, 1e9),
        FormRow("Compactness", high=1e4, decimals=2),
    )
    """The default was chosen on BSDS500 val, with weights that had not seen it, by ``napari-pcnet benchmark
    quality benchmarks/compactness.toml``; ``docs/models.md`` says what the choice rests on."""
    smoothing: float = option(
        0.0,
        "width of the smoothing of outlines in pixels, 0 for none",
        pixels,
        FormRow("Smoothing", high=WIDEST_SMOOTHING, decimals=1),
    )
    start_label: int = option(
        1, "number of the first superpixel, 0 or 1; what is outside a mask has one less", _start_label
    )
    channel_axis: int | None = option(
        -1, "axis that holds the channels, none for grey", _channel_axis, default="as the file says"
    )
    intensity_range: IntensityRange | None = option(
        None,
        "values that count as black and white, or percentiles: 1% 99.9% (default: the image's extremes)",
        _intensity_range,
        metavar=("LOW", "HIGH"),
        read=range_end,
    )
    min_size: int = option(0, "leave out connected parts of the mask of fewer pixels than this", _min_size)
    spacing: tuple[float, float] | None = option(
        None, "size of a pixel, where it is not square", spacing, metavar=("HEIGHT", "WIDTH")
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps", _device)
    precision: Precision = option("auto", "auto, float32, float64, bfloat16, float16", _precision)
    window: int | None = option(
        None, "side of a window in pixels (default: as memory allows)", or_none(whole_number)
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value = each.metadata["check"](getattr(self, each.name), each.name)
            object.__setattr__(self, each.name, value)

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> Self:
        """Take what is an option of what a caller passed, by name."""
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})

    @property
    def pixel_sides(self) -> tuple[float, float]:
        """Sides of a pixel along rows and columns, in units in which it has area 1."""
        return pixel_sides(self.spacing)
