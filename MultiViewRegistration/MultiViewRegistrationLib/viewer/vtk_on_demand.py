"""The module `vtk`, which only imports all of VTK once something is asked for that has not been imported yet.

trame-slicer and slicer-core name the whole of VTK for the sake of a few classes, which slicer-core has imported already; the other two
hundred libraries take a tenth of the time until the page is there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

#: What trame-slicer needs beside.
WIDGETS = "vtkmodules.vtkInteractionWidgets"


class VTKOnDemand(ModuleType):
    """Stands for `vtk` until all of that is needed; `vtk.util` and the like are found in it, too."""

    def __init__(self) -> None:
        super().__init__("vtk")
        self.__spec__ = find_spec("vtk")
        self.__path__ = list(find_spec("vtkmodules").submodule_search_locations)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        import_module(WIDGETS)
        imported = [module for key, module in list(sys.modules.items()) if key.startswith("vtkmodules.vtk")]
        found = next((module for module in imported if hasattr(module, name)), None)
        if found is None:
            sys.modules.pop("vtk", None)
            found = import_module("vtk")
            self.__dict__.update(found.__dict__)
        setattr(self, name, getattr(found, name))
        return getattr(found, name)


def put_off() -> None:
    """Have `import vtk` import nothing for now."""
    if "vtk" not in sys.modules and find_spec("vtk") is not None:
        sys.modules["vtk"] = VTKOnDemand()
