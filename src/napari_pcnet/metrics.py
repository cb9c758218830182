"""Scores of superpixels, against an annotation or against the image itself.

Everything is in the image frame. `S` are the superpixels, `G` the segments of an annotation and `N`
the pixels of both. Counts are whole numbers of pixels, exact; every score is one division of such
counts, without unit. The definitions are those of Stutz, Hermans and Leibe [1]_:

- a *boundary pixel* is that of `napari_pcnet.boundaries`;
- the *tolerance* is a square window, `|dy| <= r` and `|dx| <= r`, with `r` a 400th of the diagonal;
- one *contingency table* of the overlaps `|S n G|` serves every score of regions.

References
----------
.. [1] D. Stutz, A. Hermans and B. Leibe, "Superpixels: an evaluation of the state-of-the-art",
   Computer Vision and Image Understanding 166 (2018) 1-27.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_pcnet.boundaries import boundary_pixels

__all__ = [
    "Scores",
    "achievable_segmentation_accuracy",
    "boundary_precision",
    "boundary_recall",
    "combine_annotations",
    "compactness",
    "contour_density",
    "default_tolerance_px",
    "explained_variation",
    "score",
    "score_annotations",
    "seam_rate",
    "undersegmentation_error",
    "undersegmentation_error_levin",
]

TOLERANCE_OF_DIAGONAL = 0.0025
"""Tolerance of boundary recall and precision, as a share of the image diagonal (Stutz 2018)."""


@dataclass(frozen=True)
class Scores:
    """All scores of one labelling against one annotation.

    `short` in a field's metadata is the heading under which tables print it, `means` what that stands for;
    `best` chooses the best of several values, and is there where the score depends on the annotation.
    """

    superpixels: int = field(metadata={"short": "K", "means": "number of superpixels"})
    achievable_segmentation_accuracy: float = field(
        metadata={"short": "ASA", "best": max, "means": "achievable segmentation accuracy (higher is better)"}
    )
    boundary_recall: float = field(
        metadata={"short": "BR", "best": max, "means": "boundary recall (higher is better)"}
    )
    boundary_precision: float = field(
        metadata={"short": "BP", "best": max, "means": "boundary precision (higher is better)"}
    )
    undersegmentation_error: float = field(
        metadata={
            "short": "UE",
            "best": min,
            "means": "undersegmentation error, Neubert-Protzel (lower is better)",
        }
    )
    undersegmentation_error_levin: float = field(
        metadata={
            "short": "UE_Levin",
            "best": min,
            "means": "undersegmentation error, Levinshtein (lower is better)",
        }
    )
    explained_variation: float | None = field(
        metadata={"short": "EV", "means": "explained variation (higher is better)"}
    )
    compactness: float = field(
        metadata={"short": "CO", "means": "compactness (higher is rounder, a square has 0.785)"}
    )
    contour_density: float = field(metadata={"short": "CD", "means": "contour density (lower is sparser)"})
    tolerance_px: int = field(
        metadata={"short": "tolerance_px", "means": "reach of boundary recall and precision in pixels"}
    )


SCORES = {str(each.metadata["short"]): each.name for each in fields(Scores)}
"""Heading of each score in tables, and its field in `Scores`."""

MEANINGS = {str(each.metadata["short"]): str(each.metadata["means"]) for each in fields(Scores)}
"""What each heading stands for, and which way is better."""


# ---------------------------------------------------------------------------------------- scores


def score(
    labels: ArrayLike,
    truth: ArrayLike,
    image: ArrayLike | None = None,
    tolerance_px: int | None = None,
) -> Scores:
    """Score superpixels against one annotation.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels. Names may be any whole numbers; a label counts once however many pieces
        it has.
    truth : (H, W) integer array
        The annotation: the segment of every pixel.
    image : (H, W[, C]) array, optional
        The picture, for explained variation, which is None without it.
    tolerance_px : int, optional
        Reach of boundary recall and precision, in pixels to each side. Default:
        `default_tolerance_px`.

    Returns
    -------
    Scores
        All scores of this module.

    Raises
    ------
    TypeError
        If labels or annotation do not hold whole numbers.
    ValueError
        If shapes differ, an array is empty or no plane, or the tolerance is negative.

    Examples
    --------
    >>> truth = [[1, 1, 2, 2], [1, 1, 2, 2]]
    >>> perfect = score(truth, truth)
    >>> perfect.boundary_recall, perfect.undersegmentation_error
    (1.0, 0.0)
    """
    return score_annotations(labels, [truth], image, tolerance_px)[0]


def score_annotations(
    labels: ArrayLike,
    truths: Sequence[ArrayLike],
    image: ArrayLike | None = None,
    tolerance_px: int | None = None,
    inside: ArrayLike | None = None,
) -> tuple[Scores, ...]:
    """Score superpixels against several annotations; what belongs to them alone is computed once.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels.
    truths : sequence of (H, W) integer arrays
        The annotations.
    image : (H, W[, C]) array, optional
        The picture, for explained variation, which is None without it.
    tolerance_px : int, optional
        Reach of boundary recall and precision, in pixels to each side.
    inside : (H, W) array of bool, optional
        The pixels that are scored: what lies outside a mask is neither a superpixel nor a segment.

    Returns
    -------
    tuple of Scores
        One for each annotation, in their order.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    plane = _plane(labels, "labels")
    shape = plane.shape
    region = None if inside is None else _region(inside, shape)
    superpixels = _Partition.of(plane, region)
    segments = [_Partition.of(_same_plane(truth, shape), region) for truth in truths]
    reach = _reach(shape, tolerance_px)
    near_superpixels = _within(superpixels.boundary, reach)
    variation = None if image is None else _explained_variation(superpixels, image)
    compact = _compactness(superpixels)
    density = _contour_density(superpixels)

    scores = []
    for segment in segments:
        table = _Contingency.of(superpixels, segment)
        match = _BoundaryMatch.of(superpixels, segment, near_superpixels, reach)
        scores.append(
            Scores(
                superpixels=superpixels.count,
                achievable_segmentation_accuracy=_accuracy(table),
                boundary_recall=match.recall,
                boundary_precision=match.precision,
                undersegmentation_error=_undersegmentation(table),
                undersegmentation_error_levin=_undersegmentation_levin(table),
                explained_variation=variation,
                compactness=compact,
                contour_density=density,
                tolerance_px=reach,
            )
        )
    return tuple(scores)


