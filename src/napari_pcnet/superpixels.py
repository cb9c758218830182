"""The two calls: `pcnet_superpixels`, and `pcnet_hierarchy` for many counts of one picture."""

from __future__ import annotations

import io
import math
import os
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from napari_pcnet import arguments, weights
from napari_pcnet.disk.files import write_atomically
from napari_pcnet.geometry.grid import MAX_SCALE, Grid
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture, to_three
from napari_pcnet.merging import connectivity, outlines
from napari_pcnet.merging.tree import Features, MergeClassifier, Observer, Tree, build
from napari_pcnet.network import checkpoint
from napari_pcnet.network.inference import (
    Base,
    InferenceOptions,
    Precision,
    WindowDone,
    look_up,
    segment_base,
)
from napari_pcnet.network.model import PCNet
from napari_pcnet.progress import Progress

Method = Literal["hierarchy", "lattice"]

DEFAULT_MODEL = "pcnet-v1"
DEFAULT_COMPACTNESS = 4.0
"""Chosen on BSDS500 val, with weights that had not seen it, by ``napari-pcnet benchmark quality
benchmarks/compactness.toml``: the highest accuracy at 200 to 800 superpixels, and of equals the more
compact."""

CHANNEL_SPAN = 100.0
"""What a channel of a picture that is neither grey nor RGB is stretched to, as L of CIELAB is."""


@dataclass(frozen=True)
class Measures:
    """What was measured of regions.

    Attributes
    ----------
    area : (n,) int64 array
        Pixels.
    intensity_mean : (n, C) float64 array
        Mean of each channel, in the image's own values.
    confidence : (n,) float64 array, or (0,) if it was not asked for
        Mean over pixels of how sure the network is of their cell: 1 less the entropy of the
        association over ``log 9``.
    """

    area: NDArray[np.int64]
    intensity_mean: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @classmethod
    def of(cls, base: Base, picture: Picture) -> Measures:
        """Take what the table of a base says, in the units of the picture."""
        area = base.regions.area
        span = picture.high - picture.low
        mean = picture.low + span * (base.regions.colour / (area[:, None] * COLOUR_STEPS))
        sure = np.empty(0) if base.confidence is None else base.confidence / (area * COLOUR_STEPS)
        return cls(area, mean, sure)

    def merged(self, parts: NDArray[np.integer]) -> Measures:
        """Measures of the parts that regions belong to, numbered from 0."""
        number = int(parts.max()) + 1
        area = np.bincount(parts, self.area, number)

        def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(parts, values * self.area, number) / area

        means = np.stack([mean(channel) for channel in self.intensity_mean.T], axis=1)
        sure = mean(self.confidence) if len(self.confidence) else self.confidence
        return Measures(area.astype(np.int64), means, sure)

    def as_columns(self) -> dict[str, NDArray[np.integer | np.floating]]:
        """Columns of a table, named as scikit-image's ``regionprops_table`` names them."""
        columns: dict[str, NDArray[Any]] = {"area": self.area}
        columns |= {f"intensity_mean-{k}": each for k, each in enumerate(self.intensity_mean.T)}
        return columns | ({"confidence": self.confidence} if len(self.confidence) else {})


