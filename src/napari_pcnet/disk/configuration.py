"""Configurations: TOML files that fill frozen dataclasses, and one sentence about each mistake in them."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_pcnet.disk.files import check_file
from napari_pcnet.options import as_number, is_one_line, shown

Table = TypeVar("Table")

LONGEST_CHAIN = 32
"""Most files that extend one another."""

_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "text"}


def read_toml(kind: type[Table], path: Path) -> Table:
    """Fill a dataclass from a TOML file.

    A field that is a dataclass is a table; a tuple of dataclasses is an array of tables. With
    ``extends = "OTHER.toml"`` at its head, a file takes each field it does not set itself from the file
    of that name beside it.

    Parameters
    ----------
    kind : dataclass
        Its annotations are the types of what the file may set.
    path : Path
        A TOML file.

    Raises
    ------
    FileNotFoundError
        If the file, or one it extends, does not exist.
    IsADirectoryError
        If it is a folder.
    ValueError
        If a name is unknown, or a value is not of its field's type.
    """
    return _fill(kind, _read_tables(path, ()), str(path))


def _read_tables(path: Path, extended_by: tuple[Path, ...]) -> dict[str, Any]:
    """Read the tables of a file, merged over those of the file it extends."""
    content = _parse(path)
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str) or not is_one_line(base):
        raise ValueError(f"{path}: extends must be the name of a file, got {shown(base)}")
    base_path, extended_by = path.parent / base, (*extended_by, path)
    if base_path.resolve() in [each.resolve() for each in extended_by]:
        raise ValueError(f"{path}: extends {base!r}, which extends this file in turn")
    if len(extended_by) > LONGEST_CHAIN:
        raise ValueError(f"{path}: extends {base!r}, after {LONGEST_CHAIN} others that extend one another")
    tables = _read_tables(base_path, extended_by)
    for name, table in content.items():
        both = isinstance(table, dict) and isinstance(tables.get(name), dict)
        tables[name] = tables[name] | table if both else table
    return tables


def _parse(path: Path) -> dict[str, Any]:
    check_file(path, "configuration")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not valid TOML: its values are nested too deeply") from None
    except ValueError as error:  # no TOML, no text, a number of too many digits
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def _fill(kind: type[Table], table: dict[str, Any], place: str) -> Table:
    hints = get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise ValueError(f"{place}: unknown {', '.join(unknown)}; known are {', '.join(sorted(hints))}")
    missing = [name for name in _required(kind) if name not in table]
    if missing:
        raise ValueError(f"{place}: {', '.join(missing)} must be given")
    values = {name: _checked(hints[name], value, place, name) for name, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from None


def _required(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]


def _checked(hint: Any, value: Any, place: str, name: str) -> Any:  # Any: a field's type, a TOML value
    """Return a value in the type of its field; refuse one of another type."""
    if get_origin(hint) in (Union, UnionType):  # TOML has no word for None: a field is left out instead
        (hint,) = [each for each in get_args(hint) if each is not type(None)]
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{place}: {name} must be a table, got {shown(value)}")
        return _fill(_class_of(hint), value, f"{place} [{name}]")
    if get_origin(hint) is tuple:
        return _checked_list(get_args(hint), value, place, name)
    if get_origin(hint) is Literal:
        if not any(value == each and type(value) is type(each) for each in get_args(hint)):
            choice = " or ".join(map(repr, get_args(hint)))
            raise ValueError(f"{place}: {name} must be {choice}, got {shown(value)}")
        return value
    wanted = {Path: str}.get(hint, hint)
    is_number = hint is float and as_number(value) is not None
    if not is_number and (type(value) is not wanted or hint is float):
        raise ValueError(f"{place}: {name} must be {_KINDS[hint]}, got {shown(value)}")
    return hint(value)


def _class_of(hint: Any) -> type[Any]:
    kind: type[Any] = hint
    return kind


def _checked_list(kinds: tuple[Any, ...], value: Any, place: str, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{place}: {name} must be a list, got {shown(value)}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise ValueError(f"{place}: {name} must have {len(kinds)} entries, got {shown(value)}")
    return tuple(_checked(kind, each, place, name) for kind, each in zip(kinds, value, strict=True))
