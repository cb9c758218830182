"""The folder a benchmark lives in: what it resumes from, and what it says."""

from __future__ import annotations

from pathlib import Path

from napari_pcnet.files import write_atomically
from napari_pcnet.provenance import Provenance

RESULTS = "results.csv"
TABLE = "table.txt"


def write_table(folder: Path, text: str) -> Provenance:
    """Write a table with what made it: command, commit, machine and versions, which are returned."""
    provenance = Provenance.of_this_run()
    content = f"{text}\n\n{provenance.as_text()}\n".encode()
    write_atomically(folder / TABLE, lambda file: file.write(content))
    return provenance
