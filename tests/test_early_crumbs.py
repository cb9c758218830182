"""Crumbs that join their hosts in the tables of windows, and the labels that they leave as they are."""

import tracemalloc
from typing import Any

import dask.array
import numpy as np
import pytest

from napari_pcnet import arguments, pcnet_superpixels, pipeline
from napari_pcnet.geometry.grid import Window, windows_over
from napari_pcnet.merging import connectivity, crumbs, passes, regions
from napari_pcnet.merging.assembly import Assembly
from napari_pcnet.merging.crumbs import Joined
from napari_pcnet.merging.graph import Features, Graph
from napari_pcnet.merging.joining import Rule, join_crumbs
from napari_pcnet.merging.regions import RegionTable
from napari_pcnet.merging.tree import Tree, build, build_using_up
from napari_pcnet.network import inference
from napari_pcnet.options import Options
from napari_pcnet.record import RunRecord
from napari_pcnet.run import run_record
from napari_pcnet.streaming import labels_by_windows

CELL_AREA = 128.0
"""Of which two pixels are a crumb."""

RULE = Rule((1.25, 0.75), CELL_AREA)
SQUARE = Rule((1.0, 1.0), CELL_AREA)

Pixels = np.ndarray


@pytest.fixture(params=["0", "1"], ids=["numpy", "compiled"])
def _each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, request.param)
    assert (passes.compiled() is not None) == (request.param == "1")


def spotted(seed: int) -> Pixels:
    """Blocks of 9 x 7 pixels, with spots of one and two pixels, alone and many together; some is outside."""
    random = np.random.default_rng(seed)
    labels = np.kron(np.arange(30).reshape(5, 6), np.ones((9, 7), int))
    places = random.random(labels.shape) < (0.1, 0.3, 0.5)[seed % 3]
    labels[places] = 100 + random.integers(0, 9, np.count_nonzero(places))
    labels[random.random(labels.shape) < 0.02] = -1
    return labels.astype(np.int32)


def assembled(
    labels: Pixels, window: tuple[int, int], rule: Rule, joins: bool, channels: int = 3
) -> tuple[Pixels, Graph]:
    """Rows in the table of the pieces of pixels, ``(H, W)``, and the graph; windows know the picture."""
    random = np.random.default_rng(1)
    colour = random.integers(0, 3, (*labels.shape, channels)) * 20_000.0
    boundary = (random.integers(0, 3, labels.shape) * 20_000).astype(np.float32)
    width = labels.shape[1]
    pieces = connectivity.find_pieces(labels.copy(), Window(0, 0, *labels.shape), width)
    assembly, ids = Assembly(width, channels, 4, rule if joins else None), np.full(labels.shape, -1)
    cores = windows_over(labels.shape, *window)
    for top in sorted({core.top for core in cores}):
        band = [core for core in cores if core.top == top]
        for core in band:
            read = lambda w: colour[w.slices]  # noqa: E731
            named = pieces.names, pieces.cells, boundary
            part = regions.gather(pieces.ids, core.slices, core, read, *named)
            mine = pieces.ids[core.slices]
            rim = np.concatenate([mine[0], mine[-1], mine[:, 0], mine[:, -1]])
            assembly.add(part, core, pieces.ids[core.bottom : core.bottom + 1].ravel(), rim)
        for core, rows in zip(band, assembly.end_band(), strict=True):
            ids[core.slices] = np.append(rows, -1)[pieces.ids[core.slices]]
    joined, table = assembly.joined(), assembly.table()
    lab = regions.lab_sums(table.area, table.colour) if joined is None else joined.lab.astype(np.int64)
    compared = lab if channels == 3 else table.colour
    features = Features(table.area, compared, lab, table.perimeter(), CELL_AREA, sides=rule.lengths)
    return ids, Graph(features, table.edges, table.lines, joined)


def labels_at(tree: Tree, ids: Pixels, count: int) -> Pixels:
    return np.append(tree.cut(count), -1)[ids]


