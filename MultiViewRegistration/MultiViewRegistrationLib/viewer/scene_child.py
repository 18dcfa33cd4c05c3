"""Loads a scene in a child process, which it may end, before the page loads it.

See `imaging.child`.
"""

from __future__ import annotations

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
    models = [
        scene.GetNthNodeByClass(n, "vtkMRMLModelNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLModelNode"))
    ]
    return next(
        (f"model {model.GetName()}" for model in models if not _is_whole(model.GetMesh())), ""
    )


def _is_whole(mesh) -> bool:
    if mesh is None:
        return True
    if not mesh.IsA("vtkPolyData"):
        return False
    points = mesh.GetNumberOfPoints()
    for cells in (mesh.GetVerts(), mesh.GetLines(), mesh.GetPolys(), mesh.GetStrips()):
        if not cells.IsValid():
            return False
        named = cells.GetConnectivityArray()
        if named.GetNumberOfTuples() and not (
            named.GetRange()[0] >= 0 and named.GetRange()[1] < points
        ):
            return False
    return all(
        data.GetAbstractArray(n).GetNumberOfTuples() == count
        for data, count in (
            (mesh.GetPointData(), points),
            (mesh.GetCellData(), mesh.GetNumberOfCells()),
        )
        for n in range(data.GetNumberOfArrays())
    )
