"""The likely cause: named where exactly this is wrong, and none where nothing is, or nothing explains it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from phantom import TRUE_POSE, error_mm, make_slot_scan, make_views, off
from scipy import ndimage

from MultiViewRegistrationLib.assessment import camera_causes
from MultiViewRegistrationLib.assessment.cause import SLIGHTLY, Cause
from MultiViewRegistrationLib.assessment.diagnosis import CauseSearch
from MultiViewRegistrationLib.assessment.hypotheses import (
    TURNS,
    camera_hypotheses,
    image_hypotheses,
    mirrored_ct,
)
from MultiViewRegistrationLib.assessment.level_causes import other_level
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.prediction import calibrated
from MultiViewRegistrationLib.assessment.trials import Trials
from MultiViewRegistrationLib.assessment.verdict import assess, depth_risk, find_cause
from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns, View, XRay
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.cameras import CALIBRATED, OWN, CameraCorrections
from MultiViewRegistrationLib.registration.optimizer import Descent
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
    image, valid = (
        np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid)
    )
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
        pytest.param(cause, ("view2",), f"view2 seems to be {TURNS[cause][0]}" if cause != "mirrored" else "Left and right of view2 seem",
                     lambda v, t=t: [v[0], turned(v[1], t)], marks=SLOW)
        for cause, t in WRONG.items()
    ] + [
        pytest.param("mirrored", (), "Left and right of all X-rays seem", lambda v: [turned(x, np.fliplr) for x in v], marks=SLOW),
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
        told, expected = (
            float(text.split(": ")[-1].split(" %")[0]) for text in (found.sentence, words)
        )
        assert told == pytest.approx(expected, abs=1) and words.split()[-1] in found.sentence
    else:
        assert words in found.sentence
        assert (
            cause == "principal point" or error_mm(found.world_from_ct) < 3
        )  # which of two views is off no image shows


def by_marker(view: View) -> View:
    """As known as the beads of a marker make it."""
    known = {"rotation_sd_deg": 0.03, "translation_sd_mm": 0.3, "principal_point_sd_px": 0.3}
    return replace(view, marker="patient", **known)


def test_a_marker_that_moved_against_the_patient_is_named(anatomy, views, near):
    marked = [by_marker(views[0]), by_marker(camera_off(views[1]))]
    found = refine(anatomy, marked, near)
    assessed = assess(anatomy, marked, found, near)
    told = find_cause(assessed, CauseSearch(anatomy, marked, found, near))
    assert told.verdict != "accept" and told.cause.cause == "motion"
    words = "The marker seems to have moved between view2 and view1 against the patient: with the"
    assert told.reasons[0].startswith(words)


def test_only_a_motion_is_asked_after_where_markers_show_the_cameras(views):
    marked = [by_marker(view) for view in views]
    assert [each.cause for each in camera_hypotheses(marked)] == ["motion"]


def test_the_names_of_views_stand_in_sentences_as_they_are(anatomy, views, near):
    """Braces ended in a KeyError, and the registration was lost."""
    names = ["a {x}", "%s {found} {0}"]
    named = [
        replace(view, name=name)
        for view, name in zip([decentred(views[0], 6), views[1]], names, strict=True)
    ]
    search = CauseSearch(anatomy, named, refine(anatomy, named, near), near)
    sentences = [cause.sentence for cause in search.causes()]
    assert any(
        f"of {names[0]} or {names[1]} seems to be wrong: with that of {names[1]} moved by" in each
        for each in sentences
    )
    assert all(each.endswith(".") and "  " not in each for each in sentences)
    for each in [*image_hypotheses(named), *camera_hypotheses(named)]:
        assert all(name in each.sentence for name in each.about)


@SLOW
@pytest.mark.parametrize(
    "given, words",
    [
        ((-40, 10), "LAO and RAO exchanged"),
        ((40, -10), "cranial and caudal exchanged"),
        ((-40, -10), "both angles the wrong way round"),
        ((10, 40), "its two angles exchanged"),
    ],
)
def test_an_angle_with_the_wrong_sign_is_named(ct, anatomy, near, given, words):
    true, wrong = make_views(ct, ((0, 0), (40, 10))), make_views(ct, ((0, 0), given))
    views = [true[0], replace(true[1], camera=wrong[1].camera)]
    found = cause_of(anatomy, views, near)
    assert (found.cause, found.views) == ("angle sign", ("view2",)) and words in found.sentence
    assert error_mm(found.world_from_ct) < 3


def by_opposite_tube(view: View) -> View:
    """A slot scan that is said to have been taken from the other side."""
    return replace(view, camera=view.camera.from_other_side(550))


@pytest.mark.parametrize(
    "cause, about, words, change",
    [
        ("tube side", ("slot90",), "The tube of slot90 seems to have been on the other side", lambda v: [v[0], by_opposite_tube(v[1])]),
        pytest.param("tube side", (), "The tubes of all X-rays", lambda v: [by_opposite_tube(x) for x in v], marks=SLOW),
        pytest.param("distance", ("slot90",), "The distance from source to isocentre of slot90 seems to be wrong: 5",
                     lambda v: [v[0], replace(v[1], camera=v[1].camera.corrected(1.06, np.zeros(2)))], marks=SLOW),
        pytest.param("principal point", ("slot0", "slot90"), "The fan's centre or first row of slot0 or slot90",
                     lambda v: [v[0], replace(v[1], camera=v[1].camera.corrected(1, np.array([0, 6.0])))], marks=SLOW),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_slot_scan_is_named(ct, anatomy, near, cause, about, words, change):
    found = cause_of(anatomy, change([make_slot_scan(ct, 0), make_slot_scan(ct, 90)]), near)
    assert (found.cause, found.views) == (cause, about) and words in found.sentence
    assert (
        error_mm(found.world_from_ct) < 3 or cause == "principal point"
    )  # which of two is off no image shows


@SLOW
def test_slot_scans_tell_the_scale_of_a_ct_from_the_distance(ct, near):
    views = [make_slot_scan(ct, 0), make_slot_scan(ct, 90)]
    found = cause_of(PreparedCT(changed(ct, np.eye(3) / 1.03)), views, near)
    assert found.cause == "ct scale" and found.sentence.endswith("Check how it was exported.")
    assert float(found.sentence.split(": ")[1].split(" %")[0]) == pytest.approx(3.0, abs=0.7)
    sound = CauseSearch(PreparedCT(ct), views, refine(PreparedCT(ct), views, near), near)
    assert not [each.cause for each in sound.causes() if each.holds]


def changed(ct: CT, change: np.ndarray) -> CT:
    """The CT with other voxels about its middle, by an affine change (3, 3) of CT mm."""
    affine = np.eye(4)
    affine[:3, :3] = change
    return replace(ct, volume=Volume(ct.volume.values, affine @ ct.volume.ct_from_index))


@pytest.mark.parametrize(
    "cause, change",
    [
        pytest.param("mirrored ct", np.diag([-1.0, 1, 1]), marks=SLOW),
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
    whole, views, start = (
        PreparedCT(column),
        make_views(column),
        off(TRUE_POSE, [1, -1, 2], [2, 3, 95]),
    )
    cause = cause_of(whole, views, start)
    assert (
        cause.cause == "part"
        and "towards the feet" in cause.sentence
        and error_mm(cause.world_from_ct) < 3
    )
    origin = affine.copy()
    origin[:3, 3] += [0, 0, 2.0 * 72]
    slab = PreparedCT(CT(Volume(np.ascontiguousarray(values[72:90]), origin)))
    for anatomy, short in ((slab, True), (whole, False)):
        *_, last = CauseSearch(
            anatomy, views, refine(anatomy, views, TRUE_POSE), TRUE_POSE
        ).causes()
        assert (last.cause == "short" and last.holds and "too short" in last.sentence) == short


def test_a_sound_case_has_no_cause(anatomy, views, found, near, unrefined):
    heard = list(CauseSearch(anatomy, views, found, near).causes())
    assert not [each for each in heard if each.holds]
    assert "mirrored" not in [
        each.cause for each in heard
    ]  # as the images look like the CT, nobody asks
    beside = off(TRUE_POSE, [5, -4, 6], [8, 5, -6])
    cause = CauseSearch(anatomy, views, unrefined(anatomy, views, beside), beside).cause()
    assert cause is None or cause.cause == "level"  # no image is blamed


def test_an_image_may_be_mirrored_where_it_resembles_the_ct(
    anatomy, views, found, near, monkeypatch
):
    """As that of a body whose left and right are much alike does, and then its mirrored CT, too."""
    asked = []
    monkeypatch.setattr(CauseSearch, "_of_images", lambda _, group, *__: asked.extend(group))
    list(CauseSearch(anatomy, views, found, near).causes())
    kinds = {each.cause for each in asked}
    assert {"mirrored", "mirrored ct"} <= kinds and "inverted" not in kinds


@SLOW
def test_another_patient_is_explained_by_nothing(ct, views, near):
    blobs = ndimage.gaussian_filter(
        np.random.default_rng(11).normal(size=ct.volume.values.shape), 2.0
    )
    ball = np.where(ct.volume.values > -500, 0.0, -1000.0)
    ball[(blobs > 1.2 * blobs.std()) & (ct.volume.values > -100)] = 900.0
    values = ndimage.gaussian_filter(ball, 0.7).astype(np.float32)
    assert (
        cause_of(PreparedCT(replace(ct, volume=replace(ct.volume, values=values))), views, near)
        is None
    )


@pytest.mark.parametrize(
    "kind, by_disagreement", [("motion", True), ("principal point", True), ("ct scale", False)]
)
def test_of_one_view_at_fault_the_disagreement_tells_how_far_off_the_pose_is(
    anatomy, views, near, kind, by_disagreement
):
    """It is of the finest resolution, with that view's place free; a cause is of the second."""
    apart = views[1].camera.camera_from_world @ off(np.eye(4), [1.5, 1, -1.5], [2, -1.5, 2])
    wrong = [views[0], replace(views[1], camera=replace(views[1].camera, camera_from_world=apart))]
    found = refine(anatomy, wrong, near)
    told = assess(anatomy, wrong, found, near)
    cause = Cause(kind, ("view2",), "Something is wrong.", 1.1, (0.9, 0.9), near)
    caused = find_cause(
        told, SimpleNamespace(anatomy=anatomy, found=found, cause=lambda **_: cause)
    )
    assert told.features.one_view_disagrees and caused.cause.by_disagreement is by_disagreement
    assert (caused.cause.moved_mm == told.features.disagreement_mm) is by_disagreement
    assert (caused.prediction == told.prediction) is by_disagreement


