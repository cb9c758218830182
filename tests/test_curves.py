"""Scores at equal measured numbers of superpixels."""

import pytest

from napari_pcnet.evaluation.curves import (
    Point,
    at_equal,
    between,
    bracket,
    mean_points,
    nearest_request,
    next_requests,
)
from napari_pcnet.evaluation.results import Key, Row


def point(request, superpixels, **scores):
    return Point(request, superpixels, {"K": superpixels, **scores})


def test_scores_between_two_requests_lie_on_the_line_between_them():
    points = [point(200, 150, ASA=0.9), point(400, 350, ASA=0.96), point(100, 80, ASA=0.5)]
    assert at_equal(points, 200) == {"K": 200, "ASA": pytest.approx(0.9 + 0.06 * 50 / 200)}


def test_a_curve_says_nothing_beyond_its_ends():
    points = [point(200, 150, ASA=0.9), point(400, 350, ASA=0.96)]
    assert at_equal(points, 149) is None
    assert at_equal(points, 351) is None
    assert at_equal(points, 350) == {"K": 350, "ASA": pytest.approx(0.96)}


def test_a_curve_says_nothing_in_the_middle_of_a_wide_gap():
    points = [point(200, 200, ASA=0.9), point(400, 400, ASA=0.95), point(401, 1700, ASA=0.98)]
    assert at_equal(points, 300) is not None
    assert at_equal(points, 415) is not None
    assert at_equal(points, 1650) is not None
    assert at_equal(points, 800) is None


def test_a_value_that_was_measured_is_bracketed_by_it_and_a_neighbour():
    points = [point(200, 150), point(400, 350), point(900, 800)]
    assert bracket(points, 350) == (points[1], points[2])
    assert bracket(points, 800) == (points[1], points[2])
    assert bracket(points, 150) == (points[0], points[1])
    assert bracket(points[:1], 150) == (points[0], points[0])


def contour(request, density, **scores):
    return Point(request, 10 * request, {"K": 10 * request, "CD": density, **scores})


def test_scores_at_equal_contour_density_lie_on_the_line_between_two_requests():
    points = [contour(1, 0.10, BR=0.5), contour(3, 0.14, BR=0.7)]
    assert at_equal(points, 0.11, "CD") == pytest.approx({"K": 15, "CD": 0.11, "BR": 0.55})
    assert at_equal(points, 0.15, "CD") is None


def test_a_gap_of_contour_density_is_as_wide_as_that_of_the_count_it_stands_for():
    # The contour grows as the root of K: 1.4 times as long is twice as many, 1.7 times three times.
    assert at_equal([contour(1, 0.1), contour(2, 0.14)], 0.12, "CD") is not None
    assert at_equal([contour(1, 0.1), contour(2, 0.17)], 0.13, "CD") is None


@pytest.mark.parametrize(
    ("measured", "wanted", "requests"),
    [
        ({100: 0.1, 400: 0.2}, (0.1, 0.2), []),
        ({100: 0.1}, (0.2,), [440]),  # four times as many and a tenth
        ({400: 0.2}, (0.1,), [90]),  # a quarter of it less a tenth
        ({100: 0.1, 400: 0.2}, (0.16,), [256]),  # on the line between, in CD squared
        ({1: 0.0}, (0.1,), [2]),  # one superpixel has no contour to go by
    ],
)
def test_requests_are_steered_towards_the_contour_density_wanted(measured, wanted, requests):
    points = [contour(request, density) for request, density in measured.items()]
    assert next_requests(points, wanted, 10_000, along="CD") == requests


def test_a_score_that_one_row_lacks_has_no_mean():
    rows = [row("a", 9, 1, K=10, ASA=0.9, BR=0.5), row("b", 9, 1, K=10, ASA=0.7)]
    assert mean_points(rows) == [point(9, 10, ASA=pytest.approx(0.8))]


def test_points_far_from_what_is_compared_are_not_shown():
    points = [point(1, 90), point(2, 140), point(3, 1400), point(4, 2400)]
    assert between(points, (200, 1000)) == points[1:3]


def test_points_of_far_other_contours_are_not_shown_beside_contour_densities():
    points = [contour(1, 0.05), contour(2, 0.09), contour(3, 0.36), contour(4, 0.4)]
    assert between(points, (0.1, 0.3), along="CD") == points[1:3]


def row(image, request, annotations, **scores):
    key = Key("drawn/val", "grid", "", image, request, "default")
    return Row(key, annotations, scores)


def test_an_image_counts_as_often_as_it_has_annotations():
    rows = [row("a", 9, 1, K=10, ASA=0.9), row("b", 9, 3, K=6, ASA=0.5), row("b", 4, 3, K=4, ASA=0)]
    assert mean_points(rows) == [
        point(4, 4.0, ASA=0.0),
        point(9, 7.0, ASA=pytest.approx(0.6)),
    ]


def test_no_request_exceeds_what_there_is_to_have():
    assert next_requests([point(200, 100)], (400,), 500) == [500]
    assert next_requests([point(200, 100), point(500, 150)], (400,), 500) == []


@pytest.mark.parametrize(
    ("measured", "wanted", "requests"),
    [
        ({200: 200, 400: 400}, (200, 400), []),  # exactly there
        ({200: 100, 400: 200}, (400,), [880]),  # too few: twice as many and a tenth
        ({200: 400, 400: 800}, (200,), [90]),  # too many: half of it less a tenth
        ({200: 100, 400: 300}, (200,), [300]),  # bracketed too widely: on the line between
        ({200: 185, 400: 220}, (200,), []),  # bracketed closely
        ({200: 195, 400: 800}, (200,), []),  # near enough to one of the two
        ({300: 100, 400: 300, 301: 101}, (200,), [350]),
        ({200: 9, 4000: 9}, (18,), [8800]),  # no more to be had, as far as one can see
        ({1: 5, 9: 9}, (2,), []),  # no less than 1 can be asked for
    ],
)
def test_requests_are_steered_towards_the_count_wanted(measured, wanted, requests):
    points = [point(request, superpixels) for request, superpixels in measured.items()]
    assert next_requests(points, wanted, 10_000) == requests


def test_the_worst_annotations_are_averaged_over_images():
    rows = [row("a", 9, 1, K=10, ASA=0.9, ASA_worst=0.9), row("b", 9, 3, K=6, ASA=0.5, ASA_worst=0.2)]
    assert mean_points(rows, "worst")[0].scores["ASA"] == pytest.approx((0.9 + 0.2) / 2)


def test_the_request_nearest_to_a_count_is_found_by_what_was_measured():
    assert nearest_request([point(200, 150), point(300, 210), point(400, 350)], 200) == 300
