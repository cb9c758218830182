"""A model in one file: safetensors, with its configuration and the record of its training inside.

Nothing here runs code from a file. The authors' ``.tar`` is read by torch's restricted unpickler,
which builds tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_pcnet.disk.files import check_file, write_atomically
from napari_pcnet.network import quantise
from napari_pcnet.network.machine import is_out_of_memory, survive_forks
from napari_pcnet.network.model import BSDS500_MEAN, PCNet, PCNetConfig, weights_drawn_by
from napari_pcnet.network.whole_numbers import WHOLE, as_tensors, from_tensors
from napari_pcnet.options import as_number, shown
from napari_pcnet.shapes import size_text

FORMAT = "napari-pcnet-1"
"""In the header of every file that this module writes; a file with another one is refused."""

WIDEST = 1024
"""Most channels of a stage that a file may ask for; more is damage, and would fill the memory."""

SHORTEST_NUMBER_BYTES = 1
"""Of a weight, in whole numbers. A file holds its network's weights, so it is no smaller than they are."""

HARMLESS_BYTES = 1 << 24
"""A network that takes less memory may be made before its weights are looked at."""

FLOAT_BYTES = 4
"""Of a weight of the network that is made."""

MOST_LAYERS = 8
"""Most convolutions behind each other in the tail that a file may ask for."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_AUTHORS_NAMES = {
    **{f"conv{i}a": f"encoder.{i}.0" for i in range(5)},
    **{f"conv{i}b": f"encoder.{i}.1" for i in range(5)},
    **{f"deconv{3 - i}": f"up.{i}" for i in range(4)},
    **{f"conv{3 - i}_1": f"fuse.{i}" for i in range(4)},
    "SR.0": "subpixel.0",
    "conv_s1": "embed",
    "pred_head1.0": "head",
    "im_recon.0": "super_resolution",
}
"""The authors' layer names and ours."""

_AUTHORS_UNUSED = ("pred_mask1", "pred_mask2", "pred_mask3")

# The restricted unpickler's answer to a damaged file may be any of these.
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def save_model(path: Path, model: PCNet, record: Mapping[str, Any]) -> None:
    """Write a model and the record of its training, atomically.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file; replaced if it exists.
    model : PCNet
    record : mapping
        How the model was trained; anything JSON can hold.
    """
    header = {
        "format": FORMAT,
        "config": json.dumps(asdict(model.config)),
        "record": json.dumps(dict(record)),
    }
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    if model.whole_numbers is not None:
        implied = quantise.implied(model)
        tensors = {name: value for name, value in tensors.items() if name not in implied}
        tensors |= as_tensors(model.whole_numbers)
        header["whole_numbers"] = "true"
    content = save(tensors, metadata=header)
    write_atomically(Path(path), lambda file: file.write(content))


def load_model(path: Path) -> PCNet:
    """Read a model for inference (``eval`` mode, float32, on the CPU).

    Parameters
    ----------
    path : Path
        A file `save_model` wrote, or the authors' ``.tar`` checkpoint.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of another kind, or holds code.
    MemoryError
        If there is no room for it.
    """
    path = Path(path)
    check_file(path, "weights file")
    survive_forks()
    if path.suffix == ".tar":
        return _filled(_empty(PCNetConfig(stem="nearest")), _read_authors(path), path)
    header = _open_header(path)
    model, tensors = _model_of(header, path), _read_tensors(path)
    if header.get("whole_numbers") != "true":
        return _filled(model, tensors, path)
    if not model.config.block:
        raise ValueError(f"{path} is damaged: a network with the paper's tail has no whole numbers")
    whole = {name: tensors.pop(name) for name in list(tensors) if name.startswith(WHOLE)}
    implied = quantise.implied(model)
    empty = {name: torch.zeros_like(value) for name, value in model.state_dict().items() if name in implied}
    _filled(model, tensors | empty, path)
    try:
        model.whole_numbers = from_tensors(whole, quantise.shapes(model.config), quantise.sizes(model))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    quantise.restore(model, model.whole_numbers)
    return model


def read_record(path: Path) -> dict[str, Any]:
    """Return the training record of a file, without reading its tensors; the authors' ``.tar`` has none."""
    path = Path(path)
    if path.suffix == ".tar":
        return {}
    text = _open_header(path).get("record", "{}")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: the record of its training is not a JSON table")
    return record


def read_config(path: Path) -> PCNetConfig:
    """Return the configuration of the model in a file, without reading its tensors."""
    path = Path(path)
    return _config_of(_open_header(path), path)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"there is no room for the weights in {path}") from error


def _open_header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError, MemoryError) as error:
        if is_out_of_memory(error):
            raise MemoryError(f"there is no room for the weights in {path}") from error
        reason = "it is damaged or of another kind" if isinstance(error, SafetensorError) else str(error)
        raise ValueError(
            f"{path} cannot be read as a weights file of napari-pcnet: {reason}; restore it or pass another "
            "model, a safetensors file of ours or the authors' .tar"
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file but not one of napari-pcnet "
            f"(format {header.get('format')!r}, expected {FORMAT!r})"
        )
    return header


def _model_of(header: Mapping[str, str], path: Path) -> PCNet:
    """Build the model that a file's header describes, without weights."""
    config = _config_of(header, path)
    try:
        return _empty(config)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"there is no room for the weights in {path}") from error


def _config_of(header: Mapping[str, str], path: Path) -> PCNetConfig:
    try:
        config = _parse_config(header["config"])
        _check_size(config, path)
        return config
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else _first_line(error)
        raise ValueError(f"{path} is damaged: its configuration cannot be used ({reason})") from error