def test_it_is_the_first_reason_and_only_searched_for_where_an_error_is_likely(
    anatomy, views, near
):
    wrong = [views[0], turned(views[1], np.fliplr)]
    found = refine(anatomy, wrong, near)
    told = assess(anatomy, wrong, found, near)
    assert told.verdict != "accept" and told.cause is None
    more = find_cause(told, CauseSearch(anatomy, wrong, found, near))
    first, second, *others = more.reasons
    sentence = (
        "Left and right of view2 seem to be exchanged: the other way, it fits. Check whether the "
        "patient's right is on the left of the image."
    )
    assert first.startswith(f"{sentence} Correcting this moves the CT by ")
    assert second.startswith("Most likely wrong") and others == told.reasons[1:]
    assert more.verdict == "reject" and more.cause.to_json()["cause"] == "mirrored"
    away = mtre(found.world_from_ct, TRUE_POSE, told.targets)
    assert more.cause.moved_mm == pytest.approx(away, abs=0.5) and away > 2
    assert (
        more.prediction.failure_probability >= 0.9
        and away < more.prediction.upper95_mm < 1.5 * away + 2
    )
    assert more.splits[0].depth_mm == more.splits[1].in_plane_mm == more.prediction.upper95_mm
    sure = replace(told, prediction=replace(told.prediction, image_failure_probability=0.0))

    def searched(*similarity: float) -> bool:
        fits = replace(found, fit=replace(found.fit, similarity=similarity))
        return find_cause(sure, Elsewhere(anatomy, wrong, fits, near)) is not sure

    assert not searched(0.9, 0.65) and searched(0.9, 0.64) and searched(0.56, 0.91)


