"""The metrics against a slow loop written from their definitions, and hand-drawn pictures."""

import math
import re
from dataclasses import astuple

import numpy as np
import pytest

from napari_pcnet import metrics
from napari_pcnet.metrics import Scores, score, score_annotations

# ------------------------------------------------------------------------- the slow oracle


def neighbours(shape, y, x):
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if 0 <= y + dy < shape[0] and 0 <= x + dx < shape[1]:
            yield y + dy, x + dx


def boundary_pixels(labels):
    return {
        place
        for place in np.ndindex(labels.shape)
        if any(labels[place] != labels[other] for other in neighbours(labels.shape, *place))
    }


def in_window(place, pixels, reach):
    steps = range(-reach, reach + 1)
    return any((place[0] + dy, place[1] + dx) in pixels for dy in steps for dx in steps)


def pixel_sets(labels):
    sets = {}
    for place in np.ndindex(labels.shape):
        sets.setdefault(int(labels[place]), set()).add(place)
    return sets


def perimeter(labels, pixels):
    edges = 0
    for y, x in pixels:
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            other = (y + dy, x + dx)
            edges += other not in pixels
    return edges


def slow_boundary(labels, truth, reach):
    found_s, true_g = boundary_pixels(labels), boundary_pixels(truth)
    found = sum(in_window(place, found_s, reach) for place in true_g)
    false = sum(place not in true_g and not in_window(place, true_g, reach) for place in found_s)
    recall = found / len(true_g) if true_g else 0.0
    precision = found / (found + false) if found + false else 0.0
    return recall, precision, len(found_s) / labels.size


def slow_regions(labels, truth):
    superpixels, segments = pixel_sets(labels).values(), pixel_sets(truth).values()
    n = labels.size
    accuracy = sum(max(len(s & g) for g in segments) for s in superpixels) / n
    error = sum(min(len(s & g), len(s - g)) for s in superpixels for g in segments if s & g) / n
    levin = [(sum(len(s) for s in superpixels if s & g) - len(g)) / len(g) for g in segments]
    return accuracy, error, sum(levin) / len(levin)


def slow_variation(labels, image):
    mean = image.reshape(-1, image.shape[-1]).mean(axis=0)
    explained = 0.0
    for pixels in pixel_sets(labels).values():
        own_mean = np.mean([image[place] for place in pixels], axis=0)
        explained += len(pixels) * float(np.sum((own_mean - mean) ** 2))
    total = float(np.sum((image - mean) ** 2))
    return explained / total if total else 1.0


def slow_compactness(labels):
    return sum(
        len(s) / labels.size * 4 * math.pi * len(s) / perimeter(labels, s) ** 2
        for s in pixel_sets(labels).values()
    )


def slow_score(labels, truth, image, reach):
    recall, precision, density = slow_boundary(labels, truth, reach)
    accuracy, error, levin = slow_regions(labels, truth)
    return Scores(
        superpixels=len(pixel_sets(labels)),
        achievable_segmentation_accuracy=accuracy,
        boundary_recall=recall,
        boundary_precision=precision,
        undersegmentation_error=error,
        undersegmentation_error_levin=levin,
        explained_variation=slow_variation(labels, image),
        compactness=slow_compactness(labels),
        contour_density=density,
        tolerance_px=reach,
    )


@pytest.mark.parametrize("seed", range(200))
def test_scores_equal_the_slow_loop_on_random_maps(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 13, 2))
    # Blocks of random size, so that maps range from noise to a few large regions.
    block = rng.integers(1, 6)
    names = rng.integers(-5, 40, (2, 12, 12))
    labels, truth = names.repeat(block, 1).repeat(block, 2)[:, : shape[0], : shape[1]]
    image = rng.normal(100, 30, (*shape, 3))
    reach = int(rng.integers(0, 5))
    fast = score(labels, truth, image, reach)
    assert astuple(fast) == pytest.approx(astuple(slow_score(labels, truth, image, reach)), abs=1e-9)


# ---------------------------------------------------------------------- pictures by hand

LEFT_RIGHT = np.array([[0, 0, 1, 1]] * 4)
"""Two halves of 4 x 2 pixels; the boundary is the two middle columns."""

OFF_BY_ONE = np.array([[7, 7, 7, 9]] * 4)
"""The same two regions with the border one pixel further right."""


