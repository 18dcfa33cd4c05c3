"""`vtk` in the viewer's process: not all of it is imported before something is asked for that needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from MultiViewRegistrationLib.viewer import vtk_on_demand

vtk_on_demand.put_off()
import trame_slicer.core
import slicer, vtk
whole = lambda: "vtkmodules.vtkIOExodus" in sys.modules
assert not whole(), "trame-slicer needs more of VTK than before"
assert vtk.vtkMatrix4x4 is sys.modules["vtkmodules.vtkCommonMath"].vtkMatrix4x4
assert slicer.util.arrayFromVTKMatrix(vtk.vtkMatrix4x4()).trace() == 4
from vtk.util.numpy_support import numpy_to_vtk
assert numpy_to_vtk and not whole()
try:
    vtk.__no_such_thing__
except AttributeError:
    assert not whole()
assert vtk.vtkExodusIIReader().GetClassName() == "vtkExodusIIReader" and whole()
try:
    vtk.vtkNoSuchThing
except AttributeError:
    print("done")
"""


def test_vtk_is_imported_as_a_whole_only_once_that_is_asked_for():
    pytest.importorskip("trame_slicer", reason="needs trame-slicer")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr
