"""Make the pictures of docs/tutorial.md: take its steps in a real napari, and a picture after each.

    python tools/make_screenshots.py [FOLDER]

FOLDER is docs/images unless another is named. It needs a display; without one put
``xvfb-run -a -s "-screen 0 1280x800x24"`` before it. The steps use the samples of the package and napari
as it is when new, so that nothing of whoever runs this is in a picture. tests/viewer/test_tutorial.py
takes the same steps.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from qtpy.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication, QComboBox, QScrollArea, QWidget

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_pcnet.plugin.widget import SuperpixelsWidget

FOLDER = Path(__file__).parents[1] / "docs" / "images"
WINDOW_PX = (1280, 800)
AT_MOST_BYTES = 200_000
COLOURS = (256, 128, 64, 32)
"""Sizes of a picture's palette: the first whose file is small enough."""

AT_MOST_S = 120
"""How long a step waits for one thing before it gives up."""

TRAINING_STEPS = 60
"""Of the first training: enough for curves, and not for good weights."""

TRAINING_AT_MOST_S = 1200

TABLE_PX = 230
"""Height of the table of features."""

PAINTED = {
    "fur": ((60, 120), (200, 110), (80, 250), (60, 220), (250, 60), (190, 250), (30, 180), (150, 70)),
    "eye": ((122, 150), (100, 155), (118, 176), (135, 165)),
    "background": ((60, 425), (150, 420), (60, 10), (270, 425), (200, 370)),
}
"""Pixels of the cat whose superpixels are painted with each class."""

RIGHT_EYE, RIGHT_EAR = (150, 305), (45, 60)
"""Pixels that no class is given to by hand."""

CLASSES = 256
"""Numbers of classes in the layer of what is predicted."""


@dataclass
class Desk:
    """What a step works at.

    Attributes
    ----------
    viewer : napari.Viewer
    files : Path
        A folder for what is saved on the way.
    copied : list of str
        What was copied on the way.
    """

    viewer: napari.Viewer
    files: Path
    copied: list[str] = field(default_factory=list)

    @property
    def widget(self) -> SuperpixelsWidget:
        """The dock widget, opened if it is not."""
        widget: SuperpixelsWidget = self.dock("napari-pcnet", "PCNet superpixels").inner_widget()
        return widget

    def dock(self, plugin: str, widget: str) -> Any:
        """The dock of a plugin's widget, as the menu opens it."""
        return self.viewer.window.add_plugin_dock_widget(plugin, widget)[0]

    def open(self, sample: str) -> Any:
        """Open a sample in an empty viewer and show it all."""
        self.viewer.layers.clear()
        (image,) = self.viewer.open_sample("napari-pcnet", sample)
        widget = self.widget
        wait(lambda: widget.machine is not None, "the network")
        for area in widget.findChildren(QScrollArea):
            area.verticalScrollBar().setValue(0)
        settle()
        self.viewer.reset_view()
        settle()
        return image

    def run(self) -> Labels:
        """Press Run, wait, and return the layer."""
        before, widget = self.widget.result, self.widget
        widget.run_panel.run_button.click()
        wait(lambda: widget.job is None, "the end of the run")
        wait(lambda: widget.result not in (None, before), "the result")
        wait(lambda: "superpixels in" in widget.run_panel.message.text(), "the message of the run")
        settle()
        return widget.result.layer

    @property
    def shown_record(self) -> dict[str, Any]:
        """The record in the layer that the slider moves."""
        record: dict[str, Any] = self.widget.result.layer.metadata["napari-pcnet"]["record"]
        return record

    def paint(self, number: int, places: Sequence[tuple[int, int]]) -> None:
        """Give the superpixels at some pixels a class, in one stroke."""
        annotating = self.widget.annotating
        annotating.press_key(str(number))
        subject = annotating.subject
        assert subject is not None, "classes are being painted"
        with subject.annotation.stroke():
            for place in places:
                region = int(subject.hierarchy.base[place])
                node = subject.annotation.nested.node_at(region, subject.counts)
                subject.annotation.assign(node, number)
        annotating.draw()

    def predicted_at(self, place: tuple[int, int]) -> int:
        """The class that is predicted of a pixel."""
        (layer,) = self.widget.learning.layers
        return int(layer.data[place]) % CLASSES

    def show_in_dock(self, part: QWidget) -> None:
        """Scroll a part of the widget into view."""
        for area in self.widget.findChildren(QScrollArea):
            area.ensureWidgetVisible(part)


# -- the steps -----------------------------------------------------------------------------------------


def open_a_sample_and_the_widget(desk: Desk) -> None:
    """The lines at the bottom say what a run would make, take and need."""
    desk.open("cat")
    assert "memory" in desk.widget.run_panel.info.text()


def change_the_count_under_a_live_preview(desk: Desk) -> None:
    """Fewer superpixels, shown before any run."""
    widget = desk.widget
    widget.run_panel.live.setChecked(True)
    widget.form.size_fields.count.setValue(300)
    wait(lambda: widget.preview.layer is not None and widget.preview.layer.data.max() == 300, "the preview")


