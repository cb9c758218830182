"""The command line: ``napari-pcnet segment | demo | weights | doctor | train | evaluate | benchmark``.

A surface: it reads arguments and files, calls the library, prints what came of it. Flags are made
from the dataclasses that hold the options. What needs torch is imported inside the commands, so that
``--help`` is quick. What a user got wrong is one sentence on stderr and exit status 2.
"""

import argparse
import os
import platform
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, asdict, fields, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import __version__, weights
from napari_pcnet.disk import configuration, images
from napari_pcnet.disk.files import sha256_of
from napari_pcnet.record import Origin, RunRecord, needs_no_fourth, notes_of

FAILED = 1
USER_ERROR = 2
INTERRUPTED = 130
CLOSED_PIPE = 141
"""Exit statuses, as shells have them."""

LOG_EVERY_S = 60

DEMO_SEGMENTS = 250
DEMO_FOLDER = Path("napari-pcnet-demo")

SELF_TEST_SEGMENTS = 500
SELF_TEST_LIMIT = 0.001
"""Largest share of pixels that may change superpixel from float64 on the CPU to the device's own way."""

_EXTRAS = {
    "cv2": "benchmark",
    "matplotlib": "train,benchmark",
    "pysnic": "benchmark",
    "tensorboard": "train",
    "tqdm": "train",
}
"""Modules that only some commands need, and the extra that installs each."""

_FLAGS = {"start": "from"}
"""Fields whose flag is a word that Python keeps for itself."""

Options = TypeVar("Options")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        namespace = _parser(words).parse_args(words)
        status: int = namespace.run(namespace)
        sys.stdout.flush()  # a reader that is gone is noticed here, not when Python ends
    except BrokenPipeError:  # whoever reads, as head does, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        return _refuse(str(error))
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        return _refuse(f"memory ran out{reason}; close other programs or ask for less")
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _refuse(f"{error.name} is not installed; pip install 'napari-pcnet[{extra}]'")
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _refuse(message: str) -> int:
    print(f"napari-pcnet: {' '.join(message.split())}", file=sys.stderr)
    return USER_ERROR


# -- the commands ----------------------------------------------------------------------------------


def _segment(namespace: argparse.Namespace) -> int:
    record = _options_from(namespace, RunRecord)
    _check_files(namespace, record)
    image = images.read_image(namespace.image, level=record.level, alpha_apart=needs_no_fourth(record))
    if "channel_axis" not in namespace:
        record = replace(record, channel_axis=image.channel_axis)
    labels, seconds = _labels(image, record)
    if namespace.overlay is not None and labels.ndim > 2:
        raise ValueError(
            f"an overlay shows one plane of {namespace.image}, which has several; choose one by --plane"
        )
    planes = image.pixels.ndim > (2 if record.channel_axis is None else 3)
    notes = notes_of(record, Origin(namespace.image.stem, str(namespace.image.resolve()), planes))
    can_note = namespace.output.suffix.lower() != ".png"
    images.write_labels(namespace.output, labels, namespace.overwrite, notes if can_note else None)
    print(f"{namespace.output}: {_summary(labels, record, seconds)}")
    if namespace.overlay is not None:
        images.write_overlay(namespace.overlay, _shown(image, record), labels, namespace.overwrite)
        print(f"{namespace.overlay}: the picture with their borders")
    return 0


def _demo(namespace: argparse.Namespace) -> int:
    namespace.output.mkdir(parents=True, exist_ok=True)
    image = images.read_image(images.SAMPLE)
    record = RunRecord(DEMO_SEGMENTS)
    labels, seconds = _labels(image, record)
    labels_path, overlay_path = namespace.output / "labels.tif", namespace.output / "overlay.png"
    images.write_labels(labels_path, labels, overwrite=True)
    images.write_overlay(overlay_path, image, labels, overwrite=True)
    print(_summary(labels, record, seconds))
    print(f"labels:  {labels_path.resolve()}")
    print(f"overlay: {overlay_path.resolve()}")
    return 0


