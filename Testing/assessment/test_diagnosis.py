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
from MultiViewRegistrationLib.assessment.cause import Cause, find_cause
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch, other_level
from MultiViewRegistrationLib.assessment.faults import (
    FAULTS,
    SLIGHTLY,
    camera_hypotheses,
    mirrored_ct,
)
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.prediction import calibrated, depth_risk
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
    "cause, about, words, change",
    [
        ("mirrored", (), "Left and right of all X-rays seem", lambda v: [turned(x, np.fliplr) for x in v]),
        ("inverted", ("view1",), "grey scale of view1", lambda v: [inverted(v[0]), v[1]]),
        ("swapped", ("view1", "view2"), "exchanged", swapped),
        ("motion", ("view1", "view2"), "between view2 and view1", lambda v: [v[0], camera_off(v[1])]),
        ("distance", (), " % shorter", lambda v: [scaled(x, 1.06) for x in v]),
        ("distance", ("view2",), " % shorter", lambda v: [v[0], scaled(v[1], 1.06)]),
        ("principal point", ("view1", "view2"), "1 columns and 6 rows", lambda v: [decentred(v[0], 6), v[1]]),
        *((name, ("view2",), "view2 seems to be", lambda v, turn=turn: [v[0], turned(v[1], turn)])
          for name, turn in WRONG.items()),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(cause_of, views, cause, about, words, change):
    """Which of two views is off no image shows."""
    found = cause_of(change(views))
    assert (found.cause, found.views) == (cause, about) and words in found.reason
    if cause == "distance":
        assert percent(found) == pytest.approx(5.7, abs=1)
    assert cause == "principal point" or error_mm(found.world_from_ct) < 3


def by_marker(view):
    """As known as the beads of a marker make it."""
    known = {"rotation_sd_deg": 0.03, "translation_sd_mm": 0.3, "principal_point_sd_px": 0.3}
    return replace(view, marker="patient", **known)


@pytest.mark.slow
def test_a_marker_that_moved_against_the_patient_is_named(registered, views):
    moved = registered.of([by_marker(views[0]), by_marker(camera_off(views[1]))])
    told = find_cause(moved.judged(), CauseSearch(*moved))
    assert told.verdict != "accept" and told.cause.cause == "motion"
    words = "The marker seems to have moved between view2 and view1 against the patient: with the"
    assert told.reasons[0].startswith(words)


@pytest.mark.slow
def test_the_names_of_views_stand_in_sentences_as_they_are(registered, views):
    """Braces ended in a KeyError, and the registration was lost."""
    named = [replace(decentred(views[0], 6), name="a {x}"), replace(views[1], name="{found} {0}")]
    search = CauseSearch(*registered.of(named))
    words = "of a {x} or {found} {0} seems to be wrong: with that of {found} {0} moved by"
    assert any(words in cause.reason for cause in search.causes())


@pytest.mark.slow
@pytest.mark.parametrize(
    "given, words",
    [
        ((-40, 10), "LAO and RAO exchanged"),
        ((10, 40), "its two angles exchanged"),
    ],
)
def test_an_angle_with_the_wrong_sign_is_named(ct, cause_of, given, words):
    true, wrong = make_views(ct, ((0, 0), (40, 10))), make_views(ct, ((0, 0), given))
    found = cause_of([true[0], replace(true[1], camera=wrong[1].camera)])
    assert (found.cause, found.views) == ("angle sign", ("view2",)) and words in found.reason
    assert error_mm(found.world_from_ct) < 3


def percent(cause):
    return float(cause.sentence.split(": ")[1].split(" %")[0])


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
    assert cause.cause == "part" and "towards the feet" in cause.sentence
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
    assert (last.cause == "short" and last.holds and "too short" in last.sentence) == short


def test_a_sound_case_has_no_cause(registered):
    heard = list(CauseSearch(*registered).causes())
    assert not [each for each in heard if each.holds]
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


def test_of_one_view_at_fault_the_disagreement_tells_how_far_off_the_pose_is(registered, views):
    """It is of the finest resolution, with that view's place free; a cause is of the second."""
    wrong = registered.of([views[0], misplaced(views[1], [1.5, 1, -1.5], [2, -1.5, 2])])
    told = wrong.judged()
    assert told.features.one_view_disagrees
    for kind, by_disagreement in (("motion", True), ("principal point", True), ("distance", False)):
        cause = Cause(kind, ("view2",), "Something is wrong.", 1.1, (0.9, 0.9), wrong.start)
        search = CauseSearch(*wrong)
        search.cause = lambda cause=cause, **_: cause
        caused = find_cause(told, search)
        assert caused.cause.by_disagreement is by_disagreement, kind
        assert (caused.cause.moved_mm == told.features.disagreement_mm) is by_disagreement
        assert (caused.prediction == told.prediction) is by_disagreement


@pytest.fixture(scope="module")
def mirrored(registered, views):
    """The registration of views of which the second is mirrored, and what is said of it."""
    wrong = registered.of([views[0], turned(views[1], np.fliplr)])
    return wrong, wrong.judged()


def test_it_is_the_first_reason_and_tells_how_far_off_the_pose_is(mirrored):
    wrong, told = mirrored
    assert told.verdict != "accept" and told.cause is None
    more = find_cause(told, CauseSearch(*wrong))
    first, second, *others = more.reasons
    assert first.startswith("Left and right of view2 seem to be exchanged: the other way, it fits.")
    assert "Correcting this moves the CT by " in first and second.code == "most-likely-wrong"
    assert others == told.reasons[1:]
    assert more.verdict == "reject" and more.cause.to_json()["cause"] == "mirrored"
    away = mtre(wrong.found.world_from_ct, TRUE_POSE, told.targets)
    assert more.cause.moved_mm == pytest.approx(away, abs=0.5) and away > 2
    assert more.prediction.failure_probability >= 0.9
    assert away < more.prediction.upper95_mm < 1.5 * away + 2
    assert more.splits[0].depth_mm == more.splits[1].in_plane_mm == more.prediction.upper95_mm


@pytest.mark.parametrize("similarity, searched", [((0.9, 0.65), False), ((0.9, 0.64), True)])
def test_it_is_searched_for_where_one_view_fits_much_worse(mirrored, similarity, searched):
    wrong, told = mirrored
    sure = replace(told, prediction=replace(told.prediction, image_failure_probability=0.0))
    fits = replace(wrong.found, fit=replace(wrong.found.fit, similarity=similarity))
    search = Elsewhere(*wrong._replace(found=fits))
    assert (find_cause(sure, search) is not sure) == searched


@pytest.mark.quick_variants("1.2-similarity2-in_place2-asked2")
@pytest.mark.parametrize(
    "tension, similarity, in_place, asked",
    [
        (1.2, (0.6, 0.5), (0.8, 0.5), []),
        (1.6, (0.6, 0.5), (0.8, 0.5), [True]),
        (1.2, (0.6, 0.5), (0.8, 0.4), [False]),
    ],
)
def test_of_another_kind_cameras_are_doubted_where_the_views_disagree(
    registered, told, tension, similarity, in_place, asked
):
    """Most of their tiles are in place, so that no image is; with views that hardly disagree nothing is.

    Where one fits much worse than the other, or most of its tiles better elsewhere, its image may be
    mirrored all the same.
    """
    asked_for: list[bool] = []
    fit = replace(registered.found.fit, similarity=similarity)
    fits = registered._replace(found=replace(registered.found, fit=fit))
    search = CauseSearch(*fits)
    search.cause = lambda *, placed: asked_for.append(placed)
    features = replace(told.features, tension=tension, in_place=np.array(in_place))
    prediction = replace(told.prediction, familiar=False, agree=False)
    other = replace(told, prediction=prediction, features=features)
    assert find_cause(other, search) is other and asked_for == asked


class Elsewhere(CauseSearch):
    """Names a cause that would have the CT some mm from where it was found."""

    kind, mm, gain = "distance", 0.0, 1.5

    def cause(self, **_):
        pose = self.found.world_from_ct.copy()
        pose[0, 3] += self.mm
        return Cause(
            self.kind, (), f"The {self.kind} seems to be wrong.", self.gain, (0.9, 0.9), pose
        )


@pytest.mark.parametrize(
    "kind, mm, gain, verdict, probability",
    [("distance", 5.0, 1.5, "check", "ore than 99 %"), ("mirrored", 5.0, 1.5, "reject", "ore than 99 %"),
     ("mirrored", 0.5, 1.5, "check", "3.9 %"), ("distance", 2.5, 1.0, "check", "")],
)  # fmt: skip
def test_a_cause_predicts_the_error_and_rejects_if_another_pose_clearly_fits_better(
    registered, told, kind, mm, gain, verdict, probability
):
    reasons = ["97 % risk ...", "view1 ..."]
    prediction = replace(
        told.prediction, failure_probability=0.97, image_failure_probability=0.97, upper95_mm=80.0
    )
    doubtful = replace(
        told, position="check", prediction=prediction, reasons=reasons, measured=True
    )
    search = Elsewhere(*registered)
    search.kind, search.mm, search.gain = kind, mm, gain
    more = find_cause(doubtful, search)
    named = f"The {kind} seems to be wrong. Correcting this moves the CT by {mm} mm."
    assert more.reasons[0] == named and more.verdict == verdict
    if gain < SLIGHTLY:  # it fits no better, and tells nothing of the error
        assert more.prediction == prediction and more.reasons[1:] == reasons
    else:
        assert probability in more.reasons[1] and more.reasons[-1] == "view1 ..."
        assert more.prediction.mean_mm == pytest.approx(mm)
        most = 1.25 * mm + 0.75
        assert more.prediction.upper95_mm < (most if more.cause.clear else 2 * most)
        inflation = more.prediction.upper95_mm / told.prediction.upper95_mm
        assert more.error_inflation / told.error_inflation == pytest.approx(inflation)


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
def test_only_unknowns_that_a_case_has_not_are_asked_after(views, change, shared, expected):
    asked = camera_hypotheses(change(views), shared)
    assert [(each.cause, each.about) for each in asked] == expected


def uncertain(view):
    return replace(view, rotation_sd_deg=1.0, translation_sd_mm=3.0)


def sized(view, **said):
    """With pixels of which the size is known, and what is said of its camera."""
    return replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25)), **said)


