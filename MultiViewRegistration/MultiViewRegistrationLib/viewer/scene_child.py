"""Loads a scene in a child process, which it may end, before the page loads it.

See `imaging.child`.
"""

from __future__ import annotations

from typing import Any

from trame_slicer.core import SlicerApp


def load(mrml: str, folder: str) -> str:
    """Load a scene.

    Returns
    -------
    str
        The name of a model that cannot be shown: no surface, or one that names points which are not
        there; "" for none. "scene" where the scene cannot be read.
    """
    scene = SlicerApp().scene
    scene.SetURL(mrml)
    scene.SetRootDirectory(folder)
    if not scene.Import(None):
        return "scene"
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLModelNode")):
        model = scene.GetNthNodeByClass(n, "vtkMRMLModelNode")
        if not _is_whole(model.GetMesh()):
            return f"model {model.GetName()}"
    return ""


def _is_whole(mesh: Any) -> bool:
    if mesh is None:
        return True
    if not mesh.IsA("vtkPolyData"):
        return False
    points = mesh.GetNumberOfPoints()
    for cells in (mesh.GetVerts(), mesh.GetLines(), mesh.GetPolys(), mesh.GetStrips()):
        if not cells.IsValid():
            return False
        named = cells.GetConnectivityArray()
        least, most = named.GetRange() if named.GetNumberOfTuples() else (0, -1)
        if least < 0 or most >= points:
            return False
    of_points = _are_all(mesh.GetPointData(), points)
    return of_points and _are_all(mesh.GetCellData(), mesh.GetNumberOfCells())


def _are_all(data: Any, count: int) -> bool:
    arrays = map(data.GetAbstractArray, range(data.GetNumberOfArrays()))
    return all(array.GetNumberOfTuples() == count for array in arrays)
