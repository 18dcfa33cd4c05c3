"""Searches without a start, on X-rays that show any part of a CT.

python -m benchmarks searches CASES --seed N --images FOLDER --rows ROWS.jsonl

Each case has two X-rays by RTK, 40 to 100 degrees apart, with a field of some 200 mm about a point
drawn from all bone of the CT; the patient lies head first or feet first, tilted by up to 30 degrees
about any axis. The CT keeps its couch or head rest, of which the X-rays show nothing, or in half of
the cases another one. A case is found if the targets, bone that both X-rays show, end within
`WRONG_MM`. X-rays are kept in FOLDER, rows in ROWS.jsonl; what is there is not made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace

import numpy as np

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.prediction import WRONG_MM
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.epipolar import default_pose_at_isocentre
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.io.case_settings import DEFAULT_SEARCH
from MultiViewRegistrationLib.registration.optimizer import Range
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.whole_ct import search_whole_ct
from MultiViewRegistrationLib.studies.statistics import table

from .people import ON_A_COUCH, ct_path, patient_of
from .simulation.cases import Patient, kept_images, random_cameras, take, targets_of, views_of
from .simulation.simulator import overlays_with, xrays_with
from .study import Options, Study, numbered

PEOPLE = ("chest", "torso", "phantom", "thorax", "pelvis 2 mm")
MAX_TILT_DEG, JITTER_MM = 30.0, 15.0
USUAL = Range(**DEFAULT_SEARCH)
#: Where the CT ends within an X-ray, the simulated body goes on as its last slice: what no CT looks
#: like fills the rest. Rates are given for X-rays of which it fills at most the other part.
COVERED = 0.4


@lru_cache(maxsize=1)
def person(name: str, data: Path) -> SimpleNamespace:
    """A patient, and its prepared CT."""
    ct = ct_path(name, data)
    patient = Patient(ct, couch=name in ON_A_COUCH)
    return SimpleNamespace(patient=patient, anatomy=PreparedCT(load_ct(ct)))


def draw(seed: int, number: int, data: Path) -> SimpleNamespace:
    """All of a case but its images."""
    rng, name = np.random.default_rng([seed, number]), patient_of(number, PEOPLE)
    body = person(name, data)
    cameras = random_cameras(rng, 2, (40, 100))
    nuisances = ["table"] if rng.random() < 0.5 else []
    xrays = xrays_with(rng, nuisances, len(cameras))
    feet_first = bool(rng.random() < 0.5)
    lying = rigid.exp_so3(np.array([0, np.pi * feet_first, 0]))
    while True:
        axis, tilt = rng.normal(size=3), rng.uniform(0, MAX_TILT_DEG)
        turn = rigid.exp_so3(axis / np.linalg.norm(axis) * np.radians(tilt)) @ lying
        middle = rng.choice(body.patient.bone_points) + rng.uniform(-JITTER_MM, JITTER_MM, 3)
        pose = rigid.from_rotation_translation(turn, -turn @ middle)
        try:
            targets = targets_of(body.patient, cameras, xrays, pose, rng)
        except InputError:  # the X-rays show too little of it
            continue
        return SimpleNamespace(**{key: value for key, value in locals().items() if key != "axis"})


def images_of(case: SimpleNamespace) -> list[np.ndarray]:
    """The case's X-rays."""
    rng = np.random.default_rng([case.seed, case.number, 1])
    overlays = overlays_with(rng, case.nuisances)
    return take(case.body.patient.projector, case.cameras, case.xrays, case.pose, rng, overlays)


def row(options: Options, seed: int, number: int) -> dict:
    """One case, searched without a start."""
    case = draw(seed, number, options.data)
    kept = options.images / f"{seed}-{number:04d}.npz"
    views = views_of(kept_images(kept, lambda: images_of(case)), case.cameras)
    anatomy = case.body.anatomy
    pose = default_pose_at_isocentre(case.cameras, anatomy.centroid)
    anatomy.prepare(views, pose)
    wall_s, cpu_s = perf_counter(), process_time()
    found = search_whole_ct(anatomy, views, pose, reach=USUAL, seed=number)
    wall_s, cpu_s = perf_counter() - wall_s, process_time() - cpu_s
    shown = anatomy.fit(views, case.pose, case.pose)
    return {
        "seed": seed,
        "case": number,
        "person": case.name,
        "nuisances": case.nuisances,
        "feet_first": case.feet_first,
        "tilt_deg": float(case.tilt),
        "middle": case.middle.tolist(),
        "share": [
            pixels / max(view.xray.pooled(anatomy.levels(views, case.pose)[-1].pool).valid.sum(), 1)
            for pixels, view in zip(shown.pixels, views, strict=True)
        ],
        "mm": float(metrics.mtre(found.world_from_ct, case.pose, case.targets)),
        "similarity": list(map(float, found.fit.similarity)),
        "evidence_ratio": found.alternative and found.alternative.evidence_ratio,
        "rim": found.rim,
        "refined": found.refined,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }


def found(rows: Sequence[dict]) -> str:
    """How many were found, by person and by how much of the X-rays the CT covers."""
    covered = [row for row in rows if min(row["share"]) >= COVERED]
    groups = {
        "all": rows,
        f"the CT covers {100 * COVERED:.0f} % of each X-ray": covered,
        "head first": [row for row in covered if not row["feet_first"]],
        "feet first": [row for row in covered if row["feet_first"]],
        **{name: [row for row in covered if row["person"] == name] for name in PEOPLE},
    }
    lines = []
    for name, group in groups.items():
        if group:
            seconds = [row["cpu_s"] for row in group]
            right = sum(row["mm"] <= WRONG_MM for row in group)
            times = f"{np.median(seconds):.1f}", f"{max(seconds):.1f}"
            lines.append((name, len(group), right, *times))
    head = ("cases", "number", "found", "seconds of both cores, median", "worst")
    return table(head, lines, range(1, 5))


def by_person(options: Options) -> Iterable[tuple]:
    """One person after the other, as each takes memory."""
    return sorted(numbered(options), key=lambda key: key[1] % len(PEOPLE))


STUDY = Study(__doc__, row, found, by_person)
