"""`segment --workers` and `--scheduler`: workers of dask label windows, and labels stay the same."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import PIL.Image
import psutil
import pytest
import tifffile
from distributed import Client, LocalCluster

from napari_pcnet import (
    RunRecord,
    cluster,
    pcnet_superpixels,
    pipeline,
    planes,
    read_labels,
    run_record,
    write_labels,
)
from napari_pcnet.cli import main
from napari_pcnet.cluster import Cluster
from napari_pcnet.geometry import tiling
from napari_pcnet.network import inference

pytestmark = pytest.mark.filterwarnings("default")  # those of distributed, about the machine

SHAPE = (300, 260)
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 26, 3)).astype(np.uint8).repeat(15, 0).repeat(10, 1)
DISC = (np.indices(SHAPE)[0] - 180) ** 2 + (np.indices(SHAPE)[1] - 90) ** 2 < 60**2
WORDS = ["segment", "in.tif", "out.zarr", "-n", "40", "--window", "128"]


@pytest.fixture(autouse=True)
def _in_a_folder_where_no_picture_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planes, "SMALL_BYTES", 0)
    monkeypatch.setattr("napari_pcnet.disk.tiff.WHOLE_BYTES", 0)
    tifffile.imwrite("in.tif", IMAGE, tile=(64, 64), compression="zlib", photometric="rgb")


def started(folder: Path, workers: int = 2) -> Any:
    """A cluster of processes on this machine."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        local_directory=str(folder),
        silence_logs=100,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers, which are in another folder than the command."""
    with started(tmp_path_factory.mktemp("workers")) as running:
        yield running.scheduler_address


def here_is_labelled_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a window is labelled in this process")

    monkeypatch.setattr(inference, "label_window", refuse)


@pytest.mark.parametrize(
    ("words", "record", "mask"),
    [
        ([], RunRecord(40), None),
        (["--mask", "mask.png"], RunRecord(40), DISC),
        (["--crop", "20", "30", "290", "250", "--channels", "2", "0"], RunRecord(40, channels=(2, 0)), None),
        (["--method", "lattice", "--start-label", "0"], RunRecord(40, method="lattice", start_label=0), None),
        (["--smoothing", "2"], RunRecord(40, smoothing=2.0), None),
        (["--intensity-range", "1%", "99%"], RunRecord(40, intensity_range=("1%", "99%")), None),
        (["-n", "70000"], RunRecord(70_000), None),
    ],
    ids=["", "mask", "part", "lattice", "smoothing", "percentiles", "pixels are regions"],
)
def test_labels_are_those_of_one_process(
    words: list[str],
    record: RunRecord,
    mask: np.ndarray | None,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    PIL.Image.fromarray(DISC.astype(np.uint8)).save("mask.png")
    with monkeypatch.context() as patch:
        here_is_labelled_nothing(patch)
        assert main([*WORDS, "--scheduler", address, *words]) == 0
    part = IMAGE[20:290, 30:250] if "--crop" in words else IMAGE
    np.testing.assert_array_equal(read_labels("out.zarr"), run_record(part, record, mask=mask))


def test_so_they_are_for_processes_that_nobody_else_hears(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = set[str]()

    def look(_: Cluster) -> None:
        every = [psutil.Process(), *psutil.Process().children(recursive=True)]
        sockets = [each for process in every for each in process.net_connections()]
        heard.update(each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN)

    at_the_first_answer(monkeypatch, look)
    monkeypatch.setattr(tempfile, "tempdir", str(Path().absolute()))
    assert main([*WORDS, "--workers", "2"]) == 0
    assert heard == {"127.0.0.1"}
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))
    told = capsys.readouterr()
    assert told.err == ""
    assert re.search(r"^out\.zarr: of the time of 2 workers: .*network \d+ %", told.out, re.MULTILINE)
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.zarr"]


def test_a_worker_loads_the_weights_once_and_computes_with_one_thread(address: str) -> None:
    def seen() -> tuple[int, int]:
        import torch

        return pipeline._prepare_version.cache_info().misses, torch.get_num_threads()

    assert main([*WORDS, "--scheduler", address]) == 0
    with Client(address, set_as_default=False) as client:
        loaded = client.run(seen)
    assert {threads for _, threads in loaded.values()} == {1}
    assert {misses for misses, _ in loaded.values()} <= {0, 1}
    assert max(misses for misses, _ in loaded.values()) == 1


def test_planes_of_a_stack_and_many_pictures_share_the_workers(address: str) -> None:
    Path("in.tif").unlink()
    stack = np.moveaxis(IMAGE, 2, 0)
    tifffile.imwrite("stack.tif", stack, photometric="minisblack", tile=(64, 64))
    PIL.Image.fromarray(IMAGE[:90, :80]).save("small.png")
    words = ["-n", "9", "--window", "128", "--channel-axis", "none", "--scheduler", address]
    assert main(["segment", "stack.tif", "-o", "made", *words]) == 0
    expected = run_record(stack, RunRecord(9, channel_axis=None))
    np.testing.assert_array_equal(read_labels("made/stack.superpixels.tif"), expected)
    assert main(["segment", "small.png", "out.png", "-n", "9", "--scheduler", address]) == 0
    np.testing.assert_array_equal(read_labels("out.png"), pcnet_superpixels(IMAGE[:90, :80], 9))


def test_a_picture_that_has_changed_under_its_name_is_opened_again(address: str) -> None:
    assert main([*WORDS, "--scheduler", address]) == 0
    tifffile.imwrite("in.tif", IMAGE[::-1], photometric="rgb")
    assert main([*WORDS, "--scheduler", address, "--overwrite"]) == 0
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE[::-1], 40))


def test_windows_of_an_earlier_call_are_not_labelled_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, begin = list[Any](), Cluster._begin

    def counting(self: Cluster, *arguments: Any) -> Any:
        if len(begun) == 5:
            raise KeyboardInterrupt
        begun.append(arguments[3])
        return begin(self, *arguments)

    words = [*WORDS, "--resume", "--scheduler", address]
    monkeypatch.setattr(Cluster, "_begin", counting)
    assert main(words) == 130
    kept = len(list(Path("out.zarr.windows").glob("*.npz")))
    monkeypatch.setattr(Cluster, "_begin", begin)
    all_windows = list[Any]()
    monkeypatch.setattr(Cluster, "_begin", lambda *given: all_windows.append(given[4]) or begin(*given))
    assert main(words) == 0
    assert kept == 2  # of five that were begun four are under way at most
    assert len({tile.core for tile in all_windows}) == len(all_windows)
    assert not {tile.core for tile in all_windows} & {tile.core for tile in begun[:kept]}
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))


def test_what_one_process_has_begun_workers_end(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "SHARED_CORE", (128, 128))
    words = ["segment", "in.tif", "out.zarr", "-n", "40", "--resume"]
    label, here = inference.label_window, list[Any]()

    def counting(*arguments: Any) -> Any:
        if len(here) == 3:
            raise KeyboardInterrupt
        here.append(arguments[3].core)
        return label(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(inference, "label_window", counting)
        assert main(words) == 130
    begun, begin = list[Any](), Cluster._begin
    monkeypatch.setattr(Cluster, "_begin", lambda *given: begun.append(given[4].core) or begin(*given))
    assert main([*words, "--scheduler", address]) == 0
    assert len(begun) > 3
    assert not set(begun) & set(here)
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))


def test_what_is_refused_starts_no_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels("out.zarr", pcnet_superpixels(IMAGE, 40))
    Path("out.zarr.windows").mkdir()
    Path("out.zarr.windows/mine.txt").touch()
    started = list[Cluster]()
    monkeypatch.setattr(Cluster, "start", lambda self: started.append(self))
    words = [*WORDS, "--workers", "2", "--resume"]
    assert main(words) == 2
    assert "exists and is of another run" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 2
    assert "out.zarr.windows" in capsys.readouterr().err
    assert not started


# -- what goes wrong -------------------------------------------------------------------------------


def at_the_first_answer(monkeypatch: pytest.MonkeyPatch, do: Any) -> None:
    """Do something while the first windows are under way."""
    answer, done = Cluster._answer, list[int]()

    def doing(self: Cluster, *arguments: Any) -> Any:
        if not done:
            done.append(1)
            do(self)
        return answer(self, *arguments)

    monkeypatch.setattr(Cluster, "_answer", doing)


def kill(running: Cluster, number: int) -> None:
    for process in list(running._client.run(os.getpid).values())[:number]:
        os.kill(process, signal.SIGKILL)


def test_a_worker_that_is_killed_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_the_first_answer(monkeypatch, lambda running: kill(running, 1))
    assert main([*WORDS, "--workers", "2"]) == 0
    np.testing.assert_array_equal(read_labels("out.zarr"), pcnet_superpixels(IMAGE, 40))
    assert capsys.readouterr().err == ""


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a command ends with; nothing is left of its output."""
    before = sorted(path.name for path in Path().iterdir())
    assert main(words) == 2
    assert sorted(path.name for path in Path().iterdir()) == before
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told.removeprefix("napari-pcnet: ").strip()


