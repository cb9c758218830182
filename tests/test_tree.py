"""The tree of merges."""

from dataclasses import replace

import numpy as np
import pytest

from napari_pcnet.geometry.picture import COLOUR_STEPS
from napari_pcnet.merging import cost, passes
from napari_pcnet.merging import rounds as numpy_rounds
from napari_pcnet.merging.cost import (
    BOUNDARY_WEIGHT,
    CLASSIFIER_WEIGHT,
    COLOUR_SHARE,
    EVENNESS,
    ROUNDNESS_WEIGHT,
    MergeClassifier,
    Round,
)
from napari_pcnet.merging.exact import LAB_STEPS
from napari_pcnet.merging.graph import Features
from napari_pcnet.merging.tree import Tree, build
from napari_pcnet.options import Options


def lattice(colour: np.ndarray) -> tuple[Features, np.ndarray, np.ndarray]:
    """Regions of 16 x 16 pixels in rows and columns, each with a grey value."""
    rows, columns = colour.shape
    index = np.arange(rows * columns).reshape(rows, columns)
    across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    edges = np.concatenate([across, down])
    lab = np.pad(colour.reshape(-1, 1), [(0, 0), (0, 2)])
    features = Features.of_lab(np.full(colour.size, 256), lab, np.full((colour.size, 2), 32))
    lines = np.zeros((len(edges), 4), np.int64)
    lines[: len(across), 1] = lines[len(across) :, 0] = 16
    return features, edges, lines


