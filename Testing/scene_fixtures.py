"""A real MRML scene, of slicer-core, for each test."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")


@pytest.fixture(scope="session")
def slicer_app():
    """One for each folder that imports this: tests of the panel, which come between, have an application of their own."""
    import slicer
    from trame_slicer.core import SlicerApp

    app = SlicerApp()
    slicer.mrmlScene = app.scene
    return app


@pytest.fixture
def scene(slicer_app):
    """Empty, but for what Slicer itself keeps in it."""
    import slicer

    slicer_app.scene.Clear(False)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer_app.scene)
    yield slicer_app.scene
    slicer_app.scene.Clear(False)


@pytest.fixture
def watch(scene):
    """Looks after the scene, as it does wherever the module is open."""
    from MultiViewRegistrationLib.mrml.display import SceneObserver

    watch = SceneObserver(scene)
    yield watch
    watch.stop()
