"""Fits and judges the model of bones in assessment/risk.py.

python -m benchmarks bones_fit [--fit ROWS.jsonl...] [--judge ROWS.jsonl...] [--write]

Rows are those of `bones.py`; rows/fit_bones.jsonl.xz are those of seed 72, on which the model stands.
All tables are of models that were fitted to the other two people, on the rows of --fit; those of
--judge were in no fit and no choice. What --write writes is fitted to all rows of --fit.

What must hold, fixed before seed 52 was run: no bone that is more than 2 mm off is accepted, of
1,000 accepted at least; of the right ones whose mask has no fault 60 % are accepted, and 3 % at
most rejected; the AUROC of the risk is 0.98; a spine at a wrong level is never accepted. Columns
and limits were chosen on seed 71. What was found is in docs/validation.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import optimize

from MultiViewRegistrationLib.assessment import risk
from MultiViewRegistrationLib.assessment.bone_checks import bone_findings
from MultiViewRegistrationLib.assessment.bone_features import BoneFeatures
from MultiViewRegistrationLib.assessment.records import WRONG_MM, Assessment
from MultiViewRegistrationLib.assessment.risk import BONE_COLUMNS, BoneModel, columns
from MultiViewRegistrationLib.studies.statistics import grouped, table_of

from . import parser_of
from .kept import Rows
from .statistics import auroc, logistic, share
from .trust_fit import as_json

KEPT = Path(__file__).parent / "rows/fit_bones.jsonl.xz"
#: Ridge on the scaled weights, in rows; of a log error at least.
RIDGE, MIN_SD = 1.0, 0.3
#: Chosen on the rows of seed 71.
ACCEPT, REJECT = 0.03, 0.7


def read(paths: list[Path]) -> list[dict]:
    """A row for each bone, of files that may be compressed by xz."""
    rows = [row for path in paths for case in Rows(path).rows.values() for row in case["bones"]]
    for row in rows:
        row["wrong"] = row["mm"] > WRONG_MM
        row["features"] = BoneFeatures(**row["features"])
    return rows


def fitted(rows: list[dict]) -> BoneModel:
    """A logistic regression without negative weights, and the log error of right answers by the same columns."""
    x = np.array([columns(vars(row["features"]), BONE_COLUMNS) for row in rows])
    wrong, logs = np.array([row["wrong"] for row in rows]), np.log([row["mm"] for row in rows])
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled = (x - centre) / scale
    k, beta = x.shape[1], logistic(scaled, wrong, RIDGE)
    design = np.column_stack([np.ones((~wrong).sum()), scaled[~wrong]])
    padded = np.vstack([design, np.sqrt(RIDGE) * np.eye(k + 1)[1:]])
    told, least = np.r_[logs[~wrong], np.zeros(k)], np.r_[-np.inf, np.zeros(k)]
    near = optimize.lsq_linear(padded, told, (least, np.inf)).x
    near_sd = max(float((logs[~wrong] - design @ near).std()), MIN_SD)
    far, far_sd = float(logs[wrong].mean()), max(float(logs[wrong].std()), MIN_SD)
    limits = scaled[~wrong].max(axis=0)
    linear = float(beta[0]), beta[1:], near, near_sd
    return BoneModel(centre, scale, limits, *linear, far, far_sd, ACCEPT, REJECT)


def judged(rows: list[dict], known: list[dict]) -> list[dict]:
    """The rows with risk, bound and verdict by models of the other people among the known rows."""
    models = {
        name: fitted([row for row in known if row["person"] != name])
        for name in {row["person"] for row in rows}
    }
    for row in rows:
        model = models[row["person"]]
        predicted, findings = bone_findings(row["bone"], row["features"], (), model)
        assert predicted is not None  # of a bone that a view shows
        row["verdict"] = Assessment(tuple(findings)).verdict
        row["risk"], row["bound"] = predicted.failure, predicted.upper95_mm
    return rows


def kind_of(row: dict) -> dict[str, object]:
    """What bones are grouped by."""
    return {
        "of": row["person"],
        "bones:": "vertebrae" if row["bone"][0] in "TL" else "others",
        "mask": row["mask"] or "right",
        "level": "off" if row["level"] else "right",
        "views:": min(row["views"], 3),
        "bent:": ["up to 3 degrees", "to 5.5", "beyond"][np.digitize(row["degrees"], (3, 5.5))],
        "nuisances:": len(row["nuisances"]),
    }


def table(rows: list[dict]) -> str:
    """How many bones of each group are right, accepted and rejected."""

    def told(verdict, *, wrong):
        return lambda group: share(
            [row["verdict"] == verdict for row in group if row["wrong"] is wrong]
        )

    columns = {
        "bones": len,
        "over 2 mm off": lambda group: sum(row["wrong"] for row in group),
        "of these accepted": told("accept", wrong=True),
        "of the right accepted": told("accept", wrong=False),
        "rejected": told("reject", wrong=False),
        "error within its bound": lambda group: share([row["mm"] <= row["bound"] for row in group]),
        "AUROC": lambda group: f"{auroc(*zip(*((e['risk'], e['wrong']) for e in group))):.3f}",
    }
    groups = [(("all",), rows)]
    for key in kind_of(rows[0]):
        of_key = grouped(rows, lambda row: (f"{key} {kind_of(row)[key]}",))  # noqa: B023
        groups += sorted(of_key, key=lambda group: group[0])
    return table_of(groups, ("group",), columns)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--fit", type=Path, nargs="+", default=[KEPT])
    parser.add_argument("--judge", type=Path, nargs="+")
    parser.add_argument(
        "--write", action="store_true", help="replace assessment/bone_prediction.json"
    )
    options = parser.parse_args()
    known = read(options.fit)
    print(table(judged(read(options.judge) if options.judge else known, known)))
    model = fitted(known)
    print(dict(zip(BONE_COLUMNS, model.weights.round(2).tolist(), strict=True)))
    if options.write:
        content = {
            "about": {
                "by": "python -m benchmarks bones, bones_fit",
                "bones": len(known),
                "above_2_mm": sum(row["wrong"] for row in known),
                "persons": sorted({row["person"] for row in known}),
            },
            "columns": list(BONE_COLUMNS),
            "model": as_json(model),
        }
        path = Path(risk.__file__).with_name("bone_prediction.json")
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
