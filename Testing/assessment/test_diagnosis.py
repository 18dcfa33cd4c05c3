"""The likely cause: named where exactly this is wrong, and none where nothing is, or nothing explains it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.phantom import (
    TRUE_POSE,
    decentred,
    error_mm,
    free,
    make_views,
    misplaced,
    off,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from MultiViewRegistrationLib.assessment import diagnosis
from MultiViewRegistrationLib.assessment.causes import Cause, find_cause
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch, other_level
from MultiViewRegistrationLib.assessment.faults import (
    FAULTS,
    SMALL_GAIN,
    camera_hypotheses,
    mirrored_ct,
)
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.records import Finding
from MultiViewRegistrationLib.assessment.risk import body_risk_model
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, SharedUnknowns
from MultiViewRegistrationLib.registration.cameras import OWN
from MultiViewRegistrationLib.registration.optimizer import Descent
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

#: How an image was turned, by what has to be named.
WRONG = {
    "upside down": np.flipud,
    "turned 90": lambda image: np.rot90(image, 3),
}


@pytest.fixture
def cause_of(registered):
    """A function: the cause that is named of these X-rays, which are registered, or of another CT."""

    def found(views=registered.views, anatomy=registered.anatomy):
        return CauseSearch(*registered._replace(anatomy=anatomy).of(views)).cause()

    return found


def turned(view, turn):
    image, valid = (
        np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid)
    )
    return view.with_xray(line_integrals=image, valid=valid)


def camera_off(view):
    return misplaced(view, [3, 2, -3], [0, 3, 4])


def scaled(view, scale):
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[:2, :2] *= scale
    return view.with_camera(intrinsics=intrinsics)


def inverted(view):
    image = view.xray.line_integrals
    return view.with_xray(line_integrals=image.max() - image)


def swapped(views):
    return [replace(views[0], xray=views[1].xray), replace(views[1], xray=views[0].xray)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "cause, about, change",
    [
        ("mirrored", (), lambda v: [turned(x, np.fliplr) for x in v]),
        ("inverted", ("view1",), lambda v: [inverted(v[0]), v[1]]),
        ("swapped", ("view1", "view2"), swapped),
        ("motion", ("view1", "view2"), lambda v: [v[0], camera_off(v[1])]),
        ("distance", (), lambda v: [scaled(x, 1.06) for x in v]),
        ("distance", ("view2",), lambda v: [v[0], scaled(v[1], 1.06)]),
        ("principal point", ("view1", "view2"), lambda v: [decentred(v[0], 6), v[1]]),
        *((name, ("view2",), lambda v, turn=turn: [v[0], turned(v[1], turn)])
          for name, turn in WRONG.items()),
    ],
)  # fmt: skip
def test_a_fault_is_named(cause_of, views, cause, about, change):
    """No image shows which of two views is wrong."""
    found = cause_of(change(views))
    assert (found.cause, found.views) == (cause, about)
    if cause == "distance":
        assert found.values["change_percent"] == pytest.approx(-5.7, abs=1)
    if cause == "principal point":
        assert found.values["corrected"] == "view2"
        assert np.round([found.values["columns"], found.values["rows"]]).tolist() == [1, 6]
    elif cause != "principal point":
        assert error_mm(found.world_from_ct) < 3


def by_marker(view):
    """The view with a camera as accurate as the beads of a marker make it."""
    known = {"rotation_sd_deg": 0.03, "translation_sd_mm": 0.3, "principal_point_sd_px": 0.3}
    return replace(view, marker="patient", **known)


@pytest.mark.slow
def test_a_marker_that_moved_against_the_patient_is_named(registered, views):
    moved = registered.of([by_marker(views[0]), by_marker(camera_off(views[1]))])
    assessment = find_cause(moved.assessed(), CauseSearch(*moved))
    assert assessment.verdict != "accept" and assessment.cause.cause == "motion"
    first = assessment.findings[0]
    assert (first.code, first.values["body"]) == ("cause-motion", "marker")


@pytest.mark.slow
@pytest.mark.parametrize(
    "given, signs",
    [
        ((-40, 10), "LAO and RAO exchanged"),
        ((10, 40), "its two angles exchanged"),
    ],
)
def test_an_angle_with_the_wrong_sign_is_named(ct, cause_of, given, signs):
    true, wrong = make_views(ct, ((0, 0), (40, 10))), make_views(ct, ((0, 0), given))
    found = cause_of([true[0], replace(true[1], camera=wrong[1].camera)])
    assert (found.cause, found.views) == ("angle sign", ("view2",))
    assert found.values["signs"] == signs
    assert error_mm(found.world_from_ct) < 3


def changed(ct, change):
    """The CT with other voxels about its middle, by an affine change (3, 3) of CT mm."""
    affine = np.eye(4)
    affine[:3, :3] = change
    return replace(ct, volume=Volume(ct.volume.values, affine @ ct.volume.ct_from_index))


@pytest.mark.slow
def test_a_mirrored_ct_is_named(ct, cause_of):
    mirror = np.diag([-1.0, 1, 1])
    wrong = PreparedCT(changed(ct, mirror))
    found = cause_of(anatomy=wrong)
    assert found.cause == "mirrored ct"
    bone = wrong.bone_points()
    truth = TRUE_POSE[:3, :3] @ mirror @ bone.T + TRUE_POSE[:3, 3:]
    there = rigid.transform_points(found.world_from_ct @ found.corrected_from_ct, bone)
    assert np.linalg.norm(there - truth.T, axis=1).mean() < 1.0


@pytest.fixture(scope="module")
def column():
    """Of 320 mm with blobs of bone, a part of which is as wide as a view's field."""
    k, j, i = np.indices((160, 48, 48)) - np.array([79.5, 23.5, 23.5])[:, None, None, None]
    hu = np.where(j**2 + i**2 < 20**2, 0.0, -1000.0)
    blobs = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=hu.shape), 3.0)
    hu[(blobs > 1.2 * blobs.std()) & (j**2 + i**2 < 18**2)] = 900.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-47.0, -47.0, -159.0]
    return CT(Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine))


