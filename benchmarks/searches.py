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
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from time import process_time

import numpy as np

from MultiViewRegistrationLib.assessment import metrics
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.epipolar import default_pose_at_isocentre
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.variants import search_whole_ct
from MultiViewRegistrationLib.studies.statistics import median, table_of

from .people import ON_A_COUCH, ct_path, patient_of
from .simulation.cases import Patient, kept_images, random_cameras, take, targets_of, unit, views_of
from .simulation.simulator import overlays_with, xrays_with
from .study import Options, Study, numbered

PEOPLE = ("chest", "torso", "phantom", "thorax", "pelvis 2 mm")
MAX_TILT_DEG, JITTER_MM = 30.0, 15.0
#: Where the CT ends within an X-ray, the simulated body goes on as its last slice: what no CT looks
#: like fills the rest. Rates are given for X-rays of which it fills at most the other part.
COVERED = 0.4


@lru_cache(maxsize=1)
def person(name: str, data: Path) -> tuple[Patient, PreparedCT]:
    """A patient, and its prepared CT."""
    ct = ct_path(name, data)
    return Patient(ct, couch=name in ON_A_COUCH), PreparedCT(load_ct(ct))


def row(options: Options, seed: int, number: int) -> dict:
    """One case, searched without a start."""
    rng, name = np.random.default_rng([seed, number]), patient_of(number, PEOPLE)
    patient, anatomy = person(name, options.data)
    cameras = random_cameras(rng, 2, (40, 100))
    nuisances = ["table"] if rng.random() < 0.5 else []
    xrays = xrays_with(rng, nuisances, len(cameras))
    feet_first = bool(rng.random() < 0.5)
    lying = rigid.exp_so3([0, np.pi * feet_first, 0])
    targets = None
    while targets is None:
        axis, tilt = unit(rng.normal(size=3)), rng.uniform(0, MAX_TILT_DEG)
        turn = rigid.exp_so3(axis * np.radians(tilt)) @ lying
        middle = rng.choice(patient.bone_points) + rng.uniform(-JITTER_MM, JITTER_MM, 3)
        pose = rigid.from_rotation_translation(turn, -turn @ middle)
        with suppress(InputError):  # the X-rays show too little of it
            targets = targets_of(patient, cameras, xrays, pose, rng)

    def images():
        rng = np.random.default_rng([seed, number, 1])
        overlays = overlays_with(rng, nuisances)
        return take(patient.projector, cameras, xrays, pose, rng, overlays)

    kept = options.images / f"{seed}-{number:04d}.npz"
    views = views_of(kept_images(kept, images), cameras)
    start = default_pose_at_isocentre(cameras, anatomy.centroid)
    anatomy.prepare(views, start)
    began = process_time()
    found = search_whole_ct(anatomy, views, seed=number)
    spent = process_time() - began
    pool = anatomy.levels(views, pose)[-1].pool
    shown = zip(anatomy.fit(views, pose, pose).pixels, views, strict=True)
    return {
        "person": name,
        "nuisances": nuisances,
        "feet_first": feet_first,
        "tilt_deg": float(tilt),
        "share": [pixels / max(view.xray.pooled(pool).valid.sum(), 1) for pixels, view in shown],
        "mm": float(metrics.mtre(found.world_from_ct, pose, targets)),
        "similarity": list(map(float, found.fit.similarity)),
        "evidence_ratio": found.alternative and found.alternative.evidence_ratio,
        "refined": found.refined,
        "cpu_s": spent,
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
    columns = {
        "number": len,
        "found": lambda group: sum(row["mm"] <= WRONG_MM for row in group),
        "seconds of both cores, median": lambda group: median([row["cpu_s"] for row in group], 1),
        "worst": lambda group: f"{max(row['cpu_s'] for row in group):.1f}",
    }
    told = [((name,), group) for name, group in groups.items() if group]
    return table_of(told, ("cases",), columns)


def by_person(options: Options) -> Iterable[tuple]:
    """One person after the other, as each takes memory."""
    return sorted(numbered(options), key=lambda key: key[1] % len(PEOPLE))


STUDY = Study(__doc__, row, found, by_person)