def combine_annotations(scores: Sequence[Scores], how: Literal["mean", "worst", "best"] = "mean") -> Scores:
    """Make one of the scores that one labelling has against several annotations.

    Each score is combined on its own, so that the worst recall and the worst error may be those of
    different annotations, as in Stutz [1]_, whose averages over images are of the worst; most
    learned methods report the mean over all (image, annotation) pairs.

    Parameters
    ----------
    scores : sequence of Scores
        As `score_annotations` returns them; at least one.
    how : {'mean', 'worst', 'best'}
        What to take of each score that depends on the annotation.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If there are no scores, or `how` is another word.
    """
    combine: dict[str, Callable[[Any, list[float]], float]] = {
        "mean": lambda _, values: float(np.mean(values)),
        "worst": lambda best, values: min(values) if best is max else max(values),
        "best": lambda best, values: float(best(values)),
    }
    if how not in combine:
        raise ValueError(f"how must be 'mean', 'worst' or 'best', got {how!r}")
    if not scores:
        raise ValueError("scores must be those of at least one annotation, got none")
    combined: dict[str, Any] = {
        each.name: combine[how](each.metadata["best"], [getattr(one, each.name) for one in scores])
        for each in fields(Scores)
        if "best" in each.metadata
    }
    return replace(scores[0], **combined)


# ------------------------------------------------------------------------------- one by one


def default_tolerance_px(shape: tuple[int, ...]) -> int:
    """Return the tolerance for an image of this shape: 0.0025 of its diagonal, in whole pixels.

    Parameters
    ----------
    shape : (H, W) tuple of int
        Shape of the image, in pixels.

    Returns
    -------
    int
        The reach to each side, in pixels, rounded half away from zero.

    Examples
    --------
    >>> default_tolerance_px((321, 481)), default_tolerance_px((3000, 4000))
    (1, 13)
    """
    return math.floor(TOLERANCE_OF_DIAGONAL * math.hypot(shape[0], shape[1]) + 0.5)


