"""Learn classes from strokes on a few superpixels of annotated pictures; how many pixels are then right.

    python tools/measure_learning.py DATA results/learning/table.txt

DATA is the folder that holds `mixed`. Of each picture of `PICTURES`, as many superpixels as `--count` are
made by ours and by scikit-image's SLIC. A stroke begins on a superpixel drawn at random and goes on over
neighbours of its class, at most `STROKE` of them; the first ones are one for each class. A superpixel's class
is that of most of its annotated pixels. When `--share` of the superpixels are painted, the same forest is
fitted on either, with the same features, and says what the others are. The best that is possible is a class
for each superpixel by the annotation. Where regions of the base vote, the forest looks at these, and their
votes are pooled over the superpixels, as in the viewer.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import slic

from napari_pcnet import RegionForest, pcnet_hierarchy, region_features, region_graph
from napari_pcnet.annotation.nested import NestedRegions
from napari_pcnet.disk.datasets import read_pairs
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.learning.cuts import CutPrediction

STROKE = 4
"""Superpixels that a stroke goes over at most."""

COMPACTNESS = 20.0
"""Of SLIC, as in the other benchmarks."""

TRIES = 10
"""Requests to SLIC, which returns fewer superpixels than it is asked for."""

Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Annotated:
    """A picture, and what its annotation means.

    Attributes
    ----------
    title : str
    split : str
        Folder of the set, under `mixed`.
    name : str
    unlabelled : int or None
        The number of what is not annotated: it is neither painted nor counted.
    instances_from : int or None
        Numbers from here on are things of one class.
    """

    title: str
    split: str
    name: str
    unlabelled: int | None = None
    instances_from: int | None = None

    def read(self, data: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The picture, and the class of each pixel from 1 on, 0 where nothing is annotated."""
        (pair,) = [each for each in read_pairs(data / "mixed" / self.split) if each.name == self.name]
        image, truth = pair.read_image(), pair.read_annotations()[0].astype(np.int64)
        if self.instances_from is not None:
            truth = np.minimum(truth, self.instances_from)
        is_known = np.ones(truth.shape, bool) if self.unlabelled is None else truth != self.unlabelled
        classes = np.zeros(truth.shape, np.int64)
        classes[is_known] = np.unique(truth[is_known], return_inverse=True)[1] + 1
        return image, classes


PICTURES = (
    Annotated("leaf with lesions, photograph", "hr_coffee_leaf/val", "1642"),
    Annotated("nerve tissue, electron micrograph", "mic_em_vnc/val", "vnc_07", instances_from=10),
    Annotated("coast, from the air", "hr_dubai_aerial/val", "tile6_001", unlabelled=0),
    Annotated("garden and roof, from the air", "drone_semantic768/val", "079", unlabelled=0),
)


@dataclass(frozen=True)
class Regions:
    """Superpixels numbered from 0, and how each is classified from those that are painted.

    Attributes
    ----------
    labels : (H, W) array
    classify : callable
        ``classify(painted, seed)``: the class of each superpixel, where `painted` has it of some, else 0.
    """

    labels: Labels
    classify: Callable[[NDArray[np.int64], int], NDArray[np.integer[Any]]]

    @classmethod
    def of(cls, labels: Labels, image: NDArray[np.uint8]) -> Regions:
        """Superpixels whose own features are looked at."""
        numbered = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        table = region_features(image, numbered, background=None)
        return cls(
            numbered,
            lambda painted, seed: RegionForest.fit(table, painted, seed=seed).predict(table).number,
        )

    @classmethod
    def of_votes(cls, image: NDArray[np.uint8], count: int, *, embedding: bool = False) -> Regions:
        """Superpixels whose regions are looked at, and vote."""
        hierarchy = pcnet_hierarchy(image, count)
        table = region_features(image, hierarchy.base, background=-1, embedding=embedding)
        nested = NestedRegions.of(hierarchy.trees)
        part_of = hierarchy.table(count)[:-1] - hierarchy.start_label

        def classify(painted: NDArray[np.int64], seed: int) -> NDArray[np.integer[Any]]:
            forest = RegionForest.fit(table, painted[part_of], seed=seed)
            votes = forest.predict(table).share
            cut = CutPrediction.of(forest, votes, table["area"], nested, hierarchy.counts(count))
            classes = np.zeros(count, np.int64)
            classes[part_of] = cut.by_region(cut.parts.number)
            return classes

        return cls(hierarchy.table(count)[hierarchy.base] - hierarchy.start_label, classify)


def slic_of(image: NDArray[np.uint8], count: int) -> Labels:
    """SLIC's superpixels, of the request that comes closest to the count."""
    low, high, found = count // 2, 8 * count, []
    for _ in range(TRIES):
        asked = (low + high) // 2
        labels = slic(image, asked, compactness=COMPACTNESS, start_label=1)
        number = len(np.unique(labels))
        found.append((abs(number - count), asked, labels))
        low, high = (asked, high) if number < count else (low, asked)
    return min(found, key=lambda each: each[:2])[2]


