"""Tasks in several processes."""

import re
import signal

import pytest

from napari_pcnet.evaluation.workers import Workers

# What is sent to another process must be found there, where this file is not: functions of Python's own.


@pytest.mark.parametrize("workers", [1, 2])
def test_the_results_of_a_task_follow_each_other(workers):
    with Workers(workers) as several:
        results = list(several.results_of(enumerate, ["abc", "def", "ghi"]))
    assert sorted(results) == sorted(each for task in ("abc", "def", "ghi") for each in enumerate(task))
    assert [number for number, _ in results] == [0, 1, 2] * 3


def test_a_process_that_is_killed_is_one_sentence():
    message = (
        "a process was killed, as when memory runs out; ask for fewer workers: the same command goes on "
        "from here"
    )
    with Workers(2) as workers, pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        list(workers.results_of(signal.raise_signal, [signal.SIGKILL, signal.SIGKILL]))


def test_an_interrupt_loses_no_result_that_is_there():
    handler = signal.getsignal(signal.SIGINT)
    workers = Workers(2)
    results = workers.results_of(enumerate, ["ab", "cd", "ef", "gh"])
    got = [next(results), next(results)]

    def rest():
        yield results.throw(KeyboardInterrupt)
        yield from results

    with pytest.raises(KeyboardInterrupt):
        got.extend(rest())
    assert set(got) <= {(k % 2, letter) for k, letter in enumerate("abcdefgh")}
    assert len(set(got)) == len(got)
    assert signal.getsignal(signal.SIGINT) is handler


def test_processes_stay_for_the_next_tasks():
    tasks = ["[__import__('os').getpid()]"] * 2
    with Workers(2) as workers:
        processes = {each for _ in range(3) for each in workers.results_of(eval, tasks)}
    assert len(processes) <= 2


def test_processes_share_the_cores_that_this_one_may_run_on(monkeypatch):
    monkeypatch.setattr("napari_pcnet.evaluation.workers.usable_cores", lambda: 7)
    with Workers(2) as workers:
        tasks = ["[__import__('os').environ['OMP_NUM_THREADS']]"] * 2
        assert list(workers.results_of(eval, tasks)) == ["3", "3"]
