"""From a picture to its superpixels: the network, the base, the tree; or the paper's lattice.

The public functions, a run on many planes and the training of the merge classifier all go through here. An
image has become a `Picture` by the checks (`arguments`); it becomes a `Base` by the network
(`network.inference`), and a `Tree` (`merging.tree`).
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from napari_pcnet import weights
from napari_pcnet.disk import files
from napari_pcnet.disk.memory import give_back
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.picture import COLOUR_STEPS, Picture
from napari_pcnet.hierarchy import Measures, PCNetHierarchy, smooth_plane
from napari_pcnet.merging.connectivity import number_by_first, owners
from napari_pcnet.merging.cost import MergeClassifier
from napari_pcnet.merging.crumbs import largest_px
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.merging.joining import Rule
from napari_pcnet.merging.regions import RegionTable, compares_channels, lab_sums, look_up
from napari_pcnet.merging.rounds import Observer
from napari_pcnet.merging.streamed import StreamedIds
from napari_pcnet.merging.tree import Tree, build, build_using_up
from napari_pcnet.network import checkpoint
from napari_pcnet.network.inference import Base, Elsewhere, WindowDone, segment_base
from napari_pcnet.network.machine import choose_device
from napari_pcnet.network.model import PCNet
from napari_pcnet.network.prepared import PreparedNetwork, prepare
from napari_pcnet.options import Options, Precision
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import Labels
from napari_pcnet.stages import stage, timed

CHANNEL_SPAN = 100.0
"""What a channel of a picture that is neither grey nor RGB is stretched to, as L of CIELAB is."""

CELLS_FOR_EACH = 2
"""Cells for each superpixel from which on crumbs join before merging begins. Nearly all cells have a piece
that is no crumb; should these be fewer than the superpixels, the work begins again without."""

KEPT = 4
"""Networks that are kept ready: more than a comparison takes in turns. Ours take some 25 MB each."""


def segment(
    picture: Picture,
    options: Options,
    *,
    progress: Progress | None = None,
    confidence: bool = False,
    window_done: WindowDone | None = None,
    streamed: StreamedIds | None = None,
    most: int | None = None,
    elsewhere: Elsewhere | None = None,
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
    streamed : StreamedIds, optional
        Takes the base window by window: `PCNetHierarchy.table` then says its labels.
    most : int, optional
        If it is streamed: the largest count that will be asked for, so that crumbs may join before.
    elsewhere : Elsewhere, optional
        Labels the windows in place of this process.

    Returns
    -------
    PCNetHierarchy
        With a base of no pixels, and without measures, if it was streamed.
    """
    with timed() as timings:
        network = load_prepared(options)
        base = fine_base(
            picture,
            options,
            network,
            progress,
            window_done,
            confidence=confidence,
            streamed=streamed,
            most=most,
            elsewhere=elsewhere,
        )
        ids, measures = base.ids, tuple[Measures, ...]()
        if streamed is None:
            measures = (Measures.of(base.regions, base.confidence, picture),)
        else:  # the tree of a large picture needs the memory of its windows
            picture.forget()
            give_back()
        with stage("tree"):
            graph = region_graph(base, options, uses_up=True)
            del base  # what merging does not need makes room for it
            tree = build_using_up(graph, options, network.classifier, threads=threads(elsewhere))
    first, smoothing, spacing = options.start_label, options.smoothing, options.spacing
    return PCNetHierarchy(ids, (tree,), measures, first, smoothing, spacing, timings)


