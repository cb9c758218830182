"""A model in one file, and the authors' layout read without running code from it."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_pcnet import checkpoint
from napari_pcnet.model import PCNet, PCNetConfig

BACKWARDS = {ours: theirs for theirs, ours in checkpoint._AUTHORS_NAMES.items()}


def authors_state(model: PCNet) -> "OrderedDict[str, torch.Tensor]":
    """The state of a model under the authors' layer names, with their unused layers."""
    state = OrderedDict()
    for name, value in model.state_dict().items():
        if name == "mean":
            continue
        layer = next(ours for ours in BACKWARDS if name.startswith(ours + "."))
        state[BACKWARDS[layer] + name[len(layer) :]] = value
    state["pred_mask1.0.weight"] = torch.zeros(1)
    return state


@pytest.mark.parametrize("config", [PCNetConfig(), PCNetConfig(stem="unshuffle"), PCNetConfig(reduction=1)])
def test_a_saved_model_comes_back_with_its_configuration_and_record(
    tmp_path: Path, config: PCNetConfig
) -> None:
    model = PCNet(config).eval()
    path = tmp_path / "model.safetensors"
    checkpoint.save_model(path, model, {"seed": 7, "commit": "abc"})
    loaded = checkpoint.load_model(path)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(image).logits, model(image).logits)
    assert checkpoint.read_config(path) == config
    assert checkpoint.read_record(path) == {"seed": 7, "commit": "abc"}


def test_loading_leaves_the_random_state_as_found(tmp_path: Path) -> None:
    checkpoint.save_model(tmp_path / "m.safetensors", PCNet(), {})
    before = torch.random.get_rng_state()
    checkpoint.load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_authors_checkpoint_gives_the_same_association(tmp_path: Path, prefix: str, legacy: bool) -> None:
    model = PCNet().eval()
    content = {
        "epoch": 3,
        "arch": "SpixelNet1l_bn",
        "state_dict": OrderedDict((prefix + k, v) for k, v in authors_state(model).items()),
        "best_EPE": np.float64(0.5),
        "optimizer": {"state": {}, "param_groups": []},
        "dataset": "BSDS500",
    }
    path = tmp_path / "model_best.tar"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(checkpoint.load_model(path)(image).logits, model(image).logits)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    fuse = tmp_path / "it ran"
    path = tmp_path / "evil.tar"
    torch.save({"state_dict": {}, "x": _Bomb(fuse)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"was refused: a \.tar checkpoint may hold tensors"):
        checkpoint.load_model(path)
    assert not fuse.exists()


def test_a_plain_pickle_with_code_is_refused_under_either_name(tmp_path: Path) -> None:
    fuse = tmp_path / "it ran"
    for name in ("evil.tar", "evil.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb(fuse)))
        with pytest.raises(ValueError, match=r"refused|cannot be read"):
            checkpoint.load_model(tmp_path / name)
    assert not fuse.exists()


def test_a_truncated_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    checkpoint.save_model(path, PCNet(), {})
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="cannot be read as a weights file of napari-pcnet"):
        checkpoint.load_model(path)


def test_a_foreign_safetensors_file_is_named_as_such(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is a safetensors file but not one of napari-pcnet"):
        checkpoint.load_model(tmp_path / "other.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        checkpoint.load_model(tmp_path / "none.safetensors")
    assert str(caught.value) == f"there is no weights file {tmp_path / 'none.safetensors'}"


def test_a_checkpoint_of_another_network_names_its_first_layer(tmp_path: Path) -> None:
    torch.save({"state_dict": {"resnet.conv1.weight": torch.zeros(1)}}, tmp_path / "other.tar")
    with pytest.raises(ValueError, match=r"a layer that PCNet has not: 'resnet.conv1.weight'"):
        checkpoint.load_model(tmp_path / "other.tar")
