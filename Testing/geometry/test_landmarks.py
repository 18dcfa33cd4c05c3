"""Poses from landmarks: cameras of all kinds, projected here by plain matrices, with noise, mismatches and bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.landmarks import Landmark, LandmarkFit, locate

SIZE = (512, 512)
PIXEL_MM = 0.58


class Scene:
    """Landmarks of a body at a random place in its CT, turned at random, before a C-arm's views."""

    def __init__(
        self, seed: int, views: int = 2, landmarks: int = 8, *, coplanar: bool = False, mirrored: bool = False
    ) -> None:
        self.random = np.random.default_rng(seed)
        angles = self.random.uniform(-20, 20) + np.array([0, 60, -50])[:views]
        self.cameras = {
            f"view{n}": c_arm(angle, self.random.uniform(-10, 10), mirrored) for n, angle in enumerate(angles)
        }
        self.points = self.random.uniform(-50, 50, (landmarks, 3))
        if coplanar:
            self.points[:, 2] = 0
        self.points = self.points @ Rotation.random(random_state=seed + 1).as_matrix().T + [180, -90, 1200]
        self.truth = np.eye(4)
        self.truth[:3, :3] = Rotation.random(random_state=seed).as_matrix()
        self.truth[:3, 3] = self.random.uniform(-15, 15, 3) - self.truth[:3, :3] @ self.points.mean(axis=0)
        self.pixels = {
            (n, name): project(camera, self.truth, point)
            for n, point in enumerate(self.points)
            for name, camera in self.cameras.items()
        }

    def blur(self, noise_px: float) -> Scene:
        for pixel in self.pixels.values():
            pixel += self.random.normal(0, noise_px, 2)
        return self

    def spoil(self, share: float) -> list[tuple[str, str]]:
        """Puts this share of the positions anywhere, 60 px off at least; which ones."""
        keys = list(self.pixels)
        chosen = [keys[i] for i in self.random.choice(len(keys), round(share * len(keys)), replace=False)]
        for key in chosen:
            true = self.pixels[key]
            while np.linalg.norm(self.pixels[key] - true) < 60:
                self.pixels[key] = self.random.uniform(0, 511, 2)
        return [(f"L{n}", view) for n, view in chosen]

    def swap(self, first: int, second: int, view: str) -> None:
        self.pixels[first, view], self.pixels[second, view] = self.pixels[second, view], self.pixels[first, view]

    def landmarks(self) -> list[Landmark]:
        return [
            Landmark(f"L{n}", point, {view: self.pixels[n, view] for view in self.cameras if (n, view) in self.pixels})
            for n, point in enumerate(self.points)
        ]

    def fit(self) -> LandmarkFit:
        return locate(self.landmarks(), self.cameras)

    def error_mm(self, fit: LandmarkFit) -> float:
        """Mean distance of the landmarks from their true place."""
        difference = fit.world_from_ct - self.truth
        return float(np.linalg.norm(self.points @ difference[:3, :3].T + difference[:3, 3], axis=1).mean())


def c_arm(primary_deg: float, secondary_deg: float, mirrored: bool) -> Camera:
    return CArm(
        source_to_detector_mm=1020,
        source_to_isocentre_mm=700,
        pixel_mm=(PIXEL_MM, PIXEL_MM),
        size=SIZE,
        mirrored=mirrored,
        principal_point=(250, 260),
        rao_lao_deg=primary_deg,
        cra_cau_deg=secondary_deg,
    ).camera()


def project(camera: Camera, pose: np.ndarray, point: np.ndarray) -> np.ndarray:
    """By homogeneous matrices alone."""
    u, v, w = camera.intrinsics @ (camera.camera_from_world @ pose @ [*point, 1])[:3]
    return np.array([u / w, v / w])


def refusal(landmarks, cameras) -> str:
    with pytest.raises(InputError) as error:
        locate(landmarks, cameras)
    message = str(error.value)
    assert re.fullmatch(r"landmarks: [^\n]*\.", message) and not re.search(r"[.!?] [A-Z]", message)
    return message


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(6, 12), st.booleans(), st.booleans())
def test_exact_positions_give_the_exact_pose(seed, views, landmarks, coplanar, mirrored):
    scene = Scene(seed, views, landmarks, coplanar=coplanar, mirrored=mirrored)
    fit = scene.fit()
    assert scene.error_mm(fit) < 1e-4
    assert all(residual.used and residual.residual_px < 1e-3 for residual in fit.residuals)
    for camera in scene.cameras.values():
        assert (camera.depth(scene.points @ fit.world_from_ct[:3, :3].T + fit.world_from_ct[:3, 3]) > 0).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_three_landmarks_of_which_one_is_seen_twice_are_enough(seed, mirrored):
    """The true pose is among the answers: with so few, another one may fit as well, and is told."""
    scene = Scene(seed, views=2, landmarks=3, mirrored=mirrored)
    del scene.pixels[1, "view1"], scene.pixels[2, "view1"]
    fit = scene.fit()
    assert min(scene.error_mm(LandmarkFit(pose, ())) for pose in (fit.world_from_ct, *fit.alternatives)) < 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_four_coplanar_landmarks_in_one_view_are_enough(seed):
    scene = Scene(seed, views=1, landmarks=4, coplanar=True)
    assert scene.error_mm(scene.fit()) < 1e-3


