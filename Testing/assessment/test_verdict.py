"""The verdict: never an accept where the case is of a kind that nothing was measured on, and reasons that say why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off

from MultiViewRegistrationLib.assessment.prediction import COLUMNS, calibrated
from MultiViewRegistrationLib.assessment.verdict import assess, model_inputs
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.view import SharedUnknowns
from MultiViewRegistrationLib.registration.pipeline import AlternativeSolution, Refinement, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

NEAR = off(TRUE_POSE, [1.0, -1.0, 0.5], [2.0, 1.0, -2.0])
CORNERS = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)


@pytest.fixture(scope="module")
def generous():
    """Accepts whatever may be accepted at all, and has no doubts of its own."""
    k = len(COLUMNS)
    usual = {name: -1.0 if "similarity" in name else 1e6 for name in COLUMNS}
    return replace(
        calibrated(),
        usual=usual,
        accept=1.0,
        reject=2.0,
        near=np.array([-3.0] + [0.0] * k),
        intercept=-9.0,
        weights=np.zeros(k),
        limits=np.full(k, np.inf),
    )


@pytest.fixture(scope="module")
def found(anatomy, views):
    return refine(anatomy, views, NEAR)


def test_a_right_answer_is_not_rejected_and_its_bound_holds(anatomy, views, found):
    told = assess(anatomy, views, found, NEAR, CORNERS)
    assert told.verdict in ("accept", "check")
    assert error_mm(found.world_from_ct) <= told.prediction.upper95_mm < 1
    assert [split.name for split in told.splits] == ["view1", "view2"]


def test_the_prediction_is_shared_out_over_the_targets(anatomy, views, found):
    """Each bound holds, and is above what is expected; far from the anatomy more is, as turns count there; all together are the whole."""
    told = assess(anatomy, views, found, NEAR, CORNERS)
    each = np.array(told.at_targets(rigid.transform_points(found.world_from_ct, CORNERS)))
    apart = np.linalg.norm(
        rigid.transform_points(found.world_from_ct, CORNERS) - rigid.transform_points(TRUE_POSE, CORNERS), axis=1
    )
    assert (each[:, 0] < each[:, 1]).all() and (apart <= each[:, 1]).all()
    assert each[:, 0].max() < told.prediction.upper95_mm < 2 * each[:, 1].max()
    far = told.at_targets(rigid.transform_points(found.world_from_ct, CORNERS + [0, 0, 400]))
    assert far[0][1] > each[0, 1]
    assert replace(told, features=None).at_targets(CORNERS) == []


def test_what_may_be_accepted_is_without_reasons(anatomy, views, found, generous):
    told = assess(anatomy, views, found, NEAR, CORNERS, model=generous)
    assert told.verdict == "accept" and told.reasons == []


def test_an_ambiguous_answer_is_to_be_checked(anatomy, views, found, generous):
    rival = replace(found, alternative=AlternativeSolution(NEAR, 1.2, 8.0, 3.0))
    assert assess(anatomy, views, rival, NEAR, CORNERS, model=generous).verdict == "check"
    assert (
        assess(
            anatomy,
            views,
            replace(found, alternative=AlternativeSolution(NEAR, 1.5, 8.0, 3.0)),
            NEAR,
            CORNERS,
            model=generous,
        ).verdict
        == "accept"
    )


def test_what_is_assumed_is_to_be_checked(anatomy, views, found, generous):
    told = assess(anatomy, views, found, NEAR, CORNERS, model=generous, assumed=True)
    assert told.verdict == "check" and "is assumed" in told.reasons[0]


def test_a_pose_beside_the_right_one_is_rejected(anatomy, views):
    beside = off(TRUE_POSE, [2, 1, -3], [5, -4, 3])
    told = assess(
        anatomy, views, Refinement(beside, anatomy.fit(views, beside, beside), [], views, np.zeros(6)), beside
    )
    assert told.verdict == "reject"
    assert told.reasons[0].startswith("Most likely wrong: ")
    assert len(told.reasons) > 1


def test_a_wrong_camera_is_not_accepted_and_is_asked_after(anatomy, views):
    camera = replace(
        views[1].camera, camera_from_world=views[1].camera.camera_from_world @ off(np.eye(4), [4, 3, -4], [0, 3, 6])
    )
    wrong = [views[0], replace(views[1], camera=camera)]
    told = assess(anatomy, wrong, refine(anatomy, wrong, NEAR), NEAR)
    assert told.verdict != "accept"
    assert any("disagrees with the other X-ray" in reason and "Check its geometry" in reason for reason in told.reasons)


def test_one_view_is_to_be_checked_and_its_depth_is_uncertain(anatomy, views, generous):
    one = views[:1]
    found = refine(anatomy, one, NEAR)
    alone = "Only one X-ray determines the pose: the depth along its beam is uncertain."
    assert assess(anatomy, one, found, NEAR, CORNERS, model=generous).reasons == [alone]
    told = assess(anatomy, one, found, NEAR, CORNERS)
    assert told.verdict == "check" and alone in told.reasons
    assert told.splits[0].depth_mm > 3 * told.splits[0].in_plane_mm
    assert (
        told.prediction.upper95_mm
        >= 1.6 * told.features.uncertainty.at(rigid.transform_points(found.world_from_ct, CORNERS)).bound_mm()
    )


def test_two_views_in_one_direction_are_to_be_checked(anatomy, ct, generous):
    same = make_views(ct, ((0, 0), (6, 0)))
    told = assess(anatomy, same, refine(anatomy, same, NEAR), NEAR, model=generous)
    assert told.verdict == "check"
    assert told.reasons == [
        "The X-rays look in nearly the same direction (6 degrees apart): the depth along their beams is uncertain."
    ]
    opposite = make_views(ct, ((0, 0), (176, 0)))
    assert (
        "4 degrees apart" in assess(anatomy, opposite, refine(anatomy, opposite, NEAR), NEAR, model=generous).reasons[0]
    )


def test_targets_that_no_view_shows_are_to_be_checked(anatomy, views, found, generous):
    told = assess(anatomy, views, found, NEAR, CORNERS + [0, 0, 400], model=generous)
    assert told.verdict == "check"
    assert told.reasons == ["No X-ray shows a target: nothing was compared where the error counts."]
    there = assess(anatomy, views, found, NEAR, CORNERS, model=generous)
    assert told.features.noise_mm > 2 * there.features.noise_mm  # what turns a little here is far off there


def test_a_ct_without_bone_is_to_be_checked(ct, generous):
    soft = replace(
        ct, volume=replace(ct.volume, values=np.where(ct.volume.values > 0, ct.volume.values / 8, ct.volume.values))
    )
    views = make_views(soft)
    anatomy = PreparedCT(soft)
    assert len(anatomy.bone_points()) == 0
    told = assess(anatomy, views, refine(anatomy, views, NEAR), NEAR, model=generous)
    assert told.verdict == "check" and told.reasons[0].startswith("The CT shows no bone")


def test_without_overlap_it_is_rejected(anatomy, views):
    beside = off(TRUE_POSE, [0, 0, 0], [0, 0, 300])
    told = assess(
        anatomy, views, Refinement(beside, anatomy.fit(views, beside, beside), [], views, np.zeros(6)), beside
    )
    assert told.verdict == "reject"
    assert told.reasons == ["At this pose no X-ray shows enough of the CT to compare them."]
    assert told.prediction is None and told.to_json() is None


def test_one_structure_is_judged_by_what_was_measured_on_structures_and_never_accepted(ct, views, generous):
    structure = replace(ct, mask=(np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300))
    anatomy = PreparedCT(structure)
    found = refine(anatomy, views, NEAR)
    told = assess(anatomy, views, found, NEAR)
    expected = calibrated("structure").predict(model_inputs(told.features))
    assert (
        told.prediction.failure_probability
        == expected.failure_probability
        != calibrated().predict(model_inputs(told.features)).failure_probability
    )
    assert told.verdict != "accept" and told.to_json()["failure_probability"] == expected.failure_probability
    sure = assess(anatomy, views, found, NEAR, model=generous)
    assert sure.verdict == "check" and sure.reasons[0].startswith("Only one structure of the CT was registered")


def test_cameras_that_share_what_is_unknown_are_to_be_checked(anatomy, views, generous):
    shared = SharedUnknowns(principal_point_sd_px=3.0)
    told = assess(anatomy, views, refine(anatomy, views, NEAR, shared=shared), NEAR, shared=shared, model=generous)
    assert told.verdict == "check" and "share an unknown" in told.reasons[-1]


def test_a_view_of_unknown_geometry_speaks_for_nothing(anatomy, views, found, generous):
    unknown = [views[0], replace(views[1], rotation_sd_deg=None, translation_sd_mm=None)]
    told = assess(anatomy, unknown, replace(found, views=unknown), NEAR, model=generous)
    assert told.verdict == "check" and [split.name for split in told.splits] == ["view1"]
