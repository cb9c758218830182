"""Weights by name: a record of each published file, and the way from a name to a verified file.

A record states what a network is and comes from: file, hash, licence, training data, figures. The
records are in `weights_data/weights.toml`. A record with addresses is that of a remote file, which is
downloaded to the cache folder on first use; the file of any other record is bundled, in the same folder
as the list. Files that a user imported lie in the cache folder and have a name but no record. Nothing
here opens the network itself: that is the task of `checkpoint`.
"""

import difflib
import os
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from napari_pcnet.disk import download
from napari_pcnet.disk.files import Version, check_file, sha256_of, version_of
from napari_pcnet.progress import Progress

FOLDER = Path(__file__).with_name("weights_data")
SUFFIXES = (".safetensors", ".tar")
"""Endings of weights files: ours, and the layout of the paper's authors."""

_IMPORTED = "imported"
_OURS = SUFFIXES[0]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class DamagedWeightsWarning(UserWarning):
    """A file in the cache folder differs from the published one, and is downloaded again."""


@dataclass(frozen=True)
class WeightsRecord:
    """All that is published about one file of weights.

    Attributes
    ----------
    name : str
        What a user passes as ``model=``. Its meaning never changes: a better network gets a new name.
    filename : str
        The file in `FOLDER`, or in the cache folder if it is remote.
    sha256 : str
        The file's SHA-256, 64 hexadecimal digits.
    size_bytes : int
        The file's size.
    licence : str
        SPDX identifier of the weights' licence.
    architecture : str
        The network's configuration in words.
    training_data : str
        What it was trained on, and under which terms.
    training_command : str
        The command that made it.
    citation : str
        What to cite.
    figures : mapping of str to float
        Measured figures; each name includes a unit or definition.
    figures_command : str
        The command that prints the figures.
    urls : tuple of str
        Addresses of a remote file, tried in this order; empty if it is bundled.
    """

    name: str
    filename: str
    sha256: str
    size_bytes: int
    licence: str
    architecture: str
    training_data: str
    training_command: str
    citation: str
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_command: str = ""
    urls: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the file is on this machine, or will be once it is downloaded."""
        return (download.cache_folder() if self.urls else FOLDER) / self.filename

    @property
    def is_here(self) -> bool:
        """Whether the file is bundled or downloaded already."""
        return not self.urls or self.path.is_file()


def records() -> tuple[WeightsRecord, ...]:
    """Return the records of the published weights, the default first."""
    path = FOLDER / "weights.toml"
    return _read_records(path, version_of(path))


def imported() -> dict[str, Path]:
    """Return the files that a user imported, by name."""
    try:
        folder = _import_folder()
    except download.NoCacheFolderError:  # without a home there are none
        return {}
    return {path.name.removesuffix(_OURS): path for path in sorted(folder.glob(f"*{_OURS}"))}


def is_imported(name: str) -> bool:
    """Whether a name is that of an imported file; a published name never is."""
    return name not in _published() and name in imported()


def names() -> tuple[str, ...]:
    """Return the names for ``model=``: those of the published weights, then those of imported ones."""
    return tuple(dict.fromkeys([*_published(), *imported()]))


def record(name: str) -> WeightsRecord:
    """Return the record of published weights.

    Raises
    ------
    ValueError
        If there are none of that name; the message offers similar names.
    """
    known = _published()
    if is_imported(name):
        raise ValueError(f"weights {name} are imported: a file of your own, of which nothing was published")
    if name not in known:
        raise ValueError(_unknown(name, names()))
    return known[name]


def locate(name_or_path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Return the verified file of a name, or a user's own file by its path.

    Parameters
    ----------
    name_or_path : str or path
        One of `names`, or the path of a file. Text is taken for a path if it ends in
        ``.safetensors`` or ``.tar`` or contains a folder separator.
    progress : callable, optional
        ``progress(done, total)`` in bytes, called while the file is downloaded.

    Raises
    ------
    ValueError
        If the name is unknown, or the bundled file differs from the published one.
    FileNotFoundError
        If the path leads to no file.
    IsADirectoryError
        If it leads to a folder.
    OSError
        If the file must be downloaded and can't be.

    Warns
    -----
    DamagedWeightsWarning
        If a downloaded file has been damaged since; it is downloaded again.
    """
    if _is_path(name_or_path):
        path = Path(name_or_path)
        check_file(path, "weights file")
        return path
    name = os.fspath(name_or_path)
    if is_imported(name):
        return imported()[name]
    return _verified(record(name), progress)


