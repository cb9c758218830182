"""A run whose labels are written to a folder window by window, and the layer that shows them from there."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from napari_pcnet.disk.label_levels import LARGEST_LEADING, SUFFIX
from napari_pcnet.disk.labels import write_windows
from napari_pcnet.disk.output import ArrayKind, check_output
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.zarr_store import LabelsOfPart, open_levels
from napari_pcnet.geometry.picture import windows_of
from napari_pcnet.planes import Planes
from napari_pcnet.plugin.frame import Frame
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.layer_transform import transform_of
from napari_pcnet.plugin.metadata import FOLDER, KEY
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.segmentation import origin_of, warn
from napari_pcnet.plugin.source import AS_CHANNELS, Source, shear_matrix
from napari_pcnet.record import RunRecord, notes_of

WITHOUT_UNIT = "pixel"
"""The unit of a layer that names none."""


@dataclass(frozen=True)
class Written:
    """What a run has written: the notes on it, and the seconds it took."""

    notes: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class DiskRun:
    """A run whose labels go to a folder.

    Attributes
    ----------
    source : Source
    planes : Planes
        The planes to segment.
    record : RunRecord
    region : RegionOfInterest
    path : Path
        Of the OME-Zarr that is made, whole or not at all.
    frame : Frame
        Of the layer of labels, as the image lies now: it may move.
    """

    source: Source
    planes: Planes
    record: RunRecord
    region: RegionOfInterest
    path: Path
    frame: Frame

    @classmethod
    def of(
        cls,
        source: Source,
        planes: Planes,
        record: RunRecord,
        region: RegionOfInterest,
        path: Path,
        *,
        image_sized: bool = False,
    ) -> DiskRun:
        """A run on planes of an image; the labels of a region may be as large as the image.

        Raises
        ------
        ValueError, OSError
            If there can be no such folder, or it can't hold these planes.
        """
        if not path.name.lower().endswith(SUFFIX):
            raise ValueError(f"output {path} must end in {SUFFIX}")
        check_output(path, (".zarr",))
        for layer in source.layers:
            its = layer.source.path
            if its is not None and Path(os.path.realpath(its)) in Path(os.path.realpath(path)).parents:
                raise ValueError(f"output {path} lies in '{layer.name}', which it would change; name another")
        frame = Frame.of(source, planes, image_sized=image_sized)
        leading = len(frame.shape) - 2
        if leading > LARGEST_LEADING:
            raise ValueError(
                f"'{source.name}' has {leading} axes besides rows and columns, an OME-Zarr has planes along "
                "time and depth alone: leave 'Write to' empty"
            )
        return cls(source, planes, record, region, path, frame)

    def uses(self, layer: Layer) -> bool:
        """Whether a layer is the image, or a channel of it."""
        return layer in self.source.layers

    @property
    def count(self) -> int:
        """How many superpixels there are in all planes."""
        return self.record.n_segments * len(self.planes.indices)

    def write(self, job: Job) -> Written:
        """Segment the image and write its labels; for the job's thread."""
        from napari_pcnet.run import Streaming, record_by_windows

        started = time.monotonic()
        mask = None if self.region.mask is None else self.region.mask()
        job.check()
        notes = notes_of(self.record, origin_of(self.source, self.record, job.check))
        made = record_by_windows(
            self.source.readable,
            replace(self.record, mask=None),
            Streaming(self.path.parent, job.progress, tell=warn),
            mask=mask,
        )
        write_windows(
            self.path,
            itertools.chain(self._outside(), self._in_layer(made.parts)),
            ArrayKind(self.frame.shape, made.dtype),
            notes=notes | {"layer": transform_of(self.frame.transform)},
            placement=self._placement,
            origin=self._origin,
            check=job.check,
        )
        return Written(notes, time.monotonic() - started)

    def open_layer(self, notes: Mapping[str, Any]) -> Labels:
        """Make a layer of the labels, which are read where they are drawn."""
        levels = open_levels(self.path)
        is_pyramid = len(levels) > 1
        layer = Labels(
            levels if is_pyramid else levels[0],
            multiscale=is_pyramid,
            name=f"{self.source.name.removesuffix(AS_CHANNELS)} superpixels",
            metadata={KEY: notes, FOLDER: str(self.path)},
            **self.frame.transform,
        )
        layer.contour = 1
        layer.editable = False  # nobody's brush writes to the disk
        return layer

    def _outside(self) -> Iterator[LabelsOfPart]:
        """Zeros for all of a layer that is larger than its region: a chunk that is missing is damage."""
        if self.frame.is_larger:
            height, width = self.frame.shape[-2:]
            for plane in np.ndindex(self.frame.shape[:-2]):
                for window in windows_of((height, width)):
                    yield (*plane, *window.slices), np.zeros(window.shape, np.int32)

    def _in_layer(self, parts: Iterator[LabelsOfPart]) -> Iterator[LabelsOfPart]:
        """Parts by their index in the layer, which keeps the axes that a plane has none of."""
        numbering = () if self.planes.one else self.planes.leading
        top, left = self.planes.crop[:2] if self.frame.is_larger else (0, 0)
        for (*plane, rows, columns), labels in parts:
            at = dict(zip(numbering, plane, strict=True))
            place = (
                slice(rows.start + top, rows.stop + top),
                slice(columns.start + left, columns.stop + left),
            )
            yield (*(at.get(axis, 0) for axis in self.source.layer_axes[:-2]), *place), labels

    @property
    def _placement(self) -> Placement:
        units = {str(unit) for unit in self.frame.transform["units"][-2:]} - {WITHOUT_UNIT}
        return Placement(self.source.pixel_size, units.pop() if len(units) == 1 else "")

    @property
    def _origin(self) -> tuple[float, float] | None:
        """Where the first pixel lies, if rows and columns run along the axes of the world."""
        transform = self.frame.transform
        ndim = len(transform["scale"])
        turns = (transform["rotate"], shear_matrix(transform["shear"], ndim))
        is_straight = all(np.array_equal(each, np.eye(ndim)) for each in turns)
        is_straight &= np.array_equal(transform["affine"], np.eye(ndim + 1))
        if not is_straight or (transform["scale"][-2:] < 0).any():
            return None
        top, left = transform["translate"][-2:]
        return float(top), float(left)
