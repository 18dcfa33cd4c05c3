"""The shared libraries of VTK and slicer-core, loaded while Python imports other things.

An import holds Python's lock while the system finds a library and all that it needs, which takes most of the time that these two take. A
thread that asks the system itself does not; the imports then find them loaded.
"""

from __future__ import annotations

import ctypes
import os
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

_MODULE = EXTENSION_SUFFIXES[0]
#: Package and names. What others need comes first: the system is quicker then, and no other import has to wait for it long.
IN_ORDER = (
    ("slicer_core", "third_party.libs/*.so*"),
    ("vtkmodules", "vtkFiltersGeneral" + _MODULE),
    ("vtkmodules", "vtkRenderingOpenGL2" + _MODULE),
    ("vtkmodules", "vtkInteractionWidgets" + _MODULE),
    ("slicer_core", "*" + _MODULE),
)


def load_beside() -> None:
    """Begin, in a thread. What cannot be loaded is left to its import, which says why."""
    if os.name == "posix":
        Thread(
            target=_load, name="MultiViewRegistration"
        ).start()  # which the process's end waits for, else it may crash


def _load() -> None:
    system = ctypes.CDLL(None)
    system.dlopen.restype = ctypes.c_void_p
    for package, names in IN_ORDER:
        spec = find_spec(package)
        if spec is not None:
            for library in sorted(Path(spec.origin).parent.glob(names)):
                system.dlopen(os.fsencode(library), ctypes.c_int(os.RTLD_NOW))
