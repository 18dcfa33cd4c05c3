"""The verdict on a bone that was registered at its own pose, with its reasons.

Accept needs a small risk, a mask that fits the bone, two X-rays that show it, and a registration of
the whole CT of the kind that the risk was measured on. The numbers are of benchmarks/bones_fit.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..imaging.bone_names import vertebra
from ..reasons import BoneVerdict, Reason
from .bone_features import BoneFeatures
from .bone_prediction import BoneModel, BonePrediction, fitted
from .prediction import WRONG_MM, percent

#: Beyond these a reason names the feature. They and the risk to accept were chosen on seed 71 of
#: benchmarks/bones.py; there the risk was right beyond them, too: they guard against what was not
#: simulated.
UNLIKE = 0.4
UNUSUAL_SDS = 2.5
NEXT_LEVEL = 1.15
LEFT_OUT = 0.8
SOFT = 0.5
#: Two views at least must show so much of it.
MEASURED_SHOWN = 0.6
#: What is in doubt of the whole CT is so of each of its bones.
OF_WHOLE = Reason(
    "whole-in-doubt",
    "What the verdict on the whole CT says of cameras and X-rays holds for its bones, too.",
)


def decide(
    features: BoneFeatures, model: BoneModel | None = None
) -> tuple[BonePrediction | None, BoneVerdict]:
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
    if prediction.risk >= model.reject:
        return prediction, "reject"
    within = (
        features.left_out <= LEFT_OUT
        and features.soft <= SOFT
        and features.level_ratio >= NEXT_LEVEL
        and features.motion_sds <= UNUSUAL_SDS
        and features.shown >= MEASURED_SHOWN
        and features.split_half_mm <= WRONG_MM
        and not features.again_mm > WRONG_MM
    )
    safe = (
        prediction.risk <= model.accept and prediction.upper95_mm <= WRONG_MM and prediction.bounded
    )
    return prediction, "accept" if within and safe else "check"


def judge(
    name: str, features: BoneFeatures, showing: Sequence[str], in_doubt: bool
) -> tuple[BonePrediction | None, BoneVerdict, list[Reason]]:
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
    prediction, verdict = decide(features)
    if prediction is None:
        return (
            None,
            verdict,
            [
                Reason(
                    "not-shown",
                    f"No X-ray shows enough of {name} to say where it is: it is drawn where its "
                    "neighbours are.",
                )
            ],
        )
    if verdict == "accept" and not in_doubt:
        return prediction, verdict, []
    verdict = "check" if verdict == "accept" else verdict
    model = fitted()
    reasons = []
    if verdict == "reject":
        reasons.append(
            Reason(
                "most-likely-wrong",
                f"Most likely wrong: {percent(prediction.risk)} risk of an error above {WRONG_MM:g} mm.",
            )
        )
    elif prediction.risk > model.accept:
        reasons.append(
            Reason(
                "risk",
                f"The risk of an error above {WRONG_MM:g} mm is {percent(prediction.risk)}; up to "
                f"{percent(model.accept)} is accepted.",
            )
        )
    if len(showing) == 1:
        reasons.append(
            Reason(
                "one-view",
                f"Only {showing[0]} shows {name}: its depth along that beam is uncertain.",
            )
        )
    elif features.shown < MEASURED_SHOWN:
        reasons.append(
            Reason("partly-shown", f"The X-rays show only {100 * features.shown:.0f} % of {name}.")
        )
    if features.left_out > LEFT_OUT:
        reasons.append(
            Reason("mask-too-small", f"Bone goes on outside the mask of {name}: correct the mask.")
        )
    if features.soft > SOFT:
        reasons.append(
            Reason("mask-too-large", f"Much of the mask of {name} is no bone: correct the mask.")
        )
    if features.level_ratio < NEXT_LEVEL:
        where = (
            "one level up or down: check the level"
            if vertebra(name)
            else "farther up or down: check its outline"
        )
        reasons.append(Reason("other-level", f"{name} fits about as well {where}."))
    if features.similarity < UNLIKE:
        reasons.append(
            Reason(
                "not-like-ct",
                f"{name} does not look like the X-rays (similarity {features.similarity:.2f}).",
            )
        )
    if features.split_half_mm > WRONG_MM:
        reasons.append(
            Reason(
                "halves-disagree",
                f"Halves of the images of {name} disagree by {features.split_half_mm:.1f} mm.",
            )
        )
    if features.again_mm > WRONG_MM:
        reasons.append(
            Reason(
                "not-found-again",
                f"Begun a little off, {name} ends up to {features.again_mm:.1f} mm from here: the "
                "X-rays leave its place open.",
            )
        )
    if features.motion_sds > UNUSUAL_SDS:
        reasons.append(
            Reason(
                "unusual-motion",
                f"{name} has moved against a neighbour by more than is usual: it may be another one.",
            )
        )
    if not prediction.bounded:
        reasons.append(
            Reason(
                "unlike-known", f"The result for {name} looks unlike every correct result we know."
            )
        )
    if in_doubt:
        reasons.append(OF_WHOLE)
    return (
        prediction,
        verdict,
        reasons
        or [
            Reason("error-bound", f"The error of {name} may reach {prediction.upper95_mm:.1f} mm.")
        ],
    )
