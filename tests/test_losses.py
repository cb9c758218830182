"""The losses: zero where all is right, 2 x 2 cases by hand, and their gradients."""

import math

import pytest
import torch

from napari_pcnet.boundaries import boundary_pixels
from napari_pcnet.geometry.grid import CELL
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.training.losses import (
    BAND_PX,
    LossConfig,
    block_terms,
    boundary_loss,
    discrimination_loss,
    loss_terms,
    reconstruction_loss,
    superpixel_loss,
    views_of_cells,
)
from napari_pcnet.training.samples import Batch, Crops

CENTRE = 4
SMALL = PCNetConfig(widths=(4, 4, 4, 4, 4))


def certain(channel: int, height: int, width: int) -> torch.Tensor:
    logits = torch.zeros(1, 9, height, width, dtype=torch.float64)
    logits[:, channel] = 200
    return logits


def test_superpixels_that_follow_the_labels_lose_nothing_of_them() -> None:
    labels = torch.zeros(1, 32, 48, dtype=torch.int64)
    labels[:, :, 16:32] = 1
    assert superpixel_loss(certain(CENTRE, 32, 48), labels).semantic == pytest.approx(0, abs=1e-12)


def test_a_cell_cut_in_half_by_two_classes_loses_one_bit_a_pixel() -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 8:] = 1
    semantic = superpixel_loss(certain(CENTRE, 16, 16), labels).semantic
    assert float(semantic) == pytest.approx(math.log(2))


def test_the_position_term_is_the_distance_from_the_centroid() -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    at = torch.arange(16, dtype=torch.float64) - 7.5
    squared = at[:, None] ** 2 + at[None, :] ** 2
    logits = certain(CENTRE, 16, 16)
    assert float(superpixel_loss(logits, labels).position) == pytest.approx(float(squared.sqrt().mean()))
    assert float(superpixel_loss(logits, labels, 2).position) == pytest.approx(float(squared.mean()))


@pytest.mark.parametrize("cell", [4, 8])
def test_distances_of_finer_cells_are_theirs(cell: int) -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    at = torch.arange(cell, dtype=torch.float64) - (cell - 1) / 2
    squared = at[:, None] ** 2 + at[None, :] ** 2
    loss = superpixel_loss(certain(CENTRE, 16, 16), labels, 2, cell)
    assert float(loss.position) == pytest.approx(float(squared.mean()))


def test_each_cell_of_a_network_learns_from_its_own_part_of_the_views() -> None:
    torch.manual_seed(0)
    model = PCNet(PCNetConfig("unshuffle", widths=SMALL.widths, block=(4,), finer=(8, 4)))
    views = Crops(torch.rand(4, 3, 64, 64), torch.randint(0, 3, (4, 64, 64)))
    output = model(views.image)
    every = [output.logits[:2], output.finer[0][2:3], output.finer[1][3:]]
    parts = views_of_cells(model, views.labels)
    assert [len(part) for part in parts] == [2, 1, 1]
    cells = zip(every, parts, model.config.cells, strict=True)
    each = [superpixel_loss(logits, labels, 1, cell) for logits, labels, cell in cells]
    terms = block_terms(model, Batch(views, None), LossConfig()).as_record()
    assert terms["semantic_global"] == pytest.approx(
        sum(loss.semantic.item() * share for loss, share in zip(each, (0.5, 0.25, 0.25), strict=True))
    )
    assert terms["position_global"] == pytest.approx(
        sum(loss.position.item() * weight for loss, weight in zip(each, (0.5, 0.5, 1), strict=True)), rel=1e-5
    )
    assert terms["boundary"] == terms["reconstruction_global"] == 0
    assert [len(part) for part in views_of_cells(model, views.labels[:2])] == [2, 2, 2]


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="must") as caught:
        superpixel_loss(certain(CENTRE, 16, 16), torch.zeros(1, 8, 8, dtype=torch.int64))
    assert str(caught.value) == "labels must be as large as logits, got (8, 8) and (16, 16)"


def test_the_superpixel_loss_has_right_gradients() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 9, CELL, 2 * CELL, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 3, (1, CELL, 2 * CELL))
    assert torch.autograd.gradcheck(lambda x: tuple(superpixel_loss(x, labels, 2)), (logits,), fast_mode=True)


def test_boundaries_are_marked_on_both_sides() -> None:
    labels = torch.tensor([[[0, 0, 1], [0, 0, 1]]])
    assert boundary_pixels(labels).tolist() == [[[False, True, True], [False, True, True]]]


def test_a_boundary_that_is_told_costs_nothing_and_an_even_guess_one_bit() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, :, 5:] = 1
    truth = boundary_pixels(labels)[:, None].double()
    assert float(boundary_loss((truth - 0.5) * 200, labels)) == pytest.approx(0, abs=1e-6)
    assert float(boundary_loss(torch.zeros(1, 1, 8, 8), labels)) == pytest.approx(math.log(2))


