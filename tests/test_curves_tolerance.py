"""How near a measured number of superpixels must be to the one wanted: a twentieth of it."""

import pytest

from napari_pcnet.evaluation.curves import Point, at_equal, next_requests


def _points(*counts: float) -> list[Point]:
    """A curve whose requests are a tenth of what was measured."""
    return [Point(round(count / 10), count, {"K": count, "ASA": count / 10_000}) for count in counts]


@pytest.mark.parametrize(("measured", "is_near"), [(380, True), (420, True), (370, False), (430, False)])
def test_in_a_wide_gap_a_count_is_known_within_a_twentieth(measured: float, is_near: bool) -> None:
    around = _points(measured, 2000) if measured < 400 else _points(100, measured)
    scores = at_equal(around, 400)
    assert (scores is not None) == is_near
    if scores is not None:
        assert scores["ASA"] == pytest.approx(0.04)


@pytest.mark.parametrize(("measured", "is_near"), [(380, True), (420, True), (370, False), (430, False)])
def test_a_count_is_asked_for_until_it_is_within_a_twentieth(measured: float, is_near: bool) -> None:
    around = _points(measured, 2000) if measured < 400 else _points(100, measured)
    assert (next_requests(around, (400,), 10_000) == []) == is_near


@pytest.mark.parametrize(("high", "is_bracket"), [(444, True), (448, False)])
def test_a_bracket_is_no_wider_than_a_fifth(high: float, is_bracket: bool) -> None:
    assert (next_requests(_points(371, high), (400,), 10_000) == []) == is_bracket


@pytest.mark.parametrize(("high", "is_known"), [(500, True), (510, False)])
def test_a_line_is_drawn_over_no_more_than_two_and_a_half(high: float, is_known: bool) -> None:
    assert (at_equal(_points(200, high), 300) is not None) == is_known
