"""``napari-pcnet segment IN OUT`` and ``segment IN... -o FOLDER``: superpixels of picture files."""

import argparse
import glob
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import __version__, weights
from napari_pcnet.cli import exits
from napari_pcnet.cli.flags import Parser, add_flags, naming_flags, options_from
from napari_pcnet.cli.labelling import label, label_to_file, shares_of, summary
from napari_pcnet.cli.progress import ProgressDisplay
from napari_pcnet.disk import pictures
from napari_pcnet.disk.files import sha256_of
from napari_pcnet.disk.formats import (
    LABEL_SUFFIXES,
    LARGEST_PNG_LABEL,
    OVERLAY_SUFFIXES,
    TIF_SUFFIXES,
    format_of,
    is_zarr,
)
from napari_pcnet.disk.image import Image
from napari_pcnet.disk.labels import read_labels, read_notes, write_labels
from napari_pcnet.disk.output import check_apart, check_output, check_outside, make_folder
from napari_pcnet.disk.overlay import write_overlay, write_overlay_stack
from napari_pcnet.disk.placement import Placement
from napari_pcnet.disk.remote import Folder, RemoteFolder, location
from napari_pcnet.disk.window_files import WindowFiles, state_of, written_ns
from napari_pcnet.options import Options
from napari_pcnet.progress import Progress
from napari_pcnet.record import Origin, RunRecord, notes_of

if TYPE_CHECKING:
    from napari_pcnet.cluster import Cluster
    from napari_pcnet.planes import Planes
    from napari_pcnet.run import Before, OfPlane

HELP = "make superpixels of pictures"

ABOUT = """Make superpixels of a picture, or of many: segment IN OUT, or segment IN... -o FOLDER, which writes
FOLDER/NAME.superpixels.tif for each."""


MOST_WORKERS = 1024
"""Processes on one machine."""


class Files(NamedTuple):
    """A picture, and what is made of it."""

    image: Folder
    labels: Path
    overlay: Path | None
    overlay_of_stack: Path | None  # in its place where the picture has several planes


@dataclass(frozen=True)
class WorkerOptions:
    """Who labels the windows of pictures."""

    workers: int = field(
        default=1,
        metadata={"help": "processes side by side that label windows, with one thread each if several"},
    )
    scheduler: str | None = field(
        default=None,
        metadata={
            "help": "let the workers of this scheduler of dask.distributed label them",
            "metavar": "ADDRESS",
        },
    )

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers must be a whole number from 1 to {MOST_WORKERS}, got {self.workers}")
        if self.workers > 1 and self.scheduler is not None:
            raise ValueError("scheduler= brings its own workers; leave workers= out")


@dataclass(frozen=True)
class Task:
    """What is done with each picture.

    Attributes
    ----------
    record : RunRecord
    names_channels : bool
        Whether the record's channel axis was asked for; else it is the file's.
    overwrite : bool
        Whether files that exist are replaced.
    resumes : bool
        Whether windows are kept beside the output until it is written, and those that are there are used.
    cluster : Cluster or None
        Whose workers label the windows, if this process does not.
    """

    record: RunRecord
    names_channels: bool
    overwrite: bool
    resumes: bool
    cluster: "Cluster | None"

    def of_plane(self, image: Folder) -> "OfPlane | None":
        """What labels the windows of the planes of a picture, if this process does not; it starts now."""
        cluster = self.cluster
        if cluster is None:
            return None
        cluster.start()
        from napari_pcnet.cluster import Source

        return lambda record, index, options: cluster.of_plane(Source(str(image), record, index, options))


def fill(parser: Parser) -> None:
    """Add the files, and a flag for each option of a run."""
    parser.description = ABOUT
    parser.takes_files_anywhere = True
    parser.add_argument(
        "files",
        type=location,
        nargs="+",
        metavar="FILE",
        help="IN: tif, zarr, png or jpg, or the address of a zarr, https:// or s3://; OUT: tif, zarr or png",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="segment every FILE; patterns such as '*.tif' may be quoted",
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="write the picture with borders: png, jpg or, also of a stack, tif; with -o, a folder of them",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a call was stopped: until OUT is written, its windows are in OUT.windows; an OUT "
        "that is finished stays",
    )
    add_flags(parser, WorkerOptions)
    add_flags(parser, RunRecord, short={"n_segments": "-n"})
    parser.set_defaults(run=segment)


