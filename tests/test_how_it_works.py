"""What docs/how-it-works.md names is there, under that name."""

import importlib
import re
from pathlib import Path

import pytest

import napari_pcnet

DOCUMENT = Path(__file__).parents[1] / "docs" / "how-it-works.md"
PACKAGE = Path(napari_pcnet.__file__).parent
ROOMS = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
NAMES = sorted(set(re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", DOCUMENT.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_one_of_the_package(name: str) -> None:
    parts = name.split(".")
    assert parts[0] in ROOMS
    depth = max(k for k in range(1, len(parts) + 1) if _is_module(parts[:k]))
    found = importlib.import_module(".".join(["napari_pcnet", *parts[:depth]]))
    for part in parts[depth:]:
        found = getattr(found, part)


def test_names_of_every_floor_that_computes_are_there() -> None:
    assert {name.partition(".")[0] for name in NAMES} >= {"geometry", "merging", "network", "training"}


def _is_module(parts: list[str]) -> bool:
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()
