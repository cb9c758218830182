"""Where a result comes from: enough to make it again, nothing that says whose machine it was."""

import os
import platform
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from napari_pcnet.disk import provenance
from napari_pcnet.disk.provenance import Provenance, source_commit
from napari_pcnet.evaluation.folder import TABLE, held, write_table

MADE_UP = Provenance(
    command="napari-pcnet benchmark quality --data 'my data'",
    commit="0123456789",
    machine="Abacus 3000, 2 cores, 7.5 GiB, Linux x86_64",
    versions={"python": "3.12.1", "numpy": "2.0.0"},
    date="2026-01-31",
)


@pytest.fixture(autouse=True)
def not_asked_yet():
    source_commit.cache_clear()
    yield
    source_commit.cache_clear()


def of_command(monkeypatch, *argv):
    monkeypatch.setattr(sys, "argv", list(argv))
    return Provenance.of_this_run().command


def test_the_command_has_the_bare_program_and_its_paths_as_typed(monkeypatch):
    command = of_command(monkeypatch, "/opt/some/where/napari-pcnet", "evaluate", "../a b/c.png")
    assert command == "napari-pcnet evaluate '../a b/c.png'"


def test_the_command_of_a_module_can_be_typed_again(monkeypatch):
    command = of_command(monkeypatch, "/opt/some/where/napari_pcnet/cli/__main__.py", "doctor")
    assert command == "python -m napari_pcnet.cli doctor"
    assert of_command(monkeypatch, "/opt/some/where/tools/look.py") == "python -m tools.look"


def test_a_program_without_words_is_its_name(monkeypatch):
    assert of_command(monkeypatch, "napari-pcnet") == "napari-pcnet"


def test_a_session_without_a_program_has_no_command(monkeypatch):
    assert of_command(monkeypatch, "") == ""


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """A checkout of the package, of one commit."""
    package = tmp_path / "napari_pcnet"
    package.mkdir()
    for name in ("provenance.py", "model.py"):
        (package / name).write_text("as committed")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "ours")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    return package


def test_the_commit_is_that_of_the_checkout(checkout):
    assert source_commit() == git(checkout, "rev-parse", "HEAD")
    assert len(source_commit()) == 40


def test_a_changed_file_makes_the_commit_dirty(checkout):
    (checkout / "model.py").write_text("changed since")
    assert source_commit() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_what_is_committed_during_a_benchmark_is_not_what_measured(checkout, tmp_path):
    first = git(checkout, "rev-parse", "HEAD")
    with held(tmp_path / "results"):
        git(checkout, "commit", "-q", "--allow-empty", "-m", "meanwhile")
        (checkout / "model.py").write_text("changed since")
        assert write_table(tmp_path / "results", "scores").commit == first
    assert f"\ncommit: {first}\n" in (tmp_path / "results" / TABLE).read_text()


def test_a_checkout_of_something_else_around_the_package_is_not_its_commit(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "napari_pcnet"
    package.mkdir(parents=True)
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    (package / "provenance.py").touch()
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    assert source_commit() == ""


def test_another_commit_machine_or_version_is_another_environment():
    others = [replace(MADE_UP, commit="1"), replace(MADE_UP, machine="x"), replace(MADE_UP, versions={})]
    assert len({each.environment for each in (MADE_UP, *others)}) == 4
    assert replace(MADE_UP, command="x", date="y").environment == MADE_UP.environment


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")])
def test_without_git_or_outside_a_checkout_the_commit_is_empty(monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert source_commit() == ""
    assert "\ncommit: unknown, the code is no checkout\n" in Provenance.of_this_run().as_text()


def test_the_machine_is_processor_cores_memory_and_system():
    machine = Provenance.of_this_run().machine
    assert re.search(r"\b\d+ cores?, (\d+\.\d GiB, )?\w+", machine)
    assert machine.endswith(f"{platform.system()} {platform.machine()}")


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 4}, raising=False)
    assert ", 3 cores, " in Provenance.of_this_run().machine
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0})
    assert ", 1 core, " in Provenance.of_this_run().machine


def test_neither_the_machines_name_nor_the_users_is_noted(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "her-machine")
    monkeypatch.setenv("LOGNAME", "ada-lovelace")
    noted = repr(Provenance.of_this_run())
    assert "her-machine" not in noted
    assert "ada-lovelace" not in noted


def test_the_processor_is_read_from_the_system_where_it_says_so(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Abacus  3000 @ 1 Hz\n")
    monkeypatch.setattr(provenance, "CPU_INFO", info)
    assert Provenance.of_this_run().machine.startswith("Abacus 3000 @ 1 Hz, ")


def test_elsewhere_the_processor_is_what_python_knows(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "nowhere")
    monkeypatch.setattr(platform, "processor", lambda: "Abacus")
    assert Provenance.of_this_run().machine.startswith("Abacus, ")


def test_versions_are_of_python_and_of_what_is_installed():
    versions = Provenance.of_this_run(["pytest", "not-a-package-at-all"]).versions
    assert versions == {"python": platform.python_version(), "pytest": pytest.__version__}


def test_the_date_is_a_day():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", Provenance.of_this_run().date)


def test_as_text_is_a_line_for_each_fact():
    assert MADE_UP.as_text().splitlines() == [
        "command: napari-pcnet benchmark quality --data 'my data'",
        "commit: 0123456789",
        "machine: Abacus 3000, 2 cores, 7.5 GiB, Linux x86_64",
        "versions: python 3.12.1, numpy 2.0.0",
        "date: 2026-01-31",
    ]


def test_noting_a_provenance_does_not_import_torch():
    code = (
        "import sys; from napari_pcnet.disk.provenance import Provenance; Provenance.of_this_run(); "
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
