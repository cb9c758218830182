"""What the terminal says of arguments: it names flags, and the library the arguments of its functions."""

import re
import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from napari_pcnet.cli import exits, main
from napari_pcnet.cli.flags import flag_of, in_flags, naming_flags
from napari_pcnet.disk.labels import read_notes
from napari_pcnet.evaluation.benchmark import SpeedOptions
from napari_pcnet.record import RunRecord, from_notes

NAMES = [each.name for each in fields(RunRecord)]

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)

WRONG = {
    "n_segments": "0",
    "model": "none.safetensors",
    "compactness": "-1",
    "smoothing": "999",
    "start_label": "2",
    "mask": "none.png",
    "channel_axis": "99",
    "intensity_range": "9 3",
    "min_size": "-1",
    "spacing": "0 1",
    "device": "tpu",
    "window": "0",
    "max_segments": "0",
    "height": "-1",
    "level": "-1",
    "series": "-1",
    "mask_series": "-1",
    "nodata": "nan",
    "plane": "-1",
    "crop": "3 3 1 9",
    "channels": "-1",
}
"""A value of each option that is refused, but of the two that argparse itself refuses."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a picture, a stack, and masks."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(PICTURE).save("in.png")
    tifffile.imwrite("stack.tif", PICTURE.transpose(2, 0, 1), photometric="minisblack")
    dots = np.zeros((40, 50), np.uint8)
    dots[::10, ::10] = 1
    dots[1:9, 1:9] = 1
    tifffile.imwrite("dots.tif", dots)
    tifffile.imwrite("masks.tif", np.stack([dots] * 2), photometric="minisblack")
    PIL.Image.fromarray(0 * dots).save("empty.png")


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """The one line of a command that is refused."""
    assert main(["segment", *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed.removeprefix("napari-pcnet: ").rstrip()


def assert_no_argument_is_named(sentence: str) -> None:
    assert not re.search(r"(?<!-)\b[a-z]+_[a-z_]+\b|\w=|\bNone\b", sentence), sentence
    assert not re.match(rf"({'|'.join(NAMES)}) (must|can) ", sentence), sentence


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("method", "precision")])
def test_a_wrong_value_is_refused_by_its_flag(capsys: pytest.CaptureFixture[str], name: str) -> None:
    flag, (first, *others) = flag_of(name), WRONG[name].split()
    sentence = said(capsys, ["in.png", "o.tif", *([flag, first, *others] if others else [f"{flag}={first}"])])
    assert_no_argument_is_named(sentence)
    beginning = {"model": "weights file none", "mask": "mask none.png"}.get(name, f"{flag_of(name)} must ")
    assert sentence.startswith(beginning)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("in.png o.tif -n 2001", "--n-segments must be at most 2000, the pixels of the image, got 2001"),
        (
            "in.png o.tif -n 2001 --max-segments 2002",
            "--max-segments must be at most 2000, the pixels of the image, got 2002",
        ),
        (
            "in.png o.tif -n 3 --mask dots.tif",
            "--n-segments must be at least 21, the number of connected parts of the mask, got 3; "
            "--min-size 2 leaves out the small ones",
        ),
        (
            "in.png o.tif -n 3 --mask dots.tif --min-size 99",
            "--min-size must be at most 64, the largest part of the mask, got 99",
        ),
        (
            "in.png o.tif --mask empty.png",
            "the mask must hold at least one pixel to segment, it is empty, transparent or NaN",
        ),
        (
            "stack.tif o.tif --mask masks.tif",
            "--mask must have the planes of the image, 3, or none, got 2",
        ),
        (
            "in.png o.tif --mask dots.tif --mask-series 1",
            "--mask-series must be 0, as dots.tif holds 1 picture",
        ),
        ("in.png o.tif --series 1", "--series must be 0, as in.png holds 1 picture, got 1"),
        ("in.png o.tif --level 1", "--level must be 0, as in.png has 1 level, got 1"),
        ("stack.tif o.tif --plane 3", "--plane must name one of 3 planes, counted from 0, got 3"),
        ("in.png o.tif --plane 3", "--plane can be named of a stack, and this image is one plane; got 3"),
        ("in.png o.tif --crop 0 0 41 9", "--crop must be top, left, bottom, right inside the 40 x 50 pixels"),
        (
            "in.png o.tif --crop 5 5 1 9",
            "--crop must be top, left, bottom, right, with top above bottom and left "
            "before right, got 5 5 1 9",
        ),
        (
            "in.png o.tif --intensity-range 5% 1",
            "--intensity-range must be two rising percentages, such as 1% and 99.9%, got 5% 1.0",
        ),
        (
            "in.png o.tif --spacing nan 1",
            "--spacing must be two positive numbers (rows, columns) or one, got nan 1.0",
        ),
        ("in.png o.tif --channels 3", "--channels must be one or more of 0 to 2, got 3"),
        (
            "stack.tif o.tif --channels 0",
            "--channels can be chosen of an image that has some: name its --channel-axis",
        ),
        (
            "in.png o.tif --channel-axis 5",
            "--channel-axis must be a whole number from -3 to 2 for an image of shape 40 x 50 x 3, or none",
        ),
        (
            "in.png o.tif --method lattice --height 1",
            "--height and --max-segments cut a tree, which --method lattice does not build",
        ),
        ("in.png stack.tif", "output stack.tif exists; pass --overwrite to replace it"),
    ],
)
def test_a_refusal_further_inside_names_flags_too(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    refused = said(capsys, words.split())
    assert refused.startswith(sentence)
    assert_no_argument_is_named(refused)


def test_the_unit_of_a_height_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    assert "in pixels times squared differences of CIELAB" in " ".join(capsys.readouterr().out.split())


def test_values_in_the_help_have_names_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "[--model NAME]" in text and "[--mask FILE]" in text and "STR" not in text


def test_infinity_is_left_out_by_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite("inf.tif", np.where(np.eye(40) > 0, np.inf, 0.5))
    assert (
        said(capsys, ["inf.tif", "o.tif"])
        == "image must be finite, got infinity; leave such pixels out with --mask"
    )


def test_of_many_pictures_each_is_refused_by_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "in.png", "dots.tif", "-o", "out", "-n", "2001"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"napari-pcnet: {name}: --n-segments must be at most 2000, the pixels of the image, got 2001"
        for name in ("in.png", "dots.tif")
    ]


def test_warnings_name_flags_and_their_file() -> None:
    warning = UserWarning("a hole: pass mask= to say so")
    with exits.warnings_as_sentences(), naming_flags(RunRecord):
        with exits.warnings_as_sentences(Path("a.tif")):
            one = warnings.formatwarning(warning, UserWarning, "place.py", 1)
        other = warnings.formatwarning(warning, UserWarning, "place.py", 1)
    assert [one, other] == [
        f"napari-pcnet: {place}a hole: pass --mask to say so\n" for place in ("a.tif: ", "")
    ]


def test_what_a_configuration_says_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.toml").write_text("repetitions = 0\n")
    assert main(["benchmark", "speed", "c.toml"]) == 2
    assert capsys.readouterr().err == (
        "napari-pcnet: c.toml: repetitions must be a whole number of at least 1, got 0\n"
    )
    assert "repetitions" in {each.name for each in fields(SpeedOptions)}
    assert main(["benchmark", "speed", "--repetitions", "0"]) == 2
    assert capsys.readouterr().err == (
        "napari-pcnet: --repetitions must be a whole number of at least 1, got 0\n"
    )


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("n_segments.tif has no min_size", "n_segments.tif has no --min-size"),
        ("no/n_segments must be", "no/n_segments must be"),
        ("the crop must be small", "the crop must be small"),
        ("a.tif: crop must be small", "a.tif: --crop must be small"),
        ('pass intensity_range=("1%", "99.9%")', "pass --intensity-range 1% 99.9%"),
        ("pass channel_axis=-1.", "pass --channel-axis=-1."),
        ("min_size=2, mask=mask", "--min-size 2, --mask"),
        ("overwrite=True does", "--overwrite does"),
    ],
)
def test_words_that_are_arguments_become_flags(sentence: str, expected: str) -> None:
    assert in_flags(sentence, ["overwrite", *NAMES]).startswith(expected)


def test_channels_that_a_file_declares_are_not_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    many = np.random.default_rng(0).integers(0, 255, (12, 14, 40), np.uint8)
    tifffile.imwrite("many.tif", many, photometric="minisblack", planarconfig="contig")
    assert main(["segment", "many.tif", "o.tif", "-n", "3"]) == 0
    assert capsys.readouterr().err == ""
    found = from_notes(read_notes("o.tif"))
    assert found is not None
    assert found[0].channel_axis == 2