def _parse_config(text: str) -> PCNetConfig:
    try:
        table = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise ValueError("it is not a JSON table")
    lists = {name: tuple(table[name]) for name in ("widths", "mean")}
    lists |= {name: tuple(table[name]) for name in ("block", "finer") if name in table}
    for name in ("widths", "block", "finer"):
        numbers = lists.get(name, ())
        if any(type(each) is not int or not 1 <= each <= WIDEST for each in numbers):
            raise ValueError(f"{name} must be whole numbers from 1 to {WIDEST}, got {shown(numbers)}")
    if len(lists.get("block", ())) > MOST_LAYERS:
        raise ValueError(f"block must have at most {MOST_LAYERS} entries, got {len(lists['block'])}")
    for name in ("reduction", "cell", "guide", "boundary", "merge_classifier"):  # more is damage, too
        value = table.get(name, 0)
        if type(value) is not int or value > WIDEST:
            raise ValueError(f"{name} must be a whole number to {WIDEST}, got {shown(value)}")
    if [as_number(each) is not None for each in lists["mean"]] != [True] * 3:
        raise ValueError(f"mean must be three numbers, got {shown(lists['mean'])}")
    return PCNetConfig(**table | lists)


def _check_size(config: PCNetConfig, path: Path) -> None:
    """Refuse a network that is larger than its file, before memory is taken for it.

    Counted are the convolutions of 3 x 3 that most weights belong to.
    """
    pairs = [*zip(config.widths, config.widths, strict=True), *pairwise(config.widths)]
    pairs += [*pairwise((config.widths[0], *config.block)), (config.boundary, config.boundary)]
    if config.reduction > 1 and not config.block:
        pairs.append((config.widths[0], config.widths[0] * config.reduction**2))
    least = 9 * sum(inputs * outputs for inputs, outputs in pairs)
    too_many = path.stat().st_size < SHORTEST_NUMBER_BYTES * least
    if too_many and least * FLOAT_BYTES > HARMLESS_BYTES:
        raise ValueError(f"it makes a network of more than {least} weights, which the file cannot hold")


def _empty(config: PCNetConfig) -> PCNet:
    """A model whose weights a file will give it, in float32 on the CPU whatever the caller's defaults are.

    Torch's meta device would save the memory, but loads a computer algebra system for it.
    """
    with weights_drawn_by(None), torch.device("cpu"):
        return PCNet(config).float()


def _filled(model: PCNet, tensors: Mapping[str, Tensor], path: Path) -> PCNet:
    """Give a model the weights of a file, after checking each one."""
    wanted = model.state_dict()
    for name, empty in wanted.items():
        if name not in tensors:
            raise ValueError(f"{path} does not fit its configuration: layer {name!r} is missing")
        if tensors[name].shape != empty.shape:
            raise ValueError(
                f"{path} does not fit its configuration: layer {name!r} has shape "
                f"{size_text(tensors[name].shape)}, expected {size_text(empty.shape)}"
            )
        damage = _damage_of(name, tensors[name], empty)
        if damage:
            raise ValueError(f"{path} is damaged: layer {name!r} {damage}")
    unknown = next((name for name in tensors if name not in wanted), None)
    if unknown is not None:
        raise ValueError(f"{path} does not fit its configuration: layer {unknown!r} is not part of it")
    model.load_state_dict(dict(tensors))
    if model.merge_classifier is not None:
        try:
            model.merge_classifier.as_numpy()
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None
    return model.eval()


def _damage_of(name: str, tensor: Tensor, empty: Tensor) -> str:
    """What is wrong with a layer, for a sentence; empty if nothing is."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        return "holds no plain numbers"
    if tensor.dtype not in (_FLOATS if empty.is_floating_point() else (empty.dtype,)):
        return f"holds {tensor.dtype}, expected {empty.dtype}"
    if not bool(torch.isfinite(tensor).all()):
        return "holds NaN or infinity"
    if name.endswith("running_var") and bool((tensor < 0).any()):
        return "holds variances below 0"
    if name.endswith("deviation") and not bool((tensor > 0).all()):
        return "holds deviations that are not above 0"
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _read_authors(path: Path) -> dict[str, Tensor]:
    """Read the authors' checkpoint: a dictionary with a ``state_dict`` of layers named as theirs."""
    allowed = [np.dtype, np.float64, type(np.dtype(np.float64)), *_numpy_scalar()]
    refusal = (
        f"{path} was refused: a .tar checkpoint may hold tensors, numbers and text only, and "
        "this one holds something else or is damaged"
    )
    if _is_other_pickle(path):  # torch would warn of it, and then fail
        raise ValueError(refusal)
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        raise ValueError(refusal) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} is not a PCNet checkpoint: it has no 'state_dict'")
    state = content["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise ValueError(f"{path} is not a PCNet checkpoint: its 'state_dict' must name tensors")
    tensors = _rename_authors(state, path)
    tensors["mean"] = torch.tensor(BSDS500_MEAN, dtype=torch.float32).reshape(1, 3, 1, 1)
    return tensors


def _is_other_pickle(path: Path) -> bool:
    """Whether a file is a pickle in another protocol than 2, in which torch writes."""
    with path.open("rb") as file:
        start = file.read(2)
    return start[:1] == b"\x80" and start != b"\x80\x02"


def _numpy_scalar() -> list[Any]:
    """The function by which a pickled numpy number (``best_EPE``) is rebuilt."""
    return [np.float64(0).__reduce__()[0]]


def _rename_authors(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        plain = name.removeprefix("module.")
        if plain.startswith(_AUTHORS_UNUSED):
            continue
        layer = next((theirs for theirs in _AUTHORS_NAMES if plain.startswith(theirs + ".")), None)
        if layer is None:
            raise ValueError(f"{path} has a layer that PCNet does not have: {plain!r}")
        renamed[_AUTHORS_NAMES[layer] + plain[len(layer) :]] = tensor
    return renamed
