"""The network, layer by layer as its authors have it."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_pcnet.merging.cost import EDGE_FEATURES
from napari_pcnet.network.model import (
    MergeClassifierNetwork,
    PCNet,
    PCNetConfig,
    multiply_adds_per_px,
    parameter_count,
    weights_drawn_by,
)

LAYERS = {
    "encoder.0.0": 464, "encoder.0.1": 2_336, "encoder.1.0": 4_672, "encoder.1.1": 9_280,
    "encoder.2.0": 18_560, "encoder.2.1": 36_992, "encoder.3.0": 73_984, "encoder.3.1": 147_712,
    "encoder.4.0": 295_424, "encoder.4.1": 590_336,
    "up.0": 524_416, "fuse.0": 295_168, "up.1": 131_136, "fuse.1": 73_856,
    "up.2": 32_800, "fuse.2": 18_496, "up.3": 8_208, "fuse.3": 4_640,
    "subpixel.0": 37_376, "embed": 2_336, "head": 1_305, "super_resolution": 48,
}  # fmt: skip
"""Parameters of each layer in the authors' network."""


def multiply_adds(model: PCNet, side: int) -> int:
    """Multiply-adds of one forward pass, counted where the convolutions run."""
    counted = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal counted
        kernel = layer.weight.shape[2] * layer.weight.shape[3]
        if isinstance(layer, nn.ConvTranspose2d):
            counted += inputs[0].shape[2] * inputs[0].shape[3] * layer.weight[:, :, 0, 0].numel() * kernel
        else:
            counted += output.shape[2] * output.shape[3] * layer.weight[:, :, 0, 0].numel() * kernel

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    return counted


def test_it_has_the_parameters_of_the_authors_network() -> None:
    model = PCNet()
    assert parameter_count(model) == 2_309_497
    for name, expected in LAYERS.items():
        layer = model.get_submodule(name)
        assert sum(p.numel() for p in layer.parameters()) == expected, name


def test_it_costs_8603_multiply_adds_for_each_work_pixel() -> None:
    assert round(multiply_adds(PCNet().eval(), 256) / 256**2) == 8603


@pytest.mark.parametrize("stem", ["nearest", "area", "unshuffle"])
def test_every_stem_answers_for_every_work_pixel(stem: str) -> None:
    output = PCNet(PCNetConfig(stem=stem)).eval()(torch.rand(2, 3, 64, 128))  # type: ignore[arg-type]
    assert output.logits.shape == (2, 9, 64, 128)
    assert output.embedding.shape == (2, 16, 64, 128)


def test_every_pixel_has_a_boundary_logit_if_there_is_a_decoder() -> None:
    image = torch.rand(2, 3, 64, 128)
    assert PCNet(PCNetConfig(boundary=4)).eval()(image).boundary.shape == (2, 1, 64, 128)
    assert PCNet().eval()(image).boundary is None


def test_the_gradient_of_boundaries_stays_in_their_decoder() -> None:
    model = PCNet(PCNetConfig(widths=(4, 4, 4, 4, 4), boundary=4))
    model(torch.rand(2, 3, 64, 64)).boundary.sum().backward()
    learns = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learns == {"boundary"}


@pytest.mark.parametrize("config", [PCNetConfig(), PCNetConfig(guide=4, boundary=4, merge_classifier=3)])
def test_weights_may_be_drawn_apart_from_the_random_state_that_all_share(config: PCNetConfig) -> None:
    torch.manual_seed(7)
    shared = PCNet(config).state_dict()
    before = torch.get_rng_state()
    with weights_drawn_by(torch.Generator().manual_seed(7)):
        drawn = PCNet(config).state_dict()
    with weights_drawn_by(None):
        assert PCNet(config).state_dict().keys() == drawn.keys()
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in shared.items():
        torch.testing.assert_close(drawn[name], value, rtol=0, atol=0)


def test_a_merge_classifier_changes_no_other_random_weights() -> None:
    without, with_merge_classifier = (
        (torch.manual_seed(0), PCNet(PCNetConfig(boundary=4, merge_classifier=classifier)).state_dict())[1]
        for classifier in (0, 8)
    )
    assert all(torch.equal(with_merge_classifier[name], value) for name, value in without.items())


@pytest.mark.parametrize(
    "config",
    [
        PCNetConfig(),
        PCNetConfig("unshuffle", guide=2, boundary=4, merge_classifier=3),
        PCNetConfig(reduction=1),
        PCNetConfig("unshuffle", block=(6, 5), finer=(8, 4), boundary=4),
        PCNetConfig("unshuffle", 8, (8, 8, 8, 8), block=(6,), finer=(8,)),
    ],
)
def test_the_cost_is_that_of_the_convolutions(config: PCNetConfig) -> None:
    model = PCNet(config)
    assert multiply_adds_per_px(model) == multiply_adds(model, 128) / 128**2


