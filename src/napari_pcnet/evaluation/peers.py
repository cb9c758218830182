"""The peers: superpixel methods that people use today, each at the settings that its entry names.

To add one, write its function and its entry in `PEERS`. `image` is (H, W, 3) uint8 RGB, labels are
(H, W) integers. Packages are imported when a method first runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.evaluation.segmenter import CutAt, Pixels, Segmenter
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.shapes import Labels


def _skimage_slic(image: Pixels, n_segments: int, compactness: float) -> Labels:
    from skimage.segmentation import slic

    labels: Labels = slic(image, n_segments, compactness=compactness, start_label=1)
    return labels


FELZENSZWALB_MIN_SIZE_PX = 20
FELZENSZWALB_SIGMA = 0.8
FELZENSZWALB_SCALES = (0.1, 1e4)
FELZENSZWALB_TRIES = 8


def _skimage_felzenszwalb(image: Pixels, n_segments: int) -> Labels:
    """Graph-based segments, whose scale is steered until their count comes nearest to `n_segments`."""
    from skimage.segmentation import felzenszwalb

    low, high = np.log(FELZENSZWALB_SCALES)
    best: Labels | None = None
    missed_by = math.inf
    for _ in range(FELZENSZWALB_TRIES):
        middle = (low + high) / 2
        labels: Labels = felzenszwalb(image, math.exp(middle), FELZENSZWALB_SIGMA, FELZENSZWALB_MIN_SIZE_PX)
        count = int(labels.max()) + 1
        if abs(count - n_segments) < missed_by:
            best, missed_by = labels, abs(count - n_segments)
        low, high = (middle, high) if count > n_segments else (low, middle)
    assert best is not None
    return best


def _fast_slic(image: Pixels, n_segments: int, compactness: float) -> Labels:
    from fast_slic import Slic

    slic = Slic(num_components=n_segments, compactness=compactness)
    labels = np.asarray(slic.iterate(np.ascontiguousarray(image)), np.int16)
    return labels.view(np.uint16)  # as it counts inside: int16 turns labels from 2**15 on negative


SNIC_COMPACTNESS = 10.0


def _snic(image: Pixels, n_segments: int) -> Labels:
    """SNIC from seeds on a near-square lattice, as published; the package's own is not square."""
    from pysnic.algorithms.snic import snic
    from skimage.color import rgb2lab

    grid = Grid.of_count((image.shape[0], image.shape[1]), n_segments)
    rows, columns = (
        [int((2 * k + 1) * side / (2 * cells)) for k in range(cells)]
        for side, cells in zip(grid.image_shape, grid.lattice, strict=True)
    )
    seeds = [[column, row] for row in rows for column in columns]
    labels, _, _ = snic(rgb2lab(image).tolist(), seeds, SNIC_COMPACTNESS)
    return np.asarray(labels)


OPENCV_ITERATIONS = 10
OPENCV_MIN_ELEMENT_PERCENT = 25
OPENCV_RULER = 10.0
LSC_RATIO = 0.075
SEEDS_LEVELS = 4
SEEDS_PRIOR = 2
SEEDS_BINS = 5


def _opencv_slic(image: Pixels, n_segments: int, algorithm: str) -> Labels:
    import cv2

    superpixels = cv2.ximgproc.createSuperpixelSLIC(
        _lab8(image),
        getattr(cv2.ximgproc, algorithm),
        _region_size_px(image, n_segments),
        OPENCV_RULER,
    )
    superpixels.iterate(OPENCV_ITERATIONS)
    superpixels.enforceLabelConnectivity(OPENCV_MIN_ELEMENT_PERCENT)
    return np.asarray(superpixels.getLabels())


def _opencv_lsc(image: Pixels, n_segments: int) -> Labels:
    import cv2

    region_size_px = _region_size_px(image, n_segments)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # several add up in any order, and labels differ from run to run
    try:
        superpixels = cv2.ximgproc.createSuperpixelLSC(_lab8(image), region_size_px, LSC_RATIO)
        superpixels.iterate(OPENCV_ITERATIONS)
        superpixels.enforceLabelConnectivity(OPENCV_MIN_ELEMENT_PERCENT)
        return np.asarray(superpixels.getLabels())
    finally:
        cv2.setNumThreads(threads)


def _opencv_seeds(image: Pixels, n_segments: int) -> Labels:
    import cv2

    height, width, channels = image.shape
    side_px = _region_size_px(image, n_segments)
    if side_px < 2 or min(height, width) < 2 * side_px:  # where the library may take the process with it
        raise ValueError(f"{height} x {width} pixels do not hold superpixels of {side_px} x {side_px}")
    superpixels = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, channels, n_segments, SEEDS_LEVELS, SEEDS_PRIOR, SEEDS_BINS
    )
    superpixels.iterate(_lab8(image), OPENCV_ITERATIONS)
    return np.asarray(superpixels.getLabels())


def _lab8(image: Pixels) -> Pixels:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)


def _region_size_px(image: Pixels, n_segments: int) -> int:
    return max(round(math.sqrt(image.shape[0] * image.shape[1] / n_segments)), 1)


# ------------------------------------------------------------------------------------ nested


def _higra_watershed(image: Pixels) -> CutAt:
    """Hierarchical watershed by area, of the distance in CIELAB between 4-adjacent pixels.

    The gradient is that of Perret, Cousty, Guimaraes and Maia, *Evaluation of Hierarchical
    Watersheds*, 2018.
    """
    import higra

    graph, colours = _pixel_graph(image)
    gradient = higra.weight_graph(graph, colours, higra.WeightFunction.L2)
    return _Cuts(*higra.watershed_hierarchy_by_area(graph, gradient, canonize_tree=False))


