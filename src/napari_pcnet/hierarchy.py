"""Superpixels at every count: the base of one plane or many, and the tree of each.

A region of the base has a number, from 0 on in raster order of its first pixel and over the planes; -1
stands outside the mask. A cut gives each region a label, by one table for all planes. Everything here is in
the image frame and does without torch.
"""

from __future__ import annotations

import io
import math
import os
import tokenize
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.disk.damage import READER_ERRORS
from napari_pcnet.disk.files import check_file, write_atomically
from napari_pcnet.disk.memory import check_fits
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture
from napari_pcnet.merging import connectivity, outlines
from napari_pcnet.merging.connectivity import OUTSIDE
from napari_pcnet.merging.regions import RegionTable, look_up
from napari_pcnet.merging.tree import Tree
from napari_pcnet.options import Options, pixel_sides, whole_number
from napari_pcnet.shapes import Labels, label_type, size_text
from napari_pcnet.stages import stage

ROWS_AT_ONCE = 1 << 14
"""Regions whose means and colours are worked out at once."""

Columns = dict[str, NDArray[np.integer | np.floating]]
"""A table by the names of its columns, one row for each label."""

_UNREADABLE = (*READER_ERRORS, zipfile.BadZipFile, tokenize.TokenError)
"""What numpy may answer to a file that is damaged, or none of ours."""


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Measures:
    """What was measured of the regions of a plane.

    Attributes
    ----------
    area : (n,) int64 array
        Pixels.
    intensity_mean : (n, C) float64 array
        Mean of each channel, in the image's own values.
    confidence : (n,) float64 array, or (0,) if it was not asked for
        Mean over pixels of the network's confidence in their cell: 1 less the entropy of the
        association over ``log 9``.
    """

    area: NDArray[np.int64]
    intensity_mean: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, table: RegionTable, confidence: NDArray[np.int64] | None, picture: Picture) -> Measures:
        """Take what a table of regions holds, in the units of the picture."""
        span, mean = picture.high - picture.low, np.empty(table.colour.shape)
        for start in range(0, len(mean), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            shares = table.colour[rows] / (table.area[rows, None] * COLOUR_STEPS)
            mean[rows] = picture.low + span * shares
        certain = np.empty(0) if confidence is None else confidence / (table.area * COLOUR_STEPS)
        return cls(table.area, mean, certain)

    @property
    def count(self) -> int:
        """How many regions were measured; -1 if the columns are of different lengths."""
        lengths = {len(self.area), len(self.intensity_mean), len(self.confidence) or len(self.area)}
        return lengths.pop() if len(lengths) == 1 else -1

    def are_sound(self) -> bool:
        """Whether every number is finite."""
        return bool(np.isfinite(self.intensity_mean).all() and np.isfinite(self.confidence).all())

    def merged(self, parts: NDArray[np.integer]) -> Measures:
        """Measures of the parts that regions belong to, numbered from 0."""
        number = int(parts.max()) + 1
        area = np.bincount(parts, self.area, number)

        def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(parts, values * self.area, number) / area

        means = np.stack([mean(channel) for channel in self.intensity_mean.T], axis=1)
        confidence = mean(self.confidence) if len(self.confidence) else self.confidence
        return Measures(area.astype(np.int64), means, confidence)

    def as_columns(self) -> Columns:
        """Columns of a table, named as scikit-image's ``regionprops_table`` names them."""
        columns: dict[str, NDArray[Any]] = {"area": self.area}
        columns |= {f"intensity_mean-{k}": each for k, each in enumerate(self.intensity_mean.T)}
        return columns | ({"confidence": self.confidence} if len(self.confidence) else {})


class Cut(NamedTuple):
    """Labels of one cut, and what was measured of them."""

    labels: Labels
    features: Columns


@dataclass(frozen=True, eq=False, repr=False)
class PCNetHierarchy:
    """Superpixels of one plane or many at every count, nested.

    Made by `pcnet_hierarchy` of a plane, by `build_hierarchy` of a stack. Every label of a coarse cut is a
    union of labels of any finer one, unless outlines are smoothed.

    Attributes
    ----------
    base : (..., H, W) int32 array
        Region of each pixel at the finest level, from 0, those of a plane after those of the plane before;
        -1 outside the mask.
    trees : tuple of Tree
        The merges in each plane.
    measures : tuple of Measures
        Area, mean intensities and, if asked for, confidence of the regions of each plane.
    start_label : {0, 1}
        Number of the first label.
    smoothing : float
        Pixels over which the outlines of each cut are smoothed.
    spacing : tuple of float, or None
        Size of a pixel along rows and columns, for `smoothing`.
    timings : dict
        Seconds spent in each of `stages.STAGES`; empty after `load`.
    """

    base: NDArray[np.int32]
    trees: tuple[Tree, ...]
    measures: tuple[Measures, ...]
    start_label: int = 1
    smoothing: float = 0.0
    spacing: tuple[float, float] | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        size = size_text(self.base.shape)
        return f"PCNetHierarchy({size}, {self.n_min} to {self.n_base} segments, smoothing {self.smoothing:g})"

    @property
    def n_base(self) -> int:
        """The largest count that every plane can give."""
        return min(tree.leaves for tree in self.trees)

    @property
    def n_min(self) -> int:
        """The smallest count that every plane can give: the connected parts of the picture or its mask."""
        return max(tree.roots for tree in self.trees)

    @property
    def heights(self) -> NDArray[np.float64]:
        """Costs of the merges, not falling: candidates for ``labels(height=...)``.

        In pixels times squared differences of colour: of CIELAB, where 1 is just visible, for grey and RGB.
        Two regions of 100 pixels that differ by 10 cost ``100 * 100 / 200 * 10**2`` and what shape and
        boundary add (`merging.cost`); in a picture of twice the sides, the same objects cost four times as
        much.
        """
        return np.sort(np.concatenate([tree.height for tree in self.trees]))

    def labels(self, n: int | None = None, *, height: float | None = None, nearest: bool = False) -> Labels:
        """Cut the tree.

        Parameters
        ----------
        n : int
            How many labels, in each plane.
        height : float
            Or: do every merge of at most this cost, in the unit of `heights`.
        nearest : bool, optional
            Whether a plane that can't give `n` gives the count nearest to it.

        Returns
        -------
        (..., H, W) array of int32 (int64 if labels don't fit)
            Exactly `n` labels a plane from `start_label`, numbered in raster order of their first pixel;
            each one 4-connected. ``start_label - 1`` outside the mask.

        Raises
        ------
        ValueError
            If a tree can't give that many or that few.
        TypeError
            If not exactly one of `n` and `height` is given.
        """
        parts = self._parts(self.counts(n, height=height, nearest=nearest))
        labels = self.look_up(self._table(parts))
        self._smooth(labels, parts)
        return labels

    def features(
        self, n: int | None = None, *, height: float | None = None, nearest: bool = False
    ) -> Columns:
        """Measure the superpixels of a cut, without reading the image again.

        Parameters
        ----------
        n, height, nearest
            As in `labels`.

        Returns
        -------
        dict of (n,) array
            ``label``, ``area`` in pixels, ``intensity_mean-0`` and so on in the image's own values, and
            ``confidence`` from 0 to 1 where the hierarchy was asked for it: one row for each label, in
            their order. A table for ``pandas.DataFrame`` or a napari layer. Where outlines are smoothed,
            areas are those of the labels, means and confidence those of the superpixels before.
        """
        if self.smoothing:
            return self.cut(n, height=height, nearest=nearest).features
        return self._features(self._parts(self.counts(n, height=height, nearest=nearest)))

    def cut(
        self,
        n: int | None = None,
        *,
        height: float | None = None,
        nearest: bool = False,
        out: NDArray[np.int32] | None = None,
    ) -> Cut:
        """Return `labels` and `features` at once.

        `out`, of the shape of `base` and C-contiguous, takes the labels.
        """
        parts = self._parts(self.counts(n, height=height, nearest=nearest))
        labels = self.look_up(self._table(parts), out)
        features, renumbered = self._features(parts), self._smooth(labels, parts)
        if renumbered is not None:
            features = {name: values[renumbered] for name, values in features.items()}
            features["label"] = np.arange(len(renumbered)) + self.start_label
            inside = labels[labels >= self.start_label] - self.start_label
            features["area"] = np.bincount(inside, minlength=len(renumbered))
        return Cut(labels, features)

    def counts(
        self, n: int | None = None, *, height: float | None = None, nearest: bool = False
    ) -> tuple[int, ...]:
        """How many labels each plane has in a cut; arguments and errors as in `labels`."""
        if (n is None) == (height is None):
            raise TypeError("a cut takes either a count or height=..., one of the two")
        if n is None:
            if height is None or math.isnan(height):
                raise ValueError("height must be a number, got nan")
            return tuple(tree.count_at(float(height)) for tree in self.trees)
        number = whole_number(n, "n")
        if not nearest:
            self.check_count(number, "n")
        return tuple(min(max(number, tree.roots), tree.leaves) for tree in self.trees)

    def check_count(self, number: int, name: str) -> None:
        """Refuse a count that a plane can't give; `name` is the caller's argument."""
        if number > self.n_base:
            raise ValueError(f"{name} must be at most {self.n_base}, the regions of this base, got {number}")
        if number < self.n_min:
            raise ValueError(
                f"{name} must be at least {self.n_min}, the number of connected parts of the mask, "
                f"got {number}"
            )

    def table(self, n: int | None = None, *, height: float | None = None, nearest: bool = False) -> Labels:
        """Label of each region in a cut without smoothing, ``(regions + 1,)``.

        The last entry is what lies outside the mask, so that ``table[base]`` are the labels.
        """
        return self._table(self._parts(self.counts(n, height=height, nearest=nearest)))

    @stage("look-up")
    def look_up(self, table: Labels, out: NDArray[np.int32] | None = None) -> Labels:
        """Labels by a table as `table` gives it; `out` as in `cut`."""
        labels = np.empty(self.base.shape, table.dtype) if out is None else self._checked_out(out)
        width = self.base.shape[-1]
        look_up(table, self.base.reshape(-1, width), out=labels.reshape(-1, width))
        return labels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the hierarchy to one file (NumPy's ``.npz``), whole or not at all.

        A file of that name is replaced, as `numpy.savez` does.
        """
        arrays = {
            "base": self.base,
            "regions": np.array([tree.leaves for tree in self.trees], np.int64),
            "merges": np.array([len(tree.children) for tree in self.trees], np.int64),
            "children": np.concatenate([tree.children for tree in self.trees]),
            "height": np.concatenate([tree.height for tree in self.trees]),
            "area": np.concatenate([each.area for each in self.measures]),
            "intensity_mean": np.concatenate([each.intensity_mean for each in self.measures]),
            "confidence": np.concatenate([each.confidence for each in self.measures]),
            "start_label": np.asarray(self.start_label, np.int64),
            "smoothing": np.asarray(self.smoothing, np.float64),
            "spacing": np.asarray(() if self.spacing is None else self.spacing, np.float64),
        }
        write_atomically(Path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PCNetHierarchy:
        """Read a hierarchy that `save` wrote; a file that holds anything else is a ValueError."""
        check_file(Path(path), "hierarchy")
        content = Path(path).read_bytes()
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as members:
                check_fits(sum(each.file_size for each in members.infolist()), "close other programs")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                loaded = cls._from_arrays({name: file[name] for name in file.files})
        except _UNREADABLE:
            loaded = None
        if loaded is None or not loaded._is_sound():
            raise ValueError(f"{path} is not a hierarchy that PCNetHierarchy.save wrote, or is damaged")
        return loaded

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> PCNetHierarchy:
        for name, (dtype, ndim) in _SAVED.items():
            if arrays[name].dtype != dtype or ndim not in (None, arrays[name].ndim):
                raise ValueError(f"{name} is {arrays[name].dtype} of {arrays[name].ndim} axes")
        regions, merges, confidence = arrays["regions"], arrays["merges"], arrays["confidence"]
        shares = _rows_of_planes(confidence, regions) if len(confidence) else [confidence] * len(regions)
        area, mean = (_rows_of_planes(arrays[name], regions) for name in ("area", "intensity_mean"))
        children, height = (_rows_of_planes(arrays[name], merges) for name in ("children", "height"))
        trees = zip(regions.tolist(), children, height, strict=True)
        options = Options(
            smoothing=arrays["smoothing"].item(),
            start_label=arrays["start_label"].item(),
            spacing=tuple(arrays["spacing"].tolist()) or None,
        )
        return cls(
            arrays["base"],
            tuple(Tree(*each) for each in trees),
            tuple(Measures(*each) for each in zip(area, mean, shares, strict=True)),
            options.start_label,
            options.smoothing,
            options.spacing,
        )

    def _is_sound(self) -> bool:
        """Whether every plane holds the regions of its tree, each one measured."""
        if self.base.ndim < 2 or not self.base.size or not self.trees:
            return False
        planes = self.base.reshape(-1, *self.base.shape[-2:])
        if len(planes) != len(self.trees):
            return False
        start = 0
        for plane, tree, measures in zip(planes, self.trees, self.measures, strict=True):
            if not _is_numbered(plane, start, measures.area):
                return False
            if not tree.is_sound() or not measures.are_sound() or measures.count != tree.leaves:
                return False
            start += tree.leaves
        return True

    def _checked_out(self, out: NDArray[np.int32]) -> NDArray[np.int32]:
        if out.shape != self.base.shape or out.dtype != np.int32 or not out.flags.c_contiguous:
            order = "" if out.flags.c_contiguous else ", not C-contiguous"
            raise ValueError(
                f"out must be a C-contiguous int32 array of shape {self.base.shape}, "
                f"got {out.dtype} of shape {out.shape}{order}"
            )
        return out

    @stage("look-up")
    def _parts(self, counts: tuple[int, ...]) -> list[NDArray[np.int64]]:
        """The part of each region of each plane in a cut, from 0 in each plane."""
        return [tree.cut(count) for tree, count in zip(self.trees, counts, strict=True)]

    @stage("look-up")
    def _table(self, parts: list[NDArray[np.int64]]) -> Labels:
        start, labels = self.start_label, list[NDArray[np.int64]]()
        for each in parts:
            labels.append(each + start)
            start += int(each.max()) + 1
        return np.append(np.concatenate(labels), self.start_label - 1).astype(label_type(start - 1))

    def _features(self, parts: list[NDArray[np.int64]]) -> Columns:
        merged = [
            measures.merged(each).as_columns() for measures, each in zip(self.measures, parts, strict=True)
        ]
        columns = {name: np.concatenate([each[name] for each in merged]) for name in merged[0]}
        return {"label": np.arange(len(columns["area"])) + self.start_label, **columns}

    def _smooth(self, labels: Labels, parts: list[NDArray[np.int64]]) -> NDArray[np.int64] | None:
        """Smooth the outlines of labels in place, plane by plane; where each label was before, from 0."""
        if not self.smoothing:
            return None
        first, moved = self.start_label, list[NDArray[np.int64]]()
        for plane, each in zip(labels.reshape(-1, *labels.shape[-2:]), parts, strict=True):
            before = smooth_plane(plane, self.smoothing, self.spacing, first)
            moved.append(before + (first - self.start_label))
            first += int(each.max()) + 1
        return np.concatenate(moved)


_SAVED: dict[str, tuple[type[np.generic], int | None]] = {
    "base": (np.int32, None),
    "regions": (np.int64, 1),
    "merges": (np.int64, 1),
    "children": (np.int64, 2),
    "height": (np.float64, 1),
    "area": (np.int64, 1),
    "intensity_mean": (np.float64, 2),
    "confidence": (np.float64, 1),
    "start_label": (np.int64, 0),
    "smoothing": (np.float64, 0),
    "spacing": (np.float64, 1),
}
"""Type and number of axes of each array in a file; None for any number."""


def _rows_of_planes(table: NDArray[Any], sizes: NDArray[np.int64]) -> list[NDArray[Any]]:
    """The rows of each plane in a table of all."""
    if (sizes < 0).any() or len(table) != sum(sizes.tolist()):
        raise ValueError(f"{len(table)} rows are not those of the planes")
    return np.split(table, np.cumsum(sizes)[:-1])


def _is_numbered(plane: NDArray[np.int32], start: int, area: NDArray[np.int64]) -> bool:
    """Whether the regions of a plane are numbered from `start` in raster order, and have these areas."""
    inside = plane[plane != OUTSIDE].astype(np.int64) - start
    if not inside.size or inside.min() < 0 or inside.max() != len(area) - 1:
        return False
    highest = np.maximum.accumulate(inside)  # a new number is the next one
    in_order = inside[0] == 0 and bool((np.diff(highest) <= 1).all())
    return in_order and np.array_equal(np.bincount(inside, minlength=len(area)), area)


@stage("smoothing")
def smooth_plane(
    labels: Labels, width: float, spacing: tuple[float, float] | None, first: int
) -> NDArray[np.int64]:
    """Smooth the outlines of the labels from `first` on, in place, and number them by their first pixels.

    Returns
    -------
    (n,) int64 array
        Which label each was before, counted from 0.
    """
    regions = np.maximum(labels - (first - 1), 0).astype(np.int32, copy=False)
    moved = outlines.smoothed(regions, width, pixel_sides(spacing))
    pieces = connectivity.number_pieces(moved.view(np.uint32))
    inside = regions > 0
    before = np.empty(int(pieces.max()) + 1, np.int64)
    before[pieces[inside]] = moved[inside] - 1
    np.copyto(labels, pieces.astype(labels.dtype, copy=False) + first, where=inside)
    return before
