"""From a picture to its superpixels: the network, the base, the tree; or the paper's lattice.

The public functions, a run on many planes and the training of the merge classifier all go through here. An
image has become a `Picture` by the checks (`arguments`); it becomes a `Base` by the network
(`network.inference`), and a `Tree` (`merging.tree`).
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from napari_pcnet import weights
from napari_pcnet.geometry.grid import MAX_SCALE, Grid
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture, network_channels
from napari_pcnet.hierarchy import Measures, PCNetHierarchy, smooth_plane
from napari_pcnet.merging.connectivity import number_by_first, owners
from napari_pcnet.merging.exact import lab_of_rgb
from napari_pcnet.merging.regions import look_up
from napari_pcnet.merging.tree import Features, Observer, Tree, build
from napari_pcnet.network import checkpoint
from napari_pcnet.network.inference import Base, InferenceOptions, WindowDone, segment_base
from napari_pcnet.network.model import PCNet
from napari_pcnet.options import Options
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import Labels

CHANNEL_SPAN = 100.0
"""What a channel of a picture that is neither grey nor RGB is stretched to, as L of CIELAB is."""


def segment(
    picture: Picture,
    options: Options,
    *,
    progress: Progress | None = None,
    confidence: bool = False,
    window_done: WindowDone | None = None,
) -> PCNetHierarchy:
    """Segment a plane into the hierarchy of which `options.n_segments` is the largest count asked for.

    Parameters
    ----------
    picture : Picture
        Has room for this many.
    options : Options
        Checked.
    progress, confidence, window_done
        As in `napari_pcnet.pcnet_hierarchy`.

    Returns
    -------
    PCNetHierarchy
    """
    model = load_model(options.model)
    base = fine_base(picture, options, model, _inference_options(options, confidence), progress, window_done)
    based = time.perf_counter()
    tree = merge_base(base, model, options)
    timings = {**base.timings, "tree": time.perf_counter() - based}
    measures = Measures.of(base.regions, base.confidence, picture)
    first, smoothing, spacing = options.start_label, options.smoothing, options.spacing
    return PCNetHierarchy(base.ids, (tree,), (measures,), first, smoothing, spacing, timings)


def segment_lattice(picture: Picture, options: Options, progress: Progress | None = None) -> Labels:
    """Segment a plane the paper's way: about `options.n_segments` cells; small pieces go to neighbours."""
    cells = max(1, round(options.n_segments / picture.share_inside))
    grid = Grid.of_count(picture.shape, cells, options.pixel_sides)
    base = segment_base(picture, grid, load_model(options.model), _inference_options(options), progress)
    table = base.regions
    owner = owners(table.cells, table.area, table.edges, table.border.sum(axis=1))
    numbers = np.append(number_by_first(owner) + options.start_label, options.start_label - 1)
    labels = look_up(numbers.astype(np.int32), base.ids)
    if options.smoothing:
        smooth_plane(labels, options.smoothing, options.spacing, options.start_label)
    return labels


def fine_base(
    picture: Picture,
    options: Options,
    model: PCNet,
    inference: InferenceOptions,
    progress: Progress | None = None,
    window_done: WindowDone | None = None,
) -> Base:
    """Label at the smallest whole enlargement whose base is fine enough for `options.n_segments`.

    Where not even the largest is, each pixel is a region, so that every count up to the pixels can be had.
    """
    number, spacing = options.n_segments, options.pixel_sides
    grid, scale = Grid.for_count(picture.shape, number, picture.pixels_inside, spacing)
    while True:
        base = segment_base(picture, grid, model, inference, progress, window_done)
        found = len(base.regions)
        if found >= number:
            return base
        if scale == MAX_SCALE:
            return segment_base(picture, grid, model, inference, progress, window_done, single_pixels=True)
        scale = min(MAX_SCALE, max(scale + 1, math.ceil(scale * math.sqrt(number / found))))
        grid = Grid.enlarged(picture.shape, scale, spacing)


def merge_base(base: Base, model: PCNet, options: Options, observer: Observer | None = None) -> Tree:
    """Merge regions by mean colour, outline and what the network says, in the units that merging compares."""
    table, spacing = base.regions, options.pixel_sides
    channels = table.colour.shape[1]
    rgb = [
        np.rint(table.colour[:, run].sum(axis=1) / (table.area * len(run)))
        for run in network_channels(channels)
    ]
    perimeter = table.rim.copy()
    for end, direction in product(table.edges.T, (0, 1)):  # of whole numbers below 2**53: exact in float64
        sides = np.bincount(end, weights=table.border[:, direction], minlength=len(perimeter))
        perimeter[:, direction] += sides.astype(np.int64)
    features = Features.of_lab(
        table.area,
        lab_of_rgb(np.stack(rgb, axis=1).astype(np.int64)),
        perimeter,
        base.grid.cell_area,
        (spacing[1], spacing[0]),  # horizontal sides are as long as a pixel is wide
    )
    if channels not in (1, 3):  # they weigh together as much as the three of a colour picture
        unit = CHANNEL_SPAN * math.sqrt(3 / channels) / COLOUR_STEPS
        features = replace(features, colour=table.colour, colour_unit=unit)
    strength = table.strength if table.strength.shape[1] else np.zeros_like(table.border)
    lines = np.concatenate([table.border, strength], axis=1)
    network = model.merge_classifier
    classifier = None if network is None else network.as_numpy()
    return build(features, table.edges, lines, options, classifier, observer)


def load_model(name_or_path: str | os.PathLike[str]) -> PCNet:
    """Load weights by name or path; the last two are kept."""
    path = weights.locate(name_or_path)
    status = path.stat()
    return _load_version(path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=2)
def _load_version(path: Path, version: tuple[int, int]) -> PCNet:  # noqa: ARG001  # the cache's key
    return checkpoint.load_model(path)


def _inference_options(options: Options, confidence: bool = False) -> InferenceOptions:
    return InferenceOptions(options.device, options.precision, options.window, confidence)