@pytest.mark.parametrize(
    "tension, similarity, in_place, asked",
    [
        (1.2, (0.6, 0.5), (0.8, 0.5), []),
        (1.6, (0.6, 0.5), (0.8, 0.5), [True]),
        (0.1, (0.94, 0.36), (0.8, 0.5), [False]),
        (1.2, (0.6, 0.5), (0.8, 0.4), [False]),
    ],
)
def test_of_another_kind_cameras_are_doubted_where_the_views_disagree(
    anatomy, views, found, near, tension, similarity, in_place, asked
):
    """Most of their tiles are in place, so that no image is; with views that hardly disagree nothing is.

    Where one fits much worse than the other, or most of its tiles better elsewhere, its image may be
    mirrored all the same.
    """
    told = assess(anatomy, views, found, near)
    prediction = replace(told.prediction, familiar=False, agree=False)
    fits = replace(found, fit=replace(found.fit, similarity=similarity))
    search = SimpleNamespace(
        anatomy=anatomy, found=fits, cause=lambda *, placed: asked_for.append(placed)
    )
    asked_for: list[bool] = []
    features = replace(told.features, tension=tension, in_place=np.array(in_place))
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
    [("distance", 5.0, 1.5, "reject", "more than 99 %"), ("distance", 2.1, 1.5, "reject", "59 %"),
     ("distance", 0.5, 1.5, "check", "3.9 %"), ("distance", 2.5, 1.0, "reject", ""), ("distance", 0.1, 1.5, "check", ""),
     ("distance", 2.1, 1.1, "reject", "62 %"), ("distance", 1.0, 1.1, "check", "2"), ("ct scale", 2.1, 1.1, "reject", "59 %"),
     ("slice spacing", 0.5, 1.1, "check", "3.9 %")],
)  # fmt: skip
def test_as_far_as_a_cause_would_move_the_ct_so_far_off_it_is(
    anatomy, views, found, near, kind, mm, gain, verdict, probability
):
    told = assess(anatomy, views, found, near)
    prediction = replace(
        told.prediction, failure_probability=0.97, image_failure_probability=0.97, upper95_mm=80.0
    )
    reasons = ["Most likely wrong: ...", "view1 ..."]
    doubtful = replace(
        told, verdict="reject", prediction=prediction, reasons=reasons, measured=True
    )
    search = Elsewhere(anatomy, views, found, near)
    search.kind, search.mm, search.gain = kind, mm, gain
    more = find_cause(doubtful, search)
    assert (
        more.reasons[0] == f"The {kind} seems to be wrong. Correcting this moves the CT by {mm} mm."
    )
    assert more.verdict == verdict
    if gain < SLIGHTLY:  # it fits no better, and tells nothing of the error
        assert more.prediction == prediction and more.reasons[1:] == reasons
        return
    assert probability in more.reasons[1] and more.reasons[-1] == "view1 ..."
    assert more.prediction.mean_mm == pytest.approx(mm) and more.prediction.upper95_mm < (
        1.25 * mm + 0.75
    ) * (1 if more.cause.precise else 2)
    inflation = more.error_inflation / told.error_inflation
    assert inflation == pytest.approx(more.prediction.upper95_mm / told.prediction.upper95_mm)


