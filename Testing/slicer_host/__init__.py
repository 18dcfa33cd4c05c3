"""A host in which a module of 3D Slicer runs without Slicer.

Its panel on Qt offscreen, its scene on slicer-core's real MRML.

It shows the panel's forms and tests the wiring (which widget does what, what the scene then holds);
there are no views. It does not replace a run in Slicer. Needs PySide6-Essentials and trame-slicer[standalone].
"""

from .host import Host
from .installation import install

__all__ = ["Host", "install"]
