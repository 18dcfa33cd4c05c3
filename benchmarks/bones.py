"""Bones of bodies that bend, each at its own pose.

python -m benchmarks bones CASES --seed N --rows ROWS.jsonl --images FOLDER [--leaking] [--readings] [--masked]

Each case is one of three people's CTs with labels: a run of vertebrae of a chest, vertebrae or
pelvis and femurs of a torso, a pelvis with two vertebrae. All bones move against their neighbours,
by up to 1.5 to 8 degrees and a millimetre for each two degrees, those too that are not registered.
Two to four X-rays by RTK, 40 to 100 degrees apart, half of them with one of the nuisances; masks
are eroded, dilated, one slice off or mirrored in a quarter; the CT begins a vertebra too high or
low in one of twelve. With --leaking one mask of each case takes the nearest 20 to 50 % of a
neighbour instead, whose own mask loses them (judged: seed 101). With --readings
masks are right and cameras as wrong as a C-arm's readings may be; rows tell each use's verdict
(judged: seeds 8101, and, since a bone may have a right overlay by one X-ray, 8102 and 8103).
With --masked the first bone of each case is the mask of the CT, and nothing says what it is (judged: seeds 9200 and 9300).
X-rays are kept in FOLDER, rows in ROWS.jsonl; what is there is not made again. `fit_risk.py` fits and judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from time import process_time
from types import SimpleNamespace

import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
)

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment import combine, verdict
from MultiViewRegistrationLib.assessment.bodies import BodyRegistration, BodyResult
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.assessment.records import Finding
from MultiViewRegistrationLib.assessment.together import register_together
from MultiViewRegistrationLib.errors import unseen
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body as OfCT
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.ct import Volume, load_ct, read_volume
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.datasets.chest import chest_labels
from MultiViewRegistrationLib.io.files import plain
from MultiViewRegistrationLib.registration.bone import ties_of
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.register_bones import correct_cameras
from MultiViewRegistrationLib.report.result import Result

from .people import BEYOND_MM, ct_path, patient_of
from .protocol.conditions import NUISANCES as OF_PROTOCOL
from .protocol.conditions import calibrated, readings
from .protocol.runs import appears_off_mm
from .simulation.body import Body, largest, without_couch
from .simulation.cases import kept_images, random_cameras, random_pose, take, unit, views_of
from .simulation.projector import MovedBones, RtkProjector
from .simulation.simulator import overlays_with, xrays_with
from .study import Options, Study

VERTEBRAE = "L5 L4 L3 L2 L1 T12 T11 T10 T9 T8 T7 T6 T5 T4 T3 T2 T1".split()
#: TotalSegmentator's numbers.
NAMES = {27 + n: name for n, name in enumerate(VERTEBRAE)} | {
    25: "sacrum",
    75: "left femur",
    76: "right femur",
    77: "left hip",
    78: "right hip",
}
#: Bones in groups, each in an order in which each one has a neighbour before it.
CHAINS = {
    "chest": [[30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41]],
    "torso": [[27, 28, 29, 30, 31, 32], [25, 77, 78, 75, 76]],
    "pelvis": [[25, 77, 78, 27, 28]],
}
#: Which neighbour a bone of a pelvis moves against.
AGAINST = {77: 25, 78: 25, 75: 77, 76: 78, 27: 25}
NUISANCES = OF_PROTOCOL[:-2]  # nothing else moves
MASKS = ("eroded", "dilated", "slice off", "mirrored")
MOST_REGISTERED, POINTS = 7, 400


@lru_cache
def person(name: str, data: Path) -> SimpleNamespace:
    """A CT, its labels and bones, and a projector of its body; both go on beyond the CT's ends as `longer`."""
    ct = load_ct(ct_path("pelvis 2 mm" if name == "pelvis" else name, data))
    if name == "chest":
        labels = read_volume(chest_labels(), "labels").values
    elif name == "torso":
        labels = read_volume(data / "labels/torso.nii.gz", "labels").values
    else:
        labels = pelvis_labels(ct.volume)
    labels = np.where(np.isin(labels, np.concatenate(CHAINS[name])), labels, 0).astype(np.uint8)
    body = ct.volume if name == "pelvis" else without_couch(ct.volume)
    axis, places = ct.volume.ct_from_index[:3, 2], find_objects(labels)
    # Both ends of the CT go on, and bones with them.
    room = round(BEYOND_MM / np.linalg.norm(axis))
    ends = (room, room), (0, 0), (0, 0)
    longer, longer_labels = (np.pad(each, ends, "edge") for each in (body.values, labels))
    start = ct.volume.ct_from_index.copy()
    start[:3, 3] -= room * axis
    points = {}
    for label, own in enumerate(places, start=1):
        if own is not None:
            index = np.argwhere(labels[own] == label)[:, ::-1] + [side.start for side in own[::-1]]
            points[label] = rigid.transform_points(ct.volume.ct_from_index, index.astype(float))
    projector = RtkProjector(Body.from_hu(body, BEYOND_MM))
    return SimpleNamespace(
        ct=ct,
        labels=labels,
        longer=Volume(longer, start),
        longer_labels=longer_labels,
        points=points,
        projector=projector,
        anatomy=PreparedCT(ct),
    )


