"""What is known of a case whose X-rays were simulated."""

from __future__ import annotations

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case


def truth_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The true world_from_ct (4, 4), and the targets (n, 3); InputError where a case has none."""
    if case.truth_world_from_ct is None or case.targets is None:
        raise InputError(f"{case.name}: has no truth with targets; choose a case that has both.")
    return case.truth_world_from_ct, case.targets


def start_of(case: Case) -> np.ndarray:
    """The start world_from_ct (4, 4); InputError where a case has none."""
    if case.world_from_ct is None:
        raise InputError(f"{case.name}: has no start pose; choose a case that has one.")
    return case.world_from_ct


def mtre_of(case: Case, world_from_ct: np.ndarray) -> float:
    """How far a pose has the targets from where they truly are, mm."""
    return mtre(world_from_ct, *truth_of(case))