def _higra_ward(image: Pixels) -> CutAt:
    """Binary partition tree of the pixels' CIELAB colours by Ward's linkage."""
    import higra

    graph, colours = _pixel_graph(image)
    return _Cuts(*higra.binary_partition_tree_ward_linkage(graph, colours, altitude_correction="max"))


def _cut_of(image: Pixels, n_segments: int, nested: Callable[[Pixels], CutAt]) -> Labels:
    return nested(image)(n_segments)


# A graph and a tree of higra, which has no types.
def _pixel_graph(image: Pixels) -> tuple[Any, NDArray[np.float64]]:
    """Return the 4-adjacency graph of an image and the CIELAB colour of each pixel, (H W, 3)."""
    import higra
    from skimage.color import rgb2lab

    return higra.get_4_adjacency_graph(image.shape[:2]), rgb2lab(image).reshape(-1, 3)


class _Cuts:
    """Cuts of a binary tree: its last merges undone until there are n regions, no more and no less.

    Merges of equal altitude would all be undone at once; those with the higher number go first.
    """

    def __init__(self, tree: Any, altitudes: NDArray[np.float64]) -> None:
        self._tree, self._pixels = tree, tree.num_leaves()
        order = np.lexsort((np.arange(altitudes.size), altitudes))
        merges = order[order >= self._pixels]
        self._ranks = np.zeros(altitudes.size)  # of a leaf 0
        self._ranks[merges] = np.arange(1, merges.size + 1)

    def __call__(self, n_segments: int) -> Labels:
        import higra

        count = min(n_segments, self._pixels)
        labels = higra.labelisation_horizontal_cut_from_num_regions(self._tree, self._ranks, count)
        return np.asarray(labels, np.int64)


# -------------------------------------------------------------------------------------- list


def _of_skimage(name: str, compactness: float) -> Segmenter:
    segment = partial(_skimage_slic, compactness=compactness)
    settings = f"compactness {compactness:g}"
    return Segmenter(name, segment, ("skimage.segmentation",), "scikit-image", settings)


def _of_opencv(name: str, segment: Callable[[Pixels, int], Labels], settings: str) -> Segmenter:
    lab = f"8-bit Lab, {OPENCV_ITERATIONS} iterations, {settings}"
    return Segmenter(name, segment, ("cv2.ximgproc",), "opencv-contrib-python-headless", lab)


def _of_fast_slic(name: str, compactness: float, *, on_request: bool = False) -> Segmenter:
    # Its setup.py imports numpy and cython before it has declared them.
    install = "--no-build-isolation fast-slic, after cython, numpy and setuptools"
    segment = partial(_fast_slic, compactness=compactness)
    settings = f"compactness {compactness:g}"
    return Segmenter(name, segment, ("fast_slic",), install, settings, on_request=on_request)


def _of_higra(name: str, nested: Callable[[Pixels], CutAt], settings: str) -> Segmenter:
    graph = f"{settings}, CIELAB, 4-adjacent pixels, cut to exactly n"
    return Segmenter(
        name,
        partial(_cut_of, nested=nested),
        ("higra", "skimage.color"),
        "higra scikit-image",
        graph,
        nested=nested,
    )


_RULER = f"ruler {OPENCV_RULER:g}, connectivity {OPENCV_MIN_ELEMENT_PERCENT} %"

PEERS: tuple[Segmenter, ...] = (
    _of_skimage("skimage-slic-10", 10),
    _of_skimage("skimage-slic-20", 20),
    Segmenter(
        "skimage-felzenszwalb",
        _skimage_felzenszwalb,
        ("skimage.segmentation",),
        "scikit-image",
        f"sigma {FELZENSZWALB_SIGMA}, min_size {FELZENSZWALB_MIN_SIZE_PX}, "
        f"scale steered to the count in {FELZENSZWALB_TRIES} tries",
        on_request=True,
    ),
    _of_opencv("opencv-slic", partial(_opencv_slic, algorithm="SLIC"), _RULER),
    _of_opencv("opencv-slico", partial(_opencv_slic, algorithm="SLICO"), _RULER),
    _of_opencv(
        "opencv-lsc",
        _opencv_lsc,
        f"ratio {LSC_RATIO}, connectivity {OPENCV_MIN_ELEMENT_PERCENT} %",
    ),
    _of_opencv(
        "opencv-seeds",
        _opencv_seeds,
        f"{SEEDS_LEVELS} levels, prior {SEEDS_PRIOR}, {SEEDS_BINS} bins",
    ),
    _of_fast_slic("fast-slic", 10),
    *(_of_fast_slic(f"fast-slic-{each:g}", each, on_request=True) for each in (2.5, 5, 20, 40)),
    _of_higra("higra-watershed", _higra_watershed, "hierarchical watershed by area"),
    _of_higra("higra-ward", _higra_ward, "binary partition tree, Ward linkage"),
    Segmenter(
        "snic",
        _snic,
        ("pysnic.algorithms.snic",),
        "pysnic",
        f"Lab, compactness {SNIC_COMPACTNESS:g}",
        on_request=True,
    ),
)
"""In the order of tables. Entropy Rate Superpixels are missing: no package on PyPI has them."""
