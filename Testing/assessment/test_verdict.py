"""Assessment of a pose: never an accept for a case of a kind that was not measured, and findings that explain it."""

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

from MultiViewRegistrationLib.assessment import context
from MultiViewRegistrationLib.assessment.causes import Cause, with_cause
from MultiViewRegistrationLib.assessment.checks import (
    camera_plausibility,
    displaced_bone,
    image_quality_findings,
    risk_findings,
    tile_votes,
)
from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.assessment.metrics import in_field
from MultiViewRegistrationLib.assessment.records import (
    FAILURE,
    POSITION,
    USES,
    WRONG_MM,
    Assessment,
    ExpectedError,
    Finding,
)
from MultiViewRegistrationLib.assessment.risk import COLUMNS, Risk, body_risk_model, model_inputs
from MultiViewRegistrationLib.assessment.uncertainty import TargetUncertainty, target_jacobians
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.registration.cameras import OWN, CameraCorrections
from MultiViewRegistrationLib.registration.optimizer import AlternativeSolution
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.messages import describe_uses

#: Standard deviations of a C-arm's readings.
READINGS = {
    "rotation_sd_deg": 0.5,
    "translation_sd_mm": 3.0,
    "principal_point_sd_px": 2.0,
    "distance_sd_percent": 1.0,
}


@pytest.fixture(scope="module")
def generous():
    """A model that accepts whatever may be accepted at all."""
    k = len(COLUMNS)
    return replace(
        body_risk_model(),
        usual={name: -1.0 if "similarity" in name else 1e6 for name in COLUMNS},
        accept=1.0,
        reject=2.0,
        near=np.array([-3.0] + [0.0] * k),
        motion_ratio=-3.0,
        motion_ratio_sd=0.1,
        intercept=-9.0,
        weights=np.zeros(k),
        limits=np.full(k, np.inf),
    )


@pytest.fixture
def lenient(registered, generous):
    """A function that assesses a registration with the generous model."""

    def assess(given=registered, **options):
        return given.assessed(model=generous, **options)

    return assess


@pytest.fixture(scope="module")
def fine(registered, generous):
    """An accepted pose, by the generous model."""
    return registered.assessed(model=generous)


@pytest.fixture(scope="module")
def doubting(generous):
    """A model with a high risk to which X-rays of every kind are unfamiliar."""
    unknown = {name: 1.0 if "similarity" in name else 0.0 for name in COLUMNS}
    return replace(generous, intercept=9.0, accept=0.03, reject=0.5, usual=unknown)


def codes_of(assessment):
    """Codes of the findings that limit a verdict."""
    return [finding.code for finding in assessment.findings if finding.severity]


def finding_of(assessment, code):
    (finding,) = [each for each in assessment.findings if each.code == code]
    return finding


def codes_by_risk(risk, model, *more, **options):
    return [finding.code for finding in risk_findings(risk, model, *more, **options)]


@pytest.mark.slow
def test_camera_readings_that_move_the_bone_in_3d_leave_the_overlay_right(
    registered, views, generous
):
    """By the true cameras, of which the second is displaced from its stated position."""
    first, second = (replace(view, **READINGS) for view in views)
    given = [first, misplaced(second, [0.4, -0.3, 0.3], [2.0, -3.0, 2.0])]
    off = registered.of(given)
    found, assessment = off.found, off.assessed(model=generous)
    there, here = (
        rigid.transform_points(pose, CORNERS) for pose in (TRUE_POSE, found.world_from_ct)
    )
    shown = [
        (view.camera.project(here) - true.camera.project(there)) * true.camera.pixel_mm(there)
        for view, true in zip(found.views, views, strict=True)
    ]
    away_mm = max(np.sqrt((each**2).sum(axis=1).mean()) for each in shown)
    overlay, position = assessment.errors["overlay"], assessment.errors["position"]
    assert away_mm < overlay.upper95_mm < 1 < error_mm(found.world_from_ct)
    assert (assessment.verdict_for("overlay"), assessment.verdict) == ("accept", "check")
    words = f"3D position (navigation): check, {position.typical_mm:.1f} mm (95 %: "
    assert f"Overlay on the X-rays: accept, < 0.5 mm. {words}" in describe_uses(assessment.uses)
    doubtful = assessment.with_findings([Finding("patient-mismatch")])
    assert {use.verdict for use in doubtful.uses.values()} == {"check"}