@pytest.mark.slow
def test_displaced_view_of_three_is_named(ct, cause_of):
    views = make_views(ct, ((0, 0), (90, 0), (45, 20)))
    views[2] = camera_off(views[2])
    found = cause_of(views)
    assert (found.cause, found.views) == ("motion", (views[2].name,))


@pytest.mark.slow
def test_another_part_of_the_ct_is_named(column):
    start = off(TRUE_POSE, [1, -1, 2], [2, 3, 95])
    anatomy, views = PreparedCT(column), make_views(column)
    cause = CauseSearch(anatomy, views, refine(anatomy, views, start), start).cause()
    assert cause.cause == "part" and cause.values["towards"] == "feet"
    assert error_mm(cause.world_from_ct) < 3


@pytest.mark.slow
@pytest.mark.parametrize("rows, short", [(slice(72, 90), True), (slice(None), False)])
def test_a_ct_too_short_is_named(column, rows, short):
    affine = column.volume.ct_from_index.copy()
    affine[2, 3] += 2.0 * (rows.start or 0)
    anatomy = PreparedCT(CT(Volume(column.volume.values[rows].copy(), affine)))
    views = make_views(column)
    found = refine(anatomy, views, TRUE_POSE)
    *_, last = CauseSearch(anatomy, views, found, TRUE_POSE).causes()
    assert (last.cause == "short" and last.is_accepted) == short


def test_a_sound_case_has_no_cause(registered):
    heard = list(CauseSearch(*registered).causes())
    assert not [each for each in heard if each.is_accepted]
    assert "mirrored" not in [
        each.cause for each in heard
    ]  # as the images look like the CT, nobody asks
    beside = off(TRUE_POSE, [5, -4, 6], [8, 5, -6])
    cause = CauseSearch(*registered.at(beside)).cause()
    assert cause is None or cause.cause == "level"  # no image is blamed


