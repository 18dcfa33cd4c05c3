"""Registers simulated X-rays of many appearances, right and wrong, and fits what carries over.

    python -m benchmarks appearances SCENES --seed N --rows ROWS.jsonl

A scene is one of four people with two or three views; it is taken by a machine of each of
`machine.KINDS`, and each is registered from a start nearby, from a far one, with a fault, and with
another patient's CT, without a search. What the program says of them is counted; its model was
fitted to no such X-ray. Then CHANCE_FRACTION and CONCENTRATION of `assessment.votes` are fitted to
the wrong ones, and judged on each kind of machine and each person that they were not fitted to.
What must hold, fixed before: AUROC 0.97, and at most 5 % of the right rejected. An answer is right
below 1 mm and wrong above 2 mm; a right answer in spite of a fault is neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from MultiViewRegistrationLib.assessment.metrics import default_targets, mtre
from MultiViewRegistrationLib.assessment.records import WRONG_MM, Assessment
from MultiViewRegistrationLib.assessment.risk import model_inputs
from MultiViewRegistrationLib.assessment.verdict import assess
from MultiViewRegistrationLib.imaging.xray import CALIBRATED, View
from MultiViewRegistrationLib.registration.optimizer import DescentStart, Refinement
from MultiViewRegistrationLib.registration.pipeline import RegistrationPipeline
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.machine import KINDS
from MultiViewRegistrationLib.studies.statistics import SUCCESS_MM, grouped, perturbed, table_of

from .fit_risk import ACCEPT
from .people import BEYOND_MM, PEOPLE, drawn, patient_of, person
from .protocol.conditions import calibrated, flipped, turned
from .protocol.page import VERDICTS
from .simulation.appearance import random_appearance, random_things
from .simulation.body import Body, bone_points, middle
from .simulation.cases import named_views
from .simulation.projector import RtkProjector
from .simulation.simulator import PIXEL_MM
from .statistics import auroc
from .study import Options, Study

#: The head's real X-rays judge: nobody with a head is fitted to.
FITTED = tuple(name for name in PEOPLE if name != "phantom")
#: Angles between the first view and the others.
APART_DEG = (15.0, 90.0)
#: Farther than a tile is moved: nearer ones, as of a turned camera, may leave many tiles in place.
FAR_MM = 10.0
HOWS = ("right", "far", "fault", "stranger")


@lru_cache(maxsize=1)
def scene(seed: int, number: int, data: Path) -> tuple[str, list, np.ndarray, list[np.ndarray]]:
    """The person, cameras, pose, and what their rays cross."""
    rng = np.random.default_rng([seed, number])
    name = patient_of(number, FITTED)
    _, body = person(name, data)
    projector, bone = RtkProjector(Body.from_hu(body, BEYOND_MM)), bone_points(body)
    cameras, pose = drawn(rng, body, bone, int(rng.choice([2, 2, 3])), APART_DEG)
    return name, cameras, pose, [projector.project(camera, pose) for camera in cameras]


def without_search(anatomy: PreparedCT, views: list[View], start: np.ndarray) -> Refinement | None:
    """Where a start leads from level to level by itself: to the right place, or to a chance one."""
    registration = RegistrationPipeline(anatomy, views, start, lambda _: None, CALIBRATED)
    minima = registration.descend(0, [DescentStart(start)])
    return registration.refine_to_finest(registration.descend(1, minima)) if minima else None


def measured(
    rng: np.random.Generator,
    how: str,
    anatomy: PreparedCT,
    stranger: PreparedCT,
    views: list[View],
    pose: np.ndarray,
) -> dict:
    """One registration from a start by itself, and what of it carries over."""
    own = how != "stranger"
    used = anatomy if own else stranger
    if how == "fault":
        views = (turned if rng.random() < 0.6 else flipped)(rng, views)
    start = pose.copy()
    if not own:
        centre = pose[:3, :3] @ anatomy.centroid + pose[:3, 3]
        start[:3, 3] = centre - start[:3, :3] @ stranger.centroid
    reach = ((8, 30), (10, 50)) if how == "far" else ((0, 5), (0, 8))
    degrees, mm = (rng.uniform(*each) for each in reach)
    start = perturbed(start, used.centroid, degrees, mm, 1, rng)[0]
    found = without_search(used, views, start)
    if found is None:
        return {"failed": "nothing shown"}
    if not len(default_targets(used, views, found.world_from_ct)):
        return {"failed": "no bone in all fields"}
    row, assessment = assessed(used, views, found, start)
    if assessment.evidence is None:
        return {"failed": "nothing shown"}
    off = mtre(found.world_from_ct, pose, assessment.evidence.targets) if own else None
    return {"failed": None, "mtre_mm": off, **row}


def assessed(
    anatomy: PreparedCT, views: list[View], found: Refinement, start: np.ndarray
) -> tuple[dict, Assessment]:
    """Return the fields of a row about the assessment of a pose, and the assessment."""
    assessment = assess(anatomy, views, found, start)
    evidence = assessment.evidence
    row = {"verdict": assessment.verdict, "similarity": list(found.fit.similarity)}
    if evidence is None:
        return row, assessment
    in_place = evidence.features.in_place
    return {
        **row,
        "familiar": evidence.risk.is_familiar,
        "risk": evidence.risk.failure,
        "upper95_mm": evidence.risk.upper95_mm,
        "in_place": [float(share) if np.isfinite(share) else None for share in in_place],
        "features": model_inputs(evidence.features),
    }, assessment


@lru_cache(maxsize=1)
def taken_by(seed: int, number: int, group: str, data: Path) -> dict[str, dict]:
    """A scene taken by a machine of a group, registered from each kind of start."""
    name, cameras, pose, materials = scene(seed, number, data)
    ct, body = person(name, data)
    rng = np.random.default_rng([seed, number, list(KINDS).index(group)])
    appearance = random_appearance(rng, group)
    other = FITTED[(number + 1 + rng.integers(len(FITTED) - 1)) % len(FITTED)]
    stranger = PreparedCT(person(other, data)[0])
    things = random_things(np.random.default_rng([seed, number]), middle(body))
    anatomy = PreparedCT(appearance.ct(things.ct(ct)))
    pairs = zip(materials, cameras, strict=True)
    xrays = (appearance.xray(things.materials(*each, pose), PIXEL_MM, rng) for each in pairs)
    views = calibrated(rng, named_views(xrays, cameras))
    about = {"person": name, "group": group, "views": len(views), **asdict(appearance)}
    about |= about.pop("machine")._asdict()
    given = anatomy, stranger, views, pose
    return {how: {**about, "how": how, **measured(rng, how, *given)} for how in HOWS}


def keys(options: Options) -> Iterable[tuple]:
    """Each scene by each group and from each start."""
    for number, group, how in product(range(options.cases), KINDS, HOWS):
        yield options.seed, number, group.replace(" ", "-"), how


def row(options: Options, seed: int, number: int, group: str, how: str) -> dict:
    """One registration."""
    return taken_by(seed, number, group.replace("-", " "), options.data)[how]


def told(rows: list[dict]) -> list[dict]:
    """Those that are right, or wrong beyond doubt, of views that have enough votes."""
    rows = [row for row in rows if row["failed"] is None and None not in row["in_place"]]
    return list(filter(is_told, rows))


def whole_verdict(rows: list[dict]) -> str:
    """What the program says of those of each kind of machine, to none of which it was fitted, and of the wrong ones by what was wrong.

    AUROC is of the verdict, and of the risk within one.
    """
    rows = [row for row in rows if row["failed"] is None and "risk" in row]
    rows = sorted(filter(is_told, rows), key=lambda row: row["group"])
    groups = [*grouped(rows, lambda row: (row["group"],)), (("all",), rows)]
    for how in HOWS:
        own = [row for row in rows if _is_right(row) or row["how"] == how]
        groups.append(((f"all, {how}",), own))

    def count(belongs, verdict):
        return lambda group: sum(belongs(row) and row["verdict"] == verdict for row in group)

    def area(group):
        scores = [VERDICTS.index(row["verdict"]) + row["risk"] for row in group]
        return f"{auroc(scores, list(map(is_wrong, group))):.3f}"

    columns = {
        "right": lambda group: sum(map(_is_right, group)),
        "wrong": lambda group: sum(map(is_wrong, group)),
        "AUROC": area,
        "right rejected": count(_is_right, "reject"),
        "right accepted": count(_is_right, "accept"),
        "wrong accepted": count(is_wrong, "accept"),
        "wrong rejected": count(is_wrong, "reject"),
    }
    return table_of(groups, ("machine",), columns)


def is_wrong(row: dict, most_mm: float = WRONG_MM) -> bool:
    """Whether an answer is off by more; that of a stranger's CT always is."""
    return row["mtre_mm"] is None or row["mtre_mm"] > most_mm


def is_told(row: dict) -> bool:
    """Whether an answer is right, or wrong beyond doubt."""
    return is_wrong(row) or _is_right(row)


def _is_right(row):
    return row["how"] in ("right", "far") and row["mtre_mm"] < SUCCESS_MM


def fitted(rows: list[dict]) -> tuple[float, float]:
    """Mean and concentration of the beta distribution of the smallest shares at chance poses.

    By mean and variance; of answers that are wrong by more than a tile is moved.
    """
    shares = np.array([smallest(row) for row in rows if is_wrong(row, FAR_MM)])
    mean, variance = shares.mean(), shares.var()
    return float(mean), float(mean * (1 - mean) / variance - 1)


def smallest(row: dict) -> float:
    """The share of tiles in place, in the view where it is smallest."""
    return min(row["in_place"])


def risk(row: dict, mean: float, concentration: float) -> float:
    """Return the `votes.vote_risk` with these numbers."""
    share = np.clip(smallest(row), mean, 1 - 1e-9)
    chance = stats.beta.pdf(share, concentration * mean, concentration * (1 - mean))
    return float(chance / (1 + chance))


def judged(rows: list[dict], key: str) -> str:
    """How those of each value of a key are told by what was fitted to all others."""
    groups = []
    every: list[tuple[float, bool]] = []
    for value in sorted({row[key] for row in rows}):
        others = [row for row in rows if row[key] != value]
        if others:
            numbers = fitted(others)
            own = [(risk(row, *numbers), is_wrong(row)) for row in rows if row[key] == value]
            groups.append(((value,), own))
            every += own
    columns = {
        "right": lambda group: sum(not wrong for _, wrong in group),
        "wrong": lambda group: sum(wrong for _, wrong in group),
        "AUROC": lambda group: f"{auroc(*zip(*group, strict=True)):.3f}",
        "right above": lambda group: sum(each > ACCEPT and not wrong for each, wrong in group),
        "wrong below": lambda group: sum(each <= ACCEPT and wrong for each, wrong in group),
    }
    groups += [(("all",), every)] if every else []
    return table_of(groups, (f"{key}, left out",), columns)


def tables(every: list[dict]) -> str:
    """What the program says, and what carries over."""
    rows = told(every)
    numbers = "CHANCE_FRACTION, CONCENTRATION = {:.3f}, {:.1f}".format(*fitted(rows))
    left_out = (judged(rows, key) for key in ("group", "person"))
    return "\n\n".join([whole_verdict(every), numbers, *left_out])


STUDY = Study(__doc__, row, tables, keys)
