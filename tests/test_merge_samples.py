"""What a merge classifier learns from, sample by sample."""

import numpy as np
import pytest

from napari_pcnet.merging.graph import Features
from napari_pcnet.merging.tree import build
from napari_pcnet.options import Options
from napari_pcnet.training.merge_classifier import Oracle, overlap


def _samples(cell_area: float, area: list[int]) -> dict[str, np.ndarray]:
    """Samples of the first round on three strips one pixel high, of which the annotation parts the last."""
    base = np.repeat(np.arange(3, dtype=np.int32), area)[None]
    truth = (base == 2).astype(np.uint8)
    oracle = Oracle([overlap(base, truth)], min_regions=2)
    colour = np.array([[0.0, 0, 0], [0, 0, 0], [90, 0, 0]])
    pixels = np.array(area)
    features = Features.of_lab(pixels, colour, np.stack([2 * pixels, 2 + 0 * pixels], axis=1), cell_area)
    lines = np.tile([0, 1, 0, 0], (2, 1))
    build(features, np.array([[0, 1], [1, 2]]), lines, Options(compactness=0.0), observer=oracle)
    samples = oracle.samples(100, np.random.default_rng(0))
    order = np.argsort(samples.lost_share)
    return {name: values[order] for name, values in samples._asdict().items()}


@pytest.mark.parametrize("cell_area", [1.0, 4.0, 256.0])
def test_a_sample_weighs_as_its_merge_costs_in_cells(cell_area: float) -> None:
    found = _samples(cell_area, [8, 24, 12])
    assert found["lost_share"].tolist() == [0, 1]  # the merge of 0 and 1, and of 1 and 2
    expected = np.array([8 * 24 / 32, 24 * 12 / 36]) / cell_area
    assert found["weight"] == pytest.approx(expected)


def test_a_picture_enlarged_with_its_cells_gives_the_same_samples() -> None:
    small, large = _samples(2.0, [4, 12, 6]), _samples(8.0, [16, 48, 24])
    assert small["weight"] == pytest.approx(large["weight"])
    assert small["features"][:, :2] == pytest.approx(large["features"][:, :2])
