"""The figures of a benchmark, drawn from made-up numbers."""

import math
import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from napari_pcnet.disk.overlay import BOUNDARY_COLOUR
from napari_pcnet.disk.provenance import Provenance
from napari_pcnet.evaluation.curves import Point
from napari_pcnet.evaluation.peers import PEERS
from napari_pcnet.evaluation.plots.curves import CURVE_PANELS, draw_curves
from napari_pcnet.evaluation.plots.figure import DPI
from napari_pcnet.evaluation.plots.looks import looks_of
from napari_pcnet.evaluation.plots.panel import PanelRow, draw_panel
from napari_pcnet.evaluation.plots.scale import OUT_OF_MEMORY, ScalePoint, draw_scale

PROVENANCE = Provenance(
    command="napari-pcnet benchmark quality --data 'my data'",
    commit="0123456789abcdef",
    machine="Abacus 3000, 2 cores",
    versions={"python": "3.12.1", "numpy": "2.0.0"},
    date="2026-01-31",
)
OURS, PEER = "pcnet-bsds500-v1/hierarchy", "skimage-slic-10"
GIBIBYTE = 2**30


@pytest.fixture
def saved(monkeypatch):
    """The figures saved, to be looked into."""
    figures = []
    save = Figure.savefig

    def keep(figure, *args, **options):
        figures.append(figure)
        return save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.fixture
def figures(monkeypatch):
    """The figures themselves, which are not rendered: those of ordinary curves are elsewhere."""
    made = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_options: made.append(figure))
    return made


def curve(quality, counts=(200, 400, 800)):
    return [
        Point(count, count, dict(zip(("ASA", "BR", "BP", "UE", "EV", "CO", "CD"), scores, strict=True)))
        for count in counts
        for scores in [np.linspace(0.1, 0.7, 7) * quality * (1 + count / 1000)]
    ]


def words(axes):
    return [text.get_text() for text in axes.texts]


def line_of(axes, name):
    (line,) = (line for line in axes.lines if line.get_label() == name)
    return line


def in_legend(figure):
    own = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    return [text.get_text().replace("\n", "") for each in [*figure.legends, *own] for text in each.texts]


def read(path):
    with Image.open(path) as picture:
        picture.load()
        return picture.text, np.asarray(picture.convert("RGB"))


# --------------------------------------------------------------------------------- curves


def test_curves_are_a_file_for_each_panel_and_one_with_all(tmp_path):
    written = draw_curves(tmp_path, "set-val", {OURS: curve(1), PEER: curve(0.8)}, "A set", PROVENANCE)
    endings = ["-br-bp", "-asa-k", "-ue-k", "-ev-k", "-co-br", "-br-cd", "-asa-cd", ""]
    assert written == [tmp_path / f"set-val{ending}.png" for ending in endings]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    widths = [read(path)[1].shape[1] for path in written]
    assert widths == [700] * 7 + [1432]


def test_every_file_says_how_it_was_made(tmp_path):
    paths = draw_curves(tmp_path, "set", {OURS: curve(1)}, "A set", PROVENANCE)
    paths.append(draw_panel(tmp_path / "panel.png", [quarters()], PROVENANCE))
    paths.append(draw_scale(tmp_path / "scale.png", {OURS: scale(1)}, PROVENANCE))
    for path in paths:
        metadata, _ = read(path)
        assert metadata["Source"] == PROVENANCE.as_text()
        assert metadata["Software"] == "python 3.12.1, numpy 2.0.0"
    assert read(paths[0])[0]["Title"] == "A set"
    assert read(paths[0])[0]["Description"] == "A set: BP over BR"


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    first, second = (
        [path.read_bytes() for path in draw_curves(tmp_path, stem, {OURS: curve(1)}, "A set", PROVENANCE)]
        for stem in ("first", "second")
    )
    assert first == second


def test_recall_and_precision_are_the_papers_axes(tmp_path, figures):
    points = curve(1)
    draw_curves(tmp_path, "set", {OURS: points}, "", PROVENANCE)
    axes = figures[0].axes[0]
    assert axes.get_xlabel() == "boundary recall (better →)"
    assert axes.get_ylabel() == "boundary precision (better →)"
    assert list(line_of(axes, OURS).get_xdata()) == [point.scores["BR"] for point in points]
    assert list(line_of(axes, OURS).get_ydata()) == [point.scores["BP"] for point in points]


def test_scores_are_drawn_over_the_measured_count_in_its_order(tmp_path, figures):
    points = [Point(200, 230.5, {"ASA": 0.9}), Point(100, 80.25, {"ASA": 0.8})]
    draw_curves(tmp_path, "set", {OURS: points}, "", PROVENANCE)
    line = line_of(figures[1].axes[0], OURS)
    assert list(line.get_xdata()) == [80.25, 230.5]
    assert list(line.get_ydata()) == [0.8, 0.9]