def with_boundary(lines: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Borders of which this share is certain to be a boundary."""
    strength = lines[:, :2] * np.reshape(share, (-1, 1)) * 2 * COLOUR_STEPS
    return np.column_stack([lines[:, :2], strength.astype(np.int64)])


PAIR = 9 / 8 + EVENNESS + ROUNDNESS_WEIGHT * (1 - (8 / 9) ** 0.5)
"""What the shape of two squares side by side costs: ``P^2 / 16 A`` is 9 / 8 for them, and 1 for each."""

SQUARE_OF_PAIRS = 1 + EVENNESS
"""And of two such pairs that are a square together."""


def test_the_cost_of_two_cells_is_the_formula() -> None:
    tree = build(*lattice(np.array([[0.0, 3.0]])), options=Options(compactness=2.0))
    assert tree.height == pytest.approx([128 * (9 + 4 * PAIR)])


def test_a_merge_is_charged_with_the_roundness_that_it_loses() -> None:
    # three cells in a row: the pair was not round before
    features, edges, lines = lattice(np.zeros((1, 3)))
    merged = build(features, edges, lines, Options(compactness=1.0)).height
    row = 128**2 / (16 * 768)
    before = (2 * (8 / 9) ** 0.5 + 1) / 3
    lost = before - row**-0.5
    assert merged == pytest.approx([128 * PAIR, 512 / 3 * (row + EVENNESS + ROUNDNESS_WEIGHT * lost)])


def test_a_boundary_costs_its_mean_along_the_border() -> None:
    features, edges, lines = lattice(np.zeros((1, 2)))
    without = build(features, edges, lines, options=Options(compactness=2.0))
    half = build(features, edges, with_boundary(lines, 0.5), options=Options(compactness=2.0))
    assert half.height - without.height == pytest.approx([128 * BOUNDARY_WEIGHT / 2])


def test_the_boundary_of_two_borders_joined_is_their_mean() -> None:
    # a square of four cells: once both pairs are merged, a quarter of the border between them is certain
    features, edges, lines = lattice(np.array([[0.0, 0.0], [9.0, 9.0]]))
    share = np.where((edges == (0, 2)).all(axis=1), 0.5, 0.0)
    tree = build(features, edges, with_boundary(lines, share), Options(compactness=1.0))
    assert tree.cut(2).tolist() == [0, 0, 1, 1]
    assert tree.height[-1] == pytest.approx(256 * (81 + BOUNDARY_WEIGHT / 4 + SQUARE_OF_PAIRS))


def test_regions_with_a_boundary_between_them_merge_last() -> None:
    features, edges, lines = lattice(np.zeros((1, 6)))
    lines = with_boundary(lines, np.where((edges == (3, 4)).all(axis=1), 1.0, 0.0))
    assert build(features, edges, lines, Options(compactness=5.0)).cut(2).tolist() == [
        0,
        0,
        0,
        0,
        1,
        1,
    ]


def always(share: float) -> MergeClassifier:
    """A classifier that predicts the same share for every pair."""
    logit = np.log(share / (1 - share))
    return MergeClassifier(((np.zeros((1, 7), np.float32), np.array([logit], np.float32)),), 0.1)


def test_a_merge_classifier_takes_half_the_colours_place() -> None:
    tree = build(*lattice(np.array([[0.0, 3.0]])), options=Options(compactness=2.0), classifier=always(0.25))
    assert tree.height == pytest.approx([128 * (COLOUR_SHARE * 9 + CLASSIFIER_WEIGHT * 0.25 + 4 * PAIR)])


def test_a_merge_classifier_looks_at_the_features_of_an_edge() -> None:
    # a loss is predicted for pairs whose boundary, the fifth feature, is likely, and for no others
    weight = np.zeros((1, 7), np.float32)
    weight[0, 4] = 200
    classifier = MergeClassifier(((weight, np.array([-100], np.float32)),), 0.1)
    features, edges, lines = lattice(np.zeros((1, 6)))
    lines = with_boundary(lines, np.where((edges == (3, 4)).all(axis=1), 1.0, 0.0))
    assert build(features, edges, lines, Options(compactness=5.0), classifier).cut(2).tolist() == [
        0,
        0,
        0,
        0,
        1,
        1,
    ]


@pytest.mark.parametrize("weight", [1e9, 3e38, np.inf, np.nan])
def test_a_merge_classifier_that_does_not_compute_exactly_is_refused(weight: float) -> None:
    zero = np.zeros(1, np.float32)
    large = np.full((1, 7), weight, np.float32)
    with pytest.raises(ValueError, match=r"must be below 2\*\*53"):
        MergeClassifier(((large, zero),), 0.1)
    ones = np.ones((1, 7), np.float32), zero
    with pytest.raises(ValueError, match=r"must be below 2\*\*53"):
        MergeClassifier((ones, (large[:, :1], zero)), 0.1)
    MergeClassifier((ones, (np.full((1, 1), 100, np.float32), zero)), 0.1)


def test_many_pairs_are_classified_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=(5, 7)).astype(np.float32), random.normal(size=5).astype(np.float32)
    classifier = MergeClassifier(
        (first, (random.normal(size=(1, 5)).astype(np.float32), np.zeros(1, np.float32))), 0.1
    )
    edge_features = random.normal(size=(10, 7)).astype(np.float32)
    expected = [classifier(row[None])[0] for row in edge_features]
    monkeypatch.setattr(cost, "CLASSIFIER_ROWS", 3)
    np.testing.assert_allclose(classifier(edge_features), expected, rtol=1e-6)


class Recorder:
    """Keeps the rounds and targets that it receives."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.targets: list[list[int]] = []

    def before(self, here: Round) -> None:
        self.rounds.append(here)

    def after(self, target: np.ndarray) -> None:
        self.targets.append(target.tolist())


def test_an_observer_receives_each_round_and_the_new_index_of_each_region() -> None:
    features, edges, lines = lattice(np.array([[10.0, 10.0, 13.0, 40.0]]))
    recorder = Recorder()
    build(features, edges, with_boundary(lines, 0.25), Options(compactness=1.0), observer=recorder)
    _, second, third = recorder.rounds
    assert recorder.targets == [[0, 0, 1, 2], [0, 0, 1], [0, 0]]
    assert second.edges.tolist() == [[0, 1], [1, 2]]
    assert second.smaller.tolist() == [256, 256]
    assert second.larger.tolist() == [512, 256]
    assert second.colour == pytest.approx([9, 27**2])
    assert second.lab[:, 0] == pytest.approx([-3, -27])
    assert third.colour == pytest.approx([29**2])


def test_the_features_of_an_edge_are_the_formula() -> None:
    features, edges, lines = lattice(np.array([[10.0, 13.0]]))
    recorder = Recorder()
    build(
        replace(features, cell_area=128.0),
        edges,
        with_boundary(lines, 0.25),
        Options(compactness=1.0),
        observer=recorder,
    )
    shape = 96**2 / (16 * 512)
    expected = [*[np.log(2.1)] * 2, *[np.log(4)] * 2, 0.25, np.log(1.05), shape]
    assert recorder.rounds[0].edge_features[0] == pytest.approx(expected, rel=1e-6)


def test_the_features_of_an_edge_are_of_the_colours_that_the_network_gets() -> None:
    features, edges, lines = lattice(np.zeros((1, 2)))
    recorder = Recorder()
    channels, lab = np.array([[10, 0], [40, 90]]) * 256, np.array([[10, 0, 1], [12, 5, 1]]) * 256 * LAB_STEPS
    build(
        replace(features, colour=channels, colour_unit=1.0, lab=lab),
        edges,
        lines,
        Options(compactness=1.0),
        observer=recorder,
    )
    assert recorder.rounds[0].colour == pytest.approx([30**2 + 90**2])
    assert recorder.rounds[0].edge_features[0, 2:4] == pytest.approx([np.log1p(29**0.5), np.log(3)])


@pytest.mark.parametrize("colours", [[[0.0, 0.0], [9.0, 9.0]], [[0.0, 9.0], [0.0, 9.0]]])
def test_a_merge_shortens_the_outline_by_the_whole_border(colours: list[list[float]]) -> None:
    # four cells of a square: two pairs, then the two pairs over a border of two cells
    tree = build(*lattice(np.array(colours)), options=Options(compactness=1.0))
    assert tree.height == pytest.approx([128 * PAIR] * 2 + [256 * (81 + SQUARE_OF_PAIRS)])


def test_what_becomes_rounder_by_a_merge_gains_nothing() -> None:
    # a ring of one pixel around 8 x 8: the ring's roundness is 1 / 3, that of both together 1
    area, perimeter = np.array([36, 64]), np.array([[20 + 16, 20 + 16], [16, 16]])
    features = Features.of_lab(area, np.zeros((2, 3)), perimeter)
    tree = build(features, np.array([[0, 1]]), np.array([[16, 16, 0, 0]]), Options(compactness=1.0))
    assert tree.height == pytest.approx([36 * 64 / 100 * (1 + EVENNESS)])


def test_alike_neighbours_merge_first() -> None:
    tree = build(*lattice(np.array([[0.0, 0.0, 50.0, 50.0]])), options=Options(compactness=1.0))
    assert tree.cut(2).tolist() == [0, 0, 1, 1]


def test_every_count_can_be_cut_and_coarse_cuts_contain_fine_ones() -> None:
    random = np.random.default_rng(0)
    tree = build(*lattice(random.random((9, 11)) * 100), options=Options(compactness=5.0))
    finer = tree.cut(99)
    assert finer.tolist() == list(range(99))
    for count in range(98, 0, -1):
        parts = tree.cut(count)
        assert parts.max() + 1 == len(np.unique(parts)) == count
        assert len(np.unique(parts * 1000 + finer)) == count + 1  # each finer part in one
        finer = parts


def test_parts_are_numbered_in_the_order_of_their_first_leaf() -> None:
    tree = build(*lattice(np.random.default_rng(1).random((6, 6)) * 100), options=Options(compactness=5.0))
    _, first = np.unique(tree.cut(10), return_index=True)
    assert (np.diff(first) > 0).all()


def test_heights_do_not_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    for switch in "01":
        monkeypatch.setenv(passes.SWITCH, switch)
        regions = lattice(np.random.default_rng(2).random((20, 20)) * 100)
        tree = build(*regions, options=Options(compactness=10.0))
        assert tree.is_sound()  # merges lie in the order of heights, behind those of their parts
    assert (np.diff(tree.height) >= 0).all()
    assert tree.count_at(tree.height[-1]) == 1
    assert tree.count_at(-1.0) == 400


def test_parts_that_do_not_touch_stay_apart() -> None:
    features, edges, lines = lattice(np.zeros((1, 4)))
    tree = build(features, edges[[0, 2]], lines[[0, 2]], options=Options(compactness=1.0))  # 0-1 and 2-3
    assert tree.roots == 2
    assert tree.cut(2).tolist() == [0, 0, 1, 1]


def test_one_region_is_a_tree_without_merges() -> None:
    tree = build(*lattice(np.zeros((1, 1))), options=Options(compactness=1.0))
    assert (tree.leaves, tree.roots) == (1, 1)
    assert tree.cut(1).tolist() == [0]


@pytest.mark.parametrize("count", [2, 5, 17, 60, 250])
def test_sizes_in_a_uniform_lattice_differ_by_less_than_ten(count: int) -> None:
    # of four cells in the mean, the largest are squares of 3 x 3 and the smallest single ones
    tree = build(*lattice(np.zeros((31, 33))), options=Options(compactness=5.0))
    sizes = np.bincount(tree.cut(count))
    assert sizes.max() <= 9 * sizes.min()


def test_a_steep_smooth_gradient_does_not_merge_one_pair_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "compiled", lambda: None)
    rounds = []
    original = numpy_rounds._relabel
    monkeypatch.setattr(numpy_rounds, "_relabel", lambda *a: rounds.append(1) or original(*a))
    y, x = np.indices((60, 60)) / 60
    build(*lattice(np.exp(8 * x + 7 * y)), options=Options(compactness=5.0))
    assert len(rounds) < 100  # in exact order it is several hundred


def test_the_order_of_leaves_of_a_hand_made_tree() -> None:
    tree = Tree(3, np.array([[1, 2], [0, 3]]), np.array([1.0, 2.0]))
    assert tree.cut(3).tolist() == [0, 1, 2]
    assert tree.cut(2).tolist() == [0, 1, 1]
    assert tree.cut(1).tolist() == [0, 0, 0]