def test_a_border_one_pixel_off_scores_what_a_hand_computes():
    got = score(OFF_BY_ONE, LEFT_RIGHT, tolerance_px=0)
    assert got == Scores(
        superpixels=2,
        achievable_segmentation_accuracy=12 / 16,  # 8 of the 12, 4 of the 4
        boundary_recall=4 / 8,  # column 2 of columns 1 and 2
        boundary_precision=4 / 8,  # 4 found; column 3 is false
        undersegmentation_error=8 / 16,  # min(8, 4) + min(4, 8) + min(4, 0)
        undersegmentation_error_levin=(4 / 8 + 8 / 8) / 2,
        explained_variation=None,
        compactness=12 / 16 * 4 * math.pi * 12 / 14**2 + 4 / 16 * 4 * math.pi * 4 / 10**2,
        contour_density=8 / 16,
        tolerance_px=0,
    )


def test_one_pixel_of_tolerance_forgives_a_border_one_pixel_off():
    assert metrics.boundary_recall(OFF_BY_ONE, LEFT_RIGHT, 1) == 1
    assert metrics.boundary_precision(OFF_BY_ONE, LEFT_RIGHT, 1) == 1


def test_the_tolerance_window_is_square():
    superpixels, truth = np.zeros((2, 9, 9), int)
    superpixels[0, 0] = 1  # boundary: the corner, (0, 1) and (1, 0)
    truth[3, 3] = 1  # boundary: a plus around (3, 3)
    assert metrics.boundary_recall(superpixels, truth, 1) == 0
    # (2, 3) sees (0, 1) and (1, 0) sees (3, 2): two of the plus's five pixels, diagonally.
    assert metrics.boundary_recall(superpixels, truth, 2) == 2 / 5
    assert metrics.boundary_recall(superpixels, truth, 8) == 1


def test_a_perfect_labelling_scores_one_and_has_no_error():
    got = score(LEFT_RIGHT, LEFT_RIGHT, image=LEFT_RIGHT * 50)
    assert got.boundary_recall == got.boundary_precision == 1
    assert got.achievable_segmentation_accuracy == got.explained_variation == 1
    assert got.undersegmentation_error == got.undersegmentation_error_levin == 0


def test_without_boundaries_recall_and_precision_are_zero():
    flat = np.zeros((5, 6), int)
    assert metrics.boundary_recall(flat, flat) == 0
    assert metrics.boundary_precision(flat, flat) == 0
    assert metrics.contour_density(flat) == 0


def test_explained_variation_of_two_means_is_computed_by_hand():
    image = np.array([[0, 2, 4, 6]], np.uint8)  # mean 3; halves' means 1 and 5
    assert metrics.explained_variation([[1, 1, 2, 2]], image) == pytest.approx(16 / 20)


def test_a_picture_of_one_colour_is_explained_whole():
    assert metrics.explained_variation(LEFT_RIGHT, np.full((4, 4, 3), 9, np.uint8)) == 1


def test_a_square_has_compactness_of_a_quarter_pi():
    assert metrics.compactness(np.zeros((6, 6), int)) == pytest.approx(math.pi / 4)


@pytest.mark.parametrize(
    ("shape", "reach"),
    [((321, 481), 1), ((448, 608), 2), ((3000, 4000), 13), ((3600, 5000), 15), ((1, 1), 0)],
)
def test_the_default_tolerance_is_a_quarter_percent_of_the_diagonal(shape, reach):
    assert metrics.default_tolerance_px(shape) == reach


# ------------------------------------------------------------------------------- invariance


@pytest.mark.parametrize(
    "rename",
    [
        lambda names: names * 1000 - 70000,
        lambda names: names * 10**15,
        lambda names: (names - 128).astype(np.int8),
        lambda names: names.astype(np.uint64) + np.uint64(2**63),
        lambda names: names.astype(">u2"),
        lambda names: 254 - names,
    ],
    ids=["spread", "sparse", "int8", "uint64", "big-endian", "reversed"],
)
def test_a_relabelled_copy_scores_the_same(rename):
    rng = np.random.default_rng(5)
    names = np.linspace(0, 255, 30).astype(int)[rng.integers(0, 30, (20, 25))]
    truth = rng.integers(0, 4, (20, 25))
    image = rng.random((20, 25, 3))
    got = score(rename(names), rename(truth), image)
    assert astuple(got) == pytest.approx(astuple(score(names, truth, image)), rel=1e-12)