def test_a_ct_whose_matrix_is_in_ras_is_named_and_no_other_half_turn_is(anatomy, ct, views, near):
    """About the anatomy it is half a turn; the corrected pose is that of the CT in LPS."""
    ras = CT(
        Volume(ct.volume.values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.volume.ct_from_index), ct.unit
    )
    cause = cause_of(PreparedCT(ras), views, near)
    assert (
        cause.cause == "half turn"
        and "in RAS, as nibabel's" in cause.sentence
        and cause.views == ()
    )
    index = np.array([[10.0, 20, 30], [30.0, 25, 10]])
    turned_back = rigid.transform_points(
        cause.world_from_ct @ cause.corrected_from_ct @ ras.volume.ct_from_index, index
    )
    true = rigid.transform_points(TRUE_POSE @ ct.volume.ct_from_index, index)
    assert np.linalg.norm(turned_back - true, axis=1).max() < 3
    assert np.linalg.det(cause.corrected_from_ct[:3, :3]) == pytest.approx(1)
    mirrored = cause_of(anatomy, [turned(view, np.fliplr) for view in views], near)
    assert mirrored.cause == "mirrored"


def test_a_mirrored_ct_looks_as_the_ct_in_a_mirrored_world(views):
    """By projecting points of the corrected CT, with principal points off the middle.

    Its centroid stays.
    """
    shifted = [decentred(view, 5.0) for view in views]
    for n, view in enumerate(shifted):
        intrinsics = view.camera.intrinsics.copy()
        intrinsics[0, 1:] = 3.0, 70.0 + n
        shifted[n] = replace(view, camera=replace(view.camera, intrinsics=intrinsics))
    centroid = np.array([12.0, -7.0, 3.0])
    hypothesis = mirrored_ct(shifted, centroid)
    points = 20 * np.random.default_rng(0).normal(size=(9, 3))
    assert_allclose(rigid.transform_points(hypothesis.corrected_from_ct, centroid), centroid)
    for view, mirrored in zip(shifted, hypothesis.views, strict=True):
        column, row = view.camera.project(
            rigid.transform_points(TRUE_POSE @ hypothesis.corrected_from_ct, points)
        ).T
        there = mirrored.camera.project(rigid.transform_points(hypothesis.pose(TRUE_POSE), points))
        assert_allclose(there, np.stack([127 - column, row], axis=1), atol=1e-9)
        assert_array_equal(mirrored.xray.line_integrals, view.xray.line_integrals[:, ::-1])
        assert np.linalg.det(mirrored.camera.camera_from_world[:3, :3]) == pytest.approx(1)


