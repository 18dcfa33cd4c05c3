"""How well the regressor does.

python -m benchmarks regressor [--only poses starts ...] [--cases build/poses] [--device cuda]

Trains what it needs, measures, and writes a table for each part into docs/tables/regressor.md
(--page), between its marks:

    poses     after so many minutes of training, on plain and on hard X-rays: the pose of both views and of each alone, and after refinement
    starts    search, regressor and both ("auto") side by side on the same X-rays, and which kinds of X-rays make each fail
    one-view  networks that were trained on one view, and see one
    wrist     real radiographs of a radius, from 30 degrees and 30 mm off

The cases are those of make_pose_set.py. Models are kept in --models, measurements in --rows: what
is there already is not made again. Some hours on 2 cores. --scale 0.05 --limit 3 tries it all out
in minutes.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib import __version__
from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor.model import RegressorModel
from MultiViewRegistrationLib.regressor.model_store import NEAR_MM
from MultiViewRegistrationLib.rendering.devices import available_threads
from MultiViewRegistrationLib.studies.statistics import (
    percent,
    perturbed,
    success_rate,
    table,
)

from . import DATA, ROOT, parser_of
from .kept import Rows, put
from .pose_cases import PoseCase, identity, pose_cases, predicted, ready, registered, trained

STARTS = ("search", "regressor", "auto")
HARD_MINUTES, PLAIN_MINUTES, ONE_VIEW_MINUTES, WRIST_MINUTES = 10.0, 2.0, 4.0, 10.0
KINDS = ("plain", "hard")
WRIST = DATA / "wrist"
OFF_DEG, OFF_MM = 30.0, 30.0


@dataclass(frozen=True)
class Bench:
    """Where things are, and how much is done of them.

    Parameters
    ----------
    minutes : of training, in the part poses.   scale : of all minutes.
    limit : cases of each set, None for all.
    device : where the networks are trained.
    """

    cases: Path
    models: Path
    rows: Rows
    page: Path
    minutes: Sequence[float]
    scale: float
    limit: int | None
    device: str

    def sets(self, *kinds: str) -> list[tuple[str, str, list[PoseCase]]]:
        """Kind, anatomy and cases of each set."""
        return [
            (kind, *each)
            for kind in kinds
            for each in pose_cases(self.cases, kind, self.limit).items()
        ]

    def model(
        self, anatomy: str, minutes: float, name: str = "both", view: int | None = None, **how
    ) -> RegressorModel:
        """Of the geometry that all cases of the anatomy have; of one view alone if that is said."""
        case = pose_cases(self.cases, "plain")[anatomy][0].load(view)
        minutes *= self.scale
        return trained(
            case,
            self.models / f"{anatomy}-{name}-{minutes:g}min",
            minutes=minutes,
            device=self.device,
            **how,
        )


def poses(bench: Bench) -> str:
    """What training brings, minute by minute."""
    lines = []
    for kind, anatomy, cases in bench.sets(*KINDS):
        for minutes in bench.minutes:
            model = bench.model(anatomy, minutes)
            found = predicted(bench.rows, model, cases)
            errors = np.array([row["mtre_mm"] for row in found])
            refined, _ = registered(bench.rows, "regressor", model, cases)
            ms = f"{np.median([row['ms'] for row in found]):.0f}"
            about = (
                anatomy,
                kind,
                f"{minutes * bench.scale:g}",
                *map(spread, errors.T),
                near(errors[:, 0]),
                ms,
            )
            lines.append((*about, f"{100 * success_rate(refined).rate:.1f}", len(cases)))
    head = ["CT", "X-rays", "minutes", "both views: median / 95 % / worst mm", "view 1", "view 2"]
    return table([*head, "both within 25 mm, %", "ms", "refined: under 1 mm, %", "cases"], lines)


def starts(bench: Bench) -> str:
    """Search, regressor and both side by side."""
    summary: list[tuple] = []
    failed: dict[tuple, dict] = {}
    for kind, anatomy, cases in bench.sets(*KINDS):
        model = bench.model(anatomy, PLAIN_MINUTES if kind == "plain" else HARD_MINUTES)
        for start in STARTS:
            errors, seconds = registered(
                bench.rows, start, None if start == "search" else model, cases
            )
            times = f"{np.nanmedian(seconds):.2f} ({np.nanpercentile(seconds, 95):.2f})"
            share = percent(success_rate(errors))
            summary.append(
                (
                    anatomy,
                    kind,
                    start,
                    share,
                    f"{np.median(errors):.3f}",
                    near(errors),
                    times,
                    len(cases),
                )
            )
            for case, error in zip(cases, errors, strict=True):
                counts = failed.setdefault((anatomy, case.kind), {start: [] for start in STARTS})
                counts[start].append(not error < 1)
    head = ["CT", "X-rays", "start", "under 1 mm", "median mm", "within 25 mm, %", "s", "cases"]
    lines = [
        (*key, len(by[STARTS[0]]), *(sum(by[start]) for start in STARTS))
        for key, by in sorted(failed.items())
    ]
    return (
        table(head, summary)
        + "\n\nWhere each fails: how many cases of each kind end 1 mm or more off, or without an answer.\n\n"
        + table(["CT", "kind", "cases", *STARTS], lines)
    )


def one_view(bench: Bench) -> str:
    """What one view tells."""
    lines = []
    for _, anatomy, cases in bench.sets("plain"):
        for view in (0, 1):
            model = bench.model(anatomy, ONE_VIEW_MINUTES, f"view{view + 1}", view)
            found = predicted(bench.rows, model, cases, view)
            errors = np.array([row["mtre_mm"][0] for row in found])
            refined, _ = registered(bench.rows, "regressor", model, cases, view)
            ms = f"{np.median([row['ms'] for row in found]):.0f}"
            about = (
                anatomy,
                f"view {view + 1}",
                f"{ONE_VIEW_MINUTES * bench.scale:g}",
                spread(errors),
                near(errors),
            )
            lines.append((*about, ms, f"{np.median(refined):.2f}", near(refined), len(cases)))
    head = ["CT", "X-ray", "minutes", "median / 95 % / worst mm", "within 25 mm, %", "ms"]
    return table([*head, "refined: median mm", "within 25 mm, %", "cases"], lines)


def wrist(bench: Bench) -> str:
    """Real radiographs, from far off. Nobody knows their pose.

    That which the refinement reaches from the given start stands for it.
    """
    files = sorted(WRIST.glob("radius_*.json"))
    if not files:
        raise InputError(
            f"{WRIST}: found no radius_*.json, expected the real wrist; leave this part out "
            "(--only)."
        )
    lines = []
    for path in files:
        case, minutes = Case.load(path), WRIST_MINUTES * bench.scale
        reference = register(case, start="given", anatomy=ready(case)).world_from_ct
        seed = int(path.stem.split("_")[-1])  # another direction for each instant
        start = perturbed(reference, case.ct.centroid(), OFF_DEG, OFF_MM, 1, seed)[0]
        search = {"rotation_deg": OFF_DEG + 1, "translation_mm": OFF_MM + 1}
        case = replace(case, world_from_ct=start, search=search, training={})
        model = trained(
            case, bench.models / f"{case.name}-{minutes:g}min", minutes=minutes, device=bench.device
        )

        def measure(
            case: Case = case, model: RegressorModel = model, reference: np.ndarray = reference
        ) -> dict:
            ways: dict[str, np.ndarray | None] = {
                "predicted": model.candidates(case.views, case.world_from_ct)[0].world_from_ct
            }
            ways |= {way: _led(case, way, model) for way in ("regressor", "auto")} | {
                "search": _led(case, "search")
            }
            return {way: _off(case, pose, reference) for way, pose in ways.items()}

        row = bench.rows.get("wrist", identity(model), case.name, measure=measure)
        ways = ("predicted", "regressor", "auto", "search")
        cells = ["{:.2f} mm, {:.2f}°".format(*row[way]) if row[way] else "-" for way in ways]
        lines.append((case.name, f"{minutes:g}", *cells))
    return table(["case", "minutes", "regressor alone", "refined from it", "auto", "search"], lines)


def _led(case: Case, start: str, model: RegressorModel | None = None) -> np.ndarray | None:
    """Where a start leads; None where it leads nowhere."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return register(case, start=start, anatomy=ready(case), model=model).world_from_ct
    except InputError:
        return None


