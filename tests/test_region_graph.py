"""Graphs of regions: which touch, along how much of a border, and how they differ."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage import graph as skimage_graph

from napari_pcnet import PCNetHierarchy, pcnet_hierarchy, region_graph

LABELS = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((5, 6), int))
LABELS[3:8, 3:9] = 40
IMAGE = np.random.default_rng(0).integers(0, 255, (*LABELS.shape, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tree() -> PCNetHierarchy:
    picture = np.zeros((64, 80, 3), np.uint8)
    picture[:, 40:] = (200, 120, 40)
    picture[20:40, 10:30] = (20, 220, 90)
    return pcnet_hierarchy(picture, max_segments=12)


def _pairs(graph: Any) -> set[tuple[int, int]]:
    return {(min(edge), max(edge)) for edge in graph.edges}


def test_a_drawn_graph_has_its_edges_borders_and_contrasts() -> None:
    labels = np.array([[1, 1, 1, 0], [1, 9, 9, 9], [5, 5, 9, 9]])
    graph = region_graph(labels, np.select([labels == 1, labels == 9], [10, 13], 0))
    assert graph.label.tolist() == [1, 5, 9]
    assert graph.area.tolist() == [4, 2, 5]
    assert graph.edges.tolist() == [[1, 5], [1, 9], [5, 9]]
    assert graph.border.tolist() == [1, 3, 2]
    assert graph.contrast.tolist() == [10, 3, 13]


def test_borders_are_as_long_as_pixels_are_high_and_wide() -> None:
    labels = np.array([[1, 1, 1, 0], [1, 9, 9, 9], [5, 5, 9, 9]])
    assert region_graph(labels, spacing=(100, 1)).border.tolist() == [1, 102, 101]


@pytest.mark.parametrize("window", [1, 3, 8, 1024])
def test_edges_and_contrast_are_those_of_scikit_image(window: int) -> None:
    expected = skimage_graph.rag_mean_color(IMAGE, LABELS, connectivity=1)
    found = region_graph(LABELS, IMAGE, window=window)
    assert set(map(tuple, found.edges.tolist())) == _pairs(expected)
    weights = [expected[one][other]["weight"] for one, other in found.edges.tolist()]
    assert_allclose(found.contrast, weights, rtol=1e-12)


@pytest.mark.parametrize("window", [1, 3, 8])
def test_no_window_changes_the_graph(window: int) -> None:
    whole, parts = region_graph(LABELS, IMAGE), region_graph(LABELS, IMAGE, window=window)
    for name, values in vars(whole).items():
        assert_array_equal(getattr(parts, name), values, err_msg=name)


def test_labels_and_picture_are_read_once() -> None:
    asked = []

    class Watched:
        def __init__(self, values: np.ndarray[Any, Any]) -> None:
            self.values, self.shape, self.dtype = values, values.shape, values.dtype

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray[Any, Any]:
            asked.append(id(self))
            return self.values[key]

    labels, image = Watched(LABELS), Watched(IMAGE)
    region_graph(labels, image, window=12)
    assert [asked.count(id(each)) for each in (labels, image)] == [4, 4]


def test_scikit_image_cuts_its_rag_as_its_own() -> None:
    own = skimage_graph.rag_mean_color(IMAGE, LABELS, connectivity=1)
    cuts = [
        skimage_graph.cut_threshold(LABELS, rag, 15) for rag in (own, region_graph(LABELS, IMAGE).as_rag())
    ]
    own_cut, ours = (cut.ravel().tolist() for cut in cuts)  # parts are numbered as nodes came into the graph
    assert len(set(own_cut)) == len(set(ours)) == len(set(zip(own_cut, ours, strict=True))) > 1


def test_scikit_image_merges_its_rag() -> None:
    def weight(rag: Any, _source: int, target: int, neighbour: int) -> dict[str, float]:
        apart = rag.nodes[target]["mean color"] - rag.nodes[neighbour]["mean color"]
        return {"weight": float(np.linalg.norm(apart))}

    def merge(rag: Any, source: int, target: int) -> None:
        for name in ("total color", "pixel count"):
            rag.nodes[target][name] += rag.nodes[source][name]
        rag.nodes[target]["mean color"] = rag.nodes[target]["total color"] / rag.nodes[target]["pixel count"]

    rag = region_graph(LABELS, IMAGE.astype(float)).as_rag()
    merged = skimage_graph.merge_hierarchical(
        LABELS, rag, thresh=1000, rag_copy=False, in_place_merge=True, merge_func=merge, weight_func=weight
    )
    assert np.unique(merged).tolist() == [0]


def test_networkx_has_nodes_and_edges_with_what_was_measured() -> None:
    graph = region_graph(LABELS, IMAGE[..., 0]).as_networkx()
    assert graph.nodes[40]["area"] == 30
    assert graph.nodes[40]["intensity_mean"].tolist() == [IMAGE[..., 0][LABELS == 40].mean()]
    assert graph[1][40]["border"] == 5
    assert graph[1][40]["contrast"] == pytest.approx(
        abs(IMAGE[..., 0][LABELS == 1].mean() - IMAGE[..., 0][LABELS == 40].mean())
    )


def test_without_a_picture_there_is_no_contrast() -> None:
    graph = region_graph(LABELS)
    assert np.isnan(graph.contrast).all()
    assert graph.as_networkx()[1][40] == {"border": 5.0}
    assert graph.as_rag()[1][40] == {"border": 5.0, "weight": 5.0}


def test_planes_of_a_stack_do_not_touch() -> None:
    stack = np.stack([np.repeat([[1, 2]], 3, axis=0), np.repeat([[3, 4]], 3, axis=0)])
    graph = region_graph(stack)
    assert graph.edges.tolist() == [[1, 2], [3, 4]]
    assert graph.area.tolist() == [3, 3, 3, 3]


def test_of_one_region_the_graph_has_no_edge() -> None:
    graph = region_graph(np.ones((3, 4), int))
    assert graph.label.tolist() == [1]
    assert graph.edges.shape == (0, 2)


@pytest.mark.parametrize("n", [2, 7, None])
def test_a_tree_needs_no_picture(tree: PCNetHierarchy, n: int | None) -> None:
    count = tree.n_base if n is None else n
    labels = tree.labels(count)
    picture = np.zeros((64, 80, 3), np.uint8)
    picture[:, 40:] = (200, 120, 40)
    picture[20:40, 10:30] = (20, 220, 90)
    found, expected = region_graph(tree, n=n), region_graph(labels, picture)
    assert len(found.label) == count
    for name in ("label", "area", "edges", "border"):
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert_allclose(found.contrast, expected.contrast, rtol=1e-4, atol=1e-3)  # colour is kept in steps


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((LABELS,), {"n": 5}, "n is the count of a cut, and of labels there is one; pass the hierarchy"),
        (
            (LABELS, IMAGE[:4]),
            {},
            "image is 4 x 24 pixels, but labels are 15 x 24; they must be the same",
        ),
        (
            (LABELS[None], IMAGE),
            {},
            "labels must be one plane, got shape (1, 15, 24): pass the planes of a stack one by one",
        ),
    ],
)
def test_what_has_no_graph_is_refused_in_one_sentence(
    arguments: tuple[Any, ...], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((ValueError, TypeError)) as refused:
        region_graph(*arguments, **options)
    assert str(refused.value) == sentence


def test_a_picture_beside_a_tree_is_refused(tree: PCNetHierarchy) -> None:
    with pytest.raises(TypeError, match="image is not looked at again: a hierarchy knows the intensities"):
        region_graph(tree, IMAGE)
    with pytest.raises(ValueError, match=f"n must be at most {tree.n_base}"):
        region_graph(tree, n=10**6)