def segment(namespace: argparse.Namespace) -> int:
    """Make the labels of one picture or many, write them and the overlays."""
    with naming_flags(RunRecord, WorkerOptions):
        record = options_from(namespace, RunRecord)
        with _cluster(options_from(namespace, WorkerOptions)) as cluster:
            return _segment(
                namespace,
                Task(record, "channel_axis" in namespace, namespace.overwrite, namespace.resume, cluster),
            )


def _cluster(options: WorkerOptions) -> "AbstractContextManager[Cluster | None]":
    """The workers that are asked for; None if this process is the only one."""
    if options.workers == 1 and options.scheduler is None:
        return nullcontext()
    from napari_pcnet.cluster import Cluster

    return Cluster(options.workers, options.scheduler)


def _segment(namespace: argparse.Namespace, task: Task) -> int:
    if namespace.output is not None:
        images = _without_own(_expanded(namespace.files))
        return _segment_many(_files_in(namespace.output, images, namespace.overlay), task)
    files = Files(*_pair(namespace.files), namespace.overlay, namespace.overlay)
    with ProgressDisplay(" strips") as progress:
        lines = _segment_one(files, task, progress, exits.say)
    print(*lines, sep="\n")
    return 0


# -- one picture -----------------------------------------------------------------------------------


def _pair(files: Sequence[Folder]) -> tuple[Folder, Path]:
    """IN and OUT."""
    if len(files) != 2:
        count = "1 file is" if len(files) == 1 else f"{len(files)} files are"
        raise ValueError(
            f"{count} named; name IN and OUT, or any number of pictures and a folder by -o FOLDER"
        )
    image, labels = files
    if isinstance(labels, RemoteFolder):
        raise ValueError(f"OUT {labels} is an address, where nothing is written; name a file")
    if os.path.isdir(labels) and labels.suffix.lower() not in LABEL_SUFFIXES:
        raise IsADirectoryError(f"output {labels} is a folder; name a file, or the folder by -o {labels}")
    return image, labels


def _segment_one(files: Files, task: Task, progress: Progress, tell: Callable[[str], object]) -> list[str]:
    """Read the picture, make its labels, write them and the overlay; return a line about each file.

    What a large picture will take is told before.
    """
    is_there = task.resumes and not task.overwrite and files.labels.exists()
    may_exist = task.overwrite or is_there
    _check_files(files, task.record, may_exist)
    if task.resumes:
        _check_resumable(files, task.record)
    opened = _opened(files, task, may_exist)
    overlay, labels = opened.overlay, None
    if is_there:
        texts = _kept(files, task, opened)
        overlay = None if overlay is None or overlay.exists() else overlay
    elif _is_streamed(files, opened.image, task):
        texts = _streamed(files, task, opened, progress, tell)
    else:
        labels, texts = _held(files, task, opened, progress)
    lines = [f"{files.labels}: {text}" for text in texts]
    if overlay is not None:
        _draw(overlay, opened, read_labels(files.labels) if labels is None else labels, task.overwrite)
        lines.append(f"{overlay}: the picture with their borders")
    return lines


class _Opened(NamedTuple):
    """A picture that was read, and what is known before its labels are made."""

    image: Image
    record: RunRecord  # with the names and the axis of the channels, so that whoever repeats the run has them
    planes: "Planes"
    overlay: Path | None
    notes: dict[str, Any]
    placement: Placement | None  # of the labels


