"""Superpixel methods by name: ours, with every weights file and way to a count, and the peers.

`MODEL/hierarchy` and `MODEL/lattice` name our methods, where MODEL is the name of shipped weights or
a file; a peer has a name of its own, see `peers`. Everything is in the image frame.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast, get_args

import numpy as np

from napari_pcnet import weights
from napari_pcnet.disk import files
from napari_pcnet.evaluation.peers import PEERS
from napari_pcnet.evaluation.segmenter import Pixels, Seams, Segmenter
from napari_pcnet.geometry.grid import CELL, Grid, whole_strides
from napari_pcnet.options import Method, Options
from napari_pcnet.shapes import Labels

DEFAULT = f"{Options.model}/{Options.method}"
"""Name of what `pcnet_superpixels` does by default."""


@dataclass(frozen=True)
class OurMethod:
    """One of our ways to superpixels, as a configuration asks for it.

    Attributes
    ----------
    model : str
        Name of shipped weights, or a file.
    method : {'hierarchy', 'lattice'}
        How the count is reached, as `method` of `pcnet_superpixels`.
    name : str
        As tables and plots call it; `MODEL/METHOD` if not given.
    compactness : float, optional
        Of the hierarchy; its own default if not given.
    smoothing : float
        Of the outlines, in pixels.
    divide : int
        Cut the image into this many parts along each side, segment each on its own and put the labels
        side by side: divide and conquer.
    windows : int
        Run the network in this many windows, with their halo, along the longer side; 0 for its own
        choice. The answer is meant not to depend on it.
    """

    model: str
    method: Method = Options.method
    name: str = ""
    compactness: float | None = None
    smoothing: float = 0.0
    divide: int = 1
    windows: int = 0

    def __post_init__(self) -> None:
        if self.divide < 1 or self.windows < 0:
            raise ValueError(
                f"divide must be at least 1 and windows at least 0, got {self.divide} and {self.windows}"
            )
        if (self.windows or self.divide > 1) and self.method == "hierarchy":
            raise ValueError("divide and windows go with method = 'lattice' alone")
        if self.windows and self.divide > 1:
            raise ValueError("divide and windows do not go together")
        if self.smoothing and self.method == "lattice":
            raise ValueError("smoothing goes with method = 'hierarchy' alone")

    @property
    def heading(self) -> str:
        """Its name, given or made."""
        return self.name or f"{self.model}/{self.method}"


# ------------------------------------------------------------------------------------- ours


def ours(asked: OurMethod) -> Segmenter:
    """Return one of our ways as a method.

    Raises
    ------
    ValueError, FileNotFoundError
        If the weights are unknown or not there.
    """
    method = _hierarchy(asked) if asked.method == "hierarchy" else _lattice(asked)
    return _divided(method, asked.divide) if asked.divide > 1 else method


def _hierarchy(asked: OurMethod) -> Segmenter:
    """What `pcnet_superpixels` does by default, a call for each count."""
    weight = Options.compactness if asked.compactness is None else asked.compactness
    shape = f"compactness {weight:g}"
    if asked.smoothing:
        shape += f", smoothing {asked.smoothing:g}"
    return Segmenter(
        name=asked.heading,
        segment=partial(
            _pcnet, method="hierarchy", model=asked.model, compactness=weight, smoothing=asked.smoothing
        ),
        imports=("napari_pcnet.superpixels", "torch"),
        settings=f"hierarchy of each count, {weights_described(asked.model)}, {shape}",
    )


def _lattice(asked: OurMethod) -> Segmenter:
    """The paper's way to a count: the image resampled so that cells stay 16 pixels."""
    windows = f", {asked.windows} windows a side" if asked.windows else ""
    return Segmenter(
        name=asked.heading,
        segment=partial(_windowed, model=asked.model, windows=asked.windows),
        imports=("napari_pcnet.superpixels", "torch"),
        settings=f"lattice, {weights_described(asked.model)}{windows}",
        seams=partial(_window_seams, windows=asked.windows) if asked.windows else None,
    )


def _divided(method: Segmenter, divide: int) -> Segmenter:
    """Divide and conquer with a method: each part of the image for itself."""
    return Segmenter(
        name=method.name,
        segment=partial(_divide_and_conquer, method=method, divide=divide),
        imports=method.imports,
        settings=f"{method.settings}, divided {divide} x {divide}",
        seams=partial(_division_seams, divide=divide),
    )


# The options differ between hierarchy and lattice; pcnet_superpixels itself checks them.
def _pcnet(image: Pixels, n_segments: int, **options: Any) -> Labels:
    from napari_pcnet.superpixels import pcnet_superpixels

    labels: Labels = pcnet_superpixels(image, n_segments, **options)
    return labels


def _windowed(image: Pixels, n_segments: int, model: str, windows: int) -> Labels:
    from napari_pcnet.network.inference import SmallerWindowsWarning

    grid = Grid.of_count((image.shape[0], image.shape[1]), n_segments)
    window = _window_px(grid, windows) if windows else None
    with warnings.catch_warnings():
        if windows:  # what is measured is these windows, not the smaller ones that fit instead
            warnings.simplefilter("error", SmallerWindowsWarning)
        try:
            return _pcnet(image, n_segments, method="lattice", model=model, window=window)
        except SmallerWindowsWarning as warning:
            raise MemoryError(str(warning)) from None


