#!/usr/bin/env python
"""How well the regressor does: python regressor.py [--only poses starts one-view wrist] [--cases build/poses] [--page docs/regressor.md]
[--device cuda]

Trains what it needs, measures, and writes a table for each part into the page, between its marks:

    poses     after so many minutes of training, on plain and on hard X-rays: the pose of both views and of each alone, and after refinement
    starts    search, regressor and both ("auto") side by side on the same X-rays, and which kinds of X-rays make each fail
    one-view  networks that were trained on one view, and see one
    wrist     real radiographs of a radius, from 30 degrees and 30 mm off

The cases are those of make_pose_set.py. Models are kept in --models, measurements in --rows: what is there already is not made again.
Some hours on 2 cores. --scale 0.05 --limit 3 tries it all out in minutes.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
import pose_cases  # noqa: E402
import regressor_rows  # noqa: E402
import wrist_cases  # noqa: E402
from marked_page import put  # noqa: E402
from pose_cases import PoseCase, counted, identity  # noqa: E402
from rows import Rows  # noqa: E402

from MultiViewRegistrationLib import __version__  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.io.case import Case  # noqa: E402
from MultiViewRegistrationLib.regressor.model import RegressorModel  # noqa: E402
from MultiViewRegistrationLib.regressor.model_store import NEAR_MM  # noqa: E402
from MultiViewRegistrationLib.rendering.threads import available_threads  # noqa: E402
from MultiViewRegistrationLib.studies.statistics import success_rate  # noqa: E402
from MultiViewRegistrationLib.studies.tables import table  # noqa: E402

STARTS = ("search", "regressor", "auto")
PLAIN_MINUTES, HARD_MINUTES, ONE_VIEW_MINUTES, WRIST_MINUTES = 2.0, 10.0, 4.0, 10.0


@dataclass(frozen=True)
class Bench:
    """Where things are, and how much is done of them.   scale: of all minutes.   limit: cases of each set, None for all.
    device: where the networks are trained.
    """

    cases: Path
    models: Path
    rows: Rows
    minutes: Sequence[float]
    scale: float
    limit: int | None
    device: str

    def sets(self, hard: bool) -> list[PoseCase]:
        return pose_cases.pose_cases(self.cases, hard=hard, limit=self.limit)

    def model(self, anatomy: str, minutes: float, view: int | None = None) -> RegressorModel:
        """Of the geometry that all cases of the anatomy have; of one view alone if that is said."""
        case = _seen(next(one for one in self.sets(hard=False) if one.anatomy == anatomy), view)
        minutes *= self.scale
        views = "both" if view is None else f"view{view + 1}"
        return pose_cases.trained(
            case, self.models / f"{anatomy}-{views}-{minutes:g}min", minutes=minutes, device=self.device
        )

    def poses(self, model: RegressorModel, cases: Sequence[PoseCase], view: int | None = None) -> list[dict]:
        """What a model makes of the X-rays of each case; of one view if that is said."""
        key = "poses", identity(model)
        return [
            self.rows.get(*key, one.name, measure=lambda one=one: regressor_rows.poses(model, _seen(one, view)))
            for one in counted(cases, f"poses by {model.folder.name}")
        ]

    def registrations(
        self, start: str, model: RegressorModel | None, cases: Sequence[PoseCase], view: int | None = None
    ) -> list[dict]:
        """Where a start leads in each case, or in one view of it; a search needs no model."""
        key = "register", start, identity(model) if model else "-"
        return [
            self.rows.get(
                *key, one.name, measure=lambda one=one: regressor_rows.registration(start, model, _seen(one, view))
            )
            for one in counted(cases, " ".join(key))
        ]


def _seen(one: PoseCase, view: int | None) -> Case:
    """The case; with one of its views if that is said."""
    case = one.load()
    return case if view is None else replace(case, views=[case.views[view]])


def poses(bench: Bench) -> str:
    """What training brings, minute by minute."""
    lines = []
    for hard in (False, True):
        cases = bench.sets(hard)
        for anatomy in pose_cases.anatomies(cases):
            mine = [case for case in cases if case.anatomy == anatomy]
            for minutes in bench.minutes:
                model = bench.model(anatomy, minutes)
                found = bench.poses(model, mine)
                refined = success_rate(regressor_rows.final_errors(bench.registrations("regressor", model, mine)))
                errors = np.array([row["mtre_mm"] for row in found])
                lines.append(
                    [
                        anatomy,
                        "hard" if hard else "plain",
                        f"{minutes * bench.scale:g}",
                        *map(spread, errors.T),
                        percent(errors[:, 0] < NEAR_MM),
                        f"{np.median([row['ms'] for row in found]):.0f}",
                        f"{100 * refined.rate:.1f}",
                        str(len(mine)),
                    ]
                )
    head = [
        "CT",
        "X-rays",
        "minutes",
        "both views: median / 95 % / worst mm",
        "view 1",
        "view 2",
        "both within 25 mm, %",
        "ms",
        "refined under 1 mm, %",
        "cases",
    ]
    return table(head, lines)


def starts(bench: Bench) -> str:
    """Three ways to start."""
    summary, kinds = [], {}
    for hard in (False, True):
        cases = bench.sets(hard)
        models = {
            name: bench.model(name, HARD_MINUTES if hard else PLAIN_MINUTES) for name in pose_cases.anatomies(cases)
        }
        for start in STARTS:
            for anatomy, model in models.items():
                mine = [case for case in cases if case.anatomy == anatomy]
                found = bench.registrations(start, None if start == "search" else model, mine)
                errors = regressor_rows.final_errors(found)
                rate, seconds = success_rate(errors), [row["seconds"] for row in found if row["seconds"] is not None]
                summary.append(
                    [
                        anatomy,
                        "hard" if hard else "plain",
                        start,
                        f"{100 * rate.rate:.1f} ({100 * rate.interval[0]:.1f} to {100 * rate.interval[1]:.1f})",
                        f"{np.median(errors):.3f}",
                        percent(errors < NEAR_MM),
                        f"{np.median(seconds):.2f} ({np.percentile(seconds, 95):.2f})" if seconds else "-",
                        str(len(mine)),
                    ]
                )
                for case, error in zip(mine, errors, strict=True):
                    kinds.setdefault((anatomy, case.kind), {}).setdefault(start, []).append(error < 1)
    head = ["CT", "X-rays", "start", "under 1 mm, %", "median mm", "within 25 mm, %", "s", "cases"]
    failed = [
        [anatomy, kind, str(len(by[STARTS[0]])), *(str(by[start].count(False)) for start in STARTS)]
        for (anatomy, kind), by in sorted(kinds.items())
    ]
    return "\n\n".join(
        [
            table(head, sorted(summary, key=lambda line: (line[1] == "hard", line[0]))),
            "Where each fails: how many cases of each kind end 1 mm or more off, or without an answer.",
            table(["CT", "kind", "cases", *STARTS], failed),
        ]
    )


def one_view(bench: Bench) -> str:
    """What one view tells."""
    lines, cases = [], bench.sets(hard=False)
    for anatomy in pose_cases.anatomies(cases):
        mine = [case for case in cases if case.anatomy == anatomy]
        for view in (0, 1):
            model = bench.model(anatomy, ONE_VIEW_MINUTES, view)
            found = bench.poses(model, mine, view)
            errors = np.array([row["mtre_mm"][0] for row in found])
            refined = regressor_rows.final_errors(bench.registrations("regressor", model, mine, view))
            lines.append(
                [
                    anatomy,
                    f"view {view + 1}",
                    f"{ONE_VIEW_MINUTES * bench.scale:g}",
                    spread(errors),
                    percent(errors < NEAR_MM),
                    f"{np.median([row['ms'] for row in found]):.0f}",
                    f"{np.median(refined):.2f}",
                    percent(refined < NEAR_MM),
                    str(len(mine)),
                ]
            )
    return table(
        [
            "CT",
            "X-ray",
            "minutes",
            "median / 95 % / worst mm",
            "within 25 mm, %",
            "ms",
            "refined: median mm",
            "within 25 mm, %",
            "cases",
        ],
        lines,
    )


def wrist(bench: Bench) -> str:
    """Real radiographs."""
    lines = []
    for path in wrist_cases.paths():
        off, minutes = wrist_cases.OffCase.of(path), WRIST_MINUTES * bench.scale
        model = pose_cases.trained(
            off.case, bench.models / f"{off.name}-{minutes:g}min", minutes=minutes, device=bench.device
        )
        row = bench.rows.get("wrist", identity(model), off.name, measure=partial(off.measure, model))
        cells = [
            "{:.2f} mm, {:.2f}°".format(*row[way]) if row[way] else "-"
            for way in ("predicted", "regressor", "auto", "search")
        ]
        lines.append([off.name, f"{minutes:g}", *cells])
    return table(["case", "minutes", "regressor alone", "refined from it", "auto", "search"], lines)


PARTS = {"poses": poses, "starts": starts, "one-view": one_view, "wrist": wrist}


def spread(errors: np.ndarray) -> str:
    return f"{np.median(errors):.1f} / {np.percentile(errors, 95):.1f} / {errors.max():.1f}"


def percent(holds: np.ndarray) -> str:
    return f"{100 * np.mean(holds):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "poses")
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "models")
    parser.add_argument("--rows", type=Path, default=ROOT / "build" / "regressor.jsonl")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "regressor.md")
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[1.0, 2.0, 4.0, 10.0], help="of training, in the part poses"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of all minutes")
    parser.add_argument("--limit", type=int, help="cases of each set")
    parser.add_argument(
        "--device",
        default="cpu",
        help="where the networks are trained, as for mvreg train; with --models, --rows, --page of its own",
    )
    args = parser.parse_args()

    bench = Bench(args.cases, args.models, Rows(args.rows), args.minutes, args.scale, args.limit, args.device)
    for name in args.only:
        written = (
            f"Written by `Testing/benchmarks/regressor.py`, {date.today().isoformat()}, version {__version__}, "
            f"{platform.machine()} with {available_threads()} threads, networks trained with --device {args.device}."
        )
        put(args.page, f"regressor {name}", f"{PARTS[name](bench)}\n\n{written}")
        print(f"{args.page}: {name}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"regressor.py: {error}")
