"""The cases that make_pose_set.py wrote, the models trained for them, and what is measured of both."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np

from MultiViewRegistrationLib.api import register, train
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.regressor.initialise import predict_poses
from MultiViewRegistrationLib.regressor.model import RegressorModel, load_model
from MultiViewRegistrationLib.regressor.model_store import CARD, Card
from MultiViewRegistrationLib.studies.evaluation import truth_of

from .kept import Rows

_LAST: dict[str, Case] = {}
_READY: dict[tuple, PreparedCT] = {}


@dataclass(frozen=True)
class PoseCase:
    """Where a case is, and what its folder's name says of it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def anatomy(self) -> str:
        return self.name.split("-")[0]

    @property
    def kind(self) -> str:
        """What makes it hard, "plain" if nothing does."""
        return self.name.split("-")[-2]

    @property
    def number(self) -> int:
        return int(self.name.split("-")[-1])

    def load(self, view: int | None = None) -> Case:
        """With the CT of the last case of this anatomy; with one of its views if that is said."""
        case = _LAST[self.anatomy] = Case.load(self.path, _LAST.get(self.anatomy))
        return case if view is None else replace(case, views=[case.views[view]])


def pose_cases(folder: Path, kind: str, limit: int | None = None) -> dict[str, list[PoseCase]]:
    """By their anatomies the "plain" cases or the "hard" ones, the first `limit` of each.

    InputError where there are none.
    """
    cases = [PoseCase(path.parent) for path in sorted(folder.glob(f"*-{kind}-*/case.json"))]
    if not cases:
        raise InputError(
            f"{folder}: found no {kind} cases, expected those of make_pose_set.py; run it first."
        )
    chosen = sorted(
        (case for case in cases if limit is None or case.number < limit),
        key=lambda case: case.number,
    )
    return {
        name: [each for each in chosen if each.anatomy == name]
        for name in sorted({each.anatomy for each in chosen})
    }


def ready(case: Case) -> PreparedCT:
    """The case's CT made ready for registration, once."""
    if case.anatomy_key not in _READY:
        _READY[case.anatomy_key] = PreparedCT(case.ct)
    return _READY[case.anatomy_key]


def trained(case: Case, folder: Path, **how) -> RegressorModel:
    """The model of a folder, trained first, or on, unless it is there. how: of `api.train`."""
    begun = (folder / CARD).exists()
    if begun and Card.read(folder).finished:
        return load_model(folder)
    start = monotonic()
    print(f"{folder.name}: training, {how['minutes']:g} minutes", file=sys.stderr, flush=True)
    model = train(case, folder, resume=begun, anatomy=ready(case), **how)
    spent = f"{model.card.done} steps, {monotonic() - start:.0f} s on {model.card.device}"
    print(
        f"{folder.name}: {spent}, {model.card.error_mm} mm {model.card.fault}",
        file=sys.stderr,
        flush=True,
    )
    return model


def identity(model: RegressorModel) -> str:
    """Tells a model from one trained anew in the same folder."""
    return f"{name_of(model)}:{model.card.weights_sha256[:8]}"


def name_of(model: RegressorModel) -> str:
    """The name of the folder in which it is stored."""
    return model.folder.name if model.folder is not None else "a model that is not stored"


def counted(work: Sequence, what: str) -> Iterator:
    """The items of a list, told of as they come."""
    start = monotonic()
    for number, item in enumerate(work):
        if number and number % 20 == 0:
            print(
                f"{what}: {number} of {len(work)}, {monotonic() - start:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        yield item


def predicted(
    rows: Rows, model: RegressorModel, cases: Sequence[PoseCase], view: int | None = None
) -> list[dict]:
    """What a model makes of the X-rays of each case; of one view if that is said.

    mTRE in mm of all views together and of each alone, what the model expects of the former, and
    the milliseconds that took.
    """

    def measure(one: PoseCase) -> dict:
        case = one.load(view)
        start, anatomy = perf_counter(), ready(case)
        best = [predict_poses(model, anatomy, case.views, case.world_from_ct)[0]]
        ms = 1000 * (perf_counter() - start)
        if len(case.views) > 1:
            best += [
                predict_poses(model, anatomy, [each], case.world_from_ct)[0] for each in case.views
            ]
        errors = [mtre(each.world_from_ct, *truth_of(case)) for each in best]
        told = {"expected_mm": round(best[0].expected_mm(), 3), "ms": round(ms, 1)}
        return {"mtre_mm": [round(float(error), 4) for error in errors], **told}

    key = "poses", identity(model)
    return [
        rows.get(*key, one.name, measure=partial(measure, one))
        for one in counted(cases, f"poses by {name_of(model)}")
    ]


def registered(
    rows: Rows,
    start: str,
    model: RegressorModel | None,
    cases: Sequence[PoseCase],
    view: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) final mTRE in mm, infinite without an answer, and seconds, NaN then.

    A search needs no model.
    """

    def measure(one: PoseCase) -> dict:
        case = one.load(view)
        try:
            with warnings.catch_warnings(action="ignore"):
                result = register(case, start=start, anatomy=ready(case), model=model)
        except InputError as error:
            return {"mtre_mm": None, "seconds": None, "taken": str(error)}
        mm = mtre(result.world_from_ct, *truth_of(case))
        seconds = result.seconds["initialise"] + result.seconds["refine"]
        taken = result.regressor.selected_start if result.regressor else start
        return {"mtre_mm": round(mm, 4), "seconds": round(seconds, 3), "taken": taken}

    key = "register", start, identity(model) if model else "-"
    found = [
        rows.get(*key, one.name, measure=partial(measure, one))
        for one in counted(cases, " ".join(key))
    ]
    errors = [np.inf if row["mtre_mm"] is None else row["mtre_mm"] for row in found]
    return np.array(errors), np.array(
        [np.nan if row["seconds"] is None else row["seconds"] for row in found]
    )
