"""Superpixel methods under one signature: `labels = method(image, n_segments)`.

Ours and the peers that people use today. Everything is in the image frame: `image` is (H, W, 3)
uint8 RGB, `labels` (H, W) integers. To add a peer, write its function and its entry in `PEERS`.
Packages are imported when a method first runs; one that is not installed has its name said.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import weights

Image: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.integer]
Cut: TypeAlias = Callable[[int], Labels]
"""`labels = cut(n_segments)`, for an image already looked at."""

HIERARCHY = "pcnet-hierarchy"
LATTICE = "pcnet-lattice"


@dataclass(frozen=True)
class Method:
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
    prepare : callable, optional
        `cut = prepare(image, max_segments)`, for a method that looks at an image once and cuts
        it at any count.
    stages : callable, optional
        `seconds = stages(image, n_segments)`: where the time of one run goes, by stage.
    """

    name: str
    segment: Callable[[Image, int], Labels]
    imports: tuple[str, ...] = ()
    install: str = ""
    settings: str = ""
    prepare: Callable[[Image, int], Cut] | None = None
    stages: Callable[[Image, int], Mapping[str, float]] | None = None

    def __call__(self, image: Image, n_segments: int) -> Labels:
        """Segment the image into about `n_segments` superpixels."""
        return self.segment(image, n_segments)

    def cut(self, image: Image, max_segments: int) -> Cut:
        """Return `labels = cut(n_segments)` for one image and any count up to `max_segments`."""
        if self.prepare is None:
            return partial(self.segment, image)
        return self.prepare(image, max_segments)

    def missing(self) -> str:
        """Say what is not installed, in a sentence; empty if the method can run."""
        for module in self.imports:
            try:
                import_module(module)
            except ImportError:
                return f"{self.name} skipped: {module} is not installed (pip install {self.install})"
        return ""

    def described(self) -> str:
        """Return settings and version: two runs that agree in this give the same labels."""
        packages = [module.partition(".")[0] for module in self.imports[:1]]
        versions = [f"{each} {getattr(import_module(each), '__version__', '')}" for each in packages]
        return ", ".join(filter(None, [*versions, self.settings]))


# ------------------------------------------------------------------------------------- ours


def hierarchy(model: str, compactness: float | None = None) -> Method:
    """Return `pcnet_hierarchy` as a method: one tree for an image, cut at every count asked for."""
    weight = _default_compactness() if compactness is None else compactness
    return Method(
        name=HIERARCHY,
        segment=partial(_pcnet, method="hierarchy", model=model, compactness=weight),
        imports=("napari_pcnet.superpixels", "torch"),
        settings=f"{_weights_described(model)}, compactness {weight:g}",
        prepare=partial(_pcnet_tree, model=model, compactness=weight),
        stages=partial(_pcnet_stages, model=model, compactness=weight),
    )


def lattice(model: str) -> Method:
    """Return the paper's way to a count, shrinking the image so that cells stay 16 pixels."""
    return Method(
        name=LATTICE,
        segment=partial(_pcnet, method="lattice", model=model),
        imports=("napari_pcnet.superpixels", "torch"),
        settings=_weights_described(model),
    )


# The options differ between hierarchy and lattice; pcnet_superpixels itself checks them.
def _pcnet(image: Image, n_segments: int, **options: Any) -> Labels:
    from napari_pcnet.superpixels import pcnet_superpixels

    labels: Labels = pcnet_superpixels(image, n_segments, **options)
    return labels


def _pcnet_tree(image: Image, max_segments: int, model: str, compactness: float) -> Cut:
    from napari_pcnet.superpixels import pcnet_hierarchy

    tree = pcnet_hierarchy(image, max_segments, model=model, compactness=compactness)
    cut: Cut = tree.labels
    return cut


def _pcnet_stages(image: Image, n_segments: int, model: str, compactness: float) -> Mapping[str, float]:
    from napari_pcnet.superpixels import pcnet_hierarchy

    tree = pcnet_hierarchy(image, n_segments, model=model, compactness=compactness)
    start = time.perf_counter()
    tree.labels(n_segments)
    return {**tree.timings, "labels": time.perf_counter() - start}


def _default_compactness() -> float:
    from napari_pcnet.superpixels import pcnet_hierarchy

    return float(inspect.signature(pcnet_hierarchy).parameters["compactness"].default)


