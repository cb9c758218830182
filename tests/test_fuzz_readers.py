"""The command that damages files finds what it looks for, and nothing in files of every kind."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "tools" / "fuzz_readers.py"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_readers", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_readers"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_file_of_every_kind_is_read_before_it_is_damaged(
    fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "damage", lambda path, rng: None)
    monkeypatch.setattr(fuzz, "damaged_words", lambda words, rng: words)
    kinds = list(fuzz.KINDS)
    answers = [fuzz.read_damaged(seed, kinds, tmp_path) for seed in range(4 * len(kinds))]
    assert [answer for answer in answers if answer.findings] == []
    assert {answer.kind for answer in answers} == set(kinds)
    # of pictures all but labels, of colours, and their notes
    assert all(answer.n_read >= (1 if answer.kind == "forest" else 4) for answer in answers)


def test_damaged_files_are_read_or_refused_in_a_sentence(fuzz: Any, tmp_path: Path) -> None:
    kinds = [kind for kind in fuzz.KINDS if not kind.startswith("label")]
    answers = [fuzz.read_damaged(seed, kinds, tmp_path) for seed in range(30)]
    assert [answer for answer in answers if answer.findings] == []
    assert sum(answer.n_refused for answer in answers) > 30
    assert sum(answer.n_read for answer in answers) > 30


def test_the_damage_follows_from_the_seed(fuzz: Any) -> None:
    words = {"a": [1, {"b": 2}], "c": "text", "d": [None, 3.5]}
    for seed in range(20):
        first, second, third = (np.random.default_rng(each) for each in (seed, seed, seed + 100))
        damaged = fuzz.damaged_bytes(bytes(range(200)), first)
        assert damaged == fuzz.damaged_bytes(bytes(range(200)), second)
        assert damaged != fuzz.damaged_bytes(bytes(range(200)), third)
        assert repr(fuzz.damaged_words(words, first)) == repr(fuzz.damaged_words(words, second))
    assert words == {"a": [1, {"b": 2}], "c": "text", "d": [None, 3.5]}


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ZeroDivisionError("by zero"), "image: ZeroDivisionError at test_fuzz_readers.py"),
        (ValueError("{path} is\nno picture"), "image: ValueError at test_fuzz_readers.py"),
        (ValueError("no picture"), "image: ValueError at test_fuzz_readers.py"),
        (ValueError("{path} cannot be read"), None),
        (OSError("{path} cannot be read"), None),
    ],
)
def test_an_error_is_a_finding_unless_it_is_a_sentence_on_the_file(
    fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, found: str | None
) -> None:
    def read(path: Path) -> None:
        raise type(error)(str(error).format(path=path))

    monkeypatch.setattr(fuzz, "readers", lambda: {"image": read})
    answer = fuzz.read_damaged(0, ["png"], tmp_path)
    assert [each[: len(found)] for each in answer.findings] == [found] if found else answer.findings == []


def test_a_process_that_dies_or_reads_for_ever_is_a_finding_and_replaced(
    fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*given: Any) -> None:
        pass

    def closed() -> None:
        raise EOFError

    def start(reader: Any) -> None:
        answers = next(turns)
        reader.process = SimpleNamespace(exitcode=-11, kill=nothing, join=nothing)
        reader.questions = SimpleNamespace(send=nothing, poll=lambda seconds: answers, recv=closed)

    monkeypatch.setattr(fuzz.Reader, "start", start)
    turns = iter([True, False])
    reader = fuzz.Reader(["png"], tmp_path)
    reader.printed.write_text("Fatal error\n")
    assert reader.ask(1).findings == ["the process died, exit code -11: ['Fatal error']"]
    assert reader.ask(2).findings == ["is read for more than 20 s"]
    assert reader.process is None


def test_the_command_sums_up_and_exits_with_0() -> None:
    command = [sys.executable, str(PATH), "--only", "png", "--seed", "5", "--count", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("png: 2 files, ")
    assert lines[-1] == "seeds 5 to 6 --only 'png': 0 of 2 files with findings"
