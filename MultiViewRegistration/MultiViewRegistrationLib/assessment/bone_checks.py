"""Checks of a bone, or an implant, that was registered at a pose of its own.

An accept needs a small risk, a mask that fits the bone, two X-rays that show it, and a registration
of the whole CT of the kind on which the risk was measured. The limits are of benchmarks/bone_risk.py.
The risk of an implant was not measured, and X-rays do not show all of its rotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..geometry import rigid
from ..imaging.bone_names import vertebra
from ..imaging.ct import CT
from ..imaging.field import nearest
from ..registration.bone import Bone
from ..registration.register_bones import BonesRegistration
from .bone_features import BoneFeatures
from .checks import ABOUT_RISK
from .joint_motion import principal_axes
from .records import (
    CAUTION,
    FAILURE,
    NOT_SHOWN,
    POSITION,
    USES,
    WRONG_MM,
    Assessment,
    Finding,
    Severity,
    Use,
)
from .risk import BoneRiskModel, Risk, bone_risk_model

#: Uses that depend on where the bone appears.
APPEARANCE: frozenset[Use] = frozenset({"overlay", "relative"})


class FeatureLimit(NamedTuple):
    """Limit of a feature beyond which a bone is not accepted.

    Attributes
    ----------
    limit
        The feature is at fault above it; below it if `is_minimum`.
    code
        Code of the finding.
    uses
        Uses of the pose, such as the overlay, that the finding limits.
    explains_risk
        The risk model includes the feature, so that it is reported only to explain a high risk.
    """

    limit: float
    code: str
    is_minimum: bool = False
    uses: frozenset[Use] = frozenset(USES)
    explains_risk: bool = False


#: By feature. The limits and the accepted risk were chosen on seed 71 of benchmarks/bones.py, where the
#: risk was right beyond them, too: they guard against what was not simulated. Too small a visible
#: fraction leaves the position along a beam open, and hardly moves the bone in any X-ray.
FEATURE_LIMITS = {
    "shown": FeatureLimit(0.6, "partly-shown", is_minimum=True, uses=POSITION),
    "left_out": FeatureLimit(0.8, "mask-too-small"),
    "soft": FeatureLimit(0.5, "mask-too-large"),
    "level_ratio": FeatureLimit(1.15, "other-level", is_minimum=True),
    "similarity": FeatureLimit(0.4, "bone-not-like-ct", is_minimum=True, explains_risk=True),
    "split_half_mm": FeatureLimit(WRONG_MM, "bone-halves-disagree"),
    "again_mm": FeatureLimit(WRONG_MM, "not-reproduced"),
    "motion_sds": FeatureLimit(2.5, "unusual-motion"),
}


def feature_findings(
    name: str, features: BoneFeatures, views: Sequence[str], *, is_risky: bool
) -> list[Finding]:
    """Find features of a bone beyond their limits.

    Parameters
    ----------
    views
        Names of the views that show it.
    is_risky
        Include the features that only explain a high risk, or a result unlike all known ones.
    """
    findings = []
    for feature, row in FEATURE_LIMITS.items():
        value = getattr(features, feature)
        is_beyond = value < row.limit if row.is_minimum else value > row.limit
        if not is_beyond or (row.explains_risk and not is_risky):
            continue
        code = row.code
        if code == "partly-shown" and len(views) == 1:
            code = "bone-in-one-view"
        level = "vertebra" if vertebra(name) else "bone"
        values = {"bone": name, "value": value, "kind": level}
        about = tuple(views) if code == "bone-in-one-view" else ()
        findings.append(Finding(code, uses=row.uses, views=about, values=values))
    return findings


def bone_findings(
    name: str,
    features: BoneFeatures,
    views: Sequence[str],
    model: BoneRiskModel | None = None,
) -> tuple[Risk | None, list[Finding]]:
    """Return the risk of a bone of a CT, None if no view shows it, and the findings on it.

    Parameters
    ----------
    views
        Names of the views that show it.
    model
        Risk model; by default the fitted one.
    """
    if not np.isfinite(features.noise_mm):
        return None, [Finding("bone-not-shown", NOT_SHOWN, values={"bone": name})]
    model = model or bone_risk_model()
    risk = model.predict(features)
    values = {"bone": name, "risk": risk.failure, "accepted": model.accept}
    findings = []
    if model.is_likely_wrong(risk):
        findings.append(Finding("most-likely-wrong", FAILURE, values=values))
    elif risk.failure > model.accept:
        findings.append(Finding("risk", values=values))
    is_risky = risk.failure > model.accept
    is_unusual = is_risky or not risk.is_within_fit
    findings += feature_findings(name, features, views, is_risky=is_unusual)
    if not risk.is_within_fit:
        findings.append(Finding("unlike-known", values={"bone": name}))
    if risk.upper95_mm > WRONG_MM and not is_risky:
        bound = {"bone": name, "upper95_mm": risk.upper95_mm}
        findings.append(Finding("error-bound", values=bound))
    return risk, findings


#: Codes of findings that hold for bones but not for implants.
BONE_ONLY_FINDINGS = (
    "view-disagrees",
    "halves-disagree",
    "bone-halves-disagree",
    "not-like-ct",
    "bone-not-like-ct",
    "outliers",
    "unlike-known",
    "one-view",
)
#: Smallest local NCC of a view that shows an implant. Of 24 simulated implants correct poses had 0.35
#: and more, 72 wrong ones 0.13 and less in one view.
MIN_IMPLANT_NCC = 0.3
#: A rotation by one of these angles changes the cost by at least this fraction if the X-rays show it:
#: pins and balls 0 to 0.04, screws, hip and knee components 0.3 and more.
TESTED_ROTATIONS_DEG = (45.0, 90.0, 180.0)
MIN_COST_RISE = 0.1
#: No bone has more, HU: a scanner of 12 bits ends at 3071.
METAL_HU = 3000.0
#: Fraction of an implant in metal of the CT above which this is reported.
METAL_FRACTION = 0.1


class HiddenRotations(NamedTuple):
    """Rotations of an implant that the X-rays do not show.

    Attributes
    ----------
    free, half_turns
        (N, 3) axes in the frame of its CT about which any rotation, or half a turn, looks the same.
    """

    free: np.ndarray
    half_turns: np.ndarray

    def findings(self, name: str) -> list[Finding]:
        """Return the findings on an implant of this name."""
        if len(self.free) > 1:
            return [Finding("rotation-not-shown", values={"bone": name})]
        findings = []
        for axis in self.free:
            values = {"bone": name, "axis": _numbers(axis)}
            findings.append(Finding("rotation-about-axis-not-shown", values=values))
        if len(self.half_turns) and not findings:
            axes = " and ".join(_numbers(axis) for axis in self.half_turns)
            findings.append(Finding("half-turn", values={"bone": name, "axes": axes}))
        return findings


def hidden_rotations(registration: BonesRegistration, n: int) -> HiddenRotations:
    """Return the rotations about its principal axes that the X-rays do not determine, for the n-th body."""
    objective = registration.objectives[-1]
    poses = np.array(registration.poses)
    volume = registration.bones[n].finest
    voxels = np.argwhere(volume.values > 0)[:, ::-1].astype(float)
    frame = principal_axes(rigid.transform_points(volume.ct_from_index, voxels))
    centre = rigid.transform_points(poses[n], frame[:3, 3])

    def cost(rotation: np.ndarray) -> float:
        turn = rigid.from_rotation_translation(rigid.exp_so3(rotation), np.zeros(3))
        turned = poses.copy()
        turned[n] = rigid.about(centre, turn) @ poses[n]
        return objective.cost(objective.shadows(turned, jacobian=False))

    here = cost(np.zeros(3))
    free = []
    half_turns = []
    for axis in frame[:3, :3].T:
        world_axis = poses[n, :3, :3] @ axis
        angles = np.radians(TESTED_ROTATIONS_DEG)
        rises = [cost(world_axis * angle) / here - 1 for angle in angles]
        if max(rises) < MIN_COST_RISE:
            free.append(axis)
        elif rises[-1] < MIN_COST_RISE:
            half_turns.append(axis)
    return HiddenRotations(np.reshape(free, (-1, 3)), np.reshape(half_turns, (-1, 3)))


def _numbers(axis: np.ndarray) -> str:
    return f"({', '.join(f'{number + 0:.2f}' for number in axis.round(2))})"


def adapt_to_implant(assessment: Assessment) -> Assessment:
    """Return the assessment of an implant, without the findings and the risk that hold for bones only."""
    if assessment.evidence is None:
        return assessment
    findings = [Finding("implant")]
    if assessment.has("one-view"):
        (split,) = assessment.evidence.splits
        values = {"depth_mm": split.depth_mm, "in_plane_mm": split.in_plane_mm}
        findings.append(Finding("implant-in-one-view", CAUTION, POSITION, (split.name,), values))
    kept = assessment.without(*BONE_ONLY_FINDINGS, *ABOUT_RISK)
    return replace(kept.with_findings(findings), risk=None)


def implant_mismatch(name: str, similarity: np.ndarray) -> list[Finding]:
    """Check by the local NCC of each view whether the X-rays show an implant at its pose."""
    if np.nanmin(similarity, initial=1.0) >= MIN_IMPLANT_NCC:
        return []
    return [Finding("implant-not-visible", FAILURE, values={"bone": name})]


def metal_in_ct(
    ct: CT, world_from_ct: np.ndarray, implant: Bone, pose: np.ndarray
) -> list[Finding]:
    """Find metal in a CT at a pose (4, 4) where an implant is at its own pose (4, 4)."""
    index_from_implant = np.linalg.inv(world_from_ct @ ct.volume.ct_from_index) @ pose
    hu = nearest(ct.volume.values, rigid.transform_points(index_from_implant, implant.surface))
    if ct.unit != "hu" or np.mean(hu > METAL_HU) < METAL_FRACTION:
        return []
    return [Finding("metal-in-ct", values={"bone": implant.name})]


def whole_ct_doubt(severity: Severity, *, is_about_images: bool) -> Finding:
    """Return the finding that doubts about the whole CT hold for its bones, too.

    Parameters
    ----------
    is_about_images
        The doubt limits all uses; otherwise the cameras limit the 3D position.
    """
    uses = frozenset(USES) if is_about_images else POSITION
    return Finding("whole-ct-in-doubt", severity, uses)
