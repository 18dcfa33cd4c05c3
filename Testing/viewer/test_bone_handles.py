"""Handles of a bone in the page's views of slicer-core."""

import numpy as np
import pytest
from helpers.scene_rendering import ball, pixels, slice_view, threed_view

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml import manual_pose, source_view
from MultiViewRegistrationLib.mrml import slice_view as slices
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, put_bone_surface, put_bones
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.registration import Registration

AT = rigid.translation([5.0, 3.0, 2.0])
SIZE = 400, 300
ROOM = np.array([[x, y, z] for x in (-15.0, 25.0) for y in (-15.0, 25.0) for z in (-15.0, 20.0)])


@pytest.fixture
def registration(scene):
    made = Registration.create(scene)
    values = np.zeros((30, 30, 30), np.int16)
    made.ct = volume_node(scene, "CT", values, np.diag([2.0, 2.0, 2.0, 1.0]))
    return made


def pulled(view, bone, start):
    """How far a pull at a place in the view has moved a bone: the largest change in its matrix."""
    interactor, before = view.render_window().GetInteractor(), bone.world_from_ct

    def at(x, y, *events):
        interactor.SetEventInformation(x, y, 0, 0, chr(0), 0, None)
        for event in events:
            interactor.InvokeEvent(event)

    at(*start, "MouseMoveEvent", "LeftButtonPressEvent")
    for step in range(1, 6):
        at(start[0] + 4 * step, start[1] + 3 * step, "MouseMoveEvent")
    interactor.InvokeEvent("LeftButtonReleaseEvent")
    return float(np.abs(bone.world_from_ct - before).max())


@pytest.mark.parametrize("tag", ["Red", "3D"])
def test_a_bone_is_moved_by_its_handles_in_a_slice_and_in_3d(registration, slicer_app, tag):
    view = threed_view(slicer_app, SIZE) if tag == "3D" else slice_view(slicer_app, tag, SIZE)
    put_bones(registration, {"L1": AT, "L2": AT})
    bones = bones_of(registration)
    put_bone_surface(bones["L1"], ball(), (0.2, 0.6, 0.9))
    manual_pose.show_handles(registration, True, bones["L1"])
    if tag == "3D":
        source_view.look_closely(ROOM, source_view.camera_of(view.get_view_node()), SIZE)
    else:
        view.set_background_volume_id(registration.ct.GetID())
        slices.look_closely_in_slice(ROOM, view.get_view_node())
    pixels(view)
    ring = [(204, 60), (204, 68), (204, 76)]
    assert max(pulled(view, bones["L1"], start) for start in ring) > 0.05
    assert np.allclose(bones["L2"].world_from_ct, AT)
    manual_pose.show_handles(registration, False)
    assert max(pulled(view, bones["L1"], start) for start in ring) == 0
