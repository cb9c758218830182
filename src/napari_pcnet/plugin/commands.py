"""Commands for napari's menus and command palette: they do what the widget's buttons do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_pcnet.plugin.files import open_in
from napari_pcnet.plugin.settings import PLUGIN

if TYPE_CHECKING:
    import napari.viewer

    from napari_pcnet.plugin.widget import SuperpixelsWidget

WIDGET = "PCNet superpixels"


def widget_of(viewer: napari.viewer.Viewer) -> SuperpixelsWidget:
    """Return the dock widget of a viewer; open it if it is closed."""
    widget: SuperpixelsWidget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1]
    return widget


def run(viewer: napari.viewer.Viewer) -> None:
    """Segment what is chosen in the widget."""
    widget_of(viewer).run()


def cancel(viewer: napari.viewer.Viewer) -> None:
    """Stop the run."""
    widget_of(viewer).cancel()


def annotate(viewer: napari.viewer.Viewer) -> None:
    """Paint classes on the superpixels of the last run."""
    widget_of(viewer).annotate()


def annotate_objects(viewer: napari.viewer.Viewer) -> None:
    """Merge superpixels of the last run into objects."""
    widget_of(viewer).annotate_objects()


def train(viewer: napari.viewer.Viewer) -> None:
    """Show the box in which a model is trained on layers."""
    widget_of(viewer).show_training()


def copy_python(viewer: napari.viewer.Viewer) -> None:
    """Copy the run of the selected superpixels as a script."""
    widget_of(viewer).copy_python()


def copy_command(viewer: napari.viewer.Viewer) -> None:
    """Copy the run of the selected superpixels as a command."""
    widget_of(viewer).copy_command()


def open_superpixels(viewer: napari.viewer.Viewer) -> None:
    """Ask for a file of superpixels (for a zarr, its ``zarr.json``) and open it with its record."""
    chosen, _ = QFileDialog.getOpenFileName(
        None, "Open superpixels", "", "Superpixels (*.tif *.tiff zarr.json)"
    )
    if chosen:
        open_in(viewer, chosen)
