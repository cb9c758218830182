"""Measure annotating with a real mouse and real keys: clicks, drags, undo, a kill, and the heartbeat.

    xvfb-run -a -s "-screen 0 1280x800x24" python tools/measure_annotating.py
    ... python tools/measure_annotating.py --clicks 100 --side 1024 --count 5000

xdotool sends the mouse and the keys through the X server, as a hand would. The viewer is a process of its
own: after the clicks it is killed (SIGKILL) and another one goes on from the journal. Times of clicks contain
the start of xdotool, some 5 ms. Run it on a quiet machine, with nothing else on the display.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractEventDispatcher, QEvent, QObject, QPoint
from qtpy.QtWidgets import QScrollArea, QWidget

from measure_viewer import Pulse, picture, settle, wait
from napari_pcnet.plugin.lookup_layer import LookupLayer
from napari_pcnet.plugin.widget import SuperpixelsWidget

KEYS = ("1", "2", "3")
EDGE_PX = 12
"""Clicks stay so far inside the canvas."""

REST_S = 0.1
"""How long the mouse rests before a click, as a hand does at least: the outline is drawn meanwhile."""

LOST_S = 2.0
"""How long a click may take until it counts as lost."""

AT_MOST_S = 300.0
"""How long an action may take before it is given up."""

SLIDES = (300, 60, 3000)


def xdotool(*words: object) -> None:
    """Send mouse or keys, and return when the server has them."""
    subprocess.run(["xdotool", *map(str, words)], check=True)


def warm_up(viewer: napari.Viewer) -> None:
    """Have napari compile the colours of each type of labels, as it does once in an environment."""
    colours = DirectLabelColormap(color_dict={None: "transparent", 1: "white"})
    for kind in (np.int32, np.uint8, np.uint16):
        layer = viewer.add_labels(np.eye(8, dtype=kind))
        settle(0.1)
        layer.colormap = colours
        settle(0.1)
        viewer.layers.remove(layer)


def in_background(work: Callable[[], None]) -> None:
    """Do something in a thread while the viewer goes on, and return at its end."""
    errors: list[BaseException] = []

    def careful() -> None:
        try:
            work()
        except BaseException as error:  # is raised again below
            errors.append(error)

    thread = threading.Thread(target=careful)
    thread.start()
    wait(lambda: not thread.is_alive())
    if errors:
        raise errors[0]


@dataclass
class Desk:
    """A viewer with superpixels under annotation, and what is counted there.

    Attributes
    ----------
    viewer : napari.Viewer
    widget : SuperpixelsWidget
    pulse : Pulse
    gaps : dict of str to float
        The heartbeat's largest gap in each action, in seconds.
    changed : threading.Event
        Set when a class has been given.
    changed_s : float
        When that was.
    pressed_s : float
        When Qt passed the last press of the mouse on to the canvas.
    turn : int
        Turns of the event loop so far.
    draws : Counter
        How often a layer was drawn in a turn.
    """

    viewer: napari.Viewer
    widget: SuperpixelsWidget
    pulse: Pulse
    gaps: dict[str, float] = field(default_factory=dict)
    changed: threading.Event = field(default_factory=threading.Event)
    changed_s: float = 0.0
    pressed_s: float = 0.0
    turn: int = 0
    draws: Counter[tuple[int, str]] = field(default_factory=Counter)

    @classmethod
    def open(cls, side: int) -> Desk:
        """Open a viewer with a picture, and the widget."""
        viewer = napari.Viewer(show=True)
        viewer.window.set_geometry(0, 0, 1280, 800)
        widget = viewer.window.add_plugin_dock_widget("napari-pcnet", "PCNet superpixels")[1]
        wait(lambda: widget.machine is not None)
        warm_up(viewer)
        viewer.add_image(picture(side), name="large")
        viewer.reset_view()
        settle(1)
        return cls(viewer, widget, Pulse())

    @property
    def canvas(self) -> QWidget:
        """What the mouse paints on."""
        native: QWidget = self.viewer.window._qt_window._qt_viewer.canvas.native
        return native

    @property
    def table(self) -> NDArray[Any]:
        """The class of each region."""
        annotation = self.widget.annotating.annotation
        assert annotation is not None, "something is annotated"
        return annotation.table

    def during(self, action: str, do: Callable[[], object], until: Callable[[], bool] | None = None) -> None:
        """Do something, let the viewer work until something holds, and note the largest gap."""
        self.pulse.worst()
        do()
        end = time.monotonic() + AT_MOST_S
        wait(lambda: until is None or until() or time.monotonic() > end, 0.3)
        if until is not None and not until():
            raise TimeoutError(f"{action}: {self.widget.run_panel.message.text() or 'nothing happened'}")
        self.gaps[action] = max(self.gaps.get(action, 0.0), self.pulse.worst())

    def press(self, button: QWidget) -> None:
        """Click a button of the dock with the mouse."""
        for area in self.widget.findChildren(QScrollArea):
            area.ensureWidgetVisible(button)
        settle(0.1)
        at = button.mapToGlobal(button.rect().center())
        in_background(lambda: xdotool("mousemove", at.x(), at.y(), "click", 1))

    def run(self, count: int) -> None:
        """Segment the picture and begin to annotate."""
        self.widget.form.size_fields.count.setValue(count)
        self.during("Run", lambda: self.press(self.widget.run_panel.run_button), lambda: self.has_run)
        settle(2)
        self._count_draws()
        panel = self.widget.annotation_panel
        self.during(
            "Annotate",
            lambda: self.press(panel.start_button),
            lambda: self.widget.annotating.layer is not None,
        )
        self._watch()

    @property
    def has_run(self) -> bool:
        """Whether a run is done."""
        return self.widget.result is not None and self.widget.job is None

    def places(self, number: int, seed: int = 0) -> NDArray[np.int64]:
        """Points of the screen over the picture, ``(n, 2)``."""
        start = self.canvas.mapToGlobal(QPoint(0, 0))
        shown = min(self.canvas.width(), self.canvas.height())
        middle = np.array([self.canvas.width() / 2, self.canvas.height() / 2])
        reach = shown / 2 - EDGE_PX
        inside = np.random.default_rng(seed).uniform(-reach, reach, (number, 2))
        return np.rint(inside + middle + (start.x(), start.y())).astype(np.int64)

    def _watch(self) -> None:
        """Note when a class is given."""
        annotation, desk = self.widget.annotating.annotation, self
        assert annotation is not None, "something is annotated"
        assign = annotation.assign

        def timed(node: int, number: int) -> bool:
            is_other = assign(node, number)
            if is_other:
                desk.changed_s = time.perf_counter()
                desk.changed.set()
            return is_other

        annotation.assign = timed  # type: ignore[method-assign]
        self.canvas.installEventFilter(PressWatch(self.canvas, self))

    def _count_draws(self) -> None:
        """Count the turns of the event loop, and how often a layer is drawn in each."""
        desk, draw = self, LookupLayer.draw

        def counted(layer: LookupLayer) -> None:
            desk.draws[desk.turn, layer.layer.name] += 1
            draw(layer)

        def count_turn() -> None:
            desk.turn += 1

        LookupLayer.draw = counted  # type: ignore[method-assign]
        dispatcher = QAbstractEventDispatcher.instance()
        assert dispatcher is not None, "the viewer has a loop"
        dispatcher.awake.connect(count_turn)


class PressWatch(QObject):
    """Notes when a press of the mouse reaches a widget.

    Parameters
    ----------
    watched : QWidget
    desk : Desk
        Where it is noted.
    """

    def __init__(self, watched: QWidget, desk: Desk) -> None:
        super().__init__(watched)
        self._desk = desk

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802  # Qt's name
        """Look at an event, and pass it on."""
        if event is not None and event.type() == QEvent.Type.MouseButtonPress:
            self._desk.pressed_s = time.perf_counter()
        return False


def milliseconds(times: Sequence[float]) -> str:
    """Median, 99th percentile and worst of times in seconds."""
    middle, late, worst = (1000 * float(np.percentile(times, share)) for share in (50, 99, 100))
    return f"median {middle:.0f} ms, 99 % within {late:.0f} ms, worst {worst:.0f} ms"


# -- the first viewer ----------------------------------------------------------------------------------


def measure_clicks(desk: Desk, number: int) -> None:
    """Click on superpixels, one after the other; print how long each took until its array was changed."""
    times, own, lost = [], [], 0
    xdotool("windowfocus", int(desk.viewer.window._qt_window.winId()))
    places = desk.places(number)

    def click() -> None:
        nonlocal lost
        for at, (x, y) in enumerate(places.tolist()):
            if at % 10 == 0:
                xdotool("mousemove", x, y, "key", KEYS[at // 10 % len(KEYS)])
                time.sleep(0.05)
            xdotool("mousemove", x, y)
            time.sleep(REST_S)
            desk.changed.clear()
            start = time.perf_counter()
            xdotool("click", 1)
            if desk.changed.wait(LOST_S):
                times.append(desk.changed_s - start)
                own.append(desk.changed_s - desk.pressed_s)
            else:
                lost += 1

    desk.draws.clear()
    desk.during("clicks", lambda: in_background(click))
    print(
        f"{len(times):,} clicks, from the call of xdotool until the array is changed: {milliseconds(times)}"
    )
    print(f"of these, from when the press has reached the canvas: {milliseconds(own)}")
    if lost:
        print(f"{lost} clicks changed nothing: they were on what a click had cleared or given before")
    print(f"drawings of a layer in one turn of the event loop: at most {max(desk.draws.values())}")


def measure_drags(desk: Desk, number: int = 20) -> None:
    """Drag over the picture as fast as the server takes it."""
    places = desk.places(20 * number, seed=1).reshape(number, 20, 2)

    def drag() -> None:
        for path in places.tolist():
            moves = [word for x, y in path[1:] for word in ("mousemove", x, y)]
            xdotool("mousemove", *path[0], "mousedown", 1, *moves, "mouseup", 1)
            time.sleep(0.1)

    desk.draws.clear()
    desk.during("drags", lambda: in_background(drag))
    print(f"{number} drags over 20 points: at most {max(desk.draws.values())} drawings of a layer in a turn")


def measure_undo(desk: Desk, first: NDArray[Any]) -> None:
    """Undo to the beginning by keys, and do all again; print whether both states are the same to the bit."""
    annotation = desk.widget.annotating.annotation
    assert annotation is not None, "something is annotated"
    last = desk.table.copy()
    x, y = desk.places(1)[0].tolist()
    in_background(lambda: xdotool("mousemove", x, y))

    def press_until(key: str, can: Callable[[], bool]) -> Callable[[], None]:
        def press() -> None:
            while can():
                xdotool("key", "--delay", 4, *[key] * 10)
                time.sleep(0.05)

        return press

    desk.during("undo", lambda: in_background(press_until("ctrl+z", lambda: annotation.can_undo)))
    print(f"undo to the beginning: the first state to the bit: {np.array_equal(desk.table, first)}")
    desk.during("redo", lambda: in_background(press_until("ctrl+shift+z", lambda: annotation.can_redo)))
    print(f"all done again: the last state to the bit: {np.array_equal(desk.table, last)}")


def measure_learning(desk: Desk, folder: Path) -> None:
    """Learn, go on, accept, save and load; the gaps are what counts."""
    learning, rows = desk.widget.learning, desk.widget.annotation_panel.learning
    if not rows.learn_button.isEnabled():
        return
    for action, button in (("Learn, with measuring", rows.learn_button), ("Learn", rows.learn_button)):
        desk.during(action, lambda button=button: desk.press(button), lambda: has_learnt(desk))
    desk.during("Next", lambda: desk.press(rows.next_button))
    desk.during("Accept class", lambda: desk.press(rows.accept_button))
    path = str(folder / "forest.safetensors")
    desk.during("Save forest", lambda: learning.save(path))
    desk.during("Load forest", lambda: learning.load(path), lambda: has_learnt(desk))


def has_learnt(desk: Desk) -> bool:
    """Whether a forest is there and none is being learnt."""
    return desk.widget.learning.forest is not None and not desk.widget.learning.is_busy


def measure_slides(desk: Desk) -> None:
    """Slide to other counts; print whether the classes stay where they are."""
    layer = desk.widget.annotating.layer
    assert layer is not None, "something is annotated"
    finest = layer.data[0] if layer.multiscale else layer.data
    before = np.asarray(finest).copy()
    same = []
    for n in SLIDES:
        desk.during("slide", lambda n=n: desk.widget.cut_panel.n_box.setValue(n), desk_settled(desk))
        same.append(bool(np.array_equal(np.asarray(finest), before)))
    print(f"classes at {', '.join(f'{n:,}' for n in SLIDES)} superpixels: the same pixels: {all(same)}")


def desk_settled(desk: Desk) -> Callable[[], bool]:
    """Whether the cut that is shown is complete."""
    return lambda: desk.widget.cutting.is_settled


def first_viewer(chosen: argparse.Namespace) -> None:
    """Annotate, keep the state beside the journal, and be killed."""
    desk = Desk.open(chosen.side)
    desk.run(chosen.count)
    hierarchy = desk.widget.result.hierarchy
    print(f"{sum(hierarchy.counts(chosen.count)):,} superpixels of {hierarchy.n_base:,} regions")
    first = desk.table.copy()
    measure_clicks(desk, chosen.clicks)
    measure_drags(desk)
    measure_undo(desk, first)
    measure_slides(desk)
    np.save(chosen.folder / "state.npy", desk.table)
    print_gaps(desk)
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def second_viewer(chosen: argparse.Namespace) -> None:
    """Go on from the journal; print whether the state is what it was when the first viewer was killed."""
    desk = Desk.open(chosen.side)
    desk.run(chosen.count)
    expected = np.load(chosen.folder / "state.npy")
    print(f"killed and opened again: the state to the bit: {np.array_equal(desk.table, expected)}")
    print(f"the widget says: {desk.widget.run_panel.message.text()}")
    desk.widget.slide(3000)
    wait(desk_settled(desk))
    measure_learning(desk, chosen.folder)
    print_gaps(desk)
    desk.viewer.close()


def print_gaps(desk: Desk) -> None:
    """Print the heartbeat's largest gap in each action."""
    print("largest gap of the heartbeat, in seconds:")
    for action, gap in desk.gaps.items():
        print(f"  {action}: {gap:.3f}")


def main() -> int:
    """Open one viewer and kill it, then another; return the exit status."""
    parser = argparse.ArgumentParser(description="annotate with a real mouse and real keys")
    parser.add_argument("--clicks", type=int, default=1000)
    parser.add_argument("--side", type=int, default=4096, help="pixels of the picture (default 4096)")
    parser.add_argument("--count", type=int, default=200_000, help="superpixels (default 200000)")
    parser.add_argument("--part", choices=["first", "second"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part is not None:
        (first_viewer if chosen.part == "first" else second_viewer)(chosen)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        own = os.environ | {"NAPARI_CONFIG": "", "NAPARI_PCNET_CACHE": folder}
        command = [sys.executable, __file__, *sys.argv[1:], "--folder", folder, "--part"]
        killed = subprocess.run([*command, "first"], env=own).returncode
        if killed != -signal.SIGKILL:
            return 1
        return subprocess.run([*command, "second"], env=own).returncode


if __name__ == "__main__":
    sys.exit(main())
