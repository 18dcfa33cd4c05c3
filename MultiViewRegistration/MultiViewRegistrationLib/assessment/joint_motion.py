"""Pose and motion of one bone relative to another: six numbers in an anatomical frame, with clinical terms.

The motion of neighbouring bones of one CT is the change from their pose in the CT. Bones with separate
CTs have no common reference pose: their six numbers relate the principal axes of one bone to those of
the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..known import without_none
from .records import WRONG_DEG, WRONG_MM, ExpectedError, RotationError, Verdict

if TYPE_CHECKING:  # a panel opens before numba is installed
    from ..registration.register_bones import BonesRegistration
    from .bone_errors import BoneErrors
    from .error_by_cause import PoseError

#: A turn about an axis by less is not told, degrees.
LEAST_TOLD_DEG = 0.5
#: A turn about left, posterior and superior, either way, of an upper vertebra.
TURNS = (
    ("flexion", "extension"),
    ("bending to the left", "bending to the right"),
    ("turning to the left", "turning to the right"),
)
#: A shift along an axis by less is not told, mm.
LEAST_TOLD_MM = 0.2
#: A shift either way along an axis that points to the left, to the back, and up.
SHIFTS = (("to the left", "to the right"), ("to the back", "to the front"), ("up", "down"))
#: A turn about these axes, either way, of a bone below: where its far end goes, and which way it
#: turns about its length, on the right side. On the left side the last two are the other way round.
LIMB_TURNS = (
    ("far end to the back", "far end to the front"),
    ("abduction", "adduction"),
    ("internal rotation", "external rotation"),
)
#: Two directions nearer than this, as the sine of their angle, make no frame.
LEAST_SINE = 0.02


@dataclass(frozen=True, eq=False)
class JointMotion:
    """Pose of one bone relative to another, as the change from the CT or in the other bone's axes.

    Attributes
    ----------
    rotation_deg
        (3,) rotation vector along the axes of the anatomical frame; its length is the angle.
    shift_mm
        (3,) shift of the moving bone's centre, along the same axes.
    rotation_upper95_deg, shift_upper95_mm
        (3,) 95 % bounds of the errors of these numbers; None if unknown.
    """

    rotation_deg: np.ndarray
    shift_mm: np.ndarray
    rotation_upper95_deg: np.ndarray | None = None
    shift_upper95_mm: np.ndarray | None = None

    def with_bounds(
        self, fixed: PoseError, moving: PoseError, point: np.ndarray, axes: np.ndarray
    ) -> JointMotion:
        """Return the motion with the bounds of its errors; for the parameters see `error_by_cause.relative_error`."""
        from .error_by_cause import HALF_TURN_DEG, of_rotation_vector, relative_error

        error = relative_error(fixed, moving, point, axes)
        turned, shifted = np.split(
            of_rotation_vector(error, np.radians(self.rotation_deg)).bounds, 2
        )
        degrees = np.minimum(np.degrees(turned), HALF_TURN_DEG)
        return replace(self, rotation_upper95_deg=degrees, shift_upper95_mm=shifted)

    def to_json(self) -> dict[str, np.ndarray]:
        """Return the numbers, and their bounds if known, as plain data for JSON."""
        return without_none(vars(self))

    def in_words(self, digits: int = 1) -> tuple[list[str], list[str]]:
        """Return the rotation and the shift as text, each number with the bound of its error."""
        turns = _with_bounds(self.rotation_deg, self.rotation_upper95_deg, digits)
        return turns, _with_bounds(self.shift_mm, self.shift_upper95_mm, digits)


def _with_bounds(numbers: np.ndarray, bounds: np.ndarray | None, digits: int) -> list[str]:
    words = [f"{round(float(number), digits) + 0.0:.{digits}f}" for number in numbers]
    if bounds is None:
        return words
    pairs = zip(words, bounds, strict=True)
    return [f"{number} \u00b1 {bound:.{digits}f}" for number, bound in pairs]


@dataclass(frozen=True, eq=False)
class BonePose:
    """Pose of a bone with a separate CT relative to another bone, along the other bone's principal axes.

    Attributes
    ----------
    name, against
        Names of the bone and of the reference bone.
    numbers
        Pose of the principal axes and the centre of the bone.
    verdict
        The worse of the two bones' verdicts.
    """

    name: str
    against: str
    numbers: JointMotion
    verdict: Verdict

    def to_json(self) -> dict:
        """Return an entry of `relative_poses` of a result.json."""
        told = {"name": self.name, "against": self.against, "verdict": self.verdict}
        return {**told, **self.numbers.to_json()}


def joint_motion(
    world_from_fixed: np.ndarray,
    world_from_moving: np.ndarray,
    ct_from_frame: np.ndarray,
    middle: np.ndarray,
) -> JointMotion:
    """Return the motion of a bone relative to a fixed bone.

    Parameters
    ----------
    world_from_fixed, world_from_moving
        (4, 4) pose of each bone. In the CT both bones have the same pose.
    ct_from_frame
        (4, 4) pose of the anatomical frame in the CT.
    middle
        (3,) centre of the moving bone, CT mm.
    """
    there = rigid.from_rotation_translation(ct_from_frame[:3, :3], middle)
    return joint_pose(world_from_fixed, world_from_moving, there, there)


def joint_pose(
    world_from_fixed: np.ndarray,
    world_from_moving: np.ndarray,
    ct_from_frame: np.ndarray,
    ct_from_own: np.ndarray,
) -> JointMotion:
    """Return the pose of a bone with a separate CT relative to a fixed bone, between their anatomical axes.

    Parameters
    ----------
    world_from_fixed, world_from_moving
        (4, 4) pose of each bone, from its separate CT.
    ct_from_frame
        (4, 4) pose of the anatomical frame in the CT of the fixed bone.
    ct_from_own
        (4, 4) pose of the moving bone's axes and centre in its CT.
    """
    pose = rigid.inverse(world_from_fixed @ ct_from_frame) @ world_from_moving @ ct_from_own
    return JointMotion(np.degrees(rigid.log_so3(pose[:3, :3])), pose[:3, 3])


def frame_of_points(points: np.ndarray) -> np.ndarray:
    """Return the anatomical frame, ct_from_frame (4, 4), defined by three points (3, 3), CT mm.

    Its origin is the first point; its first axis goes to the second; the third point lies in the
    plane of the first two axes, on the side of the second.

    Raises
    ------
    InputError
        If there are not three points, or they are collinear.
    """
    if len(points) != 3:
        raise InputError(
            f"frame: found {len(points)} points, expected three: an origin, one along the first "
            "axis, and one to the side of the second."
        )
    origin, along, aside = points
    x = along - origin
    v = aside - origin
    z = np.cross(x, v)
    if np.linalg.norm(z) <= LEAST_SINE * np.linalg.norm(x) * np.linalg.norm(v):
        raise InputError("frame: the three points lie on one line, expected a corner; move one.")
    x, z = rigid.unit(np.stack([x, z]))
    return rigid.from_rotation_translation(np.stack([x, np.cross(z, x), z], axis=1), origin)


def principal_axes(points: np.ndarray) -> np.ndarray:
    """Return the frame, ct_from_frame (4, 4), of the principal axes of points (n, 3), CT mm, at their centroid.

    The axes are ordered and signed to be nearest to left, posterior and superior.
    """
    middle = points.mean(axis=0)
    axes = np.linalg.svd(points - middle, full_matrices=False)[2]
    order = max(permutations(range(3)), key=lambda p: np.abs(axes[list(p)].diagonal()).prod())
    axes = axes[list(order)]
    axes *= np.where(axes.diagonal() < 0, -1.0, 1.0)[:, None]
    if np.linalg.det(axes) < 0:
        axes[np.abs(axes.diagonal()).argmin()] *= -1
    return rigid.from_rotation_translation(axes.T, middle)


def in_words(motion: JointMotion, moving: str, within: JointMotion | None = None) -> list[str]:
    """Describe a motion in clinical terms, the largest rotation first, then the largest shift.

    For the spine, and for limbs whose bone name states the side; axes point left, posterior and
    superior. Empty if no component is large enough to be reported.

    Parameters
    ----------
    moving
        Name of the moving bone.
    within
        95 % bound of the error of each number.
    """
    ways = _turns(moving)
    off_deg = within.rotation_deg if within else None
    off_mm = within.shift_mm if within else None
    turns = []
    if ways:
        turns = _told(motion.rotation_deg, ways, LEAST_TOLD_DEG, "degrees of {way}", off_deg)
    return [*turns, *_told(motion.shift_mm, SHIFTS, LEAST_TOLD_MM, "mm {way}", off_mm)]


def _turns(moving: str) -> tuple[tuple[str, str], ...]:
    """Return the clinical terms of rotations about the three axes for a bone of this name; empty if the name states no side."""
    if vertebra(moving) is not None:
        return TURNS
    words = moving.lower().replace("_", " ").split()
    if "right" in words:
        return LIMB_TURNS
    if "left" in words:
        return (LIMB_TURNS[0], *((back, forth) for forth, back in LIMB_TURNS[1:]))
    return ()


def _told(
    numbers: np.ndarray,
    ways: tuple[tuple[str, str], ...],
    least: float,
    words: str,
    within: np.ndarray | None,
) -> list[str]:
    told = []
    for n in np.argsort(-np.abs(numbers), kind="stable"):
        if abs(numbers[n]) >= least:
            about = "" if within is None else f" \u00b1 {within[n]:.1f}"
            way = ways[n][int(numbers[n] < 0)]
            told.append(f"{abs(numbers[n]):.1f}{about} {words.format(way=way)}")
    return told


@dataclass(frozen=True)
class NeighbourMotion:
    """Motion of a bone relative to a neighbour since the CT.

    Attributes
    ----------
    name, against
        Names of the bone and the neighbour. Of two vertebrae the upper one is first.
    degrees, mm
        Rotation angle, and shift at the joint.
    words
        The motion in clinical terms.
    numbers
        Motion of the bone's centre along the principal axes of the neighbour.
    error_mm, error_deg
        Expected error of the motion; None if unknown.
    verdict
        Verdict on the motion.
    """

    name: str
    against: str
    degrees: float
    mm: float
    words: str
    numbers: JointMotion
    error_mm: ExpectedError | None = None
    error_deg: RotationError | None = None
    verdict: Verdict = "check"

    @property
    def is_precise(self) -> bool:
        """Whether the errors are small enough for the verdict "accept"."""
        if self.error_mm is None or self.error_deg is None:
            return False
        upper95_mm = self.error_mm.upper95_mm or np.inf
        upper95_deg = self.error_deg.upper95_deg or np.inf
        return upper95_mm <= WRONG_MM and upper95_deg <= WRONG_DEG

    def to_json(self) -> dict:
        """Return an entry of `motions` of a result.json."""
        bounds = {
            "upper95_mm": self.error_mm and self.error_mm.upper95_mm,
            "upper95_deg": self.error_deg and self.error_deg.upper95_deg,
        }
        return {
            "name": self.name,
            "against": self.against,
            "deg": self.degrees,
            "mm": self.mm,
            "words": self.words,
            "verdict": self.verdict,
            **self.numbers.to_json(),
            **without_none(bounds),
        }


def motions_of(found: BonesRegistration, errors: BoneErrors | None = None) -> list[NeighbourMotion]:
    """Return the motions between all neighbouring bones, with their errors if these are provided."""
    motions = []
    for tie in found.ties:
        one, other = (vertebra(found.bones[n].name) for n in (tie.one, tie.other))
        spine = one is not None and other is not None
        upper = tie.other
        lower = tie.one
        if spine and (one or 0) < (other or 0):
            upper, lower = lower, upper
        moving = found.bones[upper]
        fixed = found.bones[lower]
        one_pose = found.poses[lower]
        other_pose = found.poses[upper]
        frame = principal_axes(fixed.surface)
        middle = moving.surface.mean(axis=0)
        motion = rigid.inverse(one_pose) @ other_pose
        shift = rigid.transform_points(motion, tie.joint) - tie.joint
        of_ct = JointMotion(np.degrees(rigid.log_so3(motion[:3, :3])), shift)
        mm = float(np.linalg.norm(shift))
        degrees = float(np.linalg.norm(of_ct.rotation_deg))
        numbers = joint_motion(one_pose, other_pose, frame, middle)
        error_mm = error_deg = bounds = None
        if errors and errors.is_known(lower) and errors.is_known(upper):
            turns, shifts = errors.relative(lower, upper, tie.joint, one_pose[:3, :3])
            error_deg = turns[0]
            error_mm = shifts[0]
            bounds = JointMotion(
                np.array([error.upper95_deg for error in turns[1:]]),
                np.array([error.upper95_mm for error in shifts[1:]]),
            )
            pair = (errors.by_cause(lower), errors.by_cause(upper))
            place = rigid.transform_points(other_pose, middle)
            numbers = numbers.with_bounds(*pair, place, one_pose[:3, :3] @ frame[:3, :3])
        words = in_words(of_ct, moving.name, bounds)
        motions.append(
            NeighbourMotion(
                moving.name,
                fixed.name,
                degrees,
                mm,
                ", ".join(words) or f"{degrees:.1f} degrees",
                numbers,
                error_mm,
                error_deg,
            )
        )
    return sorted(motions, key=lambda motion: vertebra(motion.name) or 0)
