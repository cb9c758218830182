"""An interrupt keeps what other processes have worked out."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_pcnet.evaluation.workers import results_of


def test_results_of_tasks_that_were_under_way_come_after_an_interrupt(tmp_path: Path) -> None:
    # Another process does not find this file, so a task is a command: it leaves a file and prints two letters
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); print(sys.argv[2], end='')"
    words = ["ab", "cd", "ef", "gh"]
    tasks = [subprocess.list2cmdline([sys.executable, "-c", script, str(tmp_path / w), w]) for w in words]
    results = results_of(subprocess.getoutput, tasks, 2)
    got = [next(results), next(results)]
    while len(list(tmp_path.iterdir())) < len(tasks):
        time.sleep(0.01)

    def rest() -> Iterator[str]:
        yield results.throw(KeyboardInterrupt)
        yield from results

    with pytest.raises(KeyboardInterrupt):
        got.extend(rest())
    assert sorted(got) == sorted("".join(words))