@pytest.mark.slow
def test_a_correct_pose_is_not_rejected_and_its_bounds_hold(found, assessment):
    """Far from the anatomy the bound is wider, as rotations count there."""
    evidence = assessment.evidence
    bound_mm = assessment.errors["position"].upper95_mm
    assert assessment.verdict in ("accept", "check")
    assert error_mm(found.world_from_ct) <= bound_mm < 1
    world = rigid.transform_points(found.world_from_ct, CORNERS)
    away = np.linalg.norm(world - rigid.transform_points(TRUE_POSE, CORNERS), axis=1)
    mean, bound = np.array(evidence.at_targets(world)).T
    assert (mean < bound).all() and (away <= bound).all()
    assert mean.max() < bound_mm < 2 * bound.max()
    far = evidence.at_targets(rigid.transform_points(found.world_from_ct, CORNERS + [0, 0, 400]))
    assert far[0][1] > bound[0]


RISK = Risk(0.3, 1.0, 0.01, 0.01)


@pytest.mark.parametrize(
    "change, codes",
    [
        ({}, []),
        ({"failure": 0.3}, ["risk"]),  # only the cameras are doubtful
        ({"failure": 0.9, "camera_failure": 0.5}, []),  # `camera_uncertainty` reports it
        ({"failure": 0.9, "image_failure": 0.9}, ["most-likely-wrong"]),
        ({"upper95_mm": 2.1}, ["error-bound"]),
        ({"is_within_fit": False}, ["unlike-known"]),
    ],
)
def test_an_accept_needs_a_small_risk_and_a_small_error_and_a_high_risk_alone_does_not_reject(
    generous, change, codes
):
    model = replace(generous, accept=0.02, reject=0.5)
    risk = replace(RISK, **change)
    assessment = Assessment(tuple(risk_findings(risk, model)))
    assert codes_of(assessment) == codes
    assert assessment.verdict == ("check" if codes else "accept")
    assert assessment.is_likely_wrong == (risk.image_failure > 0.5)


@pytest.mark.parametrize("camera_failure, suffice", [(0.0005, True), (0.0015, False)])
def test_an_error_that_no_x_ray_shows_has_to_be_rarer(camera_failure, suffice):
    assert replace(RISK, camera_failure=camera_failure).cameras_suffice is suffice


@pytest.mark.slow
def test_an_accept_needs_views_that_agree(registered, views, generous, fine):
    """A camera whose error slightly exceeds its stated uncertainty: nothing else shows it.

    A calibration explains half a pixel.
    """
    calibrated_well = registered.of([views[0], decentred(views[1], 0.4)])
    assert calibrated_well.assessed(model=generous).verdict == "accept"
    assessment = registered.of([views[0], decentred(views[1], 4.0)]).assessed(model=generous)
    assert fine.evidence.risk.views_agree and assessment.verdict == "check"
    assert "views-disagree" in codes_of(assessment)
    assert not assessment.bound_is_known
    risk = assessment.evidence.risk
    assert risk.failure == generous.contradicted_risk > body_risk_model().accept
    small_bound = replace(risk, upper95_mm=WRONG_MM)
    assert codes_by_risk(small_bound, generous) == ["views-disagree"]
    assert codes_by_risk(replace(small_bound, views_agree=True), generous) == []


def test_uncertain_cameras_are_never_accepted_for_the_position(lenient, registered, views):
    """Nor is the pose rejected: the X-rays do not contradict it."""
    readings = [replace(view, principal_point_sd_px=4.0, distance_sd_percent=1.0) for view in views]
    assessment = lenient(registered.given(readings))
    finding = finding_of(assessment, "cameras-uncertain")
    assert assessment.verdict == "check" and finding.uses == POSITION
    assert finding.values["known_to"] == "\u00b14 px, 1 %"


@pytest.mark.slow
def test_cameras_that_the_x_rays_contradict_are_a_reject(registered, views):
    """An angle of one view is wrong by many standard deviations; corrected with the pose, it fits."""
    turned = replace(misplaced(views[1], [6, 0, -5], [0, 0, 0]), name="copy of AP")
    given = [replace(views[0], name="AP"), replace(turned, rotation_sd_deg=1, translation_sd_mm=3)]
    wrong = registered.of(given)
    found, rejected = wrong.found, wrong.assessed()
    first = rejected.findings[0]
    assert rejected.verdict == "reject" and first.code == "camera-contradicted"
    assert (first.views, first.values["quantity"]) == (("copy of AP",), "angles")
    assert rejected.view_states(["AP", "copy of AP"]) == {"AP": "good", "copy of AP": "bad"}
    assert error_mm(found.world_from_ct) < rejected.evidence.risk.upper95_mm
    cause = Cause("distance", (), 1.5, (0.9, 0.9), np.eye(4), moved_mm=0.5)
    caused = with_cause(rejected, cause, found.world_from_ct)
    assert caused.verdict == "reject" and caused.findings[0].code == "cause-distance"
    assert caused.findings[1:] == rejected.findings
    loose = [given[0], replace(turned, rotation_sd_deg=5, translation_sd_mm=3)]
    assert not registered.of(loose).assessed().has("camera-contradicted")