def _list_weights(_namespace: argparse.Namespace) -> int:
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


def _show_weights(namespace: argparse.Namespace) -> int:
    if weights.is_imported(namespace.name):
        return _show_imported(namespace.name)
    record = weights.record(namespace.name)
    damage = _damage(record)
    for each in fields(record):
        value = getattr(record, each.name)
        if each.name == "urls":
            _print_urls(value)
        elif each.name not in ("figures", "figures_command"):
            print(f"{each.name.replace('_', ' ')}: {value}")
    if record.is_here and not damage:
        _print_size(record.path)
        _print_training(record.path)
    if record.figures:
        print(f"figures: {record.figures_command}")
    for name, value in record.figures.items():
        print(f"  {name}: {value}")
    print(f"file: {damage or _state(record)}")
    return FAILED if damage else 0


def _download_weights(namespace: argparse.Namespace) -> int:
    record = weights.record(namespace.name)  # a name; a path is none
    print(f"{record.name}: {weights.locate(record.name, _progress())}")
    return 0


def _verify_weights(namespace: argparse.Namespace) -> int:
    names = namespace.names or weights.names()
    findings = [_finding(name) for name in names]
    for name, (_is_wrong, text) in zip(names, findings, strict=True):
        print(f"{name}: {text}")
    return FAILED if any(is_wrong for is_wrong, _text in findings) else 0


def _import_weights(namespace: argparse.Namespace) -> int:
    from napari_pcnet.network import checkpoint

    name = namespace.name or namespace.file.stem
    path = weights.place_for(name)
    model = checkpoint.load_model(namespace.file)
    record = checkpoint.read_record(namespace.file)
    origin = {"file": namespace.file.name, "sha256": sha256_of(namespace.file)}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save_model(path, model, {**record, "imported": origin})
    print(f"{name}: {path}")
    return 0


def _remove_weights(namespace: argparse.Namespace) -> int:
    print(f"{namespace.name}: removed {weights.remove(namespace.name)}")
    return 0


def _doctor(_namespace: argparse.Namespace) -> int:
    print(f"napari-pcnet {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in (
        "numpy",
        "torch",
        "scikit-image",
        "tifffile",
        "safetensors",
        "napari",
        "PyQt6",
        "PySide6",
    ):
        print(f"{name}: {_version_of(name)}")
    device = _describe_device()
    damages = [_check_weights(record) for record in weights.records()]
    moved = _self_test()
    verdict = "passed" if moved <= SELF_TEST_LIMIT else "FAILED"
    print(
        f"self-test {verdict}: {moved:.4%} of pixels change superpixel from float64 on the CPU "
        f"to {device}, at most {SELF_TEST_LIMIT:.1%} may"
    )
    return FAILED if any(damages) or verdict == "FAILED" else 0


def _train(namespace: argparse.Namespace) -> int:
    try:
        return _train_on(namespace)
    except KeyboardInterrupt:
        print("\nnapari-pcnet: stopped; the same command with --resume goes on from here", file=sys.stderr)
        return INTERRUPTED


def _train_on(namespace: argparse.Namespace) -> int:
    from napari_pcnet.training import finetune, loop

    if namespace.what.suffix != ".toml":
        if "base" in namespace:
            raise ValueError("--data goes with a configuration; the folder itself holds the pictures")
        namespace.data = namespace.what
        options = _options_from(namespace, finetune.FinetuneOptions)
        if options.dry_run:
            checked = finetune.main_check(options)
            print(checked.text)
            return 0 if checked.sound else USER_ERROR
        print(finetune.main_finetune(options, _report, _judged()))
        return 0
    told = [each.name for each in fields(finetune.FinetuneOptions) if each.name in namespace]
    others = sorted({_FLAGS.get(name, name) for name in told} - {"output", "resume"})
    if others:
        raise ValueError(
            f"--{others[0].replace('_', '-')} goes with a folder; {namespace.what} says it itself"
        )
    config = loop.read_config(namespace.what)
    weights_file = loop.train(
        config,
        getattr(namespace, "output", None) or Path("runs") / namespace.what.stem,
        base=getattr(namespace, "base", Path()),
        resume=getattr(namespace, "resume", False),
        report=_report(config.run.steps),
        classifier_progress=_judged(),
    )
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        print(f"weights: {weights_file}")
    return 0