def boundary_recall(labels: ArrayLike, truth: ArrayLike, tolerance_px: int | None = None) -> float:
    """Return the share of the annotation's boundary that lies near a superpixel boundary.

    BR = TP / (TP + FN), over the boundary pixels of the annotation; 0 if it has none.

    Parameters
    ----------
    labels, truth : (H, W) integer arrays
        The superpixels and the annotation.
    tolerance_px : int, optional
        Reach in pixels to each side. Default: `default_tolerance_px`.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    return _match(labels, truth, tolerance_px).recall


def boundary_precision(labels: ArrayLike, truth: ArrayLike, tolerance_px: int | None = None) -> float:
    """Return how much of the boundary found is true: BP = TP / (TP + FP); 0 if there is none.

    TP are the annotation's boundary pixels found, as in `boundary_recall`; FP are superpixel
    boundary pixels without a boundary pixel of the annotation in reach.

    Parameters
    ----------
    labels, truth : (H, W) integer arrays
        The superpixels and the annotation.
    tolerance_px : int, optional
        Reach in pixels to each side. Default: `default_tolerance_px`.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    return _match(labels, truth, tolerance_px).precision


def achievable_segmentation_accuracy(labels: ArrayLike, truth: ArrayLike) -> float:
    """Return the best accuracy that naming whole superpixels can reach.

    ASA = sum_S max_G |S n G| / N. Of two labellings of one image, 1 - ASA is the share of pixels that moved,
    whatever the numbers of the labels.

    Parameters
    ----------
    labels, truth : (H, W) integer arrays
        The superpixels and the annotation.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `score`.

    Examples
    --------
    >>> 1 - achievable_segmentation_accuracy([[5, 5, 5, 4]], [[1, 1, 2, 2]])
    0.25
    """
    return _accuracy(_table(labels, truth))


def undersegmentation_error(labels: ArrayLike, truth: ArrayLike) -> float:
    """Return the undersegmentation error of Neubert and Protzel.

    UE = sum over overlapping pairs of min(|S n G|, |S without G|) / N.

    Parameters
    ----------
    labels, truth : (H, W) integer arrays
        The superpixels and the annotation.

    Returns
    -------
    float
        At least 0; lower is better.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    return _undersegmentation(_table(labels, truth))


def undersegmentation_error_levin(labels: ArrayLike, truth: ArrayLike) -> float:
    """Return the undersegmentation error of Levinshtein, which has no upper bound.

    The mean over G of (sum of |S| over the S that touch G - |G|) / |G|.

    Parameters
    ----------
    labels, truth : (H, W) integer arrays
        The superpixels and the annotation.

    Returns
    -------
    float
        At least 0; lower is better.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    return _undersegmentation_levin(_table(labels, truth))


def explained_variation(labels: ArrayLike, image: ArrayLike) -> float:
    """Return the share of the picture's variance that the superpixels' means keep.

    EV = sum_px |mean_S(px) - mean|^2 / sum_px |I - mean|^2 over all channels; 1 for a picture of
    one colour, in which nothing is left to explain.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels.
    image : (H, W[, C]) array
        The picture.

    Returns
    -------
    float
        Between 0 and 1; higher is better.

    Raises
    ------
    TypeError, ValueError
        As `score`; also if the image has another shape or holds NaN or infinity.
    """
    return _explained_variation(_Partition.of(_plane(labels, "labels")), image)


def compactness(labels: ArrayLike) -> float:
    """Return how round the superpixels are: CO = sum_S |S| / N * 4 pi |S| / P^2.

    P counts a superpixel's pixel edges to another label and to the image frame.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels.

    Returns
    -------
    float
        Between 0 and pi / 4, which a square has.

    Raises
    ------
    TypeError, ValueError
        As `score`.

    Examples
    --------
    >>> round(compactness([[0, 0], [0, 0]]), 3)
    0.785
    """
    return _compactness(_Partition.of(_plane(labels, "labels")))


