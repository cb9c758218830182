"""Annotating without a window: mouse and keys on the layer of classes, its table, its journal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_double_click_callbacks,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
    mouse_wheel_callbacks,
)
from napari.utils.key_bindings import KeymapHandler
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject
from qtpy.QtGui import QIcon

from napari_pcnet.annotation.journal import Journal, fingerprint, place_of
from napari_pcnet.hierarchy import Measures, PCNetHierarchy
from napari_pcnet.merging.tree import Tree
from napari_pcnet.plugin.annotated_layer import OUTLINE
from napari_pcnet.plugin.annotating import Annotating
from napari_pcnet.plugin.annotation_panel import AREA, KEY, LOCK, NAME, SWATCH_PX, AnnotationPanel
from napari_pcnet.plugin.cutting import Cutting
from napari_pcnet.plugin.layer_cut import LayerCut, LookupArray
from napari_pcnet.plugin.opening import CLASSES, OBJECTS
from napari_pcnet.plugin.result_layer import ResultLayer
from napari_pcnet.plugin.results import Results
from napari_pcnet.plugin.source import Source
from napari_pcnet.record import Origin, RunRecord

CELL = 10
"""Side of a region in pixels."""

TREE = Tree(6, np.array([[0, 1], [4, 5], [2, 7], [3, 6], [8, 9]]), np.arange(1.0, 6.0))
"""Six squares in two rows, 0 1 2 and 3 4 5. At three parts they are {0, 1}, {3}, {2, 4, 5}; at two, {0, 1, 3}
and {2, 4, 5}."""

SCALE = 0.5
"""Of a pixel in the world."""

PLACE: dict[str, Any] = {"scale": (SCALE, SCALE)}
"""Of a layer over the picture."""


def squares() -> PCNetHierarchy:
    base = np.arange(6, dtype=np.int32).reshape(2, 3).repeat(CELL, axis=0).repeat(CELL, axis=1)
    area = np.full(6, CELL**2)
    return PCNetHierarchy(base, (TREE,), (Measures(area, np.ones((6, 1)), np.empty(0)),))


class Desk:
    """A viewer's model with a result of squares, and what a user does with it."""

    def __init__(
        self,
        qtbot: QtBot,
        editable_px: int = 10**9,
        kind: str = CLASSES,
        hierarchy: PCNetHierarchy | None = None,
    ) -> None:
        self.qtbot, self.viewer, self.parent = qtbot, ViewerModel(), QObject()
        self.hierarchy, record = hierarchy or squares(), RunRecord(3, max_segments=6, channel_axis=None)
        shape = self.hierarchy.base.shape
        image = Image(
            np.zeros(shape, np.uint8), name="image", scale=(*[1.0] * (len(shape) - 2), SCALE, SCALE)
        )
        self.viewer.add_layer(image)
        source = Source(image, 0, None)
        self.result = ResultLayer(self.viewer, source, source.planes(record), editable_px)
        self.result.finish(self.hierarchy, LayerCut.make(self.hierarchy, record, Origin("image")))
        self.results = Results()
        self.results.add(self.result)
        self.cutting = Cutting(self.results, self.parent)
        self.annotating = Annotating(self.results, self.cutting, self.parent)
        self.messages: list[str] = []
        self.annotating.message.connect(self.messages.append)
        self.cutting.slid.connect(self.annotating.show_cut)
        self.start(kind)

    def start(self, kind: str = CLASSES) -> None:
        """Annotate, and wait until that has begun, or was refused."""
        self.annotating.start(kind)
        self.wait()

    def wait(self) -> None:
        self.qtbot.waitUntil(lambda: self.annotating._job is None, timeout=60_000)

    @property
    def layer(self) -> Labels:
        layer = self.annotating.layer
        assert layer is not None
        return layer

    @property
    def outline(self) -> Labels:
        (layer,) = (each for each in self.viewer.layers if each.name == OUTLINE)
        return layer

    def classes(self) -> list[int]:
        """The class in the middle of each square, once the event loop has turned."""
        self.qtbot.wait(1)
        return middles(self.layer)

    def outlined(self) -> list[int]:
        """The squares that are outlined."""
        self.qtbot.wait(1)
        return np.flatnonzero(middles(self.outline)).tolist()

    def drag(self, *squares: int, modifiers: tuple[str, ...] = ()) -> None:
        """Press in the middle of a square, move over others, release."""
        mouse_press_callbacks(self.layer, event("mouse_press", squares[0], modifiers))
        for square in squares[1:]:
            mouse_move_callbacks(self.layer, event("mouse_move", square, modifiers, is_dragging=True))
        mouse_release_callbacks(self.layer, event("mouse_release", squares[-1], modifiers))

    def hover(self, square: int) -> None:
        self.viewer.cursor.position = world_of(square)
        mouse_move_callbacks(self.layer, event("mouse_move", square))

    def turn(self, square: int, delta: float) -> None:
        mouse_wheel_callbacks(self.viewer, event("mouse_wheel", square, ("Alt",), delta=(0.0, delta)))

    def press(self, key: str) -> None:
        handler = KeymapHandler()
        handler.keymap_providers = [self.viewer.layers.selection.active, self.viewer]
        handler.press_key(key)
        handler.release_key(key)


