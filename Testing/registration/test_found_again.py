"""Bones that begin a little off: `registration.register_bones`."""

import numpy as np
import pytest
from bent_spine import POSE, anatomy, structures, unbent_views

from MultiViewRegistrationLib.registration.bone import bones_of
from MultiViewRegistrationLib.registration.register_bones import found_again_mm, register_bones


@pytest.fixture(scope="module")
def bones():
    return bones_of(structures(), anatomy())


def test_bones_that_x_rays_show_are_found_again(bones):
    found = register_bones(anatomy(), bones, unbent_views(), POSE)
    before = [pose.copy() for pose in found.poses]
    assert found_again_mm(found).max() < 0.3
    assert np.array_equal(found.poses, before)


def test_what_x_rays_leave_open_is_not(bones):
    """Images of noise have minima everywhere."""
    rng, noise = np.random.default_rng(3), []
    for view in unbent_views():
        image = rng.normal(size=view.xray.line_integrals.shape).astype(np.float32)
        noise.append(view.with_xray(line_integrals=image))
    assert found_again_mm(register_bones(anatomy(), bones, noise, POSE)).min() > 1
