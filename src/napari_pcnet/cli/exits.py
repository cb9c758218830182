"""Exit statuses of commands, as shells have them, and errors as one sentence on stderr."""

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FAILED = 1
USER_ERROR = 2
INTERRUPTED = 130
CLOSED_PIPE = 141

REFUSALS = (ValueError, TypeError, OSError, FloatingPointError, MemoryError)
"""What a user, a file or the machine can be the cause of: a sentence each."""

EXTRAS = {
    "cv2": "benchmark",
    "distributed": "dask",
    "geopandas": "export",
    "matplotlib": "train,benchmark",
    "pyarrow": "export",
    "pysnic": "benchmark",
    "rasterio": "export",
    "shapely": "export",
    "sklearn": "learn",
    "tensorboard": "train",
}
"""Modules that only some commands need, and the extra that installs each."""

_PACKAGES = {"sklearn": "scikit-learn"}
"""Names of packages whose module has another."""


def say(message: str) -> None:
    """Print a sentence on stderr, in one line."""
    if sys.stderr is not None:  # print would take stdout for one that is closed
        print(_line(message), file=sys.stderr)


def sentence_of(error: BaseException) -> str:
    """Return one of `REFUSALS` as a sentence."""
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        return f"memory ran out{reason}; close other programs or ask for less"
    if isinstance(error, OSError) and error.strerror:  # the system's own, which Python gives a number
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def about(file: object, sentence: str) -> str:
    """Return a sentence with the name of the file that it is about, once."""
    name = re.compile(rf"(?<![\w./\\-]){re.escape(str(file))}(?![\w/\\-])")
    return sentence if name.search(sentence) else f"{file}: {sentence}"


@contextmanager
def warnings_as_sentences(file: object = None) -> Iterator[None]:
    """Print warnings as errors are: a line, without Python's file, line and source.

    With a `file`, each line names it, and what was said of one file is said again of the next.
    """
    before = warnings.formatwarning

    def text(message: Warning | str, *place: Any) -> str:
        return f"{_line(message)}\n" if file is None else before(about(file, str(message)), *place)

    warnings.formatwarning = text  # type: ignore[assignment]  # takes all that is given, by position
    try:
        with warnings.catch_warnings():  # Python forgets which warnings it has shown
            yield
    finally:
        warnings.formatwarning = before


def refuse(message: str) -> int:
    """Print what a user got wrong; return the exit status for it."""
    say(message)
    return USER_ERROR


def refuse_without(module: ModuleNotFoundError) -> int:
    """Refuse a command whose extra is not installed; any other missing module is raised again."""
    name = (module.name or "").partition(".")[0]
    if name not in EXTRAS:
        raise module
    return refuse(
        f"{_PACKAGES.get(name, module.name)} is not installed; pip install 'napari-pcnet[{EXTRAS[name]}]'"
    )


def stopped(what: str = "stopped") -> int:
    """Say that Ctrl-C was heard; return the exit status for it."""
    say(what)
    return INTERRUPTED


def end_output() -> int:
    """Write what is left of stdout, before Python does it when it ends; return the exit status for it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader, such as head, has read enough
            return CLOSED_PIPE
        return refuse(f"standard output cannot be written: {error.strerror}")
    return 0


def _line(message: object) -> str:
    return f"napari-pcnet: {' '.join(str(message).split())}"
