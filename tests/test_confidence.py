"""How sure a pixel is of its superpixel: exact figures of pixels that waver between some of nine cells."""

import math

import pytest
import torch

from napari_pcnet.network.association import confidence


@pytest.mark.parametrize("cells", [1, 2, 3, 8, 9])
def test_a_pixel_that_wavers_between_cells_has_the_entropy_of_their_number(cells: int) -> None:
    logits = torch.full((1, 9, 2, 3), -1e9, dtype=torch.float64)
    logits[:, :cells] = 5.0
    expected = 1 - math.log(cells) / math.log(9)
    assert confidence(logits).tolist() == [[pytest.approx([expected] * 3, abs=1e-12)] * 2]