@pytest.mark.usefixtures("_each_way")
@pytest.mark.parametrize("window", [(20, 22), (11, 42), (45, 9), (45, 42), (3, 5)])
@pytest.mark.parametrize("seed", range(12))
def test_every_cut_without_crumbs_is_that_of_all_pieces(seed: int, window: tuple[int, int]) -> None:
    labels = spotted(seed)
    channels, rule = 3 - seed % 2, SQUARE if seed < 6 else RULE
    all_ids, everything = assembled(labels, window, rule, False, channels)
    ids, graph = assembled(labels, window, rule, True, channels)
    assert graph.lines.shape[1] == 2 * graph.features.perimeter.shape[1] == (2 if seed < 6 else 4)
    assert len(graph.features.area) < len(everything.features.area) or window == (3, 5)
    features = everything.features
    hosts = np.count_nonzero(features.area > 2)
    assert np.count_nonzero(graph.features.area > 2) == hosts
    whole = build(features, everything.edges, everything.lines, Options())
    tree = build_using_up(graph, Options())
    assert tree.roots == whole.roots < hosts
    for count in range(whole.roots, hosts + 1):
        np.testing.assert_array_equal(labels_at(tree, ids, count), labels_at(whole, all_ids, count))
    merges = hosts - whole.roots
    np.testing.assert_array_equal(tree.height[-merges:], whole.height[-merges:])


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_those_of_all_pieces(seed: int) -> None:
    labels = spotted(seed)
    window = (20, 22)
    all_ids, everything = assembled(labels, window, RULE, False)
    ids, graph = assembled(labels, window, RULE, True)
    joined = graph.joined
    assert joined is not None
    assert joined.pieces == len(everything.features.area)
    for region in range(len(graph.features.area)):
        here = all_ids[ids == region]
        assert joined.first[region] == here.min()
        assert joined.own[region] in here
        is_crumb = graph.features.area[region] <= 2
        assert is_crumb or everything.features.area[joined.own[region]] > 2
    assert (graph.features.area[joined.alone] <= 2).all()


def drawn_table(labels: Pixels, core: Window) -> tuple[RegionTable, Pixels]:
    """What a window gathers that knows the picture, and the pieces along the ends of its core."""
    whole = Window(0, 0, *labels.shape)
    pieces = connectivity.find_pieces(labels.copy(), whole, labels.shape[1])
    flat = np.zeros((*labels.shape, 3))  # black, of which CIELAB is 0
    table = regions.gather(
        pieces.ids, core.slices, core, lambda w: flat[w.slices], pieces.names, pieces.cells
    )
    mine = pieces.ids[core.slices]
    return table, np.concatenate([mine[0], mine[-1], mine[:, 0], mine[:, -1]])


def test_a_crumb_in_a_window_joins_there() -> None:
    labels = np.zeros((5, 8), np.int32)
    labels[:, 4:] = 1
    labels[2, 3] = 7  # touches both sides, the left one more
    table, rim = drawn_table(labels, Window(0, 0, 5, 8))
    found = join_crumbs(table, rim, RULE)
    assert found.table.area.tolist() == [19, 20]
    assert found.sums.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.table.edges.tolist() == [[0, 1]]
    assert found.table.lines.tolist() == [[0, 5]]
    assert found.rows.tolist() == [0, 1, 0]
    assert found.alone.tolist() == [False, False]


def test_a_region_begins_with_a_crumb_that_comes_before_it() -> None:
    labels = np.zeros((7, 8), np.int32)
    labels[2:5, 2:6] = 1
    labels[1, 3] = 7  # above, with three sides along what surrounds it
    labels[2, 2] = 8  # two sides along each: it stays with the first of both
    labels[4, 4] = 9  # within
    table, rim = drawn_table(labels, Window(0, 0, 7, 8))
    assert table.names.tolist() == [0, 11, 18, 19, 36]
    found = join_crumbs(table, rim, Rule((1.0, 1.0), CELL_AREA))
    assert found.table.names.tolist() == found.first.tolist() == [0, 19]
    assert found.rows.tolist() == [0, 0, 0, 1, 1]
    found = join_crumbs(table, rim, Rule((1.0, 1.01), CELL_AREA))
    assert found.rows.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("may_go_on", "expected"),
    [([], [1, 2, 3, 5]), ([0], [1, 2, 3, 5]), ([1], [5]), ([2], [5]), ([3], [5]), ([5], [1, 2, 3])],
)
def test_crumbs_wait_with_those_that_may_go_on(may_go_on: list[int], expected: list[int]) -> None:
    area = np.array([9, 1, 2, 1, 9, 2])
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
    found = crumbs.settled(area, edges, np.isin(np.arange(6), may_go_on), CELL_AREA)
    assert np.flatnonzero(found).tolist() == expected


