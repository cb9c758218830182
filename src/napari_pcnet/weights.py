"""The weights that ship with the package: a record of each, and the way from a name to a verified file.

A record says where a network came from: file, hash, licence, training data, figures. The records are
in `weights_data/weights.toml`, beside the files; adding weights is adding a file there and its table in
that list. Nothing here opens the network itself: that is `checkpoint`'s task.
"""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

FOLDER = Path(__file__).with_name("weights_data")
SUFFIXES = (".safetensors", ".tar")
"""Endings of weights files: ours, and the layout of the paper's authors."""


@dataclass(frozen=True)
class WeightsRecord:
    """What is known of one file of weights.

    Attributes
    ----------
    name : str
        What a user passes as ``model=``; its meaning never changes, a better network gets a new name.
    filename : str
        The file in `FOLDER`.
    sha256 : str
        The file's SHA-256, 64 hexadecimal digits.
    size_bytes : int
        The file's size.
    licence : str
        SPDX identifier of the weights' licence.
    architecture : str
        The network's configuration in words.
    training_data : str
        What it saw in training, and under which terms.
    training_command : str
        The command that made it.
    citation : str
        What to cite.
    figures : mapping of str to float
        What was measured, each name with its unit or definition.
    figures_command : str
        The command that prints the figures.
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

    @property
    def path(self) -> Path:
        """Where the file lies in this installation."""
        return FOLDER / self.filename


def records() -> tuple[WeightsRecord, ...]:
    """Records of the bundled weights, in the order of the list, the default first."""
    tables = tomllib.loads((FOLDER / "weights.toml").read_text(encoding="utf-8"))
    return tuple(_record_of(name, table) for name, table in tables.items())


def names() -> tuple[str, ...]:
    """Names of the bundled weights, as passed to ``model=``."""
    return tuple(record.name for record in records())


def record(name: str) -> WeightsRecord:
    """Return the record of bundled weights.

    Raises
    ------
    ValueError
        If there are none of that name; the message offers near names.
    """
    known = {each.name: each for each in records()}
    if name not in known:
        raise ValueError(_unknown(name, tuple(known)))
    return known[name]


def locate(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file of bundled weights by name, or a file of one's own by path.

    Parameters
    ----------
    name_or_path : str or path
        A name of `names`, or the path of a file. Text is taken as a path if it ends in
        ``.safetensors`` or ``.tar`` or contains a folder separator.

    Raises
    ------
    ValueError
        If the name is unknown, or the bundled file is not the one that was published.
    FileNotFoundError
        If there is no such file.
    """
    if _is_path(name_or_path):
        path = Path(name_or_path)
        if not path.is_file():
            raise FileNotFoundError(f"weights file {path} does not exist")
        return path
    found = record(os.fspath(name_or_path))
    damage = damage_of(found)
    if damage:
        raise ValueError(damage)
    return found.path


def damage_of(record: WeightsRecord) -> str:
    """Say in a sentence what is wrong with a bundled file; empty if it is the published one."""
    if not record.path.is_file():
        return f"weights file {record.path} is missing; install napari-pcnet again"
    digest = sha256_of(record.path)
    if digest != record.sha256:
        return (
            f"weights file {record.path} is damaged: its SHA-256 is {digest}, "
            f"published was {record.sha256}; install napari-pcnet again"
        )
    return ""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_path(name_or_path: str | os.PathLike[str]) -> bool:
    if not isinstance(name_or_path, str):
        return True
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return name_or_path.endswith(SUFFIXES) or any(each in name_or_path for each in separators)


def _record_of(name: str, table: Mapping[str, object]) -> WeightsRecord:
    wanted = {each.name for each in fields(WeightsRecord)} - {"name"}
    assert set(table) <= wanted, f"weights.toml, {name}: unknown {set(table) - wanted}"
    return WeightsRecord(name, **table)  # type: ignore[arg-type]  # the tests read every table


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    offer = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"no weights are called {name!r}; {offer} (a file of your own ends in {' or '.join(SUFFIXES)})"