def context_of(registered, features, **more):
    """Return the context of an assessment with other features."""
    return context.AssessmentContext(
        anatomy=registered.anatomy,
        views=registered.views,
        refinement=registered.found,
        start=registered.start,
        targets=CORNERS,
        target_source="targets",
        features=features,
        corrections=[],
        model=body_risk_model(),
        **more,
    )


@pytest.mark.parametrize(
    "in_place, noise_mm, is_found",
    [
        ([0.1, 0.2], 50.0, True),
        ([0.1, 0.2], 0.1, False),  # the risk is low
        ([0.1, 0.8], 50.0, False),  # one view alone may be at fault
        ([0.1, np.nan], 50.0, False),  # noise hides the votes of a view
    ],
)
def test_a_likely_wrong_pose_is_rejected_if_the_tiles_of_every_view_fit_better_elsewhere(
    registered, assessment, in_place, noise_mm, is_found
):
    features = assessment.evidence.features
    features = replace(features, in_place=np.array(in_place), noise_mm=noise_mm)
    findings = tile_votes(context_of(registered, features))
    assert [(each.code, each.severity) for each in findings] == [
        ("tiles-displaced", FAILURE)
    ] * is_found


@pytest.mark.parametrize("noise_mm, is_found", [(0.22, False), (1.0, False), (1.1, True)])
def test_noise_is_a_finding_only_if_it_may_displace_the_bone(
    registered, assessment, noise_mm, is_found
):
    """More than 0.14 mm is unusual, and harmless as long as 95 % are within 2 mm."""
    features = replace(assessment.evidence.features, noise_mm=noise_mm)
    risk = replace(RISK, image_failure=0.9)
    findings = image_quality_findings(context_of(registered, features), risk)
    noise = [finding for finding in findings if finding.code == "noise"]
    assert [each.values["noise_mm"] for each in noise] == [noise_mm] * is_found


@pytest.mark.parametrize(
    "probability, code", [(0.6, "most-likely-wrong"), (0.1, "risk"), (0.0302, "risk")]
)
def test_a_risk_above_the_limit_is_found(probability, code):
    risk = Risk(0.5, 1.0, probability, probability)
    (finding,) = risk_findings(risk, body_risk_model())
    assert finding.code == code and finding.values["risk"] == probability


def test_a_risk_within_the_limit_is_no_finding():
    assert risk_findings(Risk(0.5, 1.0, 0.03, 0.03), body_risk_model()) == []


@pytest.mark.parametrize(
    "index, sd, quantity, correction, stated",
    [
        (2, np.radians(0.5), "angles", 2.5, 0.5),
        (6, 0.01, "source-to-detector distance", 5.0, 1.0),
        (8, 2.0, "principal point", 10.0, 2.0),
    ],
)
def test_each_correction_of_a_camera_is_compared_with_its_standard_deviation(
    registered, views, assessment, index, sd, quantity, correction, stated
):
    """By 3 and by 5 of them; beyond 4 the stated uncertainty is wrong."""
    for deviations, is_contradicted in ((3.0, False), (-5.0, True)):
        corrections = context.camera_corrections(*corrected(views, index, deviations * sd))
        largest = max(corrections, key=lambda each: each.strain)
        assert largest.strain == pytest.approx(abs(deviations))
        assert (largest.view, largest.quantity) == ("view2", quantity)
        features = assessment.evidence.features
        found = camera_plausibility(
            replace(context_of(registered, features), corrections=corrections)
        )
        assert bool(found) == is_contradicted
    (finding,) = found
    numbers = [finding.values["correction"], finding.values["sd"]]
    assert finding.severity == FAILURE and numbers == pytest.approx([correction, stated])


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
def test_cameras_beyond_two_standard_deviations_are_less_certain_than_stated(
    registered, views, generous, shift_mm, larger
):
    given, some = corrected(views, 4, shift_mm)
    assessment = registered.given(some)._replace(views=given).assessed(model=generous)
    exact = registered._replace(views=some)
    stated = compute_features(*exact, CORNERS).camera_uncertainty.covariance
    assert assessment.verdict != "reject"
    features = assessment.evidence.features
    assert_allclose(features.camera_uncertainty.covariance, larger * stated)


