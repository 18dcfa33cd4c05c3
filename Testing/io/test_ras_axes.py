"""A case whose matrices and points are in RAS is the case in LPS."""

import numpy as np
import pytest
from helpers.array_case import case_of
from helpers.phantom import TRUE_POSE, make_ct, make_views
from helpers.refusals import refuses

from MultiViewRegistrationLib import Body

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
POINTS = np.array([[1.0, 2.0, 3.0], [-4.0, 5.0, 6.0]])


@pytest.fixture(scope="module")
def lps():
    ct = make_ct()
    views = make_views(ct)
    return {
        "ct": ct.volume.values.transpose(2, 1, 0),
        "ct_from_index": ct.volume.ct_from_index,
        "view_image": [np.exp(-view.xray.line_integrals) for view in views],
        "view_projection": [view.camera.projection_matrix for view in views],
        "world_from_ct": TRUE_POSE,
        "truth_world_from_ct": TRUE_POSE,
        "targets": POINTS,
    }


def in_ras(lps):
    return lps | {
        "ct_from_index": RAS @ lps["ct_from_index"],
        "view_projection": [matrix @ RAS for matrix in lps["view_projection"]],
        "world_from_ct": RAS @ TRUE_POSE @ RAS,
        "truth_world_from_ct": RAS @ TRUE_POSE @ RAS,
        "targets": POINTS * [-1, -1, 1],
    }


def test_a_case_in_ras_is_the_case_in_lps(lps):
    expected, found = case_of(**lps), case_of(**in_ras(lps), axes="ras")
    assert np.allclose(found.ct.volume.ct_from_index, expected.ct.volume.ct_from_index)
    for one, other in zip(found.views, expected.views, strict=True):
        assert np.allclose(one.camera.projection_matrix, other.camera.projection_matrix)
    assert np.allclose(found.world_from_ct, TRUE_POSE) and np.allclose(found.targets, POINTS)
    assert np.allclose(found.truth_world_from_ct, TRUE_POSE)


def test_cameras_and_several_cts_are_in_their_own_axes(lps):
    cameras = [view.camera for view in case_of(**lps).views]
    found = case_of(**in_ras(lps) | {"view_projection": cameras}, axes="ras")
    assert np.allclose(found.views[0].camera.projection_matrix, cameras[0].projection_matrix)
    place = RAS @ lps["ct_from_index"]
    bones = [Body(lps["ct"], place, name) for name in ("one", "other")]
    found = case_of(*bones, view_image=lps["view_image"], view_projection=cameras, axes="ras")
    for bone in found.bodies:
        assert np.allclose(bone.ct.volume.ct_from_index, lps["ct_from_index"])


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"axes": "RAS"}, 'axes: found "RAS", expected "lps" or "ras"'),
        ({"axes": None}, "axes: found nothing"),
        ({"targets": np.zeros(3)}, "targets"),
    ],
)
def test_what_is_wrong_is_named_as_ever(lps, wrong, words):
    with refuses(words):
        case_of(**in_ras(lps) | {"axes": "ras"} | wrong)