def _window_px(grid: Grid, windows: int) -> int:
    return whole_strides(math.ceil(max(grid.work_shape) / windows))


def _window_seams(shape: tuple[int, int], n_segments: int, windows: int) -> Seams:
    grid = Grid.of_count(shape, n_segments)
    core_px = _window_px(grid, windows)
    cut = [set(_lines_of(grid, axis, core_px)) for axis in (0, 1)]
    lattice = [set(_lines_of(grid, axis, CELL)) for axis in (0, 1)]
    return _seams(cut, lattice)


def _lines_of(grid: Grid, axis: int, step_px: int) -> list[int]:
    """First image row (column) of each step of work pixels but the first."""
    starts = np.arange(step_px, grid.work_shape[axis], step_px)
    lines: list[int] = np.searchsorted(grid.work_position(axis), starts).tolist()
    return lines


def _seams(cut: list[set[int]], lattice: list[set[int]]) -> Seams:
    rest = [sorted(every - own) for every, own in zip(lattice, cut, strict=True)]
    return Seams((sorted(cut[0]), sorted(cut[1])), (rest[0], rest[1]))


def _divide_and_conquer(image: Pixels, n_segments: int, method: Segmenter, divide: int) -> Labels:
    if divide > min(image.shape[:2]):
        raise ValueError(f"divide must be at most the image's shorter side, {min(image.shape[:2])}")
    labels = np.empty(image.shape[:2], np.int64)
    taken = 0
    rows, columns = ([0, *_inner_edges(int(side), divide), int(side)] for side in image.shape[:2])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            part = np.ascontiguousarray(image[top:bottom, left:right])
            own = method(part, _share(n_segments, divide))
            labels[top:bottom, left:right] = own + taken
            taken += int(own.max()) + 1
    return labels


def _division_seams(shape: tuple[int, int], n_segments: int, divide: int) -> Seams:
    edges = [[0, *_inner_edges(side, divide), side] for side in shape]
    cut = [set(own[1:-1]) for own in edges]
    lattice: list[set[int]] = [set(), set()]
    for top, bottom in pairwise(edges[0]):
        for left, right in pairwise(edges[1]):
            part = Grid.of_count((bottom - top, right - left), _share(n_segments, divide))
            lattice[0].update(top + line for line in _lines_of(part, 0, CELL))
            lattice[1].update(left + line for line in _lines_of(part, 1, CELL))
    return _seams(cut, lattice)


def _share(n_segments: int, divide: int) -> int:
    """Superpixels of each part."""
    return max(1, round(n_segments / divide**2))


def _inner_edges(side: int, divide: int) -> list[int]:
    return [side * part // divide for part in range(1, divide)]


def weights_described(model: str) -> str:
    """Name of weights and the beginning of their hash."""
    # The digest, since a file of one's own may change under its name.
    return f"{model} (sha256 {files.sha256_of(weights.locate(model))[:12]})"


# ----------------------------------------------------------------------------------- choice


def known() -> tuple[str, ...]:
    """Names of all methods with shipped weights, ours first."""
    shipped = [f"{record.name}/{method}" for record in weights.records() for method in get_args(Method)]
    return (*shipped, *(peer.name for peer in PEERS))


def usual() -> tuple[str, ...]:
    """Names of those that a comparison takes if it names none: all but slow ones and further settings."""
    on_request = {peer.name for peer in PEERS if peer.on_request}
    return tuple(name for name in known() if name not in on_request)


@dataclass(frozen=True)
class Choice:
    """The methods of one run: those that can run, and a sentence for each that can't."""

    methods: tuple[Segmenter, ...]
    skipped: tuple[str, ...]


def choose(names: Sequence[str], asked: Sequence[OurMethod] = ()) -> Choice:
    """Return the methods asked for; those whose packages are missing are named and skipped.

    Parameters
    ----------
    names : sequence of str
        `MODEL/hierarchy`, `MODEL/lattice`, or names of peers. None, and nothing asked for: `usual`.
    asked : sequence of OurMethod
        Further ones of ours; they come first.

    Raises
    ------
    ValueError, FileNotFoundError
        If a name or weights are unknown, one name is there twice, or none can run.
    """
    if not names and not asked:
        names = usual()
    chosen = [*(ours(each) for each in asked), *(_named(name) for name in names)]
    headings = [method.name for method in chosen]
    twice = next((name for name in headings if headings.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two methods are called {twice!r}; give one of them another name")
    choice = available(chosen)
    if not choice.methods:
        raise ValueError(f"no method is left: {'; '.join(choice.skipped)}")
    return choice


def _named(name: str) -> Segmenter:
    model, slash, method = name.rpartition("/")
    if slash and method in get_args(Method):
        return ours(OurMethod(model, cast(Method, method)))
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise ValueError(f"no method is called {name!r}; there are {', '.join(known())}, and FILE/hierarchy")


def available(methods: Sequence[Segmenter]) -> Choice:
    """Part the methods that can run from those whose packages are missing."""
    missing = [method.missing() for method in methods]
    return Choice(
        methods=tuple(each for each, gap in zip(methods, missing, strict=True) if not gap),
        skipped=tuple(filter(None, missing)),
    )
