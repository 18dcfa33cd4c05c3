"""How well the regressor does.

python -m benchmarks regressor CASES --rows build/regressor.jsonl [--page docs/tables/regressor.md] [--only poses ...]

Trains what it needs, and registers the first CASES of each set that make_pose_set.py wrote:

    poses     after so many minutes of training, on plain and on hard X-rays: the pose of both views and of each alone, and after refinement
    starts    search, regressor and both ("auto") side by side on the same X-rays, and which kinds of X-rays make each fail
    one-view  networks that were trained on one view, and see one
    wrist     real radiographs of a radius, from 30 degrees and 30 mm off

Models are kept in --models: what is there already is not made again. Some hours on 2 cores for 100
cases. `3 --scale 0.05` tries it all out in minutes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.initialise import predict_poses
from MultiViewRegistrationLib.regressor.model import RegressorModel, load_model
from MultiViewRegistrationLib.regressor.model_store import CARD, NEAR_MM, Card
from MultiViewRegistrationLib.studies.evaluation import truth_of
from MultiViewRegistrationLib.studies.statistics import (
    grouped,
    median,
    percent,
    perturbed,
    success_rate,
    table,
    table_of,
)
from MultiViewRegistrationLib.training import train

from . import ROOT
from .make_pose_set import HARD
from .study import Options, Study

ANATOMIES = ("chest", "pelvis")
STARTS = ("search", "regressor", "auto")
#: Minutes of training of the parts but `poses`, for plain and for hard X-rays.
MINUTES = {"plain": 2.0, "hard": 10.0}
ONE_VIEW_MINUTES, WRIST_MINUTES = 4.0, 10.0
OFF_DEG, OFF_MM = 30.0, 30.0


@lru_cache(maxsize=len(ANATOMIES))
def first_of(folder: Path, anatomy: str) -> tuple[Case, PreparedCT]:
    """The first case of an anatomy, and its CT made ready."""
    case = case_of(folder, anatomy, "plain", 0)
    return case, PreparedCT(case.ct)


def case_of(
    folder: Path, anatomy: str, kind: str, number: int, view: int = 0, last: Case | None = None
) -> Case:
    """A case of make_pose_set.py, with one view alone where that, from 1 on, is asked.

    InputError where it is not there.
    """
    path = next(folder.glob(f"{anatomy}-{kind}*-{number:03d}/case.json"), None)
    if path is None:
        raise InputError(
            f"{folder}: found no {kind} {anatomy} {number}, expected those of make_pose_set.py; "
            "run it first."
        )
    case = Case.load(path, last)
    return replace(case, views=[case.views[view - 1]]) if view else case


def trained(options: Options, name: str, case: Case, minutes: float) -> RegressorModel:
    """A model, trained first, or on, unless it is there."""
    minutes *= options.scale
    folder = options.models / f"{name}-{minutes:g}min"
    begun = (folder / CARD).exists()
    if begun and Card.read(folder).finished:
        return load_model(folder)
    return train(case, folder, minutes=minutes, device=options.device, resume=begun)


def row(options: Options, *key: Any) -> dict:
    """One instant of the wrist, or one case."""
    return of_wrist(options, key[1]) if key[0] == "wrist" else of_case(options, *key)


def of_case(
    options: Options, view: int, kind: str, anatomy: str, minutes: float, start: str, number: int
) -> dict:
    """One case, by a network, and registered from it or by a search."""
    first, prepared = first_of(options.poses, anatomy)
    case = case_of(options.poses, anatomy, kind, number, view, first)
    about = {
        "view": view,
        "X-rays": kind,
        "hard by": HARD[number % len(HARD)] if kind == "hard" else "",
        "CT": anatomy,
        "minutes": minutes * options.scale,
        "start": start,
    }
    about |= {"ms": np.nan, "mtre_mm": [np.nan]}
    model = None
    if start != "search":
        alone = case_of(options.poses, anatomy, "plain", 0, view, first)
        name = f"{anatomy}-{f'view{view}' if view else 'both'}"
        model = trained(options, name, alone, minutes)
        began = perf_counter()
        best = [predict_poses(model, prepared, case.views, case.world_from_ct)[0]]
        about["ms"] = 1000 * (perf_counter() - began)
        best += [
            predict_poses(model, prepared, [each], case.world_from_ct)[0]
            for each in ([] if view else case.views)
        ]
        about["mtre_mm"] = [mtre(each.world_from_ct, *truth_of(case)) for each in best]
    try:
        result = register(case, start=start, anatomy=prepared, model=model)
    except InputError as error:
        return about | {"end_mm": None, "seconds": None, "taken": str(error)}
    return about | {
        "end_mm": mtre(result.world_from_ct, *truth_of(case)),
        "seconds": result.seconds["initialise"] + result.seconds["refine"],
        "taken": result.regressor.selected_start if result.regressor else start,
    }


def of_wrist(options: Options, name: str) -> dict:
    """Where each way leads from far off, mm and degrees from the pose which the refinement reaches from the given start."""
    case = Case.load(options.data / "wrist" / f"{name}.json")
    prepared = PreparedCT(case.ct)
    reference = register(case, start="given", anatomy=prepared).world_from_ct
    seed = int(name.split("_")[-1])  # another direction for each instant
    start = perturbed(reference, case.ct.centroid(), OFF_DEG, OFF_MM, 1, seed)[0]
    search = {"rotation_deg": OFF_DEG + 1, "translation_mm": OFF_MM + 1}
    case = replace(case, world_from_ct=start, search=search, training={})
    model = trained(options, case.name, case, WRIST_MINUTES)

    def off(pose: np.ndarray) -> list[float]:
        centres = (rigid.transform_points(each, case.ct.centroid()) for each in (pose, reference))
        mm = float(np.linalg.norm(np.subtract(*centres)))
        return [mm, float(np.degrees(rigid.rotation_distance(pose, reference)))]

    ends = {"regressor alone": off(model.candidates(case.views, start)[0].world_from_ct)}
    for way in STARTS:
        given = None if way == "search" else model
        try:
            ends[way] = off(register(case, start=way, anatomy=prepared, model=given).world_from_ct)
        except InputError:  # it leads nowhere
            ends[way] = [np.nan, np.nan]
    return {"view": "wrist", "case": name, "ends": ends}


def keys(options: Options) -> Iterable[tuple]:
    """What the parts need; some need the same."""
    warnings.simplefilter("ignore")
    numbers = range(options.cases)
    for kind in MINUTES:
        for anatomy in ANATOMIES:
            ways = [(minutes, "regressor") for minutes in options.minutes]
            ways = ways if "poses" in options.only else []
            if "starts" in options.only:
                ways += [(MINUTES[kind], start) for start in STARTS]
            for minutes, start in dict.fromkeys(ways):
                yield from ((0, kind, anatomy, minutes, start, number) for number in numbers)
    for anatomy in ANATOMIES if "one-view" in options.only else ():
        for view in (1, 2):
            way = view, "plain", anatomy, ONE_VIEW_MINUTES, "regressor"
            yield from ((*way, number) for number in numbers)
    if "wrist" in options.only:
        for path in sorted((options.data / "wrist").glob("radius_*.json")):
            yield "wrist", path.stem


Rows = list[dict]


def ends(rows: Rows) -> np.ndarray:
    """(n,) final mTRE in mm, infinite without an answer."""
    return np.array([np.inf if row["end_mm"] is None else row["end_mm"] for row in rows])


def networks(which: int) -> Callable[[Rows], str]:
    """Errors of the networks' poses, median, 95 % and worst mm: of all views (0), or of one."""

    def told(rows: Rows) -> str:
        errors = [row["mtre_mm"][which] for row in rows if which < len(row["mtre_mm"])]
        if not np.isfinite(errors).any():
            return ""
        return " / ".join(f"{mm:.1f}" for mm in np.percentile(errors, (50, 95, 100)))

    return told


