"""Metadata of a layer of superpixels: the record of the run that made it, and its trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.record import VERSION_KEY, Origin, RunRecord, Tell, from_notes

KEY = VERSION_KEY
"""Where a layer's metadata hold the record of its run."""

TREES = f"{KEY} trees"
"""Where they hold the hierarchy that the labels are a cut of; its base is as large as the layer."""

FOLDER = f"{KEY} folder"
"""Where they hold the folder that the labels are read from, if they are not held."""


def is_on_disk(metadata: Mapping[str, Any]) -> bool:
    """Whether the labels of a layer are on the disk alone."""
    return FOLDER in metadata


def trees_of(metadata: Mapping[str, Any]) -> PCNetHierarchy | None:
    """The hierarchy in a layer's metadata; None if there is none."""
    found = metadata.get(TREES)
    return found if isinstance(found, PCNetHierarchy) else None


def recorded_run(
    metadata: Mapping[str, Any], tell: Tell = lambda _sentence: None
) -> tuple[RunRecord, Origin] | None:
    """The record and origin in a layer's metadata; None if there are none.

    `tell` takes a sentence about what was dropped; the reader of our files has said so already.
    """
    return from_notes(metadata.get(KEY), tell)
