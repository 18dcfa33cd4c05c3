"""The likely cause: named where exactly this is wrong, and none where nothing is, or nothing explains it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off
from scipy import ndimage

from MultiViewRegistrationLib.assessment import diagnosis
from MultiViewRegistrationLib.assessment.diagnosis import TURNS, Cause, CauseSearch, image_hypotheses
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.verdict import assess, find_cause
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.xray import View, XRay
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

#: How an image was turned, by what has to be named.
WRONG = {
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "turned 180": lambda image: np.rot90(image, 2),
    "turned 90": lambda image: np.rot90(image, 3),
    "turned 270": np.rot90,
}
SLOW = pytest.mark.slow


def turned(view: View, turn) -> View:
    image, valid = (np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm))


def camera_off(view: View) -> View:
    wrong = view.camera.camera_from_world @ off(np.eye(4), [3, 2, -3], [0, 3, 4])
    return replace(view, camera=replace(view.camera, camera_from_world=wrong))


def scaled(view: View, scale: float) -> View:
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[:2, :2] *= scale
    return replace(view, camera=replace(view.camera, intrinsics=intrinsics))


def decentred(view: View, rows: float) -> View:
    """With a principal point that is off along the axis that both views show."""
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[1, 2] += rows
    return replace(view, camera=replace(view.camera, intrinsics=intrinsics))


def inverted(view: View) -> View:
    image = view.xray.line_integrals
    return replace(view, xray=replace(view.xray, line_integrals=image.max() - image))


def swapped(views: list[View]) -> list[View]:
    return [replace(views[0], xray=views[1].xray), replace(views[1], xray=views[0].xray)]


def cause_of(anatomy, views, start) -> Cause | None:
    return CauseSearch(anatomy, views, refine(anatomy, views, start), start).cause()


@pytest.mark.parametrize(
    "cause, about, words, change",
    [
        pytest.param(cause, ("view2",), f"view2 seems to be {TURNS[cause][0]}", lambda v, t=t: [v[0], turned(v[1], t)],
                     marks=SLOW)
        for cause, t in WRONG.items()
    ] + [
        pytest.param("mirrored", (), "All X-rays seem to be mirrored", lambda v: [turned(x, np.fliplr) for x in v], marks=SLOW),
        pytest.param("inverted", ("view1",), "grey scale of view1", lambda v: [inverted(v[0]), v[1]], marks=SLOW),
        pytest.param("swapped", ("view1", "view2"), "exchanged", swapped, marks=SLOW),
        pytest.param("motion", ("view1", "view2"), "between view2 and view1", lambda v: [v[0], camera_off(v[1])]),
        # Of cameras that are known well it is the CT's scale, which looks the same as the distance.
        pytest.param("ct scale", (), "7.7 % larger", lambda v: [scaled(x, 0.93) for x in v]),
        pytest.param("ct scale", (), "5.5 % smaller", lambda v: [scaled(x, 1.06) for x in v], marks=SLOW),
        pytest.param("distance", ("view2",), "5.7 % shorter", lambda v: [v[0], scaled(v[1], 1.06)], marks=SLOW),
        pytest.param("principal point", ("view1", "view2"), "1 columns and 6 rows", lambda v: [decentred(v[0], 6), v[1]]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(anatomy, views, near, cause, about, words, change):
    found = cause_of(anatomy, change(views), near)
    assert (found.cause, found.views) == (cause, about)
    if cause == "distance":
        told, expected = (float(text.split(": ")[-1].split(" %")[0]) for text in (found.sentence, words))
        assert told == pytest.approx(expected, abs=1) and words.split()[-1] in found.sentence
    else:
        assert words in found.sentence
        assert (
            cause == "principal point" or error_mm(found.world_from_ct) < 3
        )  # which of two views is off no image shows


@pytest.mark.parametrize(
    "given, words",
    [
        ((-40, 10), "LAO and RAO exchanged"),
        pytest.param((40, -10), "cranial and caudal exchanged", marks=SLOW),
        pytest.param((-40, -10), "both angles the wrong way round", marks=SLOW),
        pytest.param((10, 40), "its two angles exchanged", marks=SLOW),
    ],
)
def test_an_angle_with_the_wrong_sign_is_named(ct, anatomy, near, given, words):
    true, wrong = make_views(ct, ((0, 0), (40, 10))), make_views(ct, ((0, 0), given))
    views = [true[0], replace(true[1], camera=wrong[1].camera)]
    found = cause_of(anatomy, views, near)
    assert (found.cause, found.views) == ("angle sign", ("view2",)) and words in found.sentence
    assert error_mm(found.world_from_ct) < 3


def changed(ct: CT, change: np.ndarray) -> CT:
    """The CT with other voxels about its middle, by an affine change (3, 3) of CT mm."""
    affine = np.eye(4)
    affine[:3, :3] = change
    return replace(ct, volume=Volume(ct.volume.values, affine @ ct.volume.ct_from_index))


@pytest.mark.parametrize(
    "cause, change",
    [
        ("mirrored ct", np.diag([-1.0, 1, 1])),
        ("slice spacing", np.diag([1, 1, 1 / 1.03])),
        pytest.param("ct scale", np.eye(3) / 1.025, marks=SLOW),
    ],
)
def test_a_ct_that_is_not_the_patients_is_named(ct, views, near, cause, change):
    wrong = PreparedCT(changed(ct, change))
    found = cause_of(wrong, views, near)
    assert found.cause == cause
    bone = wrong.bone_points()
    truth = TRUE_POSE[:3, :3] @ np.linalg.inv(change) @ bone.T + TRUE_POSE[:3, 3:]
    there = rigid.transform_points(found.world_from_ct @ found.corrected_from_ct, bone)
    assert np.linalg.norm(there - truth.T, axis=1).mean() < 1.0
    if cause == "slice spacing":
        share = float(found.sentence.split(": ")[1].split(" %")[0])
        assert share == pytest.approx(3.0, abs=0.7) and "larger" in found.sentence


@SLOW
@pytest.mark.parametrize("which", (0, 2))
def test_of_three_views_the_one_that_is_off_is_named(ct, anatomy, near, which):
    views = make_views(ct, ((0, 0), (90, 0), (45, 20)))
    views[which] = camera_off(views[which])
    found = cause_of(anatomy, views, near)
    assert (found.cause, found.views) == ("motion", (views[which].name,))


@SLOW
def test_another_part_of_the_ct_and_a_ct_too_short_are_named():
    """Of a column of 320 mm with blobs of bone, a part of which is as wide as a view's field."""
    k, j, i = np.indices((160, 48, 48)) - np.array([79.5, 23.5, 23.5])[:, None, None, None]
    hu = np.where(j**2 + i**2 < 20**2, 0.0, -1000.0)
    blobs = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=hu.shape), 3.0)
    hu[(blobs > 1.2 * blobs.std()) & (j**2 + i**2 < 18**2)] = 900.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-47.0, -47.0, -159.0]
    values = ndimage.gaussian_filter(hu, 0.7).astype(np.float32)
    column = CT(Volume(values, affine))
    whole, views, start = PreparedCT(column), make_views(column), off(TRUE_POSE, [1, -1, 2], [2, 3, 95])
    cause = cause_of(whole, views, start)
    assert cause.cause == "part" and "towards the feet" in cause.sentence and error_mm(cause.world_from_ct) < 3
    origin = affine.copy()
    origin[:3, 3] += [0, 0, 2.0 * 72]
    slab = PreparedCT(CT(Volume(np.ascontiguousarray(values[72:90]), origin)))
    for anatomy, short in ((slab, True), (whole, False)):
        *_, last = CauseSearch(anatomy, views, refine(anatomy, views, TRUE_POSE), TRUE_POSE).causes()
        assert (last.cause == "short" and last.holds and "too short" in last.sentence) == short