def test_a_network_that_tells_no_boundaries_can_not_learn_them() -> None:
    output = PCNet(SMALL)(torch.zeros(2, 3, 64, 64))
    message = "loss.boundary needs a network with a boundary decoder: set model.boundary"
    with pytest.raises(ValueError, match=f"^{message}$"):
        boundary_loss(output.boundary, torch.zeros(2, 64, 64, dtype=torch.int64))


def test_reconstruction_counts_in_the_band_alone() -> None:
    labels = torch.zeros(1, 40, 40, dtype=torch.int64)
    labels[:, 20:] = 1
    picture = torch.zeros(1, 3, 40, 40)
    rebuilt = torch.full((1, 3, 40, 40), 9.0)
    reach = BAND_PX // 2
    rebuilt[:, :, 19 - reach : 21 + reach] = 0.25  # boundary rows are 19 and 20
    assert float(reconstruction_loss(rebuilt, picture, labels)) == pytest.approx(0.25)
    assert float(reconstruction_loss(picture, picture, labels)) == 0


def test_reconstruction_without_a_boundary_is_zero() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    assert float(reconstruction_loss(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), labels)) == 0


def two_sides(left: float, right: float, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedding of one feature with two classes side by side, alternating about two means."""
    labels = torch.zeros(1, 12, 12, dtype=torch.int64)
    labels[:, :, 6:] = 1
    sign = torch.tensor([1.0, -1.0]).repeat(6)[:, None].expand(12, 12)
    embedding = torch.where(labels == 0, left, right)[:, None] + spread * sign[None, None]
    return embedding, labels


def test_discrimination_is_the_ratio_of_eq_6() -> None:
    embedding, labels = two_sides(0.0, 3.0, 1.0)
    config = LossConfig(window_px=3, windows=1000)
    loss = float(discrimination_loss(embedding, labels, config, torch.Generator().manual_seed(0)))
    # a 3 x 3 window: one column of one class, two of the other; signs + - + or - + -
    # one column: mean s/3, scatter 3 - 1/3; two columns: mean s/3, scatter 6 - 2/3
    assert loss == pytest.approx(-9 / (8 / 3 + 16 / 3), rel=1e-5)


def test_discrimination_can_be_bounded() -> None:
    embedding, labels = two_sides(0.0, 3.0, 1.0)
    config = LossConfig(window_px=3, bounded=True)
    loss = float(discrimination_loss(embedding, labels, config, torch.Generator().manual_seed(0)))
    assert loss == pytest.approx(-math.log(1 + 9 / 8), rel=1e-5)


def test_windows_of_one_or_three_classes_are_not_kept() -> None:
    one = torch.zeros(1, 12, 12, dtype=torch.int64)
    three = torch.arange(12).remainder(3).expand(1, 12, 12)
    for labels in (one, three):
        loss = discrimination_loss(
            torch.randn(1, 2, 12, 12), labels, LossConfig(), torch.Generator().manual_seed(0)
        )
        assert float(loss) == 0


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(0)
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, :, 30:] = 1
    view = Crops(torch.rand(2, 3, 64, 64), labels)
    return Batch(view, view)


@pytest.mark.parametrize("term", ["reconstruction", "local", "discrimination"])
def test_each_term_has_its_switch(batch: Batch, term: str) -> None:
    model = PCNet(SMALL)
    off = loss_terms(model, batch, LossConfig(**{term: 0.0}), torch.Generator()).as_record()
    on = loss_terms(model, batch, LossConfig(**{term: 1.0}), torch.Generator()).as_record()
    named = [name for name in on if name.startswith(term) or name.endswith(f"_{term}")]
    assert named
    assert all(off[name] == 0 for name in named)
    assert any(on[name] != 0 for name in named)


def test_the_full_loss_is_the_weighted_sum_of_eq_8(batch: Batch) -> None:
    config = LossConfig(position=0.1, reconstruction=0.2, local=0.3, discrimination=0.4)
    terms = loss_terms(PCNet(SMALL), batch, config, torch.Generator())
    t = terms.as_record()
    expected = (
        t["semantic_global"] + 0.1 * t["position_global"] + 0.2 * t["reconstruction_global"]
        + 0.3 * (t["semantic_local"] + 0.1 * t["position_local"] + 0.2 * t["reconstruction_local"])
        + 0.4 * t["discrimination"]
    )  # fmt: skip
    assert float(terms.total(config).detach()) == pytest.approx(expected, rel=1e-5)


def test_half_precision_changes_little(batch: Batch) -> None:
    model = PCNet(SMALL)
    full = loss_terms(model, batch, LossConfig(), torch.Generator()).as_record()
    half = loss_terms(model, batch, LossConfig(), torch.Generator(), torch.bfloat16).as_record()
    assert half["semantic_global"] == pytest.approx(full["semantic_global"], rel=0.05)
