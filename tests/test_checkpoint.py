"""A model in one file, and the authors' layout read without running code from it."""

import json
import pickle
from collections import OrderedDict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_pcnet.network import checkpoint
from napari_pcnet.network.model import PCNet, PCNetConfig

SMALL = PCNetConfig(widths=(4, 4, 4, 4, 4))
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


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ("pt", RuntimeError("unable to mmap 9437184 bytes: Cannot allocate memory (12)")),
        ("pt", MemoryError("Cannot allocate memory (os error 12)")),
        ("numpy", MemoryError("Cannot allocate memory (os error 12)")),
    ],
)
def test_weights_without_room_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception
) -> None:
    path = tmp_path / "model.safetensors"
    checkpoint.save_model(path, PCNet(SMALL), {})
    opened = checkpoint.safe_open

    def full(path: Path, framework: str) -> object:
        if framework == failing:
            raise error
        return opened(path, framework=framework)

    monkeypatch.setattr(checkpoint, "safe_open", full)
    with pytest.raises(MemoryError, match=f"^there is no room for the weights in {path}$"):
        checkpoint.load_model(path)


def test_loading_leaves_the_random_state_as_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save_model(tmp_path / "m.safetensors", PCNet(), {})
    before = torch.random.get_rng_state()
    monkeypatch.setattr(torch.random, "fork_rng", None)  # which would set it, and set it back
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
    assert refusal_of(path) == (
        "cannot be read as a weights file of napari-pcnet: it is damaged or of another kind; restore it or "
        "pass another model, a safetensors file of ours or the authors' .tar"
    )


def test_a_foreign_safetensors_file_is_named_as_such(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="is a safetensors file but not one of napari-pcnet"):
        checkpoint.load_model(tmp_path / "other.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        checkpoint.load_model(tmp_path / "none.safetensors")
    assert str(caught.value) == f"weights file {tmp_path / 'none.safetensors'} does not exist"


def test_a_checkpoint_of_another_network_names_its_first_layer(tmp_path: Path) -> None:
    torch.save({"state_dict": {"resnet.conv1.weight": torch.zeros(1)}}, tmp_path / "other.tar")
    with pytest.raises(ValueError, match=r"a layer that PCNet does not have: 'resnet.conv1.weight'"):
        checkpoint.load_model(tmp_path / "other.tar")


def rewritten(path: Path, tensors: "dict[str, torch.Tensor] | None" = None, **header: str | None) -> Path:
    """A file of ours with other tensors, or with entries of its header replaced or, if None, left out."""
    model = PCNet(SMALL)
    entries = {"format": checkpoint.FORMAT, "config": json.dumps(asdict(SMALL)), "record": "{}"} | header
    kept = {name: text for name, text in entries.items() if text is not None}
    save_file(model.state_dict() if tensors is None else tensors, path, metadata=kept)
    return path


def refusal_of(path: Path) -> str:
    """What `load_model` says of a file, without the file's name, which comes first."""
    with pytest.raises(ValueError, match="m") as caught:
        checkpoint.load_model(path)
    start, reason = str(caught.value)[: len(str(path))], str(caught.value)[len(str(path)) + 1 :]
    assert start == str(path)
    assert "\n" not in reason
    return reason


BIG = f"{10**17}...{'0' * 19}"


BLOCKS = {"stem": "unshuffle", "block": [4], "finer": [8]}


def config_text(**changes: object) -> str:
    return json.dumps(asdict(SMALL) | changes)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "it has no 'config'"),
        ("{", "it is not a JSON table"),
        ("[1]", "it is not a JSON table"),
        ("{}", "it has no 'widths'"),
        (config_text(widths=8), "'int' object is not iterable"),
        (
            config_text(widths=[4, 4, 4, 4, -4]),
            "widths must be whole numbers from 1 to 1024, got (4, 4, 4, 4, -4)",
        ),
        (
            config_text(widths=[4, 4, 4, 4, 0.5]),
            "widths must be whole numbers from 1 to 1024, got (4, 4, 4, 4, 0.5)",
        ),
        (config_text(widths=[4]), "widths must have 5 entries, got (4,)"),
        (
            config_text(boundary=4, merge_classifier=60000),
            "merge_classifier must be a whole number to 1024, got 60000",
        ),
        (config_text(boundary=60000), "boundary must be a whole number to 1024, got 60000"),
        (config_text(guide=0.5), "guide must be a whole number to 1024, got 0.5"),
        (config_text(guide=True), "guide must be a whole number to 1024, got True"),
        (config_text(reduction=True), "reduction must be a whole number to 1024, got True"),
        (config_text(cell=16.0), "cell must be a whole number to 1024, got 16.0"),
        (
            config_text(widths=[4] * 10_000),
            "widths must have 5 entries, got (4, 4, 4, 4, 4, 4, 4, 4, 4, 4, ...)",
        ),
        (
            config_text(widths=[1024] * 5),
            "it makes a network of more than 235929600 weights, which the file cannot hold",
        ),
        (
            config_text(**BLOCKS | {"block": [1024] * 8}),
            "it makes a network of more than 66098448 weights, which the file cannot hold",
        ),
        (
            config_text(**BLOCKS, boundary=1024),
            "it makes a network of more than 9438624 weights, which the file cannot hold",
        ),
        (config_text(**BLOCKS | {"block": [1] * 20_000}), "block must have at most 8 entries, got 20000"),
        (config_text(**BLOCKS | {"finer": ["8"]}), "finer must be whole numbers from 1 to 1024, got ('8',)"),
        (config_text(mean=[True, 1, 1]), "mean must be three numbers, got (True, 1, 1)"),
        (config_text(mean=[0.5, 0.5, float("nan")]), "mean must be three numbers, got (0.5, 0.5, nan)"),
        (config_text(mean=[0.5, 0.5, 10**400]), f"mean must be three numbers, got (0.5, 0.5, {BIG})"),
        ("[" * 100_000, "it is nested too deeply"),
        (config_text(mean=[0.1, 0.2]), "mean must be three numbers, got (0.1, 0.2)"),
        (config_text(mean=["a", "b", "c"]), "mean must be three numbers, got ('a', 'b', 'c')"),
        (config_text(stem=1), "stem must be one of ('nearest', 'area', 'unshuffle'), got 1"),
    ],
)
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, config: str | None, reason: str) -> None:
    path = rewritten(tmp_path / "m.safetensors", config=config)
    assert refusal_of(path) == f"is damaged: its configuration cannot be used ({reason})"
    with pytest.raises(ValueError, match="is damaged: its configuration cannot be used"):
        checkpoint.read_config(path)


