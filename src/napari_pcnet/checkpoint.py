"""A model in one file: safetensors, with its configuration and the record of its training inside.

Nothing here runs code from a file. The authors' ``.tar`` is read by torch's restricted unpickler,
which builds tensors and plain containers and refuses all else.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_pcnet.files import write_atomically
from napari_pcnet.model import PCNet, PCNetConfig

FORMAT = "napari-pcnet-1"
"""Written into every file's header, and asked for when one is read."""

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


def save_model(path: Path, model: PCNet, record: Mapping[str, Any]) -> None:
    """Write a model and the record of its training, atomically.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file; replaced if it exists.
    model : PCNet
    record : mapping
        How the model came to be; anything JSON can hold.
    """
    header = {
        "format": FORMAT,
        "config": json.dumps(asdict(model.config)),
        "record": json.dumps(dict(record)),
    }
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
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
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    if path.suffix == ".tar":
        return _load_authors(path)
    config, tensors = _read(path)
    return _build(config, tensors, path)


def read_record(path: Path) -> dict[str, Any]:
    """Return the training record of a file that `save_model` wrote, without reading its tensors."""
    record: dict[str, Any] = json.loads(_open_header(Path(path)).get("record", "{}"))
    return record


def read_config(path: Path) -> PCNetConfig:
    """Return the configuration of the model in a file, without reading its tensors."""
    return _parse_config(_open_header(Path(path)))


def _open_header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as a weights file of napari-pcnet ({error}): it must be a "
            "safetensors file of ours or the authors' .tar; restore it or pass another model"
        ) from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file but not one of napari-pcnet "
            f"(format {header.get('format')!r}, expected {FORMAT!r})"
        )
    return header


def _parse_config(header: Mapping[str, str]) -> PCNetConfig:
    fields = json.loads(header["config"])
    fields["widths"] = tuple(fields["widths"])
    fields["mean"] = tuple(fields["mean"])
    return PCNetConfig(**fields)


def _read(path: Path) -> tuple[PCNetConfig, dict[str, Tensor]]:
    config = _parse_config(_open_header(path))
    with safe_open(path, framework="pt") as file:
        return config, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _build(config: PCNetConfig, tensors: Mapping[str, Tensor], path: Path) -> PCNet:
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, then overwritten
        model = PCNet(config)
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its configuration: {error}") from error
    return model.eval()


def _load_authors(path: Path) -> PCNet:
    """Read the authors' checkpoint: a dictionary with a ``state_dict`` of layers named as theirs."""
    allowed = [np.dtype, np.float64, type(np.dtype(np.float64)), *_numpy_scalar()]
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "unusual pickle protocol", then refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} was refused: a .tar checkpoint may hold tensors, numbers and text only, and "
            f"this one holds something else or is damaged ({str(error).splitlines()[0]})"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} is not a PCNet checkpoint: it has no 'state_dict'")
    tensors = _rename_authors(content["state_dict"])
    config = PCNetConfig(stem="nearest")
    tensors["mean"] = torch.tensor(config.mean).reshape(1, 3, 1, 1)
    return _build(config, tensors, path)


def _numpy_scalar() -> list[Any]:
    """The function by which a pickled numpy number (``best_EPE``) is rebuilt."""
    return [np.float64(0).__reduce__()[0]]


def _rename_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        plain = name.removeprefix("module.")
        if plain.startswith(_AUTHORS_UNUSED):
            continue
        layer = next((theirs for theirs in _AUTHORS_NAMES if plain.startswith(theirs + ".")), None)
        if layer is None:
            raise ValueError(f"the checkpoint has a layer that PCNet has not: {plain!r}")
        renamed[_AUTHORS_NAMES[layer] + plain[len(layer) :]] = tensor
    return renamed
