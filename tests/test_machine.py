"""Threads in processes that fork, and the words for memory that ran out."""

import ast
import os
import subprocess
import sys

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