def _evaluate(namespace: argparse.Namespace) -> int:
    from napari_pcnet.evaluation.evaluate import EvaluateOptions, main_evaluate

    print(main_evaluate(_options_from(namespace, EvaluateOptions), _progress()))
    return 0


def _benchmark(namespace: argparse.Namespace) -> int:
    benchmark = import_module("napari_pcnet.evaluation.benchmark")
    run = getattr(benchmark, f"main_{namespace.what}")
    config = None
    if namespace.config is not None:
        config = configuration.read_toml(namespace.options_class, namespace.config)
    try:
        print(run(_options_from(namespace, namespace.options_class, config), _progress()))
    except KeyboardInterrupt:
        print("napari-pcnet: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


# -- steps of the commands -------------------------------------------------------------------------


def _check_files(namespace: argparse.Namespace, record: RunRecord) -> None:
    """Refuse, before any work, files that could not be written or would overwrite each other."""
    images.check_output(namespace.output, images.LABEL_SUFFIXES, namespace.overwrite)
    if namespace.overlay is not None:
        images.check_output(namespace.overlay, images.OVERLAY_SUFFIXES, namespace.overwrite)
    named = {"IN": namespace.image, "--mask": record.mask, "OUT": namespace.output}
    seen: dict[Path, str] = {}
    for role, path in (named | {"--overlay": namespace.overlay}).items():
        if path is None:
            continue
        other = seen.setdefault(Path(path).resolve(), role)
        if other != role and role != "--mask":  # a picture may well be its own mask
            raise ValueError(f"{other} and {role} are the same file {path}; name another one for {role}")
    if namespace.output.suffix.lower() == ".png" and record.n_segments > images.LARGEST_PNG_LABEL:
        raise ValueError(
            f"{record.n_segments} superpixels do not fit into the 16 bits of a png; "
            f"write {namespace.output.with_suffix('.tif')} instead"
        )


def _place(record: weights.WeightsRecord) -> str:
    """Say in a word or two where published weights are."""
    if not record.urls:
        return "bundled"
    return "in the cache" if record.is_here else "to download"


def _damage(record: weights.WeightsRecord) -> str:
    """Say what is wrong with published weights; nothing is with those that are still to be downloaded."""
    return weights.damage_of(record) if record.is_here else ""


def _state(record: weights.WeightsRecord) -> str:
    """Say where weights are that are not damaged."""
    return f"{record.path}, {'SHA-256 as published' if record.is_here else 'to download'}"


def _finding(name: str) -> tuple[bool, str]:
    """Whether something is wrong with weights, and what was found."""
    if weights.is_imported(name):
        from napari_pcnet.network import checkpoint

        path = weights.imported()[name]
        try:
            checkpoint.load_model(path)
        except ValueError as error:
            return True, str(error)
        return False, f"{path}, imported, can be read"
    record = weights.record(name)
    damage = _damage(record)
    return bool(damage), damage or _state(record)


def _show_imported(name: str) -> int:
    from napari_pcnet.network import checkpoint

    path = weights.imported()[name]
    origin = checkpoint.read_record(path).get("imported", {})
    config = checkpoint.read_config(path)
    print(f"name: {name}")
    print(f"network: {', '.join(f'{field} {value}' for field, value in asdict(config).items())}")
    if origin:
        print(f"imported from: {origin['file']}, SHA-256 {origin['sha256']}")
    _print_size(path)
    _print_training(path)
    print(f"file: {path}")
    return 0


def _print_urls(urls: Sequence[str]) -> None:
    for url in urls:
        print(f"url: {url}")


def _print_size(path: Path) -> None:
    from napari_pcnet.network import checkpoint
    from napari_pcnet.network.model import multiply_adds_per_px, parameter_count

    model = checkpoint.load_model(path)
    cost = f"{multiply_adds_per_px(model):,.0f} multiply-adds a work pixel"
    print(f"inference: {parameter_count(model):,} parameters, {cost}")


def _print_training(path: Path) -> None:
    """Print how weights were trained, as their file says, and what training they started from."""
    from napari_pcnet.network import checkpoint

    made: dict[str, Any] | None = checkpoint.read_record(path)
    while made and "training" in made:
        config = made.get("training", {})
        run = config.get("run", {})
        print(f"seed: {run.get('seed')}, steps: {made.get('step')}, hours: {made.get('hours')}")
        print(f"commit: {made.get('commit')}, torch: {made.get('torch')}")
        for table in ("model", "samples", "loss", "optimizer", "data"):
            if table in config:
                print(f"  {table}: {', '.join(f'{name} {value}' for name, value in config[table].items())}")
        if run.get("start_from"):
            print(f"started from: {run['start_from']}")
        made = made.get("start")


def _labels(image: images.Image, record: RunRecord) -> tuple[NDArray[np.integer[Any]], float]:
    from napari_pcnet.run import run_image

    start = time.perf_counter()
    labels = run_image(image, record, progress=_progress())
    return labels, time.perf_counter() - start


def _shown(image: images.Image, record: RunRecord) -> images.Image:
    """The plane, part and channels that were segmented, for an overlay."""
    from napari_pcnet.planes import Planes

    planes = Planes.select(image.pixels, record)
    return images.Image(*planes.read(planes.indices[0]))


def _summary(labels: NDArray[np.integer[Any]], record: RunRecord, seconds: float) -> str:
    count = int(labels.max()) - record.start_label + 1
    size = " x ".join(map(str, labels.shape))
    return f"{count} superpixels in {size} pixels, {seconds:.1f} s"


def _progress() -> Callable[[int, int], None]:
    """Return a progress line that counts up with the time left; in a log a line a minute."""
    start = time.monotonic()

    watched = sys.stderr.isatty()
    said_at = start

    def show(done: int, total: int) -> None:
        nonlocal said_at
        now = time.monotonic()
        left_s = (now - start) / done * (total - done) if done else 0.0
        text = f"{done} of {total}, {left_s // 60:.0f} min {left_s % 60:02.0f} s left"
        if watched:
            print(f"\r{text} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif now - said_at >= LOG_EVERY_S:
            said_at = now
            print(text, file=sys.stderr, flush=True)

    return show


def _report(steps: int) -> Callable[[dict[str, float], float], None]:
    """Return a training's progress bar: the step, the loss, the time left."""
    from tqdm import tqdm

    bar: Any = None  # drawn at the first step: what is refused before stands on a line of its own

    def report(record: dict[str, float], left_s: float) -> None:
        nonlocal bar
        step = int(record["step"])
        bar = bar or tqdm(total=steps, initial=step - 1, unit="step", dynamic_ncols=True)
        bar.set_postfix(loss=f"{record['total']:.4f}", left=tqdm.format_interval(left_s), refresh=False)
        bar.update(step - bar.n)
        if step == steps:
            bar.close()

    return report


def _judged() -> Callable[[int, int], None]:
    """Return the progress bar of a judge that learns."""
    from tqdm import tqdm

    bar: Any = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or tqdm(desc="judge", unit="picture", dynamic_ncols=True)
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _describe_device() -> str:
    import torch

    from napari_pcnet.network.inference import choose_device

    choice = choose_device("auto")
    print(f"device: {choice.device} ({choice.reason}), {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        print(f"cuda:{index}: {torch.cuda.get_device_name(index)}")
    return str(choice.device)


def _check_weights(record: weights.WeightsRecord) -> str:
    damage = _damage(record)
    good = f"SHA-256 as published, {record.sha256[:12]}..." if record.is_here else "to download"
    print(f"weights {record.name}: {damage or good}")
    return damage


def _self_test() -> float:
    """Share of pixels of the sample whose superpixel depends on device and precision.

    The lattice is compared, not the tree: there a pixel that changes moves no other.
    """
    image = images.read_image(images.SAMPLE)
    own_way = RunRecord(SELF_TEST_SEGMENTS, method="lattice")
    judge = replace(own_way, device="cpu", precision="float64")
    return _share_moved(_labels(image, judge)[0], _labels(image, own_way)[0])


def _share_moved(judge: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]]) -> float:
    """Share of pixels outside the best partner of their superpixel, whatever the numbering.

    >>> _share_moved(np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 4]]))
    0.25
    """
    pairs, sizes = np.unique(np.stack([labels.ravel(), judge.ravel()]), axis=1, return_counts=True)
    best = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(best, pairs[0], sizes)
    return 1 - float(best.sum()) / labels.size


# -- arguments -------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(_refuse(f"{message} (see {self.prog} --help)"))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="napari-pcnet", description="Superpixels by PCNet, for images of any size.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    segment = commands.add_parser("segment", help="make superpixels of a picture")
    segment.add_argument("image", type=Path, metavar="IN", help="tif, zarr, png or jpg")
    segment.add_argument("output", type=Path, metavar="OUT", help="labels: tif, zarr or png")
    segment.add_argument("--overlay", type=Path, metavar="PNG", help="write the picture with borders")
    segment.add_argument("--overwrite", action="store_true", help="replace existing files")
    _add_flags(segment, RunRecord, short={"n_segments": "-n"})
    segment.set_defaults(run=_segment)

    demo = commands.add_parser("demo", help="segment the sample photograph that is shipped")
    demo.add_argument("--output", type=Path, metavar="DIR", default=DEMO_FOLDER, help="default: %(default)s")
    demo.set_defaults(run=_demo)

    _add_weights(commands.add_parser("weights", help="networks by name: bundled, downloaded, imported"))

    doctor = commands.add_parser("doctor", help="versions, devices, weights, self-test: for a report")
    doctor.set_defaults(run=_doctor)

    train = commands.add_parser("train", help="train a network on a folder of pictures and labels")
    if words[:1] == ["train"]:  # as below
        _add_train(train)

    evaluate = commands.add_parser("evaluate", help="score labels against annotations")
    if words[:1] == ["evaluate"]:  # as below
        _add_evaluate(evaluate)

    benchmark = commands.add_parser("benchmark", help="measure quality and cost beside other methods")
    if words[:1] == ["benchmark"]:  # its flags are the only ones that need heavy imports
        _add_benchmarks(benchmark)
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    from napari_pcnet.training.finetune import FinetuneOptions

    parser.add_argument(
        "what",
        type=Path,
        metavar="FOLDER",
        help="folder with images/ and labels/ of the same names; or a configuration, CONFIG.toml",
    )
    parser.add_argument(
        "--data",
        dest="base",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="what paths in a configuration are relative to",
    )
    _add_flags(parser, FinetuneOptions, short={})
    parser.set_defaults(run=_train)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="list|info|download|verify|import|remove")
    actions.add_parser("list", help="one line each, and where it is").set_defaults(run=_list_weights)
    for word, run, about in (
        ("info", _show_weights, "all that is known of one"),
        ("download", _download_weights, "get one now that is not in the package"),
        ("remove", _remove_weights, "delete one that was downloaded or imported"),
    ):
        action = actions.add_parser(word, help=about)
        action.add_argument("name", metavar="NAME")
        action.set_defaults(run=run)
    verify = actions.add_parser("verify", help="check the hash of every file, or of those named")
    verify.add_argument("names", metavar="NAME", nargs="*")
    verify.set_defaults(run=_verify_weights)
    bring = actions.add_parser("import", help="give a file of your own a name to be used as --model")
    bring.add_argument("file", type=Path, metavar="FILE", help="safetensors of ours or the authors' tar")
    bring.add_argument("--name", metavar="NAME", help="default: that of the file")
    bring.set_defaults(run=_import_weights)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from napari_pcnet.evaluation.evaluate import EvaluateOptions

    _add_flags(parser, EvaluateOptions, short={})
    parser.set_defaults(run=_evaluate)


