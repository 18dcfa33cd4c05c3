"""Registration of a case's CT from one start, without an assessment: the core of `api.register` and of all studies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError, install_command, part_of, warn
from .geometry import rigid

if TYPE_CHECKING:  # what takes most of a second to import is imported where it is first used
    from .imaging.xray import SharedUnknowns, View
    from .io.case import Case
    from .registration.optimizer import Range, Refinement, RefinementMethod, Report
    from .registration.prepared_ct import PreparedCT
    from .regressor.initialise import Regressor, RegressorInitialisation, RegressorReport
    from .rendering.devices import ComputeDevice

REGRESSOR_STARTS = ("regressor", "auto")
#: Refinements of `refinement_method`.
REFINEMENTS = ("joint", "diffpose", "cui2025", "xvr")
STARTS = ("given", "search", "landmarks", *REGRESSOR_STARTS)
#: What goes through a range about a pose, and does not begin with that pose.
SEARCH_STARTS = ("search", "auto")
#: Share of the progress bar at which cameras begin to be corrected, of a case with structures.
CAMERAS_FROM = 0.4
#: A week: of training, more is a mistake.
MAX_MINUTES = 1e4


def case_of(case: Case | str | os.PathLike[str]) -> Case:
    """Return the case, loaded if a path is provided.

    Raises
    ------
    InputError
        If the argument is not a case, or if CT and X-rays are of different patients and the user has
        not confirmed them.
    """
    from .io.case import Case
    from .io.dicom_identity import PATIENT

    if isinstance(case, (str, os.PathLike)):
        case = Case.load(case)
    if not isinstance(case, Case):
        raise InputError(
            f"case: found {rigid.kind_of(case)}, expected a Case or the path of a case.json; "
            "Case.from_arrays(Body(ct, ct_from_index), View(image, projection), ...) makes one of "
            "arrays."
        )
    patients = [each.sentence for each in case.mismatches if each.kind == PATIENT]
    if patients and not case.same_patient:
        raise InputError(
            f'{patients[0]} If they are of one patient, set "same_patient": true in the case.json '
            "(mvreg register: --same-patient; Case.from_arrays: same_patient=True).",
            "same_patient",
        )
    return case


def check_structures(case: Case) -> None:
    """Raise an InputError if the structures of a case cannot be registered.

    Raises
    ------
    InputError
        If the CT is not in Hounsfield units.
    """
    if case.structures.names and case.ct.unit != "hu":
        raise InputError(
            'structures: need a CT in Hounsfield units ("ct_unit": "hu"), whose soft tissue is known; leave them out, or register each '
            "bone's own CT."
        )


def with_whole_ct(case: Case, anatomy: PreparedCT) -> tuple[Case, PreparedCT]:
    """Return the case with the masked part of its CT as a bone, and the whole CT; unchanged without such a mask."""
    first, *others = case.bodies
    if first.apart or not anatomy.full_ct:
        return case, anatomy
    return replace(case, bodies=(first.with_mask_as_bone(), *others)), anatomy.full_ct


def seed_of(seed: int) -> int:
    """Return a seed as an int.

    Raises
    ------
    InputError
        If it is not a whole number from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed: found {seed!r}, expected a whole number from 0; correct it.")
    return int(seed)


def minutes_of(minutes: float) -> float:
    """Return the minutes of a training.

    Raises
    ------
    InputError
        If it is not a valid number of minutes.
    """
    if not isinstance(minutes, Real) or not 0 < minutes < MAX_MINUTES:
        raise InputError(
            f"minutes: found {minutes!r}, expected a number above 0 and below {MAX_MINUTES:g}; "
            "correct it."
        )
    return float(minutes)


def default_start(case: Case) -> str:
    """Return the default start of a case: its pose, its landmarks, or else a search."""
    if case.world_from_ct is not None:
        return "given"
    return "landmarks" if case.landmarks else "search"


def start_pose(case: Case, centroid: np.ndarray) -> np.ndarray:
    """Return the case's start pose, or the default pose at the isocentre.

    Parameters
    ----------
    centroid
        (3,) centroid of the CT.
    """
    from .geometry.epipolar import default_pose_at_isocentre

    if case.world_from_ct is not None:
        return case.world_from_ct
    return default_pose_at_isocentre([view.camera for view in case.views], centroid)