def test_a_tree_takes_less_where_crumbs_have_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, "1")
    side, fixed = 400, 1 << 20

    def made(side: int) -> Graph:
        random, index = np.random.default_rng(0), np.arange(side * side, dtype=np.int32).reshape(side, side)
        ends = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
        edges = np.concatenate([np.stack([u.ravel(), v.ravel()], axis=1) for u, v in ends])
        lab = random.integers(0, 1 << 20, (side * side, 3))
        area = random.integers(9, 90, side * side, np.uint32)
        features = Features(area, lab, lab, np.full((side * side, 1), 90, np.uint32), CELL_AREA)
        number = np.arange(side * side, dtype=np.int32)
        joined = Joined(side * side, number, number, np.empty(0, np.int64), np.empty((0, 3), np.int32))
        return Graph(features, edges, np.full((len(edges), 2), 9, np.uint32), joined)

    build_using_up(made(4), Options())  # compiled before we count
    tracemalloc.start()
    try:
        graph = made(side)
        assert len(graph.edges) > 2.9 * side**2
        tracemalloc.reset_peak()
        build_using_up(graph, Options())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (peak - fixed) / side**2 <= 112


# -- from the picture ------------------------------------------------------------------------------


def striped(shape: tuple[int, int]) -> Pixels:
    y, x = np.indices(shape)
    noise = np.random.default_rng(0).normal(0, 12, (*shape, 3))
    waves = 60 * np.sin(x / 19) + 50 * np.cos(y / 13) + 128
    return np.clip(waves[..., None] + noise, 0, 255).astype(np.uint8)


IMAGE = striped((640, 600))  # it and its disc are too large to be doubled
DISC = (np.indices(IMAGE.shape[:2])[0] - 320) ** 2 + (np.indices(IMAGE.shape[:2])[1] - 300) ** 2 < 295**2


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> list[inference.Base]:
    """Every base that is made."""
    made, segment_base = list[inference.Base](), pipeline.segment_base

    def keeping(*arguments: Any, **named: Any) -> inference.Base:
        made.append(segment_base(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(pipeline, "segment_base", keeping)
    return made


@pytest.mark.parametrize("options", [{}, {"mask": DISC, "start_label": 0}, {"spacing": (2.0, 1.0)}])
def test_labels_written_by_windows_are_those_of_all_pieces(
    options: dict[str, Any], bases: list[inference.Base]
) -> None:
    out = np.empty(IMAGE.shape[:2], np.int32)
    pcnet_superpixels(IMAGE, 12, window=256, out=out, **options)
    (base,) = bases
    assert base.joined is not None
    assert len(base.regions) < 0.9 * base.pieces
    np.testing.assert_array_equal(out, pcnet_superpixels(IMAGE, 12, **options))


def test_so_are_those_at_a_height(bases: list[inference.Base]) -> None:
    record = RunRecord(12, height=1e6, window=256)
    options = Options.checked({**vars(record), "n_segments": record.tree_segments})
    plane = arguments.picture(IMAGE, None, -1)
    out = np.empty(IMAGE.shape[:2], np.int32)
    with labels_by_windows(plane, options, cut=record.cut) as windows:
        for window, labels in windows:
            out[window.slices] = labels
    assert bases[0].joined is not None
    expected = run_record(IMAGE, record)
    assert 1 < expected.max() < 400
    np.testing.assert_array_equal(out, expected)


def test_where_crumbs_are_asked_for_the_work_begins_again(
    monkeypatch: pytest.MonkeyPatch, bases: list[inference.Base]
) -> None:
    monkeypatch.setattr(pipeline, "CELLS_FOR_EACH", 0)
    number = 40
    monkeypatch.setattr(inference.Base, "gives", lambda self, most: self.joined is None)
    out = np.empty(IMAGE.shape[:2], np.int32)
    pcnet_superpixels(IMAGE, number, window=256, out=out)
    assert [base.joined is None for base in bases] == [False, True]
    np.testing.assert_array_equal(out, pcnet_superpixels(IMAGE, number))


def test_of_a_dask_array_crumbs_join_before_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rules, init = list[Rule | None](), Assembly.__init__

    def noting(self: Assembly, width: int, channels: int, lines: int, rule: Rule | None = None) -> None:
        rules.append(rule)
        init(self, width, channels, lines, rule)

    monkeypatch.setattr(Assembly, "__init__", noting)
    image = dask.array.from_array(IMAGE, chunks=(100, 120, 3))
    found = pcnet_superpixels(image, 12, channel_axis=-1, window=256).compute(scheduler="sync")
    assert len(rules) == 1
    assert rules[0] is not None
    np.testing.assert_array_equal(found, pcnet_superpixels(IMAGE, 12))
