"""Corrections of uncertain cameras.

Derivatives, priors, and what a registration makes of wrong cameras.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from phantom import TRUE_POSE, error_mm, make_slot_scan, make_views, off

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import attenuation
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns, XRay
from MultiViewRegistrationLib.registration.cameras import (
    OWN,
    CameraCorrections,
    independent_residuals,
)
from MultiViewRegistrationLib.registration.objective import Objective, PoseFit, TrialEvaluation
from MultiViewRegistrationLib.registration.optimizer import (
    DescentStart,
    PoseProblem,
    moved,
)
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.similarity import Settings
from MultiViewRegistrationLib.rendering.drr import Projector

SHARED = SharedUnknowns(10.0, 5.0, 4.0)
START = off(TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0])


@pytest.fixture(scope="module")
def views(ct):
    """With the pixel size that `make_views` gives its cameras."""
    return [
        replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25)))
        for view in make_views(ct, ((0, 0), (80, 10)))
    ]


def uncertain(view, rotation_deg=1.0, translation_mm=3.0):
    return replace(view, rotation_sd_deg=rotation_deg, translation_sd_mm=translation_mm)


def turned(view, rotation_deg, shift_mm):
    """The view with its camera off, as an encoder has it."""
    camera = replace(
        view.camera,
        camera_from_world=view.camera.camera_from_world @ off(np.eye(4), rotation_deg, shift_mm),
    )
    return replace(view, camera=camera)


@pytest.mark.parametrize(
    "settings",
    [Settings(intensity_radius=6), Settings(intensity_radius=5, gradient_radius=6, cauchy=0.5)],
    ids=["intensity", "both, robust"],
)
def test_gradient_by_pose_and_corrections_is_that_of_finite_differences(ct, views, settings):
    """Of N log cost + the prior's squares, at corrections that are not small, in an image that is pooled."""
    pooled = [view.pooled(2) for view in views]
    unknowns = CameraCorrections([views[0], uncertain(views[1])], SHARED)
    objective = Objective(Projector(attenuation(ct)), pooled, settings, np.array([4.0, -6.0, 3.0]))
    corrections = unknowns.none.copy()
    corrections[unknowns.free] = [0.05, -0.08, 0.04, 2.0, -1.5, 1.0, 6.0, 1.5, -2.0, 1.0, 0.7, -2.0]
    given = [view.camera for view in pooled]

    def project(pose, corrected):
        return objective.project(pose, unknowns.cameras(corrected, given), intrinsics=True)

    here = objective.linearise(project(TRUE_POSE, corrections))
    gradient, hessian = unknowns.system(objective, here, corrections)
    assert np.linalg.eigvalsh(hessian).min() > 0
    count = independent_residuals(here, settings)

    def value(step):
        corrected = unknowns.moved(corrections, step[6:])
        cost = objective.cost(project(moved(TRUE_POSE, step[:6], objective.pivot), corrected))
        return np.log(cost) + np.log(
            unknowns.prior_ratio(objective, here, unknowns.none, corrected)
        )

    radians = [0, 1, 2, 6, 7, 8]
    for p in range(18):
        step = np.eye(18)[p] * (2e-3 if p in radians else 0.3 if p == 12 else 0.1)
        slope = (value(step) - value(-step)) / (4 * step[p]) * here.cost
        largest = np.abs(
            gradient[radians]
            if p in radians
            else gradient[[q for q in range(18) if q not in radians]]
        ).max()
        assert slope == pytest.approx(gradient[p], rel=0.05, abs=0.02 * largest), p
    assert count > 10


