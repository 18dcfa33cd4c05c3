"""A case whose matrices and points are in RAS is the case in LPS."""

import numpy as np
import pytest
from helpers.array_case import case_of
from tiny_case import DISTANCE, PLACE, SIZE, START, camera

from MultiViewRegistrationLib import Body

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
POINTS = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]])


@pytest.fixture(scope="module")
def lps():
    random = np.random.default_rng(1)
    return {
        "ct": np.where(DISTANCE < 4, 900.0, -1000.0),
        "ct_from_index": PLACE,
        "view_image": [random.uniform(1, 2, SIZE[::-1]) for _ in range(2)],
        "view_projection": [camera(angle).projection_matrix for angle in (0, 90)],
        "world_from_ct": START,
        "truth_world_from_ct": START,
        "targets": POINTS,
    }


def in_ras(lps):
    return lps | {
        "ct_from_index": RAS @ lps["ct_from_index"],
        "view_projection": [matrix @ RAS for matrix in lps["view_projection"]],
        "world_from_ct": RAS @ START @ RAS,
        "truth_world_from_ct": RAS @ START @ RAS,
        "targets": POINTS * [-1, -1, 1],
    }


def test_a_case_in_ras_is_the_case_in_lps(lps):
    expected, found = case_of(**lps), case_of(**in_ras(lps), axes="ras")
    assert np.allclose(found.ct.volume.ct_from_index, expected.ct.volume.ct_from_index)
    for one, other in zip(found.views, expected.views, strict=True):
        assert np.allclose(one.camera.projection_matrix, other.camera.projection_matrix)
    assert np.allclose(found.world_from_ct, START) and np.allclose(found.targets, POINTS)
    assert np.allclose(found.truth_world_from_ct, START)


def test_axes_apply_to_bodies_and_not_to_cameras(lps):
    cameras = [view.camera for view in case_of(**lps).views]
    found = case_of(**in_ras(lps) | {"view_projection": cameras}, axes="ras")
    assert np.allclose(found.views[0].camera.projection_matrix, cameras[0].projection_matrix)
    bone = Body(lps["ct"], RAS @ lps["ct_from_index"], "bone")
    found = case_of(bone, view_image=lps["view_image"], view_projection=cameras, axes="ras")
    assert np.allclose(found.bodies[0].ct.volume.ct_from_index, lps["ct_from_index"])
