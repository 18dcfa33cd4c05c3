"""How well the regressor does.

python -m benchmarks regressor [--only poses starts ...] [--cases build/poses] [--device cuda]

Trains what it needs, measures, and writes a table for each part into docs/tables/regressor.md
(--page), between its marks:

    poses     after so many minutes of training, on plain and on hard X-rays: the pose of both views and of each alone, and after refinement
    starts    search, regressor and both ("auto") side by side on the same X-rays, and which kinds of X-rays make each fail
    one-view  networks that were trained on one view, and see one
    wrist     real radiographs of a radius, from 30 degrees and 30 mm off
    ablation  the papers' network with their losses for each view alone, with either cross-view term beside them, with both, and with the
              likelihood of its own uncertainty; and the network that votes. Each as often as there
              are --seeds, in equal time; the numbers of each training beside the page as JSON
    published the papers' method with their regression head as published, against the default, as
    often and on three CTs: in equal processor
              time, with MVREG_THREADS=1; its cases are the plain ones of make_pose_set.py
              --anatomies chest pelvis torso

The cases are those of make_pose_set.py. Models are kept in --models, measurements in --rows: what
is there already is not made again. Some hours on 2 cores. --scale 0.05 --limit 3 tries it all out
in minutes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from time import monotonic, process_time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from MultiViewRegistrationLib import __version__
from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.regressor import training
from MultiViewRegistrationLib.regressor.model import RegressorModel
from MultiViewRegistrationLib.regressor.model_store import NEAR_MM
from MultiViewRegistrationLib.rendering.devices import available_threads
from MultiViewRegistrationLib.studies.statistics import (
    grouped,
    percent,
    perturbed,
    success_rate,
    table,
)

from . import DATA, ROOT, pose_network  # noqa: F401  # for the networks and losses that it names
from .kept import Rows, put
from .pose_cases import PoseCase, identity, pose_cases, predicted, ready, registered, trained
from .truth import mtre_of

STARTS = ("search", "regressor", "auto")
HARD_MINUTES, PLAIN_MINUTES, ONE_VIEW_MINUTES, WRIST_MINUTES, ABLATION_MINUTES = (
    10.0,
    2.0,
    4.0,
    10.0,
    4.0,
)
KINDS = ("plain", "hard")
#: Of the ablation: network, loss, and the name in the table; the others are compared with the
#: first.
VARIANTS = (
    ("pose", "diffpose", "pose + image (DiffPose)"),
    ("pose", "diffpose+cross-pose", "and cross-view pose"),
    ("pose", "diffpose+cross-image", "and cross-view image"),
    ("pose", "cui2025", "and both (Cui et al. 2025)"),
    ("pose", "likelihood", "likelihood instead"),
    ("voting", "likelihood", "voting network, likelihood"),
)
#: Of the part published, as VARIANTS; the third tells the head's share.
PUBLISHED = (
    ("voting", "likelihood", "the default"),
    ("published", "cui2025", "the papers', whole"),
    ("pose", "cui2025", "the papers' losses, our head"),
)
PUBLISHED_MINUTES = 1.5
SEEN = tuple(f"{kind}, {seen}" for kind in KINDS for seen in ("both views", "one view"))
WRIST = DATA / "wrist"
OFF_DEG, OFF_MM = 30.0, 30.0


@dataclass(frozen=True)
class Bench:
    """Where things are, and how much is done of them.

    Parameters
    ----------
    minutes : of training, in the part poses.   scale : of all minutes.
    limit : cases of each set, None for all.   seeds : of the ablation.
    device : where the networks are trained.
    """

    cases: Path
    models: Path
    rows: Rows
    page: Path
    minutes: Sequence[float]
    scale: float
    limit: int | None
    seeds: int
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


def ablation(bench: Bench) -> str:
    """What each loss brings, in equal time.

    Seeds come last, so that a run that is broken off has all variants.
    """
    records = []
    cases = {(kind, anatomy): found for kind, anatomy, found in bench.sets(*KINDS)}
    for seed in range(bench.seeds):
        for anatomy in sorted({anatomy for _, anatomy in cases}):
            for network, loss, _ in VARIANTS:
                more: dict[str, Any] = {"network": network, "loss": loss, "seed": seed}
                model = bench.model(
                    anatomy, ABLATION_MINUTES, f"{network}-{loss}-seed{seed}", **more
                )
                card = model.card
                record = {
                    "ct": anatomy,
                    **more,
                    "steps": card.done,
                    "seconds": round(card.seconds, 1),
                    "fault": card.fault,
                }
                for kind in KINDS:
                    found = predicted(bench.rows, model, cases[kind, anatomy])
                    errors = np.array([row["mtre_mm"] for row in found])
                    for seen, mm in (
                        ("both views", errors[:, 0]),
                        ("one view", errors[:, 1:].ravel()),
                    ):
                        median, share = (
                            round(float(np.median(mm)), 3),
                            round(float(np.mean(mm < NEAR_MM)), 4),
                        )
                        record[f"{kind}, {seen}"] = {"median_mm": median, "near": share}
                records.append(record)
    data = bench.page.parent / bench.page.stem / "ablation.json"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n", encoding="utf-8")
    return f"{ablation_tables(records)}\n\nEach training's numbers: [{data.name}]({bench.page.stem}/{data.name})."


def published(bench: Bench) -> str:
    """The papers' method against the default.

    Seeds come last, so that a run that is broken off has all CTs and methods.
    """
    records: list[dict] = []
    sets = bench.sets("plain")
    for seed in range(bench.seeds):
        for (_, anatomy, cases), (network, loss, name) in itertools.product(sets, PUBLISHED):
            with mock.patch.object(
                training, "time", SimpleNamespace(perf_counter=process_time, monotonic=monotonic)
            ):
                model = bench.model(
                    anatomy,
                    PUBLISHED_MINUTES,
                    f"{network}-{loss}-processor-seed{seed}",
                    network=network,
                    loss=loss,
                    seed=seed,
                )
            errors = np.array([_network_alone(bench.rows, model, one) for one in cases])
            both_and_one = errors[:, 0], errors[:, 1:]
            seen = [
                [np.median(mm) for mm in both_and_one],
                [100 * np.mean(mm < NEAR_MM) for mm in both_and_one],
            ]
            card = model.card
            records.append(
                {
                    "ct": anatomy,
                    "name": name,
                    "seed": seed,
                    "steps": card.done,
                    "seconds": card.seconds,
                    "seen": seen,
                }
            )
    seconds, groups = [record["seconds"] for record in records], []
    for (ct, name), group in grouped(records, lambda record: (record["ct"], record["name"])):
        errors = np.array([record["seen"] for record in group])
        cells = [
            mean_and_sd(errors[:, n, m], digits)
            for n, digits in enumerate((1, 0))
            for m in range(2)
        ]
        groups.append(
            (ct, name, len(group), f"{np.mean([record['steps'] for record in group]):.0f}", *cells)
        )
    each = [
        (
            record["ct"],
            record["name"],
            record["seed"],
            record["steps"],
            *(
                f"{cell:.{d}f}"
                for d, cell in zip((1, 1, 0, 0), np.ravel(record["seen"]), strict=True)
            ),
        )
        for record in sorted(records, key=lambda record: (record["ct"], record["name"]))
    ]
    columns = [
        f"{seen}: {what}"
        for what in ("median mm", f"within {NEAR_MM:g} mm, %")
        for seen in ("both views", "one view")
    ]
    return "\n\n".join(
        [
            "The mTRE of the networks' poses, before any refinement or search, over "
            f"{len(sets[0][2])} plain X-ray pairs of a CT: mean ± standard deviation over the "
            f"trainings. Each training took {min(seconds):.0f} to {max(seconds):.0f} processor "
            "seconds.",
            table(["CT", "method", "trainings", "steps", *columns], groups),
            "Each training:",
            table(["CT", "method", "seed", "steps", *columns], each),
        ]
    )


def _network_alone(rows: Rows, model: RegressorModel, one: PoseCase) -> list[float]:
    """mTRE in mm of both views together and of each alone, as the network has it, without tries along its least certain axis."""

    def measure() -> dict:
        case = one.load()
        found = [
            model.candidates(views, case.world_from_ct)[0]
            for views in (case.views, *([view] for view in case.views))
        ]
        errors = [mtre_of(case, each.world_from_ct) for each in found]
        return {"mtre_mm": [round(float(error), 4) for error in errors]}

    return rows.get("network alone", identity(model), one.name, measure=measure)["mtre_mm"]


def ablation_tables(records: list[dict]) -> str:
    """The medians, the shares, and what the terms change."""

    def of(variant: tuple, ct: str | None = None) -> list[dict]:
        return [
            record
            for record in records
            if (record["network"], record["loss"]) == variant[:2] and ct in (None, record["ct"])
        ]

    def by_ct(key: str, cell: str, scale: float) -> str:
        lines = []
        for ct in sorted({record["ct"] for record in records}):
            for variant in VARIANTS:
                mine = of(variant, ct)
                numbers = [
                    scale * np.array([record[column][key] for record in mine]) for column in SEEN
                ]
                steps = f"{np.mean([record['steps'] for record in mine]):.0f}"
                cells = (cell.format(each.mean(), _sd(each)) for each in numbers)
                lines.append((ct, variant[2], f"`{variant[1]}`", steps, *cells))
        return table(["CT", "trained for", "loss", "steps", *SEEN], lines)

    changes = []
    without = {(record["ct"], record["seed"]): record for record in of(VARIANTS[0])}
    for variant in VARIANTS[1:]:
        cells = []
        for column in SEEN:
            pairs = [(record, without[record["ct"], record["seed"]]) for record in of(variant)]
            change = 100 * (
                np.array([a[column]["median_mm"] / b[column]["median_mm"] for a, b in pairs]) - 1
            )
            cells.append(f"{change.mean():+.0f} ± {_sd(change) / np.sqrt(len(change)):.0f}")
        changes.append((variant[2], f"`{variant[1]}`", *cells))
    minutes, seeds = (
        [record["seconds"] / 60 for record in records],
        len({record["seed"] for record in records}),
    )
    return "\n\n".join(
        [
            f"Medians of the mTRE in mm, mean ± standard deviation of {seeds} trainings. Both "
            "views fused, or each view alone. All trainings were given the same time, and took "
            f"{min(minutes):.1f} to {max(minutes):.1f} minutes.",
            by_ct("median_mm", "{:.1f} ± {:.1f}", 1.0),
            f"Within {NEAR_MM:g} mm, percent:",
            by_ct("near", "{:.0f} ± {:.0f}", 100.0),
            f"By how much the median changes against `{VARIANTS[0][1]}` with the same seed, in "
            "percent, all CTs together: mean ± standard error. Less is better.",
            table(["trained for", "loss", *SEEN], changes),
        ]
    )


def _sd(numbers: np.ndarray) -> float:
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else float("nan")


def mean_and_sd(numbers: np.ndarray, digits: int) -> str:
    """ "5.4 ± 0.6", "5.4" of one number."""
    return " ± ".join(
        f"{value:.{digits}f}" for value in (numbers.mean(), _sd(numbers))[: len(numbers)]
    )


def spread(errors: np.ndarray) -> str:
    return f"{np.median(errors):.1f} / {np.percentile(errors, 95):.1f} / {errors.max():.1f}"


def near(errors: np.ndarray) -> str:
    return f"{100 * np.mean(errors < NEAR_MM):.1f}"


PARTS = {
    "poses": poses,
    "starts": starts,
    "one-view": one_view,
    "wrist": wrist,
    "ablation": ablation,
    "published": published,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=[name for name in PARTS if name not in ("ablation", "published")],
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
    parser.add_argument("--seeds", type=int, default=3, help="of the ablation, and of published")
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