@pytest.mark.slow
@pytest.mark.parametrize("ratio, verdict", [(1.05, "check"), (1.2, "accept")])
def test_an_alternative_that_fits_nearly_as_well_is_to_be_checked(
    lenient, registered, ratio, verdict
):
    rival = AlternativeSolution(registered.start, ratio, 8.0, 3.0)
    found = replace(registered.found, alternative=rival)
    assert lenient(registered._replace(found=found)).verdict == verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, code",
    [({"is_masked": True}, "misfit-excluded"), ({"is_registered": False}, "pose-set")],
)
def test_what_was_not_measured_is_to_be_checked(lenient, fine, options, code):
    assert (fine.verdict, codes_of(fine)) == ("accept", [])
    assessment = lenient(**options)
    assert (assessment.verdict, codes_of(assessment)) == ("check", [code])


def test_few_grey_levels_prevent_a_risk(registered, views, generous):
    image = views[0].xray.line_integrals
    steps = np.round(image / image.max() * 15) * image.max() / 15
    coarse = [views[0].with_xray(line_integrals=steps), views[1]]
    assessment = registered.of(coarse).assessed(model=replace(generous, accept=0.0, reject=0.0))
    assert assessment.verdict == "check" and assessment.risk is None
    assert codes_of(assessment)[0] == "few-grey-levels"


def test_an_accept_counts_the_tested_points_and_names_unconfirmed_targets(registered, fine):
    displacement = fine.evidence.displacement
    all_but_third = np.arange(len(fine.tested)) != 2
    points = replace(fine.tested, in_place=all_but_third, overlay_in_place=all_but_third)
    case = context_of(registered, fine.evidence.features)

    def found(points):
        (finding,) = displaced_bone(
            case, replace(displacement, points=points), require_tested_fraction=False
        )
        return finding.code, finding.values.get("missing"), finding.values["count"]

    assert found(points) == ("targets-not-tested", "3", 7)
    assert found(replace(points, are_targets=False)) == ("points-tested", None, 7)
    assert found(fine.tested) == ("points-tested", None, 8)
    assert (
        fine.has("points-tested")
        and len(fine.tested) == finding_of(fine, "points-tested").values["total"]
    )


def test_targets_outside_all_xrays_are_named(lenient):
    beyond = CORNERS + [0, 0, 400]
    assessment = lenient(targets=np.vstack([CORNERS, beyond[:2]]))
    finding = finding_of(assessment, "targets-not-tested")
    assert assessment.verdict == "check" and finding.values["missing"] == "9, 10"
    assert finding.views == ("view1", "view2")


def test_one_view_is_enough_to_confirm_the_overlay_at_a_target(lenient, registered, views):
    narrow = [views[0], masked(views[1], np.arange(128) < 48)]
    shown = in_field(narrow, rigid.transform_points(registered.found.world_from_ct, CORNERS))
    one = CORNERS[shown[1].argmin()][None]  # only the first view shows it
    assessment = lenient(registered.given(narrow), targets=one)
    assert assessment.tested.overlay_in_place.all()


def test_a_target_far_from_all_bone_that_was_compared_is_not_accepted(lenient, views, found):
    world = rigid.transform_points(found.world_from_ct, CORNERS.mean(axis=0))
    toward = views[0].camera.sources(views[0].camera.project(world[None]))[0] - world
    far = world + 150 * toward / np.linalg.norm(toward)  # along a beam: the first view shows it
    target = rigid.transform_points(rigid.inverse(found.world_from_ct), far)
    assessment = lenient(targets=target[None])
    assert assessment.verdict == "check"
    assert finding_of(assessment, "targets-not-tested").values["missing"] == "1"


@pytest.mark.quick_variants("<lambda>-codes1")
@pytest.mark.parametrize(
    "third, codes",
    [(lambda view: view, []), (lambda view: masked(view, False), ["too-little-shown"])],
)
def test_a_view_that_shows_nothing_is_to_be_checked(ct, registered, lenient, third, codes):
    """All three views are accepted, though two of them have nearly the same direction."""
    *views, last = make_views(ct, ((0, 0), (90, 0), (84, 0)))
    assessment = lenient(registered.at(TRUE_POSE, [*views, third(last)]))
    assert codes_of(assessment) == codes
    assert all(each.views == ("view3",) for each in assessment.findings if each.severity)