def pelvis_labels(hu: Volume) -> np.ndarray:
    """Hip bones, sacrum and the two lowest vertebrae of the pelvis at 2 mm, divided by planes through their joints."""
    k, j, i = np.indices(hu.values.shape)
    bone = binary_closing(hu.values > 150, iterations=2)
    bone = np.stack([binary_fill_holes(each) for each in bone])
    bone = largest(bone)
    right, left = i < 87 + 0.15 * (j - 87), i > 146 - 0.1 * (j - 87)
    above_sacrum, above_fifth = k > 43 + 0.64 * (j - 85).clip(-15, 14), k > 62
    return np.select([~bone, right, left, above_fifth, above_sacrum], [0, 78, 77, 28, 27], 25)


def motions(
    rng: np.random.Generator, points: dict[int, np.ndarray], chain: Sequence[int], degrees: float
) -> dict:
    """(4, 4) of each bone, CT mm, by its label.

    Each has moved against its neighbour, one of them, in a pelvis the sacrum, not at all.
    """
    spine = 77 not in chain
    fixed = int(rng.integers(len(chain))) if spine else 0
    found = {chain[fixed]: np.eye(4)}
    for n in [*range(fixed + 1, len(chain)), *range(fixed - 1, -1, -1)]:
        label = chain[n]
        other = chain[n - 1 if n > fixed else n + 1] if spine else AGAINST.get(label, chain[n - 1])
        axis, way = (unit(each) for each in rng.normal(size=(2, 3)))
        turn = rigid.exp_so3(axis * np.radians(rng.uniform(0, degrees)))
        joint = (points[label].mean(axis=0) + points[other].mean(axis=0)) / 2
        if label in (75, 76):  # the ball of a femur
            high = points[label][:, 2]
            joint = points[label][high > np.percentile(high, 80)].mean(axis=0)
        step = rigid.from_rotation_translation(turn, way * rng.uniform(0, degrees / 2))
        found[label] = found[other] @ rigid.about(joint, step)
    return found


def draw(seed: int, number: int, data: Path) -> SimpleNamespace:
    """All of a case but its images."""
    rng, name = np.random.default_rng([seed, number]), patient_of(number, tuple(CHAINS))
    body = person(name, data)
    chains = CHAINS[name]
    chain = chains[int(rng.integers(len(chains)))]
    degrees = rng.uniform(1.5, 8)
    moved: dict[int, np.ndarray] = {}
    for each in chains:
        moved |= motions(rng, body.points, each, degrees)
    count = int(rng.integers(1, min(len(chain), MOST_REGISTERED) + 1))
    if 77 in chain:
        chosen = sorted(rng.choice(chain, count, replace=False).tolist(), key=chain.index)
    else:
        first = int(rng.integers(0, len(chain) - count + 1))
        chosen = chain[first : first + count]
    number_of_views = int(rng.choice([2, 2, 2, 3, 4]))
    apart = rng.uniform(40, 100)
    cameras = random_cameras(rng, number_of_views, (apart, apart))
    centre = np.mean([body.points[label].mean(axis=0) for label in chosen], axis=0)
    pose = random_pose(centre, rng)
    nuisances = [str(rng.choice(NUISANCES))] if rng.random() < 0.5 else []
    mask = str(rng.choice(MASKS)) if rng.random() < 0.25 else ""
    turn = rigid.exp_so3(unit(rng.normal(size=3)) * np.radians(10))
    step = rigid.from_rotation_translation(turn, 15 * unit(rng.normal(size=3)))
    start = rigid.about(rigid.transform_points(pose, centre), step) @ pose
    level = int(rng.choice([-1, 1])) if rng.random() < 1 / 12 and 77 not in chain else 0
    if level:
        lowest, highest = (body.points[chain[n]].mean(axis=0) for n in (0, -1))
        step = level * (highest - lowest) / (len(chain) - 1)
        start = pose.copy()
        start[:3, 3] += pose[:3, :3] @ step + rng.normal(0, 2, 3)
    return SimpleNamespace(
        **{key: value for key, value in locals().items() if key not in ("each", "turn", "step")}
    )