def test_a_score_that_is_missing_or_nan_is_left_out(tmp_path, saved):
    points = [
        Point(100, 100, {"ASA": 0.8, "EV": math.nan}),
        Point(200, 200, {"ASA": math.nan}),
        Point(400, 400, {"ASA": 0.9}),
    ]
    draw_curves(tmp_path, "set", {OURS: points}, "", PROVENANCE)
    asa, ev = saved[1].axes[0], saved[3].axes[0]
    assert list(line_of(asa, OURS).get_xdata()) == [100, 400]
    assert not ev.lines
    assert words(ev) == ["not measured"]


def test_panels_over_contour_density_may_show_other_points(tmp_path, figures):
    near = [Point(9, 9, {"CD": 0.1, "BR": 0.5, "ASA": 0.9})]
    draw_curves(tmp_path, "set", {OURS: curve(1)}, "", PROVENANCE, {OURS: near})
    assert list(line_of(figures[5].axes[0], OURS).get_xdata()) == [0.1]
    assert list(line_of(figures[6].axes[0], OURS).get_ydata()) == [0.9]
    overview = figures[7].axes
    assert [len(line_of(axes, OURS).get_xdata()) for axes in overview[:7]] == [len(curve(1))] * 5 + [1, 1]


def test_one_point_is_a_marker(tmp_path, saved):
    draw_curves(tmp_path, "set", {PEER: curve(1, counts=(200,))}, "", PROVENANCE)
    line = line_of(saved[0].axes[0], PEER)
    assert len(line.get_xdata()) == 1
    assert line.get_marker() not in ("", "None")


def test_a_method_without_points_is_not_in_the_legend(tmp_path, figures):
    draw_curves(tmp_path, "set", {"snic": [], PEER: curve(1), OURS: curve(1)}, "", PROVENANCE)
    assert [in_legend(figure) for figure in figures] == [[PEER, OURS]] * 8


def test_without_any_point_all_figures_are_empty(tmp_path, saved):
    written = draw_curves(tmp_path, "set", {}, "", PROVENANCE)
    assert len(written) == len(CURVE_PANELS) + 1
    assert [in_legend(figure) for figure in saved] == [[]] * 8


def test_ours_are_thick_and_over_the_others(tmp_path, figures):
    draw_curves(tmp_path, "set", {"My PCNet": curve(1), PEER: curve(1)}, "", PROVENANCE)
    axes = figures[0].axes[0]
    ours, peer = line_of(axes, "My PCNet"), line_of(axes, PEER)
    assert ours.get_linewidth() > peer.get_linewidth()
    assert ours.get_zorder() > peer.get_zorder()


@pytest.mark.parametrize("name", ["a-name-of-many-parts/" * 6, "X" * 70])
def test_long_names_and_titles_stay_within_the_figure(tmp_path, name):
    curves = {f"{name}{number}": curve(number) for number in range(1, 5)}
    for path in draw_curves(tmp_path, "set", curves, name, PROVENANCE):
        _, pixels = read(path)
        assert (pixels[:, [0, -1]] == 255).all()
        assert (pixels[[0, -1]] == 255).all()


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    nowhere = tmp_path / "nowhere"
    message = f"there is no folder {nowhere} to write set-br-bp.png to"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        draw_curves(nowhere, "set", {OURS: curve(1)}, "", PROVENANCE)


def test_a_callers_settings_are_not_touched(tmp_path):
    before = dict(mpl.rcParams)
    draw_curves(tmp_path, "set", {OURS: curve(1)}, "", PROVENANCE)
    assert dict(mpl.rcParams) == before


# ---------------------------------------------------------------------------------- looks

MANY = [
    OURS,
    "pcnet-bsds500-v1/lattice",
    "pcnet-faithful-bsds500-v1/lattice",
    "scn-bsds500-v1/lattice",
    PEER,
    "skimage-slic-20",
    "opencv-slic",
    "opencv-slico",
    "opencv-lsc",
    "fast-slic",
    "snic",
    "opencv-seeds",
    "skimage-felzenszwalb",
    "watershed",
]


def test_the_order_of_methods_does_not_change_their_looks():
    assert looks_of(MANY) == looks_of(MANY[::-1])


def test_no_two_looks_are_alike():
    names = [*MANY, *(f"method {number}" for number in range(24 - len(MANY)))]
    looks = looks_of(names)
    assert len(set(looks.values())) == len(names)


