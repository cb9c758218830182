"""Learning where to merge: a small network that sees how trees of training pictures lose accuracy.

Each picture is merged with the network's own base while an observer holds every pair of regions that
touch against the annotations: merging the pair would put so many pixels with the wrong object, at
most the smaller of the two. A judge learns that share from what is known of the pair. What it meets
depends on how merging chooses, so the pictures are merged anew by the judge so far, and what
it meets then is learnt, too (dataset aggregation, Ross, Gordon and Bagnell 2011; learnt
agglomeration, Nunez-Iglesias et al. 2013).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn import functional as F

from napari_pcnet import arguments
from napari_pcnet.disk.datasets import Pair
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.merging.tree import Round
from napari_pcnet.network.inference import Base, InferenceOptions
from napari_pcnet.network.model import JudgeNetwork, PCNet
from napari_pcnet.options import Options
from napari_pcnet.pipeline import fine_base, merge_base
from napari_pcnet.progress import Progress
from napari_pcnet.training.schedule import cosine

SLIVER_PX = 16
"""A picture is asked for no more superpixels than one for so many of its pixels."""

LEAST_DEVIATION = 1e-3
"""Of a column of the evidence, so that one that never changes does no harm."""


@dataclass(frozen=True)
class JudgeConfig:
    """How a judge learns.

    Attributes
    ----------
    steps : int
        Of the optimizer, each time; 0 to leave the judge as it is.
    images : int
        Training images to merge at most, of each set as many as its share is.
    counts : tuple of int
        For each, ``max_segments`` of the trees to look at.
    rounds : int
        How often the pictures are merged: without a judge, then by the judge so far.
    pairs : int
        Pairs of regions that are kept of each tree, drawn evenly.
    fewest : int
        Regions at which looking on ends.
    batch : int
        Pairs in a step.
    learning_rate : float
        Adam's, falling as a cosine.
    """

    steps: int = 0
    images: int = 200
    counts: tuple[int, ...] = (200, 800)
    rounds: int = 2
    pairs: int = 6000
    fewest: int = 100
    batch: int = 8192
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        for name in ("images", "rounds", "pairs", "fewest", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.steps < 0:
            raise ValueError(f"steps must be at least 0, got {self.steps!r}")
        if not self.counts or min(self.counts) < 1:
            raise ValueError(f"counts must be numbers of at least 1, got {self.counts!r}")


class Lessons(NamedTuple):
    """Pairs of regions and what merging them would lose."""

    evidence: NDArray[np.float32]  # (n, EVIDENCE)
    lost: NDArray[np.float64]  # (n,) share of the smaller, mean over annotations
    weight: NDArray[np.float64]  # (n,) what it counts, as in the cost of a merge


class Ground(NamedTuple):
    """What a tree grows from, and what is true of it."""

    base: Base  # without the region of each pixel
    counts: list[sparse.csr_array]  # (leaves, objects) for each annotation: pixels in common


class Witness:
    """Looks on while a tree is built, and compares with the annotations.

    Parameters
    ----------
    counts : sequence of (leaves, objects) sparse array
        Of each annotation, the pixels that a leaf and an object have in common.
    fewest : int
        Regions at which looking on ends.
    """

    def __init__(self, counts: Sequence[sparse.csr_array], fewest: int) -> None:
        self.counts, self.fewest = list(counts), fewest
        self._seen: list[Lessons] = []

    def before(self, here: Round) -> None:
        """Note what every pair that touches would lose."""
        if self.counts[0].shape[0] <= self.fewest:
            return
        lost = np.mean([_lost(here.edges, counts) for counts in self.counts], axis=0)
        weight = here.smaller * here.larger / (here.smaller + here.larger) / here.cell_area
        self._seen.append(Lessons(here.evidence, np.clip(lost / here.smaller, 0, 1), weight))

    def after(self, target: NDArray[np.int64]) -> None:
        """Add up the regions that were merged."""
        each = np.ones(len(target), np.int32), (target, np.arange(len(target)))
        add = sparse.csr_array(each, shape=(int(target.max()) + 1, len(target)))
        self.counts = [add @ counts for counts in self.counts]

    def lessons(self, number: int, random: np.random.Generator) -> Lessons:
        """Draw so many of all that was seen."""
        seen = _joined(self._seen)
        drawn = random.permutation(len(seen.lost))[:number]
        return Lessons(seen.evidence[drawn], seen.lost[drawn], seen.weight[drawn])


def fit_judge(
    model: PCNet,
    pairs: Sequence[Pair],
    config: JudgeConfig,
    seed: int,
    device: str = "auto",
    progress: Progress | None = None,
) -> float:
    """Fit the judge of a model, in place.

    Parameters
    ----------
    model : PCNet
        With a boundary decoder and a judge; nothing but the judge changes.
    pairs : sequence of Pair
    config : JudgeConfig
    seed : int
    device : str
        Where the network runs; the judge is fitted on the CPU.
    progress : callable, optional
        ``progress(done, total)`` in pictures looked at or merged.

    Returns
    -------
    float
        Mean weighted cross entropy on all lessons, in nats.
    """
    if model.judge is None:
        raise ValueError("the model has no judge to fit: set model.judge")
    sofar = copy.deepcopy(model)
    sofar.judge = judge = None
    grounds: list[Ground] = []
    for done, pair in enumerate(pairs, 1):
        grounds += _grounds(sofar, pair, config, device)
        if progress is not None:
            progress(done, len(pairs) * (1 + config.rounds))
    if not grounds:
        raise ValueError(f"no picture has more than {config.fewest} regions: lower judge.fewest")
    learnt: list[Lessons] = []
    for turn in range(config.rounds):
        for number, ground in enumerate(grounds):
            witness = Witness(ground.counts, config.fewest)
            merge_base(ground.base, sofar, Options(), observer=witness)
            learnt.append(witness.lessons(config.pairs, np.random.default_rng((seed, turn, number))))
            if progress is not None:
                progress(len(grounds) * (1 + turn) + number + 1, len(grounds) * (1 + config.rounds))
        lessons = _joined(learnt)
        sofar.judge = judge = _fitted(model.config.judge, lessons, config, seed)
    assert judge is not None, "there is at least one round"
    model.judge.load_state_dict(judge.state_dict())
    return _loss(judge, *_tensors(lessons))


def _grounds(model: PCNet, pair: Pair, config: JudgeConfig, device: str) -> list[Ground]:
    """Label a picture for every count; where two ask for the same lattice, once."""
    picture = arguments.picture(pair.read_image(), None, -1, None)
    annotations = pair.read_annotations()
    found: dict[tuple[int, int], Ground] = {}
    for asked in config.counts:
        count = min(asked, max(1, picture.pixels_inside // SLIVER_PX))
        grid, _ = Grid.for_count(picture.shape, count, picture.pixels_inside)
        if grid.lattice not in found:
            base = fine_base(picture, Options(n_segments=count), model, InferenceOptions(device))
            if len(base.regions) > config.fewest:
                counts = [overlap(base.ids, each) for each in annotations]
                found[grid.lattice] = Ground(replace(base, ids=np.empty((0, 0), np.int32)), counts)
    return list(found.values())


def _fitted(units: int, lessons: Lessons, config: JudgeConfig, seed: int) -> JudgeNetwork:
    evidence, lost, weight = _tensors(lessons)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = JudgeNetwork(units)
        judge.mean.copy_(evidence.mean(0))
        judge.deviation.copy_(evidence.std(0).clamp_min(LEAST_DEVIATION))
        adam = torch.optim.Adam(judge.parameters(), config.learning_rate)
        for step in range(config.steps):
            for group in adam.param_groups:
                group["lr"] = config.learning_rate * cosine(step, config.steps)
            drawn = torch.randint(len(lost), (config.batch,))
            loss = _mean_loss(judge, evidence[drawn], lost[drawn], weight[drawn])
            adam.zero_grad()
            loss.backward()
            adam.step()
    return judge


def _mean_loss(
    judge: JudgeNetwork, evidence: torch.Tensor, lost: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    each = F.binary_cross_entropy_with_logits(judge(evidence), lost, weight=weight, reduction="sum")
    return each / weight.sum()


@torch.no_grad()
def _loss(judge: JudgeNetwork, evidence: torch.Tensor, lost: torch.Tensor, weight: torch.Tensor) -> float:
    return float(_mean_loss(judge, evidence, lost, weight))


def _tensors(lessons: Lessons) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    evidence, lost, weight = (torch.from_numpy(column.astype(np.float32)) for column in lessons)
    return evidence, lost, weight


def _joined(parts: Sequence[Lessons]) -> Lessons:
    return Lessons(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def overlap(base: NDArray[np.int32], annotation: NDArray[np.integer]) -> sparse.csr_array:
    """Pixels of each leaf in each object, ``(leaves, objects)``."""
    names, objects = np.unique(annotation, return_inverse=True)
    each = np.ones(base.size, np.int32), (base.ravel(), objects.ravel())
    return sparse.coo_array(each, shape=(int(base.max()) + 1, len(names))).tocsr()


def _lost(edges: NDArray[np.int64], counts: sparse.csr_array) -> NDArray[np.int32]:
    """Pixels that leave the object of most of their region if a pair is merged, ``(e,)``."""
    u, v = edges.T
    most = counts.max(axis=1).toarray()
    together = (counts[u] + counts[v]).max(axis=1).toarray()
    lost: NDArray[np.int32] = most[u] + most[v] - together
    return lost
