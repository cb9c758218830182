"""What napari shows of the package: the only room that may know napari, Qt and magicgui."""
