"""The windows of a picture file, labelled by the workers of a cluster of dask, on this machine or on others.

A worker opens the file by its path and loads the weights, once each, and reads what its windows need. It is
sent a window's place and the mask there; its answer is what the window says, compressed. Tables, tree and
labels are made by the process that asks, so labels are those of one process. A worker that is killed is
replaced by dask, and its windows are labelled again.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from napari_pcnet import __version__, arguments, interrupts, pipeline, weights
from napari_pcnet.disk import pictures
from napari_pcnet.disk.remote import location
from napari_pcnet.disk.spool import Packed, pack, unpack
from napari_pcnet.geometry.blocks import Part
from napari_pcnet.geometry.grid import Grid
from napari_pcnet.geometry.picture import Picture
from napari_pcnet.geometry.tiling import Tile
from napari_pcnet.merging.streamed import LabelledWindow
from napari_pcnet.network.inference import Elsewhere, label_window
from napari_pcnet.network.machine import one_at_a_time
from napari_pcnet.network.predictor import predictor
from napari_pcnet.options import Options
from napari_pcnet.planes import Planes
from napari_pcnet.record import RunRecord
from napari_pcnet.stages import stage, timed

WINDOWS_EACH = 2
"""Of a worker that are under way: one that it labels, and one that waits for it."""

PATIENCE_S = 30.0
"""How long a window may take before the scheduler is asked whether there are workers."""

CONNECT_S = 10
"""How long a scheduler has to answer."""

OPEN_PLANES = 2
"""Planes that a worker keeps open: a plane ends with windows of it when those of the next begin."""

LOOPBACK = "127.0.0.1"
"""Processes on this machine hear nobody else's."""

_TRIMMING = "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_"
"""By default dask has glibc give memory back at once, and each large array takes new pages."""

_QUIET = logging.CRITICAL + 1


@dataclass(frozen=True)
class Source:
    """A plane of a picture file, as each worker opens it.

    Attributes
    ----------
    path : str
        Of the file; the same for all workers.
    record : RunRecord
        Which part of the file, and which channels.
    index : tuple of int
        Which plane of a stack.
    options : Options
        Checked.
    """

    path: str
    record: RunRecord
    index: tuple[int, ...]
    options: Options