def test_only_unknowns_that_a_case_has_not_are_asked_after(ct, views):
    def asked(some, shared=CALIBRATED):
        return [(each.cause, each.about) for each in camera_hypotheses(some, shared)]

    of_each = [
        ("distance", ("view1",)),
        ("distance", ("view2",)),
        ("principal point", ("view1", "view2")),
    ]
    assert asked(views) == [("distance", ()), *of_each, ("motion", ("view1", "view2"))]
    assert asked(views[:1]) == []
    free = [views[0], replace(views[1], rotation_sd_deg=1.0, translation_sd_mm=3.0)]
    assert asked(free) == [("distance", ()), *of_each]
    known = [replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25))) for view in views]
    assert asked(known, SharedUnknowns(source_to_detector_sd_mm=10.0)) == of_each
    three = make_views(ct, ((0, 0), (90, 0), (45, 20)), size=64)
    mixed = list(camera_hypotheses([views[0], make_slot_scan(ct, 90)]))
    assert not any(each.advice for each in mixed)  # no one distance
    assert (
        "source to detector of view1" in mixed[0].sentence
        and "source to isocentre of slot90" in mixed[1].sentence
    )
    last = [
        each for each in camera_hypotheses(three) if each.cause in ("principal point", "motion")
    ]
    assert [each.about for each in last] == [(view.name,) for view in three for _ in range(2)]
    for each in last:
        *others, doubted = each.views
        assert (doubted.name,) == each.about and all(
            other.principal_point_sd_px == 0 for other in others
        )
        assert (doubted.principal_point_sd_px > 0) == (each.cause == "principal point")
        assert (doubted.translation_sd_mm > 0) == (each.cause == "motion")


@pytest.mark.parametrize(
    "cause, about, index, value, words",
    [("distance", (), -6, 0.02 * 800, "2.0 % longer"), ("distance", (), -6, 0.009 * 800, ""),
     ("distance", ("view2",), OWN + 6, -0.03, "3.0 % shorter"),
     ("principal point", None, OWN + 8, 4.0, "moved by 0 columns and 4 rows"), ("principal point", None, OWN + 8, 1.1, ""),
     ("principal point", None, 8, 4.0, ""), ("motion", None, OWN + 3, 3.0, "with the CT 3.0 mm and 0.0 degrees"),
     ("motion", None, OWN + 3, 1.4, ""), ("motion", None, OWN + 1, np.radians(0.6), "0.6 degrees"), ("motion", None, 3, 9.0, "")],
)  # fmt: skip
def test_how_far_a_camera_is_off_is_told_unless_it_is_too_little(
    anatomy, views, found, near, cause, about, index, value, words
):
    """800 pixels are the distance to the detector.

    A principal point counts from 1.5 mm, that is 1.2 pixels.
    """
    sized = [replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25))) for view in views]
    trials = Trials(anatomy, sized, found, near)
    each = next(
        one for one in camera_hypotheses(sized) if one.cause == cause and about in (None, one.about)
    )
    corrections = np.zeros(2 * OWN + 6)
    corrections[index] = value
    told = camera_causes._camera_in_words(
        trials, each, Descent(TRUE_POSE, corrections, found.fit, [])
    )
    assert told.startswith(words) or (words and words in told) if words else told == ""


