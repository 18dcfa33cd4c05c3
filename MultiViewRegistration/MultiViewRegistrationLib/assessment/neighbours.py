"""How neighbouring bones lie to each other, against how they do in the CT, in a surgeon's words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..registration.bones import BonesRegistration
from .joint_motion import LEAST_TOLD_DEG, TURNS, JointMotion, joint_motion, principal_axes


@dataclass(frozen=True)
class NeighbourMotion:
    """How a bone lies to a neighbour, against how it does in the CT.

    Attributes
    ----------
    name, against
        Of the bone and of the neighbour: of two vertebrae the upper one first.
    degrees, mm
        Of the turn, and of the shift at the joint.
    words
        The motion in a surgeon's words.
    numbers
        The motion of the bone's middle along the principal axes of the neighbour.
    """

    name: str
    against: str
    degrees: float
    mm: float
    words: str
    numbers: JointMotion

    def to_json(self) -> dict:
        """Return an entry of `motions` of a result.json."""
        return {
            "name": self.name,
            "against": self.against,
            "deg": self.degrees,
            "mm": self.mm,
            "words": self.words,
            **self.numbers.to_json(),
        }


def motions_of(found: BonesRegistration) -> list[NeighbourMotion]:
    """Return the motions of all neighbours against each other."""
    motions = []
    for tie in found.ties:
        names = found.bones[tie.one].name, found.bones[tie.other].name
        one, other = map(vertebra, names)
        spine = one is not None and other is not None
        upper, lower = (
            (tie.one, tie.other) if spine and (one or 0) < (other or 0) else (tie.other, tie.one)
        )
        one_pose = found.poses[lower]
        other_pose = found.poses[upper]
        frame = principal_axes(found.bones[lower].surface)
        middle = found.bones[upper].surface.mean(axis=0)
        motion = rigid.inverse(one_pose) @ other_pose
        turn = np.degrees(rigid.log_so3(motion[:3, :3]))
        mm = float(np.linalg.norm(rigid.transform_points(motion, tie.joint) - tie.joint))
        degrees = float(np.linalg.norm(turn))
        words = _in_words(turn) if spine else ""
        motions.append(
            NeighbourMotion(
                found.bones[upper].name,
                found.bones[lower].name,
                degrees,
                mm,
                words or f"{degrees:.1f} degrees",
                joint_motion(one_pose, other_pose, frame, middle),
            )
        )
    return sorted(motions, key=lambda motion: vertebra(motion.name) or 0)


def _in_words(turn: np.ndarray) -> str:
    """Describe a turn (3,), degrees about CT LPS axes, of an upper vertebra on a lower one."""
    told = [
        f"{abs(angle):.1f} degrees of {ways[int(angle < 0)]}"
        for angle, ways in sorted(zip(turn, TURNS, strict=True), key=lambda each: -abs(each[0]))
        if abs(angle) >= LEAST_TOLD_DEG
    ]
    return ", ".join(told)
