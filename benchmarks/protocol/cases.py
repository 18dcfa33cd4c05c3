"""Cases of the protocol, with their truth: X-rays simulated from a CT."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.ct import BONE_HU, CT, load_ct, masked
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.files import sha256
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies.statistics import perturbed, starting_poses

from ..kept import ct_name
from ..simulation.body import single_bones
from ..simulation.cases import Patient, random_cameras, random_pose, take, targets_of, views_of
from ..simulation.projector import MaterialProjector, MovedBones
from ..simulation.simulator import overlays_with, xrays_with
from .conditions import (
    CONDITIONS,
    CT_ERRORS,
    GEOMETRY_ERRORS,
    INTERVALS,
    MAX_START_ERROR_MM,
    PARTS,
    ROUNDS,
    TOGETHER,
    Condition,
    Trial,
    calibrated,
    trials,
)

#: Points that stand for a bone.
MAX_POINTS = 20000
#: Bones of each CT that are registered, in turn.
BONES = 2
#: About a CT's body, so much more of it above and below, which drifts sideways by so many mm a mm.
BEYOND_MM, DRIFT = 130.0, 0.2
#: Projections of a CT that are kept; those of 512 x 512 pixels take 2 MB each.
KEPT_PROJECTIONS = 100
#: Between the first X-ray and the others the patient moves, or a bone against all else, by up to so
#: many degrees and mm.
MOTION_DEG, MOTION_MM = (0.5, 2.0), (1.0, 4.0)
NEIGHBOURS_DEG, NEIGHBOURS_MM = (2.0, 6.0), (2.0, 8.0)
#: X-rays are drawn so often at most, until all views show enough bone.
MAX_DRAWS = 30


@dataclass(frozen=True, eq=False)
class TrialCase:
    """A case with its truth. anatomy: its CT. cameras: the true ones, of each view. nuisances.

    The names of those in it.
    """

    case: Case
    anatomy: PreparedCT
    cameras: list[Camera]
    nuisances: list[str]


def _moved(rng, pose, centre, degrees, mm):
    """The pose turned about a point of the CT and shifted, by amounts within these ranges, in directions drawn evenly."""
    return perturbed(pose, centre, rng.uniform(*degrees), rng.uniform(*mm), 1, rng)[0]


class CachedProjector:
    """A projector that keeps what it projected last.

    What varies between registrations of one scene is put on afterwards.
    """

    def __init__(self, projector: MaterialProjector) -> None:
        self._projector = projector
        self._kept: dict[tuple[bytes, bytes], np.ndarray] = {}

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """As `RtkProjector.project`; not to be written into."""
        key = camera.projection_matrix.tobytes(), world_from_ct.tobytes()
        if key not in self._kept:
            if len(self._kept) == KEPT_PROJECTIONS:
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[key] = self._projector.project(camera, world_from_ct)
        return self._kept[key]


class Part:
    """The registered part of a CT: the body, or one bone among others."""

    def __init__(
        self, whole: CT, body: Patient, mask: np.ndarray | None = None, seed: int = 0
    ) -> None:
        """mask: bool, of the voxels of the bone; None for the body."""
        self._whole, self._body, self._mask, self.patient = whole, body, mask, body
        if mask is not None:
            # the body, with the bone's points and its centre in the middle of the images
            self.patient, volume = copy(body), whole.volume
            index = np.argwhere(mask & (volume.values > BONE_HU))[:, ::-1]
            index = np.random.default_rng(seed).permutation(index)[:MAX_POINTS]
            self.patient.bone_points = rigid.transform_points(volume.ct_from_index, index)
            self.patient.centre = self.patient.bone_points.mean(axis=0)

    @cached_property
    def ct(self) -> CT:
        return self._whole if self._mask is None else masked(self._whole, self._mask)

    @cached_property
    def anatomy(self) -> PreparedCT:
        return PreparedCT(self.ct)

    def beside(self, rest_from_bone: np.ndarray) -> MovedBones:
        """The projector of a body whose bone is not where it was, (4, 4), at the pose of all else."""
        assert self._mask is not None
        motions = {1: rigid.inverse(rest_from_bone)}
        labels = self._mask.astype(np.uint8)
        return MovedBones(self._body.projector, self._whole.volume, labels, motions)


class Subject:
    """All that the registrations of one CT need of it.

    What takes seconds is made when it is first needed.
    """

    def __init__(self, path: Path, seed: int) -> None:
        """InputError where the file is no CT in Hounsfield units, shows too little bone, or itk-rtk is missing."""
        self.name = ct_name(path)
        drift = np.random.default_rng(seed).uniform(-DRIFT, DRIFT, 2)
        self._whole = load_ct(path)
        self._patient = Patient(path, couch=True, beyond_mm=BEYOND_MM, drift=tuple(drift))
        if not len(self._patient.bone_points):
            raise InputError(
                f"{path}: found no bone, expected a CT of a patient in Hounsfield units."
            )
        self.projector = CachedProjector(self._patient.projector)
        self.body = Part(self._whole, self._patient)

    @cached_property
    def bones(self) -> list[Part]:
        masks = single_bones(self._whole.volume, BONES)
        return [Part(self._whole, self._patient, mask, number) for number, mask in enumerate(masks)]


class SimulatedCases:
    """The trials of CTs whose X-rays are simulated."""

    def __init__(
        self,
        cts: Sequence[Path],
        seed: int = 0,
        listed: Sequence[Condition] = CONDITIONS,
        rounds: int = ROUNDS,
    ) -> None:
        """
        Parameters
        ----------
        cts : files in Hounsfield units, of patients head first and supine.
        listed, rounds : the conditions, and how often they are gone through.
        """
        self.files, self.seed = cts, seed
        self.trials = trials(len(cts), listed, rounds, seed)
        self._subjects: dict[int, Subject] = {}

    def case(self, trial: Trial) -> tuple[dict, TrialCase | None]:
        """The beginning of a trial's row, and its case, or None with the reason, "skipped", in the row.

        InputError for a CT that cannot be simulated.
        """
        condition = trial.condition
        if trial.ct not in self._subjects:
            self._subjects[trial.ct] = Subject(self.files[trial.ct], self.seed + trial.ct)
        subject = self._subjects[trial.ct]
        bone = None
        if condition.part == "bone" and subject.bones:
            bone = trial.repeat % len(subject.bones)
        path, keys = self.files[trial.ct], ("part", "group", "views", "apart_deg", "error")
        row = {
            "number": trial.number,
            "repeat": trial.repeat,
            "condition": condition.name,
            "ct": ct_name(path),
            "sha256": sha256(path),
            "bone": bone,
            **{key: getattr(condition, key) for key in keys},
        }
        if condition.part == "bone" and bone is None:
            return row | {"skipped": "The CT has no bone that stands by itself."}, None
        try:
            return row, simulated(trial, subject, bone, self.seed)
        except InputError as error:
            return row | {"skipped": str(error)}, None


def simulated(trial: Trial, subject: Subject, bone: int | None, seed: int) -> TrialCase:
    """The case of a trial. InputError where no draw shows enough bone in all views.

    Cameras and pose are the same for all conditions of one geometry, so that what is put on is held
    against the same case without it; all else is drawn for each trial.
    """
    condition, rng = trial.condition, np.random.default_rng([seed, trial.number])
    names = list(condition.nuisances)
    if condition.together:
        names += [choices[rng.integers(len(choices))] for choices in TOGETHER]
    if bone is None:
        names = [name for name in names if name != "neighbours"]
    part = subject.body if bone is None else subject.bones[bone]
    where: list = [PARTS.index(condition.part), condition.views, condition.apart_deg, trial.repeat]
    scene = np.random.default_rng([seed, trial.ct, *where])
    cameras = random_cameras(scene, condition.views, (condition.apart_deg, condition.apart_deg))
    pose = random_pose(part.patient.centre, scene)
    for draw in range(MAX_DRAWS):
        xrays = xrays_with(rng, names, condition.views)
        try:
            targets = targets_of(part.patient, cameras, xrays, pose, rng)
            break
        except InputError:  # blades over all the bone
            if draw == MAX_DRAWS - 1:
                raise
    views = calibrated(rng, _taken(names, subject, part, cameras, xrays, pose, rng))
    if condition.error in GEOMETRY_ERRORS:
        views = GEOMETRY_ERRORS[condition.error](rng, views)
    edges = MAX_START_ERROR_MM / INTERVALS * np.arange(trial.interval, trial.interval + 2)
    start = starting_poses(pose, targets, edges, 1, int(rng.integers(2**31)))[0]
    case = Case(
        (Body(part.ct, world_from_ct=start),),
        views,
        targets=targets,
        truth_world_from_ct=pose,
        name=f"{subject.name}-{trial.number:04d}",
    )
    if condition.error in CT_ERRORS:
        case = with_wrong_ct(case, CT_ERRORS[condition.error](rng, part.ct.volume))
        return TrialCase(case, PreparedCT(case.ct), cameras, names)
    return TrialCase(case, part.anatomy, cameras, names)


def with_wrong_ct(case: Case, wrong_from_ct: np.ndarray) -> Case:
    """The case with its CT elsewhere and of another size, by (4, 4), CT mm.

    Its targets move with the CT. Its truth takes them to where they are, so that it is rigid no
    more: each target's error is its distance from there.
    """
    volume = replace(case.ct.volume, ct_from_index=wrong_from_ct @ case.ct.volume.ct_from_index)
    return replace(
        case,
        bodies=(Body(replace(case.ct, volume=volume), world_from_ct=case.world_from_ct),),
        targets=rigid.transform_points(wrong_from_ct, case.targets),
        truth_world_from_ct=case.truth_world_from_ct @ np.linalg.inv(wrong_from_ct),
    )


def _taken(names, subject, part, cameras, xrays, pose, rng):
    """The views, with all that is put on their images afterwards, or moves."""
    overlays = overlays_with(rng, names)
    centre = part.patient.centre
    projector: MaterialProjector = subject.projector
    rest_from_bone = np.eye(4)
    if "neighbours" in names:
        rest_from_bone = _moved(rng, np.eye(4), centre, NEIGHBOURS_DEG, NEIGHBOURS_MM)
        projector = part.beside(rest_from_bone)
    views = []
    for nth, (camera, xray) in enumerate(zip(cameras, xrays, strict=True)):
        at = _moved(rng, pose, centre, MOTION_DEG, MOTION_MM) if nth and "motion" in names else pose
        images = take(projector, [camera], [xray], at @ rest_from_bone, rng, overlays)
        views.append(replace(*views_of(images, [camera]), name=f"view{nth + 1}"))
    return views
