"""The verdict on a bone that was registered at its own pose, with its reasons.

Accept needs a small risk, a mask that fits the bone, two X-rays that show it, and a registration of
the whole CT of the kind that the risk was measured on. The numbers are of benchmarks/bones_fit.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..imaging.bone_names import vertebra
from ..reasons import BoneVerdict, Reason
from .bone_features import BoneFeatures
from .bone_prediction import BoneModel, fitted
from .prediction import WRONG_MM, Prediction
from .verdict import decide
from .verdict_reasons import risk_reasons


@dataclass(frozen=True)
class Limits:
    """Beyond these a feature is a fault.

    They and the risk to accept were chosen on seed 71 of benchmarks/bones.py; there the risk was
    right beyond them, too: they guard against what was not simulated.

    Attributes
    ----------
    shown
        Two views at least must show so much of it.
    """

    shown: float = 0.6
    left_out: float = 0.8
    soft: float = 0.5
    level_ratio: float = 1.15
    similarity: float = 0.4
    split_half_mm: float = WRONG_MM
    again_mm: float = WRONG_MM
    motion_sds: float = 2.5


LIMITS = Limits()
#: Code and sentence of the fault of each feature.
FAULTS = {
    "shown": ("partly-shown", "The X-rays show only {percent_shown:.0f} % of {name}."),
    "left_out": ("mask-too-small", "Bone goes on outside the mask of {name}\n: correct the mask."),
    "soft": ("mask-too-large", "Much of the mask of {name} is no bone\n: correct the mask."),
    "level_ratio": ("other-level", "{name} fits about as well {elsewhere}."),
    "similarity": (
        "not-like-ct",
        "{name} does not look like the X-rays (similarity {similarity:.2f}).",
    ),
    "split_half_mm": (
        "halves-disagree",
        "Halves of the images of {name} disagree by {split_half_mm:.1f} mm.",
    ),
    "again_mm": (
        "not-found-again",
        "Begun a little off, {name} ends up to {again_mm:.1f} mm from here\n: the X-rays leave its "
        "place open.",
    ),
    "motion_sds": (
        "unusual-motion",
        "{name} has moved against a neighbour by more than is usual\n: it may be another one.",
    ),
}
#: Features of which less is worse, and one that only tells why: the risk has it already.
LESS_IS_WORSE = ("shown", "level_ratio", "similarity")
TELLS_WHY = "similarity"
#: What is in doubt of the whole CT is so of each of its bones.
OF_WHOLE = Reason(
    "whole-in-doubt",
    "What the verdict on the whole CT says of cameras and X-rays holds for its bones, too.",
)


def faulty(features: BoneFeatures) -> list[str]:
    """Return the names of the features that are beyond their limits; none that was not measured, NaN."""
    found = []
    for name in FAULTS:
        sign = -1 if name in LESS_IS_WORSE else 1
        if sign * getattr(features, name) > sign * getattr(LIMITS, name):
            found.append(name)
    return found


def fault(of: str, name: str, features: BoneFeatures, showing: Sequence[str]) -> Reason:
    """Return the reason for a feature of a bone; `showing` as of `judge`."""
    if of == "shown" and len(showing) == 1:
        sentence = f"Only {showing[0]} shows {name}\n: its depth along that beam is uncertain."
        return Reason("one-view", sentence)
    elsewhere = "farther up or down\n: check its outline"
    if vertebra(name):
        elsewhere = "one level up or down\n: check the level"
    code, sentence = FAULTS[of]
    said = {"percent_shown": 100 * features.shown, "elsewhere": elsewhere, **vars(features)}
    sentence = sentence.format(name=name, **said)
    return Reason(code, sentence[0].upper() + sentence[1:])


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
    within = not set(faulty(features)) - {TELLS_WHY}
    return prediction, decide(prediction, model, within)


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
    reasons = risk_reasons(prediction, fitted(), verdict)
    reasons += [fault(of, name, features, showing) for of in faulty(features)]
    if not prediction.bounded:
        sentence = f"The result for {name} looks unlike every correct result we know."
        reasons.append(Reason("unlike-known", sentence))
    if in_doubt:
        reasons.append(OF_WHOLE)
    bound = f"The error of {name} may reach {prediction.upper95_mm:.1f} mm."
    return prediction, verdict, reasons or [Reason("error-bound", bound)]