@pytest.mark.parametrize(
    "cause, index, least",
    [("distance", -6, 0.03 * 800), ("distance", 6, 0.03), ("principal point", OWN + 7, 6.0)],
)
def test_what_a_case_says_of_its_cameras_is_no_fault_of_theirs(
    anatomy, views, found, near, cause, index, least
):
    """Nothing is within three standard deviations: 1 % of the distance, and 2 pixels."""
    said = {"distance_sd_percent": 1.0, "principal_point_sd_px": 2.0}
    known = [
        replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25)), **said) for view in views
    ]
    trials = Trials(anatomy, known, found, near)
    about = ("view1",) if index == 6 else () if index == -6 else ("view1", "view2")
    each = next(one for one in camera_hypotheses(known) if (one.cause, one.about) == (cause, about))

    def told(value: float) -> str:
        corrections = np.zeros(2 * OWN + 6)
        corrections[index] = value
        return camera_causes._camera_in_words(
            trials, each, Descent(TRUE_POSE, corrections, found.fit, [])
        )

    assert told(0.99 * least) == "" and "the X-rays fit" in told(1.01 * least)


@pytest.mark.parametrize("sd_percent, told", [(0.1, True), (0.6, True), (0.7, False), (1.0, False)])
def test_a_scale_that_the_distance_explains_is_no_fault(
    anatomy, views, found, near, sd_percent, told, monkeypatch
):
    """2 %, where the case knows the distance to a third of that, or not."""
    run = Descent(TRUE_POSE, np.zeros(2 * OWN + 6), found.fit, [])
    monkeypatch.setattr(camera_causes, "_share", lambda *_: 0.02)
    monkeypatch.setattr(camera_causes, "_scaled", lambda *_, rounds: run)
    known = [replace(view, distance_sd_percent=sd_percent) for view in views]
    causes = camera_causes._of_scale(Trials(anatomy, known, found, near), 1.0, 0.02)
    named = [cause.cause for cause in causes]
    assert named == (["slice spacing", "ct scale"] if told else [])


def test_a_scale_is_where_the_parabola_has_its_maximum_and_not_far_beyond_what_was_tried():
    for best, expected in ((0.4, 0.4), (-0.9, -0.9), (3.0, 2.0), (-9.0, -2.0)):
        values = [5 - (at - 0.01 * best) ** 2 for at in (-0.01, 0.0, 0.01)]
        assert camera_causes._vertex(0.01, *values) == pytest.approx(0.01 * expected, rel=1e-3)
    assert (
        camera_causes._vertex(0.01, 1.0, 0.5, 2.0)
        == 0.01
        == -camera_causes._vertex(0.01, 2.0, 0.5, 1.0)
    )


@pytest.mark.parametrize(
    "shift_mm, turn_deg, words",
    [
        ((0, 0, 30), 0, "moved by 30 mm towards the head, it fits about as well"),
        ((5, 0, -20), 8, "moved by 21 mm towards the feet"),
        ((30, 0, 0), 0, ""),  # beside it, as ribs on one side of another
        ((0, 0, 8), 0, ""),
        ((0, 0, 30), 12, ""),
    ],
)
def test_another_level_lies_along_the_body_a_vertebra_away_and_is_not_turned(
    anatomy, views, found, near, shift_mm, turn_deg, words
):
    """Shifts are along the CT's own axes."""
    motion = rigid.from_rotation_translation(
        rigid.exp_so3(np.radians([0.0, 0.0, turn_deg])), np.array(shift_mm, dtype=float)
    )
    elsewhere = found.world_from_ct @ rigid.about(anatomy.centroid, motion)
    here = Descent(found.world_from_ct, np.zeros(2 * OWN + 6), found.fit, [])

    class Levels(Trials):
        def registration(self, views):
            return SimpleNamespace(
                descend=lambda number, starts, steps=None: [replace(here, world_from_ct=elsewhere)]
            )

    cause = other_level(Levels(anatomy, views, found, near), here)
    assert (cause is not None) == bool(words)
    assert cause is None or (cause.cause == "level" and words in cause.sentence)