def test_a_sound_case_has_no_cause(anatomy, views, found, near, unrefined):
    heard = list(CauseSearch(anatomy, views, found, near).causes())
    assert not [each for each in heard if each.holds]
    assert "mirrored" not in [each.cause for each in heard]  # as the images look like the CT, nobody asks
    beside = off(TRUE_POSE, [5, -4, 6], [8, 5, -6])
    cause = CauseSearch(anatomy, views, unrefined(anatomy, views, beside), beside).cause()
    assert cause is None or cause.cause == "level"  # no image is blamed


@SLOW
def test_another_patient_is_explained_by_nothing(ct, views, near):
    blobs = ndimage.gaussian_filter(np.random.default_rng(11).normal(size=ct.volume.values.shape), 2.0)
    ball = np.where(ct.volume.values > -500, 0.0, -1000.0)
    ball[(blobs > 1.2 * blobs.std()) & (ct.volume.values > -100)] = 900.0
    values = ndimage.gaussian_filter(ball, 0.7).astype(np.float32)
    assert cause_of(PreparedCT(replace(ct, volume=replace(ct.volume, values=values))), views, near) is None


def test_it_is_the_first_reason_and_only_searched_for_where_an_error_is_likely(anatomy, views, near):
    wrong = [views[0], turned(views[1], np.fliplr)]
    found = refine(anatomy, wrong, near)
    told = assess(anatomy, wrong, found, near)
    assert told.verdict != "accept" and told.cause is None
    more = find_cause(told, CauseSearch(anatomy, wrong, found, near))
    first, second, *others = more.reasons
    sentence = "view2 seems to be mirrored left to right: turned back, it fits. Check how it was loaded."
    assert first.startswith(f"{sentence} Correcting this moves the CT by ")
    assert second.startswith("Most likely wrong") and others == told.reasons[1:]
    assert more.verdict == "reject" and more.cause.to_json()["cause"] == "mirrored"
    away = mtre(found.world_from_ct, TRUE_POSE, told.targets)
    assert more.cause.moved_mm == pytest.approx(away, abs=0.5) and away > 2
    assert more.prediction.failure_probability >= 0.9 and away < more.prediction.upper95_mm < 1.5 * away + 2
    assert more.splits[0].depth_mm == more.splits[1].in_plane_mm == more.prediction.upper95_mm
    sure = replace(told, prediction=replace(told.prediction, image_failure_probability=0.0))
    assert find_cause(sure, CauseSearch(anatomy, wrong, found, near)) is sure


