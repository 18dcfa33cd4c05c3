"""The verdict: never an accept where the case is of a kind that nothing was measured on, and reasons that say why."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from phantom import TRUE_POSE, error_mm, make_views, off
from scipy import stats

from MultiViewRegistrationLib.assessment.cause import Cause
from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.assessment.metrics import in_field
from MultiViewRegistrationLib.assessment.prediction import (
    COLUMNS,
    WRONG_MM,
    Prediction,
    calibrated,
    columns,
)
from MultiViewRegistrationLib.assessment.uncertainty import TargetUncertainty, target_jacobians
from MultiViewRegistrationLib.assessment.verdict import (
    assess,
    decide,
    depth_risk,
    model_inputs,
    with_cause,
)
from MultiViewRegistrationLib.assessment.verdict_reasons import (
    _is_exact,
    _least_similar,
    camera_strain,
    is_about_risk,
    risk_reasons,
    weak_points,
)
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, OWN, CameraCorrections
from MultiViewRegistrationLib.registration.pipeline import AlternativeSolution, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

#: Standard deviations of a C-arm's readings.
READINGS = {
    "rotation_sd_deg": 0.5,
    "translation_sd_mm": 3.0,
    "principal_point_sd_px": 2.0,
    "distance_sd_percent": 1.0,
}
CORNERS = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)


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
def lenient(anatomy, views, found, near, generous):
    """A function: the verdict and reasons of the generous model on the registration, something of it being otherwise."""

    def told(anatomy=anatomy, views=views, found=found, targets=CORNERS, **options):
        assessment = assess(anatomy, views, found, near, targets, model=generous, **options)
        return assessment.verdict, assessment.reasons

    return told


def test_a_right_answer_is_not_rejected_and_its_bounds_hold(anatomy, views, found, near):
    """Far from the anatomy the bound is wider, as rotations count there.

    All targets together are the whole.
    """
    told = assess(anatomy, views, found, near, CORNERS)
    assert told.verdict in ("accept", "check") and [split.name for split in told.splits] == [
        "view1",
        "view2",
    ]
    assert error_mm(found.world_from_ct) <= told.prediction.upper95_mm < 1
    world, true = (
        rigid.transform_points(pose, CORNERS) for pose in (found.world_from_ct, TRUE_POSE)
    )
    each = np.array(told.at_targets(world))
    assert (each[:, 0] < each[:, 1]).all() and (
        np.linalg.norm(world - true, axis=1) <= each[:, 1]
    ).all()
    assert each[:, 0].max() < told.prediction.upper95_mm < 2 * each[:, 1].max()
    far = told.at_targets(rigid.transform_points(found.world_from_ct, CORNERS + [0, 0, 400]))
    assert far[0][1] > each[0, 1] and replace(told, features=None).at_targets(CORNERS) == []


@pytest.mark.parametrize("principal_point_sd_px", [0.0, 2.0])
def test_all_bounds_are_those_of_noise_and_cameras_made_larger_alike(
    anatomy, views, found, near, principal_point_sd_px
):
    """Of all targets together the bound is the prediction's.

    Of a view and of a rotation 95 % of a normal error.
    """
    some = [replace(view, principal_point_sd_px=principal_point_sd_px) for view in views]
    told = assess(anatomy, some, replace(found, views=some), near, CORNERS)
    total = told.features.uncertainty + told.features.camera_uncertainty
    at = total.at(rigid.transform_points(found.world_from_ct, CORNERS))
    assert told.error_inflation * at.bound_mm() == pytest.approx(told.prediction.upper95_mm)
    times = told.error_inflation * stats.norm.ppf(0.975)
    for split in told.splits:
        assert np.hypot(split.depth_mm, split.in_plane_mm) == pytest.approx(
            times * at.rms_mm, rel=1e-3
        )
    sd, axis = total.least_certain_rotation()
    assert told.least_certain_rotation[0] == pytest.approx(np.degrees(times * sd), rel=1e-3)
    assert_array_equal(told.least_certain_rotation[1], axis)
    if principal_point_sd_px:
        cameras = told.features.camera_uncertainty.at(
            rigid.transform_points(found.world_from_ct, CORNERS)
        )
        assert told.features.camera_mm == pytest.approx(cameras.rms_mm)
        assert told.prediction.failure_probability > told.prediction.image_failure_probability
    else:
        assert told.error_inflation > 1.02 and told.features.camera_mm == 0


@pytest.mark.parametrize(
    "failure, of_images, of_cameras, upper95_mm, bounded, verdict",
    [
        (0.01, 0.01, 0.0005, 1.0, True, "accept"),
        (0.3, 0.01, 0.0005, 1.0, True, "check"),  # only the cameras are doubtful
        (0.01, 0.009, 0.0015, 1.0, True, "check"),  # an error that no X-ray shows has to be rarer
        (0.9, 0.01, 0.5, 1.0, True, "check"),  # an X-ray says nothing against it
        (0.9, 0.9, 0.0, 1.0, True, "reject"),
        (0.01, 0.01, 0.0, 2.1, True, "check"),
        (0.01, 0.01, 0.0, 1.0, False, "check"),
    ],
)
def test_an_accept_is_safe_with_its_cameras_and_a_reject_is_what_the_x_rays_show(
    generous, failure, of_images, of_cameras, upper95_mm, bounded, verdict
):
    model = replace(generous, accept=0.02, reject=0.5)
    prediction = Prediction(
        0.3, upper95_mm, failure, of_images, bounded, camera_failure_probability=of_cameras
    )
    assert decide(prediction, model, measured=True) == verdict
    assert decide(prediction, model, measured=False) == {"accept": "check"}.get(verdict, verdict)


def test_an_accept_needs_views_that_agree(anatomy, views, found, near, generous):
    """A camera that is off by more than it may be, by little: nothing else gives it away."""
    assert assess(anatomy, views, found, near, CORNERS, model=generous).prediction.agree
    intrinsics = views[1].camera.intrinsics.copy()
    intrinsics[1, 2] += 4.0
    wrong = [views[0], replace(views[1], camera=replace(views[1].camera, intrinsics=intrinsics))]
    told = assess(anatomy, wrong, refine(anatomy, wrong, near), near, CORNERS, model=generous)
    off = f"the CT is off by about {told.features.disagreement_mm:.1f} mm."
    assert told.verdict == "check" and any(
        "stated uncertainty" in reason and off in reason for reason in told.reasons
    )
    assert told.prediction.upper95_mm == generous.contradicted_mm > WRONG_MM
    assert told.prediction.failure_probability == generous.contradicted_risk > calibrated().accept
    small_bound = replace(
        told.prediction, upper95_mm=WRONG_MM
    )  # as of a model without that least bound
    assert decide(small_bound, generous, measured=True) == "check"
    assert decide(replace(small_bound, agree=True), generous, measured=True) == "accept"


def test_an_accept_needs_features_within_those_of_correct_results(
    anatomy, views, found, near, generous
):
    """The gate by itself, and by one feature after the other beyond its limit."""
    fine = assess(anatomy, views, found, near, CORNERS, model=generous)
    assert (
        fine.verdict == "accept"
        and decide(replace(fine.prediction, bounded=False), generous, measured=True) == "check"
    )
    scaled = (columns(model_inputs(fine.features)) - generous.centre) / generous.scale
    for n in range(len(COLUMNS)):
        limits = np.full(len(COLUMNS), np.inf)
        limits[n] = scaled[n] - 0.01
        beyond = assess(
            anatomy, views, found, near, CORNERS, model=replace(generous, limits=limits)
        )
        assert beyond.verdict == "check" and "unlike every correct result" in beyond.reasons[-1]
        limits[n] = scaled[n] + 0.01
        assert (
            assess(
                anatomy, views, found, near, CORNERS, model=replace(generous, limits=limits)
            ).verdict
            == "accept"
        )


def test_cameras_that_are_not_known_well_are_never_accepted_and_exact_ones_are_a_condition(
    lenient, views, found, generous
):
    """Neither is a result rejected for it: the X-rays say nothing against it."""
    exact = lenient()
    readings = [replace(view, principal_point_sd_px=4.0, distance_sd_percent=1.0) for view in views]
    verdict, reasons = lenient(views=readings, found=replace(found, views=readings))
    assert exact == ("accept", []) and verdict == "check"
    assert reasons[0].startswith(
        "The cameras are known only to \u00b14 px, 1 %: that alone may misplace the bone"
    )


@pytest.mark.parametrize("by_disagreement", [False, True])
def test_with_a_cause_nothing_is_accepted_even_if_it_says_nothing_of_the_error(
    anatomy, views, found, near, generous, by_disagreement
):
    """Of a slight motion the views' disagreement tells the error, which the prediction knows already."""
    fine = assess(anatomy, views, found, near, CORNERS, model=generous)
    kind, gain = ("principal point", 1.5) if by_disagreement else ("motion", 1.1)
    cause = Cause(
        kind,
        ("view2",),
        "Something moved.",
        gain,
        (0.9, 0.9),
        np.eye(4),
        9.0,
        by_disagreement=by_disagreement,
    )
    caused = with_cause(fine, cause, found.world_from_ct)
    assert (fine.verdict, caused.verdict) == (
        "accept",
        "check",
    ) and caused.prediction == fine.prediction
    assert caused.reasons == ["Something moved. Correcting this moves the CT by 9.0 mm."]


