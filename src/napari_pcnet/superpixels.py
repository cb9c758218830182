"""The two calls: `pcnet_superpixels`, and `pcnet_hierarchy` for many counts of one picture."""

from __future__ import annotations

import difflib
import io
import math
import operator
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from skimage import color

from napari_pcnet import checkpoint, connectivity, hierarchy, weights
from napari_pcnet.files import write_atomically
from napari_pcnet.grid import MAX_SCALE, Grid, Window
from napari_pcnet.inference import (
    Base,
    InferenceOptions,
    Precision,
    Progress,
    look_up,
    segment_base,
)
from napari_pcnet.model import PCNet
from napari_pcnet.picture import COLOUR_STEPS, READ_ROWS, Picture, plane_shape, read_raw
from napari_pcnet.regions import Regions

Method = Literal["hierarchy", "lattice"]

DEFAULT_MODEL = "pcnet-bsds500-v1"
DEFAULT_COMPACTNESS = 4.0
"""Chosen on BSDS500 val, with weights that had not seen it, by ``napari-pcnet benchmark quality
--choose-compactness 2 3 4 5 7 10``: the highest accuracy at 200 to 800 superpixels,
and of equals the more compact."""

BASE_FACTOR = 4
"""The base has at least so many times the superpixels that are asked for."""

CHANNEL_SPAN = 100.0
"""What a channel that is not part of an RGB picture is stretched to, as L of CIELAB is."""

_SLIC_ONLY = {
    "max_num_iter": "the network needs no iterations",
    "sigma": "smooth the image beforehand if it must be smoothed",
    "convert2lab": "merging compares RGB in CIELAB and other channels as they are",
    "enforce_connectivity": "labels are always connected",
    "min_size_factor": "method='hierarchy' merges small pieces by cost; see compactness",
    "max_size_factor": "see n_segments and compactness",
    "slic_zero": "see compactness",
    "multichannel": "use channel_axis",
    "n_iter": "the network needs no iterations",
}