def _add_benchmarks(parser: argparse.ArgumentParser) -> None:
    benchmark = import_module("napari_pcnet.evaluation.benchmark")
    kinds = parser.add_subparsers(required=True, metavar="quality|speed|scale|contract", dest="what")
    for what, options_class, about in (
        ("quality", benchmark.QualityOptions, "scores against annotations, at equal measured counts"),
        ("speed", benchmark.SpeedOptions, "time and memory, method beside method, turn by turn"),
        ("scale", benchmark.ScaleOptions, "time and memory against the side of the image"),
        ("contract", benchmark.ContractOptions, "counts, connectedness and sizes of superpixels"),
    ):
        kind = kinds.add_parser(what, help=about, description=f"Measure {about}.")
        kind.add_argument(
            "config",
            type=Path,
            metavar="CONFIG.toml",
            nargs="?",
            help="what to measure; a flag overrides what it says",
        )
        _add_flags(kind, options_class, short={})
        kind.set_defaults(run=_benchmark, options_class=options_class)


def _add_flags(parser: argparse.ArgumentParser, options_class: type, short: dict[str, str]) -> None:
    """Give every field of a dataclass its flag; a flag that is not used leaves no trace."""
    hints = get_type_hints(options_class)
    for each in fields(options_class):
        if not each.metadata.get("flag", True):
            continue
        flag = f"--{_FLAGS.get(each.name, each.name).replace('_', '-')}"
        reading = _how_to_read(hints[each.name])
        if each.metadata.get("positional"):
            parser.add_argument(each.name, help=_help(each), **reading | {"metavar": each.name.upper()})
            continue
        if "metavar" in each.metadata:
            reading["metavar"] = each.metadata["metavar"]
        if each.default is MISSING and each.default_factory is MISSING:
            reading["required"] = True
        parser.add_argument(
            *filter(None, (short.get(each.name), flag)),
            dest=each.name,
            default=argparse.SUPPRESS,
            help=_help(each),
            **reading,
        )