def middles(layer: Labels) -> list[int]:
    pixels: NDArray[Any] = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    shown = pixels[CELL // 2 :: CELL, CELL // 2 :: CELL].ravel()
    if not layer.multiscale:  # what napari draws is that
        assert_array_equal(layer._slice.image.raw, pixels)
    return [int(each) for each in shown]


def world_of(square: int) -> tuple[float, float]:
    row, column = divmod(square, 3)
    return ((row + 0.5) * CELL * SCALE, (column + 0.5) * CELL * SCALE)


def event(
    kind: str, square: int, modifiers: tuple[str, ...] = (), **more: Any
) -> ReadOnlyWrapper[SimpleNamespace]:
    fields = {"button": 1, "is_dragging": False, "handled": False, "dims_displayed": [0, 1], **more}
    native = SimpleNamespace(inverted=lambda: False)
    given = SimpleNamespace(
        type=kind, position=world_of(square), modifiers=modifiers, native=native, **fields
    )
    return ReadOnlyWrapper(given, exceptions=("handled",))


@pytest.fixture
def desk(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Desk]:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    desk = Desk(qtbot)
    yield desk
    desk.annotating.end()


def test_a_click_gives_the_superpixel_the_class_and_again_clears_it(desk: Desk) -> None:
    assert desk.layer.name == "image classes" and desk.layer.data.dtype == np.uint8
    assert desk.viewer.layers.selection.active is desk.layer
    assert_array_equal(desk.layer.extent.world, desk.viewer.layers["image"].extent.world)
    desk.drag(0)
    assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.press("2")
    desk.drag(5)
    assert desk.classes() == [1, 1, 2, 0, 2, 2]
    desk.drag(2)
    assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.drag(2, modifiers=("Shift",))
    desk.drag(1, modifiers=("Shift",))
    assert desk.classes() == [0] * 6


def test_a_drag_paints_what_it_touches_in_one_stroke_and_clears_nothing(desk: Desk) -> None:
    desk.drag(0)
    desk.drag(0, 3)  # begins where the class is already
    assert desk.classes() == [1, 1, 0, 1, 0, 0]
    desk.press("0")
    desk.drag(3, 4)
    assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.press("3")
    desk.drag(0, 2, 3)
    assert desk.classes() == [3, 3, 3, 3, 3, 3]
    desk.press("Control-Z")
    assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.press("Control-Z")
    assert desk.classes() == [1, 1, 0, 1, 0, 0]
    for _ in range(2):
        desk.press("Control-Z")
    assert desk.classes() == [0] * 6
    desk.press("Control-Shift-Z")
    assert desk.classes() == [1, 1, 0, 0, 0, 0]


def test_a_turn_of_the_event_loop_draws_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    refresh = Labels.refresh
    monkeypatch.setattr(
        Labels, "refresh", lambda self, *_, **words: (drawn.append(self), refresh(self, **words))
    )
    desk.drag(0, 3, 4, 5, 2)
    assert not drawn and desk.layer.data.max() == 0
    assert desk.classes() == [1] * 6
    assert drawn.count(desk.layer) == 1


def test_the_count_slider_changes_the_brush_and_never_the_annotation(desk: Desk) -> None:
    desk.drag(0)
    for n in (6, 2, 1, 3):
        desk.cutting.slide(n)
        assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.press("2")
    desk.cutting.slide(6)
    desk.drag(1)
    desk.cutting.slide(2)
    desk.drag(5)
    assert desk.classes() == [1, 2, 2, 0, 2, 2]
    desk.qtbot.waitUntil(lambda: desk.cutting.is_settled, timeout=60_000)
    desk.drag(3)
    assert desk.classes() == [2, 2, 2, 2, 2, 2]


def test_the_piece_under_the_cursor_is_outlined_and_the_wheel_takes_its_parent_or_child(desk: Desk) -> None:
    assert desk.outlined() == [] and desk.outline.contour == 2
    desk.hover(4)
    assert desk.outlined() == [2, 4, 5]
    desk.turn(4, 1.0)
    assert desk.outlined() == [0, 1, 2, 3, 4, 5]
    desk.turn(4, -1.0)
    desk.turn(4, -1.0)
    assert desk.outlined() == [4, 5]
    desk.hover(5)  # inside
    desk.drag(5)
    assert desk.outlined() == [4, 5] and desk.classes() == [0, 0, 0, 0, 1, 1]
    desk.hover(0)  # elsewhere the cut counts again
    assert desk.outlined() == [0, 1]
    assert desk.viewer.layers.selection.active is desk.layer  # the wheel with Alt selects no other layer
    desk.cutting.slide(6)
    desk.hover(0)
    assert desk.outlined() == [0]


def test_a_class_is_picked_and_locked(desk: Desk) -> None:
    desk.press("4")
    desk.drag(0)
    desk.press("1")
    desk.hover(1)
    desk.press("P")
    assert desk.annotating.current == 4 == desk.layer.selected_label
    desk.press("L")
    assert desk.annotating.classes[4].is_locked
    desk.press("1")
    desk.drag(0)
    assert desk.classes() == [4, 4, 0, 0, 0, 0]
    desk.press("4")
    desk.press("L")
    desk.drag(0)
    assert desk.classes() == [0] * 6


def test_the_mouse_moves_the_view_while_space_is_down(desk: Desk) -> None:
    assert not desk.layer.mouse_pan
    handler = KeymapHandler()
    handler.keymap_providers = [desk.layer]
    handler.press_key("Space")
    assert desk.layer.mouse_pan
    desk.drag(0)
    handler.release_key("Space")
    assert not desk.layer.mouse_pan and desk.classes() == [0] * 6


def test_napari_keeps_its_mouse_while_another_layer_is_active(desk: Desk) -> None:
    zoom = desk.viewer.scene.camera.zoom
    mouse_double_click_callbacks(desk.viewer, event("mouse_double_click", 0))
    assert desk.viewer.scene.camera.zoom == zoom
    desk.viewer.layers.selection.active = desk.viewer.layers[0]
    desk.turn(0, 1.0)
    assert desk.viewer.layers.selection.active is desk.viewer.layers[1]
    mouse_double_click_callbacks(desk.viewer, event("mouse_double_click", 0))
    assert desk.viewer.scene.camera.zoom == 2 * zoom


def test_the_layer_is_left_as_it_is_when_annotating_ends(desk: Desk) -> None:
    desk.drag(0)
    layer = desk.layer
    wheel = [each.__name__ for each in ViewerModel().mouse_wheel_callbacks]
    desk.annotating.end()
    assert [each.__name__ for each in desk.viewer.mouse_wheel_callbacks] == wheel
    assert [each.name for each in desk.viewer.layers] == ["image", "image superpixels", "image classes"]
    mouse_press_callbacks(layer, event("mouse_press", 3))
    assert middles(layer) == [1, 1, 0, 0, 0, 0] and layer.mouse_pan


def test_removing_the_layer_or_what_is_annotated_ends_it(desk: Desk) -> None:
    desk.viewer.layers.events.removed.connect(lambda event: desk.annotating.forget(event.value))
    desk.viewer.layers.remove(desk.layer)
    assert desk.annotating.layer is None and len(desk.viewer.layers) == 2
    desk.start()
    desk.viewer.layers.remove(desk.viewer.layers["image"])
    assert desk.annotating.layer is None


@dataclass
class Gate:
    """Holds up what opens annotations, in threads that it notes."""

    passed: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()

    def held_up(hierarchy: PCNetHierarchy) -> str:
        gate.threads.append(threading.current_thread())
        assert gate.passed.wait(60)
        return fingerprint(hierarchy)

    monkeypatch.setattr("napari_pcnet.plugin.opening.fingerprint", held_up)
    yield gate
    gate.passed.set()


def test_an_annotation_is_opened_beside_the_viewer_and_once(desk: Desk, gate: Gate) -> None:
    desk.annotating.end()
    for _ in range(2):
        desk.annotating.start()
        assert desk.annotating.is_opening and desk.annotating.layer is None
        assert desk.messages[-1] == "getting ready to annotate ..."
    gate.passed.set()
    desk.wait()
    assert not desk.annotating.is_opening and desk.messages[-1].startswith("keys 1 to 9")
    assert len(gate.threads) == 1 and gate.threads[0] is not threading.current_thread()
    assert [each.name for each in desk.viewer.layers].count("image classes") == 1


def test_the_kind_that_was_asked_for_last_is_opened(desk: Desk, gate: Gate) -> None:
    desk.annotating.end()
    for kind in (CLASSES, OBJECTS, CLASSES, OBJECTS):
        desk.annotating.start(kind)
    gate.passed.set()
    desk.wait()
    assert desk.layer.name == "image objects"
    desk.start(CLASSES)  # whose journal the job that was stopped has not kept
    assert desk.layer.name == "image classes"


@pytest.mark.parametrize("name", ["image", "image superpixels"])
def test_what_is_removed_meanwhile_is_not_annotated(desk: Desk, gate: Gate, name: str) -> None:
    desk.annotating.end()
    desk.viewer.layers.events.removed.connect(lambda event: desk.annotating.forget(event.value))
    desk.annotating.start()
    desk.viewer.layers.remove(desk.viewer.layers[name])
    assert not desk.annotating.is_opening
    layers = list(desk.viewer.layers)
    gate.passed.set()
    desk.wait()
    assert list(desk.viewer.layers) == layers and desk.annotating.layer is None
    other = Desk(desk.qtbot)  # of the same superpixels, whose journal is free
    assert other.layer.name == "image classes"
    other.annotating.end()


def test_an_annotation_that_opens_when_its_widget_goes_leaves_its_journal(desk: Desk, gate: Gate) -> None:
    desk.annotating.end()
    desk.annotating.start()
    desk.annotating.stop()
    gate.passed.set()
    desk.wait()
    assert desk.annotating.layer is None
    Journal(place_of(fingerprint(desk.hierarchy), "classes"), fingerprint(desk.hierarchy)).close()


def test_strokes_and_classes_come_back_for_the_same_superpixels(desk: Desk) -> None:
    desk.annotating.change_class(1, {"name": "grass", "colour": "#00ff00"})
    desk.drag(0)
    desk.drag(3)
    desk.press("Control-Z")
    path = place_of(fingerprint(desk.hierarchy), "classes")
    assert path.exists()
    again = Desk(desk.qtbot)
    assert again.annotating.layer is None and "another window" in again.messages[-1]
    desk.annotating.stop()  # as when a process ends, however it ends
    again.start()
    assert "1 strokes of an earlier session are back" in again.messages[-1]
    assert again.classes() == [1, 1, 0, 0, 0, 0]
    assert again.annotating.classes[1].name == "grass"
    assert_array_equal(again.layer.colormap.map(np.array([1]))[0], [0, 1, 0, 1])
    again.press("Control-Shift-Z")
    assert again.classes() == [1, 1, 0, 1, 0, 0]
    again.annotating.end()


def test_a_disk_that_is_full_ends_the_journal_and_not_the_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_pcnet.annotation.journal.Journal.append", full)
    desk.drag(0)
    desk.drag(3)
    assert desk.classes() == [1, 1, 0, 1, 0, 0]
    told = "strokes are not kept on the disk from now on: No space left on device"
    assert desk.messages.count(told) == 1


def test_a_journal_that_somebody_removes_is_ended_and_not_begun_in_the_middle(
    desk: Desk, tmp_path: Any
) -> None:
    desk.drag(0)
    (journal,) = tmp_path.rglob("*.jsonl")
    journal.unlink()
    desk.drag(3)
    desk.drag(5)
    told = f"strokes are not kept on the disk from now on: {journal} is gone"
    assert desk.messages.count(told) == 1 and not journal.exists()
    assert desk.classes() == [1] * 6


def test_where_no_journal_can_be_begun_it_is_annotated_without_one(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path / "file"))
    desk = Desk(qtbot)
    told = "strokes are not kept on the disk (Not a directory); name another folder by NAPARI_PCNET_CACHE"
    assert desk.messages[-1] == told
    desk.drag(0)
    assert desk.classes()[0] == 1
    desk.annotating.end()


