"""Loads a scene in a child process, which it may end, before the page loads it.

See `imaging.child`.
"""

from __future__ import annotations

from trame_slicer.core import SlicerApp

from ..imaging.surface import is_whole


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
        mesh = model.GetMesh()
        if mesh is not None and not is_whole(mesh):
            return f"model {model.GetName()}"
    return ""
