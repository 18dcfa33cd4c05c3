"""Bodies of which only vertebrae moved.

python -m benchmarks spines CASES --seed N [--single] --images FOLDER --rows ROWS.jsonl

Cases are those of `bones.py`, half of them with the vertebrae moved and all else where it was, half
with nothing moved. With --single one vertebra alone has moved, by 3 to 6 mm and up to 6 degrees. A
row has how far the worst labelled vertebra that all views show lies from where the pose has it, what
share of it two views compare (not through the CT's cut end), and the verdict.

What must hold: of bodies with a vertebra more than 2 mm off none is accepted. With targets, they lie
in the vertebra that is farthest off.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.displacement import LIMITS
from MultiViewRegistrationLib.assessment.metrics import in_field, mtre
from MultiViewRegistrationLib.assessment.records import WRONG_MM
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies.statistics import table

from .bones import NAMES, draw, images_of
from .protocol.conditions import calibrated
from .simulation.cases import unit, views_of
from .study import Options, Study

#: How far a single vertebra moves.
STEP_MM, MOST_DEG = (3.0, 6.0), 6.0
TARGETS = 16


def single(case: SimpleNamespace, rng: np.random.Generator) -> dict[int, np.ndarray]:
    """The motion of one of the four vertebrae nearest to the middle of the images."""
    points = case.body.points
    centre = np.mean([points[label].mean(axis=0) for label in case.chosen], axis=0)
    spine = [label for label in points if NAMES[label][0] in "TL"]
    near = sorted(spine, key=lambda label: abs(points[label].mean(axis=0) - centre)[2])[:4]
    label = int(rng.choice(near))
    turn = rigid.exp_so3(unit(rng.normal(size=3)) * np.radians(rng.uniform(0, MOST_DEG)))
    step = rigid.from_rotation_translation(turn, unit(rng.normal(size=3)) * rng.uniform(*STEP_MM))
    return {label: rigid.about(points[label].mean(axis=0), step)}


def row(options: Options, seed: int, number: int) -> dict:
    """One case, registered and assessed."""
    case = draw(seed, number, options.data)
    if options.single:
        case.moved = single(case, np.random.default_rng([seed, number, 5]))
    moved = number // 3 % 2 == 1
    case.moved = {
        label: each for label, each in case.moved.items() if moved and NAMES[label][0] in "TL"
    }
    taken = images_of(case, options.images / f"spine-{seed}-{number:04d}.npz")
    views = views_of(taken, case.cameras)
    views = calibrated(np.random.default_rng([seed, number, 2]), views)
    found = refine(case.body.anatomy, views, case.start)
    asking = case.body.anatomy, views, found, case.start
    seen = compared(case.body.anatomy, views, found.world_from_ct)
    off = [(0.0, 1.0)]
    targets = None
    for label, each in case.moved.items():
        points = case.body.points[label]
        there = rigid.transform_points(found.world_from_ct, points)
        if in_field(views, there).all(axis=0).mean() > 0.5:
            mm = mtre(found.world_from_ct, case.pose @ each, points)
            if mm >= max(off)[0]:
                targets = rigid.some_of(points, TARGETS)
            off.append((mm, float((in_field(seen, there).sum(axis=0) > 1).mean())))
    worst_mm, share = max(off)
    return {
        "seed": seed,
        "case": number,
        "person": case.name,
        "views": len(views),
        "nuisances": case.nuisances,
        "moved": moved,
        "degrees": float(case.degrees),
        "mm": mtre(found.world_from_ct, case.pose, np.concatenate(list(case.body.points.values()))),
        "worst_mm": worst_mm,
        "compared": share,
        "verdict": verdict.assess(*asking).verdict,
        "at_targets": targets is not None and verdict.assess(*asking, targets).verdict,
    }


def compared(anatomy: PreparedCT, views: Sequence[View], world_from_ct: np.ndarray) -> list[View]:
    """The views without the pixels whose rays go on where the CT was cut off."""
    projector = anatomy.projector(anatomy.level(LIMITS.voxel_mm))
    found = []
    for view in views:
        valid = view.xray.valid & (projector.seen(view.camera, world_from_ct) > 0)
        found.append(view.with_xray(valid=valid))
    return found


def accepted(rows: Sequence[dict]) -> str:
    """Return a table of the accepted bodies, without targets and with targets in the bone that moved."""
    lines = []
    wrong = [row for row in rows if row["worst_mm"] > WRONG_MM]
    for name, group in (
        ("a vertebra over 2 mm off", [row for row in wrong if row["compared"] > 0.5]),
        ("the same, cut by the CT's end", [row for row in wrong if row["compared"] <= 0.5]),
        ("moved by less", [row for row in rows if row["moved"] and row["worst_mm"] <= WRONG_MM]),
        ("nothing moved", [row for row in rows if not row["moved"] and row["mm"] <= WRONG_MM]),
    ):
        counts = (_accepts(group, key) for key in ("verdict", "at_targets"))
        lines.append((name, len(group), *counts))
    head = ("bodies", "cases", "accepted", "with targets in it")
    return table(head, lines, (1, 2, 3))


def _accepts(rows: Sequence[dict], key: str) -> int:
    return sum(row[key] == "accept" for row in rows)


STUDY = Study(__doc__, row, accepted, arguments={"single": "one vertebra alone has moved"})
