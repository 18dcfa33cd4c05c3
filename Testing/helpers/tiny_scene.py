"""A real MRML scene of slicer-core for each test.

In it a registration whose X-rays are a few bright dots, from chosen cameras.
"""

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.hosts import IN_SLICER
from MultiViewRegistrationLib.geometry.machines import CArm

if not IN_SLICER:
    pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')


@cache
def _application():
    if IN_SLICER:
        import slicer

        manager = SimpleNamespace(
            write_scene=lambda path: slicer.util.saveScene(str(path)),
            load_scene=lambda path: slicer.util.loadScene(str(path)) is not False,
        )
        logic = slicer.app.applicationLogic()
        return SimpleNamespace(scene=slicer.mrmlScene, app_logic=logic, io_manager=manager)
    from trame_slicer.core import SlicerApp

    app = SlicerApp()
    app.scene.Clear(False)
    return app


@pytest.fixture(scope="session")
def slicer_app():
    """One for all folders, as views belong to an application; tests of the panel have their own."""
    return _application()


#: Of the slice views that a test has looked into.
displayers: list = []


@pytest.fixture
def scene(slicer_app):
    """Empty, but for what Slicer itself keeps in it; Slicer's own, also after tests of the panel."""
    import slicer

    from MultiViewRegistrationLib.mrml import source_view

    slicer.mrmlScene = slicer_app.scene
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer_app.scene)
    yield slicer_app.scene
    source_view.restore_all(slicer_app.scene)
    while displayers:  # each would follow all that is cleared, also after tests that look at none
        displayers.pop().SetMRMLDisplayableNode(None)
    slicer_app.scene.Clear(False)


@pytest.fixture
def watch(scene):
    """Looks after the scene, as it does wherever the module is open."""
    from MultiViewRegistrationLib.mrml.display import SceneObserver

    watch = SceneObserver(scene)
    yield watch
    watch.stop()


SHAPE = (60, 80)
#: What a person reads from a C-arm.
READING = {
    "source_to_detector_mm": 1000,
    "source_to_isocentre_mm": 700,
    "pixel_mm": (2.0, 2.0),
    "rao_lao_deg": 0,
    "cra_cau_deg": 0,
}


def intensity(seed=0):
    """uint16 SHAPE: detected intensity behind a soft body with a few thin bones, which are dark."""
    rows, columns = np.indices(SHAPE)
    body = 2 * np.exp(-((rows - 30) ** 2 / 500 + (columns - 40) ** 2 / 900))
    bones = sum(
        0.7 * np.exp(-((columns - column) ** 2) / 2.0) for column in (15, 30, 47 + seed, 62)
    )
    return (
        40_000 * np.exp(-body - bones) + 200 * np.random.default_rng(seed).normal(size=SHAPE)
    ).astype(np.uint16)


def c_arm(rao_lao_deg=0.0, cra_cau_deg=0.0, **more):
    """A camera 700 mm from an isocentre in the middle of the patient, 1000 mm from its detector.

    more: fields of CArm that replace those of READING.
    """
    usual = {"size": (96, 72), "rao_lao_deg": rao_lao_deg, "cra_cau_deg": cra_cau_deg}
    return CArm(**{**READING, **usual, **more}).camera()


def dot_image(size, pixel, sigma=1.2):
    """float32 (rows, columns), 0.1, with a dot of 1 around a pixel (column, row) that need not be whole."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    dot = np.exp(-((columns - pixel[0]) ** 2 + (rows - pixel[1]) ** 2) / (2 * sigma**2))
    return (0.1 + 0.9 * dot).astype(np.float32)


def registration_of(scene, cameras=None, points=None, pixel_mm=(2.0, 2.0)):
    """A registration with an X-ray for each camera, by name, that shows a dot where a world point (3,), LPS mm, is projected.

    cameras: by default AP and lateral.
    points: by name; the isocentre where there is none.
    """
    from MultiViewRegistrationLib.mrml.registration import Registration

    registration = Registration.create(scene, "Test")
    for name, camera in (cameras or {"AP": c_arm(), "lateral": c_arm(90)}).items():
        image = dot_image(camera.size, camera.project((points or {}).get(name, np.zeros(3))))
        image[0, 0] += 0.001 * len(registration.xrays)  # no two are the same
        add_xray(registration, name, camera, image, pixel_mm)
    return registration


def add_xray(registration, name, camera, image, pixel_mm=(2.0, 2.0)):
    """A further X-ray, of line integrals (rows, columns)."""
    from MultiViewRegistrationLib.imaging.xray import RawImage
    from MultiViewRegistrationLib.mrml.image import set_source
    from MultiViewRegistrationLib.mrml.loading import source_node

    view = registration.add_xray(name)
    view.change(geometry=camera, intensity="log", image_pixel_mm=tuple(pixel_mm))
    set_source(view, source_node(view, f"{name} image", RawImage(image, 0.0, float(image.max()))))
    view.node.GetDisplayNode().SetWindowLevelMinMax(0.0, 1.0)
    return view


def complete(scene, name="Test"):
    """A registration with CT, landmarks and two X-rays, one with a DRR, all shown."""
    from MultiViewRegistrationLib.geometry.landmarks import Landmark
    from MultiViewRegistrationLib.mrml import display
    from MultiViewRegistrationLib.mrml.landmarks import place_landmarks
    from MultiViewRegistrationLib.mrml.loading import volume_node
    from MultiViewRegistrationLib.mrml.nodes import product

    registration = registration_of(scene)
    registration.ct = volume_node(
        scene, f"{name} CT", np.zeros((4, 5, 6), np.int16), np.diag([2, 2, 3, 1.0])
    )
    place_landmarks(registration, [Landmark("tip", np.zeros(3), {"AP": np.array([40.0, 30.0])})])
    drr = product(registration.xrays[0].node, "drr", "vtkMRMLScalarVolumeNode", "AP DRR")
    drr.CreateDefaultDisplayNodes()
    display.show(registration)
    return registration


def write_markups(path, points):
    """A .mrk.json of points, LPS mm, by their names."""
    listed = [{"label": name, "position": [*map(float, at)]} for name, at in points.items()]
    lists = [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": listed}]
    path.write_text(json.dumps({"markups": lists}))
    return path


def save(app, path):
    """As Slicer does: an .mrml with a file for each node beside it, or all of it in one .mrb."""
    if path.suffix == ".mrml":
        for i in range(app.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            node = app.scene.GetNthNodeByClass(i, "vtkMRMLStorableNode")
            if node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode"):
                node.AddDefaultStorageNode()
                storage = node.GetStorageNode()
                if storage is not None:
                    storage.SetFileName(
                        str(
                            path.parent / f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"
                        )
                    )
                    assert storage.WriteData(node)
    assert app.io_manager.write_scene(path)


def reopened(app, path):
    """The registrations of the scene, which is saved and opened again."""
    from MultiViewRegistrationLib.mrml.registration import Registration

    save(app, path)
    app.scene.Clear(False)
    assert app.io_manager.load_scene(path)
    return Registration.all(app.scene)
