"""The dock widget: choose, run, slide. It collects a `RunRecord` and shows what comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import psutil
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QShortcut,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_pcnet import weights
from napari_pcnet.geometry.estimate import Estimate, estimate
from napari_pcnet.geometry.grid import Window
from napari_pcnet.plugin import task, texts, work
from napari_pcnet.plugin.fields import LARGEST_COUNT, Channels, LogSlider, count_box, narrow, note, size_box
from napari_pcnet.plugin.layers import (
    Recorded,
    Region,
    Source,
    guess_channel_axis,
    inside_labels,
    inside_shapes,
    level_shapes,
)
from napari_pcnet.plugin.preview import NAME as PREVIEW_NAME
from napari_pcnet.plugin.preview import LivePreview, Preview
from napari_pcnet.plugin.result import Cut, Result, at_cut, read_notes
from napari_pcnet.plugin.settings import read_settings
from napari_pcnet.plugin.work import Job, Wires, is_open
from napari_pcnet.record import Origin, RunRecord

if TYPE_CHECKING:
    from napari.viewer import Viewer

AUTOMATIC = -1
"""Stands among the levels for the finest one that fits into memory."""

WHOLE, VIEW = "whole plane", "current view"
THIS_PLANE, ALL_PLANES = "this plane", "all planes"

NESTED = (("fine", 1), ("medium", 4), ("coarse", 16))
"""Names of nested layers, and how many times fewer superpixels each has."""

WAIT_MS = 200
"""How long the view, or the slider, must rest before what depends on it is worked out."""

FIRST_GUESS_PX_PER_S = 2e6
"""Speed until this machine's is known."""