@pytest.mark.parametrize("words", [["--workers", "2"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_without_dask_its_extra_is_named(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    told = refusal([*WORDS, *words], capsys)
    assert told == "distributed is not installed; pip install 'napari-pcnet[dask]'"


def test_one_that_is_killed_again_and_again_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_the_first_answer(monkeypatch, lambda running: kill(running, 2))
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        told = refusal([*WORDS, "--workers", "2"], capsys)
    assert told == (
        "the cluster of this machine has lost a worker again and again at one window, as when memory runs "
        "out; ask for fewer workers, or smaller windows by --window 1024"
    )


def test_workers_that_do_not_start_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("multiprocessing.spawn._python_exe", "/bin/false")  # as where a limit forbids more
    assert refusal([*WORDS, "--workers", "2"], capsys) == (
        "the cluster of this machine cannot start 2 workers (Nanny failed to start.); ask for fewer workers"
    )


@pytest.mark.parametrize(
    ("end", "becomes"),
    [
        (lambda running: running.scale(0), "has lost its workers"),
        (lambda running: running.close(), "does not answer any more"),
    ],
    ids=["workers", "scheduler"],
)
def test_so_it_is_where_all_workers_or_the_scheduler_are_gone(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: Callable[[Any], object],
    becomes: str,
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 0.5)
    with started(tmp_path_factory.mktemp("workers"), 1) as running:
        address = running.scheduler_address
        at_the_first_answer(monkeypatch, lambda _: end(running))
        told = refusal([*WORDS, "--scheduler", address], capsys)
    assert told == f"scheduler {address} {becomes}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "--workers must be a whole number from 1 to 1024, got 0"),
        (["--workers", "2000"], "--workers must be a whole number from 1 to 1024, got 2000"),
        (
            ["--workers", "2", "--scheduler", "tcp://127.0.0.1:8786"],
            "--scheduler brings its own workers; leave --workers out",
        ),
        (["--scheduler", "nowhere"], "scheduler nowhere cannot be reached (missing port number in address"),
        (["--scheduler", "tcp://127.0.0.1:1"], "scheduler tcp://127.0.0.1:1 cannot be reached (Timed out tr"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    assert refusal([*WORDS, *words], capsys).startswith(message)


def test_a_number_of_workers_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*WORDS, "--workers", "two"])
    assert "argument --workers: must be a whole number, got 'two'" in capsys.readouterr().err


def test_a_scheduler_without_workers_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with LocalCluster(
        n_workers=0, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp"
    ) as running:
        address = running.scheduler_address
        told = refusal([*WORDS, "--scheduler", address], capsys)
    assert told == f"scheduler {address} has no workers; start some by dask worker {address}"


def test_workers_of_another_version_are_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "__version__", "9.9")
    told = refusal([*WORDS, "--scheduler", address], capsys)
    assert re.search(
        r"^workers of scheduler tcp\S+ have napari-pcnet \S+, this is 9\.9; install the same$", told
    )


def test_damage_that_a_worker_meets_is_said_of_the_file(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path("in.tif").read_bytes()
    with tifffile.TiffFile("in.tif") as file:
        offset = file.pages[0].dataoffsets[17]

    def damage(_: Cluster, *arguments: Any) -> Any:
        Path("in.tif").write_bytes(content[:offset] + b"\xff" * 20 + content[offset + 20 :])
        return begin(_, *arguments)

    begin = Cluster._begin
    monkeypatch.setattr(Cluster, "_begin", damage)
    told = refusal([*WORDS, "--scheduler", address], capsys)
    assert re.search(r"in\.tif cannot be read as a tif, png or jpg picture", told)


def test_ctrl_c_is_one_line_and_leaves_nothing() -> None:
    large = np.tile(IMAGE, (6, 6, 1))
    tifffile.imwrite("in.tif", large, tile=(256, 256), compression="zlib", photometric="rgb")
    # A process that starts in the background may have been told to ignore it.
    script = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from napari_pcnet.cli import main
from napari_pcnet.disk.window_files import WindowFiles

write = WindowFiles.write

def write_and_wait(*arguments):
    write(*arguments)
    time.sleep(60)

WindowFiles.write = write_and_wait
sys.exit(main(sys.argv[1:]))
"""
    words = [*WORDS, "--workers", "2", "--resume"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(Path().glob("out.zarr.windows/*.npz")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "napari-pcnet: stopped\n")
    assert sorted(path.name for path in Path().iterdir()) == ["in.tif", "out.zarr.windows"]
