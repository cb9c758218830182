"""Learning the rest without a window: strokes, what is predicted of the others, accepting, files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject

from napari_pcnet import RegionForest, region_features
from napari_pcnet.hierarchy import Measures, PCNetHierarchy
from napari_pcnet.learning.cuts import CutPrediction
from napari_pcnet.merging.tree import Tree
from napari_pcnet.plugin import learning as learning_module
from napari_pcnet.plugin.annotated_layer import OUTLINE
from napari_pcnet.plugin.annotating import Annotating
from napari_pcnet.plugin.cutting import Cutting
from napari_pcnet.plugin.layer_cut import LayerCut
from napari_pcnet.plugin.learning import TREES, Learning
from napari_pcnet.plugin.opening import OBJECTS
from napari_pcnet.plugin.predicted_layer import CLASSES, OPACITY, STEPS
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.results import Results
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import Origin, RunRecord

CELL, SIDE = 6, 8
"""Pixels of a region, and regions of a picture, along a side."""

REGIONS = SIDE * SIDE
PAIRS = REGIONS // 2
"""At this count each region is joined with the one to its right."""

KINDS = np.repeat([[1, 2]], SIDE, axis=0).repeat(SIDE // 2, axis=1).ravel()
"""The class of each region: the left half is dark, the right half bright."""


def _grid(planes: int = 1) -> PCNetHierarchy:
    """Square regions: first pairs, then all of them, are joined."""
    pairs = np.arange(REGIONS).reshape(-1, 2)
    rest = [[REGIONS, REGIONS + 1]]
    rest += [[REGIONS + at, REGIONS + PAIRS + at - 2] for at in range(2, PAIRS)]
    tree = Tree(REGIONS, np.concatenate([pairs, np.array(rest)]), np.arange(1.0, REGIONS))
    base = np.arange(REGIONS, dtype=np.int32).reshape(SIDE, SIDE).repeat(CELL, axis=0).repeat(CELL, axis=1)
    measures = Measures(np.full(REGIONS, CELL**2), np.ones((REGIONS, 1)), np.empty(0))
    if planes > 1:
        base = np.stack([base + plane * REGIONS for plane in range(planes)])
    return PCNetHierarchy(base, (tree,) * planes, (measures,) * planes)


def _picture(hierarchy: PCNetHierarchy) -> NDArray[np.uint8]:
    bright = (KINDS[hierarchy.base % REGIONS] - 1) * 120
    noise = np.random.default_rng(4).integers(0, 40, bright.shape)
    return (bright + noise).astype(np.uint8)


class Desk:
    """A viewer's model with a result of square regions under annotation."""

    def __init__(
        self,
        qtbot: QtBot,
        hierarchy: PCNetHierarchy,
        picture: NDArray[Any],
        editable_px: int = 10**9,
    ) -> None:
        self.qtbot, self.viewer, self.parent = qtbot, ViewerModel(), QObject()
        self.hierarchy, self.picture = hierarchy, picture
        record = RunRecord(REGIONS, max_segments=REGIONS, channel_axis=-1 if picture.ndim > 3 else None)
        image = Image(picture, name="image", scale=(*[1.0] * (hierarchy.base.ndim - 2), 0.5, 0.5))
        self.viewer.add_layer(image)
        source = Source(image, 0, None)
        self.result = ResultLayer(self.viewer, source, source.planes(record), editable_px)
        self.result.finish(hierarchy, LayerCut.make(hierarchy, record, Origin("image")))
        self.results = Results()
        self.results.add(self.result)
        self.cutting = Cutting(self.results, self.parent)
        self.annotating = Annotating(self.results, self.cutting, self.parent)
        self.learning = Learning(self.annotating, self.parent)
        self.messages: list[str] = []
        for part in (self.annotating, self.learning):
            part.message.connect(self.messages.append)
        self.cutting.slid.connect(self.annotating.show_cut)
        self.viewer.layers.events.removed.connect(lambda event: self._forget(event.value))
        self.annotating.start()
        qtbot.waitUntil(lambda: not self.annotating.is_opening, timeout=60_000)

    def _forget(self, layer: Any) -> None:
        self.annotating.forget(layer)
        self.learning.forget(layer)

    def paint(self, **regions: list[int]) -> None:
        """Give regions of the base a class: ``paint(c1=[0, 5])``."""
        assert self.annotating.annotation is not None
        for number, each in ((int(name[1:]), each) for name, each in regions.items()):
            while number and number not in self.annotating.classes:
                self.annotating.add_class()
            with self.annotating.annotation.stroke():
                for region in each:
                    self.annotating.annotation.assign(region, number)

    def learn(self) -> None:
        self.learning.learn()
        self.wait()

    def wait(self) -> None:
        self.qtbot.waitUntil(lambda: not self.learning.is_busy, timeout=60_000)
        self.qtbot.wait(5)

    @property
    def cut(self) -> CutPrediction:
        """What is predicted of the superpixels that are shown."""
        assert self.learning._pooled is not None
        return self.learning._pooled.cut

    @property
    def predicted(self) -> Labels:
        (layer,) = (each for each in self.viewer.layers if each.name == "image predicted")
        return layer

    def codes(self) -> NDArray[Any]:
        """What is shown as predicted, in the middle of each region."""
        layer = self.predicted
        pixels = np.asarray(layer.data[0] if layer.multiscale else layer.data)
        if not layer.multiscale and pixels.ndim == 2:  # what napari draws is that
            assert_array_equal(layer._slice.image.raw, pixels)
        return np.asarray(pixels[..., CELL // 2 :: CELL, CELL // 2 :: CELL].reshape(-1))


@pytest.fixture
def desk(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Desk]:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    desk = Desk(qtbot, _grid(), _picture(_grid()))
    yield desk
    desk.annotating.end()


SOME = {"c1": [0, 9, 18, 35, 48], "c2": [6, 15, 29, 39, 62]}


def test_the_rest_is_predicted_below_the_classes_where_nothing_is_annotated(desk: Desk) -> None:
    desk.paint(**SOME)
    layers = [each.name for each in desk.viewer.layers]
    desk.learn()
    given = np.isin(np.arange(REGIONS), [*SOME["c1"], *SOME["c2"]])
    assert_array_equal(desk.codes() % CLASSES, np.where(given, 0, KINDS))
    assert [each.name for each in desk.viewer.layers] == [*layers[:2], "image predicted", *layers[2:]]
    assert desk.viewer.layers.selection.active == desk.annotating.layer
    assert desk.predicted.opacity == OPACITY and not desk.predicted.editable
    assert desk.messages[-1] == "learnt from 10 superpixels; N jumps to the superpixel that is least certain"


def test_it_is_the_forest_of_the_library(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    table = region_features(desk.picture, desk.hierarchy.base, background=-1)
    numbers = np.zeros(REGIONS, int)
    numbers[SOME["c1"]], numbers[SOME["c2"]] = 1, 2
    single = {name: column.astype(np.float32) for name, column in table.items()}
    expected = RegionForest.fit(single, numbers, trees=TREES).predict(single)
    assert desk.learning.forest is not None
    step = np.minimum((1 - expected.uncertainty) * STEPS, STEPS - 1).astype(int)
    shown = np.where(numbers == 0, expected.number + CLASSES * step, 0)
    assert_array_equal(desk.codes(), shown)


def test_colours_are_those_of_the_classes_and_fade_with_certainty(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    desk.annotating.change_class(2, {"colour": "#ff0000", "name": "roof"})
    mapped = desk.predicted.colormap.map(np.array([2, 2 + CLASSES, 2 + 3 * CLASSES, 77]))
    np.testing.assert_allclose(mapped[:, 0], [1, 1, 1, 0])
    np.testing.assert_allclose(mapped[:, 3], [0.25, 0.5, 1, 0], atol=0.01)
    texts = dict(zip(desk.predicted.features["index"], desk.predicted.features["predicted"], strict=True))
    assert texts[2 + CLASSES] == "roof, ahead of the next class by 25 to 50% of the votes"


def test_a_stroke_takes_its_regions_out_of_what_is_predicted_and_undo_puts_them_back(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    before = desk.codes()
    desk.paint(c1=[63])
    desk.qtbot.wait(5)
    assert before[63] and not desk.codes()[63]
    desk.annotating.undo()
    desk.qtbot.wait(5)
    assert_array_equal(desk.codes(), before)


def test_the_brush_pools_what_is_predicted(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    desk.cutting.slide(PAIRS)
    desk.qtbot.wait(5)
    desk.wait()
    cut = desk.cut
    assert len(cut.starts) == PAIRS
    pairs = np.where(desk.codes().reshape(-1, 2) == 0, 0, desk.codes().reshape(-1, 2))
    shown = pairs[(pairs != 0).all(axis=1)]
    assert len(shown) and (shown[:, 0] == shown[:, 1]).all()
    desk.qtbot.waitUntil(lambda: desk.cutting.is_settled, timeout=60_000)


def test_votes_are_pooled_beside_the_viewer_and_what_is_asked_meanwhile_is_of_the_cut_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[object] = []
    of = CutPrediction.of

    def noted(*arguments: Any) -> CutPrediction:
        threads.append(threading.current_thread())
        return of(*arguments)

    monkeypatch.setattr(learning_module.CutPrediction, "of", noted)
    desk.paint(c1=[0, 9, 18, 35, 48], c2=[6, 14, 29, 39, 62])
    desk.learn()
    desk.annotating.choose_class(2)
    for n in (REGIONS - 1, 1, PAIRS):  # of which only the last is wanted
        desk.cutting.slide(n)
        desk.qtbot.wait(1)
    desk.learning.accept()
    desk.wait()
    assert len(desk.cut.starts) == PAIRS and threading.current_thread() not in threads
    assert desk.messages[-1] == "16 superpixels are 'class 2' now; Ctrl+Z undoes it"
    desk.cutting.slide(REGIONS)
    desk.learning.jump()
    desk.annotating.end()
    desk.wait()
    assert not desk.messages[-1].endswith("of the votes")  # nothing is left to go to


def test_after_each_stroke_it_is_learnt_again(desk: Desk) -> None:
    desk.learning.switch(True)
    desk.messages.clear()
    desk.paint(c1=[0, 1])
    assert not desk.learning.is_busy and not desk.messages  # of one class nothing can be learnt
    desk.paint(c2=[7, 6])
    assert desk.learning.is_busy
    desk.paint(c2=[15], c1=[8])  # while it is learning
    desk.wait()
    assert desk.messages[-1].startswith("learnt from 6 superpixels")
    desk.learning.switch(False)
    desk.paint(c1=[9])
    assert not desk.learning.is_busy


def test_n_jumps_to_the_least_certain_then_to_the_next_and_outlines_it(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    cut = desk.cut
    assert desk.annotating.annotation is not None
    free = [at for at in cut.least_certain() if not desk.annotating.annotation.numbers[cut.starts[at]]]
    for at in free[:3]:
        desk.annotating.next_asked.emit()
        desk.qtbot.wait(5)
        (region,) = cut.regions_of(int(at))
        row, column = np.argwhere(desk.hierarchy.base == region)[CELL**2 // 2]
        np.testing.assert_allclose(desk.viewer.scene.camera.center[-2:], (row / 2, column / 2))
        outline = np.asarray(desk.viewer.layers[OUTLINE].data)
        assert_array_equal(outline == 1, desk.hierarchy.base == region)
        share = np.sort(cut.parts.share[at])
        first, second = ("class 1", "class 2") if cut.parts.number[at] == 1 else ("class 2", "class 1")
        lead = f"{share[-1] - share[-2]:.0%}"
        assert desk.messages[-1] == f"{first}, ahead of {second} by {lead} of the votes"
    desk.paint(c1=[int(cut.regions_of(int(free[3]))[0])])
    desk.learning.jump()
    desk.qtbot.wait(5)
    (after,) = cut.regions_of(int(free[4]))  # the fourth has a class by now
    assert np.asarray(desk.viewer.layers[OUTLINE].data)[desk.hierarchy.base == after].all()
    for _ in range(REGIONS):
        desk.learning.jump()
    assert "all superpixels have been seen; N begins again" in desk.messages


def test_a_class_is_accepted_in_one_stroke(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    annotation = desk.annotating.annotation
    assert annotation is not None
    desk.annotating.choose_class(2)
    desk.learning.accept()
    desk.qtbot.wait(5)
    expected = np.where(KINDS == 2, 2, 0)
    expected[SOME["c1"]] = 1
    assert_array_equal(annotation.table[:-1], expected)
    assert desk.messages[-1] == "27 superpixels are 'class 2' now; Ctrl+Z undoes it"
    assert not (desk.codes() % CLASSES == 2).any()
    desk.learning.accept()
    assert desk.messages[-1] == "nothing is predicted to be 'class 2'"
    desk.annotating.undo()
    assert annotation.regions_of(2) == 5
    desk.annotating.choose_class(0)
    desk.learning.accept()
    assert desk.messages[-1] == "choose the class to accept"


def test_a_forest_is_saved_and_loaded_for_another_picture(
    desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.paint(**SOME)
    desk.annotating.change_class(2, {"name": "roof"})
    desk.learn()
    path = str(tmp_path / "roofs.safetensors")
    desk.learning.save(path)
    assert desk.messages[-1] == f"saved the forest as {path}"
    desk.annotating.end()
    assert "image predicted" not in [each.name for each in desk.viewer.layers]
    assert desk.learning.forest is None
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path / "other"))
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)  # type: ignore[arg-type]  # is not needed
    other = Desk(qtbot, _grid(), _picture(_grid())[:, ::-1])
    other.learning.load(path)
    other.wait()
    assert_array_equal(other.codes() % CLASSES, 3 - KINDS)
    assert [each.name for each in other.annotating.classes] == ["class 1", "roof"]
    assert other.messages[-1].startswith("the forest was asked")
    other.annotating.end()


def test_classes_of_a_forest_name_those_that_have_no_name_and_others_are_told_of(
    desk: Desk, tmp_path: Path
) -> None:
    table = region_features(desk.picture, desk.hierarchy.base, background=-1)
    names = {1: "fur", 2: "eye"}
    RegionForest.fit(table, KINDS, names=names, trees=3).save(tmp_path / "cat.safetensors")
    desk.paint(c2=[])
    desk.annotating.change_class(2, {"name": "roof"})
    desk.learning.load(str(tmp_path / "cat.safetensors"))
    desk.wait()
    assert [each.name for each in desk.annotating.classes] == ["fur", "roof"]
    assert desk.messages[-1].endswith("least certain; class 2 is 'roof' here and 'eye' in the forest")


def test_a_class_that_is_named_after_it_is_learnt_has_that_name_in_messages_and_in_the_file(
    desk: Desk, tmp_path: Path
) -> None:
    desk.paint(**SOME)
    desk.learn()
    desk.annotating.change_class(1, {"name": "sea"})
    desk.annotating.change_class(2, {"name": "roof"})
    said = set()
    for _ in range(REGIONS - len(SOME["c1"]) - len(SOME["c2"])):
        desk.learning.jump()
        said.add(desk.messages[-1].split(",")[0])
    assert said == {"sea", "roof"}
    path = tmp_path / "named.safetensors"
    desk.learning.save(str(path))
    assert RegionForest.load(path).names == ("sea", "roof")


def test_a_forest_that_is_loaded_while_another_is_learnt_comes_after_it(desk: Desk, tmp_path: Path) -> None:
    table = region_features(desk.picture, desk.hierarchy.base, background=-1)
    RegionForest.fit(table, 3 - KINDS, trees=3).save(tmp_path / "other.safetensors")
    desk.paint(**SOME)
    desk.learning.learn()
    desk.learning.load(str(tmp_path / "other.safetensors"))
    desk.wait()
    assert desk.messages[-1].startswith("the forest was asked")
    assert desk.codes()[63 - 1] == 0 and desk.codes()[61] % CLASSES == 1


def test_a_forest_that_looks_at_the_embedding_is_asked_with_it_and_teaches_none_to_the_next(
    desk: Desk, tmp_path: Path
) -> None:
    desk.paint(**SOME)
    desk.learn()
    assert desk.learning.forest is not None
    before = desk.learning.forest.features
    table = region_features(desk.picture, desk.hierarchy.base, background=-1, embedding=True)
    seeing = {name: column.astype(np.float32) for name, column in table.items() if name.startswith("emb")}
    seeing["intensity_mean-0"] = table["intensity_mean-0"].astype(np.float32)
    fitted = RegionForest.fit(seeing, KINDS, trees=3)
    fitted.save(tmp_path / "seeing.safetensors")
    desk.learning.load(str(tmp_path / "seeing.safetensors"))
    desk.wait()
    assert desk.learning._learnt is not None
    assert_array_equal(desk.learning._learnt.votes, fitted.predict(seeing).share)
    desk.learn()
    assert desk.learning.forest.features == before


def test_what_cannot_be_done_is_one_sentence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def said(act: Any) -> str:
        act()
        return desk.messages[-1]

    assert said(desk.learning.learn) == "paint two classes before the rest is learnt"
    desk.paint(c1=[0, 1, 2])
    assert said(desk.learning.learn) == "paint two classes before the rest is learnt"
    assert said(desk.learning.jump) == "learn the rest first"
    assert said(desk.learning.accept) == "learn the rest first"
    assert said(lambda: desk.learning.save("f.safetensors")) == "learn or load a forest first"
    path = tmp_path / "f.safetensors"
    assert said(lambda: desk.learning.load(str(path))) == f"forest {path} does not exist"
    path.write_bytes(b"cos\nsystem\n")
    refusal = f"{path} is no forest that RegionForest.save wrote, or is damaged"
    assert said(lambda: desk.learning.load(str(path))) == refusal
    colours = region_features(np.dstack([desk.picture] * 3), desk.hierarchy.base, background=-1)
    RegionForest.fit(colours, KINDS, trees=2).save(path)
    desk.learning.load(str(path))
    desk.wait()
    assert desk.messages[-1] == "the forest is for pictures of 3 channels, got 1 channel"
    desk.paint(c2=[7])
    desk.learn()
    assert said(lambda: desk.learning.save(str(tmp_path / "f.pkl"))).endswith("must end in .safetensors")
    gone = tmp_path / "gone" / "f.safetensors"
    sentence = f"output folder {gone.parent} does not exist; make it first"
    assert said(lambda: desk.learning.save(str(gone))) == sentence
    missing: ModuleSpec | None = None
    monkeypatch.setattr(learning_module, "find_spec", lambda _name: missing)
    sentence = "scikit-learn is not installed; pip install 'napari-pcnet[learn]'"
    assert said(desk.learning.learn) == sentence
    desk.annotating.start(OBJECTS)
    assert said(desk.learning.learn) == "annotate classes first"


def test_a_class_whose_regions_are_all_not_a_number_is_none(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    picture = _picture(_grid()).astype(np.float32)
    picture[:CELL, -CELL:] = np.nan  # region 7
    desk = Desk(qtbot, _grid(), picture)
    desk.paint(c1=[0, 9], c2=[7])
    desk.learn()
    assert desk.messages[-1] == "at least two classes must have regions to learn from, got class 1 alone"
    desk.paint(c0=[7])
    desk.paint(**SOME)
    desk.learn()
    assert desk.codes()[7] == 0 and desk.codes()[[5, 14, 23]].min() % CLASSES == 2
    for _ in range(REGIONS - 10):
        desk.learning.jump()
    assert desk.messages[-1] == "nothing can be said of this one: the picture has no values here"
    desk.annotating.end()


def test_a_layer_that_is_removed_comes_back_with_the_next_forest(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learn()
    desk.viewer.layers.remove(desk.predicted)
    desk.paint(c1=[1])
    desk.cutting.slide(PAIRS)
    desk.qtbot.wait(5)
    assert not desk.learning.layers
    desk.learn()
    assert desk.predicted in desk.learning.layers
    desk.qtbot.waitUntil(lambda: desk.cutting.is_settled, timeout=60_000)


def test_ending_while_it_learns_leaves_nothing(desk: Desk) -> None:
    desk.paint(**SOME)
    desk.learning.learn()
    desk.annotating.end()
    desk.wait()
    assert not desk.learning.layers and desk.learning.forest is None
    assert [each.name for each in desk.viewer.layers] == ["image", "image superpixels", "image classes"]


def test_planes_are_learnt_together_and_n_shows_the_plane(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    desk = Desk(qtbot, _grid(2), _picture(_grid(2)))
    desk.paint(c1=SOME["c1"], c2=[REGIONS + at for at in SOME["c2"]])
    desk.learn()
    shown = desk.codes() % CLASSES
    given = [*SOME["c1"], *(REGIONS + at for at in SOME["c2"])]
    assert_array_equal(shown, np.where(np.isin(np.arange(2 * REGIONS), given), 0, np.tile(KINDS, 2)))
    planes = set()
    for _ in range(2 * REGIONS - len(given)):
        desk.learning.jump()
        planes.add(desk.viewer.dims.current_step[0])
        region = desk.annotating._shown._node if desk.annotating._shown is not None else -1
        assert region // REGIONS == desk.viewer.dims.current_step[0]
    assert planes == {0, 1}
    desk.annotating.end()


def test_a_pyramid_is_looked_up(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    desk = Desk(qtbot, _grid(), _picture(_grid()), editable_px=1)
    desk.paint(**SOME)
    desk.learn()
    assert desk.predicted.multiscale
    assert (desk.codes()[[1, 7]] % CLASSES).tolist() == [1, 2]
    desk.annotating.end()
