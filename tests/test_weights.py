"""Bundled weights are found by name and verified; near names are offered; files are taken by path."""

import re
from pathlib import Path

import pytest

from napari_pcnet import weights

CONTENT = b"not a network, but bytes with a hash"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two bundled files."""
    tables = []
    for name in ("pcnet-a-v1", "pcnet-b-v1"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(CONTENT)
        tables.append(
            f'["{name}"]\nfilename = "{path.name}"\nsha256 = "{weights.sha256_of(path)}"\n'
            f'size_bytes = {len(CONTENT)}\nlicence = "BSD-3-Clause"\narchitecture = "PCNet"\n'
            'training_data = "drawn"\ntraining_command = "none"\ncitation = "none"\n'
            f'["{name}".figures]\n"ASA at K = 200" = 0.95\n'
        )
    (tmp_path / "weights.toml").write_text("\n".join(tables))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path


def test_the_list_has_names_in_its_order(folder: Path) -> None:
    assert weights.names() == ("pcnet-a-v1", "pcnet-b-v1")


def test_a_record_says_where_weights_come_from(folder: Path) -> None:
    record = weights.record("pcnet-a-v1")
    assert record.path == folder / "pcnet-a-v1.safetensors"
    assert record.size_bytes == len(CONTENT)
    assert record.figures == {"ASA at K = 200": 0.95}


def test_a_name_becomes_its_verified_file(folder: Path) -> None:
    assert weights.locate("pcnet-b-v1") == folder / "pcnet-b-v1.safetensors"


def test_a_path_is_taken_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = folder / "own.safetensors"
    own.write_bytes(b"1")
    monkeypatch.chdir(folder)
    assert weights.locate(own) == own
    assert weights.locate(str(own)) == own
    assert weights.locate("own.safetensors") == Path("own.safetensors")


def test_a_missing_file_of_ones_own_is_refused(folder: Path) -> None:
    for name in ("none.safetensors", "none.tar"):
        with pytest.raises(FileNotFoundError, match=f"^weights file {name} does not exist$"):
            weights.locate(name)


def test_an_unknown_name_is_answered_with_near_ones(folder: Path) -> None:
    message = (
        "no weights are called 'pcnet-a'; did you mean pcnet-a-v1 or pcnet-b-v1? "
        "(a file of your own ends in .safetensors or .tar)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.locate("pcnet-a")


def test_a_name_like_none_is_answered_with_all(folder: Path) -> None:
    message = (
        "no weights are called 'resnet'; there are pcnet-a-v1, pcnet-b-v1 "
        "(a file of your own ends in .safetensors or .tar)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.record("resnet")


def test_a_damaged_file_is_refused(folder: Path) -> None:
    record = weights.record("pcnet-a-v1")
    record.path.write_bytes(CONTENT[:-1])
    message = (
        f"weights file {record.path} is damaged: its SHA-256 is {weights.sha256_of(record.path)}, "
        f"published was {record.sha256}; install napari-pcnet again"
    )
    assert weights.damage_of(record) == message
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.locate("pcnet-a-v1")


def test_a_bundled_file_that_is_gone_is_refused(folder: Path) -> None:
    record = weights.record("pcnet-a-v1")
    record.path.unlink()
    message = f"weights file {record.path} is missing; install napari-pcnet again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.locate("pcnet-a-v1")


# -- what this installation ships ------------------------------------------------------------------


def test_the_networks_ship_the_default_first() -> None:
    assert weights.names() == ("pcnet-bsds500-v1", "pcnet-faithful-bsds500-v1", "scn-bsds500-v1")


def test_every_shipped_file_is_the_one_in_its_record() -> None:
    for record in weights.records():
        assert weights.damage_of(record) == ""
        assert record.path.stat().st_size == record.size_bytes


def test_no_file_ships_without_a_record() -> None:
    files = {path.name for path in weights.FOLDER.glob("*.safetensors")}
    assert files == {record.filename for record in weights.records()}
