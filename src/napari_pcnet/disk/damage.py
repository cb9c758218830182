"""Damaged files: whatever a reader raises, as one sentence that names the file."""

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pcnet.disk.files import is_special

LONGEST_REASON = 240
"""Characters of a library's reason that are shown; some repeat all that they were given."""

# A reader's answer to a damaged file may be any of these; none of them is a bug of ours.
READER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,  # a size field that says terabytes
    OSError,
    RuntimeError,  # imagecodecs' own errors
    SyntaxError,  # a broken png
    SystemError,  # a chunk of blosc that says it has fewer than no bytes
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)


_ENDS_EARLY = (
    "image file is truncated",
    "mmap length is greater than file size",
    "unexpected end of file",
    "unpack requires a buffer of",
    "unpack_from requires a buffer of",
)
"""How readers begin to tell of a file of which the end is missing."""


class DamageError(ValueError):
    """A file cannot be read; why, in a sentence that names it."""


@contextmanager
def naming_damage(path: object, what: str) -> Iterator[None]:
    """Name the file, what it should be, and the reason in the error of a reader.

    Raises
    ------
    DamageError
        In the place of any of `READER_ERRORS`; one that comes from further inside stays.
    """
    try:
        if isinstance(path, Path) and is_special(path):
            raise ValueError("it is a pipe or a device")
        yield
    except DamageError:
        raise
    except READER_ERRORS as error:
        raise DamageError(f"{path} cannot be read as {what}: {_reason_of(error)}") from error


def _reason_of(error: Exception) -> str:
    """Return a reader's reason, and what it means where that is known."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[:LONGEST_REASON]} ..."
    if isinstance(error, EOFError) or reason.startswith(_ENDS_EARLY):
        return f"it ends early, as a copy that was stopped does ({reason})"
    if type(error).__module__.startswith("imagecodecs"):
        return f"its pixels cannot be decoded ({reason})"
    return f"it is damaged ({reason})" if "corrupt" in reason else reason
