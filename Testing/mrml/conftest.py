"""A real MRML scene, of slicer-core, for each test."""

from scene_fixtures import scene, slicer_app, watch

__all__ = ["scene", "slicer_app", "watch"]
