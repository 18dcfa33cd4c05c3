"""What is measured of one case: the poses that a model makes of its X-rays, and the pose to which a registration leads."""

from __future__ import annotations

import warnings
from time import perf_counter

import numpy as np
import pose_cases

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor.initialise import predict_poses
from MultiViewRegistrationLib.regressor.model import RegressorModel


def poses(model: RegressorModel, case: Case) -> dict:
    """mTRE in mm of all views together and of each alone, what the model expects of the former, and the milliseconds that took."""
    anatomy = pose_cases.ready(case)
    start = perf_counter()
    together = predict_poses(model, anatomy, case.views, case.world_from_ct)[0]
    ms = 1000 * (perf_counter() - start)
    errors = [mtre(together.world_from_ct, case.truth_world_from_ct, case.targets)]
    if len(case.views) > 1:
        alone = [predict_poses(model, anatomy, [view], case.world_from_ct)[0] for view in case.views]
        errors += [mtre(one.world_from_ct, case.truth_world_from_ct, case.targets) for one in alone]
    return {"mtre_mm": _rounded(errors), "expected_mm": round(together.expected_mm(), 3), "ms": round(ms, 1)}


def registration(start: str, model: RegressorModel | None, case: Case) -> dict:
    """mTRE in mm, None where there is no answer, of the start's way to the pose; its seconds, and what it took as its start."""
    anatomy = pose_cases.ready(case)
    how = {} if model is None else {"model": model}
    try:
        with warnings.catch_warnings(action="ignore"):
            result = register(case, start=start, anatomy=anatomy, **how)
    except InputError as error:
        return {"mtre_mm": None, "seconds": None, "taken": str(error)}
    error = mtre(result.world_from_ct, case.truth_world_from_ct, case.targets)
    seconds = result.seconds["initialise"] + result.seconds["refine"]
    return {
        "mtre_mm": round(error, 4),
        "seconds": round(seconds, 3),
        "taken": result.regressor.selected_start if result.regressor else start,
    }


def final_errors(rows: list[dict]) -> np.ndarray:
    """(n,) mTRE in mm; infinite where there was no answer."""
    return np.array([np.inf if row["mtre_mm"] is None else row["mtre_mm"] for row in rows])


def _rounded(values: list[float]) -> list[float]:
    return [round(float(value), 4) for value in values]