def damage_of(record: WeightsRecord, digest_of: Callable[[Path], str] = sha256_of) -> str:
    """Return what is wrong with a published file, as a sentence; empty if it matches its record.

    `digest_of` gives a file's SHA-256; by default the file is read.
    """
    remedy = "it is downloaded when it is used" if record.urls else "install napari-pcnet again"
    if not record.path.is_file():
        return f"weights file {record.path} is missing; {remedy}"
    digest = digest_of(record.path)
    if digest != record.sha256:
        return (
            f"weights file {record.path} is damaged: its SHA-256 is {digest}, "
            f"published was {record.sha256}; {remedy}"
        )
    return ""


def place_for(name: str) -> Path:
    """Return the path for importing a file under a new name; its folder may not exist yet.

    Raises
    ------
    ValueError
        If the name has other characters than names have, or is taken.
    """
    if not _NAME.fullmatch(name) or _is_path(name):
        raise ValueError(
            "a name of weights may contain only letters, digits, '-', '_' and '.', begins with a letter or "
            f"digit and does not end in {' or '.join(SUFFIXES)}, got {name!r}; choose another by --name"
        )
    if name in _published():
        raise ValueError(f"the name {name} is that of published weights; choose another by --name")
    if name in imported():
        raise ValueError(
            f"weights {name} are there already; choose another name by --name, "
            f"or remove them first: napari-pcnet weights remove {name}"
        )
    return _import_folder() / f"{name}{_OURS}"


def remove(name: str) -> Path:
    """Delete a downloaded or imported file; return its path.

    Raises
    ------
    ValueError
        If the name is unknown, or the file is bundled or not downloaded.
    """
    path = imported()[name] if is_imported(name) else record(name).path
    if path.parent == FOLDER:
        raise ValueError(f"weights {name} are part of the package and can't be removed")
    if not path.is_file():
        raise ValueError(f"weights {name} are not downloaded; there is nothing to remove")
    path.unlink()
    return path


def _published() -> dict[str, WeightsRecord]:
    return {each.name: each for each in records()}


def _import_folder() -> Path:
    return download.cache_folder() / _IMPORTED


def _verified(record: WeightsRecord, progress: Progress | None) -> Path:
    damage = damage_of(record, _known_digest)
    if damage and not record.urls:
        raise ValueError(damage)
    if damage and record.is_here:
        warnings.warn(damage, DamagedWeightsWarning, stacklevel=3)
    if damage:
        download.fetch(record.path, record.urls, record.sha256, record.size_bytes, progress)
    return record.path


def _known_digest(path: Path) -> str:
    return _digest_of_version(path, version_of(path))


@lru_cache(maxsize=4)
def _digest_of_version(path: Path, version: Version) -> str:  # noqa: ARG001  # the cache's key
    return sha256_of(path)


@lru_cache(maxsize=1)
def _read_records(path: Path, version: Version) -> tuple[WeightsRecord, ...]:  # noqa: ARG001  # the cache's key
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(_record_of(name, table) for name, table in tables.items())


def own_file(model: str) -> Path | None:
    """The file of their own that a user names as `model`; None if it is the name of weights."""
    return Path(model) if _is_path(model) else None


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    if not isinstance(name_or_path, str):
        return True
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return name_or_path.endswith(SUFFIXES) or any(each in name_or_path for each in separators)


def _record_of(name: str, table: Mapping[str, object]) -> WeightsRecord:
    wanted = {each.name for each in fields(WeightsRecord)} - {"name"}
    assert set(table) <= wanted, f"weights.toml, {name}: unknown {set(table) - wanted}"
    urls = table.get("urls", ())
    assert isinstance(urls, (list, tuple)), f"weights.toml, {name}: urls must be a list"
    return WeightsRecord(name, **{**table, "urls": tuple(urls)})  # type: ignore[arg-type]  # the tests read every table


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    offer = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"no weights are called {name!r}; {offer} (a file of your own ends in {' or '.join(SUFFIXES)})"
