"""The likely cause: named where exactly this is wrong, and none where nothing is, or nothing explains it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_views, off
from scipy import ndimage

from MultiViewRegistrationLib.assessment import diagnosis, verdict
from MultiViewRegistrationLib.assessment.diagnosis import Cause, OutOfTime, candidate_causes, diagnose
from MultiViewRegistrationLib.assessment.hypotheses import TURNS, hypotheses
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.verdict import DIAGNOSIS_STOPPED, assess, find_cause
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.imaging.ct import CT
from MultiViewRegistrationLib.imaging.view import View
from MultiViewRegistrationLib.imaging.volume import Volume
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.pipeline import Refinement, refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

NEAR = off(TRUE_POSE, [2.0, -3.0, 1.0], [4.0, 2.0, -5.0])
#: How an image was turned, by what has to be named.
WRONG = {
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "turned 180": lambda image: np.rot90(image, 2),
    "turned 90": lambda image: np.rot90(image, 3),
    "turned 270": np.rot90,
}


def turned(view: View, turn) -> View:
    image, valid = (np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm))


def camera_off(view: View, rotation_deg, shift_mm) -> View:
    wrong = view.camera.camera_from_world @ off(np.eye(4), rotation_deg, shift_mm)
    return replace(view, camera=replace(view.camera, camera_from_world=wrong))


def scaled(view: View, scale: float) -> View:
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[:2, :2] *= scale
    return replace(view, camera=replace(view.camera, intrinsics=intrinsics))


def cause_of(anatomy, views):
    return diagnose(anatomy, views, refine(anatomy, views, NEAR), NEAR)


@pytest.mark.parametrize(
    "cause", [cause if cause == "mirrored" else pytest.param(cause, marks=pytest.mark.slow) for cause in TURNS]
)
def test_an_image_that_was_turned_is_named(anatomy, views, cause):
    found = cause_of(anatomy, [views[0], turned(views[1], WRONG[cause])])
    assert (found.cause, found.views) == (cause, ("view2",))
    assert found.sentence.startswith("view2 seems to be ") and TURNS[cause][0] in found.sentence
    assert error_mm(found.world_from_ct) < 2


@pytest.mark.slow
def test_images_that_are_all_mirrored_are_named(anatomy, views):
    found = cause_of(anatomy, [turned(view, np.fliplr) for view in views])
    assert (found.cause, found.views) == ("mirrored", ()) and found.sentence.startswith(
        "All X-rays seem to be mirrored left to right"
    )


@pytest.mark.parametrize("which", (0, pytest.param(1, marks=pytest.mark.slow)))
def test_an_inverted_image_is_named(anatomy, views, which):
    image = views[which].xray.line_integrals
    wrong = list(views)
    wrong[which] = replace(views[which], xray=replace(views[which].xray, line_integrals=image.max() - image))
    found = cause_of(anatomy, wrong)
    assert (found.cause, found.views) == ("inverted", (views[which].name,))


def test_images_that_were_exchanged_are_named(anatomy, views):
    found = cause_of(anatomy, [replace(views[0], xray=views[1].xray), replace(views[1], xray=views[0].xray)])
    assert (found.cause, found.views) == ("swapped", ("view1", "view2"))


@pytest.mark.parametrize("scale", (0.93, 1.06))
def test_a_wrong_distance_is_named_with_its_size(anatomy, views, scale):
    found = cause_of(anatomy, [scaled(view, scale) for view in views])
    assert found.cause == "distance"
    share = float(found.sentence.split(": ")[1].split(" %")[0]) * (1 if "longer" in found.sentence else -1) / 100
    assert share == pytest.approx(1 / scale - 1, abs=0.01)


def test_a_wrong_angle_of_one_of_two_views_is_named(anatomy, views):
    found = cause_of(anatomy, [views[0], camera_off(views[1], [3, 2, -3], [0, 3, 4])])
    assert (found.cause, found.views) == ("angle", ("view1", "view2"))
    assert "against view1" in found.sentence


@pytest.mark.slow
@pytest.mark.parametrize("which", (0, 2))
def test_of_three_views_the_one_that_is_off_is_named(ct, anatomy, which):
    views = make_views(ct, ((0, 0), (90, 0), (45, 20)))
    views[which] = camera_off(views[which], [3, 2, -3], [0, 3, 4])
    found = cause_of(anatomy, views)
    assert (found.cause, found.views) == ("angle", (views[which].name,))


@pytest.fixture(scope="module")
def long_ct():
    """A column of 320 mm with blobs of bone, a part of which is as wide as a view's field."""
    random = np.random.default_rng(6)
    k, j, i = np.indices((160, 48, 48)) - np.array([79.5, 23.5, 23.5])[:, None, None, None]
    hu = np.where(j**2 + i**2 < 20**2, 0.0, -1000.0)
    blobs = ndimage.gaussian_filter(random.normal(size=hu.shape), 3.0)
    hu[(blobs > 1.2 * blobs.std()) & (j**2 + i**2 < 18**2)] = 900.0
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-47.0, -47.0, -159.0]
    return CT(Volume(ndimage.gaussian_filter(hu, 0.7).astype(np.float32), affine))