@pytest.mark.parametrize(
    "cause, about, index, value, words",
    [("distance", (), -6, 0.02 * 800, "2.0 % longer"), ("distance", ("view2",), OWN + 6, -0.03, "3.0 % shorter"),
     ("principal point", None, OWN + 8, 4.0, "moved by 0 columns and 4 rows"),
     ("motion", None, OWN + 3, 3.0, "with the CT 3.0 mm and 0.0 degrees"), ("motion", None, OWN + 3, 1.4, "")],
)  # fmt: skip
def test_camera_correction_is_described_unless_negligible(
    registered, views, cause, about, index, value, words
):
    """The source-to-detector distance is 800 pixels."""
    trials = CauseSearch(*registered._replace(views=[sized(view) for view in views]))
    asked = camera_hypotheses(trials.views)
    each = next(one for one in asked if one.cause == cause and about in (None, one.about))
    corrections = np.zeros(2 * OWN + 6)
    corrections[index] = value
    run = Descent(TRUE_POSE, corrections, trials.found.fit, [])
    told = diagnosis._camera_in_words(trials, each, run)
    assert words in told and bool(words) == bool(told)


@pytest.mark.parametrize(
    "shift_mm, turn_deg, words",
    [
        ((0, 0, 30), 0, "moved by 30 mm towards the head, it fits about as well"),
        ((5, 0, -20), 8, "moved by 21 mm towards the feet"),
        ((30, 0, 0), 0, None),  # beside it, as ribs on one side of another
        ((0, 0, 30), 12, None),
    ],
)
def test_another_level_lies_along_the_body_a_vertebra_away_and_is_not_turned(
    registered, monkeypatch, shift_mm, turn_deg, words
):
    """Shifts are along the CT's own axes."""
    motion = off(np.eye(4), [0, 0, turn_deg], np.array(shift_mm, dtype=float))
    anatomy, _, found, _ = registered
    elsewhere = found.world_from_ct @ rigid.about(anatomy.centroid, motion)
    here = Descent(found.world_from_ct, np.zeros(2 * OWN + 6), found.fit, [])
    there = SimpleNamespace(descend=lambda *_, **__: [replace(here, world_from_ct=elsewhere)])
    monkeypatch.setattr(CauseSearch, "registration", lambda *_: there)
    cause = other_level(CauseSearch(*registered), here)
    if words is None:
        assert cause is None
    else:
        assert cause.cause == "level" and words in cause.sentence