def contour_density(labels: ArrayLike) -> float:
    """Return the share of pixels that are superpixel boundary.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels.

    Returns
    -------
    float
        Between 0 and 1; lower is sparser.

    Raises
    ------
    TypeError, ValueError
        As `score`.
    """
    return _contour_density(_Partition.of(_plane(labels, "labels")))


Lines: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""Rows and columns of an image before which lines lie."""


def seam_rate(labels: ArrayLike, lines: Lines, elsewhere: Lines | None = None) -> float:
    """Return how much more often neighbours differ across some lines than across others.

    For an image that was cut into windows, 1 means that the lines between them look like any
    others. Superpixels that begin on a lattice have more borders on its lines than between them;
    then the lattice's other lines are what the windows' are to be held against.

    Parameters
    ----------
    labels : (H, W) integer array
        The superpixels.
    lines : (rows, columns), sequences of int
        Each line lies before the row (or column) of this index, 1 to H - 1 (W - 1).
    elsewhere : (rows, columns), sequences of int, optional
        The lines to compare with; all that are not among `lines` if not given.

    Returns
    -------
    float
        Share of differing pairs of 4-neighbours across the lines over their share elsewhere;
        infinite if nothing differs elsewhere, NaN if nothing differs at all.

    Raises
    ------
    TypeError, ValueError
        As `score`; also if there is no line, no line elsewhere, or one outside the image.

    Examples
    --------
    >>> seam_rate([[1, 1, 2, 2], [1, 1, 2, 3]], ([], [2]))
    4.0
    """
    plane = _plane(labels, "labels")
    if elsewhere is None:
        rows, columns = (
            sorted(set(range(1, side)) - set(along)) for side, along in zip(plane.shape, lines, strict=True)
        )
        elsewhere = rows, columns
    on, off = _share_differing(plane, lines), _share_differing(plane, elsewhere)
    if math.isnan(on) or math.isnan(off):
        raise ValueError("lines must name at least one line, and leave one to compare with")
    if off == 0:
        return math.inf if on else math.nan
    return on / off


def _share_differing(plane: NDArray[np.integer], lines: Lines) -> float:
    """Return the share of pairs of neighbours across lines that differ; NaN without lines."""
    differing = pairs = 0
    for along, at in ((plane, lines[0]), (plane.T, lines[1])):
        outside = [line for line in at if not 0 < line < len(along)]
        if outside:
            raise ValueError(f"lines must lie inside an image of shape {plane.shape}, got {outside[0]}")
        before = np.asarray(at, np.intp) - 1
        differ = along[before + 1] != along[before]
        differing, pairs = differing + _pixels(differ), pairs + differ.size
    return differing / pairs if pairs else math.nan


# ------------------------------------------------------------------------ checks of arguments


def _plane(labels: ArrayLike, name: str) -> NDArray[np.integer]:
    plane = np.asarray(labels)
    if plane.ndim != 2:
        raise ValueError(
            f"{name} must be a plane of shape (H, W), got shape {plane.shape}; "
            "score the planes of a stack one by one"
        )
    if plane.size == 0:
        raise ValueError(f"{name} must have at least one pixel, got shape {plane.shape}")
    if plane.dtype.kind not in "biu":
        raise TypeError(
            f"{name} must hold whole numbers, got {plane.dtype}; "
            f"if they are names of regions, pass {name}.astype(int)"
        )
    return plane


def _same_plane(truth: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.integer]:
    plane = _plane(truth, "truth")
    if plane.shape != shape:
        raise ValueError(
            f"labels and truth must have one shape, got {shape} and {plane.shape}; "
            "enlarge the smaller one by nearest neighbour"
        )
    return plane


def _region(inside: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    region = np.asarray(inside)
    if region.shape != shape or region.dtype != bool or not region.any():
        raise ValueError(
            f"inside must be true for some of the labels' {shape} pixels, "
            f"got {region.dtype} of shape {region.shape}, {np.count_nonzero(region)} of them not 0"
        )
    return region


def _reach(shape: tuple[int, ...], tolerance_px: int | None) -> int:
    if tolerance_px is None:
        return default_tolerance_px(shape)
    refusal = f"tolerance_px must be a whole number of at least 0, got {tolerance_px!r}"
    try:
        reach = operator.index(tolerance_px)
    except TypeError:
        raise TypeError(refusal) from None
    if reach < 0:
        raise ValueError(refusal)
    return reach


def _channels(image: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.generic]:
    picture = np.asarray(image)
    if picture.ndim not in (2, 3) or picture.shape[:2] != shape:
        raise ValueError(
            f"image must be (H, W) or (H, W, C) over labels of shape {shape}, got shape {picture.shape}"
        )
    if picture.dtype.kind == "f" and not np.isfinite(picture).all():
        raise ValueError("image must be finite, got NaN or infinity; replace them first")
    return np.atleast_3d(picture)


# -------------------------------------------------------------------------------- partitions


@dataclass(frozen=True)
class _Partition:
    """A labelling with its labels renamed 0 .. count - 1."""

    ids: NDArray[np.intp]  # (H, W), -1 outside
    area_px: NDArray[np.intp]  # (count,)
    boundary: NDArray[np.bool_]  # (H, W)
    inside: NDArray[np.bool_] | None  # (H, W); None for all pixels

    @classmethod
    def of(cls, labels: NDArray[np.integer], inside: NDArray[np.bool_] | None = None) -> _Partition:
        if inside is None:
            ids, area_px = _renamed(labels)
        else:
            ids = np.full(labels.shape, -1, np.intp)
            ids[inside], area_px = _renamed(labels[inside])
        return cls(ids, area_px, boundary_pixels(ids, inside), inside)

    def of_pixels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the pixels inside, ``(n,)``."""
        return values.ravel() if self.inside is None else values[self.inside]

    @property
    def pixels(self) -> int:
        """How many pixels are inside."""
        return int(self.area_px.sum())

    @property
    def count(self) -> int:
        return self.area_px.size


