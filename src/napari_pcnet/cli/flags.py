"""Command-line flags made from dataclasses: a flag for each field, and back to the dataclass.

A field's metadata may say ``help``, the line in ``--help``; ``metavar``; ``default``, how its default
reads there; ``flag=False`` for a field without a flag; ``positional=True`` for one without dashes.
"""

import argparse
import ast
import difflib
import re
import shlex
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, replace
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_pcnet.cli.exits import REFUSALS, refuse
from napari_pcnet.options import range_end
from napari_pcnet.record import flag_words

OptionsClass = TypeVar("OptionsClass")

_WANTED: dict[Callable[[str], object], str] = {
    int: "a whole number",
    float: "a number",
    range_end: "a number or a percentage",
}

_OTHER_WORDS = {"start": "from"}
"""Fields whose flag is a word that Python keeps for itself."""


class Parser(argparse.ArgumentParser):
    """Refuses in one sentence.

    Attributes
    ----------
    takes_files_anywhere : bool
        Whether files, any number of them, may stand before, between and after flags; argparse itself ends a
        list at the first flag.
    """

    takes_files_anywhere = False

    def __init__(self, **more: Any) -> None:
        super().__init__(**more | {"allow_abbrev": False})
        self.set_defaults(parser=self)  # of commands, that of the innermost one

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse what a parser knows, and refuse the rest as the command that was given it."""
        found, rest = self.parse_known_args(words)  # type: ignore[no-untyped-call]
        if rest:
            found.parser._refuse_unknown(rest)
        result: argparse.Namespace = found
        return result

    def _refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """Refuse words that no flag or argument takes, with the flag that is like the first of them."""
        word = next((word for word in words if word.startswith("--")), "")
        known = [flag.removeprefix("--") for flag in self._option_string_actions if flag.startswith("--")]
        given = word.partition("=")[0].removeprefix("--")
        asked = given.replace("_", "-").lower()
        near = [flag for flag in known if asked and flag.startswith(asked)]
        best = next(iter(near or difflib.get_close_matches(asked, known, 1, cutoff=0.75)), given)
        is_opposite = asked.startswith("no-") and not best.startswith("no-")
        hint = "" if best == given or is_opposite else f"; did you mean --{best}?"
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # overloads
        """Parse what a parser knows, and return the rest."""
        if not self.takes_files_anywhere:
            return super().parse_known_args(args, namespace)
        self.takes_files_anywhere = False  # for the two passes that follow, one for flags and one for files
        try:
            return self.parse_known_intermixed_args(_without_dashes(args), namespace)
        finally:
            self.takes_files_anywhere = True

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit."""
        self.exit(refuse(f"{message} (see {self.prog} --help)"))


def _without_dashes(words: Sequence[str]) -> list[str]:
    """Write files behind ``--`` so that none looks like a flag: of two passes, only the first heeds it.

    >>> _without_dashes(["-n", "5", "--", "-o.png", "a.tif"])
    ['-n', '5', './-o.png', 'a.tif']
    """
    end = words.index("--") if "--" in words else len(words)
    behind = (f"./{word}" if word.startswith("-") else word for word in words[end + 1 :])
    return [*words[:end], *behind]


def flag_of(field_name: str) -> str:
    """Return the flag of a field.

    >>> flag_of("n_segments"), flag_of("start")
    ('--n-segments', '--from')
    """
    return f"--{_OTHER_WORDS.get(field_name, field_name).replace('_', '-')}"


def add_flags(
    parser: argparse.ArgumentParser, options_class: type, short: Mapping[str, str] | None = None
) -> None:
    """Give every field of a dataclass its flag; a flag that is not used leaves no trace.

    Parameters
    ----------
    parser : ArgumentParser
    options_class : dataclass
    short : mapping of str to str, optional
        Second flags, such as ``-n``, by field.
    """
    hints = get_type_hints(options_class)
    for each in fields(options_class):
        if not each.metadata.get("flag", True):
            continue
        keywords = _keywords(hints[each.name]) | {"help": _help(each)}
        if each.metadata.get("positional"):
            parser.add_argument(each.name, **keywords | {"metavar": each.name.upper()})
            continue
        if "read" in each.metadata:
            keywords["type"] = _reader(each.metadata["read"], optional=False)
        if "metavar" in each.metadata:
            keywords["metavar"] = each.metadata["metavar"]
        if each.default is MISSING and each.default_factory is MISSING:
            keywords["required"] = True
        words = filter(None, ((short or {}).get(each.name), flag_of(each.name)))
        parser.add_argument(*words, dest=each.name, default=argparse.SUPPRESS, **keywords)


def options_from(
    namespace: argparse.Namespace, options_class: type[OptionsClass], config: OptionsClass | None = None
) -> OptionsClass:
    """Return the options given on the command line, over those of a configuration file."""
    given = {
        each.name: getattr(namespace, each.name)
        for each in fields(options_class)  # type: ignore[arg-type]  # always a dataclass
        if each.name in namespace
    }
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if config is None:
        return options_class(**given)
    return replace(config, **given)  # type: ignore[type-var]  # as above


