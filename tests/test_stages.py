"""Stages add up to the time that they cover, by a clock that one can read."""

import threading

import numpy as np
import pytest

from napari_pcnet import pcnet_hierarchy, pcnet_superpixels, stages
from napari_pcnet.stages import STAGES, stage, timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, in its only entry."""
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    return now


def test_an_inner_stage_is_not_counted_in_the_outer_one(clock: list[float]) -> None:
    with timed() as seconds:
        clock[0] = 1
        with stage("table"):
            clock[0] = 3
            with stage("reading"):
                clock[0] = 7
            clock[0] = 15
        clock[0] = 31
    assert seconds == {"table": 2 + 8, "reading": 4}


def test_a_stage_that_fails_ends_there(clock: list[float]) -> None:
    @stage("trunk")
    def fail() -> None:
        clock[0] = 2
        raise MemoryError

    with timed() as seconds:
        with pytest.raises(MemoryError):
            fail()
        clock[0] = 5
        with stage("trunk"):
            clock[0] = 6
    assert seconds == {"trunk": 3}


def test_what_was_before_and_what_other_threads_do_is_not_counted(clock: list[float]) -> None:
    def other() -> None:
        with stage("tree"):
            clock[0] += 1

    other()
    with timed() as seconds:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert (clock, seconds) == ([2.0], {})


def test_a_part_of_a_call_may_be_timed_within_the_whole(clock: list[float]) -> None:
    with timed() as whole:
        with timed() as part, stage("tree"):
            clock[0] = 1
        with stage("tree"):
            clock[0] = 3
    assert (whole, part) == ({"tree": 3}, {"tree": 1})


def test_a_call_goes_through_all_stages_and_its_hierarchy_knows_those_that_made_it() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with timed() as seconds:
        pcnet_superpixels(image, 9, smoothing=1)
    assert set(seconds) == set(STAGES)
    made = set(STAGES) - {"look-up", "smoothing"}
    assert set(pcnet_hierarchy(image, 9).timings) == made
