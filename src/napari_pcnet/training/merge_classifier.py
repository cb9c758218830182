"""Training of the merge classifier: it learns which merges lose accuracy from trees of training pictures.

Each picture is merged from the network's own base while an `Oracle`, which knows the annotations, counts
for every pair of touching regions how many pixels a merge would assign to the wrong object: at most those
of the smaller region. The classifier learns this share from the features of the pair. Which pairs occur
depends on the order of merging, so later rounds merge the pictures with the classifier trained so far, and
add what occurs there to the samples (dataset aggregation, Ross, Gordon and Bagnell 2011; learnt
agglomeration, Nunez-Iglesias et al. 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from napari_pcnet import arguments
from napari_pcnet.disk.datasets import Pair
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.merging.cost import Round
from napari_pcnet.network.inference import Base
from napari_pcnet.network.machine import choose_device
from napari_pcnet.network.model import MergeClassifierNetwork, PCNet, weights_drawn_by
from napari_pcnet.network.prepared import PreparedNetwork, prepare
from napari_pcnet.options import Options
from napari_pcnet.pipeline import fine_base, merge_base
from napari_pcnet.progress import Progress
from napari_pcnet.training.schedule import cosine

SLIVER_PX = 16
"""Pixels per superpixel at least: a picture with fewer for a count gets a smaller count."""

MIN_DEVIATION = 1e-3
"""Lower bound on the standard deviation that a feature is divided by, for features that are constant."""


@dataclass(frozen=True)
class MergeClassifierConfig:
    """Training of the merge classifier.

    Attributes
    ----------
    steps : int
        Optimizer steps in each round; 0 leaves the classifier as it is.
    images : int
        Training images to merge at most, from each set in proportion to its share of the samples.
    counts : tuple of int
        ``max_segments`` of the trees; each picture gives a tree for each.
    rounds : int
        How often the pictures are merged: first without a classifier, then with the one trained so far.
    samples_per_tree : int
        Pairs of regions kept from each tree, drawn uniformly.
    min_regions : int
        Sampling stops when a tree has this many regions left.
    batch : int
        Pairs of regions in a step.
    learning_rate : float
        Of Adam; falls along a cosine.
    """

    steps: int = 0
    images: int = 200
    counts: tuple[int, ...] = (200, 800)
    rounds: int = 2
    samples_per_tree: int = 6000
    min_regions: int = 100
    batch: int = 8192
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("images", "rounds", "samples_per_tree", "min_regions", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.steps < 0:
            raise ValueError(f"steps must be at least 0, got {self.steps!r}")
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"counts must be numbers of at least 1, got {self.counts!r}")


class EdgeSamples(NamedTuple):
    """Pairs of touching regions, and what merging them would lose."""

    features: NDArray[np.float64]  # (n, EDGE_FEATURES), see `cost.Round.edge_features`
    lost_share: NDArray[np.float64]  # (n,) of the smaller region's pixels, mean over annotations
    weight: NDArray[np.float64]  # (n,) in the loss: Ward's factor in the cost of a merge, per cell


class AnnotatedBase(NamedTuple):
    """A base to merge, and how its regions overlap the annotations."""

    base: Base  # without the region of each pixel
    overlaps: list[sparse.csr_array]  # for each annotation: pixels shared, (regions, objects)


class Oracle:
    """An observer of merging that knows the annotations and collects samples.

    Parameters
    ----------
    overlaps : sequence of (leaves, objects) sparse array
        For each annotation, the pixels that a leaf and an object share.
    min_regions : int
        Sampling stops when this many regions are left.
    """

    def __init__(self, overlaps: Sequence[sparse.csr_array], min_regions: int) -> None:
        self.overlaps, self.min_regions = list(overlaps), min_regions
        self._collected: list[EdgeSamples] = []

    def before(self, here: Round) -> None:
        """Collect a sample for every pair of touching regions."""
        if self.overlaps[0].shape[0] <= self.min_regions:
            return
        lost = np.mean([_lost_px(here.edges, each) for each in self.overlaps], axis=0)
        weight = here.smaller * here.larger / (here.smaller + here.larger) / here.cell_area
        self._collected.append(EdgeSamples(here.edge_features, np.clip(lost / here.smaller, 0, 1), weight))

    def after(self, target: NDArray[np.int64]) -> None:
        """Add up the overlaps of the regions that were merged."""
        each = np.ones(len(target), np.int32), (target, np.arange(len(target)))
        add = sparse.csr_array(each, shape=(int(target.max()) + 1, len(target)))
        self.overlaps = [add @ each for each in self.overlaps]

    def samples(self, number: int, random: np.random.Generator) -> EdgeSamples:
        """Draw this many of the collected samples; all of them if there are fewer."""
        features, lost_share, weight = _concatenated(self._collected)
        drawn = random.permutation(len(weight))[:number]
        return EdgeSamples(features[drawn], lost_share[drawn], weight[drawn])


def fit_merge_classifier(
    model: PCNet,
    pairs: Sequence[Pair],
    config: MergeClassifierConfig,
    seed: int,
    device: str = Options.device,
    progress: Progress | None = None,
) -> float:
    """Fit the merge classifier of a model, in place.

    Parameters
    ----------
    model : PCNet
        With a boundary decoder and a merge classifier; nothing but the classifier changes.
    pairs : sequence of Pair
        Training images and their annotations.
    config : MergeClassifierConfig
    seed : int
    device : str
        Where the network runs; the classifier is fitted on the CPU.
    progress : callable, optional
        ``progress(done, total)`` in pictures labelled or merged.

    Returns
    -------
    float
        Mean weighted cross entropy on all samples, in nats.

    Raises
    ------
    ValueError
        If the model has no merge classifier, or no picture has enough regions.
    """
    if model.merge_classifier is None:
        raise ValueError("the model has no merge classifier to fit: set model.merge_classifier")
    network = prepare(model, choose_device(device).device)
    classifier: MergeClassifierNetwork | None = None
    bases: list[AnnotatedBase] = []
    total = len(pairs) * (1 + config.rounds)
    for done, pair in enumerate(pairs, 1):
        bases += annotated_bases(network, pair, config)
        if progress is not None:
            progress(done, total)
    if not bases:
        raise ValueError(
            f"no picture has more than {config.min_regions} regions: lower merge_classifier.min_regions"
        )
    parts: list[EdgeSamples] = []
    for turn in range(config.rounds):
        for number, each in enumerate(bases):  # a picture may have several bases, or none
            oracle = Oracle(each.overlaps, config.min_regions)
            trained = None if classifier is None else classifier.as_numpy()
            merge_base(each.base, trained, Options(), observer=oracle)
            random = np.random.default_rng((seed, turn, number))
            parts.append(oracle.samples(config.samples_per_tree, random))
            if progress is not None:
                progress(len(pairs) * (1 + turn) + (number + 1) * len(pairs) // len(bases), total)
        samples = _concatenated(parts)
        classifier = _fitted(model.config.merge_classifier, samples, config, seed)
    assert classifier is not None, "there is at least one round"
    model.merge_classifier.load_state_dict(classifier.state_dict())
    return _loss(classifier, *_tensors(samples))


def annotated_bases(
    network: PreparedNetwork, pair: Pair, config: MergeClassifierConfig
) -> list[AnnotatedBase]:
    """Label a picture for every count; only once where two counts give the same lattice."""
    picture = arguments.picture(pair.read_image(), None, -1, None)
    annotations = pair.read_annotations()
    found: dict[tuple[int, int], AnnotatedBase] = {}
    for asked in config.counts:
        count = min(asked, max(1, picture.pixels_inside // SLIVER_PX))
        grid, *_ = Grid.for_count(picture.shape, count, picture.pixels_inside, fineness=network.fineness)
        if grid.lattice not in found:
            base = fine_base(picture, Options(n_segments=count), network)
            if len(base.regions) > config.min_regions:
                overlaps = [overlap(base.ids, each) for each in annotations]
                found[grid.lattice] = AnnotatedBase(replace(base, ids=np.empty((0, 0), np.int32)), overlaps)
    return list(found.values())


def _fitted(
    units: int, samples: EdgeSamples, config: MergeClassifierConfig, seed: int
) -> MergeClassifierNetwork:
    """Fit a new classifier to the samples."""
    features, lost_share, weight = _tensors(samples)
    random = torch.Generator().manual_seed(seed)
    with weights_drawn_by(random):
        classifier = MergeClassifierNetwork(units)
    classifier.mean.copy_(features.mean(0))
    classifier.deviation.copy_(features.std(0).clamp_min(MIN_DEVIATION))
    adam = torch.optim.Adam(classifier.parameters(), config.learning_rate)
    for step in range(config.steps):
        for group in adam.param_groups:
            group["lr"] = config.learning_rate * cosine(step, config.steps)
        drawn = torch.randint(len(lost_share), (config.batch,), generator=random)
        loss = _mean_loss(classifier, features[drawn], lost_share[drawn], weight[drawn])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return classifier


def _mean_loss(
    classifier: MergeClassifierNetwork, features: Tensor, lost_share: Tensor, weight: Tensor
) -> Tensor:
    logits = classifier(features)
    total = F.binary_cross_entropy_with_logits(logits, lost_share, weight=weight, reduction="sum")
    return total / weight.sum()


@torch.no_grad()
def _loss(classifier: MergeClassifierNetwork, features: Tensor, lost_share: Tensor, weight: Tensor) -> float:
    return float(_mean_loss(classifier, features, lost_share, weight))


def _tensors(samples: EdgeSamples) -> tuple[Tensor, Tensor, Tensor]:
    features, lost_share, weight = (torch.from_numpy(column.astype(np.float32)) for column in samples)
    return features, lost_share, weight


def _concatenated(parts: Sequence[EdgeSamples]) -> EdgeSamples:
    return EdgeSamples(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def overlap(base: NDArray[np.int32], annotation: NDArray[np.integer]) -> sparse.csr_array:
    """Count the pixels that each leaf and each object share, ``(leaves, objects)``."""
    names, objects = np.unique(annotation, return_inverse=True)
    each = np.ones(base.size, np.int32), (base.ravel(), objects.ravel())
    return sparse.coo_array(each, shape=(int(base.max()) + 1, len(names))).tocsr()


def _lost_px(edges: NDArray[np.int64], overlap: sparse.csr_array) -> NDArray[np.int32]:
    """Pixels that merging a pair takes away from the main object of their region, ``(e,)``."""
    u, v = edges.T
    most = overlap.max(axis=1).toarray()
    together = (overlap[u] + overlap[v]).max(axis=1).toarray()
    lost: NDArray[np.int32] = most[u] + most[v] - together
    return lost
