"""What is said of an implant: that its risk was not measured, and how X-rays do not show it turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.ct import CT
from ..imaging.field import nearest
from ..reasons import Reason, code_of
from ..registration.bone import Bone
from ..registration.register_bones import BonesRegistration
from .joint_motion import principal_axes
from .verdict import Assessment
from .verdict_reasons import is_about_risk

UNMEASURED = Reason(
    "implant",
    "The risk of a wrong pose was not measured for implants\n: look at the outline in each X-ray.",
)
#: Reasons by limits that were found with bones, and one that is told otherwise of implants.
OF_BONES = (
    "view-disagrees",
    "halves-disagree",
    "not-like-ct",
    "outliers",
    "unlike-known",
    "one-view",
)
#: The local NCC that each view has at least. Of 24 simulated implants right poses had 0.35 and more, 72
#: wrong ones 0.13 and less in one view.
LEAST_ALIKE = 0.3
#: Turned so far the comparison with the X-rays is worse by this share at least, where they show the
#: turn. Pins and balls 0 to 0.04, screws, hip and knee components 0.3 and more.
TURNS_DEG = (45.0, 90.0, 180.0)
SHOWN = 0.1
#: No bone has more, HU: a scanner of 12 bits ends at 3071.
METAL_HU = 3000.0
#: The share of an implant that lies in metal of the CT, where that is told.
METAL_SHARE = 0.1


class HiddenTurns(NamedTuple):
    """Unit vectors (3,) in the body's own frame.

    Attributes
    ----------
    free
        About which any turn looks the same.
    halves
        About which half a turn does.
    """

    free: list[np.ndarray]
    halves: list[np.ndarray]

    def reasons(self, name: str) -> Iterator[Reason]:
        """Say of a body of this name which turns the X-rays do not show."""
        if len(self.free) > 1:
            sentence = f"No X-ray shows how {name} is turned\n: it is round. Use its place alone."
            yield Reason("turn-not-shown", sentence)
            return
        for axis in self.free:
            sentence = (
                f"No X-ray shows how {name} is turned about its axis {_numbers(axis)}\n: it is round. "
                "Use its place and that axis alone."
            )
            yield Reason("turn-not-shown", sentence)
        if self.halves:
            axes = " and about ".join(map(_numbers, self.halves))
            sentence = (
                f"{name} looks the same turned by 180 degrees about {axes}\n: check its ends."
            )
            yield Reason("half-turn", sentence)


def hidden_turns(found: BonesRegistration, n: int) -> HiddenTurns:
    """Return what the X-rays do not show of how the n-th body is turned, about its principal axes."""
    objective = found.objectives[-1]
    poses = np.array(found.poses)
    volume = found.bones[n].finest
    places = np.argwhere(volume.values > 0)[:, ::-1].astype(float)
    frame = principal_axes(rigid.transform_points(volume.ct_from_index, places))
    middle = rigid.transform_points(poses[n], frame[:3, 3])

    def cost(twist: np.ndarray) -> float:
        turn = rigid.from_rotation_translation(rigid.exp_so3(twist), np.zeros(3))
        turned = poses.copy()
        turned[n] = rigid.about(middle, turn) @ poses[n]
        return objective.cost(objective.shadows(turned, jacobian=False))

    here = cost(np.zeros(3))
    hidden = HiddenTurns([], [])
    for axis in frame[:3, :3].T:
        along = poses[n, :3, :3] @ axis
        rises = [cost(along * angle) / here - 1 for angle in np.radians(TURNS_DEG)]
        if max(rises) < SHOWN:
            hidden.free.append(axis)
        elif rises[-1] < SHOWN:
            hidden.halves.append(axis)
    return hidden


def _numbers(axis: np.ndarray) -> str:
    return f"({', '.join(f'{each + 0:.2f}' for each in axis.round(2))})"


def of_implant(assessment: Assessment) -> Assessment:
    """Return the assessment of an implant without what was measured of bones."""
    if assessment.prediction is None:
        return assessment
    of_any = (each for each in assessment.reasons if code_of(each) not in OF_BONES)
    reasons = [UNMEASURED, *(each for each in of_any if not is_about_risk(each))]
    if "one-view" in map(code_of, assessment.reasons):
        (only,) = assessment.splits
        sentence = (
            f"Only {only.name} shows where it is\n: it may lie {only.depth_mm:.1f} mm nearer or farther "
            f"along the beam, and {only.in_plane_mm:.1f} mm across it. Add an X-ray."
        )
        reasons.append(Reason("one-view", sentence))
    prediction = replace(assessment.prediction, familiar=False)
    return replace(
        assessment, room="check", overlay="check", reasons=reasons, prediction=prediction
    )


def unlike(name: str, similarity: np.ndarray) -> list[Reason]:
    """Return why an implant is rejected that the X-rays do not show where it is, by its local NCC in each view."""
    if np.nanmin(similarity, initial=1.0) >= LEAST_ALIKE:
        return []
    sentence = f"The X-rays do not show {name} here\n: start nearer, or choose the right model."
    return [Reason("implant-elsewhere", sentence)]


def metal_in_ct(ct: CT, world_from_ct: np.ndarray, implant: Bone, pose: np.ndarray) -> list[Reason]:
    """Say that a CT at a pose (4, 4) shows metal where an implant lies at its own; nothing without."""
    index_from_implant = np.linalg.inv(world_from_ct @ ct.volume.ct_from_index) @ pose
    index = rigid.transform_points(index_from_implant, implant.surface)
    hu = nearest(ct.volume.values, index)
    if ct.unit != "hu" or np.mean(hu > METAL_HU) < METAL_SHARE:
        return []
    sentence = (
        f"The CT shows metal where {implant.name} lies\n: it casts its shadow twice. Take a CT of "
        "before the operation."
    )
    return [Reason("metal-in-ct", sentence)]