def test_cameras_that_the_x_rays_contradict_are_a_reject(anatomy, views, near):
    """One view's angle is wrong by many standard deviations.

    Corrected with the pose, it fits, but what was said is wrong.
    """
    wrong = views[1].camera.camera_from_world @ off(np.eye(4), [6, 0, -5], [0, 0, 0])
    turned = replace(views[1], camera=replace(views[1].camera, camera_from_world=wrong))
    given = [views[0], replace(turned, rotation_sd_deg=1.0, translation_sd_mm=3.0)]
    rejected = assess(anatomy, given, refine(anatomy, given, near), near, CORNERS)
    assert rejected.verdict == "reject" and set(rejected.suspects) == {"view2"}
    assert rejected.reasons[0].startswith("The X-rays contradict the angles of view2: ")
    cause = Cause(
        "distance", (), "The distance seems to be wrong.", 1.5, (0.9, 0.9), np.eye(4), moved_mm=0.5
    )
    caused = with_cause(rejected, cause, refine(anatomy, given, near).world_from_ct)
    assert caused.verdict == "reject" and caused.reasons[0].startswith(cause.sentence)
    assert (
        caused.reasons[1] == rejected.reasons[0]
        and len(caused.reasons) == len(rejected.reasons) + 1
    )
    assert error_mm(refine(anatomy, given, near).world_from_ct) < rejected.prediction.upper95_mm
    loose = [views[0], replace(turned, rotation_sd_deg=5.0, translation_sd_mm=3.0)]
    found = refine(anatomy, loose, near)
    assert "contradict" not in " ".join(assess(anatomy, loose, found, near, CORNERS).reasons)


