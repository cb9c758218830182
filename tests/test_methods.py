"""Our methods as the benchmarks know them."""

import pickle
import re

import numpy as np
import pytest
import torch

from napari_pcnet import metrics, pcnet_superpixels, weights
from napari_pcnet.evaluation import methods
from napari_pcnet.evaluation.methods import OurMethod, choose, ours
from napari_pcnet.network import inference
from napari_pcnet.network.predictor import FloatPredictor
from napari_pcnet.options import Options

FAITHFUL = "pcnet-faithful-bsds500-v1"


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(2)
    smooth = np.add.outer(np.arange(150), np.arange(200))[..., None] * [1, 0.5, 0.2]
    return np.clip(smooth + rng.normal(0, 8, (150, 200, 3)), 0, 255).astype(np.uint8)


def refuses(error, message):
    return pytest.raises(error, match="^" + re.escape(message) + "$")


def test_every_shipped_weight_is_there_in_both_ways():
    for name in weights.names():
        assert {f"{name}/hierarchy", f"{name}/lattice"} <= set(methods.known())


def test_slow_peers_are_measured_only_if_they_are_named():
    on_request = {peer.name for peer in methods.PEERS if peer.on_request}
    assert set(methods.known()) - set(methods.usual()) == on_request


def test_the_hierarchy_is_what_the_function_gives(picture):
    hierarchy = ours(OurMethod(Options.model))
    for count in (40, 7):
        assert np.array_equal(hierarchy(picture, count), pcnet_superpixels(picture, count))


def test_the_lattice_is_the_papers_way(picture):
    expected = pcnet_superpixels(picture, 40, model=FAITHFUL, method="lattice")
    assert np.array_equal(choose([f"{FAITHFUL}/lattice"]).methods[0](picture, 40), expected)


def test_windows_do_not_change_the_lattice(picture):
    whole, windowed = (ours(OurMethod(FAITHFUL, "lattice", windows=windows)) for windows in (1, 2))
    assert whole.seams(picture.shape[:2], 117).cut == ([], [])
    # 9 x 13 cells are 144 x 208 work pixels; half of the longer side is 104, in strides of 64: 128.
    cut, lattice = windowed.seams(picture.shape[:2], 117)
    assert cut == ([133], [123])
    assert [len(lines) for lines in lattice] == [7, 11]
    assert np.allclose(np.diff(sorted(cut[1] + lattice[1])), 200 / 13, atol=1)
    assert np.mean(whole(picture, 117) != windowed(picture, 117)) <= 0.001


def test_divide_and_conquer_segments_each_part_on_its_own(picture):
    divided = ours(OurMethod(FAITHFUL, "lattice", divide=2))
    labels = divided(picture, 80)
    cut, lattice = divided.seams(picture.shape[:2], 80)
    assert cut == ([75], [100])
    # Each part has 4 x 5 cells.
    assert lattice == ([19, 37, 56, 94, 112, 131], [20, 40, 60, 80, 120, 140, 160, 180])
    part = pcnet_superpixels(np.ascontiguousarray(picture[75:, :100]), 20, model=FAITHFUL, method="lattice")
    assert len(np.unique(labels[75:, :100])) == len(np.unique(part))
    assert metrics.boundary_recall(labels[75:, :100], part, 0) == 1
    assert np.all(labels[74] != labels[75])
    assert np.all(labels[:, 99] != labels[:, 100])


@pytest.mark.parametrize(
    "asked",
    [
        OurMethod(FAITHFUL),
        OurMethod(FAITHFUL, "lattice", windows=2),
        OurMethod(FAITHFUL, "lattice", divide=2),
    ],
)
def test_a_method_can_be_sent_to_another_process(asked):
    method = ours(asked)
    again = pickle.loads(pickle.dumps(method))
    assert (again.name, again.described()) == (method.name, method.described())


def test_windows_that_do_not_fit_are_not_measured_as_smaller_ones(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(FloatPredictor, "trunk", full)
    monkeypatch.setattr(inference, "RUN_BYTES", 0)  # of small pictures, nothing else counts
    monkeypatch.setattr(inference, "MANY_RUN_BYTES", 0)
    picture = np.zeros((1200, 1200, 3), np.uint8)
    with pytest.raises(MemoryError, match="memory is short: the picture is segmented in windows of"):
        ours(OurMethod(FAITHFUL, "lattice", windows=1))(picture, 5000)


def test_other_settings_are_described_otherwise():
    ways = [
        OurMethod(FAITHFUL),
        OurMethod(FAITHFUL, compactness=2.5),
        OurMethod(FAITHFUL, compactness=2.5, smoothing=2.0),
        OurMethod(FAITHFUL, "lattice", divide=2),
        OurMethod(FAITHFUL, "lattice"),
        OurMethod(FAITHFUL, "lattice", windows=2),
        OurMethod("pcnet-bsds500-v1"),
    ]
    assert len({ours(each).described() for each in ways}) == len(ways)


def test_an_unknown_method_is_refused():
    there = ", ".join(methods.known())
    with refuses(ValueError, f"no method is called 'slick'; there are {there}, and FILE/hierarchy"):
        choose(["slick"])


def test_one_name_for_two_methods_is_refused():
    with refuses(ValueError, "two methods are called 'opencv-slic'; give one of them another name"):
        choose(["opencv-slic"], [OurMethod(FAITHFUL, name="opencv-slic")])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"smoothing": 2.0, "method": "lattice"}, "smoothing goes with method = 'hierarchy' alone"),
        ({"divide": 0}, "divide must be at least 1 and windows at least 0, got 0 and 0"),
        ({"windows": -1}, "divide must be at least 1 and windows at least 0, got 1 and -1"),
        ({"windows": 2}, "divide and windows go with method = 'lattice' alone"),
        ({"divide": 2}, "divide and windows go with method = 'lattice' alone"),
        ({"method": "lattice", "windows": 2, "divide": 2}, "divide and windows do not go together"),
    ],
)
def test_ways_that_do_not_go_together_are_refused(wrong, message):
    with refuses(ValueError, message):
        OurMethod(FAITHFUL, **wrong)
