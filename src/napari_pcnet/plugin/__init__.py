"""The napari plugin: the only part of the package that may import napari, Qt and magicgui."""