def _opened(files: Files, task: Task, may_exist: bool) -> _Opened:
    """Read the picture, and refuse files that can't hold what is made of it."""
    from napari_pcnet.planes import Planes, naming_channels, record_axis  # loads scipy

    record = task.record
    image = pictures.read_image(str(files.image), **record.reading())
    if not task.names_channels:
        record = replace(record, channel_axis=record_axis(image.pixels.shape, image.channel_axis))
    record = naming_channels(image.pixels, record)
    planes = Planes.select(image.pixels, record, image.mask)
    overlay = _check_planes(files, planes, may_exist)
    has_planes = image.pixels.ndim > (2 if record.channel_axis is None else 3)
    origin = Origin(files.image.stem, str(files.image.resolve()), has_planes)
    notes = notes_of(_with_absolute_paths(record), origin)
    return _Opened(image, record, planes, overlay, notes, _placement_of_part(image, record))


def _kept(files: Files, task: Task, opened: _Opened) -> list[str]:
    """Leave labels that an earlier call has finished; return what is said of them."""
    sources = _sources(files.image)
    _check_finished(files, opened.record, opened.notes, sources)
    _remove_windows(files, task, opened.record, sources)
    return ["is finished already; --overwrite makes it anew"]


def _streamed(
    files: Files, task: Task, opened: _Opened, progress: Progress, tell: Callable[[str], object]
) -> list[str]:
    """Write labels window by window; return what is said of them."""
    from napari_pcnet.run import Streaming

    sources = _sources(files.image)
    state = _state_of(sources)
    if task.cluster is not None:
        task.cluster.seconds.clear()  # of another picture
    with _windows_of(files, task, opened.record, state) as done:
        streaming = Streaming(
            folder=files.labels.absolute().parent,
            progress=progress,
            files=done,
            elsewhere=task.of_plane(files.image),
            before=None if done else _before(files, task, tell),  # of the rest the display knows
        )
        texts = label_to_file(
            files.labels,
            opened.image,
            opened.record,
            streaming,
            overwrite=task.overwrite,
            notes=opened.notes,
            placement=opened.placement,
            outside=opened.record.start_label - 1,
        )
    if _state_of(sources) != state:
        tell(f"{files.image} was changed while it was read: labels may be partly of what it was before")
    if task.cluster is not None:
        texts.append(f"of the time of {task.cluster.number} workers: {shares_of(task.cluster.seconds)}")
    return texts


def _held(
    files: Files, task: Task, opened: _Opened, progress: Progress
) -> tuple[NDArray[np.integer[Any]], list[str]]:
    """Make labels that memory holds and write them; return them and what is said of them."""
    record = opened.record
    labels, seconds = label(opened.image, record, progress, task.of_plane(files.image))
    notes = None if files.labels.suffix.lower() == ".png" else opened.notes  # a png has no room for them
    write_labels(files.labels, labels, task.overwrite, notes, opened.placement, record.start_label - 1)
    return labels, [summary(int(labels.max()), labels.shape, record, seconds)]


def _draw(overlay: Path, opened: _Opened, labels: NDArray[np.integer[Any]], overwrite: bool) -> None:
    """Write what was segmented, with the borders of the labels."""
    planes, placement = opened.planes, opened.placement
    shown = (_plane_to_show(planes, opened.record, index) for index in planes.indices)
    if planes.stack_shape:
        write_overlay_stack(overlay, shown, labels, overwrite, placement)
    else:
        write_overlay(overlay, replace(next(shown), placement=placement), labels, overwrite)


def _sources(image: Folder) -> list[Path]:
    """The files on this machine that a picture is read from."""
    return [] if isinstance(image, RemoteFolder) else pictures.files_of(image)


def _state_of(sources: Sequence[Path]) -> str | None:
    """What changes with the files that a picture is read from; None if one is gone."""
    try:
        return state_of(*sources)
    except FileNotFoundError:
        return None


def _is_streamed(files: Files, image: Image, task: Task) -> bool:
    """Whether labels are written window by window: to a zarr, and to a tif of a picture that is not held."""
    from napari_pcnet.planes import is_large

    if files.labels.suffix.lower() in TIF_SUFFIXES:
        return task.resumes or task.cluster is not None or is_large(image.pixels)
    return files.labels.suffix.lower() == ".zarr"