@pytest.mark.parametrize("name", MANY[:-1])
def test_a_known_algorithm_has_its_colour_and_marker_whatever_else_is_drawn(name):
    assert looks_of([name])[name][:2] == looks_of(MANY)[name][:2]


def test_variants_of_an_algorithm_share_its_colour_and_differ_in_dashes():
    first, second = (looks_of(MANY)[name] for name in (PEER, "skimage-slic-20"))
    assert first.colour == second.colour
    assert first.dashes != second.dashes


def test_each_implementation_of_slic_has_its_own_colour_and_marker():
    looks = looks_of(MANY)
    assert len({looks[name][:2] for name in ("opencv-slic", "fast-slic", PEER)}) == 3


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_keeps_its_colour_and_marker_beside_all_others(peer):
    everything = looks_of([*MANY, *(each.name for each in PEERS)])
    assert looks_of([peer.name])[peer.name][:2] == everything[peer.name][:2]


def test_too_many_variants_of_an_algorithm_have_colours_of_their_own():
    names = ["SCN, whole", *(f"SCN, divided {parts} x {parts}" for parts in (2, 4, 6, 8, 10))]
    assert len({look.colour for look in looks_of(names).values()}) == 6


def test_an_unknown_method_takes_a_free_colour():
    looks = looks_of([OURS, PEER, "watershed"])
    assert len({look.colour for look in looks.values()}) == 3


# ---------------------------------------------------------------------------------- scale


def scale(factor, failed_side=math.inf):
    return [
        ScalePoint(side, None, None)
        if side >= failed_side
        else ScalePoint(side, factor * side**2 / 1e6, int(factor * side**2 * 100))
        for side in (512, 1024, 2048, 5000)
    ]


def test_time_and_memory_are_drawn_over_the_side(tmp_path, saved):
    path = draw_scale(tmp_path / "scale.png", {OURS: scale(1), PEER: scale(3)}, PROVENANCE)
    assert path == tmp_path / "scale.png"
    time, memory = saved[0].axes
    assert list(line_of(time, OURS).get_xdata()) == [512, 1024, 2048, 5000]
    assert list(line_of(time, OURS).get_ydata()) == [point.seconds for point in scale(1)]
    held = [point.peak_bytes / GIBIBYTE for point in scale(1)]
    assert list(line_of(memory, OURS).get_ydata()) == held
    assert [label.get_text() for label in time.get_xticklabels()] == ["512", "1K", "2K", "5000"]
    assert in_legend(saved[0]) == [OURS, PEER]


def test_a_line_ends_with_a_cross_where_memory_ran_out(tmp_path, saved):
    draw_scale(tmp_path / "scale.png", {OURS: scale(1), PEER: scale(3, failed_side=2048)}, PROVENANCE)
    for axes in saved[0].axes:
        assert max(line_of(axes, PEER).get_xdata()) == 1024
        crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
        assert [list(cross.get_xdata()) for cross in crosses] == [[2048]]
        last = line_of(axes, PEER).get_ydata()[-1]
        assert crosses[0].get_ydata()[0] == pytest.approx(4 * last)  # 4 times the pixels
    assert in_legend(saved[0]) == [OURS, PEER, OUT_OF_MEMORY]


def test_a_method_that_never_ran_is_a_cross_in_the_legend(tmp_path, saved):
    draw_scale(tmp_path / "scale.png", {OURS: scale(1), PEER: scale(1, failed_side=512)}, PROVENANCE)
    assert line_of(saved[0].axes[0], PEER).get_marker() == "x"
    assert in_legend(saved[0]) == [OURS, PEER, OUT_OF_MEMORY]


def test_memory_that_was_not_measured_leaves_its_panel_without_the_method(tmp_path, saved):
    points = [ScalePoint(512, 1.0, None), ScalePoint(1024, 4.0, None)]
    draw_scale(tmp_path / "scale.png", {PEER: points}, PROVENANCE)
    time, memory = saved[0].axes
    assert list(line_of(time, PEER).get_ydata()) == [1.0, 4.0]
    assert not memory.lines
    assert in_legend(saved[0]) == [PEER]


@pytest.mark.parametrize("series", [{}, {PEER: []}, {PEER: [ScalePoint(512, 1.0, GIBIBYTE)]}])
def test_little_measured_is_little_drawn(tmp_path, series):
    _, pixels = read(draw_scale(tmp_path / "scale.png", series, PROVENANCE))
    assert pixels.shape[1] == 1432


# ---------------------------------------------------------------------------------- panel

CROP = 40


