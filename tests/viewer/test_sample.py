"""In a real napari, in a real window: the sample opens, and our labels lie on it."""

import os
import sys
from collections.abc import Callable

import napari
import numpy as np
from npe2 import PluginManager
from numpy.testing import assert_array_equal

from napari_pcnet import pcnet_superpixels

MakeViewer = Callable[..., napari.Viewer]


def test_the_sample_opens_and_takes_superpixels(make_napari_viewer: MakeViewer) -> None:
    viewer = make_napari_viewer(show=True)
    (image,) = viewer.open_sample("napari-pcnet", "cat")
    assert (image.name, image.rgb, image.data.shape) == ("cat", True, (300, 451, 3))

    labels = viewer.add_labels(pcnet_superpixels(image.data, 60), name="superpixels")
    assert labels.data.dtype == np.int32
    assert_array_equal(np.unique(labels.data), np.arange(1, 61))
    assert_array_equal(labels.extent.world, image.extent.world)

    labels.contour = 1
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 100  # drawn, not a blank canvas


def test_the_samples_are_in_the_menu(make_napari_viewer: MakeViewer) -> None:
    make_napari_viewer()
    samples = dict(PluginManager.instance().iter_sample_data())
    assert [each.key for each in samples["napari-pcnet"]] == ["cat", "coffee", "stack"]


def test_the_qt_that_was_chosen_is_the_only_one(make_napari_viewer: MakeViewer) -> None:
    make_napari_viewer()
    chosen = {"pyqt6": "PyQt6", "pyside6": "PySide6"}[os.environ.get("QT_API", "pyqt6")]
    assert {name for name in ("PyQt5", "PyQt6", "PySide2", "PySide6") if name in sys.modules} == {chosen}
