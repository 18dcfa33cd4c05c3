"""Geometry that is given wrong: what is true of the cameras is known from the simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ..geometry import rigid
from ..imaging.view import View
from ..imaging.xray import XRay
from ..registration.optimizer import moved

GeometryError = Callable[[np.random.Generator, list[View]], list[View]]


def perturbed_pose(
    rng: np.random.Generator, pose: np.ndarray, centre: np.ndarray, degrees: float, mm: float
) -> np.ndarray:
    """The pose turned about a world point by so many degrees and shifted by so many mm, in directions drawn evenly."""
    axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    return moved(pose, np.concatenate([np.radians(degrees) * axis, mm * way]), centre)


def turned(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The last view's angle about the isocentre, the world origin, and its place are wrong by 0.5 to 10 degrees and mm, taken as exact."""
    camera = views[-1].camera
    wrong = camera.camera_from_world @ perturbed_pose(
        rng, np.eye(4), np.zeros(3), 10 ** rng.uniform(-0.3, 1), 10 ** rng.uniform(-0.3, 1)
    )
    return [*views[:-1], replace(views[-1], camera=replace(camera, camera_from_world=wrong))]


def scaled(rng: np.random.Generator, views: list[View]) -> list[View]:
    """The distance from source to detector is wrong by up to 10 % in all views."""
    scale = np.diag([1 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.1)] * 2 + [1.0])
    centre = [np.array([[1, 0, u], [0, 1, v], [0, 0, 1.0]]) for u, v in (view.camera.principal_point for view in views)]
    return [
        replace(view, camera=replace(view.camera, intrinsics=to @ scale @ np.linalg.inv(to) @ view.camera.intrinsics))
        for view, to in zip(views, centre, strict=True)
    ]


def flipped(rng: np.random.Generator, views: list[View]) -> list[View]:
    """One of the images is mirrored, or all are."""
    which = rng.integers(len(views) + 1)
    return [_mirrored(view) if which in (i, len(views)) else view for i, view in enumerate(views)]


def encoder(rng: np.random.Generator, views: list[View], degrees: float = 1.0, mm: float = 3.0) -> list[View]:
    """The further views' cameras are as wrong as the case says they may be."""
    wrong = []
    for view in views[1:]:
        turn, shift = np.radians(degrees) * rng.normal(size=3), mm * rng.normal(size=3)
        pose = view.camera.camera_from_world @ rigid.from_rotation_translation(rigid.exp_so3(turn), shift)
        wrong.append(
            replace(
                view, camera=replace(view.camera, camera_from_world=pose), rotation_sd_deg=degrees, translation_sd_mm=mm
            )
        )
    return [views[0], *wrong]


def _mirrored(view: View) -> View:
    image, valid = (np.ascontiguousarray(each[:, ::-1]) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm))


#: By the names of `conditions.ERRORS`.
GEOMETRY_ERRORS: dict[str, GeometryError] = {
    "encoder 1": partial(encoder, degrees=1.0, mm=2.0),
    "encoder 2": partial(encoder, degrees=2.0, mm=5.0),
    "turned": turned,
    "scaled": scaled,
    "flipped": flipped,
}
