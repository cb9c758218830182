"""Calls and threads share a prepared network, and nothing that a caller sets reaches it."""

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
import pytest
import torch

from napari_pcnet import RunRecord, pcnet_superpixels, pipeline, run_record, weights
from napari_pcnet.disk.files import version_of
from napari_pcnet.network import checkpoint
from napari_pcnet.network.prepared import prepare
from napari_pcnet.options import Options, Precision
from napari_pcnet.pipeline import load_prepared

IMAGE = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
FAITHFUL = "pcnet-faithful-bsds500-v1"


def forget() -> None:
    pipeline._prepare_version.cache_clear()
    pipeline._load_version.cache_clear()


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Device and precision of each network that is prepared, from a clean start."""
    made: list[tuple[str, str]] = []

    def noted(model: Any, device: torch.device, precision: Any) -> Any:
        made.append((str(device), precision))
        return prepare(model, device, precision)

    monkeypatch.setattr(pipeline, "prepare", noted)
    forget()
    yield made
    forget()


def test_a_network_is_prepared_once_for_all_calls(prepared: list[tuple[str, str]]) -> None:
    pcnet_superpixels(IMAGE, 9)
    pcnet_superpixels(IMAGE, 20, device="cpu", precision="float32")
    pcnet_superpixels(IMAGE, 20, method="lattice")
    run_record(np.stack([IMAGE] * 3), RunRecord(9))
    assert prepared == [("cpu", "float32")]


def test_each_precision_and_each_network_has_its_own(prepared: list[tuple[str, str]]) -> None:
    single = pcnet_superpixels(IMAGE, 9, model=FAITHFUL)
    pcnet_superpixels(IMAGE, 9, model=FAITHFUL, precision="float64")
    assert np.array_equal(pcnet_superpixels(IMAGE, 9, model=FAITHFUL), single)
    assert prepared == [("cpu", "float32"), ("cpu", "float64")]
    pcnet_superpixels(IMAGE, 9, model="pcnet-v1")
    assert prepared[2:] == [("cpu", "float32")]


def test_a_network_in_whole_numbers_is_the_same_in_every_precision(prepared: list[tuple[str, str]]) -> None:
    single, double = (pcnet_superpixels(IMAGE, 9, precision=precision) for precision in ("auto", "float64"))
    assert np.array_equal(single, double)
    assert len(prepared) == 1


def test_networks_that_take_turns_are_prepared_once_each(
    prepared: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    load = checkpoint.load_model
    monkeypatch.setattr(checkpoint, "load_model", lambda path: loaded.append(path) or load(path))
    for model in ("pcnet-v2", "pcnet-v1", FAITHFUL) * 2:
        load_prepared(Options(model=model))
    assert len(loaded) == len(prepared) == 3


def test_the_last_few_are_kept(prepared: list[tuple[str, str]]) -> None:
    precisions: list[Precision] = ["float32", "float64", "bfloat16", "float16"]
    assert len(precisions) == pipeline.KEPT
    for precision in precisions:
        load_prepared(Options(model=FAITHFUL, precision=precision))
    load_prepared(Options(model="pcnet-v1"))
    for precision in ("float64", "float32"):  # the second is the one that made room
        load_prepared(Options(model=FAITHFUL, precision=precision))
    assert [precision for _, precision in prepared] == [*precisions, "float32", "float32"]


def test_a_file_that_is_written_again_is_loaded_again(
    prepared: list[tuple[str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "own.safetensors"
    shutil.copy(weights.locate("pcnet-v1"), file)
    first = pcnet_superpixels(IMAGE, 9, model=file)
    shutil.copy(weights.locate(FAITHFUL), file)
    os.utime(file, ns=(1, 1))
    second = pcnet_superpixels(IMAGE, 9, model=file)
    assert np.array_equal(first, pcnet_superpixels(IMAGE, 9, model="pcnet-v1"))
    assert np.array_equal(second, pcnet_superpixels(IMAGE, 9, model=FAITHFUL))
    assert not np.array_equal(first, second)


def test_another_file_of_the_same_length_and_time_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = set()
    for content in (b"one", b"two"):
        (tmp_path / content.decode()).mkdir()
        monkeypatch.chdir(tmp_path / content.decode())  # a relative path leads elsewhere
        Path("own").write_bytes(content)
        os.utime("own", ns=(1, 1))
        shutil.copy2("own", tmp_path / "kept")
        versions |= {version_of(Path("own")), version_of(tmp_path / "kept")}
    assert len(versions) == 4


def test_threads_share_a_network(prepared: list[tuple[str, str]]) -> None:
    alone = [pcnet_superpixels(IMAGE[: 60 + k], 9) for k in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda k: pcnet_superpixels(IMAGE[: 60 + k], 9), range(8)))
    assert all(map(np.array_equal, alone, together))
    assert len(prepared) == 1


def test_of_threads_that_call_at_once_one_prepares_the_network(
    prepared: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, both = vars(pipeline)["prepare"], Barrier(2)

    def waiting(*words: Any) -> Any:
        with suppress(BrokenBarrierError):
            both.wait(0.5)  # for another thread that prepares, too
        return noted(*words)

    monkeypatch.setattr(pipeline, "prepare", waiting)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(pipeline.load_prepared, [Options(device="cpu")] * 2)
    assert one is other
    assert prepared == [("cpu", "float32")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("prepared")
def test_a_process_that_is_forked_while_a_network_loads_can_load_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forking(*_words: Any) -> Any:
        monkeypatch.setattr(pipeline, "prepare", lambda *_: None)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(20)  # a lock that nobody gives back would end it
                pipeline.load_prepared(Options(device="cpu"))
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0

    monkeypatch.setattr(pipeline, "prepare", forking)
    pipeline.load_prepared(Options(device="cpu"))


@pytest.mark.parametrize(
    "setting",
    [
        torch.inference_mode(),
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16),
        torch.device("meta"),
        default_type(torch.float16),
    ],
    ids=["inference mode", "no grad", "autocast", "default device", "default type"],
)
@pytest.mark.usefixtures("prepared")
def test_a_first_call_under_a_callers_setting_leaves_nothing_of_it(
    setting: AbstractContextManager[Any],
) -> None:
    with setting:
        under = pcnet_superpixels(IMAGE, 9)
    after = pcnet_superpixels(IMAGE, 9)
    forget()
    assert np.array_equal(under, after)
    assert np.array_equal(after, pcnet_superpixels(IMAGE, 9))


def test_calls_leave_threads_and_settings_as_they_were() -> None:
    before = (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
    pcnet_superpixels(IMAGE, 9)
    assert before == (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