def test_a_view_that_nothing_ties_has_no_say(registered, views):
    untied = [views[0], free(views[1])]
    assert CauseSearch(*registered._replace(views=untied)).tied == untied[:1]


@pytest.mark.parametrize(
    "cause, gain, similarity, holds",
    [("mirrored", 1.2, (0.7, 0.9), True), ("mirrored", 1.19, (0.7, 0.9), False), ("mirrored", 9.0, (0.69, 0.9), False),
     ("distance", 1.05, (0.7, 0.9), True), ("level", 0.84, (0.9, 0.7), False), ("short", 1.0, (0.1, 0.2), True)],
)  # fmt: skip
def test_a_cause_holds_if_the_evidence_grows_and_every_x_ray_resembles_the_ct(
    cause, gain, similarity, holds
):
    found = Cause(cause, (), "", gain, similarity, TRUE_POSE)
    assert found.holds == holds and found.clear == (gain >= 1.2 and min(similarity) >= 0.7)


def test_with_a_cause_nothing_is_accepted_and_the_bound_is_no_less_than_noise(registered, told):
    doubt = 1.5 * calibrated().accept
    likely = replace(told.prediction, failure_probability=doubt, image_failure_probability=doubt)
    search = Elsewhere(*registered)
    search.mm = 0.1
    right = replace(told, prediction=likely, measured=True)
    assert find_cause(right, search).verdict == "check"
    of_images = told.features.uncertainty
    noise = replace(of_images, joint=1e5 * of_images.joint)
    right = replace(right, features=replace(told.features, uncertainty=noise))
    at = noise.at(rigid.transform_points(registered.found.world_from_ct, told.targets))
    prediction = find_cause(right, search).prediction
    assert prediction.upper95_mm == at.bound_mm() > 1 and prediction.mean_mm == at.mean_mm
    one = find_cause(replace(right, splits=right.splits[:1]), search)
    assert one.prediction.failure_probability == depth_risk(at, 1) > prediction.failure_probability


