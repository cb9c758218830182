"""The images of a training: those that it learns from, and those that it is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_pcnet.disk.datasets import Pair, read_pairs, sound_pairs
from napari_pcnet.training.config import DataConfig


class Split(NamedTuple):
    """Pairs of images and annotations, by their use."""

    train: list[Pair]
    validation: list[Pair]
    shares: list[float]  # of each training pair: how often one of its annotations is drawn


def split_pairs(config: DataConfig, base: Path) -> Split:
    """List the pairs that a training learns from, and those that it is validated on.

    Parameters
    ----------
    config : DataConfig
    base : Path
        Folder that paths of the configuration are relative to.
    """
    sets = [_read((folder,), base, config.only) for folder in config.train]
    train = [pair for pairs in sets for pair in pairs]
    validation = _read(config.validation, base)
    if config.holdout and len(train) > 1:
        number = min(len(train) - 1, max(1, round(config.holdout * len(train))))
        held_out = evenly_spread(train, number)
        train = [pair for pair in train if pair not in held_out]
        validation = [*validation, *held_out]
    return Split(train, validation, _shares(sets, train, config.shares))


def evenly_spread(pairs: list[Pair], number: int) -> list[Pair]:
    """Take this many pairs, spread evenly over the list; all if there are fewer."""
    if len(pairs) <= number:
        return pairs
    return [pairs[i * len(pairs) // number] for i in range(number)]


def spread_by_share(split: Split, number: int) -> list[Pair]:
    """Take this many training pairs, from each set in proportion to its share of the samples."""
    weight = np.array(
        [share * len(pair.annotations) for pair, share in zip(split.train, split.shares, strict=True)]
    )
    certain = np.zeros(len(weight), bool)  # no pair is taken more than once
    chance = weight
    while not certain.all():
        rest = weight * ~certain
        chance = np.where(certain, 1.0, rest / rest.sum() * (number - certain.sum()))
        if (chance <= 1).all():
            break
        certain |= chance > 1
    taken = np.diff(np.ceil(np.cumsum(chance) - 1e-9), prepend=0) > 0
    return [pair for pair, is_taken in zip(split.train, taken, strict=True) if is_taken]


def _read(folders: tuple[str, ...], base: Path, only: tuple[str, ...] = ()) -> list[Pair]:
    if not only:
        return [pair for folder in folders for pair in read_pairs(base / folder)]
    sound = [pair for folder in folders for pair in sound_pairs(base / folder)[0]]
    return [pair for pair in sound if pair.name in only]


def _shares(sets: Sequence[list[Pair]], train: list[Pair], shares: Sequence[float]) -> list[float]:
    """How often an annotation of each pair is drawn, so that each set gets its share of the samples."""
    if not shares:
        return [1.0] * len(train)
    found: dict[Pair, float] = {}
    for pairs, share in zip(sets, shares, strict=True):
        kept = [pair for pair in pairs if pair in train]
        annotations = sum(len(pair.annotations) for pair in kept)
        found |= dict.fromkeys(kept, share / max(annotations, 1))
    return [found[pair] for pair in train]