@pytest.mark.slow
def test_another_part_of_the_ct_than_the_start_says_is_named(long_ct):
    anatomy, views = PreparedCT(long_ct), make_views(long_ct)
    start = off(TRUE_POSE, [1, -1, 2], [2, 3, 95])
    found = refine(anatomy, views, start)
    assert error_mm(found.world_from_ct) > 20
    cause = diagnose(anatomy, views, found, start)
    assert cause.cause == "part" and "towards the feet" in cause.sentence and error_mm(cause.world_from_ct) < 3


@pytest.mark.slow
def test_a_ct_that_is_too_short_for_the_field_is_named(long_ct):
    """A slab of it, and X-rays of the whole."""
    views = make_views(long_ct)
    origin = long_ct.volume.ct_from_index.copy()
    origin[:3, 3] += [0, 0, 2.0 * 72]
    slab = PreparedCT(CT(Volume(np.ascontiguousarray(long_ct.volume.values[72:90]), origin)))
    found = refine(slab, views, TRUE_POSE)
    heard = list(candidate_causes(slab, views, found, TRUE_POSE))
    assert heard[-1].cause == "short" and heard[-1].holds and "too short" in heard[-1].sentence
    whole = PreparedCT(long_ct)
    assert "short" not in [
        each.cause for each in candidate_causes(whole, views, refine(whole, views, TRUE_POSE), TRUE_POSE)
    ]


def test_a_sound_case_has_no_cause(anatomy, views):
    heard = list(candidate_causes(anatomy, views, refine(anatomy, views, NEAR), NEAR))
    assert [each.cause for each in heard if each.holds] == []
    assert "mirrored" not in [each.cause for each in heard]  # as the images look like the CT, nobody asks


def test_a_sound_case_that_was_registered_wrongly_blames_no_image(anatomy, views):
    beside = off(TRUE_POSE, [5, -4, 6], [8, 5, -6])
    cause = diagnose(
        anatomy, views, Refinement(beside, anatomy.fit(views, beside, beside), [], views, np.zeros(6)), beside
    )
    assert cause is None or cause.cause == "level"


@pytest.mark.slow
def test_another_patient_is_explained_by_nothing(ct, views):
    random = np.random.default_rng(11)
    blobs = ndimage.gaussian_filter(random.normal(size=ct.volume.values.shape), 2.0)
    ball = np.where(ct.volume.values > -500, 0.0, -1000.0)
    ball[(blobs > 1.2 * blobs.std()) & (ct.volume.values > -100)] = 900.0
    other = PreparedCT(
        replace(ct, volume=replace(ct.volume, values=ndimage.gaussian_filter(ball, 0.7).astype(np.float32)))
    )
    assert cause_of(other, views) is None


def test_it_is_the_first_reason_and_only_looked_for_where_an_error_is_likely(anatomy, views):
    wrong = [views[0], turned(views[1], np.fliplr)]
    found = refine(anatomy, wrong, NEAR)
    told = assess(anatomy, wrong, found, NEAR)
    assert told.verdict != "accept" and told.cause is None
    more = find_cause(told, anatomy, wrong, found, NEAR)
    first, second, *others = more.reasons
    assert first.startswith(
        "view2 seems to be mirrored left to right: turned back, it fits. Check how it was loaded. Correcting this moves the CT by "
    )
    assert second.startswith("Most likely wrong") and others == told.reasons[1:]
    assert more.verdict == "reject" and more.cause.to_json()["cause"] == "mirrored"
    away = mtre(found.world_from_ct, TRUE_POSE, told.targets)
    assert more.cause.moved_mm == pytest.approx(away, abs=0.5) and away > 2
    assert more.prediction.failure_probability >= 0.9 and away < more.prediction.upper95_mm < 1.5 * away + 2
    assert more.splits[0].depth_mm == more.splits[1].in_plane_mm == more.prediction.upper95_mm
    sure = replace(told, prediction=replace(told.prediction, failure_probability=0.0))
    assert find_cause(sure, anatomy, wrong, found, NEAR) is sure


@pytest.mark.parametrize(
    "mm, verdict_on, probability", [(5.0, "reject", "more than 99 %"), (2.1, "reject", "59 %"), (0.5, "check", "3.9 %")]
)
def test_as_far_as_a_cause_would_move_the_ct_so_far_off_it_is(anatomy, views, monkeypatch, mm, verdict_on, probability):
    found = refine(anatomy, views, NEAR)
    doubtful = rejected(assess(anatomy, views, found, NEAR))
    monkeypatch.setattr(verdict, "diagnose", lambda *asked: elsewhere_by(found, mm, gain=1.5))
    more = find_cause(doubtful, anatomy, views, found, NEAR)
    first, second, *others = more.reasons
    assert first == f"The distance seems to be wrong. Correcting this moves the CT by {mm} mm."
    assert probability in second and others == ["view1 ..."]
    assert second.startswith("Most likely wrong") == (verdict_on == "reject") and more.verdict == verdict_on
    assert more.prediction.mean_mm == pytest.approx(mm) and mm + 0.5 < more.prediction.upper95_mm < 1.25 * mm + 0.75
    assert more.error_inflation / doubtful.error_inflation == pytest.approx(
        more.prediction.upper95_mm / doubtful.prediction.upper95_mm
    )


