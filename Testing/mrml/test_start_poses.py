"""Where the CT is put before a registration, and which X-rays show it there."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, off

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.mrml.manual_pose import centre, centre_ct, xrays_without_ct


@pytest.mark.parametrize(
    "shift, names",
    [
        ((0, 0, 0), []),
        ((0, 0, 150), ["view1", "view2"]),
        ((400, 0, 0), ["view1"]),  # along the beam of the other
        ((-900, 0, 0), ["view1", "view2"]),  # behind its source
    ],
)
def test_which_xrays_do_not_show_the_ct(registration, shift, names):
    registration.world_from_ct = off(TRUE_POSE, (0, 0, 0), shift)
    assert xrays_without_ct(registration) == names


def test_a_ct_is_centred_where_the_beams_meet(registration, views):
    middle = np.array([12.0, -7.0, 30.0])
    for view, given in zip(registration.xrays, views, strict=True):
        back = rigid.translation(-middle)
        camera = replace(given.camera, camera_from_world=given.camera.camera_from_world @ back)
        view.change(geometry=camera)
    centre_ct(registration)
    assert np.allclose(centre(registration), middle, atol=1e-3)
    assert np.allclose(registration.world_from_ct[:3, :3], np.eye(3))