@pytest.mark.parametrize("record", ["{", "[]", "[" * 100_000])
def test_a_damaged_record_is_one_sentence(tmp_path: Path, record: str) -> None:
    path = rewritten(tmp_path / "m.safetensors", record=record)
    with pytest.raises(ValueError, match="damaged") as caught:
        checkpoint.read_record(path)
    assert str(caught.value) == f"{path} is damaged: the record of its training is not a JSON table"


def test_only_the_first_layer_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    whole = PCNet(SMALL).state_dict()
    reason = refusal_of(rewritten(path, {"mean": whole["mean"]}))
    assert reason == "does not fit its configuration: layer 'encoder.0.0.0.weight' is missing"
    wide = PCNet(PCNetConfig(widths=(8, 8, 8, 8, 8))).state_dict()
    assert refusal_of(rewritten(path, dict(wide))) == (
        "does not fit its configuration: layer 'encoder.0.0.0.weight' has shape 8 x 3 x 3 x 3, "
        "expected 4 x 3 x 3 x 3"
    )
    reason = refusal_of(rewritten(path, dict(whole) | {"more": torch.zeros(1)}))
    assert reason == "does not fit its configuration: layer 'more' is not part of it"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors = dict(PCNet(SMALL).state_dict())
    tensors["head.bias"][3] = value
    path = rewritten(tmp_path / "m.safetensors", tensors)
    assert refusal_of(path) == "is damaged: layer 'head.bias' holds NaN or infinity"


@pytest.mark.parametrize(
    ("layer", "change", "reason"),
    [
        ("encoder.0.0.1.running_var", lambda each: each - 2, "holds variances below 0"),
        ("encoder.0.0.1.running_var", lambda each: each.int(), "holds torch.int32, expected torch.float32"),
        ("head.bias", lambda each: each.to(torch.complex64), "holds torch.complex64, expected torch.float32"),
        ("head.bias", lambda each: each > 0, "holds torch.bool, expected torch.float32"),
        ("merge_classifier.deviation", lambda each: each * 0, "holds deviations that are not above 0"),
    ],
)
def test_weights_that_no_network_has_are_refused(
    tmp_path: Path, layer: str, change: Any, reason: str
) -> None:
    config = replace(SMALL, boundary=4, merge_classifier=4)
    tensors = dict(PCNet(config).state_dict())
    tensors[layer] = change(tensors[layer])
    path = rewritten(tmp_path / "m.safetensors", tensors, config=json.dumps(asdict(config)))
    assert refusal_of(path) == f"is damaged: layer {layer!r} {reason}"


def test_weights_in_half_precision_are_taken(tmp_path: Path) -> None:
    tensors = {
        name: each.half() if each.is_floating_point() else each
        for name, each in PCNet(SMALL).state_dict().items()
    }
    model = checkpoint.load_model(rewritten(tmp_path / "m.safetensors", tensors))
    assert model.head.bias.dtype == torch.float32


def test_an_authors_layer_that_is_no_plain_tensor_is_refused(tmp_path: Path) -> None:
    state = authors_state(PCNet())
    state["conv0a.0.weight"] = state["conv0a.0.weight"].to_sparse()
    torch.save({"state_dict": state}, tmp_path / "m.tar")
    assert refusal_of(tmp_path / "m.tar") == "is damaged: layer 'encoder.0.0.0.weight' holds no plain numbers"


REFUSED_TAR = (
    "was refused: a .tar checkpoint may hold tensors, numbers and text only, and this one holds "
    "something else or is damaged"
)


@pytest.mark.parametrize("content", [b"", b"\x80", b"PK\x03\x04", b"text"])
def test_a_tar_that_is_none_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.tar"
    path.write_bytes(content)
    assert refusal_of(path) == REFUSED_TAR


@pytest.mark.parametrize("state", [[1, 2], {1: torch.zeros(1)}, {"head": 3}])
def test_a_tar_whose_layers_have_no_names_is_refused(tmp_path: Path, state: object) -> None:
    torch.save({"state_dict": state}, tmp_path / "m.tar")
    assert refusal_of(tmp_path / "m.tar") == "is not a PCNet checkpoint: its 'state_dict' must name tensors"


def test_a_truncated_tar_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.tar"
    for legacy in (True, False):
        torch.save(
            {"state_dict": authors_state(PCNet(SMALL))}, path, _use_new_zipfile_serialization=not legacy
        )
        whole = path.read_bytes()
        for length in range(0, len(whole) - 1, len(whole) // 40):
            path.write_bytes(whole[:length])
            refusal_of(path)