def segment_lattice(
    picture: Picture,
    options: Options,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> Labels:
    """Segment a plane the paper's way: about `options.n_segments` cells; small pieces go to neighbours."""
    base = lattice_base(picture, options, progress, elsewhere=elsewhere)
    with stage("look-up"):
        labels = look_up(lattice_table(base.regions, options), base.ids)
    if options.smoothing:
        smooth_plane(labels, options.smoothing, options.spacing, options.start_label)
    return labels


def lattice_grid(shape: tuple[int, int], share_inside: float, options: Options) -> Grid:
    """The lattice of about `options.n_segments` cells in this share of a picture."""
    cells = max(1, round(options.n_segments / share_inside))
    return Grid.of_count(shape, cells, options.pixel_sides)


def first_grid(shape: tuple[int, int], share_inside: float, options: Options) -> Grid:
    """The lattice that is tried first, of a picture of which this share is to be segmented."""
    if options.method == "lattice":
        return lattice_grid(shape, share_inside, options)
    inside_px, fineness = round(share_inside * math.prod(shape)), load_prepared(options).fineness
    return Grid.for_count(shape, options.n_segments, inside_px, options.pixel_sides, fineness)[0]


def lattice_base(
    picture: Picture,
    options: Options,
    progress: Progress | None = None,
    streamed: StreamedIds | None = None,
    elsewhere: Elsewhere | None = None,
) -> Base:
    """Label with the lattice of about `options.n_segments` cells."""
    grid, network = lattice_grid(picture.shape, picture.share_inside, options), load_prepared(options)
    return segment_base(
        picture, grid, network, progress, window_px=options.window, streamed=streamed, elsewhere=elsewhere
    )


def lattice_table(table: RegionTable, options: Options) -> Labels:
    """Label of each region of the base of a lattice, and last of what is outside."""
    owner = owners(table.cells, table.area, table.edges, table.border.sum(axis=1))
    numbers = np.append(number_by_first(owner) + options.start_label, options.start_label - 1)
    return numbers.astype(np.int32)


def fine_base(
    picture: Picture,
    options: Options,
    network: PreparedNetwork,
    progress: Progress | None = None,
    window_done: WindowDone | None = None,
    *,
    confidence: bool = False,
    streamed: StreamedIds | None = None,
    most: int | None = None,
    elsewhere: Elsewhere | None = None,
) -> Base:
    """Label with the coarsest lattice whose base is fine enough for `options.n_segments`.

    Where not even the finest is, each pixel is a region, so that every count up to the pixels can be had.
    Where `most` says that no more are asked for, and the lattice has clearly more cells, crumbs have joined.
    """

    def base_of(grid: Grid, rule: Rule | None = None, *, single_pixels: bool = False) -> Base:
        return segment_base(
            picture,
            grid,
            network,
            progress,
            window_done,
            window_px=options.window,
            confidence=confidence,
            single_pixels=single_pixels,
            streamed=streamed,
            rule=rule,
            elsewhere=elsewhere,
        )

    number = options.n_segments
    grids = Grid.for_count(
        picture.shape, number, picture.pixels_inside, options.pixel_sides, network.fineness
    )
    wanted = 0.0
    for grid in grids:
        if grid.cells < wanted and grid is not grids[-1]:
            continue
        base = base_of(grid, None if most is None else crumb_rule(grid, most, picture.share_inside, options))
        if base.pieces >= number:
            if most is None or base.gives(most):
                return base
            del base
            return base_of(grid)
        wanted = grid.cells * number / base.pieces
    return base_of(grids[-1], single_pixels=True)


def crumb_rule(grid: Grid, most: int, share_inside: float, options: Options) -> Rule | None:
    """By what rule crumbs may join before merging begins; None where they may be asked for, or are none.

    Parameters
    ----------
    grid : Grid
    most : int
        The largest count that will be asked for.
    share_inside : float
        Of the picture.
    options : Options
    """
    is_far = most * CELLS_FOR_EACH <= grid.cells * share_inside
    if not is_far or largest_px(grid.cell_area) < 1:
        return None
    return Rule(_side_lengths(options), grid.cell_area)


def _side_lengths(options: Options) -> tuple[float, float]:
    """Length of a horizontal and of a vertical side: the former are as long as a pixel is wide."""
    down, across = options.pixel_sides
    return across, down


def label_table(base: Base, options: Options) -> Labels:
    """Label of each region of a base in the cut at `options.n_segments`, and last of what is outside."""
    graph = region_graph(base, options, uses_up=True)
    tree = build_using_up(graph, options, load_prepared(options).classifier, threads=threads())
    return PCNetHierarchy(base.ids, (tree,), (), options.start_label).table(options.n_segments)


def merge_base(
    base: Base, classifier: MergeClassifier | None, options: Options, observer: Observer | None = None
) -> Tree:
    """Merge regions by mean colour, outline and what the network says, in the units that merging compares."""
    graph = region_graph(base, options)
    return build(graph.features, graph.edges, graph.lines, options, classifier, observer)


def region_graph(base: Base, options: Options, *, uses_up: bool = False) -> Graph:
    """The regions of a base, in the units that merging compares; in their memory if that may be used up.

    Of the regions only areas, edges and lines stay then.
    """
    table, joined = base.regions, base.joined
    channels = table.colour.shape[1]
    if joined is None:
        lab = lab_sums(table.area, table.colour, table.colour if uses_up and channels == 3 else None)
    else:
        lab, joined = joined.lab.astype(np.int64), joined._replace(lab=joined.lab[:0].copy())
    features = Features(
        table.area,
        lab,
        lab,
        table.perimeter(uses_up=uses_up),
        base.grid.cell_area,
        sides=_side_lengths(options),
    )
    if compares_channels(channels):  # they weigh together as much as the three of a colour picture
        unit = CHANNEL_SPAN * math.sqrt(3 / channels) / COLOUR_STEPS
        features = replace(features, colour=table.colour, colour_unit=unit)
    lines = table.lines
    if lines.shape[1] == table.rim.shape[1]:  # without a boundary map
        lines = np.concatenate([lines, np.zeros_like(lines)], axis=1)
    return Graph(features, table.edges, lines, joined)


def threads(elsewhere: Elsewhere | None = None) -> int:
    """Threads for what is done when all windows are: the network's, or one for each process that waits."""
    return max(torch.get_num_threads(), elsewhere.sharing if elsewhere is not None else 1)


def load_prepared(options: Options) -> PreparedNetwork:
    """Load the network of a run and prepare it; the last `KEPT` are kept, for calls and threads to share."""
    with stage("weights"):
        device = torch.empty(0, device=choose_device(options.device).device).device  # with its number
        path = weights.locate(options.model)
        version = files.version_of(path)
        with _LOCKS.setdefault(os.getpid(), Lock()):  # of threads that call at once, one loads
            in_whole_numbers = _load_version(path, version).whole_numbers is not None
            has_one = in_whole_numbers or options.precision == "auto"
            return _prepare_version(path, version, device, "float32" if has_one else options.precision)


_LOCKS: dict[int, Lock] = {}
"""By process: a fork may be made while another thread holds the lock."""


@lru_cache(KEPT)
def _load_version(path: Path, version: files.Version) -> PCNet:  # noqa: ARG001  # the cache's key
    return checkpoint.load_model(path)


@lru_cache(KEPT)
def _prepare_version(
    path: Path, version: files.Version, device: torch.device, precision: Precision
) -> PreparedNetwork:
    return prepare(_load_version(path, version), device, precision)
