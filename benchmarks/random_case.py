"""Cases with all that may vary drawn from a seed.

X-rays by another simulator of a CT, which may be cut off sideways.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.io.files import written_atomically

from .simulation.cases import Patient, random_cameras, random_pose, write_case
from .simulation.simulator import xrays_with


def random_case(
    folder: str | Path,
    patient: Patient,
    seed: int,
    views: int = 2,
    separation_deg: tuple[float, float] = (90, 90),
    nuisances: Sequence[str] = (),
    truncated: bool = False,
) -> Path:
    """A case with all that may vary drawn from `seed`; path of its case.json.

    views: 1, 2 or 3, the further ones on either side of the first.
    separation_deg: least and largest angle between their central axes and that of the first.
    nuisances: of `simulator.TAKEN`.   truncated: the CT is cut off sideways.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    cameras = random_cameras(rng, views, separation_deg)
    xrays = xrays_with(rng, nuisances, views)
    pose = random_pose(patient.centre, rng)
    if truncated:
        patient = truncated_patient(patient, folder, rng)
    return write_case(folder, patient, cameras, pose, rng, xrays)


def truncated_patient(patient: Patient, folder: Path, rng: np.random.Generator) -> Patient:
    """The patient with a CT that is cut off sideways, written into `folder`."""
    part = copy(patient)
    part.ct_path = folder.resolve() / "ct.nii.gz"
    crop_sideways(patient.ct_path, part.ct_path, patient.centre, rng)
    part.bone_points = patient.bone_points[within(part.ct_path, patient.bone_points)]
    return part


def crop_sideways(
    ct_path: Path, written: Path, centre: np.ndarray, rng: np.random.Generator
) -> None:
    """Writes a part of a CT that ends within the body, as drawn from `rng`.

    centre: (3,) CT LPS mm, from which the cuts are measured. One of three: both sides are cut off
    65 to 95 mm out; one side 35 to 65 mm out; one side and the front or the back, 45 to 75 and 40
    to 60 mm out. A C-arm's image shows about 100 mm to each side.
    """
    image = sitk.ReadImage(str(ct_path))
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    middle = np.array(image.TransformPhysicalPointToContinuousIndex(centre.tolist()))
    box = np.stack([np.zeros(3, int), size], axis=1)

    def cut(axis: int, end: int, nearest_mm: float, farthest_mm: float) -> None:
        away = rng.uniform(nearest_mm, farthest_mm) / spacing[axis]
        index = round(middle[axis] + (away if end else -away))
        box[axis, end] = np.clip(index, 0, size[axis])

    kind, side = int(rng.integers(3)), int(rng.integers(2))
    if kind == 0:
        cut(0, 0, 65, 95)
        cut(0, 1, 65, 95)
    elif kind == 1:
        cut(0, side, 35, 65)
    else:
        cut(0, side, 45, 75)
        cut(1, int(rng.integers(2)), 40, 60)
    (i, i_end), (j, j_end), _ = box.tolist()
    with written_atomically(written) as path:
        sitk.WriteImage(image[i:i_end, j:j_end], str(path), useCompression=True)


def within(image_path: Path, points: np.ndarray) -> np.ndarray:
    """(N,) bool: which points (N, 3), CT LPS mm, lie in an image's grid, 5 mm or more from its faces."""
    image = sitk.ReadImage(str(image_path))
    spacing = np.array(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    index = (points - image.GetOrigin()) @ direction / spacing
    return ((index >= 5 / spacing) & (index <= np.array(image.GetSize()) - 1 - 5 / spacing)).all(
        axis=1
    )
