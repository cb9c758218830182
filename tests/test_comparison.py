"""Methods beside each other as text, on rows so few that every figure is known."""

import re

import pytest

from napari_pcnet.evaluation.comparison import Comparison
from napari_pcnet.evaluation.results import Key, Row

IMAGES = 12


def row(method, image, request, annotations=1, **scores):
    return Row(Key("drawn/val", method, "", image, request, "default"), annotations, scores)


def rows_of(method, gain=0.0, jagged=1.0, requests=(100, 200, 400)):
    """Recall grows with the contour, which is `jagged` times as long as the count needs."""
    rows = []
    for request in requests:
        for number in range(IMAGES):
            density = jagged * 0.01 * request**0.5 * (1 + number / 100)
            scores = {"K": float(request), "ASA": 0.9 + gain, "BR": 2 * density + gain, "CD": density}
            rows.append(row(method, f"p{number}", request, **scores))
    return rows


def compare(rows, **changes):
    given = {"counts": (100, 400), "densities": (), "annotations": "mean", "reference": next(iter(rows))}
    return "\n\n".join(filter(None, Comparison(rows, **given | changes).blocks(["ASA", "BR"])))


def line_of(text, title, name):
    """The cells of a method's line in the table below a title."""
    block = next(block for block in text.split("\n\n") if block.startswith(title))
    line = next(line for line in block.splitlines() if line.split()[0] == name)
    return re.split(r"  +", line.strip())[1:]


def test_each_score_has_a_table_at_equal_count():
    text = compare({"ours": rows_of("ours"), "peer": rows_of("peer", gain=0.01)})
    assert line_of(text, "ASA: achievable", "ours") == ["0.9000", "0.9000"]
    assert line_of(text, "ASA: achievable", "peer") == ["0.9100", "0.9100"]


def test_methods_that_are_equal_on_every_image_differ_by_nothing():
    text = compare({"ours": rows_of("ours"), "peer": rows_of("peer")})
    assert line_of(text, "ASA less that of ours", "peer") == ["+0.0000 [+0.0000, +0.0000]"] * 2
    assert line_of(text, "BR less that of ours", "peer") == ["+0.0000 [+0.0000, +0.0000]"] * 2


def test_a_gain_on_every_image_is_marked_and_has_no_width():
    text = compare({"ours": rows_of("ours"), "peer": rows_of("peer", gain=-0.02)})
    assert line_of(text, "ASA less that of ours", "peer") == ["-0.0200 [-0.0200, -0.0200]*"] * 2
    assert "12 images (10,000 draws); an interval without 0 is marked *" in text


def test_a_difference_that_half_of_the_images_turn_round_is_not_marked():
    mixed = [
        Row(each.key, 1, {**each.scores, "ASA": 0.9 + (0.1 if int(each.key.image[1:]) % 2 else -0.1)})
        for each in rows_of("mixed")
    ]
    text = compare({"ours": rows_of("ours"), "mixed": mixed})
    cell = line_of(text, "ASA less that of ours", "mixed")[0]
    assert cell.startswith("+0.0000 [-0.0")
    assert cell.endswith("]")


def test_the_difference_is_that_of_the_scores_above_it():
    ours = rows_of("ours", requests=(90, 160, 350, 500))
    peer = rows_of("peer", gain=0.02, requests=(70, 110, 130, 300, 420))
    text = compare({"ours": ours, "peer": peer}, counts=(120, 390))
    first, second = (list(map(float, line_of(text, "BR: boundary", name))) for name in ("ours", "peer"))
    differences = [float(cell.split()[0]) for cell in line_of(text, "BR less that of ours", "peer")]
    expected = [two - one for one, two in zip(first, second, strict=True)]
    assert differences == pytest.approx(expected, abs=1.01e-4)


def test_images_count_by_their_annotations_in_the_difference_too():
    ours = [row("ours", f"p{n}", 100, 1 + 2 * n, K=100.0, ASA=0.5, BR=0, CD=0.1) for n in (0, 1)]
    peer = [row("peer", f"p{n}", 100, 1 + 2 * n, K=100.0, ASA=0.5 + 0.4 * n, BR=0, CD=0.1) for n in (0, 1)]
    text = compare({"ours": ours, "peer": peer}, counts=(100,))
    assert line_of(text, "ASA less that of ours", "peer")[0].startswith("+0.3000 [+0.0000, +0.4000]")


def test_at_equal_contour_density_a_jagged_method_loses_its_gain():
    jagged = rows_of("jagged", jagged=1.2)
    text = compare({"ours": rows_of("ours"), "jagged": jagged}, densities=(0.15, 0.2))
    by_count = line_of(text, "BR less that of ours, at equal K", "jagged")
    assert all(float(cell.split()[0]) > 0.03 for cell in by_count)
    by_density = line_of(text, "BR less that of ours, at equal CD", "jagged")
    assert all(abs(float(cell.split()[0])) < 1e-4 for cell in by_density)
    ours, jagged = (line_of(text, "K at equal contour density", name) for name in ("ours", "jagged"))
    ratios = [int(one) / int(other) for one, other in zip(ours, jagged, strict=True)]
    assert ratios == pytest.approx([1.44, 1.44], rel=0.05)  # the square of how much longer contours are


def test_the_method_with_the_highest_score_at_each_contour_density_is_named():
    rows = {"ours": rows_of("ours"), "peer": rows_of("peer", gain=0.1, requests=(100, 200))}
    text = compare(rows, counts=(100,), densities=(0.12, 0.2, 0.9))
    assert "  highest: peer at 0.12, ours at 0.2\n" in text
    assert "peer: CD = 0.2, 0.9 not reached, measured 0.106, 0.149" in text


def test_another_method_may_be_the_reference():
    text = compare({"ours": rows_of("ours"), "peer": rows_of("peer", 0.01)}, reference="peer")
    assert line_of(text, "ASA less that of peer", "ours")[0] == "-0.0100 [-0.0100, -0.0100]*"


def test_one_method_or_one_image_has_no_differences():
    assert "interval" not in compare({"ours": rows_of("ours")})
    single = {name: [row(name, "p0", 9, K=9.0, ASA=1, BR=1, CD=0.1)] for name in ("ours", "peer")}
    assert "interval" not in compare(single, counts=(9,))


def test_a_table_made_again_is_the_same():
    rows = {"ours": rows_of("ours"), "peer": rows_of("peer", 0.01, 1.1)}
    assert compare(rows) == compare(rows)
