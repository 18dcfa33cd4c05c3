"""Poses from landmarks: cameras of all kinds, projected here by plain matrices, with noise, mismatches and bad input."""

import re

import numpy as np
import pytest
from helpers.phantom import c_arm, slot_scan_of
from helpers.refusals import refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib import Camera, Landmark
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.landmarks import locate
from MultiViewRegistrationLib.geometry.machines import SlotScan

SIZE = (512, 512)
PIXEL_MM = 0.58


class Scene:
    """Landmarks of a body at a random place in its CT, turned at random, before a C-arm's views."""

    def __init__(
        self,
        seed,
        views=2,
        landmarks=8,
        *,
        coplanar=False,
        mirrored=False,
    ):
        self.random = np.random.default_rng(seed)
        angles = self.random.uniform(-20, 20) + np.array([0, 60, -50])[:views]
        self.cameras = {
            f"view{n}": camera(angle, self.random.uniform(-10, 10), mirrored)
            for n, angle in enumerate(angles)
        }
        self.points = self.random.uniform(-50, 50, (landmarks, 3))
        if coplanar:
            self.points[:, 2] = 0
        turn, R = (Rotation.random(random_state=n).as_matrix() for n in (seed + 1, seed))
        self.points = self.points @ turn.T + [180, -90, 1200]
        shift = self.random.uniform(-15, 15, 3) - R @ self.points.mean(axis=0)
        self.truth = rigid.from_rotation_translation(R, shift)
        self.pixels = {
            (n, name): project(camera, self.truth, point)
            for n, point in enumerate(self.points)
            for name, camera in self.cameras.items()
        }

    def blur(self, noise_px):
        for pixel in self.pixels.values():
            pixel += self.random.normal(0, noise_px, 2)
        return self

    def spoil(self, share):
        """Puts this share of the positions anywhere, 60 px off at least; which ones."""
        keys = list(self.pixels)
        drawn = self.random.choice(len(keys), round(share * len(keys)), replace=False)
        chosen = [keys[i] for i in drawn]
        for key in chosen:
            true = self.pixels[key]
            while np.linalg.norm(self.pixels[key] - true) < 60:
                self.pixels[key] = self.random.uniform(0, 511, 2)
        return [(f"L{n}", view) for n, view in chosen]

    def landmarks(self):
        return [
            Landmark(
                f"L{n}",
                point,
                {view: self.pixels[n, view] for view in self.cameras if (n, view) in self.pixels},
            )
            for n, point in enumerate(self.points)
        ]

    def fit(self):
        return locate(self.landmarks(), self.cameras)

    def error_mm(self, fit):
        """Mean distance of the landmarks from their true place."""
        return mtre(fit.world_from_ct, self.truth, self.points)


def camera(primary_deg, secondary_deg, mirrored):
    seen = {"source_to_detector_mm": 1020, "pixel_mm": (PIXEL_MM, PIXEL_MM), "size": SIZE}
    more = {"mirrored": mirrored, "principal_point": (250, 260)}
    return c_arm(primary_deg, secondary_deg, **seen, **more)


def project(camera, pose, point):
    """By homogeneous matrices alone."""
    u, v, w = camera.intrinsics @ (camera.camera_from_world @ pose @ [*point, 1])[:3]
    return np.array([u / w, v / w])


def exact_fit(scene):
    fit = scene.fit()
    assert scene.error_mm(fit) < 1e-4
    assert all(residual.used and residual.residual_px < 1e-3 for residual in fit.residuals)
    return fit


@pytest.mark.slow
@settings(deadline=None, derandomize=True, database=None, max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(6, 12), st.booleans(), st.booleans())
def test_exact_positions_give_the_exact_pose(seed, views, landmarks, coplanar, mirrored):
    scene = Scene(seed, views, landmarks, coplanar=coplanar, mirrored=mirrored)
    fit = exact_fit(scene)
    for camera in scene.cameras.values():
        assert (camera.depth(rigid.transform_points(fit.world_from_ct, scene.points)) > 0).all()


@pytest.mark.parametrize("kinds", [("slot",), ("slot", "slot"), ("pinhole", "slot")], ids="-".join)
@pytest.mark.parametrize("seed", range(2))
def test_exact_positions_in_slot_scans_give_the_exact_pose(seed, kinds):
    scene = Scene(seed, len(kinds))
    for n, (name, kind) in enumerate(zip(scene.cameras, kinds, strict=True)):
        if kind == "slot":
            told = slot_scan_of(20 + 70 * n) | {"pixel_mm": (0.6, 0.5), "size": SIZE}
            told["columns_along"] = np.array(told["columns_along"]) * (-1) ** seed
            scan = SlotScan(**told)
            scene.cameras[name] = scan.camera()
            for landmark, point in enumerate(scene.points):
                world = (scene.truth @ [*point, 1])[:3]
                share = 550 / (550 - world @ scan.isocentre_to_source)
                column = 255.5 + world @ scan.columns_along * share / 0.6
                scene.pixels[landmark, name] = np.array([column, (80 - world[2]) / 0.5])
    exact_fit(scene)