def test_unfamiliar_xrays_have_the_risk_of_their_votes():
    model = body_risk_model()
    small = np.diag([1e-6] * 3 + [0.01] * 3)
    noise = TargetUncertainty(CORNERS, target_jacobians(CORNERS, np.zeros(3)), small)
    other = Risk(0.2, 0.4, 0.001, 0.001, is_familiar=False)
    assert codes_by_risk(other.from_votes(0.001, noise, 0.0), model) == ["unfamiliar-images"]
    assert "risk" in codes_by_risk(other.from_votes(0.05, noise, 0.0), model)
    disagreeing = other.from_votes(0.001, noise, 2.0)
    assert disagreeing.upper95_mm > WRONG_MM and disagreeing.typical_mm > 2
    assert "error-bound" in codes_by_risk(disagreeing, model)
    assert disagreeing.position_error.upper95_mm is None


@pytest.mark.parametrize("each_view_confirms", [False, True])
def test_views_that_disagree_have_to_confirm_the_overlay_alone(each_view_confirms):
    risk = Risk(0.2, 0.4, 0.001, 0.001, views_agree=False)

    def verdicts(overlay_mm):
        overlay = ExpectedError(0.2, overlay_mm)
        findings = risk_findings(
            risk, body_risk_model(), overlay, each_view_confirms=each_view_confirms
        )
        assessment = Assessment(tuple(findings))
        return assessment.verdict_for("overlay"), assessment.verdict

    assert verdicts(0.4) == ("accept" if each_view_confirms else "check", "check")
    assert verdicts(2.1) == ("check", "check")


@pytest.mark.slow
def test_no_risk_and_no_weak_point_is_reported_for_unfamiliar_xrays(registered, generous, doubting):
    assessment = registered.assessed(model=doubting)
    verdicts = assessment.verdict_for("overlay"), assessment.verdict
    assert (*verdicts, assessment.risk) == ("accept", "check", None)
    assert codes_of(assessment) == ["third-view-missing"]
    assert min(assessment.evidence.features.in_place) > 0.5
    knowing = replace(doubting, usual=generous.usual)
    assessment = registered.assessed(model=knowing)
    assert assessment.risk > 0.99 and assessment.verdict == "check"
    assert not assessment.is_likely_wrong  # tiles are in place
    assert knowing.is_likely_wrong(replace(assessment.evidence.risk, has_tiles_in_place=False))


@pytest.mark.slow
def test_three_unfamiliar_xrays_that_agree_are_accepted(ct, registered, doubting):
    views = make_views(ct, ((0, 0), (90, 0), (45, 0)))
    three = registered.of(views)
    assessment = three.assessed(model=doubting)
    assert (assessment.verdict, codes_of(assessment)) == ("accept", [])
    assert assessment.risk is None and assessment.has("unfamiliar-images")
    rival = AlternativeSolution(off(TRUE_POSE, [0, 0, 90], [40, 0, 0]), 1.05, 40.0, 90.0)
    rivalled = three._replace(found=replace(three.found, alternative=rival))
    assessment = rivalled.assessed(model=doubting)
    assert assessment.verdict == "accept"  # the tiles of the rival are not in place
    turned = [*views[:2], misplaced(views[2], [0, 0, 3], [0, 0, 0])]
    assessment = registered.of(turned).assessed(model=doubting)
    assert assessment.verdict != "accept" and assessment.has("views-disagree")


def test_a_pose_beside_the_correct_one_is_likely_wrong_in_every_view(registered):
    assessment = registered.at(off(TRUE_POSE, [2, 1, -3], [5, -4, 3])).assessed(None)
    assert assessment.verdict == "reject" and assessment.is_likely_wrong
    assert codes_of(assessment)[:2] == ["tiles-displaced", "most-likely-wrong"]
    assert set(assessment.view_states(["view1", "view2"]).values()) == {"bad"}


def test_a_pose_outside_all_x_rays_is_rejected_without_a_number(registered):
    assessment = registered.at(off(TRUE_POSE, [0, 0, 0], [0, 0, 300])).assessed(None)
    assert assessment.verdict == "reject" and codes_of(assessment) == ["not-shown"]
    assert assessment.risk is None and not any(assessment.errors.values())