def test_a_merge_classifier_in_whole_numbers_gives_nearly_the_same() -> None:
    torch.manual_seed(0)
    classifier = MergeClassifierNetwork(8)
    classifier.mean.uniform_(-2, 2)
    classifier.deviation.uniform_(0.5, 3)
    edge_features = torch.randn(300, EDGE_FEATURES) * 3
    expected = classifier(edge_features).sigmoid().detach().numpy()
    np.testing.assert_allclose(classifier.as_numpy()(edge_features.numpy()), expected, atol=1e-3)


def test_the_guide_sees_the_pixels_that_the_stem_leaves_out() -> None:
    model = PCNet(PCNetConfig(guide=4)).eval()
    image = torch.rand(1, 3, 64, 64)
    changed = torch.rand(1, 3, 64, 64)
    changed[..., ::4, ::4] = image[..., ::4, ::4]
    assert not torch.equal(model(image).logits, model(changed).logits)


def test_the_nearest_stem_never_sees_fifteen_of_sixteen_pixels() -> None:
    model = PCNet().eval()
    image = torch.rand(1, 3, 64, 64)
    changed = torch.rand(1, 3, 64, 64)
    changed[..., ::4, ::4] = image[..., ::4, ::4]
    assert torch.equal(model(image).logits, model(changed).logits)


def test_scn_is_the_same_trunk_at_full_resolution() -> None:
    model = PCNet(PCNetConfig(reduction=1)).eval()
    assert model(torch.rand(1, 3, 32, 48)).logits.shape == (1, 9, 32, 48)
    shared = {"subpixel.0", "embed", "super_resolution"}
    expected = sum(count for name, count in LAYERS.items() if name not in shared)
    assert parameter_count(model) == expected


def test_blocks_are_associated_with_cells_of_every_side() -> None:
    model = PCNet(PCNetConfig("unshuffle", block=(6, 5), finer=(8, 4), boundary=4)).eval()
    output = model(torch.rand(2, 3, 64, 128))
    assert [each.shape for each in (output.logits, *output.finer)] == [(2, 9, 64, 128)] * 3
    assert output.boundary is not None and output.boundary.shape == (2, 1, 64, 128)
    # channel 16 k + 4 y + x is what pixel (y, x) of a block thinks of its neighbour k
    block = torch.arange(9.0 * 16).reshape(1, 144, 1, 1)
    assert model.to_pixels(block)[0, 5, 2, 3] == 16 * 5 + 4 * 2 + 3


def test_the_reconstruction_is_the_picture_less_its_mean() -> None:
    model = PCNet().eval()
    output = model(torch.rand(1, 3, 64, 64))
    rebuilt = model.reconstruct(output.detail)
    assert rebuilt.shape == (1, 3, 64, 64)
    assert rebuilt.abs().max() <= 1


BLOCK = {"stem": "unshuffle", "block": (8,)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "cubic"}, "stem must be one of ('nearest', 'area', 'unshuffle'), got 'cubic'"),
        ({"reduction": 2}, "reduction must be 4 (PCNet) or 1 (SCN), got 2"),
        ({"cell": 8}, "cell must be 16, got 8"),
        ({"guide": -1}, "guide must be at least 0, and 0 where nothing is reduced, got -1"),
        ({"guide": 8, "reduction": 1}, "guide must be at least 0, and 0 where nothing is reduced, got 8"),
        ({"widths": (16, 32)}, "widths must have 5 entries, got (16, 32)"),
        (
            {"block": (8,), "guide": 4},
            "with block, in place of the paper's tail, stem must be 'unshuffle' and guide 0",
        ),
        (BLOCK | {"reduction": 1}, "reduction must be 4 or 8 with block, got 1"),
        (BLOCK | {"reduction": 8}, "widths must have 4 entries, got (16, 32, 64, 128, 256)"),
        ({"finer": (8,)}, "finer must be empty without block: only whole blocks have finer cells"),
        (
            BLOCK | {"finer": (8, 2)},
            "finer must fall from 16 to 4 by whole factors, got (8, 2)",
        ),
        (
            BLOCK | {"finer": (4, 8)},
            "finer must fall from 16 to 4 by whole factors, got (4, 8)",
        ),
        (
            BLOCK | {"finer": (16,)},
            "finer must fall from 16 to 4 by whole factors, got (16,)",
        ),
        (
            BLOCK | {"finer": (12,)},
            "finer must fall from 16 to 4 by whole factors, got (12,)",
        ),
    ],
)
def test_a_configuration_that_is_no_pcnet_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        PCNetConfig(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message
