"""Writes simulated cases at many poses about one.

python -m benchmarks make_pose_set OUT [--anatomies chest pelvis] [--count 200] [--kinds plain]

For each anatomy one C-arm geometry of two views 90 degrees apart, one nominal pose, and true poses
drawn evenly over 15, 15, 30 degrees (orbital, tilt, roll) and 50, 75, 50 mm (columns, rows, beam)
about it: what one regressor is trained for. The plain ones are OUT/ANATOMY-plain-000 and so on, the
hard ones, of each kind in turn, OUT/ANATOMY-hard-rods-001. What is there already is left alone.
"""

from __future__ import annotations

import itertools
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

    def __init__(self, out: Path, anatomy: str, seed: int) -> None:
        """InputError where the ranges put the CT out of a view's field."""
        self._start, self._seed = str(out / anatomy), [seed, ANATOMIES.index(anatomy)]
        rng = np.random.default_rng(self._seed)
        drift = rng.uniform(-0.2, 0.2, 2).tolist()
        self._patient = Patient(ct_path(anatomy), couch=anatomy == "chest", drift=drift)
        self._cameras = random_cameras(rng, VIEWS, (90, 90))
        nominal = random_pose(self._patient.centre, rng)
        whole = PreparedCT(load_ct(ct_path(anatomy)))
        cameras = {f"view{n + 1}": camera for n, camera in enumerate(self._cameras)}
        none = {"rotation_deg": 0.0, "translation_mm": 0.0}
        self._range = PoseRange.of_case(
            cameras, nominal, whole.centroid, whole.corners(), none, TRAINING
        )
        search = search_of(self._range)
        self._about = {"world_from_ct": nominal.tolist(), "search": search, "training": TRAINING}

    def write(self, kind: str, number: int) -> Path:
        """One case, "plain" or "hard"; path of its case.json."""
        how = HARD[number % len(HARD)] if kind == "hard" else ""
        folder = Path("-".join(filter(None, [self._start, kind, how, f"{number:03d}"])))
        if (folder / "case.json").exists():
            return folder / "case.json"
        rng = np.random.default_rng([*self._seed, kind != "plain", number])
        pose = self._range.poses(self._range.half_widths * rng.uniform(-1, 1, 6))
        draws = 1 if kind == "plain" else MOST_DRAWS
        while True:
            names = [how]
            if how == "mixed":
                names = [choices[rng.integers(len(choices))] for choices in MIXED]
            xrays = xrays_with(rng, names, VIEWS)
            scene = self._patient, self._cameras, pose, rng, xrays
            try:
                return write_case(folder, *scene, about=self._about)
            except InputError:  # blades over all the bone
                draws -= 1
                if not draws:
                    raise


def search_of(poses: PoseRange) -> dict[str, float]:
    """The smallest search that holds the range, in whole degrees and mm."""
    ends = poses.poses(np.array(list(itertools.product((-1, 0, 1), repeat=6))) * poses.half_widths)
    turns = np.degrees(rigid.rotation_distance(ends, poses.world_from_ct))
    shifts = np.linalg.norm(rigid.transform_points(ends, poses.centroid) - poses.centre, axis=-1)
    names = ("rotation_deg", "translation_mm")
    most = (np.ceil(np.max(each) + 1e-6) for each in (turns, shifts))
    return dict(zip(names, map(float, most), strict=True))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--anatomies", choices=ANATOMIES, nargs="+", default=("chest", "pelvis"))
    parser.add_argument("--kinds", choices=("plain", "hard"), nargs="+", default=("plain", "hard"))
    parser.add_argument("--count", type=int, default=200, help="of each anatomy and kind")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    sets = [PoseSet(args.out, anatomy, args.seed) for anatomy in args.anatomies]
    for kind, number, poses in itertools.product(args.kinds, range(args.count), sets):
        print(poses.write(kind, number), flush=True)
