"""A run as text that repeats it: a Python script, a command line.

What a layer holds that no file does, its image or the outline of its region, must be saved first; the
texts begin with what to save, as comments in Python and in a shell.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from napari_pcnet.record import Origin, RunRecord

MASK_IS_LAYER = "layer"
"""Stands as ``mask`` in the record of a run inside a region: what is 0 in its own labels lies outside."""


def as_python(record: RunRecord, origin: Origin, layer_name: str) -> str:
    """Return a script that makes the labels of a layer again."""
    lines, source, record = _saved_first(record, origin, layer_name)
    return lines + record.python_script(source, planes=origin.has_planes)


def as_command(record: RunRecord, origin: Origin, layer_name: str) -> str:
    """Return a command that makes the labels of a layer again, as a file."""
    lines, source, record = _saved_first(record, origin, layer_name)
    output = f"{_file_name(origin.image)}-superpixels.tif"
    return lines + record.command_line(source, output) + "\n"


def _saved_first(record: RunRecord, origin: Origin, layer_name: str) -> tuple[str, str, RunRecord]:
    """Comments that say what to save, the file of the image, and the record with the file of its mask."""
    comments, source = [], origin.path
    if source is None:
        source = f"{_file_name(origin.image)}.tif"
        comments.append(_how_to_save(record, origin, source))
        record = replace(record, level=0)
    if record.mask == MASK_IS_LAYER:
        mask = f"{_file_name(layer_name)}-region.tif"
        comments.append(
            f"# First save the layer '{_line(layer_name)}' as {mask}: what is 0 there lies outside."
        )
        record = replace(record, mask=mask)
    return "".join(f"{each}\n" for each in comments), source, record


def _how_to_save(record: RunRecord, origin: Origin, file: str) -> str:
    name = _line(origin.image)
    if not origin.has_levels:
        return f"# First save the layer '{name}' as {file} (File, Save Selected Layers)."
    return (
        f"# First save level {record.level} of the layer '{name}' as {file}; in napari's console: "
        f"import numpy, tifffile; "
        f"tifffile.imwrite({file!r}, numpy.asarray(viewer.layers[{name!r}].data[{record.level}]))"
    )


def _line(name: str) -> str:
    """A name on one line: what follows a comment's end would be run."""
    return " ".join(name.split())


def _file_name(name: str) -> str:
    """A layer's name as the beginning of a file's, without what a shell or a disk minds."""
    return re.sub(r"[^\w.-]+", "-", Path(name).name).strip("-.") or "image"