def _before(files: Files, task: Task, tell: Callable[[str], object]) -> "Before":
    """What tells of a large picture, before it is labelled, what that will take."""
    from napari_pcnet.outlook import Copies, teller

    name = files.labels.name.lower()
    is_tif = not name.endswith(".zarr")
    copies = Copies(2.0 if is_tif else 4 / 3 if name.endswith(".ome.zarr") else 1.0, 2 if task.resumes else 1)
    workers, here = (1, True) if task.cluster is None else (task.cluster.number, task.cluster.is_here)
    folder = files.labels.absolute().parent
    return teller(lambda text: tell(f"{files.image}: {text}"), folder, copies, workers, here)


def _windows_of(
    files: Files, task: Task, record: RunRecord, state: str | None
) -> AbstractContextManager[WindowFiles | None]:
    """Windows that an earlier call had finished, beside the output, if the work may be resumed."""
    if not task.resumes:
        return nullcontext()
    return WindowFiles(
        _windows_folder(files),
        {
            "image": state,
            "mask": None if record.mask is None else state_of(*pictures.files_of(Path(record.mask), "mask")),
            "weights": sha256_of(weights.locate(record.model)),
            "version": __version__,
            **{f"--{name.replace('_', '-')}": value for name, value in record.as_dict().items()},
        },
    )


def _windows_folder(files: Files) -> Path:
    return files.labels.with_name(f"{files.labels.name}.windows")


def _remove_windows(files: Files, task: Task, record: RunRecord, sources: Sequence[Path]) -> None:
    """Remove the windows of labels that are written, which a process that was killed then had no time for."""
    if _windows_folder(files).is_dir():  # of other work they stay
        state = _state_of(sources)
        with suppress(ValueError, OSError), _windows_of(files, task, record, state):
            pass


def _check_finished(files: Files, record: RunRecord, notes: dict[str, Any], sources: Sequence[Path]) -> None:
    """Refuse labels that are there and are not those that the run would make."""
    read = [*sources, weights.own_file(record.model)]
    if record.mask is not None:
        read += pictures.files_of(Path(record.mask), "mask")
    is_newer = written_ns(*filter(None, read)) > written_ns(files.labels)
    if is_newer or read_notes(files.labels) != json.loads(json.dumps(notes)):
        raise FileExistsError(
            f"output {files.labels} exists and is of another run, picture or version; pass overwrite=True to "
            "replace it"
        )


def _with_absolute_paths(record: RunRecord) -> RunRecord:
    """Name mask and weights so that the run can be repeated from any folder, as its image is named."""
    if record.mask is not None:
        record = replace(record, mask=str(Path(record.mask).resolve()))
    if (own := weights.own_file(record.model)) is not None:
        record = replace(record, model=str(own.resolve()))
    return record


def _plane_to_show(planes: "Planes", record: RunRecord, index: tuple[int, ...]) -> Image:
    """Return a plane, part and channels that were segmented; what counts as black and white is that."""
    from napari_pcnet import arguments

    pixels, axis = planes.read(index)
    mask = planes.read_mask(index)
    if record.intensity_range is None or pixels.dtype == np.uint8:  # an overlay shows 8 bits as they are
        return Image(pixels, axis, mask)
    picture = arguments.picture(pixels, mask, axis, record.intensity_range)
    if axis is None:
        return Image(pixels.clip(picture.low[0], picture.high[0]), None, mask)
    return Image(np.moveaxis(pixels, axis, -1).clip(picture.low, picture.high), -1, mask)


# -- many ------------------------------------------------------------------------------------------


def _expanded(words: Sequence[Folder]) -> list[Folder]:
    """Return the pictures that are named, each once; a pattern that a shell has left stands for its files."""
    images: list[Folder] = []
    for word in words:
        if isinstance(word, RemoteFolder):
            images.append(word)
            continue
        is_pattern = not word.exists() and glob.has_magic(str(word))
        found = sorted(map(Path, glob.glob(str(word), recursive=True))) if is_pattern else [word]
        if not found:
            raise FileNotFoundError(f"no file fits the pattern {word}")
        images += found
    return list(dict.fromkeys(images))


