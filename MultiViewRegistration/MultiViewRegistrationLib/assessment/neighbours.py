"""How neighbouring bones lie to each other, against how they do in the CT, in a surgeon's words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..reasons import Verdict
from ..registration.register_bones import BonesRegistration
from .bone_prediction import BoneErrors
from .joint_motion import JointMotion, in_words, joint_motion, principal_axes
from .uses import RELATIVE_DEG, RELATIVE_MM, Error


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
    error_mm, error_deg
        How far off it is; None where that is not known.
    verdict
        Whether it can be trusted.
    """

    name: str
    against: str
    degrees: float
    mm: float
    words: str
    numbers: JointMotion
    error_mm: Error | None = None
    error_deg: Error | None = None
    verdict: Verdict = "check"

    @property
    def precise(self) -> bool:
        """Whether its errors are small enough for an accept."""
        if self.error_mm is None or self.error_deg is None:
            return False
        mm = self.error_mm.upper95_mm or np.inf
        return mm <= RELATIVE_MM and (self.error_deg.upper95_mm or np.inf) <= RELATIVE_DEG

    def to_json(self) -> dict:
        """Return an entry of `motions` of a result.json."""
        return {
            "name": self.name,
            "against": self.against,
            "deg": self.degrees,
            "mm": self.mm,
            "words": self.words,
            "verdict": self.verdict,
            **self.numbers.to_json(),
            **_bound("upper95_mm", self.error_mm),
            **_bound("upper95_deg", self.error_deg),
        }


def _bound(key: str, error: Error | None) -> dict[str, float]:
    return {} if error is None or error.upper95_mm is None else {key: error.upper95_mm}


def motions_of(found: BonesRegistration, errors: BoneErrors | None = None) -> list[NeighbourMotion]:
    """Return the motions of all neighbours against each other, with their errors where these are given."""
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
        shift = rigid.transform_points(motion, tie.joint) - tie.joint
        of_ct = JointMotion(np.degrees(rigid.log_so3(motion[:3, :3])), shift)
        mm = float(np.linalg.norm(shift))
        degrees = float(np.linalg.norm(of_ct.rotation_deg))
        of_mm = of_deg = within = None
        if errors and errors.known(lower) and errors.known(upper):
            turns, shifts = errors.relative(lower, upper, tie.joint, one_pose[:3, :3])
            of_deg = turns[0]
            of_mm = shifts[0]
            within = JointMotion(
                *(np.array([each.upper95_mm for each in told[1:]]) for told in (turns, shifts))
            )
        words = in_words(of_ct, names[upper == tie.other], within)
        motions.append(
            NeighbourMotion(
                found.bones[upper].name,
                found.bones[lower].name,
                degrees,
                mm,
                ", ".join(words) or f"{degrees:.1f} degrees",
                joint_motion(one_pose, other_pose, frame, middle),
                of_mm,
                of_deg,
            )
        )
    return sorted(motions, key=lambda motion: vertebra(motion.name) or 0)
