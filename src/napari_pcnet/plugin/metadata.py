"""Metadata of a layer of superpixels: the record of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_pcnet.record import VERSION_KEY, Origin, RunRecord, from_notes

KEY = VERSION_KEY
"""Where a layer's metadata hold the record of its run."""


def recorded_run(metadata: Mapping[str, Any]) -> tuple[RunRecord, Origin] | None:
    """The record and origin in a layer's metadata; None if there are none that this version knows."""
    return from_notes(metadata.get(KEY))