def test_a_moved_patient_is_searched_for_from_where_each_view_has_the_ct(views):
    """The last view, corrected, shows the CT at the other one's pose as it shows it at its own.

    Without its own there is no such start.
    """
    alone = {
        "view1": off(TRUE_POSE, [9, -4, 6], [8, 5, -6]),
        "view2": off(TRUE_POSE, [-3, 8, 5], [-9, 2, 4]),
    }
    free = [views[0], replace(views[1], rotation_sd_deg=5.0, translation_sd_mm=15.0)]
    (start,) = camera_causes._where_each_view_has_it(free, alone)
    assert_array_equal(start.world_from_ct, alone["view1"])
    corrected = CameraCorrections(free).camera(1, start.corrections, free[1].camera)
    seen = views[1].camera.camera_from_world @ alone["view2"]
    assert_allclose(corrected.camera_from_world @ start.world_from_ct, seen, atol=1e-9)
    assert camera_causes._where_each_view_has_it(free, {"view1": TRUE_POSE}) == []


def test_a_view_that_nothing_ties_has_no_say(anatomy, ct, found, near):
    views = make_views(ct, ((0, 0), (90, 0), (45, 20)), size=64)
    free = [views[0], replace(views[1], rotation_sd_deg=None, translation_sd_mm=None), views[2]]
    assert Trials(anatomy, free, found, near).tied == [free[0], free[2]]


@pytest.mark.parametrize(
    "cause, gain, similarity, holds",
    [("mirrored", 1.2, (0.7, 0.9), True), ("mirrored", 1.19, (0.7, 0.9), False), ("mirrored", 9.0, (0.69, 0.9), False),
     ("distance", 1.05, (0.7, 0.9), True), ("distance", 1.04, (0.7, 0.9), False), ("distance", 1.1, (0.9, 0.69), False),
     ("level", 0.85, (0.9, 0.7), True), ("level", 0.84, (0.9, 0.7), False), ("short", 1.0, (0.1, 0.2), True)],
)  # fmt: skip
def test_a_cause_holds_if_the_evidence_grows_and_every_x_ray_resembles_the_ct(
    cause, gain, similarity, holds
):
    found = Cause(cause, (), "", gain, similarity, TRUE_POSE)
    assert found.holds == holds and found.clear == (gain >= 1.2 and min(similarity) >= 0.7)


def test_with_a_cause_nothing_is_accepted_and_the_bound_is_no_less_than_noise(
    anatomy, views, found, near
):
    told = assess(anatomy, views, found, near)
    doubt = 1.5 * calibrated().accept
    likely = replace(told.prediction, failure_probability=doubt, image_failure_probability=doubt)
    right = replace(told, prediction=likely, measured=True)
    search = Elsewhere(anatomy, views, found, near)
    search.mm = 0.1
    assert find_cause(right, search).verdict == "check"
    noise = replace(
        told.features.uncertainty, covariance=1e5 * told.features.uncertainty.covariance
    )
    at = noise.at(rigid.transform_points(found.world_from_ct, told.targets))
    right = replace(right, features=replace(told.features, uncertainty=noise))
    prediction = find_cause(right, search).prediction
    assert prediction.upper95_mm == at.bound_mm() > 1 and prediction.mean_mm == at.mean_mm
    one = find_cause(replace(right, splits=right.splits[:1]), search)
    assert one.prediction.failure_probability == depth_risk(at, 1) > prediction.failure_probability


def test_of_one_structure_no_cause_is_searched_for(ct, anatomy, views, found, near):
    told = assess(anatomy, views, found, near)
    doubtful = replace(told, prediction=replace(told.prediction, image_failure_probability=0.9))
    structure = PreparedCT(replace(ct, mask=ct.volume.values > 300))
    assert find_cause(doubtful, Elsewhere(structure, views, found, near)) is doubtful
    assert find_cause(doubtful, Elsewhere(anatomy, views, found, near)).cause is not None


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