@dataclass(frozen=True, eq=False)
class TimedRegistration:
    """A registration without its assessment, with the durations of its steps.

    Attributes
    ----------
    refinement
        Registered pose, and the views with corrected cameras.
    bone_poses
        (4, 4) world_from_ct of each structure of the case if they were estimated jointly with the
        cameras; otherwise None.
    start_world_from_ct
        (4, 4) pose at which the refinement started, or the centre of the search.
    reach
        Range of the search; None without a search, and for a search of the whole CT.
    regressor
        The regressor's proposals; None for a start that uses none.
    prepare_seconds
        Preparation of the CT's projectors.
    regressor_seconds
        Predictions of the regressor.
    initialise_seconds, refine_seconds
        Regressor and search; refinement.
    """

    refinement: Refinement
    bone_poses: list[np.ndarray] | None
    start_world_from_ct: np.ndarray
    reach: Range | None
    regressor: RegressorReport | None
    prepare_seconds: float
    regressor_seconds: float
    initialise_seconds: float
    refine_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds from the prepared CT to the pose."""
        return self.initialise_seconds + self.refine_seconds


def find_pose(
    case: Case,
    anatomy: PreparedCT,
    method: RefinementMethod,
    start: str,
    pose: np.ndarray | None,
    *,
    regressor: Regressor | None = None,
    search: Range | None = None,
    seed: int = 0,
    progress: Report = lambda _: None,
) -> TimedRegistration:
    """Register the case's views from one start, without an assessment.

    This is the core of `register` and of all studies.

    Parameters
    ----------
    case, anatomy
        The case, and its prepared CT.
    method
        The refinement, see `refinement_method`.
    start
        "given" or "landmarks" refine `pose`; "search", "regressor" and "auto" as in `register`.
    pose
        (4, 4) world_from_ct in mm, for a search its centre; None for "regressor".
    regressor
        Used by "regressor" and "auto".
    search
        Range of a search. Default: the range of the case, or the whole CT if the case has none.
    seed
        Seed of the search.
    progress
        As in `register`.

    Raises
    ------
    InputError
        If the views show too little of the CT, or the regressor cannot predict from these views.
    """
    from .registration.cameras import uncalibrated_view_indices
    from .registration.optimizer import Range

    shared = case.shared_unknowns
    initialisation: RegressorInitialisation | None = None
    reach = (search or Range(**case.search_range)) if start in SEARCH_STARTS else None
    if start in REGRESSOR_STARTS:
        from .regressor.initialise import RegressorInitialisation

        initialisation = RegressorInitialisation(
            regressor,
            anatomy,
            case.views,
            case.world_from_ct,
            shared,
            centre=pose if reach else None,
            reach=reach,
            seed=seed if reach else 0,
        )
        if initialisation.candidates:
            pose = initialisation.candidates[0].world_from_ct
    assert pose is not None  # a regressor that predicts nothing is an InputError
    began = perf_counter()
    anatomy.prepare(case.views, pose)
    prepared = perf_counter()

    find: Callable[..., Refinement] = partial(method.run, world_from_ct=pose, shared=shared)
    if start == "search":
        find = partial(find, reach=reach, seed=seed)
        # A single structure looks like too much else to be searched for anywhere.
        if search is None and case.searches_whole_ct and not anatomy.structure:
            from .registration.variants import search_whole_ct

            find = partial(search_whole_ct, shared=shared, seed=seed)
            reach = None
    if initialisation:
        find = partial(initialisation.run, method)
    on_device = partial(anatomy.run_on, method.compute_device)
    find = partial(on_device, find)
    if uncalibrated_view_indices(case.views, shared):
        from .registration.variants import register_views

        find = partial(register_views, find=find, shared=shared)
    bone_poses = None
    if case.structures.names and method.name == "joint":
        from .registration.register_bones import correct_cameras

        refinement = find(case.views, progress=part_of(progress, 0.0, CAMERAS_FROM))
        of_cameras = part_of(progress, CAMERAS_FROM, 1.0)
        refinement, bone_poses = on_device(
            correct_cameras, case.structures, case.views, shared, refinement, of_cameras
        )
    else:
        refinement = find(case.views, progress=progress)
    registered = perf_counter() - prepared
    regressor_seconds = (
        initialisation.seconds if initialisation else 0.0
    )  # also of views that are registered alone
    return TimedRegistration(
        refinement,
        bone_poses,
        pose,
        reach,
        initialisation.report(refinement, method) if initialisation else None,
        prepare_seconds=prepared - began,
        regressor_seconds=regressor_seconds,
        initialise_seconds=regressor_seconds + refinement.search_seconds,
        refine_seconds=registered - refinement.search_seconds,
    )


def find_in_air(
    case: Case,
    anatomy: PreparedCT,
    method: RefinementMethod,
    found: TimedRegistration,
) -> tuple[PreparedCT, TimedRegistration]:
    """Repeat the refinement until no further end of the CT is identified as air in the X-rays.

    Parameters
    ----------
    found
        Result of `find_pose`.

    Returns
    -------
    PreparedCT, TimedRegistration
        The CT with ends in air (`PreparedCT.ending_in_air`) and its pose; the unchanged arguments if no
        end is identified as air.
    """
    at = found.refinement
    ending = anatomy.ending_in_air(at.views, at.world_from_ct)
    if ending is anatomy or method.name != "joint":
        return anatomy, found
    again = find_pose(case, ending, method, "given", at.world_from_ct)
    refinement = replace(again.refinement, search_seconds=at.search_seconds)
    seconds = found.refine_seconds + again.refine_seconds
    found = replace(
        found, refinement=refinement, bone_poses=again.bone_poses, refine_seconds=seconds
    )
    return find_in_air(case, ending, method, found)


def refinement_method(
    refinement: str | type, device: str | ComputeDevice = "cpu"
) -> RefinementMethod:
    """Return a refinement method.

    InputError if the name is unknown, if torch is required (by a published method or a custom
    similarity) but not installed, or if the device is not available.

    Parameters
    ----------
    refinement
        "joint", second order over all views, which needs no torch; "diffpose", "cui2025", "xvr",
        see `published.refine`; or a custom `Refiner` or `Similarity` (maximised by xvr's optimiser):
        the class, or the name under which an installed package registers it. Only poses of "joint"
        have a verdict.
    device
        Device of "joint": a `ComputeDevice` or its argument. If it is not available, a warning is
        issued and the CPU is used. Published methods raise an InputError instead.
    """
    from .imaging.xray import CALIBRATED
    from .registration.optimizer import RefinementMethod
    from .registration.pipeline import refine
    from .rendering.devices import ComputeDevice, torch_device

    if refinement == "joint":
        device = (
            device if isinstance(device, ComputeDevice) else ComputeDevice(device, registering=True)
        )
        return RefinementMethod(refinement, refine, compute_device=device)
    from .extensions import find, name_of

    name = name_of("refinement", refinement, REFINEMENTS)
    own: Any = None if name in REFINEMENTS else find("refinement", name, REFINEMENTS)()
    chosen = ""
    optimise: Callable[..., Refinement]
    if hasattr(own, "refine"):
        from .published.own import refine_by

        optimise = partial(refine_by, own)
    else:
        try:
            from .published import refine as published
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise InputError(
                f'refinement "{name}": needs PyTorch, which is not installed; install it with '
                f'{install_command("torch")}, or use the refinement "joint".'
            ) from None
        chosen = torch_device(device.requested if isinstance(device, ComputeDevice) else device)
        preset = published.preset_of(name, own)
        optimise = partial(published.refine, preset=preset, device=chosen)

    def run(
        anatomy: PreparedCT,
        views: list[View],
        world_from_ct: np.ndarray,
        progress: Callable,
        shared: SharedUnknowns,
    ) -> Refinement:
        if shared != CALIBRATED or any(
            view.rotation_sd_deg != 0 or view.translation_sd_mm != 0 for view in views[1:]
        ):
            warn(
                f'The geometry of the views is marked as uncertain; the refinement "{name}" takes it as exact.'
            )
        return optimise(anatomy, views, world_from_ct, progress=progress)

    return RefinementMethod(name, run, chosen)