@pytest.mark.slow
def test_another_patient_is_explained_by_nothing(ct, cause_of):
    blobs = ndimage.gaussian_filter(
        np.random.default_rng(11).normal(size=ct.volume.values.shape), 2.0
    )
    ball = np.where(ct.volume.values > -500, 0.0, -1000.0)
    ball[(blobs > 1.2 * blobs.std()) & (ct.volume.values > -100)] = 900.0
    values = ndimage.gaussian_filter(ball, 0.7).astype(np.float32)
    other = PreparedCT(replace(ct, volume=replace(ct.volume, values=values)))
    assert cause_of(anatomy=other) is None


def test_the_error_of_one_view_at_fault_follows_from_the_disagreement(registered, views):
    """It is of the finest resolution, with the position of that view free; a cause is of the second."""
    wrong = registered.of([views[0], misplaced(views[1], [1.5, 1, -1.5], [2, -1.5, 2])])
    assessment = wrong.assessed()
    features = assessment.evidence.features
    assert features.one_view_disagrees
    for kind, is_known in (("motion", True), ("principal point", True), ("distance", False)):
        cause = Cause(kind, ("view2",), 1.1, (0.9, 0.9), wrong.start)
        search = CauseSearch(*wrong)
        search.cause = lambda cause=cause, **_: cause
        caused = find_cause(assessment, search)
        assert caused.cause.is_error_known is is_known, kind
        assert (caused.cause.moved_mm == features.disagreement_mm) is is_known
        assert (caused.evidence.risk == assessment.evidence.risk) is is_known


@pytest.fixture(scope="module")
def mirrored(registered, views):
    """The registration of views of which the second is mirrored, and its assessment."""
    wrong = registered.of([views[0], turned(views[1], np.fliplr)])
    return wrong, wrong.assessed()


def test_a_cause_is_the_first_finding_and_predicts_the_error(mirrored):
    wrong, assessment = mirrored
    assert assessment.verdict != "accept" and assessment.cause is None
    caused = find_cause(assessment, CauseSearch(*wrong))
    first, second, *others = caused.findings
    assert (first.code, first.views) == ("cause-mirrored", ("view2",))
    assert first.values["moved_mm"] == caused.cause.moved_mm
    assert second.code == "most-likely-wrong"
    kept = assessment.without("most-likely-wrong", "risk", "error-bound", "unfamiliar-images")
    assert tuple(others) == kept.findings
    assert caused.verdict == "reject" and caused.cause.cause == "mirrored"
    away = mtre(wrong.found.world_from_ct, TRUE_POSE, assessment.evidence.targets)
    assert caused.cause.moved_mm == pytest.approx(away, abs=0.5) and away > 2
    bound_mm = caused.evidence.risk.upper95_mm
    assert caused.risk >= 0.9 and away < bound_mm < 1.5 * away + 2
    splits = caused.evidence.splits
    assert splits[0].depth_mm == splits[1].in_plane_mm == bound_mm


def with_risk(assessment, **changes):
    """Return an assessment with another risk, without findings about it."""
    evidence = assessment.evidence
    evidence = replace(evidence, risk=replace(evidence.risk, **changes))
    return replace(assessment, evidence=evidence)


@pytest.mark.parametrize("similarity, is_searched", [((0.9, 0.65), False), ((0.9, 0.64), True)])
def test_a_cause_is_searched_for_if_one_view_fits_much_worse(mirrored, similarity, is_searched):
    wrong, assessment = mirrored
    sure = with_risk(assessment, image_failure=0.0)
    fits = replace(wrong.found, fit=replace(wrong.found.fit, similarity=similarity))
    search = KnownCause(*wrong._replace(found=fits))
    assert (find_cause(sure, search) is not sure) == is_searched


@pytest.mark.quick_variants("1.2-similarity2-in_place2-searched2")
@pytest.mark.parametrize(
    "tension, similarity, in_place, searched",
    [
        (1.2, (0.6, 0.5), (0.8, 0.5), []),
        (1.6, (0.6, 0.5), (0.8, 0.5), [True]),
        (1.2, (0.6, 0.5), (0.8, 0.4), [False]),
    ],
)
def test_cameras_of_unfamiliar_x_rays_are_in_doubt_if_the_views_disagree(
    registered, assessment, tension, similarity, in_place, searched
):
    """Most of their tiles are in place, so that no image is at fault; if the views hardly disagree nothing is.

    If most tiles of one view fit best out of place, its image may be mirrored all the same.
    """
    searches: list[bool] = []
    fit = replace(registered.found.fit, similarity=similarity)
    fits = registered._replace(found=replace(registered.found, fit=fit))
    search = CauseSearch(*fits)
    search.cause = lambda *, images_are_in_place: searches.append(images_are_in_place)
    other = with_risk(assessment, is_familiar=False, views_agree=False)
    features = replace(other.evidence.features, tension=tension, in_place=np.array(in_place))
    other = replace(other, evidence=replace(other.evidence, features=features))
    assert find_cause(other, search) is other and searches == searched