def _without_own(images: Sequence[Folder]) -> list[Folder]:
    """Pass over superpixels of ours, which a pattern finds, too, when a folder is segmented again."""
    own = [image for image in images if _is_own(image)]
    if own:
        exits.say(f"{own[0]}{f' and {len(own) - 1} more' if own[1:] else ''} passed over: superpixels")
    if len(own) == len(images):
        raise ValueError("no picture is named besides superpixels")
    return [image for image in images if image not in own]


def _is_own(image: Folder) -> bool:
    if isinstance(image, RemoteFolder):
        return False
    try:
        return read_notes(image) is not None
    except OSError:  # is said when it is its turn
        return False


def _files_in(folder: Path, images: Sequence[Folder], overlays: Path | None) -> list[Files]:
    """Name the files to be made of each picture; no two may have one name."""
    for flag, path in {"-o": folder, "--overlay": overlays}.items():
        if path is not None:
            _check_folder(flag, path, images)
    if is_zarr(folder):
        raise ValueError(f"-o names a folder, got the zarr {folder}; name another")
    made: dict[Path, Folder] = {}
    every = []
    for image in images:
        name = image.stem.removesuffix(".ome")
        labels = folder / f"{name}.superpixels.tif"
        other = made.setdefault(labels, image)
        if other != image:
            raise ValueError(f"{other} and {image} would both become {labels}; segment them one by one")
        borders = [overlays and overlays / f"{name}-borders{ending}" for ending in (".png", ".tif")]
        every.append(Files(image, labels, *borders))
    return every


def _check_folder(flag: str, path: Path, images: Sequence[Folder]) -> None:
    if path.suffix.lower() in LABEL_SUFFIXES + OVERLAY_SUFFIXES and not path.is_dir():
        raise ValueError(f"{flag} names a folder, got {path}; for one picture: segment IN OUT --overlay PNG")
    for image in images:
        if isinstance(image, RemoteFolder):
            continue
        check_outside(flag, path, "IN", image)


def _segment_many(every: Sequence[Files], task: Task) -> int:
    """Segment each picture; one that fails is named, and does not stop the rest."""
    _check_task(task)
    folders = {path.parent for files in every for path in files[1:] if path is not None}
    made: list[Path] = []
    try:
        for folder in sorted(folders):
            if _make(folder):
                made.append(folder)
        return _segment_each(every, task)
    finally:
        for folder in made:
            with suppress(OSError):  # not empty, as it should be
                folder.rmdir()


def _segment_each(every: Sequence[Files], task: Task) -> int:
    started, done = time.perf_counter(), 0
    with ProgressDisplay(" pictures") as display:
        try:
            display(0, len(every))
            for number, files in enumerate(every):
                done += _succeeds(files, task, display, _share(display, number, len(every)))
                display(number + 1, len(every))
        except KeyboardInterrupt:
            display.close()
            return exits.stopped(f"stopped; {done} of {len(every)} pictures are segmented")
    print(f"{done} of {len(every)} pictures segmented, {time.perf_counter() - started:.1f} s")
    return 0 if done == len(every) else exits.FAILED


def _succeeds(files: Files, task: Task, display: ProgressDisplay, progress: Progress) -> bool:
    def tell(text: str) -> None:
        with display.aside():
            exits.say(text)

    try:
        with exits.warnings_as_sentences(files.image), naming_flags(RunRecord):
            lines = _segment_one(files, task, progress, tell)
    except exits.REFUSALS as error:
        with display.aside():
            exits.say(exits.about(files.image, exits.sentence_of(error)))
        return False
    with display.aside():
        print(*lines, sep="\n", flush=True)
    return True


def _check_task(task: Task) -> None:
    """Refuse once what would be refused for every picture."""
    from napari_pcnet.network.machine import choose_device

    options = Options.checked(vars(task.record))
    weights.locate(options.model)
    choose_device(options.device)
    if task.record.mask is not None:
        format_of(Path(task.record.mask), "mask")


