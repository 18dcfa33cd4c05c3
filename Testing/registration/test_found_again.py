"""Bones that begin a little off: `registration.register_bones`."""

import numpy as np
import pytest
from bent_spine import NAMES, POSE, spine, xrays

from MultiViewRegistrationLib.imaging.structures import Structures
from MultiViewRegistrationLib.registration.bones import bones_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import found_again_mm, register_bones


@pytest.fixture(scope="module")
def case():
    ct, labels = spine()
    anatomy = PreparedCT(ct)
    views = xrays(ct, labels, [np.eye(4)] * 4, POSE)
    bones = bones_of(Structures(NAMES, labels), anatomy)
    return lambda views=views: register_bones(anatomy, bones, views, POSE), views


def test_bones_that_x_rays_show_are_found_again(case):
    register, _ = case
    found = register()
    before = [pose.copy() for pose in found.poses]
    assert found_again_mm(found).max() < 0.3
    assert all((a == b).all() for a, b in zip(found.poses, before, strict=True))


def test_what_x_rays_leave_open_is_not(case):
    """Images of noise have minima everywhere."""
    register, views = case
    rng, noise = np.random.default_rng(3), []
    for view in views:
        image = rng.normal(size=view.xray.line_integrals.shape).astype(np.float32)
        noise.append(view.with_xray(line_integrals=image))
    assert found_again_mm(register(noise)).min() > 1