def images_of(case: SimpleNamespace, kept: Path) -> list[np.ndarray]:
    """The case's X-rays, uint16, from the file `kept` if it is there."""

    def make():
        rng = np.random.default_rng([case.seed, case.number, 1])
        body = case.body
        bent = MovedBones(body.projector, body.longer, body.longer_labels, case.moved)
        overlays = overlays_with(rng, case.nuisances)
        xrays = xrays_with(rng, case.nuisances, len(case.cameras))
        return take(bent, case.cameras, xrays, case.pose, rng, overlays)

    return kept_images(kept, make)


def given_labels(case: SimpleNamespace) -> np.ndarray:
    """The labels that are registered, 1 to N on the CT's grid, with their faults."""
    known = case.body.labels
    given = np.zeros_like(known)
    for n, label in enumerate(case.chosen, start=1):
        mask = known == label
        if case.mask in ("eroded", "dilated"):
            change = binary_erosion if case.mask == "eroded" else binary_dilation
            mask = change(mask, _cross(case.body.ct.volume))
        elif case.mask == "slice off":
            mask = np.roll(mask, 1, axis=0)
            mask[0] = False
        elif case.mask == "mirrored":
            middle = round(float(np.mean(np.nonzero(known)[2])) * 2)
            mirrored = np.zeros_like(mask)
            i = np.arange(mask.shape[2])
            inside = (middle - i >= 0) & (middle - i < mask.shape[2])
            mirrored[:, :, i[inside]] = mask[:, :, middle - i[inside]]
            mask = mirrored
        given[mask] = n
    if case.mask == "leaking":
        _leak(case, given)
    return given


def _leak(case, given):
    """Give one bone the voxels of a neighbour that are nearest to it."""
    rng = np.random.default_rng([case.seed, case.number, 3])
    n = int(rng.integers(len(case.chosen)))
    label = case.chosen[n]
    distances = distance_transform_edt(
        case.body.labels != label, sampling=case.body.ct.volume.spacing_mm[::-1]
    )
    others = [other for other in case.chain if other != label]
    nearest = min(others, key=lambda other: distances[case.body.labels == other].mean())
    neighbour = case.body.labels == nearest
    reach = np.quantile(distances[neighbour], rng.uniform(0.2, 0.5))
    given[neighbour & (distances <= reach)] = n + 1


def _cross(hu):
    """What a mask grows or shrinks by: some 2 mm across, a voxel where these are larger."""
    steps = np.maximum(np.round(2 / hu.spacing_mm[::-1]), 1).astype(int)
    return np.ones(2 * np.minimum(steps, 3) + 1, bool)