class KnownCause(CauseSearch):
    """Finds a cause that displaces the CT by some mm."""

    kind, mm, gain = "distance", 0.0, 1.5

    def cause(self, **_):
        pose = self.pose.copy()
        pose[0, 3] += self.mm
        return Cause(self.kind, (), self.gain, (0.9, 0.9), pose)


@pytest.mark.parametrize(
    "kind, mm, gain, verdict, risk",
    [
        ("distance", 5.0, 1.5, "check", 1.0),
        ("mirrored", 5.0, 1.5, "reject", 1.0),
        ("mirrored", 0.5, 1.5, "check", 0.039),
        ("distance", 2.5, 1.0, "check", None),
    ],
)
def test_a_cause_predicts_the_error_and_rejects_if_another_pose_clearly_fits_better(
    registered, assessment, kind, mm, gain, verdict, risk
):
    findings = Finding("most-likely-wrong", values={"risk": 0.97}), Finding("view-disagrees")
    doubtful = with_risk(assessment, failure=0.97, image_failure=0.97, upper95_mm=80.0)
    doubtful = replace(doubtful, findings=findings, risk=0.97)
    search = KnownCause(*registered)
    search.kind, search.mm, search.gain = kind, mm, gain
    caused = find_cause(doubtful, search)
    first = caused.findings[0]
    assert first.code == f"cause-{kind}" and first.values["moved_mm"] == pytest.approx(mm)
    assert caused.verdict == verdict
    before, after = doubtful.evidence, caused.evidence
    if gain < SMALL_GAIN:  # it fits no better, and does not predict the error
        assert after.risk == before.risk and caused.findings[1:] == findings
        return
    assert caused.risk == pytest.approx(risk, abs=0.01) and caused.findings[-1] == findings[1]
    assert after.risk.typical_mm == pytest.approx(mm)
    most = 1.25 * mm + 0.75
    assert after.risk.upper95_mm < (most if caused.cause.is_clear else 2 * most)
    inflation = after.risk.upper95_mm / assessment.evidence.risk.upper95_mm
    assert after.inflation / assessment.evidence.inflation == pytest.approx(inflation)


def test_a_mirrored_ct_looks_as_the_ct_in_a_mirrored_world(views):
    """By projecting points of the corrected CT, with principal points off the middle.

    Its centroid stays.
    """
    shifted = [decentred(view, 5.0, -60.0 - n) for n, view in enumerate(views)]
    centroid = np.array([12.0, -7.0, 3.0])
    (hypothesis,) = mirrored_ct(shifted, centroid)
    points = 20 * np.random.default_rng(0).normal(size=(9, 3))
    assert_allclose(rigid.transform_points(hypothesis.corrected_from_ct, centroid), centroid)
    world = rigid.transform_points(TRUE_POSE @ hypothesis.corrected_from_ct, points)
    for view, mirrored in zip(shifted, hypothesis.views, strict=True):
        column, row = view.camera.project(world).T
        there = mirrored.camera.project(rigid.transform_points(hypothesis.pose(TRUE_POSE), points))
        assert_allclose(there, np.stack([127 - column, row], axis=1), atol=1e-9)
        assert_array_equal(mirrored.xray.line_integrals, view.xray.line_integrals[:, ::-1])
        assert np.linalg.det(mirrored.camera.camera_from_world[:3, :3]) == pytest.approx(1)


OF_EACH = [
    ("distance", ("view1",)),
    ("distance", ("view2",)),
    ("principal point", ("view1", "view2")),
]


