"""Cases of the protocol: X-rays of a CT with nuisances and geometry errors, a start, and the truth."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import BONE_HU, CT, load_ct, masked
from ..imaging.raw_image import raw_image
from ..imaging.view import View
from ..imaging.xray import to_line_integrals
from ..io.case import Case
from ..registration.prepared_ct import PreparedCT
from ..simulation.bones import MovedBone, single_bones
from ..simulation.cases import PIXEL_MM, Patient, random_cameras, random_pose, targets_of
from ..simulation.nuisances import overlays_with, xrays_with
from ..simulation.projector import Projector
from ..simulation.simulator import SimulatedXRay
from .conditions import INTERVALS, MAX_START_ERROR_MM, PARTS, TOGETHER, Trial
from .geometry_errors import GEOMETRY_ERRORS, perturbed_pose
from .statistics import starting_poses

#: Points that stand for a bone.
MAX_POINTS = 20000
#: Bones of each CT that are registered, in turn.
BONES = 2
#: About a CT's body, so much more of it above and below, which drifts sideways by so many mm a mm.
BEYOND_MM, DRIFT = 130.0, 0.2
#: Projections of a CT that are kept; those of 512 x 512 pixels take 2 MB each.
KEPT_PROJECTIONS = 100
#: Between the first X-ray and the others the patient moves, or a bone against all else, by up to so many degrees and mm.
MOTION_DEG, MOTION_MM = (0.5, 2.0), (1.0, 4.0)
NEIGHBOURS_DEG, NEIGHBOURS_MM = (2.0, 6.0), (2.0, 8.0)
#: X-rays are drawn so often at most, until all views show enough bone.
MAX_DRAWS = 30


def ct_name(path: Path) -> str:
    """What a CT is called in the rows: its file's name without what says the format."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


class CachedProjector:
    """A projector that keeps what it projected last: what varies between registrations of one scene is put on afterwards."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._kept: OrderedDict[tuple[bytes, bytes], np.ndarray] = OrderedDict()

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """As `Projector.project`; not to be written into."""
        key = camera.projection_matrix.tobytes(), world_from_ct.tobytes()
        if key not in self._kept:
            self._kept[key] = self._projector.project(camera, world_from_ct)
            if len(self._kept) > KEPT_PROJECTIONS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


class Part:
    """What of a CT is registered: the body, or one bone among all else."""

    def __init__(self, whole: CT, body: Patient, mask: np.ndarray | None = None, seed: int = 0) -> None:
        """mask: bool, of the voxels of the bone; None for the body."""
        self._whole, self._body, self._mask, self.patient = whole, body, mask, body
        if mask is not None:  # the body, with the bone's points and its centre in the middle of the images
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

    @cached_property
    def moved(self) -> MovedBone:
        """The projector of a body in which the bone moves."""
        return MovedBone(self._body.projector, self._whole.volume, self._mask)


class Subject:
    """All that the registrations of one CT need of it; what takes seconds is made when it is first needed."""

    def __init__(self, path: Path, seed: int, simulator: str = "rtk") -> None:
        """simulator: of `cases.SIMULATORS`.

        InputError where the file is no CT in Hounsfield units, shows too little bone, or the simulator is missing.
        """
        self.name = ct_name(path)
        drift = np.random.default_rng(seed).uniform(-DRIFT, DRIFT, 2)
        self._whole = load_ct(path)
        self._patient = Patient(path, couch=True, beyond_mm=BEYOND_MM, drift=tuple(drift), simulator=simulator)
        if not len(self._patient.bone_points):
            raise InputError(f"{path}: found no bone, expected a CT of a patient in Hounsfield units.")
        self.projector = CachedProjector(self._patient.projector)
        self.body = Part(self._whole, self._patient)

    @cached_property
    def bones(self) -> list[Part]:
        masks = single_bones(self._whole.volume, BONES)
        return [Part(self._whole, self._patient, mask, number) for number, mask in enumerate(masks)]

    def part(self, bone: int | None) -> Part:
        """The body, or a bone by its number."""
        return self.body if bone is None else self.bones[bone]


@dataclass(frozen=True, eq=False)
class SimulatedCase:
    """A case with its truth. nuisances: the names of those in it. cameras: the true ones, of each view."""

    case: Case
    nuisances: tuple[str, ...]
    cameras: list[Camera]


def simulated(trial: Trial, subject: Subject, bone: int | None, seed: int) -> SimulatedCase:
    """The case of a trial. InputError where no draw shows enough bone in all views.

    Cameras and pose are the same for all conditions of one geometry, so that what is put on is held against the same case without it; all
    else is drawn anew.
    """
    condition, rng = trial.condition, np.random.default_rng([seed, trial.number])
    names = (*condition.nuisances, *(choices[rng.integers(len(choices))] for choices in TOGETHER if condition.together))
    if bone is None:
        names = tuple(name for name in names if name != "neighbours")
    part = subject.part(bone)
    where = [PARTS.index(condition.part), condition.views, condition.apart_deg, trial.repeat]
    scene = np.random.default_rng([seed, trial.ct, *where])
    cameras = random_cameras(scene, condition.views, (condition.apart_deg, condition.apart_deg))
    pose = random_pose(part.patient, scene)
    for draw in range(MAX_DRAWS):
        xrays = xrays_with(rng, names, condition.views)
        try:
            targets = targets_of(part.patient, cameras, xrays, pose, rng)
            break
        except InputError:  # blades over all the bone
            if draw == MAX_DRAWS - 1:
                raise
    views = _taken(names, subject, part, cameras, xrays, pose, rng)
    if condition.error:
        views = GEOMETRY_ERRORS[condition.error](rng, views)
    edges = [MAX_START_ERROR_MM / INTERVALS * (trial.interval + end) for end in (0, 1)]
    case = Case(
        ct=part.ct,
        views=views,
        world_from_ct=starting_poses(pose, targets, edges, 1, int(rng.integers(2**31))).world_from_ct[0],
        targets=targets,
        truth_world_from_ct=pose,
        name=f"{subject.name}-{trial.number:04d}",
    )
    return SimulatedCase(case, names, cameras)


def _taken(
    names: Sequence[str],
    subject: Subject,
    part: Part,
    cameras: Sequence[Camera],
    xrays: Sequence[SimulatedXRay],
    pose: np.ndarray,
    rng: np.random.Generator,
) -> list[View]:
    """The views, with all that is put on their images afterwards, or moves."""
    overlays = overlays_with(rng, names)
    centre, projector = part.patient.centre, subject.projector
    if "neighbours" in names:
        projector = part.moved
        moved = perturbed_pose(rng, np.eye(4), centre, rng.uniform(*NEIGHBOURS_DEG), rng.uniform(*NEIGHBOURS_MM))
        projector.rest_from_bone = moved
    views = []
    for nth, (camera, xray) in enumerate(zip(cameras, xrays, strict=True)):
        at = pose
        if nth and "motion" in names:
            pivot = rigid.transform_points(pose, centre)
            at = perturbed_pose(rng, pose, pivot, rng.uniform(*MOTION_DEG), rng.uniform(*MOTION_MM))
        image = xray.take(projector, camera, at, rng)
        for put in overlays:
            image = put(image, camera)
        views.append(View(f"view{nth + 1}", to_line_integrals(raw_image(image, (PIXEL_MM, PIXEL_MM))), camera))
    return views