def quarters(name="p1", **changes):
    """A grey crop with a cross of labels, under an annotation of two halves."""
    rows, columns = np.mgrid[:CROP, :CROP] // (CROP // 2)
    content = {
        "image": np.full((CROP, CROP, 3), 100, np.uint8),
        "truth": columns,
        "labels": {PEER: 2 * rows + columns},
        "counts": {PEER: 1234},
    }
    return PanelRow(name, **content | changes)


def tiles_of(path, side):
    """The crops in a panel of one row, found as the squares that are not white or text."""
    _, pixels = read(path)
    is_crop = (pixels == 100).all(axis=2) | (pixels == BOUNDARY_COLOUR).all(axis=2)
    top = np.flatnonzero(is_crop.sum(axis=1) > side // 2)[0]
    lefts = np.flatnonzero(np.diff(is_crop[top + 3].astype(int), prepend=0) == 1)
    return [pixels[top : top + side, left : left + side] for left in lefts]


def test_borders_are_one_pixel_wide_where_labels_change(tmp_path):
    path = draw_panel(tmp_path / "panel.png", [quarters()], PROVENANCE)
    side, middle = 8 * CROP, 4 * CROP - 1  # enlarged 8 times, to 320 pixels
    annotation, peer = tiles_of(path, side)
    expected = np.full((side, side, 3), 100)
    expected[:, middle] = BOUNDARY_COLOUR
    np.testing.assert_array_equal(annotation, expected)
    expected[middle] = BOUNDARY_COLOUR
    np.testing.assert_array_equal(peer, expected)


def test_a_large_crop_is_shown_at_its_own_pixels(tmp_path):
    side = 330
    large = quarters(
        image=np.full((side, side, 3), 100, np.uint8),
        truth=None,
        labels={PEER: np.zeros((side, side), int)},
    )
    picture, peer = tiles_of(draw_panel(tmp_path / "panel.png", [large], PROVENANCE), side)
    np.testing.assert_array_equal(picture, large.image)
    np.testing.assert_array_equal(peer, large.image)


def test_columns_are_named_and_crops_have_their_count(tmp_path, saved):
    row = quarters(labels={PEER: quarters().truth, OURS: quarters().truth}, counts={PEER: 1234, OURS: 99})
    draw_panel(tmp_path / "panel.png", [row], PROVENANCE)
    joined = [each.replace("\n", "") for each in words(saved[0])]
    assert joined == ["annotation", PEER, OURS, "p1", "K = 1,234", "K = 99"]


def test_without_annotations_the_first_column_is_the_picture(tmp_path, saved):
    draw_panel(tmp_path / "panel.png", [quarters(truth=None)], PROVENANCE)
    assert words(saved[0])[0] == "picture"


def test_a_method_that_a_row_does_not_have_leaves_its_cell_empty(tmp_path):
    rows = [quarters("p1"), quarters("p2", labels={}, counts={})]
    path = draw_panel(tmp_path / "panel.png", rows, PROVENANCE)
    _, pixels = read(path)
    assert (pixels == 100).all(axis=2).sum() > 2.5 * (8 * CROP) ** 2
    assert (pixels == 100).all(axis=2).sum() < 3 * (8 * CROP) ** 2


def test_rows_of_other_shapes_are_laid_out_in_cells_of_the_largest(tmp_path):
    flat = quarters("p2", image=np.full((30, 90, 3), 100, np.uint8), truth=None, labels={}, counts={})
    _, pixels = read(draw_panel(tmp_path / "panel.png", [quarters(), flat], PROVENANCE))
    assert (pixels[:, -1] == 255).all()
    assert (pixels == 100).all(axis=2).sum() > 90 * 90


def test_a_panel_without_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^a panel needs at least one row, got none$"):
        draw_panel(tmp_path / "panel.png", [], PROVENANCE)


def test_an_image_that_is_not_8_bit_rgb_is_refused():
    message = "image must be (H, W, 3) uint8, got (40, 40) float64 for p1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        quarters(image=np.zeros((40, 40)))


def test_labels_of_another_shape_are_refused():
    message = f"labels must have the crop's shape (40, 40), got (40, 39) of {PEER} for p1"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        quarters(labels={PEER: np.zeros((40, 39), int)})


def test_a_panel_is_as_wide_as_its_pixels_whatever_their_number(tmp_path, saved):
    for width in range(101, 110, 2):
        row = quarters(image=np.full((20, width, 3), 100, np.uint8), truth=None, labels={}, counts={})
        _, pixels = read(draw_panel(tmp_path / "panel.png", [row], PROVENANCE))
        assert pixels.shape[1] == math.floor(saved[-1].get_figwidth() * DPI)
        assert (pixels[:, -1] == 255).all()
