#!/usr/bin/env python
"""What each loss brings, in equal time: python ablation.py [--minutes 4] [--seeds 3] [--cases build/poses] [--page docs/regressor.md]

The papers' network is trained with their losses for each view alone, with either cross-view term beside them, and with both; and with the
likelihood of its own uncertainty. The network that votes is the last row. Each as often as there are seeds, on two views; then it sees both
views of the X-rays of make_pose_set.py, plain and hard, or one of them. Written into the page, between its marks: means over the seeds,
with their standard deviations; the numbers of each training beside it as JSON.

Models are kept in --models, measurements in --rows: what is there already is not made again. 3 seeds and 2 CTs of 4 minutes: 2.5 hours.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402
import pose_cases  # noqa: E402
import regressor_rows  # noqa: E402
from marked_page import put  # noqa: E402
from pose_cases import PoseCase, counted, identity  # noqa: E402
from rows import Rows  # noqa: E402

from MultiViewRegistrationLib import __version__  # noqa: E402
from MultiViewRegistrationLib.errors import InputError  # noqa: E402
from MultiViewRegistrationLib.regressor.model import RegressorModel  # noqa: E402
from MultiViewRegistrationLib.regressor.model_store import NEAR_MM  # noqa: E402
from MultiViewRegistrationLib.studies.tables import table  # noqa: E402


@dataclass(frozen=True)
class Variant:
    """What is trained, and what it is called in the table."""

    network: str
    loss: str
    title: str


#: The first one is what the others are compared with.
VARIANTS = (
    Variant("pose", "diffpose", "pose + image (DiffPose)"),
    Variant("pose", "diffpose+cross-pose", "and cross-view pose"),
    Variant("pose", "diffpose+cross-image", "and cross-view image"),
    Variant("pose", "cui2025", "and both (Cui et al. 2025)"),
    Variant("pose", "likelihood", "likelihood instead"),
    Variant("voting", "likelihood", "voting network, likelihood"),
)
SEEN = ("both", "one")


@dataclass(frozen=True)
class Ablation:
    """Where things are, and how much is done."""

    cases: dict[str, list[PoseCase]]
    models: Path
    rows: Rows
    minutes: float
    seeds: int

    def measured(self) -> list[dict]:
        """A record for each training; seeds come last, so that a run that is broken off has all variants."""
        return [
            self._record(anatomy, variant, seed)
            for seed in range(self.seeds)
            for anatomy in pose_cases.anatomies(self.cases["plain"])
            for variant in VARIANTS
        ]

    def _record(self, anatomy: str, variant: Variant, seed: int) -> dict:
        name = f"{anatomy}-{variant.network}-{variant.loss}-{self.minutes:g}min-seed{seed}"
        first = next(one for one in self.cases["plain"] if one.anatomy == anatomy)
        model = pose_cases.trained(
            first.load(),
            self.models / name,
            minutes=self.minutes,
            network=variant.network,
            loss=variant.loss,
            seed=seed,
        )
        record = {
            "ct": anatomy,
            "network": variant.network,
            "loss": variant.loss,
            "seed": seed,
            "steps": model.card.done,
            "seconds": round(model.card.seconds, 1),
            "fault": model.card.fault,
        }
        for kind, cases in self.cases.items():
            errors = self._errors(model, [one for one in cases if one.anatomy == anatomy])
            for seen, mm in zip(SEEN, (errors[:, 0], errors[:, 1:].ravel()), strict=True):
                record[f"{kind}, {seen}"] = {
                    "median_mm": round(float(np.median(mm)), 3),
                    "near": round(float(np.mean(mm < NEAR_MM)), 4),
                }
        return record

    def _errors(self, model: RegressorModel, cases: list[PoseCase]) -> np.ndarray:
        """(cases, 1 + views) mTRE in mm, of all views together and of each alone."""
        return np.array(
            [
                self.rows.get(
                    "poses", identity(model), one.name, measure=lambda one=one: regressor_rows.poses(model, one.load())
                )["mtre_mm"]
                for one in counted(cases, f"poses by {model.folder.name}")
            ]
        )


def page(records: list[dict], count: int) -> str:
    """The tables of the medians, of the shares, and of what the terms change."""
    minutes = [record["seconds"] / 60 for record in records]
    seeds = len({record["seed"] for record in records})
    about = (
        f"Medians of the mTRE in mm over {count} X-rays of each kind, mean ± standard deviation of {seeds} trainings. Both views "
        f"fused, or each view alone. All trainings were given the same time, and took {min(minutes):.1f} to {max(minutes):.1f} "
        "minutes."
    )
    change = (
        f"By how much the median changes against `{VARIANTS[0].loss}` with the same seed, in percent, all CTs together: mean ± "
        "standard error. Less is better."
    )
    return "\n\n".join(
        [
            about,
            _per_ct(records, "median_mm", "{:.1f} ± {:.1f}", 1.0),
            f"Within {NEAR_MM:g} mm, percent:",
            _per_ct(records, "near", "{:.0f} ± {:.0f}", 100.0),
            change,
            _changes(records),
        ]
    )


def _columns() -> list[str]:
    return [f"{kind}, {seen}" for kind in ("plain", "hard") for seen in SEEN]


def _per_ct(records: list[dict], key: str, cell: str, scale: float) -> str:
    lines = []
    for ct in sorted({record["ct"] for record in records}):
        for variant in VARIANTS:
            mine = _of(records, variant, ct)
            numbers = [scale * np.array([record[column][key] for record in mine]) for column in _columns()]
            steps = f"{np.mean([record['steps'] for record in mine]):.0f}"
            lines.append(
                [ct, variant.title, f"`{variant.loss}`", steps, *(cell.format(n.mean(), _sd(n)) for n in numbers)]
            )
    return table(["CT", "trained for", "loss", "steps", *_heads()], lines)


def _changes(records: list[dict]) -> str:
    lines = []
    for variant in VARIANTS[1:]:
        cells = []
        for column in _columns():
            ratios = [mine["median_mm"] / other["median_mm"] for mine, other in _pairs(records, variant, column)]
            change = 100 * (np.array(ratios) - 1)
            cells.append(f"{change.mean():+.0f} ± {_sd(change) / np.sqrt(len(change)):.0f}")
        lines.append([variant.title, f"`{variant.loss}`", *cells])
    return table(["trained for", "loss", *_heads()], lines)


def _heads() -> list[str]:
    return [column.replace("both", "both views").replace("one", "one view") for column in _columns()]


def _pairs(records: list[dict], variant: Variant, column: str) -> list[tuple[dict, dict]]:
    """The numbers of a column, with those of the first variant of the same CT and seed."""
    without = {(record["ct"], record["seed"]): record[column] for record in _of(records, VARIANTS[0])}
    return [(record[column], without[record["ct"], record["seed"]]) for record in _of(records, variant)]


def _of(records: list[dict], variant: Variant, ct: str | None = None) -> list[dict]:
    return [
        record
        for record in records
        if (record["network"], record["loss"]) == (variant.network, variant.loss) and ct in (None, record["ct"])
    ]


def _sd(numbers: np.ndarray) -> float:
    return float(np.std(numbers, ddof=1)) if len(numbers) > 1 else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=60, help="cases of each set")
    parser.add_argument("--cts", nargs="+", help="by default all that there are cases of")
    parser.add_argument("--cases", type=Path, default=ROOT / "build" / "poses")
    parser.add_argument("--models", type=Path, default=ROOT / "build" / "models" / "ablation")
    parser.add_argument("--rows", type=Path, default=ROOT / "build" / "ablation.jsonl")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "regressor.md")
    args = parser.parse_args()

    cases = {
        kind: [
            one
            for one in pose_cases.pose_cases(args.cases, hard=kind == "hard", limit=args.limit)
            if one.anatomy in (args.cts or [one.anatomy])
        ]
        for kind in ("plain", "hard")
    }
    records = Ablation(cases, args.models, Rows(args.rows), args.minutes, args.seeds).measured()
    data = args.page.parent / args.page.stem / "ablation.json"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n", encoding="utf-8")
    written = (
        f"Written by `Testing/benchmarks/ablation.py`, {date.today().isoformat()}, version {__version__}; each training's numbers: "
        f"[{data.name}]({args.page.stem}/{data.name})."
    )
    put(args.page, "regressor ablation", f"{page(records, args.limit)}\n\n{written}")
    print(args.page)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"ablation.py: {error}")
