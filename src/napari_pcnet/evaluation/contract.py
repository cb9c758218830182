"""What `pcnet_superpixels` promises, measured on real photographs: counts, windows, invariance.

The photographs are those that scikit-image carries in its own package. Each section returns the
lines of a table; a promise that fails stands there as its measured value, nothing is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data, measure

from napari_pcnet.evaluation.pictures import draw_photograph
from napari_pcnet.evaluation.tally import Tally
from napari_pcnet.hierarchy import PCNetHierarchy
from napari_pcnet.metrics import achievable_segmentation_accuracy, compactness
from napari_pcnet.options import Options
from napari_pcnet.progress import Progress
from napari_pcnet.shapes import Labels
from napari_pcnet.superpixels import pcnet_hierarchy, pcnet_superpixels

PHOTOGRAPHS = (
    "astronaut",
    "coffee",
    "chelsea",
    "rocket",
    "immunohistochemistry",
    "hubble_deep_field",
)
COARSE, FINE = 100, 1000
SLIVERS = ((1, 1), (1, 1000), (17, 4099))
UNIFORM = ((512, 512), (300, 417), (481, 321), (1000, 777), (200, 200), (640, 333))
EVEN_COUNTS = (2, 3, 5, 7, 20, 50, 100, 200, 333, 500, 700, 1000)
LARGE = (1499, 2101)
LARGE_COUNT = 1000


@dataclass(frozen=True)
class ContractOptions:
    """What is measured."""

    model: str = field(default=Options.model, metadata={"help": "weights"})
    counts: tuple[int, ...] = field(
        default=(1, 2, 50, 100, 333, 1000, 2500, 5000), metadata={"help": "numbers of superpixels"}
    )
    windows: tuple[int, ...] = field(
        default=(512, 1024), metadata={"help": "sides of windows to compare with one window"}
    )


def main_contract(options: ContractOptions, progress: Progress) -> str:
    """Measure every promise and return the tables as text."""
    sections: dict[str, Callable[[ContractOptions], Iterator[str]]] = {
        "Count: labels, whether each is one piece, and whether 1000 nests in 100": _counts,
        "Slivers: counts from 1 to a sixteenth of the pixels": _slivers,
        "Uniform pictures: largest piece over smallest, worst of six sizes": _evenness,
        f"Windows, {LARGE[0]} x {LARGE[1]}, n = {LARGE_COUNT}: pixels that differ from one window": _windows,
        "Precision, the same picture: pixels that differ from float64": _precisions,
        "Type, gain and offset: pixels that differ from uint8": _invariance,
        "Compactness at the default and of skimage.segmentation.slic (compactness 10, 20)": _compactness,
    }
    tally = Tally(progress, len(sections))
    lines = []
    for title, section in sections.items():
        lines += [title, *section(options), ""]
        tally.step()
    return "\n".join(lines)


def _counts(options: ContractOptions) -> Iterator[str]:
    for name, image in _photographs():
        wrong = [
            f"n={count}: {problem}"
            for count in options.counts
            if (problem := _problem(pcnet_superpixels(image, count, model=options.model), count))
        ]
        tree = pcnet_hierarchy(image, max_segments=FINE, model=options.model)
        nested = _is_nested(tree.labels(FINE), tree.labels(COARSE))
        counts = ", ".join(map(str, options.counts))
        verdict = "; ".join(wrong) or f"exact and connected at {counts}"
        yield f"  {name:22s} {verdict}; {'nested' if nested else 'NOT NESTED'}"


def _slivers(options: ContractOptions) -> Iterator[str]:
    random = np.random.default_rng(0)
    for shape in SLIVERS:
        image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
        largest = max(1, shape[0] * shape[1] // 16)
        tree = pcnet_hierarchy(image, max_segments=largest, model=options.model)
        cut = [n for n in range(1, largest + 1) if len(np.unique(tree.trees[0].cut(n))) != n]
        asked = np.unique(np.geomspace(1, largest, 9).round().astype(int)).tolist()
        called = [n for n in asked if _problem(pcnet_superpixels(image, n, model=options.model), n)]
        yield (
            f"  {shape[0]} x {shape[1]}: every n to {largest} as a cut, {len(cut)} wrong; "
            f"as calls at {', '.join(map(str, asked))}, {len(called)} wrong"
        )


def _evenness(options: ContractOptions) -> Iterator[str]:
    images = [np.full((*shape, 3), 128, np.uint8) for shape in UNIFORM]
    for count in EVEN_COUNTS:
        ratios = [_size_ratio(pcnet_superpixels(image, count, model=options.model)) for image in images]
        yield f"  n = {count:5d}: {max(ratios):.2f}"


def _windows(options: ContractOptions) -> Iterator[str]:
    image = draw_photograph(LARGE, seed=0)
    for precision in ("float64", "float32"):
        whole = _tree(image, options.model, precision, max(LARGE) + 64)
        for window in options.windows:
            tiled = _tree(image, options.model, precision, window)
            base = 1 - achievable_segmentation_accuracy(whole.base, tiled.base)
            final = 1 - achievable_segmentation_accuracy(whole.labels(LARGE_COUNT), tiled.labels(LARGE_COUNT))
            yield f"  {precision}, window {window:5d}: base {base:.4%}, final labels {final:.4%}"


def _precisions(options: ContractOptions) -> Iterator[str]:
    image = draw_photograph(LARGE, seed=0)
    whole = _tree(image, options.model, "float64", None)
    for precision in ("float32", "bfloat16", "float16"):
        base = _tree(image, options.model, precision, None).base
        yield f"  {precision}: base {1 - achievable_segmentation_accuracy(whole.base, base):.4%}"


def _invariance(options: ContractOptions) -> Iterator[str]:
    for name, image in _photographs():
        expected = pcnet_superpixels(image, FINE, model=options.model)
        whole_numbers = image.astype(np.int64)
        variants = {
            "uint16": image.astype(np.uint16),
            "float32": image.astype(np.float32),
            "7 v + 3": (7 * whole_numbers + 3).astype(np.uint16),
            "v / 255": image / 255,
            "0.1 v - 3.7": image * 0.1 - 3.7,
            "repeated": image,
        }
        moved = {
            variant: np.mean(pcnet_superpixels(pixels, FINE, model=options.model) != expected)
            for variant, pixels in variants.items()
        }
        yield f"  {name:22s} " + ", ".join(f"{variant}: {share:.4%}" for variant, share in moved.items())


def _compactness(options: ContractOptions) -> Iterator[str]:
    from skimage.segmentation import slic

    methods: dict[str, Callable[[NDArray[Any], int], Labels]] = {
        "ours": lambda image, n: pcnet_superpixels(image, n, model=options.model),
        "slic 10": lambda image, n: slic(image, n, compactness=10, start_label=1),
        "slic 20": lambda image, n: slic(image, n, compactness=20, start_label=1),
    }
    for count in (100, 500, 1000, 5000):
        means = {
            name: np.mean([compactness(method(image, count)) for _, image in _photographs()])
            for name, method in methods.items()
        }
        yield f"  n = {count:5d}: " + ", ".join(f"{name} {value:.3f}" for name, value in means.items())


def _photographs() -> Iterator[tuple[str, NDArray[Any]]]:
    for name in PHOTOGRAPHS:
        yield name, getattr(data, name)()


def _tree(image: NDArray[Any], model: str, precision: Any, window: int | None) -> PCNetHierarchy:
    return pcnet_hierarchy(image, LARGE_COUNT, model=model, precision=precision, window=window)


def _problem(labels: Labels, count: int) -> str:
    """Say how labels break the promise of `count` connected pieces 1..count; empty if they don't."""
    found = np.unique(labels)
    if not np.array_equal(found, np.arange(1, count + 1)):
        return f"{len(found)} labels"
    pieces = measure.label(labels, connectivity=1, return_num=True)[1]
    return "" if pieces == count else f"{pieces} pieces"


def _is_nested(fine: Labels, coarse: Labels) -> bool:
    pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1)
    return int(pairs.shape[1]) == len(np.unique(fine))


def _size_ratio(labels: Labels) -> float:
    sizes = np.bincount(labels.ravel())[1:]
    return float(sizes.max() / sizes.min())