def test_gradient_of_a_slot_scan_beside_a_pinhole_is_that_of_finite_differences(ct, views):
    """By the pose and all corrections of the slot scan: place, fan, rows."""
    slot = replace(
        uncertain(make_slot_scan(ct, 70)),
        principal_point_sd_px=4.0,
        distance_sd_percent=2.0,
        step_sd_percent=2.0,
    )
    given, settings = [views[0], slot], Settings(intensity_radius=6)
    pooled = [view.pooled(2) for view in given]
    unknowns = CameraCorrections(given)
    objective = Objective(Projector(attenuation(ct)), pooled, settings, np.array([4.0, -6.0, 3.0]))
    corrections = unknowns.none.copy()
    corrections[unknowns.free] = [0.05, -0.08, 0.04, 2.0, -1.5, 1.0, 0.02, 1.5, -2.0, 0.03]

    def project(pose, corrected):
        return objective.project(
            pose,
            unknowns.cameras(corrected, [view.camera for view in pooled]),
            intrinsics=unknowns.intrinsics,
        )

    here = objective.linearise(project(TRUE_POSE, corrections))
    gradient, _ = unknowns.system(objective, here, corrections)

    def value(step):
        corrected = unknowns.moved(corrections, step[6:])
        cost = objective.cost(project(moved(TRUE_POSE, step[:6], objective.pivot), corrected))
        return np.log(cost) + np.log(
            unknowns.prior_ratio(objective, here, unknowns.none, corrected)
        )

    sizes = np.array([2e-3] * 3 + [0.1] * 3 + [2e-3] * 3 + [0.1] * 3 + [1e-3, 0.1, 0.1, 1e-3])
    assert unknowns.intrinsics and len(gradient) == len(sizes)
    slopes = [
        (value(step) - value(-step)) / (4 * size) * here.cost
        for size, step in zip(sizes, np.diag(sizes), strict=True)
    ]
    scaled, expected = gradient * sizes, np.array(slopes) * sizes
    np.testing.assert_allclose(scaled, expected, rtol=0.05, atol=0.02 * np.abs(expected).max())


def test_projections_change_with_the_corrections_as_their_derivatives_say(views):
    """By finite differences of the corrected camera, at angles that are large.

    What it sees is what a motion of the CT would show.
    """
    unknowns = CameraCorrections([views[0], uncertain(views[1])], SHARED)
    corrections = unknowns.none.copy()
    corrections[unknowns.free] = [
        0.5,
        -0.4,
        0.6,
        20.0,
        -15.0,
        10.0,
        60.0,
        1.5,
        -2.0,
        10.0,
        7.0,
        -20.0,
    ]
    given, pivot = views[1].camera.pooled(2), np.array([40.0, -60.0, 30.0])
    points = pivot + 30 * np.random.default_rng(0).normal(size=(20, 3))
    here = unknowns.camera(1, corrections, given)
    way = unknowns._derivative(1, corrections, given, pivot)
    for p in (*range(OWN, 2 * OWN - 1), *range(2 * OWN, unknowns.sd.size)):
        step = 1e-5 * np.eye(unknowns.sd.size)[p]
        ahead, behind = (
            unknowns.camera(1, corrections + sign * step, given).project(points) for sign in (1, -1)
        )
        motion, scale, shift = 1e-5 * way[:6, 6 + p], 1e-5 * way[6, 6 + p], 1e-5 * way[7:, 6 + p]
        there = here.project(rigid.transform_points(moved(np.eye(4), motion, pivot), points))
        believed = (
            here.principal_point
            + np.exp(scale) * (there - here.principal_point)
            + shift
            - here.project(points)
        )
        np.testing.assert_allclose(
            believed, (ahead - behind) / 2, rtol=1e-3, atol=1e-3 * np.abs(believed).max()
        )


def test_corrected_camera_is_the_one_described(views):
    unknowns = CameraCorrections([views[0], uncertain(views[1])], SHARED)
    corrections = unknowns.none.copy()
    corrections[OWN:] = [0.01, 0.02, -0.03, 1, 2, 3, 0.02, 3, 5, 0, 10, 4, -6, 0.5, 0.6, 0.7]
    full = unknowns.camera(1, corrections, views[1].camera)
    point = np.array([10.0, 20.0, -15.0])
    turned_point = rigid.exp_so3([0.01, 0.02, -0.03]) @ point + [1, 2, 3]
    x, y, z = rigid.transform_points(views[1].camera.camera_from_world, turned_point) + [
        0.5,
        0.6,
        0.7,
    ]
    focal, centre = 1030 / 1.25, views[1].camera.principal_point + [7, -1]
    np.testing.assert_allclose(
        full.project(point), centre + focal * np.array([x, y]) / z, atol=1e-9
    )
    pooled = unknowns.camera(1, corrections, views[1].camera.pooled(4))
    np.testing.assert_allclose(
        pooled.projection_matrix, full.pooled(4).projection_matrix, rtol=1e-12
    )