@pytest.mark.parametrize(
    ("views", "landmarks", "share", "limit_mm"), [(1, 14, 0.25, 20), (2, 6, 0.25, 4)]
)
def test_gross_mismatches_are_excluded(views, landmarks, share, limit_mm):
    for seed in range(2):
        scene = Scene(seed, views, landmarks, mirrored=bool(seed % 2)).blur(3.0)
        spoilt = scene.spoil(share)
        fit = scene.fit()
        left_out = {
            (residual.name, residual.view) for residual in fit.residuals if not residual.used
        }
        assert left_out >= set(spoilt) and len(left_out) <= len(spoilt) + 1
        assert scene.error_mm(fit) < limit_mm


def test_swapped_names_are_reported():
    scene = Scene(6, views=2, landmarks=6).blur(1.0)
    one, other = (1, "view1"), (4, "view1")
    scene.pixels[one], scene.pixels[other] = scene.pixels[other], scene.pixels[one]
    fit = scene.fit()
    said = {(each.name, each.view): each.status for each in fit.residuals if not each.used}
    assert said == {
        ("L1", "view1"): 'left out, swapped with "L4"?',
        ("L4", "view1"): 'left out, swapped with "L1"?',
    }
    assert scene.error_mm(fit) < 2


def test_a_second_solution_is_reported():
    """Four points of a square, far away and tilted a little towards the beam.

    It may as well be tilted the other way.
    """
    seen = camera(0, 0, False)
    points = np.array([[-10.0, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0]])
    R = seen.camera_from_world[:3, :3].T @ Rotation.from_rotvec([0.35, 0, 0]).as_matrix()
    pose = rigid.from_rotation_translation(R, np.zeros(3))
    pixels = [{"AP": project(seen, pose, point)} for point in points]
    fit = locate(list(map(Landmark, "abcd", points, pixels)), {"AP": seen})
    poses = seen.camera_from_world @ [fit.world_from_ct, *fit.alternatives]
    tilts = sorted(Rotation.from_matrix(poses[:, :3, :3]).as_rotvec(degrees=True)[:, 0])
    assert_allclose(tilts, [-np.degrees(0.35), np.degrees(0.35)], atol=3)


def shuffled(scene):
    given = scene.landmarks()
    others = np.roll(given, -3)
    return [Landmark(each.name, each.ct, other.pixels) for each, other in zip(given, others)]


def on_a_line(scene):
    scene.points = np.array([[10.0 * n, 20 * n, 0.5 * (n % 2)] for n in range(len(scene.points))])
    return scene.landmarks()


def seen_outside(scene):
    scene.pixels[2, "view1"] = np.array([-1.0, 20])
    return scene.landmarks()


@pytest.mark.parametrize(
    "landmarks, scene, message",
    [
        (lambda scene: [], Scene(1), "found 0 with 0 positions"),
        (
            Scene.landmarks,
            Scene(1, 1, 3),
            "found 3 with 3 positions in the views, expected four, or",
        ),
        (on_a_line, Scene(1, 2, 6), "all 6 that are seen lie on one line"),
        (shuffled, Scene(2, 2, 10), r'no pose fits them.*"L\d" in "view0" by \d+ mm.*check their'),
        (seen_outside, Scene(1), '"L2" is at column -1, row 20 of "view1", outside its 512'),
        (lambda scene: [*scene.landmarks(), scene.landmarks()[3]], Scene(1), '"L3" is given twice'),
    ],
)
def test_bad_input_is_refused(landmarks, scene, message):
    assert re.search("^landmarks: .*" + message, refusal(locate, landmarks(scene), scene.cameras))


def test_an_unknown_view_and_a_mirrored_one_are_refused():
    scene = Scene(2, views=2, landmarks=20)
    cameras = {"AP": scene.cameras["view0"], "view1": scene.cameras["view1"]}
    unknown = '"L0" is seen in "view0", which is no view, expected one of "AP", "view1"'
    assert unknown in refusal(locate, scene.landmarks(), cameras)
    camera = scene.cameras["view1"]
    flipped = camera.intrinsics * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]]
    mirrored = Camera(flipped, camera.camera_from_world, SIZE)
    message = refusal(locate, scene.landmarks(), {**scene.cameras, "view1": mirrored})
    assert "whether the patient's right is on the left of an image" in message
