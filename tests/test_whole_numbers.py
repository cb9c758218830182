"""The network in whole numbers: exact sums, one answer in every way to compute it, close to the floats."""

from __future__ import annotations

import copy
import os
import platform
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from napari_pcnet import pcnet_superpixels
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.picture import BYTE_TOP, COLOUR_STEPS, Picture
from napari_pcnet.geometry.tiling import plan
from napari_pcnet.merging import connectivity
from napari_pcnet.network import checkpoint, quantise, whole_numbers
from napari_pcnet.network import predictor as predictor_module
from napari_pcnet.network.model import PCNet, PCNetConfig
from napari_pcnet.network.predictor import Inside, Labelled, _choices, predictor
from napari_pcnet.network.prepared import PreparedNetwork, prepare
from napari_pcnet.network.whole_numbers import (
    TOP,
    Shape,
    WholeLayer,
    by_floats,
    by_onednn,
    check,
    onednn_agrees,
)

CPU = torch.device("cpu")
CONFIG = PCNetConfig(
    "unshuffle", widths=(8, 8, 8, 16, 16), boundary=8, merge_classifier=4, block=(16, 8), finer=(8, 4)
)
OF_8 = replace(CONFIG, reduction=8, widths=CONFIG.widths[1:], finer=(8,))
PIXELS = data.astronaut()[:200, 100:300]


@pytest.fixture(scope="module", params=[4, 8])
def model(request: pytest.FixtureRequest) -> PCNet:
    """A network with random weights and lively normalisation, in whole numbers, too."""
    torch.manual_seed(0)
    network = PCNet(CONFIG if request.param == 4 else OF_8)
    pictures = torch.from_numpy(data.astronaut()[:256, :256]).permute(2, 0, 1)[None].float() / 255
    for _ in range(30):
        network.train()(pictures)
    network.eval()
    network.whole_numbers = quantise.quantise(network, pictures)
    return network


@pytest.fixture(scope="module")
def file(model: PCNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    checkpoint.save_model(path, model, {"step": 7})
    return path


def picture_of(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(pixels, 2, None, np.zeros(3), np.full(3, 255.0))


def whole_window(prepared: PreparedNetwork, cell: int = 8, confidence: bool = False) -> Labelled:
    picture = picture_of(PIXELS)
    grid = Grid.enlarged(picture.shape, 1, cell=cell)
    (tile,) = plan(grid, (9999, 9999), connectivity.reach_px(grid), prepared.halo)
    return predictor(prepared, confidence).raw_labels(picture, grid, tile, lambda: None)


def layer_of(shape: Shape, inputs: int, outputs: int, kernel: int, seed: int = 0) -> WholeLayer:
    """A random layer with the largest weights that are allowed."""
    random = torch.Generator().manual_seed(seed)
    most = shape.weight_top
    size = (outputs, inputs, kernel, kernel)
    return WholeLayer(
        torch.randint(-most, most + 1, size, generator=random).to(torch.int8),
        torch.randint(9, 13, (outputs,), generator=random).to(torch.int8),
        torch.randint(-(1 << 17), 1 << 17, (outputs,), generator=random).to(torch.int32),
        torch.ones(inputs),
    )


@pytest.mark.parametrize(
    ("shape", "inputs", "kernel"),
    [
        (Shape(4, 0, BYTE_TOP, TOP), 3, 12),
        (Shape(1, 1, TOP, TOP), 16, 3),
        (Shape(2, 1, TOP, TOP), 40, 3),
        (Shape(1, 0, TOP, 255), 32, 1),
    ],
)
def test_a_layer_is_the_rounded_quotient_of_exact_sums(shape: Shape, inputs: int, kernel: int) -> None:
    layer = layer_of(shape, inputs, 24, kernel)
    random = torch.Generator().manual_seed(1)
    image = torch.randint(0, shape.input_top + 1, (1, inputs, 16, 20), generator=random)
    sums = torch.nn.functional.conv2d(
        image.double(), layer.weight.double(), layer.bias.double(), shape.stride, shape.padding
    )
    exact = (sums / torch.exp2(layer.shift.double())[:, None, None]).round().clamp(0, shape.top)
    assert float(((exact > 0) & (exact < shape.top)).double().mean()) > 0.2  # most are not clipped away
    laid_out = image.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    for compute in (by_floats, by_onednn) if onednn_agrees() else (by_floats,):
        assert torch.equal(compute(layer, shape)(laid_out).double(), exact)


def test_the_kernel_is_used_where_it_is_made_for() -> None:
    is_made_for = sys.platform == "linux" and platform.machine() == "x86_64"
    assert onednn_agrees() or not is_made_for


@pytest.mark.parametrize(
    "setting", [torch.autocast("cpu", torch.bfloat16), torch.device("meta")], ids=["autocast", "meta"]
)
def test_a_callers_settings_do_not_decide_how_layers_are_computed(
    setting: AbstractContextManager[object],
) -> None:
    with setting:
        inside = onednn_agrees.__wrapped__()  # what is kept was asked elsewhere
    assert inside == onednn_agrees()


def test_halves_are_rounded_to_even() -> None:
    shape = Shape(1, 0, TOP, TOP)
    layer = WholeLayer(
        torch.ones(1, 1, 1, 1, dtype=torch.int8),
        torch.ones(1, dtype=torch.int8),
        torch.zeros(1, dtype=torch.int32),
        torch.ones(1),
    )
    image = torch.arange(8, dtype=torch.uint8).reshape(1, 1, 1, 8)
    assert by_floats(layer, shape)(image).flatten().tolist() == [0, 0, 1, 2, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight": torch.full((4, 8, 3, 3), 127, dtype=torch.int8), "top": 255},
            "weights must be from -64 to 64",
        ),
        ({"weight": torch.full((4, 8, 3, 3), -128, dtype=torch.int8)}, "weights must be from -127 to 127"),
        ({"bias": torch.full((4,), 1 << 24, dtype=torch.int32)}, r"a sum may reach 2\*\*24"),
        ({"shift": torch.full((4,), 25, dtype=torch.int8)}, "shifts must be from 0 to 24"),
        ({"shift": torch.full((4,), -1, dtype=torch.int8)}, "shifts must be from 0 to 24"),
        ({"shift": torch.zeros(3, dtype=torch.int8)}, "one number for each of 4 channels"),
    ],
)
def test_numbers_whose_sums_would_not_be_exact_are_refused(change: dict[str, object], message: str) -> None:
    shape = Shape(1, 1, int(change.pop("top", TOP)), TOP)  # type: ignore[call-overload]
    layer = layer_of(Shape(1, 1, TOP, TOP), 8, 4, 3)
    check(layer, Shape(1, 1, TOP, TOP), "plain")
    with pytest.raises(ValueError, match=f"^plain: .*{message}"):
        check(replace(layer, **change), shape, "plain")  # type: ignore[arg-type]