def test_a_second_camera_that_is_off_is_corrected(anatomy, views):
    wrong = [views[0], turned(views[1], [0.6, -0.5, 0.62], [1.5, 2.0, -1.7])]
    exact = refine(anatomy, wrong, START)
    corrected = refine(anatomy, [wrong[0], uncertain(wrong[1])], START)
    assert error_mm(exact.world_from_ct) > 0.8
    assert error_mm(corrected.world_from_ct) < 0.4 * error_mm(exact.world_from_ct)
    np.testing.assert_array_equal(
        corrected.views[0].camera.camera_from_world, views[0].camera.camera_from_world
    )
    left = corrected.views[1].camera.camera_from_world @ corrected.world_from_ct
    assert error_mm(left, views[1].camera.camera_from_world @ TRUE_POSE) < 2.0
    assert corrected.fit.cost < exact.fit.cost


@pytest.mark.parametrize("number", [1, 2])
def test_slot_scans_register_alone_and_beside_a_pinhole(ct, anatomy, views, number):
    """Two slot scans, or one with an ordinary X-ray.

    The fan's width of the first is off, and found.
    """
    slot = make_slot_scan(ct, 80)
    wrong = replace(slot, camera=slot.camera.corrected(1.01, np.zeros(2)), distance_sd_percent=1.0)
    found = refine(anatomy, [wrong, views[0] if number == 1 else make_slot_scan(ct, -10)], START)
    assert error_mm(found.world_from_ct) < 0.3
    assert found.views[0].camera.focal_px / slot.camera.focal_px == pytest.approx(1, abs=0.002)


@pytest.mark.slow
def test_the_prior_decides_how_far_a_correction_goes(anatomy, views):
    """From taken as exact, over half way, to left to the images."""
    wrong = turned(views[1], [0, 0, 0], [0, 0, 3.0])
    moves = []
    for sd in (1e-4, 0.05, 3.0, None):
        found = refine(anatomy, [views[0], uncertain(wrong, 0.0, sd)], START)
        motion = wrong.camera.world_from_camera @ found.views[1].camera.camera_from_world
        moves.append(np.linalg.norm(motion[:3, 3]))
    assert moves == sorted(moves)
    assert moves[0] < 0.01 and 2.7 < moves[2] <= moves[3] < 3.5


def test_distance_to_the_detector_is_found(anatomy, ct):
    views = [
        replace(view, xray=replace(view.xray, pixel_mm=(1.25, 1.25))) for view in make_views(ct)
    ]
    wrong = []
    for view in views:
        intrinsics = view.camera.intrinsics.copy()
        intrinsics[:2, :2] *= 1.02
        wrong.append(replace(view, camera=replace(view.camera, intrinsics=intrinsics)))
    found = refine(anatomy, wrong, START, shared=SharedUnknowns(source_to_detector_sd_mm=20))
    assert found.corrections[-6] == pytest.approx(-20, abs=2)
    assert error_mm(found.world_from_ct) < 0.1
    assert found.views[1].camera.intrinsics[0, 0] == pytest.approx(
        views[1].camera.intrinsics[0, 0], rel=2e-3
    )


def test_distance_to_the_detector_needs_a_pixel_size(views):
    bare = [replace(view, xray=XRay(view.xray.line_integrals, view.xray.valid)) for view in views]
    with pytest.raises(InputError, match='"view1" does not tell its pixel size'):
        CameraCorrections(bare, SharedUnknowns(source_to_detector_sd_mm=5))
    CameraCorrections(bare, SharedUnknowns(principal_point_sd_px=5))


def test_a_prior_weighs_less_the_more_independent_residuals_there_are(ct, views):
    """One for each window of local normalisation.

    By sums of squares, cost / N is the variance of the mean.
    """
    unknowns = CameraCorrections([views[0], uncertain(views[1], 1.0, 3.0)])
    objective = Objective(
        Projector(attenuation(ct)),
        views,
        Settings(intensity_radius=4, gradient_radius=2),
        np.zeros(3),
    )
    fit = PoseFit(0.5, np.zeros(6), np.zeros((6, 6)), (1000, 1500), (9, 9), (0.9, 0.9), ())
    expected = 0.5 / 100 / np.repeat([np.radians(1.0), 3.0], 3) ** 2
    np.testing.assert_allclose(unknowns.precision(objective, fit), expected)
    one = unknowns.none.copy()
    one[OWN + 3] = 3.0
    assert unknowns.prior_ratio(objective, fit, unknowns.none, one) == pytest.approx(
        np.exp(1 / 100)
    )
    assert unknowns.prior_ratio(objective, fit, one, unknowns.none) == pytest.approx(
        np.exp(-1 / 100)
    )