ALL, MOTION = ("distance", ()), ("motion", ("view1", "view2"))


@pytest.mark.parametrize(
    "change, shared, expected",
    [
        (lambda v: v, CALIBRATED, [ALL, *OF_EACH, MOTION]),
        (lambda v: v[:1], CALIBRATED, []),
        (lambda v: [v[0], uncertain(v[1])], CALIBRATED, [ALL, *OF_EACH]),
        (lambda v: [sized(x) for x in v], SharedUnknowns(source_to_detector_sd_mm=10.0), OF_EACH),
        (lambda v: [by_marker(x) for x in v], CALIBRATED, [MOTION]),
    ],
)
def test_only_unknowns_that_a_case_does_not_have_are_tested(views, change, shared, expected):
    asked = camera_hypotheses(change(views), shared)
    assert [(each.cause, each.view_names) for each in asked] == expected


def uncertain(view):
    return replace(view, rotation_sd_deg=1.0, translation_sd_mm=3.0)


def sized(view, **said):
    """With pixels of which the size is known, and what is said of its camera."""
    return replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25)), **said)


@pytest.mark.parametrize(
    "cause, about, index, value, values",
    [
        ("distance", (), -6, 0.02 * 800, {"change_percent": 2.0}),
        ("distance", ("view2",), OWN + 6, -0.03, {"change_percent": -3.0}),
        ("principal point", None, OWN + 8, 4.0, {"columns": 0.0, "rows": 4.0}),
        ("motion", None, OWN + 3, 3.0, {"motion_mm": 3.0, "motion_deg": 0.0}),
        ("motion", None, OWN + 3, 1.4, {}),
    ],
)
def test_a_camera_correction_is_described_unless_negligible(
    registered, views, cause, about, index, value, values
):
    """The source-to-detector distance is 800 pixels."""
    search = CauseSearch(*registered._replace(views=[sized(view) for view in views]))
    hypotheses = camera_hypotheses(search.known_views)
    each = next(one for one in hypotheses if one.cause == cause and about in (None, one.view_names))
    corrections = np.zeros(2 * OWN + 6)
    corrections[index] = value
    run = Descent(TRUE_POSE, corrections, search.refinement.fit, [])
    found = diagnosis._camera_change(search, each, run)
    assert bool(found) == bool(values)
    assert {key: found[key] for key in values} == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize(
    "shift_mm, turn_deg, values",
    [
        ((0, 0, 30), 0, {"shift_mm": 30, "towards": "head", "fits": "about as well"}),
        ((5, 0, -20), 8, {"shift_mm": 21, "towards": "feet", "fits": "about as well"}),
        ((30, 0, 0), 0, None),  # beside it, as ribs on one side of another
        ((0, 0, 30), 12, None),
    ],
)
def test_another_level_is_along_the_body_a_vertebra_away_and_not_turned(
    registered, monkeypatch, shift_mm, turn_deg, values
):
    """Shifts are along the axes of the CT."""
    motion = off(np.eye(4), [0, 0, turn_deg], np.array(shift_mm, dtype=float))
    anatomy, _, found, _ = registered
    pose = found.world_from_ct @ rigid.about(anatomy.centroid, motion)
    here = Descent(found.world_from_ct, np.zeros(2 * OWN + 6), found.fit, [])
    there = SimpleNamespace(descend=lambda *_, **__: [replace(here, world_from_ct=pose)])
    monkeypatch.setattr(CauseSearch, "registration", lambda *_: there)
    cause = other_level(CauseSearch(*registered), here)
    if values is None:
        assert cause is None
    else:
        assert cause.cause == "level"
        assert cause.values | {"shift_mm": round(cause.values["shift_mm"])} == values


def test_a_view_that_nothing_ties_has_no_say(registered, views):
    untied = [views[0], free(views[1])]
    assert CauseSearch(*registered._replace(views=untied)).known_views == untied[:1]


