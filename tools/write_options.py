"""Write what stands beside the declarations of the options: their table in docs/api.md, their preferences.

    python tools/write_options.py

The options are declared in ``napari_pcnet.options``. Tests fail while the reference or the manifest differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from napari_pcnet.options import Options

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "api.md"
MANIFEST = ROOT / "src" / "napari_pcnet" / "napari.yaml"

TABLE = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- end -->)", re.DOTALL)
PREFERENCES = re.compile(r"(?<=# The options of the form\n).*?(?= *# Preferences of the plugin)", re.DOTALL)

DATA = (
    ("image", "", "`(H, W[, C])`; anything with `shape`, `dtype` and slicing: bool, integers or floats"),
    ("mask", "None", "`(H, W)`, true inside; NaN, alpha 0 and what a masked array masks are outside, too"),
    ("progress", "None", "called as `progress(done, total)`"),
    ("out", "None", "takes the labels window by window: an array, numpy's or zarr's, or a new `.zarr`"),
)
"""Arguments that are no options."""


def main() -> int:
    """Rewrite both files where they differ, and say so."""
    for path, block, text in (
        (REFERENCE, TABLE, "\n".join(_table())),
        (MANIFEST, PREFERENCES, "".join(_preferences())),
    ):
        before = path.read_text(encoding="utf-8")
        after, number = block.subn(lambda _match, text=text: text, before, count=1)
        if number != 1:
            print(f"{path} has no place for the options", file=sys.stderr)
            return 1
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written")
    return 0


def _table() -> Iterator[str]:
    yield "| argument | default | what it is |\n|---|---|---|"
    for name, default, text in DATA:
        yield f"| `{name}` | {default} | {text} |"
    for each in fields(Options):
        yield f"| `{each.name}` | {_shown(each.default)} | {each.metadata['help']} |"
    yield ""


def _shown(default: object) -> str:
    return f'`"{default}"`' if isinstance(default, str) else f"{default}"


def _preferences() -> Iterator[str]:
    for each in fields(Options):
        if each.metadata["form"] is not None:
            yield _preference(each)


def _preference(option: Field[Any]) -> str:
    row, text = option.metadata["form"], option.metadata["help"]
    lines = {
        "type": "integer" if isinstance(option.default, int) else "number",
        "title": row.label,
        "default": option.default,
        "minimum": 0,
        "maximum": f"{row.high:.0f}",
        "description": f'"{text[:1].upper()}{text[1:]}."',
    }
    return f"        {option.name}:\n" + "".join(
        f"          {key}: {value}\n" for key, value in lines.items()
    )


if __name__ == "__main__":
    sys.exit(main())
