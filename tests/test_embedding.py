"""What the network sees of regions, against the network pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from blobs import blobs
from napari_pcnet import embedding, region_features
from napari_pcnet.geometry.grid import Window
from napari_pcnet.learning.features import EMBEDDING
from napari_pcnet.network import whole_numbers
from napari_pcnet.network.predictor import WholePredictor
from napari_pcnet.options import Options
from napari_pcnet.pipeline import load_prepared

SHAPE = 150, 210
IMAGE = blobs(SHAPE)
LABELS = np.random.default_rng(1).integers(0, 9, SHAPE)
"""No two neighbours need be of one region; 0 is none."""


def embedded(image: Any, labels: Any, **more: Any) -> NDArray[np.floating]:
    """The columns of the embedding, ``(n, C)``."""
    table = region_features(image, labels, embedding=True, **more)
    return np.column_stack([table[name] for name in table if name.startswith(EMBEDDING)])


def by_pixel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The features of the block of each pixel, by the network in one window."""
    prepared = load_prepared(Options(model=embedding.MODEL))
    assert prepared.whole is not None
    at_work, seen = WholePredictor(prepared, prepared.whole), embedding.Embedding(image, -1)
    rows, columns = seen.grid.padded_shape
    blocks = at_work.embedding(seen.picture, seen.grid, Window(0, 0, rows, columns))
    whole = blocks.repeat(at_work.reduction, axis=0).repeat(at_work.reduction, axis=1)
    return whole[: image.shape[0], : image.shape[1]]


def test_a_column_is_the_mean_over_the_pixels_of_a_region() -> None:
    pixels = by_pixel(IMAGE)
    expected = [pixels[label == LABELS].mean(axis=0) for label in range(1, 9)]
    assert pixels.std(axis=(0, 1)).max() > 5  # there is something to see
    assert_allclose(embedded(IMAGE, LABELS), expected, rtol=1e-6)


def test_it_is_what_boundaries_are_predicted_from() -> None:
    prepared = load_prepared(Options(model=embedding.MODEL))
    assert prepared.whole is not None
    at_work, seen = WholePredictor(prepared, prepared.whole), embedding.Embedding(IMAGE, -1)
    read = Window(0, 0, *seen.grid.padded_shape)
    blocks = at_work.embedding(seen.picture, seen.grid, read)
    with torch.inference_mode():
        context = torch.from_numpy(blocks).permute(2, 0, 1)[None]
        logits = whole_numbers.boundary_logits(prepared.whole.computed, context)
        expected = at_work.trunk(seen.picture, seen.grid, read).boundary
    assert expected is not None
    assert_array_equal(logits, expected)


def test_no_window_changes_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    large = blobs((500, 900))
    labels = np.arange(500)[:, None] // 37 * 100 + np.arange(900) // 41
    whole = embedded(large, labels)
    monkeypatch.setattr(embedding, "SHARED_CORE", (128, 192))
    assert embedding.Embedding(large, -1).windows == 4 * 5
    assert_array_equal(embedded(large, labels), whole)


def test_the_range_of_a_picture_is_stretched_as_for_its_superpixels() -> None:
    assert_array_equal(embedded(IMAGE.astype(np.float32) / 7 - 3, LABELS), embedded(IMAGE, LABELS))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_leaves_the_range_as_it_is(wrong: float) -> None:
    image = IMAGE.astype(float)
    image[:20, :20] = wrong
    far = LABELS.copy()
    far[:, :-20] = 0  # of what is near, the network sees the difference
    clean = IMAGE.copy()
    clean[:20, :20] = 128
    assert_allclose(embedded(image, far), embedded(clean, far), atol=40)
    assert np.isfinite(embedded(np.full(SHAPE, wrong), LABELS)).all()


def test_alpha_is_not_seen() -> None:
    alpha = np.random.default_rng(2).integers(0, 256, (*SHAPE, 1), np.uint8)
    assert_array_equal(embedded(np.concatenate([IMAGE, alpha], -1), LABELS), embedded(IMAGE, LABELS))


def test_channels_may_come_first_and_labels_have_gaps_or_no_region() -> None:
    whole = embedded(IMAGE, LABELS)
    assert_array_equal(embedded(np.moveaxis(IMAGE, -1, 0), LABELS * 10**12, channel_axis=0), whole)
    assert embedded(IMAGE, np.zeros_like(LABELS)).shape == (0, whole.shape[1])
    assert len(embedded(IMAGE, LABELS, background=None)) == 9


def test_without_it_no_column_is_the_networks() -> None:
    with_it, without = (list(region_features(IMAGE, LABELS, embedding=each)) for each in (True, False))
    assert without == [name for name in with_it if not name.startswith(EMBEDDING)]
    assert len(with_it) - len(without) == 64
