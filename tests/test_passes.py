"""Compiled passes give the very answers of those in numpy."""

import importlib.abc
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_pcnet  # its functions where they are called: what processes of `HASHED` run needs no torch
from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import compiled_rounds, connectivity, outlines, passes, regions
from napari_pcnet.merging.cost import EDGE_FEATURES, MergeClassifier
from napari_pcnet.merging.exact import LAB_STEPS
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.merging.tree import Tree, build, build_using_up
from napari_pcnet.options import Options

SEEDS = range(40)


def answers(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> tuple[Any, Any]:
    """What a call gives in numpy, and compiled."""
    monkeypatch.setenv(passes.SWITCH, "0")
    plain = call()
    monkeypatch.setenv(passes.SWITCH, "1")
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


def graph(random: np.random.Generator, side: int, channels: int) -> tuple[Features, np.ndarray, np.ndarray]:
    """A lattice of regions of chance sizes and colours, some of them alike."""
    index = np.arange(side * side).reshape(side, side)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
    edges = np.concatenate([np.stack([u.ravel(), v.ravel()], axis=1) for u, v in pairs])
    edges = edges[random.random(len(edges)) < 0.9]  # parts that do not touch, too
    lines = random.integers(1, 20, (len(edges), 4))
    lines[:, 2:] *= 3000
    number = side * side
    area = random.integers(1, 900, number)
    lab = random.integers(0, 4, (number, 3)) * (20 * LAB_STEPS) * area[:, None]
    colour = lab if channels == 3 else random.integers(0, 65536, (number, channels)) * area[:, None]
    unit = 1 / LAB_STEPS if channels == 3 else 1e-3
    perimeter = random.integers(40, 90, (number, 2)) * 10
    return Features(area, colour, lab, perimeter, 200.0, unit, (1.25, 0.8)), edges, lines


def classifier(random: np.random.Generator) -> MergeClassifier:
    sizes = (EDGE_FEATURES, 9, 6, 1)
    layers = [(random.normal(size=(o, i)), random.normal(size=o)) for i, o in pairwise(sizes)]
    return MergeClassifier(tuple(layers), 0.1)


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("with_classifier", [False, True])
@pytest.mark.parametrize("side", [1, 2, 30])
def test_trees_are_the_same(
    channels: int, with_classifier: bool, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(side)
    features, edges, lines = graph(random, side, channels)
    network = classifier(random) if with_classifier else None
    plain, fast = answers(
        monkeypatch, lambda: build(features, edges, lines, Options(compactness=7.0), network)
    )
    assert_same((plain.children, plain.height), (fast.children, fast.height))
    assert len(plain.children) > 0 or side == 1


def test_borders_that_outgrow_32_bits_are_summed_up_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    features, edges, lines = graph(random, 30, 3)
    for factor in (15_000, 4, 125):  # below `NARROW` at first, above it, above 2**32
        lines[:, 2:] *= factor
        plain, fast = answers(monkeypatch, lambda: build(features, edges, lines, Options()))
        assert_same((plain.children, plain.height), (fast.children, fast.height))
    lines[:, 2:] //= 500
    assert compiled_rounds.NARROW // 2 < lines.max() <= compiled_rounds.NARROW
    expected = build(features, edges, lines, Options())
    monkeypatch.setattr(compiled_rounds, "NARROW", 2**62)  # what the limit is for
    wrapped = build(features, edges, lines, Options())
    assert not np.array_equal(wrapped.height, expected.height)


def narrow(features: Features, edges: np.ndarray, lines: np.ndarray) -> Graph:
    """The same in the types that compiled passes keep, each array one's own."""
    sums = features.colour.copy()
    kept = replace(features, colour=sums, lab=sums, perimeter=features.perimeter.astype(np.uint32))
    return Graph(kept, edges.astype(np.int32), lines.astype(np.uint32))


def held(graph: Graph) -> list[np.ndarray]:
    features = graph.features
    return [features.colour, features.perimeter, graph.edges, graph.lines, features.area]


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_graph_that_is_used_up_gives_the_same_tree(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, switch)
    graph_of_30 = narrow(*graph(np.random.default_rng(3), 30, 3))
    before = [each.copy() for each in held(graph_of_30)]
    expected = build(graph_of_30.features, graph_of_30.edges, graph_of_30.lines, Options())
    for array, copy in zip(held(graph_of_30), before, strict=True):
        assert_array_equal(array, copy)
    area = graph_of_30.features.area
    found = build_using_up(graph_of_30, Options())
    assert_same((found.children, found.height), (expected.children, expected.height))
    assert_array_equal(area, before[-1])  # areas are for others to read


def test_a_graph_that_is_used_up_has_its_areas_used_up_where_they_are_narrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_of = graph(np.random.default_rng(3), 30, 3)
    expected = build(*made_of, Options())

    def used_up() -> Tree:
        graph_of_30 = narrow(*made_of)
        area = graph_of_30.features.area.astype(np.uint32)
        graph_of_30.features = replace(graph_of_30.features, area=area)
        return build_using_up(graph_of_30, Options())

    for found in answers(monkeypatch, used_up):
        assert_same((found.children, found.height), (expected.children, expected.height))


@pytest.mark.parametrize("factor", [1, 60_000])  # lines of 32 bits, and beyond `NARROW`
@pytest.mark.parametrize("part", [1, 7, 64])
def test_a_tree_does_not_depend_on_the_threads(
    part: int, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    made_of = graph(np.random.default_rng(3), 30, 3)
    made_of[2][:, 2:] *= factor
    assert (made_of[2].max() > compiled_rounds.NARROW) == (factor > 1)
    learnt = classifier(np.random.default_rng(4))
    expected = build(*made_of, Options(), learnt)
    monkeypatch.setattr(compiled_rounds, "PART", part)
    found = build_using_up(narrow(*made_of), Options(), learnt, threads=3)
    assert_same((found.children, found.height), (expected.children, expected.height))


def test_threads_share_the_regions_and_no_pair_inside_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_rounds, "PART", 4)
    ends = np.array([[0, 1], [-1, -1], [-1, -1], [3, 4], [1, 5], [-1, -1]])
    with ThreadPoolExecutor(3) as pool:
        shares = compiled_rounds._Threads(3, pool).over_regions(
            lambda low, high: list(range(low, high)),
            SimpleNamespace(ends=ends),
            len(ends),
            SimpleNamespace(node=np.arange(6)),
        )
    assert len(shares) == 3
    assert list(chain.from_iterable(shares)) == list(range(6))


def test_pairs_that_are_done_with_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    made_of, room = graph(np.random.default_rng(3), 30, 3), list[int]()
    expected = build(*made_of, Options())
    after_merges = compiled_rounds._after_merges

    def watched(*arguments: Any) -> Any:
        pairs, left = after_merges(*arguments)
        room.append(len(pairs.ends))
        return pairs, left

    monkeypatch.setattr(compiled_rounds, "_after_merges", watched)
    monkeypatch.setattr(compiled_rounds, "PART", 100)
    found = build_using_up(narrow(*made_of), Options())
    assert_same((found.children, found.height), (expected.children, expected.height))
    assert 0 < room[-1] <= 100 < room[0] < len(made_of[1])


def test_a_tree_takes_at_most_150_bytes_a_region_with_what_it_is_made_of_for_any_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    monkeypatch.setattr(compiled_rounds, "PART", 1 << 14)
    build_using_up(narrow(*graph(np.random.default_rng(0), 4, 3)), Options())  # compiled before we count
    side, fixed, peaks = 400, 1 << 20, list[int]()
    for threads in (1, 3):
        tracemalloc.start()
        try:
            made_of = narrow(*graph(np.random.default_rng(0), side, 3))
            assert len(made_of.edges) > 2.6 * side**2
            tracemalloc.reset_peak()
            build_using_up(made_of, Options(), threads=threads)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[0] - fixed) / side**2 <= 150
    assert peaks[1] < 1.05 * peaks[0]


def test_uniform_regions_are_told_apart_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    features, edges, lines = graph(np.random.default_rng(0), 20, 3)
    even = replace(
        features,
        area=np.full_like(features.area, 9),
        colour=features.colour * 0,
        lab=features.lab * 0,
        perimeter=np.full_like(features.perimeter, 60),
    )
    lines = np.tile([3, 3, 0, 0], (len(lines), 1))
    plain, fast = answers(monkeypatch, lambda: build(even, edges, lines, Options()))
    assert_same((plain.children, plain.height), (fast.children, fast.height))


@pytest.mark.parametrize("seed", range(10))
def test_pixels_move_to_their_goals_in_the_same_way(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = drawn(np.random.default_rng(seed)) + 1
    assert_same(*answers(monkeypatch, lambda: (outlines.smoothed(torn, 2.0, (1.0, 2.0)),)))
    goal = np.random.default_rng(seed).permutation(torn.ravel()).reshape(torn.shape)
    assert_same(*answers(monkeypatch, lambda: (outlines._moved(torn, goal),)))


HASHED = """
import hashlib, sys
sys.path.insert(0, {folder!r})
import numpy as np
from test_passes import classifier, graph
from napari_pcnet.merging import passes
from napari_pcnet.merging.tree import build
from napari_pcnet.options import Options
random = np.random.default_rng(5)
tree = build(*graph(random, 40, 5), Options(), classifier(random))
whole = tree.children.tobytes() + tree.height.tobytes()
print(hashlib.sha256(whole).hexdigest(), passes.compiled() is not None)
"""

SETTINGS: dict[str, dict[str, str]] = {
    "compiled": {passes.SWITCH: "1"},
    "in numpy": {passes.SWITCH: "0"},
    "two threads": {passes.SWITCH: "0", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "an older processor, another BLAS": {
        passes.SWITCH: "0",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
        "OPENBLAS_CORETYPE": "NEHALEM",
    },
    "compiled for an older processor": {
        passes.SWITCH: "1",
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "",
    },
}


def test_a_tree_is_the_same_on_every_processor_and_for_any_threads(tmp_path: Path) -> None:
    hashes = {}
    command = [sys.executable, "-W", "ignore", "-c", HASHED.format(folder=str(Path(__file__).parent))]
    for name, setting in SETTINGS.items():
        if "NUMBA_CPU_NAME" in setting:
            setting = {**setting, "NUMBA_CACHE_DIR": str(tmp_path)}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **setting}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        hashes[name], is_compiled = run.stdout.split()
        assert (is_compiled == "True") is (setting[passes.SWITCH] == "1")
    assert len(set(hashes.values())) == 1, hashes


def test_a_function_is_compiled_once_whatever_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (150, 200, 3)).astype(np.uint8)
    mask = np.zeros((150, 200), bool)
    mask[10:120, 20:] = True
    calls: list[dict[str, Any]] = [
        {"image": image, "mask": mask, "smoothing": 2.0},
        {"image": random.random((150, 200, 5)), "channel_axis": -1, "window": 192},
        {"image": image[..., 0], "method": "lattice", "precision": "float64"},
        {"image": image, "model": "pcnet-faithful-bsds500-v1"},
    ]
    for call in calls:
        napari_pcnet.pcnet_superpixels(n_segments=40, **call)
    fast = passes.compiled()
    assert fast is not None
    compiled = {name: each.signatures for name, each in vars(fast).items() if hasattr(each, "signatures")}
    assert {name: len(types) for name, types in compiled.items()} == dict.fromkeys(compiled, 1)
    assert len(compiled) > 5


def test_without_numba_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    monkeypatch.setitem(sys.modules, "napari_pcnet.merging.compiled", None)
    monkeypatch.setattr(passes, "_loaded", passes._loaded.__wrapped__)  # others keep what they have loaded
    assert passes.compiled() is None
    ids = connectivity.find_pieces(np.array([[5, 5, 7]], np.int32), Window(0, 0, 1, 3), 3).ids
    assert ids.tolist() == [[0, 0, 1]]


class NoRoom(importlib.abc.MetaPathFinder):
    """Answers to the import of compiled passes as llvmlite does where its library can't be mapped."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "napari_pcnet.merging.compiled":
            raise OSError("Could not find/load shared object file:\n  cannot allocate memory")


def test_where_numba_has_no_room_numpy_does_it_and_a_warning_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    monkeypatch.delitem(sys.modules, "napari_pcnet.merging.compiled", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoRoom(), *sys.meta_path])
    monkeypatch.setattr(passes, "_loaded", cache(passes._loaded.__wrapped__))
    message = (
        "numba cannot be loaded (Could not find/load shared object file: cannot allocate memory): "
        "numpy does its work, more slowly"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
        assert [passes.compiled() for _ in range(3)] == [None] * 3
    assert len(caught) == 1


def test_a_process_begins_with_numpy_and_compiles_when_it_labels_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(passes.SWITCH, raising=False)
    monkeypatch.setattr(passes._Work, "pixels", passes.WORTH_PX - 3)
    assert passes.compiled() is None
    connectivity.find_pieces(np.array([[5, 5, 7]], np.int32), Window(0, 0, 1, 3), 3)
    assert passes.compiled() is not None
    monkeypatch.setattr(passes._Work, "pixels", passes.WORTH_PX - 2 * passes.REGION_PX)
    build(*graph(np.random.default_rng(0), 1, 3), Options())
    assert passes.compiled() is None
    build(*graph(np.random.default_rng(0), 2, 3), Options())
    assert passes.compiled() is not None


LOOKED_UP = """
import numpy as np
from napari_pcnet.merging import compiled, regions
print(compiled.look_up.py_func.__code__.co_filename)
print(regions.look_up(np.array([5, 6], np.int32), np.array([[0, 1, -1]], np.int32)).tolist())
print(compiled.look_up.nopython_signatures != [])
"""


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path: Path) -> None:
    installed = Path(passes.__file__).parents[1]
    copy = tmp_path / "napari_pcnet"
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns("__pycache__", "weights_data"))
    (copy / "merging" / "__pycache__").touch()  # no folder, nor can one be made
    nowhere = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "LOCALAPPDATA": os.devnull}
    environment = {**os.environ, **nowhere, passes.SWITCH: "1", "PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-B", "-W", "error", "-c", LOOKED_UP]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [str(copy / "merging" / "compiled_pixels.py"), "[[5, 6, 6]]", "True"]
    assert run.stderr == ""


SMALL = """
from numba import njit

@njit(cache=True)
def more(number):
    return number + 1

@njit(cache=True)
def twice(number):
    return more(number) + more(number)
"""


def _small(folder: Path) -> Any:
    """A fresh module of two compiled functions, as another process would load it."""
    (folder / "small.py").write_text(SMALL)
    spec = importlib.util.spec_from_file_location("small", folder / "small.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    passes.surviving_its_cache(module)
    return module


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"not a pickle", None], ids=["empty", "other", "half"])
def test_what_numba_keeps_may_be_damaged(tmp_path: Path, ending: str, content: bytes | None) -> None:
    assert _small(tmp_path).twice(3) == 8
    files = sorted((tmp_path / "__pycache__").glob(f"*.{ending}"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    assert _small(tmp_path).twice(3) == 8
    mended = _small(tmp_path)
    assert mended.twice(3) == 8
    assert sum(mended.twice.stats.cache_hits.values()) == 1


def test_where_numba_can_keep_nothing_any_more_one_warning_says_so(tmp_path: Path) -> None:
    small = _small(tmp_path)
    kept = tmp_path / "__pycache__"
    shutil.rmtree(kept)
    kept.touch()
    message = (
        f"numba cannot keep what it compiles in {kept} (File exists): each process compiles it again; "
        "make room there, or name another folder by NUMBA_CACHE_DIR"
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$") as caught:
        assert small.twice(3) == 8
    assert len(caught) == 1


def test_the_passes_are_kept_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setenv(passes.SWITCH, "1")
    monkeypatch.setattr(passes, "surviving_its_cache", seen.append)
    monkeypatch.setattr(passes, "_loaded", passes._loaded.__wrapped__)
    fast = passes.compiled()
    assert fast is not None
    assert seen == [fast]
    assert hasattr(fast.look_up, "_cache")