@pytest.mark.slow
def test_a_wrong_camera_is_not_accepted_and_is_named(registered, views):
    wrong = registered.of([views[0], misplaced(views[1], [4, 3, -4], [0, 3, 6])])
    assessment = wrong.assessed()
    shifts = assessment.evidence.features.single_view_shift_mm
    finding = finding_of(assessment, "view-disagrees")
    assert assessment.verdict != "accept"
    assert finding.views == (f"view{1 + shifts.argmax()}",)
    assert finding.values["shift_mm"] == shifts.max()


def test_the_depth_of_one_view_is_to_be_checked(registered, views, lenient):
    one = registered.of(views[:1])
    assert codes_of(lenient(one))[0] == "one-view" and lenient(one).verdict == "check"
    assessment = one.assessed()
    evidence = assessment.evidence
    assert assessment.verdict == "check" and assessment.has("one-view")
    assert evidence.splits[0].depth_mm > 3 * evidence.splits[0].in_plane_mm
    assert evidence.features.in_place[0] > 0.5
    world = rigid.transform_points(one.found.world_from_ct, CORNERS)
    noise = evidence.features.uncertainty.at(world)
    assert evidence.risk.upper95_mm >= 1.6 * noise.bound_mm()


def test_the_depth_of_one_view_does_not_limit_its_overlay(registered, views, lenient):
    assert lenient(registered.of(views[:1])).verdict_for("overlay") == "accept"


@pytest.mark.parametrize("views, times", [(1, 1.6), (2, 1.0)])
def test_noise_explains_less_of_the_error_of_one_view(views, times):
    small = np.diag([0.0] * 3 + [0.04] * 3)
    noise = TargetUncertainty(CORNERS, target_jacobians(CORNERS, np.zeros(3)), small)
    risk = Risk(0.1, 0.2, 0.001, 0.001).at_least(noise, views)
    expected = times * noise.mean_mm, times * noise.bound_mm()
    assert (risk.typical_mm, risk.upper95_mm) == pytest.approx(expected)


def test_the_risk_of_one_view_is_that_of_its_depth():
    covariance = np.diag([0.0, 0, 0, 0, 0, 1])
    along = TargetUncertainty(np.zeros((1, 3)), np.eye(3, 6, 3)[None], covariance)
    beyond = 2 * stats.norm.sf(2 / 1.6)  # of 1.6 times a normal error of 1 mm
    assert RISK.at_least(along, 1).failure == pytest.approx(beyond)
    assert RISK.at_least(along, 2).failure == RISK.failure


@pytest.mark.slow
def test_views_in_one_direction_are_to_be_checked(registered, ct, lenient):
    assessment = lenient(registered.of(make_views(ct, ((0, 0), (176, 0)))))
    finding = finding_of(assessment, "same-direction")
    assert assessment.verdict == "check" and finding.uses == POSITION
    assert finding.values["angle_deg"] == pytest.approx(4)


@pytest.mark.slow
def test_views_with_a_shared_unknown_are_to_be_checked(registered, views, lenient):
    shared = SharedUnknowns(principal_point_sd_px=3.0)
    assessment = lenient(registered.of(views, shared=shared), shared=shared)
    assert assessment.verdict == "check" and assessment.has("shared-unknown")


def test_a_ct_without_bone_is_to_be_checked(ct, registered, lenient):
    values = np.where(ct.volume.values > 0, ct.volume.values / 8, ct.volume.values)
    soft = replace(ct, volume=replace(ct.volume, values=values))
    other = registered._replace(anatomy=PreparedCT(soft)).of(make_views(soft))
    assessment = lenient(other, targets=None)
    assert assessment.verdict == "check" and codes_of(assessment)[0] == "no-bone"


@pytest.mark.slow
def test_one_structure_is_assessed_by_its_own_model_and_never_accepted(ct, registered, lenient):
    mask = (np.indices(ct.volume.values.shape)[0] > 16) & (ct.volume.values > 300)
    structure = registered._replace(anatomy=PreparedCT(replace(ct, mask=mask)))
    structure = structure.of(registered.views)
    assessment = structure.assessed(None)
    inputs = model_inputs(assessment.evidence.features)
    assert assessment.risk == body_risk_model("structure").predict(inputs).failure
    assert assessment.verdict != "accept"
    assessment = lenient(structure)
    assert (assessment.verdict, codes_of(assessment)) == ("check", ["one-structure"])
    assert finding_of(assessment, "one-structure").uses == frozenset(USES)
