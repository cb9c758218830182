"""Put the tables and plots of finished benchmarks into docs/benchmark.md.

    python tools/make_benchmark_page.py results [NAME ...]

A block of the page from ``<!-- results/NAME -->`` to ``<!-- end -->`` becomes the table of that benchmark,
with the command, commit, machine and versions that made it. Every picture that the page shows as
``images/benchmark-NAME-FILE.png`` is copied from ``results/NAME/FILE.png``, its metadata included.
Names limit it to those benchmarks; the rest of the page stays.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmark.md"
BLOCK = re.compile(r"(<!-- results/(?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURE = re.compile(r"\]\((images/benchmark-(?P<rest>[\w-]+\.png))\)")


def main() -> int:
    """Fill the page in; say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder of the benchmarks' folders")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks; default all of the page")
    arguments = parser.parse_args()
    results: Path = arguments.results
    page = PAGE.read_text(encoding="utf-8")
    known = sorted({match["name"] for match in BLOCK.finditer(page)}, key=len, reverse=True)
    wanted = arguments.names or known
    if unknown := [name for name in wanted if name not in known]:
        print(f"the page has no block of {', '.join(unknown)}; it has {', '.join(known)}", file=sys.stderr)
        return 1
    if missing := [name for name in wanted if not (results / name / "table.txt").exists()]:
        print(f"{results} has no table of {', '.join(missing)}", file=sys.stderr)
        return 1
    page = BLOCK.sub(
        lambda match: (
            f"{match[1]}{_table(results / match['name'])}{match[3]}" if match["name"] in wanted else match[0]
        ),
        page,
    )
    PAGE.write_text(page, encoding="utf-8")
    for match in PICTURE.finditer(page):
        name = next(name for name in known if match["rest"].startswith(f"{name}-"))
        if name in wanted:
            shutil.copy(results / name / match["rest"].removeprefix(f"{name}-"), PAGE.parent / match[1])
    return 0


def _table(folder: Path) -> str:
    return f"```text\n{(folder / 'table.txt').read_text(encoding='utf-8').strip()}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
