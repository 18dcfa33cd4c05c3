"""A scene that was saved comes back as it was.

Planes, cameras, overlays, frusta, labels, landmarks, segmentations, views.
"""

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import pixels, slice_view, threed_view
from helpers.tiny_scene import c_arm, registration_of, save

from MultiViewRegistrationLib.geometry.landmarks import Landmark
from MultiViewRegistrationLib.mrml import display, source_view
from MultiViewRegistrationLib.mrml import slice_view as views
from MultiViewRegistrationLib.mrml.case import landmarks_of
from MultiViewRegistrationLib.mrml.fingerprints import fingerprint
from MultiViewRegistrationLib.mrml.identity import ct_uid, world_uid
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.mrml.landmarks import place_landmarks
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.nodes import product
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray import MASK, place, place_of

POINT = np.array([30.0, -20.0, 25.0])


def full(scene):
    """Two views, one with its principal point off centre and mirrored, DRR over it, a CT with a segment, landmarks, a mask."""
    cameras = {
        "AP": c_arm(12, 5, principal_point=(70.3, 20.2), mirrored=True),
        "lateral": c_arm(90),
    }
    registration = registration_of(scene, cameras, dict.fromkeys(cameras, POINT))
    voxels = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)
    registration.ct = volume_node(scene, "CT", voxels, np.diag([2, 2, 3, 1.0]))
    registration.choose_segment(*segmentation_node(scene, "bone", voxels > 0, registration.ct))
    pose = np.diag([1.0, -1, -1, 1])
    pose[:3, 3] = 4, 5, 6
    registration.world_from_ct = pose
    ap = registration.xrays[0]
    used = np.zeros((1, 72, 96), bool)
    used[0, 10:60, 20:90] = True
    mask = segmentation_node(scene, "field", used, ap.node)[0]
    mask.GetDisplayNode().SetVisibility(
        False
    )  # what of a label it covers depends on which of them came first
    ap.node.SetNodeReferenceID(MASK, mask.GetID())
    place_landmarks(
        registration, [Landmark("tip", np.array([3.0, 4, 5]), {"AP": np.array([40.0, 30.0])})]
    )
    drr = product(ap.node, "drr", "vtkMRMLScalarVolumeNode", "AP DRR")
    slicer.util.updateVolumeFromArray(drr, np.full((1, 36, 48), 0.5, np.float32))
    drr.CreateDefaultDisplayNodes()
    place(drr, ap.camera.pooled(2), ap.detector_mm)
    display.show(registration)
    views.lay_over(ap, drr, 0.25)
    return registration


def restored(registration):
    """All that is to come back; frusta and labels are seen in the pictures."""
    views = {}
    for view in registration.xrays:
        drr = view.node.GetNodeReference("drr")
        views[view.name] = {
            "record": view.record.scene_json(),
            "image": slicer.util.arrayFromVolume(view.node).tolist(),
            "plane": place_of(view.node).round(4).tolist(),
            "frustum": view.node.GetNodeReference("frustum").GetPolyData().GetBounds(),
            "locked": view.node.GetNodeReference("label3D").GetLocked(),
            "drr": drr and drr.GetName(),
        }
    marks = landmarks_of(registration, registration.xrays)
    return {
        "frames": (world_uid(registration), ct_uid(registration)),
        "ct, masks and sources": fingerprint(registration),
        "pose": registration.world_from_ct.round(6).tolist(),
        "landmarks in the CT": {mark.name: mark.ct.round(4).tolist() for mark in marks},
        "landmark in AP": marks[0].pixels["AP"].round(3).tolist(),
        "views": views,
    }


def changed(picture, before):
    """The share of pixels that are not as before."""
    return (np.abs(picture.astype(int) - before).max(axis=2) > 30).mean()


@pytest.mark.quick_variants(".mrb")
@pytest.mark.parametrize("suffix", (".mrb", ".mrml"))
def test_it_comes_back(slicer_app, scene, watch, tmp_path, suffix):
    first, eye = slice_view(slicer_app), threed_view(slicer_app)
    slice_view(slicer_app, "XRay2")
    eye.render()
    registration = full(scene)
    source_view.look(registration.xrays[0], eye.get_camera_node(), (320, 240))
    centre = eye.get_camera_node().GetCamera().GetWindowCenter()
    before, picture, seen = restored(registration), pixels(first), pixels(eye)
    save(slicer_app, tmp_path / f"scene{suffix}")

    scene.Clear(False)
    assert pixels(first).max() == 0
    assert slicer_app.io_manager.load_scene(tmp_path / f"scene{suffix}")
    (registration,) = Registration.all(scene)
    after = restored(registration)
    for name, view in before.pop("views").items():
        assert {
            key: value for key, value in after["views"][name].items() if value != view[key]
        } == {}
    assert {key: value for key, value in after.items() if key != "views"} == before
    assert first.get_background_volume_id() == registration.xrays[0].node.GetID()
    assert (
        first.get_foreground_volume_id()
        == registration.xrays[0].node.GetNodeReference("drr").GetID()
    )
    assert first.get_foreground_opacity() == pytest.approx(0.25)
    assert changed(pixels(first), picture) < 0.002
    assert eye.get_camera_node().GetCamera().GetWindowCenter() == pytest.approx(centre)
    # The detector's frame fills the view: rounding of the camera puts it inside or outside of the
    # outermost pixels.
    assert changed(pixels(eye)[2:-2, 2:-2], seen[2:-2, 2:-2]) < 0.002
    assert source_view.viewed_xray(eye.get_camera_node()) == registration.xrays[0]
