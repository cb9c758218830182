"""What every superpixel method looks like to a benchmark: `labels = method(image, n_segments)`.

Everything is in the image frame: `image` is (H, W, 3) uint8 RGB, `labels` (H, W) integers.
Packages are imported when a method first runs; one that is not installed is named in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from importlib.metadata import packages_distributions
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_pcnet.shapes import Labels

Pixels: TypeAlias = NDArray[np.uint8]
"""An image, (H, W, 3) RGB."""

CutAt: TypeAlias = Callable[[int], Labels]
"""``labels = cut(n_segments)``, of one image."""


class Seams(NamedTuple):
    """Where an image is cut into windows, and the lines of the lattice that are not cut along.

    Rows and columns; each line lies before that of its index.
    """

    cut: tuple[list[int], list[int]]
    lattice: tuple[list[int], list[int]]


@dataclass(frozen=True)
class Segmenter:
    """One way to superpixels. It can be pickled, to be measured in a process of its own.

    Attributes
    ----------
    name : str
        As tables and the command line call it.
    segment : callable
        `labels = segment(image, n_segments)`.
    imports : tuple of str
        Modules it needs; the first one's package gives the version.
    install : str
        What to install when one is missing.
    settings : str
        Whatever else decides the labels, in words.
    seams : callable, optional
        `seams = seams((H, W), n_segments)`: where the method cuts an image of this shape into
        windows.
    on_request : bool
        Left out unless it is asked for by name.
    nested : callable, optional
        `cut = nested(image)` builds a hierarchy once, and `labels = cut(n_segments)` are those of
        `segment`: so that many counts of one image cost one hierarchy.
    """

    name: str
    segment: Callable[[Pixels, int], Labels]
    imports: tuple[str, ...] = ()
    install: str = ""
    settings: str = ""
    seams: Callable[[tuple[int, int], int], Seams] | None = None
    on_request: bool = False
    nested: Callable[[Pixels], CutAt] | None = None

    def __call__(self, image: Pixels, n_segments: int) -> Labels:
        """Segment the image into about `n_segments` superpixels."""
        return self.segment(image, n_segments)

    def cuts(self, image: Pixels) -> CutAt:
        """Return what segments this image into about as many superpixels as it is asked for."""
        return partial(self.segment, image) if self.nested is None else self.nested(image)

    def missing(self) -> str:
        """Return a sentence that names what is not installed; empty if the method can run."""
        for module in self.imports:
            try:
                import_module(module)
            except ImportError:
                return f"{self.name} skipped: {module} is not installed (pip install {self.install})"
        return ""

    def described(self) -> str:
        """Return settings and version: two runs that agree in both give the same labels."""
        versions = [_version_of(module.partition(".")[0]) for module in self.imports[:1]]
        return ", ".join([*versions, self.settings]) if self.settings else ", ".join(versions)


def _version_of(package: str) -> str:
    """Name and version of an installed package, by the name it is imported under."""
    version = getattr(import_module(package), "__version__", None)
    if version is None:
        (distribution, *_) = packages_distributions()[package]
        version = metadata.version(distribution)
    return f"{package} {version}"