def test_many_segments_on_both_sides_score_as_the_slow_loop():
    rng = np.random.default_rng(8)
    labels, truth = rng.permutation(80).reshape(8, 10), rng.permutation(80).reshape(8, 10) // 2
    image = rng.random((8, 10, 3))
    slow = slow_score(labels, truth, image, 1)
    assert astuple(score(labels, truth, image, 1)) == pytest.approx(astuple(slow))


def test_several_annotations_score_as_each_alone():
    rng = np.random.default_rng(3)
    labels, image = rng.integers(0, 9, (15, 14)), rng.random((15, 14, 3))
    truths = list(rng.integers(0, 3, (4, 15, 14)))
    together = score_annotations(labels, truths, image)
    assert together == tuple(score(labels, truth, image) for truth in truths)


def test_annotations_are_combined_score_by_score():
    rng = np.random.default_rng(6)
    labels, truths = rng.integers(0, 9, (15, 14)), list(rng.integers(0, 3, (4, 15, 14)))
    truths.append(np.kron(rng.integers(0, 3, (5, 7)), np.ones((3, 2), int)))
    scores = score_annotations(labels, truths, rng.random((15, 14)))
    mean, worst, best = (metrics.combine_annotations(scores, how) for how in ("mean", "worst", "best"))
    for name, higher_is_better in (
        ("achievable_segmentation_accuracy", True),
        ("boundary_recall", True),
        ("boundary_precision", True),
        ("undersegmentation_error", False),
        ("undersegmentation_error_levin", False),
    ):
        values = [getattr(each, name) for each in scores]
        ends = (min(values), max(values)) if higher_is_better else (max(values), min(values))
        assert (getattr(worst, name), getattr(best, name)) == ends
        assert getattr(mean, name) == pytest.approx(sum(values) / 5)
    for combined in (mean, worst, best):
        assert combined.compactness == scores[0].compactness
        assert combined.superpixels == scores[0].superpixels


def test_combining_no_annotations_or_in_another_way_is_refused():
    scores = score_annotations(LEFT_RIGHT, [LEFT_RIGHT])
    with refuses(ValueError, "scores must be those of at least one annotation, got none"):
        metrics.combine_annotations([])
    with refuses(ValueError, "how must be 'mean', 'worst' or 'best', got 'median'"):
        metrics.combine_annotations(scores, "median")


# ------------------------------------------------------------------------------------ seams


def test_a_line_that_is_always_a_border_is_so_many_times_more_often_one():
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((5, 5), int))
    # Borders after every fifth row and column; elsewhere there are 2 of 18 lines and 3 of 19.
    assert metrics.seam_rate(labels, ([10], [])) == pytest.approx(1 / (5 / 37))
    assert metrics.seam_rate(labels, ([7], [8])) == 0
    assert metrics.seam_rate(labels, (range(1, 20), [])) == pytest.approx(1)


def test_lines_of_a_lattice_are_held_against_its_other_lines():
    labels = np.kron(np.arange(16).reshape(4, 4), np.ones((5, 5), int))
    assert metrics.seam_rate(labels, ([10], [10]), ([5, 15], [5, 15])) == 1
    labels[4:6] = labels[4]  # the upper line runs one row lower now in all columns
    assert metrics.seam_rate(labels, ([10], []), ([5, 15], [])) == 2


def test_the_rate_of_seams_without_borders_elsewhere_has_no_limit():
    assert metrics.seam_rate(LEFT_RIGHT, ([], [2])) == math.inf
    assert math.isnan(metrics.seam_rate(np.zeros((4, 4), int), ([1], [])))


@pytest.mark.parametrize("line", [0, 4, -1])
def test_a_line_outside_the_image_is_refused(line):
    with refuses(ValueError, f"lines must lie inside an image of shape (4, 4), got {line}"):
        metrics.seam_rate(LEFT_RIGHT, ([line], []))


@pytest.mark.parametrize("lines", [[], [1, 2, 3]])
def test_no_line_and_every_line_are_refused(lines):
    with refuses(ValueError, "lines must name at least one line, and leave one to compare with"):
        metrics.seam_rate(LEFT_RIGHT, (lines, lines))


