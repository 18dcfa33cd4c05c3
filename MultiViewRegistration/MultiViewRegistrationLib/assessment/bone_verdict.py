"""The verdict on a bone, or an implant, that was registered at its own pose, with its reasons.

Accept needs a small risk, a mask that fits the bone, two X-rays that show it, and a registration of
the whole CT of the kind that the risk was measured on. The numbers are of benchmarks/bones_fit.py.
The risk of an implant was not measured, and X-rays do not show each turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..errors import BoneVerdict, Reason, code_of
from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..imaging.ct import CT
from ..imaging.field import nearest
from ..registration.bone import Bone
from ..registration.register_bones import BonesRegistration
from .bone_prediction import BoneFeatures, BoneModel, fitted
from .joint_motion import principal_axes
from .prediction import Prediction, decide, is_likely_wrong
from .verdict import Assessment
from .verdict_reasons import is_about_risk, risk_reasons

#: What is in doubt of the whole CT is so of each of its bones.
OF_WHOLE = Reason(
    "whole-in-doubt",
    "What the verdict on the whole CT says of cameras and X-rays holds for its bones, too.",
)


def faults(name: str, features: BoneFeatures, showing: Sequence[str]) -> Iterator[Reason]:
    """Say which features of a bone are beyond their limits; parameters as of `judge`."""
    elsewhere = "farther up or down\n: check its outline"
    if vertebra(name):
        elsewhere = "one level up or down\n: check the level"
    said = {"percent_shown": 100 * features.shown, "elsewhere": elsewhere, **vars(features)}
    for fault in features.faults:
        code = fault.code
        sentence = fault.sentence.format(name=name, **said)
        if code == "partly-shown" and len(showing) == 1:
            code = "one-view"
            sentence = f"Only {showing[0]} shows {name}\n: its depth along that beam is uncertain."
        yield Reason(code, sentence[0].upper() + sentence[1:])


def predicted(
    features: BoneFeatures, model: BoneModel | None = None
) -> tuple[Prediction | None, BoneVerdict]:
    """Return the error to expect, None where no view shows the bone, and the verdict.

    Parameters
    ----------
    model
        By default the one that comes with the program.
    """
    if not np.isfinite(features.noise_mm):
        return None, "not shown"
    model = model or fitted()
    prediction = model.predict(features)
    if is_likely_wrong(prediction, model):
        return prediction, "reject"
    return prediction, decide(prediction, model, all(row.tells_why for row in features.faults))


def judge(
    name: str, features: BoneFeatures, showing: Sequence[str], in_doubt: bool
) -> tuple[Prediction | None, BoneVerdict, list[Reason]]:
    """Return the error to expect, the verdict and its reasons.

    Parameters
    ----------
    name
        Of the bone.
    showing
        Names of the views that show it.
    in_doubt
        As of `verdict.Assessment`, of the whole CT.
    """
    prediction, verdict = predicted(features)
    if prediction is None:
        sentence = (
            f"No X-ray shows enough of {name} to say where it is\n: it is drawn where its neighbours "
            "are."
        )
        return None, verdict, [Reason("not-shown", sentence)]
    if verdict == "accept" and not in_doubt:
        return prediction, verdict, []
    verdict = "check" if verdict == "accept" else verdict
    reasons = risk_reasons(prediction, fitted())
    reasons += faults(name, features, showing)
    if not prediction.bounded:
        reasons.append(
            Reason(
                "unlike-known",
                f"The result for {name} differs from all correct results to which the risk was fitted.",
            )
        )
    if in_doubt:
        reasons.append(OF_WHOLE)
    bound = f"The error of {name} may reach {prediction.upper95_mm:.1f} mm."
    return prediction, verdict, reasons or [Reason("error-bound", bound)]


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
            yield Reason(
                "turn-not-shown",
                f"No X-ray shows how {name} is turned\n: it is round. Use its place alone.",
            )
            return
        for axis in self.free:
            yield Reason(
                "turn-not-shown",
                f"No X-ray shows how {name} is turned about its axis {_numbers(axis)}\n: it is round. "
                "Use its place and that axis alone.",
            )
        if self.halves:
            axes = " and about ".join(map(_numbers, self.halves))
            yield Reason(
                "half-turn",
                f"{name} looks the same turned by 180 degrees about {axes}\n: check its ends.",
            )


def hidden_turns(found: BonesRegistration, n: int) -> HiddenTurns:
    """Return what the X-rays do not show of how the n-th body is turned, about its principal axes."""
    objective = found.objectives[-1]
    poses = np.array(found.poses)
    volume = found.bones[n].finest
    frame = principal_axes(
        rigid.transform_points(
            volume.ct_from_index, np.argwhere(volume.values > 0)[:, ::-1].astype(float)
        )
    )
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
        reasons.append(
            Reason(
                "one-view",
                f"Only {only.name} shows where it is\n: it may lie {only.depth_mm:.1f} mm nearer or farther "
                f"along the beam, and {only.in_plane_mm:.1f} mm across it. Add an X-ray.",
            )
        )
    return replace(
        assessment,
        position="check",
        overlay="check",
        reasons=reasons,
        prediction=replace(assessment.prediction, familiar=False),
    )


def unlike(name: str, similarity: np.ndarray) -> list[Reason]:
    """Return why an implant is rejected that the X-rays do not show where it is, by its local NCC in each view."""
    if np.nanmin(similarity, initial=1.0) >= LEAST_ALIKE:
        return []
    return [
        Reason(
            "implant-elsewhere",
            f"The X-rays do not show {name} here\n: start nearer, or choose the right model.",
        )
    ]


def metal_in_ct(ct: CT, world_from_ct: np.ndarray, implant: Bone, pose: np.ndarray) -> list[Reason]:
    """Say that a CT at a pose (4, 4) shows metal where an implant lies at its own; nothing without."""
    index_from_implant = np.linalg.inv(world_from_ct @ ct.volume.ct_from_index) @ pose
    hu = nearest(ct.volume.values, rigid.transform_points(index_from_implant, implant.surface))
    if ct.unit != "hu" or np.mean(hu > METAL_HU) < METAL_SHARE:
        return []
    return [
        Reason(
            "metal-in-ct",
            f"The CT shows metal where {implant.name} lies\n: it casts its shadow twice. Take a CT of "
            "before the operation.",
        )
    ]
