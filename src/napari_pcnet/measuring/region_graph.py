"""The graph of regions: which touch, along how much of a border, and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import arguments, options
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.measuring import borders, sums
from napari_pcnet.measuring.properties import PROPERTIES
from napari_pcnet.measuring.region_table import WINDOW_PX, checked_window, gathered
from napari_pcnet.measuring.windows import numbered_windows

if TYPE_CHECKING:
    import networkx as nx
    from skimage.graph import RAG


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class RegionGraph:
    """Regions and the pairs of them that share a border.

    Attributes
    ----------
    label : (n,) int64 array
        Of each region, increasing.
    area : (n,) int64 array
        Pixels.
    intensity_mean : (n, C) float64 array
        Mean of each channel; ``(n, 0)`` without a picture.
    edges : (e, 2) int64 array
        Labels of regions that touch along a side of a pixel, the smaller first, sorted.
    border : (e,) float64 array
        Length of the border that they share: sides of pixels, in the unit of `spacing`.
    contrast : (e,) float64 array
        Distance of their mean intensities, over all channels; NaN without a picture.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import region_graph
    >>> graph = region_graph(np.array([[1, 1, 7], [4, 4, 7]]), np.array([[0, 2, 5], [9, 9, 5]]))
    >>> graph.edges.tolist(), graph.border.tolist(), graph.contrast.tolist()
    ([[1, 4], [1, 7], [4, 7]], [2.0, 1.0, 1.0], [8.0, 4.0, 4.0])
    """

    label: NDArray[np.int64]
    area: NDArray[np.int64]
    intensity_mean: NDArray[np.float64]
    edges: NDArray[np.int64]
    border: NDArray[np.float64]
    contrast: NDArray[np.float64]

    def as_networkx(self) -> nx.Graph:
        """Return the graph for networkx: nodes are labels.

        A node has ``area`` and, with a picture, ``intensity_mean``; an edge ``border`` and, with a picture,
        ``contrast``.
        """
        import networkx as nx

        graph = nx.Graph()
        means = [{"intensity_mean": mean} for mean in self.intensity_mean] if self._has_picture else []
        for at, (label, area) in enumerate(zip(self.label.tolist(), self.area.tolist(), strict=True)):
            graph.add_node(label, area=area, **(means[at] if means else {}))
        contrasts = self.contrast.tolist() if self._has_picture else []
        for at, (ends, border) in enumerate(zip(self.edges.tolist(), self.border.tolist(), strict=True)):
            graph.add_edge(*ends, border=border, **({"contrast": contrasts[at]} if contrasts else {}))
        return graph

    def as_rag(self) -> RAG:
        """Return the graph as scikit-image's ``rag_mean_color`` makes it, for its cuts and merges.

        Two regions that meet in a corner alone do not touch, as with ``connectivity=1``, and what is no
        region is no node. An edge has the contrast as its ``weight`` (without a picture the border), and the
        length as ``border``.
        """
        from skimage.graph import RAG

        graph = RAG()
        nodes = zip(self.label.tolist(), self.area.tolist(), self.intensity_mean, strict=True)
        for label, area, mean in nodes:
            colour = {"total color": mean * area, "mean color": mean} if self._has_picture else {}
            graph.add_node(label, labels=[label], **{"pixel count": area}, **colour)
        weights = self.contrast if self._has_picture else self.border
        rows = zip(self.edges.tolist(), weights.tolist(), self.border.tolist(), strict=True)
        for ends, weight, border in rows:
            graph.add_edge(*ends, weight=weight, border=border)
        return graph

    @property
    def _has_picture(self) -> bool:
        return bool(self.intensity_mean.shape[1])


def region_graph(
    regions: Any,
    image: Any = None,
    *,
    n: int | None = None,
    spacing: float | Sequence[float] | None = None,
    channel_axis: int | None = -1,
    background: int | None = 0,
    window: int = WINDOW_PX,
) -> RegionGraph:
    """Find which regions touch, along how much of a border, and how they differ.

    Parameters
    ----------
    regions : (..., H, W) array_like of integers, or PCNetHierarchy
        The region of each pixel; of a stack each plane is looked at by itself. Or superpixels at every count,
        of which areas and mean intensities are known: then no picture is needed.
    image : (H, W[, C]) array_like, optional
        The picture, for mean intensities and contrast, of labels of one plane.
    n : int, optional
        How many superpixels a plane, of a hierarchy; by default its finest, all of ``n_base``.
    spacing : float or sequence of two floats, optional
        Size of a pixel along rows and columns, the unit of the border's length; by default 1.
    channel_axis, background, window
        As in `region_table`. Of a hierarchy the background is what lies outside its mask.

    Returns
    -------
    RegionGraph
        Arrays; ``as_networkx()`` and ``as_rag()`` make graphs of them.

    Raises
    ------
    ValueError, TypeError
        One sentence that says what came and what would do.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_pcnet import region_graph
    >>> labels = np.repeat([[1, 1, 2, 3]], 5, axis=0)
    >>> graph = region_graph(labels, labels * 10.0)
    >>> sorted(graph.as_networkx().edges(data="contrast"))
    [(1, 2, 10.0), (2, 3, 10.0)]
    """
    sides = options.spacing(spacing) or (1.0, 1.0)
    step = checked_window(window)
    if isinstance(regions, PCNetHierarchy):
        if image is not None:
            raise TypeError("image is not looked at again: a hierarchy knows the intensities of its regions")
        return _of_hierarchy(regions, n, sides, step)
    if n is not None:
        raise TypeError("n is the count of a cut, and of labels there is one; pass the hierarchy")
    labels = arguments.regions(regions)
    ground = options.background(background)
    pixels, axis = None, None
    if image is not None:
        shape = arguments.regions_of_plane(labels).shape
        pixels, axis = arguments.pixels_of_regions(image, channel_axis, shape)
    groups = frozenset([sums.INTENSITY])
    parts, found = [], []
    for index in np.ndindex(tuple(labels.shape[:-2])):
        plane = labels[index] if index else labels  # a store would read all of it for an empty index
        for numbered, part in gathered(pixels, axis, plane, groups, ground, step):
            parts.append(part)
            found.append(borders.borders_of(numbered))
    summed = sums.merge(parts)
    mean = PROPERTIES["intensity_mean"].of(summed, sides)
    return _graph(summed.label, summed.area, mean, borders.merge(found), sides)


def _of_hierarchy(tree: PCNetHierarchy, n: int | None, sides: tuple[float, float], step: int) -> RegionGraph:
    cut = tree.cut(tree.n_base if n is None else n, nearest=n is None)
    features = cut.features
    means = [values for name, values in features.items() if name.startswith("intensity_mean")]
    planes = cut.labels.reshape(-1, *cut.labels.shape[-2:])
    windows = (window for plane in planes for window in numbered_windows(plane, step, tree.start_label - 1))
    found = borders.merge(map(borders.borders_of, windows))
    label, area = (features[name].astype(np.int64) for name in ("label", "area"))
    return _graph(label, area, np.column_stack(means), found, sides)


def _graph(
    label: NDArray[np.int64],
    area: NDArray[np.int64],
    mean: NDArray[np.float64],
    found: borders.Borders,
    sides: tuple[float, float],
) -> RegionGraph:
    edges, shared = found
    length = shared @ np.array([sides[1], sides[0]])  # a horizontal side is as long as a pixel is wide
    one, other = np.searchsorted(label, edges).T
    contrast = np.full(len(edges), np.nan)
    if mean.shape[1]:
        contrast = np.linalg.norm(mean[one] - mean[other], axis=1)
    return RegionGraph(label, area, mean, edges, length, contrast)