def near(errors: Sequence[float] | np.ndarray) -> str:
    known = np.asarray(errors)[~np.isnan(errors)]
    return f"{100 * np.mean(known < NEAR_MM):.1f}" if known.size else ""


def times(rows: Rows) -> str:
    found = np.array([row["seconds"] for row in rows], float)
    return f"{np.nanmedian(found):.2f} ({np.nanpercentile(found, 95):.2f})"


COLUMNS: dict[str, Callable[[Rows], object]] = {
    "network: median / 95 % / worst mm": networks(0),
    "view 1": networks(1),
    "view 2": networks(2),
    f"within {NEAR_MM:g} mm, %": lambda rows: near([row["mtre_mm"][0] for row in rows]),
    "ms": lambda rows: median([row["ms"] for row in rows if row["start"] != "search"], 0),
    "refined: under 1 mm, %": lambda rows: percent(success_rate(ends(rows))),
    "median mm": lambda rows: f"{np.median(ends(rows)):.3f}",
    f"refined: within {NEAR_MM:g} mm, %": lambda rows: near(ends(rows)),
    "s": times,
    "cases": len,
}


def by(rows: Rows, keys: tuple[str, ...], columns: Mapping[str, Callable[[Rows], object]]) -> str:
    """A table with a row for each group of rows with the same values."""
    groups = grouped(rows, lambda row: tuple(row[key] for key in keys))
    return table_of(groups, keys, dict(columns))


def tables(every: Rows) -> dict[str, str]:
    """Of each part that has rows."""
    wrist = [row for row in every if row["view"] == "wrist"]
    parts = {}
    for part, views in {"poses": (0,), "one-view": (1, 2)}.items():
        rows = [row for row in every if row["view"] in views]
        if rows:
            keys = ("CT", "X-rays", "view", "minutes", "start")
            parts[part] = by(rows, keys, COLUMNS)
    if parts:
        missed = {"missed": lambda rows: f"{np.sum(~(ends(rows) < 1))} of {len(rows)}"}
        rows = [row for row in every if row["view"] == 0]
        parts["starts"] = by(rows, ("CT", "hard by", "start", "minutes"), missed)
    if wrist:
        ways = list(wrist[0]["ends"])
        lines = [
            (row["case"], *("{:.2f} mm, {:.2f}°".format(*row["ends"][way]) for way in ways))
            for row in wrist
        ]
        parts["wrist"] = table(("case", *ways), lines)
    return parts


PARTS = ("poses", "starts", "one-view", "wrist")
STUDY = Study(
    __doc__,
    row,
    tables,
    keys,
    {
        "only": {"nargs": "+", "choices": PARTS, "default": PARTS},
        "poses": {"type": Path, "default": ROOT / "build" / "poses", "help": "the cases"},
        "models": {"type": Path, "default": ROOT / "build" / "models"},
        "minutes": {
            "type": float,
            "nargs": "+",
            "default": [1.0, 2.0, 4.0, 10.0],
            "help": "of training, in the part poses",
        },
        "scale": {"type": float, "default": 1.0, "help": "of all minutes"},
        "device": {
            "default": "cpu",
            "help": "as for mvreg train; with --models, --rows of its own",
        },
    },
)
