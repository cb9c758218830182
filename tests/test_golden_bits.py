"""Labels of a network in whole numbers are those that are kept, to the last bit, in every way to compute."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "golden_bits.py"


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["--threads", "1"], {"NAPARI_PCNET_COMPILED": "0"}),
        (["--threads", "2", "--window", "192"], {"NAPARI_PCNET_COMPILED": "1"}),
        (["--floats", "--window", "256"], {"NAPARI_PCNET_COMPILED": "1"}),
        (["--threads", "2"], {"ONEDNN_MAX_CPU_ISA": "SSE41", "NAPARI_PCNET_COMPILED": "1"}),
        (["--window", "128"], {"ONEDNN_MAX_CPU_ISA": "AVX2", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}),
    ],
    ids=["one thread, numpy", "two threads, windows", "floats", "SSE4.1", "AVX2, numpy without"],
)
def test_the_bits_are_those_that_are_kept(options: list[str], environment: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, str(TOOL), *options], env=os.environ | environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("as kept\n")