@pytest.mark.parametrize("prior_ratio, steps", [(1.0, 3), (1.005, 3), (1.02, 0)])
def test_a_step_is_taken_if_the_images_gain_more_than_its_corrections_cost(prior_ratio, steps):
    """Every trial costs 1 % less than the pose before it."""
    fit = SimpleNamespace(cost=1.0, similarity=(0.9,))
    unknowns = SimpleNamespace(
        none=np.zeros(1),
        free=np.arange(1),
        intrinsics=False,
        cameras=lambda corrections, given: [],
        system=lambda objective, fit, corrections, sharpness: (np.full(7, 0.01), np.eye(7)),
        moved=lambda corrections, step: corrections + step,
        size=lambda step: 0.0,
        prior_ratio=lambda objective, fit, before, after: prior_ratio,
    )
    objective = SimpleNamespace(views=[], pivot=np.zeros(3))
    problem = PoseProblem(objective, unknowns, second_order=False)
    start = DescentStart(np.eye(4))
    descent = problem.descending(start, 3, 1e-9, lambda step: None)
    next(descent)
    with pytest.raises(StopIteration) as end:
        while True:
            descent.send(TrialEvaluation(lambda: 0.99, lambda: fit))
    assert len(end.value.value.steps) == steps and bool(end.value.value.corrections.any()) == (
        steps > 0
    )


def test_a_distance_is_by_the_rows_and_steps_are_measured_in_mm(views):
    """Pixels twice as high as wide: fx = 800, fy = 400, and 800 mm to the detector."""
    camera = replace(
        views[0].camera, intrinsics=np.array([[800.0, 0, 60], [0, 400, 60], [0, 0, 1]])
    )
    view = replace(views[0], xray=replace(views[0].xray, pixel_mm=(1.0, 2.0)), camera=camera)
    unknowns = CameraCorrections(
        [view, uncertain(views[1])], SharedUnknowns(source_to_detector_sd_mm=5.0)
    )
    corrections = unknowns.none.copy()
    corrections[-6] = 8.0
    np.testing.assert_allclose(
        unknowns.camera(0, corrections, camera).intrinsics[[0, 1], [0, 1]], [808, 404]
    )
    unknowns = CameraCorrections([view, replace(uncertain(views[1]), distance_sd_percent=1.0)])
    assert list(unknowns.free) == list(range(OWN, OWN + 7))
    for step, mm in (
        ([0, 0.03, 0, 2, 0, 0, 0], 3.0),
        ([0, 0, 0, 0, -2, 0, 0], 2.0),
        ([0, 0, 0, 1, 0, 0, 0.004], 4.0),
    ):
        assert unknowns.size(np.array(step)) == pytest.approx(mm)


def test_exact_values_are_not_free(views):
    layout = [range(OWN, OWN + 3), range(OWN + 3, OWN + 6)]
    for rotation, translation, free in (
        (1.0, 0.0, [0]),
        (0.0, 3.0, [1]),
        (None, 3.0, [0, 1]),
        (0.0, 0.0, []),
    ):
        unknowns = CameraCorrections(
            [uncertain(views[0]), uncertain(views[1], rotation, translation)]
        )
        assert list(unknowns.free) == [index for block in free for index in layout[block]]
    known = replace(views[0], principal_point_sd_px=0.5, distance_sd_percent=0.1)
    unknowns = CameraCorrections([known, uncertain(views[1], 0.1, 0.4)])
    assert not unknowns.free.size and list(unknowns.considered) == [6, 7, 8, *layout[0], *layout[1]]
    assert not CameraCorrections.exact([uncertain(view) for view in views]).free.size
    assert list(CameraCorrections(views, SharedUnknowns(principal_point_sd_px=1)).free) == [
        2 * OWN + 1,
        2 * OWN + 2,
    ]