def test_views_that_share_no_landmark_hold_one_pose_together():
    """Two landmarks in each of two views: neither view could do it alone."""
    scene = Scene(4, views=2, landmarks=6)
    for n in range(6):
        del scene.pixels[n, f"view{n % 2}"]
    assert scene.error_mm(scene.fit()) < 1e-4


def test_where_rays_meet_it_is_the_rigid_alignment_of_the_points_there():
    """Points triangulated from the true rays, aligned by scipy and by SimpleITK."""
    scene = Scene(7, views=3, landmarks=7)
    fit = scene.fit()
    met = []
    for n in range(7):
        rows = []
        for name, camera in scene.cameras.items():
            P = camera.intrinsics @ camera.camera_from_world[:3]
            u, v = scene.pixels[n, name]
            rows += [u * P[2] - P[0], v * P[2] - P[1]]
        homogeneous = np.linalg.svd(np.array(rows))[2][-1]
        met.append(homogeneous[:3] / homogeneous[3])
    met = np.array(met)
    turn, _ = Rotation.align_vectors(met - met.mean(axis=0), scene.points - scene.points.mean(axis=0))
    np.testing.assert_allclose(fit.world_from_ct[:3, :3], turn.as_matrix(), atol=1e-7)
    itk = sitk.LandmarkBasedTransformInitializer(
        sitk.VersorRigid3DTransform(), scene.points.ravel().tolist(), met.ravel().tolist()
    )
    for point in scene.points:
        np.testing.assert_allclose(fit.world_from_ct[:3] @ [*point, 1], itk.TransformPoint(point.tolist()), atol=1e-5)


def test_the_error_grows_with_the_noise_and_is_what_the_geometry_allows():
    """Two views see each point to about noise * pixel / magnification in each direction; 12 points share 6 numbers."""
    medians = []
    for noise in (0.5, 1.0, 4.0):
        scenes = [Scene(seed, views=2, landmarks=12).blur(noise) for seed in range(8)]
        medians.append(np.median([scene.error_mm(scene.fit()) for scene in scenes]))
    share = np.array(medians) / [0.5, 1, 4]
    assert share.max() < 1.5 * share.min()
    assert share.max() < PIXEL_MM * 700 / 1020


def test_residuals_are_those_of_the_pose_in_pixels_and_at_the_depth():
    scene = Scene(3, views=2, landmarks=8).blur(3.0)
    fit = scene.fit()
    assert [(residual.name, residual.view) for residual in fit.residuals] == [
        (f"L{n}", view) for n, view in scene.pixels
    ]
    for residual, ((n, view), pixel) in zip(fit.residuals, scene.pixels.items()):
        camera = scene.cameras[view]
        depth = (camera.camera_from_world @ fit.world_from_ct @ [*scene.points[n], 1])[2]
        off = np.linalg.norm(project(camera, fit.world_from_ct, scene.points[n]) - pixel)
        assert residual.residual_px == pytest.approx(off, abs=1e-6)
        assert residual.residual_mm == pytest.approx(off * depth / camera.intrinsics[1, 1], rel=1e-6)


@pytest.mark.parametrize(
    ("views", "landmarks", "share", "limit_mm"), [(1, 14, 0.25, 20), (2, 6, 0.25, 4), (2, 10, 0.3, 4), (3, 8, 0.3, 3)]
)
def test_gross_mismatches_are_left_out(views, landmarks, share, limit_mm):
    for seed in range(6):
        scene = Scene(seed, views, landmarks, mirrored=bool(seed % 2)).blur(3.0)
        spoilt = scene.spoil(share)
        fit = scene.fit()
        left_out = {(residual.name, residual.view) for residual in fit.residuals if not residual.used}
        assert left_out >= set(spoilt) and len(left_out) <= len(spoilt) + 1
        assert scene.error_mm(fit) < limit_mm


def test_a_landmark_that_is_wrong_in_the_ct_is_left_out_in_every_view():
    scene = Scene(5, views=2, landmarks=7).blur(1.0)
    scene.points[2] += [0, 0, 5000]  # behind a source, perhaps
    fit = scene.fit()
    assert [(residual.name, residual.view) for residual in fit.residuals if not residual.used] == [
        ("L2", "view0"),
        ("L2", "view1"),
    ]
    assert np.isfinite([[residual.residual_px, residual.residual_mm] for residual in fit.residuals]).all()


def test_swapped_names_are_told():
    scene = Scene(6, views=2, landmarks=6).blur(1.0)
    scene.swap(1, 4, "view1")
    fit = scene.fit()
    assert {(each.name, each.view): each.swapped_with for each in fit.residuals if not each.used} == {
        ("L1", "view1"): "L4",
        ("L4", "view1"): "L1",
    }
    assert {each.status for each in fit.residuals} == {
        "used",
        'left out, swapped with "L4"?',
        'left out, swapped with "L1"?',
    }
    assert scene.error_mm(fit) < 2


