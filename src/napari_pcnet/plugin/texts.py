"""Texts that repeat a run: a Python script, a command line.

An image or a region that is in no file must be saved first. The texts begin with comments that say what to
save, which Python and a shell pass over. A comment of a command is quoted: zsh, which takes a typed comment
for a command, then finds one word and runs nothing of it.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from dataclasses import replace
from pathlib import Path

from napari_pcnet.disk.formats import LABELS_MARK
from napari_pcnet.plugin.source import AS_CHANNELS
from napari_pcnet.record import Origin, RunRecord

MASK_IS_LAYER = "layer"
"""The ``mask`` in the record of a run inside a region: the outside is where its own labels are 0."""


def as_python(record: RunRecord, origin: Origin, layer_name: str) -> str:
    """Return a script that makes the labels of a layer again."""
    steps, source, record = _saved_first(record, origin, layer_name)
    comments = "".join(f"# {step}\n" for step in steps)
    return comments + record.python_script(source, planes=origin.has_planes)


def as_command(record: RunRecord, origin: Origin, layer_name: str) -> str:
    """Return a command that makes the labels of a layer again, as a file.

    Raises
    ------
    ValueError
        If the name of a file can't stand in a command.
    """
    steps, source, record = _saved_first(record, origin, layer_name)
    comments = "".join(f"# {shlex.quote(step)}\n" for step in steps)
    output = f"{_file_name(origin.image)}{LABELS_MARK}.tif"
    return comments + record.command_line(source, output) + "\n"


def _saved_first(record: RunRecord, origin: Origin, layer_name: str) -> tuple[list[str], str, RunRecord]:
    """What to save first, a line each; the image's file, and the record with its mask's file."""
    steps, source = [], origin.path
    if source is None:
        source = f"{_file_name(origin.image)}.tif"
        steps.append(_how_to_save(record, origin, source))
        if origin.image.endswith(AS_CHANNELS):
            record = replace(record, channel_axis=-3)  # as they are saved
        record = replace(record, level=0, series=0)  # a saved layer is one picture of one size
    if record.mask == MASK_IS_LAYER:
        mask = f"{_file_name(layer_name)}-region.tif"
        steps.append(f'First save the layer "{_line(layer_name)}" as {mask}: what is 0 there lies outside.')
        record = replace(record, mask=mask)
    return steps, source, record


def _how_to_save(record: RunRecord, origin: Origin, file: str) -> str:
    name = _line(origin.image)
    if name.endswith(AS_CHANNELS):
        level = f"[{record.level}]" if origin.has_levels else ""
        layers = name.removesuffix(AS_CHANNELS).split(" + ")
        return (
            f"First save the layers {', '.join(layers)} as {file}; in the console of napari: "
            f"import numpy, tifffile; tifffile.imwrite({file!r}, numpy.stack("
            f"[viewer.layers[name].data{level} for name in {layers!r}], -3), photometric='minisblack')"
        )
    if not origin.has_levels:
        return f'First save the layer "{name}" as {file} (File, Save Selected Layers).'
    return (
        f'First save level {record.level} of the layer "{name}" as {file}; in the console of napari: '
        f"import numpy, tifffile; "
        f"tifffile.imwrite({file!r}, numpy.asarray(viewer.layers[{name!r}].data[{record.level}]))"
    )


def _line(name: str) -> str:
    """A name on one line: after a line break, the rest of it would run as code."""
    return " ".join("".join(" " if unicodedata.category(each) == "Cc" else each for each in name).split())


def _file_name(name: str) -> str:
    """A layer's name as the stem of a file's, without characters that are special to a shell or a disk."""
    return re.sub(r"[^\w.-]+", "-", Path(name).name).strip("-.") or "image"
