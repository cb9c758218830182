"""Threads in processes that fork, and the words for memory that ran out."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_pcnet.network.machine import is_out_of_memory

FORKED = """
import multiprocessing, warnings
import numpy as np
import torch
from napari_pcnet import pcnet_superpixels

warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: a fork may hang
torch.set_num_threads(2)
image = np.random.default_rng(0).integers(0, 255, (200, 220, 3), np.uint8)

def segment(height):
    return int(pcnet_superpixels(image[:height], 20).max()), torch.get_num_threads()

print([segment(200)])
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(segment, [190, 180]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_processes_that_fork_after_a_call_can_segment_too() -> None:
    words = [sys.executable, "-c", FORKED]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)  # it would hang
    first, forked = map(ast.literal_eval, done.stdout.splitlines())
    assert first == [(20, 2)]
    assert forked == [(20, 1), (20, 1)]


LIMITED = """
import resource, sys, warnings
import numpy as np
from napari_pcnet import pcnet_superpixels
from napari_pcnet.network.inference import SmallerWindowsWarning

def addresses(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) << 10

blocks = np.random.default_rng(0).integers(0, 255, (192, 192), np.uint8)
image = blocks.repeat(16, 0).repeat(16, 1)
pcnet_superpixels(image[:64, :64], 5)  # loads what a call loads
before = addresses("VmSize")
if share := float(sys.argv[1]):
    limit = before + int(share * int(sys.argv[2]))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    labels = pcnet_superpixels(image, 50, window=4096)
np.save(sys.argv[3], labels)
print([addresses("VmPeak") - before, [each.category is SmallerWindowsWarning for each in told]])
"""
"""A run in one window, which may take only a share of so many bytes more than the process has."""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory so")
def test_under_a_real_limit_windows_are_halved_and_the_labels_are_the_same(tmp_path: Path) -> None:
    def run(share: float, whole: int, name: str) -> tuple[int, list[bool]]:
        words = [sys.executable, "-c", LIMITED, str(share), str(whole), str(tmp_path / name)]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # each other one has a stack of its own
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=one_thread)
        peak, told = ast.literal_eval(done.stdout)
        return peak, told

    whole, told = run(0, 0, "whole.npy")
    assert told == []
    _, told = run(0.9, whole, "limited.npy")  # beyond the limit it would have failed
    assert told and all(told)
    np.testing.assert_array_equal(np.load(tmp_path / "limited.npy"), np.load(tmp_path / "whole.npy"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory"),
        RuntimeError("could not create a primitive"),
        RuntimeError("unable to mmap 9437184 bytes from file <w>: Cannot allocate memory (12)"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
        OSError("Cannot allocate memory (os error 12)"),
    ],
)
def test_what_says_that_memory_ran_out_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "words", ["could not create a primitive descriptor for a convolution", "mat1 and mat2 shapes differ", ""]
)
def test_other_errors_are_others(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))