def test_of_one_structure_no_cause_is_searched_for(ct, registered, told):
    doubtful = replace(told, prediction=replace(told.prediction, image_failure_probability=0.9))
    structure = PreparedCT(replace(ct, mask=ct.volume.values > 300))
    of_one = registered._replace(anatomy=structure)
    assert find_cause(doubtful, Elsewhere(*of_one)) is doubtful
    assert find_cause(doubtful, Elsewhere(*registered)).cause is not None


def test_how_far_a_cause_moves_the_targets_is_told_in_the_corrected_ct():
    """A CT that is mirrored about x = 5.

    Its corrected targets at the same pose lie where they are mirrored to.
    """
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = 10.0
    cause = Cause("mirrored ct", (), "", 2.0, (0.9,), TRUE_POSE, corrected_from_ct=mirror)
    targets = np.array([[5.0, 30.0, -7.0], [8.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    assert cause.target_shift_mm(TRUE_POSE, targets) == pytest.approx((0 + 6 + 10) / 3)


def test_a_distance_that_is_off_may_as_well_be_the_cts_size():
    """The pose is as it was: a CT that is 2 % larger has its targets, 50 mm from their middle, 1 mm elsewhere."""
    targets = 50.0 * np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]) + 7.0
    cause = Cause("distance", (), "", 2.0, (0.9,), TRUE_POSE, size_share=-0.02)
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


def test_a_turn_by_90_degrees_is_asked_after_only_where_the_image_is_square(views):
    tall = [replace(view.cropped(0, 0, 96, 128), name=view.name) for view in views]
    named = {cause for cause, row in FAULTS.items() if row.of_image and any(row.supposed(tall))}
    assert named == {"mirrored", "upside down", "turned 180", "inverted", "swapped"}
