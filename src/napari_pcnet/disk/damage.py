"""Damaged files: whatever a reader raises, as one sentence that names the file."""

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class DamageError(ValueError):
    """A file cannot be read; why, in a sentence that names it."""


@contextmanager
def naming_damage(path: Path, what: str) -> Iterator[None]:
    """Name the file, what it should be, and the reason in the error of a reader.

    Raises
    ------
    DamageError
        In the place of any of `READER_ERRORS`; one that comes from further inside stays.
    """
    try:
        yield
    except DamageError:
        raise
    except READER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[:LONGEST_REASON]} ..."
        raise DamageError(f"{path} cannot be read as {what}: {reason}") from error