def _options_from(
    namespace: argparse.Namespace, options_class: type[Options], config: Options | None = None
) -> Options:
    """Return the options a command was given, over those of a configuration file."""
    given = {
        each.name: getattr(namespace, each.name)
        for each in fields(options_class)  # type: ignore[arg-type]  # always a dataclass
        if each.name in namespace
    }
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if config is None:
        return options_class(**given)
    return replace(config, **given)  # type: ignore[type-var]  # as above


def _help(field: Field[Any]) -> str:
    text = str(field.metadata.get("help", "")).replace("%", "%%")
    if field.default in (MISSING, None, (), "", 0) or "default" in text:
        return text
    values = field.default if isinstance(field.default, tuple) else (field.default,)
    values = (field.metadata["default"],) if "default" in field.metadata else values
    return f"{text} (default: {' '.join(map(str, values))})"


def _how_to_read(hint: Any) -> dict[str, Any]:
    """Return the keyword arguments of `add_argument` for a field of this type."""
    optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
    inner = next(each for each in get_args(hint) if each is not type(None)) if optional else hint
    if inner is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(inner) is Literal:
        return {"choices": get_args(inner)}
    if get_origin(inner) is tuple:
        kinds = get_args(inner)
        return _how_to_read(kinds[0]) | {"nargs": "+" if kinds[-1] is Ellipsis else len(kinds)}
    return {"type": _reader(inner, optional), "metavar": inner.__name__.upper()}


def _reader(kind: type, optional: bool) -> Callable[[str], object]:
    """Return a function that reads one word, and says in the user's words why it can't."""
    wanted = {int: "a whole number", float: "a number"}.get(kind, "text")

    def read(word: str) -> object:
        if optional and word.lower() == "none":
            return None
        try:
            return kind(word)
        except ValueError:
            choice = f"{wanted} or none" if optional else wanted
            raise argparse.ArgumentTypeError(f"must be {choice}, got {word!r}") from None

    return read


if __name__ == "__main__":
    sys.exit(main())
