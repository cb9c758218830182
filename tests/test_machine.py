"""Threads in processes that fork, and the words for memory that ran out."""

import ast
import os
import subprocess
import sys

import pytest
import torch

from napari_pcnet.merging.passes import SWITCH
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
import multiprocessing, resource, sys, warnings
import numpy as np
from napari_pcnet import pcnet_superpixels
from napari_pcnet.network.inference import SmallerWindowsWarning

def addresses(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) << 10

def run(share, whole):
    before = addresses("VmSize")
    if share:
        limit = before + int(share * whole)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        labels = pcnet_superpixels(image, 50, window=4096)
    return labels, addresses("VmPeak") - before, [each.category is SmallerWindowsWarning for each in told]

blocks = np.random.default_rng(0).integers(0, 255, (128, 128), np.uint8)
image = blocks.repeat(16, 0).repeat(16, 1)
pcnet_superpixels(image[:64, :64], 5)  # loads what a call loads
with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
    whole, peak, told = pool.apply(run, (0, 0))
    print(told)
    limited, _, told = pool.apply(run, (0.8, peak))  # where the whole in one window would fail
    print(told)
print(int(whole.max()), np.array_equal(limited, whole))
"""
"""A picture in one window, and then with a share of the addresses that this has taken, by a fork each."""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory so")
def test_under_a_real_limit_windows_are_halved_and_the_labels_are_the_same() -> None:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",  # each other one has a stack of its own
        SWITCH: "0",
    }
    words = [sys.executable, "-c", LIMITED]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    whole, limited, same = done.stdout.splitlines()
    assert (ast.literal_eval(whole), same) == ([], "50 True")
    told = ast.literal_eval(limited)
    assert told and all(told)


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