_ALIASES = {"weights": "model", "window_px": "window", "max_segments": "n_segments"}


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
    start_label : {0, 1}
        Number of the first label.
    timings : dict
        Seconds spent in each stage; empty after `load`.
    """

    base: NDArray[np.int32]
    tree: hierarchy.Tree
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
        if (n is None) == (height is None):
            raise TypeError("labels takes either a count or height=..., one of the two")
        if n is None:
            assert height is not None
            return self._cut(self.tree.count_at(float(height)))
        return self._cut(self._checked(_whole_number(n, "n")))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the hierarchy to one file (NumPy's ``.npz``), whole or not at all."""
        arrays = {
            "base": self.base,
            "children": self.tree.children,
            "height": self.tree.height,
            "start_label": np.asarray(self.start_label),
        }
        write_atomically(Path(path), lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PCNetHierarchy:
        """Read a hierarchy that `save` wrote; a file that holds anything else is a ValueError."""
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                base, children = file["base"], file["children"]
                tree = hierarchy.Tree(len(children) + _roots(base, children), children, file["height"])
                return cls(base, tree, int(file["start_label"]))
        except (ValueError, KeyError, OSError, EOFError, AttributeError) as error:
            raise ValueError(f"{path} is not a hierarchy that PCNetHierarchy.save wrote") from error

    def _checked(self, n: int) -> int:
        if n > self.n_base:
            raise ValueError(f"n must be at most {self.n_base}, the regions of this base, got {n}")
        if n < self.n_min:
            raise ValueError(_too_few("n", n, self.n_min))
        return n

    def _cut(self, count: int) -> NDArray[np.integer]:
        fits = count + self.start_label <= np.iinfo(np.int32).max
        kind: type[np.integer[Any]] = np.int32 if fits else np.int64
        parts = self.tree.cut(count) + self.start_label
        return look_up(parts.astype(kind), self.base, outside=self.start_label - 1)


def pcnet_superpixels(
    image: Any,
    n_segments: int = 100,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    method: Method = "hierarchy",
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
    **others: object,
) -> NDArray[np.integer]:
    """Segment an image into superpixels with PCNet.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Grey, RGB or any number of channels; bool, integers or floats. Anything with shape, dtype
        and slicing is read window by window. Four channels of uint8 along the last axis are RGBA,
        and pixels of alpha 0 count as outside the mask.
    n_segments : int, optional
        How many superpixels. With ``method="hierarchy"`` exactly so many are returned.
    model : str or path, optional
        Name of bundled weights, or a file of one's own: ``.safetensors``, or the authors' ``.tar``.
    method : {'hierarchy', 'lattice'}, optional
        'hierarchy' labels the picture's own pixels finely and merges neighbours, cheapest first,
        until `n_segments` are left. 'lattice' is the paper's way: the picture is resampled so
        that it holds about `n_segments` cells; the count is near, not exact.
    compactness : float, optional
        Weight of shape against colour in merging; larger is rounder. Unused by 'lattice'.
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
    skimage.segmentation.slic : the same call, by clustering.

    Notes
    -----
    The network sees three channels. One is repeated; two become the first, their mean and the
    second; more than three are cut into three runs of neighbouring channels, each of which
    becomes its mean. Merging compares all of them: RGB in CIELAB, others stretched to 0..100.

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
    _refuse_others("pcnet_superpixels", others)
    number = _whole_number(n_segments, "n_segments")
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
        if number < tree.n_min:
            raise ValueError(_too_few("n_segments", number, tree.n_min))
        return tree.labels(number)
    options = _inference_options(device, precision, window)
    _check_start_label(start_label)
    picture = _picture(image, mask, channel_axis, intensity_range)
    _check_room(number, picture, "n_segments")
    whole = picture.shape[0] * picture.shape[1]
    cells = max(1, round(number * whole / _pixels_inside(picture)))
    grid = Grid.of_count(picture.shape, cells, _spacing(spacing))
    base = segment_base(picture, grid, _load(model), options, progress)
    return _lattice_labels(base, start_label)


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
        The largest count that will be asked for. The base has at least 4 times as many cells
        (as far as there are pixels), and every count up to `PCNetHierarchy.n_base` can be had.
    model, compactness, start_label, mask, channel_axis, intensity_range, spacing, device, \
precision, window, progress
        As in `pcnet_superpixels`.

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
    _refuse_others("pcnet_hierarchy", others)
    number = _whole_number(max_segments, "max_segments")
    options = _inference_options(device, precision, window)
    if not (_is_number(compactness) and compactness >= 0):
        raise ValueError(f"compactness must be a number of at least 0, got {compactness!r}")
    _check_start_label(start_label)
    steps = _spacing(spacing)
    started = time.perf_counter()
    picture = _picture(image, mask, channel_axis, intensity_range)
    _check_room(number, picture, "n_segments")
    ranged = time.perf_counter()
    base = _fine_base(picture, number, steps, _load(model), options, progress)
    based = time.perf_counter()
    tree = _tree(base.regions, steps, float(compactness))
    timings = {"range": ranged - started, **base.timings, "tree": time.perf_counter() - based}
    return PCNetHierarchy(base.ids, tree, start_label, timings)


def _fine_base(
    picture: Picture,
    number: int,
    spacing: tuple[float, float],
    model: PCNet,
    options: InferenceOptions,
    progress: Progress | None,
) -> Base:
    """Label at the smallest whole enlargement whose base is fine enough."""
    inside = _pixels_inside(picture)
    share = inside / (picture.shape[0] * picture.shape[1])
    wanted = min(BASE_FACTOR * number, inside)
    grids = [Grid.enlarged(picture.shape, scale, spacing) for scale in range(1, MAX_SCALE + 1)]
    fine = [grid for grid in grids[:-1] if grid.cells * share >= wanted] + grids[-1:]
    for grid in fine:
        base = segment_base(picture, grid, model, options, progress)
        if len(base.regions) >= number:
            return base
    raise ValueError(f"n_segments must be at most {len(base.regions)} for this image, got {number}")


def _lattice_labels(base: Base, start_label: int) -> NDArray[np.integer]:
    """Labels of the paper's lattice: pieces, with crumbs given away."""
    table = base.regions
    owner = connectivity.owners(table.cells, table.area, table.edges, table.border.sum(axis=1))
    _, first, part = np.unique(owner, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    labels = (rank[part] + start_label).astype(np.int32)
    return look_up(labels, base.ids, outside=start_label - 1)


def _tree(table: Regions, spacing: tuple[float, float], compactness: float) -> hierarchy.Tree:
    """Merge regions by mean colour and outline, in the units that merging compares."""
    area = table.area.astype(np.float64)
    mean = table.colour / (area[:, None] * COLOUR_STEPS)
    channels = mean.shape[1]
    if channels == 3:
        colour = color.rgb2lab(mean[None])[0]
    else:  # so that channels weigh together as much as the three of a colour picture
        colour = mean * (CHANNEL_SPAN * math.sqrt(3 / channels))
    side = np.array([spacing[1], spacing[0]]) / math.sqrt(spacing[0] * spacing[1])
    border = table.border @ side  # horizontal sides are as long as a pixel is wide
    perimeter = table.rim @ side
    for end in table.edges.T:
        perimeter += np.bincount(end, weights=border, minlength=len(area))
    features = hierarchy.Features(area, colour, perimeter)
    return hierarchy.build(features, table.edges, border, compactness)


def _picture(
    image: Any,
    mask: Any,
    channel_axis: int | None,
    intensity_range: tuple[float, float] | None,
) -> Picture:
    """Refuse at the door what is no picture, and find its range."""
    pixels = image if _is_array(image) else np.asarray(image)
    axis = _channel_axis(pixels, channel_axis)
    if pixels.dtype.kind not in "buif":
        raise TypeError(f"image must hold booleans, integers or floats, got {pixels.dtype}")
    shape = plane_shape(pixels.shape, axis)
    if 0 in pixels.shape:
        raise ValueError(f"image must have at least one pixel, got shape {tuple(pixels.shape)}")
    region = None if mask is None else _mask(mask, shape)
    channels = 1 if axis is None else int(pixels.shape[axis])
    if channels == 4 and axis == 2 and pixels.dtype == np.uint8:
        channels, region = 3, _visible(pixels, shape, region)
    if region is not None and not region.any():
        raise ValueError("mask must hold at least one pixel of the image, it is empty")
    low, high = _extremes(pixels, axis, channels, region, shape)
    if intensity_range is not None:
        limits = _intensity_range(intensity_range)
        low, high = np.full(channels, limits[0]), np.full(channels, limits[1])
    elif channels in (1, 3):
        low, high = np.full(channels, low.min()), np.full(channels, high.max())
    return Picture(pixels, axis, region, low, high)


def _channel_axis(pixels: Any, channel_axis: int | None) -> int | None:
    ndim = len(pixels.shape)
    if channel_axis is None:
        if ndim == 2:
            return None
        if ndim == 3:
            raise ValueError(
                f"image is a volume of shape {tuple(pixels.shape)} (channel_axis=None): PCNet "
                "segments planes, so pass them one by one, or name the axis of its channels"
            )
    elif ndim == 2:
        raise ValueError(
            f"image has no channels (shape {tuple(pixels.shape)}): pass channel_axis=None for grey"
        )
    elif ndim == 3:
        axis = operator.index(channel_axis)
        if -3 <= axis < 3:
            return axis % 3
        raise ValueError(f"channel_axis must be from -3 to 2, got {channel_axis!r}")
    raise ValueError(f"image must be (H, W), or (H, W, C) with channel_axis, got shape {tuple(pixels.shape)}")


def _mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    region = np.asarray(mask)
    if region.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}, got {region.shape}")
    if region.dtype.kind not in "bui":
        raise TypeError(f"mask must hold booleans or integers, got {region.dtype}")
    inside: NDArray[np.bool_] = region != 0
    return inside


def _visible(
    pixels: Any, shape: tuple[int, int], region: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Take pixels of alpha 0 out of the region; None if nothing is transparent."""
    visible = np.empty(shape, bool)
    for window in _row_windows(shape):
        visible[window.slices] = read_raw(pixels, 2, window)[..., 3] > 0
    if visible.all():
        return region
    return visible if region is None else visible & region


def _extremes(
    pixels: Any,
    axis: int | None,
    channels: int,
    region: NDArray[np.bool_] | None,
    shape: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each channel inside the mask, in one pass over the image."""
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for window in _row_windows(shape):
        values = read_raw(pixels, axis, window)[..., :channels]
        inside = values.reshape(-1, channels) if region is None else values[region[window.slices]]
        if len(inside) == 0:
            continue
        if inside.dtype.kind == "f" and not np.isfinite(inside).all():
            raise ValueError("image must be finite, got NaN or infinity; leave such pixels out with mask=")
        for channel in range(channels):
            values_of = inside[:, channel]
            low[channel] = min(low[channel], float(values_of.min()))
            high[channel] = max(high[channel], float(values_of.max()))
    return low, high


def _row_windows(shape: tuple[int, int]) -> list[Window]:
    height, width = shape
    starts = range(0, height, READ_ROWS)
    return [Window(top, 0, min(top + READ_ROWS, height), width) for top in starts]


def _pixels_inside(picture: Picture) -> int:
    if picture.mask is None:
        return picture.shape[0] * picture.shape[1]
    return int(np.count_nonzero(picture.mask))


def _check_room(number: int, picture: Picture, name: str) -> None:
    inside = _pixels_inside(picture)
    if number > inside:
        where = "image" if picture.mask is None else "mask"
        raise ValueError(f"{name} must be at most {inside}, the pixels of the {where}, got {number}")


def _check_start_label(start_label: int) -> None:
    if start_label not in (0, 1):
        raise ValueError(f"start_label must be 0 or 1, got {start_label!r}")


def _inference_options(device: str, precision: Precision, window: int | None) -> InferenceOptions:
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {get_args(Precision)}, got {precision!r}")
    side = None if window is None else _whole_number(window, "window")
    return InferenceOptions(device, precision, side)


def _intensity_range(limits: Any) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"intensity_range must be two numbers (low, high), got {limits!r}")
    return low, high


def _spacing(spacing: Any) -> tuple[float, float]:
    if spacing is None or _is_number(spacing):
        steps: Any = (1.0, 1.0) if spacing is None else (float(spacing), float(spacing))
    else:
        steps = spacing
    try:
        rows, columns = (float(step) for step in steps)
    except (TypeError, ValueError):
        rows = columns = math.nan
    if not (math.isfinite(rows) and math.isfinite(columns) and min(rows, columns) > 0):
        raise ValueError(f"spacing must be two positive numbers (rows, columns) or one, got {spacing!r}")
    return rows, columns


def _whole_number(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def _is_array(image: Any) -> bool:
    return all(hasattr(image, name) for name in ("shape", "dtype", "__getitem__"))


def _too_few(name: str, number: int, components: int) -> str:
    return f"{name} must be at least {components}, the number of connected parts of the mask, got {number}"


def _refuse_others(function: str, others: dict[str, object]) -> None:
    """Refuse unknown arguments; those of slic by name, with ours beside them."""
    for name in others:
        if name in _SLIC_ONLY:
            raise TypeError(f"{function} has no argument {name!r} of slic: {_SLIC_ONLY[name]}")
        known = list(pcnet_superpixels.__kwdefaults__ or ())
        near = _ALIASES.get(name) or next(iter(difflib.get_close_matches(name, known, 1)), None)
        hint = f"; did you mean {near!r}?" if near else ""
        raise TypeError(f"{function} has no argument {name!r}{hint}")


def _load(model: str | os.PathLike[str]) -> PCNet:
    path = weights.locate(model)
    status = path.stat()
    return _load_version(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=2)
def _load_version(path: Path, version: tuple[int, int]) -> PCNet:  # noqa: ARG001  # the cache's key
    return checkpoint.load_model(path)


def _roots(base: NDArray[np.int32], children: NDArray[np.int64]) -> int:
    return int(base.max()) + 1 - len(children)
