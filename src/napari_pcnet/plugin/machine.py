"""The machine: its devices, and how fast it segments; known once torch is loaded, which takes seconds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_pcnet.geometry.estimate import estimate
from napari_pcnet.geometry.grid import Fineness
from napari_pcnet.geometry.tiling import Halo
from napari_pcnet.options import Options
from napari_pcnet.plugin.jobs import Job

CALIBRATION_PX = 512
"""Side of the picture that is timed."""

CALIBRATION_COUNT = 200
"""Superpixels of it."""

FIRST_GUESS_PX_PER_S = 2e6
"""Speed until this machine's is known."""


@dataclass(frozen=True)
class Machine:
    """What is known of this machine once torch is loaded.

    Attributes
    ----------
    device : str
        The device that runs take.
    reason : str
        Why that one.
    work_px_per_s : float
        How many work pixels it segments in a second.
    device_names : tuple of str
        All devices there are.
    halo : Halo
        Work pixels that the default network needs around a window.
    fineness : Fineness
        Of the default network's lattices.
    """

    device: str
    reason: str
    work_px_per_s: float
    device_names: tuple[str, ...]
    halo: Halo
    fineness: Fineness


def load_features() -> None:
    """Load what napari keeps features in: it is needed by the first layer of labels, and takes long."""
    import pandas as pd  # noqa: F401


def measure_machine(job: Job, device: str) -> Machine:
    """Load torch and the default network, and time them on a small picture of noise."""
    from napari_pcnet.network.machine import choose_device, device_names
    from napari_pcnet.pipeline import load_prepared
    from napari_pcnet.superpixels import pcnet_superpixels

    job.check()
    choice = choose_device(device)
    noise = np.random.default_rng(0).integers(0, 255, (CALIBRATION_PX, CALIBRATION_PX), np.uint8)
    pcnet_superpixels(noise[:64, :64], 4, channel_axis=None, device=device)  # loads the weights
    job.check()
    started = time.monotonic()
    pcnet_superpixels(noise, CALIBRATION_COUNT, channel_axis=None, device=device, progress=job.progress)
    seconds = max(time.monotonic() - started, 1e-3)
    network = load_prepared(Options(device=device))
    timed = estimate(noise.shape, CALIBRATION_COUNT, fineness=network.fineness)
    rate = timed.work_px / seconds
    return Machine(str(choice.device), choice.reason, rate, device_names(), network.halo, network.fineness)


class MachineProbe(QObject):
    """What is known of this machine: measured in a job, and learnt from runs.

    Attributes
    ----------
    machine : Machine or None
        None until it is measured.
    work_px_per_s : float
        Speed of the last long run, else as measured, else a first guess.
    is_ready : bool
        Whether a layer of labels can be made without loading anything first.
    """

    ready = Signal()
    """`is_ready` from now on."""
    measured = Signal(object)
    """The `Machine`."""
    refused = Signal(str)
    """There is no such device; why, in a sentence."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.machine: Machine | None = None
        self.work_px_per_s = FIRST_GUESS_PX_PER_S
        self.is_ready = "pandas" in sys.modules
        self._device = Options.device
        self._job: Job | None = None

    def measure(self, device: str) -> None:
        """Load torch and the network in a job, so that the first run need not, and time them on a device."""
        self.stop()
        self._device = device
        if not self.is_ready:
            self._job = Job(lambda _: load_features())
            self._job.returned.connect(self._get_ready)
            self._job.start()
            return
        self._job = Job(lambda job: measure_machine(job, device))
        self._job.returned.connect(self._keep)
        self._job.refused.connect(self.refused)
        self._job.start()

    def learn(self, work_px: int, seconds: float) -> None:
        """Take the speed of a run, unless it was so small that most of its time went elsewhere."""
        if work_px >= CALIBRATION_PX**2:
            self.work_px_per_s = work_px / max(seconds, 1e-3)

    def stop(self) -> None:
        """Ask the job to stop."""
        if self._job is not None:
            self._job.stop()

    def _get_ready(self, _nothing: object) -> None:
        self.is_ready = True
        self.ready.emit()
        self.measure(self._device)

    def _keep(self, machine: Machine) -> None:
        self.machine, self.work_px_per_s = machine, machine.work_px_per_s
        self.measured.emit(machine)
