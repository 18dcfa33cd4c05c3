"""Bodies that are not rigid, registered as if they were.

python -m benchmarks bent CASES --seed N [--covered] [--pieces] --rows ROWS.jsonl

Each case is one of five people's CTs, made rigid, bent, twisted, shifted, moved on one side, or
shorter by some slices, and two or three X-rays of that body by RTK, with wires in three of ten;
or, covered, with something in each that hides bone. A row has the error at bone that all views
show, the codes of the findings, the verdict and the expected error for each use, and for each point
that was tested for displaced bone, and each target, whether it was confirmed, and its true error.
What must hold, fixed before seeds 3 and 4 were run, and 9 and 10: none that is more than 2 mm off is
accepted. With --pieces, slices of the CT lie 4 to 8 mm aside, and the targets in them, or targets
lie behind missing slices where no X-ray shows them. With --inside, a piece of bone has moved, or the
front ends of some ribs, and the targets lie there. With --inside --machines X-rays are those of any
machine, CTs of any scanner and half the cameras a C-arm's readings, as wrong as is said of them;
with --unstated, all are matrices of which nothing is said (judged: seed 80003);
each use is judged, once with targets and once without (judged: seeds 160001,
170001 and 130003; before all targets were asked together 130002; all with targets of rigid bodies
`anywhere`, too;
before any were, 120001; before each X-ray alone was asked 70002; with places by their order 60003
and 60004, with two other limits 60001 and 60002; before, voxels were put into the image one by
one, which made stripes: 30002, before each extent was asked of a
place, 30003, 40001, with stricter rules that were not kept, and 40002; chosen on seeds 20001, 30001
and 50101).

The verdicts in docs/validation.md are of --half --machines (seed 991001), --rigid --readings (991002),
the same with --one-view (991003), and --rigid --calibrated (991004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy

from MultiViewRegistrationLib.assessment import verdict
from MultiViewRegistrationLib.assessment.metrics import in_field
from MultiViewRegistrationLib.assessment.records import WRONG_MM, Assessment, TestedPoints, Use
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.machine import KINDS as MACHINES
from MultiViewRegistrationLib.studies.statistics import grouped, table

from .people import BEYOND_MM, drawn, near_start, patient_of, person
from .protocol.conditions import calibrated, readings, unstated
from .protocol.runs import appears_off_mm
from .simulation.appearance import random_appearance
from .simulation.body import Body, bone_points
from .simulation.cases import named_views, take, unit, views_of
from .simulation.projector import RtkProjector
from .simulation.simulator import PIXEL_MM, SimulatedXRay, overlays_with, random_wires, xrays_with
from .study import Options, Study

KINDS = ("none", "bend", "shift", "missing", "none", "twist", "side")
#: Of these the targets lie in what is wrong: thin slabs, or thick ones, that lie aside, with sharp
#: edges or entered slowly; missing slices between targets and all fields.
PIECES = ("thin", "thin slow", "thick", "thick slow", "unseen")
#: Of these, too: a piece of bone, or the front ends of ribs of one side, with all that is about them.
INSIDE = ("none", "piece", "ribs")
#: Half of the bodies are rigid.
HALF = ("none", "piece", "none", "ribs")
#: Targets in bone that stayed while something else moved: their number, the radius in mm within which
#: they lie, and the largest motion there as a fraction of the largest in the body.
STAYED, STAYED_RADIUS_MM, STAYED_FRACTION = 8, 25.0, 0.05
#: How far these move, how large they are, and over how many mm their motion ends; of ribs how far
#: back it goes, and how high it is.
PIECE_MM, RADIUS_MM, RIM_MM = (3, 10), (18, 30), 10.0
RIBS_MM, DEEP_MM, HIGH_MM, EDGE_MM = (5, 10), (40, 80), 75.0, 25.0
#: How high slabs are, how far they lie aside, and within how much they are entered, mm; targets of a
#: piece.
THIN_MM, THICK_MM, ASIDE_MM, SLOW_MM, TARGETS = (10, 20), (20, 35), (4, 8), (6, 12), 16
#: What hides bone in X-rays, of the simulator's: one for each case.
COVERS = (
    "tools",
    "rods",
    "contrast",
    "cast",
    "prosthesis",
    "table",
    "wires",
    "saturated",
    "scatter",
)
#: Over how many mm a body goes from one motion to the other.
SMOOTH_MM = 16.0

Points = Callable[[np.ndarray], np.ndarray]


def bent(
    body: Volume, point: np.ndarray, normal: np.ndarray, motion: np.ndarray
) -> tuple[Volume, Points]:
    """The body of which the side of a plane to which its normal points has moved, and where that takes points, CT mm."""

    def weight(points):
        return np.clip((points - point) @ normal / SMOOTH_MM + 0.5, 0, 1)[..., None]

    def forward(points):
        moved = rigid.transform_points(motion, points)
        return (1 - weight(points)) * points + weight(points) * moved

    def back(there):
        moved, here = rigid.transform_points(rigid.inverse(motion), there), there
        for _ in range(3):
            here = (1 - weight(here)) * there + weight(here) * moved
        return here

    return warped(body, back), forward


def warped(body: Volume, back: Points) -> Volume:
    """The body that has at each place what was where `back` takes it."""
    there = rigid.grid_points(*map(range, body.values.shape))[:, ::-1]
    here = back(rigid.transform_points(body.ct_from_index, there))
    index = rigid.transform_points(body.index_from_ct, here)[:, ::-1].T
    values = scipy.ndimage.map_coordinates(body.values, index, order=1, mode="nearest")
    return replace(body, values=values.reshape(body.values.shape))


def changed(
    rng: np.random.Generator, ct: CT, body: Volume, kind: str
) -> tuple[Volume, CT, Points, float]:
    """The patient, the CT that is registered, where that has points of it, and the size of the change, degrees or mm."""
    points = bone_points(body)
    low, high = np.percentile(points[:, 2], [2, 98])
    height = rng.uniform(low + 0.3 * (high - low), low + 0.7 * (high - low))
    spine = np.array([*np.median(points[np.abs(points[:, 2] - height) < 15][:, :2], 0), height])
    normal = np.array([0, 0, 1.0]) * rng.choice([-1, 1])
    if kind == "none":
        return body, ct, lambda points: points, 0.0
    if kind in INSIDE:
        patient, forward, size = inside(rng, body, kind)
        return patient, ct, forward, size
    if kind.startswith("thi"):
        return body, *aside(rng, ct, spine[2] + 0.4 * (points[:, 2].mean() - spine[2]), kind)
    if kind == "unseen":
        spine[2] = np.percentile(
            points[:, 2], rng.choice([rng.uniform(8, 15), rng.uniform(85, 92)])
        )
    if kind in ("bend", "twist"):
        size = rng.uniform(3, 15)
        axis = normal if kind == "twist" else unit(rng.normal(size=3) * [1, 1, 0.2])
        turn = rigid.turn_and_shift(axis * np.radians(size), np.zeros(3))
        patient, forward = bent(body, spine, normal, rigid.about(spine, turn))
        return patient, ct, forward, size
    if kind in ("missing", "unseen"):
        axis = body.ct_from_index[:3, 2]
        step = float(np.linalg.norm(axis))
        count = max(1, round(rng.uniform(5, 30) / step))
        first = round(rigid.transform_points(body.index_from_ct, spine)[2])
        values = np.delete(ct.volume.values, np.s_[first : first + count], 0)
        plane = rigid.transform_points(ct.volume.ct_from_index, np.array([0, 0, first - 0.5]))

        def lengthened(points):
            return points + ((points - plane) @ axis > 0)[..., None] * axis * count

        return body, CT(replace(ct.volume, values=values)), lengthened, count * step
    size, centre = rng.uniform(3, 20), spine
    if kind == "side":
        normal = np.array([1.0, 0, 0]) * rng.choice([-1, 1])
        centre = np.array([np.percentile(points[:, 0], rng.uniform(35, 65)), spine[1], height])
    motion = rigid.translation(unit(rng.normal(size=3)) * size)
    patient, forward = bent(body, centre, normal, motion)
    return patient, ct, forward, size


def inside(rng: np.random.Generator, body: Volume, kind: str) -> tuple[Volume, Points, float]:
    """The body of which a piece of bone has moved, where that takes points, and how far, mm."""
    points = bone_points(body)
    if kind == "piece":
        size, radius = rng.uniform(*PIECE_MM), rng.uniform(*RADIUS_MM)
        low, high = np.percentile(points, [12, 88], axis=0)
        centre = rng.choice(points[((points > low) & (points < high)).all(axis=1)])
        way = unit(rng.normal(size=3))

        def share(at):
            return _smooth((radius - np.linalg.norm(at - centre, axis=-1)) / RIM_MM + 0.5)
    else:
        size, deep = rng.uniform(*RIBS_MM), rng.uniform(*DEEP_MM)
        middle, side = np.median(points[:, 0]), rng.choice([-1, 1])
        height = rng.uniform(*np.percentile(points[:, 2], [5, 95]))
        own = (np.abs(points[:, 2] - height) < HIGH_MM) & ((points[:, 0] - middle) * side > 0)
        front = np.percentile(points[own, 1], 2)
        way = unit(np.array([0.3 * rng.normal(), -0.5, 0.8 * rng.choice([-1, 1])]))

        def share(at):
            along = _smooth((front + deep - at[..., 1]) / deep)
            high = _smooth((HIGH_MM - np.abs(at[..., 2] - height)) / EDGE_MM)
            return along * high * _smooth((at[..., 0] - middle) * side / EDGE_MM)

    def forward(at):
        return at + share(at)[..., None] * way * size

    def back(there):
        here = there
        for _ in range(4):
            here = here + there - forward(here)
        return here

    return warped(body, back), forward, size


def _smooth(share):
    """From 0 to 1, without an edge."""
    share = np.clip(share, 0, 1)
    return share**2 * (3 - 2 * share)


def aside(rng: np.random.Generator, ct: CT, height: float, kind: str) -> tuple[CT, Points, float]:
    """The CT with slices aside, where the patient has points of it, and how far they lie aside, mm."""
    volume, thick = ct.volume, rng.uniform(*(THIN_MM if kind.startswith("thin") else THICK_MM))
    slow = rng.uniform(*SLOW_MM) if kind.endswith("slow") else 1e-3
    shift = unit(rng.normal(size=3) * [1, 1, 0]) * rng.uniform(*ASIDE_MM)

    def share(points):
        inside = (thick + slow) / 2 - np.abs(points[..., 2] - height)
        return np.clip(inside / slow, 0, 1)[..., None]

    columns_rows = volume.index_from_ct[:2, :3] @ shift
    values = volume.values.copy()
    for k, slice_ in enumerate(volume.values):
        at = rigid.transform_points(volume.ct_from_index, np.array([0.0, 0.0, k]))
        if share(at) > 0:
            moved = float(share(at)[0]) * columns_rows[::-1]
            values[k] = scipy.ndimage.shift(slice_, moved, order=1, mode="nearest")
    registered = CT(replace(volume, values=values))
    return registered, lambda points: points - share(points) * shift, float(np.linalg.norm(shift))


def targets_in(
    rng: np.random.Generator, bone: np.ndarray, shown: np.ndarray, off_mm: np.ndarray, kind: str
) -> np.ndarray:
    """Points (N, 3) of bone in the piece that is wrong, or in any; of "unseen" all but one are behind missing slices."""
    wrong = off_mm >= 0.6 * off_mm.max()
    if kind == "none":
        wrong = np.linalg.norm(bone - rng.choice(bone[shown]), axis=1) < RADIUS_MM[1]
    if kind != "unseen":
        return rng.permutation(bone[wrong & shown])[:TARGETS]
    behind = rng.permutation(bone[wrong & ~shown])[: TARGETS - 1]
    return np.concatenate([behind, rng.permutation(bone[~wrong & shown])[:1]])


def targets_that_stayed(
    rng: np.random.Generator, bone: np.ndarray, shown: np.ndarray, off_mm: np.ndarray
) -> np.ndarray | None:
    """Return targets (N, 3) within bone that all views show and that did not move; None if there is none."""
    still = bone[shown & (off_mm < STAYED_FRACTION * off_mm.max())]
    if not len(still):
        return None
    near = np.linalg.norm(still - rng.choice(still), axis=1) < STAYED_RADIUS_MM
    return rng.permutation(still[near])[:STAYED]


def row(options: Options, seed: int, number: int) -> dict:
    """One case, registered and assessed."""
    rng, name = np.random.default_rng([seed, number]), patient_of(number)
    kinds: tuple[str, ...] = PIECES if options.pieces else KINDS
    if options.inside:
        kinds = INSIDE
    if options.half:
        kinds = HALF
    if options.rigid:
        kinds = ("none",)
    kind = kinds[number // 5 % len(kinds)]
    ct, body = person(name, options.data)
    patient, registered, forward, size = changed(rng, ct, body, kind)
    projector, bone = RtkProjector(Body.from_hu(patient, BEYOND_MM)), bone_points(body)
    cameras, pose = drawn(rng, body, bone, int(rng.choice([2, 2, 3])), (60, 100))
    if options.one_view:
        cameras = cameras[:1]
    covers = (str(rng.choice(COVERS)),) if options.covered else ()
    machine = known = ""
    if options.machines:
        machine = str(rng.choice(list(MACHINES)))
        as_known = readings if rng.random() < 0.5 else calibrated
        if options.unstated:
            as_known = unstated
        known = as_known.__name__
        appearance = random_appearance(rng, machine)
        registered = appearance.ct(registered)
        xrays = (appearance.xray(projector.project(each, pose), PIXEL_MM, rng) for each in cameras)
        views = as_known(rng, named_views(xrays, cameras))
    else:
        views = views_of(_images(rng, covers, projector, cameras, pose), cameras)
        for as_known, is_used in ((readings, options.readings), (calibrated, options.calibrated)):
            if is_used:
                views, known = as_known(rng, views), as_known.__name__
    start = near_start(rng, pose, bone)
    anatomy = PreparedCT(registered)
    found = refine(anatomy, views, start)
    targets = stayed = None
    if options.pieces or options.inside or options.half:
        every = anatomy.bone_points()
        moved_mm = np.linalg.norm(forward(every) - every, axis=1)
        shown = in_field(views, rigid.transform_points(found.world_from_ct, every))
        some = shown.sum(axis=0) >= (1 if kind == "unseen" else len(views))
        targets = targets_in(rng, every, some, moved_mm, kind)
        if not len(targets):  # no X-ray shows the piece
            targets = None
        if options.half and kind != "none":
            stayed = targets_that_stayed(rng, every, some, moved_mm)

    def found_and_true(points):
        there = rigid.transform_points(pose, forward(points))
        return rigid.transform_points(found.world_from_ct, points), there

    def assessed(points):
        assessment = verdict.assess(anatomy, views, found, start, points)
        evidence = assessment.evidence
        assert evidence is not None  # the X-rays show the body
        here, there = found_and_true(evidence.targets)
        off_mm = np.linalg.norm(here - there, axis=1)
        tested = _tested_points(assessment, points)
        return {
            "mtre_mm": float(off_mm.mean()),
            "worst_mm": float(np.percentile(off_mm, 95)),
            "appears_mm": appears_off_mm(found.views, cameras, here, there),
            "verdict": assessment.verdict,
            "uses": {use: each._asdict() for use, each in assessment.uses.items()},
            "is_likely_wrong": assessment.is_likely_wrong,
            "codes": [finding.code for finding in assessment.findings],
            "familiar": evidence.risk.is_familiar,
            "risk": evidence.risk.failure,
            "are_targets": tested.are_targets,
            "points": [point_row(tested, n) for n in range(len(tested))],
        }

    def point_row(tested, n):
        here, there = found_and_true(tested.points_mm[n : n + 1])
        return {
            "in_place": bool(tested.in_place[n]),
            "overlay_in_place": bool(tested.overlay_in_place[n]),
            "displaced": bool(tested.displaced[n]),
            "mm": float(np.linalg.norm(here - there)),
            "appears_mm": appears_off_mm(found.views, cameras, here, there),
        }

    return {
        "seed": seed,
        "case": number,
        "person": name,
        "machine": machine,
        "cameras": known,
        "kind": kind,
        "size": float(size),
        "views": len(views),
        "covers": covers,
        **assessed(targets),
        "all_bone": assessed(None) if known else None,
        "stayed": None if stayed is None else assessed(stayed),
    }


def _tested_points(assessment: Assessment, targets: np.ndarray | None) -> TestedPoints:
    """Return the tested points; the targets (N, 3), none of them confirmed, if no points were tested."""
    if len(assessment.tested) or targets is None:
        return assessment.tested
    no = np.zeros(len(targets), bool)
    return TestedPoints(targets, no, no, no, are_targets=True)


def _images(rng, covers, projector, cameras, pose):
    """X-rays of the usual kind, with what covers bone, else with wires in three of ten."""
    if covers:
        xrays = xrays_with(rng, covers, len(cameras))
    else:
        metal = random_wires(rng) if rng.random() < 0.3 else ()
        xrays = [SimulatedXRay(metal=metal)] * len(cameras)
    images = take(projector, cameras, xrays, pose, rng)
    for put in overlays_with(rng, covers):
        images = [put(image, camera) for image, camera in zip(images, cameras, strict=True)]
    return images


def accepted(rows: list[dict]) -> str:
    """Return a table of the accepted 3D positions, by kind."""
    lines = []
    for (kind,), own in grouped(rows, lambda row: (row["kind"],)):
        wrong, right = by_error(own, "mtre_mm")
        lines.append((kind, len(own), len(wrong), accepts(wrong), accepts(right)))
    head = ("kind", "cases", "over 2 mm off", "of these accepted", "others accepted")
    return table(head, lines)


def by_error(rows: list[dict], key: str) -> tuple[list[dict], list[dict]]:
    """Those whose error is larger, and the others."""
    wrong = [row for row in rows if row[key] > WRONG_MM]
    return wrong, [row for row in rows if row[key] <= WRONG_MM]


def accepts(rows: list[dict], use: Use = "position") -> int:
    """Return the number of rows that are accepted for a use."""
    return sum(row["uses"][use]["verdict"] == "accept" for row in rows)


def by_use(rows: list[dict]) -> str:
    """Return a table of the accepted poses by use, kind and cameras, with targets and without."""
    lines = []
    errors: dict[Use, str] = {"overlay": "appears_mm", "position": "mtre_mm"}
    for (kind, known), of_kind in grouped(rows, lambda row: (row["kind"], row["cameras"])):
        groups = [
            ("targets", of_kind),
            ("bone", [row["all_bone"] for row in of_kind]),
            ("stayed", [row["stayed"] for row in of_kind if row.get("stayed")]),
        ]
        for points, own in groups:
            for use, error in errors.items():
                wrong, right = by_error(own, error)
                counts = len(right), accepts(right, use), len(wrong), accepts(wrong, use)
                lines.append((kind, known, points, use, *counts))
    head = ("kind", "cameras", "of", "use", "right", "accepted", "wrong", "accepted")
    return table(head, lines)


def tables(rows: list[dict]) -> str:
    """What was accepted."""
    known = [row for row in rows if row.get("all_bone")]
    return "\n\n".join([accepted(rows), *([by_use(known)] if known else [])])


STUDY = Study(
    __doc__,
    row,
    tables,
    arguments={
        "covered": "something hides bone in each case",
        "pieces": "kinds are PIECES",
        "inside": "kinds are INSIDE",
        "half": "kinds are HALF, with further targets in bone that stayed",
        "rigid": "no body changes",
        "machines": "X-rays are of any machine",
        "readings": "of usual X-rays, cameras are readings of a C-arm",
        "calibrated": "of usual X-rays, cameras are calibrated",
        "one-view": "each body has one X-ray",
        "unstated": "of cameras of which nothing is said",
    },
)