def test_a_view_whose_name_ends_as_another_does_is_not_suspected_for_it(anatomy, views, near):
    wrong = views[1].camera.camera_from_world @ off(np.eye(4), [6, 0, -5], [0, 0, 0])
    camera = replace(views[1].camera, camera_from_world=wrong)
    given = [
        replace(views[0], name="AP"),
        replace(
            views[1], name="copy of AP", camera=camera, rotation_sd_deg=1.0, translation_sd_mm=3.0
        ),
    ]
    assert set(assess(anatomy, given, refine(anatomy, given, near), near, CORNERS).suspects) == {
        "copy of AP"
    }


@pytest.mark.parametrize("noise_mm, said", [(0.22, False), (1.0, False), (1.1, True)])
def test_noise_is_a_reason_only_where_it_may_misplace_the_bone(
    anatomy, views, found, near, noise_mm, said
):
    """More than 0.14 mm is unusual, and harmless up to where 95 % lie within 2 mm."""
    features = replace(assess(anatomy, views, found, near, CORNERS).features, noise_mm=noise_mm)
    sentence = (
        f"The images determine the pose poorly: noise alone explains an error of {noise_mm:.1f} mm."
    )
    weak = calibrated().worse_than_usual(model_inputs(features))
    told = weak_points(weak, features, views)
    assert ([sentence] if said else []) == [each for each in told if "poorly" in each]


