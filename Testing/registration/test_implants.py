"""Implants, whose shadows saturate: the objective, the pose, and turns that nothing shows."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import bent_spine
from helpers.bent_spine import POSE, cameras
from helpers.finite_differences import changes, half_cost
from helpers.phantom import view_of
from helpers.two_bones import error_mm, implant, off, shadow_of_metal
from numpy.testing import assert_allclose

import mvreg
from MultiViewRegistrationLib.assessment.bone_checks import hidden_rotations
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.registration.bone import Background, Bone, air, bones_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import (
    LEVELS_WITHOUT_REST,
    objective_at,
    register_bones,
    unbent,
)


@pytest.fixture(scope="module")
def true():
    pose = rigid.turn_and_shift([0.3, -0.2, 0.5], np.zeros(3))
    pose[:3, 3] = -rigid.transform_points(pose, implant().centroid())
    return pose


def xrays(ct, true):
    """X-rays in line integrals, which scatter limits, with noise and a body that gets thicker."""
    rng = np.random.default_rng(3)
    views = []
    for camera in cameras(0, 60):
        rows, columns = np.indices(camera.size[::-1])
        image = 1.5 + 0.002 * columns + 0.001 * rows + rng.normal(scale=0.01, size=rows.shape)
        image = image + shadow_of_metal(ct, camera, true)
        views.append(view_of(f"view {len(views)}", image, camera))
    return views


@pytest.fixture(scope="module")
def views(true):
    return xrays(implant(), true)


def found(ct, views, start):
    bone = Bone.of_ct("implant", PreparedCT(ct))
    return register_bones(Background(air(), start), views, [bone])


def registered(start, views, ct=None, **known):
    """The result of a case of one implant, by default with its arm."""
    given = [
        mvreg.View(view.xray.line_integrals, view.camera, name=view.name, intensity="log", **known)
        for view in views
    ]
    body = mvreg.Body(ct or implant(), name="stem", world_from_ct=start)
    return mvreg.register(mvreg.Case.from_arrays(body, *given))


def test_metal_that_saturates_is_found_several_times_as_well_as_what_does_not(true, views):
    start = off(true, implant(), 2, 2, 1)
    mm, plain_mm = (
        error_mm(ct, found(ct, views, start).poses[0], true)
        for ct in (implant(), implant("relative"))
    )
    assert mm < min(0.1, 0.5 * plain_mm)


def test_gradient_of_what_saturates_is_that_of_the_cost(true):
    ct = implant("titanium")
    poses = [off(true, ct, 1, 1, 2)]
    bone = Bone.of_ct("implant", PreparedCT(ct))
    nothing = Background(air(), true)
    objective = objective_at(nothing, xrays(ct, true), LEVELS_WITHOUT_REST[1], [bone], poses)
    gradient = objective.linearise(poses, objective.shadows(poses)).gradient
    steps = np.diag(np.repeat([1e-4, 1e-2], 3))
    expected = changes(half_cost(objective, poses), steps)
    assert_allclose(steps @ gradient, expected, rtol=0.1, atol=2e-6 * np.abs(gradient).max())


@pytest.mark.parametrize("arm, free, halves", [(False, 1, 2), (True, 0, 0)])
def test_a_shaft_shows_no_turn_about_itself(true, arm, free, halves):
    ct = implant(arm=arm)
    hidden = hidden_rotations(found(ct, xrays(ct, true), true), 0)
    assert [*map(len, hidden)] == [free, halves]
    assert all(abs(axis[2]) > 0.999 for axis in hidden.free)


@pytest.mark.slow
def test_undetermined_rotation_has_a_bound_of_180_degrees(true):
    ct = implant(arm=False)
    stem = registered(off(true, ct, 2, 1, 2), xrays(ct, true), ct).bodies["stem"]
    bounds = np.degrees(stem.pose_error.at(np.zeros(3)).through(np.eye(3, 6)).bounds)
    shaft = abs(stem.world_from_ct[:3, 2])
    assert bounds == pytest.approx(180 * shaft, abs=5)


@pytest.mark.slow
@pytest.mark.parametrize("degrees, verdict", [(2, "check"), (60, "reject")])
def test_an_implant_is_checked_where_x_rays_show_it_and_rejected_elsewhere(
    true, views, degrees, verdict
):
    """However much its model's risk was that of bones."""
    result = registered(off(true, implant(), degrees, degrees / 4, 2), views)
    assert result.assessment.verdict == result.bodies["stem"].verdict == verdict
    stem = result.bodies["stem"].assessment
    assert stem.has("implant-not-visible") == (verdict == "reject")


def test_one_view_of_an_implant_tells_how_far_along_its_beam_it_may_lie(true, views):
    """And the error is within that, though registered together it ends elsewhere than alone."""
    start = off(true, implant(), 2, 3, 4)
    result = registered(start, views[:1], uncertainty={"principal_point_sd_px": 0.5})
    stem = result.bodies["stem"]
    findings = stem.assessment.findings
    assert stem.verdict == stem.assessment.verdict_for("overlay") == "check"
    (finding,) = (each for each in findings if each.code == "implant-in-one-view")
    (only,) = result.assessment.evidence.splits
    assert finding.values == {"depth_mm": only.depth_mm, "in_plane_mm": only.in_plane_mm}
    away = rigid.transform_points(stem.world_from_ct, implant().centroid())
    beam = rigid.unit(-views[0].camera.source)  # its middle is at the origin
    assert abs(away @ beam) < only.depth_mm
    assert np.linalg.norm(away - away @ beam * beam) < min(0.1, only.in_plane_mm)
    assert only.depth_mm > only.in_plane_mm


def test_x_rays_of_bones_that_moved_become_those_of_the_whole_ct():
    """In which implants are then compared in images as fine as they need."""
    ct, labels = bent_spine.spine()
    motions = bent_spine.bent(ct, labels)
    anatomy = PreparedCT(ct)
    bones = bones_of(Structures(bent_spine.NAMES, labels), anatomy)
    poses = [*(POSE @ motion for motion in motions), np.eye(4)]  # the last of an implant
    behind = Background(anatomy, POSE, bones)
    found = SimpleNamespace(behind=behind, poses=poses, world_from_ct=POSE)
    views = bent_spine.xrays(ct, labels, motions, POSE, noise=0)
    for before, view in zip(views, unbent(found, views), strict=True):
        expected = anatomy.projector(0).render(view.camera, POSE).image
        assert np.allclose(view.xray.line_integrals, expected, atol=1e-3)
        assert abs(before.xray.line_integrals - expected).max() > 0.2