def classes_of(labels: Labels, truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Annotated pixels of each superpixel in each class, ``(n, classes + 1)``, none in the first column."""
    width = int(truth.max()) + 1
    counts = np.bincount(labels.ravel() * width + truth.ravel(), minlength=(int(labels.max()) + 1) * width)
    table = counts.reshape(-1, width)
    table[:, 0] = 0
    return table


def strokes(labels: Labels, own: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """The class of each superpixel that is painted, else 0."""
    random = np.random.default_rng(seed)
    edges = region_graph(labels, background=None).edges
    neighbours: list[list[int]] = [[] for _ in own]
    for one, other in edges.tolist():
        neighbours[one].append(other)
        neighbours[other].append(one)
    painted = np.zeros(len(own), np.int64)
    starts = [int(random.choice(np.flatnonzero(own == each))) for each in np.unique(own[own > 0])]
    while np.count_nonzero(painted) < number:
        at = starts.pop() if starts else int(random.choice(np.flatnonzero((own > 0) & (painted == 0))))
        for _ in range(STROKE):
            painted[at] = own[at]
            onward = [each for each in neighbours[at] if own[each] == own[at] and not painted[each]]
            if not onward or np.count_nonzero(painted) == number:
                break
            at = int(random.choice(onward))
    return painted


def accuracies(
    regions: Regions, truth: NDArray[np.int64], share: float, draws: int
) -> tuple[float, list[float]]:
    """The best accuracy that is possible, and that of the forest for each draw of strokes."""
    table = classes_of(regions.labels, truth)
    own = np.where(table.any(axis=1), table.argmax(axis=1), 0)
    total, rows = table.sum(), np.arange(len(own))
    found = []
    for seed in range(draws):
        painted = strokes(regions.labels, own, round(share * len(own)), seed)
        said = np.where(painted > 0, painted, regions.classify(painted, seed))
        found.append(float(table[rows, said].sum() / total))
    return float(table.max(axis=1).sum() / total), found


def rows_of(each: Annotated, data: Path, count: int, share: float, draws: int) -> list[str]:
    """A line for each way to superpixels."""
    image, truth = each.read(data)
    ours = Regions.of_votes(image, count)
    lines = [f"{each.title} ({each.split}, {each.name}: {truth.max()} classes)"]
    for name, regions in (
        ("pcnet, regions of the base vote", ours),
        ("the same, with the embedding", Regions.of_votes(image, count, embedding=True)),
        ("pcnet", Regions.of(ours.labels, image)),
        ("scikit-image SLIC", Regions.of(slic_of(image, count), image)),
    ):
        start = time.process_time()
        best, found = accuracies(regions, truth, share, draws)
        seconds = (time.process_time() - start) / draws
        lines.append(
            f"  {name:32s}{regions.labels.max() + 1:6d}{best:9.4f}{np.mean(found):9.4f}"
            f"{min(found):9.4f}{max(found):9.4f}{seconds:9.2f}"
        )
    return lines


def head(given: argparse.Namespace) -> list[str]:
    """What the table is of, and its columns."""
    columns = ("number", "best", "forest", "lowest", "highest", "seconds")
    return [
        f"Learning from strokes on {given.share:.0%} of the superpixels",
        "",
        "Pixel accuracy: the best that the superpixels allow; of the forest the mean, the lowest and the",
        f"highest of {given.draws} draws of strokes; CPU seconds of a draw",
        "",
        f"  {'':32s}{columns[0]:>6s}" + "".join(f"{name:>9s}" for name in columns[1:]),
    ]


def made_by(given: argparse.Namespace) -> str:
    """What made the table."""
    numbers = f"--count {given.count} --share {given.share:g} --draws {given.draws}"
    command = f"python tools/measure_learning.py DATA TABLE {numbers}"
    run = Provenance.of_this_run(("napari-pcnet", "numpy", "scipy", "scikit-image", "scikit-learn", "torch"))
    return replace(run, command=command).as_text()


def main() -> int:
    """Print the table; write it, with what made it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="folder that holds mixed")
    parser.add_argument("table", type=Path, metavar="TABLE", nargs="?", help="file to write")
    parser.add_argument("--count", type=int, default=1000, help="superpixels (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.05, help="of them painted (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=10, help="of strokes (default: %(default)s)")
    given = parser.parse_args()
    lines, made = head(given), made_by(given)
    print("\n".join(lines))
    for each in PICTURES:
        rows = rows_of(each, given.data, given.count, given.share, given.draws)
        print("\n".join(rows), flush=True)
        lines += rows
    if given.table is not None:
        given.table.parent.mkdir(parents=True, exist_ok=True)
        given.table.write_text("\n".join([*lines, "", made, ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
