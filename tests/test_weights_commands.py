"""The commands on weights: where each is, downloads, hashes, files of one's own; one sentence if not."""

import os
import pickle
import re
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from napari_pcnet import pcnet_superpixels, weights
from napari_pcnet.cli import main
from napari_pcnet.disk import download
from napari_pcnet.disk.files import sha256_of
from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig

SMALL = PCNetConfig(stem="unshuffle", widths=(4, 4, 4, 4, 4))
TRAINING = {"training": {"run": {"seed": 7, "start_from": ""}}, "step": 10, "hours": 1.0}
PICTURE = np.zeros((48, 64, 3), np.uint8)
PICTURE[:, 30:] = (200, 120, 40)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(folder))
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    return folder


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the published weights `far` are downloaded from."""
    path = tmp_path / "mirror.safetensors"
    checkpoint.save_model(path, PCNet(SMALL), TRAINING)
    bundled = weights.records()
    far = replace(
        bundled[0],
        name="far",
        filename="far.safetensors",
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        urls=(path.as_uri(),),
        figures={},
    )
    monkeypatch.setattr(weights, "records", lambda: (*bundled, far))
    return path


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A file that was fine-tuned with our training."""
    path = tmp_path / "tuned.safetensors"
    checkpoint.save_model(path, PCNet(SMALL), TRAINING)
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> list[str]:
    """The lines that a command prints; nothing goes to stderr."""
    assert main(["weights", *words]) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence on stderr with which a command ends."""
    assert main(["weights", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("napari-pcnet: ")
    return err.removeprefix("napari-pcnet: ").rstrip()


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- list, info, download, verify, remove ----------------------------------------------------------


def test_the_list_says_where_each_is(
    cache: Path, mirror: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def places() -> list[tuple[str, str]]:
        lines = [line.split("  ") for line in printed(capsys, "list")]
        return [(line[0], line[2]) for line in lines]

    bundled = [(record.name, "bundled") for record in weights.records()[:-1]]
    assert places() == [*bundled, ("far", "to download")]
    printed(capsys, "download", "far")
    printed(capsys, "import", str(ours))
    assert places() == [*bundled, ("far", "in the cache"), ("tuned", "imported")]


def test_a_download_says_where_the_file_is(
    cache: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, "download", "far") == [f"far: {cache / 'far.safetensors'}"]
    assert (cache / "far.safetensors").read_bytes() == mirror.read_bytes()
    mirror.unlink()
    assert printed(capsys, "download", "far") == [f"far: {cache / 'far.safetensors'}"]
    assert files_in(cache) == ["far.safetensors"]


def test_a_bundled_file_needs_no_download(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = weights.records()[0]
    assert printed(capsys, "download", record.name) == [f"{record.name}: {record.path}"]
    assert not cache.exists()


def test_a_download_that_fails_is_one_sentence(
    cache: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.write_bytes(b"another file")
    size = weights.record("far").size_bytes
    assert refused(capsys, "download", "far") == (
        f"far.safetensors cannot be downloaded: {mirror.as_uri()} broke off after 12 of {size} bytes; "
        f"try again later, or get the file by other means and save it as {cache / 'far.safetensors'}"
    )
    assert files_in(cache) == []


@pytest.mark.parametrize("word", ["download", "info", "verify", "remove"])
def test_an_unknown_name_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, word, "resnet").startswith("no weights are called 'resnet'; there are ")


def test_a_path_is_no_name(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "download", str(ours)).startswith(f"no weights are called '{ours}'; ")


def test_info_of_a_remote_file_names_its_addresses(
    cache: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, "info", "far")
    assert f"url: {mirror.as_uri()}" in lines
    assert lines[-1] == f"file: {cache / 'far.safetensors'}, to download"
    printed(capsys, "download", "far")
    lines = printed(capsys, "info", "far")
    assert "seed: 7, steps: 10, hours: 1.0" in lines
    assert lines[-1] == f"file: {cache / 'far.safetensors'}, SHA-256 as published"


def test_verify_checks_every_file(
    cache: Path, mirror: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, "import", str(ours))
    *bundled, far, tuned = printed(capsys, "verify")
    assert bundled == [f"{each.name}: {each.path}, SHA-256 as published" for each in weights.records()[:-1]]
    assert far == f"far: {cache / 'far.safetensors'}, to download"
    assert tuned == f"tuned: {cache / 'imported' / 'tuned.safetensors'}, imported, can be read"


def test_verify_fails_if_a_hash_is_wrong(
    cache: Path, mirror: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = weights.locate("far")
    path.write_bytes(b"1")
    (line,) = printed(capsys, "verify", "far", status=1)
    assert line == f"far: {weights.damage_of(weights.record('far'))}"
    printed(capsys, "verify", status=1)
    printed(capsys, "verify", weights.names()[0])


def test_verify_fails_if_an_imported_file_can_not_be_read(
    cache: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, "import", str(ours))
    path = weights.locate("tuned")
    path.write_bytes(path.read_bytes()[:-1])
    (line,) = printed(capsys, "verify", "tuned", status=1)
    assert line.startswith(f"tuned: {path} cannot be read as a weights file of napari-pcnet: it is damaged ")


def test_remove_deletes_what_is_in_the_cache(
    cache: Path, mirror: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, "download", "far")
    printed(capsys, "import", str(ours))
    assert printed(capsys, "remove", "far") == [f"far: removed {cache / 'far.safetensors'}"]
    assert files_in(cache) == ["imported/tuned.safetensors"]
    printed(capsys, "remove", "tuned")
    assert files_in(cache) == []
    assert refused(capsys, "remove", "far") == "weights far are not downloaded; there is nothing to remove"


def test_remove_refuses_what_is_bundled(capsys: pytest.CaptureFixture[str]) -> None:
    record = weights.records()[0]
    message = f"weights {record.name} are part of the package and can't be removed"
    assert refused(capsys, "remove", record.name) == message
    assert record.path.is_file()


def test_the_doctor_does_not_mind_a_file_to_download(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("napari_pcnet.cli.doctor._self_test", lambda: 0.0)
    assert main(["doctor"]) == 0
    assert "weights far: to download" in capsys.readouterr().out.splitlines()


def test_a_remote_name_is_a_model(mirror: Path) -> None:
    labels = pcnet_superpixels(PICTURE, 6, model="far")
    assert_array_equal(labels, pcnet_superpixels(PICTURE, 6, model=mirror))


# -- import ----------------------------------------------------------------------------------------


def test_an_imported_file_is_a_model_by_its_name(
    cache: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cache / "imported" / "tuned.safetensors"
    assert printed(capsys, "import", str(ours)) == [f"tuned: {path}"]
    assert files_in(cache) == ["imported/tuned.safetensors"]
    labels = pcnet_superpixels(PICTURE, 6, model="tuned")
    assert_array_equal(labels, pcnet_superpixels(PICTURE, 6, model=ours))


def test_an_imported_file_keeps_its_training_and_says_where_it_is_from(
    ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, "import", str(ours), "--name", "mine")
    path = weights.locate("mine")
    origin = {"file": "tuned.safetensors", "sha256": sha256_of(ours)}
    assert checkpoint.read_record(path) == {**TRAINING, "imported": origin}
    lines = printed(capsys, "info", "mine")
    assert lines[0] == "name: mine"
    assert lines[1].startswith("network: stem unshuffle, reduction 4, widths 4 4 4 4 4, ")
    assert f"imported from: tuned.safetensors, SHA-256 {sha256_of(ours)}" in lines
    assert "seed: 7, steps: 10, hours: 1.0" in lines
    assert lines[-1] == f"file: {path}"


def test_the_authors_file_becomes_one_of_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs_of = {ours: theirs for theirs, ours in checkpoint._AUTHORS_NAMES.items()}
    model = PCNet()
    state = OrderedDict()
    for name, value in model.state_dict().items():
        layer = next((ours for ours in theirs_of if name.startswith(f"{ours}.")), None)
        if layer is not None:
            state[f"module.{theirs_of[layer]}{name[len(layer) :]}"] = value
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "model_best.tar")
    printed(capsys, "import", str(tmp_path / "model_best.tar"))
    loaded = checkpoint.load_model(weights.locate("model_best"))
    for name, value in checkpoint.load_model(tmp_path / "model_best.tar").state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    lines = printed(capsys, "info", "model_best")
    assert lines[2:-1] == [
        f"imported from: model_best.tar, SHA-256 {sha256_of(tmp_path / 'model_best.tar')}",
        "inference: 2,309,497 parameters, 8,603 multiply-adds a work pixel",
    ]


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["evil.tar", "evil.safetensors"])
def test_a_file_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, cache: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fuse = tmp_path / "it ran"
    torch.save({"state_dict": {}, "x": _Bomb(fuse)}, tmp_path / name)
    assert re.search("was refused|cannot be read", refused(capsys, "import", str(tmp_path / name)))
    (tmp_path / name).write_bytes(pickle.dumps(_Bomb(fuse)))
    assert re.search("was refused|cannot be read", refused(capsys, "import", str(tmp_path / name)))
    assert not fuse.exists()
    assert not cache.exists()


def test_what_can_not_be_imported_leaves_no_file(
    tmp_path: Path, cache: Path, ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = tmp_path / "none.safetensors"
    assert refused(capsys, "import", str(none)) == f"weights file {none} does not exist"
    taken = weights.names()[0]
    assert refused(capsys, "import", str(ours), "--name", taken) == (
        f"the name {taken} is that of published weights; choose another by --name"
    )
    assert refused(capsys, "import", str(ours), "--name", "../a").endswith("; choose another by --name")
    ours.write_bytes(ours.read_bytes()[:-1])
    assert refused(capsys, "import", str(ours)).startswith(f"{ours} cannot be read as a weights file ")
    assert not cache.exists()


def test_a_name_is_given_once(cache: Path, ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "import", str(ours))
    before = (cache / "imported" / "tuned.safetensors").read_bytes()
    assert refused(capsys, "import", str(ours)).startswith("weights tuned are there already; ")
    assert (cache / "imported" / "tuned.safetensors").read_bytes() == before


# -- in a process of its own -----------------------------------------------------------------------


def test_a_failure_has_no_traceback(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"text")
    words = [sys.executable, "-m", "napari_pcnet.cli", "weights", "import", str(tmp_path / "bad.tar")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"napari-pcnet: {tmp_path / 'bad.tar'} was refused: ")
    assert done.stderr.count("\n") == 1
    assert not cache.exists()
