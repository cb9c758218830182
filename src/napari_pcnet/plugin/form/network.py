"""Fields that choose the network: its weights, and the device that it runs on."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QToolButton

from napari_pcnet import weights
from napari_pcnet.plugin.boxes import FormRows, choice_box, side_by_side
from napari_pcnet.plugin.machine import Machine
from napari_pcnet.plugin.messages import WrappedLabel


class NetworkFields(QObject):
    """Fields that choose weights and device.

    Parameters
    ----------
    rows : FormRows
        The form, to which the fields are added.
    device : str
        The device that the form begins with.

    Attributes
    ----------
    device_reason : WrappedLabel
        Which device runs take, and why; it comes later, so it has no place among the fields.
    """

    changed = Signal()
    device_changed = Signal()

    def __init__(self, rows: FormRows, device: str) -> None:
        super().__init__(rows)
        self.model_box, self.device_box, self.browse = choice_box(), choice_box(), QToolButton()
        self.device_reason = WrappedLabel()
        self.model_box.addItems(list(weights.names()))
        self.browse.setText("...")
        self.device_box.addItems(list(dict.fromkeys(["auto", "cpu", device])))
        self.device_box.setCurrentText(device)
        rows.add(
            "Model",
            side_by_side(self.model_box, self.browse),
            "A network that ships with the package, or a file of your own",
        )
        self.browse.setToolTip("Take weights from a file (.safetensors, .tar)")
        rows.add(
            "Device", self.device_box, "Where the network runs; auto takes a graphics card if there is one"
        )
        self.model_box.currentIndexChanged.connect(self.changed)
        self.device_box.currentIndexChanged.connect(self.changed)
        self.device_box.currentIndexChanged.connect(self.device_changed)
        self.browse.clicked.connect(self._browse)

    @property
    def model(self) -> str:
        """Name or file of the weights."""
        return str(self.model_box.currentData() or self.model_box.currentText())

    @property
    def device(self) -> str:
        """Name of the device."""
        return str(self.device_box.currentText())

    def offer_models(self) -> None:
        """Offer the weights that have names now; the chosen ones stay chosen."""
        for name in weights.names():
            if self.model_box.findText(name) < 0:
                self.model_box.addItem(name)

    def use(self, model: str, device: str) -> None:
        """Choose weights and device; a device that this machine lacks becomes auto."""
        self.device_box.setCurrentIndex(max(0, self.device_box.findText(device)))
        self._choose_model(model)

    def show_machine(self, machine: Machine) -> None:
        """Offer the machine's devices, and say which one runs take and why."""
        for name in machine.device_names:
            if self.device_box.findText(name) < 0:
                self.device_box.addItem(name)
        self.device_reason.setText(f"{machine.device}: {machine.reason}")

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self.browse.window(), "Weights", "", "Weights (*.safetensors *.tar)"
        )
        if path:
            self._choose_model(path)

    def _choose_model(self, model: str) -> None:
        at = self.model_box.findText(model)
        if at < 0:
            self.model_box.addItem(model, model)
            at = self.model_box.count() - 1
        self.model_box.setCurrentIndex(at)
