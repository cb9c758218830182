"""Tasks in several processes."""

import os
import re
import signal

import pytest

from napari_pcnet.evaluation.workers import results_of


def twice(task):
    yield task
    yield 10 * task


def die(task):
    os.kill(os.getpid(), signal.SIGKILL)
    yield task


@pytest.mark.parametrize("workers", [1, 2])
def test_the_results_of_a_task_follow_each_other(workers):
    results = list(results_of(twice, [1, 2, 3], workers))
    assert sorted(results) == [1, 2, 3, 10, 20, 30]
    assert all(results[k + 1] == 10 * results[k] for k in (0, 2, 4))


def test_a_process_that_is_killed_is_one_sentence():
    message = (
        "a process was killed, as when memory runs out; ask for fewer workers: the same command goes on "
        "from here"
    )
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        list(results_of(die, [1, 2], 2))


def test_an_interrupt_loses_no_result_that_is_there():
    results = results_of(twice, [1, 2, 3, 4], 2)
    got = [next(results), next(results)]

    def rest():
        yield results.throw(KeyboardInterrupt)
        yield from results

    with pytest.raises(KeyboardInterrupt):
        got.extend(rest())
    assert set(got) <= {1, 2, 3, 4, 10, 20, 30, 40}
    assert len(set(got)) == len(got)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
