"""The likeliest fault of cameras, or of the CT's scale and slice spacing: what is found together with the pose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..geometry import rigid
from ..imaging.xray import View
from ..registration.cameras import OWN, CameraCorrections
from ..registration.optimizer import KEEP_AFTER_FINER, Descent, DescentStart
from ..registration.pipeline import TRIED_STEPS, RegistrationPipeline, prune
from .cause import MIN_NCC, Cause, evidence_gain
from .hypotheses import Hypothesis, camera_hypotheses, pixel_mm
from .trials import Trials

#: One unknown number that explains nearly as much as six is the likelier cause.
SIMPLER_CAUSE_RATIO = 0.97
#: A distance or an angle that comes out nearer to what was given was no fault.
LEAST_SHARE = 0.01
LEAST_DEG = 0.5
LEAST_MM = 1.5
#: A principal point, mm on the detector, or a CT's scale that comes out nearer to what was given
#: was no fault; nor is one within so many standard deviations of what the case says.
LEAST_PRINCIPAL_POINT_MM = 1.5
LEAST_SCALE = 0.01
STATED_SDS = 3.0
#: By these shares a CT's slice spacing is tried, about 0 and about the best so far; what lies
#: between follows from a parabola.
SPACING_STEPS = (0.03, 0.01)
#: Rounds at the second resolution in which cameras are found, the last of them one by which the
#: evidence grows by less than this factor.
ROUNDS = 3
SETTLED = 1.002
#: All faults of cameras are tried by a few steps first. If the evidence has grown by LEAST_GAIN under
#: any, those go on under which it has grown by the largest such gain to the power of PROMISING, and
#: every X-ray's NCC lacks at most NEARLY of MIN_NCC.
LEAST_GAIN = 1.02
PROMISING = 0.5
NEARLY = 0.05


def camera_cause(
    trials: Trials, alone: dict[str, np.ndarray], evidence: float, signs: Sequence[Cause] = ()
) -> Cause | None:
    """Return the likeliest fault of cameras or of the CT's scale.

    Of those that explain nearly as much as any, it is that with the fewest unknowns. A CT's
    scale and a distance explain nearly the same: of cameras that are known well it is the CT's.

    Parameters
    ----------
    alone
        (4, 4) pose of each view alone, by its name.
    evidence
        Of the pose that was found.
    signs
        Causes of wrong signs of angles, which have no unknowns.
    """
    causes = [(0, cause) for cause in signs]
    size_share = 0.0
    for each, registration, minima in _promising(trials, alone, evidence):
        best = _several_rounds(registration, minima)
        if best is None:
            continue
        of_all = each.cause == "distance" and not each.about
        if of_all and not _rows_in_mm(trials):
            size_share = _distance_share(each, best)
        if words := _camera_in_words(trials, each, best):
            sentence = f"{each.sentence} {words}. {each.advice}".strip()
            cause = Cause.of_run(each.cause, each.about, sentence, best, evidence)
            unknowns = len(CameraCorrections(each.views, each.shared).free)
            causes.append((unknowns, replace(cause, size_share=size_share) if of_all else cause))
    calibrated = all(view.distance_sd_percent < 100 * LEAST_SHARE for view in trials.tied)
    scales = [(1, cause) for cause in _of_scale(trials, evidence, size_share)]
    causes = [*scales, *causes] if calibrated else [*causes, *scales]
    most = max((cause.gain for _, cause in causes), default=0.0)
    likely = [pair for pair in causes if pair[1].gain >= SIMPLER_CAUSE_RATIO * most]
    return min(likely, key=lambda pair: pair[0])[1] if likely else None


def _promising(
    trials: Trials, alone: dict[str, np.ndarray], evidence: float
) -> list[tuple[Hypothesis, RegistrationPipeline, list[Descent]]]:
    """Return the faults of cameras that may be the cause, with where a few steps lead."""
    tried = []
    for each in camera_hypotheses(trials.tied, trials.shared):
        registration = trials.registration(each.views, each.shared)
        nothing = CameraCorrections(each.views, each.shared).none
        starts = [DescentStart(trials.pose, corrections=nothing)]
        if each.cause == "motion":
            starts += _where_each_view_has_it(each.views, alone)
        elif each.cause == "distance" and not each.about:
            starts.append(DescentStart(trials.start, corrections=nothing))
        minima = registration.descend(1, starts, TRIED_STEPS)
        if minima:
            tried.append((each, registration, minima))
    most = max((evidence_gain(minima[0], evidence) for *_, minima in tried), default=0.0)
    if most < LEAST_GAIN:
        return []
    return [
        (each, registration, minima)
        for each, registration, minima in tried
        if evidence_gain(minima[0], evidence) >= most**PROMISING
        and min(minima[0].fit.similarity) >= MIN_NCC - NEARLY
    ]


def _where_each_view_has_it(views: list[View], alone: dict[str, np.ndarray]) -> list[DescentStart]:
    """Return the pose of each other view alone, with the corrections that give the last view the same pose."""
    *others, last = (alone.get(view.name) for view in views)
    starts = []
    for pose in others:
        if pose is not None and last is not None:
            motion = last @ rigid.inverse(pose)
            own = [*rigid.log_so3(motion[:3, :3]), *motion[:3, 3]]
            corrections = np.array([0.0] * OWN * len(others) + own + [0.0] * (OWN - 6 + 6))
            starts.append(DescentStart(pose, corrections=corrections))
    return starts


def _several_rounds(
    registration: RegistrationPipeline,
    starts: Sequence[DescentStart | Descent],
    rounds: int = ROUNDS,
) -> Descent | None:
    """Return the best minimum at the second resolution."""
    minima = registration.descend(1, starts)
    for _ in range(rounds - 1):
        if not minima:
            break
        before = minima[0].fit.evidence
        minima = registration.descend(1, prune(minima, *KEEP_AFTER_FINER)[0])
        if minima and minima[0].fit.evidence < SETTLED * before:
            break
    return minima[0] if minima else None


def _of_scale(trials: Trials, evidence: float, size_share: float) -> Iterator[Cause]:
    """Yield that the CT's slice spacing is wrong, or its scale, by about what the distance to the detector would be wrong by.

    The rows of a slot scan tell the one from the other.
    """
    apart = np.array([0, 0, 1])
    whole = np.ones(3)
    spacing = _share(trials, apart, evidence)
    check = "how it was exported, and the distance to the detector"
    if _rows_in_mm(trials):
        size_share = _share(trials, whole, evidence)
        check = "how it was exported"
    for kind, what, share, axes in (
        ("slice spacing", "slice spacing", spacing, apart),
        ("ct scale", "scale", size_share, whole),
    ):
        if abs(share) < max(LEAST_SCALE, _stated(trials, "distance_sd_percent") / 100):
            continue
        run = _scaled(trials, share * axes, rounds=ROUNDS)
        if run is None:
            continue
        words = f"{100 * abs(share):.1f} % {'larger' if share > 0 else 'smaller'}"
        sentence = f"The CT's {what} seems to be wrong\n: {words}, it fits. Check {check}."
        corrected = trials.anatomy.scaled(share * axes).corrected_from_ct
        cause = Cause.of_run(kind, (), sentence, run, evidence)
        yield replace(cause, corrected_from_ct=corrected)


def _rows_in_mm(trials: Trials) -> bool:
    """Return whether a view's rows are mm apart wherever the CT lies, as a slot scan's are."""
    return any(view.camera.fan_axes == 1 for view in trials.tied)


def _share(trials: Trials, axes: np.ndarray, evidence: float) -> float:
    """Return by what share the CT fits best when it is larger along these axes (3,)."""
    share = 0.0
    for step in SPACING_STEPS:
        tried = [_scaled(trials, (share + side * step) * axes) for side in (-1, 0, 1)]
        share += _vertex(step, *(evidence_gain(run, evidence) if run else 0.0 for run in tried))
        if abs(share) < LEAST_SCALE / 2:
            break
    return share


def _scaled(trials: Trials, shares: np.ndarray, rounds: int = 1) -> Descent | None:
    """Return the best pose of the CT with its voxels larger by these shares (3,), from the pose that was found."""
    registration = trials.registration(trials.tied, anatomy=trials.anatomy.scaled(shares))
    return _several_rounds(registration, [DescentStart(trials.pose)], rounds)


def _vertex(step: float, below: float, here: float, above: float) -> float:
    """Return where a parabola through three values at -step, 0 and step has its maximum, at most 2 steps off.

    Where it has none, return the best of the three.
    """
    bend = below - 2 * here + above
    if bend >= 0:
        return step if above > below else -step
    return float(np.clip(step * (below - above) / (2 * bend), -2 * step, 2 * step))


def _distance_share(each: Hypothesis, run: Descent) -> float:
    """Return by what share a distance from source to detector comes out longer."""
    own = run.corrections[:-6].reshape(-1, OWN)
    return float(own[:, 6].sum() + run.corrections[-6] / each.views[0].camera.focal_px)


def _camera_in_words(trials: Trials, each: Hypothesis, run: Descent) -> str:
    """Describe how the cameras differ from the given ones.

    "" if by too little to be the cause.
    """
    own = run.corrections[:-6].reshape(-1, OWN)
    if each.cause == "distance":
        share = _distance_share(each, run)
        if abs(share) < max(LEAST_SHARE, _stated(trials, "distance_sd_percent") / 100):
            return ""
        return f"{100 * abs(share):.1f} % {'longer' if share > 0 else 'shorter'}, the X-rays fit"
    if each.cause == "principal point":
        column, row = own[-1, 7:9]
        least = LEAST_PRINCIPAL_POINT_MM / pixel_mm(each.views[-1])
        if np.hypot(column, row) < max(least, _stated(trials, "principal_point_sd_px")):
            return ""
        return f"moved by {column:.0f} columns and {row:.0f} rows, the X-rays fit"
    motion = rigid.turn_and_shift(own[-1, :3], own[-1, 3:6])
    there = rigid.transform_points(run.world_from_ct, trials.anatomy.centroid)
    mm = float(np.linalg.norm(rigid.transform_points(motion, there) - there))
    degrees = float(np.degrees(np.linalg.norm(own[-1, :3])))
    if degrees < LEAST_DEG and mm < LEAST_MM:
        return ""
    return f"with the CT {mm:.1f} mm and {degrees:.1f} degrees elsewhere in it, the X-rays fit"


def _stated(trials: Trials, key: str) -> float:
    """Return how far off the case says that the cameras may be."""
    return STATED_SDS * max(getattr(view, key) for view in trials.tied)