@pytest.mark.parametrize(
    "probability, verdict, words",
    [
        (0.6, "reject", "Most likely wrong: 60 % risk of an error above 2 mm."),
        (
            0.1,
            "reject",
            "The risk of an error above 2 mm is 10 %; up to 3.0 % is accepted.",
        ),  # views are contradicted
        (0.02, "reject", ""),
        (
            0.0302,
            "check",
            "The risk of an error above 2 mm is slightly more than 3.0 %; up to 3.0 % is accepted.",
        ),
        (0.0306, "check", "The risk of an error above 2 mm is 3.1 %; up to 3.0 % is accepted."),
        (0.03, "check", ""),
    ],
)
def test_the_risk_is_told_so_that_it_does_not_contradict_itself(probability, verdict, words):
    prediction = Prediction(0.5, 1.0, probability, probability, True)
    reasons = risk_reasons(prediction, calibrated(), verdict)
    assert reasons == ([words] if words else []) and all(
        is_about_risk(reason) for reason in reasons
    )


@pytest.mark.parametrize(
    "index, sd, words",
    [
        (2, np.radians(0.5), "the angles of view2: 2.5 degrees off, though known to 0.5 degrees"),
        (5, 3.0, "the place of view2: 15.0 mm off, though known to 3 mm"),
        (6, 0.01, "the distance to the detector of view2: 5.0 % off, though known to 1 %"),
        (8, 2.0, "the principal point of view2: 10.0 px off, though known to 2 px"),
    ],
)
def test_each_correction_of_a_camera_is_held_against_its_standard_deviation(
    views, index, sd, words
):
    """The last one of its kind, by 3 and by 5 of them; beyond 4 what was said is wrong."""
    given = [views[0], replace(views[1], **READINGS)]
    unknowns = CameraCorrections(given)
    sentence = f"The X-rays contradict {words}. Check its geometry."
    for deviations, contradicted in ((3.0, []), (-5.0, [("view2", sentence)])):
        corrections = unknowns.none.copy()
        corrections[OWN + index] = deviations * sd
        corrected = [
            views[0],
            replace(given[1], camera=unknowns.camera(1, corrections, views[1].camera)),
        ]
        strain, found = camera_strain(given, corrected, CALIBRATED)
        assert strain == pytest.approx(abs(deviations)) and found == contradicted


def test_cameras_beyond_two_standard_deviations_are_less_certain_than_was_said(
    anatomy, views, found, near, generous
):
    given = [views[0], replace(views[1], **READINGS)]
    unknowns = CameraCorrections(given)
    covariances = []
    for shift_mm in (5.0, 9.0):
        corrections = unknowns.none.copy()
        corrections[OWN + 4] = shift_mm
        some = [
            views[0],
            replace(given[1], camera=unknowns.camera(1, corrections, views[1].camera)),
        ]
        told = assess(anatomy, given, replace(found, views=some), near, CORNERS, model=generous)
        stated = compute_features(anatomy, some, found, near, CORNERS)
        covariances.append(
            (told.features.camera_uncertainty.covariance, stated.camera_uncertainty.covariance)
        )
        assert told.verdict != "reject"
    assert_array_equal(*covariances[0])
    assert_allclose(covariances[1][0], (3 / 2) ** 2 * covariances[1][1])


def test_an_accept_has_no_reasons_and_what_was_not_measured_is_to_be_checked(
    lenient, found, near, views
):
    assert lenient() == ("accept", [])
    rivals = [
        replace(found, alternative=AlternativeSolution(near, ratio, 8.0, 3.0))
        for ratio in (1.05, 1.2)
    ]
    assert [lenient(found=rival)[0] for rival in rivals] == ["check", "accept"]
    verdict, reasons = lenient(masked=True)
    assert verdict == "check" and "was left out" in reasons[0]
    verdict, reasons = lenient(registered=False)
    assert verdict == "check" and "was set, not registered" in reasons[0]


@pytest.mark.parametrize("levels, verdict", [(16, "check"), (64, "reject")])
def test_few_grey_levels_are_named_and_no_risk_is_told_of_them(
    anatomy, views, near, generous, levels, verdict
):
    image = views[0].xray.line_integrals
    steps = np.round(image / image.max() * (levels - 1)) * image.max() / (levels - 1)
    coarse = replace(views[0], xray=replace(views[0].xray, line_integrals=steps))
    found = refine(anatomy, [coarse, views[1]], near)
    told = assess(
        anatomy, [coarse, views[1]], found, near, model=replace(generous, accept=0.0, reject=0.0)
    )
    assert told.verdict == verdict
    assert (told.prediction.known_risk is None) == (levels == 16)
    assert (told.reasons[0].code == "few-grey-levels") == (levels == 16)


