"""A table of regions: one row each, with scikit-image's names, for pictures and labels of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from napari_pcnet import arguments, options
from napari_pcnet.geometry.grid import windows_over
from napari_pcnet.measuring import sums
from napari_pcnet.measuring.properties import columns_of, find
from napari_pcnet.measuring.windows import NumberedWindow, numbered_windows, read_pixels
from napari_pcnet.progress import Progress

WINDOW_PX = 1024
"""Side of a window unless another is asked for."""

WIDEST_PX = 32_768
"""Squares of rows and columns within a window no larger are summed exactly."""

SHAPE_PROPERTIES = ("label", "area", "bbox", "centroid", "eccentricity", "perimeter")
INTENSITY_PROPERTIES = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
"""What is measured unless something else is asked for; the second only of a picture."""


def region_table(
    image: Any,
    labels: Any,
    properties: Sequence[str] | None = None,
    *,
    spacing: float | Sequence[float] | None = None,
    channel_axis: int | None = -1,
    channel_names: Sequence[str] | None = None,
    background: int | None = 0,
    window: int = WINDOW_PX,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure regions, such as superpixels or objects, one row each.

    The values are those of `skimage.measure.regionprops_table`, to rounding. Picture and labels are read
    window by window, so neither needs to fit into memory. Sums of whole numbers of up to 32 bits are exact:
    no window can change a value.

    Parameters
    ----------
    image : (H, W[, C]) array_like, or None
        Booleans, integers or floats: anything with shape, dtype and slicing. None to measure shape alone.
        All channels are measured, a fourth, too.
    labels : (H, W) array_like of integers
        The region of each pixel. Numbers may be missing, and a region may be in several pieces.
    properties : sequence of str, optional
        Names as scikit-image has them, those that it had before included: ``label``, ``area``,
        ``area_bbox``, ``axis_major_length``, ``axis_minor_length``, ``bbox``, ``centroid``, ``eccentricity``,
        ``equivalent_diameter_area``, ``extent``, ``inertia_tensor``, ``inertia_tensor_eigvals``,
        ``intensity_max``, ``intensity_mean``, ``intensity_min``, ``intensity_std``, ``num_pixels``,
        ``orientation``, ``perimeter``, ``perimeter_crofton``. By default label, area, bbox, centroid,
        eccentricity and perimeter, and of an image mean, std, min and max of the intensity.
    spacing : float or sequence of two floats, optional
        Size of a pixel along rows and columns: the unit of areas, lengths and centroids. A bbox and
        ``num_pixels`` are in pixels. Perimeters are of square pixels: asked for with any others, they are
        refused, and by default left out.
    channel_axis : int or None, optional
        Axis of `image` that holds the channels, None for grey.
    channel_names : sequence of str, optional
        Stand after the name of an intensity, ``intensity_mean-DAPI``, in place of the channel's number.
    background : int or None, optional
        Label of what is no region; None if there is none.
    window : int, optional
        Side of a window in pixels, at most 32,768, which sets the memory needed.
    progress : callable, optional
        ``progress(done, total)``, in windows.

    Returns
    -------
    dict of (n,) array
        Columns by name, rows in the order of labels: ``pandas.DataFrame(table)`` makes a frame of it.
        Of a property of several values each has a column: ``bbox-0`` to ``bbox-3``, ``centroid-0`` (rows),
        ``centroid-1`` (columns), and ``intensity_mean-0`` and so on where the image has channels.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    See Also
    --------
    region_graph : which regions touch.
    PCNetHierarchy.features : area and mean intensities of superpixels, without reading the image again.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import region_table
    >>> labels = np.array([[1, 1, 7], [1, 1, 7]])
    >>> image = np.array([[10, 20, 5], [30, 40, 7]])
    >>> table = region_table(image, labels, ["label", "area", "centroid", "intensity_mean"])
    >>> for name, column in table.items():
    ...     print(name, column.tolist())
    label [1, 7]
    area [4.0, 2.0]
    centroid-0 [0.5, 0.5]
    centroid-1 [0.5, 2.0]
    intensity_mean [25.0, 6.0]
    """
    given = measured(image, labels, channel_axis, background, window, progress)
    checked = options.spacing(spacing) or (1.0, 1.0)
    names = _names(properties, image is not None, checked)
    channels = arguments.channel_names(channel_names, given.channels)
    groups = frozenset(find(name).group for name in names)
    read = given.pixels if sums.INTENSITY in groups else None
    parts = []
    for _, part in gathered(read, given.channel_axis, given.labels, groups, given.background, given.side):
        parts.append(part)
        if progress is not None:
            progress(len(parts), given.windows)
    summed = sums.merge(parts)
    table: dict[str, NDArray[Any]] = {}
    for name in names:
        table |= columns_of(name, find(name).of(summed, checked), channels)
    return table


class Measured(NamedTuple):
    """What is measured, checked.

    Attributes
    ----------
    labels : (H, W) array
    pixels : (H, W[, C]) array or None
    channel_axis : int or None
    background : int or None
    side : int
        Of a window.
    """

    labels: Any
    pixels: Any
    channel_axis: int | None
    background: int | None
    side: int

    @property
    def channels(self) -> int | None:
        """How many; None for grey or without a picture."""
        return None if self.channel_axis is None else int(self.pixels.shape[self.channel_axis])

    @property
    def windows(self) -> int:
        """How many."""
        return len(windows_over(self.labels.shape, self.side, self.side))


def measured(
    image: Any, labels: Any, channel_axis: int | None, background: int | None, window: int, progress: Any
) -> Measured:
    """Check arguments of `region_table` that others have, too; `image` may be None."""
    regions = arguments.regions_of_plane(labels)
    ground = options.background(background)
    pixels, axis = None, None
    if image is not None:
        pixels, axis = arguments.pixels_of_regions(image, channel_axis, regions.shape)
    arguments.callback(progress, "progress")
    return Measured(regions, pixels, axis, ground, checked_window(window))


def gathered(
    pixels: Any,
    channel_axis: int | None,
    labels: Any,
    groups: frozenset[str],
    background: int | None,
    side: int,
) -> Iterator[tuple[NumberedWindow, sums.Sums]]:
    """Read a plane window by window, each once, and sum it up; `pixels` are None or ``(H, W[, C])``."""
    for window in numbered_windows(labels, side, background):
        here = None if pixels is None else read_pixels(pixels, channel_axis, window.core)
        yield window, sums.gather(window, groups, here)


def _names(properties: Any, has_image: bool, spacing: tuple[float, float]) -> list[str]:
    """Check the names of properties, or choose them."""
    is_square = spacing[0] == spacing[1]
    if properties is None:
        chosen = [*SHAPE_PROPERTIES, *(INTENSITY_PROPERTIES if has_image else ())]
        return [name for name in chosen if is_square or not _needs_squares(name)]
    given = options.as_list(properties)
    if not given or not all(isinstance(name, str) for name in given):
        raise ValueError(f"properties must be a list of names, got {options.shown(properties)}")
    for name in given:
        if find(name).group == sums.INTENSITY and not has_image:
            raise ValueError(f"{name} is of the intensity: it needs an image")
        if _needs_squares(name) and not is_square:
            raise ValueError(f"{name} is known of square pixels, got spacing={spacing}; leave it out")
    return given


def _needs_squares(name: str) -> bool:
    return find(name).group in (sums.OUTLINE, sums.CROSSINGS)


def checked_window(value: Any) -> int:
    """Check the side of a window."""
    side = options.whole_number(value, "window")
    if side > WIDEST_PX:
        raise ValueError(f"window must be at most {WIDEST_PX} pixels, got {side}")
    return side