def run_and_look_at_the_features(desk: Desk) -> None:
    """The Labels layer of the run, and napari's table of its features."""
    layer = desk.run()
    assert (layer.data.max(), len(layer.features)) == (300, 301)
    table = desk.dock("napari", "Features table widget")
    window = desk.viewer.window._qt_window
    window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, table)
    window.resizeDocks([table], [TABLE_PX], Qt.Orientation.Vertical)


def slide_to_another_count(desk: Desk) -> None:
    """Fewer, from the same tree."""
    desk.viewer.window.remove_dock_widget(desk.dock("napari", "Features table widget"))
    desk.widget.cut_panel.n_box.setValue(60)
    wait(lambda: desk.shown_record["n_segments"] == 60, "the cut")


def slide_by_height(desk: Desk) -> None:
    """Large where there is little detail, small where there is much."""
    slider = desk.widget.cut_panel.height_slider
    slider.setValue(round(0.66 * slider.maximum()))
    wait(lambda: desk.shown_record["height"] is not None, "the cut")


def add_coarse_medium_and_fine(desk: Desk) -> None:
    """Three layers, one inside the other; the coarsest with the widest borders."""
    desk.widget.cut_panel.nested_button.click()
    desk.widget.result.layer.visible = False
    for layer, contour in zip(desk.viewer.layers[2:], (1, 2, 4), strict=True):
        layer.contour = contour


def run_in_the_current_view(desk: Desk) -> None:
    """What lies on the screen, and no more."""
    desk.open("coffee")
    camera = getattr(desk.viewer, "scene", desk.viewer).camera  # the viewer's own before napari 0.9
    camera.zoom *= 2
    camera.center = (0, 210, 300)
    choose(desk.widget.form.region_field.box, "current view")
    desk.widget.form.size_fields.count.setValue(200)
    desk.run()


def run_inside_a_shape(desk: Desk) -> None:
    """What lies inside an ellipse that was drawn."""
    image = desk.open("coffee")
    corners = [[10, 160], [10, 410], [240, 410], [240, 160]]
    desk.viewer.add_shapes(
        [corners],
        shape_type="ellipse",
        edge_color="cyan",
        edge_width=3,
        face_color="transparent",
        name="cup",
    )
    desk.viewer.layers.selection.active = image
    choose(desk.widget.form.region_field.box, "inside 'cup'")
    desk.widget.form.size_fields.count.setValue(60)
    assert desk.run().data.max() == 60


def segment_all_planes_of_a_stack(desk: Desk) -> None:
    """Times and depths, each plane by itself; a size in micrometres."""
    desk.open("stack")
    choose(desk.widget.form.region_field.box, "whole plane")
    choose(desk.widget.form.image.planes_box, "all planes (6)")
    desk.widget.form.size_fields.size_units.setValue(10)
    desk.run()
    desk.viewer.dims.set_current_step(0, 1)


def annotate_some_superpixels(desk: Desk) -> None:
    """Three classes with names; one eye and not the other."""
    desk.open("cat")
    desk.widget.form.size_fields.count.setValue(300)
    desk.run()
    panel = desk.widget.annotation_panel
    panel.start_button.click()
    wait(lambda: desk.widget.annotating.subject is not None, "the layer of classes")
    for number, (name, places) in enumerate(PAINTED.items(), 1):
        desk.paint(number, places)
        desk.widget.annotating.change_class(number, {"name": name})
    desk.show_in_dock(panel)


def learn_the_rest(desk: Desk) -> None:
    """What the others are likely to be, and the superpixel that is least certain."""
    rows = desk.widget.annotation_panel.learning
    rows.learn_button.click()
    wait(lambda: desk.widget.learning.forest is not None, "the forest")
    assert desk.predicted_at(RIGHT_EYE) == 2 and desk.predicted_at(RIGHT_EAR) == 1
    desk.widget.annotating.choose_class(2)
    desk.show_in_dock(rows)


def train_on_the_whole_picture(desk: Desk) -> None:
    """Every superpixel gets a class, and weights of one's own are made; the curves of both trainings."""
    widget, panel = desk.widget, desk.widget.training_panel
    for number in range(1, len(PAINTED) + 1):
        widget.annotating.choose_class(number)
        widget.annotation_panel.learning.accept_button.click()
    panel.setChecked(True)
    panel.name.setText("cats")
    panel.steps.setValue(TRAINING_STEPS)
    panel.train_button.click()
    assert widget.training.job is not None, widget.run_panel.message.text()
    wait(lambda: widget.training.job is None, "the end of the training", TRAINING_AT_MOST_S)
    assert all(curve.losses for curve in panel.curves), widget.run_panel.message.text()
    desk.show_in_dock(panel.curves[0])


def merge_with_the_fill_bucket(desk: Desk) -> None:
    """One superpixel was picked, and others filled with its number."""
    desk.open("cat")
    desk.widget.form.size_fields.count.setValue(100)
    desk.run()
    desk.widget.cut_panel.editable_button.click()
    layer = desk.viewer.layers[-1]
    layer.selected_label = int(layer.data[121, 154])  # as the picker does
    layer.mode = "fill"
    for place in ((106, 172), (110, 197)):
        layer.fill(place, layer.selected_label)