def test_an_accept_says_of_what_it_is(anatomy, views, found, near, generous):
    told = assess(anatomy, views, found, near, CORNERS, model=generous)
    assert told.scope == "Accepted as one piece; single bones and pieces were not tested."
    assert told.scope.code == "one-piece" and told.summary.endswith(told.scope)
    of_bones = replace(told, tested=("L3", "L4")).scope
    assert of_bones.code == "bones-tested" and "L3, L4 were tested" in of_bones
    assert replace(told, verdict="check").scope is None


def test_targets_that_no_x_ray_shows_are_named(lenient):
    beyond = [0, 0, 400]
    told = lenient(targets=np.vstack([CORNERS, CORNERS[:2] + beyond]))
    nothing = (
        "No X-ray shows targets 9, 10: nothing was compared there. Two X-rays or more show 8 of 10."
    )
    assert told == ("check", [nothing])
    many = lenient(targets=np.vstack([CORNERS[:1], CORNERS + beyond]))[1][0]
    assert many.startswith("No X-ray shows targets 2, 3, 4, 5, 6, 7 and 2 more:")


def test_one_view_is_enough_to_show_a_target(lenient, found, views):
    left = np.zeros(views[1].xray.valid.shape, bool)
    left[:, :48] = True
    narrow = [views[0], replace(views[1], xray=replace(views[1].xray, valid=left))]
    shown = in_field(narrow, rigid.transform_points(found.world_from_ct, CORNERS))
    one = CORNERS[shown[1].argmin()][None]  # only the first view shows it
    reasons = lenient(views=narrow, found=replace(found, views=narrow), targets=one)[1]
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


def test_a_view_that_nothing_ties_or_that_shows_nothing_is_to_be_checked(
    anatomy, ct, unrefined, lenient
):
    """All three by themselves are accepted, though two of them look in nearly the same direction."""
    views = make_views(ct, ((0, 0), (90, 0), (84, 0)))

    def told(third):
        some = [*views[:2], third]
        return lenient(views=some, found=unrefined(anatomy, some, TRUE_POSE))

    assert told(views[2]) == ("accept", [])
    assert told(replace(views[2], rotation_sd_deg=None, translation_sd_mm=None))[0] == "check"
    blind = replace(views[2], xray=replace(views[2].xray, valid=np.zeros_like(views[2].xray.valid)))
    verdict, reasons = told(blind)
    assert verdict == "check"
    assert reasons[0] == "view3 shows too little of the CT to confirm the pose."


def test_only_what_is_exact_is_a_condition(anatomy, views, found, near):
    """The first view's place is the world's, whatever is said of it."""
    assert (
        assess(anatomy, views, found, near, CORNERS).condition
        == "if the cameras are right to 0.5 px"
    )
    for kind in ("rotation_sd_deg", "translation_sd_mm"):
        assert _is_exact(replace(views[0], **{kind: 0.1}), True) and not _is_exact(
            replace(views[1], **{kind: 0.1}), False
        )
    for kind in ("principal_point_sd_px", "distance_sd_percent"):
        assert not any(
            _is_exact(replace(views[0], **{kind: 0.1}), first) for first in (True, False)
        )


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
    (reason,) = risk_reasons(other, model, "check")
    assert "another kind" in reason and " %" not in reason and is_about_risk(reason)


def test_of_xrays_of_an_unknown_kind_no_risk_and_no_weak_point_is_told(
    anatomy, views, found, near, generous
):
    usual = {name: 1.0 if "similarity" in name else 0.0 for name in COLUMNS}
    doubting = replace(generous, intercept=9.0, accept=0.03, reject=0.5, usual=usual)
    told = assess(anatomy, views, found, near, CORNERS, model=doubting)
    assert told.verdict == "check" and told.prediction.known_risk is None
    assert "third-view-missing" in [reason.code for reason in told.reasons]
    assert min(told.features.in_place) > 0.5 and told.to_json()["failure_probability"] is None
    assert sum(map(is_about_risk, told.reasons)) == 1
    assert not [reason for reason in told.reasons if " %" in reason or "halves" in reason]
    knowing = replace(doubting, usual=generous.usual)
    told = assess(anatomy, views, found, near, CORNERS, model=knowing)
    assert told.prediction.known_risk > 0.99 and told.verdict == "check"  # tiles are in place
    elsewhere = replace(told.prediction, in_place=False)
    assert decide(elsewhere, knowing, measured=True) == "reject"


