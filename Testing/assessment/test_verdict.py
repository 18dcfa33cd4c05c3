"""The verdict: never an accept where the case is of a kind that nothing was measured on, and reasons that say why."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import (
    CORNERS,
    TRUE_POSE,
    decentred,
    error_mm,
    make_views,
    masked,
    misplaced,
    off,
)
from numpy.testing import assert_allclose
from scipy import stats

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.cause import Cause, with_cause
from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.assessment.metrics import Error, in_field
from MultiViewRegistrationLib.assessment.parts import Elsewhere
from MultiViewRegistrationLib.assessment.prediction import (
    COLUMNS,
    WRONG_MM,
    Prediction,
    appears_right,
    calibrated,
    decide,
    depth_risk,
    is_likely_wrong,
    model_inputs,
)
from MultiViewRegistrationLib.assessment.remedy import remedy
from MultiViewRegistrationLib.assessment.uncertainty import TargetUncertainty, target_jacobians
from MultiViewRegistrationLib.assessment.verdict_reasons import (
    camera_strain,
    is_about_risk,
    risk_reasons,
    weak_points,
)
from MultiViewRegistrationLib.errors import Reason, doubted
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, SharedUnknowns
from MultiViewRegistrationLib.registration.cameras import OWN, CameraCorrections
from MultiViewRegistrationLib.registration.optimizer import AlternativeSolution
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

#: Standard deviations of a C-arm's readings.
READINGS = {
    "rotation_sd_deg": 0.5,
    "translation_sd_mm": 3.0,
    "principal_point_sd_px": 2.0,
    "distance_sd_percent": 1.0,
}


@pytest.fixture(scope="module")
def generous():
    """Accepts whatever may be accepted at all, and has no doubts of its own."""
    k = len(COLUMNS)
    return replace(
        calibrated(),
        usual={name: -1.0 if "similarity" in name else 1e6 for name in COLUMNS},
        accept=1.0,
        reject=2.0,
        near=np.array([-3.0] + [0.0] * k),
        apart=-3.0,
        apart_sd=0.1,
        intercept=-9.0,
        weights=np.zeros(k),
        limits=np.full(k, np.inf),
    )


@pytest.fixture
def lenient(registered, generous):
    """A function: the verdict and reasons of the generous model on a registration."""

    def told(given=registered, **options):
        assessment = given.judged(model=generous, **options)
        return assessment.verdict, assessment.reasons

    return told


@pytest.fixture(scope="module")
def fine(registered, generous):
    """An accept, by the generous model."""
    return registered.judged(model=generous)


@pytest.fixture(scope="module")
def doubting(generous):
    """Which has doubts, and knows X-rays of no kind."""
    unknown = {name: 1.0 if "similarity" in name else 0.0 for name in COLUMNS}
    return replace(generous, intercept=9.0, accept=0.03, reject=0.5, usual=unknown)


@pytest.mark.slow
def test_camera_readings_that_move_the_bone_in_3d_leave_the_overlay_right(
    registered, views, generous
):
    """By the true cameras, of which the second is elsewhere than it is said to be."""
    first, second = (replace(view, **READINGS) for view in views)
    given = [first, misplaced(second, [0.4, -0.3, 0.3], [2.0, -3.0, 2.0])]
    off = registered.of(given)
    found, told = off.found, off.judged(model=generous)
    there, here = (
        rigid.transform_points(pose, CORNERS) for pose in (TRUE_POSE, found.world_from_ct)
    )
    shown = [
        (view.camera.project(here) - true.camera.project(there)) * true.camera.pixel_mm(there)
        for view, true in zip(found.views, views, strict=True)
    ]
    away_mm = max(np.sqrt((each**2).sum(axis=1).mean()) for each in shown)
    assert away_mm < told.appearance.upper95_mm < 1 < error_mm(found.world_from_ct)
    assert (told.overlay, told.position) == ("accept", "check")
    words = f"3D position (navigation): check, {told.prediction.typical_mm:.1f} mm (95 %: "
    assert f"Overlay on the X-rays: accept, < 0.5 mm. {words}" in told.summary
    doubtful = doubted(told, [Reason("patient-mismatch", "Of two patients.")])
    assert {use.verdict for use in doubtful.uses.values()} == {"check"}


@pytest.mark.slow
def test_a_right_answer_is_not_rejected_and_its_bounds_hold(found, told):
    """Far from the anatomy the bound is wider, as rotations count there."""
    assert told.verdict in ("accept", "check")
    assert error_mm(found.world_from_ct) <= told.prediction.upper95_mm < 1
    world = rigid.transform_points(found.world_from_ct, CORNERS)
    away = np.linalg.norm(world - rigid.transform_points(TRUE_POSE, CORNERS), axis=1)
    mean, bound = np.array(told.at_targets(world)).T
    assert (mean < bound).all() and (away <= bound).all()
    assert mean.max() < told.prediction.upper95_mm < 2 * bound.max()
    far = told.at_targets(rigid.transform_points(found.world_from_ct, CORNERS + [0, 0, 400]))
    assert far[0][1] > bound[0] and replace(told, features=None).at_targets(CORNERS) == []


@pytest.mark.parametrize(
    "failure, of_images, of_cameras, upper95_mm, bounded, verdict",
    [
        (0.01, 0.01, 0.0005, 1.0, True, "accept"),
        (0.3, 0.01, 0.0005, 1.0, True, "check"),  # only the cameras are doubtful
        (0.01, 0.009, 0.0015, 1.0, True, "check"),  # an error that no X-ray shows has to be rarer
        (0.9, 0.01, 0.5, 1.0, True, "check"),  # an X-ray says nothing against it
        (0.9, 0.9, 0.0, 1.0, True, "check"),
        (0.01, 0.01, 0.0, 2.1, True, "check"),
        (0.01, 0.01, 0.0, 1.0, False, "check"),
    ],
)
def test_accept_needs_a_small_risk_and_a_small_error_and_a_high_risk_alone_does_not_reject(
    generous, failure, of_images, of_cameras, upper95_mm, bounded, verdict
):
    model = replace(generous, accept=0.02, reject=0.5)
    prediction = Prediction(
        0.3, upper95_mm, failure, of_images, bounded, camera_failure_probability=of_cameras
    )
    assert decide(prediction, model, measured=True) == verdict
    assert is_likely_wrong(prediction, model) == (of_images > 0.5)
    assert decide(prediction, model, measured=False) == "check"


@pytest.mark.slow
def test_an_accept_needs_views_that_agree(registered, views, generous, fine):
    """A camera that is off by more than it may be, by little: nothing else gives it away.

    Half a pixel a calibration explains.
    """
    calibrated_well = registered.of([views[0], decentred(views[1], 0.4)])
    assert calibrated_well.judged(model=generous).verdict == "accept"
    told = registered.of([views[0], decentred(views[1], 4.0)]).judged(model=generous)
    off = f"the CT is off by about {told.features.disagreement_mm:.1f} mm."
    assert fine.prediction.agree and told.verdict == "check"
    assert any("stated uncertainty" in reason and off in reason for reason in told.reasons)
    assert told.prediction.known_upper95_mm is None  # nor is a bound told
    assert told.prediction.failure_probability == generous.contradicted_risk > calibrated().accept
    small_bound = replace(told.prediction, upper95_mm=WRONG_MM)  # without that least bound
    assert decide(small_bound, generous, measured=True) == "check"
    assert decide(replace(small_bound, agree=True), generous, measured=True) == "accept"


def test_cameras_that_are_not_known_well_are_never_accepted(lenient, registered, views):
    """Neither is a result rejected for it: the X-rays say nothing against it."""
    readings = [replace(view, principal_point_sd_px=4.0, distance_sd_percent=1.0) for view in views]
    verdict, reasons = lenient(registered.given(readings))
    said = "The cameras are known only to \u00b14 px, 1 %: that alone may misplace the bone"
    assert verdict == "check" and reasons[0].startswith(said)


@pytest.mark.slow
def test_cameras_that_the_x_rays_contradict_are_a_reject(registered, views):
    """One view's angle is wrong by many standard deviations; nobody suspects one whose name it ends as.

    Corrected with the pose, it fits, but what was said is wrong.
    """
    turned = replace(misplaced(views[1], [6, 0, -5], [0, 0, 0]), name="copy of AP")
    given = [replace(views[0], name="AP"), replace(turned, rotation_sd_deg=1, translation_sd_mm=3)]
    wrong = registered.of(given)
    found, rejected = wrong.found, wrong.judged()
    assert rejected.verdict == "reject" and set(rejected.suspects) == {"copy of AP"}
    assert rejected.reasons[0].startswith("The X-rays contradict the angles of copy of AP: ")
    assert error_mm(found.world_from_ct) < rejected.prediction.upper95_mm
    cause = Cause("distance", (), "It is wrong.", 1.5, (0.9, 0.9), np.eye(4), moved_mm=0.5)
    caused = with_cause(rejected, cause, found.world_from_ct)
    assert caused.verdict == "reject" and caused.reasons[0].startswith(cause.sentence)
    assert caused.reasons[1:] == rejected.reasons
    loose = [given[0], replace(turned, rotation_sd_deg=5, translation_sd_mm=3)]
    assert "contradict" not in " ".join(registered.of(loose).judged().reasons)


@pytest.mark.parametrize("noise_mm, said", [(0.22, False), (1.0, False), (1.1, True)])
def test_noise_is_a_reason_only_where_it_may_misplace_the_bone(views, told, noise_mm, said):
    """More than 0.14 mm is unusual, and harmless up to where 95 % lie within 2 mm."""
    features = replace(told.features, noise_mm=noise_mm)
    told = weak_points(calibrated().worse_than_usual(model_inputs(features)), features, views)
    words = "the pose poorly: noise alone explains an error of 1.1 mm."
    assert any(words in each for each in told) == any("poorly" in each for each in told) == said


@pytest.mark.parametrize(
    "probability, words",
    [
        (0.6, "60 % risk of an error above 2 mm, if these X-rays are like the simulated ones"),
        (0.1, "The risk of an error above 2 mm is 10 %; up to 3.0 % is accepted."),
        (0.0302, "The risk of an error above 2 mm is slightly more than 3.0 %; up to"),
        (0.0306, "The risk of an error above 2 mm is 3.1 %; up to 3.0 % is accepted."),
    ],
)
def test_risk_above_the_limit_is_stated_with_enough_digits(probability, words):
    prediction = Prediction(0.5, 1.0, probability, probability, True)
    (reason,) = risk_reasons(prediction, calibrated())
    assert reason.startswith(words) and is_about_risk(reason)


def test_risk_within_the_limit_is_no_reason():
    prediction = Prediction(0.5, 1.0, 0.03, 0.03, True)
    assert risk_reasons(prediction, calibrated()) == []


@pytest.mark.parametrize(
    "index, sd, words",
    [
        (2, np.radians(0.5), "the angles of view2: 2.5 degrees off, though known to 0.5 degrees"),
        (6, 0.01, "the distance to the detector of view2: 5.0 % off, though known to 1 %"),
        (8, 2.0, "the principal point of view2: 10.0 px off, though known to 2 px"),
    ],
)
def test_each_correction_of_a_camera_is_held_against_its_standard_deviation(
    views, index, sd, words
):
    """The last one of its kind, by 3 and by 5 of them; beyond 4 what was said is wrong."""
    sentence = f"The X-rays contradict {words}. Check its geometry."
    for deviations, contradicted in ((3.0, []), (-5.0, [("view2", sentence)])):
        given, found = corrected(views, index, deviations * sd)
        strain, told = camera_strain(given, found, CALIBRATED)
        assert strain == pytest.approx(abs(deviations)) and told == contradicted


def corrected(views, index, value):
    """Views of which the second has the readings of a C-arm, and with one correction of its camera."""
    given = [views[0], replace(views[1], **READINGS)]
    unknowns = CameraCorrections(given)
    corrections = unknowns.none.copy()
    corrections[OWN + index] = value
    camera = unknowns.camera(1, corrections, views[1].camera)
    return given, [views[0], replace(given[1], camera=camera)]


@pytest.mark.slow
@pytest.mark.parametrize("shift_mm, larger", [(5.0, 1), (9.0, (3 / 2) ** 2)])
def test_cameras_beyond_two_standard_deviations_are_less_certain_than_was_said(
    registered, views, generous, shift_mm, larger
):
    given, some = corrected(views, 4, shift_mm)
    told = registered.given(some)._replace(views=given).judged(model=generous)
    exact = registered._replace(views=some)
    stated = compute_features(*exact, CORNERS).camera_uncertainty.covariance
    assert told.verdict != "reject"
    assert_allclose(told.features.camera_uncertainty.covariance, larger * stated)


@pytest.mark.slow
@pytest.mark.parametrize("ratio, verdict", [(1.05, "check"), (1.2, "accept")])
def test_an_alternative_that_fits_nearly_as_well_is_to_be_checked(
    lenient, registered, ratio, verdict
):
    rival = AlternativeSolution(registered.start, ratio, 8.0, 3.0)
    found = replace(registered.found, alternative=rival)
    assert lenient(registered._replace(found=found))[0] == verdict


@pytest.mark.slow
def test_what_was_not_measured_is_to_be_checked(lenient, fine):
    assert (fine.verdict, fine.reasons) == ("accept", [])
    for otherwise, words in (
        ({"masked": True}, "was left out"),
        ({"registered": False}, "was set, not registered"),
    ):
        verdict, reasons = lenient(**otherwise)
        assert verdict == "check" and words in reasons[0]


def test_few_grey_levels_prevent_a_risk(registered, views, generous):
    image = views[0].xray.line_integrals
    steps = np.round(image / image.max() * 15) * image.max() / 15
    coarse = [views[0].with_xray(line_integrals=steps), views[1]]
    told = registered.of(coarse).judged(model=replace(generous, accept=0.0, reject=0.0))
    assert told.verdict == "check" and told.prediction.known_risk is None
    assert told.reasons[0].code == "few-grey-levels"


def test_scope_of_accept_counts_tested_points(fine):
    told = fine.asked
    all_but_third = np.arange(len(told.points)) != 2
    some = replace(fine, asked=replace(told, in_place=all_but_third))
    assert some.scope.endswith("7 of 8 targets, and not at target 3.")
    places = replace(fine, asked=replace(some.asked, given=False))
    assert places.scope.endswith("7 of 8 places, and not at the rest.")
    assert fine.scope.code == "one-piece" and fine.summary.endswith(fine.scope)
    assert replace(fine, position="check", overlay="check").scope is None


def test_targets_outside_all_xrays_are_named(lenient):
    beyond = CORNERS + [0, 0, 400]
    verdict, reasons = lenient(targets=np.vstack([CORNERS, beyond[:2]]))
    assert verdict == "check"
    assert reasons[0].startswith("No X-ray shows targets 9, 10: nothing was compared there.")


def test_one_view_is_enough_to_show_a_target(lenient, registered, views):
    narrow = [views[0], masked(views[1], np.arange(128) < 48)]
    shown = in_field(narrow, rigid.transform_points(registered.found.world_from_ct, CORNERS))
    one = CORNERS[shown[1].argmin()][None]  # only the first view shows it
    _, reasons = lenient(registered.given(narrow), targets=one)
    assert "targets-not-shown" not in {reason.code for reason in reasons}


def test_a_target_far_from_all_bone_that_was_compared_is_not_accepted(lenient, views, found):
    world = rigid.transform_points(found.world_from_ct, CORNERS.mean(axis=0))
    toward = views[0].camera.sources(views[0].camera.project(world[None]))[0] - world
    far = world + 150 * toward / np.linalg.norm(toward)  # along a beam: the first view shows it
    target = rigid.transform_points(rigid.inverse(found.world_from_ct), far)
    verdict, reasons = lenient(targets=target[None])
    assert verdict == "check" and reasons[0].startswith(
        "No bone was compared within 50 mm of target 1."
    )


@pytest.mark.quick_variants("<lambda>-check-view3 shows too little of the CT to confirm")
@pytest.mark.parametrize(
    "third, verdict, words",
    [
        (lambda view: view, "accept", ""),
        (lambda view: masked(view, False), "check", "view3 shows too little of the CT to confirm"),
    ],
)
def test_a_view_that_nothing_ties_or_that_shows_nothing_is_to_be_checked(
    ct, registered, lenient, third, verdict, words
):
    """All three by themselves are accepted, though two of them look in nearly the same direction."""
    *views, last = make_views(ct, ((0, 0), (90, 0), (84, 0)))
    some = [*views, third(last)]
    told, reasons = lenient(registered.at(TRUE_POSE, some))
    assert told == verdict and words in " ".join(reasons)


def test_xrays_of_an_unknown_kind_are_accepted_only_by_what_carries_over():
    model = calibrated()
    sure = Prediction(0.2, 0.4, 0.001, 0.001, bounded=True, typical_mm=0.2)
    assert decide(sure, model, measured=True) == "accept"
    other = replace(sure, familiar=False)
    assert decide(other, model, measured=True) == "check"
    small = np.diag([1e-6] * 3 + [0.01] * 3)
    noise = TargetUncertainty(CORNERS, target_jacobians(CORNERS, np.zeros(3)), small)
    assert decide(other.carried(0.001, noise, 0.0), model, measured=False) == "check"
    assert decide(other.carried(0.05, noise, 0.0), model, measured=True) == "check"
    disagreeing = other.carried(0.001, noise, 2.0)
    assert disagreeing.upper95_mm > WRONG_MM and disagreeing.typical_mm > 2
    assert decide(disagreeing, model, measured=True) == "check"
    assert disagreeing.known_upper95_mm is None
    (reason,) = risk_reasons(other, model)
    assert "another kind" in reason and " %" not in reason and is_about_risk(reason)


@pytest.mark.parametrize("in_each_view", [False, True])
def test_views_that_disagree_have_to_show_the_bone_each_alone(in_each_view):
    sure = Prediction(0.2, 0.4, 0.001, 0.001, bounded=True, agree=False)
    model = calibrated()
    assert appears_right(sure, model, 0.4, in_each_view=in_each_view) is in_each_view
    assert not appears_right(sure, model, 2.1, in_each_view=True)
    assert decide(sure, model, measured=True) == "check"


@pytest.mark.slow
def test_of_xrays_of_an_unknown_kind_no_risk_and_no_weak_point_is_told(
    registered, generous, doubting
):
    told = registered.judged(model=doubting)
    assert (told.overlay, told.position, told.prediction.known_risk) == ("accept", "check", None)
    assert "third-view-missing" in [reason.code for reason in told.reasons]
    assert min(told.features.in_place) > 0.5 and told.to_json()["failure_probability"] is None
    assert sum(map(is_about_risk, told.reasons)) == 1
    assert not [reason for reason in told.reasons if " %" in reason or "halves" in reason]
    knowing = replace(doubting, usual=generous.usual)
    told = registered.judged(model=knowing)
    assert told.prediction.known_risk > 0.99 and told.verdict == "check"  # tiles are in place
    assert not told.likely_wrong
    assert is_likely_wrong(replace(told.prediction, in_place=False), knowing)


def test_no_bound_is_told_where_none_was_measured(told):
    prediction = told.prediction
    assert told.bounds_known and told.to_json()["views"] and told.at_targets(CORNERS)
    assert told.condition in told.summary
    unproven = prediction.elsewhere(proven=False)
    assert told.condition not in replace(told, prediction=unproven).summary
    for unmeasured in (
        replace(prediction, familiar=False),
        unproven,
        prediction.elsewhere(proven=True),
    ):
        other = replace(told, prediction=unmeasured)
        assert "at most" not in other.summary and not other.bounds_known
        assert other.to_json()["views"] == other.at_targets(CORNERS) == []


def test_an_error_is_told_where_nothing_but_its_size_speaks_against_an_accept(fine):
    other = replace(fine, overlay="check")
    wide = replace(other, appearance=Error(0.5, 2.4))
    told = [each.uses["overlay"].upper95_mm for each in (fine, other, wide)]
    assert told == [fine.appearance.upper95_mm, None, 2.4]


@pytest.mark.slow
def test_three_xrays_of_an_unknown_kind_are_accepted_where_they_agree(ct, registered, doubting):
    views = make_views(ct, ((0, 0), (90, 0), (45, 0)))
    three = registered.of(views)
    told = three.judged(model=doubting)
    assert (told.verdict, told.reasons, told.in_doubt) == ("accept", [], False)
    assert told.prediction.known_risk is None and "was not measured" in told.summary
    rival = AlternativeSolution(off(TRUE_POSE, [0, 0, 90], [40, 0, 0]), 1.05, 40.0, 90.0)
    rivalled = three._replace(found=replace(three.found, alternative=rival))
    told = rivalled.judged(model=doubting)
    assert told.verdict == "accept"  # the tiles of the rival are not in place
    turned = [*views[:2], misplaced(views[2], [0, 0, 3], [0, 0, 0])]
    told = registered.of(turned).judged(model=doubting)
    assert told.verdict != "accept" and "views-disagree" in [each.code for each in told.reasons]


def test_a_pose_beside_the_right_one_is_likely_wrong_in_every_view(registered):
    told = registered.at(off(TRUE_POSE, [2, 1, -3], [5, -4, 3])).judged(None)
    assert told.verdict == "check" and told.likely_wrong
    assert told.reasons[0].code == "most-likely-wrong"
    assert set(told.view_states(["view1", "view2"]).values()) == {"bad"}


def test_a_pose_outside_all_x_rays_is_rejected_without_a_number(registered):
    told = registered.at(off(TRUE_POSE, [0, 0, 0], [0, 0, 300])).judged(None)
    assert told.verdict == "reject" and told.prediction is None and told.to_json() is None
    assert told.reasons == ["At this pose no X-ray shows enough of the CT to compare them."]


@pytest.mark.quick_variants("0")
@pytest.mark.parametrize("turn", [0, 4])
def test_another_patient_is_suspected_first_where_the_x_rays_agree(
    registered, views, monkeypatch, turn
):
    """Most of the bone does not fit, with right cameras and with a wrong one."""
    most = Elsewhere(Reason("most-displaced", "Most."), unlike=True, proven=True, most=True)
    monkeypatch.setattr(verdict, "elsewhere", lambda parts, targets: most)
    told = registered.of([views[0], misplaced(views[1], [turn, 0, -turn], [0, 0, 0])]).judged()
    assert told.prediction.agree == (turn == 0)
    assert (told.reasons[0].code == "ct-misfit") == (turn == 0)
    assert (remedy(told.reasons) == "match") == (turn == 0)


@pytest.mark.slow
def test_a_wrong_camera_is_not_accepted_and_is_asked_after(registered, views):
    told = registered.of([views[0], misplaced(views[1], [4, 3, -4], [0, 3, 6])]).judged()
    shifts = told.features.single_view_shift_mm
    sentence = f"view{1 + shifts.argmax()} disagrees with the other X-ray: alone it moves the CT by {shifts.max():.1f} mm"
    assert told.verdict != "accept"
    assert any(sentence in each and "Check its geometry" in each for each in told.reasons)


def test_one_view_is_to_be_checked_and_its_depth_is_uncertain(registered, views, lenient):
    one = registered.of(views[:1])
    alone = "Only one X-ray determines the pose: the depth along its beam is uncertain."
    assert lenient(one) == ("check", [alone])
    told = one.judged()
    assert told.verdict == "check" and alone in told.reasons
    assert told.splits[0].depth_mm > 3 * told.splits[0].in_plane_mm
    assert told.features.in_place[0] > 0.5
    noise = told.features.uncertainty.at(rigid.transform_points(one.found.world_from_ct, CORNERS))
    assert told.prediction.upper95_mm >= 1.6 * noise.bound_mm()


@pytest.mark.parametrize("views, times", [(1, 1.6), (2, 1.0)])
def test_one_view_knows_its_noise_less_well(views, times):
    quiet = Prediction(0.1, 0.5, 0.001, 0.001, bounded=True, typical_mm=0.1)
    one = quiet.no_less_than(0.3, 0.7, views)
    told = one.mean_mm, one.typical_mm, one.upper95_mm
    assert told == pytest.approx((times * 0.3, times * 0.3, times * 0.7))
    assert one.failure_probability == 0.001
    assert quiet.no_less_than(1, 2, 1, 0.2).failure_probability == 0.2


def test_the_risk_of_one_view_is_that_of_its_depth():
    covariance = np.diag([0.0, 0, 0, 0, 0, 1])
    along = TargetUncertainty(np.zeros((1, 3)), np.eye(3, 6, 3)[None], covariance)
    beyond = 2 * stats.norm.sf(2 / 1.6)  # of 1.6 times a normal error of 1 mm
    assert depth_risk(along, 1) == pytest.approx(beyond) and depth_risk(along, 2) == 0


@pytest.mark.slow
def test_views_in_one_direction_are_to_be_checked(registered, ct, lenient):
    verdict, reasons = lenient(registered.of(make_views(ct, ((0, 0), (176, 0)))))
    assert verdict == "check"
    assert "nearly the same direction (4 degrees apart)" in reasons[0]


@pytest.mark.slow
def test_views_with_a_shared_unknown_are_to_be_checked(registered, views, lenient):
    shared = SharedUnknowns(principal_point_sd_px=3.0)
    verdict, reasons = lenient(registered.of(views, shared=shared), shared=shared)
    assert verdict == "check" and "share an unknown" in reasons[-1]


def test_a_ct_without_bone_is_to_be_checked(ct, registered, lenient):
    values = np.where(ct.volume.values > 0, ct.volume.values / 8, ct.volume.values)
    soft = replace(ct, volume=replace(ct.volume, values=values))
    other = registered._replace(anatomy=PreparedCT(soft)).of(make_views(soft))
    verdict, reasons = lenient(other, targets=None)
    assert verdict == "check" and reasons[0].startswith("The CT shows no bone")


@pytest.mark.slow
def test_one_structure_is_assessed_by_its_own_model_and_never_accepted(ct, registered, lenient):
    mask = (np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300)
    structure = registered._replace(anatomy=PreparedCT(replace(ct, mask=mask)))
    structure = structure.of(registered.views)
    told = structure.judged(None)
    risk = calibrated("structure").predict(model_inputs(told.features)).failure_probability
    assert told.prediction.failure_probability == risk == told.to_json()["failure_probability"]
    assert told.verdict != "accept"
    verdict, reasons = lenient(structure)
    said = "A structure by itself may lie on a similar one"
    assert verdict == "check" and reasons[0].startswith(said)
