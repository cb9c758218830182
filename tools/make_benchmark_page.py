"""Put the tables and plots of finished benchmarks beside docs/benchmark.md.

    python tools/make_benchmark_page.py results [NAME ...]

Every table that the page links as ``benchmark/NAME.txt`` is copied from ``results/NAME/table.txt``, with the
command, commit, machine and versions that made it. Every picture that it shows as
``images/benchmark-NAME-FILE.png`` is copied from ``results/NAME/FILE.png``, its metadata included. Names
limit this to those benchmarks. The page itself is written by hand: figures in it that no linked table has are
printed, and the exit status is then 1.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmark.md"
TABLE = re.compile(r"\]\(benchmark/(?P<name>[\w-]+)\.txt\)")
PICTURE = re.compile(r"\]\((?P<path>images/benchmark-(?P<rest>[\w-]+\.png))\)")
FIGURE = re.compile(r"(?<=\| )\.\d{4}(?= \|)")
"""A score in a cell of its own, as the page prints it: four digits, without the zero before them."""


def main() -> int:
    """Copy tables and pictures; print what is missing, and what the page has from nowhere."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of the benchmarks' folders")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks; default all of the page")
    arguments = parser.parse_args()
    results: Path = arguments.results
    page = PAGE.read_text(encoding="utf-8")
    known = sorted({match["name"] for match in TABLE.finditer(page)}, key=len, reverse=True)
    wanted = arguments.names or known
    if unknown := [name for name in wanted if name not in known]:
        print(f"the page links no table of {', '.join(unknown)}; it has {', '.join(known)}", file=sys.stderr)
        return 1
    if missing := [name for name in wanted if not (results / name / "table.txt").exists()]:
        print(f"{results} has no table of {', '.join(missing)}", file=sys.stderr)
        return 1
    for name in wanted:
        shutil.copyfile(results / name / "table.txt", table_of(name))
    for match in PICTURE.finditer(page):
        name = next(name for name in known if match["rest"].startswith(f"{name}-"))
        if name in wanted:
            source = results / name / match["rest"].removeprefix(f"{name}-")
            shutil.copyfile(source, PAGE.parent / match["path"])
    for stray in (strays := figures_from_nowhere(page)):
        print(stray, file=sys.stderr)
    return int(bool(strays))


def table_of(name: str) -> Path:
    """Return the file of a benchmark's table beside the page."""
    return PAGE.parent / "benchmark" / f"{name}.txt"


def figures_from_nowhere(page: str) -> list[str]:
    """Return a sentence for each score in the page's tables that no table linked in its section has."""
    strays = []
    for section in page.split("\n## "):
        linked = [match["name"] for match in TABLE.finditer(section)]
        known = " ".join(table_of(name).read_text(encoding="utf-8") for name in linked)
        for line in section.splitlines():
            if line.startswith("|"):
                missing = [figure for figure in FIGURE.findall(line) if f"0{figure}" not in known]
                strays += [f"{figure} stands in no table linked in its section: {line}" for figure in missing]
    return strays


if __name__ == "__main__":
    sys.exit(main())
