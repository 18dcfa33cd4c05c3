"""Poses to train on: random ones within ranges in the terms of a C-arm.

A batch is drawn from one word, its key. Each of its poses has a key of its own, and from that one everything about it, so that any part of
a batch can be drawn by itself.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from scipy.spatial.transform import Rotation

from ..errors import InputError, warn
from ..geometry import rigid
from ..geometry.camera import Camera
from .rng import compiled, derived, normal, uniform

AXES = ("orbital_deg", "tilt_deg", "roll_deg", "columns_mm", "rows_mm", "beam_mm")
"""The six axes of a `PoseRange`, in the order of its values."""
LARGEST = (180.0, 90.0, 180.0, np.inf, np.inf, np.inf)
#: The CT is in a view's field where this share of its outline (of the image, if that is smaller) lies in the image.
IN_FIELD = 0.1
_ROUNDING = 1e-6


#: What is drawn from a pose's key: the pose, how its neighbours move, and from there on the image of each view.
POSE, NEIGHBOURS, IMAGES = np.uint64(0), np.uint64(1), np.uint64(2)
_0, _1 = np.uint64(0), np.uint64(1)


def key_of(*numbers: int) -> np.uint64:
    """The key of a batch by some whole numbers: seed, what it is for, step."""
    key = _0
    for number in numbers:
        key = np.uint64(derived(key, np.uint64(number % 2**64)))
    return key


def variant_of(key: np.uint64, count: int) -> int:
    """Which of so many continuations of the body a batch shows."""
    return int(derived(key, _0) % np.uint64(count))


@compiled
def _state_of(key, number, what):
    """What is drawn for a pose of a batch, by its number, begins here."""
    return derived(derived(key, np.uint64(number) + _1), what)


@nb.njit(nogil=True, cache=True)
def states_of_images(key, first, count, views):
    """(views, count) uint64: where the images of a batch begin to be drawn, from pose `first` on."""
    states = np.empty((views, count), np.uint64)
    for n in range(count):
        for view in range(views):
            states[view, n] = _state_of(key, first + n, IMAGES + np.uint64(view))
    return states


@nb.njit(nogil=True, cache=True)
def _draw_sixes(key, first, count, what, middle, reach, normally):
    """(count, 6): evenly within middle -+ reach, or normally distributed with these means and standard deviations."""
    six, state = np.empty((count, 6)), np.empty(1, np.uint64)
    for n in range(count):
        state[0] = _state_of(key, first + n, what)
        for i in range(6):
            drawn = reach[i] * normal(state) if normally else uniform(state, -reach[i], reach[i])
            six[n, i] = middle[i] + drawn
    return six


@dataclass(frozen=True, eq=False)
class Motions:
    """Random motions before @ exp(factors[0] @ six) @ exp(factors[1] @ six) @ ... @ after, of six numbers each.

    Products of exponentials, as of a robot's joints (Brockett, Robotic manipulators and the product of exponentials formula, 1984).

    before, after: (4, 4).   factors: (n, 6, 6), of twists, rad and mm.
    middle, reach, normally: (6,), (6,) and a truth value: how the numbers are drawn, see `_draw_sixes`.
    """

    before: np.ndarray
    factors: np.ndarray
    after: np.ndarray
    middle: np.ndarray
    reach: np.ndarray
    normally: bool

    def of(self, six: np.ndarray) -> np.ndarray:
        """The motions (..., 4, 4) of numbers (..., 6)."""
        motion = self.before
        for factor in self.factors:
            motion = motion @ rigid.exp_se3(np.asarray(six, float) @ factor.T)
        return motion @ self.after

    def sample(self, key: np.uint64, numbers: range, what: np.uint64 = POSE) -> np.ndarray:
        """Those (n, 4, 4) of some poses of a batch, by their numbers.   what: POSE or NEIGHBOURS."""
        return self.of(_draw_sixes(key, numbers.start, len(numbers), what, self.middle, self.reach, self.normally))


def neighbours(centroid: np.ndarray, deg: float, mm: float) -> Motions:
    """How what surrounds a structure moves: a normally distributed turn about the structure's centroid (3,), then a shift.

    deg, mm: standard deviations about and along each axis.
    """
    shift = rigid.from_rotation_translation(np.eye(3), centroid)
    return Motions(
        shift,
        np.stack([along(mm=np.eye(3)), along(rad=np.eye(3))]),
        rigid.inverse(shift),
        np.zeros(6),
        np.repeat([np.radians(deg), mm], 3),
        True,
    )


def along(rad: np.ndarray | float = 0.0, mm: np.ndarray | float = 0.0) -> np.ndarray:
    """(6, 6): a factor whose turn is `rad` (3, 3) times the first three numbers, and its shift `mm` (3, 3) times the last."""
    factor = np.zeros((6, 6))
    factor[:3, :3], factor[3:, 3:] = rad, mm
    return factor


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseRange:
    """All poses up to so far from a nominal pose, in the terms of a C-arm: half-widths of six axes, evenly filled.

    The axes are those of the first view's camera. The anatomy's centroid stays where it is under turns, and goes where shifts take it.

    camera: of the first view.   world_from_ct: (4, 4), the nominal pose.   centroid: (3,) CT mm.
    orbital_deg, tilt_deg, roll_deg: as if the C-arm turned about the centroid, with the signs of RAO/LAO, CRA/CAU and roll in `CArm`;
        they are these very angles if the first view is the C-arm's at 0/0. At most 180, 90, 180.
    columns_mm, rows_mm: the anatomy's shift along the camera's x and y, at its own depth. In a mirrored image x runs against the columns.
    beam_mm: its shift from source to detector, along z: the source's distance.

    InputError for a half-width that is negative, too large or no number, or if all are 0.
    """

    camera: Camera
    world_from_ct: np.ndarray
    centroid: np.ndarray
    orbital_deg: float
    tilt_deg: float
    roll_deg: float
    columns_mm: float
    rows_mm: float
    beam_mm: float

    def __post_init__(self) -> None:
        for axis, largest in zip(AXES, LARGEST, strict=True):
            width = float(rigid.check_numbers(getattr(self, axis), (), f"training.{axis}"))
            if not 0 <= width <= largest:
                expected = f"0 to {largest:g}" if np.isfinite(largest) else "0 or more"
                raise InputError(f"training.{axis}: found {width:g}, expected {expected}; correct it.")
            object.__setattr__(self, axis, width)
        if not self.half_widths.any():
            raise InputError(
                "training: all ranges are 0, expected one above 0, as a single pose is nothing to learn; widen it."
            )

    @classmethod
    def of_case(
        cls,
        cameras: Mapping[str, Camera],
        world_from_ct: np.ndarray,
        centroid: np.ndarray,
        corners: np.ndarray,
        search: Mapping[str, float],
        training: Mapping[str, float] | None = None,
    ) -> PoseRange:
        """The range of a case.

        cameras: by the names of the views, the first one first.   corners: (8, 3) CT mm, of the box around all that attenuates.
        search: "rotation_deg" and "translation_mm", as in case.json. Each angle and each shift may be as large: that holds all poses of
            the search, for turns of up to 90 degrees. The shifts are made smaller, in proportion, where they would take the CT out of
            a view's field.
        training: half-widths by the names of AXES, in place of those; these stay as they are.

        Unknown keys warn. InputError for a half-width as above, or ranges or a nominal pose that put the CT out of a view's field.
        """
        turn, shift = search["rotation_deg"], search["translation_mm"]
        widths = {
            axis: min(turn, largest) if axis.endswith("_deg") else shift
            for axis, largest in zip(AXES, LARGEST, strict=True)
        }
        given = _known(training or {})
        whole = cls(
            camera=next(iter(cameras.values())), world_from_ct=world_from_ct, centroid=centroid, **(widths | given)
        )
        ranges = [
            replace(whole, **{axis: tenths / 10 * widths[axis] for axis in AXES[3:] if axis not in given})
            for tenths in range(10, 0, -1)
        ]
        found = next((narrowed for narrowed in ranges if narrowed._fault(cameras, corners) is None), whole)
        found.check_field(cameras, corners)
        return found

    @property
    def half_widths(self) -> np.ndarray:
        """(6,) degrees and mm, in the order of AXES."""
        return np.array([getattr(self, axis) for axis in AXES])

    @property
    def centre(self) -> np.ndarray:
        """(3,) world mm: where the centroid is at the nominal pose."""
        return rigid.transform_points(self.world_from_ct, self.centroid)

    def motions(self) -> Motions:
        """What draws poses, even in each of the six axes: a shift after turns Rz(roll) Rx(-tilt) Ry(orbital), in the camera."""
        to_centre = rigid.from_rotation_translation(np.eye(3), self._centre_in_camera)
        before = self.camera.world_from_camera @ to_centre
        after = rigid.inverse(to_centre) @ self.camera.camera_from_world @ self.world_from_ct
        roll, tilt, orbital = (
            np.radians(sign) * np.outer(axis, number)
            for sign, axis, number in zip((1, -1, 1), np.eye(3)[[2, 0, 1]], np.eye(3)[[2, 1, 0]], strict=True)
        )
        factors = [along(mm=np.eye(3)), *(along(rad=turn) for turn in (roll, tilt, orbital))]
        return Motions(before, np.stack(factors), after, np.zeros(6), self.half_widths, False)

    def sample(self, key: np.uint64, numbers: range) -> np.ndarray:
        """Random poses (n, 4, 4), by their numbers in a batch; see `motions`."""
        return self.motions().sample(key, numbers)

    def poses(self, values: np.ndarray) -> np.ndarray:
        """The poses (..., 4, 4) at values (..., 6) along the axes, degrees and mm."""
        return self.motions().of(values)

    def values(self, poses: np.ndarray) -> np.ndarray:
        """Where poses (..., 4, 4) lie along the axes, (..., 6), degrees and mm: the inverse of `poses`."""
        camera_from_ct = self.camera.camera_from_world @ np.asarray(poses, float)
        R = camera_from_ct[..., :3, :3] @ (self.camera.camera_from_world @ self.world_from_ct)[:3, :3].T
        turns = Rotation.from_matrix(R.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True).reshape(*R.shape[:-2], 3)
        shift = rigid.transform_points(camera_from_ct, self.centroid) - self._centre_in_camera
        return np.concatenate([turns[..., ::-1] * (1, -1, 1), shift], axis=-1)

    def contains(self, poses: np.ndarray) -> np.ndarray:
        """Whether poses (..., 4, 4) lie in the range: (...) bool."""
        return (np.abs(self.values(poses)) <= self.half_widths + _ROUNDING).all(axis=-1)

    def check_field(self, cameras: Mapping[str, Camera], corners: np.ndarray) -> None:
        """InputError, naming the view, where a pose of the range puts the CT out of its field; the arguments are those of `of_case`."""
        fault = self._fault(cameras, corners)
        if fault is not None:
            raise InputError(fault)

    @property
    def _centre_in_camera(self) -> np.ndarray:
        return rigid.transform_points(self.camera.camera_from_world, self.centre)

    def _fault(self, cameras: Mapping[str, Camera], corners: np.ndarray) -> str | None:
        """What is wrong with the range in a view's field; of all ends of it, and what lies between two, the worst is told."""
        steps = np.array(
            sorted(itertools.product((0, -1, 1), repeat=6), key=np.count_nonzero)
        )  # the nominal pose first
        poses = self.poses(steps * self.half_widths)
        for name, camera in cameras.items():
            shown = _shown(camera, poses, corners)
            if shown[0] < IN_FIELD:
                return (
                    f'world_from_ct: at this pose the CT is out of the field of view "{name}", expected that all views show it; '
                    "correct the pose or the geometry of the view."
                )
            if shown.min() < IN_FIELD:
                where = ", ".join(
                    f"{axis} {value:g}" for axis, value in zip(AXES, steps[shown.argmin()] * self.half_widths) if value
                )
                return (
                    f'training: at {where} the CT is out of the field of view "{name}", expected ranges at whose ends all views '
                    "show it; narrow them, or correct world_from_ct."
                )
        return None


def _known(training: Mapping[str, float]) -> dict[str, float]:
    for key in training:
        if key not in AXES:
            similar = difflib.get_close_matches(key, AXES, n=1)
            advice = f'did you mean "{similar[0]}"?' if similar else f"expected {', '.join(AXES)}."
            warn(f'the key "{key}" in training is not known and was ignored; {advice}')
    return {key: value for key, value in training.items() if key in AXES}


def _shown(camera: Camera, poses: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n,): the share of the outlines of a box with corners (8, 3) at poses (n, 4, 4) that a camera's image shows, as rectangles.

    Of the image, where that is smaller. 0 where the box reaches behind the source.
    """
    points = rigid.transform_points(poses[:, None], corners)
    before = (camera.depth(points) > 0).all(axis=1)
    pixels = camera.project(
        np.where(before[:, None, None], points, camera.world_from_camera[:3, 3] + camera.world_from_camera[:3, 2])
    )
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    size = np.array(camera.size)
    inside = (np.minimum(high, size - 0.5) - np.maximum(low, -0.5)).clip(min=0).prod(axis=1)
    whole = np.minimum((high - low).prod(axis=1), size.prod())
    return np.divide(inside, whole, out=np.zeros_like(inside), where=before & (whole > 0))