def test_a_right_answer_with_a_cause_is_to_be_checked_never_accepted(anatomy, views, monkeypatch):
    found = refine(anatomy, views, NEAR)
    told = assess(anatomy, views, found, NEAR)
    monkeypatch.setattr(verdict, "diagnose", lambda *asked: elsewhere_by(found, 0.1, gain=1.5))
    doubtful = replace(
        told, verdict="check", prediction=replace(told.prediction, failure_probability=0.021), measured=True
    )
    more = find_cause(doubtful, anatomy, views, found, NEAR)
    assert more.prediction.failure_probability < 0.01 and more.verdict == "check"


def test_a_cause_that_fits_no_better_tells_nothing_of_the_error(anatomy, views, monkeypatch):
    found = refine(anatomy, views, NEAR)
    doubtful = rejected(assess(anatomy, views, found, NEAR))
    monkeypatch.setattr(verdict, "diagnose", lambda *asked: elsewhere_by(found, 2.5, gain=1.0))
    more = find_cause(doubtful, anatomy, views, found, NEAR)
    assert more.verdict == "reject" and more.prediction == doubtful.prediction and more.reasons[1:] == doubtful.reasons


def rejected(told):
    """As if it were most likely wrong."""
    prediction = replace(told.prediction, failure_probability=0.97, upper95_mm=80.0)
    return replace(told, verdict="reject", prediction=prediction, reasons=["Most likely wrong ...", "view1 ..."])


def elsewhere_by(found, mm, gain):
    """A cause that would have the CT so far from where it was found."""
    pose = found.world_from_ct.copy()
    pose[0, 3] += mm
    return Cause("distance", (), "The distance seems to be wrong.", gain, (0.9, 0.9), pose)


def test_it_ends_when_its_time_is_up_and_can_be_asked_for_later(anatomy, views):
    wrong = [views[0], turned(views[1], np.fliplr)]
    found = refine(anatomy, wrong, NEAR)
    told = assess(anatomy, wrong, found, NEAR)
    soon = find_cause(told, anatomy, wrong, found, NEAR, seconds=0.0)
    assert soon.diagnosis_incomplete and soon.cause is None and soon.reasons == [*told.reasons, DIAGNOSIS_STOPPED]
    later = find_cause(soon, anatomy, wrong, found, NEAR)
    assert not later.diagnosis_incomplete and later.cause.cause == "mirrored" and DIAGNOSIS_STOPPED not in later.reasons


def test_what_may_take_longer_than_is_left_is_not_begun(anatomy, views, monkeypatch):
    """By a clock that goes on by one at each look."""
    found = refine(anatomy, views, NEAR)
    ends = []
    for seconds in (4.0, 9.0):
        clock = count()
        monkeypatch.setattr(diagnosis, "perf_counter", lambda clock=clock: float(next(clock)))
        with pytest.raises(OutOfTime):
            list(candidate_causes(anatomy, views, found, NEAR, seconds=seconds))
        ends.append(next(clock))
    assert ends[0] <= 5 < ends[1] <= 10


def test_it_can_be_cancelled(anatomy, views):
    found = refine(anatomy, views, NEAR)
    with pytest.raises(Cancelled):
        diagnose(anatomy, views, found, NEAR, progress=lambda told: False)


def test_a_turn_by_90_degrees_is_asked_after_only_where_the_image_is_square(views):
    tall = [replace(view.cropped(0, 0, 96, 128), name=view.name) for view in views]
    assert {each.cause for each in hypotheses(tall)} == {"mirrored", "upside down", "turned 180", "inverted", "swapped"}


@pytest.mark.slow
@pytest.mark.parametrize("cause", ("mirrored", "turned 180"))
def test_it_is_named_on_another_simulators_x_rays(shared_data, cause):
    case = Case.load(shared_data / "sim" / "pelvis-lateral" / "case.json")
    anatomy, views = PreparedCT(case.ct), list(case.views)
    start = off(case.truth_world_from_ct, [1, 1, -1], [3, -4, 5])
    wrong = [views[0], turned(views[1], WRONG[cause])]
    found = diagnose(anatomy, wrong, refine(anatomy, wrong, start), start)
    assert (found.cause, found.views) == (cause, (views[1].name,))
    assert diagnose(anatomy, views, refine(anatomy, views, start), start) is None