Held = Literal["count", "pixels", "units"]


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
        self.results: dict[tuple[Any, ...], Result] = {}
        self.result: Result | None = None  # of the last run that is done: the slider's
        self.job: Job | None = None
        self.machine: task.Machine | None = None
        self._rate = FIRST_GUESS_PX_PER_S
        self._growing: Result | None = None
        self._started_s = 0.0
        self._held: Held = "count"
        self._cut_job: Job | None = None
        self._warm_job: Job | None = None
        self._busy = False
        self._wires = Wires()
        self._build()
        self.preview = LivePreview(self.viewer, self._preview_wanted, self)
        self.preview.said.connect(self._say_of_preview)
        self._info_timer = self._single_shot(self._show_info, WAIT_MS)
        self._cut_timer = self._single_shot(self._complete_cut, WAIT_MS)
        self._tell_timer = self._single_shot(self._tell, 0)
        self._connect()
        self._list_layers()
        self._follow_active()
        self.live.setChecked(self.settings.live_preview)
        self._warm_up()

    # -- what is chosen ----------------------------------------------------------------------------

    @property
    def image_layer(self) -> Image | None:
        """The chosen image layer."""
        return self.image.currentData()

    def source(self, level: int | None = None) -> Source | None:
        """The chosen image, at the chosen level unless another is named."""
        layer = self.image_layer
        if layer is None:
            return None
        chosen = self.level.currentData() if level is None else level
        axis = self.channel_axis.currentData()
        if chosen is None or chosen == AUTOMATIC:
            chosen = self._level_that_fits(layer, axis)
        return Source(layer, chosen, axis)

    def region(self, source: Source) -> Region:
        """The chosen region of a source; a ValueError says why there is none."""
        chosen = self.region_box.currentData()
        if chosen == WHOLE:
            return Region()
        if chosen == VIEW:
            if self.viewer.dims.ndisplay != 2 or not self._shows_planes(source):
                raise ValueError("the current view is no plane of the image; look at rows and columns in 2D")
            view = source.covered(self._view_corners())
            if view is None:
                raise ValueError(f"nothing of '{source.layer.name}' is in view")
            return Region(view)
        if isinstance(chosen, Recorded):
            whole = Window(0, 0, *source.plane_shape)
            if chosen.level != source.level:
                raise ValueError(f"the region of '{chosen.name}' is of level {chosen.level}: choose it")
            if chosen.crop is not None and _overlap(whole, chosen.crop) != chosen.crop:
                raise ValueError(f"the region of '{chosen.name}' is not inside '{source.layer.name}'")
            return Region(chosen.crop, mask=chosen.mask)
        point = self.viewer.dims.point
        inside = inside_shapes if isinstance(chosen, Shapes) else inside_labels
        return inside(source, chosen, point)

    def record(self, source: Source, region: Region) -> RunRecord:
        """The record of the run that is chosen."""
        one = source.has_planes and self.planes.currentData() == THIS_PLANE
        channels = (
            self.channels.chosen() if source.channel_axis is not None and not source.layer.rgb else None
        )
        record = RunRecord(
            self.count.value(),
            model=self._model(),
            compactness=self.compactness.value(),
            channel_axis=source.record_axis,
            channels=source.all_channels if channels is None else channels,
            spacing=source.spacing,
            device=self.device.currentText(),
            level=source.level,
            plane=source.plane_at(self.viewer.dims.point) if one else None,
        )
        return task.record_of_region(record, region)

    # -- actions -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Segment what is chosen."""
        if self.job is not None:
            return
        source = self.source()
        if source is None:
            self._say("open an image first")
            return
        try:
            region = self.region(source)
            record = self.record(source, region)
            planes = source.planes(record)
        except ValueError as error:
            self._say(str(error))
            return
        self._settle_now()
        self.live.setChecked(False)
        self._say("")
        key = (source.layer, record.plane)
        result = Result(self.viewer, source, planes, self._editable_px(), self._layer_to_update(key, source))
        self._growing, self._growing_key, self._started_s = result, key, time.monotonic()
        self._work_px = self._expected(source, region).work_px
        self.job = job = Job(lambda job: task.segment(job, result, record, region))
        job.progressed.connect(self._show_progress)
        job.changed.connect(self._draw)
        job.returned.connect(self._finish)
        job.refused.connect(self._say)
        job.over.connect(self._end)
        self._enable()
        job.start()

    def cancel(self) -> None:
        """Stop the run and leave every layer as it was."""
        if self.job is None:
            return
        self.job.stop()
        self._undo()
        self.progress.setFormat("stopping ...")

    def slide(self, n: int | None = None, height: float | None = None) -> None:
        """Show another cut of the last tree."""
        result = self._result_to_cut()
        if result is None or result.stack is None or self.job is not None:
            return
        if self._pending is not None and self._pending[0] is not result:
            self._settle_now()
        counts = result.stack.counts(n, height=height, nearest=True)
        result.slide(n, height)
        self._pending = (result, at_cut(result.record, None if n is None else counts[0], height))
        self._show_cut(counts[0], height)
        self._say(f"{sum(counts):,} superpixels")
        self._cut_timer.start()

    def add_nested(self) -> list[Labels]:
        """Add three layers, fine, medium and coarse: every superpixel lies in one of the next."""
        self._settle_now()
        result = self.result
        if result is None or result.stack is None:
            return []
        shown = result.stack.counts(**result.record.cut, nearest=True)[0]
        origin = self._origin(result)
        made = []
        for name, times in NESTED:
            n = max(result.stack.n_min, shown // times)
            cut = Cut.make(result.stack, at_cut(result.record, n), origin)
            made.append(result.add_cut(cut, f"{result.source.layer.name} {name} ({n})"))
        return made

    def make_editable(self) -> None:
        """Add the result as a layer that can be painted on."""
        self._settle_now()
        if self.result is not None and self.result.is_there:
            self.result.editable_copy()

    def copy_python(self) -> str | None:
        """Copy a script that repeats the run of the selected or the last result."""
        return self._copy(texts.as_python, "Python")

    def copy_command(self) -> str | None:
        """Copy a command that repeats it."""
        return self._copy(texts.as_command, "a command")

    def use_record(self) -> None:
        """Set all fields as the record of the selected layer says."""
        self._settle_now()
        found = self._selected_record()
        if found is None:
            self._say("select a layer of superpixels that has a record")
            return
        record, origin, layer = found
        self._recorded = Recorded.of(layer, record) if record.crop or record.mask else None
        try:
            self._set_fields(record, origin)
        except ValueError as error:  # of another image's axes
            self._say(str(error))
            return
        self._say(_what_else(record, origin, self.image.currentText()))

    # -- building ----------------------------------------------------------------------------------

    def _build(self) -> None:
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setVerticalSpacing(4)
        self._build_fields()
        self.info, self.message = note(), note()
        self.message.setObjectName("message")
        self.live = QCheckBox("Live preview of what is in view")
        self.live.setToolTip(
            "Superpixels of the visible part, made anew as you look around or change a setting"
        )
        self.run_button = QPushButton("Run")
        self.run_button.setToolTip("Segment (Ctrl+Alt+R)")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop, and leave every layer as it was (Ctrl+Alt+X)")
        self.progress = QProgressBar()
        self.progress.setToolTip("How far the run is, and the time left")
        self._build_afterwards()
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(4)
        column.addLayout(self.form)
        column.addWidget(self.live)
        column.addWidget(self.info)
        column.addLayout(_row(self.run_button, self.cancel_button))
        column.addWidget(self.progress)
        column.addWidget(self.message)
        column.addWidget(self.afterwards)
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(330)

    def _build_fields(self) -> None:
        self.image, self.level, self.channel_axis = (
            narrow(QComboBox()),
            narrow(QComboBox()),
            narrow(QComboBox()),
        )
        self.channels, self.planes, self.region_box = Channels(), narrow(QComboBox()), narrow(QComboBox())
        self.count, self.size_px, self.size_units = count_box(), size_box(), size_box(3)
        self.compactness = size_box(2)
        self.compactness.setRange(0, 1e4)
        self.compactness.setValue(self.settings.compactness)
        self.count.setValue(self.settings.n_segments)
        self.model, self.device = narrow(QComboBox()), narrow(QComboBox())
        self.model.addItems(list(weights.names()))
        self.browse = QToolButton()
        self.browse.setText("...")
        self.device.addItems(list(dict.fromkeys(["auto", "cpu", self.settings.device])))
        self.device.setCurrentText(self.settings.device)
        self.device_reason = note()
        self.channels_row = _widget(self.channel_axis, self.channels)
        self.model_row = _widget(self.model, self.browse)
        for label, field, tip in (
            ("Image", self.image, "The image layer to segment"),
            (
                "Level",
                self.level,
                "Level of the pyramid: the finest that fits into memory, or one of your choice",
            ),
            ("Channels", self.channels_row, "The axis that holds channels, and which of them to use"),
            ("Planes", self.planes, "The plane that is shown, or all of them (time, depth), each by itself"),
            (
                "Region",
                self.region_box,
                "The whole plane, what is in view, or inside a Shapes or Labels layer",
            ),
            ("Superpixels", self.count, "How many; of a stack, in each plane"),
            ("Size, pixels", self.size_px, "The same as the side of a mean superpixel, in pixels"),
            ("Size, world", self.size_units, "The same in the layer's units"),
            ("Compactness", self.compactness, "Weight of shape against colour: larger is rounder"),
            ("Model", self.model_row, "A network that ships with the package, or a file of your own"),
            ("Device", self.device, "Where the network runs; auto takes a graphics card if there is one"),
        ):
            field.setToolTip(tip)
            for child in field.findChildren(QWidget):
                child.setToolTip(tip)
            self.form.addRow(label, field)
        self.browse.setToolTip("Take weights from a file (.safetensors, .tar)")
        self.form.addRow("", self.device_reason)

    def _build_afterwards(self) -> None:
        self.afterwards = QGroupBox("Without a second run")
        self.n_slider, self.height_slider = LogSlider(), LogSlider()
        self.n_box, self.height_label = count_box(), QLabel()
        self.height_label.setMinimumWidth(60)
        self.nested_button = QPushButton("Coarse, medium, fine")
        self.editable_button = QPushButton("Make editable")
        self.python_button = QPushButton("Copy as Python")
        self.command_button = QPushButton("Copy as command")
        self.use_button = QPushButton("Use its settings")
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.addRow("Count", _widget(self.n_slider, self.n_box))
        form.addRow("Height", _widget(self.height_slider, self.height_label))
        column = QVBoxLayout(self.afterwards)
        column.setSpacing(4)
        column.addLayout(form)
        column.addLayout(_row(self.nested_button, self.editable_button))
        column.addLayout(_row(self.python_button, self.command_button))
        column.addWidget(self.use_button)
        for widget, tip in (
            (self.n_slider, "Another number of superpixels, from the same tree"),
            (self.n_box, "Another number of superpixels, from the same tree"),
            (self.height_slider, "Merge all that is cheaper than this: more where there is more to see"),
            (self.nested_button, "Three layers, of n, n / 4 and n / 16 superpixels, one inside the other"),
            (self.editable_button, "A copy as a plain layer that can be painted on"),
            (self.python_button, "A script that makes the selected superpixels again"),
            (self.command_button, "A command for a terminal that makes the selected superpixels again"),
            (self.use_button, "Set the fields above as they were for the selected superpixels"),
        ):
            widget.setToolTip(tip)

    def _connect(self) -> None:
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            self._wires.connect(event, self._list_layers)
        self._wires.connect(layers.removed, self._layer_removed)
        self._wires.connect(self.viewer.layers.selection.events.active, self._follow_active)
        dims, canvas = self.viewer.dims.events, self.viewer.canvas.events
        for event in (self.viewer.scene.camera.events, dims.point, dims.ndisplay, canvas.size):
            self._wires.connect(event, self._view_changed)
        self.image.currentIndexChanged.connect(self._image_changed)
        self.channel_axis.currentIndexChanged.connect(self._axis_changed)
        for box in (self.level, self.planes, self.region_box, self.model, self.device):
            box.currentIndexChanged.connect(self._choice_changed)
        self.channels.changed.connect(self._choice_changed)
        self.compactness.valueChanged.connect(self._choice_changed)
        self.count.valueChanged.connect(lambda: self._size_changed("count"))
        self.size_px.valueChanged.connect(lambda: self._size_changed("pixels"))
        self.size_units.valueChanged.connect(lambda: self._size_changed("units"))
        self.device.currentIndexChanged.connect(self._warm_up)
        self.browse.clicked.connect(self._browse)
        self.live.toggled.connect(self.preview.switch)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.n_slider.moved.connect(lambda n: self.slide(round(n)))
        self.n_box.valueChanged.connect(self.slide)
        self.height_slider.moved.connect(lambda height: self.slide(height=height))
        self.nested_button.clicked.connect(self.add_nested)
        self.editable_button.clicked.connect(self.make_editable)
        self.python_button.clicked.connect(self.copy_python)
        self.command_button.clicked.connect(self.copy_command)
        self.use_button.clicked.connect(self.use_record)
        QShortcut(QKeySequence("Ctrl+Alt+R"), self).activated.connect(self.run)
        QShortcut(QKeySequence("Ctrl+Alt+X"), self).activated.connect(self.cancel)
        self.destroyed.connect(lambda: self._leave())
        application = QApplication.instance()
        assert application is not None, "a widget has an application"
        application.aboutToQuit.connect(work.stop_all_and_wait)

    def _single_shot(self, slot: Callable[[], None], wait_ms: int) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(wait_ms)
        timer.timeout.connect(slot)
        return timer

    # -- layers come and go ------------------------------------------------------------------------

    def _list_layers(self, _event: object = None) -> None:
        """Offer the layers that are there, and keep what is chosen."""
        with self._quiet():
            images = [each for each in self.viewer.layers if isinstance(each, Image) and each.ndim > 1]
            _offer(self.image, [(each.name, each) for each in images])
            own = {each.layer for each in self.results.values()}
            regions = [
                each
                for each in self.viewer.layers
                if isinstance(each, Shapes) or (isinstance(each, Labels) and each not in own)
            ]
            regions = [each for each in regions if PREVIEW_NAME not in each.metadata]
            inside = [(f"inside '{each.name}'", each) for each in regions]
            if self._recorded is not None:
                inside.append((f"as in '{self._recorded.name}'", self._recorded))
            _offer(self.region_box, [(WHOLE, WHOLE), (VIEW, VIEW), *inside])
        for layer in self.viewer.layers:
            self._wires.connect(layer.events.name, self._list_layers)
            if isinstance(layer, Image):
                self._wires.connect(layer.events.data, self._data_changed)
                for event in (layer.events.scale, layer.events.units):
                    self._wires.connect(event, self._choice_changed)
        for layer in regions:
            self._wires.connect(layer.events.data, self._view_changed)
            if isinstance(layer, Labels):
                self._wires.connect(layer.events.labels_update, self._view_changed)
        self._image_changed()

    def _layer_removed(self, event: Any) -> None:
        gone = event.value
        growing = self._growing
        if growing is not None and gone in (growing.layer, growing.source.layer):
            self.cancel()
        self.results = {
            key: each for key, each in self.results.items() if gone not in (each.layer, each.source.layer)
        }
        if self.result is not None and gone in (self.result.layer, self.result.source.layer):
            self.result = None
        self._enable()

    def _follow_active(self, _event: object = None) -> None:
        """Choose the image that is selected, and the tree of superpixels that are."""
        active = self.viewer.layers.selection.active
        if isinstance(active, Image) and self.job is None:
            self.image.setCurrentIndex(_index_of(self.image, active))
        for result in self.results.values():
            if result.layer == active and result.stack is not None:
                self.result = result
                self._show_tree()
        self._enable()

    def _image_changed(self, _index: int = 0) -> None:
        layer = self.image_layer
        if layer != self._shown_image or self._shows_nothing:
            self._shown_image, self._shows_nothing = layer, False
            self._offer_axes(layer)
            self._offer_levels(layer)
            self._axis_changed()
        self._choice_changed()

    _shown_image: Image | None = None
    _shows_nothing = True
    _recorded: Recorded | None = None
    _said_of_preview = ""

    def _data_changed(self, _event: object = None) -> None:
        """An image holds other data: other axes and levels, perhaps."""
        self._shows_nothing = True
        self._image_changed()

    def _axis_changed(self, _index: int = 0) -> None:
        if self._busy:
            return
        source = self.source()
        with self._quiet():
            self.channels.set_count(1 if source is None else source.n_channels)
            stack = source is not None and source.has_planes
            number = len(source.planes().indices) if source is not None and stack else 1
            _offer(self.planes, [(THIS_PLANE, THIS_PLANE), (f"{ALL_PLANES} ({number})", ALL_PLANES)])
        self._show_row(self.planes, stack)
        rgb = source is None or source.layer.rgb or len(source.shape) == 2
        self._show_row(self.channels_row, not rgb)
        self.channels.setVisible(source is not None and source.n_channels > 1 and not rgb)
        self._choice_changed()

    def _offer_axes(self, layer: Image | None) -> None:
        with self._quiet():
            axes: list[tuple[str, int | None]] = [("none (grey)", None)]
            if layer is not None:
                labels = [*layer.axis_labels, "RGB"] if layer.rgb else list(layer.axis_labels)
                shape = level_shapes(layer)[0]
                named = [
                    (f"{label}: {side} long", k)
                    for k, (label, side) in enumerate(zip(labels, shape, strict=True))
                ]
                axes += named if len(shape) > 2 else []
            _offer(self.channel_axis, axes)
            guess = None if layer is None else guess_channel_axis(layer)
            self.channel_axis.setCurrentIndex(_index_of(self.channel_axis, guess))

    def _offer_levels(self, layer: Image | None) -> None:
        levels = [("full resolution", 0)]
        if layer is not None and layer.multiscale:
            axis = self.channel_axis.currentData()
            planes = [Source(layer, k, axis).plane_shape for k in range(len(level_shapes(layer)))]
            levels = [(f"{k}: {height} x {width}", k) for k, (height, width) in enumerate(planes)]
            levels.insert(0, ("finest that fits", AUTOMATIC))
        with self._quiet():
            _offer(self.level, levels)
            self.level.setCurrentIndex(0)
        self._show_row(self.level, len(levels) > 1)

    def _show_row(self, field: QWidget, shown: bool) -> None:
        field.setVisible(shown)
        label = self.form.labelForField(field)
        if label is not None:
            label.setVisible(shown)

    # -- numbers -----------------------------------------------------------------------------------

    def _choice_changed(self, _value: object = None) -> None:
        if self._busy:
            return
        self._show_info()
        self.preview.ask()

    def _view_changed(self, _event: object = None) -> None:
        self._info_timer.start()
        self.preview.ask()

    def _size_changed(self, held: Held) -> None:
        if self._busy:
            return
        self._held = held
        self._choice_changed()

    def _link_sizes(self, source: Source, region: Region) -> None:
        """Of count, pixels and units one is held; the others follow from the area of the region."""
        area = _area(source, region)
        height, width = source.pixel_size
        per_px = math.sqrt(height * width)
        if self._held == "count":
            side = math.sqrt(area / self.count.value())
        else:
            side = self.size_px.value() if self._held == "pixels" else self.size_units.value() / per_px
        with self._quiet():
            self.size_units.setDecimals(max(1, min(12, 2 - math.floor(math.log10(per_px)))))
            self.size_units.setMinimum(10.0 ** -self.size_units.decimals())
            if self._held != "count":
                self.count.setValue(max(1, min(LARGEST_COUNT, round(area / side**2))))
            if self._held != "pixels":
                self.size_px.setValue(side)
            if self._held != "units":
                self.size_units.setValue(side * per_px)
        units = {source.layer.units[axis] for axis in source.layer_axes[-2:]}
        unit = units.pop() if len(units) == 1 else None
        is_pixel = str(unit) == "pixel"
        self.size_units.setSuffix("" if unit is None or is_pixel else f" {unit:~}")
        self._show_row(self.size_units, not is_pixel or not math.isclose(per_px, 1))

    def _show_info(self) -> None:
        """Say what a run would make, need and take."""
        source, region = self._source_and_region()
        if source is None:
            self.info.setText("Open an image to begin.")
            return
        if region is None:
            return  # the reason is said
        self._link_sizes(source, region)
        pixels = _area(source, region)
        if region.mask is None and self.count.value() > pixels:
            self.info.setText(f"{self.count.value():,} superpixels are more than the {pixels:,.0f} pixels.")
            return
        expected = self._expected(source, region)
        number = len(source.planes().indices) if self.planes.currentData() == ALL_PLANES else 1
        planes = f" in each of {number} planes" if number > 1 else ""
        size = " x ".join(map(str, _shape(source, region)))
        memory = self._needed_bytes(source, region)
        text = (
            f"{self.count.value():,} superpixels{planes} of {size} pixels, about "
            f"{_duration(number * expected.seconds(self._rate))} and {_bytes(memory)} of memory."
        )
        free = psutil.virtual_memory().available
        if memory > free:
            text += f" Only {_bytes(free)} are free: choose a smaller region or a coarser level."
        self.info.setText(text + self._level_reason(source))

    def _source_and_region(self) -> tuple[Source | None, Region | None]:
        source = self.source()
        if source is None:
            return None, None
        try:
            return source, self.region(source)
        except ValueError as error:
            self.info.setText(_sentence(str(error)))
            return source, None

    def _expected(self, source: Source, region: Region) -> Estimate:
        return estimate(
            _shape(source, region),
            self.count.value(),
            inside=region.share,
            spacing=source.spacing or (1.0, 1.0),
        )

    def _read_bytes(self, source: Source, region: Region) -> int:
        """Memory for pixels that are not in memory yet."""
        if isinstance(source.pixels, np.ndarray):
            return 0
        shape = _shape(source, region)
        return int(shape[0] * shape[1] * source.n_channels * np.dtype(source.pixels.dtype).itemsize)

    def _level_that_fits(self, layer: Image, axis: int | None) -> int:
        """The finest level whose region fits into the share of free memory that a run may take."""
        number = len(level_shapes(layer)) if layer.multiscale else 1
        for level in range(number):
            if self._fits(Source(layer, level, axis)):
                return level
        return number - 1

    def _fits(self, source: Source) -> bool:
        try:
            region = self.region(source)
        except ValueError:
            return True  # said elsewhere
        return self._needed_bytes(source, region) <= self._allowed_bytes()

    def _needed_bytes(self, source: Source, region: Region) -> int:
        return self._expected(source, region).memory_bytes + self._read_bytes(source, region)

    def _allowed_bytes(self) -> float:
        return self.settings.memory_share * float(psutil.virtual_memory().available)

    def _level_reason(self, source: Source) -> str:
        if not source.layer.multiscale or self.level.currentData() != AUTOMATIC:
            return ""
        if source.level == 0:
            return " Full resolution."
        finer = Source(source.layer, source.level - 1, source.channel_axis)
        region = self.region(finer)
        return (
            f" Level {source.level}, because level {finer.level} would need "
            f"{_bytes(self._needed_bytes(finer, region))} and {_bytes(self._allowed_bytes())} may be taken; "
            "for full resolution choose the current view."
        )

    def _shows_planes(self, source: Source) -> bool:
        """Whether the viewer shows rows and columns of the image as such."""
        offset = self.viewer.dims.ndim - source.layer.ndim
        return tuple(self.viewer.dims.displayed[-2:]) == tuple(
            axis + offset for axis in source.layer_axes[-2:]
        )

    def _view_corners(self) -> NDArray[np.float64]:
        """Corners of the canvas in the world, ``(4, d)``."""
        half = np.array(self.viewer.canvas.viewbox_size(self.viewer.layers)) / (
            2 * self.viewer.scene.camera.zoom
        )
        centre = np.array(self.viewer.scene.camera.center)[-2:]
        corners = np.tile(np.array(self.viewer.dims.point, float), (4, 1))
        signs = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        corners[:, list(self.viewer.dims.displayed[-2:])] = centre + signs * half
        return corners

    def _editable_px(self) -> int:
        return int(self.settings.editable_megapixels * 2**20)

    # -- a run under way ---------------------------------------------------------------------------

    def _layer_to_update(self, key: tuple[Any, ...], source: Source) -> Labels | None:
        """The layer of the run before, unless someone has worked on it."""
        before = self.results.get(key)
        if before is None or not before.is_there or before.is_edited:
            return None
        return before.layer if before.layer.ndim == len(source.layer_axes) else None

    def _show_progress(self, done: int, total: int) -> None:
        if self._growing is None:
            return
        passed = time.monotonic() - self._started_s
        left = passed / done * (total - done) if done else 0.0
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(f"%p %, {_duration(left)} left")

    def _draw(self) -> None:
        if self._growing is not None:
            self._growing.layer.refresh()

    def _finish(self, done: task.Done) -> None:
        if self._growing is None:
            return  # cancelled between its last report and now
        result, self._growing = self._growing, None
        result.finish(done.stack, done.cut)
        self.results[self._growing_key] = self.result = result
        self._seconds = done.seconds
        self._tell_timer.start()  # the viewer may draw in between

    def _tell(self) -> None:
        """Show what a run that is done came to."""
        result, seconds = self.result, self._seconds
        if result is None or result.stack is None or not result.is_there:
            return
        work_px = self._work_px * len(result.planes.indices)
        if work_px >= task.CALIBRATION_PX**2:  # of small pictures most of the time is something else's
            self._rate = work_px / max(seconds, 1e-3)
        self._list_layers()
        self._show_tree()
        number = sum(result.stack.counts(result.record.n_segments, nearest=True))
        kind = "; a pyramid, to be drawn at once ('Make editable' to paint)" if result.is_pyramid else ""
        self._say(f"{number:,} superpixels in {_duration(seconds)}{kind}")

    def _end(self) -> None:
        self._undo()
        self.job = None
        self.progress.reset()
        self.progress.setFormat("")
        self._enable()

    def _leave(self) -> None:
        """The dock was closed, or the viewer: end what is under way. Qt's part of the widget is gone."""
        self._wires.cut()
        for job in (self.job, self._cut_job, self._warm_job, self.preview.job):
            if job is not None:
                job.stop()
        if is_open(self.viewer):
            self._undo()
            self.preview.clear()

    def _undo(self) -> None:
        growing, self._growing = self._growing, None
        if growing is not None:
            growing.undo()

    def _enable(self) -> None:
        running = self.job is not None
        self.run_button.setEnabled(not running and self.image_layer is not None)
        self.cancel_button.setEnabled(running)
        has_tree = self.result is not None and not running
        for widget in (
            self.n_slider,
            self.n_box,
            self.height_slider,
            self.nested_button,
            self.editable_button,
        ):
            widget.setEnabled(has_tree)
        if self.result is None:
            self.height_label.clear()
        has_record = self._selected_record() is not None
        for button in (self.python_button, self.command_button, self.use_button):
            button.setEnabled(has_record)

    # -- the slider --------------------------------------------------------------------------------

    _pending: tuple[Result, RunRecord] | None = None
    """A cut that is shown, but not complete."""

    def _result_to_cut(self) -> Result | None:
        """The result that the slider moves; one that was worked on stays, and another layer is made."""
        result = self.result
        if result is None or result.stack is None or not result.is_there:
            return None
        if self._pending is None and result.is_edited:
            again = Result(self.viewer, result.source, result.planes, self._editable_px())
            again.finish(result.stack, Cut.make(result.stack, result.record, self._origin(result)))
            key = next(key for key, each in self.results.items() if each is result)
            self.results[key] = self.result = again
            return again
        return result

    def _show_tree(self) -> None:
        """Set the sliders' limits by the tree."""
        assert self.result is not None and self.result.stack is not None, "a run is done"
        stack, record = self.result.stack, self.result.record
        heights = np.concatenate([tree.height for tree in stack.trees])
        heights = heights[heights > 0]
        low, high = (float(heights.min()), float(heights.max())) if len(heights) else (1.0, 1.0)
        self.n_slider.set_limits(stack.n_min, stack.n_base)
        self.height_slider.set_limits(low, high)
        self.n_box.blockSignals(True)
        self.n_box.setRange(stack.n_min, stack.n_base)
        self.n_box.blockSignals(False)
        self._show_cut(stack.counts(**record.cut, nearest=True)[0], record.height)

    def _show_cut(self, n: int, height: float | None) -> None:
        assert self.result is not None and self.result.stack is not None, "a run is done"
        tree = self.result.stack.trees[0]
        merges = tree.leaves - n
        at = height if height is not None else float(tree.height[merges - 1]) if merges else 0.0
        self.n_box.blockSignals(True)
        self.n_box.setValue(n)
        self.n_box.blockSignals(False)
        self.n_slider.show_number(n)
        self.height_slider.show_number(at)
        self.height_label.setText(f"{at:,.0f}" if at >= 100 else f"{at:.3g}")

    def _complete_cut(self) -> None:
        """The slider rests: make the labels of the cut an array, and its features and record."""
        if self._cut_job is not None:
            self._cut_job.stop()
        if self._pending is None or not self._pending[0].is_there:
            self._pending = self._cut_job = None
            return
        (result, record), stack = self._pending, self._pending[0].stack
        assert stack is not None, "a run is done"
        origin = self._origin(result)
        self._cut_job = Job(lambda job: (result, Cut.make(stack, record, origin, job.check)))
        self._cut_job.returned.connect(self._settle_cut)
        self._cut_job.refused.connect(self._say)
        self._cut_job.start()

    def _settle_cut(self, made: tuple[Result, Cut]) -> None:
        result, cut = made
        if self._cut_timer.isActive() or self._pending is None or self._pending[1] != cut.record:
            return  # there is a newer one
        if result.is_there:
            result.settle(cut)
        self._pending = self._cut_job = None

    def _settle_now(self) -> None:
        """Complete a cut that is pending, before something builds on it."""
        self._cut_timer.stop()
        if self._cut_job is not None:
            self._cut_job.stop()
        if self._pending is not None and self._pending[0].is_there:
            result, record = self._pending
            assert result.stack is not None, "a run is done"
            result.settle(Cut.make(result.stack, record, self._origin(result)))
        self._pending = self._cut_job = None

    def _origin(self, result: Result) -> Origin:
        return replace(result.origin, image=result.source.layer.name)

    # -- preview -----------------------------------------------------------------------------------

    def _preview_wanted(self) -> Preview | None:
        if self.job is not None or self.image_layer is None:
            return None
        coarse = self.image_layer.data_level if self.image_layer.multiscale else 0
        chosen = self.source()
        assert chosen is not None, "there is an image"
        source = self.source(max(chosen.level, coarse))
        assert source is not None, "there is an image"
        if self.viewer.dims.ndisplay != 2 or not self._shows_planes(source):
            raise ValueError("the preview shows planes; look at rows and columns in 2D")
        region = self.region(source)
        part = _overlap(source.covered(self._view_corners()), region.crop)
        if part is None:
            return None
        whole = Window(0, 0, *source.plane_shape) if region.crop is None else region.crop
        share = part.shape[0] * part.shape[1] / (whole.shape[0] * whole.shape[1])
        plane = source.plane_at(self.viewer.dims.point) if source.has_planes else None
        record = replace(
            self.record(source, region),
            n_segments=max(1, round(self.count.value() * share)),
            plane=plane,
            crop=(part.top, part.left, part.bottom, part.right),
            mask=None,
        )
        mask = region.mask
        if mask is None:
            return Preview(source, record)

        def mask_in_view() -> NDArray[np.bool_]:
            inside: NDArray[np.bool_] = np.logical_or.reduce(mask().reshape(-1, *whole.shape))
            return inside[part.inside(whole)]

        return Preview(source, record, mask_in_view)

    # -- machine, model, messages ------------------------------------------------------------------

    def _warm_up(self, _index: int = 0) -> None:
        """Load torch and the network beside the viewer, so that the first run need not."""
        device = self.device.currentText()
        if self._warm_job is not None:
            self._warm_job.stop()
        self._warm_job = Job(lambda job: task.know_machine(job, device))
        self._warm_job.returned.connect(self._know)
        self._warm_job.refused.connect(self._say)
        self._warm_job.start()

    def _know(self, machine: task.Machine) -> None:
        self.machine, self._rate = machine, machine.work_px_per_s
        for name in machine.names:
            if self.device.findText(name) < 0:
                self.device.addItem(name)
        self.device_reason.setText(f"{machine.device}: {machine.reason}")
        self._show_info()

    def _model(self) -> str:
        return str(self.model.currentData() or self.model.currentText())

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Weights", "", "Weights (*.safetensors *.tar)")
        if path:
            self._choose_model(path)

    def _choose_model(self, model: str) -> None:
        at = self.model.findText(model)
        if at < 0:
            self.model.addItem(model, model)
            at = self.model.count() - 1
        self.model.setCurrentIndex(at)

    def _say(self, text: str) -> None:
        self.message.setText(_sentence(text))

    def _say_of_preview(self, text: str) -> None:
        """Say why there is no preview; when there is one, only what was said of it goes."""
        if text or self.message.text() == self._said_of_preview:
            self._say(text)
        self._said_of_preview = _sentence(text)

    def _selected_record(self) -> tuple[RunRecord, Origin, Labels] | None:
        """Record, origin and layer of the selected superpixels, else of the last result."""
        layers = [self.viewer.layers.selection.active]
        layers += [self.result.layer] if self.result is not None else []
        for layer in layers:
            found = None if layer is None else read_notes(layer.metadata)
            if layer is not None and found is not None:
                return found[0], found[1], layer
        return None

    def _copy(self, text_of: Callable[[RunRecord, Origin, str], str], what: str) -> str | None:
        self._settle_now()
        found = self._selected_record()
        if found is None:
            self._say("there is no run to copy yet")
            return None
        record, origin, layer = found
        text = text_of(record, origin, layer.name)
        clipboard = QApplication.clipboard()
        assert clipboard is not None, "an application has a clipboard"
        clipboard.setText(text)
        painted = any(each.layer == layer and each.is_edited for each in self.results.values())
        since = "; what was painted since is not in it" if painted else ""
        self._say(f"copied '{layer.name}' as {what}{since}")
        return text

    def _set_fields(self, record: RunRecord, origin: Origin) -> None:
        at = self.image.findText(origin.image)
        if at >= 0:
            self.image.setCurrentIndex(at)
        source = self.source()
        if source is None:
            return
        with self._quiet():
            axis = source.planes(RunRecord(channel_axis=record.channel_axis)).channel_axis
            self.channel_axis.setCurrentIndex(max(0, _index_of(self.channel_axis, axis)))
        self._axis_changed()
        with self._quiet():
            self.channels.choose(record.channels)
            self.level.setCurrentIndex(max(0, _index_of(self.level, record.level)))
            self.planes.setCurrentIndex(int(record.plane is None))
            self.count.setValue(record.max_segments or record.n_segments)
            self.compactness.setValue(record.compactness)
            self.device.setCurrentIndex(max(0, self.device.findText(record.device)))
            self._choose_model(record.model)
            self._held = "count"
        self._choice_changed()
        self._list_layers()
        recorded = WHOLE if self._recorded is None else self._recorded
        self.region_box.setCurrentIndex(_index_of(self.region_box, recorded))
        if record.plane is not None and len(record.plane) == len(source.planes().leading):
            offset = self.viewer.dims.ndim - source.layer.ndim
            for axis, at in source.world_of_plane(record.plane).items():
                self.viewer.dims.set_point(axis + offset, at)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Set fields without their signals being taken for a user's."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before


def _what_else(record: RunRecord, origin: Origin, image: str) -> str:
    """What of a record is not in the fields: another image, the cut, options that the widget lacks."""
    said = [f"'{origin.image}' is not open"] if origin.image != image else []
    if record.height is not None:
        said.append(f"then slide the height to {record.height:,.6g}")
    elif record.max_segments is not None:
        said.append(f"then slide the count to {record.n_segments:,}")
    lacking = ("method", "smoothing", "intensity_range", "start_label", "precision", "window")
    said += [f"{name} is not set" for name in lacking if getattr(record, name) != getattr(RunRecord(), name)]
    return "; ".join(said)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shape(source: Source, region: Region) -> tuple[int, int]:
    """Rows and columns that are segmented."""
    return source.plane_shape if region.crop is None else region.crop.shape


def _area(source: Source, region: Region) -> float:
    """Pixels of the region."""
    height, width = _shape(source, region)
    return max(1.0, height * width * region.share)


def _overlap(view: Window | None, crop: Window | None) -> Window | None:
    """What of a crop is in view."""
    if view is None or crop is None:
        return view
    (top, left), (bottom, right) = np.maximum(view[:2], crop[:2]), np.minimum(view[2:], crop[2:])
    return Window(int(top), int(left), int(bottom), int(right)) if top < bottom and left < right else None


def _offer(box: QComboBox, items: list[tuple[str, Any]]) -> None:
    """Fill a box anew and keep what was chosen, if it is still there."""
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for text, data in items:
        box.addItem(text, data)
    box.setCurrentIndex(max(0, _index_of(box, chosen)) if items else -1)
    box.blockSignals(False)


def _index_of(box: QComboBox, data: object) -> int:
    """Where a box holds an object; napari hands out the same layer in ever new wrappings, which are equal."""
    for k in range(box.count()):
        held = box.itemData(k)
        if held is data or (held is not None and data is not None and held == data):
            return k
    return -1


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget)
    return row


def _widget(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    holder.setLayout(_row(*widgets))
    return holder


def _duration(seconds: float) -> str:
    """A time in words.

    >>> _duration(0.24), _duration(3.7), _duration(200)
    ('0.2 s', '4 s', '3 min 20 s')
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"


def _bytes(number: float) -> str:
    """A size in words.

    >>> _bytes(250e6), _bytes(2.5e9)
    ('250 MB', '2.5 GB')
    """
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{max(1, round(number / 1e6))} MB"