def run_again_beside_a_painted_layer(desk: Desk) -> None:
    """The layer that was painted on is as it was; the run has one of its own."""
    desk.viewer.layers.pop()
    painted = desk.widget.result.layer
    painted.visible = True
    painted.selected_label = 101
    painted.brush_size = 20
    for column in range(250, 281, 5):
        painted.paint((242, column), painted.selected_label)
    before = painted.data.copy()
    desk.widget.form.size_fields.count.setValue(30)
    layer = desk.run()
    layer.contour = 3
    assert layer is not painted and np.array_equal(painted.data, before)


def copy_the_run(desk: Desk) -> None:
    """The message says what is on the clipboard."""
    desk.viewer.layers.selection.active = desk.widget.result.layer
    for button in (desk.widget.cut_panel.command_button, desk.widget.cut_panel.python_button):
        button.click()
        desk.copied.append(QApplication.clipboard().text())


def open_again_and_use_its_settings(desk: Desk) -> None:
    """A layer from a file, and the fields as they were for its run."""
    from napari_pcnet.plugin.files import open_in

    path = str(desk.files / "cat-30.superpixels.tif")
    desk.widget.result.layer.save(path, plugin="napari-pcnet")
    desk.open("cat")
    desk.widget.form.size_fields.count.setValue(1000)
    open_in(desk.viewer, path).contour = 1
    desk.widget.cut_panel.use_button.click()
    assert desk.widget.form.size_fields.count.value() == 30


def work_in_the_light_theme(desk: Desk) -> None:
    """The same in napari's light theme."""
    desk.viewer.theme = "light"
    desk.open("coffee")
    desk.widget.form.size_fields.count.setValue(500)
    desk.run()


STEPS: tuple[Callable[[Desk], None], ...] = (
    open_a_sample_and_the_widget,
    change_the_count_under_a_live_preview,
    run_and_look_at_the_features,
    slide_to_another_count,
    slide_by_height,
    add_coarse_medium_and_fine,
    run_in_the_current_view,
    run_inside_a_shape,
    segment_all_planes_of_a_stack,
    annotate_some_superpixels,
    learn_the_rest,
    train_on_the_whole_picture,
    merge_with_the_fill_bucket,
    run_again_beside_a_painted_layer,
    copy_the_run,
    open_again_and_use_its_settings,
    work_in_the_light_theme,
)


def picture_name(step: Callable[[Desk], None]) -> str:
    """Name of the file of a step's picture."""
    return f"tutorial-{STEPS.index(step) + 1}-{step.__name__.replace('_', '-')}.png"


def take_steps(desk: Desk, folder: Path, after: Callable[[Desk], None] = lambda _: None) -> None:
    """Take all steps and write the picture of each into a folder; `after` is called after each."""
    desk.viewer.window.set_geometry(0, 0, *WINDOW_PX)
    for step in STEPS:
        step(desk)
        settle()
        after(desk)
        picture = desk.viewer.screenshot(canvas_only=False, flash=False)
        folder.joinpath(picture_name(step)).write_bytes(as_small_png(picture))


# -- waiting, choosing, writing ------------------------------------------------------------------------


def wait(until: Callable[[], bool], what: str, at_most_s: float = AT_MOST_S) -> None:
    """Let the viewer work until something is so."""
    loop, clock, passed = QEventLoop(), QTimer(), QElapsedTimer()
    passed.start()
    clock.timeout.connect(lambda: loop.quit() if passed.elapsed() > 1000 * at_most_s or until() else None)
    clock.start(10)
    loop.exec()
    clock.stop()
    if not until():
        raise TimeoutError(f"waited {at_most_s:g} s for {what}")


def settle() -> None:
    """Let the viewer do what it has put off: to lay out, to draw."""
    for _ in range(5):
        QApplication.processEvents()


def choose(box: QComboBox, text: str) -> None:
    """Choose an entry by its text."""
    at = box.findText(text)
    assert at >= 0, f"no {text!r} among {[box.itemText(k) for k in range(box.count())]}"
    box.setCurrentIndex(at)


def as_small_png(picture: np.ndarray[Any, Any]) -> bytes:
    """A picture, (H, W, 4) uint8, as a png with a palette."""
    image = Image.fromarray(picture).convert("RGB")
    for colours in COLOURS:
        file = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(file, "png", optimize=True)
        if file.tell() <= AT_MOST_BYTES:
            break
    return file.getvalue()


def main(arguments: list[str]) -> None:
    """Write all pictures."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["NAPARI_CONFIG"] = ""  # read when napari is imported: no preferences but its own
    import napari

    viewer = napari.Viewer(show=True)
    with tempfile.TemporaryDirectory() as files:
        os.environ["NAPARI_PCNET_CACHE"] = files  # strokes of an earlier time would be back
        take_steps(Desk(viewer, Path(files)), folder)
    viewer.close()
    for step in STEPS:
        print(folder / picture_name(step))


if __name__ == "__main__":
    main(sys.argv[1:])
