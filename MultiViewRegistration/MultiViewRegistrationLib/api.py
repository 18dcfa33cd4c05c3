"""Register a CT to X-rays, or assess a pose.

The same functions for a script, Slicer's console and every button.

result = register("case.json", progress=print)      # pure: no files, no scene
save_result(result, "out")
model = train(case, minutes=2)                      # into the store of this user's models, or a folder
result = register(case, start="regressor", model=model)
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError, go_on, naming, part_of, unseen, warn
from .finding import (
    REGRESSOR_STARTS,
    SEARCH_STARTS,
    STARTS,
    TimedRegistration,
    case_of,
    check_structures,
    default_start,
    find_in_air,
    find_pose,
    minutes_of,
    refinement_method,
    seed_of,
    start_pose,
    with_whole_ct,
)
from .geometry import rigid

if TYPE_CHECKING:  # what takes most of a second to import is imported where it is first used
    from .assessment.bodies import BodyRegistration, JointResult
    from .assessment.records import Assessment
    from .geometry.landmarks import LandmarkFit
    from .imaging.xray import View
    from .io.case import Case
    from .registration.optimizer import Refinement, RefinementMethod, Report
    from .registration.prepared_ct import PreparedCT
    from .registration.register_bones import BoneLevel
    from .regressor.initialise import Regressor
    from .rendering.devices import ComputeDevice
    from .report.result import Result

#: What was done, without the name of a case; silent unless a program asks for it.
log = logging.getLogger(__package__)
#: Share of the progress bar that bodies and cameras take before bones are registered together, and
#: share of that in which they are found, before they are judged.
ALONE_SHARE = 0.7
FOUND_SHARE = 0.4


def register(
    case: Case | str | os.PathLike[str],
    start: str | None = None,
    progress: Report = unseen,
    anatomy: PreparedCT | None = None,
    seed: int = 0,
    refinement: str | type = "joint",
    device: str | ComputeDevice = "cpu",
    model: str | Path | Regressor | None = None,
    minutes: float = 2.0,
    unassessed: Callable[[Result], object] = lambda _: None,
) -> Result:
    """Find the pose of the case's CT in the world of its X-rays, and assess it.

    What a mask of the CT holds is registered as a bone of it, and the result is that bone's.

    Parameters
    ----------
    case
        CT, views and start pose, if any; or the path of a case.json, or of its folder.
    start
        "given": the case's `world_from_ct`. "search": anywhere within the case's range of that
        pose; without a pose within its range of the default pose at the isocentre, and without
        either through all of the CT. "landmarks": the pose that fits the case's
        landmarks. "regressor": the proposals of a regressor trained on this CT. "auto": these and a
        small search, or a search alone without a regressor. By default what the case has: its start
        pose, else its landmarks, else a search.
    progress
        Called with a `Progress` as the pose gets better; returning False cancels. Without it a line
        on stderr says when kernels are compiled, which takes ten seconds on the first time.
    anatomy
        The prepared CT, to register many X-rays to one CT.
    seed
        Of the search and of a training.
    refinement, device
        See `refinement_method`; a training runs on that device, too.
    model
        The regressor or its folder; by default the newest one of this CT.
    minutes
        Length of the training that `start="regressor"` begins if there is no regressor.
    unassessed
        Called with the result before it is assessed, to draw it meanwhile; not where the case has
        bones, which have no poses yet.

    Returns
    -------
    Result
        The pose `world_from_ct` (4, 4) in LPS mm with its verdict, reasons and predicted error.

    Raises
    ------
    InputError
        The case has no such start; its landmarks fit no pose; the views show too little of the CT;
        the model belongs to another CT or to other cameras; the refinement does not exist, or
        cannot run here.
    Cancelled
        `progress` returned False.
    """
    from .registration.prepared_ct import PreparedCT, anatomies_of
    from .registration.warm_up import warm_up

    case = given = case_of(case)
    seed = seed_of(seed)
    minutes = minutes_of(minutes)
    asked, start = start, default_start(case) if start is None else start
    _check_start(case, start)
    if case.first_bone and len(case.bodies) > 1 and start not in ("given", "search"):
        raise InputError(
            f'start: found "{start}", which is for one CT, expected given or search for bones with a CT each.'
        )
    check_structures(case)
    method = refinement_method(refinement, device)
    assessed = method.name == "joint"  # the risk was measured for poses of this refinement only
    began = perf_counter()
    regressor = None
    training = 0.0
    if start in REGRESSOR_STARTS:
        from .regressor.initialise import model_for

        regressor = model_for(case, start, model)
    if not assessed and regressor is None and start in SEARCH_STARTS:
        raise method.missing_pose()
    with _compilation_told() if progress is unseen else nullcontext():
        warm_up()
    prepared = anatomy = anatomy or PreparedCT(case.ct)
    if assessed:
        case, anatomy = with_whole_ct(case, anatomy)
    bodies = case.bodies if assessed else case.bodies[:1]
    anatomies = anatomies_of(bodies, anatomy)
    if start == "regressor" and regressor is None:
        from .training import TRAINING_SHARE, train_first

        regressor, training = train_first(case, anatomy, minutes, seed, progress, method.trains_on)
        progress = part_of(progress, TRAINING_SHARE, 1.0)
    of_bones = part_of(progress, ALONE_SHARE, 1.0)
    if assessed and case.bone_names:
        progress = part_of(progress, 0.0, ALONE_SHARE)
    of_verdict = part_of(progress, FOUND_SHARE, 1.0)
    if assessed:
        progress = part_of(progress, 0.0, FOUND_SHARE)
    located = perf_counter()
    landmark_fit = _locate(case) if start == "landmarks" else None
    located = perf_counter() - located
    pose = case.world_from_ct
    if landmark_fit:
        pose = landmark_fit.world_from_ct
    elif start != "regressor":
        pose = start_pose(case, anatomy.centroid)
    loaded = perf_counter() - began - located - training
    first = find_pose(
        case,
        anatomy,
        method,
        start,
        pose,
        regressor=regressor,
        seed=seed,
        progress=part_of(progress, 0.0, 1 / len(bodies)),
    )
    anatomies[0], first = find_in_air(case, anatomy, method, first)
    found = [
        first,
        *register_further(case, anatomies, first.refinement.views, asked, progress, seed, method),
    ]
    from .registration.optimizer import Progress
    from .report.result import Result

    result = Result(
        case,
        anatomies[0],
        first.start_world_from_ct,
        first.refinement,
        start,
        {},
        landmark_fit,
        method.name,
        method.torch_device,
        first.regressor and replace(first.regressor, trained=training > 0),
        compute_device=method.compute_device,
        reach=next((each.reach for each in found if each.reach), None),
    )
    for_caller = partial(_in_callers_case, caller_case=given, masked=prepared)
    if not given.bone_names:
        unassessed(for_caller(result, first.bone_poses))
    judged = perf_counter()
    bones_s = 0.0
    if assessed:
        at = first.refinement
        go_on(progress(Progress(1.0, "assessing the pose", at.world_from_ct, at.fit.cost)))
        registered = []
        for n, (prepared_ct, registration) in enumerate(zip(anatomies, found, strict=True)):
            of_body = part_of(of_verdict, n / len(bodies), (n + 1) / len(bodies))
            device_of_all = method.compute_device
            registered.append(
                _assess_body(case, n, prepared_ct, registration, of_body, device_of_all)
            )
        began_bones = perf_counter()
        # The bone of a mask may have moved far, to where the user says.
        has_user_pose = case.bodies[0].asked and start in ("given", "landmarks")
        user_poses = [pose] if has_user_pose and pose is not None else None
        result = _with_bones(result, registered, of_bones, first.bone_poses, user_poses=user_poses)
        result = for_caller(result)
        bones_s = perf_counter() - began_bones
    seconds = {
        "load": case.seconds + loaded + sum(each.prepare_seconds for each in found),
        "initialise": located + sum(each.initialise_seconds for each in found),
        "refine": sum(each.refine_seconds for each in found) + bones_s,
        "assess": perf_counter() - judged - bones_s,
    }
    if training:
        seconds["train"] = training
    total = sum(seconds.values())
    log.info("%d views, start %s: %s in %.2f s", len(case.views), start, result.verdict, total)
    return replace(result, seconds={**seconds, "total": total})


def register_further(
    case: Case,
    anatomies: Sequence[PreparedCT],
    views: list[View],
    start: str | None,
    progress: Report,
    seed: int,
    method: RefinementMethod,
) -> Iterator[TimedRegistration]:
    """Register each further body by itself, in views whose cameras the first has corrected.

    Those without a start pose are searched for.
    """
    from .imaging.xray import SharedUnknowns

    exact = [view.exact() for view in views]
    count = len(anatomies)
    for n in range(1, count):
        body = case.bodies[n]
        single = replace(case, bodies=(body,), views=exact, shared_unknowns=SharedUnknowns())
        how = "search" if body.world_from_ct is None or start == "search" else "given"
        part = part_of(progress, n / count, (n + 1) / count)
        with naming(f'structure "{body.name}"'):
            begin = start_pose(single, anatomies[n].centroid)
            found = find_pose(single, anatomies[n], method, how, begin, seed=seed, progress=part)
        yield replace(found, refinement=replace(found.refinement, views=views))


def _compilation_told() -> AbstractContextManager:
    """Say once that kernels are compiled, where they are."""
    from .rendering.devices import when_compiling

    @lru_cache
    def say() -> None:
        print("Compiling for this computer: about ten seconds, once.", file=sys.stderr)

    return when_compiling(say)


def _assess_body(
    case: Case,
    n: int,
    anatomy: PreparedCT,
    registration: TimedRegistration,
    progress: Report,
    device: ComputeDevice,
) -> BodyRegistration:
    """Assess the n-th body, which was registered by itself; the cause of a poor fit once its bones are registered."""
    from .assessment import verdict
    from .assessment.bodies import BodyRegistration

    body = case.bodies[n]
    refinement = registration.refinement
    start = registration.start_world_from_ct
    shared = case.shared_unknowns

    def explained(
        assessment: Assessment, progress: Report, *, bones_are_accepted: bool = False
    ) -> Assessment:
        ct = anatomy.on_device(device.name)
        if not verdict.fits(assessment, ct, refinement):
            from .assessment.causes import find_cause
            from .assessment.diagnosis import CauseSearch

            search = CauseSearch(
                ct, case.views, refinement, start, shared, progress, bones_are_accepted
            )
            assessment = find_cause(assessment, search)
        if assessment.verdict != "check":
            return assessment
        from .assessment.next_view import with_further_view

        pose = refinement.world_from_ct
        return with_further_view(assessment, ct, refinement.views, pose, shared)

    def assess_on(ct: PreparedCT) -> Assessment:
        assessment = assess_alone(case, n, ct, refinement, start)
        return assessment if body.bones.names else explained(assessment, progress)

    assessment = for_case(anatomy.run_on(device, assess_on), case, anatomy)
    pose = refinement.world_from_ct
    explain = partial(explained, assessment)
    return BodyRegistration(body, anatomy, pose, assessment, refinement.alternative, explain)


def assess_alone(
    case: Case, n: int, anatomy: PreparedCT, refinement: Refinement, start: np.ndarray, **how: Any
) -> Assessment:
    """Return the assessment of the n-th body by itself; further parameters as of `verdict.assess`."""
    from .assessment import verdict

    targets = None if n else case.targets
    shared = case.shared_unknowns
    how |= {"is_masked": case.is_masked}
    return verdict.assess(anatomy, case.views, refinement, start, targets, shared, **how)


def for_case(assessment: Assessment, case: Case, anatomy: PreparedCT) -> Assessment:
    """Return the assessment of a body in a case: in doubt if the patients may differ, or that of an implant."""
    if np.isfinite(anatomy.saturates_at):
        from .assessment.bone_checks import adapt_to_implant

        assessment = adapt_to_implant(assessment)
    return assessment.with_findings(case.identity_findings)


def _with_bones(
    result: Result,
    registered: Sequence[BodyRegistration],
    progress: Report,
    poses: Sequence[np.ndarray] | None,
    levels: Sequence[BoneLevel] | None = None,
    user_poses: Sequence[np.ndarray] | None = None,
) -> Result:
    """Return a result with all its bones; parameters as of `register_together`."""
    first = registered[0]
    if not result.case.bone_names:
        return replace(result, assessment=first.assessment)
    from .assessment.combine import with_bones
    from .assessment.together import register_together

    device = result.compute_device

    def together(_anatomy: PreparedCT) -> JointResult:
        bodies = [replace(each, anatomy=each.anatomy.on_device(device.name)) for each in registered]
        views = result.views
        return register_together(bodies, views, progress, poses, levels, user_poses=user_poses)

    joint = first.anatomy.run_on(device, together)
    assessment = with_bones(joint.whole or first.assessment, joint, first.body.name)
    result = replace(result, together=joint, assessment=assessment)
    own = joint.by_name.get(first.body.name)
    if own is None:
        return result
    pose = own.world_from_ct
    fit = result.anatomy.fit(result.views, pose, result.start_world_from_ct)
    return replace(result, refinement=replace(result.refinement, world_from_ct=pose, fit=fit))


def _in_callers_case(
    result: Result,
    poses: Sequence[np.ndarray] | None = None,
    *,
    caller_case: Case,
    masked: PreparedCT,
) -> Result:
    """Return a result in terms of the caller's case.

    If its CT has a mask, this is the result of the masked bone. Without an assessment the pose of the
    bone is the first of `poses`, or that of the CT if there are none.
    """
    if result.case is caller_case:
        return result
    from .registration.register_bones import similarity_at

    rest = result.world_from_ct
    pose = poses[0] if poses else rest
    assessment = result.assessment
    together = result.together
    if assessment:
        from .assessment.combine import assess_masked_bone, with_bones

        bone, *others = together.bodies
        pose = bone.world_from_ct
        whole = together.whole or assessment
        together = replace(together, bodies=others)
        assessment = assess_masked_bone(whole, bone, result.views, caller_case.targets)
        assessment = with_bones(assessment, together).with_findings(caller_case.identity_findings)
    similarity = similarity_at(masked, result.views, pose, rest)
    fit = replace(result.refinement.fit, similarity=similarity)
    refinement = replace(result.refinement, world_from_ct=pose, fit=fit, world_from_background=rest)
    return replace(
        result,
        case=caller_case,
        anatomy=masked,
        refinement=refinement,
        together=together,
        assessment=assessment,
    )


def _first_body(result: Result) -> BodyRegistration:
    """Return the first body of a result, as it was assessed by itself."""
    from .assessment.bodies import BodyRegistration

    assessment = result.together.whole or result.assessment
    assert assessment is not None
    return BodyRegistration(result.case.bodies[0], result.anatomy, result.world_from_ct, assessment)


def assess(
    case: Case | str | os.PathLike[str],
    world_from_ct: np.ndarray,
    anatomy: PreparedCT | None = None,
    method: str = "by hand",
    *,
    bone_poses: Mapping[str, np.ndarray] | None = None,
) -> Result:
    """Assess a pose without refining it: one set by a person, or kept from before.

    The cameras are taken as they are. The verdict is at best "check": the failure probability was
    measured for registered poses only. The whole CT of a masked structure is registered from that
    pose. The structures of a case, each of which may lie elsewhere, are assessed where they are said
    to be; without that a reason says so.

    Parameters
    ----------
    case
        CT and views, or the path of a case.json.
    world_from_ct
        (4, 4) rigid, mm.
    anatomy
        The prepared CT, if there is one.
    method
        How the pose was found, for the result.
    bone_poses
        (4, 4) world_from_ct of each of the case's structures by its name; a structure without one
        lies as the CT does. What has a CT of its own lies where the case has it, the first of bones
        at `world_from_ct`; it is left out where that is nowhere.

    Raises
    ------
    InputError
        The pose is not rigid, or no view shows enough of the CT there.
    """
    from .registration.optimizer import Refinement
    from .registration.pipeline import refine
    from .registration.prepared_ct import PreparedCT
    from .registration.similarity import MIN_PIXELS
    from .registration.warm_up import warm_up
    from .report.result import Result

    case = given = case_of(case)
    began = perf_counter()
    pose = rigid.check_rigid(rigid.array_of("world_from_ct", world_from_ct), "world_from_ct")
    warm_up()
    prepared = anatomy = anatomy or PreparedCT(case.ct)
    where, ready = pose, perf_counter()
    case, anatomy = with_whole_ct(case, anatomy)
    anatomy = anatomy.ending_in_air(case.views, pose)
    if asked := case.bodies[0].asked:
        bone_poses = {**(bone_poses or {}), asked: pose}
        where = refine(anatomy, [view.exact() for view in case.views], pose).world_from_ct
    fit = anatomy.fit(case.views, where, where)
    if max(fit.shown) < MIN_PIXELS or not np.isfinite(fit.cost):
        raise InputError(
            "world_from_ct: the X-rays show too little of the CT at this pose; correct the pose or "
            "the geometry of the views."
        )
    unrefined = Refinement(where, fit, [], list(case.views), np.zeros(6), refined=0)
    assessment = assess_alone(case, 0, anatomy, unrefined, pose, is_registered=False)
    assessment = for_case(assessment, case, anatomy)
    result = Result(
        case, anatomy, pose, unrefined, method, {}, refined_by=None, assessment=assessment
    )
    bones_s = 0.0
    if bone_poses is not None:
        began_bones = perf_counter()
        poses = [bone_poses.get(name, pose) for name in case.structures.names]
        registered = [_first_body(result)]
        for body in case.bodies[1:]:
            there = bone_poses.get(body.name, body.world_from_ct)
            if there is not None:
                single = replace(case, bodies=(body,), targets=None)
                with naming(f'structure "{body.name}"'):
                    registered.append(_first_body(assess(single, there)))
        result = _with_bones(result, registered, unseen, poses, levels=())
        bones_s = perf_counter() - began_bones
    result = _in_callers_case(result, caller_case=given, masked=prepared)
    seconds = {
        "load": case.seconds + ready - began,
        "initialise": 0.0,
        "refine": bones_s,
        "assess": perf_counter() - ready - bones_s,
    }
    seconds["total"] = sum(seconds.values())
    return replace(result, seconds=seconds)


def register_bones(
    result: Result, bone_poses: Mapping[str, np.ndarray], progress: Report = lambda _: None
) -> Result:
    """Register the structures of a result's case once more, each from where it is put.

    The whole CT and the cameras stay as the result has them. Bones with a CT each are registered as
    by `register`, cameras included.

    Parameters
    ----------
    result
        Of a case with structures.
    bone_poses
        (4, 4) world_from_ct at which each structure begins, by its name; one without begins where
        the CT lies, or, with a CT of its own, where the result has it.
    progress
        As in `register`.

    Raises
    ------
    InputError
        The case has no structures.
    Cancelled
        `progress` returned False.
    """
    from .assessment.bodies import BodyRegistration
    from .registration.prepared_ct import PreparedCT
    from .registration.register_bones import LEVELS

    case = result.case
    if not case.bone_names or result.assessment is None:
        raise InputError("structures: the case has none, expected the bones to register; add them.")
    began = perf_counter()
    poses = [bone_poses.get(name, result.world_from_ct) for name in case.structures.names]
    bodies = []
    for body in case.bodies:
        lies = result.bodies.get(body.name, body).world_from_ct
        bodies.append(replace(body, world_from_ct=bone_poses.get(body.name, lies)))
    first, *others = bodies
    if first.apart:
        placed = replace(case, bodies=tuple(bodies))
        device = result.compute_device
        again = register(placed, "given", progress, result.anatomy, device=device)
        return replace(again, world_uid=result.world_uid)
    registered = [_first_body(result)]
    registered += [
        BodyRegistration(body, PreparedCT(body.ct), body.world_from_ct)
        for body in others
        if body.world_from_ct is not None
    ]
    again = _with_bones(result, registered, progress, poses, LEVELS)
    seconds = perf_counter() - began
    seconds_of_all = result.seconds | {"refine": seconds, "total": seconds}
    return replace(again, seconds=seconds_of_all)


def _check_start(case: Case, start: str) -> None:
    if not isinstance(start, str) or start not in STARTS:
        found = (
            f'"{start}"'
            if isinstance(start, str)
            else f"{rigid.kind_of(start)}, but a pose is the case's world_from_ct"
        )
        raise InputError(f"start: found {found}, expected one of {', '.join(STARTS)}.")
    if case.world_from_ct is not None:  # which anybody may have set
        pose = rigid.check_rigid(
            rigid.array_of("world_from_ct", case.world_from_ct), "world_from_ct"
        )
        if not isinstance(case.world_from_ct, np.ndarray):
            case.world_from_ct = pose
    if case.world_from_ct is None and start == "given":
        raise InputError(
            "world_from_ct: the case has no start pose. Set a rigid 4x4 matrix, or search for the "
            'pose (start="search" in Python, --start search).'
        )


def _locate(case: Case) -> LandmarkFit:
    from .geometry.landmarks import locate

    fit = locate(case.landmarks, case.cameras)
    if fit.alternatives:
        warn(
            f"The landmarks fit {1 + len(fit.alternatives)} poses about equally well, and the best "
            "one is taken; add a landmark, or a position in another view."
        )
    return fit
