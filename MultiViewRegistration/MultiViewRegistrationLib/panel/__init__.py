"""The panel of the module in 3D Slicer, in Qt."""