def _renamed(labels: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the labels renamed in their order, 0 .. count - 1, and the pixels of each."""
    span = int(labels.max()) - int(labels.min()) + 1
    if span > 4 * labels.size + 1024:  # a table of all names between would be mostly empty
        _, ids, area_px = np.unique(labels, return_inverse=True, return_counts=True)
        return ids.reshape(labels.shape), area_px
    # uint64 does not fit into int64, and the differences of int8 do not fit into int8.
    wide = labels if labels.dtype.kind == "u" else labels.astype(np.int64)
    shifted = (wide - wide.min()).astype(np.intp)
    occurrences = np.bincount(shifted.ravel())
    present = occurrences > 0
    return (np.cumsum(present) - 1)[shifted], occurrences[present]


def _within(marked: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Mark every pixel that has a marked one in the square window of this reach."""
    down = _spread(_spread(marked, reach)[::-1], reach)[::-1]
    return _spread(_spread(down.T, reach)[::-1], reach)[::-1].T


def _spread(marked: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Mark the `reach` rows after each marked pixel, doubling the distance covered each time."""
    spread = marked.copy()
    covered = 0
    while covered < min(reach, len(spread) - 1):
        step = min(covered + 1, reach - covered)
        spread[step:] |= spread[:-step]
        covered += step
    return spread


def _pixels(marked: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(marked))


# -------------------------------------------------------------------------- scores of regions


@dataclass(frozen=True)
class _Contingency:
    """The overlaps of two partitions; pairs that do not overlap are left out."""

    superpixel: NDArray[np.intp]  # (pairs,), ascending
    segment: NDArray[np.intp]  # (pairs,)
    overlap_px: NDArray[np.intp]  # (pairs,)
    superpixel_px: NDArray[np.intp]  # (K,)
    segment_px: NDArray[np.intp]  # (segments,)

    @classmethod
    def of(cls, superpixels: _Partition, segments: _Partition) -> _Contingency:
        codes = superpixels.of_pixels(superpixels.ids * segments.count + segments.ids)
        if superpixels.count * segments.count <= codes.size:
            overlaps = np.bincount(codes)
            pairs = np.flatnonzero(overlaps)
            overlap_px = overlaps[pairs]
        else:  # mostly zeros: sorting the pixels takes less memory than the table
            pairs, overlap_px = np.unique(codes, return_counts=True)
        superpixel, segment = np.divmod(pairs, segments.count)
        return cls(superpixel, segment, overlap_px, superpixels.area_px, segments.area_px)

    @property
    def pixels(self) -> int:
        return int(self.superpixel_px.sum())


def _table(labels: ArrayLike, truth: ArrayLike) -> _Contingency:
    superpixels = _Partition.of(_plane(labels, "labels"))
    segments = _Partition.of(_same_plane(truth, superpixels.ids.shape))
    return _Contingency.of(superpixels, segments)


def _accuracy(table: _Contingency) -> float:
    first_pair = np.searchsorted(table.superpixel, np.arange(table.superpixel_px.size))
    largest_px = np.maximum.reduceat(table.overlap_px, first_pair)
    return int(largest_px.sum()) / table.pixels


def _undersegmentation(table: _Contingency) -> float:
    outside_px = table.superpixel_px[table.superpixel] - table.overlap_px
    return int(np.minimum(table.overlap_px, outside_px).sum()) / table.pixels


def _undersegmentation_levin(table: _Contingency) -> float:
    touching_px = np.bincount(table.segment, weights=table.superpixel_px[table.superpixel])
    return float(np.mean((touching_px - table.segment_px) / table.segment_px))


# ----------------------------------------------------------------------- scores of boundaries


@dataclass(frozen=True)
class _BoundaryMatch:
    """Boundary pixels of the annotation found and missed, and superpixel boundary beside them."""

    found_px: int
    missed_px: int
    false_px: int

    @classmethod
    def of(
        cls,
        superpixels: _Partition,
        segments: _Partition,
        near_superpixels: NDArray[np.bool_],
        reach: int,
    ) -> _BoundaryMatch:
        true_px = _pixels(segments.boundary)
        found_px = _pixels(segments.boundary & near_superpixels)
        near_segments = _within(segments.boundary, reach)
        false_px = _pixels(superpixels.boundary & ~near_segments)
        return cls(found_px, true_px - found_px, false_px)

    @property
    def recall(self) -> float:
        return self.found_px / max(self.found_px + self.missed_px, 1)

    @property
    def precision(self) -> float:
        return self.found_px / max(self.found_px + self.false_px, 1)


def _match(labels: ArrayLike, truth: ArrayLike, tolerance_px: int | None) -> _BoundaryMatch:
    superpixels = _Partition.of(_plane(labels, "labels"))
    segments = _Partition.of(_same_plane(truth, superpixels.ids.shape))
    reach = _reach(superpixels.ids.shape, tolerance_px)
    near_superpixels = _within(superpixels.boundary, reach)
    return _BoundaryMatch.of(superpixels, segments, near_superpixels, reach)


def _contour_density(superpixels: _Partition) -> float:
    return _pixels(superpixels.boundary) / superpixels.pixels


# --------------------------------------------------------------- scores of superpixels alone


def _compactness(superpixels: _Partition) -> float:
    area_px = superpixels.area_px.astype(np.float64)
    shares = area_px / superpixels.pixels
    return float(np.sum(shares * 4 * math.pi * area_px / _perimeter_px(superpixels) ** 2))


def _perimeter_px(superpixels: _Partition) -> NDArray[np.float64]:
    """Return the pixel edges around each superpixel: to another label, to the outside, to the frame."""
    ids = superpixels.ids
    edges = np.zeros(superpixels.count)
    for rows in (ids, ids.T):
        differ = rows[1:] != rows[:-1]
        for side in (rows[0], rows[-1], rows[1:][differ], rows[:-1][differ]):
            edges += np.bincount(side[side >= 0], minlength=superpixels.count)
    return edges


def _explained_variation(superpixels: _Partition, image: ArrayLike) -> float:
    channels = _channels(image, superpixels.ids.shape)
    ids = superpixels.of_pixels(superpixels.ids)
    explained = total = 0.0
    for channel in np.moveaxis(channels, -1, 0):
        values = superpixels.of_pixels(channel.astype(np.float64))
        # Centred first: squares of large values would cancel and leave rounding errors.
        values -= values.mean()
        sums = np.bincount(ids, weights=values)
        explained += float(np.sum(sums**2 / superpixels.area_px))
        total += float(values @ values)
    return explained / total if total > 0 else 1.0
