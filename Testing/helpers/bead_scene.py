"""The phantom of beads, cameras that look at it, and X-rays of it, for tests."""

from pathlib import Path

import numpy as np

from benchmarks.simulation.body import Body
from benchmarks.simulation.projector import RtkProjector
from benchmarks.simulation.simulator import Ball, SimulatedXRay
from helpers.phantom import c_arm, make_ct
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.beads import stopped_by_ball

ROOT = Path(__file__).resolve().parents[2]
PHANTOM = ROOT / "MultiViewRegistration" / "Resources" / "Phantom" / "phantom.csv"


def random_camera(rng, mirrored=False, off_px=0.0, size=(1024, 1024), focal=(4.2, 6.5)):
    """A camera 600 to 800 mm from the model's origin, turned at random.

    off_px: by which its principal point lies off the middle.   focal: range in widths of the image.
    """
    turn = rng.normal(size=3)
    R = rigid.exp_so3(turn / np.linalg.norm(turn) * rng.uniform(0, np.pi))
    distance = rng.uniform(*focal) * size[0]
    K = np.diag([-distance if mirrored else distance, distance, 1.0])
    K[:2, 2] = (np.array(size) - 1) / 2 + off_px * rng.uniform(-1, 1, 2)
    pose = rigid.from_rotation_translation(R, [*rng.uniform(-10, 10, 2), rng.uniform(600, 800)])
    return Camera(K, pose, size)


def take_phantom(cameras, points, seed=0, body=True, ball_mm=3.0, photons=2000):
    """X-rays by RTK of balls at points (n, 3) of the cameras' world, with the body of `phantom` at its origin."""
    rng = np.random.default_rng(seed)
    projector = RtkProjector(Body.from_hu(make_ct().volume, 20)) if body else Air()
    metal = tuple(Ball(tuple(point), ball_mm) for point in np.asarray(points).tolist())
    xray = SimulatedXRay(pixel_mm=0.4, photons=photons, metal=metal)
    return [xray.take(projector, camera, np.eye(4), rng) for camera in cameras]


def draw_beads(camera, points, seed=0, ball_mm=3.0):
    """What a camera shows of balls before a haze, uint16 with bone dark, in a moment: no physics but their chords."""
    rows, columns = np.indices(camera.size[::-1])
    beside = np.hypot(columns / camera.size[0] - 0.4, rows / camera.size[1] - 0.6)
    image = 30000 * np.exp(-np.exp(-8 * beside**2))
    radii = ball_mm / 2 * camera.focal_px / camera.depth(points)
    for (u, v), radius in zip(camera.project(points), radii, strict=True):
        distance = np.hypot(columns - u, rows - v)
        near = distance < radius + 6
        image[near] *= 1 - 0.8 * stopped_by_ball(distance[near], radius, 0.8, 1.5)
    return np.random.default_rng(seed).normal(image, 100).astype(np.uint16)


def two_sides(size=(300, 300), mirrored=False, off_px=18.0):
    """An AP and a lateral camera that look at the world's origin, patient's axes, their principal points off the middle."""
    seen = {"source_to_isocentre_mm": 650.0, "pixel_mm": (300 / size[0],) * 2, "size": size}
    cameras = []
    for angle, sign in ((0.0, 1), (90.0, -1)):
        camera = c_arm(angle, mirrored=mirrored, **seen)
        K = camera.intrinsics + [[0, 0, sign * off_px], [0, 0, 0.6 * off_px], [0, 0, 0]]
        cameras.append(Camera(K, camera.camera_from_world, size))
    return cameras


class Air:
    """Stands in for the projector of a body: a little water everywhere."""

    def project(self, camera, world_from_ct):
        shape = camera.size[::-1]
        return np.stack([np.full(shape, 8.0, np.float32), np.zeros(shape, np.float32)])