def truth_of(
    case: SimpleNamespace, given: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Where the bone is that a mask holds most of.

    Its pose (4, 4), points (N, 3) of it, and what share of the mask's bone it is.
    """
    within = (given == n) & (case.body.ct.volume.values > 150)
    counts = np.bincount(case.body.labels[within], minlength=256)
    share = counts[1:].max() / max(counts.sum(), 1)
    label = int(1 + counts[1:].argmax())
    points = case.body.points.get(label, case.body.points[case.chosen[n - 1]])
    true = case.pose @ case.moved.get(label, np.eye(4))
    return true, points[:: max(1, len(points) // POINTS)], float(share)


def rows_of(
    case: SimpleNamespace, views: list[View], given: np.ndarray, there: list[int]
) -> dict[str, list[dict]]:
    """The case registered: a row for each bone that a view shows, and for each pair of neighbours."""
    labels = np.searchsorted([0, *there], given).astype(given.dtype)
    structures = Structures(tuple(NAMES[case.chosen[n - 1]] for n in there), labels)
    anatomy = case.body.anatomy
    whole = refine(anatomy, views, case.start)
    whole, begun = correct_cameras(anatomy, structures, views, CALIBRATED, whole)
    assessment = verdict.assess(anatomy, views, whole, case.start)
    began = process_time()
    body = OfCT(case.body.ct, bones=structures)
    registration = BodyRegistration(body, anatomy, whole.world_from_ct, assessment)
    found = register_together([registration], whole.views, poses=begun)
    more = {
        "bones": len(there),
        "apart_deg": float(case.apart),
        "degrees": float(case.degrees),
        "seconds": process_time() - began,
        "body": combine.with_bones(assessment, found).verdict,
    }
    rows = []
    known = {}
    for n, bone in zip(there, found.bodies, strict=True):
        if bone.features is None or not np.isfinite(bone.features.noise_mm):
            continue
        true, points, _ = truth_of(case, given, n)
        known[bone.name] = bone, true
        own = {
            "before_mm": mtre(whole.world_from_ct, true, points),
            "features": asdict(bone.features),
        }
        findings = bone.assessment.findings if bone.assessment else ()
        rows.append(_row(case, bone, findings, whole.views, given, n) | more | own)
    shown = [each for each in found.motions if {each.name, each.against} <= known.keys()]
    return {"bones": rows, "pairs": [_pair(each, known) for each in shown]}


def _pair(motion, known):
    """A row of two neighbours: how far their motion is off, and what is said of it."""
    (one, true), (other, true_other) = (known[each] for each in (motion.against, motion.name))
    found = rigid.inverse(one.world_from_ct) @ other.world_from_ct
    assert one.bone and other.bone
    (tie,) = ties_of([one.bone, other.bone])
    mm, degrees = rigid.pose_difference(found, rigid.inverse(true) @ true_other, tie.joint)
    return {"off_mm": mm, "off_deg": degrees, **plain(motion.to_json())}


def masked_row(case: SimpleNamespace, views: list[View], given: np.ndarray) -> dict:
    """The row of the first bone, registered as the mask of the CT."""
    body = OfCT(replace(case.body.ct, mask=given == 1), world_from_ct=case.start)
    found = register(Case((body,), views=views), "given", unseen)
    row = _row(case, found, found.findings, found.views, given, 1)
    return row | {"seconds": found.seconds["total"]}


def _row(
    case: SimpleNamespace,
    found: BodyResult | Result,
    findings: Sequence[Finding],
    views: list[View],
    given: np.ndarray,
    n: int,
) -> dict:
    """Return the row of a bone."""
    true, points, share = truth_of(case, given, n)
    here, there = (rigid.transform_points(pose, points) for pose in (found.world_from_ct, true))
    return {
        "seed": case.seed,
        "case": case.number,
        "person": case.name,
        "bone": NAMES[case.chosen[n - 1]],
        "views": len(case.cameras),
        "nuisances": case.nuisances,
        "mask": case.mask,
        "level": case.level,
        "share": share,
        "mm": mtre(found.world_from_ct, true, points),
        "overlay_mm": appears_off_mm(views, case.cameras, here, there),
        "uses": {use: each._asdict() for use, each in found.uses.items()},
        "verdict": found.verdict,
        "codes": [finding.code for finding in findings],
    }


def row(options: Options, seed: int, number: int) -> dict:
    """Rows for the bones of a case."""
    case = draw(seed, number, options.data)
    case.mask = "leaking" if options.leaking else "" if options.readings else case.mask
    images = images_of(case, options.images / f"{seed}-{number:04d}.npz")
    views, given = views_of(images, case.cameras), given_labels(case)
    there = [n for n in range(1, len(case.chosen) + 1) if (given == n).any()]
    if options.masked:
        return {"bones": [masked_row(case, views, given)] if 1 in there else []}
    as_known = readings if options.readings else calibrated
    views = as_known(np.random.default_rng([seed, number, 2]), views)
    return rows_of(case, views, given, there)


STUDY = Study(
    __doc__,
    row,
    lambda rows: f"{len(rows)} cases; see fit_risk",
    arguments={
        "leaking": "one mask of each case takes a part of a neighbour",
        "readings": "cameras are a C-arm's readings, masks are right",
        "masked": "one bone of each case is the mask of the CT",
    },
)
