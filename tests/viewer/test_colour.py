"""Colouring superpixels by a column in a real viewer: the menu of the button, and what stays as it was."""

from __future__ import annotations

import napari
import numpy as np
from actions import drawn_picture, run_widget, wait_until_settled
from numpy.testing import assert_array_equal
from pytestqt.qtbot import QtBot

from napari_pcnet.plugin.widget import SuperpixelsWidget


def test_superpixels_are_coloured_by_a_column_of_their_table(
    opened: tuple[napari.Viewer, SuperpixelsWidget], qtbot: QtBot
) -> None:
    viewer, widget = opened
    menu = widget.cut_panel.column_menu
    menu.aboutToShow.emit()
    (nothing,) = menu.actions()
    assert nothing.text() == "the selected layer has no table" and not nothing.isEnabled()
    picture = viewer.add_image(drawn_picture(60, 80, 3), name="a")
    layer = run_widget(widget, qtbot)

    def colour(name: str) -> None:
        menu.aboutToShow.emit()
        (action,) = (each for each in menu.actions() if each.text() == name)
        action.trigger()

    colour("area")
    coloured = viewer.layers["a superpixels: area"]
    areas = np.bincount(layer.data.ravel())
    assert_array_equal(coloured.data, areas[layer.data])
    assert viewer.layers.selection.active == layer
    assert widget.form.image.layer == picture  # what is coloured is no image to segment
    viewer.layers.selection.active = coloured
    assert widget.form.image.layer == picture

    viewer.layers.selection.active = layer
    widget.slide(3)
    colour("area")  # of the cut that is shown now
    coloured = viewer.layers["a superpixels: area"]
    assert_array_equal(coloured.data, np.bincount(layer.data.ravel())[layer.data])
    wait_until_settled(widget, qtbot)
