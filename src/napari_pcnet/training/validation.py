"""Validation during training: scores of the raw lattice, which takes one pass and no tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_pcnet.disk.datasets import Pair
from napari_pcnet.geometry.grid import STRIDE, Grid, raw_ids
from napari_pcnet.metrics import achievable_segmentation_accuracy, boundary_recall
from napari_pcnet.network.association import mask_outside, neighbour_argmax
from napari_pcnet.network.model import PCNet
from napari_pcnet.training.samples import as_network_input

VALIDATED_SIDE_PX = 2048
"""Rows and columns, at most, that are scored of a picture: those in its middle."""


def validate(model: PCNet, pairs: list[Pair]) -> tuple[float, float]:
    """Mean accuracy and boundary recall of the raw lattice at the pictures' own pixels."""
    device = next(model.parameters()).device
    scores = []
    for pair in pairs:
        labels = raw_lattice(model, as_network_input(_middle(pair.read_image())), device)
        truths = [_middle(each) for each in pair.read_annotations()]
        scores.append(
            np.mean(
                [(achievable_segmentation_accuracy(labels, t), boundary_recall(labels, t)) for t in truths],
                axis=0,
            )
        )
    accuracy, recall = np.mean(scores, axis=0)
    return float(accuracy), float(recall)


@torch.no_grad()
def raw_lattice(model: PCNet, image: np.ndarray[Any, Any], device: torch.device) -> np.ndarray[Any, Any]:
    """Cell number of every pixel of an ``(H, W, 3)`` uint8 picture, without connectivity."""
    height, width = image.shape[:2]
    pad = [(0, -side % STRIDE) for side in (height, width)]
    padded = np.pad(image, [*pad, (0, 0)], mode="edge")
    pixels = torch.from_numpy(padded).to(device).permute(2, 0, 1)[None].float() / 255
    grid = Grid((height, width), (height, width))
    logits = model(pixels.contiguous(memory_format=torch.channels_last)).logits
    neighbour = neighbour_argmax(mask_outside(logits, grid.lattice))[0].cpu().numpy()
    return raw_ids(neighbour[:height, :width], np.arange(height), np.arange(width), grid)


def _middle(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The middle of a picture, of bounded size."""
    top, left = (max(0, side - VALIDATED_SIDE_PX) // 2 for side in pixels.shape[:2])
    return pixels[top : top + VALIDATED_SIDE_PX, left : left + VALIDATED_SIDE_PX]
