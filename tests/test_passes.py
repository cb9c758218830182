"""Compiled passes give the very answers of those in numpy."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import connectivity, passes, regions

SEEDS = range(40)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    yield
    passes.compiled.cache_clear()


def answers(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[Any, Any]:
    """What a call gives in numpy, and compiled."""
    monkeypatch.setenv(passes.SWITCH, "0")
    passes.compiled.cache_clear()
    plain = call()
    monkeypatch.delenv(passes.SWITCH)
    passes.compiled.cache_clear()
    assert passes.compiled() is not None
    return plain, call()


def assert_same(plain: Any, fast: Any) -> None:
    for one, other in zip(plain, fast, strict=True):
        assert one.dtype == other.dtype
        assert_array_equal(other, one)


def drawn(random: np.random.Generator) -> np.ndarray:
    """Blocks and noise of a few values, some of it outside."""
    sides = random.integers(1, 40, 2)
    raw = random.integers(-1, random.integers(1, 6), sides).astype(np.int32)
    factor = int(random.integers(1, 4))
    return np.repeat(np.repeat(raw, factor, 0), factor, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_are_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = drawn(np.random.default_rng(seed))
    window = Window(3, 5, 3 + raw.shape[0], 5 + raw.shape[1])
    assert_same(*answers(monkeypatch, lambda: connectivity.find_pieces(raw.copy(), window, 200)))


def test_a_piece_of_many_arms_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    comb = np.zeros((40, 2050), np.int32)
    comb[:-1, 1::2] = 1  # more provisional numbers than the first table holds, all but one joined at the end
    window = Window(0, 0, *comb.shape)
    plain, fast = answers(monkeypatch, lambda: connectivity.find_pieces(comb.copy(), window, 2050))
    assert_same(plain, fast)
    assert len(fast.names) == 1026


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_of_a_window_are_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    raw = drawn(random)
    pieces = connectivity.find_pieces(raw.copy(), Window(0, 0, *raw.shape), raw.shape[1])
    top, left = (int(random.integers(0, side)) for side in raw.shape)
    bottom, right = (
        int(random.integers(first + 1, side + 1)) for first, side in zip((top, left), raw.shape, strict=True)
    )
    core = Window(top, left, bottom, right)
    pixels = random.integers(0, 65536, (*raw.shape, int(random.integers(1, 5)))).astype(np.float64)
    boundary = random.integers(0, 65536, raw.shape).astype(np.float32) if seed % 2 else None

    def table() -> tuple[np.ndarray, ...]:
        found = regions.gather(
            pieces.ids, core.slices, core, lambda w: pixels[w.slices], pieces.names, pieces.cells, boundary
        )
        return tuple(vars(found).values())

    assert_same(*answers(monkeypatch, table))


def test_a_look_up_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).integers(-1, 9, (70, 50)).astype(np.int32)
    table = np.arange(100, 110, dtype=np.int64)
    assert_same(*answers(monkeypatch, lambda: (regions.look_up(table, ids),)))
    assert_same(*answers(monkeypatch, lambda: (regions.look_up(table[::2], ids.clip(-1, 3).T),)))


def test_without_numba_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "napari_pcnet.merging.compiled", None)
    passes.compiled.cache_clear()
    assert passes.compiled() is None
    ids = connectivity.find_pieces(np.array([[5, 5, 7]], np.int32), Window(0, 0, 1, 3), 3).ids
    assert ids.tolist() == [[0, 0, 1]]
