"""One registration of the protocol: X-rays are simulated, registered and assessed as for any case, and held against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...api import register
from ...assessment import metrics, verdict
from ...assessment.prediction import WRONG_MM
from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.raw_image import raw_image
from ...imaging.view import View
from ...imaging.xray import to_line_integrals
from ...io.case import Case
from ...registration.prepared_ct import PreparedCT
from ...report.result import Result
from ...simulation.cases import PIXEL_MM, random_cameras, random_pose, targets_of
from ...simulation.nuisances import overlays_with, xrays_with
from ...simulation.simulator import SimulatedXRay
from .. import statistics as protocol
from ..failure_figure import failure_figure
from .conditions import INTERVALS, PARTS, REACH_MM, TOGETHER, Trial
from .faults import FAULTS, off
from .subject import Subject

#: Between the first X-ray and the others the patient moves, or a bone against all else, by up to so many degrees and mm.
MOTION_DEG, MOTION_MM = (0.5, 2.0), (1.0, 4.0)
NEIGHBOURS_DEG, NEIGHBOURS_MM = (2.0, 6.0), (2.0, 8.0)
#: X-rays are drawn so often at most, until all views show enough bone.
MOST_DRAWS = 30


@dataclass(frozen=True, eq=False)
class Simulated:
    """A case with its truth.   names: of the nuisances in it.   cameras: the true ones, of each view."""

    case: Case
    names: tuple[str, ...]
    cameras: list[Camera]


def measured(trial: Trial, subject: Subject, seed: int) -> tuple[dict, bytes | None]:
    """The row of a registration, plain data, and a picture where it is wrong, or gave no answer.

    "failed" in it says why there was no answer, "skipped" why there were no X-rays.
    """
    condition = trial.condition
    bone = trial.repeat % subject.bones if condition.part == "bone" and subject.bones else None
    row = {
        "number": trial.number,
        "condition": condition.name,
        "part": condition.part,
        "group": condition.group,
        "ct": subject.name,
        "bone": bone,
        "views": condition.views,
        "apart_deg": condition.apart_deg,
        "error": condition.error,
        "repeat": trial.repeat,
    }
    if condition.part == "bone" and bone is None:
        return {**row, "skipped": "The CT has no bone that stands by itself."}, None
    try:
        made = simulated(trial, subject, bone, seed)
    except InputError as error:
        return {**row, "skipped": str(error)}, None
    row |= {"nuisances": list(made.names)}
    return registered(row, made.case, subject.anatomy(bone), made.cameras, trial.number)


def registered(
    row: dict, case: Case, anatomy: PreparedCT, cameras: list[Camera], seed: int
) -> tuple[dict, bytes | None]:
    """What a registration comes to, added to a row, and its picture, see `measured`.   cameras: the true ones."""
    truth = case.truth_world_from_ct
    row = {**row, "start_mm": metrics.mtre(case.world_from_ct, truth, case.targets)}
    try:
        result = register(case, anatomy=anatomy, seed=seed)
    except InputError as error:
        return {**row, "failed": str(error)}, _picture(anatomy, case.views, case.world_from_ct, truth)
    row |= {
        "failed": None,
        **told(result),
        "camera_off": [cameras_off(cameras, [view.camera for view in views]) for views in (case.views, result.views)],
    }
    wrong = not row["mtre_mm"] <= WRONG_MM
    return row, _picture(anatomy, result.views, result.world_from_ct, truth) if wrong else None


def _picture(anatomy: PreparedCT, views: Sequence[View], found: np.ndarray, truth: np.ndarray) -> bytes:
    """At half the X-rays' resolution, which is enough to see what was taken for what, and quick."""
    views = [view.pooled(2) for view in views]
    return failure_figure(
        [view.xray for view in views], *([anatomy.drr(view.camera, pose) for view in views] for pose in (found, truth))
    )


def simulated(trial: Trial, subject: Subject, bone: int | None, seed: int) -> Simulated:
    """The case of a trial. InputError where no draw shows enough bone in all views.

    Cameras and pose are the same for all conditions of one geometry, so that what is put on is held against the same case without it; all
    else is drawn anew.
    """
    condition, rng = trial.condition, np.random.default_rng([seed, trial.number])
    names = (*condition.nuisances, *(choices[rng.integers(len(choices))] for choices in TOGETHER if condition.together))
    if bone is None:
        names = tuple(name for name in names if name != "neighbours")
    patient = subject.patient(bone)
    where = [PARTS.index(condition.part), condition.views, condition.apart_deg, trial.repeat]
    scene = np.random.default_rng([seed, trial.ct, *where])
    cameras = random_cameras(scene, condition.views, (condition.apart_deg, condition.apart_deg))
    pose = random_pose(patient, scene)
    for draw in range(MOST_DRAWS):
        xrays = xrays_with(rng, names, condition.views)
        try:
            targets = targets_of(patient, cameras, xrays, pose, rng)
            break
        except InputError:  # blades over all the bone
            if draw == MOST_DRAWS - 1:
                raise
    views = _taken(names, subject, bone, cameras, xrays, pose, rng)
    if condition.error:
        views = FAULTS[condition.error](rng, views)
    low, high = (REACH_MM / INTERVALS * (trial.interval + end) for end in (0, 1))
    start = protocol.starting_poses(pose, targets, (low, high), 1, int(rng.integers(2**31))).world_from_ct[0]
    case = Case(
        ct=subject.ct(bone),
        views=views,
        world_from_ct=start,
        targets=targets,
        truth_world_from_ct=pose,
        name=f"{subject.name}-{trial.number:04d}",
    )
    return Simulated(case, names, cameras)


