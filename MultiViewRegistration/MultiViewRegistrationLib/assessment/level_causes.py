"""Causes of a poor fit along the body: the CT at another vertebra or another part of it, or too short."""

from __future__ import annotations

import numpy as np

from ..geometry import rigid
from ..registration.optimizer import Descent, DescentStart, cluster_minima
from ..registration.pipeline import TRIED_STEPS, pose_difference
from .cause import MIN_EVIDENCE_GAIN, Cause, evidence_gain
from .trials import Trials

#: Spacings of vertebrae, and how far from the CT's axis a shift by one may point; so many of them go
#: on after a few steps.
LEVELS_MM = (20.0, 30.0, 40.0)
ALONG = np.cos(np.radians(30))
LEVELS_TRIED = 2
#: A shift along the body of at least this is another level, if turned by no more.
LEAST_LEVEL_MM = 10.0
MOST_TURN_DEG = 10.0
#: How far along the body the start may be off, where the X-rays show another part of it than the
#: start says.
FAR_MM = (60.0, 90.0, 120.0, 150.0, 180.0)
#: Where more of a view's field than this sees beyond the cut ends of the CT, the CT is too short.
MOST_BEYOND = 0.5


def other_level(trials: Trials, here: Descent) -> Cause | None:
    """Return a pose shifted along the CT's long axis, by about a vertebra, that fits as well as `here`."""
    registration = trials.registration(trials.tied)
    minima: list[Descent] = []
    for mm in LEVELS_MM:
        starts = [DescentStart(_shifted(trials.pose, side * mm)) for side in (1, -1)]
        ends = registration.descend(1, starts, TRIED_STEPS)
        minima = cluster_minima(minima, ends, trials.anatomy.centroid)
    evidence = here.fit.evidence
    for run in registration.descend(1, minima[:LEVELS_TRIED]) if minima else ():
        length, along, degrees = _distance(trials, run, trials.pose)
        if length >= LEAST_LEVEL_MM and abs(along) >= ALONG * length and degrees <= MOST_TURN_DEG:
            better = evidence_gain(run, evidence) > MIN_EVIDENCE_GAIN
            sentence = (
                f"The CT may be registered to the wrong vertebra\n: moved by {length:.0f} mm "
                f"towards the {_end(along)}, it fits {'better' if better else 'about as well'}. "
                "Count the levels."
            )
            return Cause.of_run("level", (), sentence, run, evidence)
    return None


def other_part(trials: Trials, evidence: float) -> Cause | None:
    """Return the best pose farther along the CT's long axis, from the start.

    Where nothing fits the answer may be turned any way.
    """
    length_mm = np.ptp(trials.anatomy.corners()[:, 2])
    poses = [
        _shifted(trials.start, side * mm) for mm in FAR_MM if mm < length_mm for side in (1, -1)
    ]
    run = trials.best_refined(trials.tied, trials.coarse(trials.tied, poses))
    if run is None:
        return None
    length, along, _ = _distance(trials, run, trials.start)
    if abs(along) < max(ALONG * length, FAR_MM[0] / 2):
        return None
    sentence = (
        "The X-rays show another part of the CT than the start says\n: moved by "
        f"{length:.0f} mm towards the {_end(along)}, the CT fits. Check the start."
    )
    return Cause.of_run("part", (), sentence, run, evidence)


def ct_too_short(trials: Trials) -> Cause | None:
    """Return the view with the largest share beyond the cut ends of the CT, if that is most of it."""
    projector = trials.anatomy.projector(0)
    beyond = {
        view.name: float(np.mean(projector.seen(view.camera, trials.pose)[view.xray.valid] == 0))
        for view in trials.tied
        if view.xray.valid.any()
    }
    name = max(beyond, key=beyond.__getitem__, default="")
    if not name or beyond[name] < MOST_BEYOND:
        return None
    sentence = (
        f"The CT is too short, or {name} shows another part of the body\n: "
        f"{100 * beyond[name]:.0f} % of this X-ray lies beyond the ends of the CT."
    )
    similarity = tuple(trials.found.fit.similarity)
    return Cause("short", (name,), sentence, 1.0, similarity, trials.pose)


def _distance(trials: Trials, run: Descent, pose: np.ndarray) -> tuple[float, float, float]:
    """Return the distance of a pose from another one (4, 4).

    Mm, mm along the CT's long axis towards the head, degrees.
    """
    centroid = trials.anatomy.centroid
    mm, degrees = pose_difference(run.world_from_ct, pose, centroid)
    here, there = (rigid.transform_points(each, centroid) for each in (run.world_from_ct, pose))
    return mm, float((here - there) @ pose[:3, 2]), degrees


def _shifted(pose: np.ndarray, mm: float) -> np.ndarray:
    """Return a pose (4, 4) moved along the CT's long axis."""
    return rigid.translation(mm * pose[:3, 2]) @ pose


def _end(along: float) -> str:
    return "head" if along > 0 else "feet"