def test_no_bound_is_told_where_none_was_measured(anatomy, views, found, near):
    told = assess(anatomy, views, found, near, CORNERS)
    assert told.bounds_known and told.to_json()["views"] and told.at_targets(CORNERS)
    for unmeasured in (
        replace(told.prediction, familiar=False),
        told.prediction.elsewhere(proven=False),
        told.prediction.elsewhere(proven=True),
    ):
        other = replace(told, prediction=unmeasured)
        assert "at most" not in other.summary and not other.bounds_known
        assert other.to_json()["views"] == other.at_targets(CORNERS) == []
    unknown = replace(told, prediction=told.prediction.elsewhere(proven=False))
    assert told.condition in told.summary and told.condition not in unknown.summary


def test_three_xrays_of_an_unknown_kind_are_accepted_where_they_agree(ct, anatomy, near, generous):
    usual = {name: 1.0 if "similarity" in name else 0.0 for name in COLUMNS}
    doubting = replace(generous, intercept=9.0, accept=0.03, reject=0.5, usual=usual)
    views = make_views(ct, ((0, 0), (90, 0), (45, 0)))
    found = refine(anatomy, views, near)
    told = assess(anatomy, views, found, near, CORNERS, model=doubting)
    assert (told.verdict, told.reasons, told.in_doubt) == ("accept", [], False)
    assert told.prediction.known_risk is None and "was not measured" in told.summary
    rival = AlternativeSolution(off(TRUE_POSE, [0, 0, 90], [40, 0, 0]), 1.05, 40.0, 90.0)
    told = assess(anatomy, views, replace(found, alternative=rival), near, CORNERS, model=doubting)
    assert told.verdict == "accept"  # the tiles of the rival are not in place
    turned = views[2].camera.camera_from_world @ off(np.eye(4), [0, 0, 3], [0, 0, 0])
    views[2] = replace(views[2], camera=replace(views[2].camera, camera_from_world=turned))
    told = assess(anatomy, views, refine(anatomy, views, near), near, CORNERS, model=doubting)
    assert told.verdict != "accept" and "views-disagree" in [each.code for each in told.reasons]


def test_a_pose_beside_the_right_one_is_rejected(anatomy, views, unrefined):
    beside = off(TRUE_POSE, [2, 1, -3], [5, -4, 3])
    told = assess(anatomy, views, unrefined(anatomy, views, beside), beside)
    assert (
        told.verdict == "reject"
        and told.reasons[0].startswith("Most likely wrong: ")
        and len(told.reasons) > 1
    )
    outside = off(TRUE_POSE, [0, 0, 0], [0, 0, 300])
    told = assess(anatomy, views, unrefined(anatomy, views, outside), outside)
    assert told.verdict == "reject" and told.prediction is None and told.to_json() is None
    assert told.reasons == ["At this pose no X-ray shows enough of the CT to compare them."]


def test_a_wrong_camera_is_not_accepted_and_is_asked_after(anatomy, views, near):
    wrong = views[1].camera.camera_from_world @ off(np.eye(4), [4, 3, -4], [0, 3, 6])
    views = [views[0], replace(views[1], camera=replace(views[1].camera, camera_from_world=wrong))]
    told = assess(anatomy, views, refine(anatomy, views, near), near)
    assert told.verdict != "accept"
    shifts = told.features.single_view_shift_mm
    sentence = f"view{1 + shifts.argmax()} disagrees with the other X-ray: alone it moves the CT by {shifts.max():.1f} mm"
    assert any(sentence in each and "Check its geometry" in each for each in told.reasons)
    worst = replace(
        told.features, single_view_shift_sds=np.array([1.0, 7.0, 2.0, np.inf]), gap=None
    )
    assert model_inputs(worst)["single_view_shift_sds"] == 7.0
    hardly = replace(
        told.features,
        fit=replace(told.features.fit, similarity=(0.6, 0.1, 0.4), shown=(900, 9, 900)),
    )
    named = [SimpleNamespace(name=name) for name in ("AP", "OBL", "LAT")]  # OBL hardly shows the CT
    assert _least_similar(hardly, named) == "LAT hardly resembles the CT (local NCC 0.40)."