def _off(case: Case, pose: np.ndarray | None, reference: np.ndarray) -> list[float] | None:
    """mm and degrees from the reference."""
    if pose is None:
        return None
    moved = [rigid.transform_points(each, case.ct.centroid()) for each in (pose, reference)]
    degrees = float(np.degrees(rigid.rotation_distance(pose, reference)))
    return [round(float(np.linalg.norm(moved[0] - moved[1])), 4), round(degrees, 4)]


def spread(errors: np.ndarray) -> str:
    return f"{np.median(errors):.1f} / {np.percentile(errors, 95):.1f} / {errors.max():.1f}"


def near(errors: np.ndarray) -> str:
    return f"{100 * np.mean(errors < NEAR_MM):.1f}"


PARTS = {
    "poses": poses,
    "starts": starts,
    "one-view": one_view,
    "wrist": wrist,
}


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
    )
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "poses")
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "models")
    parser.add_argument("--rows", type=Path, default=ROOT / "build" / "regressor.jsonl")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "tables" / "regressor.md")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="+",
        default=[1.0, 2.0, 4.0, 10.0],
        help="of training, in the part poses",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of all minutes")
    parser.add_argument("--limit", type=int, help="cases of each set")
    parser.add_argument(
        "--device",
        default="cpu",
        help="as for mvreg train; with --models, --rows, --page of its own",
    )
    args = vars(parser.parse_args())
    only, bench = args.pop("only"), Bench(**{**args, "rows": Rows(args["rows"])})
    for name in only:
        written = (
            f"Written by `benchmarks/regressor.py`, {date.today().isoformat()}, version "
            f"{__version__}, {platform.machine()} with {available_threads()} threads, networks "
            f"trained with --device {bench.device}."
        )
        put(bench.page, f"regressor {name}", f"{PARTS[name](bench)}\n\n{written}")
        print(f"{bench.page}: {name}", flush=True)
    return 0
