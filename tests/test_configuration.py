"""TOML files become options, or one sentence."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from napari_pcnet.disk.configuration import read_toml
from napari_pcnet.evaluation.benchmark import QualityOptions, ScaleOptions, SeamsOptions, SpeedOptions

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@dataclass(frozen=True)
class Part:
    side: int = 3
    name: str = ""


@dataclass(frozen=True)
class Corner:
    top: int
    left: int
    colour: str = ""


@dataclass(frozen=True)
class Options:
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    where: Path = Path()
    limit: float | None = None
    steps: int = 1
    seed: int = 0
    kind: Literal[1, 2] = 1
    corners: tuple[Corner, ...] = ()


def read(folder: Path, **files: str) -> Options:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return read_toml(Options, folder / "c.toml")


def test_tables_and_arrays_of_tables_fill_dataclasses(tmp_path: Path) -> None:
    text = 'where = "w"\nlimit = 2\n[part]\nside = 5\n[[parts]]\nname = "x"\n[[parts]]\nside = 9\n'
    expected = Options(Part(5), (Part(3, "x"), Part(9)), Path("w"), 2.0)
    assert read(tmp_path, c=text) == expected


def test_a_file_sets_only_what_differs_from_the_one_it_extends(tmp_path: Path) -> None:
    options = read(
        tmp_path,
        base='steps = 5\nseed = 3\n[part]\nside = 4\nname = "base"\n',
        more='extends = "base.toml"\nsteps = 7\n',
        c='extends = "more.toml"\n[part]\nname = "x"\n',
    )
    assert options == Options(Part(4, "x"), steps=7, seed=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "none.toml"', r"configuration .*none\.toml does not exist$"),
        ("extends = 3", r"c\.toml: extends must be the name of a file, got 3$"),
        ('extends = "c.toml"', r"c\.toml: extends 'c\.toml', which extends this file in turn$"),
        (
            "step = 3",
            r"c\.toml: unknown step; known are corners, kind, limit, part, parts, seed, steps, where$",
        ),
        ("[[parts]]\nsize = 3", r"c\.toml \[parts\]: unknown size; known are name, side$"),
        ("parts = [3]", r"c\.toml: parts must be a table, got 3$"),
        ("[parts]", r"c\.toml: parts must be a list, got \{\}$"),
        ("where = 3", r"c\.toml: where must be text, got 3$"),
        ('limit = "x"', r"c\.toml: limit must be a number, got 'x'$"),
        ("steps = true", r"c\.toml: steps must be a whole number, got True$"),
        ("kind = true", r"c\.toml: kind must be 1 or 2, got True$"),
        ("kind = 1.0", r"c\.toml: kind must be 1 or 2, got 1\.0$"),
        ("kind = [1]", r"c\.toml: kind must be 1 or 2, got \[1\]$"),
        (f"limit = 1{'0' * 400}", r"c\.toml: limit must be a number, got 10+\.\.\.0+$"),
        ("limit = nan", r"c\.toml: limit must be a number, got nan$"),
        ("limit = -inf", r"c\.toml: limit must be a number, got -inf$"),
        ("limit = true", r"c\.toml: limit must be a number, got True$"),
        (f"steps = 1{'0' * 5000}", r"c\.toml is not valid TOML: Exceeds the limit"),
        (f"steps = {'[' * 100_000}", r"c\.toml is not valid TOML: .*nested"),
        (f"steps = {'{a=' * 100_000}", r"c\.toml is not valid TOML: .*nested"),
        ('extends = "."', r"configuration .* is a folder; name a file$"),
        pytest.param(
            'extends = "/dev/zero"',
            r"configuration .*zero is a pipe or a device; name a file$",
            marks=pytest.mark.skipif(not Path("/dev/zero").exists(), reason="Windows has no such device"),
        ),
        ('extends = "a\\u0000b"', r"c\.toml: extends must be the name of a file, got 'a\\x00b'$"),
        ('extends = "./../{folder}/c.toml"', r"extends '.*', which extends this file in turn$"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises((OSError, ValueError), match=message) as refused:
        read(tmp_path, c=text.replace("{folder}", tmp_path.name))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


def test_files_that_extend_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    message = re.escape("extends 'a.toml', which extends this file in turn") + "$"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, c='extends = "a.toml"', a='extends = "b.toml"', b='extends = "a.toml"')


def test_a_chain_of_files_has_an_end(tmp_path: Path) -> None:
    chain = {f"f{k}": f'extends = "f{k + 1}.toml"' for k in range(40)}
    with pytest.raises(
        ValueError, match=r"f32\.toml: extends 'f33.toml', after 32 others that extend one another$"
    ):
        read(tmp_path, c='extends = "f1.toml"', **chain)
    assert read(tmp_path, f31="steps = 7") == Options(steps=7)


def test_what_has_no_default_must_be_given(tmp_path: Path) -> None:
    message = f"{tmp_path / 'c.toml'} [corners]: top, left must be given"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(tmp_path, c='[[corners]]\ncolour = "red"\n')


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=re.escape("c.toml is not valid TOML: ")):
        read_toml(Options, tmp_path / "c.toml")


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_benchmark_of_the_repository_is_read(path: Path) -> None:
    kinds = {"speed": SpeedOptions, "scale": ScaleOptions, "seams": SeamsOptions}
    options = read_toml(kinds.get(path.stem.partition("-")[0], QualityOptions), path)
    assert options.output == Path("results") / path.stem