class Cluster:
    """Workers of dask: processes on this machine, or those of a scheduler.

    Used in a ``with`` statement. Processes start with the first picture and stay for the next ones; a
    scheduler is asked at once whether it has workers.

    Parameters
    ----------
    workers : int
        Processes, one thread each unless the environment says otherwise (``OMP_NUM_THREADS``).
    scheduler : str or None
        Address of a scheduler, whose workers are taken in place of processes here.

    Attributes
    ----------
    seconds : Counter of str
        What the workers have spent in each stage, all together.
    number : int
        How many they are, or will be.
    is_here : bool
        Whether they are on this machine.

    Raises
    ------
    OSError
        If the scheduler can't be reached, has no workers, or they have another version of this package.
    """

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        self.seconds: Counter[str] = Counter()
        self.number = workers
        self.is_here = scheduler is None
        self._scheduler = scheduler
        self._opened = ExitStack()
        self._client: Any = None  # dask's, which has no types
        self._loading: list[Any] = []  # its futures: one that nobody holds is given up
        self._run = uuid.uuid4().hex

    def __enter__(self) -> Self:
        import distributed  # noqa: F401 - is refused before the work, not in it

        if self._scheduler is not None:
            self._connect(self._scheduler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def start(self) -> None:
        """Start processes, unless they run; they load what they need while others go on."""
        if self._client is None:
            self._start()

    def of_plane(self, source: Source) -> Elsewhere:
        """What labels the windows of a plane; its picture has the range and the mask."""
        self.start()
        sharing = self.number if self.is_here else 0
        return Elsewhere(partial(self._begin, _with_own_files(source)), WINDOWS_EACH * self.number, sharing)

    def _begin(
        self, source: Source, picture: Picture, grid: Grid, tile: Tile, single_pixels: bool
    ) -> Callable[[], LabelledWindow]:
        """Send a window to the workers."""
        mask = picture.read_mask(tile.labelled)
        sent = _Window(
            self._run,
            source,
            grid,
            tile,
            single_pixels,
            picture.low,
            picture.high,
            None if mask is None else pack(mask.view(np.uint8)),
        )
        with _as_sentences(self._place):
            future = self._client.submit(_labelled, sent, pure=False)
        return partial(self._answer, future)

    def _answer(self, future: Any) -> LabelledWindow:
        """Wait for what a window says."""
        had_workers = True
        with _as_sentences(self._place):
            while True:
                try:
                    said: _Said = future.result(timeout=PATIENCE_S)
                    break
                except TimeoutError:
                    if future.done():  # the window's own error
                        raise
                has_workers = bool(self._client.nthreads())
                if not has_workers and not had_workers:
                    raise OSError(f"{self._place} has lost its workers")
                had_workers = has_workers
        self.seconds.update(said.seconds)
        return said.window

    @property
    def _place(self) -> str:
        return "the cluster of this machine" if self.is_here else f"scheduler {self._scheduler}"

    def _start(self) -> None:
        """Start processes on this machine."""
        import dask
        from distributed import Client, LocalCluster

        folder = self._opened.enter_context(
            tempfile.TemporaryDirectory(prefix="napari-pcnet-", ignore_cleanup_errors=True)
        )
        # As the processes that start here then do, with their memory's own ways to be given back.
        settings = {_TRIMMING: None, "temporary-directory": folder}  # the scheduler takes a folder, too
        with interrupts.ignored(), dask.config.set(settings), self._naming_no_start():
            processes = self._opened.enter_context(
                LocalCluster(
                    n_workers=self.number,
                    threads_per_worker=1,
                    processes=True,
                    host=LOOPBACK,
                    dashboard_address=f"{LOOPBACK}:0",  # None takes a port of its own, on all networks
                    worker_dashboard_address=f"{LOOPBACK}:0",
                    memory_limit=0,  # windows are chosen by the memory that is free
                    silence_logs=_QUIET,
                )
            )
            self._client = self._opened.enter_context(Client(processes, set_as_default=False))
        there = self._client.nthreads()
        self._loading = [self._client.submit(_version, workers=[each], pure=False) for each in there]

    @contextmanager
    def _naming_no_start(self) -> Iterator[None]:
        """Say in one sentence that processes do not start, as where a limit forbids more."""
        try:
            yield
        except (RuntimeError, TimeoutError) as error:
            raise OSError(
                f"the cluster of this machine cannot start {self.number} workers "
                f"({' '.join(str(error).split())}); ask for fewer workers"
            ) from error

    def _connect(self, address: str) -> None:
        """Connect to a scheduler that runs."""
        from distributed import Client
        from distributed.utils import silence_logging_cmgr

        self._opened.enter_context(silence_logging_cmgr(_QUIET))
        try:
            client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise OSError(
                f"scheduler {address} cannot be reached ({error}); name one of dask that runs, such as "
                "tcp://127.0.0.1:8786"
            ) from error
        self._client = self._opened.enter_context(client)
        self.number = sum(client.nthreads().values())
        if not self.number:
            raise OSError(f"scheduler {address} has no workers; start some by dask worker {address}")
        self._check_versions(address)

    def _check_versions(self, address: str) -> None:
        try:
            versions = set(self._client.run(_version).values())
        except Exception as error:  # whatever a worker raises where the package is missing
            raise OSError(
                f"workers of scheduler {address} cannot load napari-pcnet ({error}); install it there, too"
            ) from error
        other = next((each for each in versions if each != __version__), None)
        if other is not None:
            raise OSError(
                f"workers of scheduler {address} have napari-pcnet {other}, this is {__version__}; install "
                "the same"
            )


def _with_own_files(source: Source) -> Source:
    """Name the picture and own weights by their whole path."""
    options, own = source.options, weights.own_file(source.options.model)
    if own is not None:
        options = replace(options, model=str(own.resolve()))
    return replace(source, path=str(location(source.path).resolve()), options=options)


@contextmanager
def _as_sentences(place: str) -> Iterator[None]:
    """Say in one sentence what becomes of a cluster; errors of windows stay what they are."""
    from distributed import CancelledError, KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise OSError(
            f"{place} has lost a worker again and again at one window, as when memory runs out; ask for "
            "fewer workers, or smaller windows by window=1024"
        ) from error
    except (CommClosedError, CancelledError) as error:
        raise OSError(f"{place} does not answer any more") from error


# -- in a worker -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """A window that a worker is to label.

    Attributes
    ----------
    run : str
        Differs between commands, which may find another picture under one path.
    """

    run: str
    source: Source
    grid: Grid
    tile: Tile
    single_pixels: bool
    low: NDArray[np.float64]  # (C,)
    high: NDArray[np.float64]
    mask: Packed | None  # of what is labelled


class _Said(NamedTuple):
    """What a window says, compressed as it is sent back, and what each stage took."""

    window: LabelledWindow
    seconds: dict[str, float]


def _labelled(sent: _Window) -> _Said:
    """Label a window."""
    with timed() as seconds:
        with stage("reading"):
            pixels, axis = _plane(sent.run, sent.source)
        network = pipeline.load_prepared(sent.source.options)
        picture = Picture(pixels, axis, None, sent.low, sent.high)
        if sent.mask is not None:
            inside = unpack(sent.mask).view(bool)
            mask: Any = Part(inside, (0, 1), sent.tile.labelled, picture.shape)
            picture = replace(picture, mask=mask)
        with one_at_a_time(network.device.type):
            said = label_window(
                predictor(network), picture, sent.grid, sent.tile, lambda: None, sent.single_pixels
            )
        with stage("table"):
            said = said.packed()
    return _Said(said, seconds)


@lru_cache(OPEN_PLANES)
def _plane(run: str, source: Source) -> tuple[Any, int | None]:  # noqa: ARG001  # the cache's key
    """Open a plane, and say which axis holds its channels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the process that asks has heard them
        image = pictures.read_image(source.path, **source.record.reading())
    pixels, axis = Planes.select(image.pixels, source.record).open(source.index)
    pixels, axis, _ = arguments.plane_of(pixels, axis)
    return arguments.in_blocks(pixels, axis), axis


def _version() -> str:
    return __version__