def test_one_view_is_to_be_checked_and_its_depth_is_uncertain(anatomy, views, near, lenient):
    one = views[:1]
    found = refine(anatomy, one, near)
    alone = "Only one X-ray determines the pose: the depth along its beam is uncertain."
    assert lenient(views=one, found=found) == ("check", [alone])
    told = assess(anatomy, one, found, near, CORNERS)
    assert told.verdict == "check" and alone in told.reasons
    assert told.splits[0].depth_mm > 3 * told.splits[0].in_plane_mm
    assert told.features.in_place[0] > 0.5
    noise = told.features.uncertainty.at(rigid.transform_points(found.world_from_ct, CORNERS))
    assert told.prediction.upper95_mm >= 1.6 * noise.bound_mm()


def test_the_risk_of_one_view_is_at_least_that_of_its_depth_which_the_model_does_not_know():
    along = TargetUncertainty(
        np.zeros((1, 3)), np.eye(3, 6, 3)[None], np.diag([0.0, 0, 0, 0, 0, 1])
    )
    beyond = 2 * stats.norm.sf(2 / 1.6)  # of 1.6 times a normal error of 1 mm
    assert depth_risk(along, 1) == pytest.approx(beyond) and depth_risk(along, 2) == 0
    quiet = Prediction(0.1, 0.5, 0.001, 0.001, bounded=True, typical_mm=0.1)
    assert (
        quiet.no_less_than(1, 2, 1, beyond).failure_probability
        == beyond
        > quiet.failure_probability
    )
    assert quiet.no_less_than(1, 2, 1).failure_probability == quiet.failure_probability
    for views, times in ((1, 1.6), (2, 1.0)):
        one = quiet.no_less_than(0.3, 0.7, views)
        assert (one.mean_mm, one.typical_mm, one.upper95_mm) == pytest.approx(
            (times * 0.3, times * 0.3, times * 0.7)
        )


def test_views_in_one_direction_or_with_shared_unknowns_are_to_be_checked(
    anatomy, ct, views, near, lenient
):
    for degrees, apart in ((6, 6), (176, 4)):
        same = make_views(ct, ((0, 0), (degrees, 0)))
        verdict, reasons = lenient(views=same, found=refine(anatomy, same, near))
        assert (
            verdict == "check"
            and f"nearly the same direction ({apart} degrees apart)" in reasons[0]
        )
    shared = SharedUnknowns(principal_point_sd_px=3.0)
    verdict, reasons = lenient(found=refine(anatomy, views, near, shared=shared), shared=shared)
    assert verdict == "check" and "share an unknown" in reasons[-1]


def test_a_ct_without_bone_is_to_be_checked(ct, near, lenient):
    values = np.where(ct.volume.values > 0, ct.volume.values / 8, ct.volume.values)
    soft = replace(ct, volume=replace(ct.volume, values=values))
    anatomy, views = PreparedCT(soft), make_views(soft)
    verdict, reasons = lenient(anatomy, views, refine(anatomy, views, near), None)
    assert verdict == "check" and reasons[0].startswith("The CT shows no bone")


def test_one_structure_is_assessed_by_its_own_model_and_never_accepted(ct, views, near, lenient):
    mask = (np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300)
    anatomy = PreparedCT(replace(ct, mask=mask))
    found = refine(anatomy, views, near)
    told = assess(anatomy, views, found, near)
    own, other = (
        calibrated(kind).predict(model_inputs(told.features)) for kind in ("structure", "body")
    )
    assert (
        told.prediction.failure_probability == own.failure_probability != other.failure_probability
    )
    assert (
        told.verdict != "accept"
        and told.to_json()["failure_probability"] == own.failure_probability
    )
    verdict, reasons = lenient(anatomy, found=found)
    assert verdict == "check" and reasons[0].startswith(
        "A structure by itself may lie on a similar one"
    )
