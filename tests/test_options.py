"""Each option is declared once; what is made of the declarations, or stands beside them by hand, agrees."""

import inspect
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels
from napari_pcnet.options import Options, pixel_sides, spacing, whole_number
from napari_pcnet.record import RunRecord

ROOT = Path(__file__).parents[1]
DECLARED = {each.name: each for each in fields(Options)}


@pytest.mark.parametrize("function", [pcnet_superpixels, pcnet_hierarchy])
def test_signatures_have_the_options_and_their_defaults(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    asked = {name: each.default for name, each in parameters.items() if name in DECLARED}
    expected = {name: each.default for name, each in DECLARED.items()}
    if function is pcnet_hierarchy:
        assert parameters["max_segments"].default == expected.pop("n_segments")
        del expected["method"]
    assert asked == expected


@pytest.mark.parametrize("name", DECLARED)
def test_an_option_is_described_in_the_docstring_and_in_the_reference(name: str) -> None:
    assert re.search(rf"^    {name} : ", pcnet_superpixels.__doc__ or "", re.MULTILINE)
    default = DECLARED[name].default
    shown = f'`"{default}"`' if isinstance(default, str) else default
    row = f"| `{name}` | {shown} | {DECLARED[name].metadata['help']} |"
    assert row in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("each", fields(RunRecord), ids=lambda each: each.name)
def test_an_option_has_one_line_of_help(each: Any) -> None:
    assert each.metadata["help"]
    assert "\n" not in each.metadata["help"]


@pytest.mark.parametrize("name", DECLARED)
def test_a_default_passes_its_own_check(name: str) -> None:
    field = DECLARED[name]
    assert field.metadata["check"](field.default, name) == field.default


BIG = f"{10**17}...{'0' * 19}"
RANGE = "intensity_range must be two numbers (low, high) with low below high"
WIDTH = "intensity_range must be two numbers whose difference is from 2.2e-308 to 1.8e+308"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_segments", 0, "n_segments must be a whole number of at least 1, got 0"),
        ("n_segments", True, "n_segments must be a whole number of at least 1, got True"),
        ("method", "slic", "method must be 'hierarchy' or 'lattice', got 'slic'"),
        ("compactness", -1, "compactness must be a number of at least 0 (and at most 1e9), got -1"),
        (
            "compactness",
            2e9,
            "compactness must be a number of at least 0 (and at most 1e9), got 2000000000.0",
        ),
        ("smoothing", 101, "smoothing must be a number of pixels from 0 to 100, got 101"),
        ("smoothing", math.nan, "smoothing must be a number of pixels from 0 to 100, got nan"),
        ("smoothing", "2", "smoothing must be a number of pixels from 0 to 100, got '2'"),
        ("compactness", True, "compactness must be a number of at least 0 (and at most 1e9), got True"),
        ("compactness", 10**400, f"compactness must be a number of at least 0 (and at most 1e9), got {BIG}"),
        ("start_label", 2, "start_label must be 0 or 1, got 2"),
        ("start_label", True, "start_label must be 0 or 1, got True"),
        ("n_segments", 10**400, f"n_segments must be at most 9223372036854775807, got {BIG}"),
        (
            "intensity_range",
            (3, 3),
            "intensity_range must be two numbers (low, high) with low below high, got (3, 3)",
        ),
        (
            "intensity_range",
            "09",
            "intensity_range must be two numbers (low, high) with low below high, got '09'",
        ),
        (
            "intensity_range",
            {0, 9},
            "intensity_range must be two numbers (low, high) with low below high, got {0, 9}",
        ),
        (
            "intensity_range",
            (False, True),
            "intensity_range must be two numbers (low, high) with low below high, got (False, True)",
        ),
        (
            "intensity_range",
            (0, math.inf),
            "intensity_range must be two numbers (low, high) with low below high, got (0, inf)",
        ),
        ("intensity_range", (0, 10**400), f"{RANGE}, got (0, {BIG})"),
        ("intensity_range", (0, 5e-324), f"{WIDTH}, got (0, 5e-324)"),
        ("intensity_range", (-1e308, 1e308), f"{WIDTH}, got (-1e+308, 1e+308)"),
        ("spacing", (1, 0), "spacing must be two positive numbers (rows, columns) or one, got (1, 0)"),
        ("spacing", "12", "spacing must be two positive numbers (rows, columns) or one, got '12'"),
        ("spacing", True, "spacing must be two positive numbers (rows, columns) or one, got True"),
        (
            "spacing",
            (1, 10**400),
            f"spacing must be two positive numbers (rows, columns) or one, got (1, {BIG})",
        ),
        (
            "spacing",
            np.ones((2, 1)),
            "spacing must be two positive numbers (rows, columns) or one, got array([[1.], [1.]])",
        ),
        (
            "spacing",
            (1, 2000),
            "spacing must not differ more than 1000 times between the axes, got (1, 2000)",
        ),
        ("device", 3, "device must be a text such as 'auto', 'cpu' or 'cuda', got 3"),
        (
            "precision",
            "half",
            "precision must be one of ('auto', 'float64', 'float32', 'bfloat16', 'float16'), got 'half'",
        ),
        ("window", 1.5, "window must be a whole number of at least 1, got 1.5"),
    ],
)
def test_what_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Options.checked({name: value})


def test_a_number_that_python_does_not_write_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        ValueError, match=r"^n_segments must be at most \d+, got a number of too many digits$"
    ):
        Options(10**5000)


def test_what_is_no_option_is_passed_over() -> None:
    assert Options.checked({"image": None, "compactness": np.float32(8), "window": np.int64(64)}) == Options(
        compactness=8.0, window=64
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, int])
def test_numbers_of_every_type_become_plain(kind: type) -> None:
    given = {
        "compactness": kind(2),
        "smoothing": kind(3),
        "spacing": kind(1),
        "intensity_range": (kind(0), kind(9)),
    }
    options = Options.checked(given)
    assert options == Options(compactness=2.0, smoothing=3.0, spacing=(1.0, 1.0), intensity_range=(0.0, 9.0))
    for value in (
        options.compactness,
        options.smoothing,
        *(options.spacing or ()),
        *(options.intensity_range or ()),
    ):
        assert type(value) is float


def test_counts_of_numpy_are_counts() -> None:
    assert whole_number(np.uint8(7), "n") == 7


@pytest.mark.parametrize("factor", [1e-3, 1, 60])
def test_only_the_ratio_of_the_spacing_matters(factor: float) -> None:
    sides = pixel_sides(spacing((3 * factor, factor)))
    np.testing.assert_allclose(sides, (math.sqrt(3), 1 / math.sqrt(3)))
    assert pixel_sides(spacing(factor)) == pixel_sides(None) == (1.0, 1.0)
