"""The page of the benchmarks has the figures of the tables beside it, which a tool copies there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool():
    path = ROOT / "tools" / "make_benchmark_page.py"
    spec = importlib.util.spec_from_file_location("make_benchmark_page", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tool, tmp_path, monkeypatch):
    """A page with one table and one picture, and results of two benchmarks."""
    docs = tmp_path / "docs"
    for folder in (
        docs / "benchmark",
        docs / "images",
        tmp_path / "results" / "a",
        tmp_path / "results" / "a-b",
    ):
        folder.mkdir(parents=True)
    monkeypatch.setattr(tool, "PAGE", docs / "benchmark.md")
    for name in ("a", "a-b"):
        (tmp_path / "results" / name / "table.txt").write_text(f"{name}: 0.1234\n")
        (tmp_path / "results" / name / "curves.png").write_bytes(name.encode())
    tool.PAGE.write_text(
        "# Page\n\n## First\n\n[table](benchmark/a.txt)\n\n| | .1234 |\n\n"
        "## Second\n\n![curves](images/benchmark-a-b-curves.png) [table](benchmark/a-b.txt)\n"
    )
    return docs


def run(tool, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["make_benchmark_page.py", *map(str, words)])
    return tool.main()


def test_every_figure_of_the_page_stands_in_a_table_linked_in_its_section(tool):
    assert tool.figures_from_nowhere(tool.PAGE.read_text(encoding="utf-8")) == []


def test_every_table_beside_the_page_is_linked_and_says_what_made_it(tool):
    linked = {match["name"] for match in tool.TABLE.finditer(tool.PAGE.read_text(encoding="utf-8"))}
    assert {path.stem for path in (tool.PAGE.parent / "benchmark").iterdir()} == linked
    for name in linked:
        assert re.search(r"\ncommand: .+\ncommit: [0-9a-f]{40}\n", tool.table_of(name).read_text())


def test_tables_and_pictures_are_copied_from_the_benchmark_of_their_name(tool, site, monkeypatch):
    assert run(tool, monkeypatch, site.parent / "results") == 0
    assert (site / "benchmark" / "a.txt").read_text() == "a: 0.1234\n"
    assert (site / "benchmark" / "a-b.txt").read_text() == "a-b: 0.1234\n"
    assert (site / "images" / "benchmark-a-b-curves.png").read_bytes() == b"a-b"


def test_names_limit_what_is_copied(tool, site, monkeypatch):
    (site / "benchmark" / "a-b.txt").write_text("as it was\n")
    assert run(tool, monkeypatch, site.parent / "results", "a") == 0
    assert (site / "benchmark" / "a-b.txt").read_text() == "as it was\n"
    assert not (site / "images" / "benchmark-a-b-curves.png").exists()


def test_a_figure_that_a_new_table_no_longer_has_is_named(tool, site, monkeypatch, capsys):
    (site.parent / "results" / "a" / "table.txt").write_text("a: 0.1235\n")
    assert run(tool, monkeypatch, site.parent / "results") == 1
    assert capsys.readouterr().err == ".1234 stands in no table linked in its section: | | .1234 |\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("c", "the page links no table of c; it has a-b, a\n"),
        ("a", "{results} has no table of a\n"),
    ],
)
def test_what_is_not_there_is_named(tool, site, monkeypatch, capsys, name, message):
    results = site.parent / "results"
    (results / "a" / "table.txt").unlink()
    assert run(tool, monkeypatch, results, name) == 1
    assert capsys.readouterr().err == message.format(results=results)