class Elsewhere(CauseSearch):
    """Names a cause that would have the CT some mm from where it was found."""

    mm, gain = 0.0, 1.5

    def cause(self):
        pose = self.found.world_from_ct.copy()
        pose[0, 3] += self.mm
        return Cause("distance", (), "The distance seems to be wrong.", self.gain, (0.9, 0.9), pose)


@pytest.mark.parametrize(
    "mm, gain, verdict, probability",
    [(5.0, 1.5, "reject", "more than 99 %"), (2.1, 1.5, "reject", "59 %"), (0.5, 1.5, "check", "3.9 %"),
     (2.5, 1.0, "reject", ""), (0.1, 1.5, "check", ""), (2.1, 1.1, "reject", "6"), (1.0, 1.1, "check", "2")],
)  # fmt: skip
def test_as_far_as_a_cause_would_move_the_ct_so_far_off_it_is(
    anatomy, views, found, near, mm, gain, verdict, probability
):
    told = assess(anatomy, views, found, near)
    prediction = replace(told.prediction, failure_probability=0.97, image_failure_probability=0.97, upper95_mm=80.0)
    reasons = ["Most likely wrong ...", "view1 ..."]
    doubtful = replace(told, verdict="reject", prediction=prediction, reasons=reasons, measured=True)
    search = Elsewhere(anatomy, views, found, near)
    search.mm, search.gain = mm, gain
    more = find_cause(doubtful, search)
    assert more.reasons[0] == f"The distance seems to be wrong. Correcting this moves the CT by {mm} mm."
    assert more.verdict == verdict
    if gain < diagnosis.SLIGHTLY:  # it fits no better, and tells nothing of the error
        assert more.prediction == prediction and more.reasons[1:] == reasons
        return
    assert probability in more.reasons[1] and more.reasons[-1] == "view1 ..."
    assert more.prediction.mean_mm == pytest.approx(mm) and more.prediction.upper95_mm < (1.25 * mm + 0.75) * (
        1 if more.cause.clear else 2
    )
    inflation = more.error_inflation / doubtful.error_inflation
    assert inflation == pytest.approx(more.prediction.upper95_mm / prediction.upper95_mm)


def test_it_can_be_cancelled(anatomy, views, found, near):
    with pytest.raises(Cancelled):
        CauseSearch(anatomy, views, found, near, progress=lambda told: False).cause()


def test_a_turn_by_90_degrees_is_asked_after_only_where_the_image_is_square(views):
    tall = [replace(view.cropped(0, 0, 96, 128), name=view.name) for view in views]
    named = {each.cause for each in image_hypotheses(tall)}
    assert named == {"mirrored", "upside down", "turned 180", "inverted", "swapped"}


@SLOW
def test_it_is_named_on_another_simulators_x_rays(shared_data):
    case = Case.load(shared_data / "sim" / "pelvis-lateral" / "case.json")
    anatomy, start = PreparedCT(case.ct), off(case.truth_world_from_ct, [1, 1, -1], [3, -4, 5])
    for cause in ("mirrored", "turned 180"):
        found = cause_of(anatomy, [case.views[0], turned(case.views[1], WRONG[cause])], start)
        assert (found.cause, found.views) == (cause, (case.views[1].name,))
    assert cause_of(anatomy, case.views, start) is None
