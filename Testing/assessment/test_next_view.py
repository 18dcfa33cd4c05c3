"""Which further view is proposed, and whether it does what is said of it."""

from dataclasses import replace
from itertools import pairwise

import pytest
from helpers.bent_spine import POSE, bent_case, structures, together
from helpers.bent_spine import anatomy as spine_anatomy
from helpers.phantom import CORNERS, TRUE_POSE, make_ct, make_slot_scan, make_views
from helpers.refusals import refuses

from MultiViewRegistrationLib.assessment import next_view, verdict
from MultiViewRegistrationLib.assessment.causes import Cause
from MultiViewRegistrationLib.assessment.next_view import plan_view, with_further_view
from MultiViewRegistrationLib.assessment.records import FAILURE, UNASSESSED, Finding
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.registration.pipeline import refine

TARGETS = CORNERS / 1.5


def taken(angles=((0, 0), (90, 0)), size=64):
    """X-rays of the phantom, no finer than a plan needs."""
    return make_views(make_ct(), angles, size)


def plan(anatomy, views, pose=TRUE_POSE):
    return plan_view(anatomy, views, pose, TARGETS)


def test_beside_one_view_a_view_across_its_beam_is_best_as_its_depth_is_unknown(anatomy):
    found = plan(anatomy, taken(((0, 0),), 128))
    errors = [each.error_mm for each in found.views]
    assert abs(found.views[0].rao_lao_deg) >= 60 and found.views[0].error_mm < found.error_mm / 2
    assert all(one <= other for one, other in pairwise(errors)) and errors[-1] < found.error_mm
    assert not found.uses_ct_axes and found.findings[0].values["to_mm"] < 0.4 * found.error_mm
    assert all(abs(each.rao_lao_deg) >= 15 or each.cra_cau_deg for each in found.views)


@pytest.mark.slow
@pytest.mark.parametrize("further", [(90, 0), (30, 0)])
def test_a_view_that_was_taken_leaves_the_error_that_was_expected_of_it(anatomy, further):
    one, both = taken(((0, 0),)), taken(((0, 0), further))
    (expected,) = (
        each.error_mm
        for each in plan(anatomy, one).views
        if (each.rao_lao_deg, each.cra_cau_deg) == further
    )
    assert plan(anatomy, both).error_mm == pytest.approx(expected, rel=0.3)


def test_a_world_that_is_no_c_arms_has_angles_by_the_axes_of_the_ct(anatomy):
    """The same cameras in a world that lies elsewhere and otherwise."""
    views = taken(((0, 0),))
    moved = rigid.turn_and_shift([0.4, -0.9, 1.1], [300.0, -250, 90])
    camera = replace(
        views[0].camera, camera_from_world=views[0].camera.camera_from_world @ rigid.inverse(moved)
    )
    elsewhere = plan(anatomy, [replace(views[0], camera=camera)], moved @ TRUE_POSE)
    here = plan(anatomy, views)
    assert elsewhere.uses_ct_axes and elsewhere.findings[0].values["axes"] == "CT"
    assert elsewhere.error_mm == pytest.approx(here.error_mm, rel=1e-2)
    assert abs(elsewhere.views[0].rao_lao_deg) >= 60
    assert elsewhere.views[0].error_mm == pytest.approx(here.views[0].error_mm, rel=0.5)


def test_slot_scans_are_refused(anatomy):
    with refuses("slot scans cannot be taken at another angle"):
        plan(anatomy, [make_slot_scan(make_ct(), 0)])


@pytest.mark.slow
def test_a_further_view_is_proposed_for_a_pose_that_is_uncertain_without_it(anatomy, monkeypatch):
    views = taken(((0, 0),))
    found = refine(anatomy, views, TRUE_POSE)
    doubtful = verdict.assess(anatomy, views, found, TRUE_POSE, TARGETS)
    assert doubtful.verdict == "check"
    monkeypatch.setattr(next_view, "MIN_ERROR_MM", 0.0)

    def proposes(assessment):
        pose = found.world_from_ct
        return with_further_view(assessment, anatomy, found.views, pose).has("further-view")

    assert proposes(doubtful)
    failure = Finding("most-likely-wrong", FAILURE)
    cause = Cause("mirrored", (), 2.0, (0.9,), POSE)
    for other in (
        replace(doubtful, findings=()),
        doubtful.with_findings([failure]),
        replace(doubtful, cause=cause),
    ):
        assert not proposes(other)
    monkeypatch.setattr(next_view, "MAX_REMAINING_FRACTION", 0.0)
    assert not proposes(doubtful)


@pytest.mark.slow
def test_a_cause_is_the_first_finding_on_each_bone():
    cause = Cause("mirrored", (), 2.0, (0.9,), POSE)
    whole = refine(spine_anatomy(), bent_case().views, POSE)
    for body in together(structures(), whole, replace(UNASSESSED, cause=cause)).bodies:
        assert (body.verdict, body.assessment.findings[0]) == ("check", cause.finding())