@dataclass(frozen=True)
class PCNetHierarchy:
    """Superpixels of one picture at every count, nested.

    Made by `pcnet_hierarchy`. Every label of a coarse cut is a union of labels of any finer one.

    Attributes
    ----------
    base : (H, W) int32 array
        Region of each pixel at the finest level, from 0; -1 outside the mask.
    tree : Tree
        The merges.
    measures : Measures
        Area, mean intensities and, if asked for, confidence of each region of the base.
    start_label : {0, 1}
        Number of the first label.
    timings : dict
        Seconds spent in each stage; empty after `load`.
    """

    base: NDArray[np.int32]
    tree: Tree
    measures: Measures
    start_label: int = 1
    timings: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def n_base(self) -> int:
        """The largest count that `labels` can give."""
        return self.tree.leaves

    @property
    def n_min(self) -> int:
        """The smallest: the number of connected parts of the picture or its mask."""
        return self.tree.roots

    @property
    def heights(self) -> NDArray[np.float64]:
        """Costs of the merges, not falling: candidates for ``labels(height=...)``."""
        return self.tree.height

    def labels(self, n: int | None = None, *, height: float | None = None) -> NDArray[np.integer]:
        """Cut the tree.

        Parameters
        ----------
        n : int
            How many labels.
        height : float
            Or: do every merge of at most this cost (see `heights`).

        Returns
        -------
        (H, W) array of int32 (int64 if labels don't fit)
            Exactly `n` labels from `start_label`, numbered in raster order of their first pixel;
            each one 4-connected. ``start_label - 1`` outside the mask.

        Raises
        ------
        ValueError
            If this tree can't give that many or that few.
        TypeError
            If not exactly one of `n` and `height` is given.
        """
        parts = self._parts(n, height)
        fits = parts.max() + self.start_label <= np.iinfo(np.int32).max
        kind: type[np.integer[Any]] = np.int32 if fits else np.int64
        return look_up((parts + self.start_label).astype(kind), self.base, outside=self.start_label - 1)

    def features(
        self, n: int | None = None, *, height: float | None = None
    ) -> dict[str, NDArray[np.integer | np.floating]]:
        """Measure the superpixels of a cut, without reading the image again.

        Parameters
        ----------
        n, height
            As in `labels`.

        Returns
        -------
        dict of (n,) array
            ``label``, ``area`` in pixels, ``intensity_mean-0`` and so on in the image's own values, and
            ``confidence`` from 0 to 1 where `pcnet_hierarchy` was asked for it: one row for each
            label, in their order. A table for ``pandas.DataFrame`` or a napari layer.
        """
        parts = self._parts(n, height)
        measures = self.measures.merged(parts)
        labels = np.arange(len(measures.area)) + self.start_label
        return {"label": labels} | measures.as_columns()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the hierarchy to one file (NumPy's ``.npz``), whole or not at all."""
        arrays = {
            "base": self.base,
            "children": self.tree.children,
            "height": self.tree.height,
            "area": self.measures.area,
            "intensity_mean": self.measures.intensity_mean,
            "confidence": self.measures.confidence,
            "start_label": np.asarray(self.start_label),
        }
        write_atomically(Path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PCNetHierarchy:
        """Read a hierarchy that `save` wrote; a file that holds anything else is a ValueError."""
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                base, children, height = file["base"], file["children"], file["height"]
                names = (each.name for each in fields(Measures))
                measures = Measures(**{name: file[name] for name in names})
                first = int(file["start_label"])
            leaves = int(base.max()) + 1
            tree = Tree(leaves, children, height)
            sound = (
                base.ndim == 2
                and len(np.unique(base[base >= 0])) == leaves == len(measures.area)
                and tree.is_sound()
            )
        except (ValueError, TypeError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile):
            sound = False
        if not sound:
            raise ValueError(f"{path} is not a hierarchy that PCNetHierarchy.save wrote, or is damaged")
        return cls(base, tree, measures, first)

    def count(self, n: int | None = None, *, height: float | None = None) -> int:
        """How many labels a cut has; arguments and errors as in `labels`."""
        if (n is None) == (height is None):
            raise TypeError("a cut takes either a count or height=..., one of the two")
        if n is None:
            if height is None or math.isnan(height):
                raise ValueError("height must be a number, got nan")
            return self.tree.count_at(float(height))
        return checked_count(self.tree, arguments.whole_number(n, "n"), "n")

    def _parts(self, n: int | None, height: float | None) -> NDArray[np.int64]:
        return self.tree.cut(self.count(n, height=height))


def pcnet_superpixels(
    image: Any,
    n_segments: int = 100,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    method: Method = "hierarchy",
    compactness: float = DEFAULT_COMPACTNESS,
    smoothing: float = 0.0,
    start_label: int = 1,
    mask: Any = None,
    channel_axis: int | None = -1,
    intensity_range: tuple[float, float] | None = None,
    spacing: float | Sequence[float] | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    window: int | None = None,
    progress: Progress | None = None,
    **others: object,
) -> NDArray[np.integer]:
    """Segment an image into superpixels with PCNet.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Grey, RGB or any number of channels; bool, integers or floats. Anything with shape, dtype
        and slicing is read window by window. Four channels along the last axis are RGBA, and pixels
        of alpha 0 count as outside the mask; for four measured channels put them first and pass
        ``channel_axis=0``. What a masked array masks is outside, too.
    n_segments : int, optional
        How many superpixels. With ``method="hierarchy"`` exactly so many are returned.
    model : str or path, optional
        Name of weights, or a file of one's own: ``.safetensors``, or the authors' ``.tar``.
    method : {'hierarchy', 'lattice'}, optional
        'hierarchy' labels the picture's own pixels finely and merges neighbours, cheapest first,
        until `n_segments` are left. 'lattice' is the paper's way: the picture is resampled so
        that it holds about `n_segments` cells; the count is near, not exact.
    compactness : float, optional
        Weight of shape against colour in merging; larger is rounder. Unused by 'lattice'.
    smoothing : float, optional
        Smooth the outlines over so many pixels, see `smooth_outlines`: superpixels get more compact and
        follow fine boundaries less. 0 leaves them as they are, 2 is much.
    start_label : {0, 1}, optional
        Number of the first label.
    mask : (H, W) array_like, optional
        Superpixels are made inside it, and counted there. Values outside need not be finite.
    channel_axis : int or None, optional
        Axis of the channels; None for a grey image.
    intensity_range : tuple of float, optional
        Intensities to be taken as black and white, for images with outliers. By default the
        extremes of the image (inside the mask): of all channels together for grey and RGB, of
        each channel for other numbers of channels.
    spacing : float or sequence of two floats, optional
        Size of a pixel along rows and columns, where these differ.
    device : str, optional
        'auto', 'cpu', 'cuda', 'mps'.
    precision : {'auto', 'float32', 'float64', 'bfloat16', 'float16'}, optional
        Arithmetic of the network; 'auto' is float32. Half precision is faster and moves some
        boundary pixels.
    window : int, optional
        Side of a window in work pixels, without its halo. Labels do not depend on it (in float64
        not at all), memory does.
    progress : callable, optional
        ``progress(done, total)``.

    Returns
    -------
    (H, W) array of int32 (int64 if labels don't fit)
        Labels from `start_label`, consecutive, in raster order of their first pixel; each one
        4-connected. ``start_label - 1`` outside the mask.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    See Also
    --------
    pcnet_hierarchy : many counts of one picture.
    smooth_outlines : the last step by itself.
    skimage.segmentation.slic : the same call, by clustering.

    Notes
    -----
    The network sees three channels. One is repeated; two become the first, their mean and the
    second; more than three are cut into three runs of neighbouring channels, each of which
    becomes its mean. Merging compares all of them: grey and RGB in CIELAB, others stretched to 0..100.
    A grey picture has the labels of its RGB copy.

    Intensities are stretched to the image's range, so dtype, gain and offset do not matter.

    References
    ----------
    .. [1] Wang, Wei, Qian, Zhu, Yang, "Generating Superpixels for High-resolution Images with
           Decoupled Patch Calibration".

    Examples
    --------
    >>> from skimage import data
    >>> from napari_pcnet import pcnet_superpixels
    >>> labels = pcnet_superpixels(data.astronaut()[:128, :128], 50)
    >>> labels.shape, int(labels.min()), int(labels.max())
    ((128, 128), 1, 50)
    """
    known = list(pcnet_superpixels.__kwdefaults__ or ())
    arguments.refuse_others("pcnet_superpixels", others, ["n_segments", *known])
    number = arguments.whole_number(n_segments, "n_segments")
    width = arguments.smoothing(smoothing)
    if method not in get_args(Method):
        raise ValueError(f"method must be 'hierarchy' or 'lattice', got {method!r}")
    if method == "hierarchy":
        tree = pcnet_hierarchy(
            image,
            number,
            model=model,
            compactness=compactness,
            start_label=start_label,
            mask=mask,
            channel_axis=channel_axis,
            intensity_range=intensity_range,
            spacing=spacing,
            device=device,
            precision=precision,
            window=window,
            progress=progress,
        )
        labels = tree.labels(checked_count(tree.tree, number, "n_segments"))
        return smoothed_labels(labels, width, spacing, tree.start_label)
    options = arguments.inference_options(device, precision, window)
    first = arguments.start_label(start_label)
    steps = arguments.spacing(spacing)
    picture = arguments.picture(image, mask, channel_axis, intensity_range)
    arguments.room_for(number, picture, "n_segments")
    cells = max(1, round(number / picture.share_inside))
    grid = Grid.of_count(picture.shape, cells, steps)
    labels = _lattice_labels(segment_base(picture, grid, _load(model), options, progress), first)
    return smoothed_labels(labels, width, spacing, first)


def pcnet_hierarchy(
    image: Any,
    max_segments: int = 100,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    compactness: float = DEFAULT_COMPACTNESS,
    start_label: int = 1,
    mask: Any = None,
    channel_axis: int | None = -1,
    intensity_range: tuple[float, float] | None = None,
    spacing: float | Sequence[float] | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    window: int | None = None,
    progress: Progress | None = None,
    confidence: bool = False,
    window_done: WindowDone | None = None,
    **others: object,
) -> PCNetHierarchy:
    """Segment an image into superpixels of every count up to a largest one, nested.

    The network runs once; each count is then a cut of the tree and one look-up.
    ``pcnet_superpixels(image, n)`` is ``pcnet_hierarchy(image, max_segments=n).labels(n)``.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        As in `pcnet_superpixels`.
    max_segments : int, optional
        The largest count that will be asked for. The base has at least 8 times as many cells
        (as far as there are pixels), and every count up to `PCNetHierarchy.n_base` can be had.
    model, compactness, start_label, mask, channel_axis, intensity_range, spacing, device, \
precision, window, progress
        As in `pcnet_superpixels`.
    confidence : bool, optional
        Whether `PCNetHierarchy.features` is to tell how sure the network was.
    window_done : callable, optional
        ``window_done(window, ids)`` as each window of the base is done: where it lies in the
        image (``window.slices``), and its regions, ``(h, w)`` int32, -1 outside the mask. For
        showing what is there; the finished base numbers them anew.

    Returns
    -------
    PCNetHierarchy

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    Examples
    --------
    >>> from skimage import data
    >>> from napari_pcnet import pcnet_hierarchy
    >>> tree = pcnet_hierarchy(data.astronaut()[:128, :128], max_segments=50)
    >>> int(tree.labels(50).max()), int(tree.labels(7).max())
    (50, 7)
    """
    known = list(pcnet_hierarchy.__kwdefaults__ or ())
    arguments.refuse_others("pcnet_hierarchy", others, ["max_segments", *known])
    number = arguments.whole_number(max_segments, "max_segments")
    options = replace(arguments.inference_options(device, precision, window), confidence=bool(confidence))
    weight = arguments.compactness(compactness)
    first = arguments.start_label(start_label)
    steps = arguments.spacing(spacing)
    started = time.perf_counter()
    picture = arguments.picture(image, mask, channel_axis, intensity_range)
    arguments.room_for(number, picture, "n_segments")
    ranged = time.perf_counter()
    network = _load(model)
    base = fine_base(picture, number, network, options, steps, progress, window_done)
    based = time.perf_counter()
    tree = merge_base(base, network, weight, steps)
    timings = {"range": ranged - started, **base.timings, "tree": time.perf_counter() - based}
    return PCNetHierarchy(base.ids, tree, Measures.of(base, picture), first, timings)


def smooth_outlines(
    labels: Any,
    width: float,
    *,
    spacing: float | Sequence[float] | None = None,
    background: int | None = 0,
) -> NDArray[np.integer]:
    """Smooth the outlines of labels.

    Parameters
    ----------
    labels : (H, W) array_like of integers
        Superpixels, or any other regions.
    width : float
        Standard deviation, in pixels, of the Gaussian that decides. Bumps and dents narrower than about
        twice this go; regions that are hardly wider, of which less than half would be left, keep all their
        pixels. 0 changes nothing.
    spacing : float or sequence of two floats, optional
        Size of a pixel along rows and columns, where these differ; `width` then counts pixels
        of the same area that are square.
    background : int or None, optional
        A label whose pixels belong to no region: they stay as they are. None if there is none.

    Returns
    -------
    (H, W) array of the dtype of `labels`
        The same labels; each keeps at least half of its pixels, and none is in more 4-connected pieces
        than it was.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    See Also
    --------
    pcnet_superpixels : does it at once with ``smoothing=width``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import smooth_outlines
    >>> labels = np.ones((6, 8), int)
    >>> labels[:, 4:] = 2
    >>> labels[3, 4] = 1
    >>> int((labels == 1).sum()), int((smooth_outlines(labels, 1.0) == 1).sum())
    (25, 24)
    """
    given = np.asarray(labels)
    if given.ndim != 2 or not np.issubdtype(given.dtype, np.integer):
        raise ValueError(
            f"labels must be an array of integers of 2 axes, got {given.dtype} of shape {given.shape}"
        )
    steps = arguments.spacing(spacing)
    pixels = arguments.smoothing(width, "width")
    if not pixels or not given.size:
        return given.copy()
    names, regions = np.unique(given, return_inverse=True)
    inside = np.ones(len(names), bool) if background is None else names != background
    number = np.where(inside, np.cumsum(inside), 0).astype(np.int32)
    moved = outlines.smoothed(number[regions].reshape(given.shape), pixels, steps)
    back = np.concatenate([names[~inside], names[inside]]) if not inside.all() else names
    result: NDArray[np.integer] = back[moved - int(inside.all())]
    return result


def smoothed_labels(
    labels: NDArray[np.integer], width: float, spacing: float | Sequence[float] | None, first: int
) -> NDArray[np.integer]:
    """Smooth the outlines of the labels from `first` on, numbered again by their first pixels."""
    if not width:
        return labels
    regions = np.maximum(labels - (first - 1), 0).astype(np.int32, copy=False)
    moved = outlines.smoothed(regions, width, arguments.spacing(spacing))
    pieces = connectivity.number_pieces(moved.view(np.uint32))
    return np.where(regions, pieces.astype(labels.dtype, copy=False) + first, labels)


def checked_count(tree: Tree, number: int, name: str) -> int:
    """Refuse a count that a tree can't give; `name` is the caller's argument."""
    if number > tree.leaves:
        raise ValueError(f"{name} must be at most {tree.leaves}, the regions of this base, got {number}")
    if number < tree.roots:
        raise ValueError(
            f"{name} must be at least {tree.roots}, the number of connected parts of the mask, got {number}"
        )
    return number


def fine_base(
    picture: Picture,
    number: int,
    model: PCNet,
    options: InferenceOptions,
    spacing: tuple[float, float] = (1.0, 1.0),
    progress: Progress | None = None,
    window_done: WindowDone | None = None,
) -> Base:
    """Label at the smallest whole enlargement whose base is fine enough."""
    grid, scale = Grid.for_count(picture.shape, number, picture.pixels_inside, spacing)
    while True:
        base = segment_base(picture, grid, model, options, progress, window_done)
        found = len(base.regions)
        if found >= number:
            return base
        if scale == MAX_SCALE:
            raise ValueError(f"n_segments must be at most {found} for this image, got {number}")
        scale = min(MAX_SCALE, max(scale + 1, math.ceil(scale * math.sqrt(number / found))))
        grid = Grid.enlarged(picture.shape, scale, spacing)


def _lattice_labels(base: Base, start_label: int) -> NDArray[np.integer]:
    """Labels of the paper's lattice: pieces, with crumbs given away."""
    table = base.regions
    owner = connectivity.owners(table.cells, table.area, table.edges, table.border.sum(axis=1))
    labels = (connectivity.number_by_first(owner) + start_label).astype(np.int32)
    return look_up(labels, base.ids, outside=start_label - 1)


def merge_base(
    base: Base,
    model: PCNet,
    compactness: float,
    spacing: tuple[float, float] = (1.0, 1.0),
    observer: Observer | None = None,
) -> Tree:
    """Merge regions by mean colour, outline and what the network says, in the units that merging compares."""
    table, grid = base.regions, base.grid
    area = table.area.astype(np.float64)
    mean = table.colour / (area[:, None] * COLOUR_STEPS)
    channels = mean.shape[1]
    seen = rgb2lab(to_three(mean[None]))[0]
    # channels that are neither grey nor RGB weigh together as much as the three of a colour picture
    colour = seen if channels in (1, 3) else mean * (CHANNEL_SPAN * math.sqrt(3 / channels))
    side = np.array([spacing[1], spacing[0]])
    border = table.border @ side  # horizontal sides are as long as a pixel is wide
    perimeter = table.rim @ side
    for end in table.edges.T:
        perimeter += np.bincount(end, weights=border, minlength=len(area))
    features = Features(area, colour, seen, perimeter, grid.cell_area)
    strength = table.strength @ side / (2 * COLOUR_STEPS) if table.strength.shape[1] else None
    classifier = (
        None if model.merge_classifier is None else MergeClassifier(model.merge_classifier.as_layers())
    )
    return build(features, table.edges, border, compactness, strength, classifier, observer)


def _load(model: str | os.PathLike[str]) -> PCNet:
    path = weights.locate(model)
    status = path.stat()
    return _load_version(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=2)
def _load_version(path: Path, version: tuple[int, int]) -> PCNet:  # noqa: ARG001  # the cache's key
    return checkpoint.load_model(path)
