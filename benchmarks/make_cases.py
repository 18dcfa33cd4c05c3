"""Writes simulated cases: python -m benchmarks make_cases OUT --anatomy pelvis --separation 90 35-55 --count 8

All that may vary is drawn from a seed; X-rays are another simulator's, of a CT that may be cut off
sideways.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.io.files import written_atomically

from . import parser_of
from .people import ON_A_COUCH, ct_path
from .simulation.cases import Patient, random_cameras, random_pose, write_case
from .simulation.simulator import xrays_with

#: What may be in X-rays, by its part of a case's name.
NUISANCES = {
    **{name: name for name in ("straight", "shutters", "wires", "metal")},
    "round": "round field",
}
#: Bone is looked at so far from the faces of a CT that is cut off.
MARGIN_MM = 5


def random_case(
    folder: Path,
    patient: Patient,
    seed: int,
    views: int = 2,
    separation_deg: tuple[float, float] = (90, 90),
    nuisances: Sequence[str] = (),
    *,
    truncated: bool = False,
) -> Path:
    """A case with all that may vary drawn from `seed`; path of its case.json.

    views: 1, 2 or 3, the further ones on either side of the first.
    separation_deg: least and largest angle between their central axes and that of the first.
    nuisances: of `simulator.TAKEN`.   truncated: the CT is cut off sideways.
    """
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
    with written_atomically(part.ct_path) as path:
        cropped = cropped_sideways(sitk.ReadImage(str(patient.ct_path)), patient.centre, rng)
        sitk.WriteImage(cropped, str(path), useCompression=True)
    volume = load_ct(part.ct_path).volume
    index = rigid.transform_points(volume.index_from_ct, patient.bone_points)
    margin = MARGIN_MM / volume.spacing_mm
    within = (index >= margin) & (index <= np.array(volume.size) - 1 - margin)
    part.bone_points = patient.bone_points[within.all(axis=1)]
    return part


def cropped_sideways(image: sitk.Image, centre: np.ndarray, rng: np.random.Generator) -> sitk.Image:
    """A part of a CT that ends within the body, as drawn from `rng`.

    centre: (3,) CT LPS mm, from which the cuts are measured. One of three: both sides are cut off
    65 to 95 mm out; one side 35 to 65 mm out; one side and the front or the back, 45 to 75 and 40
    to 60 mm out. A C-arm's image shows about 100 mm to each side.
    """
    spacing = image.GetSpacing()
    middle = image.TransformPhysicalPointToContinuousIndex(centre.tolist())
    box = [[0, size] for size in image.GetSize()]

    def cut(axis, end, nearest_mm, farthest_mm):
        away = rng.uniform(nearest_mm, farthest_mm) / spacing[axis]
        index = round(middle[axis] + (away if end else -away))
        box[axis][end] = min(max(index, 0), box[axis][1])

    kind, side = int(rng.integers(3)), int(rng.integers(2))
    if kind == 0:
        cut(0, 0, 65, 95)
        cut(0, 1, 65, 95)
    elif kind == 1:
        cut(0, side, 35, 65)
    else:
        cut(0, side, 45, 75)
        cut(1, int(rng.integers(2)), 40, 60)
    (i, i_end), (j, j_end), _ = box
    return image[i:i_end, j:j_end]


def degrees(text: str) -> tuple[float, float]:
    """ "90" or "35-55" as (least, largest)."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--anatomy", choices=("chest", "pelvis"), required=True)
    parser.add_argument(
        "--separation",
        type=degrees,
        nargs="+",
        default=[(90.0, 90.0)],
        help="angles between the first view and the others, each 90 or 35-55; a set of cases for each",
    )
    parser.add_argument("--count", type=int, default=1, help="cases in a set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--views", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--with", dest="hard", choices=NUISANCES, nargs="+", default=[])
    parser.add_argument("--truncated", action="store_true", help="the CT ends within the body")
    args = parser.parse_args()

    drift = np.random.default_rng(args.seed).uniform(-0.2, 0.2, 2).tolist()
    patient = Patient(ct_path(args.anatomy), args.anatomy in ON_A_COUCH, drift=drift)
    nuisances = [NUISANCES[each] for each in args.hard]
    hard = [*args.hard, *["truncated"] * args.truncated]
    for number, separation in enumerate(args.separation):
        angles = [f"{angle:g}" for angle in dict.fromkeys(separation)] if args.views > 1 else []
        for n in range(args.count):
            name = "-".join([args.anatomy, f"{args.views}view", *angles, *hard, f"{n:02d}"])
            how = 10000 * args.seed + 100 * number + n, args.views, separation, nuisances
            case = random_case(args.out / name, patient, *how, truncated=args.truncated)
            print(case, flush=True)
