"""The dock widget: it puts form, run, cuts and preview together, and connects them to the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QEvent
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut, QVBoxLayout, QWidget

from napari_pcnet.planes import Planes
from napari_pcnet.plugin import texts
from napari_pcnet.plugin.annotating import Annotating
from napari_pcnet.plugin.annotation_panel import AnnotationPanel
from napari_pcnet.plugin.boxes import scrolled_column, single_shot
from napari_pcnet.plugin.coloured_layer import colour_by, columns_of, is_coloured
from napari_pcnet.plugin.cut_panel import CutPanel
from napari_pcnet.plugin.cutting import Cutting
from napari_pcnet.plugin.disk_run import DiskRun
from napari_pcnet.plugin.form.form import Form
from napari_pcnet.plugin.jobs import Job, stop_when_application_ends
from napari_pcnet.plugin.learning import Learning
from napari_pcnet.plugin.machine import Machine, MachineProbe
from napari_pcnet.plugin.messages import lines_below, sentence
from napari_pcnet.plugin.metadata import KEY, is_on_disk, trees_of
from napari_pcnet.plugin.opening import CLASSES, OBJECTS
from napari_pcnet.plugin.preview import NAME as PREVIEW_NAME
from napari_pcnet.plugin.preview import LivePreview, Preview
from napari_pcnet.plugin.result_layer import ResultLayer, add_editable
from napari_pcnet.plugin.results import Results
from napari_pcnet.plugin.roi import RegionOfInterest
from napari_pcnet.plugin.run_panel import RunPanel
from napari_pcnet.plugin.running import FinishedDiskRun, FinishedRun, Running
from napari_pcnet.plugin.selected_run import SelectedRun
from napari_pcnet.plugin.settings import read_settings
from napari_pcnet.plugin.source import Source
from napari_pcnet.plugin.training import Trained, Training
from napari_pcnet.plugin.training_panel import TrainingPanel
from napari_pcnet.plugin.view import View
from napari_pcnet.plugin.viewer_events import ViewerEvents, is_open
from napari_pcnet.record import Origin, RunRecord

if TYPE_CHECKING:
    from napari.viewer import Viewer

WAIT_MS = 200
"""How long the view must rest before the outlook on a run in it is shown."""

ONE_COUNT = "labels on the disk have one count and no tree: leave 'Write to' empty to slide or annotate"
"""Why much of the widget is of no use for a layer that is read from the disk."""

LEAST_HEIGHT_PX = 460
"""Height that other docks in the same column, such as the table of features, leave the widget."""


class SuperpixelsWidget(QWidget):
    """Superpixels of an image layer, as a dock widget.

    Parameters
    ----------
    napari_viewer : Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.settings = read_settings()
        self.results = Results.of(napari_viewer)
        self.view = View(napari_viewer)
        self.form, self.run_panel, self.cut_panel = Form(self.view, self.settings), RunPanel(), CutPanel()
        self.running, self.probe = Running(self), MachineProbe(self)
        self.cutting = Cutting(self.results, self)
        self.annotation_panel = AnnotationPanel()
        self.annotating = Annotating(self.results, self.cutting, self)
        self.learning = Learning(self.annotating, self)
        self.training_panel, self.training = TrainingPanel(), Training(self)
        self.preview = LivePreview(napari_viewer, self._preview_in_view, self)
        self.events = ViewerEvents(napari_viewer, self)
        self._is_waiting = False  # whether a run begins as soon as the probe is ready
        self._finished: FinishedRun | None = None
        self._asked: object = None  # what the last run was to be of
        self._outlook_timer = single_shot(self._show_outlook, WAIT_MS, self)
        self._report_timer = single_shot(self._report, 0, self)
        self._opened_timer = single_shot(self._take_opened, 0, self)
        self._training_timer = single_shot(self._scroll_to_training, 0, self)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        boxes = (self.form, self.run_panel, self.cut_panel, self.annotation_panel, self.training_panel)
        self._column = scrolled_column(*boxes)
        outer.addWidget(self._column, 1)
        outer.addWidget(
            lines_below(self.form.network.device_reason, self.run_panel.info, self.run_panel.message)
        )
        self.setMinimumSize(330, LEAST_HEIGHT_PX)
        self._connect_viewer()
        self._connect_parts()
        self._connect_commands()
        self._list_layers()
        self._follow_active()
        self._follow_selection()
        if self.result is not None:  # of a widget that was here before
            self.cutting.select()
        self.run_panel.live.setChecked(self.settings.live_preview)
        self._show_classes()
        self._measure()

    # -- commands ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Segment what is chosen; when the widget has just been opened, a moment later."""
        if self.job is not None:
            return
        self._is_waiting = not self.probe.is_ready
        if self._is_waiting:
            self.run_panel.show_waiting()
            self._enable()
            return
        self.run_panel.show_no_run()
        self._asked = self._choice()
        source = self.form.source()
        if source is None:
            self._refuse("open an image first")
            return
        try:
            region = self.form.region(source)
            record = self.form.record(source, region)
            planes = source.planes(record)
            disk_run = self._disk_run(source, planes, record, region)
        except (ValueError, OSError) as error:
            self._refuse(str(error))
            return
        self.annotating.stop_opening()
        self.cutting.settle()
        self.run_panel.live.setChecked(False)
        if disk_run is not None:
            self.run_panel.show_started(source.name)
            self.running.start_writing(disk_run)
            self._enable()
            return
        layer = self.results.layer_to_update(source, record, region.place)
        try:
            result = ResultLayer(
                self.viewer,
                source,
                planes,
                self.settings.editable_px,
                layer,
                region.place,
                image_sized=self.form.region_field.image_sized,
            )
        except ValueError as error:  # no memory for it
            self._refuse(str(error))
            return
        self.run_panel.show_started(source.name)
        self.running.start(result, record, region)
        self._enable()

    def cancel(self) -> None:
        """Stop the run and leave every layer as it was."""
        if self._is_waiting:
            self._is_waiting = False
            self._end()
        if self.job is None:
            return
        self.running.cancel()
        self.run_panel.show_stopping()

    def slide(self, n: int | None = None, height: float | None = None) -> None:
        """Show another cut of the last trees, by count or by height."""
        if self.job is None and not self._refuses_disk():
            self.run_panel.live.setChecked(False)
            self.cutting.slide(n, height)

    def add_nested(self) -> list[Labels]:
        """Add three layers, fine, medium and coarse: every superpixel lies in one of the next."""
        if self._refuses_disk():
            return []
        self.run_panel.live.setChecked(False)
        return self.cutting.add_nested()

    def make_editable(self) -> None:
        """Show the selected superpixels, else those of the last result, as a layer that can be painted on."""
        if self._refuses_disk():
            return
        self.run_panel.live.setChecked(False)
        self.cutting.settle()
        found = self._selected_run()
        if found is None:
            self.show_message("there are no superpixels to paint on yet")
        elif self.result is not None and self.result.layer == found.layer:
            self.result.editable_copy()
        else:
            add_editable(self.viewer, found.layer)

    def annotate(self) -> None:
        """Paint classes on the superpixels of the current result, in a layer of their own."""
        self._annotate(CLASSES)

    def annotate_objects(self) -> None:
        """Merge superpixels of the current result into objects, in a layer of their own."""
        self._annotate(OBJECTS)

    def show_training(self) -> None:
        """Open the box for training."""
        self.training_panel.setChecked(True)
        self._training_timer.start()

    def train(self) -> None:
        """Train the chosen model on layers, beside whatever else is done."""
        if self.training.job is not None:
            return
        network = self.form.network
        if self.training.start(self.training_panel.choice(network.model, network.device)):
            self.show_message("")
            self.training_panel.show_started()

    def cancel_training(self) -> None:
        """Stop the training; nothing of it is kept."""
        if self.training.job is not None:
            self.training.stop()
            self.training_panel.show_stopping()

    def copy_python(self) -> str | None:
        """Copy a script that repeats the run of the selected or the last result."""
        return self._copy(texts.as_python, "Python")

    def copy_command(self) -> str | None:
        """Copy a command that repeats it."""
        return self._copy(texts.as_command, "a command")

    def colour_by(self, column: str) -> None:
        """Colour the regions of the selected layer, or of the last result, by a column of its table."""
        layer = self._layer_with_table()
        if layer is None:
            self.show_message("select a layer whose table has such a column")
            return
        self.cutting.settle()
        try:
            colour_by(self.viewer, layer, column)
        except ValueError as error:
            self.show_message(str(error))

    def use_record(self) -> None:
        """Set all fields as the record of the selected layer has them."""
        self.cutting.settle()
        found = self._selected_run()
        if found is None:
            self.show_message("select a layer of superpixels that has a record")
            return
        try:
            known = self.results.region_of(found.layer)
            self.form.use(found.record, found.origin, found.region(known))
        except ValueError as error:  # of another image's axes, or its region cannot be read
            self.show_message(str(error))
            return
        not_shown = self.form.not_shown(found.record, found.origin)
        self.show_message("; ".join(filter(None, (not_shown, *found.dropped))))

    # -- what others look at -----------------------------------------------------------------------

    @property
    def result(self) -> ResultLayer | None:
        """The result that the slider cuts."""
        return self.results.current

    @property
    def job(self) -> Job | None:
        """The job of a run under way."""
        return self.running.job

    @property
    def machine(self) -> Machine | None:
        """What is known of this machine, once torch is loaded."""
        return self.probe.machine

    def show_message(self, text: str) -> None:
        """Show a message to the user."""
        self.run_panel.message.show_message(text)

    def _refuse(self, text: str) -> None:
        """Say why what was chosen for a run can't be segmented, until something else is chosen."""
        self.run_panel.message.show_refusal(text, self._asked)

    def _choice(self) -> object:
        """What a run would be of; what is refused before is its sentence."""
        source = self.form.source()
        if source is None:
            return None
        try:
            region = self.form.region(source)
            record = self.form.record(source, region)
        except (ValueError, OSError) as error:
            return str(error)
        return source.layers, record, region.place, self.form.output.path, self.form.region_field.image_sized

    # -- putting together --------------------------------------------------------------------------

    def _connect_viewer(self) -> None:
        self.events.layers_changed.connect(self._list_layers)
        self.events.layer_removed.connect(self._forget_layer)
        self.events.active_changed.connect(self._follow_active)
        self.events.selection_changed.connect(self._follow_selection)
        self.events.view_changed.connect(self._follow_view)
        self.events.image_data_changed.connect(self.form.image.show_new_data)
        self.events.image_scale_changed.connect(self._follow_choice)
        self.events.image_limits_changed.connect(self.form.intensities.follow_limits)
        self.destroyed.connect(lambda: self._leave())
        stop_when_application_ends()

    def _connect_parts(self) -> None:
        self.form.changed.connect(self._follow_choice)
        self.form.device_changed.connect(self._measure)
        self.probe.ready.connect(self._run_if_waiting)
        self.probe.measured.connect(self.form.show_machine)
        self.probe.measured.connect(self._show_outlook)
        self.running.progressed.connect(self.run_panel.show_progress)
        self.running.finished.connect(self._finish)
        self.running.written.connect(self._show_written)
        self.running.over.connect(self._end)
        self.cutting.selected.connect(self.cut_panel.show_trees)
        self.cutting.slid.connect(self.cut_panel.show_cut)
        self.running.refused.connect(self._refuse)
        for message in (self.probe.refused, self.cutting.message):
            message.connect(self.show_message)
        self.preview.message.connect(self.run_panel.message.show_preview_message)
        self.cutting.slid.connect(self.annotating.show_cut)
        self.annotating.began.connect(self._list_layers)
        self.annotating.changed.connect(self._show_classes)
        self.annotating.message.connect(self.show_message)
        self.annotation_panel.class_chosen.connect(self.annotating.choose_class)
        self.annotation_panel.class_changed.connect(self.annotating.change_class)
        self.annotation_panel.scribbles_chosen.connect(self.annotating.take_scribbles)
        rows = self.annotation_panel.learning
        self.learning.changed.connect(self._show_learning)
        self.learning.layer_added.connect(self._list_layers)
        self.learning.message.connect(self.show_message)
        rows.after_each.toggled.connect(self.learning.switch)
        rows.load_chosen.connect(self.learning.load)
        rows.save_chosen.connect(self.learning.save)
        self.training.part_begun.connect(self.training_panel.show_part)
        self.training.stepped.connect(self.training_panel.show_step)
        self.training.fitting.connect(self.training_panel.show_fitting)
        self.training.finished.connect(self._finish_training)
        self.training.refused.connect(self.show_message)
        self.training.over.connect(self.training_panel.show_over)
        self.training_panel.toggled.connect(self._open_training)

    def _connect_commands(self) -> None:
        self.run_panel.live.toggled.connect(self.preview.switch)
        self.cut_panel.count_moved.connect(self.slide)
        self.cut_panel.column_menu.aboutToShow.connect(self._offer_columns)
        self.cut_panel.column_chosen.connect(self.colour_by)
        self.cut_panel.height_moved.connect(lambda height: self.slide(height=height))
        for button, command in (
            (self.run_panel.run_button, self.run),
            (self.run_panel.cancel_button, self.cancel),
            (self.cut_panel.nested_button, self.add_nested),
            (self.cut_panel.editable_button, self.make_editable),
            (self.cut_panel.python_button, self.copy_python),
            (self.cut_panel.command_button, self.copy_command),
            (self.cut_panel.use_button, self.use_record),
            (self.annotation_panel.start_button, self.annotate),
            (self.annotation_panel.objects_button, self.annotate_objects),
            (self.annotation_panel.undo_button, self.annotating.undo),
            (self.annotation_panel.redo_button, self.annotating.redo),
            (self.annotation_panel.add_button, self.annotating.add_class),
            (self.annotation_panel.learning.learn_button, self.learning.learn),
            (self.annotation_panel.learning.next_button, self.learning.jump),
            (self.annotation_panel.learning.accept_button, self.learning.accept),
            (self.training_panel.train_button, self.train),
            (self.training_panel.cancel_button, self.cancel_training),
        ):
            button.clicked.connect(command)
        QShortcut(QKeySequence("Ctrl+Alt+R"), self).activated.connect(self.run)
        QShortcut(QKeySequence("Ctrl+Alt+X"), self).activated.connect(self.cancel)

    # -- the viewer changes ------------------------------------------------------------------------

    def _list_layers(self) -> None:
        """Offer the layers that are there; what is chosen stays chosen."""
        layers = [each for each in self.viewer.layers if not is_coloured(each)]
        own = self.results.layers | self.annotating.layers | self.learning.layers
        own |= {each for each in layers if isinstance(each, Labels) and is_on_disk(each.metadata)}
        regions = self.form.offer(layers, own)
        drawn = [each for each in regions if isinstance(each, Labels) and KEY not in each.metadata]
        self.annotation_panel.offer_scribbles(drawn)  # superpixels of a run are none
        self.events.watch(layers, regions)
        self._offer_training()

    def _forget_layer(self, layer: Layer) -> None:
        own = self.results.layers | self.annotating.layers | self.learning.layers
        if layer in own or KEY in layer.metadata:
            self.show_message("")  # it may be of this layer
        if self.running.uses(layer):
            self.cancel()
        self.annotating.forget(layer)
        self.learning.forget(layer)
        self.results.forget(layer)
        if self.result is None:
            self.cut_panel.show_no_trees()
        self._enable()

    def _follow_active(self) -> None:
        """Choose the image that is selected, and the trees of superpixels that are."""
        active = self.viewer.layers.selection.active
        if isinstance(active, Image) and not is_coloured(active) and self.job is None:
            self.form.image.choose(active)
        if self.results.select(active):
            self.cutting.select()
        elif isinstance(active, Labels) and trees_of(active.metadata) is not None:
            self._opened_timer.start()  # not while the viewer is adding it
        if self._is_disk_selected:
            self.show_message(ONE_COUNT)
        elif self.run_panel.message.text() == sentence(ONE_COUNT):
            self.show_message("")
        self._enable()

    def _take_opened(self) -> None:
        """Go on with the trees that came with the selected layer from a file."""
        active = self.viewer.layers.selection.active
        if self.job is not None or not isinstance(active, Labels) or active in self.results.layers:
            return
        opened = ResultLayer.opened(self.viewer, active, self.settings.editable_px)
        if opened is not None:
            self.results.add(opened)
            self.viewer.layers.selection.active = opened.layer
            self.cutting.select()
            self._list_layers()
            self._enable()

    def _follow_selection(self) -> None:
        """Choose several images that are selected as the channels of one."""
        selection = self.viewer.layers.selection
        selected = [each for each in self.viewer.layers if each in selection and not is_coloured(each)]
        images = [each for each in selected if isinstance(each, Image)]
        if self.job is None:
            self.form.image.choose_channels(images)

    def _follow_view(self) -> None:
        self.run_panel.message.follow_choice(self._choice)
        self._outlook_timer.start()
        self.preview.ask()

    def _follow_choice(self) -> None:
        self.run_panel.message.follow_choice(self._choice)
        self._show_outlook()
        self.preview.ask()
        self._offer_training()

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802  # Qt's name
        """End with the dock: its x takes the widget out of it, and Python keeps the widget alive."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            if is_open(self.viewer):
                self.cutting.settle()
                self.annotating.end()
                self.results.leave(self.viewer)
            self._leave()
            self.deleteLater()

    def _leave(self) -> None:
        """The dock was closed, or the viewer: end what is under way. Qt's part of the widget may be gone."""
        self.events.cut()
        working = (self.running, self.cutting, self.learning, self.annotating, self.training)
        for part in (*working, self.probe, self.preview):
            part.stop()
        if is_open(self.viewer):
            self.running.undo()
            self.preview.clear()

    # -- a run comes and goes ----------------------------------------------------------------------

    def _finish(self, finished: FinishedRun) -> None:
        self.results.add(finished.result)
        self._finished = finished
        self._report_timer.start()  # the viewer may draw in between

    def _report(self) -> None:
        """Show what a finished run came to."""
        finished = self._finished
        if finished is None or self.result is None or not finished.result.is_there:
            return
        self.probe.learn(finished.work_px, finished.seconds)
        self._list_layers()
        self.cutting.select()
        self.show_message(finished.message)

    def _show_written(self, finished: FinishedDiskRun) -> None:
        """Show the labels that a run has written."""
        self.probe.learn(finished.work_px, finished.written.seconds)
        try:
            layer = finished.run.open_layer(finished.written.notes)
        except (ValueError, OSError) as error:  # somebody has moved them already
            self.show_message(str(error))
            return
        self.viewer.add_layer(layer)
        self.show_message(f"{finished.message}; {ONE_COUNT}")

    def _run_if_waiting(self) -> None:
        if self._is_waiting:
            self.run()
            self._enable()

    def _end(self) -> None:
        self.run_panel.show_no_run()
        self._enable()

    def _enable(self) -> None:
        running = self.job is not None or self._is_waiting
        self.run_panel.enable(running=running, has_image=self.form.image.layer is not None)
        has_record = self._selected_run() is not None
        is_free = not running and not self._is_disk_selected
        has_trees = self.result is not None and is_free
        self.cut_panel.enable(trees=has_trees, labels=has_record and is_free, record=has_record)
        self.annotation_panel.enable(trees=has_trees)

    def _annotate(self, kind: str) -> None:
        if self.job is None and not self._refuses_disk():
            self.run_panel.live.setChecked(False)
            self.annotating.start(kind)

    def _show_classes(self) -> None:
        annotating = self.annotating
        self.annotation_panel.show_classes(
            list(annotating.classes), annotating.annotation, annotating.current
        )
        self.annotation_panel.show_opening(annotating.is_opening)
        self._show_learning()

    def _show_learning(self) -> None:
        has_classes = self.annotating.subject is not None
        self.annotation_panel.learning.enable(classes=has_classes, forest=self.learning.forest is not None)

    def _open_training(self) -> None:
        self._offer_training()
        self._training_timer.start()  # when it is laid out

    def _scroll_to_training(self) -> None:
        if self.training_panel.isChecked():
            self._column.ensureWidgetVisible(self.training_panel)

    def _offer_training(self) -> None:
        """Offer images and their labels, to learn from: those of a result are no annotation."""
        if not self.training_panel.isChecked():
            return
        others = self.results.layers | self.learning.layers | self.annotating.layers
        if self.annotating.layer is not None:
            others.discard(self.annotating.layer)
        labels = [each for each in self.viewer.layers if isinstance(each, Labels) and each not in others]
        self.training_panel.offer(
            self.form.image.sources(), [each for each in labels if PREVIEW_NAME not in each.metadata]
        )

    def _finish_training(self, trained: Trained) -> None:
        self.form.network.offer_models()
        self.training_panel.show_trained(trained)
        self.show_message(trained.message)

    # -- what parts ask for ------------------------------------------------------------------------

    def _measure(self) -> None:
        self.probe.measure(self.form.network.device)

    def _preview_in_view(self) -> Preview | None:
        return None if self.job is not None else self.form.preview()

    def _show_outlook(self) -> None:
        self.run_panel.show_info(self.form.outlook(self.probe.work_px_per_s))

    def _disk_run(
        self, source: Source, planes: Planes, record: RunRecord, region: RegionOfInterest
    ) -> DiskRun | None:
        """The run that writes its labels; None if they are to be held."""
        path = self.form.output.path
        if path is None:
            return None
        image_sized = self.form.region_field.image_sized
        return DiskRun.of(source, planes, record, region, path, image_sized=image_sized)

    @property
    def _is_disk_selected(self) -> bool:
        """Whether the labels of the selected layer are on the disk alone."""
        active = self.viewer.layers.selection.active
        return isinstance(active, Labels) and is_on_disk(active.metadata)

    def _refuses_disk(self) -> bool:
        """Whether such labels are selected; why nothing can be done with them is said."""
        if self._is_disk_selected:
            self.show_message(ONE_COUNT)
        return self._is_disk_selected

    def _selected_run(self) -> SelectedRun | None:
        """The run of the selected layer, else of the last result."""
        layers = [self.viewer.layers.selection.active]
        layers += [] if self.result is None else [self.result.layer]
        return SelectedRun.first_of(layers)

    def _layer_with_table(self) -> Labels | None:
        """The selected layer if its regions can be coloured, else that of the last result if they can."""
        layers = [self.viewer.layers.selection.active]
        layers += [] if self.result is None else [self.result.layer]
        return next((each for each in layers if isinstance(each, Labels) and columns_of(each)), None)

    def _offer_columns(self) -> None:
        layer = self._layer_with_table()
        self.cut_panel.offer_columns([] if layer is None else columns_of(layer))

    def _copy(self, text_of: Callable[[RunRecord, Origin, str], str], what: str) -> str | None:
        self.cutting.settle()
        found = self._selected_run()
        if found is None:
            self.show_message("there is no run to copy yet")
            return None
        try:
            text = text_of(found.record, found.origin, found.layer.name)
        except ValueError as error:  # a file's name that no command can hold
            self.show_message(str(error))
            return None
        QApplication.clipboard().setText(text)
        since = ["later painting is not included"] if self.results.is_edited(found.layer) else []
        self.show_message("; ".join((f"copied '{found.layer.name}' as {what}", *since, *found.dropped)))
        return text
