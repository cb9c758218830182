"""What a merge network learns from, sample by sample."""

import numpy as np
import pytest

from napari_pcnet.merging.tree import Features, build
from napari_pcnet.training.judge import Witness, overlap


def _samples(cell_area: float, area: list[float]) -> dict[str, np.ndarray]:
    """Samples of the first round on three strips one pixel high, of which the annotation parts the last."""
    base = np.repeat(np.arange(3, dtype=np.int32), [int(each) for each in area])[None]
    truth = (base == 2).astype(np.uint8)
    witness = Witness([overlap(base, truth)], fewest=2)
    colour = np.array([[0.0, 0, 0], [0, 0, 0], [90, 0, 0]])
    features = Features(np.array(area), colour, colour, 2 * np.array(area) + 2, cell_area)
    build(features, np.array([[0, 1], [1, 2]]), np.ones(2), 0.0, observer=witness)
    lessons = witness.lessons(100, np.random.default_rng(0))
    order = np.argsort(lessons.lost)
    return {name: values[order] for name, values in lessons._asdict().items()}


@pytest.mark.parametrize("cell_area", [1.0, 4.0, 256.0])
def test_a_sample_weighs_as_its_merge_costs_in_cells(cell_area: float) -> None:
    found = _samples(cell_area, [4.0, 12.0, 6.0])
    assert found["lost"].tolist() == [0, 1]  # the merge of 0 and 1, and of 1 and 2
    expected = np.array([4 * 12 / 16, 12 * 6 / 18]) / cell_area
    assert found["weight"] == pytest.approx(expected)


def test_a_picture_enlarged_with_its_cells_gives_the_same_samples() -> None:
    small, large = _samples(2.0, [4.0, 12.0, 6.0]), _samples(8.0, [16.0, 48.0, 24.0])
    assert small["weight"] == pytest.approx(large["weight"])
    assert small["evidence"][:, :2] == pytest.approx(large["evidence"][:, :2])
