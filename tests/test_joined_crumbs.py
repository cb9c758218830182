"""Crumbs join a neighbour before anything is merged."""

from collections import Counter

import numpy as np
import pytest

from napari_pcnet.geometry.grid import Window
from napari_pcnet.merging import compiled_rounds, connectivity, crumbs, passes, regions
from napari_pcnet.merging.cost import Round
from napari_pcnet.merging.graph import Features
from napari_pcnet.merging.tree import build
from napari_pcnet.options import Options

CELL_AREA = 128.0
"""Of which two pixels are a crumb."""

SIDES = (1.25, 0.75)


@pytest.fixture(params=["0", "1"], ids=["numpy", "compiled"])
def _each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(passes.SWITCH, request.param)
    assert (passes.compiled() is not None) == (request.param == "1")


def graph_of(labels: np.ndarray, lab: np.ndarray) -> tuple[Features, np.ndarray, np.ndarray, np.ndarray]:
    """Features, edges and lines of the pieces of an image, and the piece of each pixel."""
    window = Window(0, 0, *labels.shape)
    pieces = connectivity.find_pieces(labels.astype(np.int32), window, labels.shape[1])
    noise = np.random.default_rng(0).integers(0, 65536, labels.shape).astype(np.float32)
    table = regions.gather(
        pieces.ids, window.slices, window, lambda w: lab[w.slices], pieces.names, pieces.cells, noise
    )
    features = Features(table.area, table.colour, table.colour, table.perimeter(), CELL_AREA, sides=SIDES)
    return features, table.edges, table.lines, pieces.ids


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 9 x 7 pixels with spots of one and two pixels, and their colours in whole steps."""
    random = np.random.default_rng(seed)
    labels = np.kron(np.arange(30).reshape(5, 6), np.ones((9, 7), int))
    for _ in range(40):
        y, x, down = random.integers(0, 44), random.integers(0, 41), random.integers(0, 2)
        labels[y : y + 1 + down, x : x + 2 - down] = 100 + random.integers(0, 9)
    labels[0, 0] = 99  # comes before the region that it joins
    return labels, random.integers(0, 65536, (*labels.shape, 3)).astype(np.float64)


class Recorder:
    """An observer of the rounds of merging."""

    def __init__(self) -> None:
        self.rounds = list[Round]()
        self.targets = list[list[int]]()

    def before(self, here: Round) -> None:
        self.rounds.append(here)

    def after(self, target: np.ndarray) -> None:
        self.targets.append(target.tolist())


@pytest.mark.parametrize("seed", range(6))
def test_after_them_regions_are_as_if_crumbs_had_been_part_of_their_hosts(seed: int) -> None:
    labels, lab = drawn(seed)
    features, edges, lines, ids = graph_of(labels, lab)
    host = crumbs.find_hosts(features.area, edges, lines, SIDES, CELL_AREA)
    joining = crumbs.by_size(features.area, host)
    assert len(joining) > 10
    whole = np.arange(len(host), dtype=np.int32)
    whole[joining] = host[joining]
    found, expected = Recorder(), Recorder()
    build(features, edges, lines, Options(), observer=found)
    build(*graph_of(whole[ids], lab)[:3], Options(), observer=expected)
    for name, value in vars(expected.rounds[0]).items():
        np.testing.assert_array_equal(getattr(found.rounds[0], name), value, err_msg=name)
    assert [found.targets[0][k] for k in joining] == [found.targets[0][k] for k in host[joining]]


@pytest.mark.parametrize("seed", range(6))
def test_trees_are_the_same_compiled(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for switch in ("0", "1"):
        monkeypatch.setenv(passes.SWITCH, switch)
        features, edges, lines, _ = graph_of(*drawn(seed))
        made[switch] = build(features, edges, lines, Options())
        assert made[switch].is_sound()
        assert np.count_nonzero(made[switch].height == 0) > 10
    np.testing.assert_array_equal(made["0"].children, made["1"].children)
    np.testing.assert_array_equal(made["0"].height, made["1"].height)


@pytest.mark.usefixtures("_each_way")
def test_a_crumb_goes_where_its_border_is_longest() -> None:
    area, edges, sides = np.array([9, 9, 2]), np.array([[0, 2], [1, 2]]), np.array([[1, 0], [0, 2]])
    assert crumbs.find_hosts(area, edges, sides, (1.25, 0.75), CELL_AREA).tolist() == [-1, -1, 1]
    assert crumbs.find_hosts(area, edges, sides, (1.60, 0.75), CELL_AREA).tolist() == [-1, -1, 0]


@pytest.mark.usefixtures("_each_way")
def test_of_equal_borders_the_first_region_has_the_crumb() -> None:
    area, edges = np.array([9, 1, 9, 9]), np.array([[0, 2], [1, 2], [1, 3], [0, 1]])
    sides = np.array([[5, 5], [2, 0], [2, 0], [1, 1]])
    assert crumbs.find_hosts(area, edges, sides, (1.0, 1.0), CELL_AREA).tolist() == [-1, 0, -1, -1]
    assert crumbs.find_hosts(area, edges[:3], sides, (1.0, 1.0), CELL_AREA).tolist() == [-1, 2, -1, -1]


@pytest.mark.usefixtures("_each_way")
def test_crumbs_among_themselves_are_merged_by_cost() -> None:
    area = np.array([1, 2, 1, 3])
    edges, lines = np.array([[0, 1], [1, 2], [2, 3]]), np.tile([1, 1, 0, 0], (3, 1))
    host = crumbs.find_hosts(area, edges, lines, (1.0, 1.0), CELL_AREA)
    assert host.tolist() == [-1, -1, 3, -1]
    colour = np.zeros((4, 3), np.int64)
    made = build(Features(area, colour, colour, np.full((4, 2), 6), CELL_AREA), edges, lines, Options())
    assert made.children[0].tolist() == [3, 2]
    assert made.roots == 1
    assert (made.height[1:] > 0).all()


def test_the_smallest_cells_have_no_crumbs() -> None:
    area, edges = np.array([1, 9]), np.array([[0, 1]])
    assert crumbs.find_hosts(area, edges, np.array([[4, 4]]), (1.0, 1.0), 63.9).tolist() == [-1, -1]
    assert crumbs.find_hosts(area, edges, np.array([[4, 4]]), (1.0, 1.0), 64.0).tolist() == [1, -1]


def test_small_crumbs_join_first() -> None:
    assert crumbs.by_size(np.array([2, 1, 9, 2, 1]), np.array([2, 2, -1, 2, 2])).tolist() == [1, 4, 0, 3]


def test_a_border_grows_at_most_by_the_outlines_of_its_crumbs() -> None:
    host, joining = np.array([-1, 0, 0, 4, -1], np.int32), np.array([1, 2, 3], np.int32)
    # of two pixels an outline has six sides; the border of 0 and 4 has two crumbs at most on either side
    assert crumbs.largest_sum(host, joining, CELL_AREA, 10) == 2 * 2 * 6 * 10
    assert crumbs.largest_sum(host, joining[:0], CELL_AREA, 10) == 0


@pytest.mark.parametrize("seed", range(6))
def test_no_border_grows_by_more_than_is_said(seed: int) -> None:
    features, edges, lines, _ = graph_of(*drawn(seed))
    host = crumbs.find_hosts(features.area, edges, lines, SIDES, CELL_AREA)
    joining = crumbs.by_size(features.area, host)
    whole = np.where(host == crumbs.NO_HOST, np.arange(len(host)), host)
    before, after = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for (one, other), sides in zip(edges.tolist(), lines[:, :2].sum(axis=1).tolist(), strict=True):
        before[one, other] += sides
        after[min(whole[[one, other]]), max(whole[[one, other]])] += sides
    grown = max(sides - before[pair] for pair, sides in after.items() if pair[0] != pair[1])
    assert 0 < grown <= crumbs.largest_sum(host, joining, CELL_AREA, 1)


def test_borders_that_outgrow_32_bits_by_crumbs_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 9000  # crumbs between two regions, along each of which 5 sides are certain
    area = np.array([10**6, *[2] * number, 10**6])
    ends = np.arange(1, number + 1)
    edges = np.concatenate(
        [[[0, number + 1]], np.stack([0 * ends, ends], 1), np.stack([ends, 0 * ends + number + 1], 1)]
    )
    lines = np.tile([3, 0, 3 * 131070, 0], (len(edges), 1))
    lines[1 : number + 1] += [1, 0, 131070, 0]
    lines[0] = [8000, 0, compiled_rounds.NARROW, 0]
    colour = np.zeros((len(area), 3), np.int64)
    features = Features(area, colour, colour, np.full((len(area), 2), 10**5), CELL_AREA)
    heights = {}
    for switch in ("0", "1"):
        monkeypatch.setenv(passes.SWITCH, switch)
        heights[switch] = build(features, edges, lines, Options()).height
    assert lines[:, 2].sum() > 2**32
    np.testing.assert_array_equal(heights["0"], heights["1"])
    monkeypatch.setattr(compiled_rounds, "LEFT_FOR_CRUMBS", 2**62)  # what the limit is for
    assert not np.array_equal(build(features, edges, lines, Options()).height, heights["0"])


def test_an_observer_hears_of_crumbs_before_the_first_round() -> None:
    area, edges = np.array([1, 9, 9]), np.array([[0, 1], [0, 2], [1, 2]])
    colour, lines = np.zeros((3, 3), np.int64), np.array([[1, 0, 0, 0], [2, 1, 0, 0], [1, 1, 0, 0]])
    recorder = Recorder()
    features = Features(area, colour, colour, np.full((3, 2), 9), CELL_AREA)
    build(features, edges, lines, Options(), observer=recorder)
    assert recorder.targets == [[0, 1, 0], [0, 0]]
    assert [each.edges.tolist() for each in recorder.rounds] == [[[0, 1]]]
