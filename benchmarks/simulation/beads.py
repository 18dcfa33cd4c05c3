"""X-rays of a body with a phantom of steel balls before or behind its bone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera

from .projector import MaterialProjector
from .simulator import Ball, SimulatedXRay

#: Balls of the phantom that ships with the program, and one that fits no model.
BALL_MM = 3.0


@dataclass(frozen=True, eq=False)
class BeadScene:
    """A body and a phantom, as one C-arm takes them from several sides.

    cameras: in the world of the body's pose.   world_from_model: (4, 4), of the phantom.
    """

    cameras: tuple[Camera, ...]
    world_from_ct: np.ndarray
    world_from_model: np.ndarray
    model: np.ndarray
    ball_mm: float = BALL_MM

    @property
    def world(self) -> np.ndarray:
        """(n, 3): the centres of the balls."""
        return rigid.transform_points(self.world_from_model, self.model)

    def pixels(self, camera: Camera) -> np.ndarray:
        """(n, 2): where a camera shows their centres."""
        return camera.project(self.world)

    def radii_px(self, camera: Camera) -> np.ndarray:
        """(n,): the radii of their images."""
        return self.ball_mm / 2 * camera.focal_px / camera.depth(self.world)

    def take(
        self,
        projector: MaterialProjector,
        rng: np.random.Generator,
        xray: SimulatedXRay,
        more: Sequence[Ball] = (),
    ) -> list[np.ndarray]:
        """The X-rays, uint16 (rows, columns) each, with further balls in them."""
        balls = tuple(Ball(tuple(point), self.ball_mm) for point in self.world.tolist())
        xray = replace(xray, metal=(*xray.metal, *balls, *more))
        return [xray.take(projector, camera, self.world_from_ct, rng) for camera in self.cameras]


def random_scene(
    rng: np.random.Generator,
    model: np.ndarray,
    middle: np.ndarray,
    *,
    views: int = 2,
    pixel_mm: float = 0.2,
    size: tuple[int, int] = (1024, 1024),
    off_px: float = 0.0,
    beside_mm: float = 40.0,
) -> BeadScene:
    """A phantom at random, `beside_mm` from the middle of a body (CT mm), seen from sides 60 to 100 degrees apart.

    off_px: by which each principal point lies off the middle of its image.
    """
    mirrored = bool(rng.random() < 0.5)
    distance, focal = rng.uniform(600, 800), rng.uniform(950, 1200) / pixel_mm
    turn = rigid.exp_so3(_direction(rng) * rng.uniform(0, 0.3))
    world_from_ct = rigid.from_rotation_translation(turn, -turn @ middle)
    angles = np.radians(rng.uniform(-20, 20) + np.cumsum([0, *rng.uniform(60, 100, views - 1)]))
    # The phantom lies to one side of what all views look at, the body to the other.
    towards = rigid.exp_so3([0, 0, angles.mean()]) @ [0, 1.0, 0]
    world_from_model = rigid.turn_and_shift(
        _direction(rng) * rng.uniform(0, np.pi), beside_mm / 2 * towards
    )
    shift = rigid.translation(-beside_mm / 2 * towards)
    cameras = []
    for angle in angles:
        centre = (np.array(size) - 1) / 2 + off_px * _direction(rng, 2)
        intrinsics = np.diag([-focal if mirrored else focal, focal, 1.0])
        intrinsics[:2, 2] = centre
        upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ rigid.exp_so3([0, 0, -angle])
        tilt = rigid.exp_so3(rng.uniform(-0.1, 0.1, 3))
        pose = rigid.from_rotation_translation(tilt @ upright, [*rng.uniform(-10, 10, 2), distance])
        cameras.append(Camera(intrinsics, pose, size))
    return BeadScene(tuple(cameras), shift @ world_from_ct, world_from_model, model)


def _direction(rng: np.random.Generator, count: int = 3) -> np.ndarray:
    direction = rng.normal(size=count)
    return direction / np.linalg.norm(direction)