@pytest.mark.parametrize(
    "cause, gain, similarity, holds",
    [("mirrored", 1.2, (0.7, 0.9), True), ("mirrored", 1.19, (0.7, 0.9), False), ("mirrored", 9.0, (0.69, 0.9), False),
     ("distance", 1.05, (0.7, 0.9), True), ("level", 0.84, (0.9, 0.7), False), ("short", 1.0, (0.1, 0.2), True)],
)  # fmt: skip
def test_a_cause_holds_if_the_evidence_grows_and_every_x_ray_resembles_the_ct(
    cause, gain, similarity, holds
):
    found = Cause(cause, (), gain, similarity, TRUE_POSE)
    assert found.is_accepted == holds and found.is_clear == (gain >= 1.2 and min(similarity) >= 0.7)


def test_with_a_cause_nothing_is_accepted_and_the_bound_is_at_least_that_of_noise(
    registered, assessment
):
    doubt = 1.5 * body_risk_model().accept
    doubtful = with_risk(assessment, failure=doubt, image_failure=doubt)
    search = KnownCause(*registered)
    search.mm = 0.1
    assert find_cause(doubtful, search).verdict == "check"
    features = doubtful.evidence.features
    noise = replace(features.uncertainty, joint=1e5 * features.uncertainty.joint)
    evidence = replace(doubtful.evidence, features=replace(features, uncertainty=noise))
    noisy = replace(doubtful, evidence=evidence)
    world = rigid.transform_points(registered.found.world_from_ct, evidence.targets)
    explained = noise.at(world)
    risk = find_cause(noisy, search).evidence.risk
    assert risk.upper95_mm == explained.bound_mm() > 1 and risk.typical_mm == explained.mean_mm
    one = replace(noisy, evidence=replace(evidence, splits=evidence.splits[:1]))
    of_one = find_cause(one, search).evidence.risk
    depth_risk = risk.at_least(explained, 1).failure
    assert of_one.failure == depth_risk > risk.failure


def test_for_one_structure_no_cause_is_searched_for(ct, registered, assessment):
    doubtful = with_risk(assessment, image_failure=0.9)
    structure = PreparedCT(replace(ct, mask=ct.volume.values > 300))
    of_one = registered._replace(anatomy=structure)
    assert find_cause(doubtful, KnownCause(*of_one)) is doubtful
    assert find_cause(doubtful, KnownCause(*registered)).cause is not None


def test_how_far_a_cause_moves_the_targets_is_told_in_the_corrected_ct():
    """A CT that is mirrored about x = 5.

    Its corrected targets at the same pose lie where they are mirrored to.
    """
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = 10.0
    cause = Cause("mirrored ct", (), 2.0, (0.9,), TRUE_POSE, corrected_from_ct=mirror)
    targets = np.array([[5.0, 30.0, -7.0], [8.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert cause.target_shift_mm(TRUE_POSE, targets) == pytest.approx((0 + 6 + 10) / 3)


def test_a_distance_that_is_off_may_as_well_be_the_cts_size():
    """The pose is as it was: a CT that is 2 % larger has its targets, 50 mm from their middle, 1 mm elsewhere."""
    targets = 50.0 * np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]) + 7.0
    cause = Cause("distance", (), 2.0, (0.9,), TRUE_POSE, size_change=-0.02)
    assert cause.target_shift_mm(TRUE_POSE, targets) == pytest.approx(1.0)


def test_no_number_of_steps_of_a_stage_completes_the_search(registered):
    """A CT of another patient took 460 steps, one that nearly fits 80."""
    done = []
    search = CauseSearch(*registered, progress=lambda told: done.append(told.fraction) or True)
    for _ in range(1000):
        search._report(None)
    assert done == sorted(done) and done[-1] < 1


def test_it_can_be_cancelled(registered):
    with pytest.raises(Cancelled):
        CauseSearch(*registered, progress=lambda told: False).cause()


def test_a_turn_by_90_degrees_is_tested_only_where_the_image_is_square(views):
    tall = [replace(view.cropped(0, 0, 96, 128), name=view.name) for view in views]
    centre = np.zeros(3)
    of_images = {cause: fault for cause, fault in FAULTS.items() if fault.is_of_image}
    named = {cause for cause, fault in of_images.items() if any(fault.hypotheses(tall, centre))}
    assert named == {"mirrored", "upside down", "turned 180", "inverted", "swapped"}