def test_each_function_returns_its_part_of_the_scores():
    rng = np.random.default_rng(4)
    labels, truth = rng.integers(0, 5, (2, 11, 9))
    image = rng.random((11, 9))
    assert score(labels, truth, image, 2) == Scores(
        superpixels=5,
        achievable_segmentation_accuracy=metrics.achievable_segmentation_accuracy(labels, truth),
        boundary_recall=metrics.boundary_recall(labels, truth, 2),
        boundary_precision=metrics.boundary_precision(labels, truth, 2),
        undersegmentation_error=metrics.undersegmentation_error(labels, truth),
        undersegmentation_error_levin=metrics.undersegmentation_error_levin(labels, truth),
        explained_variation=metrics.explained_variation(labels, image),
        compactness=metrics.compactness(labels),
        contour_density=metrics.contour_density(labels),
        tolerance_px=2,
    )


# --------------------------------------------------------------------------------- refusals


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def test_shapes_that_differ_are_refused():
    message = (
        "labels and truth must have one shape, got (3, 4) and (4, 3); "
        "enlarge the smaller one by nearest neighbour"
    )
    with refuses(ValueError, message):
        score(np.zeros((3, 4), int), np.zeros((4, 3), int))


def test_labels_that_are_no_whole_numbers_are_refused():
    message = (
        "labels must hold whole numbers, got float64; if they are names of regions, pass labels.astype(int)"
    )
    with refuses(TypeError, message):
        metrics.compactness(np.zeros((3, 4)))


def test_an_empty_annotation_is_refused():
    with refuses(ValueError, "truth must have at least one pixel, got shape (0, 4)"):
        metrics.boundary_recall(np.zeros((3, 4), int), np.zeros((0, 4), int))


def test_a_stack_is_refused():
    message = (
        "labels must be a plane of shape (H, W), got shape (2, 3, 4); score the planes of a stack one by one"
    )
    with refuses(ValueError, message):
        metrics.contour_density(np.zeros((2, 3, 4), int))


@pytest.mark.parametrize(("tolerance_px", "error"), [(-1, ValueError), (1.5, TypeError)])
def test_a_tolerance_that_is_no_count_of_pixels_is_refused(tolerance_px, error):
    message = f"tolerance_px must be a whole number of at least 0, got {tolerance_px}"
    with refuses(error, message):
        score(LEFT_RIGHT, LEFT_RIGHT, tolerance_px=tolerance_px)


def test_an_image_of_another_shape_is_refused():
    message = "image must be (H, W) or (H, W, C) over labels of shape (4, 4), got shape (4, 5, 3)"
    with refuses(ValueError, message):
        score(LEFT_RIGHT, LEFT_RIGHT, np.zeros((4, 5, 3)))


def test_an_image_that_is_not_finite_is_refused():
    with refuses(ValueError, "image must be finite, got NaN or infinity; replace them first"):
        metrics.explained_variation(LEFT_RIGHT, np.full((4, 4), np.nan))


# ------------------------------------------------------------------------- inside a region


def test_a_region_is_scored_as_if_it_were_the_picture():
    random = np.random.default_rng(0)
    labels, truth = (np.kron(random.integers(0, 6, (8, 9)), np.ones((3, 3), int)) for _ in range(2))
    image = random.normal(size=(24, 27, 3))
    inside = np.zeros(labels.shape, bool)
    inside[3:20, 4:25] = True
    (region,) = score_annotations(labels, [truth], image, 1, inside)
    part = np.s_[3:20, 4:25]
    assert region == score(labels[part], truth[part], image[part], 1)
    # what lies outside does not matter, whatever it is
    labels[~inside], truth[~inside], image[~inside] = 99, 2, 1e6
    assert score_annotations(labels, [truth], image, 1, inside) == (region,)


def test_a_region_of_any_form_has_no_boundary_at_its_edge():
    inside = np.tri(9, dtype=bool)
    (result,) = score_annotations(inside * 1, [inside * 1], np.ones((9, 9)), 0, inside)
    assert (result.superpixels, result.contour_density, result.boundary_recall) == (1, 0.0, 0.0)
    assert result.achievable_segmentation_accuracy == 1.0
    # 45 pixels in stairs: 9 edges along each side, and as many along the stairs
    assert result.compactness == 4 * math.pi * 45 / 36**2


@pytest.mark.parametrize("inside", [np.ones((2, 3), bool), np.ones((2, 4), int), np.zeros((2, 4), bool)])
def test_a_region_of_something_else_is_refused(inside):
    with pytest.raises(
        ValueError, match=r"^inside must be true for some of the labels' \(2, 4\) pixels, got "
    ):
        score_annotations(np.ones((2, 4), int), [np.ones((2, 4), int)], inside=inside)
