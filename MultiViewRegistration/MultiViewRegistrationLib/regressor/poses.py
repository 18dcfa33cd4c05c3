"""Poses to train on: random ones within ranges in the terms of a C-arm."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..io.case_settings import TRAINING

#: The six axes of a `PoseRange`, and the largest half-width of each.
AXES = tuple(TRAINING)
LARGEST = [np.inf if most is None else most for most in TRAINING.values()]
#: The CT is in a view's field where this share of its outline (of the image, if that is smaller)
#: lies in the image.
IN_FIELD = 0.1


@dataclass(frozen=True, eq=False)
class PoseRange:
    """All poses up to so far from a nominal pose, in the terms of a C-arm.

    Half-widths of six axes, evenly filled.

    The axes are those of the first view's camera. The anatomy's centroid stays where it is under
    turns, and goes where shifts take it.

    orbital_deg, tilt_deg, roll_deg: as if the C-arm turned about the centroid, with the signs of
    RAO/LAO, CRA/CAU and roll in `CArm`;
        they are these very angles if the first view is the C-arm's at 0/0.
    columns_mm, rows_mm: the anatomy's shift along the camera's x and y, at its own depth. In a
    mirrored image x runs against the columns. beam_mm: its shift from source to detector, along z:
    the source's distance.

    Parameters
    ----------
    camera
        Of the first view.
    world_from_ct
        (4, 4), the nominal pose.
    centroid
        (3,) CT mm.
    half_widths
        (6,) degrees and mm, in the order of AXES.
    """

    camera: Camera
    world_from_ct: np.ndarray
    centroid: np.ndarray
    half_widths: np.ndarray

    @classmethod
    def of_case(
        cls,
        cameras: Mapping[str, Camera],
        world_from_ct: np.ndarray,
        centroid: np.ndarray,
        corners: np.ndarray,
        search: Mapping[str, float],
        training: Mapping[str, float],
    ) -> PoseRange:
        """Return the range of a case.

        Parameters
        ----------
        cameras
            By the names of the views, the first one first.
        world_from_ct, centroid
            As of a range.
        corners
            (8, 3) CT mm, of the box around all that attenuates.
        search
            "rotation_deg" and "translation_mm", as in case.json. Each angle and each shift may be
            as large: that holds all poses of the search, for turns of up to 90 degrees. The shifts
            are made smaller, in proportion, where they would take the CT out of a view's field.
        training
            half-widths by the names of AXES, in place of those; these stay as they are.

        Raises
        ------
        InputError
            Ranges or a nominal pose put the CT out of a view's field.
        """
        widths = np.minimum(
            np.repeat([search["rotation_deg"], search["translation_mm"]], 3), LARGEST
        )
        given = np.array([training.get(axis, np.nan) for axis in AXES])
        problems = []
        for tenths in range(10, 0, -1):
            half_widths = np.where(np.isnan(given), widths * np.repeat([1, tenths / 10], 3), given)
            narrowed = cls(cameras[next(iter(cameras))], world_from_ct, centroid, half_widths)
            problems.append(narrowed._problem(cameras, corners))
            if not problems[-1]:
                return narrowed
        raise InputError(problems[0])

    @property
    def centre(self) -> np.ndarray:
        """(3,) world mm: where the centroid is at the nominal pose."""
        return rigid.transform_points(self.world_from_ct, self.centroid)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return random poses (count, 4, 4), even in each of the six axes."""
        return self.poses(self.half_widths * rng.uniform(-1, 1, (count, 6)))

    def poses(self, values: np.ndarray) -> np.ndarray:
        """Return the poses (..., 4, 4) at values (..., 6) along the axes, degrees and mm.

        A shift after turns Rz(roll) Rx(-tilt) Ry(orbital), in the camera.
        """
        values = np.asarray(values, float)
        angles = (values[..., 2::-1] * (1, -1, 1)).reshape(-1, 3)
        turns = scipy.spatial.transform.Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
        motion = rigid.from_rotation_translation(
            turns.reshape(*values.shape[:-1], 3, 3), values[..., 3:]
        )
        camera_from_ct = self.camera.camera_from_world @ self.world_from_ct
        return (
            self.camera.world_from_camera
            @ rigid.about(self._centre_in_camera, motion)
            @ camera_from_ct
        )

    def values(self, poses: np.ndarray) -> np.ndarray:
        """Return the coordinates (..., 6) of poses (..., 4, 4) along the axes, degrees and mm.

        The inverse of `poses`.
        """
        camera_from_ct = self.camera.camera_from_world @ np.asarray(poses, float)
        R = (
            camera_from_ct[..., :3, :3]
            @ (self.camera.camera_from_world @ self.world_from_ct)[:3, :3].T
        )
        turns = (
            scipy.spatial.transform.Rotation.from_matrix(R.reshape(-1, 3, 3))
            .as_euler("ZXY", degrees=True)
            .reshape(*R.shape[:-2], 3)
        )
        shift = rigid.transform_points(camera_from_ct, self.centroid) - self._centre_in_camera
        return np.concatenate([turns[..., ::-1] * (1, -1, 1), shift], axis=-1)

    @property
    def _centre_in_camera(self) -> np.ndarray:
        return rigid.transform_points(self.camera.camera_from_world, self.centre)

    def _problem(self, cameras: Mapping[str, Camera], corners: np.ndarray) -> str:
        """Return the worst problem of the range in a view's field, over its ends and midpoints.

        "" for none.
        """
        # The nominal pose first.
        steps = np.array(sorted(itertools.product((0, -1, 1), repeat=6), key=np.count_nonzero))
        poses = self.poses(steps * self.half_widths)
        for name, camera in cameras.items():
            shown = _shown(camera, poses, corners)
            if shown[0] < IN_FIELD:
                return (
                    f'world_from_ct: at this pose the CT is out of the field of view "{name}", expected that all views show it; '
                    "correct the pose or the geometry of the view."
                )
            if shown.min() < IN_FIELD:
                worst = zip(AXES, steps[shown.argmin()] * self.half_widths, strict=True)
                where = ", ".join(f"{axis} {value:g}" for axis, value in worst if value)
                return (
                    f'training: at {where} the CT is out of the field of view "{name}", expected ranges at whose ends all views '
                    "show it; narrow them, or correct world_from_ct."
                )
        return ""


def _shown(camera: Camera, poses: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return (n,), the share of the outlines of a box with corners (8, 3) at poses (n, 4, 4) that a camera's image shows, as rectangles.

    Of the image, where that is smaller. 0 where the box reaches behind the source.
    """
    points = rigid.transform_points(poses[:, None], corners)
    before = np.all(camera.depth(points) > 0, axis=1)
    on_the_axis = camera.source + camera.camera_from_world[2, :3]
    pixels = camera.project(np.where(before[:, None, None], points, on_the_axis))
    low = pixels.min(axis=1)
    high = pixels.max(axis=1)
    size = np.array(camera.size)
    inside = (np.minimum(high, size - 0.5) - np.maximum(low, -0.5)).clip(min=0).prod(axis=1)
    whole = np.minimum((high - low).prod(axis=1), size.prod())
    return np.divide(inside, whole, out=np.zeros_like(inside), where=before & (whole > 0))