def test_scribbles_of_another_layer_are_taken(desk: Desk) -> None:
    drawn = np.zeros((2 * CELL, 3 * CELL), np.uint8)
    drawn[3, 2:12], drawn[15, 25] = 2, 7
    desk.annotating.take_scribbles(Labels(drawn, name="drawn", **PLACE))
    assert desk.classes() == [2, 2, 7, 0, 7, 7]
    assert desk.messages[-1] == "'drawn' was taken; Ctrl+Z undoes it"
    assert [each.number for each in desk.annotating.classes] == [1, 2, 7]
    desk.annotating.take_scribbles(None)
    assert desk.messages[-1] == "choose a layer of labels that classes are drawn on"
    desk.annotating.take_scribbles(Labels(drawn[1:], name="other"))
    assert desk.messages[-1] == "scribbles must be as large as the regions, 20 x 30, got 19 x 30"
    desk.press("Control-Z")
    assert desk.classes() == [0] * 6


def _gone(block: NDArray[Any]) -> NDArray[Any]:
    raise KeyError("no such chunk")


@pytest.mark.parametrize(
    ("drawn", "place", "says"),
    [
        (1, {}, "'drawn' lies elsewhere than the superpixels; draw over them"),
        (1, {**PLACE, "translate": (0, 40)}, "'drawn' lies elsewhere than the superpixels; draw over them"),
        (2**63 + 9, PLACE, "a number must be from 0 to 255, got 9223372036854775817"),
        (None, PLACE, "'drawn' could not be read: KeyError 'no such chunk'"),
    ],
)
def test_scribbles_that_cannot_be_taken_are_one_sentence_and_change_nothing(
    desk: Desk, drawn: int | None, place: dict[str, Any], says: str
) -> None:
    pixels = np.full((2 * CELL, 3 * CELL), drawn or 1, np.uint64)
    layer = Labels(pixels, name="drawn", **place)
    if drawn is None:
        layer._data = dask.array.from_array(pixels).map_blocks(_gone, meta=pixels[:0, :0])
    desk.annotating.take_scribbles(layer)
    assert desk.messages[-1] == says
    assert desk.classes() == [0] * 6


