"""Corrections of uncertain cameras.

Derivatives, priors, and what a registration makes of wrong cameras.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.finite_differences import changes, cost_of
from helpers.phantom import (
    CORNERS,
    NEAR,
    START,
    TRUE_POSE,
    error_mm,
    free,
    make_slot_scan,
    make_views,
    misplaced,
)
from helpers.refusals import refuses
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, SharedUnknowns, XRay
from MultiViewRegistrationLib.registration.cameras import (
    OWN,
    CameraCorrections,
    uncalibrated_view_indices,
)
from MultiViewRegistrationLib.registration.objective import Fit, Objective
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.problem import Problem, State
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.registration.variants import register_views
from MultiViewRegistrationLib.rendering.drr import Projector

SHARED = SharedUnknowns(10.0, 5.0, 4.0)


@pytest.fixture(scope="module")
def views(ct):
    """With the pixel size that `make_views` gives its cameras."""
    return [sized(view) for view in make_views(ct, ((0, 0), (80, 10)))]


def sized(view):
    return view.with_xray(pixel_mm=(1.25, 1.25))


BODY = [0.15, -0.2, 0.12, 6.0, -5.0, 4.0]


def uncertain(view, rotation_deg=1.0, translation_mm=3.0, **more):
    return replace(view, rotation_sd_deg=rotation_deg, translation_sd_mm=translation_mm, **more)


TWIST = [2e-3] * 3 + [0.1] * 3
OWN_AND_SHARED = [6.0, 1.5, -2.0, 1.0, 0.7, -2.0], [0.3] + [0.1] * 5
READINGS = {"principal_point_sd_px": 4.0, "distance_sd_percent": 2.0, "step_sd_percent": 2.0}


@pytest.mark.parametrize(
    "settings, scanned",
    [
        (Settings(intensity_radius=6), False),
        (Settings(intensity_radius=5, gradient_radius=6, cauchy=0.5), False),
        (Settings(intensity_radius=6), True),
    ],
    ids=["intensity", "both, robust", "slot scan"],
)
def test_gradient_by_pose_and_corrections_is_that_of_finite_differences(
    ct, views, settings, scanned
):
    """Of N log cost + the prior's squares, at corrections that are not small, in images that are pooled.

    A slot scan has its place, fan and rows.
    """
    shared, second, (own, sizes) = SHARED, uncertain(views[1]), OWN_AND_SHARED
    if scanned:
        shared, second = CALIBRATED, uncertain(make_slot_scan(ct, 70), **READINGS)
        own, sizes = [0.02, 1.5, -2, 0.03], [1e-3, 0.1, 0.1, 1e-3]
    unknowns = CameraCorrections([views[0], second], shared)
    pooled = [view.pooled(2) for view in (views[0], second)]
    objective = Objective(Projector(attenuation(ct)), pooled, settings, np.array([4.0, -6.0, 3.0]))
    corrections = unknowns.none.copy()
    corrections[unknowns.free] = [*BODY, *own]
    problem, here = Problem(objective, unknowns), State(TRUE_POSE[None], corrections)
    fit, gradient, hessian = problem.linearise(here, problem.evaluate(here))
    assert np.linalg.eigvalsh(hessian).min() > 0 and unknowns.intrinsics
    cost, steps = cost_of(problem, here), np.diag([*TWIST, *TWIST, *sizes])
    expected = changes(lambda step: np.log(cost(step)), steps) / 2 * fit.cost
    turns = steps.max(axis=1) == TWIST[0]
    for chosen in (turns, ~turns):
        least = 0.02 * np.abs(expected[chosen]).max()
        assert_allclose((steps @ gradient)[chosen], expected[chosen], rtol=0.05, atol=least)


def test_corrected_camera_is_the_one_described(views):
    unknowns = CameraCorrections([views[0], uncertain(views[1])], SHARED)
    corrections = unknowns.none.copy()
    corrections[OWN:] = [0.01, 0.02, -0.03, 1, 2, 3, 0.02, 3, 5, 0, 10, 4, -6, 0.5, 0.6, 0.7]
    given = views[1].camera
    full = unknowns.camera(1, corrections, given)
    point = np.array([10.0, 20.0, -15.0])
    there = rigid.exp_so3([0.01, 0.02, -0.03]) @ point + [1, 2, 3]
    seen = rigid.transform_points(given.camera_from_world, there) + [0.5, 0.6, 0.7]
    expected = given.principal_point + [7, -1] + 1030 / 1.25 * seen[:2] / seen[2]
    assert_allclose(full.project(point), expected, atol=1e-9)
    pooled = unknowns.camera(1, corrections, given.pooled(4)).projection_matrix
    assert_allclose(pooled, full.pooled(4).projection_matrix, rtol=1e-12)


def test_a_second_camera_that_is_off_is_corrected(anatomy, views):
    wrong = [views[0], misplaced(views[1], [0.6, -0.5, 0.62], [1.5, 2.0, -1.7])]
    exact = refine(anatomy, wrong, START)
    corrected = refine(anatomy, [wrong[0], uncertain(wrong[1])], START)
    assert error_mm(exact.world_from_ct) > 0.8 and corrected.fit.cost < exact.fit.cost
    assert error_mm(corrected.world_from_ct) < 0.4 * error_mm(exact.world_from_ct)
    first, second = (view.camera.camera_from_world for view in corrected.views)
    assert_array_equal(first, views[0].camera.camera_from_world)
    true = views[1].camera.camera_from_world @ TRUE_POSE
    assert error_mm(second @ corrected.world_from_ct, true) < 2.0


def test_slot_scan_and_pinhole_view_are_registered(ct, anatomy, views):
    """The source-to-detector distance of the slot scan is wrong and is corrected."""
    slot = make_slot_scan(ct, 80)
    wrong = replace(slot, camera=slot.camera.corrected(1.01, np.zeros(2)), distance_sd_percent=1.0)
    found = refine(anatomy, [wrong, views[0]], START)
    assert error_mm(found.world_from_ct) < 0.3
    assert found.views[0].camera.focal_px / slot.camera.focal_px == pytest.approx(1, abs=0.002)


def test_distance_to_the_detector_needs_a_pixel_size(views):
    bare = [replace(view, xray=XRay(view.xray.line_integrals, view.xray.valid)) for view in views]
    with refuses('"view1" does not tell its pixel size'):
        CameraCorrections(bare, SharedUnknowns(source_to_detector_sd_mm=5))
    CameraCorrections(bare, SharedUnknowns(principal_point_sd_px=5))


def test_a_prior_weighs_less_the_more_independent_residuals_there_are(ct, views):
    """One for each window of local normalisation.

    By sums of squares, cost / N is the variance of the mean.
    """
    unknowns = CameraCorrections([views[0], uncertain(views[1], 1.0, 3.0)])
    settings = Settings(intensity_radius=4, gradient_radius=2)
    objective = Objective(Projector(attenuation(ct)), views, settings, np.zeros(3))
    fit = Fit(cost=0.5, by_view=(), pixels=(1000, 1500))
    expected = 0.5 / 100 / np.repeat([np.radians(1.0), 3.0], 3) ** 2
    assert_allclose(unknowns.precision(objective, fit), expected)


def oblong(view):
    intrinsics = np.array([[800.0, 0, 60], [0, 400, 60], [0, 0, 1]])
    xray = replace(view.xray, pixel_mm=(1.0, 2.0))
    return replace(view, xray=xray, camera=replace(view.camera, intrinsics=intrinsics))


@pytest.mark.parametrize(
    "step, mm",
    [([0, 0.03, 0, 2, 0, 0, 0], 3), ([0, 0, 0, 0, -2, 0, 0], 2), ([0, 0, 0, 1, 0, 0, 0.004], 4)],
)
def test_steps_are_measured_in_mm(views, step, mm):
    given = [oblong(views[0]), uncertain(views[1], distance_sd_percent=1.0)]
    assert CameraCorrections(given).size(np.array(step)) == pytest.approx(mm)


@pytest.mark.parametrize(
    "rotation, translation, free",
    [(1.0, 0.0, [0, 1, 2]), (0.0, 3.0, [3, 4, 5]), (None, 3.0, range(6)), (0.0, 0.0, [])],
)
def test_exact_values_are_not_free(views, rotation, translation, free):
    given = [uncertain(views[0]), uncertain(views[1], rotation, translation)]
    assert list(CameraCorrections(given).free) == [OWN + index for index in free]


def test_what_is_known_well_is_considered_and_not_free(views):
    known = replace(views[0], principal_point_sd_px=0.5, distance_sd_percent=0.1)
    unknowns = CameraCorrections([known, uncertain(views[1], 0.1, 0.4)])
    assert not unknowns.free.size
    assert list(unknowns.considered) == [6, 7, 8, *range(OWN, OWN + 6)]
    assert not CameraCorrections.exact([uncertain(view) for view in views]).free.size
    shared = CameraCorrections(views, SharedUnknowns(principal_point_sd_px=1))
    assert list(shared.free) == [2 * OWN + 1, 2 * OWN + 2]


def register(anatomy, views, progress):
    def find(some, progress):
        return refine(anatomy, some, NEAR, progress)

    return register_views(views, find, progress, CALIBRATED)


@pytest.fixture(scope="module")
def three(ct):
    """The second camera is uncalibrated, 4 degrees and 9 mm off; the two others are exact."""
    first, second, third = make_views(ct, ((0, 0), (90, 0), (40, 20)))
    lost = free(misplaced(second, [2.0, 3.0, -1.5], [5.0, -6.0, 4.0]))
    return [first, lost, third], second.camera


def test_views_without_any_calibration_are_uncalibrated(three):
    views, _ = three
    assert uncalibrated_view_indices(views) == [1]
    assert uncalibrated_view_indices([views[1], *views[1:]]) == [1], (
        "the first view is what the others are tied to"
    )
    assert uncalibrated_view_indices(views, SharedUnknowns(isocentre_sd_mm=3)) == []
    for known in ("rotation_sd_deg", "translation_sd_mm"):
        assert uncalibrated_view_indices([views[0], replace(views[1], **{known: 2.0})]) == []


def test_uncalibrated_camera_is_estimated_without_changing_the_pose(anatomy, three):
    views, true_camera = three
    found = register(anatomy, views, lambda progress: None)
    alone = refine(anatomy, [views[0], views[2]], NEAR)
    assert_array_equal(found.world_from_ct, alone.world_from_ct)
    assert [view.name for view in found.views] == [view.name for view in views]
    assert len(found.fit.pixels) == 3 and min(found.fit.similarity) > 0.9
    camera = found.views[1].camera
    seen = camera.project(rigid.transform_points(found.world_from_ct, CORNERS))
    true = true_camera.project(rigid.transform_points(TRUE_POSE, CORNERS))
    assert np.abs(seen - true).max() < 0.3
    turn = rigid.rotation_distance(camera.camera_from_world, true_camera.camera_from_world)
    assert turn < np.radians(0.3)


def test_cancelling_reaches_the_uncalibrated_view(anatomy, three):
    views, _ = three
    with pytest.raises(Cancelled):
        register(anatomy, views, lambda progress: progress.fraction < 0.6)
