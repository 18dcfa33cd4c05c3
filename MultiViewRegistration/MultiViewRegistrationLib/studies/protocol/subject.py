"""A CT of the protocol: its body for the X-rays, and what of it is registered."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import BONE_HU, CT, load_ct, masked
from ...registration.prepared_ct import PreparedCT
from ...simulation.bones import MovedBone, single_bones
from ...simulation.cases import Patient
from ...simulation.projector import Projector
from .records import name_of

#: Points that stand for a bone.
MOST_POINTS = 20000
#: Bones of each CT that are registered, in turn.
BONES = 2
#: About a CT's body, so much more of it above and below, which drifts sideways by so many mm a mm.
BEYOND_MM, DRIFT = 130.0, 0.2
#: Projections of a CT that are kept; those of 512 x 512 pixels take 2 MB each.
KEPT = 100


class Remembered:
    """A projector that keeps what it projected last: what varies between registrations of one scene is put on afterwards."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._kept: OrderedDict[tuple[bytes, bytes], np.ndarray] = OrderedDict()

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """As `Projector.project`; not to be written into."""
        key = camera.projection_matrix.tobytes(), world_from_ct.tobytes()
        if key not in self._kept:
            self._kept[key] = self._projector.project(camera, world_from_ct)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


class Subject:
    """All that the registrations of one CT need of it; what takes seconds is made when it is first needed."""

    def __init__(self, path: Path, seed: int, simulator: str = "rtk") -> None:
        """simulator: of `cases.SIMULATORS`.

        InputError where the file is no CT in Hounsfield units, shows too little bone, or the simulator is missing.
        """
        self.name = name_of(path)
        drift = np.random.default_rng(seed).uniform(-DRIFT, DRIFT, 2)
        self._whole = load_ct(path)
        self.body = Patient(path, couch=True, beyond_mm=BEYOND_MM, drift=tuple(drift), simulator=simulator)
        if not len(self.body.bone_points):
            raise InputError(f"{path}: found no bone, expected a CT of a patient in Hounsfield units.")
        self.projector = Remembered(self.body.projector)
        self._patients: dict[int | None, Patient] = {None: self.body}
        self._masks: list[np.ndarray] | None = None
        self._anatomies: dict[int | None, PreparedCT] = {}
        self._moved: dict[int, MovedBone] = {}

    @property
    def bones(self) -> int:
        return len(self._bones())

    def patient(self, bone: int | None) -> Patient:
        """The body, with a bone's points and its centre in the middle of the images where there is one."""
        if bone not in self._patients:
            part = self._patients[bone] = copy(self.body)
            volume = self._whole.volume
            index = np.argwhere(self._bones()[bone] & (volume.values > BONE_HU))[:, ::-1]
            index = np.random.default_rng(bone).permutation(index)[:MOST_POINTS]
            part.bone_points = rigid.transform_points(volume.ct_from_index, index)
            part.centre = part.bone_points.mean(axis=0)
        return self._patients[bone]

    def ct(self, bone: int | None) -> CT:
        return self._whole if bone is None else masked(self._whole, self._bones()[bone])

    def anatomy(self, bone: int | None) -> PreparedCT:
        if bone not in self._anatomies:
            self._anatomies[bone] = PreparedCT(self.ct(bone))
        return self._anatomies[bone]

    def moved(self, bone: int) -> MovedBone:
        """The projector of a body in which this bone moves."""
        if bone not in self._moved:
            self._moved[bone] = MovedBone(self.body.projector, self._whole.volume, self._bones()[bone])
        return self._moved[bone]

    def _bones(self) -> list[np.ndarray]:
        if self._masks is None:
            self._masks = single_bones(self._whole.volume, BONES)
        return self._masks
