"""A real MRML scene, of slicer-core, for each test."""

from tiny_scene import scene, slicer_app, watch

__all__ = ["scene", "slicer_app", "watch"]