def _weights_described(model: str) -> str:
    # The digest, since a file of one's own may change under its name.
    return f"{model} (sha256 {weights.sha256_of(weights.locate(model))[:12]})"


# ------------------------------------------------------------------------------------ peers


def _skimage_slic(image: Image, n_segments: int, compactness: float) -> Labels:
    from skimage.segmentation import slic

    labels: Labels = slic(image, n_segments, compactness=compactness, start_label=1)
    return labels


OPENCV_ITERATIONS = 10
OPENCV_MIN_ELEMENT_PERCENT = 25
OPENCV_RULER = 10.0
LSC_RATIO = 0.075
SEEDS_LEVELS = 4
SEEDS_PRIOR = 2
SEEDS_BINS = 5


def _opencv_slic(image: Image, n_segments: int, algorithm: str) -> Labels:
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


def _opencv_lsc(image: Image, n_segments: int) -> Labels:
    import cv2

    region_size_px = _region_size_px(image, n_segments)
    superpixels = cv2.ximgproc.createSuperpixelLSC(_lab8(image), region_size_px, LSC_RATIO)
    superpixels.iterate(OPENCV_ITERATIONS)
    superpixels.enforceLabelConnectivity(OPENCV_MIN_ELEMENT_PERCENT)
    return np.asarray(superpixels.getLabels())


def _opencv_seeds(image: Image, n_segments: int) -> Labels:
    import cv2

    height, width, channels = image.shape
    superpixels = cv2.ximgproc.createSuperpixelSEEDS(
        width, height, channels, n_segments, SEEDS_LEVELS, SEEDS_PRIOR, SEEDS_BINS
    )
    superpixels.iterate(_lab8(image), OPENCV_ITERATIONS)
    return np.asarray(superpixels.getLabels())


def _lab8(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)


def _region_size_px(image: Image, n_segments: int) -> int:
    return max(round(math.sqrt(image.shape[0] * image.shape[1] / n_segments)), 1)


def _of_skimage(name: str, compactness: float) -> Method:
    segment = partial(_skimage_slic, compactness=compactness)
    settings = f"compactness {compactness:g}"
    return Method(name, segment, ("skimage.segmentation",), "scikit-image", settings)


def _of_opencv(name: str, segment: Callable[[Image, int], Labels], settings: str) -> Method:
    lab = f"8-bit Lab, {OPENCV_ITERATIONS} iterations, {settings}"
    return Method(name, segment, ("cv2.ximgproc",), "opencv-contrib-python-headless", lab)


_RULER = f"ruler {OPENCV_RULER:g}, connectivity {OPENCV_MIN_ELEMENT_PERCENT} %"

PEERS = (
    _of_skimage("skimage-slic-10", 10),
    _of_skimage("skimage-slic-20", 20),
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
)

NAMES = (HIERARCHY, LATTICE, *(peer.name for peer in PEERS))


# ----------------------------------------------------------------------------------- choice


@dataclass(frozen=True)
class Choice:
    """The methods of one run: those that can run, and a sentence for each that can't."""

    methods: tuple[Method, ...]
    skipped: tuple[str, ...]


def choose(names: Sequence[str], model: str, lattice_model: str, compactness: float | None = None) -> Choice:
    """Return the methods of these names; those whose packages are missing are named and skipped.

    Parameters
    ----------
    names : sequence of str
        Names out of `NAMES`.
    model, lattice_model : str
        Weights of our two methods.
    compactness : float, optional
        Weight of position in the hierarchy; its own default if None.

    Raises
    ------
    ValueError
        If a name or our weights are unknown, or if there is none.
    """
    builders: dict[str, Callable[[], Method]] = {
        HIERARCHY: partial(hierarchy, model, compactness),
        LATTICE: partial(lattice, lattice_model),
        **{peer.name: partial(_itself, peer) for peer in PEERS},
    }
    if not names:
        raise ValueError(f"methods must name at least one, got none; there are {', '.join(NAMES)}")
    for name in names:
        if name not in builders:
            raise ValueError(f"no method is called {name!r}; there are {', '.join(NAMES)}")
    return available([builders[name]() for name in names])


def available(methods: Sequence[Method]) -> Choice:
    """Part the methods that can run from those whose packages are missing."""
    missing = [method.missing() for method in methods]
    return Choice(
        methods=tuple(each for each, gap in zip(methods, missing, strict=True) if not gap),
        skipped=tuple(filter(None, missing)),
    )


def _itself(method: Method) -> Method:
    return method
