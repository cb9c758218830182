"""Features of regions, to tell classes by: intensity, texture, shape, neighbours, and the network's."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_pcnet import arguments
from napari_pcnet.learning.responses import RESPONSES, read_responses
from napari_pcnet.measuring import borders, sums
from napari_pcnet.measuring.properties import PROPERTIES
from napari_pcnet.measuring.region_table import Measured, measured
from napari_pcnet.measuring.windows import numbered_windows
from napari_pcnet.progress import Progress

if TYPE_CHECKING:
    from napari_pcnet.embedding import Embedding

WINDOW_PX = 512
"""Side of a window unless another is asked for: its responses take some 10 MB a channel."""

SHAPES = ("area", "eccentricity", "extent")

EMBEDDING = "embedding"
"""What names of the network's features begin with."""

MOST_PAIRED = 4
"""Channels of which the difference of each two is a feature: so many have 6 of them."""


def region_features(
    image: Any,
    labels: Any,
    *,
    channel_axis: int | None = -1,
    background: int | None = 0,
    embedding: bool = False,
    window: int = WINDOW_PX,
    progress: Progress | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure what tells the classes of regions apart.

    Picture and labels are read window by window, so neither needs to fit into memory, and windows change the
    values by no more than rounding does. Each is read once; with `embedding` labels are read twice, and the
    picture up to three times.

    Parameters
    ----------
    image : (H, W[, C]) array_like
        Booleans, integers or floats: anything with shape, dtype and slicing. All channels are measured.
    labels : (H, W) array_like of integers
        The region of each pixel, such as superpixels. Numbers may be missing.
    channel_axis : int or None, optional
        Axis of `image` that holds the channels, None for grey.
    background : int or None, optional
        Label of what is no region; None if there is none.
    embedding : bool, optional
        Whether to run a network on the picture, too, and to add the mean of what it sees of each region:
        `pcnet-v2`, always, in windows of its own. It gains little, and misleads a forest that knows few
        regions.
    window : int, optional
        Side of a window in pixels, which sets the memory needed besides the network's.
    progress : callable, optional
        ``progress(done, total)``, in windows.

    Returns
    -------
    dict of (n,) array
        Columns by name, one row for each label, in their order: ``label``; of each channel the mean and the
        standard deviation of the intensity, and the means of the gradient's length and of three bands of
        texture, from fine to coarse, in the picture's own values; of two to four channels the differences of
        their means; area in pixels, eccentricity and extent; and each mean over the neighbours, weighted by
        the length of the border, with how far the region's own intensity lies above it. A region with a pixel
        that is not finite has NaN in columns of that channel. With `embedding`, ``embedding-0`` and so on,
        from 0 to 127.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    See Also
    --------
    RegionForest : learns classes from such a table.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import region_features
    >>> labels = np.repeat([[1, 1, 1, 2, 2]], 4, axis=0)
    >>> table = region_features(labels * 10, labels)
    >>> [table[name].tolist() for name in ("label", "intensity_mean-0", "neighbours_intensity_mean-0")]
    [[1, 2], [10.0, 20.0], [20.0, 10.0]]
    """
    given = measured(arguments.array(image), labels, channel_axis, background, window, progress)
    seen = _embedding(given) if embedding else None
    total, done = given.windows + (0 if seen is None else seen.windows), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    groups = frozenset([sums.INTENSITY, sums.MOMENTS])
    parts, touching = [], []
    for numbered in numbered_windows(given.labels, given.side, given.background):
        responses = read_responses(given.pixels, given.channel_axis, numbered.core)
        parts.append(sums.gather(numbered, groups, responses))
        touching.append(borders.borders_of(numbered))
        tell()
    summed = sums.merge(parts)
    with np.errstate(invalid="ignore"):  # infinity less infinity is NaN
        table = _table(summed, borders.merge(touching), given.channels or 1)
    if seen is not None:
        means = seen.means(given.labels, given.background, summed.label, summed.area, tell)
        table |= {f"{EMBEDDING}-{at}": column for at, column in enumerate(means.T)}
    return table


def _embedding(given: Measured) -> Embedding:
    from napari_pcnet.embedding import Embedding  # torch takes long to load

    return Embedding(given.pixels, given.channel_axis)


def _table(summed: sums.Sums, touching: borders.Borders, channels: int) -> dict[str, NDArray[Any]]:
    """The columns of all features."""
    mean, deviation = (PROPERTIES[f"intensity_{name}"].of(summed, (1, 1)) for name in ("mean", "std"))
    means = {f"intensity_mean-{channel}": mean[:, channel] for channel in range(channels)}
    for at, answers in enumerate(np.split(mean[:, channels:], channels, axis=1)):
        means |= {f"{name}-{at}": column for name, column in zip(RESPONSES, answers.T, strict=True)}
    if channels <= MOST_PAIRED:
        for one, other in combinations(range(channels), 2):
            means[f"intensity_difference-{one}-{other}"] = mean[:, one] - mean[:, other]
    around = _around(np.column_stack([*means.values()]), summed.label, touching)
    table: dict[str, NDArray[Any]] = {"label": summed.label, **means}
    table |= {f"intensity_std-{channel}": deviation[:, channel] for channel in range(channels)}
    table |= {name: PROPERTIES[name].of(summed, (1, 1)) for name in SHAPES}
    table |= {f"neighbours_{name}": around[:, at] for at, name in enumerate(means)}
    for at in range(channels):  # which come first
        table[f"contrast-{at}"] = mean[:, at] - around[:, at]
    return table


def _around(
    values: NDArray[np.float64], label: NDArray[np.int64], touching: borders.Borders
) -> NDArray[np.float64]:
    """Means over the neighbours of each region, weighted by the border; of one without any, its own values.

    Neighbours with a value that is not finite do not count.
    """
    edges, sides = touching
    one, other = np.searchsorted(label, edges).T
    length = sides.sum(axis=1).astype(np.float64)
    shape = (len(label), len(label))
    half = sparse.csr_array((length, (one, other)), shape=shape)
    known = np.asarray(np.isfinite(values).all(axis=1))
    weights = (half + half.T) @ sparse.diags_array(known.astype(np.float64))
    total, weight = weights @ np.where(known[:, None], values, 0.0), weights.sum(axis=1)[:, None]
    mean: NDArray[np.float64] = np.divide(total, weight, out=values.copy(), where=weight > 0)
    return mean
