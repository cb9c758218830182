"""The folder a benchmark lives in: what it resumes from, and its table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_pcnet.disk.files import write_atomically
from napari_pcnet.disk.output import make_folder
from napari_pcnet.disk.provenance import Provenance, source_commit
from napari_pcnet.evaluation.journal import runs_of

RESULTS = "results.csv"
TABLE = "table.txt"
LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Make a folder if it is not there, and keep other benchmarks out of it meanwhile.

    Yields
    ------
    Path
        Its file of results.

    Raises
    ------
    ValueError
        If it is a file, or another benchmark is at work in it.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output must be a folder, but {folder} is a file")
    make_folder(folder)
    source_commit()  # of the code that measures, not of what is committed meanwhile
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield folder / RESULTS
    except Timeout:
        raise ValueError(
            f"another benchmark is at work in {folder}; wait for it or name another output"
        ) from None


def write_table(folder: Path, text: str) -> Provenance:
    """Write a table with what made it: command, commit, machine and versions, which are returned."""
    provenance = Provenance.of_this_run()
    lines = [text, "", provenance.as_text(), *runs_of(folder, provenance)]
    content = "\n".join([*lines, ""]).encode()
    write_atomically(folder / TABLE, lambda file: file.write(content))
    return provenance
