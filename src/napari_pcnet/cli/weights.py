"""``napari-pcnet weights``: list, look at, download, verify, import and remove networks by name."""

import argparse
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from napari_pcnet import weights
from napari_pcnet.cli.exits import FAILED
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.disk.download import naming_cache_failure
from napari_pcnet.disk.files import sha256_of

HELP = "networks by name: bundled, downloaded, imported"


def fill(parser: argparse.ArgumentParser) -> None:
    """Add a command for each thing that can be done with weights."""
    actions = parser.add_subparsers(required=True, metavar="list|info|download|verify|import|remove")
    actions.add_parser("list", help="one line each, and where it is").set_defaults(run=list_all)
    for word, run, about in (
        ("info", show, "all that is known of one"),
        ("download", download, "get one now that is not in the package"),
        ("remove", remove, "delete one that was downloaded or imported"),
    ):
        action = actions.add_parser(word, help=about)
        action.add_argument("name", metavar="NAME")
        action.set_defaults(run=run)
    verifying = actions.add_parser("verify", help="check the hash of every file, or of those named")
    verifying.add_argument("names", metavar="NAME", nargs="*")
    verifying.set_defaults(run=verify)
    importing = actions.add_parser("import", help="give a file of your own a name to be used as --model")
    importing.add_argument("file", type=Path, metavar="FILE", help="safetensors of ours or the authors' tar")
    importing.add_argument("--name", metavar="NAME", help="default: that of the file")
    importing.set_defaults(run=import_file)


def list_all(_namespace: argparse.Namespace) -> int:
    """Print a line for each name: size, place, architecture."""
    published = {record.name: record for record in weights.records()}
    for name in weights.names():
        if name in published:
            record = published[name]
            about, size_bytes, place = record.architecture, record.size_bytes, _place(record)
        else:
            path = weights.imported()[name]
            about, size_bytes, place = str(path), path.stat().st_size, "imported"
        print(f"{name}  {size_bytes / 1e6:.1f} MB  {place}  {about}")
    return 0


def show(namespace: argparse.Namespace) -> int:
    """Print the record of weights, how they were trained, and whether the file is the published one."""
    if weights.is_imported(namespace.name):
        return _show_imported(namespace.name)
    record = weights.record(namespace.name)
    damage = damage_here(record)
    for each in fields(record):
        value = getattr(record, each.name)
        if each.name == "urls":
            for url in value:
                print(f"url: {url}")
        elif each.name not in ("figures", "figures_command"):
            print(f"{each.name.replace('_', ' ')}: {value}")
    if record.is_here and not damage:
        _print_cost(record.path)
        _print_training(record.path)
    if record.figures:
        print(f"figures: {record.figures_command}")
    for name, value in record.figures.items():
        print(f"  {name}: {value}")
    print(f"file: {damage or _state(record)}")
    return FAILED if damage else 0


def download(namespace: argparse.Namespace) -> int:
    """Download published weights, unless they are here."""
    record = weights.record(namespace.name)  # refuses a path, which `locate` would take
    with ProgressDisplay("B", record.name) as progress:
        path = weights.locate(record.name, progress)
    print(f"{record.name}: {path}")
    return 0


def verify(namespace: argparse.Namespace) -> int:
    """Print for each name whether its file is as it should be."""
    findings = {name: _finding(name) for name in namespace.names or weights.names()}
    for name, (_is_bad, text) in findings.items():
        print(f"{name}: {text}")
    return FAILED if any(is_bad for is_bad, _text in findings.values()) else 0


def import_file(namespace: argparse.Namespace) -> int:
    """Copy a user's file to the cache folder, in our format and under a name."""
    from napari_pcnet.network import checkpoint

    name = namespace.name or namespace.file.stem
    path = weights.place_for(name)
    model = checkpoint.load_model(namespace.file)
    record = checkpoint.read_record(namespace.file)
    origin = {"file": namespace.file.name, "sha256": sha256_of(namespace.file)}
    with naming_cache_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save_model(path, model, {**record, "imported": origin})
    print(f"{name}: {path}")
    return 0


def remove(namespace: argparse.Namespace) -> int:
    """Delete a downloaded or imported file."""
    print(f"{namespace.name}: removed {weights.remove(namespace.name)}")
    return 0


def damage_here(record: weights.WeightsRecord) -> str:
    """Return what is wrong with a published file, in a sentence; one still to be downloaded is fine."""
    return weights.damage_of(record) if record.is_here else ""


def _place(record: weights.WeightsRecord) -> str:
    """Return where published weights are, in a word or three."""
    if not record.urls:
        return "bundled"
    return "in the cache" if record.is_here else "to download"


def _state(record: weights.WeightsRecord) -> str:
    """Return where weights are that are not damaged."""
    return f"{record.path}, {'SHA-256 as published' if record.is_here else 'to download'}"


def _finding(name: str) -> tuple[bool, str]:
    """Return whether something is wrong with weights, and what was found."""
    if weights.is_imported(name):
        from napari_pcnet.network import checkpoint

        path = weights.imported()[name]
        try:
            checkpoint.load_model(path)
        except ValueError as error:
            return True, str(error)
        return False, f"{path}, imported, can be read"
    record = weights.record(name)
    damage = damage_here(record)
    return bool(damage), damage or _state(record)


def _show_imported(name: str) -> int:
    from napari_pcnet.network import checkpoint

    path = weights.imported()[name]
    origin = checkpoint.read_record(path).get("imported", {})
    print(f"name: {name}")
    print(f"network: {_pairs(asdict(checkpoint.read_config(path)))}")
    if origin:
        print(f"imported from: {origin['file']}, SHA-256 {origin['sha256']}")
    _print_cost(path)
    _print_training(path)
    print(f"file: {path}")
    return 0


def _print_cost(path: Path) -> None:
    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import multiply_adds_per_px, parameter_count

    model = checkpoint.load_model(path)
    cost = f"{multiply_adds_per_px(model):,.0f} multiply-adds a work pixel"
    print(f"inference: {parameter_count(model):,} parameters, {cost}")


def _print_training(path: Path) -> None:
    """Print the training that is recorded in a file, and that of the weights it started from."""
    from napari_pcnet.network import checkpoint

    record: dict[str, Any] | None = checkpoint.read_record(path)
    while record and "training" in record:
        config = record["training"]
        run = config.get("run", {})
        print(f"seed: {run.get('seed')}, steps: {record.get('step')}, hours: {record.get('hours')}")
        print(f"commit: {record.get('commit')}, torch: {record.get('torch')}")
        for table in ("model", "samples", "loss", "optimizer", "data"):
            if table in config:
                print(f"  {table}: {_pairs(config[table])}")
        if run.get("start_from"):
            print(f"started from: {run['start_from']}")
        record = record.get("start")


def _pairs(table: dict[str, Any]) -> str:
    """Return a table of a configuration in words.

    >>> _pairs({"widths": [32, 48], "augment": {"grey": 0.1, "blur": 0.1}, "mirror": True, "only": []})
    'widths 32 48, augment grey 0.1 blur 0.1, mirror true, only none'
    """
    return ", ".join(f"{name} {_words(value)}" for name, value in table.items())


def _words(value: Any) -> str:
    if isinstance(value, dict):
        value = [each for pair in value.items() for each in pair]
    if isinstance(value, list | tuple):
        return " ".join(map(_words, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