@contextmanager
def naming_flags(*options_classes: type) -> Iterator[None]:
    """Let errors and warnings name flags: the library names the arguments of its functions.

    Parameters
    ----------
    *options_classes : dataclass
        Whose fields have flags. ``overwrite`` has one in every command that writes.
    """
    every = (each for kind in options_classes for each in fields(kind))
    names = ["overwrite", *(each.name for each in every if not each.metadata.get("positional"))]
    before = warnings.formatwarning

    def formatted(message: Warning | str, *place: Any, **more: Any) -> str:
        return before(in_flags(str(message), names), *place, **more)

    warnings.formatwarning = formatted
    try:
        yield
    except REFUSALS as error:
        if len(error.args) == 1 and isinstance(error.args[0], str):  # else it is the system's own
            error.args = (in_flags(error.args[0], names),)
        raise
    finally:
        warnings.formatwarning = before


def in_flags(sentence: str, names: Sequence[str]) -> str:
    """Write the arguments that a sentence names as flags: ``name=value``, and ``name must be``.

    Shapes and several values, which the library shows as Python does, become words, too.

    >>> in_flags("n_segments must be at least 3; min_size=5 does it", ["n_segments", "min_size"])
    '--n-segments must be at least 3; --min-size 5 does it'
    >>> in_flags("mask=, method='lattice' or spacing=None, a/mask=1.tif", ["mask", "method", "spacing"])
    '--mask, --method lattice or --spacing none, a/mask=1.tif'
    >>> in_flags("crop must be inside an image of shape (40, 50), got (3, 4)", ["crop"])
    '--crop must be inside an image of shape 40 x 50, got 3 x 4'
    >>> in_flags("spacing must be two numbers (rows, columns), got ('5%', 1.0)", ["spacing"])
    '--spacing must be two numbers (rows, columns), got 5% 1.0'
    """
    known = "|".join(map(re.escape, names))
    long = "|".join(re.escape(name) for name in names if "_" in name) or "$^"
    value = r"'[^']*'|\"[^\"]*\"|\([^)]*\)|-?\d+(?:\.\d+)?(?:e[+-]\d+)?|None|True"
    given = rf"(?<![\w./\\-])({known})=({value})?"
    sentence = re.sub(given, lambda found: _given_by_flag(*found.groups()), sentence)
    sentence = re.sub(rf"(?:^|(?<=: ))({known})(?= must | can )", _as_flag, sentence)
    sentence = re.sub(rf"(?<![\w./\\-])({long})(?![\w./\\-])", _as_flag, sentence)
    between = " x " if "shape (" in sentence else " "
    sentence = re.sub(_SEVERAL, lambda found: f"{found[1]} {between.join(_items(found[2]))}", sentence)
    return sentence.replace(" or None", " or none")


_SEVERAL = r"\b(shape|got) [(\[]((?:'[^']*'|[-+\w.]+)(?:, (?:'[^']*'|[-+\w.]+))*),?[)\]]"
"""A tuple or list of Python behind a word."""


def _items(text: str) -> list[str]:
    return [item.strip("'") for item in text.split(", ")]


def _as_flag(found: re.Match[str]) -> str:
    return flag_of(found[1])


def _given_by_flag(name: str, text: str | None) -> str:
    """Return an argument with its value, a Python literal, as words of the command line."""
    value = True if text is None else ast.literal_eval(text)
    return flag_of(name) if value is True else shlex.join(flag_words(name, value))


def _help(field: Field[Any]) -> str:
    text = str(field.metadata.get("help", "")).replace("%", "%%")
    if field.default in (MISSING, None, (), "", 0) or "default" in text:
        return text
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    values = (field.metadata["default"],) if "default" in field.metadata else values
    return f"{text} (default: {' '.join(map(str, values))})"


def _keywords(hint: Any) -> dict[str, Any]:  # Any: a field's type
    """Return the keyword arguments of `add_argument` for a field of this type."""
    optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    inner = next(each for each in get_args(hint) if each is not type(None)) if optional else hint
    if inner is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(inner) is Literal:
        return {"choices": get_args(inner)}
    if get_origin(inner) is tuple:
        kinds = get_args(inner)
        return _keywords(kinds[0]) | {"nargs": "+" if kinds[-1] is Ellipsis else len(kinds)}
    return {"type": _reader(inner, optional), "metavar": "NAME" if inner is str else inner.__name__.upper()}


def _reader(kind: Callable[[str], object], optional: bool) -> Callable[[str], object]:
    """Return a function that reads one word, and refuses it in the user's words."""
    wanted = _WANTED.get(kind, "text")

    def read(word: str) -> object:
        if optional and word.lower() == "none":
            return None
        try:
            return kind(word)
        except ValueError:
            choice = f"{wanted} or none" if optional else wanted
            raise argparse.ArgumentTypeError(f"must be {choice}, got {word!r}") from None

    return read