@pytest.mark.parametrize("finest", [False, True])
def test_whole_numbers_are_close_to_the_floats(model: PCNet, finest: bool) -> None:
    cell = model.config.cells[-finest]
    whole = whole_window(prepare(model, CPU), cell, confidence=True)
    in_floats = copy.deepcopy(model)
    in_floats.whole_numbers = None
    floats = whole_window(prepare(in_floats, CPU), cell, confidence=True)
    assert (whole.raw == floats.raw).mean() > 0.7  # of a network that has learnt nothing
    for ours, theirs in ((whole.confidence, floats.confidence), (whole.boundary, floats.boundary)):
        assert ours is not None and theirs is not None
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.8
        assert np.abs(ours - theirs).mean() < 0.08 * COLOUR_STEPS


@pytest.mark.parametrize("finest", [False, True])
def test_windows_strips_and_carriers_give_the_same_bits(
    model: PCNet, finest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = model.config.cells[-finest]
    prepared = prepare(model, CPU)
    picture = picture_of(PIXELS)
    grid = Grid.enlarged(picture.shape, 1, cell=cell)
    whole = whole_window(prepared, cell)
    monkeypatch.setattr(whole_numbers, "onednn_agrees", lambda: False)
    by_floats_alone = prepare(model, CPU)
    monkeypatch.setattr(predictor_module, "STRIP_PX", 1)
    for each in (prepared, by_floats_alone):
        for tile in plan(grid, (64, 64), connectivity.reach_px(grid), each.halo):
            found = predictor(each).raw_labels(picture, grid, tile, lambda: None)
            np.testing.assert_array_equal(found.raw, whole.raw[tile.labelled.slices])
            assert found.boundary is not None and whole.boundary is not None
            np.testing.assert_array_equal(found.boundary, whole.boundary[tile.labelled.slices])


PROGRAM = """
import hashlib, sys, torch
from skimage import data
from napari_pcnet import pcnet_superpixels
torch.set_num_threads(int(sys.argv[2]))
image = data.astronaut()[:200, 100:300]
digest = hashlib.sha256()
for count in (30, 300, 3000):
    digest.update(pcnet_superpixels(image, count, model=sys.argv[1]).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_processors_and_threads_give_the_same_labels(file: Path) -> None:
    def labels_with(threads: int, **environment: str) -> str:
        command = [sys.executable, "-c", PROGRAM, str(file), str(threads)]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    every = {
        labels_with(1),
        labels_with(2, ONEDNN_MAX_CPU_ISA="SSE41", NAPARI_PCNET_COMPILED="0"),
        labels_with(2, ONEDNN_MAX_CPU_ISA="AVX2", NPY_DISABLE_CPU_FEATURES="AVX512F"),
    }
    assert len(every) == 1 and len(every.pop()) == 64


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_the_first_of_equal_neighbours_inside_is_chosen(
    compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_PCNET_COMPILED", compiled)
    codes = np.zeros((1, 2, 9, 4), np.uint8)
    codes[0, :, [2, 7]], codes[0, :, 4, 1] = 255, 255
    codes[0, :, [2, 7], 2] = 0
    codes[0, :, 8, 2] = 1
    rows, columns = np.ones((1, 3), bool), np.ones((2, 3), bool)
    rows[0, 0] = False  # what lies above
    columns[1, 2] = False  # and to the right of the second block
    everything = np.ones((1, 3), bool)
    # the pixels (0, 0) (0, 1) of both blocks, then (1, 0) (1, 1)
    assert _choices(codes, Inside(everything, columns)).tolist() == [[2, 2, 7, 4], [8, 2, 0, 7]]
    assert _choices(codes, Inside(rows, columns)).tolist() == [[7, 4, 7, 4], [8, 7, 3, 7]]


def test_both_forms_of_choosing_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 4, (20, 30, 9, 16)).astype(np.uint8)
    inside = Inside(random.random((20, 3)) < 0.7, random.random((30, 3)) < 0.7)
    inside.rows[:, 1] = inside.columns[:, 1] = True
    found = []
    for compiled in "01":
        monkeypatch.setenv("NAPARI_PCNET_COMPILED", compiled)
        found.append(_choices(codes, inside))
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0])) == 9


def test_a_file_in_whole_numbers_comes_back(model: PCNet, file: Path) -> None:
    back = checkpoint.load_model(file)
    assert checkpoint.read_record(file) == {"step": 7}
    assert back.config == model.config
    before, after = (whole_window(prepare(each, CPU)) for each in (model, back))
    np.testing.assert_array_equal(before.raw, after.raw)
    np.testing.assert_array_equal(before.boundary, after.boundary)
    for name, tensor in model.state_dict().items():
        other = back.state_dict()[name]
        if name in quantise.implied(model):
            assert float((tensor - other).abs().max()) <= 0.08 * float(tensor.abs().max())
        else:
            assert torch.equal(tensor, other)


def damaged(file: Path, folder: Path, name: str, tensor: torch.Tensor | None) -> Path:
    """A copy of a file with another tensor, or without it."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
        tensors = {each: opened.get_tensor(each) for each in opened.keys()}  # noqa: SIM118
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    save_file(tensors, folder / "damaged.safetensors", metadata=header)
    return folder / "damaged.safetensors"


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("whole.steps", None, "whole.steps must be torch.int32 of shape (256,)"),
        ("whole.steps", torch.full((256,), 70000, dtype=torch.int32), "whole.steps must be from 0 to 65535"),
        ("whole.fuse.1.shift", torch.zeros(8, dtype=torch.int64), "whole.fuse.1.shift must be torch.int8"),
        (
            "whole.fuse.9.shift",
            torch.zeros(8, dtype=torch.int8),
            "whole.fuse.9.shift is not part of the network",
        ),
        ("whole.fuse.1.bias", torch.full((8,), 1 << 30, dtype=torch.int32), "fuse.1: a sum may reach 2**24"),
        ("whole.fuse.1.unit", torch.full((16,), torch.nan), "whole.fuse.1.unit must be positive numbers"),
        ("whole.logit_scales", torch.zeros(1), "whole.logit_scales must be torch.float32 of shape"),
    ],
)
def test_damaged_whole_numbers_are_one_sentence(
    file: Path, tmp_path: Path, name: str, tensor: torch.Tensor | None, message: str
) -> None:
    path = damaged(file, tmp_path, name, tensor)
    with pytest.raises(ValueError, match="is damaged") as caught:
        checkpoint.load_model(path)
    assert str(caught.value).startswith(f"{path} is damaged: {message}")


def test_scales_of_nothing_are_damage(model: PCNet, file: Path, tmp_path: Path) -> None:
    path = damaged(file, tmp_path, "whole.logit_scales", torch.zeros(len(model.config.cells)))
    with pytest.raises(ValueError, match=r"whole\.logit_scales must be positive numbers$"):
        checkpoint.load_model(path)


def test_only_a_network_of_blocks_becomes_whole() -> None:
    with pytest.raises(ValueError, match=r"^only a network that predicts blocks can be rounded"):
        quantise.quantise(PCNet().eval(), torch.zeros(1, 3, 64, 64))


def test_a_precision_is_for_networks_in_floats(model: PCNet) -> None:
    assert prepare(model, CPU, "float64").dtype == prepare(model, CPU, "bfloat16").dtype == torch.uint8


@pytest.mark.parametrize("number", [1, 7, 600, 5000, 199 * 90])
def test_every_count_can_be_had(file: Path, number: int) -> None:
    labels = pcnet_superpixels(PIXELS[:199, :90], number, model=str(file))
    assert np.array_equal(np.unique(labels), np.arange(1, number + 1))
