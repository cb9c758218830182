"""Weights are found by name and verified, or downloaded; near names are offered; a path is a path."""

import re
from pathlib import Path

import pytest

from napari_pcnet import weights
from napari_pcnet.disk import download
from napari_pcnet.disk.files import sha256_of

CONTENT = b"not a network, but bytes with a hash"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two bundled files."""
    tables = []
    for name in ("pcnet-a-v1", "pcnet-b-v1"):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(CONTENT)
        tables.append(
            f'["{name}"]\nfilename = "{path.name}"\nsha256 = "{sha256_of(path)}"\n'
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


def test_a_folder_is_no_file_of_weights(folder: Path) -> None:
    with pytest.raises(
        IsADirectoryError, match=f"^weights file {re.escape(str(folder))} is a folder; name a file"
    ):
        weights.locate(str(folder))


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
        f"weights file {record.path} is damaged: its SHA-256 is {sha256_of(record.path)}, "
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


# -- remote weights --------------------------------------------------------------------------------


@pytest.fixture
def remote(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The second file is remote: its mirrors are a file that is missing, and this one; returns it."""
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(folder / "cache"))
    mirror = (folder / "pcnet-b-v1.safetensors").rename(folder / "mirror")
    urls = f'urls = ["{(folder / "none").as_uri()}", "{mirror.as_uri()}"]'
    table = (folder / "weights.toml").read_text()
    (folder / "weights.toml").write_text(table.replace('["pcnet-b-v1"]', f'["pcnet-b-v1"]\n{urls}'))
    return mirror


def test_a_record_with_addresses_is_kept_in_the_cache(folder: Path, remote: Path) -> None:
    bundled, record = weights.records()
    assert (bundled.urls, bundled.is_here) == ((), True)
    assert record.urls == ((folder / "none").as_uri(), remote.as_uri())
    assert record.path == folder / "cache" / "pcnet-b-v1.safetensors"
    assert not record.is_here


def test_a_remote_name_becomes_its_file_on_first_use(folder: Path, remote: Path) -> None:
    path = weights.locate("pcnet-b-v1")
    assert path == folder / "cache" / "pcnet-b-v1.safetensors"
    assert path.read_bytes() == CONTENT
    remote.unlink()
    assert weights.locate("pcnet-b-v1") == path


def test_progress_of_a_download_is_in_bytes(remote: Path) -> None:
    calls: list[tuple[int, int]] = []
    weights.locate("pcnet-b-v1", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(len(CONTENT), len(CONTENT))]


def test_a_damaged_download_is_named_and_downloaded_anew(remote: Path) -> None:
    path = weights.locate("pcnet-b-v1")
    path.write_bytes(b"1")
    message = (
        f"weights file {path} is damaged: its SHA-256 is {sha256_of(path)}, "
        f"published was {sha256_of(remote)}; it is downloaded when it is used"
    )
    assert weights.damage_of(weights.record("pcnet-b-v1")) == message
    with pytest.warns(weights.DamagedWeightsWarning, match=f"^{re.escape(message)}$"):
        weights.locate("pcnet-b-v1")
    assert path.read_bytes() == CONTENT


def test_a_download_that_fails_leaves_the_cache_empty(
    folder: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    remote.write_bytes(CONTENT[:5])
    with pytest.raises(download.DownloadError, match=f"broke off after 5 of {len(CONTENT)} bytes"):
        weights.locate("pcnet-b-v1")
    assert list((folder / "cache").iterdir()) == []


def test_a_missing_remote_file_is_no_damage_of_the_installation(remote: Path) -> None:
    record = weights.record("pcnet-b-v1")
    assert weights.damage_of(record) == (
        f"weights file {record.path} is missing; it is downloaded when it is used"
    )


# -- imported weights ------------------------------------------------------------------------------


@pytest.fixture
def mine(folder: Path, remote: Path) -> Path:
    """An imported file of the name `mine`."""
    path = weights.place_for("mine")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    return path


def test_an_imported_file_goes_by_its_name(folder: Path, mine: Path) -> None:
    assert mine == folder / "cache" / "imported" / "mine.safetensors"
    assert weights.imported() == {"mine": mine}
    assert weights.names() == ("pcnet-a-v1", "pcnet-b-v1", "mine")
    assert weights.locate("mine") == mine


def test_a_name_may_have_dots(mine: Path) -> None:
    path = mine.rename(weights.place_for("v1.2_b-c"))
    assert weights.locate("v1.2_b-c") == path


def test_an_imported_file_has_no_record(mine: Path) -> None:
    message = "weights mine are imported: a file of your own, of which nothing was published"
    with pytest.raises(ValueError, match=f"^{message}$"):
        weights.record("mine")


def test_an_imported_file_never_hides_a_published_one(folder: Path, mine: Path) -> None:
    mine.rename(mine.with_name("pcnet-a-v1.safetensors"))
    assert weights.names() == ("pcnet-a-v1", "pcnet-b-v1")
    assert weights.locate("pcnet-a-v1") == folder / "pcnet-a-v1.safetensors"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", ".a", "a b", "a/b", "a\\b", "../a", "ä", "a\n", "a.tar", "a.safetensors"]
)
def test_what_is_no_name_is_refused(remote: Path, name: str) -> None:
    message = (
        "a name of weights may contain only letters, digits, '-', '_' and '.', begins with a letter or "
        f"digit and does not end in .safetensors or .tar, got {name!r}; choose another by --name"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        weights.place_for(name)


@pytest.mark.parametrize("name", ["pcnet-a-v1", "pcnet-b-v1"])
def test_a_published_name_is_taken(remote: Path, name: str) -> None:
    message = f"the name {name} is that of published weights; choose another by --name"
    with pytest.raises(ValueError, match=f"^{message}$"):
        weights.place_for(name)


def test_the_name_of_an_imported_file_is_taken(mine: Path) -> None:
    message = (
        "weights mine are there already; choose another name by --name, "
        "or remove them first: napari-pcnet weights remove mine"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        weights.place_for("mine")


def test_imported_and_downloaded_files_can_be_removed(mine: Path) -> None:
    downloaded = weights.locate("pcnet-b-v1")
    assert weights.remove("mine") == mine
    assert weights.remove("pcnet-b-v1") == downloaded
    assert not mine.exists()
    assert not downloaded.exists()


def test_what_is_not_in_the_cache_can_not_be_removed(folder: Path, remote: Path) -> None:
    for name, message in (
        ("pcnet-a-v1", "weights pcnet-a-v1 are part of the package and can't be removed"),
        ("pcnet-b-v1", "weights pcnet-b-v1 are not downloaded; there is nothing to remove"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            weights.remove(name)
    assert (folder / "pcnet-a-v1.safetensors").is_file()


# -- what this installation ships ------------------------------------------------------------------


def _shipped() -> list[weights.WeightsRecord]:
    return [record for record in weights.records() if not record.urls]


def test_the_networks_ship_the_default_first() -> None:
    assert weights.names() == (
        "pcnet-v2",
        "pcnet-v1",
        "pcnet-bsds500-v1",
        "pcnet-faithful-bsds500-v1",
        "scn-bsds500-v1",
    )


def test_every_shipped_file_is_the_one_in_its_record() -> None:
    for record in _shipped():
        assert weights.damage_of(record) == ""
        assert record.path.stat().st_size == record.size_bytes


def test_no_file_ships_without_a_record() -> None:
    files = {path.name for path in weights.FOLDER.glob("*.safetensors")}
    assert files == {record.filename for record in _shipped()}


def test_every_address_may_be_asked() -> None:
    assert all(url.startswith("https://") for record in weights.records() for url in record.urls)
