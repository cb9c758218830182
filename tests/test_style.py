"""Style, types, import contracts and the manifest, each looked at by its own tool."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command", ["ruff check", "mypy", "lint-imports", "npe2 validate --imports napari-pcnet"]
)
def test_nothing_is_found_by(command: str) -> None:
    tool, *words = command.split()
    found = shutil.which(tool, path=Path(sys.executable).parent)
    assert found is not None, f"{tool} is not installed beside {sys.executable}"
    run = subprocess.run([found, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