def _make(folder: Path) -> bool:
    """Make a folder for outputs; say whether it was not there before."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"output folder {folder.parent} does not exist; make it first")
    is_new = not folder.exists()
    make_folder(folder)
    return is_new


def _share(display: ProgressDisplay, number: int, total: int) -> Progress:
    """Progress of one of so many pictures, as progress of all of them."""
    return lambda done, of: display(number + min(done / of, 0.99), total)


# -- checks before the work ------------------------------------------------------------------------


def _check_files(files: Files, record: RunRecord, overwrite: bool) -> None:
    """Refuse files that could not be written or would overwrite each other or what is read."""
    _check_no_folder(files.image)
    check_output(files.labels, LABEL_SUFFIXES, overwrite)
    if files.overlay is not None:
        check_output(files.overlay, OVERLAY_SUFFIXES, overwrite)
    named = {"IN": files.image, "--mask": record.mask, "--model": weights.own_file(record.model)}
    overlays = dict.fromkeys((files.overlay, files.overlay_of_stack))  # one or two names
    for role, path in (("OUT", files.labels), *(("--overlay", overlay) for overlay in overlays)):
        for other, its in named.items():
            if path is not None and its is not None and not isinstance(its, RemoteFolder):
                check_apart(role, path, other, Path(its))
        named[role] = path
    if files.labels.suffix.lower() == ".png" and record.n_segments > LARGEST_PNG_LABEL:
        raise ValueError(
            f"{record.n_segments} superpixels do not fit into the 16 bits of a png; "
            f"write {files.labels.with_suffix('.tif')} instead"
        )


def _check_resumable(files: Files, record: RunRecord) -> None:
    """Refuse what no windows can be kept of."""
    if files.labels.suffix.lower() == ".png" or record.smoothing:
        raise ValueError(
            "--resume takes a zarr or tif as OUT, and no --smoothing, which is of the whole plane"
        )
    if isinstance(files.image, RemoteFolder):
        raise ValueError(
            f"--resume takes a picture on this machine: of {files.image} it is not known when it was changed"
        )


def _check_no_folder(image: Folder) -> None:
    """Refuse a folder of pictures as one."""
    if (
        isinstance(image, RemoteFolder)
        or not image.is_dir()
        or image.suffix.lower() == ".zarr"
        or is_zarr(image)
    ):
        return
    endings = sorted({path.suffix for path in image.iterdir()} & {*OVERLAY_SUFFIXES, ".zarr"})
    patterns = " ".join(f"'{image / f'*{ending}'}'" for ending in endings or [".tif"])
    raise IsADirectoryError(f"IN {image} is a folder; name its pictures: segment {patterns} -o FOLDER")


def _placement_of_part(image: Image, record: RunRecord) -> Placement | None:
    """Return where the labels lie: the image's place, or that of its crop."""
    if image.placement is None or record.crop is None:
        return image.placement
    top, left, *_ = record.crop
    return image.placement.part(top, left)


def _check_planes(files: Files, planes: "Planes", overwrite: bool) -> Path | None:
    """Refuse files that hold one plane for a stack; return the overlay's name, if there is to be one."""
    if not planes.stack_shape:
        return files.overlay
    overlay = files.overlay_of_stack
    if overlay is not None and overlay.suffix.lower() not in TIF_SUFFIXES:
        raise ValueError(
            f"a {overlay.suffix[1:]} shows one plane of {files.image}, which has several; choose one by "
            f"--plane, or write {overlay.with_name(f'{overlay.stem}-borders.tif')} instead"
        )
    if overlay is not None and overlay != files.overlay:
        check_output(overlay, TIF_SUFFIXES, overwrite)
    if files.labels.suffix.lower() == ".png":
        raise ValueError(
            f"a png holds one plane of {files.image}, which has several; choose one by --plane, or write "
            f"{files.labels.with_suffix('.superpixels.tif')} instead"
        )
    return overlay