def test_a_pyramid_is_looked_up_where_it_is_drawn(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    desk = Desk(qtbot, editable_px=1)
    assert desk.layer.multiscale and isinstance(desk.layer.data[0], LookupArray)
    assert desk.layer.data[0].dtype == np.uint8
    desk.drag(0, 3)
    desk.hover(4)
    assert desk.classes() == [1, 1, 0, 1, 0, 0] and desk.outlined() == [2, 4, 5]
    assert_array_equal(np.asarray(desk.layer.data[1]), np.asarray(desk.layer.data[0])[::2, ::2])
    desk.annotating.end()


def test_a_stroke_stays_in_the_plane_that_is_shown(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("NAPARI_PCNET_CACHE", str(tmp_path))
    one = squares()
    base = np.stack([one.base, one.base + 6])
    desk = Desk(qtbot, hierarchy=PCNetHierarchy(base, one.trees * 2, one.measures * 2))
    for plane, path in ((1, (0, 3)), (0, (5,))):
        for kind, square in zip(("mouse_press", *["mouse_move"] * (len(path) - 1)), path, strict=True):
            given = event(kind, square, is_dragging=kind == "mouse_move")
            given.__wrapped__.position = (plane, *world_of(square))
            (mouse_press_callbacks if kind == "mouse_press" else mouse_move_callbacks)(desk.layer, given)
        mouse_release_callbacks(desk.layer, event("mouse_release", path[-1]))
    qtbot.wait(1)
    shown = np.asarray(desk.layer.data)[:, CELL // 2 :: CELL, CELL // 2 :: CELL].reshape(2, 6)
    assert_array_equal(shown, [[0, 0, 1, 0, 1, 1], [1, 1, 0, 1, 0, 0]])
    desk.annotating.end()


def test_objects_are_merged_detached_and_split(desk: Desk) -> None:
    desk.annotating.end()
    desk.start(OBJECTS)
    assert desk.layer.name == "image objects" and desk.layer.data.dtype == np.uint16
    desk.drag(0)
    assert desk.classes() == [1, 1, 0, 0, 0, 0]
    desk.drag(0)  # it is one already
    desk.drag(5)
    assert desk.classes() == [1, 1, 2, 0, 2, 2]
    desk.drag(3, 4)  # a third, which takes in the second
    assert desk.classes() == [1, 1, 3, 3, 3, 3]
    desk.press("Control-Z")
    desk.drag(3, 0)
    assert desk.classes() == [3, 3, 2, 3, 2, 2]
    desk.drag(1, modifiers=("Shift",))
    assert desk.classes() == [0, 0, 2, 3, 2, 2]
    mouse_double_click_callbacks(desk.viewer, event("mouse_double_click", 5))
    assert desk.classes() == [0, 0, 2, 3, 1, 1]
    desk.press("5")  # no key of objects
    desk.drag(0)
    assert desk.classes() == [4, 4, 2, 3, 1, 1]
    while desk.annotating.annotation is not None and desk.annotating.annotation.can_undo:
        desk.press("Control-Z")
    assert desk.classes() == [0] * 6


def test_classes_and_objects_of_the_same_superpixels_are_kept_apart(desk: Desk) -> None:
    desk.drag(0)
    for kind, square, expected in (
        (OBJECTS, 3, [0, 0, 0, 1, 0, 0]),
        (CLASSES, 0, [1, 1, 0, 0, 0, 0]),
        (OBJECTS, 3, [0, 0, 0, 1, 0, 0]),
    ):
        desk.start(kind)
        if kind == OBJECTS:
            desk.drag(square)
        assert desk.classes() == expected
    names = [each.name for each in desk.viewer.layers if "image " in each.name]
    assert names == ["image superpixels", "image classes", "image objects"]  # each once


def test_more_objects_than_there_are_numbers_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_annotation: object) -> int:
        raise ValueError("there can be at most 65535 objects")

    desk.start(OBJECTS)
    desk.drag(3)
    monkeypatch.setattr("napari_pcnet.plugin.objects_layer.unused_number", none_left)
    desk.drag(0)
    assert desk.classes() == [0, 0, 0, 1, 0, 0] and desk.messages[-1] == "there can be at most 65535 objects"
    assert desk.annotating.annotation is not None
    kept: list[dict[str, Any]] = []
    desk.annotating.annotation.tell = kept.append
    desk.drag(3, modifiers=("Shift",))
    assert [list(entry) for entry in kept] == [["stroke"]]  # no part of the drag that was refused


def test_the_table_shows_classes_and_changes_them(desk: Desk) -> None:
    panel = AnnotationPanel()
    desk.qtbot.addWidget(panel)
    annotating = desk.annotating

    def show() -> None:
        panel.show_classes(list(annotating.classes), annotating.annotation, annotating.current)

    annotating.changed.connect(show)
    panel.class_changed.connect(annotating.change_class)
    panel.class_chosen.connect(annotating.choose_class)
    desk.drag(0)
    desk.press("2")
    desk.drag(5)
    desk.classes()

    def texts(row: int) -> list[str]:
        return [panel.table.item(row, column).text() for column in (NAME, KEY, AREA)]

    assert [texts(row) for row in (0, 1)] == [["class 1", "1", "200"], ["class 2", "2", "300"]]
    assert panel.table.item(1, AREA).toolTip() == "300 pixels, 3 regions"
    assert panel.table.selectionModel().selectedRows()[0].row() == 1
    panel.table.selectRow(0)
    assert annotating.current == 1
    panel.table.item(0, NAME).setText("road")
    panel.table.item(0, KEY).setText("2")
    assert [(each.name, each.key) for each in annotating.classes] == [("road", "2"), ("class 2", "")]
    panel.table.item(0, KEY).setText("x")
    assert texts(0)[1] == "2" and "a digit from 1 to 9" in desk.messages[-1]
    panel.table.item(0, LOCK).setCheckState(panel.table.item(0, LOCK).checkState().Checked)
    assert annotating.classes[1].is_locked
    assert panel.undo_button.isEnabled() and not panel.redo_button.isEnabled()
    annotating.end()
    assert panel.table.rowCount() == 0 and not panel.undo_button.isEnabled()


def test_a_class_that_is_selected_shows_its_own_colour(desk: Desk) -> None:
    panel = AnnotationPanel()
    desk.qtbot.addWidget(panel)
    desk.press("2")
    panel.show_classes(list(desk.annotating.classes), desk.annotating.annotation, 2)
    for row, given in enumerate(desk.annotating.classes):
        icon = panel.table.item(row, NAME).icon()
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected):
            assert icon.pixmap(SWATCH_PX, mode).toImage().pixelColor(8, 8).name() == given.colour
