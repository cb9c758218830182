"""The halo of a network is the reach of its layers: intervals agree with gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_pcnet.geometry.grid import STRIDE
from napari_pcnet.network.model import ConvBlock, PCNet, PCNetConfig, Reduce
from napari_pcnet.network.prepared import _fused
from napari_pcnet.network.reach import Intervals, halo_of, needed, window_input

THIN = (8, 4, 4, 4, 4)
"""Few channels, of full reach."""

CONFIGS = {
    "nearest": PCNetConfig(widths=THIN),
    "area": PCNetConfig("area", widths=THIN),
    "unshuffle": PCNetConfig("unshuffle", widths=THIN),
    "scn": PCNetConfig(reduction=1, widths=THIN),
    "guide and boundary": PCNetConfig("unshuffle", widths=THIN, guide=3, boundary=4),
    "blocks of 8": PCNetConfig("unshuffle", 8, THIN[1:], boundary=4, block=(4, 3), finer=(8,)),
    "blocks": PCNetConfig("unshuffle", widths=THIN, boundary=4, block=(4, 3), finer=(8,)),
    "scn and boundary": PCNetConfig(reduction=1, widths=THIN, boundary=4),
}
HALOS = dict.fromkeys(CONFIGS, (320, 256)) | dict.fromkeys(["scn", "scn and boundary"], (128, 64))


class DeeperTail(PCNet):
    """Four more convolutions behind the sub-pixel layer than PCNet has."""

    def __init__(self) -> None:
        super().__init__(CONFIGS["unshuffle"])
        self.embed = nn.Sequential(self.embed, *(ConvBlock(8, 8) for _ in range(4)))


def lively(model: PCNet) -> PCNet:
    """Normalise by statistics of noise, and let all pass, so that no channel is silent."""
    for block in [each for each in model.modules() if isinstance(each, nn.Sequential)]:
        for at, layer in enumerate(block):
            if isinstance(layer, nn.ReLU):
                block[at] = nn.LeakyReLU(0.5)
    model.double().train()(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    return model.eval()


@pytest.fixture(params=[*CONFIGS, "deeper tail"], scope="module")
def model(request: pytest.FixtureRequest) -> PCNet:
    torch.manual_seed(0)
    return lively(DeeperTail() if request.param == "deeper tail" else PCNet(CONFIGS[request.param]))


def maps_of(model: PCNet, image: Tensor) -> list[Tensor]:
    """All outputs of a network."""
    output = model(image)
    return [output.logits, *output.finer, *([] if output.boundary is None else [output.boundary])]


def columns_with_gradient(maps: list[Tensor], window: slice, image: Tensor) -> slice:
    """Input columns from the first to the last on which the outputs of a window depend."""
    total = sum((each[..., window] * torch.randn_like(each[..., window])).sum() for each in maps)
    (gradient,) = torch.autograd.grad(total, image, retain_graph=True)
    columns = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
    return slice(int(columns.min()), int(columns.max()) + 1)


def test_intervals_end_where_the_gradient_does(model: PCNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "detach", lambda self: self)  # a decoder reads features without a gradient
    image = torch.rand(1, 3, STRIDE, 1024, dtype=torch.float64, requires_grad=True)
    maps = maps_of(model, image)
    for window in (slice(512, 576), slice(515, 518), slice(0, 64), slice(1000, 1024)):
        assert window_input(model, window, 1024) == columns_with_gradient(maps, window, image)


def test_a_halo_is_enough_and_one_stride_less_is_not(model: PCNet) -> None:
    halo, start, length = halo_of(model), 576, 1280
    image = torch.rand(1, 3, STRIDE, length, dtype=torch.float64)

    def outputs(before: int, after: int) -> list[Tensor]:
        """Outputs of a window where all that lies further away is another picture."""
        changed = torch.rand(1, 3, STRIDE, length, dtype=torch.float64)
        kept = slice(start - before, start + STRIDE + after)
        changed[..., kept] = image[..., kept]
        with torch.no_grad():
            return [each[..., start : start + STRIDE] for each in maps_of(model, changed)]

    unchanged = outputs(start, length)

    def agree(before: int, after: int) -> bool:
        pairs = zip(outputs(before, after), unchanged, strict=True)
        return all(torch.allclose(one, other, rtol=0, atol=1e-12) for one, other in pairs)

    assert agree(*halo)
    assert not agree(halo.before_px - STRIDE, halo.after_px)
    assert not agree(halo.before_px, halo.after_px - STRIDE)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_halos_of_the_networks_there_are(name: str) -> None:
    model = PCNet(CONFIGS[name]).eval()
    assert halo_of(model) == halo_of(_fused(model)) == HALOS[name]


def test_a_deeper_tail_reaches_further() -> None:
    assert halo_of(DeeperTail().eval()) == (384, 320)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding=1),
        nn.Conv2d(1, 1, 4, stride=2, padding=1),
        nn.Conv2d(1, 1, 3, stride=3, padding=2, dilation=2),
        nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1),
        nn.ConvTranspose2d(1, 1, 3, stride=3, padding=0, output_padding=1, dilation=2),
        Reduce("nearest", 4),
        Reduce("area", 4),
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2)),
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 1, 1)),
        nn.Upsample(scale_factor=3, mode="nearest"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_each_position_of_a_layer_depends_on_what_its_gradient_says(layer: nn.Module) -> None:
    image = torch.rand(1, 1, 24, 24, requires_grad=True)
    output = layer(image)
    for at in range(output.shape[-1]):
        (gradient,) = torch.autograd.grad(output[..., at].sum(), image, retain_graph=True)
        columns = gradient.sum((0, 1, 2)).nonzero().flatten()
        if len(columns):
            expected = slice(int(columns.min()), int(columns.max()) + 1)
            assert needed(layer, slice(at, at + 1), 24) == expected


def test_an_operation_without_a_rule_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"^there is no rule for the reach of max_pool2d$"):
        F.max_pool2d(Intervals(np.arange(8), np.arange(8)), 2)
