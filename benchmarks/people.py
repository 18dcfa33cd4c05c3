"""The people whose CTs are registered, and what is drawn of each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import CT, Volume, load_ct
from MultiViewRegistrationLib.io.datasets.chest import chest_ct

from . import DATA
from .simulation.body import middle, without_couch
from .simulation.cases import random_cameras, random_pose, start_poses

#: Files in the data folder; the chest is that of `make demo`.
CTS = {
    "chest": "",
    "pelvis": "pelvis/pelvis.nii.gz",
    "pelvis 2 mm": "pelvis/pelvis_2mm.nii.gz",
    "head": "scout/ct",
    "phantom": "epid/ct.nii.gz",
    "torso": "ct/torso_3mm.nii.gz",
    "thorax": "ct/thorax_stent.nii.gz",
}
#: Those whose scanner's couch is in their CT.
ON_A_COUCH = ("chest", "head", "torso")
#: The order decides who is the patient of which case.
PEOPLE = ("chest", "torso", "thorax", "pelvis 2 mm", "phantom")
#: Voxels of the CTs of `person`.
VOXEL_MM = 2.1
#: So much more of a body is simulated above and below its CT.
BEYOND_MM = 130.0


def ct_path(name: str, data: Path = DATA) -> Path:
    """The file, or the folder of slices, of a person's CT."""
    return data / CTS[name] if CTS[name] else chest_ct()


@lru_cache
def person(name: str, data: Path) -> tuple[CT, Volume]:
    """The CT, and the body in it."""
    ct = load_ct(ct_path(name, data))
    factors = [max(1, round(VOXEL_MM / spacing)) for spacing in ct.volume.spacing_mm]
    ct = CT(ct.volume.pooled(tuple(factors))) if max(factors) > 1 else ct
    return ct, ct.volume if name == "pelvis 2 mm" else without_couch(ct.volume)


def patient_of(number: int, people: tuple[str, ...] = PEOPLE) -> str:
    """The person of a case."""
    return people[number % len(people)]


def drawn(
    rng: np.random.Generator,
    body: Volume,
    bone: np.ndarray,
    views: int,
    apart_deg: tuple[float, float],
) -> tuple[list[Camera], np.ndarray]:
    """Cameras that look at the bone of a body, and its pose (4, 4)."""
    cameras = random_cameras(rng, views, apart_deg)
    return cameras, random_pose(np.array([*middle(body)[:2], bone[:, 2].mean()]), rng)


def near_start(rng: np.random.Generator, pose: np.ndarray, bone: np.ndarray) -> np.ndarray:
    """One of ten start poses (4, 4) up to 22 mm off, at points of the bone."""
    return start_poses(pose, bone[rng.choice(len(bone), 50)], rng)[rng.integers(10)]
