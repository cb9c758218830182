"""What a run would cost, in words, and which level of a pyramid it leads to."""

from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import psutil
import pytest
from napari.layers import Image
from numpy.typing import NDArray

from napari_pcnet.geometry.estimate import Estimate, estimate
from napari_pcnet.geometry.grid import Fineness
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.options import Options
from napari_pcnet.pipeline import load_prepared
from napari_pcnet.plugin import cost, machine
from napari_pcnet.plugin.cost import Cost, cost_of, finest_that_fits, outlook, why_this_level
from napari_pcnet.plugin.jobs import Job
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.source import Source


def _source(lazy: bool = False) -> Source:
    pixels = np.zeros((200, 300, 3), np.uint16)
    return Source(Image(da.from_array(pixels) if lazy else pixels, rgb=True), 0, 2)


def test_pixels_that_are_not_in_memory_yet_count() -> None:
    expected = estimate((200, 300), 50)
    assert cost_of(_source(), RegionOfInterest(), 50) == Cost(expected, 0)
    read = cost_of(_source(lazy=True), RegionOfInterest(), 50)
    assert read == Cost(expected, 200 * 300 * 3 * 2)
    assert read.total_bytes == expected.memory_bytes + 360_000


def test_what_is_written_window_by_window_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    source, region = _source(lazy=True), RegionOfInterest()
    assert cost_of(source, region, 50, held=False) == Cost(estimate((200, 300), 50, held=False), 360_000)
    monkeypatch.setattr(cost, "KEPT_BYTES", 100_000)
    assert cost_of(source, region, 50, held=False).read_bytes == 100_000
    assert cost_of(source, region, 50).read_bytes == 360_000


def test_the_network_reads_a_halo_around_each_window() -> None:
    pixels = np.broadcast_to(np.uint8(7), (4000, 4000))
    source, halo = Source(Image(pixels, contrast_limits=(0, 255))), Halo(320, 256)
    found = cost_of(source, RegionOfInterest(), 50, halo)
    assert found == Cost(estimate((4000, 4000), 50, halo=halo), 0)
    finer = Fineness((16, 4), (4, 4))
    assert cost_of(source, RegionOfInterest(), 40_000, fineness=finer).expected.work_px == 4032**2
    assert cost_of(source, RegionOfInterest(), 40_000).expected.work_px == (3 * 4000 + 32) ** 2
    assert found.total_bytes > cost_of(source, RegionOfInterest(), 50).total_bytes


def test_the_finest_level_within_the_allowed_memory_is_taken_and_else_the_last() -> None:
    levels = [_source(), _source(), _source()]
    needs = dict(zip(map(id, levels), (900, 500, 300), strict=True))

    def needed(level: Source) -> Cost:
        return Cost(Estimate(1, needs[id(level)]), 0)

    for allowed, k in ((900, 0), (899, 1), (500, 1), (499, 2), (100, 2)):
        assert finest_that_fits(levels, needed, allowed) is levels[k]
    assert finest_that_fits(levels, lambda level: None, 0) is levels[0]


def test_an_outlook_names_count_size_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Cost(Estimate(work_px=4_000_000, memory_bytes=250_000_000), 50_000_000)
    free = SimpleNamespace(available=300_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert outlook(1200, 1, (200, 300), expected, 2e6) == (
        "1,200 superpixels of 200 x 300 pixels, about 2 s and 300 MB of memory."
    )
    free.available -= 1_000_000
    assert outlook(1200, 6, (200, 300), expected, 2e6) == (
        "1,200 superpixels in each of 6 planes of 200 x 300 pixels, about 12 s and 300 MB of memory. "
        "Only 299 MB are free: choose a smaller region or a coarser level."
    )


def test_a_coarser_level_is_explained_by_what_the_finer_would_need() -> None:
    assert why_this_level(0, None, 1e9) == "Full resolution."
    assert why_this_level(2, Cost(Estimate(1, 1_500_000_000), 500_000_000), 1e9) == (
        "Level 2, because level 1 would need 2.0 GB and 1.0 GB may be taken; for full resolution choose the "
        "current view."
    )


def test_the_speed_of_the_machine_is_in_the_pixels_that_costs_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    timed: list[int] = []
    fineness = load_prepared(Options(device="cpu")).fineness

    def superpixels(image: NDArray[np.uint8], n_segments: int, **_: object) -> None:
        rows, columns = image.shape
        timed.append(estimate((rows, columns), n_segments, fineness=fineness).work_px)
        clock[0] += 8.0

    monkeypatch.setattr("napari_pcnet.superpixels.pcnet_superpixels", superpixels)
    monkeypatch.setattr(machine, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(machine, "CALIBRATION_COUNT", 2000)  # so many that the picture is enlarged
    found = machine.measure_machine(Job(lambda _: None), "cpu")
    assert timed[-1] > machine.CALIBRATION_PX**2
    assert found.work_px_per_s == timed[-1] / 8.0
    again = Estimate(work_px=timed[-1], memory_bytes=0)
    assert again.seconds(found.work_px_per_s) == 8.0