def test_noise_alone_leaves_hardly_any_out():
    out = [not residual.used for seed in range(15) for residual in Scene(seed, 2, 8).blur(4.0).fit().residuals]
    assert np.mean(out) < 0.03


def test_the_same_input_gives_the_same_pose():
    scene = Scene(8, views=2, landmarks=12).blur(2.0)
    scene.spoil(0.2)
    np.testing.assert_array_equal(scene.fit().world_from_ct, scene.fit().world_from_ct)


def test_a_second_answer_is_told():
    """Four points of a square, far away and tilted a little towards the beam: it may as well be tilted the other way."""
    camera = c_arm(0, 0, False)
    points = np.array([[-10.0, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0]])
    R = camera.camera_from_world[:3, :3].T @ Rotation.from_rotvec([0.35, 0, 0]).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = R
    fit = locate(
        [Landmark(f"L{n}", point, {"AP": project(camera, pose, point)}) for n, point in enumerate(points)],
        {"AP": camera},
    )
    poses = [fit.world_from_ct, *fit.alternatives]
    assert len(poses) == 2
    tilts = sorted(
        np.degrees(Rotation.from_matrix(camera.camera_from_world[:3, :3] @ each[:3, :3]).as_rotvec()[0])
        for each in poses
    )
    np.testing.assert_allclose(np.abs(tilts), np.degrees(0.35), atol=3)
    assert tilts[0] < 0 < tilts[1]


class TestBadInput:
    def test_none(self):
        assert "found 0 with 0 positions" in refusal([], Scene(1).cameras)

    def test_too_few(self):
        scene = Scene(1, views=1, landmarks=3)
        assert "found 3 with 3 positions in the views, expected four, or three" in refusal(
            scene.landmarks(), scene.cameras
        )

    def test_two_in_three_views(self):
        scene = Scene(1, views=3, landmarks=2)
        assert "found 2 with 6 positions" in refusal(scene.landmarks(), scene.cameras)

    def test_one_that_is_seen_nowhere_does_not_count(self):
        scene = Scene(1, views=1, landmarks=4)
        del scene.pixels[3, "view0"]
        assert "found 3 with 3 positions" in refusal(scene.landmarks(), scene.cameras)

    @pytest.mark.parametrize("off_mm", [0.0, 0.5])
    def test_on_a_line(self, off_mm):
        scene = Scene(1, views=2, landmarks=6)
        line = [
            Landmark(f"L{n}", np.array([10.0 * n, 20 * n, off_mm * (n % 2)]), landmark.pixels)
            for n, landmark in enumerate(scene.landmarks())
        ]
        assert "all 6 that are seen lie on one line" in refusal(line, scene.cameras)

    def test_at_one_place(self):
        scene = Scene(1, views=2, landmarks=4)
        one = [Landmark(landmark.name, np.ones(3), landmark.pixels) for landmark in scene.landmarks()]
        assert "lie on one line" in refusal(one, scene.cameras)

    @pytest.mark.parametrize("views", [1, 2])
    def test_mismatched(self, views):
        scene = Scene(2, views, landmarks=10)
        names = [landmark.pixels for landmark in scene.landmarks()]
        shuffled = [
            Landmark(landmark.name, landmark.ct, names[(n + 3) % 10]) for n, landmark in enumerate(scene.landmarks())
        ]
        message = refusal(shuffled, scene.cameras)
        assert (
            "no pose fits them" in message
            and re.search(r'"L\d" in "view0" by \d+ mm', message)
            and "check their names" in message
        )

    def test_one_image_taken_for_a_mirrored_one(self):
        scene = Scene(2, views=2, landmarks=20)
        camera = scene.cameras["view1"]
        mirrored = Camera(camera.intrinsics * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]], camera.camera_from_world, SIZE)
        assert "whether an image is mirrored" in refusal(scene.landmarks(), {**scene.cameras, "view1": mirrored})

    def test_two_of_four_swapped_in_the_one_view(self):
        scene = Scene(3, views=1, landmarks=4)
        scene.swap(0, 2, "view0")
        assert re.search(r'misses ("L\d" in "view0" by \d+ mm(, )?)+', refusal(scene.landmarks(), scene.cameras))

    def test_an_unknown_view(self):
        scene = Scene(1)
        cameras = {"AP": scene.cameras["view0"], "view1": scene.cameras["view1"]}
        assert '"L0" is seen in "view0", which is no view, expected one of "AP", "view1"' in refusal(
            scene.landmarks(), cameras
        )

    @pytest.mark.parametrize("pixel", [(-1, 20), (20, 511.6), (np.nan, 20)])
    def test_a_pixel_outside(self, pixel):
        scene = Scene(1)
        scene.pixels[2, "view1"] = np.array(pixel, float)
        assert f'"L2" is at column {pixel[0]:g}, row {pixel[1]:g} of "view1", outside its 512 x 512' in refusal(
            scene.landmarks(), scene.cameras
        )

    def test_a_name_given_twice(self):
        scene = Scene(1)
        landmarks = scene.landmarks()
        assert '"L3" is given twice' in refusal([*landmarks, landmarks[3]], scene.cameras)
