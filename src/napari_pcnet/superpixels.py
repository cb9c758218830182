"""The public functions: `pcnet_superpixels`, `pcnet_hierarchy` for many counts, and `smooth_outlines`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, delayed, named_axes, options, outliers, pipeline, streaming
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.merging import outlines
from napari_pcnet.network.inference import WindowDone
from napari_pcnet.options import IntensityRange, Method, Options, Precision
from napari_pcnet.progress import Progress


def pcnet_superpixels(
    image: Any,
    n_segments: int = Options.n_segments,
    compactness: float = Options.compactness,
    *,
    model: str | os.PathLike[str] = Options.model,
    method: Method = Options.method,
    smoothing: float = Options.smoothing,
    start_label: int = Options.start_label,
    mask: Any = None,
    channel_axis: int | None = Options.channel_axis,
    intensity_range: IntensityRange | str | None = Options.intensity_range,
    min_size: int = Options.min_size,
    spacing: float | Sequence[float] | None = Options.spacing,
    device: str = Options.device,
    precision: Precision = Options.precision,
    window: int | None = Options.window,
    progress: Progress | None = None,
    out: Any = None,
    **others: object,
) -> NDArray[np.integer]:
    """Segment an image into superpixels with PCNet.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Grey, RGB or any number of channels; bool, integers or floats. Anything with shape, dtype
        and slicing is read window by window. Four channels along the last axis are RGBA, and pixels
        of alpha 0 count as outside the mask; for four measured channels put them first and pass
        ``channel_axis=0``. What a masked array masks and pixels that are NaN are outside, too.
        Infinity is refused.
    n_segments : int, optional
        How many superpixels. With ``method="hierarchy"`` exactly this many are returned.
    compactness : float, optional
        Weight of shape against colour in merging; larger is rounder. Unused by 'lattice'.
    model : str or path, optional
        Name of weights, or a file of one's own: ``.safetensors``, or the authors' ``.tar``.
    method : {'hierarchy', 'lattice'}, optional
        'hierarchy' labels the picture's own pixels finely and merges neighbours, cheapest first,
        until `n_segments` are left. 'lattice' is the paper's way: the picture is resampled so
        that it holds about `n_segments` cells; the count is near, not exact.
    smoothing : float, optional
        Width of the smoothing of outlines in pixels, see `smooth_outlines`: superpixels get more compact and
        follow fine boundaries less. It is a standard deviation, from 0, which leaves outlines as they are, to
        100; 2 or 3 is usual.
    start_label : {0, 1}, optional
        Number of the first label.
    mask : (H, W) array_like, optional
        Superpixels are made inside it, and counted there: booleans, integers, or floats of 0 and 1.
        Values outside need not be finite.
    channel_axis : int or None, optional
        Axis of the channels; None for a grey image. An image of two axes is grey without it.
    intensity_range : tuple of float, or str such as "1%-99.9%", optional
        Intensities to be taken as black and white, or their percentiles, for images with outliers. By
        default the extremes of the image (inside the mask): of all channels together for grey and
        RGB, of each channel for other numbers of channels. Percentiles are taken of the same; where
        both are one value, the extremes stand.
    min_size : int, optional
        Connected parts of the mask (of what is not transparent, not NaN) that have fewer pixels are
        outside. There are never fewer superpixels than parts.
    spacing : float or sequence of two floats, optional
        Size of a pixel along rows and columns, where these differ.
    device : str, optional
        'auto', 'cpu', 'cuda', 'mps'.
    precision : {'auto', 'float32', 'float64', 'bfloat16', 'float16'}, optional
        Arithmetic of a network in floats; 'auto' is float32. Half precision is faster and moves some
        boundary pixels. Networks in whole numbers compute in these.
    window : int, optional
        Side of a window in work pixels, without its halo. Labels do not depend on it (in float64
        and whole numbers not at all), memory does.
    progress : callable, optional
        ``progress(done, total)``.
    out : array or path, optional
        Takes the labels, window by window: an array of whole numbers of the image's rows and columns that
        can be written by slices (numpy's, memory-mapped or not, or zarr's), or the path of a new ``.zarr``
        or ``.ome.zarr``. Memory is then set by the window and the table of regions, not by the image, unless
        there is a mask (a byte a pixel) or outlines are smoothed (the whole plane).

    Returns
    -------
    (H, W) array of int32 (int64 if labels don't fit)
        Labels from `start_label`, consecutive, in raster order of their first pixel; each one
        4-connected. ``start_label - 1`` outside the mask. With `out` this array, or zarr's of the path.
        Else of a dask array one of dask, with the chunks of the image and nothing of it computed yet, and
        of a DataArray of xarray one with its coordinates and attributes.

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
    passed = locals()
    arguments.refuse_others("pcnet_superpixels", others, [name for name in passed if name != "others"])
    chosen = Options.checked(passed)
    if out is None and named_axes.are_named(image):
        again = {name: value for name, value in passed.items() if name not in ("image", "others")}
        return named_axes.like(image, chosen.channel_axis, pcnet_superpixels(image.data, **again))
    if out is None and delayed.is_dask(image):
        return _of_dask(image, mask, chosen, progress)
    path = streaming.new_path(out)
    picture = _checked(image, mask, chosen, "n_segments", progress=progress)
    if chosen.method == "hierarchy":
        arguments.parts_within(chosen.n_segments, [arguments.part_sizes(picture)], "n_segments")
    if path is not None:
        return streaming.write_zarr(path, picture, chosen, progress)
    if out is not None:
        return streaming.write_array(out, picture, chosen, progress)
    if chosen.method == "lattice":
        return pipeline.segment_lattice(picture, chosen, progress)
    return pipeline.segment(picture, chosen, progress=progress).labels(chosen.n_segments)


def _of_dask(image: Any, mask: Any, chosen: Options, progress: Progress | None) -> NDArray[np.integer]:
    """Return labels that are not computed yet."""
    if progress is not None:
        raise ValueError(
            "progress cannot be told of a dask array, whose labels are computed later: take dask's own, or "
            "compute labels window by window by out="
        )
    arguments.warn_of_channels_last(image.shape, chosen.channel_axis, "image[0] and so on")
    labels: NDArray[np.integer] = delayed.superpixels(image, mask, chosen)
    return labels


def pcnet_hierarchy(
    image: Any,
    max_segments: int = Options.n_segments,
    compactness: float = Options.compactness,
    *,
    model: str | os.PathLike[str] = Options.model,
    smoothing: float = Options.smoothing,
    start_label: int = Options.start_label,
    mask: Any = None,
    channel_axis: int | None = Options.channel_axis,
    intensity_range: IntensityRange | str | None = Options.intensity_range,
    min_size: int = Options.min_size,
    spacing: float | Sequence[float] | None = Options.spacing,
    device: str = Options.device,
    precision: Precision = Options.precision,
    window: int | None = Options.window,
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
    compactness, model, smoothing, start_label, mask, channel_axis, intensity_range, min_size, spacing, \
device, precision, window, progress
        As in `pcnet_superpixels`; outlines are smoothed in each cut, and smoothed cuts are not nested.
    confidence : bool, optional
        Whether `PCNetHierarchy.features` holds the network's confidence.
    window_done : callable, optional
        ``window_done(window, ids)`` as each window of the base is done: where it lies in the
        image (``window.slices``), and its regions, ``(h, w)`` int32, -1 outside the mask. For
        showing what is there; the finished base numbers them again.

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
    passed = locals()
    arguments.refuse_others("pcnet_hierarchy", others, [name for name in passed if name != "others"])
    number = options.whole_number(max_segments, "max_segments")
    chosen = Options.checked(passed | {"n_segments": number})
    picture = _checked(image, mask, chosen, "max_segments", progress=progress, window_done=window_done)
    return pipeline.segment(
        picture, chosen, progress=progress, confidence=bool(confidence), window_done=window_done
    )


def _checked(
    image: Any, mask: Any, chosen: Options, count_name: str, **callbacks: Callable[..., object] | None
) -> Picture:
    """Check what is not an option, and say what is assumed of it."""
    for name, each in callbacks.items():
        arguments.callback(each, name)
    picture = arguments.picture(image, mask, chosen.channel_axis, chosen.intensity_range, chosen.min_size)
    arguments.room_for(chosen.n_segments, arguments.room(picture), count_name)
    arguments.warn_of_channels_last(picture.pixels.shape, chosen.channel_axis, "image[0] and so on")
    if picture.has_nan:
        warnings.warn(arguments.NAN_IS_OUTSIDE, stacklevel=3)
    spent = outliers.spent_range(picture) if chosen.intensity_range is None else None
    if spent is not None:
        warnings.warn(spent.sentence, stacklevel=3)
    return picture


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
    steps = options.pixel_sides(options.spacing(spacing))
    pixels = options.pixels(width, "width")
    if not pixels or not given.size:
        return given.copy()
    names, regions = np.unique(given, return_inverse=True)
    inside = np.ones(len(names), bool) if background is None else names != background
    number = np.where(inside, np.cumsum(inside), 0).astype(np.int32)
    moved = outlines.smoothed(number[regions].reshape(given.shape), pixels, steps)
    back = np.concatenate([names[~inside], names[inside]]) if not inside.all() else names
    result: NDArray[np.integer] = back[moved - int(inside.all())]
    return result