def _taken(
    names: Sequence[str],
    subject: Subject,
    bone: int | None,
    cameras: Sequence[Camera],
    xrays: Sequence[SimulatedXRay],
    pose: np.ndarray,
    rng: np.random.Generator,
) -> list[View]:
    """The views, with all that is put on their images afterwards, or moves."""
    overlays = overlays_with(rng, names)
    about = subject.patient(bone).centre
    projector = subject.projector
    if "neighbours" in names:
        projector = subject.moved(bone)
        projector.rest_from_bone = off(rng, np.eye(4), about, rng.uniform(*NEIGHBOURS_DEG), rng.uniform(*NEIGHBOURS_MM))
    views = []
    for nth, (camera, xray) in enumerate(zip(cameras, xrays, strict=True)):
        at = pose
        if nth and "motion" in names:
            at = off(rng, pose, rigid.transform_points(pose, about), rng.uniform(*MOTION_DEG), rng.uniform(*MOTION_MM))
        image = xray.take(projector, camera, at, rng)
        for put in overlays:
            image = put(image, camera)
        views.append(View(f"view{nth + 1}", to_line_integrals(raw_image(image, (PIXEL_MM, PIXEL_MM))), camera))
    return views


def told(result: Result) -> dict:
    """What a registration says of itself, beside what is true."""
    errors, assessment, prediction = result.errors, result.assessment, result.assessment.prediction
    case, first = result.case, result.views[0].camera
    split = metrics.split_by_view(first, result.world_from_ct, case.truth_world_from_ct, case.targets)
    said = assessment.splits[0] if assessment.splits else None
    noise = assessment.features and assessment.features.uncertainty.at(
        rigid.transform_points(result.world_from_ct, assessment.targets)
    )
    rival, world_from_background = result.refinement.alternative, result.refinement.world_from_background
    return {
        "mtre_mm": errors.mtre_mm,
        "mpd_mm": errors.mpd_mm,
        "depth_mm": float(np.sqrt(np.mean(split.depth_mm**2))),
        "in_plane_mm": float(np.sqrt(np.mean(split.in_plane_mm**2))),
        "verdict": result.verdict,
        "reasons": list(assessment.reasons),
        "cause": assessment.cause.to_json() if assessment.cause else None,
        "wrong": prediction and prediction.failure_probability,
        "mean_mm": prediction and prediction.mean_mm,
        "upper95_mm": prediction and prediction.upper95_mm,
        "bounded": prediction and prediction.bounded,
        "depth95_mm": said and said.depth_mm,
        "in_plane95_mm": said and said.in_plane_mm,
        "beyond": assessment.error_inflation,
        "rest_at": None if world_from_background is None else world_from_background.tolist(),
        "gap": rival and rival.evidence_ratio,
        "similarity": list(result.refinement.fit.similarity),
        "world_from_ct": result.world_from_ct.tolist(),
        "features": assessment.features and verdict.model_inputs(assessment.features),
        "measured": assessment.measured,
        "noise_mm": noise and noise.mean_mm,
        "noise95_mm": noise and noise.bound_mm(),
        "diagnosis_incomplete": assessment.diagnosis_incomplete,
        "register_s": result.seconds["initialise"] + result.seconds["refine"],
        "assess_s": result.seconds["assess"],
    }


def cameras_off(true: list[Camera], given: list[Camera]) -> list[float]:
    """[degrees, mm] by which a further camera is off against the first at most, mm at the world origin, about which C-arms turn."""
    worst = [0.0, 0.0]
    for a, b in zip(true[1:], given[1:], strict=True):
        with_first_true = b.camera_from_world @ rigid.inverse(given[0].camera_from_world) @ true[0].camera_from_world
        away = rigid.inverse(a.camera_from_world) @ with_first_true
        worst = [
            max(worst[0], float(np.degrees(rigid.rotation_angle(away[:3, :3])))),
            max(worst[1], float(np.linalg.norm(away[:3, 3]))),
        ]
    return worst
