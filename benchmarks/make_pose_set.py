"""Writes simulated cases at many poses about one.

python -m benchmarks make_pose_set OUT [--anatomies chest pelvis] [--count 200] [--kinds plain]

For each anatomy one C-arm geometry of two views 90 degrees apart, one nominal pose, and true poses
drawn evenly over 15, 15, 30 degrees (orbital, tilt, roll) and 50, 75, 50 mm (columns, rows, beam)
about it: what one regressor is trained for. The plain ones are OUT/ANATOMY-plain-000 and so on, the
hard ones, of each kind in turn, OUT/ANATOMY-hard-rods-001. What is there already is left alone.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.poses import AXES, PoseRange

from . import parser_of
from .people import ct_path
from .simulation.cases import Patient, random_cameras, random_pose, write_case
from .simulation.simulator import xrays_with

ANATOMIES = ("chest", "pelvis", "torso")
TRAINING = dict(zip(AXES, (15, 15, 30, 50, 75, 50), strict=True))
HARD = ("wires", "rods", "prosthesis", "blades", "shutters", "scatter", "weak", "mixed")
#: One of each at once.
MIXED = (("wires", "rods", "prosthesis"), ("blades", "shutters"), ("scatter",), ("weak",))
VIEWS = 2
MOST_DRAWS = 50  # of an X-ray, until all views show enough of the bone


class PoseSet:
    """The cases of one anatomy."""

    def __init__(self, out: Path, anatomy: str, ct: Path, seed: int) -> None:
        """InputError where the ranges put the CT out of a view's field."""
        self._out, self._anatomy, self._seed = out, anatomy, [seed, ANATOMIES.index(anatomy)]
        rng = np.random.default_rng(self._seed)
        self._patient = Patient(
            ct, couch=anatomy == "chest", drift=rng.uniform(-0.2, 0.2, 2).tolist()
        )
        self._cameras = random_cameras(rng, VIEWS, (90, 90))
        nominal = random_pose(self._patient.centre, rng)
        whole = PreparedCT(load_ct(ct))
        cameras = {f"view{n + 1}": camera for n, camera in enumerate(self._cameras)}
        none = {"rotation_deg": 0.0, "translation_mm": 0.0}
        self._range = PoseRange.of_case(
            cameras, nominal, whole.centroid, whole.corners(), none, TRAINING
        )
        self._about = {
            "world_from_ct": nominal.tolist(),
            "search": _search_of(self._range),
            "training": TRAINING,
        }

    def write(self, kind: str, number: int) -> Path:
        """One case, "plain" or "hard"; path of its case.json."""
        how = HARD[number % len(HARD)]
        name = f"{kind}-{number:03d}" if kind == "plain" else f"{kind}-{how}-{number:03d}"
        folder = self._out / f"{self._anatomy}-{name}"
        if (folder / "case.json").exists():
            return folder / "case.json"
        rng = np.random.default_rng([*self._seed, kind != "plain", number])
        pose = self._range.poses(self._range.half_widths * rng.uniform(-1, 1, 6))
        for _ in range(MOST_DRAWS):
            names = (
                [choices[rng.integers(len(choices))] for choices in MIXED]
                if how == "mixed"
                else [how]
            )
            xrays = xrays_with(rng, [] if kind == "plain" else names, VIEWS)
            try:
                return write_case(
                    folder, self._patient, self._cameras, pose, rng, xrays, about=self._about
                )
            except InputError as error:  # blades over all the bone
                last = error
                if kind == "plain":
                    break
        raise last


def _search_of(poses: PoseRange) -> dict[str, float]:
    """The smallest search that holds the range, in whole degrees and mm."""
    ends = poses.poses(np.array(list(itertools.product((-1, 0, 1), repeat=6))) * poses.half_widths)
    turns = [np.degrees(rigid.rotation_distance(end, poses.world_from_ct)) for end in ends]
    shifts = np.linalg.norm(rigid.transform_points(ends, poses.centroid) - poses.centre, axis=-1)
    return {
        "rotation_deg": float(np.ceil(np.max(turns) + 1e-6)),
        "translation_mm": float(np.ceil(np.max(shifts) + 1e-6)),
    }


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--anatomies", choices=ANATOMIES, nargs="+", default=("chest", "pelvis"))
    parser.add_argument("--kinds", choices=("plain", "hard"), nargs="+", default=("plain", "hard"))
    parser.add_argument("--count", type=int, default=200, help="of each anatomy and kind")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()

    sets = [PoseSet(args.out, anatomy, ct_path(anatomy), args.seed) for anatomy in args.anatomies]
    for kind in args.kinds:
        for number in range(args.count):
            for poses in sets:
                start = time.monotonic()
                print(f"{poses.write(kind, number)} {time.monotonic() - start:.1f} s", flush=True)
    return 0
